// SPDX-License-Identifier: GPL-2.0-or-later
//! The patch series for the kernel's lists: kmod/ in, docs/upstream/ out. The files that the kernel gets are those that live patches
//! are compiled with; messages and hunks for files that the kernel has are in kmod/upstream/. docs/upstream.md is the page about it.

mod check;
mod render;

use crate::home;
use crate::say::{self, Tone};
use anyhow::{bail, ensure, Context, Result};
use kmend_builder::files;
use render::render;
use similar::TextDiff;
use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::{Path, PathBuf};

/// Who sends the series as it is kept: signing off is the sender's own word, for which `--author` is there.
const AUTHOR: &str = "Your Name <you@example.org>";

/// Where the series is kept, in the repository.
const KEPT: &str = "docs/upstream";

/// One patch: its message and its hunks for files that the kernel has.
const PARTS: [&str; 6] = [
    include_str!("../../../kmod/upstream/1-module-key.txt"),
    include_str!("../../../kmod/upstream/2-patch.txt"),
    include_str!("../../../kmod/upstream/3-callbacks.txt"),
    include_str!("../../../kmod/upstream/4-shadow.txt"),
    include_str!("../../../kmod/upstream/5-sample.txt"),
    include_str!("../../../kmod/upstream/6-maintainers.txt"),
];
const COVER: &str = include_str!("../../../kmod/upstream/0-cover.txt");

/// Files that the kernel does not have: the patch that adds each, its path in the kernel, its text here.
const FILES: [(usize, &str, &str); 5] = [
    (2, "rust/kernel/livepatch.rs", include_str!("../../../kmod/livepatch.rs")),
    (3, "rust/kernel/livepatch/callbacks.rs", include_str!("../../../kmod/livepatch/callbacks.rs")),
    (3, "rust/kernel/livepatch/state.rs", include_str!("../../../kmod/livepatch/state.rs")),
    (4, "rust/kernel/livepatch/shadow.rs", include_str!("../../../kmod/livepatch/shadow.rs")),
    (5, "samples/rust/rust_livepatch.rs", include_str!("../../../kmod/upstream/rust_livepatch.rs")),
];

/// `upstream [--author 'Name <mail>'] [-o DIR]`, `upstream check [TARGET]…`
pub fn run(args: &[String]) -> Result<()> {
    if args.first().is_some_and(|a| a == "check") {
        return check::run(&args[1..]);
    }
    let (mut author, mut dir) = (AUTHOR.to_string(), home()?.join(KEPT));
    let mut args = args.iter();
    while let Some(arg) = args.next() {
        let value = args.next().with_context(|| format!("{arg} wants a value"))?;
        match arg.as_str() {
            "--author" => author.clone_from(value),
            "-o" => dir = PathBuf::from(value),
            _ => bail!("{arg} is not known; known are: check [TARGET]…, --author 'Name <mail>', -o DIR"),
        }
    }
    let is_author = author.ends_with('>') && author.contains(" <") && author.contains('@') && !author.contains('\n');
    ensure!(is_author, "--author {author:?}: it has to be of the form 'Name <mail>'");
    let series = series(&author)?;
    write(&dir, &series)?;
    println!("{}", say::toned(Tone::Good, &format!("{} files in {}", series.len(), dir.display())));
    Ok(())
}

/// Writes the files of a series, and removes patches that are no part of it.
fn write(dir: &Path, series: &BTreeMap<String, String>) -> Result<()> {
    for name in kept(dir)?.keys().filter(|name| !series.contains_key(*name)) {
        let path = dir.join(name);
        std::fs::remove_file(&path).with_context(|| format!("cannot remove {}", path.display()))?;
    }
    series.iter().try_for_each(|(name, text)| files::write(&dir.join(name), text.as_bytes()))
}

/// The patches in `dir`, by file name.
fn kept(dir: &Path) -> Result<BTreeMap<String, String>> {
    let mut found = BTreeMap::new();
    for entry in std::fs::read_dir(dir).into_iter().flatten() {
        let path = entry.with_context(|| format!("cannot list {}", dir.display()))?.path();
        if path.extension().is_some_and(|e| e == "patch") {
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            found.insert(name, files::read_text(&path)?);
        }
    }
    Ok(found)
}

/// The mails of the series, by file name.
fn series(author: &str) -> Result<BTreeMap<String, String>> {
    let mut all = BTreeMap::new();
    let (mut stats, mut titles) = (Vec::new(), String::new());
    for (n, part) in (1..).zip(PARTS) {
        let part = Part::read(part).with_context(|| format!("kmod/upstream/{n}-*.txt"))?;
        let diff = part.hunks.to_string() + &diff_of(n)?;
        let stat = stat(&diff);
        let body = format!("{}\nSigned-off-by: {author}\n---\n{}\n{diff}", part.body, diffstat(&stat));
        all.insert(name(n, part.subject), mail(author, n, part.subject, &body));
        let _ = writeln!(titles, "  {}", part.subject);
        stats.extend(stat);
    }
    let cover = Part::read(COVER).context("kmod/upstream/0-cover.txt")?;
    let from = author.split(" <").next().unwrap_or(author);
    let body = format!("{}\n{from} ({}):\n{titles}\n{}\n", cover.body, PARTS.len(), diffstat(&stats));
    all.insert("0000-cover-letter.patch".into(), mail(author, 0, cover.subject, &body));
    Ok(all)
}

/// The file's name as git would have it.
fn name(n: usize, subject: &str) -> String {
    let words = subject.split(|c: char| !c.is_ascii_alphanumeric() && c != '_').filter(|w| !w.is_empty());
    format!("{n:04}-{}.patch", words.collect::<Vec<_>>().join("-"))
}

fn mail(author: &str, n: usize, subject: &str, body: &str) -> String {
    let of = PARTS.len();
    format!(
        "From 0000000000000000000000000000000000000000 Mon Sep 17 00:00:00 2001\nFrom: {author}\n\
         Date: Thu, 1 Jan 1970 00:00:00 +0000\nSubject: [PATCH {n}/{of}] {subject}\n\n{body}-- \nkmend\n\n"
    )
}

/// A text of kmod/upstream/.
struct Part<'a> {
    subject: &'a str,
    /// With its end of line.
    body: &'a str,
    hunks: &'a str,
}

impl<'a> Part<'a> {
    fn read(text: &'a str) -> Result<Self> {
        let (licence, rest) = text.split_once('\n').unwrap_or_default();
        ensure!(licence.starts_with("# SPDX-License-Identifier: "), "the first line is no licence");
        let (subject, rest) = rest.split_once("\n\n").context("a blank line must come after the subject")?;
        let (body, hunks) = match rest.split_once("\n---\n") {
            Some((body, hunks)) => (&rest[..=body.len()], hunks),
            None => (rest, ""),
        };
        Ok(Self { subject, body, hunks })
    }
}

/// What part `n` does to files that the kernel does not have.
fn diff_of(n: usize) -> Result<String> {
    let mut out = String::new();
    for (since, path, text) in FILES.iter().filter(|(since, ..)| *since <= n) {
        let now = render(text, n).with_context(|| format!("the text of {path}"))?;
        let (a, b) = (format!("a/{path}"), format!("b/{path}"));
        if *since == n {
            let _ = writeln!(out, "diff --git {a} {b}\nnew file mode 100644\n--- /dev/null\n+++ {b}");
            let _ = writeln!(out, "@@ -0,0 +1,{} @@", now.lines().count());
            now.lines().for_each(|line| out += &format!("+{line}\n"));
            continue;
        }
        let before = render(text, n - 1).with_context(|| format!("the text of {path}"))?;
        if before != now {
            let _ = writeln!(out, "diff --git {a} {b}");
            out += &TextDiff::from_lines(&before, &now).unified_diff().header(&a, &b).to_string();
        }
    }
    Ok(out)
}

/// Added and removed lines of each file.
fn stat(diff: &str) -> Vec<(String, usize, usize)> {
    let mut all: Vec<(String, usize, usize)> = Vec::new();
    let mut in_hunks = false;
    for line in diff.lines() {
        if let Some(names) = line.strip_prefix("diff --git a/") {
            all.push((names.split(' ').next().unwrap_or_default().into(), 0, 0));
            in_hunks = false;
        } else if line.starts_with("@@ ") {
            in_hunks = true;
        } else if let (true, Some((_, added, removed))) = (in_hunks, all.last_mut()) {
            *added += usize::from(line.starts_with('+'));
            *removed += usize::from(line.starts_with('-'));
        }
    }
    all
}

/// As `git diff --stat` shows it.
fn diffstat(all: &[(String, usize, usize)]) -> String {
    let mut files: BTreeMap<&str, (usize, usize)> = BTreeMap::new();
    for (name, added, removed) in all {
        let (a, r) = files.entry(name).or_default();
        (*a, *r) = (*a + added, *r + removed);
    }
    let most = files.values().map(|(a, r)| a + r).max().unwrap_or(0);
    let (width, digits) = (files.keys().map(|n| n.len()).max().unwrap_or(0), most.to_string().len());
    let mut out = String::new();
    for (name, (added, removed)) in &files {
        let scaled = |n: usize| if most <= 30 { n } else { (n * 30).div_ceil(most) };
        let (plus, minus) = ("+".repeat(scaled(*added)), "-".repeat(scaled(*removed)));
        let _ = writeln!(out, " {name:<width$} | {:>digits$} {plus}{minus}", added + removed);
    }
    let (added, removed) = files.values().fold((0, 0), |(a, r), (x, y)| (a + x, r + y));
    let _ = write!(out, " {} file{} changed", files.len(), if files.len() == 1 { "" } else { "s" });
    for (n, what, sign) in [(added, "insertion", '+'), (removed, "deletion", '-')] {
        if n > 0 {
            let _ = write!(out, ", {n} {what}{}({sign})", if n == 1 { "" } else { "s" });
        }
    }
    out + "\n"
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::{Command, Stdio};

    /// `BLESS=1` writes what the chore would.
    #[test]
    fn the_series_is_that_of_kmod() {
        let dir = home().unwrap().join(KEPT);
        let made = series(AUTHOR).unwrap();
        if std::env::var_os("BLESS").is_some() {
            write(&dir, &made).unwrap();
        }
        let kept = kept(&dir).unwrap();
        let names = |all: &BTreeMap<String, String>| all.keys().cloned().collect::<Vec<_>>();
        assert_eq!(names(&kept), names(&made), "`cargo xtask upstream` or BLESS=1 writes {KEPT}");
        for (name, text) in &made {
            assert!(kept[name] == *text, "{KEPT}/{name} is not what kmod/ says: `cargo xtask upstream` or BLESS=1");
        }
    }

    #[test]
    fn what_the_kernel_gets_is_formatted_as_the_kernel_does_it() {
        let config = home().unwrap().join("kmod");
        for (since, path, text) in FILES {
            for part in since..=PARTS.len() {
                let text = render(text, part).unwrap();
                assert!(!text.contains("kmend") && !text.contains("out of tree"), "{path}");
                let mut rustfmt = Command::new("rustfmt")
                    .args(["--check", "--edition", "2021", "--config-path"])
                    .arg(&config)
                    .stdin(Stdio::piped())
                    .stdout(Stdio::piped())
                    .spawn()
                    .unwrap();
                std::io::Write::write_all(&mut rustfmt.stdin.take().unwrap(), text.as_bytes()).unwrap();
                let out = rustfmt.wait_with_output().unwrap();
                assert!(out.status.success(), "{path}: {}", String::from_utf8_lossy(&out.stdout));
            }
        }
    }

    /// The series makes the files that are compiled here: on top of nothing, with git.
    #[test]
    fn git_applies_the_new_files() {
        let dir = tempfile::tempdir().unwrap();
        for n in 1..=PARTS.len() {
            let patch = dir.path().join("p.patch");
            files::write(&patch, diff_of(n).unwrap().as_bytes()).unwrap();
            if !files::read(&patch).unwrap().is_empty() {
                let git = Command::new("git").args(["apply", "p.patch"]).current_dir(dir.path()).output().unwrap();
                assert!(git.status.success(), "{n}: {}", String::from_utf8_lossy(&git.stderr));
            }
        }
        for (_, path, text) in FILES {
            assert_eq!(files::read_text(&dir.path().join(path)).unwrap(), render(text, PARTS.len()).unwrap(), "{path}");
        }
    }

    #[test]
    fn names_and_figures_are_as_gits() {
        assert_eq!(name(2, "rust: livepatch: add `x`"), "0002-rust-livepatch-add-x.patch");
        let diff = "diff --git a/x b/x\n--- a/x\n+++ b/x\n@@ -1 +1,2 @@\n-a\n+b\n+c\n";
        assert_eq!(diffstat(&stat(diff)), " x | 3 ++-\n 1 file changed, 2 insertions(+), 1 deletion(-)\n");
    }
}
