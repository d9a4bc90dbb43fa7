// SPDX-License-Identifier: GPL-2.0-or-later
//! Writes kmend's man pages and shell completions into a folder, laid out as /usr/share is.

use std::path::PathBuf;
use std::process::ExitCode;

fn main() -> ExitCode {
    let Some(dir) = std::env::args_os().nth(1).map(PathBuf::from) else {
        eprintln!("usage: docs DIR");
        return ExitCode::FAILURE;
    };
    match kmend_manager::docs::write_docs(&dir) {
        Ok(files) => {
            files.iter().for_each(|file| println!("{}", file.display()));
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("docs: {error:#}");
            ExitCode::FAILURE
        }
    }
}
