// SPDX-License-Identifier: GPL-2.0-or-later
//! A repository that apt reads, of the flat kind: the packages, and beside them Packages, Release and InRelease.

use super::archive::control_of;
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
    /// Seconds since 1970.
    pub date: i64,
}

/// Makes `folder`, which holds debs, a repository; with `key`, InRelease is signed by it. Without one there is no
/// InRelease, and apt wants `[trusted=yes]`. The same debs give the same bytes.
pub fn repository(folder: &Path, suite: &Suite, key: Option<&Key>) -> Result<()> {
    text::word("stream", &suite.stream, "-._")?;
    text::line("vendor", &suite.vendor)?;
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
        "Origin: {}\nLabel: kmend\nSuite: {}\nDate: {}\nArchitectures: {}\nDescription: live patches\nSHA256:\n {} {} Packages\n",
        suite.vendor,
        suite.stream,
        date::rfc2822(suite.date)?.replace("+0000", "UTC"),
        archs.into_iter().collect::<Vec<_>>().join(" "),
        sha256(packages.as_bytes()),
        packages.len(),
    );
    files::write(&folder.join("Packages"), packages.as_bytes())?;
    files::write(&folder.join("Release"), release.as_bytes())?;
    let signed = folder.join("InRelease");
    match key {
        Some(key) => files::write(&signed, key.clear_sign(&release, suite.date)?.as_bytes()),
        // One of another time would speak of files that are gone.
        None if signed.exists() => {
            fs::remove_file(&signed).with_context(|| format!("cannot remove {}", signed.display()))
        }
        None => Ok(()),
    }
}

fn sha256(data: &[u8]) -> String {
    Sha256::digest(data).iter().map(|b| format!("{b:02x}")).collect()
}
