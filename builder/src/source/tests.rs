// SPDX-License-Identifier: GPL-2.0-or-later
//! Fixes applied to a small tree: what is written, and what each refusal says.

use super::*;

const C: &str = "int a;\nint b;\nint c;\n\nint f(void)\n{\n\treturn 1;\n}\n\nint g;\n";

struct Bench {
    dir: tempfile::TempDir,
    target: Target,
}

fn bench() -> Bench {
    let dir = tempfile::tempdir().unwrap();
    let tree = dir.path().join("tree");
    files::write(&tree.join("fs/f.c"), C.as_bytes()).unwrap();
    files::write(&tree.join("fs/only.c"), b"int x;\nint y;\n").unwrap();
    std::os::unix::fs::symlink("f.c", tree.join("fs/link.c")).unwrap();
    let target = crate::target::sample::target(&tree, Path::new("/"));
    Bench { dir, target }
}

impl Bench {
    fn apply(&self, fixes: &[&str]) -> Result<PatchedTree> {
        let mut paths = Vec::new();
        for (i, text) in fixes.iter().enumerate() {
            let path = self.dir.path().join(format!("{i}.patch"));
            files::write(&path, text.as_bytes())?;
            paths.push(path);
        }
        apply(&self.target, &paths, &self.dir.path().join("work"))
    }

    fn refusal(&self, fixes: &[&str]) -> Refusal {
        let error = self.apply(fixes).unwrap_err();
        error.downcast_ref::<Refused>().unwrap_or_else(|| panic!("{error:#}")).0[0].clone()
    }
}

const ONE: &str =
    "Subject: [PATCH] f: one\n\n--- a/fs/f.c\n+++ b/fs/f.c\n@@ -5,4 +5,5 @@ int c;\n int f(void)\n {\n+\tg = 2;\n \
                   \treturn 1;\n }\n";

#[test]
fn applies_and_leaves_the_tree_alone() {
    let b = bench();
    let tree = b.apply(&[ONE]).unwrap();
    assert_eq!(tree.fixes[0].title, "f: one");
    let file = &tree.files["fs/f.c"];
    assert_eq!(file.original.as_deref(), Some(C.as_bytes()));
    let want = C.replace("\treturn", "\tg = 2;\n\treturn").replace("}\n\nint g", "}\n#line 9\n\nint g");
    assert_eq!(String::from_utf8_lossy(file.patched.as_ref().unwrap()), want);
    assert_eq!(files::read_text(&tree.overlay.join("fs/f.c")).unwrap(), want);
    assert_eq!(files::read_text(&b.target.tree.join("fs/f.c")).unwrap(), C);
    assert_eq!(std::fs::read_dir(b.target.tree.join("fs")).unwrap().count(), 3);
}

#[test]
fn a_mailbox_of_two_commits_is_two_fixes() {
    let b = bench();
    let two =
        "Subject: [PATCH] f: two\n\n--- a/fs/only.c\n+++ b/fs/only.c\n@@ -1,2 +1,2 @@\n-int x;\n+int z;\n int y;\n";
    let from = "From 0123456789 Mon Sep 17 00:00:00 2001\n";
    let tree = b.apply(&[&format!("{from}{ONE}{from}{two}")]).unwrap();
    let told: Vec<_> = tree.fixes.iter().map(|f| (f.title.as_str(), f.commit)).collect();
    assert_eq!(told, [("f: one", Some(1)), ("f: two", Some(2))]);
    let touches: Vec<Vec<&String>> = tree.touches.iter().map(|t| t.iter().collect()).collect();
    assert_eq!(touches, [["fs/f.c"], ["fs/only.c"]]);
    assert_eq!(tree.files.len(), 2);
    // The same again is refused at its own line.
    let refusal = b.refusal(&[&format!("{from}{ONE}{from}{ONE}")]);
    let line = 1 + ONE.lines().count() + 1 + 3;
    assert_eq!((refusal.code.as_str(), refusal.section), ("patch-already-applied", format!("0.patch, line {line}")));
}

#[test]
fn a_hunk_that_was_moved_has_to_fit_in_one_place_alone() {
    let b = bench();
    let function = |name: &str| format!("int {name}(void)\n{{\n\tint a;\n\n\ta = 1;\n\treturn a;\n}}\n\n");
    let (f, g) = (function("f"), function("g"));
    let fix = |line: usize, name: &str| {
        format!(
            "--- a/fs/two.c\n+++ b/fs/two.c\n@@ -{line},7 +{line},7 @@ {name}\n {{\n \tint a;\n \n-\ta = 1;\n+\ta = 2;\n \treturn a;\n }}\n \n"
        )
    };
    let put = |text: String| files::write(&b.target.tree.join("fs/two.c"), text.as_bytes()).unwrap();
    put(f.clone() + &g);
    // In its place, it is believed; elsewhere, there are two that it could be for.
    b.apply(&[&fix(10, "g")]).unwrap();
    let refusal = b.refusal(&[&fix(9, "g")]);
    assert_eq!(refusal.code, "patch-ambiguous");
    assert!(refusal.reason.contains("in 2 places of fs/two.c"), "{}", refusal.reason);
    put(f);
    assert_eq!(b.apply(&[&fix(9, "f")]).unwrap().notes.len(), 1);
}

#[test]
fn a_fix_that_is_in_is_not_taken_for_one_that_was_moved() {
    let b = bench();
    let check = "\tif (a)\n\t\treturn 1;\n\n";
    let text = |checks: usize| format!("int f(void)\n{{\n{}\treturn 0;\n}}\n", check.repeat(checks));
    let fix = "--- a/fs/two.c\n+++ b/fs/two.c\n@@ -3,5 +3,8 @@\n \tif (a)\n \t\treturn 1;\n \n+\tif (a)\n+\t\treturn 1;\n+\n \treturn 0;\n }\n";
    files::write(&b.target.tree.join("fs/two.c"), text(2).as_bytes()).unwrap();
    assert_eq!(b.refusal(&[fix]).code, "patch-already-applied");
}

#[test]
fn applies_in_order_and_with_offsets_but_without_fuzz() {
    let b = bench();
    let two = "--- linux/fs/f.c.orig\n+++ linux/fs/f.c\n@@ -15,3 +15,3 @@\n {\n-\tg = 2;\n+\tg = 3;\n \treturn 1;\n";
    let tree = b.apply(&[ONE, two]).unwrap();
    assert!(String::from_utf8_lossy(tree.files["fs/f.c"].patched.as_ref().unwrap()).contains("g = 3"));
    assert_eq!(tree.notes.len(), 1, "{:?}", tree.notes);
    assert!(tree.notes[0].starts_with("1.patch on fs/f.c: Hunk #1 succeeded at 6"), "{:?}", tree.notes);
    // The second alone does not apply: it builds on the first.
    let r = b.refusal(&[two]);
    assert_eq!((r.code.as_str(), r.section.as_str()), ("patch-does-not-apply", "0.patch, line 1"));
    assert!(r.reason.contains("hunk 1 of 1 on fs/f.c (line 3 of the patch file, for lines 15 to 17"), "{}", r.reason);
    let fuzzy = ONE.replace(" int f(void)", " int  f(void)");
    let r = b.refusal(&[&fuzzy]);
    assert_eq!(r.code, "patch-does-not-apply");
    assert!(r.reason.contains("wants:\n      int  f(void)\n") && r.hint.contains("blanks"), "{} {}", r.reason, r.hint);
}

#[test]
fn names_the_hunk_that_fails() {
    let b = bench();
    let bad = format!("{ONE}@@ -9,2 +10,2 @@\n \n-int h;\n+int i;\n");
    let r = b.refusal(&[&bad]);
    assert!(r.reason.contains("hunk 2 of 2 on fs/f.c (line 11 of"), "{}", r.reason);
}

#[test]
fn says_when_it_is_applied_already() {
    let b = bench();
    assert_eq!(b.refusal(&[ONE, ONE]).code, "patch-already-applied");
    let reversed = "--- a/fs/only.c\n+++ b/fs/only.c\n@@ -1,3 +1,2 @@\n int x;\n-int z;\n int y;\n";
    assert_eq!(b.refusal(&[reversed]).code, "patch-already-applied");
    let adds = "--- /dev/null\n+++ b/fs/f.c\n@@ -0,0 +1 @@\n+int a;\n";
    assert_eq!(b.refusal(&[adds]).code, "patch-already-applied");
}

#[test]
fn finds_the_file_with_and_without_a_prefix() {
    let b = bench();
    let hunk = "@@ -1,2 +1,2 @@\n-int x;\n+int z;\n int y;\n";
    for names in
        ["--- a/fs/only.c\n+++ b/fs/only.c", "--- fs/only.c\n+++ fs/only.c", "--- l-1/fs/only.c\n+++ l-2/fs/only.c"]
    {
        let tree = b.apply(&[&format!("{names}\n{hunk}")]).unwrap();
        assert_eq!(tree.files.keys().collect::<Vec<_>>(), ["fs/only.c"], "{names}");
    }
    let r = b.refusal(&[&format!("--- a/fs/none.c\n+++ b/fs/none.c\n{hunk}")]);
    assert_eq!(r.code, "patch-does-not-apply");
    assert!(r.reason.contains("has no file"), "{}", r.reason);
    let r = b.refusal(&[&format!("--- a/fs/f.c\n+++ b/fs/only.c\n{hunk}")]);
    assert_eq!(r.code, "patch-unsupported");
}

#[test]
fn adds_files_and_refuses_the_rest() {
    let b = bench();
    for names in ["--- /dev/null\n+++ b/fs/new.c", "--- a/fs/new.c\n+++ b/fs/new.c", "--- /dev/null\n+++ fs/new.c"] {
        let tree = b.apply(&[&format!("{names}\n@@ -0,0 +1,2 @@\n+int a;\n+int b;\n")]).unwrap();
        let file = &tree.files["fs/new.c"];
        assert!(file.original.is_none());
        assert_eq!(file.patched.as_deref(), Some(&b"int a;\nint b;\n"[..]));
    }
    let r = b.refusal(&["--- a/fs/link.c\n+++ b/fs/link.c\n@@ -1 +1 @@\n-int a;\n+int d;\n"]);
    assert_eq!(r.code, "patch-path");
    let r = b.refusal(&["--- a/fs/only.c\n+++ /dev/null\n@@ -1 +0,0 @@\n-int x;\n"]);
    assert_eq!(r.code, "patch-does-not-apply");
    let r = b.refusal(&["--- a/fs/only.c\n+++ b/fs/only.c\n@@ -1,0 +2,1 @@\n+int z;\n"]);
    assert!(r.reason.contains("without any context"), "{}", r.reason);
    let r = b.refusal(&["--- a/../f.c\n+++ b/f.c\n@@ -1 +1 @@\n-a\n+b\n"]);
    assert_eq!((r.code.as_str(), r.section.as_str()), ("patch-path", "0.patch, line 1"));
    assert!(b.apply(&[]).is_err());
    assert!(apply(&b.target, &[b.dir.path().to_path_buf()], b.dir.path()).is_err());
}

#[test]
fn deletes_files() {
    let b = bench();
    let deletes = "--- a/fs/only.c\n+++ /dev/null\n@@ -1,2 +0,0 @@\n-int x;\n-int y;\n";
    let git = "diff --git a/fs/only.c b/fs/only.c\ndeleted file mode 100644\nindex 1..0\n";
    let tree = b.apply(&[&format!("{git}{deletes}")]).unwrap();
    let file = &tree.files["fs/only.c"];
    assert_eq!((file.original.as_deref(), &file.patched), (Some(&b"int x;\nint y;\n"[..]), &None));
    assert!(!tree.overlay.join("fs/only.c").exists());
    // What is gone cannot be changed, and can come back.
    let changes = "--- a/fs/only.c\n+++ b/fs/only.c\n@@ -1,2 +1,2 @@\n int x;\n-int y;\n+int z;\n";
    assert_eq!(b.refusal(&[deletes, changes]).code, "patch-does-not-apply");
    let adds = "--- /dev/null\n+++ b/fs/only.c\n@@ -0,0 +1 @@\n+int z;\n";
    let file = b.apply(&[deletes, adds]).unwrap().files["fs/only.c"].clone();
    assert!(file.original.is_some() && file.patched.is_some());
}
