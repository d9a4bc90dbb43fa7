// SPDX-License-Identifier: GPL-2.0-or-later
//! Words of the manifest that a finished module carries (docs/manifest.md).

use serde::{Deserialize, Serialize};

/// The section of its note.
pub const NOTE_SECTION: &str = ".note.kmend";

/// The note's owner.
pub const NOTE_OWNER: &str = "kmend";

/// The note's type.
pub const NOTE_TYPE: u32 = 1;

/// How bad what is fixed is, in RHEL's words, the worst last.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Needs a rare combination, does little.
    Low,
    /// Harder to use.
    Moderate,
    /// A local user gains rights, or a remote one stops the machine.
    Important,
    /// A remote attacker takes the machine over.
    Critical,
}

impl Severity {
    /// All of them, the worst last.
    pub const ALL: [Self; 4] = [Self::Low, Self::Moderate, Self::Important, Self::Critical];

    /// As streams and manifests have it.
    pub fn name(self) -> &'static str {
        match self {
            Severity::Low => "low",
            Severity::Moderate => "moderate",
            Severity::Important => "important",
            Severity::Critical => "critical",
        }
    }

    /// As updateinfo.xml has it.
    pub fn title(self) -> &'static str {
        match self {
            Severity::Low => "Low",
            Severity::Moderate => "Moderate",
            Severity::Important => "Important",
            Severity::Critical => "Critical",
        }
    }
}
