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
fn what_has_the_new_name_sees_it() {
    let new = "#define fresh 1\nint g(void);\n";
    let see = |path: &str, text: &str| who("", new, &[(path, text), ("a/all.c", "#include <h.h>\n#include <o.h>\n")]);
    assert_eq!(see("a/use.c", "#include <h.h>\n#ifdef fresh\n#endif\n"), files(&["a/use.c"]));
    assert_eq!(see("a/use.c", "#include <h.h>\nint g(void) { return 1; }\n"), files(&["a/use.c"]));
    assert_eq!(see("include/o.h", "#ifndef fresh\nint h;\n#endif\n"), files(&["a/all.c"]));
    assert_eq!(see("include/o.h", "#define other(fresh) fresh\n"), files(&["a/all.c"]));
    assert_eq!(see("include/o.h", "#define others(freshly) freshly\n"), NOBODY);
    assert_eq!(see("a/blind.c", "#include <h.h>\n#include \"table.inc\"\n"), files(&["a/blind.c"]));
    assert!(see("a/Makefile", "ccflags-y += -Dfresh=2\n").is_err());
}

#[test]
fn names_that_may_be_put_together() {
    let by = |new: &str| who("", new, &[USE, ("include/p.h", "#define CLASS(n) class_##n##_make(1)\n")]);
    assert_eq!(by("#define class_f_make(x) x"), NOBODY);
    let two =
        [("include/p.h", "#define CLASS(n) class_##n##_make(1)\n"), ("a/p.c", "#include <h.h>\n#include <p.h>\n")];
    assert_eq!(who("", "#define class_f_make(x) x", &two), files(&["a/p.c"]));
    assert!(who("", "#define joined 1", &[("a/p.c", "#define JOIN(a, b) a##b\nJOIN(join, ed)\n")]).is_err());
    assert_eq!(by("#define klass_f_make(x) x"), NOBODY);
    // Declared twice it would not compile.
    assert_eq!(by("int class_f_make(int);"), NOBODY);
}

#[test]
fn what_is_more_than_an_addition_is_seen_by_all() {
    let all = |from: &str, to: &str| assert!(who(from, to, &[USE]).is_err(), "{to}");
    all("#define f(x) x", "#define f(x) (x)");
    all("#define f(x) x", "#define f (x) x");
    all("int f(int);", "long f(int);");
    all("int f(int);", "");
    all("int f(int);\nint g(int);", "int g(int);\nint f(int);");
    all("static inline int f(int x)\n{\n\treturn x;\n}", "static inline int f(int x)\n{\n\treturn x + 1;\n}");
    all("#ifdef A\nint f(int);\n#endif", "#ifdef B\nint f(int);\n#endif");
    all("enum e { f, g };", "enum e { g, f };");
    all("struct s { int a; };", "struct s { int a; int b; };");
    // A line that may be compiled in.
    all("static inline int f(int x)\n{\n\tWARN_ON(x);\n}", "static inline int f(int x)\n{\n\n\tWARN_ON(x);\n}");
    // The name is no new one.
    all("#ifdef A\n#define f 1\n#else\n#endif", "#ifdef A\n#define f 1\n#else\n#define f 2\n#endif");
}

#[test]
fn what_is_not_understood_is_seen_by_all() {
    let all = |to: &str| assert!(who("", to, &[USE]).is_err(), "{to}");
    all("#include <x.h>");
    all("#undef f");
    all("#pragma pack(1)");
    all("MAKE(b);");
    all("static int x = 2;");
    all("#if A\nint g(void) {\n#endif\n}");
    all("static inline int g(int x)\n{\n\textern int y;\n\treturn y;\n}");
    all("static inline int g(int x)\n{\n\tstatic int y __used;\n\treturn y;\n}");
    all("int g(void) __attribute__((weak));");
    all("int g(void) __weak;");
    all("void *memcpy(void *a, const void *b, long n);");
    all("struct { int a; } x;");
}

/// Pieces of headers, put together without sense: nothing to understand, and no panic.
#[test]
fn broken_text_is_no_panic() {
    let pieces = [
        "#define",
        "#define A",
        " A(",
        "x, ...)",
        "#if",
        "#else\n",
        "#endif\n",
        "#",
        "##",
        "\\\n",
        "/*",
        "*/",
        "//",
        "\"",
        "'",
        "\\",
        "static inline ",
        "int f",
        "(",
        ")",
        "{",
        "}",
        "[",
        "]",
        ";",
        ",",
        "=",
        "enum e ",
        "struct s ",
        "typedef ",
        "extern ",
        "__attribute__",
        "__printf",
        "\n",
        "\n#",
        "\0",
        "\u{e9}",
        "#line 3\n",
        "#include",
        "1e+",
        "*",
    ];
    let mut state = 0x2545_f491_4f6c_dd1du64;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state as usize
    };
    for _ in 0..20_000 {
        let mut text = || (0..next() % 24).map(|_| pieces[next() % pieces.len()]).collect::<String>().into_bytes();
        let (original, patched) = (text(), text());
        let _ = changed::compare(&original, &patched);
        let _ = names_added(&TouchedFile { original: Some(original), patched: Some(patched) });
        let _ = paste::chains(&text());
    }
}
