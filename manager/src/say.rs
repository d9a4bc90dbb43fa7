// SPDX-License-Identifier: GPL-2.0-or-later
//! What is said while a command runs: lines in, standard output and standard error out. Where nothing can be
//! written, work goes on and the run fails at its end: a closed terminal must not break off a load.

use anyhow::{Error, Result};
use std::cell::RefCell;
use std::io::{self, ErrorKind, Write};

/// Standard output and error.
pub struct Say {
    /// The name that the program was called by; it stands before each line on standard error.
    program: String,
    fault: RefCell<Option<io::Error>>,
}

impl Say {
    /// For a program that was called by this name.
    pub fn new(program: &str) -> Self {
        Self { program: program.into(), fault: RefCell::new(None) }
    }

    /// One line, or several, on standard output.
    pub fn line(&self, text: impl AsRef<str>) {
        let mut fault = self.fault.borrow_mut();
        if fault.is_none() {
            *fault = writeln!(io::stdout(), "{}", text.as_ref()).err();
        }
    }

    /// What is out of order but does not end the command, on standard error.
    pub fn warn(&self, text: impl AsRef<str>) {
        // Where standard error cannot be written to, there is nobody to tell.
        let _ = writeln!(io::stderr(), "{}: {}", self.program, text.as_ref());
    }

    /// What became of standard output. A reader that went away (`| head`) is no error.
    ///
    /// # Errors
    /// The first error of writing.
    pub fn finish(&self) -> Result<()> {
        let flushed = io::stdout().flush().err();
        match self.fault.take().or(flushed) {
            Some(fault) if fault.kind() != ErrorKind::BrokenPipe => {
                Err(Error::from(fault).context("cannot write to standard output"))
            }
            _ => Ok(()),
        }
    }
}
