// SPDX-License-Identifier: GPL-2.0-or-later
//! Live patches of a stream, with CVEs, and kmend's notes, for the tests of what is known of a host.

use super::ko::Ko;
use super::system::{file, name, System, RELEASE};
use serde_json::{json, Value};
use std::fs;

/// The day on which these tests play.
pub const NOW: &str = "2026-11-25T17:00:00Z";

/// A system that takes this to be now.
pub fn at(system: System, now: &str) -> System {
    fs::write(system.root().join("clock"), now).unwrap();
    system
}

/// The stream's part of a manifest: patched until 2027-09-01.
pub fn stream(version: &str) -> Value {
    json!({
        "name": "el9", "version": version, "date": "2026-10-02", "supported_until": "2027-09-01",
        "fixed_by_kernel": ["CVE-2026-0007"],
        "not_carried": [{"cve": "CVE-2026-3003", "reason": "it changes the layout of struct sock"}],
    })
}

/// One fix that is live.
pub fn fix(title: &str, cves: &[&str], since: &str) -> Value {
    json!({"file": "a.patch", "title": title, "hunks_sha256": "00", "effect": "live", "cves": cves,
        "severity": "important", "since": since, "tickets": ["RHEL-12918"]})
}

/// One fix in the manifest of an older kmend-build, which does not say what it does.
pub fn old_fix(title: &str, cves: &[&str], since: &str) -> Value {
    json!({"file": "a.patch", "title": title, "sha256": "00", "cves": cves, "severity": "important", "since": since,
        "tickets": ["RHEL-12918"]})
}

/// One fix that is not in the live patch.
pub fn missing(title: &str, cves: &[&str], effect: &str, reason: &str) -> Value {
    let mut fix = fix(title, cves, "1-10");
    (fix["effect"], fix["reason"]) = (json!(effect), json!(reason));
    fix
}

/// A version of the stream, its file.
pub fn module(version: &str, fixes: &[Value], stream: Value) -> Vec<u8> {
    let mut ko = Ko::with_manifest(&name(version), RELEASE, &[]);
    let mut manifest: Value = serde_json::from_str(&ko.manifest.unwrap()).unwrap();
    manifest["fixes"] = json!(fixes);
    manifest["stream"] = stream;
    ko.manifest = Some(manifest.to_string());
    ko.bytes()
}

/// The same, installed.
pub fn install(system: &System, version: &str, fixes: &[Value], stream: Value) {
    system.installed(&file(version), &module(version, fixes, stream));
}

/// A note of kmend's.
pub fn note(system: &System, file: &str, text: impl ToString) {
    let folder = system.root().join("var/lib/kmend");
    fs::create_dir_all(&folder).unwrap();
    fs::write(folder.join(file), text.to_string()).unwrap();
}

/// What a check saw for this kernel, or that it saw nothing.
pub fn available(system: &System, version: Option<&str>) {
    let kernels = version.map_or(json!({}), |version| json!({RELEASE: {"version": version}}));
    note(system, "available.json", json!({"checked": "2026-11-25", "kernels": kernels}));
}

/// A module that livepatch no longer has and that something holds.
pub fn stuck(system: &System, name: &str) {
    let line =
        format!("{name} 16384 1 - Live 0xffffffffc0000000 (OEK)\nxfs 1 9 - Live 0x0\nown 1 0 - Live 0x0 (OEK)\n");
    fs::write(system.root().join("proc/modules"), line).unwrap();
}

/// A kernel whose modules and image are installed.
pub fn kernel(system: &System, release: &str) {
    for (folder, file) in
        [(format!("lib/modules/{release}"), "modules.dep"), ("boot".into(), &*format!("vmlinuz-{release}"))]
    {
        fs::create_dir_all(system.root().join(&folder)).unwrap();
        fs::write(system.root().join(folder).join(file), "").unwrap();
    }
}
