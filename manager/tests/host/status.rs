// SPDX-License-Identifier: GPL-2.0-or-later
//! kmend status: verdicts, exit codes, JSON.

use super::ko::{note, Ko};
use super::streams;
use super::system::{file, name, Plan, System, RELEASE};
use serde_json::json;
use std::collections::BTreeMap;
use std::fs;

fn first_line(system: &System, code: i32) -> String {
    system.kmend(&["status"]).ends(code).out.lines().next().unwrap().to_string()
}

#[test]
fn from_nothing_to_patched_to_outdated() {
    let system = System::new();
    assert_eq!(first_line(&system, 2), "not patched: no live patch is in force, and none is installed for this kernel");
    system.version("1-9");
    assert_eq!(
        first_line(&system, 3),
        format!(
            "installed but not loaded: {}; no live patch is in force; `kmend load --all` loads what fits",
            name("1-9")
        )
    );
    system.kmend(&["load", "--all"]).ends(0);
    let said = system.kmend(&["status"]).ends(0);
    assert_eq!(
        said.out,
        format!(
            "patched: {n} is in force\nkernel: {RELEASE} (x86_64), build id abcd0102\n\
             signatures: nothing on this host checks who made a live patch\nloaded: {n} [enabled], version \
             1-9\n  fix: fix of 1-9\ninstalled: {n}, version 1-9\n",
            n = name("1-9")
        )
    );
    system.version("1-10");
    assert_eq!(
        first_line(&system, 3),
        format!(
            "outdated: {} is installed, {} is in force; `kmend load --all` loads what fits",
            name("1-10"),
            name("1-9")
        )
    );
    system.kmend(&["load", "--all"]).ends(0);
    assert_eq!(first_line(&system, 0), format!("patched: {} is in force", name("1-10")));
}

#[test]
fn nothing_is_claimed_that_no_manifest_says() {
    let system = System::new();
    let module = system.version("1-1");
    // Loaded is another than installed: the loaded one is asked.
    system.loaded(&module, true, false);
    let none = "it has no manifest written by kmend: what it fixes is not known";
    let said = system.kmend(&["status"]).ends(0).says(none);
    assert!(!said.out.contains("fix of 1-1"), "{}", said.out);
    let at = system.root().join("sys/module").join(&module).join("notes/.note.kmend");
    fs::write(&at, note(b"kmend\0", 1, b"{\"schema\":1")).unwrap();
    system.kmend(&["status"]).ends(0).says("the manifest is damaged");
    let other = Ko::with_manifest("other", RELEASE, &["a fix"]).manifest.unwrap();
    fs::write(&at, note(b"kmend\0", 1, other.as_bytes())).unwrap();
    let said = system.kmend(&["status"]).ends(0).says("its manifest belongs to other: what it fixes is not known");
    assert!(!said.out.contains("a fix\n"), "{}", said.out);
}

#[test]
fn a_disabled_one_is_not_in_force() {
    let system = System::new();
    system.loaded("own", false, false);
    assert!(first_line(&system, 2).starts_with("not patched: "));
    system.kmend(&["status"]).ends(2).says("loaded: own [disabled]; not installed, gone after a reboot\n");
}

#[test]
fn a_stall_is_told_with_its_tasks() {
    let functions = BTreeMap::from([("own".to_string(), vec!["vmlinux/type_show,1".to_string()])]);
    let system = System::with(Plan { functions, ..Plan::default() });
    system.loaded("own", true, true);
    assert_eq!(
        first_line(&system, 4),
        "in transition: own is being put in force, no task that /proc shows not switched over"
    );
    system.task(7, 7, "sleeper", "0", "[<0>] futex_wait+0x1/0x2");
    assert_eq!(first_line(&system, 4), "in transition: own is being put in force, 1 task not switched over");
    system.task(8, 8, "cat\x1b[31m", "0", "[<0>] type_show+0x1b/0x40");
    system.task(9, 9, "new", "1", "");
    assert_eq!(
        first_line(&system, 4),
        "stalled: own is being put in force, 2 tasks not switched over, of which 1 in a patched function"
    );
    system.kmend(&["status"]).says("  8 cat?[31m\n  sits in: type_show, which the live patch replaces\n");
}

#[test]
fn what_does_not_fit_is_told_before_it_is_loaded() {
    let system = System::new();
    let bytes = Ko::with_manifest(&name("1-1"), RELEASE, &[]).bytes();
    system.installed(&file("1-1"), &bytes[..100]);
    system.kmend(&["status"]).ends(3).says("  it does not fit: ELF header: the section table lies beyond the end");
}

#[test]
fn json_has_the_fields_that_the_docs_list() {
    let functions = BTreeMap::from([("own".to_string(), vec!["vmlinux/type_show,1".to_string()])]);
    let system = System::with(Plan { functions, ..Plan::default() });
    let mut stream = streams::stream("1-1");
    stream["level"] = json!("5.14.0-362.9.1");
    let missing = streams::missing("of no concern", &["CVE-2026-1002"], "same-code", "the same");
    streams::install(&system, "1-1", &[streams::fix("fix of 1-1", &["CVE-2026-1001"], "1-1"), missing], stream);
    system.kmend(&["load", &name("1-1")]).ends(0);
    streams::available(&system, Some("1-2"));
    system.put("proc/modules", "old 1 1 - Live 0x0 (OEK)\nolder 1 0 - Live 0x0 (OEK)\n");
    streams::kernel(&system, "5.14.0-362.13.1.el9_3.x86_64");
    let failure = json!({"when": "", "what": "load", "module": "m", "release": RELEASE, "reason": "busy"});
    streams::note(&system, "failures.json", json!({"failures": [failure]}));
    streams::note(&system, "breaker.json", "damaged");
    let kept = format!("var/lib/kmend/last-good/{RELEASE}/{}", file("1-0"));
    system.put(&kept, "");
    let index = "<repomd><revision>1795500000</revision><tags><content>kmend</content></tags></repomd>";
    system.put("var/cache/dnf/live-0123456789abcdef/repodata/repomd.xml", index);
    system.loaded("own", true, true);
    system.task(8, 9, "cat", "0", "[<0>] type_show+0x1b/0x40");
    let said = system.kmend(&["status", "--json"]).ends(4);
    let json: serde_json::Value = serde_json::from_str(&said.out).unwrap();
    assert_eq!(json["verdict"], "stalled");
    assert_eq!(json["kernel"]["build_id"], "abcd0102");
    assert_eq!(json["loaded"][0]["version"], "1-1");
    assert_eq!(json["loaded"][0]["state"], "enabled");
    assert_eq!(json["loaded"][0]["fixes"][0]["title"], "fix of 1-1");
    assert_eq!(json["loaded"][1]["fixes"], serde_json::Value::Null);
    assert_eq!(json["blocking"][0]["tid"], 9);
    assert_eq!(json["blocking"][0]["sits_in"], "type_show");
    assert_eq!((&json["kept"][0]["file"], &json["kept"][0]["until"]), (&json!(format!("/{kept}")), &json!("1-1")));
    assert_eq!(json["schema_version"], 2);
    let empty: Vec<_> = json.as_object().unwrap().iter().filter(|(_, v)| v.is_null() || *v == &json!([])).collect();
    assert!(empty.is_empty(), "without a value what is in it is not looked at: {empty:?}");
    let asked: serde_json::Value = serde_json::from_str(&system.kmend(&["cve", "--json"]).ends(0).out).unwrap();
    let docs = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/status.md")).unwrap();
    let mut fields = Vec::new();
    names(&json, &mut fields);
    names(&asked, &mut fields);
    assert!(fields.len() > 60, "{fields:?}");
    for field in fields {
        assert!(docs.contains(&format!("`{field}`")), "docs/status.md does not explain `{field}`");
    }
}

fn names(json: &serde_json::Value, found: &mut Vec<String>) {
    match json {
        serde_json::Value::Object(fields) => {
            for (name, value) in fields {
                found.push(name.clone());
                names(value, found);
            }
        }
        serde_json::Value::Array(values) => values.iter().for_each(|v| names(v, found)),
        _ => {}
    }
}

#[test]
fn a_kernel_without_livepatch_is_a_verdict_of_its_own() {
    let system = System::new();
    fs::remove_dir_all(system.root().join("sys/kernel/livepatch")).unwrap();
    let line = "this kernel is built without CONFIG_LIVEPATCH: no live patch can be loaded";
    assert_eq!(first_line(&system, 8), format!("no livepatch: {line}; boot a kernel that has it"));
    // Nothing to load is no failure at boot.
    let said = system.kmend(&["load", "--all"]).ends(0);
    assert_eq!(said.err, format!("kmend: {line}\n"));
    system.version("1-1");
    assert_eq!(
        first_line(&system, 8),
        format!("no livepatch: {line}, nor what is installed for it; boot a kernel that has it")
    );
    let said = system.kmend(&["load", "--all"]).ends(1);
    assert_eq!(said.err, format!("kmend: {line}, and none of 1 installed file was\n"));
    assert!(system.asked().is_empty());
    let json: serde_json::Value = serde_json::from_str(&system.kmend(&["status", "--json"]).ends(8).out).unwrap();
    assert_eq!((&json["verdict"], json["failures"].as_array().unwrap().len()), (&json!("no-livepatch"), 0));
    system.kmend(&["status", "--nagios"]).ends(2).says("KMEND CRITICAL - no livepatch: ");
    system.kmend(&["status", "--prometheus"]).ends(0).says("kmend_verdict{verdict=\"no-livepatch\"} 1\n");
    // Where /sys is not mounted that is not known.
    fs::remove_dir_all(system.root().join("sys")).unwrap();
    system.kmend(&["status"]).ends(3);
}
