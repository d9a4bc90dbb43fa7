// SPDX-License-Identifier: GPL-2.0-or-later
//! A small target with the machine's own compiler, and what compile makes of it.

use super::compiler_errors::not_about_the_source;
use super::*;
use crate::error::Refused;
use crate::source;
use crate::target::sample::target;
use std::collections::BTreeMap;
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
        self.compile_patch(&format!("--- a/a.c\n+++ b/a.c\n{hunks}"))
    }

    /// Compiles with a fix.
    fn compile_patch(&self, fix: &str) -> Result<ObjectPair> {
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

    /// The entries, and when each was written.
    fn written(&self) -> BTreeMap<PathBuf, SystemTime> {
        let time = |path: &PathBuf| std::fs::metadata(path).unwrap().modified().unwrap();
        self.entries().into_iter().map(|path| (path.clone(), time(&path))).collect()
    }

    /// Whether all objects of a fix are from the cache. They are the same as without one, in any case.
    fn is_kept(&self, fix: &str) -> bool {
        let before = self.written();
        let pair = self.compile_patch(fix).unwrap();
        let other = Bench { dir: tempfile::tempdir().unwrap(), target: self.target.clone(), unit: self.unit.clone() };
        let anew = other.compile_patch(fix).unwrap();
        let same = pair.patched == anew.patched && pair.inputs == anew.inputs;
        let same = same && pair.original == anew.original && pair.shipped == anew.shipped;
        assert!(same, "other objects than without a cache: {fix}");
        self.written() == before
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

/// A fix that puts `line` into `f`.
fn adding(line: &str) -> String {
    format!("--- a/a.c\n+++ b/a.c\n@@ -2,4 +2,5 @@\n int f(int x)\n {{\n+{line}\n \treturn x + ONE;\n }}\n")
}

#[test]
fn objects_are_kept_by_what_they_are_made_of() {
    let b = bench();
    assert!(!b.is_kept(&adding("\tx++;")) && b.is_kept(&adding("\tx++;")));
    assert_eq!(b.entries().len(), 3);
    assert!(!b.is_kept(&adding("\tx--;")) && b.is_kept(&adding("\tx++;")) && b.is_kept(&adding("\tx--;")));
    assert_eq!(b.entries().len(), 4, "the originals are the same");
    let one = b.compile("\tx++;").unwrap().patched;
    for entry in b.entries() {
        std::fs::write(&entry, b"damaged").unwrap();
    }
    assert_eq!(b.compile("\tx++;").unwrap().patched, one);
    assert!(b.is_kept(&adding("\tx++;")), "damaged entries are made anew");
}

/// Each kind of thing that decides what comes out, and how it is changed.
#[test]
fn whatever_changes_an_object_misses() {
    let put = |b: &Bench, file: &str, text: &str| {
        files::write(&b.target.tree.join(file), text.as_bytes()).unwrap();
        // What is edited while the compiler runs is not kept.
        std::thread::sleep(std::time::Duration::from_millis(20));
    };
    let make = || {
        let b = bench();
        let text = format!("#include <b.h>\n{SOURCE}#ifdef CONFIG_X\nint config;\n#endif\nint two = TWO;\n");
        put(&b, "a.c", &text);
        put(&b, "second/b.h", "#define TWO 2\n");
        put(&b, "autoconf.h", "/* no CONFIG_X */\n");
        let call =
            "gcc -Wp,-MMD,.a.o.d -nostdinc -Ifirst -Isecond -include ./autoconf.h -O2 -D__KERNEL__ -c -o a.o a.c";
        put(&b, ".a.o.cmd", &format!("savedcmd_a.o := {call}\n"));
        b
    };
    let fix = "--- a/a.c\n+++ b/a.c\n@@ -3,4 +3,5 @@\n int f(int x)\n {\n+\tx++;\n \treturn x + ONE;\n }\n";
    let add = |path: &str, line: &str| format!("{fix}--- /dev/null\n+++ b/{path}\n@@ -0,0 +1 @@\n+{line}\n");
    let header = format!("{fix}--- a/a.h\n+++ b/a.h\n@@ -1 +1 @@\n-#define ONE 1\n+#define ONE 3\n");
    let gone = format!("{fix}--- a/second/b.h\n+++ /dev/null\n@@ -1 +0,0 @@\n-#define TWO 2\n");
    type Change<'c> = (&'c str, &'c dyn Fn(&mut Bench), String);
    let changes: [Change<'_>; 11] = [
        (
            "the source",
            &|b| put(b, "a.c", &(files::read_text(&b.target.tree.join("a.c")).unwrap() + "int z;\n")),
            fix.into(),
        ),
        ("a header", &|b| put(b, "a.h", "#define ONE 7\n"), fix.into()),
        ("a generated header with the config", &|b| put(b, "autoconf.h", "#define CONFIG_X 1\n"), fix.into()),
        ("a header that is found earlier", &|b| put(b, "first/b.h", "#define TWO 22\n"), fix.into()),
        (
            "kbuild's flags",
            &|b| {
                let cmd = files::read_text(&b.target.tree.join(".a.o.cmd")).unwrap();
                put(b, ".a.o.cmd", &cmd.replace("-O2", "-O1"));
            },
            fix.into(),
        ),
        ("the target's flags", &|b| b.target.cc_flags.push("-DCONFIG_X".into()), fix.into()),
        ("the environment", &|b| b.target.make_env.push(("C_INCLUDE_PATH".into(), "third".into())), fix.into()),
        ("the fix's own text", &|_| {}, fix.replace("x++", "x += 2")),
        ("a header that the fix changes", &|_| {}, header),
        ("a header of the fix that is found earlier", &|_| {}, add("first/b.h", "#define TWO 222")),
        (
            "a header that the fix moves",
            &|_| {},
            gone + "--- /dev/null\n+++ b/first/b.h\n@@ -0,0 +1 @@\n+#define TWO 3\n",
        ),
    ];
    for (what, change, changed) in changes {
        let mut b = make();
        assert!(!b.is_kept(fix) && b.is_kept(fix), "{what}");
        change(&mut b);
        assert!(!b.is_kept(&changed), "{what} changes, and the old object is used");
        assert!(b.is_kept(&changed), "{what}");
    }
    // What changes nothing of the unit misses nothing.
    let b = make();
    assert!(!b.is_kept(fix));
    put(&b, "first/other.h", "#define TWO 22\n");
    assert!(b.is_kept(fix));
    let more = add("first/more.h", "#define TWO 22");
    assert!(b.is_kept(&more), "a further fix with a file of its own");
}

#[test]
fn what_its_inputs_do_not_tell_is_not_kept() {
    for line in [
        "\tasm(\".pushsection .rodata; .incbin \\\"/etc/hostname\\\"; .popsection\");",
        "#if __has_include(<gone.h>)\n+#error\n+#endif",
        "\tx += sizeof(__TIME__);",
    ] {
        let b = bench();
        let fix = adding(line).replace("+2,5", if line.contains('\n') { "+2,7" } else { "+2,5" });
        b.compile_patch(&fix).unwrap();
        b.compile_patch(&fix).unwrap();
        assert_eq!(b.entries().len(), 2, "{line}: only the originals");
    }
}

#[test]
fn kmends_own_headers_are_inputs() {
    let b = bench();
    for (file, text) in [
        (".a.o.cmd", "savedcmd_a.o := gcc -Wp,-MMD,.a.o.d -nostdinc -I. -O2 -D__KERNEL__ -c -o a.o a.c\n"),
        ("linux/compiler.h", ""),
        ("linux/types.h", "#define NULL ((void *)0)\n"),
    ] {
        files::write(&b.target.tree.join(file), text.as_bytes()).unwrap();
    }
    std::thread::sleep(std::time::Duration::from_millis(20));
    let fix = "--- a/a.c\n+++ b/a.c\n@@ -1,2 +1,3 @@\n #include \"a.h\"\n+#include <kpatch.h>\n int f(int x)\n";
    let pair = b.compile_patch(fix).unwrap();
    assert!(pair.inputs.iter().any(|path| own_header(path).is_some()), "{:?}", pair.inputs);
    assert!(b.is_kept(fix));
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
    let before = b.entries().len();
    files::write(&b.target.tree.join("a.h"), b"#define ONE (\n").unwrap();
    let error = b.compile("\treturn nowhere;").unwrap_err();
    assert!(format!("{error}").contains("the target tree:test is broken"), "{error}");
    assert_eq!(b.entries().len(), before);
}

#[test]
fn warnings_have_the_lines_of_the_fix() {
    let b = bench();
    let fix = "--- a/a.c\n+++ b/a.c\n@@ -2,4 +2,5 @@\n int f(int x)\n {\n+\tint unused;\n \treturn x + ONE;\n }\n";
    files::write(&b.path("x.patch"), fix.as_bytes()).unwrap();
    let tree = source::apply(&b.target, &[b.path("x.patch")], &b.path("work")).unwrap();
    let words = "a.c: In function 'f':\na.c:4:6: warning: unused variable 'unused'\n    4 |  return x + ONE;\n      |      ^~~~~~\n";
    let said = compiler_errors::of_the_fix(words, &b.target, &tree);
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
