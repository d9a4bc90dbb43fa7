// SPDX-License-Identifier: GPL-2.0-or-later
//! What a command says while it runs: lines in, standard output and standard error out. This is the one place where text
//! leaves the program: what a terminal would obey, and not show, is shown and not sent. Where nothing can be
//! written, work goes on and the run fails at its end: a closed terminal must not break off a load.

use anyhow::{Error, Result};
use kmend_shared::paint::{self, Tone};
use kmend_shared::text::is_hidden;
use std::borrow::Cow;
use std::cell::RefCell;
use std::io::{self, ErrorKind, IsTerminal, Write};

/// Standard output and error.
pub struct Say {
    /// The name that the program was called by; it is before each line on standard error.
    program: String,
    /// Colours for standard output and standard error.
    colours: [bool; 2],
    fault: RefCell<Option<io::Error>>,
}

impl Say {
    /// For a program that was called by this name.
    pub fn new(program: &str) -> Self {
        let colours = [io::stdout().is_terminal(), io::stderr().is_terminal()].map(paint::wanted);
        Self { program: program.into(), colours, fault: RefCell::new(None) }
    }

    /// One line on standard output; a line break in it is shown as any other control character.
    pub fn line(&self, text: impl AsRef<str>) {
        let text = self.called(text.as_ref());
        let text = shown(&text);
        match self.colours[0] {
            true => self.data(&paint::lines(&text)),
            false => self.data(&text),
        }
    }

    /// A line on standard output that begins with a verdict and a colon, which has a colour of its own.
    pub fn verdict(&self, text: &str, tone: Tone) {
        let shown = shown(text);
        match shown.split_once(':').filter(|_| self.colours[0]) {
            Some((verdict, rest)) => self.data(&format!("{}:{rest}", tone.paint(verdict))),
            None => self.data(&shown),
        }
    }

    /// Lines on standard output.
    pub fn lines(&self, lines: impl IntoIterator<Item = impl AsRef<str>>) {
        lines.into_iter().for_each(|line| self.line(line));
    }

    /// What another program reads, on standard output, exactly; and a line break.
    pub fn data(&self, text: &str) {
        let mut fault = self.fault.borrow_mut();
        if fault.is_none() {
            *fault = writeln!(io::stdout(), "{text}").err();
        }
    }

    /// What is out of order but does not end the command, on standard error.
    pub fn warn(&self, text: impl AsRef<str>) {
        let text = paragraph(&self.called(text.as_ref()));
        // Where standard error cannot be written to, there is no one to tell.
        let _ = match self.colours[1] {
            true => {
                let program = Tone::Bad.paint(&format!("{}:", self.program));
                writeln!(io::stderr(), "{program} {}", paint::lines(&text))
            }
            false => writeln!(io::stderr(), "{}: {text}", self.program),
        };
    }

    /// Text in which advice names the program as the user called it: `kpatch list` where that was kpatch.
    fn called<'t>(&self, text: &'t str) -> Cow<'t, str> {
        const ADVICE: &str = "`kmend ";
        match self.program == "kmend" || !text.contains(ADVICE) {
            true => Cow::Borrowed(text),
            false => Cow::Owned(text.replace(ADVICE, &format!("`{} ", self.program))),
        }
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

/// Text for a terminal, on one line: control characters, and characters that are not seen but change how others are
/// (directions, joiners, breaks of lines), are written out as `\n` or `\u{1b}`.
pub fn shown(text: &str) -> Cow<'_, str> {
    if text.chars().all(is_seen) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        match is_seen(c) {
            true => out.push(c),
            false => out.extend(c.escape_default()),
        }
    }
    Cow::Owned(out)
}

/// The same for a message, whose later lines begin with two spaces: no other line break is one.
fn paragraph(text: &str) -> String {
    let mut parts = text.split("\n  ").map(shown);
    let first = parts.next().unwrap_or_default().into_owned();
    parts.fold(first, |all, part| all + "\n  " + &part)
}

fn is_seen(c: char) -> bool {
    !is_hidden(c) && !matches!(c, '\n' | '\t')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_terminal_obeys_is_shown() {
        for plain in ["", "a b: c_1 (0x10)", "é ß 日本 😀 \u{a0}", "\\n"] {
            assert!(matches!(shown(plain), Cow::Borrowed(same) if same == plain));
        }
        assert_eq!(shown("a\x1b[2Jb\r\n\t\x07\x7f\u{9b}31m"), "a\\u{1b}[2Jb\\r\\n\\t\\u{7}\\u{7f}\\u{9b}31m");
        assert_eq!(shown("a\u{202e}b\u{2066}c\u{200f}d\u{2028}e"), "a\\u{202e}b\\u{2066}c\\u{200f}d\\u{2028}e");
    }

    #[test]
    fn of_messages_only_later_lines_that_are_set_in_are_lines() {
        assert_eq!(paragraph("no\n  what you can do: wait"), "no\n  what you can do: wait");
        assert_eq!(paragraph("no\nkmend: all is well\n\x1b"), "no\\nkmend: all is well\\n\\u{1b}");
    }
}
