// SPDX-License-Identifier: GPL-2.0-or-later
//! Steps back: a live patch in force and an older one that shall take its place, or nothing; out comes what speaks
//! against it, and what would no longer be in force.
//!
//! An atomic replace calls the callbacks of the new live patch alone, not those of the one that it takes the place of
//! (Documentation/livepatch/cumulative-patches.rst, "Limitations"), and the kernel takes it only where it declares each
//! state of the other one in the same version or a newer one (kernel/livepatch/state.c, klp_is_patch_compatible).

use crate::files;
use crate::host::{livepatch, Host, LARGEST};
use crate::module::manifest::{self, Fix, Manifest};
use crate::Run;

/// The manifest of a loaded live patch; None where it has none that can be read.
pub fn loaded(host: &Host, name: &str) -> Option<Manifest> {
    let note = host.at("/sys/module").join(name).join("notes").join(manifest::SECTION);
    manifest::of_section(&files::read(&note, LARGEST).ok()?).ok().filter(|manifest| manifest.name == name)
}

/// Why `older` cannot take the place of `current`; empty if nothing is known to rule it out.
pub fn against(current: &Manifest, older: &Manifest) -> Vec<String> {
    let mut reasons = Vec::new();
    if !older.replace {
        reasons.push(format!("{} does not replace others: {} would stay in force", older.name, current.name));
    }
    for state in &current.states {
        match older.states.iter().find(|s| s.id == state.id) {
            None => reasons.push(format!("{} declares state {:#x}, {} does not", current.name, state.id, older.name)),
            Some(there) if there.version < state.version => reasons.push(format!(
                "{} declares state {:#x} in version {}, {} knows version {} of it",
                current.name, state.id, state.version, older.name, there.version
            )),
            Some(_) => {}
        }
    }
    for callback in &current.callbacks {
        if !older.callbacks.contains(callback) {
            reasons.push(format!(
                "{} has a {} callback for {}, {} has none: its effects would not be undone",
                current.name, callback.kind, callback.object, older.name
            ));
        }
    }
    reasons
}

/// The fixes that are live in `before` and in no live patch in force.
pub fn lost(host: &Host, before: &Manifest) -> Vec<Fix> {
    let patches = livepatch::all(host).unwrap_or_default();
    let there: Vec<Manifest> = patches.iter().filter(|p| p.enabled).filter_map(|p| loaded(host, &p.name)).collect();
    let live =
        |manifest: &&Manifest| manifest.fixes.iter().filter(|f| f.missing().is_none()).cloned().collect::<Vec<_>>();
    let there: Vec<Fix> = there.iter().flat_map(|m| live(&m)).collect();
    let stays = |fix: &Fix| there.iter().any(|f| f.file == fix.file && f.title == fix.title);
    live(&before).into_iter().filter(|fix| !stays(fix)).collect()
}

/// Says which fixes are no longer in force now that `before` is not.
pub fn tell_lost(run: &Run<'_>, before: Option<&Manifest>) {
    for fix in before.map(|manifest| lost(run.host, manifest)).unwrap_or_default() {
        let cves: Vec<String> = fix.cves.iter().map(ToString::to_string).collect();
        let cves = if cves.is_empty() { String::new() } else { format!(" ({})", cves.join(", ")) };
        run.say.line(format!("no longer in force: {}{cves}", fix.title));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn manifest(name: &str, more: &str) -> Manifest {
        serde_json::from_str(&format!(
            r#"{{"schema":1,"name":"{name}","replace":true,"fixes":[],
                "target":{{"arch":"x86_64","release":"r","build_id":"00"}}{more}}}"#
        ))
        .unwrap()
    }

    #[test]
    fn states_and_callbacks_have_to_be_known_to_the_older_one() {
        let plain = manifest("old", "");
        let against = |new: &str, old: &str| against(&manifest("new", new), &manifest("old", old)).join("; ");
        assert_eq!(super::against(&plain, &plain), [""; 0]);
        let state = |version| format!(r#","states":[{{"id":16,"version":{version}}}]"#);
        assert_eq!(against(&state(1), ""), "new declares state 0x10, old does not");
        assert_eq!(against(&state(2), &state(1)), "new declares state 0x10 in version 2, old knows version 1 of it");
        assert_eq!(against(&state(1), &state(2)), "");
        assert_eq!(against("", &state(2)), "");
        let callback = |object, kind| {
            format!(r#","callbacks":[{{"object":"{object}","kind":"{kind}","function":"f","source":"s"}}]"#)
        };
        let told = against(&callback("vmlinux", "post_unpatch"), &callback("e1000", "post_unpatch"));
        assert!(told.starts_with("new has a post_unpatch callback for vmlinux, old has none"), "{told}");
        assert_eq!(against(&callback("vmlinux", "pre_patch"), &callback("vmlinux", "pre_patch")), "");
        let mut beside = plain.clone();
        beside.replace = false;
        assert!(super::against(&plain, &beside)[0].contains("does not replace others"));
    }
}
