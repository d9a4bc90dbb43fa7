// SPDX-License-Identifier: GPL-2.0-or-later
//! What changes the sum of a job's input, and what does not.

use super::super::sample;
use super::*;
use std::fs;
use std::path::Path;

#[test]
fn what_decides_a_result_changes_the_sum_and_nothing_else_does() {
    let (dir, stream) = sample::stream(2);
    let empty = Ledger::empty("s");
    let of = |stream: &Stream, ledger: &Ledger| {
        of(stream, &stream.kernels[0], stream.versions.last().unwrap(), ledger).unwrap()
    };
    let first = of(&stream, &empty);
    let part = |stream: &Stream, ledger: &Ledger| -> Vec<String> {
        let now = of(stream, ledger);
        assert_eq!(now.sum == first.sum, now == first);
        first.differs(&now.parts).into_iter().map(String::from).collect()
    };
    assert!(part(&stream, &empty).is_empty());

    // What a mail says around the hunks is nothing, but its Subject is the title.
    let path = dir.path().join("c.patch");
    let text = fs::read_to_string(&path).unwrap();
    fs::write(&path, text.replace("\n\n", "\n\nReviewed-by: A <a@b>\n---\n f.c | 2 +-\n\n")).unwrap();
    assert!(part(&Stream::read(&stream.path).unwrap(), &empty).is_empty());
    fs::write(&path, text.replace("[PATCH] c", "[PATCH] e")).unwrap();
    assert_eq!(part(&Stream::read(&stream.path).unwrap(), &empty), ["fixes"]);
    fs::write(&path, text.replace("+d", "+e")).unwrap();
    assert_eq!(part(&Stream::read(&stream.path).unwrap(), &empty), ["fixes"]);
    fs::write(&path, &text).unwrap();

    let file = fs::read_to_string(&stream.path).unwrap();
    let with = |from: &str, to: &str| {
        assert!(file.contains(from));
        fs::write(&stream.path, file.replacen(from, to, 1)).unwrap();
        part(&Stream::read(&stream.path).unwrap(), &empty)
    };
    assert!(with("name = ", "# remark\nvendor = \"B\"\nname = ").is_empty());
    assert!(with("[[kernel]]\ntarget = \"debian:none/6.0.1-one-amd64\"\n\n", "").is_empty());
    assert_eq!(with("name = \"s\"", "max_units = 7\nname = \"s\""), ["stream"]);
    assert_eq!(with("-one-amd64\"\n", "-one-amd64\"\nfixed = [\"CVE-2026-1234\"]\n"), ["stream"]);
    assert_eq!(with("\"c.patch\"\n", "\"c.patch\"\ncves = [\"CVE-2026-1234\"]\n"), ["fixes"]);
    assert_eq!(with("\"c.patch\"\n", "\"c.patch\"\nallow_layout = [\"kthread\"]\n"), ["fixes"]);
    let hooks = "use crate::{livepatch::{CallbackObject, Callbacks}, livepatch_hooks};\n\npub struct Check;\n\n#[vtable]\nimpl Callbacks for \
                 Check {\n    fn post_unpatch(_object: &CallbackObject<'_>) {}\n}\n\nlivepatch_hooks! { callbacks: { vmlinux: Check } }\n";
    fs::write(dir.path().join("hooks.rs"), hooks).unwrap();
    let hooked = with("date = \"2026-10-02\"\n", "date = \"2026-10-02\"\nhooks = \"hooks.rs\"\n");
    assert_eq!(hooked, ["hooks"]);
    let stream_with_hooks = Stream::read(&stream.path).unwrap();
    let one = of(&stream_with_hooks, &empty);
    fs::write(dir.path().join("hooks.rs"), format!("// A remark.\n{hooks}")).unwrap();
    assert_eq!(one.differs(&of(&stream_with_hooks, &empty).parts), ["hooks"]);
}

#[test]
fn rows_of_the_ledger_count_that_a_build_looks_at() {
    let (_dir, stream) = sample::stream(2);
    let [first, second] = [0, 1].map(|n| &stream.versions[n]);
    let (empty, released) = (Ledger::empty("s"), sample::ledger(&stream));
    let sum =
        |kernel: usize, release, ledger: &Ledger| of(&stream, &stream.kernels[kernel], release, ledger).unwrap().sum;
    assert_ne!(sum(0, second, &empty), sum(0, second, &released));
    // The other kernel's, the version's own, and packages that were signed later.
    assert_eq!(sum(1, second, &empty), sum(1, second, &released));
    assert_eq!(sum(0, first, &empty), sum(0, first, &released));
    let mut signed = released.clone();
    signed.changed("a.deb", "dd");
    assert_eq!(sum(0, second, &signed), sum(0, second, &released));
}

#[test]
fn folders_of_a_machine_are_no_part_of_a_target() {
    let target = crate::target::sample::target(Path::new("/a"), Path::new("/b"));
    let mut other = target.clone();
    (other.tree, other.root, other.vmlinux) = ("/x".into(), "/y".into(), "/z".into());
    assert_eq!(of_target(&target), of_target(&other));
    other.cc.push('1');
    assert_ne!(of_target(&target), of_target(&other));
}

#[test]
fn builds_of_one_version_are_told_apart() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("program");
    let of = |bytes: &[u8]| {
        fs::write(&path, bytes).unwrap();
        program_in(&path).unwrap()
    };
    let elf = |id: &[u8], code: &[u8]| {
        use object::{write::Object, Architecture, BinaryFormat, Endianness, SectionKind};
        let mut file = Object::new(BinaryFormat::Elf, Architecture::X86_64, Endianness::Little);
        let note = file.add_section(Vec::new(), b".note.gnu.build-id".to_vec(), SectionKind::Note);
        let head = [4, id.len() as u32, object::elf::NT_GNU_BUILD_ID].map(u32::to_le_bytes).concat();
        file.append_section_data(note, &[&head, &b"GNU\0"[..], id].concat(), 4);
        let text = file.add_section(Vec::new(), b".text".to_vec(), SectionKind::Text);
        file.append_section_data(text, code, 1);
        file.write().unwrap()
    };
    // The id is the linker's sum over what it linked: it stays when the program is stripped.
    let id = of(&elf(&[7; 20], b"code"));
    assert_eq!(id, format!("build-id:{}", "07".repeat(20)));
    assert_eq!(of(&elf(&[7; 20], b"stripped")), id);
    assert_ne!(of(&elf(&[8; 20], b"code")), id);
    // A short one was typed in.
    let short = of(&elf(&[7; 4], b"code"));
    assert!(short.starts_with("sha256:") && short != of(&elf(&[7; 4], b"other")), "{short}");
    assert_eq!(of(b"#!/bin/sh"), format!("sha256:{}", files::sha256(b"#!/bin/sh")));
    assert!(program_in(dir.path()).is_err());
    // This one has either, and says the same each time.
    assert_eq!(program().unwrap(), program().unwrap());
    assert!(program().unwrap().contains(':'));
}
