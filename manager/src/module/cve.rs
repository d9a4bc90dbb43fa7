// SPDX-License-Identifier: GPL-2.0-or-later
//! Names of vulnerabilities: `CVE-2026-12345` (CVE record format 5, `cveId`: a year of four digits, a number of 4 to 19).

use serde::de::{self, Deserializer, Visitor};
use serde::{Deserialize, Serialize, Serializer};
use std::fmt;
use std::str::FromStr;

/// One id. Ordered by year, then by number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Cve {
    year: u16,
    number: u64,
}

/// What is said of a text that is none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NoCve(String);

impl fmt::Display for NoCve {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} is not a CVE id such as CVE-2026-12345", self.0)
    }
}

impl std::error::Error for NoCve {}

impl FromStr for Cve {
    type Err = NoCve;

    /// Capitals or not.
    fn from_str(text: &str) -> Result<Self, NoCve> {
        read(text).ok_or_else(|| NoCve(text.chars().take(40).collect()))
    }
}

fn read(text: &str) -> Option<Cve> {
    let (word, rest) = text.split_once('-')?;
    let (year, number) = rest.split_once('-')?;
    let digits = |text: &str| text.bytes().all(|b| b.is_ascii_digit());
    let plain = word.eq_ignore_ascii_case("cve") && year.len() == 4 && (4..=19).contains(&number.len());
    // CVE-2026-01234 is CVE-2026-1234: zeros are there to fill up to four digits.
    (plain && digits(year) && digits(number))
        .then(|| Some(Cve { year: year.parse().ok()?, number: number.parse().ok()? }))?
}

impl fmt::Display for Cve {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CVE-{:04}-{:04}", self.year, self.number)
    }
}

impl Serialize for Cve {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Cve {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Text;
        impl Visitor<'_> for Text {
            type Value = Cve;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a CVE id")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Cve, E> {
                text.parse().map_err(E::custom)
            }
        }
        deserializer.deserialize_str(Text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_read_and_said_the_same_way() {
        let said = |text: &str| text.parse::<Cve>().map(|id| id.to_string()).map_err(|e| e.to_string());
        assert_eq!(said("CVE-2026-1234").as_deref(), Ok("CVE-2026-1234"));
        assert_eq!(said("cve-1999-0001").as_deref(), Ok("CVE-1999-0001"));
        assert_eq!(said("CVE-2026-01234").as_deref(), Ok("CVE-2026-1234"));
        assert_eq!(said("Cve-2026-9999999999999999999").as_deref(), Ok("CVE-2026-9999999999999999999"));
        for none in [
            "",
            "CVE",
            "CVE-2026",
            "CVE-2026-",
            "CVE-2026-123",
            "CVE-26-1234",
            "CVE-2026-12a4",
            "CVE-2026-+123",
            " CVE-2026-1234",
            "CVE-2026-1234\n",
            "CVE-2026-12345678901234567890",
            "CVE-2026-1234-5",
            "XVE-2026-1234",
            "CVE-٢٠٢٦-1234",
        ] {
            assert!(said(none).unwrap_err().contains("is not a CVE id"), "{none:?}");
        }
        let long = said(&"\x1b".repeat(10_000)).unwrap_err();
        assert!(long.len() < 400 && !long.contains('\x1b'), "{long}");
    }

    #[test]
    fn numbers_count_as_numbers() {
        let id = |text: &str| text.parse::<Cve>().unwrap();
        assert!(id("CVE-2026-9999") < id("CVE-2026-10000") && id("CVE-2025-10000") < id("CVE-2026-0001"));
    }
}
