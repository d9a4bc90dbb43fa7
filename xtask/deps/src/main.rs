// SPDX-License-Identifier: GPL-2.0-or-later
//! `kmend-deps`: installs what is missing for all tests; `kmend-deps demo`: for the demo.

use std::process::ExitCode;

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    match kmend_deps::run(&args) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("deps: {error:#}");
            ExitCode::FAILURE
        }
    }
}
