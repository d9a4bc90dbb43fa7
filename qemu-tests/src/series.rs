// SPDX-License-Identifier: GPL-2.0-or-later
//! Series of kernels: `6.12` of `6.12.117+deb13-amd64`.

use anyhow::{Context, Error};
use serde::Deserialize;
use std::fmt;

/// A series, in the order in which they came.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(try_from = "String")]
pub struct Series(u32, u32);

impl Series {
    /// The series of a release or of a source package's name; None where it names none.
    pub fn of(text: &str) -> Option<Series> {
        let mut numbers = text.trim_start_matches("linux-source-").split(|c: char| !c.is_ascii_digit());
        Some(Series(numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?))
    }
}

impl TryFrom<String> for Series {
    type Error = Error;

    fn try_from(text: String) -> Result<Self, Error> {
        let series = Series::of(&text).filter(|series| series.to_string() == text);
        series.with_context(|| format!("`{text}` is no series; one looks like 6.12"))
    }
}

impl fmt::Display for Series {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.0, self.1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn series_of_releases_and_packages() {
        for (text, series) in [
            ("6.1.0-50-amd64", Some(Series(6, 1))),
            ("6.12.117+deb13-amd64", Some(Series(6, 12))),
            ("7.3.0-rc7", Some(Series(7, 3))),
            ("linux-source-7.2", Some(Series(7, 2))),
            ("next", None),
            ("6", None),
        ] {
            assert_eq!(Series::of(text), series, "{text}");
        }
        assert!(Series(6, 1) < Series(6, 12) && Series(6, 12) < Series(7, 2));
        for bad in ["6.12.1", "x", "6.x", ""] {
            assert!(Series::try_from(bad.to_string()).is_err(), "{bad}");
        }
    }
}
