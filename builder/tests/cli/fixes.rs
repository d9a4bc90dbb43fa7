// SPDX-License-Identifier: GPL-2.0-or-later
//! Patch files that cannot be used: each is refused by name, place and reason, and nothing is written.

use super::fake::{good_fix, source, Fake};
use super::tool::{collect, names, put};
use super::Test;

pub const TESTS: &[Test] = &[
    ("no_patch_at_all", no_patch_at_all),
    ("hunks_that_do_not_add_up", hunks_that_do_not_add_up),
    ("every_cut_of_a_patch", every_cut_of_a_patch),
    ("hostile_paths", hostile_paths),
    ("symbolic_links_in_the_tree", symbolic_links_in_the_tree),
    ("more_than_text_changes", more_than_text_changes),
    ("huge", huge),
    ("line_ends", line_ends),
    ("does_not_apply", does_not_apply),
    ("missing_files", missing_files),
    ("second_fix_of_two", second_fix_of_two),
];

/// Builds with this patch file and asserts that it is refused with this code alone, at this place of the patch file (`line 3`, or
/// nothing), leaving nothing behind.
fn refused(bytes: impl AsRef<[u8]>, code: &str, place: &str) {
    let fake = Fake::new();
    let fix = put(fake.dir.path(), "the-fix.patch", bytes);
    let ran = collect(fake.command(&fix).arg("--json").arg("-o").arg(fake.out()));
    let refusals = ran.fails(2, &[]).refusals();
    let text = |field: &str| refusals[0][field].as_str().unwrap().to_string();
    assert_eq!((refusals.len(), text("code").as_str()), (1, code), "{refusals:?}");
    let section = text("section");
    assert!(section.starts_with("the-fix.patch") && section.ends_with(place), "{section:?} is not {place:?}");
    assert!(!text("reason").is_empty() && !text("hint").is_empty(), "{refusals:?}");
    assert!(names(&fake.out()).is_empty());
    assert_eq!(std::fs::read_to_string(fake.target.tree.join("fs/a.c")).unwrap(), source(), "the tree was changed");
}

fn no_patch_at_all() {
    let malformed = "patch-malformed";
    for none in ["", "\n\n\n", "just a letter\n"] {
        refused(none, malformed, "the-fix.patch");
    }
    refused([0u8; 5000], malformed, "the-fix.patch");
    refused((0..=255u8).cycle().take(70_000).collect::<Vec<u8>>(), malformed, "the-fix.patch");
    refused("@@ -1 +1 @@\n-a\n+b\n", malformed, "line 1");
    refused("--- a/fs/a.c\n+++ b/fs/a.c\n", malformed, "");
    refused("--- a/fs/a.c\n+++ b/fs/a.c\nthat was all\n", malformed, "line 3");
    refused(b"--- a/\xff\xfe\n+++ b/\xff\xfe\n@@ -1 +1 @@\n-a\n+b\n", "patch-path", "line 1");
}

fn hunks_that_do_not_add_up() {
    let body = " int line9;\n-int line10;\n+int line_ten;\n int line11;\n";
    let fix = |header: &str| format!("--- a/fs/a.c\n+++ b/fs/a.c\n{header}\n{body}");
    let malformed = "patch-malformed";
    for (header, place) in [
        ("@@ -9,2 +9,2 @@", "line 7"),
        ("@@ -9,4 +9,4 @@", "line 7"),
        ("@@ -9,3 +9,1 @@", ""),
        ("@@ -9,4294967296 +9,3 @@", "line 3"),
        ("@@ -9,99999999999999999999 +9,3 @@", "line 3"),
        ("@@ -+9,3 +9,3 @@", "line 3"),
        ("@@ -9,4294967295 +9,4294967295 @@", ""),
        ("@@ --9,3 +9,3 @@", "line 3"),
        ("@@ -9,3 +9,3", "line 3"),
        ("@@ -0,0 +1,0 @@", ""),
    ] {
        refused(fix(header), malformed, place);
    }
    refused(fix("@@ -9,3 +9,3 @@") + "+more\n", malformed, "line 8");
    let no_context = "--- a/fs/a.c\n+++ b/fs/a.c\n@@ -10,0 +11 @@\n+int new;\n";
    refused(no_context, malformed, "");
    refused(fix("@@ -9,3 +9,3 @@").replace(" int line11;\n", "int line11;\n"), malformed, "line 7");
}

fn every_cut_of_a_patch() {
    let fake = Fake::new();
    let fix = good_fix();
    for cut in 0..fix.len() - 1 {
        let path = put(fake.dir.path(), "the-fix.patch", &fix[..cut]);
        let ran = fake.build(&path);
        ran.fails(2, &["the-fix.patch"]);
        assert!(names(&fake.out()).is_empty(), "cut at {cut}");
    }
}

fn hostile_paths() {
    let fix = |old: &str, new: &str| good_fix().replace("a/fs/a.c", old).replace("b/fs/a.c", new);
    let path = "patch-path";
    for out in ["../../../etc/passwd", "a/../../x", "a/fs/..", "b/..", ".."] {
        refused(fix(out, out), path, "line 1");
    }
    refused(fix("/etc/passwd", "/etc/passwd"), path, "line 1");
    refused(fix("a/fs/a.c", "/etc/passwd"), path, "line 2");
    refused(fix("\"a/fs/a.c\"", "\"b/fs/a.c\""), path, "line 1");
    refused(fix("a/fs\\a.c", "b/fs\\a.c"), path, "line 1");
    refused(fix("a/fs/a\u{1b}[31m.c", "b/fs/a.c"), path, "line 1");
    refused(fix(".", "."), path, "line 1");
    refused(fix("a/fs", "b/fs"), "patch-does-not-apply", "line 1");
    refused(fix("a/fs/b.c", "b/fs/c.c"), "patch-unsupported", "line 1");
    // New files must not land anywhere else either.
    let new = |name: &str| format!("--- /dev/null\n+++ {name}\n@@ -0,0 +1 @@\n+int x;\n");
    refused(new("b/../../x.c"), path, "line 2");
    refused(new("/tmp/x.c"), path, "line 2");
    refused(new("/dev/null"), "patch-malformed", "");
    let long = format!("b/{}", "x/".repeat(3000));
    let fake = Fake::new();
    let path = put(fake.dir.path(), "the-fix.patch", new(&long));
    let ran = fake.build(&path);
    assert!(matches!(ran.code, Some(1 | 2)), "{ran:?}");
    ran.sane();
    assert!(names(&fake.out()).is_empty());
}

fn symbolic_links_in_the_tree() {
    let fake = Fake::new();
    let secret = put(fake.dir.path(), "outside/a.c", source());
    std::os::unix::fs::symlink(fake.dir.path().join("outside"), fake.target.tree.join("linked")).unwrap();
    std::os::unix::fs::symlink(&secret, fake.target.tree.join("fs/link.c")).unwrap();
    for name in ["linked/a.c", "fs/link.c"] {
        let fix = put(fake.dir.path(), "the-fix.patch", good_fix().replace("fs/a.c", name));
        fake.build(&fix).fails(2, &["[patch-path]", name]);
    }
    assert_eq!(std::fs::read_to_string(secret).unwrap(), source());
}

fn more_than_text_changes() {
    let git = "diff --git a/fs/a.c b/fs/a.c\n";
    let unsupported = "patch-unsupported";
    refused(format!("{git}old mode 100644\nnew mode 100755\n"), unsupported, "line 1");
    refused(format!("{git}rename from fs/a.c\nrename to fs/b.c\n"), unsupported, "line 2");
    refused(format!("{git}index 1..2\nGIT binary patch\nliteral 3\nabc\n"), unsupported, "line 3");
    refused(format!("{git}deleted file mode 100644\n"), unsupported, "line 1");
    refused(format!("{git}new file mode 120000\n"), unsupported, "line 2");
    refused("--- /dev/null\n+++ b/fs/a.c\n@@ -0,0 +1 @@\n+int x;\n", "patch-already-applied", "");
}

fn huge() {
    refused(vec![b'x'; (8 << 20) + 1], "patch-too-large", "the-fix.patch");
    let many: String = (0..1001).map(|_| good_fix()).collect();
    refused(many, "patch-unsupported", "");
    let long = format!("--- a/fs/a.c\n+++ b/fs/a.c\n@@ -1 +1 @@\n-{0}\n+{0}y\n", "x".repeat(3 << 20));
    refused(long, "patch-does-not-apply", "");
}

fn line_ends() {
    refused(good_fix().replace('\n', "\r\n"), "patch-malformed", "line 1");
    // Without its last newline the patch is whole: the fake kernel is asked what it builds, and cannot say.
    let fake = Fake::new();
    let fix = put(fake.dir.path(), "the-fix.patch", good_fix().trim_end());
    let ran = fake.build(&fix);
    ran.fails(1, &[]);
    assert!(!ran.err.contains("malformed"), "{}", ran.err);
    assert!(names(&fake.out()).is_empty());
}

fn does_not_apply() {
    let code = "patch-does-not-apply";
    refused(good_fix().replace("line10", "line99"), code, "");
    refused(good_fix().replace("line11", "line99"), code, "");
    refused(good_fix().replace("fs/a.c", "fs/gone.c"), code, "");
    let reverse = good_fix().replace("line_ten", "LINE").replace("line10", "line_ten").replace("LINE", "line10");
    refused(reverse, "patch-already-applied", "");
}

fn missing_files() {
    let fake = Fake::new();
    fake.build(&fake.dir.path().join("none.patch")).fails(1, &["none.patch", "No such file"]);
    fake.build(fake.dir.path()).fails(1, &["holds no patches"]);
    fake.build("/dev/zero".as_ref()).fails(1, &["/dev/zero is not a file"]);
    fake.build("/proc/self/mem".as_ref()).fails(1, &["/proc/self/mem"]);
    assert!(!fake.out().exists());
}

fn second_fix_of_two() {
    let fake = Fake::new();
    let one = put(fake.dir.path(), "one.patch", good_fix());
    let two = put(fake.dir.path(), "two.patch", good_fix().replace("line_ten", "line_zehn"));
    let ran = collect(fake.command(&one).arg(&two).arg("-o").arg(fake.out()));
    ran.fails(2, &["[patch-does-not-apply]", "two.patch, line 1"]);
    let ran = collect(fake.command(&one).arg(&one).arg("-o").arg(fake.out()));
    ran.fails(2, &["[patch-already-applied]", "one.patch, line 1"]);
    assert!(!fake.out().exists());
}
