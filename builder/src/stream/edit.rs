// SPDX-License-Identifier: GPL-2.0-or-later
//! A stream file is text that people edit: what is to be added in, that text with more at its end out. What is there already,
//! remarks and order included, stays as it is.

use super::fault::Faults;
use super::file::{self, StreamFile};
use super::values::{Cve, Date, Name, Packager, Url, Version};
use super::{check, Stream};
use crate::source::fix;
use crate::visible::visible;
use anyhow::{bail, ensure, Result};
use kmend_packager::Severity;
use std::fmt::Write as _;
use std::path::Path;

/// What a new stream file says.
pub struct Beginning {
    /// The stream's name.
    pub name: Name,
    /// Who packs it.
    pub packager: Packager,
    /// A page about the live patches.
    pub url: Option<Url>,
    /// The kernels' targets.
    pub kernels: Vec<String>,
}

/// What is added to a stream file.
pub struct Addition {
    /// The version that the fixes go to.
    pub version: Version,
    /// The day of that version, where it is new; None where it is the last one in the file.
    pub date: Option<Date>,
    /// The patch files, as the stream file names them, with their bytes.
    pub patches: Vec<(String, Vec<u8>)>,
    /// CVEs that each of them fixes.
    pub cves: Vec<Cve>,
    /// How bad they are.
    pub severity: Option<Severity>,
}

/// The text of a new stream file for `path`.
///
/// # Errors
/// Kernels of no name.
pub fn begin(path: &Path, beginning: &Beginning) -> Result<String> {
    let Beginning { name, packager, url, kernels } = beginning;
    let mut text = format!(
        "# A stream of cumulative live patches. docs/streams.md has all keys.\n\nname = {}\npackager = {}\n",
        quoted(name.as_str()),
        quoted(packager.as_str())
    );
    text += &match url {
        Some(url) => format!("url = {}\n", quoted(url.as_str())),
        None => "# A page about the live patches, which `stream release` needs:\n# url = \"https://…\"\n".into(),
    };
    for kernel in kernels {
        let _ = write!(
            text,
            "\n[[kernel]]\ntarget = {}\n# The last day on which this kernel gets live patches:\n# supported_until = \"YYYY-MM-DD\"\n",
            quoted(kernel)
        );
    }
    text += "\n# Versions, the newest at the end: `kmend-build stream add` writes them.\n";
    match check::check(path, &text) {
        Ok(_) => bail!("a stream file without versions was taken for a whole one"),
        Err(error) => {
            let mut faults: Faults = error.downcast()?;
            faults.faults.retain(|fault| fault.reason != check::NO_VERSION);
            ensure!(faults.faults.is_empty(), faults);
            Ok(text)
        }
    }
}

/// The form of a stream file's text.
///
/// # Errors
/// [`Faults`].
pub fn form(path: &Path, text: &str) -> Result<StreamFile> {
    file::parse(text).map_err(|fault| Faults { file: path.into(), faults: vec![fault] }.into())
}

/// `text` with `addition` at its end, and what it means.
///
/// # Errors
/// [`Faults`] of the text as it would be.
pub fn appended(path: &Path, text: &str, addition: &Addition) -> Result<(String, Stream)> {
    let before = form(path, text)?;
    let mut more = String::new();
    if let Some(date) = &addition.date {
        let (version, date) = (quoted(&addition.version.to_string()), quoted(date.as_str()));
        let _ = write!(more, "\n[[version]]\nversion = {version}\ndate = {date}\n");
    }
    addition.patches.iter().for_each(|(name, bytes)| more += &table(addition, name, bytes));
    if !text.is_empty() && !text.ends_with('\n') {
        more.insert(0, '\n');
    }
    if text.contains("\r\n") {
        more = more.replace('\n', "\r\n");
    }
    let whole = format!("{text}{more}");
    let after = form(path, &whole)?;
    let last = |form: &StreamFile| form.version.last().map_or(0, |version| version.fix.len());
    let (versions, fixes) = match &addition.date {
        Some(_) => (before.version.len() + 1, addition.patches.len()),
        None => (before.version.len(), last(&before) + addition.patches.len()),
    };
    ensure!(
        (after.version.len(), last(&after)) == (versions, fixes),
        "{}: text at its end does not add to its last version; write versions as [[version]] tables, the newest at the end",
        path.display()
    );
    let stream = check::check(path, &whole)?;
    Ok((whole, stream))
}

/// The table of one patch file. What its messages say is offered, in remarks.
fn table(addition: &Addition, name: &str, bytes: &[u8]) -> String {
    let mut out = format!("\n[[version.fix]]\npatch = {}\n", quoted(name));
    let parts = fix::parts(name, bytes).unwrap_or_default();
    if let [one] = parts.as_slice() {
        let _ = writeln!(out, "# title = {}", quoted(&one_line(&one.fix.title)));
    } else {
        parts.iter().for_each(|part| {
            let _ = writeln!(out, "# {}", one_line(&part.fix.title));
        });
    }
    if !addition.cves.is_empty() {
        let _ = writeln!(out, "cves = {}", list(addition.cves.iter().map(Cve::as_str)));
    }
    let given = |named: &&str| !addition.cves.iter().any(|cve| cve.as_str() == *named);
    let named: Vec<&str> = parts.iter().flat_map(|part| &part.named).map(String::as_str).filter(given).collect();
    if !named.is_empty() {
        let _ = writeln!(
            out,
            "# Its message names these; where it fixes them, take the mark away:\n# cves = {}",
            list(named)
        );
    }
    if let Some(severity) = addition.severity {
        let _ = writeln!(out, "severity = {}", quoted(severity.name()));
    }
    out
}

/// A text as a remark can hold it.
fn one_line(text: &str) -> String {
    let text: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(200).collect();
    visible(&text).into_owned()
}

fn list<'a>(words: impl IntoIterator<Item = &'a str>) -> String {
    let words: Vec<String> = words.into_iter().map(quoted).collect();
    format!("[{}]", words.join(", "))
}

/// A text as TOML has it.
fn quoted(text: &str) -> String {
    let mut out = String::from("\"");
    for c in text.chars() {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            c if c.is_control() => {
                let _ = write!(out, "\\u{:04X}", u32::from(c));
            }
            c => out.push(c),
        }
    }
    out + "\""
}

#[cfg(test)]
#[path = "edit_tests.rs"]
mod tests;
