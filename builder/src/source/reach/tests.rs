// SPDX-License-Identifier: GPL-2.0-or-later
//! Small trees with a change in `include/h.h`: who sees it.

use super::*;
use crate::files;
use crate::source::includes::search;

const HEAD: &str = "#ifndef H\n#define H\n";
const TAIL: &str = "\n#define REST 1\nint rest(void);\n#endif\n";

/// The C files that include h.h and see that `from` becomes `to` in it; what is said where all do.
fn who(from: &str, to: &str, others: &[(&str, &str)]) -> Result<Vec<String>, String> {
    let dir = tempfile::tempdir().unwrap();
    let (from, to) = (format!("{HEAD}{from}{TAIL}"), format!("{HEAD}{to}{TAIL}"));
    let put = |path: &str, text: &str| files::write(&dir.path().join(path), text.as_bytes()).unwrap();
    put("include/h.h", &from);
    put("a/none.c", "#include <h.h>\nint none(void) { return REST; }\n");
    put("a/Makefile", "obj-y += none.o\n");
    others.iter().for_each(|(path, text)| put(path, text));
    let (sources, makefiles) = walk(dir.path(), "x86_64").unwrap();
    let index = search(dir.path(), sources, &makefiles, "").unwrap();
    let includers = index.includers();
    let patched = crate::source::lines::keep_numbers(from.as_bytes(), to.as_bytes());
    let file = TouchedFile { original: Some(from.into_bytes()), patched: Some(patched) };
    let mut seen = seen(dir.path(), "x86_64", &index, &includers, &[("include/h.h", &file)]).unwrap();
    match seen.remove("include/h.h").unwrap() {
        Seen::ByAll(why) => Err(why),
        Seen::By(kept) => Ok(includers
            .closure("include/h.h")
            .into_iter()
            .filter(|p| kept.contains(p) && !p.ends_with(".h"))
            .collect()),
    }
}

const NOBODY: Result<Vec<String>, String> = Ok(Vec::new());

fn files(list: &[&str]) -> Result<Vec<String>, String> {
    Ok(list.iter().map(ToString::to_string).collect())
}

const USE: (&str, &str) = ("a/use.c", "#include <h.h>\nint use(void) { return f(1); }\n");

#[test]
fn comments_and_new_names_are_seen_by_nobody() {
    assert_eq!(who("/* a */\nint f(int);", "/* b\n * c */\n\nint  f( int );", &[USE]), NOBODY);
    assert_eq!(who("", "#define NEW 1\nint g(void);\nstruct x;\n", &[USE]), NOBODY);
    assert_eq!(who("", "static inline int g(int x)\n{\n\treturn x;\n}\n", &[USE]), NOBODY);
    assert_eq!(who("", "struct g {\n\tint a;\n};\n", &[USE]), NOBODY);
}

#[test]
fn a_changed_thing_is_seen_where_its_name_stands() {
    let both = |from: &str, to: &str| assert_eq!(who(from, to, &[USE]), files(&["a/use.c"]), "{to}");
    both("#define f(x) x", "#define f(x) (x)");
    both("#define f(x) x", "#define f (x) x");
    both("int f(int);", "long f(int);");
    both("static inline int f(int x)\n{\n\treturn x;\n}", "static inline int f(int x)\n{\n\treturn x + 1;\n}");
    both("#ifdef A\nint f(int);\n#endif", "#ifdef B\nint f(int);\n#endif");
    both("extern int f;", "extern long f;");
    both("enum e { f, g };", "enum e { g, f };");
    both("typedef int (*f)(int);", "typedef long (*f)(int);");
    // A line that may be compiled in.
    both("static inline int f(int x)\n{\n\tWARN_ON(x);\n}", "static inline int f(int x)\n{\n\n\tWARN_ON(x);\n}");
}

#[test]
fn names_are_followed_through_macros_and_functions() {
    let by = |header: &str| {
        let others = [
            ("include/o.h", header),
            ("a/use.c", "#include <h.h>\n#include <o.h>\nint use(void) { return outer(1); }\n"),
            ("a/other.c", "#include <h.h>\n#include <o.h>\n"),
        ];
        who("#define f(x) x", "#define f(x) (x)", &others)
    };
    assert_eq!(by("#define inner(x) f(x)\n#define outer(x) \\\n\tinner(x)\n"), files(&["a/use.c"]));
    assert_eq!(by("static inline int outer(int x)\n{\n\treturn f(x);\n}\n"), files(&["a/use.c"]));
    assert_eq!(by("int outer(int a[f(2)]);\n"), files(&["a/use.c"]));
    let all = files(&["a/other.c", "a/use.c"]);
    assert_eq!(by("struct s {\n\tint a[f(2)];\n};\n"), all);
    assert_eq!(by("#ifdef f\nint g(void);\n#endif\n"), all);
    assert_eq!(by("MAKE(f);\n"), all);
    assert_eq!(by("static int g = f(1);\n"), all);
    assert_eq!(by("#if X\nint g(void) {\n#endif\nf }\n"), all);
    // It may do more than define.
    assert_eq!(by("static inline int outer(int x)\n{\n\tKEEP\n\treturn f(x);\n}\n#define KEEP static int y __attribute__((used));\n"), all);
    assert_eq!(by("#define g(f) f\n"), NOBODY);
}

#[test]
fn names_that_are_put_together() {
    let by = |macros: &str, call: &str| {
        let text = format!("#include <h.h>\n#include <p.h>\n{call}\n");
        let other = "#include <h.h>\n#include <p.h>\nCAT(no, thing);\n";
        let others = [("include/p.h", macros), ("a/use.c", text.as_str()), ("a/other.c", other)];
        who("#define class_f_make(x) x", "#define class_f_make(x) (x)", &others)
    };
    let strong = "#define CLASS(n) class_##n##_make(1)\n#define CAT(a, b) 1\n";
    assert_eq!(by(strong, "CLASS(f);"), files(&["a/use.c"]));
    assert_eq!(by(strong, "int x;"), NOBODY);
    // Few files include it, so it is not looked at who hands what over.
    assert_eq!(by("#define CAT(a, b) a##b\n", "int x;"), files(&["a/other.c", "a/use.c"]));
}

#[test]
fn what_is_not_understood_is_seen_by_all() {
    let all = |from: &str, to: &str| assert!(who(from, to, &[USE]).is_err(), "{to}");
    all("", "#include <x.h>");
    all("", "#pragma pack(1)");
    all("MAKE(a);", "MAKE(b);");
    all("static int x = 1;", "static int x = 2;");
    all("int x[f(1)] = { 1 };", "int x[f(1)] = { 2 };");
    all("", "#if A\nint g(void) {\n#endif\n}");
    all("", "static inline int g(int x)\n{\n\textern int y;\n\treturn y;\n}");
    all("", "int g(void) __attribute__((weak));");
    all("", "void *memcpy(void *a, const void *b, long n);");
    all("#define f 1\nstruct s { int a[f]; };", "#define f 2\nstruct s { int a[f]; };");
}

#[test]
fn files_of_which_little_is_known() {
    let change = ("#define f(x) x", "#define f(x) (x)");
    let others = [
        ("a/blind.c", "#include <h.h>\n#include \"table.inc\"\n"),
        ("b/b.c", "#include <h.h>\n"),
        ("b/Makefile", "ccflags-y += -DX=f\n"),
    ];
    assert_eq!(who(change.0, change.1, &others), files(&["a/blind.c", "b/b.c"]));
}
