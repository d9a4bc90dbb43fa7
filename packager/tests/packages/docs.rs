// SPDX-License-Identifier: GPL-2.0-or-later
//! docs/packages.md shows what programs really say.

use crate::dnf::Site;
use crate::samples::{debian, el9, live_patch};
use crate::tools::{program, rpm_query, run};
use kmend_packager::redhat::{self, Metapackage};
use kmend_packager::{debian as deb, Arch, Version};
use std::fs;
use std::path::{Path, PathBuf};

fn page() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/packages.md")
}

/// The page has this command, and its output below it. BLESS=1 writes the output there (with --test-threads=1).
#[track_caller]
fn shows(command: &str, output: &str) {
    let text = fs::read_to_string(page()).unwrap();
    let block = format!("$ {command}\n{}\n", output.trim_end());
    if std::env::var_os("BLESS").is_some_and(|v| v == "1") {
        let start =
            text.find(&format!("$ {command}\n")).unwrap_or_else(|| panic!("docs/packages.md has no $ {command}"));
        let rest = &text[start + 1..];
        let end = ["\n$ ", "\n```"].iter().filter_map(|mark| rest.find(mark)).min().expect("the block's end");
        let blessed = format!("{}{block}{}", &text[..start], &rest[end + 1..]);
        fs::write(page(), blessed).unwrap();
        return;
    }
    assert!(text.contains(&block), "docs/packages.md should have this (BLESS=1 writes it):\n{block}");
}

#[test]
fn rpms_are_as_shown() {
    let dir = tempfile::tempdir().unwrap();
    let names = el9(Arch::X86_64);
    let patch = live_patch(dir.path(), &names, 2);
    let made = redhat::live_patch(&patch, None).unwrap();
    let path = made.write(dir.path()).unwrap();
    for question in ["--provides", "--requires", "--conflicts", "--changelog"] {
        shows(&format!("rpm -qp {question} {}", made.file), &rpm_query(&path, &[question]));
    }
    let meta = Metapackage {
        version: 20_261_002,
        release: 1,
        dist: ".el9".into(),
        patches: vec![(names, Version { version: 1, release: 2 })],
        origin: patch.origin,
    };
    let made = redhat::metapackage(&meta, None).unwrap();
    let path = made.write(dir.path()).unwrap();
    shows(&format!("rpm -qp --recommends {}", made.file), &rpm_query(&path, &["--recommends"]));
}

#[test]
fn debs_are_as_shown() {
    let dir = tempfile::tempdir().unwrap();
    let made = deb::live_patch(&live_patch(dir.path(), &debian(), 2)).unwrap();
    let path = made.write(dir.path()).unwrap();
    shows(&format!("dpkg-deb -f {}", made.file), &run(program("dpkg-deb").arg("-f").arg(&path)).ok());
}

#[test]
fn advisories_are_as_shown() {
    let names = el9(Arch::X86_64);
    let mut site = Site::new(&names);
    let modules = tempfile::tempdir().unwrap();
    site.add(&live_patch(modules.path(), &names, 0), None);
    site.publish(None);
    site.dnf(&["install", &names.rpm()]).ok();
    site.add(&live_patch(modules.path(), &names, 1), None);
    site.add(&live_patch(modules.path(), &names, 2), None);
    site.publish(None);
    let said = site.dnf(&["-q", "updateinfo", "list", "--cve", "CVE-2026-1001"]).ok();
    let lines: Vec<&str> = said.lines().filter(|l| l.contains("KMEND")).collect();
    shows("dnf -q updateinfo list --cve CVE-2026-1001", &lines.join("\n"));
    let said = site.dnf(&["-q", "updateinfo", "info", "--advisory", "KMEND-2026:test-5_14_0-362_8_1-1-2"]).ok();
    let start = said.find("====").unwrap();
    shows("dnf -q updateinfo info --advisory KMEND-2026:test-5_14_0-362_8_1-1-2", &said[start..]);
}
