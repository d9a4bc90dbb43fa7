// SPDX-License-Identifier: GPL-2.0-or-later
//! Small trees with a change in `include/h.h`: who sees it.

use super::*;
use crate::files;
use crate::reach::includes::search;

const HEAD: &str = "#ifndef H\n#define H\n";
const TAIL: &str = "\n#define REST 1\nint rest(void);\n#endif\n";

/// Who sees that `from` becomes `to` in h.h.
fn seen_by(from: &str, to: &str, others: &[(&str, &str)]) -> (Seen, Vec<String>) {
    let dir = tempfile::tempdir().unwrap();
    let (from, to) = (format!("{HEAD}{from}{TAIL}"), format!("{HEAD}{to}{TAIL}"));
    let put = |path: &str, text: &str| files::write(&dir.path().join(path), text.as_bytes()).unwrap();
    put("include/h.h", &from);
    put("a/none.c", "#include <h.h>\nint none(void) { return REST; }\n");
    put("a/Makefile", "obj-y += none.o\n");
    others.iter().for_each(|(path, text)| put(path, text));
    let (sources, makefiles) = walk(dir.path(), "x86_64").unwrap();
    let index = search(dir.path(), "x86_64", &sources, &makefiles, "").unwrap();
    let includers = index.includers();
    let patched = crate::source::lines::keep_numbers(from.as_bytes(), to.as_bytes());
    let file = TouchedFile { original: Some(from.into_bytes()), patched: Some(patched) };
    let mut seen = seen(dir.path(), "x86_64", &index, &includers, &[("include/h.h", &file)]).unwrap();
    (seen.remove("include/h.h").unwrap(), includers.closure("include/h.h"))
}

/// The C files that include h.h and see it; what is said where all do.
fn who(from: &str, to: &str, others: &[(&str, &str)]) -> Result<Vec<String>, String> {
    let (seen, includers) = seen_by(from, to, others);
    match seen {
        Seen::ByAll(why) => Err(why),
        Seen::By(seers) => {
            Ok(includers.into_iter().filter(|p| seers.files.contains(p) && !p.ends_with(".h")).collect())
        }
    }
}

/// The names that are looked for in the code of those who may see it, and the C files of which the code does not say it.
fn by_code(from: &str, to: &str, others: &[(&str, &str)]) -> (String, Vec<String>) {
    let Seen::By(seers) = seen_by(from, to, others).0 else { return ("all".into(), Vec::new()) };
    let names: Vec<_> = seers.names.iter().map(|n| String::from_utf8_lossy(n)).collect();
    (names.join(" "), seers.renamed.into_iter().filter(|p| !p.ends_with(".h")).collect())
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
    assert_eq!(see("include/o.h", "#define other(fresh) fresh\n"), NOBODY);
    assert_eq!(see("include/o.h", "#define others(freshly) freshly\n"), NOBODY);
    assert_eq!(see("a/blind.c", "#include <h.h>\n#include \"table.inc\"\n"), files(&["a/blind.c"]));
    assert!(see("a/Makefile", "ccflags-y += -Dfresh=2\n").is_err());
    assert_eq!(see("a/Makefile", "ccflags-y += -Drefresh=2 -Dfreshly\n"), NOBODY);
}

#[test]
fn names_that_may_be_put_together() {
    let class = ("include/p.h", "#define CLASS(n) class_##n##_make(1)\n");
    let by = |new: &str| who("", new, &[USE, class]);
    assert_eq!(by("#define class_f_make(x) x"), NOBODY);
    let two = |text: &'static str| who("", "#define class_f_make(x) x", &[class, ("a/p.c", text)]);
    assert_eq!(two("#include <h.h>\n#include <p.h>\nCLASS(f);\n"), files(&["a/p.c"]));
    assert_eq!(two("#include <h.h>\n#include <p.h>\nCLASS(g);\n"), NOBODY);
    let join = "#include <h.h>\n#define JOIN(a, b) a##b\nJOIN(join, ed)\n";
    assert_eq!(who("", "#define joined 1", &[("a/p.c", join), USE]), files(&["a/p.c"]));
    assert_eq!(by("#define klass_f_make(x) x"), NOBODY);
    // Declared twice it would not compile.
    assert_eq!(by("int class_f_make(int);"), NOBODY);
}

#[test]
fn what_is_changed_is_seen_by_what_has_its_name() {
    let by_use = |from: &str, to: &str| {
        let names = ("a/other.c", "#include <h.h>\nint other(void) { return ff(1) + f_(x); }\n");
        assert_eq!(who(from, to, &[USE, names]), files(&["a/use.c"]), "{to}");
    };
    by_use("#define f(x) x", "#define f(x) (x)");
    by_use("#define f(x) x", "#define f (x) x");
    by_use("int f(int);", "long f(int);");
    by_use("int f(int);", "");
    by_use("int f(int);\nint g(int);\nint k(int);", "int g(int);\nint k(int);\nint f(int);");
    by_use("static inline int f(int x)\n{\n\treturn x;\n}", "static inline int f(int x)\n{\n\treturn x + 1;\n}");
    by_use("static inline int f(int x)\n{\n\treturn x;\n}", "int f(int x);");
    by_use("#ifdef A\nint f(int);\n#endif", "#ifdef B\nint f(int);\n#endif");
    by_use("extern int f;", "extern long f;");
    // A line that may be compiled in.
    by_use("static inline int f(int x)\n{\n\tWARN_ON(x);\n}", "static inline int f(int x)\n{\n\n\tWARN_ON(x);\n}");
    // The name is no new one.
    by_use("#ifdef A\n#define f 1\n#else\n#endif", "#ifdef A\n#define f 1\n#else\n#define f 2\n#endif");
    assert_eq!(who("int f(int);", "long f(int);", &[]), NOBODY);
}

/// What the preprocessor leaves says who refers to them.
#[test]
fn changed_functions_are_looked_for_in_the_code() {
    let code = |from: &str, to: &str| by_code(from, to, &[USE]).0;
    assert_eq!(code("int f(int);", "long f(int);"), "f");
    assert_eq!(code("int f(int);", ""), "f");
    let body = |body: &str| format!("static inline int f(int x)\n{{\n\t{body}\n}}");
    assert_eq!(code(&body("return x;"), &body("return x + 1;")), "f");
    assert_eq!(code(&body("return x;"), "int f(int x);"), "f");
    assert_eq!(code("extern int f;", "extern long f;"), "f");
    // What is added beside it counts too; what hangs on it has its name in the code.
    let with = |f: &str, more: &str| format!("{f}\nstatic inline int h(int x)\n{{\n\treturn f(x);\n}}\n{more}");
    let added = "static inline int g(int x)\n{\n\treturn 1;\n}";
    assert_eq!(code(&with("int f(int);", ""), &with("long f(int);", added)), "f g");
    // The preprocessor leaves nothing of a macro.
    assert_eq!(code("#define f(x) x", "#define f(x) (x)"), "");
    assert_eq!(code("int f(int);\n#define k 1", "long f(int);\n#define k 2"), "");
    assert_eq!(code("struct f {\n\tint a;\n};", "struct f {\n\tlong a;\n};"), "all");
}

#[test]
fn a_macro_of_the_header_may_put_the_name_together() {
    let own = |ty: &str| format!("{ty} class_f_make(int);\n#define CLASS(n) class_##n##_make(1)");
    let used = ("a/made.c", "#include <h.h>\nint x = CLASS(f);\n");
    assert_eq!(who(&own("int"), &own("long"), &[USE, used]), files(&["a/made.c"]));
    assert_eq!(by_code(&own("int"), &own("long"), &[USE]).0, "class_f_make");
}

#[test]
fn a_macro_of_the_functions_name_may_hide_it() {
    let hidden = |path: &str, text: &str| {
        let all = ("a/all.c", "#include <o.h>\n#include <h.h>\n");
        let (names, renamed) = by_code("int f(int);", "long f(int);", &[USE, (path, text), all]);
        assert!(names == "f" || names == "all", "{names}");
        renamed
    };
    for text in ["#define f other\n", "# define \\\n f(x) other(x)\n", "/* a */ #define /* b */ f\n"] {
        assert_eq!(hidden("include/o.h", text), ["a/all.c"], "{text}");
    }
    assert!(hidden("include/o.h", "#define other f\n#define g(f) f\n/* #define f */\n").is_empty());
    assert_eq!(hidden("a/own.c", "#define f other\n#include <h.h>\n"), ["a/own.c"]);
    // What it includes is not known, and may define anything.
    assert_eq!(hidden("a/blind.c", "#include \"table.inc\"\n#include <h.h>\n"), ["a/blind.c"]);
}

#[test]
fn what_hangs_on_the_change_is_seen_too() {
    let by = |rest: &str, user: &str| {
        let text = |first: &str| format!("{first}\n{rest}\n");
        let user = format!("#include <h.h>\n{user}\n");
        who(&text("#define f 1"), &text("#define f 2"), &[("a/by.c", &user), ("a/not.c", "#include <h.h>\nint b;\n")])
    };
    let seen = files(&["a/by.c"]);
    assert_eq!(by("static inline int g(void)\n{\n\treturn f;\n}", "int i(void) { return g(); }"), seen);
    assert_eq!(by("#define g(x) (x + f)\nint k(int (*)[g(2)]);", "int i(void) { return k(0); }"), seen);
    assert_eq!(by("struct g { char c[f]; };", "int i = sizeof(struct g);"), seen);
    assert_eq!(by("#if f > 1\nstruct g { int x; };\n#endif", "struct g g;"), seen);
    assert_eq!(by("#if A\n#elif f\n#else\n#define g 2\n#endif", "int i = g;"), seen);
    assert_eq!(by("struct g {\n#ifdef f\n\tint x;\n#endif\n};", "struct g g;"), seen);
    assert_eq!(by("struct outer {\n\tstruct_group_tagged(g, part, char c[f];);\n};", "struct g g;"), seen);
    assert_eq!(
        by("struct outer {\n\tint a;\n\t__struct_group(g, part, __packed, char c[f];);\n};", "struct g g;"),
        seen
    );
    assert_eq!(by("typedef int g __must_hold(f);", "g i;"), seen);
    assert_eq!(by("static inline int g(void)\n{\n\treturn f;\n}", "int i(void) { return g(); }"), seen);
    assert_eq!(by("static inline void g(void)\n{\n\tasm(\"call f\");\n}", "void i(void) { g(); }"), seen);
    // It may do something that has no name.
    for rest in [
        "MAKE(f);",
        "#undef f",
        "#include f",
        "static int g = f;",
        "#if f\n#error x\n#endif",
        "static inline int g(void)\n{\n\tstatic int x __used = f;\n\treturn x;\n}",
        "void *memset(void *, int, long) __sized(f);",
    ] {
        assert!(by(rest, "int i;").is_err(), "{rest}");
    }
}

/// Macros of the header may put names there that are not to be seen.
#[test]
fn what_a_macro_of_the_header_declares_is_seen_by_all() {
    let by = |first: &str, then: &str, rest: &str| {
        let text = |first: &str| format!("{first}\n{rest}\n");
        who(&text(first), &text(then), &[("a/not.c", "#include <h.h>\nint b;\n")])
    };
    let list = "#define X(n) n,\nenum { LIST MAX, };\n#undef X";
    assert!(by("#define LIST X(A) X(B)", "#define LIST X(A) X(C) X(B)", list).is_err());
    assert!(by("#define LIST X(A) X(B)", "#define LIST X(A) X(C) X(B)", "#define X(n) n,\nenum { LIST };").is_err());
    let named = "#define GET(n) get_##n(void)\nstatic inline int GET(foo)\n{\n\treturn V;\n}";
    assert!(by("#define V 1", "#define V 2", named).is_err());
    assert!(by("#define V 1", "#define V 2", "#define g(x) s\nstruct g { char c[V]; };").is_err());
    // The words before a declaration.
    for list in
        ["#define LIST int a(void);", "#define LIST X(a)", "#define LIST TWO\n#define TWO X(a)", "#define LIST int a,"]
    {
        for then in ["int both(int (*)[V]);", "static inline int both(void)\n{\n\treturn V;\n}", "extern int both[V];"]
        {
            assert!(by("#define V 1", "#define V 2", &format!("{list}\nLIST {then}")).is_err(), "{list} {then}");
        }
    }
    // Another header's may.
    for then in [
        "static inline int both(void)\n{\n\treturn V;\n}",
        "struct both { char c[V]; };",
        "int both(int (*)[V]);",
        "u32 both(int (*)[V]);",
    ] {
        assert!(by("#define V 1", "#define V 2", &format!("LIST {then}")).is_err(), "{then}");
    }
    for api in ["", "extern __init", "__attribute__((cold)) int", "TWO\n#define TWO int"] {
        assert_eq!(
            by("#define V 1", "#define V 2", &format!("#define API {api}\nAPI both(int (*)[V]);")),
            NOBODY,
            "{api}"
        );
    }
    for plain in [
        "__unknown u32 both(int (*)[V]);",
        "u32 __unknown both(int (*)[V]);",
        "struct s *both(int (*)[V]);",
        "struct s __unknown *both(int (*)[V]);",
    ] {
        assert_eq!(by("#define V 1", "#define V 2", plain), NOBODY, "{plain}");
    }
    let same = "#define g g\nstatic inline int g(void)\n{\n\treturn V;\n}";
    assert_eq!(by("#define V 1", "#define V 2", same), NOBODY);
    // Assembler.
    let asm = ("a/entry.S", "#include <h.h>\n\tsubq $V, %rdi\n");
    assert_eq!(who("#define V 1", "#define V 2", &[asm]), files(&["a/entry.S"]));
}

#[test]
fn what_was_there_may_be_put_together() {
    let by = |call: &str| {
        let user = ("a/p.c", "#include <h.h>\n#include <p.h>\nint i = CLASS(f);\n");
        who("int class_f_make(int);", "long class_f_make(int);", &[("include/p.h", call), user])
    };
    assert_eq!(by("#define CLASS(n) class_##n##_make(1)\n"), files(&["a/p.c"]));
    assert_eq!(by("#define CLASS(n) klass_##n##_make(1)\n"), NOBODY);
    let define = |value: &str| format!("#define class_f_make(x) {value}\n#define CLASS(n) class_##n##_make(1)");
    let used = ("a/p.c", "#include <h.h>\nint i = CLASS(f);\n");
    assert_eq!(who(&define("1"), &define("2"), &[USE, used]), files(&["a/p.c"]));
    assert_eq!(by("#define JOIN(a, b) a##b\nint x = JOIN(class_, f_make)(1);\n"), files(&["a/p.c"]));
}

#[test]
fn changes_that_are_seen_by_all() {
    let all = |from: &str, to: &str| assert!(who(from, to, &[USE]).is_err(), "{to}");
    all("enum e { f, g };", "enum e { g, f };");
    all("struct s { int a; };", "struct s { int a; int b; };");
    all("int f(int) __weak;", "int f(int);");
    all("#undef f", "");
    all("MAKE(f);", "");
    all("static int f = 1;", "static int f = 2;");
    all("void *memcpy(void *a, const void *b, int n);", "void *memcpy(void *a, const void *b, long n);");
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
    all("extern unsigned long __ref_stack_chk_guard;");
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
        let _ = names(&TouchedFile { original: Some(original), patched: Some(patched) });
        let _ = paste::chains(&text());
    }
}
