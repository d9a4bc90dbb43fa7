// SPDX-License-Identifier: GPL-2.0-or-later
//! A small target with the machine's own compiler, and what compile makes of it.

use super::said::not_about_the_source;
use super::*;
use crate::error::Refused;
use crate::source;
use crate::target::sample::target;
use std::path::PathBuf;

const SOURCE: &str =
    "#include \"a.h\"\nint f(int x)\n{\n\treturn x + ONE;\n}\n\nint g(void)\n{\n\treturn __LINE__;\n}\n";

/// A tree with one unit, `a.c`, whose command is saved as kbuild saves it.
struct Bench {
    dir: tempfile::TempDir,
    target: Target,
    unit: Unit,
}

fn bench() -> Bench {
    let dir = tempfile::tempdir().unwrap();
    let tree = dir.path().join("tree");
    files::write(&tree.join("a.c"), SOURCE.as_bytes()).unwrap();
    files::write(&tree.join("a.h"), b"#define ONE 1\n").unwrap();
    let saved = "savedcmd_a.o := gcc -Wp,-MMD,.a.o.d -O2 -g -D__KERNEL__ -c -o a.o a.c ; ./tools/objtool/objtool a.o\n";
    files::write(&tree.join(".a.o.cmd"), saved.as_bytes()).unwrap();
    let unit = Unit { source: "a.c".into(), object: "a.o".into(), module: None };
    // What was compiled while an input was being edited is not kept: let the inputs grow old.
    std::thread::sleep(std::time::Duration::from_millis(20));
    Bench { target: target(&tree, Path::new("/")), dir, unit }
}

impl Bench {
    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Compiles with `line` put into `f`.
    fn compile(&self, line: &str) -> Result<ObjectPair> {
        self.compile_fix(&format!("@@ -2,4 +2,5 @@\n int f(int x)\n {{\n+{line}\n \treturn x + ONE;\n }}\n"))
    }

    /// Compiles with `hunks` applied.
    fn compile_fix(&self, hunks: &str) -> Result<ObjectPair> {
        let fix = format!("--- a/a.c\n+++ b/a.c\n{hunks}");
        files::write(&self.path("x.patch"), fix.as_bytes())?;
        let tree = source::apply(&self.target, &[self.path("x.patch")], &self.path("work"))?;
        let cache = Cache::at(&self.target, self.path("objects"));
        let mut pairs =
            compile_with(&cache, &self.target, &tree, std::slice::from_ref(&self.unit), &self.path("work"))?;
        Ok(pairs.remove(0))
    }

    fn entries(&self) -> Vec<PathBuf> {
        let dirs = std::fs::read_dir(self.path("objects")).into_iter().flatten().flatten();
        dirs.flat_map(|d| std::fs::read_dir(d.path()).unwrap().flatten()).map(|e| e.path()).collect()
    }

    /// The entries of originals.
    fn originals(&self) -> Vec<PathBuf> {
        // The other kind of entry says what the compiler warned of.
        let holds_one = |path: &PathBuf| memchr::memmem::find(&std::fs::read(path).unwrap(), b"\"warnings\"").is_some();
        self.entries().into_iter().filter(|path| !holds_one(path)).collect()
    }
}

fn section(object: &[u8], name: &str) -> Option<Vec<u8>> {
    use object::{Object, ObjectSection};
    let file = object::File::parse(object).unwrap();
    let section = file.section_by_name(name)?;
    Some(section.data().unwrap().to_vec())
}

#[test]
fn compiles_three_ways_at_one_path() {
    let b = bench();
    let pair = b.compile("\tx *= 3;").unwrap();
    assert!(section(&pair.shipped, ".text.f").is_none());
    assert_ne!(section(&pair.original, ".text.f"), section(&pair.patched, ".text.f"));
    // g has __LINE__ in it and stands below the added line.
    assert!(section(&pair.original, ".text.g").is_some());
    assert_eq!(section(&pair.original, ".text.g"), section(&pair.patched, ".text.g"));
    assert_eq!(files::read_text(&b.target.tree.join("a.c")).unwrap(), SOURCE);
    let again = b.compile("\tx *= 3;").unwrap();
    assert_eq!((again.shipped, again.original, again.patched), (pair.shipped, pair.original, pair.patched));
}

#[test]
fn originals_come_from_the_cache_until_a_header_changes() {
    let b = bench();
    let first = b.compile("").unwrap();
    let entries = b.originals();
    assert_eq!(entries.len(), 1);
    let written = |p: &Path| std::fs::metadata(p).unwrap().modified().unwrap();
    let at = written(&entries[0]);
    b.compile("\tx++;").unwrap();
    assert_eq!(written(&entries[0]), at, "a hit writes nothing");
    files::write(&b.target.tree.join("a.h"), b"#define ONE 7\n").unwrap();
    std::thread::sleep(std::time::Duration::from_millis(20));
    let second = b.compile("").unwrap();
    assert_ne!(second.original, first.original);
    assert_ne!(written(&entries[0]), at);
    std::fs::write(&entries[0], b"damaged").unwrap();
    assert_eq!(b.compile("").unwrap().original, second.original);
    assert!(std::fs::metadata(&entries[0]).unwrap().len() > 100);
}

/// Whether the patched object of a fix that puts `line` into `f` is from the cache.
fn is_kept(b: &Bench, line: &str) -> bool {
    let before = b.entries().len();
    let pair = b.compile(line).unwrap();
    let fresh = tempfile::tempdir().unwrap();
    let other = Bench { dir: fresh, target: b.target.clone(), unit: b.unit.clone() };
    let anew = other.compile(line).unwrap();
    assert!(pair.patched == anew.patched && pair.inputs == anew.inputs, "{line}: another object than without a cache");
    b.entries().len() == before
}

#[test]
fn patched_objects_are_kept_by_what_they_are_made_of() {
    let b = bench();
    assert!(!is_kept(&b, "\tx++;") && is_kept(&b, "\tx++;"));
    assert!(!is_kept(&b, "\tx--;") && is_kept(&b, "\tx++;") && is_kept(&b, "\tx--;"));
    // A header that the fix leaves as it is.
    let one_is = |value: &str| {
        files::write(&b.target.tree.join("a.h"), format!("#define ONE {value}\n").as_bytes()).unwrap();
        std::thread::sleep(std::time::Duration::from_millis(20));
        b.compile("\tx++;").unwrap().patched
    };
    let (seven, one) = (one_is("7"), one_is("1"));
    assert_ne!(seven, one);
    // What is read besides, and what is found otherwise, no list says.
    let before = b.entries().len();
    b.compile("\tasm(\".pushsection .rodata; .incbin \\\"/etc/passwd\\\"; .popsection\");").unwrap();
    b.compile("\t/* livepatch_helpers.h */ x += 9;").unwrap();
    let new = "--- /dev/null\n+++ b/b.h\n@@ -0,0 +1 @@\n+#define TWO 2\n";
    b.compile_fix(&format!("@@ -2,4 +2,5 @@\n int f(int x)\n {{\n+\tx += 3;\n \treturn x + ONE;\n }}\n{new}")).unwrap();
    assert_eq!(b.entries().len(), before);
    for entry in b.entries() {
        std::fs::write(&entry, b"damaged").unwrap();
    }
    assert_eq!(b.compile("\tx++;").unwrap().patched, one);
}

#[test]
fn says_whose_fault_it_is() {
    let b = bench();
    let error = b.compile("\treturn nowhere;").unwrap_err();
    let refusal = &error.downcast_ref::<Refused>().unwrap().0[0];
    assert_eq!((refusal.code.as_str(), refusal.section.as_str()), ("does-not-compile", "a.c"));
    assert!(refusal.reason.contains("a.c:4:") && refusal.reason.contains("nowhere"), "{}", refusal.reason);
    assert!(refusal.reason.contains("x.patch"), "{}", refusal.reason);
    // Below the added line the compiler counts as before.
    let below = b.compile_fix("@@ -1,10 +1,11 @@\n #include \"a.h\"\n int f(int x)\n {\n+\tx++;\n \treturn x + ONE;\n }\n \n int g(void)\n {\n-\treturn __LINE__;\n+\treturn gone;\n }\n");
    let error = below.unwrap_err();
    let reason = &error.downcast_ref::<Refused>().unwrap().0[0].reason;
    assert!(reason.contains("a.c:10:") && reason.contains("\n       10 | return gone;\n"), "{reason}");
    assert_eq!(reason.matches(" | ").count(), reason.matches("10 | return gone;").count(), "{reason}");
    files::write(&b.target.tree.join("a.h"), b"#define ONE (\n").unwrap();
    let error = b.compile("\treturn nowhere;").unwrap_err();
    assert!(format!("{error}").contains("the target tree:test is broken"), "{error}");
    assert!(b.originals().is_empty());
}

#[test]
fn warnings_have_the_lines_of_the_fix() {
    let b = bench();
    let fix = "--- a/a.c\n+++ b/a.c\n@@ -2,4 +2,5 @@\n int f(int x)\n {\n+\tint unused;\n \treturn x + ONE;\n }\n";
    files::write(&b.path("x.patch"), fix.as_bytes()).unwrap();
    let tree = source::apply(&b.target, &[b.path("x.patch")], &b.path("work")).unwrap();
    let words = "a.c: In function 'f':\na.c:4:6: warning: unused variable 'unused'\n    4 |  return x + ONE;\n      |      ^~~~~~\n";
    let said = said::of_the_fix(words, &b.target, &tree);
    assert!(said.contains("a.c:4:6: warning") && said.contains("    4 | int unused;\n"), "{said}");
    assert!(!said.contains("ONE"), "{said}");
}

#[test]
fn a_compiler_that_broke_off_is_not_the_fixs_fault() {
    for words in [
        "f.c:24:1: fatal error: closing dependency file x.d: No space left on device\ncompilation terminated.\n",
        "/tmp/cc.s: Fatal error: can't write 70 bytes to section .text of x.o: 'No space left on device'\n",
        "gcc: fatal error: Killed signal terminated program cc1\ncompilation terminated.\n",
        "cc1: out of memory allocating 65536 bytes after a total of 1 bytes\n",
        "f.c:1:1: internal compiler error: Segmentation fault\n",
        "bwrap: Can't bind mount /x on /newroot/x: No such file or directory\n",
        "",
    ] {
        assert!(not_about_the_source(words).is_some(), "{words}");
    }
    for words in [
        "fs/a.c:3:1: error: expected ';' before 'int'\n",
        "fs/a.c:3:10: fatal error: none.h: No such file or directory\ncompilation terminated.\n",
        "fs/a.c: Assembler messages:\nfs/a.c:9: Error: no such instruction: `nonsense'\n",
        "cc1: some warnings being treated as errors\nf.c:1:1: error: x [-Werror=y]\n",
    ] {
        assert_eq!(not_about_the_source(words), None, "{words}");
    }
}
