// SPDX-License-Identifier: GPL-2.0-or-later
//! The form of a stream file: its text in, its tables with their places out. What they mean together is `check`'s.

use super::fault::{line_of, Fault};
use super::values::{Cve, Date, Function, Level, Name, OneLine, Packager, Sha256, Ticket, TypeName, Url, Version};
use crate::target::distro::Format;
use kmend_packager::Severity;
use serde::Deserialize;
use std::num::NonZeroUsize;
use toml::Spanned;

/// Stream files larger than this are refused.
pub const MAX_BYTES: usize = 4 << 20;

/// A stream file.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StreamFile {
    /// The stream's name.
    pub name: Name,
    /// `Name <mail>`.
    pub packager: Packager,
    /// Who gives the packages out.
    pub vendor: Option<OneLine>,
    /// A page about them.
    pub url: Option<Url>,
    /// The form of the packages.
    pub packages: Option<Format>,
    /// How many units all fixes of a version may reach by way of headers.
    pub max_units: Option<NonZeroUsize>,
    /// How many days an index of its repository is valid.
    pub valid_days: Option<Spanned<i64>>,
    /// The kernels.
    #[serde(default)]
    pub kernel: Vec<KernelTable>,
    /// The versions, in order.
    #[serde(default)]
    pub version: Vec<VersionTable>,
}

/// `[[kernel]]`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KernelTable {
    /// The target, as `-t` takes it.
    pub target: Spanned<String>,
    /// The last day on which it gets live patches.
    pub supported_until: Option<Spanned<Date>>,
    /// Its level of fixes.
    pub level: Option<Level>,
    /// CVEs that the kernel itself has fixed.
    #[serde(default)]
    pub fixed: Vec<Spanned<Cve>>,
    /// A file with more of them, one a line.
    pub fixed_file: Option<Spanned<String>>,
    /// CVEs that no live patch of it fixes.
    #[serde(default)]
    pub not_carried: Vec<NotCarriedTable>,
}

/// `[[kernel.not_carried]]`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NotCarriedTable {
    /// The CVE.
    pub cve: Spanned<Cve>,
    /// Why.
    pub reason: OneLine,
}

/// `[[version]]`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct VersionTable {
    /// `1-2`
    pub version: Spanned<Version>,
    /// Its day.
    pub date: Spanned<Date>,
    /// The level of fixes from it on, for all kernels.
    pub level: Option<Level>,
    /// Its hooks file.
    pub hooks: Option<Spanned<String>>,
    /// Why it may lack callbacks of the version before.
    pub callbacks_dropped: Option<OneLine>,
    /// What it adds.
    #[serde(default)]
    pub fix: Vec<FixTable>,
}

/// `[[version.fix]]`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FixTable {
    /// The patch file.
    pub patch: Spanned<String>,
    /// Which of the commits in it, from 1; all of them where this is missing.
    pub commit: Option<Spanned<NonZeroUsize>>,
    /// CVEs that it fixes.
    #[serde(default)]
    pub cves: Vec<Spanned<Cve>>,
    /// How bad they are.
    pub severity: Option<Severity>,
    /// Its title, where the Subject of the patch is not it.
    pub title: Option<OneLine>,
    /// Tickets.
    #[serde(default)]
    pub tickets: Vec<Ticket>,
    /// The kernels that it is for; all of the stream's where this is missing.
    pub kernels: Option<Vec<Spanned<String>>>,
    /// Types whose changed layout passes.
    #[serde(default)]
    pub allow_layout: Vec<TypeName>,
    /// Functions that pass without a proof.
    #[serde(default)]
    pub allow_unproven: Vec<Function>,
    /// Sum of the hunks, or SHA-256 of the patch file, whose place it takes.
    pub replaces: Option<Spanned<Sha256>>,
}

/// Reads a stream file's text.
///
/// # Errors
/// Text that is no TOML, tables and values of another form, keys that are not known; with the line.
pub fn parse(text: &str) -> Result<StreamFile, Fault> {
    if text.len() > MAX_BYTES {
        return Err(Fault::new(
            0,
            format!("the file has more than {} MiB", MAX_BYTES >> 20),
            "keep lists of CVEs in a fixed_file",
        ));
    }
    toml::from_str(text).map_err(|error| {
        let line = error.span().map_or(0, |span| line_of(text, span.start));
        Fault::new(line, error.message().replace('\n', "; "), "docs/streams.md has the form of a stream file")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "name = \"a\"\npackager = \"A <a@b>\"\n\n[[kernel]]\ntarget = \"tree:x\"\n\n[[version]]\nversion = \"1-1\"\ndate = \"2026-10-02\"\n";

    fn fault(text: &str) -> (usize, String) {
        let fault = parse(text).unwrap_err();
        (fault.line, fault.reason)
    }

    #[test]
    fn reads_the_least() {
        let file = parse(GOOD).unwrap();
        assert_eq!((file.kernel.len(), file.version.len()), (1, 1));
    }

    #[test]
    fn says_the_line_of_what_is_wrong() {
        let at = |from: &str, to: &str| {
            assert!(GOOD.contains(from));
            fault(&GOOD.replace(from, to))
        };
        let (line, reason) = at("date = ", "dates = ");
        assert!(line >= 7 && reason.contains("date"), "{line} {reason}");
        let (line, reason) = at("\"1-1\"", "\"1.1\"");
        assert_eq!(line, 8, "{reason}");
        assert!(reason.contains("\"1.1\" is no version"), "{reason}");
        assert_eq!(at("target", "tarqet").0, 5);
        assert_eq!(at("\"2026-10-02\"", "\"2026-02-30\"").0, 9);
        assert_eq!(at("\"A <a@b>\"", "\"A\"").0, 2);
        assert_eq!(at("[[kernel]]", "[[kernel]").0, 4);
        let long = "#".repeat(MAX_BYTES) + GOOD;
        assert!(fault(&long).1.contains("4 MiB"));
    }
}
