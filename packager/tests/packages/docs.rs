// SPDX-License-Identifier: GPL-2.0-or-later
//! docs/packages.md shows what programs really say.

use crate::dnf::Site;
use crate::samples::{debian, el9, live_patch};
use crate::tools::{program, rpm_query, run};
use kmend_packager::redhat::{self, Metapackage};
use kmend_packager::{debian as deb, Arch, Version};
use std::path::Path;

/// The page's text.
fn page() -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/packages.md");
    std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

/// The page has this command, and its output below it.
#[track_caller]
fn shows(command: &str, output: &str) {
    let block = format!("$ {command}\n{}\n", output.trim_end());
    assert!(page().contains(&block), "docs/packages.md should have this:\n{block}");
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
