// SPDX-License-Identifier: GPL-2.0-or-later
//! One manual page: a command of a command line and what the manual adds to its help in, roff out.

use anyhow::{Context, Result};
use clap::builder::{Resettable, StyledStr};
use clap::Command;
use clap_mangen::Man;
use kmend_shared::manual::Page;
use roff::{bold, roman, Roff};

/// How the help of a command begins that lists its exit codes after its options; the rest of it is the section.
const EXIT_CODES: &str = "Exit codes:";

/// How a whole manual is marked.
pub struct Marks<'a> {
    /// The section: 8
    pub section: &'a str,
    /// What the page is of: `kmend 0.1.0`
    pub source: &'a str,
    /// The date in its foot.
    pub date: String,
}

/// The page of `command`, whose whole name is `name` (`kmend-status`).
///
/// # Errors
/// clap_mangen's, which are those of writing.
pub fn write(command: &Command, name: &str, page: Option<&Page>, marks: &Marks) -> Result<Vec<u8>> {
    let after = command.get_after_help().map(StyledStr::to_string).unwrap_or_default();
    let plain = command.clone().after_help(Resettable::<StyledStr>::Reset);
    let man = Man::new(plain).title(name.to_uppercase()).section(marks.section).date(marks.date.clone());
    let mut text = Vec::new();
    man.source(marks.source).manual("kmend").render(&mut text).with_context(|| format!("no man page of {name}"))?;
    let mut roff = Roff::new();
    if let Some(codes) = after.strip_prefix(EXIT_CODES) {
        codes_of_help(&mut roff, codes);
    }
    if let Some(page) = page {
        list(&mut roff, "EXIT STATUS", page.exits);
        list(&mut roff, "ENVIRONMENT", page.environment);
        list(&mut roff, "FILES", page.files);
        examples(&mut roff, page.examples);
    }
    let root = name.split('-').next().unwrap_or(name);
    see_also(&mut roff, name, root, marks.section, page.map_or(&[], |p| p.see));
    text.extend(roff.render().into_bytes());
    Ok(text)
}

/// `  3  one is unknown` a line; a line that starts without a number is a paragraph.
fn codes_of_help(roff: &mut Roff, codes: &str) {
    roff.control("SH", ["EXIT STATUS"]);
    for line in codes.lines().map(str::trim).filter(|l| !l.is_empty()) {
        match line.split_once("  ").filter(|(code, _)| code.parse::<u8>().is_ok()) {
            Some((code, meaning)) => item(roff, code, meaning),
            None => {
                roff.control("PP", []).text([roman(line)]);
            }
        }
    }
}

fn item(roff: &mut Roff, word: &str, meaning: &str) {
    roff.control("TP", []).text([bold(word)]).text([roman(meaning)]);
}

fn list(roff: &mut Roff, title: &str, items: &[(&str, &str)]) {
    if !items.is_empty() {
        roff.control("SH", [title]);
    }
    items.iter().for_each(|(word, meaning)| item(roff, word, meaning));
}

fn examples(roff: &mut Roff, examples: &[(&str, &str)]) {
    if !examples.is_empty() {
        roff.control("SH", ["EXAMPLES"]);
    }
    for (what, line) in examples {
        if !what.is_empty() {
            roff.control("PP", []).text([roman(*what)]);
        }
        roff.control("PP", []).control("RS", ["4"]).control("EX", []).text([roman(*line)]);
        roff.control("EE", []).control("RE", []);
    }
}

/// The page of the whole program, but on itself, and what the manual names.
fn see_also(roff: &mut Roff, name: &str, root: &str, section: &str, others: &[&str]) {
    let own = if name.starts_with("kmend-build") { "kmend-build" } else { root };
    let own = (own != name).then(|| format!("{own}({section})"));
    let all: Vec<String> = own.into_iter().chain(others.iter().map(|s| s.to_string())).collect();
    if !all.is_empty() {
        roff.control("SH", ["SEE ALSO"]).text([roman(all.join(", "))]);
    }
}
