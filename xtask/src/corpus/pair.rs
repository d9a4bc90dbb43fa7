// SPDX-License-Identifier: GPL-2.0-or-later
//! Which two releases of a series are compared: a series' name in, target and packages out.

use qemu_tests::cut::Version;

/// Two releases of a stable series: the target's, and a later one that holds its fixes.
#[derive(Debug)]
pub struct Pair {
    /// What the chore calls it: `7.2`.
    pub series: &'static str,
    /// The target whose source is the older one.
    pub target: &'static str,
    /// The source package.
    pub package: &'static str,
    /// Version of the older one, that of the target.
    pub from: &'static str,
    /// Suite and version of the newer one.
    pub to: (&'static str, &'static str),
    /// How many fixes are drawn; all where it is None.
    pub sample: Option<usize>,
    /// How many units a fix may reach by way of headers; ten times as many are looked at.
    pub reach: usize,
    /// How many files are tried together where one does not compile alone.
    pub together: usize,
    /// Whether one cumulative module is made of all of them.
    pub cumulative: bool,
}

/// All pairs.
pub const PAIRS: &[Pair] = &[
    Pair {
        series: "7.2",
        target: "debian:forky",
        package: "linux-source-7.2",
        from: "7.2.12-1",
        to: ("sid", "7.2.13-1"),
        sample: None,
        reach: 200,
        together: 12,
        cumulative: true,
    },
    Pair {
        series: "6.1.192",
        target: "debian:bookworm-security/6.1.0-54-amd64",
        package: "linux-source-6.1",
        from: "6.1.190-1",
        to: ("bookworm-security", "6.1.192-2"),
        sample: Some(300),
        reach: 100,
        together: 60,
        cumulative: false,
    },
    Pair {
        series: "6.1",
        target: "debian:bookworm",
        package: "linux-source-6.1",
        from: "6.1.176-1",
        to: ("bookworm-security", "6.1.192-2"),
        sample: Some(300),
        reach: 40,
        together: 12,
        cumulative: false,
    },
];

impl Pair {
    /// The newer release, as packages are fetched.
    pub fn newer(&self) -> Version {
        Version { suite: self.to.0.into(), version: self.to.1.into(), mirror: None }
    }
}
