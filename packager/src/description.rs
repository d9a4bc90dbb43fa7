// SPDX-License-Identifier: GPL-2.0-or-later
//! The input for a package, the same for RPM and deb. [`LivePatch::check`] is called before anything is made of
//! it: what it lets through can be in headers, scripts and XML.

use crate::names::Names;
use crate::version::Version;
use crate::{date, text};
use anyhow::{ensure, Context, Result};
use kmend_shared::manifest::Severity;
use std::collections::BTreeSet;
use std::fmt;
use std::path::PathBuf;

/// A fix, as a line of the changelog shows it.
#[derive(Clone, Debug, Default)]
pub struct Line {
    /// What was fixed, one line.
    pub text: String,
    /// RHEL-12918
    pub tickets: Vec<String>,
    /// CVE-2023-5178
    pub cves: Vec<String>,
    /// Why the live patch has none of it: `does not concern this kernel: …`. Its CVEs are not among those that the
    /// package fixes then. None where it has.
    pub missing: Option<String>,
}

impl fmt::Display for Line {
    /// `text [ticket] {CVE}`, as RHEL writes it; of a fix that is not in the live patch `text [ticket] (CVE: why)`, without
    /// the braces, by which tools know what is fixed.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)?;
        if !self.tickets.is_empty() {
            write!(f, " [{}]", self.tickets.join(" "))?;
        }
        if let Some(missing) = &self.missing {
            let cves = if self.cves.is_empty() { String::new() } else { format!("{} ", self.cves.join(" ")) };
            return write!(f, " ({cves}{missing})");
        }
        if !self.cves.is_empty() {
            write!(f, " {{{}}}", self.cves.join(" "))?;
        }
        Ok(())
    }
}

/// What a version brought.
#[derive(Clone, Debug)]
pub struct Entry {
    /// Seconds since 1970.
    pub date: i64,
    /// Name <mail@example.com>
    pub packager: String,
    /// The version that brought these fixes.
    pub version: Version,
    /// Of the worst of them.
    pub severity: Option<Severity>,
    /// The fixes.
    pub lines: Vec<Line>,
}

/// Fields that all packages of a stream have in common.
#[derive(Clone, Debug)]
pub struct Origin {
    /// Who makes the packages: Name <mail@example.com>
    pub packager: String,
    /// Who gives them out, one line.
    pub vendor: String,
    /// Where to read about them.
    pub url: String,
    /// SPDX name of the license.
    pub license: String,
    /// Seconds since 1970: all times in the package are this one, so that the same input gives the same bytes.
    pub date: i64,
}

/// A cumulative live patch of one kernel, or with version 0-0 and no module, the package to subscribe with.
#[derive(Clone, Debug)]
pub struct LivePatch {
    /// The kernel, and all names.
    pub names: Names,
    /// 1-2
    pub version: Version,
    /// Ends the RPM's release: .el9_3, or nothing; [`Names::dist`] has the kernel's.
    pub dist: String,
    /// The finished module; none in the empty package.
    pub module: Option<PathBuf>,
    /// What each version brought, newest first.
    pub changelog: Vec<Entry>,
    /// Packager, license, date.
    pub origin: Origin,
}

impl Origin {
    /// Refuses what cannot be in a package.
    pub fn check(&self) -> Result<()> {
        packager(&self.packager)?;
        text::line("vendor", &self.vendor)?;
        text::line("url", &self.url)?;
        ensure!(
            ["https://", "http://"].iter().any(|s| self.url.starts_with(s)) && !self.url.contains([' ', '<', '>', '"']),
            "url {:?} is none: https://…",
            self.url
        );
        text::word("license", &self.license, "-.+ ()")?;
        date::at(self.date)?;
        Ok(())
    }
}

impl LivePatch {
    /// Refuses what cannot be packaged, or would say something that is not so.
    pub fn check(&self) -> Result<()> {
        self.origin.check().with_context(|| format!("package {}", self.names.rpm()))?;
        dist(&self.dist)?;
        ensure!(
            self.module.is_none() == (self.version == Version::EMPTY),
            "package {} {}: version 0-0, and it alone, is the empty package without a module",
            self.names.rpm(),
            self.version
        );
        self.names.module(self.version.version, self.version.release)?;
        ensure!(!self.changelog.is_empty(), "package {} {}: its changelog is empty", self.names.rpm(), self.version);
        ensure!(
            self.changelog.windows(2).all(|w| w[0].version > w[1].version && w[0].date >= w[1].date),
            "package {} {}: the changelog has to go from the newest version to the oldest, with dates that do so too",
            self.names.rpm(),
            self.version
        );
        ensure!(
            self.changelog[0].version == self.version,
            "package {} {}: the changelog's first entry is about {}",
            self.names.rpm(),
            self.version,
            self.changelog[0].version
        );
        self.changelog.iter().try_for_each(|e| {
            e.check().with_context(|| format!("changelog of {}, entry {}", self.names.rpm(), e.version))
        })
    }

    /// All CVEs that the live patch fixes, in order.
    pub fn cves(&self) -> BTreeSet<&str> {
        self.changelog.iter().flat_map(Entry::cves).collect()
    }

    /// One line about it.
    pub fn summary(&self) -> String {
        match self.module {
            None => format!("Initial empty kpatch-patch for kernel-{}", self.names.release()),
            Some(_) => format!("Live patch for kernel-{}", self.names.release()),
        }
    }

    /// More lines about it.
    pub fn description(&self) -> String {
        match self.module {
            None => "This package is empty. Who installs it gets the live patches of this kernel as updates.".into(),
            Some(_) => "A cumulative live patch: it fixes the running kernel without a reboot. The changelog says what it fixes."
                .into(),
        }
    }

    /// The RPM's release: 2.el9_3.
    pub fn rpm_release(&self) -> String {
        format!("{}{}", self.version.release, self.dist)
    }

    /// The RPM's file name.
    pub fn rpm_file(&self) -> String {
        format!("{}-{}-{}.{}.rpm", self.names.rpm(), self.version.version, self.rpm_release(), self.names.arch().uname)
    }

    /// The deb's file name.
    pub fn deb_file(&self) -> String {
        format!("{}_{}_{}.deb", self.names.deb(), self.version, self.names.arch().debian)
    }
}

impl Entry {
    /// The CVEs that this version fixes first.
    pub fn cves(&self) -> impl Iterator<Item = &str> {
        let live = self.lines.iter().filter(|line| line.missing.is_none());
        live.flat_map(|line| line.cves.iter().map(String::as_str))
    }

    fn check(&self) -> Result<()> {
        date::at(self.date)?;
        packager(&self.packager)?;
        ensure!(!self.lines.is_empty(), "it has no lines");
        self.lines.iter().try_for_each(Line::check)
    }
}

impl Line {
    fn check(&self) -> Result<()> {
        text::line("text", &self.text)?;
        ensure!(
            !self.text.contains("{CVE"),
            "text {:?} has a CVE in braces: CVE numbers go into their own list, for tools to read",
            self.text
        );
        if let Some(missing) = &self.missing {
            text::line("reason", missing)?;
            ensure!(!missing.contains("{CVE"), "reason {missing:?} has a CVE in braces, as what is fixed has");
        }
        self.tickets.iter().try_for_each(|t| text::ticket(t))?;
        self.cves.iter().try_for_each(|c| text::cve(c))
    }
}

/// Refuses a dist tag that cannot end a release.
pub(crate) fn dist(tag: &str) -> Result<()> {
    if tag.is_empty() {
        return Ok(());
    }
    text::word("dist tag", tag, "._+~")?;
    ensure!(tag.starts_with('.'), "dist tag {tag:?} does not start with a dot");
    Ok(())
}

/// Refuses what is not `Name <mail>`.
fn packager(shown: &str) -> Result<()> {
    text::line("packager", shown)?;
    let mail = shown.split_once(" <").and_then(|(name, rest)| Some((name, rest.strip_suffix('>')?)));
    ensure!(
        mail.is_some_and(|(name, mail)| !name.is_empty()
            && mail.contains('@')
            && !mail.contains([' ', '<', '>'])
            && !name.contains(['<', '>'])),
        "packager {shown:?} is not of the form Name <mail@example.com>"
    );
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_written_as_rhel_does() {
        let line = Line {
            text: "UAF".into(),
            tickets: vec!["RHEL-1".into()],
            cves: vec!["CVE-2023-5178".into()],
            missing: None,
        };
        assert_eq!(line.to_string(), "UAF [RHEL-1] {CVE-2023-5178}");
    }

    #[test]
    fn what_is_not_in_the_live_patch_is_not_among_its_cves() {
        let cves = |n: u32| vec![format!("CVE-2023-517{n}")];
        let missing = Some("does not concern this kernel: f.c: it needs CONFIG_F".to_string());
        let gone = Line { text: "UAF".into(), tickets: Vec::new(), cves: cves(8), missing };
        assert_eq!(gone.to_string(), "UAF (CVE-2023-5178 does not concern this kernel: f.c: it needs CONFIG_F)");
        assert!(gone.check().is_ok());
        for bad in ["", "a\nb", "see {CVE-2023-5178}"] {
            assert!(Line { missing: Some(bad.into()), ..gone.clone() }.check().is_err(), "{bad:?}");
        }
        let live = Line { text: "x".into(), cves: cves(9), ..Line::default() };
        let entry = Entry {
            date: 0,
            packager: "A <a@b>".into(),
            version: Version::EMPTY,
            severity: None,
            lines: vec![gone, live],
        };
        assert_eq!(entry.cves().collect::<Vec<_>>(), ["CVE-2023-5179"]);
    }
}
