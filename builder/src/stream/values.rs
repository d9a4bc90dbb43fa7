// SPDX-License-Identifier: GPL-2.0-or-later
//! The single values that a stream file is made of: text in, checked values out.

use serde::{Deserialize, Serialize};
use std::fmt;

/// Version and release of a cumulative live patch, `1-2`. `0-0` is the empty one before the first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Version {
    /// The version.
    pub version: u32,
    /// The release within the version.
    pub release: u32,
}

impl TryFrom<String> for Version {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let number = |s: &str| {
            let plain = s.len() < 10 && s.bytes().all(|b| b.is_ascii_digit()) && !s.starts_with('0');
            plain.then(|| s.parse::<u32>().ok()).flatten()
        };
        let parts = text.split_once('-').and_then(|(v, r)| Some((number(v)?, number(r)?)));
        let (version, release) = parts.ok_or_else(|| {
            format!(
                "{text:?} is no version: write VERSION-RELEASE, two numbers from 1 on, as in \"1-2\" (0-0 is implied)"
            )
        })?;
        Ok(Self { version, release })
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.version, self.release)
    }
}

impl From<Version> for String {
    fn from(version: Version) -> Self {
        version.to_string()
    }
}

/// A text with a form of its own: its name, its docs, and what is wrong with a text that has another form.
macro_rules! text {
    ($(#[$doc:meta])* $name:ident, $wrong:expr) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(String);

        impl TryFrom<String> for $name {
            type Error = String;

            fn try_from(text: String) -> Result<Self, String> {
                let wrong: fn(&str) -> Option<&'static str> = $wrong;
                match wrong(&text) {
                    None => Ok(Self(text)),
                    // What is no plain text is shown with its escapes, and not all of it.
                    Some(why) => Err(format!("{:?} {why}", text.chars().take(80).collect::<String>())),
                }
            }
        }

        impl $name {
            /// The text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl From<$name> for String {
            fn from(value: $name) -> Self {
                value.0
            }
        }
    };
}

text! {
    /// A day, `2026-10-02`. The order of two is that of their days.
    Date,
    |text| {
        // toml knows the calendar.
        let day = text.parse::<toml::value::Datetime>().ok().filter(|d| d.time.is_none()).and_then(|d| d.date);
        match day {
            Some(day) if (2000..2106).contains(&day.year) => None,
            Some(_) => Some("is not in the years 2000 to 2105, which packages can hold"),
            None => Some("is no day of the calendar: write YYYY-MM-DD, in quotes"),
        }
    }
}

text! {
    /// Identifier of a vulnerability, `CVE-2026-1234`.
    Cve,
    |text| {
        let digits = |s: &str, least: usize| (least..20).contains(&s.len()) && s.bytes().all(|b| b.is_ascii_digit());
        let parts = text.strip_prefix("CVE-").and_then(|rest| rest.split_once('-'));
        let good = parts.is_some_and(|(year, number)| year.len() == 4 && digits(year, 4) && year >= "1999" && digits(number, 4));
        (!good).then_some("is no CVE: write CVE-YEAR-NUMBER, as in CVE-2026-1234")
    }
}

text! {
    /// One line for people.
    OneLine,
    |text| {
        let good = !text.trim().is_empty() && text.len() <= 500 && !text.chars().any(char::is_control);
        (!good).then_some("must be one line of at most 500 bytes, and not empty")
    }
}

text! {
    /// The stream's name.
    Name,
    |text| {
        let good = text.starts_with(|c: char| c.is_ascii_alphanumeric())
            && text.len() <= 64
            && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b));
        (!good).then_some("cannot be a stream's name: use up to 64 letters, digits and '._-', a letter or digit first")
    }
}

text! {
    /// Who packs it, `Name <mail>`: the line in changelogs.
    Packager,
    |text| {
        let mail = text.strip_suffix('>').and_then(|rest| rest.split_once(" <"));
        let good = mail.is_some_and(|(name, mail)| {
            let at = mail.split_once('@').is_some_and(|(who, host)| !who.is_empty() && !host.is_empty());
            at && !name.trim().is_empty() && !mail.contains([' ', '<', '>'])
                && !name.contains(['<', '>', '"']) && !text.chars().any(char::is_control) && text.len() <= 200
        });
        (!good).then_some("does not say who: write \"Name <mail>\"")
    }
}

text! {
    /// A ticket, `RHEL-12918`.
    Ticket,
    |text| {
        let good = (1..=100).contains(&text.len())
            && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"._:/#+-".contains(&b));
        (!good).then_some("is no ticket: letters, digits and '._:/#+-' are known")
    }
}

text! {
    /// A kernel's version as its level of fixes, `7.2.13-1`.
    Level,
    |text| {
        let good = text.starts_with(|c: char| c.is_ascii_digit())
            && text.len() <= 64
            && text.bytes().all(|b| b.is_ascii_alphanumeric() || b".+~:_-".contains(&b));
        (!good).then_some("is no kernel's version: begin with a digit, then letters, digits and '.+~:_-'")
    }
}

text! {
    /// Address of a page.
    Url,
    |text| {
        let good = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://")).is_some_and(|rest| {
            !rest.is_empty() && rest.len() <= 500 && rest.bytes().all(|b| b.is_ascii_graphic() && !b"<>\"".contains(&b))
        });
        (!good).then_some("is no address of a page: https://…")
    }
}

text! {
    /// A struct, union, enum or variable, as `--allow-layout` takes it: `struct foo`, or `foo`.
    TypeName,
    |text| {
        let bare = ["struct ", "union ", "enum "].iter().find_map(|word| text.strip_prefix(word)).unwrap_or(text);
        let good = bare.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
            && bare.len() <= 200
            && bare.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
        (!good).then_some("is no name of a type: `struct foo`, or `foo`")
    }
}

text! {
    /// A function, as the kernel lists its symbol: `foo`, `foo.isra.0`.
    Function,
    |text| {
        let good = text.starts_with(|c: char| c.is_ascii_alphabetic() || "_.$".contains(c))
            && text.len() <= 511
            && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"_.$".contains(&b));
        (!good).then_some("is no name of a function")
    }
}

text! {
    /// SHA-256 in hexadecimal.
    Sha256,
    |text| {
        let good = text.len() == 64 && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
        (!good).then_some("is no SHA-256: 64 hexadecimal digits, lower case, as sha256sum prints them")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is<T: TryFrom<String>>(text: &str) -> bool {
        T::try_from(text.to_string()).is_ok()
    }

    #[test]
    fn versions() {
        for bad in ["", "1", "1-", "-1", "0-0", "0-1", "1-0", "01-1", "1-2-3", "1.2", "+1-1", "1-9999999999"] {
            assert!(!is::<Version>(bad), "{bad}");
        }
        let version = |s: &str| Version::try_from(s.to_string()).unwrap();
        assert!(version("1-9") < version("1-10") && version("1-10") < version("2-1"));
        assert_eq!(version("1-10").to_string(), "1-10");
    }

    #[test]
    fn names_in_code() {
        assert!(is::<TypeName>("struct nft_dynset") && is::<TypeName>("nft_dynset") && is::<TypeName>("enum e"));
        assert!(is::<Function>("do_it") && is::<Function>("do_it.isra.0") && is::<Function>(".do_it"));
        for bad in ["", "struct", "struct ", "struct  a", "a b", "1a", "a-b", "a;b", "struct a *"] {
            assert!(!is::<TypeName>(bad) || bad == "struct", "{bad:?}");
            assert!(!is::<Function>(bad) || bad == "struct", "{bad:?}");
        }
    }

    #[test]
    fn days() {
        assert!(is::<Date>("2028-02-29"));
        for bad in ["", "2026-02-29", "2026-13-01", "2026-1-1", "1999-12-31", "2026-10-02T00:00:00", "10:00:00", "soon"]
        {
            assert!(!is::<Date>(bad), "{bad}");
        }
    }

    #[test]
    fn texts() {
        assert!(is::<Cve>("CVE-1999-0001") && is::<Cve>("CVE-2026-1234567"));
        for bad in ["", "CVE-2026-123", "CVE-26-1234", "cve-2026-1234", "CVE-2026-1234 ", "CVE-1998-1234", "2026-1234"]
        {
            assert!(!is::<Cve>(bad), "{bad}");
        }
        assert!(is::<Packager>("A Team <team@example.org>"));
        for bad in ["A Team", "A Team <x>", " <a@b>", "A <a@b", "A <a@b>\n", "A <a@b> <c@d>", "A <@b>"] {
            assert!(!is::<Packager>(bad), "{bad}");
        }
        assert!(is::<Ticket>("RHEL-12918") && !is::<Ticket>("RHEL 1") && !is::<Ticket>("a]") && !is::<Ticket>(""));
        assert!(is::<Name>("debian-forky") && !is::<Name>("-a") && !is::<Name>("a/b") && !is::<Name>(""));
        assert!(is::<Level>("7.2.13-1") && !is::<Level>("new"));
        assert!(is::<OneLine>("x") && !is::<OneLine>(" ") && !is::<OneLine>("a\nb"));
        assert!(is::<Url>("https://example.org/a") && !is::<Url>("example.org") && !is::<Url>("https://a b"));
        assert!(is::<Sha256>(&"0a".repeat(32)) && !is::<Sha256>(&"0A".repeat(32)));
    }
}
