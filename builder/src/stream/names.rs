// SPDX-License-Identifier: GPL-2.0-or-later
//! The names that a live patch of a stream gets, from `uname -r` of its kernel: those that kpatch-patch packages
//! of RHEL have, carried over to the releases of other kernels.

use super::values::Version;
use crate::emit;
use anyhow::Result;

/// `release` without its dist tag (`.el9_3`, `.fc42`) and architecture, each character that no package's name has
/// replaced: `5_14_0-362_8_1`, `7_2_12_deb14-amd64`.
pub fn id(release: &str) -> String {
    let short = without_dist(without_arch(release));
    short.chars().map(|c| if c.is_ascii_alphanumeric() || c == '-' || c == '_' { c } else { '_' }).collect()
}

/// Name of the module of `version` for the kernel `release`: `kpatch_5_14_0_362_8_1_1_2`.
///
/// # Errors
/// A release that leads to a name that no module can have, or to one that the kernel has no room for.
pub fn module(release: &str, version: Version) -> Result<String> {
    let name = format!("kpatch_{}_{}_{}", id(release).replace('-', "_"), version.version, version.release);
    emit::check_module_name(&name)?;
    Ok(name)
}

fn without_arch(release: &str) -> &str {
    [".x86_64", ".ppc64le"].iter().find_map(|arch| release.strip_suffix(arch)).unwrap_or(release)
}

/// `.elN`, `.elN_M` or `.fcN` at the end, with what is in front of it.
fn without_dist(release: &str) -> &str {
    let Some((short, tag)) = release.rsplit_once('.') else { return release };
    let digits = |s: &str| !s.is_empty() && s.bytes().all(|b| b.is_ascii_digit());
    let el = tag.strip_prefix("el").is_some_and(|n| match n.split_once('_') {
        Some((major, minor)) => digits(major) && digits(minor),
        None => digits(n),
    });
    if el || tag.strip_prefix("fc").is_some_and(digits) {
        short
    } else {
        release
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_packages_have_them() {
        for (release, expected) in [
            ("5.14.0-362.8.1.el9_3.x86_64", "5_14_0-362_8_1"),
            ("5.14.0-362.8.1.el9_3.ppc64le", "5_14_0-362_8_1"),
            ("6.12.0-211.16.1.el10_2.x86_64", "6_12_0-211_16_1"),
            ("4.18.0-553.el8.x86_64", "4_18_0-553"),
            ("6.17.1-300.fc43.x86_64", "6_17_1-300"),
            ("7.2.12+deb14-amd64", "7_2_12_deb14-amd64"),
            ("7.3.0-rc7", "7_3_0-rc7"),
            // No dist tags.
            ("5.0.0-1.elf", "5_0_0-1_elf"),
            ("5.0.0-1.el9_", "5_0_0-1_el9_"),
        ] {
            assert_eq!(id(release), expected);
        }
    }

    #[test]
    fn modules() {
        let version = Version { version: 1, release: 2 };
        assert_eq!(module("5.14.0-362.8.1.el9_3.x86_64", version).unwrap(), "kpatch_5_14_0_362_8_1_1_2");
        assert_eq!(module("7.2.12+deb14-amd64", version).unwrap(), "kpatch_7_2_12_deb14_amd64_1_2");
        // 55 bytes fit, 56 do not.
        let longest = "1".repeat(55 - "kpatch__1_2".len());
        assert_eq!(module(&longest, version).unwrap().len(), 55);
        let error = module(&format!("{longest}1"), version).unwrap_err().to_string();
        assert!(error.contains("56 bytes") && error.contains("55"), "{error}");
    }
}
