// SPDX-License-Identifier: GPL-2.0-or-later
//! An exported target of a few files, unpacked: a tar.

use kmend_builder::files;

/// The folders, files and links of [`sound`], with the contents of the files.
const ENTRIES: [(&str, &str, &str); 8] = [
    ("5", "root", ""),
    ("5", "root/usr", ""),
    ("0", "root/usr/cc", "a compiler"),
    ("5", "target", ""),
    ("0", "target/config", "CONFIG_X=y\n"),
    ("5", "target/tree", ""),
    ("2", "root/bin", "usr/"),
    ("2", "target/tree/link", "file"),
];

/// A sound one.
pub fn sound() -> Vec<u8> {
    let mut tar = with_list(&list());
    for (kind, path, text) in ENTRIES {
        match kind {
            "5" => put(&mut tar, path, kind, "", b""),
            "2" => put(&mut tar, path, kind, text, b""),
            _ => put(&mut tar, path, kind, "", text.as_bytes()),
        }
    }
    tar
}

/// The list of [`sound`].
pub fn list() -> String {
    let line = |(kind, path, text): (&str, &str, &str)| match kind {
        "5" => format!("d\t{path}\n"),
        "2" => format!("l\t{text}\t{path}\n"),
        _ => format!("f\t644\t{}\t{}\t{path}\n", text.len(), files::sha256(text.as_bytes())),
    };
    ENTRIES.map(line).concat()
}

/// A header that fits the list, and the list; no entries.
pub fn with_list(list: &str) -> Vec<u8> {
    let size = |line: &str| line.split('\t').nth(2).and_then(|size| size.parse::<u64>().ok()).unwrap_or_default();
    let bytes = list.lines().filter(|line| line.starts_with("f\t")).map(size).fold(0, u64::saturating_add);
    let header = format!(
        "{{\"kmend_target\": 1, \"name\": \"tree:x\", \"arch\": \"x86_64\", \"release\": \"6.1\", \"version\": \"\", \
         \"host\": \"x86_64\", \"toolchain\": \"root\", \"entries\": {}, \"bytes\": {bytes}, \"list\": \"{}\"}}",
        list.split_terminator('\n').count(),
        files::sha256(list.as_bytes())
    );
    let mut tar = Vec::new();
    put(&mut tar, "kmend-target.json", "0", "", header.as_bytes());
    put(&mut tar, "kmend-target.list", "0", "", list.as_bytes());
    tar
}

fn put(tar: &mut Vec<u8>, path: &str, kind: &str, link: &str, text: &[u8]) {
    let mode = if kind == "0" { "644" } else { "755" };
    let mut head = [0; 512];
    let mut field = |at: usize, text: &str| head[at..at + text.len()].copy_from_slice(text.as_bytes());
    field(0, path);
    field(100, mode);
    field(124, &format!("{:011o}", text.len()));
    field(148, "        ");
    field(156, kind);
    field(157, link);
    field(257, "ustar  ");
    let sum: u32 = head.iter().map(|b| u32::from(*b)).sum();
    head[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    tar.extend(head);
    tar.extend(text);
    tar.resize(tar.len().next_multiple_of(512), 0);
}
