// SPDX-License-Identifier: GPL-2.0-or-later
//! The versions of live patches: two numbers.

use anyhow::{Context, Result};
use std::fmt;
use std::str::FromStr;

/// The version and the release of a live patch: 1-2. 0-0 is the empty package by which a host subscribes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Version {
    /// 1 in RHEL's packages, always.
    pub version: u32,
    /// Counts up with each cumulative live patch.
    pub release: u32,
}

impl Version {
    /// The empty package's.
    pub const EMPTY: Version = Version { version: 0, release: 0 };
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.version, self.release)
    }
}

impl FromStr for Version {
    type Err = anyhow::Error;

    fn from_str(shown: &str) -> Result<Version> {
        let number = |part: &str| part.parse::<u32>().ok().filter(|n| n.to_string() == part);
        shown
            .split_once('-')
            .and_then(|(v, r)| Some(Version { version: number(v)?, release: number(r)? }))
            .with_context(|| format!("{shown:?} is no version of a live patch: two numbers with a dash, as 1-2"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_two_numbers() {
        let version: Version = "1-12".parse().unwrap();
        assert_eq!((version.version, version.release, version.to_string().as_str()), (1, 12, "1-12"));
        for other in ["1", "1-", "-1", "1-02", "1-2.el9", "1_2", "a-b", "1-2-3", "99999999999-1", "+1-1"] {
            assert!(other.parse::<Version>().is_err(), "{other}");
        }
    }
}
