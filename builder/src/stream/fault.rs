// SPDX-License-Identifier: GPL-2.0-or-later
//! What is wrong with a stream file, for the person who wrote it.

use std::fmt;
use std::path::PathBuf;

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// Line in the stream file, from 1; 0 for the whole file.
    pub line: usize,
    /// What is wrong, one sentence.
    pub reason: String,
    /// What helps; empty where the reason says it.
    pub hint: String,
}

impl Fault {
    /// Makes a fault.
    pub fn new(line: usize, reason: impl Into<String>, hint: &str) -> Self {
        Self { line, reason: reason.into(), hint: hint.into() }
    }
}

/// All that is wrong with a stream file, as an error.
#[derive(Debug)]
pub struct Faults {
    /// The stream file.
    pub file: PathBuf,
    /// In the order of their lines.
    pub faults: Vec<Fault>,
}

impl fmt::Display for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, fault) in self.faults.iter().enumerate() {
            let newline = if i > 0 { "\n" } else { "" };
            write!(f, "{newline}{}", self.file.display())?;
            if fault.line > 0 {
                write!(f, ", line {}", fault.line)?;
            }
            write!(f, ": {}", fault.reason)?;
            if !fault.hint.is_empty() {
                write!(f, "\n    what you can do: {}", fault.hint)?;
            }
        }
        Ok(())
    }
}

impl std::error::Error for Faults {}

/// The line, from 1, in which byte `at` of `text` is.
pub fn line_of(text: &str, at: usize) -> usize {
    1 + text.bytes().take(at).filter(|b| *b == b'\n').count()
}
