// SPDX-License-Identifier: GPL-2.0-or-later
//! Standard output: text in, written or remembered as not writable; the run fails at its end, not in its midst.

use anyhow::{Error, Result};
use std::fmt::Arguments;
use std::io::{self, ErrorKind, IsTerminal, Write};
use std::sync::Mutex;

/// The first error of writing.
static FAULT: Mutex<Option<io::Error>> = Mutex::new(None);

/// Writes to standard output. After a first error nothing more is tried.
pub fn write(text: Arguments<'_>) {
    let Ok(mut fault) = FAULT.lock() else { return };
    if fault.is_none() {
        *fault = io::stdout().write_fmt(text).err();
    }
}

/// What became of standard output. A reader that went away (`| head`) is no error.
pub fn finish() -> Result<()> {
    let flushed = io::stdout().flush().err();
    let fault = FAULT.lock().ok().and_then(|mut fault| fault.take()).or(flushed);
    match fault {
        Some(fault) if fault.kind() != ErrorKind::BrokenPipe => {
            Err(Error::from(fault).context("cannot write to standard output"))
        }
        _ => Ok(()),
    }
}

/// Says an error on standard error, as far as that can be written to. On a terminal, long lines are folded; elsewhere they
/// stay whole, for those who search them.
pub fn complain(error: &Error) {
    let said = format!("kmend-build: {error:#}");
    match io::stderr().is_terminal() {
        true => eprintln!("{}", folded(&said, WIDTH)),
        false => eprintln!("{said}"),
    }
}

/// Columns that every terminal has.
const WIDTH: usize = 80;

/// `text` with long lines broken between words; what goes on stands further in than where it began.
fn folded(text: &str, width: usize) -> String {
    let mut out = String::with_capacity(text.len() + text.len() / 16);
    for (n, line) in text.lines().enumerate() {
        if n > 0 {
            out.push('\n');
        }
        let indent = line.chars().take_while(|c| *c == ' ').count();
        out.push_str(&line[..indent]);
        let mut column = indent;
        for (n, word) in line[indent..].split(' ').enumerate() {
            let len = word.chars().count();
            if n > 0 && column + 1 + len > width {
                out.push_str(&format!("\n{}", " ".repeat(indent + 4)));
                column = indent + 4;
            } else if n > 0 {
                out.push(' ');
                column += 1;
            }
            out.push_str(word);
            column += len;
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_lines_are_folded() {
        assert_eq!(folded("short\n  as  it is", 20), "short\n  as  it is");
        assert_eq!(folded("  one two three four five", 14), "  one two\n      three\n      four\n      five");
        assert_eq!(folded("a_word_that_is_longer_than_all b", 10), "a_word_that_is_longer_than_all\n    b");
        assert_eq!(folded("", 10), "");
    }
}
