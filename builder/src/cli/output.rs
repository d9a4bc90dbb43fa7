// SPDX-License-Identifier: GPL-2.0-or-later
//! Standard output: text in, written or remembered as not writable; the run fails at its end, not in its midst.

use crate::visible::visible;
use anyhow::{Error, Result};
use std::fmt::Arguments;
use std::io::{self, ErrorKind, Write};
use std::sync::Mutex;

/// The first error of writing.
static FAULT: Mutex<Option<io::Error>> = Mutex::new(None);

/// Writes to standard output, as people may see it. After a first error nothing more is tried.
pub fn write(text: Arguments<'_>) {
    write_exactly(format_args!("{}", visible(&text.to_string())));
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
    eprintln!("kmend-build: {error:#}");
}
