// SPDX-License-Identifier: GPL-2.0-or-later
//! A stream for tests: a folder with a stream file of so many kernels, none of which is prepared, and two versions.

use super::check::check;
use super::ledger::{Entry, Ledger};
use super::Stream;
use std::fs;
use tempfile::TempDir;

/// Two versions for `kernels` kernels.
pub fn stream(kernels: usize) -> (TempDir, Stream) {
    let dir = tempfile::tempdir().unwrap();
    for (name, line) in [("a", "b"), ("c", "d")] {
        let text = format!("Subject: [PATCH] {name}\n\n--- a/f.c\n+++ b/f.c\n@@ -1 +1 @@\n-{name}\n+{line}\n");
        fs::write(dir.path().join(format!("{name}.patch")), text).unwrap();
    }
    let tables: String =
        (0..kernels).map(|n| format!("[[kernel]]\ntarget = \"debian:none/6.0.{n}-one-amd64\"\n\n")).collect();
    let text = format!(
        "name = \"s\"\npackager = \"A Team <a@b>\"\n\n{tables}[[version]]\nversion = \"1-1\"\ndate = \"2026-10-01\"\n\n\
         [[version.fix]]\npatch = \"a.patch\"\n\n[[version]]\nversion = \"1-2\"\ndate = \"2026-10-02\"\n\n\
         [[version.fix]]\npatch = \"c.patch\"\n"
    );
    let path = dir.path().join("stream.toml");
    fs::write(&path, &text).unwrap();
    let stream = check(&path, &text).unwrap();
    (dir, stream)
}

/// A ledger in which the stream's first version is released for its first kernel.
pub fn ledger(stream: &Stream) -> Ledger {
    let mut ledger = Ledger::empty(&stream.name);
    let entry = serde_json::json!({"version": "1-1", "date": "2026-10-01", "release": "6", "build_id": "aa", "module": "m",
        "module_sha256": "bb", "states": [], "callbacks": [], "packages": [{"file": "a.deb", "sha256": "cc"}],
        "fixes": [{"file": "a.patch", "sha256": stream.versions[0].fixes[0].sha256,
            "hunks_sha256": stream.versions[0].fixes[0].hunks_sha256, "title": "a", "cves": []}]});
    ledger.enter(&stream.kernels[0].target, serde_json::from_value::<Entry>(entry).unwrap());
    ledger
}
