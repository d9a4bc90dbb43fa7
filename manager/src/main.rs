// SPDX-License-Identifier: GPL-2.0-or-later
//! The kmend program; all of it is in the library.

fn main() -> std::process::ExitCode {
    kmend_manager::cli::main()
}
