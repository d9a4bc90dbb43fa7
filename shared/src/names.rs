// SPDX-License-Identifier: GPL-2.0-or-later
//! Names made of a kernel's release (`uname -r`), and how long the name of a module may be.

use crate::arch::ARCHES;

/// The longest name of a module: MODULE_NAME_LEN of include/linux/moduleparam.h on 64 bits, which is 64 less a word, less its NUL.
pub const MODULE_NAME_MAX: usize = 55;

/// What stands for a kernel in names: its release less dist tag (`.el9_3`, `.fc42`) and architecture, each character that no
/// package's name has replaced. `5_14_0-362_8_1`, `7_2_12_deb14-amd64`.
pub fn kernel_id(release: &str) -> String {
    let base = ARCHES.iter().find_map(|arch| release.strip_suffix(arch.uname)?.strip_suffix('.'));
    let plain = |c: char| if c.is_ascii_alphanumeric() || c == '-' { c } else { '_' };
    without_dist(base.unwrap_or(release)).chars().map(plain).collect()
}

/// A release without its architecture, less `.elN`, `.elN_M` or `.fcN` at its end.
pub fn without_dist(base: &str) -> &str {
    let digits = |s: &str| !s.is_empty() && s.bytes().all(|b| b.is_ascii_digit());
    let is_dist = |tag: &str| match tag.strip_prefix("el") {
        Some(n) => n.split_once('_').map_or(digits(n), |(major, minor)| digits(major) && digits(minor)),
        None => tag.strip_prefix("fc").is_some_and(digits),
    };
    base.rsplit_once('.').filter(|(_, tag)| is_dist(tag)).map_or(base, |(short, _)| short)
}

/// The RPM with the live patches of a kernel: `kpatch-patch-5_14_0-362_8_1` for `5.14.0-362.8.1.el9_3.x86_64`.
pub fn rpm(release: &str) -> String {
    format!("kpatch-patch-{}", kernel_id(release))
}

/// The Debian package: `kpatch-patch-7.2.12+deb14-amd64` for `7.2.12+deb14-amd64`.
pub fn deb(release: &str) -> String {
    format!("kpatch-patch-{}", debian_word(release))
}

/// A release in the names of Debian's packages, which are of small letters, digits, and `+`, `-`, `.` (Debian Policy 5.6.1).
pub fn debian_word(release: &str) -> String {
    let plain = |c: char| if c.is_ascii_alphanumeric() || "+-.".contains(c) { c.to_ascii_lowercase() } else { '-' };
    release.chars().map(plain).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kernels_have_their_packages() {
        for (release, expected) in [
            ("5.14.0-362.8.1.el9_3.x86_64", "kpatch-patch-5_14_0-362_8_1"),
            ("4.18.0-553.el8.ppc64le", "kpatch-patch-4_18_0-553"),
            ("6.12.0-211.16.1.el10_2.x86_64", "kpatch-patch-6_12_0-211_16_1"),
            ("6.11.4-301.fc41.x86_64", "kpatch-patch-6_11_4-301"),
            ("7.2.12+deb14-amd64", "kpatch-patch-7_2_12_deb14-amd64"),
            ("7.3.0-rc7", "kpatch-patch-7_3_0-rc7"),
            ("7.3.0-rc7.elf", "kpatch-patch-7_3_0-rc7_elf"),
        ] {
            assert_eq!(rpm(release), expected);
        }
        assert_eq!(deb("7.2.12+deb14-amd64"), "kpatch-patch-7.2.12+deb14-amd64");
        assert_eq!(deb("7.3.0-RC7_x"), "kpatch-patch-7.3.0-rc7-x");
    }
}
