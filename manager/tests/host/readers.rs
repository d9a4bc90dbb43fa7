// SPDX-License-Identifier: GPL-2.0-or-later
//! Programs that read kpatch: each reader's rule, as its public source has it, over what kmend says and keeps.

use super::system::{name, System, RELEASE};
use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::symlink;
use std::process::Stdio;

/// `kpatch list` as a program calls it: through the link, its output into a pipe.
fn list(system: &System) -> String {
    let link = system.root().join("kpatch");
    if !link.exists() {
        symlink(env!("CARGO_BIN_EXE_kmend"), &link).unwrap();
    }
    let output = system.command(&link, &["list"]).stdout(Stdio::piped()).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

/// Cockpit, pkg/packagekit/kpatch.tsx, KpatchStatus.componentDidMount: two parts with an empty line between them, each with its
/// heading; of each further line the word before the first space. Loaded, installed.
fn cockpit(said: &str) -> Option<(Vec<&str>, Vec<&str>)> {
    let parts: Vec<&str> = said.trim().split("\n\n").collect();
    let [loaded, installed] = parts[..] else { return None };
    let fits = loaded.starts_with("Loaded patch modules:") && installed.starts_with("Installed patch modules:");
    fits.then(|| (names(loaded), names(installed)))
}

fn names(part: &str) -> Vec<&str> {
    part.split('\n').skip(1).map(|line| line.split(' ').next().unwrap_or_default()).collect()
}

/// insights-core, insights/parsers/kpatch_list.py: lines of two words below a heading, without brackets.
fn insights(said: &str) -> (BTreeMap<&str, &str>, BTreeMap<&str, &str>) {
    let (mut loaded, mut installed, mut is_installed) = (BTreeMap::new(), BTreeMap::new(), false);
    for line in said.lines().filter(|line| !line.trim().is_empty()) {
        if line.contains("Loaded patch modules") || line.contains("Installed patch modules") {
            is_installed = line.contains("Installed");
            continue;
        }
        let words: Vec<&str> = line.split_whitespace().map(|w| w.trim_matches(['(', ')', '[', ']'])).collect();
        let [module, what] = words[..] else { panic!("insights passes over {line:?}") };
        if is_installed { &mut installed } else { &mut loaded }.insert(module, what);
    }
    (loaded, installed)
}

#[test]
fn cockpit_and_insights_read_each_state() {
    let system = System::new();
    assert_eq!(cockpit(&list(&system)), Some((vec![], vec![])), "nothing at all");

    let other = system.folder("5.14.0-70.1.1.el9_0.x86_64");
    fs::create_dir_all(&other).unwrap();
    fs::write(other.join("kpatch-5_14_0-70_1_1-1-1.ko"), "").unwrap();
    let of_other = "kpatch_5_14_0_70_1_1_1_1";
    assert_eq!(cockpit(&list(&system)), Some((vec![], vec![of_other])), "another kernel's");

    let (first, second) = (name("1-1"), name("1-2"));
    system.version("1-1");
    system.version("1-2");
    let all = vec![of_other, first.as_str(), second.as_str()];
    assert_eq!(cockpit(&list(&system)), Some((vec![], all.clone())), "installed");

    // Loaded, with one that goes out, and tasks that block it.
    system.loaded(&second, true, false);
    system.loaded("own", false, true);
    let said = list(&system);
    assert_eq!(cockpit(&said), Some((vec![second.as_str(), "own"], all.clone())), "{said}");
    let (loaded, installed) = insights(&said);
    assert_eq!(loaded, BTreeMap::from([(second.as_str(), "enabled"), ("own", "disabling...")]));
    assert_eq!((installed[of_other], installed[second.as_str()]), ("5.14.0-70.1.1.el9_0.x86_64", RELEASE));
    assert_eq!(installed.len(), 3);

    // Functions and modules that are left in memory are for people only.
    fs::write(system.root().join("sys/kernel/livepatch").join(&second).join("stack_order"), "1\n").unwrap();
    system.put("sys/module/kpatch_left/srcversion", "");
    assert!(cockpit(&list(&system)).is_some());
}

/// subscription-manager, src/rhsmlib/facts/kpatch.py: folders of /var/lib/kpatch are `kpatch.installed`, a folder of
/// /sys/kernel/livepatch is `kpatch.loaded`. So nothing but kernels is kept there.
#[test]
fn facts_of_subscription_manager_are_kernels() {
    let system = System::new();
    let module = system.version("1-1");
    system.kmend(&["load", &module]).ends(0);
    system.kmend(&["list"]).ends(0);
    let folders = |path: &str| -> Vec<String> {
        let entries = fs::read_dir(system.root().join(path)).unwrap().map(|e| e.unwrap());
        entries.filter(|e| e.path().is_dir()).map(|e| e.file_name().into_string().unwrap()).collect()
    };
    assert_eq!(folders("var/lib/kpatch"), [RELEASE]);
    assert_eq!(folders("sys/kernel/livepatch"), [module]);
}
