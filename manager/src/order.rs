// SPDX-License-Identifier: GPL-2.0-or-later
//! Names of live patches and their order: a module's name and a kernel's release in, stream and version out.
//!
//! A stream's modules are `kpatch_<kernel>_<version>_<release>`: `kpatch_5_14_0_362_8_1_1_10` is version 1-10 for
//! kernel 5.14.0-362.8.1, and newer than 1-9. Each is cumulative, so that the newest is the only one needed. A name
//! counts as of that form only where its kernel part is that of the kernel the module is installed for:
//! `kpatch_CVE_2023_5178` and `kpatch_CVE_2023_9999` are two live patches, not two versions of one.

use kmend_shared::names::MODULE_NAME_MAX;
use std::cmp::Ordering;
use std::fmt;

/// The version of one module within its stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Version {
    /// The first number, `1` of `1-10`.
    pub version: u64,
    /// The second number, `10` of `1-10`.
    pub release: u64,
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.version, self.release)
    }
}

/// Where a module belongs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The stream: `kpatch_5_14_0_362_8_1`; for a module outside of the pattern its own name.
    pub stream: String,
    /// The version in it; None outside of the pattern.
    pub version: Option<Version>,
}

/// The module's name for a file's name, as the kernel has it: without `.ko`, dashes as underscores.
pub fn module_name(file: &str) -> String {
    file.strip_suffix(".ko").unwrap_or(file).replace('-', "_")
}

/// Whether the kernel could have a module of this name: letters, digits and underscores, at most 55
/// ([`MODULE_NAME_MAX`]).
pub fn is_module_name(name: &str) -> bool {
    (1..=MODULE_NAME_MAX).contains(&name.len()) && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
}

/// The place of module `name` for kernel `release` (`uname -r`).
pub fn place(name: &str, release: &str) -> Place {
    in_pattern(name, release).unwrap_or_else(|| Place { stream: name.into(), version: None })
}

fn in_pattern(name: &str, release: &str) -> Option<Place> {
    let (rest, last) = name.rsplit_once('_')?;
    let (stream, first) = rest.rsplit_once('_')?;
    let kernel = stream.strip_prefix("kpatch_")?;
    let version = Version { version: number(first)?, release: number(last)? };
    is_kernel(kernel, release).then(|| Place { stream: stream.into(), version: Some(version) })
}

/// Whether `kernel` (`5_14_0_362_8_1`) stands for `release` (`5.14.0-362.8.1.el9_3.x86_64`): the same words from the
/// start, and behind them no more numbers, as those would be another kernel's.
fn is_kernel(kernel: &str, release: &str) -> bool {
    let mut of_release = release.split(|c: char| !c.is_ascii_alphanumeric());
    let mut of_kernel = kernel.split('_');
    let same = of_kernel.by_ref().all(|word| of_release.next() == Some(word));
    same && kernel.contains('_') && of_release.next().is_none_or(|word| number(word).is_none())
}

fn number(word: &str) -> Option<u64> {
    (!word.is_empty() && word.bytes().all(|b| b.is_ascii_digit())).then(|| word.parse().ok())?
}

/// Compares texts such that runs of digits count as numbers: `1_9` before `1_10`, `5.14.0-70` before `5.14.0-362`.
pub fn natural(a: &str, b: &str) -> Ordering {
    let (mut left, mut right) = (a, b);
    loop {
        let (Some(x), Some(y)) = (left.chars().next(), right.chars().next()) else {
            // Numbers that differ in leading zeros alone still need an order.
            return left.len().cmp(&right.len()).then_with(|| a.cmp(b));
        };
        if x.is_ascii_digit() && y.is_ascii_digit() {
            let (m, n);
            (m, left) = digits(left);
            (n, right) = digits(right);
            match m.len().cmp(&n.len()).then_with(|| m.cmp(n)) {
                Ordering::Equal => {}
                unequal => return unequal,
            }
        } else if x == y {
            left = &left[x.len_utf8()..];
            right = &right[y.len_utf8()..];
        } else {
            return x.cmp(&y);
        }
    }
}

/// The run of digits at the start, without leading zeros, and the rest.
fn digits(text: &str) -> (&str, &str) {
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    (text[..end].trim_start_matches('0'), &text[end..])
}

#[cfg(test)]
mod tests {
    use super::*;

    const EL9: &str = "5.14.0-362.8.1.el9_3.x86_64";

    fn version(name: &str, release: &str) -> Option<String> {
        place(name, release).version.map(|v| v.to_string())
    }

    #[test]
    fn a_stream_and_its_version() {
        let place = place("kpatch_5_14_0_362_8_1_1_2", EL9);
        assert_eq!(place.stream, "kpatch_5_14_0_362_8_1");
        assert_eq!(place.version, Some(Version { version: 1, release: 2 }));
        assert_eq!(version("kpatch_6_1_0_50_3_4", "6.1.0-50-amd64").as_deref(), Some("3-4"));
        assert_eq!(version("kpatch_6_1_0_50_amd64_3_4", "6.1.0-50-amd64").as_deref(), Some("3-4"));
        assert_eq!(version("kpatch_7_2_12_0_1", "7.2.12+deb14-amd64").as_deref(), Some("0-1"));
        assert_eq!(version("kpatch_3_10_0_1160_1_3", "3.10.0-1160.el7.x86_64").as_deref(), Some("1-3"));
    }

    #[test]
    fn ten_is_newer_than_nine() {
        let of = |name| place(name, EL9).version.unwrap();
        assert!(of("kpatch_5_14_0_362_8_1_1_10") > of("kpatch_5_14_0_362_8_1_1_9"));
        assert!(of("kpatch_5_14_0_362_8_1_2_1") > of("kpatch_5_14_0_362_8_1_1_10"));
    }

    #[test]
    fn names_outside_of_the_pattern_are_streams_of_their_own() {
        for name in [
            "kpatch_CVE_2023_5178",
            "livepatch_sample",
            "kpatch_5_14_0_362_8_1_1", // one number is missing: this is not 1-1 for 5.14.0-362.8
            "kpatch_5_14_0_70_8_1_1_2", // another kernel
            "kpatch_5_14_0_362_8_1_1_x", // no number
            "kpatch_5_14_0_362_8_1__1", // an empty word
            "kpatch_5_1_2",            // a kernel of one word
            "kpatch_1_2",
            "kpatch_",
            "",
            "_",
            "kpatch_5_14_0_362_8_1_1_99999999999999999999999",
        ] {
            assert_eq!(place(name, EL9), Place { stream: name.into(), version: None });
        }
    }

    #[test]
    fn numbers_count_as_numbers() {
        let mut names = ["a_1_10", "a_1_9", "a_2", "a_1_9b", "a_01_9", "", "ä", "a"];
        names.sort_by(|a, b| natural(a, b));
        assert_eq!(names, ["", "a", "a_01_9", "a_1_9", "a_1_9b", "a_1_10", "a_2", "ä"]);
        assert_eq!(natural("a99999999999999999999", "a100000000000000000000"), Ordering::Less);
    }

    #[test]
    fn module_names_are_what_the_kernel_takes() {
        assert_eq!(module_name("kpatch-5_14_0-362_8_1-1-2.ko"), "kpatch_5_14_0_362_8_1_1_2");
        assert!(is_module_name("kmend_memmap") && is_module_name(&"x".repeat(55)));
        for bad in ["", "a/b", "a b", "..", "a\n", "ä"] {
            assert!(!is_module_name(bad), "{bad:?}");
        }
        assert!(!is_module_name(&"x".repeat(56)));
    }
}
