// SPDX-License-Identifier: GPL-2.0-or-later
//! The age of a repository, of both kinds: its folder in; the date of the index in it, and whether it is signed, out.

use crate::{date, files};
use anyhow::{bail, ensure, Context, Result};
use chrono::DateTime;
use regex::Regex;
use std::path::Path;

/// The tag in repomd.xml that names an index as kmend's; `Label` in Release has the same word.
pub const TAG: &str = "kmend";
/// Begins the tag in repomd.xml that has the last second of the index's validity: `2027-02-28T00:00:00Z`. There is no
/// field for it in that format; in Release it is `Valid-Until`.
pub const VALID_UNTIL: &str = "kmend-valid-until=";
/// Larger files are no index.
const LARGEST: u64 = 64 << 20;

/// When an index was made, and how long hosts are to use it; seconds since 1970.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Dates {
    /// When it was made. Has to grow from index to index: apt and kmend tell a newer one by it.
    pub date: i64,
    /// The last second of its validity; None: for ever.
    pub valid_until: Option<i64>,
}

impl Dates {
    /// # Errors
    /// A point in time outside of what the formats hold; an end that is not after the beginning.
    pub(crate) fn check(self) -> Result<()> {
        date::rpm(self.date)?;
        if let Some(until) = self.valid_until {
            date::rpm(until)?;
            ensure!(until > self.date, "the index would be valid until {until}, and it is made at {}", self.date);
        }
        Ok(())
    }
}

/// What lies in a repository's folder.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Before {
    /// The latest date that an index there has, seconds since 1970; None where there is no index.
    pub date: Option<i64>,
    /// The files with signatures of indexes.
    pub signatures: Vec<&'static str>,
}

/// Looks at the indexes in `folder`, which may be missing.
///
/// # Errors
/// An index is there whose date cannot be read.
pub fn before(folder: &Path) -> Result<Before> {
    let mut before = Before::default();
    for (name, read) in
        [("Release", release as fn(&str) -> Option<i64>), ("InRelease", release), ("repodata/repomd.xml", repomd)]
    {
        let path = folder.join(name);
        if std::fs::symlink_metadata(&path).is_err() {
            continue;
        }
        let Some(date) = files::read_text_at_most(&path, LARGEST).map(|text| read(&text))? else {
            bail!(
                "{} does not say when it was made, so a newer one could not be recognised\n  what you can do: if no \
                 host uses it, remove it",
                path.display()
            );
        };
        before.date = before.date.max(Some(date));
    }
    const SIGNATURES: [&str; 3] = ["InRelease", "Release.gpg", "repodata/repomd.xml.asc"];
    before.signatures = SIGNATURES.into_iter().filter(|name| folder.join(name).exists()).collect();
    Ok(before)
}

/// `Date: Mon, 21 Sep 2026 14:13:20 UTC`
fn release(text: &str) -> Option<i64> {
    let date = text.lines().find_map(|line| line.strip_prefix("Date:"))?;
    let date = date.trim().replace("UTC", "+0000").replace("GMT", "+0000");
    Some(DateTime::parse_from_rfc2822(&date).ok()?.timestamp())
}

/// The revision, else the latest of the files' times.
fn repomd(text: &str) -> Option<i64> {
    let number = |tag: &str| {
        let tags = Regex::new(&format!("<{tag}>([0-9]{{1,10}})</{tag}>")).context("a tag").ok()?;
        tags.captures_iter(text).filter_map(|found| found[1].parse().ok()).max()
    };
    number("revision").max(number("timestamp"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn dates_are_read_from_both_kinds() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(before(&dir.path().join("none")).unwrap(), Before::default());
        let put = |name: &str, text: &str| fs::write(dir.path().join(name), text).unwrap();
        put("Release", "Origin: A\nDate: Mon, 21 Sep 2026 14:13:20 UTC\n");
        assert_eq!(before(dir.path()).unwrap().date, Some(1_790_000_000));
        fs::create_dir(dir.path().join("repodata")).unwrap();
        put("repodata/repomd.xml", "<repomd><revision>1790000001</revision><timestamp>1790000000</timestamp></repomd>");
        put("repodata/repomd.xml.asc", "");
        let found = before(dir.path()).unwrap();
        assert_eq!((found.date, found.signatures), (Some(1_790_000_001), vec!["repodata/repomd.xml.asc"]));
        // Text that is no number of seconds is none.
        for bad in ["", "<revision>x</revision>", "<revision>99999999999999999999</revision>"] {
            put("repodata/repomd.xml", bad);
            let error = format!("{:#}", before(dir.path()).unwrap_err());
            assert!(error.contains("repomd.xml does not say when"), "{error}");
        }
    }

    #[test]
    fn an_index_ends_after_it_begins() {
        let check = |date, valid_until| Dates { date, valid_until }.check();
        assert!(check(1, None).is_ok() && check(1, Some(2)).is_ok());
        for (date, until) in [(-1, None), (2, Some(2)), (2, Some(1)), (2, Some(1 << 33))] {
            assert!(check(date, until).is_err(), "{date} {until:?}");
        }
    }
}
