// SPDX-License-Identifier: GPL-2.0-or-later
//! `make demo`: all of it is in the library. A program of its own, so that the chores need not be compiled for it.

use std::process::ExitCode;

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    match qemu_tests::demo::run(&args) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("demo: {error:#}");
            ExitCode::FAILURE
        }
    }
}
