// SPDX-License-Identifier: GPL-2.0-or-later
//! README.md and docs/authors.md against the program: what a block ```` ```console ```` there shows below `$ kmend-build …` has to come
//! out, line by line and in this order. `...` is for lines that are not shown. Times, and what the cache had, do not count.

use super::tool::{folder, KMEND};
use super::Test;
use std::fs::{self, File};
use std::path::Path;
use std::process::Command;

pub const TESTS: &[Test] = &[("readme", || compare("README.md", 2)), ("authors", || compare("docs/authors.md", 2))];

/// Compares the blocks of a page, of which there are at least `least`.
fn compare(page: &str, least: usize) {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let text = fs::read_to_string(root.join(page)).unwrap();
    let blocks: Vec<&str> =
        text.split("\n```console\n").skip(1).map(|rest| rest.split("\n```").next().unwrap()).collect();
    assert!(blocks.len() >= least, "{page} has {} blocks", blocks.len());
    for block in blocks {
        let (command, shown) = block.split_once('\n').expect("a command and what it prints");
        let command = command.strip_prefix("$ kmend-build ").expect("a command of kmend-build");
        let printed = run(&root, command);
        let mut lines = printed.lines().map(plain);
        for line in shown.lines().filter(|line| line.trim() != "...") {
            let line = plain(line);
            assert!(
                lines.any(|l| l == line),
                "{page}: {command}: this line does not come out:\n{line}\nbut:\n{printed}"
            );
        }
    }
}

/// Runs it where `qemu-tests/` is; both outputs, in the order in which they come.
fn run(root: &Path, command: &str) -> String {
    let dir = folder();
    std::os::unix::fs::symlink(root.join("qemu-tests").canonicalize().unwrap(), dir.path().join("qemu-tests")).unwrap();
    let said = File::create(dir.path().join("said")).unwrap();
    let mut run = Command::new(KMEND);
    run.args(command.split(' ')).current_dir(dir.path()).stdout(said.try_clone().unwrap()).stderr(said);
    run.status().unwrap();
    fs::read_to_string(dir.path().join("said")).unwrap()
}

/// A line without what differs from run to run.
fn plain(line: &str) -> String {
    let line = match line.rsplit_once(" [") {
        Some((line, time)) if time.ends_with(" s]") => line,
        _ => line,
    };
    line.split_once(", originals of ").map_or(line, |(line, _)| line).to_string()
}
