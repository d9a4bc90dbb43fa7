// SPDX-License-Identifier: GPL-2.0-or-later
//! Modules that are sound, damaged, foreign.

use super::preflight::{check, Kernel};
use super::sample::{elf, note, Ko};
use super::*;
use crate::host::trust::Demands;
use crate::host::Host;
use std::cell::OnceCell;

const RELEASE: &str = "5.14.0-362.8.1.el9_3.x86_64";

fn kernel() -> Kernel {
    let running = Some(Ok("abcd0102".into()));
    Kernel {
        release: RELEASE.into(),
        machine: "x86_64".into(),
        running,
        demands: Demands::default(),
        policy: Ok(crate::host::policy::Policy::Any),
        hands: OnceCell::new(),
    }
}

/// What the preflight says of these bytes; empty if nothing rules them out.
fn verdict(bytes: &[u8], kernel: &Kernel) -> String {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("x.ko");
    std::fs::write(&path, bytes).unwrap();
    match check(&Host::new(dir.path()), &path, kernel) {
        Ok(ready) => {
            assert_eq!(ready.bytes, bytes);
            String::new()
        }
        Err(refusal) => refusal.to_string(),
    }
}

#[test]
fn a_sound_one_is_read() {
    let module = Module::parse(&Ko::with_manifest("kpatch_a", RELEASE, &["one", "two"]).bytes()).unwrap();
    assert_eq!(module.name, "kpatch_a");
    assert_eq!(module.release(), Some(RELEASE));
    assert_eq!(module.info("license"), Some("GPL"));
    assert_eq!(module.build_id.as_deref(), Some("6b70617463685f61"));
    let manifest = module.manifest.unwrap();
    assert!(manifest.replace);
    assert_eq!(manifest.fixes.iter().map(|f| f.title.as_str()).collect::<Vec<_>>(), ["one", "two"]);
    assert!(Module::parse(&Ko::new("kpatch_a", RELEASE).bytes()).unwrap().manifest.is_none());
}

#[test]
fn the_name_may_stand_in_struct_module() {
    let mut this_module = vec![0; 24];
    this_module.extend(b"old_patch\0\0\0\0");
    let info = b"livepatch=Y\0vermagic=3.10.0 x\0".to_vec();
    let bytes = elf(62, vec![(".modinfo", 1, info), (".gnu.linkonce.this_module", 1, this_module)]);
    assert_eq!(Module::parse(&bytes).unwrap().name, "old_patch");
}

#[test]
fn each_reason_against_a_module_is_told() {
    let good = Ko::with_manifest("kpatch_a", RELEASE, &["one"]);
    assert_eq!(verdict(&good.bytes(), &kernel()), "");
    let changed = |change: &dyn Fn(&mut Ko)| {
        let mut ko = good.clone();
        change(&mut ko);
        verdict(&ko.bytes(), &kernel())
    };
    let replace = |from: &'static str, to: &'static str| {
        changed(&move |ko| ko.manifest = ko.manifest.as_ref().map(|m| m.replace(from, to)))
    };
    for (said, expected) in [
        (changed(&|ko| ko.machine = 183), "ELF header: it is for aarch64, this machine is x86_64"),
        (changed(&|ko| ko.machine = 21), "ELF header: it is for ppc64le, this machine is x86_64"),
        (changed(&|ko| ko.modinfo.retain(|t| !t.starts_with("livepatch"))), "livepatch=Y is missing"),
        (changed(&|ko| ko.modinfo.retain(|t| !t.starts_with("vermagic"))), "no vermagic"),
        (changed(&|ko| ko.modinfo.retain(|t| !t.starts_with("name"))), "it does not say the module's name"),
        (changed(&|ko| ko.modinfo[0] = "name=a/b".into()), "\"a/b\" is no name of a module"),
        (
            changed(&|ko| ko.modinfo[3] = "vermagic=5.14.0-9 SMP".into()),
            "it is for 5.14.0-9, the running kernel is 5.14.0-362",
        ),
        (
            replace("abcd0102", "abcd0103"),
            "proven against the kernel with build id abcd0103, and the one that runs has abcd0102",
        ),
        (replace("\"kpatch_a\"", "\"kpatch_b\""), "its name is kpatch_b there, kpatch_a here"),
        (replace("5.14.0", "5.15.0"), "its kernel is 5.15.0"),
        (replace("\"x86_64\"", "\"ppc64le\""), "its architecture is ppc64le there, x86_64 here"),
        (replace("\"schema\":1", "\"schema\":2"), "schema 2, and this kmend knows 1"),
        (replace("\"schema\"", "\"scheme\""), "the manifest is damaged"),
        (replace("{", "["), "the manifest is damaged"),
    ] {
        assert!(said.contains(expected), "{said:?} does not say {expected:?}");
        assert!(said.starts_with("/x.ko: ") && said.contains("\n  what you can do: "), "{said:?}");
    }
}

#[test]
fn without_a_known_build_id_nothing_proven_is_loaded() {
    let ko = Ko::with_manifest("kpatch_a", RELEASE, &[]).bytes();
    let unknown = Kernel { running: Some(Err("no /sys".into())), ..kernel() };
    assert!(verdict(&ko, &unknown).contains("is not known: no /sys"));
    assert_eq!(verdict(&Ko::new("kpatch_a", RELEASE).bytes(), &unknown), "");
    // For a kernel that does not run there is none to compare with.
    assert_eq!(verdict(&ko, &Kernel { running: None, ..kernel() }), "");
}

#[test]
fn what_is_no_module_is_told() {
    for (bytes, expected) in [
        (Vec::new(), "the file is empty"),
        (b"#!/bin/sh\n".to_vec(), "it does not begin like an ELF file"),
        (b"\x7fELF".to_vec(), "the file is of 4 bytes in all"),
        (elf(62, vec![(".text", 1, vec![])]), "no section .modinfo"),
        (
            elf(62, vec![(".modinfo", 1, b"name=a\0".to_vec()), (".note.kmend", 7, vec![1, 2, 3])]),
            "no manifest written by kmend",
        ),
    ] {
        let said = verdict(&bytes, &kernel());
        assert!(said.contains(expected), "{said:?} does not say {expected:?}");
    }
    let mut program = Ko::new("a", RELEASE).bytes();
    program[16] = 2;
    assert!(verdict(&program, &kernel()).contains("a program or a library"));
    program[5] = 2;
    assert!(verdict(&program, &kernel()).contains("not little-endian"));
    program[4] = 1;
    assert!(verdict(&program, &kernel()).contains("64-bit ELF"));
}

/// The section table is at the end of these files, so that each cut is seen.
#[test]
fn no_cut_file_passes() {
    let bytes = Ko::with_manifest("kpatch_a", RELEASE, &["one"]).bytes();
    for end in 0..bytes.len() {
        assert!(Module::parse(&bytes[..end]).is_err(), "cut to {end} of {} bytes", bytes.len());
    }
}

/// Each bit of a module, turned over: read or refused, never a panic; and a field of the manifest that no longer fits is
/// seen.
#[test]
fn no_turned_bit_is_a_panic() {
    let good = Ko::with_manifest("kpatch_a", RELEASE, &["one"]).bytes();
    let mut refused = 0;
    for bit in 0..good.len() * 8 {
        let mut bad = good.clone();
        bad[bit / 8] ^= 1 << (bit % 8);
        refused += usize::from(Module::parse(&bad).is_err());
    }
    assert!(refused > good.len() / 2, "{refused} of {} bits were noticed", good.len() * 8);
    // Words of the section table set to what could overflow.
    for at in (0..good.len() - 8).step_by(4) {
        for value in [u64::MAX, u64::MAX / 2, 1 << 63, u64::from(u32::MAX), good.len() as u64] {
            let mut bad = good.clone();
            bad[at..at + 8].copy_from_slice(&value.to_le_bytes());
            let _ = Module::parse(&bad);
        }
    }
}

#[test]
fn notes_never_reach_beyond_their_end() {
    let bytes = [note(b"GNU\0", 3, &[1, 2]), note(b"kmend\0", 1, b"{}")].concat();
    assert_eq!(note::build_id(&bytes).as_deref(), Some("0102"));
    assert_eq!(note::notes(&bytes).count(), 2);
    for end in 0..bytes.len() {
        let _ = note::notes(&bytes[..end]).count();
    }
    for at in [0, 4, 20, 24] {
        let mut bad = bytes.clone();
        bad[at..at + 4].copy_from_slice(&u32::MAX.to_le_bytes());
        assert!(note::notes(&bad).count() < 2, "length at {at}");
    }
    assert!(manifest::of_section(&[]).is_err());
}
