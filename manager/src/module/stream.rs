// SPDX-License-Identifier: GPL-2.0-or-later
//! What a manifest says of the stream that its live patch is a version of: until when the kernel gets live patches, and
//! which vulnerabilities are dealt with in which way. All of it is the author's word; what is malformed is refused.

use super::cve::Cve;
use crate::host::clock;
use jiff::civil::Date;
use serde::de::{Deserializer, Error, SeqAccess, Visitor};
use serde::{Deserialize, Serialize, Serializer};
use std::fmt;
use std::marker::PhantomData;

/// A stream, as one version of it has it.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Stream {
    /// Its name.
    #[serde(deserialize_with = "plain")]
    pub name: String,
    /// Version and release of this live patch: `1-2`.
    #[serde(deserialize_with = "plain")]
    pub version: String,
    /// When this version was released.
    pub date: Day,
    /// The last day on which the kernel gets live patches; None where the author does not say.
    pub supported_until: Option<Day>,
    /// The kernel level that this live patch amounts to; None where the author does not say.
    #[serde(default, deserialize_with = "plain_or_none")]
    pub level: Option<String>,
    /// What the kernel has fixed as it was shipped.
    #[serde(default)]
    pub fixed_by_kernel: Vec<Cve>,
    /// What is known, and not fixed by this live patch.
    #[serde(default)]
    pub not_carried: Vec<NotCarried>,
}

/// One vulnerability that takes a new kernel and a reboot.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct NotCarried {
    /// Its id.
    pub cve: Cve,
    /// Why it cannot be fixed live, in the author's words.
    #[serde(deserialize_with = "plain")]
    pub reason: String,
}

/// A date, `2026-11-25` in JSON.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Day(pub Date);

impl Serialize for Day {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for Day {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let none = || D::Error::custom(format!("{text:?} is not a date such as 2026-11-25"));
        clock::date(&text).map(Day).ok_or_else(none)
    }
}

/// A text of one line that may be shown on a terminal; not empty.
///
/// # Errors
/// It is empty, or has control characters in it.
pub fn plain<'de, S: Deserialize<'de> + AsRef<str>, D: Deserializer<'de>>(deserializer: D) -> Result<S, D::Error> {
    let text = S::deserialize(deserializer)?;
    let shown = text.as_ref();
    if shown.trim().is_empty() || shown.contains(char::is_control) {
        return Err(D::Error::custom(format!("{shown:?} is not a single line of text")));
    }
    Ok(text)
}

#[derive(Deserialize)]
#[serde(bound(deserialize = "S: Deserialize<'de> + AsRef<str>"))]
struct Plain<S>(#[serde(deserialize_with = "plain")] S);

/// The same, where it may be missing.
///
/// # Errors
/// As [`plain`].
pub fn plain_or_none<'de, S, D>(deserializer: D) -> Result<Option<S>, D::Error>
where
    S: Deserialize<'de> + AsRef<str>,
    D: Deserializer<'de>,
{
    Ok(Option::<Plain<S>>::deserialize(deserializer)?.map(|Plain(text)| text))
}

/// The same, for each of a short list.
///
/// # Errors
/// As [`plain`].
pub fn all_plain<'de, S, D>(deserializer: D) -> Result<Vec<S>, D::Error>
where
    S: Deserialize<'de> + AsRef<str>,
    D: Deserializer<'de>,
{
    Ok(short::<Plain<S>, D>(deserializer)?.into_iter().map(|Plain(text)| text).collect())
}

/// A list that mostly has one element, in as much memory as that takes: a list begins with room for four, which for each
/// of 10,000 fixes is what reading them spends the most time on.
///
/// # Errors
/// As of a list.
pub fn short<'de, T: Deserialize<'de>, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<T>, D::Error> {
    struct List<T>(PhantomData<T>);
    impl<'de, T: Deserialize<'de>> Visitor<'de> for List<T> {
        type Value = Vec<T>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a list")
        }

        fn visit_seq<A: SeqAccess<'de>>(self, mut access: A) -> Result<Vec<T>, A::Error> {
            let Some(first) = access.next_element()? else { return Ok(Vec::new()) };
            let mut list = Vec::with_capacity(1);
            list.push(first);
            while let Some(next) = access.next_element()? {
                list.push(next);
            }
            Ok(list)
        }
    }
    deserializer.deserialize_seq(List(PhantomData))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn all_that_is_optional_may_be_missing() {
        let stream: Stream =
            serde_json::from_value(json!({"name": "s", "version": "1-1", "date": "2026-10-02"})).unwrap();
        assert_eq!((stream.supported_until, stream.level.as_deref()), (None, None));
        assert!(stream.fixed_by_kernel.is_empty() && stream.not_carried.is_empty());
    }

    #[test]
    fn what_is_malformed_is_named() {
        let good = json!({
            "name": "s", "version": "1-1", "date": "2026-10-02", "supported_until": "2027-09-01", "level": "7.2.13-1",
            "fixed_by_kernel": ["CVE-2026-1"], "not_carried": [],
        });
        for (field, value, said) in [
            ("date", json!("2026-13-02"), "\"2026-13-02\" is not a date"),
            ("date", json!(7), "expected a string"),
            ("supported_until", json!("soon"), "\"soon\" is not a date"),
            ("fixed_by_kernel", json!(["CVE-2026-1"]), "\"CVE-2026-1\" is not a CVE id"),
            ("not_carried", json!([{"cve": "none", "reason": "x"}]), "\"none\" is not a CVE id"),
            ("not_carried", json!([{"cve": "CVE-2026-1234"}]), "missing field `reason`"),
            ("level", json!("7\u{1b}[31m"), "is not a single line of text"),
            ("name", json!(" "), "is not a single line of text"),
        ] {
            let mut bad = good.clone();
            bad["fixed_by_kernel"] = json!(["CVE-2026-1234"]);
            assert!(serde_json::from_value::<Stream>(bad.clone()).is_ok());
            bad[field] = value;
            let error = serde_json::from_value::<Stream>(bad).unwrap_err().to_string();
            assert!(error.contains(said), "{error:?} does not say {said:?}");
        }
    }
}
