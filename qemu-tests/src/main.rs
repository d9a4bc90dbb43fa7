// SPDX-License-Identifier: GPL-2.0-or-later
//! The qemu-tests program; all of it is in the library.

fn main() -> std::process::ExitCode {
    qemu_tests::cli::run()
}
