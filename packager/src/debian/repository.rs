// SPDX-License-Identifier: GPL-2.0-or-later
//! A repository that apt reads, of the flat kind: the packages, and beside them Packages, Release and InRelease.

use super::archive::control_of;
use crate::index::{Dates, TAG};
use crate::signing::Key;
use crate::{date, files, text};
use anyhow::{ensure, Context, Result};
use sha2::{Digest, Sha256};
use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

/// What the repository says about itself.
#[derive(Clone, Debug)]
pub struct Suite {
    /// The stream's name.
    pub stream: String,
    /// Who gives it out, one line.
    pub vendor: String,
    /// When the index is made, and how long apt takes it.
    pub dates: Dates,
}

/// Makes `folder`, which holds debs, a repository; with `key`, InRelease is signed by it. Without one there is no
/// InRelease, and apt wants `[trusted=yes]`. The same debs give the same bytes.
pub fn repository(folder: &Path, suite: &Suite, key: Option<&Key>) -> Result<()> {
    text::word("stream", &suite.stream, "-._")?;
    text::line("vendor", &suite.vendor)?;
    suite.dates.check()?;
    let date = suite.dates.date;
    let stamp = |seconds| Ok::<_, anyhow::Error>(date::rfc2822(seconds)?.replace("+0000", "UTC"));
    let until =
        suite.dates.valid_until.map(|until| Ok::<_, anyhow::Error>(format!("Valid-Until: {}\n", stamp(until)?)));
    let debs = files::with_ending(folder, "deb")?;
    ensure!(!debs.is_empty(), "{} holds no deb to make a repository of", folder.display());
    let (mut packages, mut archs) = (String::new(), BTreeSet::new());
    for path in &debs {
        let name = path
            .file_name()
            .and_then(|n| n.to_str())
            .with_context(|| format!("{} has a strange name", path.display()))?;
        text::word("file name", name, "-._+~")?;
        let bytes = files::read(path)?;
        let control = control_of(path, &bytes)?;
        let arch = control.lines().find_map(|line| line.strip_prefix("Architecture: "));
        archs.insert(
            arch.with_context(|| format!("{}: its control file has no Architecture", path.display()))?.to_owned(),
        );
        // Description stays last, as it has more than one line.
        let extra = format!("Filename: ./{name}\nSize: {}\nSHA256: {}\n", bytes.len(), sha256(&bytes));
        let at = control.find("\nDescription: ").map_or(control.len(), |at| at + 1);
        packages.push_str(&format!("{}{extra}{}\n\n", &control[..at], control[at..].trim_end()));
    }
    let release = format!(
        "Origin: {}\nLabel: {TAG}\nSuite: {}\nDate: {}\n{}Architectures: {}\nDescription: live patches\nSHA256:\n {} {} Packages\n",
        suite.vendor,
        suite.stream,
        stamp(date)?,
        until.transpose()?.unwrap_or_default(),
        archs.into_iter().collect::<Vec<_>>().join(" "),
        sha256(packages.as_bytes()),
        packages.len(),
    );
    files::write(&folder.join("Packages"), packages.as_bytes())?;
    files::write(&folder.join("Release"), release.as_bytes())?;
    let signed = folder.join("InRelease");
    match key {
        Some(key) => files::write(&signed, key.clear_sign(&release, date)?.as_bytes()),
        // An older one would refer to files that are gone.
        None if signed.exists() => {
            fs::remove_file(&signed).with_context(|| format!("cannot remove {}", signed.display()))
        }
        None => Ok(()),
    }
}

/// The name of the suite that the repository in `folder` has by now.
pub fn suite_of(folder: &Path) -> Option<String> {
    let text = files::read_text_at_most(&folder.join("Release"), 1 << 20).ok()?;
    text.lines().find_map(|line| line.strip_prefix("Suite: ")).map(|name| name.trim().to_string())
}

fn sha256(data: &[u8]) -> String {
    Sha256::digest(data).iter().map(|b| format!("{b:02x}")).collect()
}
