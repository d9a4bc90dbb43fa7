// SPDX-License-Identifier: GPL-2.0-or-later
//! Stream files that grow: what was there stays, byte for byte.

use super::super::sample;
use super::*;
use std::fs;

fn addition(release: u32, date: Option<&str>) -> Addition {
    Addition {
        version: Version { version: 1, release },
        date: date.map(|date| date.to_string().try_into().unwrap()),
        patches: Vec::new(),
        cves: Vec::new(),
        severity: None,
    }
}

/// A patch file `name` in the stream's folder.
fn patch(stream: &Stream, name: &str, message: &str) -> (String, Vec<u8>) {
    let text = format!("Subject: [PATCH] {message}\n\n--- a/g.c\n+++ b/g.c\n@@ -1 +1 @@\n-{name}\n+x\n");
    fs::write(stream.path.with_file_name(name), &text).unwrap();
    (name.into(), text.into_bytes())
}

#[test]
fn text_is_added_at_the_end() {
    let (_dir, stream) = sample::stream(1);
    let text = "# first\n".to_string() + &fs::read_to_string(&stream.path).unwrap() + "# last";
    let mut more = addition(2, None);
    more.patches = vec![patch(&stream, "e.patch", "it's \"quoted\" \\ CVE-2026-1111 CVE-2026-2222")];
    more.cves = vec!["CVE-2026-1111".to_string().try_into().unwrap()];
    more.severity = Some(Severity::Low);
    let (whole, after) = appended(&stream.path, &text, &more).unwrap();
    let added = whole.strip_prefix(&text).unwrap();
    assert_eq!(
        added,
        "\n\n[[version.fix]]\npatch = \"e.patch\"\n# title = \"it's \\\"quoted\\\" \\\\ CVE-2026-1111 CVE-2026-2222\"\n\
         cves = [\"CVE-2026-1111\"]\n# Its message names these; where it fixes them, take the mark away:\n\
         # cves = [\"CVE-2026-2222\"]\nseverity = \"low\"\n"
    );
    let fixes = &after.versions[1].fixes;
    assert_eq!((after.versions.len(), fixes.len(), fixes[1].cves.len()), (2, 2, 1));
    // A new version; then once more.
    let mut next = addition(3, Some("2026-10-03"));
    next.patches = vec![patch(&stream, "f.patch", "f")];
    let (whole, after) = appended(&stream.path, &whole, &next).unwrap();
    assert_eq!((after.versions.len(), after.versions[2].fixes.len()), (3, 1));
    // The same fix again, and a day that goes back.
    appended(&stream.path, &whole, &Addition { date: None, ..next }).unwrap_err();
    let mut back = addition(4, Some("2026-01-01"));
    back.patches = vec![patch(&stream, "g.patch", "g")];
    assert!(appended(&stream.path, &whole, &back).unwrap_err().to_string().contains("before version"));
}

#[test]
fn line_ends_stay_what_they_are() {
    let (_dir, stream) = sample::stream(1);
    let text = fs::read_to_string(&stream.path).unwrap().replace('\n', "\r\n");
    let mut more = addition(2, None);
    more.patches = vec![patch(&stream, "e.patch", "e")];
    let (whole, _) = appended(&stream.path, &text, &more).unwrap();
    assert!(whole.starts_with(&text) && !whole.replace("\r\n", "").contains('\n'));
}

#[test]
fn kernels_may_come_last_and_inline_versions_may_not() {
    let (_dir, stream) = sample::stream(1);
    let text = fs::read_to_string(&stream.path).unwrap();
    let mut more = addition(2, None);
    more.patches = vec![patch(&stream, "e.patch", "e")];
    let kernels_last = format!("{text}\n[[kernel]]\ntarget = \"debian:none/6.1.0-two-amd64\"\n");
    let (_, after) = appended(&stream.path, &kernels_last, &more).unwrap();
    assert_eq!((after.kernels.len(), after.versions[1].fixes.len()), (2, 2));
    let inline = text.replace("[[version.fix]]\npatch = \"c.patch\"\n", "fix = [{ patch = \"c.patch\" }]\n");
    assert_ne!(inline, text);
    appended(&stream.path, &inline, &more).unwrap_err();
}

#[test]
fn what_comes_from_messages_is_a_remark_of_one_line() {
    let (_dir, stream) = sample::stream(1);
    let text = fs::read_to_string(&stream.path).unwrap();
    let mut more = addition(2, None);
    more.patches = vec![patch(&stream, "e.patch", "a\u{202e}b\u{7f}\r[[kernel]]")];
    let (whole, after) = appended(&stream.path, &text, &more).unwrap();
    assert_eq!(after.kernels.len(), 1);
    assert!(whole.contains("# title = \"a⟨U+202E⟩b"), "{whole}");
}

#[test]
fn a_new_file_says_what_is_needed() {
    let (_dir, stream) = sample::stream(1);
    let beginning = |kernel: &str| Beginning {
        name: "s".to_string().try_into().unwrap(),
        packager: "A \\ Team <a@b>".to_string().try_into().unwrap(),
        url: None,
        kernels: vec![kernel.into()],
    };
    let text = begin(&stream.path, &beginning("debian:none/6.0.0-one-amd64")).unwrap();
    let mut more = addition(1, Some("2026-10-03"));
    more.patches = vec![patch(&stream, "e.patch", "e")];
    let (_, after) = appended(&stream.path, &text, &more).unwrap();
    assert_eq!((after.packager.as_str(), after.versions.len()), ("A \\ Team <a@b>", 1));
    assert!(begin(&stream.path, &beginning("debian:forky")).is_err());
    assert!(begin(&stream.path, &beginning("nonsense")).is_err());
}
