// SPDX-License-Identifier: GPL-2.0-or-later
//! Points in time as packages and repositories write them; all in UTC, all from seconds since 1970.

use anyhow::{Context, Result};
use chrono::{DateTime, Utc};

/// `seconds` since 1970 as a date; refused outside of what an RPM can hold (1970 to 2106).
pub fn at(seconds: i64) -> Result<DateTime<Utc>> {
    u32::try_from(seconds)
        .ok()
        .and_then(|s| DateTime::from_timestamp(i64::from(s), 0))
        .with_context(|| format!("date {seconds} is outside of 1970 to 2106 (it is meant in seconds since 1970)"))
}

/// Seconds since 1970 as an RPM's header has them.
pub fn rpm(seconds: i64) -> Result<u32> {
    at(seconds)?;
    u32::try_from(seconds).context("date")
}

/// As in Debian's changelogs and in Release files: Tue, 09 Jan 2024 00:00:00 +0000.
pub fn rfc2822(seconds: i64) -> Result<String> {
    Ok(at(seconds)?.format("%a, %d %b %Y %H:%M:%S +0000").to_string())
}

/// As in updateinfo.xml: 2024-01-09 00:00:00.
pub fn plain(seconds: i64) -> Result<String> {
    Ok(at(seconds)?.format("%Y-%m-%d %H:%M:%S").to_string())
}

/// As in the tags of repomd.xml: 2024-01-09T00:00:00Z.
pub fn zulu(seconds: i64) -> Result<String> {
    Ok(at(seconds)?.format("%Y-%m-%dT%H:%M:%SZ").to_string())
}

/// The year, for numbers of advisories.
pub fn year(seconds: i64) -> Result<String> {
    Ok(at(seconds)?.format("%Y").to_string())
}

#[cfg(test)]
mod tests {
    #[test]
    fn dates() {
        assert_eq!(super::rfc2822(1_704_758_400).unwrap(), "Tue, 09 Jan 2024 00:00:00 +0000");
        assert_eq!(super::plain(1_704_758_400).unwrap(), "2024-01-09 00:00:00");
        assert_eq!(super::zulu(1_704_758_400).unwrap(), "2024-01-09T00:00:00Z");
        assert!(super::rpm(-1).is_err() && super::rpm(1 << 33).is_err());
    }
}
