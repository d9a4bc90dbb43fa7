// SPDX-License-Identifier: GPL-2.0-or-later
//! The verdicts on a host, their words, and what they are to scripts and to monitoring.

use serde::Serialize;

/// What is said of the host.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// A live patch is in force, and nothing newer of its stream is known.
    Patched,
    /// None is, and the stream of this kernel has brought none yet.
    NothingYet,
    /// As one of the two above, but what there is was asked too long ago.
    OldCheck,
    /// None is, and none is installed for this kernel.
    NotPatched,
    /// Something is installed for this kernel, and nothing of its stream is in force.
    NotLoaded,
    /// Of a stream an older version is in force than is installed.
    Outdated,
    /// A newer version than any that is installed can be had.
    UpdateAvailable,
    /// A transition is under way.
    InTransition,
    /// A transition is under way, and a task sits in a patched function.
    Stalled,
    /// What is in force is the newest, and the kernel gets no live patches any more.
    Expired,
    /// What is missing on this host comes by a reboot alone.
    RebootNeeded,
    /// None is in force or installed, and the last check found none for this kernel.
    Unsupported,
    /// The kernel has no livepatch: none can be loaded into it.
    NoLivepatch,
}

/// How bad it is to monitoring, with the exit codes that Nagios plugins have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    /// 0.
    Ok,
    /// 1.
    Warning,
    /// 2.
    Critical,
    /// 3.
    Unknown,
}

impl Level {
    /// The word of the plugins' output.
    pub fn word(self) -> &'static str {
        match self {
            Self::Ok => "OK",
            Self::Warning => "WARNING",
            Self::Critical => "CRITICAL",
            Self::Unknown => "UNKNOWN",
        }
    }

    /// The exit code.
    pub fn exit_code(self) -> u8 {
        self as u8
    }
}

impl Verdict {
    /// All of them.
    pub const ALL: [Self; 13] = [
        Self::Patched,
        Self::NothingYet,
        Self::OldCheck,
        Self::NotPatched,
        Self::NotLoaded,
        Self::Outdated,
        Self::UpdateAvailable,
        Self::InTransition,
        Self::Stalled,
        Self::Expired,
        Self::RebootNeeded,
        Self::Unsupported,
        Self::NoLivepatch,
    ];

    /// As `status` says it.
    pub fn word(self) -> &'static str {
        match self {
            Self::Patched => "patched",
            Self::NothingYet => "nothing to patch yet",
            Self::OldCheck => "old check",
            Self::NotPatched => "not patched",
            Self::NotLoaded => "installed but not loaded",
            Self::Outdated => "outdated",
            Self::UpdateAvailable => "update available",
            Self::InTransition => "in transition",
            Self::Stalled => "stalled",
            Self::Expired => "expired",
            Self::RebootNeeded => "reboot needed",
            Self::Unsupported => "unsupported",
            Self::NoLivepatch => "no livepatch",
        }
    }

    /// As JSON and metrics have it.
    pub fn slug(self) -> &'static str {
        match self {
            Self::Patched => "patched",
            Self::NothingYet => "nothing-yet",
            Self::OldCheck => "old-check",
            Self::NotPatched => "not-patched",
            Self::NotLoaded => "not-loaded",
            Self::Outdated => "outdated",
            Self::UpdateAvailable => "update-available",
            Self::InTransition => "in-transition",
            Self::Stalled => "stalled",
            Self::Expired => "expired",
            Self::RebootNeeded => "reboot-needed",
            Self::Unsupported => "unsupported",
            Self::NoLivepatch => "no-livepatch",
        }
    }

    /// The exit code of `status`.
    pub fn exit_code(self) -> u8 {
        match self {
            Self::Patched | Self::NothingYet => 0,
            Self::NotPatched => 2,
            Self::NotLoaded | Self::Outdated | Self::UpdateAvailable => 3,
            Self::InTransition | Self::Stalled => 4,
            Self::Expired => 5,
            Self::RebootNeeded => 6,
            Self::Unsupported => 7,
            Self::NoLivepatch => 8,
            Self::OldCheck => 9,
        }
    }

    /// For monitoring: critical is what leaves a host without the fixes it is meant to have, or for good without new ones.
    pub fn level(self) -> Level {
        match self {
            Self::Patched | Self::NothingYet => Level::Ok,
            Self::OldCheck
            | Self::Outdated
            | Self::UpdateAvailable
            | Self::InTransition
            | Self::Stalled
            | Self::RebootNeeded => Level::Warning,
            Self::NotPatched | Self::NotLoaded | Self::Expired | Self::Unsupported | Self::NoLivepatch => {
                Level::Critical
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_in_json_are_the_slugs() {
        for verdict in Verdict::ALL {
            assert_eq!(serde_json::to_value(verdict).unwrap(), verdict.slug());
        }
    }
}
