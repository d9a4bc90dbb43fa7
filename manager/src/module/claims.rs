// SPDX-License-Identifier: GPL-2.0-or-later
//! What a live patch's manifest claims: the note's section in, out what is said of its fixes and of its stream. Its texts
//! are those of the note and not copies, as a stream can have 10,000 fixes; what was compiled is passed over.

use super::manifest::{read, Fix, Target, Unproven};
use super::stream::Stream;
use super::Fault;
use serde::de::{Deserializer, Error, Visitor};
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use std::fmt;

/// The claims of one live patch.
#[derive(Clone, Debug, Deserialize)]
pub struct Claims<'a> {
    schema: u64,
    /// The module's name.
    #[serde(borrow)]
    pub name: Text<'a>,
    /// The kernel that it is for.
    pub target: Target,
    /// The fixes, in the order in which they were applied.
    #[serde(borrow)]
    pub fixes: Vec<Fix<Text<'a>>>,
    /// The stream that it is a version of; None where it was built without one.
    #[serde(default)]
    pub stream: Option<Stream>,
    /// Functions without a proof that `--allow-unproven` let through.
    #[serde(default)]
    pub allowed_unproven: Vec<Unproven>,
}

/// The claims in the bytes of a note's section.
///
/// # Errors
/// As [`super::manifest::of_section`].
pub fn of_section(data: &[u8]) -> Result<Claims<'_>, Fault> {
    read(data, |claims: &Claims<'_>| claims.schema)
}

/// A text of JSON: the one that is there, or where that has escapes in it, what it means.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Text<'a>(Cow<'a, str>);

impl AsRef<str> for Text<'_> {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Text<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Text<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Any;
        impl<'de> Visitor<'de> for Any {
            type Value = Text<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string")
            }

            fn visit_borrowed_str<E: Error>(self, text: &'de str) -> Result<Text<'de>, E> {
                Ok(Text(Cow::Borrowed(text)))
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<Text<'de>, E> {
                Ok(Text(Cow::Owned(text.into())))
            }
        }
        deserializer.deserialize_str(Any)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::module::sample::{note, Ko};

    #[test]
    fn texts_are_those_of_the_note() {
        let json = Ko::with_manifest("m", "r", &["plain", r#"with \"quotes\" \u00e4"#]).manifest.unwrap();
        let section = note(b"kmend\0", 1, json.as_bytes());
        let claims = of_section(&section).unwrap();
        let titles: Vec<&str> = claims.fixes.iter().map(|f| f.title.as_ref()).collect();
        assert_eq!(titles, ["plain", "with \"quotes\" ä"]);
        assert!(matches!(claims.fixes[0].title, Text(Cow::Borrowed(_))), "that would be a copy");
        assert_eq!(claims.name.as_ref(), "m");
    }

    #[test]
    fn the_faults_are_those_of_a_manifest() {
        let good = Ko::with_manifest("m", "r", &["one"]).manifest.unwrap();
        for (from, to, said) in [
            ("\"schema\":1", "\"schema\":2", "schema 2, and this kmend knows 1"),
            ("\"title\"", "\"cves\":[\"CVE-1\"],\"title\"", "\"CVE-1\" is not a CVE id"),
            ("\"title\"", "\"severity\":\"bad\",\"title\"", "unknown variant `bad`"),
            ("\"title\"", "\"since\":\"\\n\",\"title\"", "is not a single line of text"),
            ("\"title\"", "\"tickets\":[\"\"],\"title\"", "is not a single line of text"),
            ("\"units\"", "\"stream\":{},\"units\"", "missing field `name`"),
            ("\"one\"", "\"one", "the manifest is damaged"),
        ] {
            let bad = good.replace(from, to);
            assert_ne!(bad, good);
            let section = note(b"kmend\0", 1, bad.as_bytes());
            let fault = of_section(&section).unwrap_err();
            assert!(fault.reason.contains(said), "{:?} does not say {said:?}", fault.reason);
            assert_eq!(super::super::manifest::of_section(&section).unwrap_err(), fault);
        }
        assert!(of_section(&note(b"kmend\0", 1, &[b'"', 0xff, b'"'])).unwrap_err().reason.contains("utf-8"));
    }
}
