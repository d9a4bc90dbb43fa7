// SPDX-License-Identifier: GPL-2.0-or-later
//! Standard output: text in, written, or remembered as not writable; the run then fails at its end, not halfway.

use crate::visible::visible;
use anyhow::{Error, Result};
use kmend_shared::paint::{self, Tone};
use std::fmt::Arguments;
use std::io::{self, ErrorKind, IsTerminal, Write};
use std::sync::Mutex;

/// The first error of writing.
static FAULT: Mutex<Option<io::Error>> = Mutex::new(None);

/// Writes to standard output, as people may see it. After a first error nothing more is tried.
pub fn write(text: Arguments<'_>) {
    let text = text.to_string();
    let text = visible(&text);
    match paint::wanted(io::stdout().is_terminal()) {
        true => write_exactly(format_args!("{}", paint::lines(&text))),
        false => write_exactly(format_args!("{text}")),
    }
}

/// The same without a change to the text: JSON, which programs read.
pub fn write_exactly(text: Arguments<'_>) {
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

/// Says an error on standard error, as far as that can be written to.
pub fn complain(error: &Error) {
    let text = format!("{error:#}");
    let text = visible(&text);
    // Where standard error cannot be written to, there is no one to tell.
    let _ = match paint::wanted(io::stderr().is_terminal()) {
        true => writeln!(io::stderr(), "{} {}", Tone::Bad.paint("kmend-build:"), paint::lines(&text)),
        false => writeln!(io::stderr(), "kmend-build: {text}"),
    };
}
