// SPDX-License-Identifier: GPL-2.0-or-later
//! What a stream says about the fixes of a request: fixes as they were read in, the same with the stream's words out.

use crate::source::Part;
use anyhow::Result;
use serde::{Deserialize, Serialize};

/// What a stream says of one fix.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Label {
    /// Which of the commits in the patch file it is.
    pub commit: Option<usize>,
    /// SHA-256 of the patch file that was checked.
    pub sha256: String,
    /// Its title.
    pub title: String,
    /// CVEs that it fixes.
    pub cves: Vec<String>,
    /// How bad they are.
    pub severity: Option<String>,
    /// Tickets.
    pub tickets: Vec<String>,
    /// The version that brought it.
    pub since: String,
}

/// Puts what the stream says onto the fixes as they were read, in order.
///
/// # Errors
/// A patch file that was changed since the stream file was checked.
pub fn label(parts: &mut [Part], labels: &[Label]) -> Result<()> {
    let is_another = |part: &Part, label: &Label| part.fix.sha256 != label.sha256;
    if let Some((part, _)) = parts.iter().zip(labels).find(|(part, label)| is_another(part, label)) {
        anyhow::bail!("the patch {} was changed during the build: start again", part.fix.file);
    }
    anyhow::ensure!(parts.len() == labels.len(), "{} fixes were read, the stream has {}", parts.len(), labels.len());
    for (fix, label) in parts.iter_mut().map(|part| &mut part.fix).zip(labels) {
        fix.title.clone_from(&label.title);
        fix.cves.clone_from(&label.cves);
        fix.severity.clone_from(&label.severity);
        fix.tickets.clone_from(&label.tickets);
        fix.since = Some(label.since.clone());
    }
    Ok(())
}
