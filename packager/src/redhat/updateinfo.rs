// SPDX-License-Identifier: GPL-2.0-or-later
//! updateinfo.xml: what dnf answers from when it is asked for CVEs. One advisory for each version of a live patch, with
//! the CVEs that this version was the first to fix.

use crate::description::{Line, LivePatch};
use crate::text::xml;
use crate::{date, text};
use anyhow::{ensure, Result};
use kmend_shared::manifest::Severity;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

/// What a version of a live patch fixed.
#[derive(Clone, Debug)]
pub struct Advisory {
    /// KMEND-2026:rhel9-5_14_0-362_8_1-1-2: year, stream, kernel, version.
    pub id: String,
    title: String,
    vendor_mail: String,
    date: i64,
    severity: Option<Severity>,
    cves: BTreeSet<String>,
    lines: Vec<String>,
    /// The lines without what each of them does to this kernel, which another architecture may not be concerned by.
    fixes: Vec<String>,
    package: Package,
}

#[derive(Clone, Debug)]
struct Package {
    name: String,
    version: String,
    release: String,
    arch: &'static str,
    file: String,
}

/// The advisories of all versions that the changelog of `patch` knows, with fixes in them, newest first. `stream` is the
/// stream's name.
pub fn advisories(stream: &str, patch: &LivePatch) -> Result<Vec<Advisory>> {
    patch.check()?;
    text::word("stream", stream, "-._")?;
    let name = patch.names.rpm();
    let fixes = patch.changelog.iter().filter(|entry| entry.version.release != 0 || entry.version.version != 0);
    fixes
        .map(|entry| {
            let release = format!("{}{}", entry.version.release, patch.dist);
            let version = entry.version.version.to_string();
            let arch = patch.names.arch().uname;
            Ok(Advisory {
                id: format!("KMEND-{}:{stream}-{}-{}", date::year(entry.date)?, patch.names.id(), entry.version),
                title: format!("{name}: live patch {} for kernel-{}", entry.version, patch.names.base()),
                vendor_mail: entry.packager.clone(),
                date: entry.date,
                severity: entry.severity,
                cves: entry.cves().map(str::to_owned).collect(),
                lines: entry.lines.iter().map(ToString::to_string).collect(),
                fixes: entry.lines.iter().map(|line| Line { missing: None, ..line.clone() }.to_string()).collect(),
                package: Package {
                    file: format!("{name}-{version}-{release}.{arch}.rpm"),
                    name: name.clone(),
                    version,
                    release,
                    arch,
                },
            })
        })
        .collect()
}

/// The file's text. Advisories of one id (the same live patch for two architectures) become one with both packages, unless
/// a fix of them is live on one architecture alone: then each has its architecture in its id. The order is that of the ids.
pub(super) fn updateinfo(advisories: &[Advisory]) -> Result<String> {
    let mut by_id: BTreeMap<&str, Vec<&Advisory>> = BTreeMap::new();
    advisories.iter().for_each(|a| by_id.entry(&a.id).or_default().push(a));
    let mut out = String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<updates>\n");
    for (id, mut same) in by_id {
        same.sort_by(|a, b| a.package.file.cmp(&b.package.file));
        same.dedup_by(|a, b| a.package.file == b.package.file);
        ensure!(
            same.windows(2).all(|w| w[0].fixes == w[1].fixes),
            "advisory {id}: the live patches of one kernel and version fix other things on {} than on {}\n  \
             what you can do: give the two architectures streams of their own",
            same[0].package.arch,
            same[same.len() - 1].package.arch
        );
        if same.windows(2).all(|w| w[0].lines == w[1].lines && w[0].severity == w[1].severity) {
            one(&mut out, id, &same)?;
            continue;
        }
        same.iter().try_for_each(|alone| one(&mut out, &format!("{id}-{}", alone.package.arch), &[*alone]))?;
    }
    out.push_str("</updates>\n");
    Ok(out)
}

fn one(out: &mut String, id: &str, same: &[&Advisory]) -> Result<()> {
    let first = same[0];
    let when = date::plain(first.date)?;
    let kind = if first.cves.is_empty() { "bugfix" } else { "security" };
    writeln!(out, "  <update from=\"{}\" status=\"final\" type=\"{kind}\" version=\"1\">", xml(&first.vendor_mail))?;
    writeln!(out, "    <id>{}</id>\n    <title>{}</title>", xml(id), xml(&first.title))?;
    writeln!(out, "    <issued date=\"{when}\"/>\n    <updated date=\"{when}\"/>")?;
    if let Some(severity) = first.severity {
        writeln!(out, "    <severity>{}</severity>", severity.title())?;
    }
    let lines: Vec<String> = first.lines.iter().map(|line| xml(line)).collect();
    writeln!(out, "    <description>{}</description>", lines.join("\n"))?;
    out.push_str("    <references>\n");
    for cve in &first.cves {
        let cve = xml(cve);
        writeln!(
            out,
            "      <reference href=\"https://www.cve.org/CVERecord?id={cve}\" id=\"{cve}\" type=\"cve\" title=\"{cve}\"/>"
        )?;
    }
    out.push_str("    </references>\n    <pkglist>\n      <collection>\n");
    for package in same.iter().map(|a| &a.package) {
        let source = format!("{}-{}-{}.src.rpm", package.name, package.version, package.release);
        writeln!(
            out,
            "        <package name=\"{}\" version=\"{}\" release=\"{}\" epoch=\"0\" arch=\"{}\" src=\"{}\">\n          \
             <filename>{}</filename>\n        </package>",
            xml(&package.name),
            xml(&package.version),
            xml(&package.release),
            package.arch,
            xml(&source),
            xml(&package.file)
        )?;
    }
    out.push_str("      </collection>\n    </pkglist>\n  </update>\n");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::description::{Entry, Origin};
    use crate::names::Names;
    use crate::version::Version;
    use kmend_shared::arch::ArchNames as Arch;

    /// Version 1-1 with a fix, which one architecture may not be concerned by.
    fn patch(arch: Arch, text: &str, missing: Option<&str>) -> LivePatch {
        let line = Line {
            text: text.into(),
            cves: vec!["CVE-2026-1001".into()],
            missing: missing.map(Into::into),
            ..Line::default()
        };
        let version = Version { version: 1, release: 1 };
        let packager = "A <a@b>".to_string();
        let severity = missing.is_none().then_some(Severity::Low);
        let entry = Entry { date: 1_790_000_000, packager: packager.clone(), version, severity, lines: vec![line] };
        LivePatch {
            names: Names::new(&format!("5.14.0-1.el9.{}", arch.uname), arch).unwrap(),
            version,
            dist: ".el9".into(),
            module: Some("m.ko".into()),
            changelog: vec![entry],
            origin: Origin {
                packager,
                vendor: "A".into(),
                url: "https://a".into(),
                license: "GPL-2.0-only".into(),
                date: 1_790_000_000,
            },
        }
    }

    fn text(patches: &[LivePatch]) -> Result<String> {
        let all: Vec<Advisory> = patches.iter().flat_map(|p| advisories("s", p).unwrap()).collect();
        updateinfo(&all)
    }

    #[test]
    fn what_concerns_one_architecture_alone_is_told_of_that_one() {
        let why = Some("does not concern this kernel: f.c");
        let both = text(&[patch(Arch::X86_64, "a", None), patch(Arch::PPC64LE, "a", None)]).unwrap();
        assert_eq!((both.matches("<id>").count(), both.matches("type=\"security\"").count()), (1, 1), "{both}");
        let one = text(&[patch(Arch::X86_64, "a", None), patch(Arch::PPC64LE, "a", why)]).unwrap();
        assert_eq!(one.matches("<id>").count(), 2, "{one}");
        for wanted in ["1-1-x86_64</id>", "1-1-ppc64le</id>", "type=\"bugfix\"", "a (CVE-2026-1001 does not concern"] {
            assert!(one.contains(wanted), "{wanted} is not in {one}");
        }
        assert_eq!(one.matches("type=\"cve\"").count(), 1, "{one}");
        let none = text(&[patch(Arch::X86_64, "a", why), patch(Arch::PPC64LE, "a", why)]).unwrap();
        assert!(none.matches("<id>").count() == 1 && !none.contains("type=\"cve\""), "{none}");
        // Other fixes are a mistake.
        assert!(text(&[patch(Arch::X86_64, "a", None), patch(Arch::PPC64LE, "b", None)]).is_err());
    }
}
