// SPDX-License-Identifier: GPL-2.0-or-later

use super::list::mode;
use super::*;
use anyhow::Result;
use std::io::{Read, Write};
use tar::EntryType;

fn folder(path: &str) -> Entry {
    Entry { path: path.into(), kind: Kind::Folder }
}

fn file(path: &str, text: &str) -> Entry {
    let (size, sha256) = (text.len() as u64, crate::files::sha256(text.as_bytes()));
    Entry { path: path.into(), kind: Kind::File { runs: false, size, sha256 } }
}

fn link(path: &str, to: &str) -> Entry {
    Entry { path: path.into(), kind: Kind::Link { to: to.into() } }
}

/// What a small archive has, with the contents of its files.
fn small() -> Vec<(Entry, &'static str)> {
    let mut all: Vec<(Entry, &str)> = ["root", "root/usr", "target", "target/tree", "target/tree/a"]
        .map(|path| (folder(path), ""))
        .into_iter()
        .chain(
            [("root/usr/cc", "compiler"), ("target/config", "CONFIG_X=y\n"), ("target/tree/a/b.c", "int b;\n")]
                .map(|(path, text)| (file(path, text), text)),
        )
        .chain([(link("root/bin", "usr"), ""), (link("target/tree/a/c.c", "b.c"), "")])
        .collect();
    let order = |e: &Entry| (matches!(e.kind, Kind::Link { .. }), e.path.clone());
    all.sort_by_key(|(e, _)| order(e));
    all
}

fn header(list: &str, entries: &[(Entry, &str)]) -> Header {
    Header {
        kmend_target: FORM,
        name: "tree:made".into(),
        arch: "x86_64".into(),
        release: "6.1".into(),
        version: String::new(),
        host: "x86_64".into(),
        toolchain: Some(ROOT.into()),
        entries: entries.len() as u64,
        bytes: entries.iter().map(|(e, _)| e.bytes()).sum(),
        list: crate::files::sha256(list.as_bytes()),
    }
}

fn lines(entries: &[(Entry, &str)]) -> String {
    let line = |(e, _): &(Entry, &str)| match &e.kind {
        Kind::Folder => format!("d\t{}\n", e.path),
        Kind::File { runs, size, sha256 } => format!("f\t{}\t{size}\t{sha256}\t{}\n", mode(*runs), e.path),
        Kind::Link { to } => format!("l\t{to}\t{}\n", e.path),
    };
    entries.iter().map(line).collect()
}

/// One entry of a tar, whatever it is called.
fn put(tar: &mut Vec<u8>, path: &str, kind: EntryType, mode: u32, link: &str, text: &[u8]) {
    let mut header = tar::Header::new_gnu();
    header.as_mut_bytes()[..path.len().min(100)].copy_from_slice(&path.as_bytes()[..path.len().min(100)]);
    header.set_entry_type(kind);
    header.set_mode(mode);
    header.set_size(text.len() as u64);
    header.set_link_name_literal(link).unwrap();
    header.set_cksum();
    tar.extend(header.as_bytes());
    tar.extend(text);
    tar.resize(tar.len().next_multiple_of(512), 0);
}

fn put_entry(tar: &mut Vec<u8>, entry: &Entry, text: &str) {
    match &entry.kind {
        Kind::Folder => put(tar, &entry.path, EntryType::Directory, 0o755, "", b""),
        Kind::File { runs, .. } => {
            put(tar, &entry.path, EntryType::Regular, if *runs { 0o755 } else { 0o644 }, "", text.as_bytes());
        }
        Kind::Link { to } => put(tar, &entry.path, EntryType::Symlink, 0o755, to, b""),
    }
}

/// A tar with this header, this list and these entries.
fn tar_of(header: &Header, list: &str, entries: &[(Entry, &str)]) -> Vec<u8> {
    let mut tar = Vec::new();
    put(&mut tar, HEADER, EntryType::Regular, 0o644, "", serde_json::to_string(header).unwrap().as_bytes());
    put(&mut tar, LIST, EntryType::Regular, 0o644, "", list.as_bytes());
    entries.iter().for_each(|(entry, text)| put_entry(&mut tar, entry, text));
    tar.resize(tar.len() + 1024, 0);
    tar
}

fn code(result: Result<Header>) -> &'static str {
    match result {
        Ok(_) => "",
        Err(error) => error.downcast::<ArchiveFault>().expect("a fault with a code").code,
    }
}

/// The code for an archive of these entries, whose list says the same.
fn code_of(entries: &[(Entry, &str)]) -> &'static str {
    let list = lines(entries);
    code(check(tar_of(&header(&list, entries), &list, entries).as_slice()))
}

fn with(mut more: Vec<(Entry, &'static str)>) -> Vec<(Entry, &'static str)> {
    let mut all = small();
    all.append(&mut more);
    all.sort_by_key(|(e, _)| (matches!(e.kind, Kind::Link { .. }), e.path.clone()));
    all
}

#[derive(Default)]
struct Kept(Vec<(String, Vec<u8>)>);

impl Sink for Kept {
    fn take(&mut self, entry: &Entry, piece: Vec<u8>, _: bool) -> Result<()> {
        match self.0.last_mut() {
            Some((path, bytes)) if *path == entry.path => bytes.extend(piece),
            _ => self.0.push((entry.path.clone(), piece)),
        }
        Ok(())
    }
}

#[test]
fn a_sound_archive_is_read() {
    let entries = small();
    let list = lines(&entries);
    let wanted = header(&list, &entries);
    let packed = zstd::bulk::compress(&tar_of(&wanted, &list, &entries), 1).unwrap();
    let (found, kept) = read(packed.as_slice(), |_, _, _| Ok(Kept::default())).unwrap();
    assert_eq!(found, wanted);
    let same: Vec<(String, Vec<u8>)> =
        entries.iter().map(|(e, text)| (e.path.clone(), text.as_bytes().into())).collect();
    assert_eq!(kept.0, same);
    assert_eq!(List::new(entries.iter().rev().map(|(e, _)| e.clone()).collect()).unwrap().text(), list);
}

#[test]
fn paths_stay_inside() {
    for path in [
        "/etc/x",
        "../x",
        "root/../x",
        "root/./x",
        "root//x",
        "root/x/",
        "",
        ".",
        "rust2",
        "etc",
        "target/target.json",
        "target/.prepared",
        "target/..",
        "root/a\nb",
        "root/\u{1b}[2J",
    ] {
        assert_eq!(
            code_of(&with(vec![(file(path, "x"), "x")])),
            if path.contains('\n') { "archive-damaged" } else { "archive-path" },
            "{path:?}"
        );
    }
    let long = format!("root/usr/{}", "x".repeat(256));
    assert_eq!(code_of(&with(vec![(file(&long, "x"), "x")])), "archive-path");
    // In no folder, and in a file.
    for path in ["root/none/x", "root/usr/cc/x", "root/bin/x"] {
        assert_eq!(code_of(&with(vec![(file(path, "x"), "x")])), "archive-path", "{path}");
    }
}

#[test]
fn links_stay_inside() {
    for (path, to) in [
        ("target/tree/a/l", "/etc/passwd"),
        ("target/tree/a/l", "../../../x"),
        ("target/tree/a/l", "../../config"),
        ("target/tree/l", "../config"),
        ("target/tree/l", "a/../../config"),
        ("target/vmlinuz", "config"),
        ("target/lib", "tree"),
        ("root/l", ".."),
        ("root/usr/l", "../../target"),
        ("root/usr/l", "/../x"),
        ("root/usr/l", "cc/../../.."),
        ("root/usr/l", ""),
        ("root/usr/l", "\u{1b}[2J"),
    ] {
        assert_eq!(code_of(&with(vec![(link(path, to), "")])), "archive-link", "{path} to {to:?}");
    }
    for (path, to) in [
        ("target/tree/a/l", "../a/b.c"),
        ("target/tree/l", "./a/"),
        ("root/l", "/usr/cc"),
        ("root/usr/l", "../bin"),
        ("root/usr/l", "//etc/"),
    ] {
        assert_eq!(code_of(&with(vec![(link(path, to), "")])), "", "{path} to {to:?}");
    }
    // A link where a file is, in the place of a folder, and a file by way of a link.
    assert_eq!(code_of(&with(vec![(link("root/usr/cc", "x"), "")])), "archive-damaged");
    assert_eq!(code_of(&with(vec![(link("root/usr", "x"), "")])), "archive-damaged");
    let mut late = small();
    late.push((file("root/x", "x"), "x"));
    assert_eq!(code_of(&late), "archive-damaged");
}

#[test]
fn entries_are_those_of_the_list() {
    let entries = small();
    let list = lines(&entries);
    let header = header(&list, &entries);
    let at = entries.iter().position(|(e, _)| e.path == "root/usr/cc").unwrap();
    let instead = |put_it: &dyn Fn(&mut Vec<u8>)| {
        let mut tar = tar_of(&header, &list, &[]);
        tar.truncate(tar.len() - 1024);
        for (n, (entry, text)) in entries.iter().enumerate() {
            match n == at {
                true => put_it(&mut tar),
                false => put_entry(&mut tar, entry, text),
            }
        }
        tar.resize(tar.len() + 1024, 0);
        code(check(tar.as_slice()))
    };
    let path = "root/usr/cc";
    assert_eq!(instead(&|tar| put(tar, path, EntryType::Regular, 0o644, "", b"compiler")), "");
    for (what, kind, mode, link, text) in [
        ("another content", EntryType::Regular, 0o644, "", "compileR"),
        ("another size", EntryType::Regular, 0o644, "", "compilers"),
        ("setuid", EntryType::Regular, 0o4755, "", "compiler"),
        ("another mode", EntryType::Regular, 0o755, "", "compiler"),
        ("a folder", EntryType::Directory, 0o755, "", ""),
        ("a link", EntryType::Symlink, 0o755, "/etc/passwd", ""),
    ] {
        assert_eq!(instead(&|tar| put(tar, path, kind, mode, link, text.as_bytes())), "archive-damaged", "{what}");
    }
    for kind in [
        EntryType::Char,
        EntryType::Block,
        EntryType::Fifo,
        EntryType::Link,
        EntryType::GNUSparse,
        EntryType::Continuous,
        EntryType::XHeader,
        EntryType::XGlobalHeader,
    ] {
        assert_eq!(instead(&|tar| put(tar, path, kind, 0o644, "target/config", b"")), "archive-kind", "{kind:?}");
    }
    assert_eq!(instead(&|tar| put(tar, "root/usr/cd", EntryType::Regular, 0o644, "", b"compiler")), "archive-damaged");
    assert_eq!(instead(&|_| {}), "archive-damaged", "left out");
    let twice = |tar: &mut Vec<u8>| {
        for _ in 0..2 {
            put(tar, path, EntryType::Regular, 0o644, "", b"compiler");
        }
    };
    assert_eq!(instead(&twice), "archive-damaged");
    let long = |tar: &mut Vec<u8>| put(tar, "x", EntryType::GNULongName, 0o644, "", &vec![b'x'; 8192]);
    assert_eq!(instead(&long), "archive-damaged");
}

#[test]
fn headers_and_lists_are_compared() {
    let entries = small();
    let list = lines(&entries);
    let sound = header(&list, &entries);
    let changed = |change: &dyn Fn(&mut Header)| {
        let mut header = sound.clone();
        change(&mut header);
        code(check(tar_of(&header, &list, &entries).as_slice()))
    };
    assert_eq!(changed(&|h| h.kmend_target = 2), "archive-version");
    assert_eq!(changed(&|h| h.list = "0".repeat(64)), "archive-damaged");
    assert_eq!(changed(&|h| h.entries += 1), "archive-damaged");
    assert_eq!(changed(&|h| h.bytes -= 1), "archive-damaged");
    assert_eq!(changed(&|h| h.bytes = u64::MAX), "archive-too-large");
    assert_eq!(changed(&|h| h.entries = 1 << 40), "archive-too-large");
    assert_eq!(changed(&|h| h.toolchain = Some(RUST.into())), "archive-damaged");
    assert_eq!(changed(&|h| h.toolchain = Some("..".into())), "archive-damaged");
    for text in ["", "{}", "null", "[]", "{\"kmend_target\": -1}", "x"] {
        let mut tar = Vec::new();
        put(&mut tar, HEADER, EntryType::Regular, 0o644, "", text.as_bytes());
        assert_eq!(code(check(tar.as_slice())), "archive-foreign", "{text}");
    }
    let mut tar = Vec::new();
    put(&mut tar, HEADER, EntryType::Regular, 0o644, "", b"{\"kmend_target\": 1}");
    assert_eq!(code(check(tar.as_slice())), "archive-damaged");
    for line in ["x\ty", "d", "d\ta\tb", "f\t644\t1\tab\troot/x", "f\t4755\t1\tab\troot/x", ""] {
        let list = format!("{list}{line}\n");
        assert_eq!(
            code(check(tar_of(&header(&list, &entries), &list, &entries).as_slice())),
            "archive-damaged",
            "{line}"
        );
    }
    // A number that is written in another way would give the same entries another sum.
    let other = list.replacen("\t8\t", "\t08\t", 1);
    assert!(other != list);
    assert_eq!(code(check(tar_of(&header(&other, &entries), &other, &entries).as_slice())), "archive-damaged");
}

#[test]
fn what_is_cut_off_or_continued_is_refused() {
    let entries = small();
    let list = lines(&entries);
    let tar = tar_of(&header(&list, &entries), &list, &entries);
    // The zeros at the end of a tar may be missing.
    for length in 0..tar.len() - 1024 {
        let code = code(check(&tar[..length]));
        assert!(matches!(code, "archive-truncated" | "archive-damaged" | "archive-foreign"), "{length}: {code}");
    }
    let packed = zstd::bulk::compress(&tar, 1).unwrap();
    for length in 0..packed.len() {
        let result = read(&packed[..length], |_, _, _| Ok(Kept::default())).map(|(header, _)| header);
        assert_eq!(code(result), "archive-truncated", "{length}");
    }
    let more = |bytes: &[u8]| {
        let result = read([&packed, bytes].concat().as_slice(), |_, _, _| Ok(Kept::default()));
        code(result.map(|(header, _)| header))
    };
    assert_eq!(more(b""), "");
    assert_eq!(more(b"more of it"), "archive-damaged");
    assert_eq!(more(&zstd::bulk::compress(&[1; 10], 1).unwrap()), "archive-damaged");
    for foreign in [&b"text, and no archive at all"[..], b"\x1f\x8b\x08\0", &[0; 4096], b"\x7fELF"] {
        let result = read(foreign, |_, _, _| Ok(Kept::default())).map(|(header, _)| header);
        assert_eq!(code(result), "archive-foreign");
    }
}

/// A terabyte of zeros takes no memory and no time, wherever it is.
#[test]
fn bombs() {
    let entries = small();
    let list = lines(&entries);
    let header = header(&list, &entries);
    let bomb = |path: &str, kind: EntryType| {
        let mut head = tar::Header::new_gnu();
        head.as_mut_bytes()[..path.len()].copy_from_slice(path.as_bytes());
        head.set_entry_type(kind);
        head.set_size(1 << 40);
        head.set_mode(0o644);
        head.set_cksum();
        head.as_bytes().to_vec()
    };
    let zeros = || std::io::repeat(0).take(1 << 40);
    assert_eq!(code(check(bomb(HEADER, EntryType::Regular).chain(zeros()))), "archive-foreign");
    assert_eq!(code(check(bomb(HEADER, EntryType::GNULongName).chain(zeros()))), "archive-foreign");
    let mut tar = Vec::new();
    put(&mut tar, HEADER, EntryType::Regular, 0o644, "", serde_json::to_string(&header).unwrap().as_bytes());
    let before = [tar.as_slice(), &bomb(LIST, EntryType::Regular)].concat();
    assert_eq!(code(check(before.chain(zeros()))), "archive-too-large");
    let mut tar = tar_of(&header, &list, &[]);
    tar.truncate(tar.len() - 1024);
    let before = [tar.as_slice(), &bomb("root", EntryType::Regular)].concat();
    assert_eq!(code(check(before.chain(zeros()))), "archive-damaged");
    // Behind the end.
    assert_eq!(code(check(tar_of(&header, &list, &entries).chain(zeros()))), "archive-damaged");
    // As zstd packs it: a file of 10 KiB.
    let mut packer = zstd::stream::write::Encoder::new(Vec::new(), 1).unwrap();
    packer.write_all(&tar_of(&header, &list, &entries)).unwrap();
    std::io::copy(&mut std::io::repeat(0).take(256 << 20), &mut packer).unwrap();
    let packed = packer.finish().unwrap();
    assert!(packed.len() < 64 << 10);
    assert_eq!(code(read(packed.as_slice(), |_, _, _| Ok(Kept::default())).map(|(h, _)| h)), "archive-damaged");
}

trait Chained {
    fn chain(&self, more: impl Read) -> impl Read;
}

impl Chained for Vec<u8> {
    fn chain(&self, more: impl Read) -> impl Read {
        Read::chain(std::io::Cursor::new(self.clone()), more)
    }
}
