// SPDX-License-Identifier: GPL-2.0-or-later
//! Reads a patch file (bytes) into the files and hunks it changes; what is no plain text change is a fault.
//!
//! Understands `git format-patch` mails, `git diff` and `diff -u`. Text around the diffs is skipped, nothing
//! within them is: a hunk that is longer or shorter than its header says is a fault, not a guess.

/// Patch files larger than this are refused: a live patch is never that big.
pub const MAX_BYTES: u64 = 8 << 20;
const MAX_FILES: usize = 1000;

/// Why a patch file cannot be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// Line in the patch file, from 1; 0 for the whole file.
    pub line: usize,
    /// Stable name of the reason: `patch-malformed`, `patch-unsupported`, `patch-path`.
    pub code: &'static str,
    /// What is wrong, one sentence.
    pub reason: String,
    /// What helps.
    pub hint: &'static str,
}

/// One file's part of a patch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileDiff {
    /// Name after `---`, None for /dev/null.
    pub old: Option<String>,
    /// Name after `+++`, None for /dev/null.
    pub new: Option<String>,
    /// Line of the `---` header in the patch file.
    pub line: usize,
    /// The hunks, in order; never empty.
    pub hunks: Vec<Hunk>,
}

/// One hunk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hunk {
    /// Line of its `@@` header in the patch file.
    pub line: usize,
    /// First line in the old file.
    pub old_start: u64,
    /// Lines in the old file.
    pub old_len: u64,
    /// First line in the new file.
    pub new_start: u64,
    /// Lines in the new file.
    pub new_len: u64,
    /// The lines, each with its leading ' ', '+', '-' or '\' and its newline.
    pub body: Vec<u8>,
}

impl Hunk {
    /// Lines of the body that begin with `mark`, without it.
    pub fn lines_with(&self, mark: u8) -> impl Iterator<Item = &[u8]> {
        self.body.split_inclusive(|b| *b == b'\n').filter(move |l| l.first() == Some(&mark)).map(|l| &l[1..])
    }

    /// The lines that are to be found in the source, in order.
    pub fn old_lines(&self) -> impl Iterator<Item = &[u8]> {
        self.body.split_inclusive(|b| *b == b'\n').filter(|l| matches!(l.first(), Some(b' ' | b'-'))).map(|l| &l[1..])
    }
}

fn fault<T>(line: usize, code: &'static str, reason: impl Into<String>, hint: &'static str) -> Result<T, Fault> {
    Err(Fault { line, code, reason: reason.into(), hint })
}

fn malformed<T>(line: usize, reason: impl Into<String>) -> Result<T, Fault> {
    fault(line, "patch-malformed", reason, "create the patch again with `git format-patch` or `diff -u`")
}

fn unsupported<T>(line: usize, reason: impl Into<String>, hint: &'static str) -> Result<T, Fault> {
    fault(line, "patch-unsupported", reason, hint)
}

/// Reads a whole patch file.
pub fn read(bytes: &[u8]) -> Result<Vec<FileDiff>, Fault> {
    let lines: Vec<&[u8]> = bytes.split(|b| *b == b'\n').collect();
    let mut files: Vec<FileDiff> = Vec::new();
    let mut i = 0;
    // Line of a `diff --git` whose `---` has not come yet.
    let mut git: Option<usize> = None;
    while i < lines.len() {
        let line = lines[i];
        let next = lines.get(i + 1).copied().unwrap_or_default();
        if line.starts_with(b"diff --git ") {
            check_git_block(git)?;
            git = Some(i + 1);
        } else if line.starts_with(b"--- ") && next.starts_with(b"+++ ") {
            let (file, end) = read_file(&lines, i)?;
            files.push(file);
            if files.len() > MAX_FILES {
                return unsupported(i + 1, format!("it changes more than {MAX_FILES} files"), "split the fix");
            }
            (i, git) = (end, None);
            continue;
        } else if git.is_some() {
            check_extended_header(line, i + 1)?;
        } else if line.starts_with(b"Binary files ") && line.ends_with(b" differ") {
            return unsupported(i + 1, "it changes a binary file", "only text changes can be live patched");
        } else if line.starts_with(b"@@ -") {
            return malformed(i + 1, "a hunk begins here without the `---` and `+++` lines of its file");
        }
        i += 1;
    }
    check_git_block(git)?;
    if files.is_empty() {
        return malformed(0, "it contains no diff: there are no `---` and `+++` lines");
    }
    Ok(files)
}

fn check_git_block(begun: Option<usize>) -> Result<(), Fault> {
    match begun {
        Some(line) => unsupported(
            line,
            "this `diff --git` changes no text (an empty file, or only a mode)",
            "leave that part out of the fix",
        ),
        None => Ok(()),
    }
}

fn check_extended_header(line: &[u8], at: usize) -> Result<(), Fault> {
    let is = |p: &str| line.starts_with(p.as_bytes());
    if is("rename from ") || is("rename to ") || is("copy from ") || is("copy to ") {
        return unsupported(
            at,
            "it renames or copies a file",
            "write the fix as a change of the file under its old name (`git format-patch --no-renames` shows what moved)",
        );
    }
    if is("GIT binary patch") || (is("Binary files ") && line.ends_with(b" differ")) {
        return unsupported(at, "it changes a binary file", "only text changes can be live patched");
    }
    if line.ends_with(b"mode 120000") || line.ends_with(b"mode 160000") {
        return unsupported(at, "it adds or changes a symbolic link or a submodule", "leave that part out of the fix");
    }
    Ok(())
}

fn read_file(lines: &[&[u8]], at: usize) -> Result<(FileDiff, usize), Fault> {
    if lines[at].ends_with(b"\r") || lines[at + 1].ends_with(b"\r") {
        return malformed(at + 1, "its lines end in carriage returns (DOS line ends, which some mail programs add)");
    }
    let old = name(&lines[at][4..], at + 1)?;
    let new = name(&lines[at + 1][4..], at + 2)?;
    if old.is_none() && new.is_none() {
        return malformed(at + 1, "both sides of this diff are /dev/null");
    }
    let mut file = FileDiff { old, new, line: at + 1, hunks: Vec::new() };
    let mut i = at + 2;
    while i < lines.len() && lines[i].starts_with(b"@@ ") {
        let (hunk, end) = read_hunk(lines, i)?;
        file.hunks.push(hunk);
        i = end;
    }
    if file.hunks.is_empty() {
        return malformed(i + 1, "no hunk (`@@ -…`) follows the `---` and `+++` lines");
    }
    // What follows a complete hunk must not look like more of it.
    if let Some(line) = lines.get(i) {
        let header = line.starts_with(b"--- ") && lines.get(i + 1).is_some_and(|n| n.starts_with(b"+++ "));
        let signature = *line == b"-- " || *line == b"--";
        if matches!(line.first(), Some(b'+' | b'-' | b' ')) && !header && !signature {
            return malformed(i + 1, "the hunk before this line is longer than its `@@` header says");
        }
        if line.starts_with(b"@@") {
            return malformed(i + 1, "this `@@` line cannot be read");
        }
    }
    Ok((file, i))
}

/// A file name as `---` and `+++` have it; None for /dev/null.
fn name(raw: &[u8], at: usize) -> Result<Option<String>, Fault> {
    let raw = raw.split(|b| *b == b'\t').next().unwrap_or_default();
    let Ok(name) = std::str::from_utf8(raw) else {
        return fault(at, "patch-path", "the file name is not UTF-8", "no file of the kernel has such a name");
    };
    // diff -u of old programs separates the time stamp by blanks; no file in the kernel has one in its name.
    let name = name.split(' ').next().unwrap_or_default();
    if name == "/dev/null" {
        return Ok(None);
    }
    let bad = |reason: &str| {
        fault(at, "patch-path", format!("{reason}: {name:?}"), "file names in a fix are relative to the kernel tree")
    };
    if name.is_empty() {
        return bad("a file name is missing");
    }
    if name.starts_with('"') {
        return bad("quoted file names are not supported");
    }
    if name.starts_with('/') {
        return bad("the file name is absolute");
    }
    if name.split('/').any(|part| part == "..") {
        return bad("the file name points outside the tree");
    }
    if name.bytes().any(|b| b < 0x20 || b == 0x7f || b == b'\\') {
        return bad("the file name contains control characters or backslashes");
    }
    let parts: Vec<&str> = name.split('/').filter(|p| !p.is_empty() && *p != ".").collect();
    if parts.is_empty() {
        return bad("a file name is missing");
    }
    Ok(Some(parts.join("/")))
}

fn read_hunk(lines: &[&[u8]], at: usize) -> Result<(Hunk, usize), Fault> {
    let Some((old_start, old_len, new_start, new_len)) = hunk_header(lines[at]) else {
        return malformed(at + 1, "this hunk header cannot be read (`@@ -line,count +line,count @@`)");
    };
    let mut hunk = Hunk { line: at + 1, old_start, old_len, new_start, new_len, body: Vec::new() };
    let (mut old, mut new) = (0u64, 0u64);
    let mut i = at + 1;
    while old < old_len || new < new_len {
        // The piece after the last newline of the file is no line.
        let Some(line) = lines.get(i).filter(|l| i + 1 < lines.len() || !l.is_empty()) else {
            return malformed(
                i.min(lines.len()),
                format!("the patch ends within the hunk of line {}: it was cut off", at + 1),
            );
        };
        match line.first() {
            // Mailers cut the blank off empty context lines.
            Some(b' ') | None => (old, new) = (old + 1, new + 1),
            Some(b'-') => old += 1,
            Some(b'+') => new += 1,
            Some(b'\\') => {}
            _ => {
                return malformed(
                    i + 1,
                    format!(
                        "the hunk of line {} is shorter than its `@@` header says, or its lines are wrapped",
                        at + 1
                    ),
                )
            }
        }
        if old > old_len || new > new_len {
            return malformed(i + 1, format!("the hunk of line {} does not match its `@@` header", at + 1));
        }
        hunk.body.extend_from_slice(if line.is_empty() { b" " } else { line });
        hunk.body.push(b'\n');
        i += 1;
    }
    if lines.get(i).is_some_and(|l| l.starts_with(b"\\ ")) {
        hunk.body.extend_from_slice(lines[i]);
        hunk.body.push(b'\n');
        i += 1;
    }
    Ok((hunk, i))
}

fn hunk_header(line: &[u8]) -> Option<(u64, u64, u64, u64)> {
    let text = std::str::from_utf8(line.get(..line.len().min(80))?).or_else(|e| {
        // The function name behind the second @@ may be cut within a character.
        std::str::from_utf8(&line[..e.valid_up_to()])
    });
    let rest = text.ok()?.strip_prefix("@@ -")?;
    let (ranges, _) = rest.split_once(" @@")?;
    let (old, new) = ranges.split_once(" +")?;
    let range = |r: &str| -> Option<(u64, u64)> {
        let (start, len) = r.split_once(',').unwrap_or((r, "1"));
        let number = |s: &str| s.bytes().all(|b| b.is_ascii_digit()).then(|| s.parse::<u32>().ok()).flatten();
        Some((number(start)?.into(), number(len)?.into()))
    };
    let ((a, b), (c, d)) = (range(old)?, range(new)?);
    Some((a, b, c, d))
}

#[cfg(test)]
mod tests {
    use super::*;

    const MAIL: &str = "From abc Mon Sep 17 00:00:00 2001\nSubject: [PATCH] x\n\nbody\n---\n f.c | 2 +-\n\n\
        diff --git a/fs/f.c b/fs/f.c\nindex 1..2 100644\n--- a/fs/f.c\n+++ b/fs/f.c\n@@ -1,3 +1,3 @@ int f(void)\n \
        a\n-b\n+c\n d\n-- \n2.39.0\n\n";

    #[test]
    fn reads_a_mail() {
        let files = read(MAIL.as_bytes()).unwrap();
        assert_eq!(files.len(), 1);
        assert_eq!(files[0].old.as_deref(), Some("a/fs/f.c"));
        assert_eq!(files[0].new.as_deref(), Some("b/fs/f.c"));
        let h = &files[0].hunks[0];
        assert_eq!((h.old_start, h.old_len, h.new_start, h.new_len), (1, 3, 1, 3));
        assert_eq!(h.body, b" a\n-b\n+c\n d\n");
        assert_eq!(h.lines_with(b'+').collect::<Vec<_>>(), [b"c\n"]);
    }

    #[test]
    fn reads_plain_diffs_with_time_stamps_and_no_newline() {
        let text =
            "--- linux/a.c.orig\t2024-01-01 00:00:00\n+++ linux/a.c 2024-01-01\n@@ -1 +1 @@\n-a\n\\ No newline at \
                    end of file\n+b\n\\ No newline at end of file\n";
        let f = &read(text.as_bytes()).unwrap()[0];
        assert_eq!((f.old.as_deref(), f.new.as_deref()), (Some("linux/a.c.orig"), Some("linux/a.c")));
        assert!(f.hunks[0].body.ends_with(b"+b\n\\ No newline at end of file\n"));
    }

    #[test]
    fn a_removed_line_that_looks_like_a_header_is_part_of_the_hunk() {
        let text = "--- a/x\n+++ b/x\n@@ -1,2 +1 @@\n--- a/y\n b\n--- a/z\n+++ b/z\n@@ -1 +1 @@\n-a\n+b\n";
        let files = read(text.as_bytes()).unwrap();
        assert_eq!(files.len(), 2);
        assert_eq!(files[0].hunks[0].body, b"--- a/y\n b\n");
    }

    #[test]
    fn every_cut_of_a_patch_is_read_or_refused() {
        for end in 0..MAIL.len() {
            // Cut after the last changed line only the signature is missing.
            let last = MAIL.find("\n d\n").unwrap();
            // A lone '-' could be the beginning of a removed line.
            let whole = end >= last + 2 && end != last + 5;
            assert_eq!(read(&MAIL.as_bytes()[..end]).is_ok(), whole, "cut at {end}");
        }
    }

    fn code(text: &str) -> (&'static str, usize) {
        let f = read(text.as_bytes()).unwrap_err();
        (f.code, f.line)
    }

    #[test]
    fn refuses_what_is_no_plain_change() {
        let git = "diff --git a/x b/x\n";
        assert_eq!(code(&format!("{git}rename from x\nrename to y\n")), ("patch-unsupported", 2));
        assert_eq!(code(&format!("{git}old mode 100644\nnew mode 100755\n")), ("patch-unsupported", 1));
        assert_eq!(code(&format!("{git}GIT binary patch\n")), ("patch-unsupported", 2));
        assert_eq!(code(&format!("{git}new file mode 120000\n")), ("patch-unsupported", 2));
        assert_eq!(code("Binary files a/x and b/x differ\n"), ("patch-unsupported", 1));
    }

    #[test]
    fn refuses_bad_paths() {
        for bad in ["../x", "a/../../x", "/etc/passwd", "\"a/x\"", "a/x\\y", ""] {
            let text = format!("--- {bad}\n+++ b/x\n@@ -1 +1 @@\n-a\n+b\n");
            assert_eq!(code(&text), ("patch-path", 1), "{bad}");
        }
    }

    #[test]
    fn refuses_broken_hunks() {
        let head = "--- a/x\n+++ b/x\n";
        assert_eq!(code(&format!("{head}@@ -1 +1 @@\n-a\n+b\n+c\n")).1, 6);
        assert_eq!(code(&format!("{head}@@ -1,2 +1,2 @@\n-a\n+b\nwrapped\n")).1, 6);
        assert_eq!(code(&format!("{head}@@ -1,9 +1,9 @@\n-a\n+b\n")).0, "patch-malformed");
        assert_eq!(code(&format!("{head}@@ -x +1 @@\n-a\n+b\n")).1, 3);
        assert_eq!(code(&format!("{head}@@ -99999999999 +1 @@\n-a\n+b\n")).1, 3);
        assert_eq!(code("@@ -1 +1 @@\n-a\n+b\n").1, 1);
        assert_eq!(code(&format!("{head}text\n")).1, 3);
        assert_eq!(code("--- a/x\r\n+++ b/x\r\n@@ -1 +1 @@\r\n-a\r\n+b\r\n").0, "patch-malformed");
        assert_eq!(code("nothing here\n"), ("patch-malformed", 0));
        assert_eq!(code(""), ("patch-malformed", 0));
    }
}
