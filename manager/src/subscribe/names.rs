// SPDX-License-Identifier: GPL-2.0-or-later
//! Names of packages: a kernel's release (`uname -r`) in, the name of the package with its live patch out.

/// The RPM package: `kpatch-patch-5_14_0-362_8_1` for `5.14.0-362.8.1.el9_3.x86_64`.
pub fn rpm(release: &str) -> String {
    let base = [".x86_64", ".ppc64le"].iter().find_map(|arch| release.strip_suffix(arch)).unwrap_or(release);
    let short = base.rsplit_once('.').filter(|(_, tag)| is_dist(tag)).map_or(base, |(short, _)| short);
    let plain = |c: char| if c.is_ascii_alphanumeric() || c == '-' { c } else { '_' };
    format!("kpatch-patch-{}", short.chars().map(plain).collect::<String>())
}

/// The tag of a distribution's release: `el9`, `el9_3`, `fc41`.
fn is_dist(tag: &str) -> bool {
    let number = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    match tag.strip_prefix("el") {
        Some(rest) => rest.split_once('_').map_or(number(rest), |(major, minor)| number(major) && number(minor)),
        None => tag.strip_prefix("fc").is_some_and(number),
    }
}

/// The Debian package: `kpatch-patch-7.2.12+deb14-amd64` for `7.2.12+deb14-amd64`. Names are of small letters, digits, and
/// `+`, `-`, `.` (Debian Policy 5.6.1).
pub fn deb(release: &str) -> String {
    let plain = |c: char| if c.is_ascii_alphanumeric() || "+-.".contains(c) { c.to_ascii_lowercase() } else { '-' };
    format!("kpatch-patch-{}", release.chars().map(plain).collect::<String>())
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
