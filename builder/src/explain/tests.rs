// SPDX-License-Identifier: GPL-2.0-or-later
use super::*;
use crate::diff::diff;
use crate::elf::read::{read, Take};
use crate::source::lines::keep_numbers;
use crate::special::layout::Layouts;
use std::path::Path;
use std::process::Command;

const OLD: &str = "\
#define LIMIT 10
extern int out(int, const char *);

static inline int small(int x)
{
	return x + 1;
}

static __attribute__((noinline)) int helper(int x, int y)
{
	return out(x, \"helper\") * y;
}

int by_line(int x)
{
	if (x > 3)
		out(x, \"three\");
	return helper(x, 5);
}

int by_inline(int x)
{
	return out(small(x), \"inline\");
}

int by_macro(int x)
{
	return x > LIMIT ? out(x, \"macro\") : 0;
}

struct box {
	int height;
	int width;
};

int by_layout(struct box *box)
{
	return out(box->width, \"layout\");
}

int box_is_empty(void)
{
	return 0;
}

int untouched(int x)
{
	return out(x, \"untouched\") + __LINE__;
}
";

fn compile(dir: &Path, text: &[u8], debug: &str) -> Vec<u8> {
    std::fs::create_dir_all(dir.join("a")).unwrap();
    std::fs::write(dir.join("a/b.c"), text).unwrap();
    let flags = ["-O2", "-c", "-ffunction-sections", "-fdata-sections", "-fno-pie", "-mcmodel=kernel", "-mno-red-zone"];
    let made = Command::new("cc").current_dir(dir).args(flags).args([debug, "-o", "b.o", "./a/b.c"]).status();
    assert!(made.expect("cc is needed to link Rust programs").success());
    std::fs::read(dir.join("b.o")).unwrap()
}

/// The causes of each function that a change from OLD brings in, as text.
fn caused(change: impl Fn(&str) -> String, debug: &str) -> Vec<(String, Vec<String>)> {
    let dir = tempfile::tempdir().unwrap();
    let new = change(OLD);
    assert_ne!(new, OLD);
    let kept = keep_numbers(OLD.as_bytes(), new.as_bytes());
    let original = compile(dir.path(), OLD.as_bytes(), debug);
    let patched = compile(dir.path(), &kept, debug);
    let objects = [&original, &patched].map(|bytes| read(bytes, Take::NoDebug).unwrap());
    let changes = diff(&objects[0], &objects[1], &Layouts::default()).unwrap();
    let fixed = Fixed::between(dir.path().to_str().unwrap(), "a/b.c", OLD.as_bytes(), &kept);
    let found = causes(&original, &patched, &changes, Some(&fixed), &|_| None);
    found.into_iter().map(|(name, all)| (name, all.iter().map(Cause::to_string).collect())).collect()
}

fn one(name: &str, cause: &str) -> Vec<(String, Vec<String>)> {
    vec![(name.into(), vec![cause.into()])]
}

#[test]
fn a_line() {
    let change = |old: &str| old.replace("\tif (x > 3)\n", "\tx++;\n\n\tif (x > 4)\n");
    let found = caused(change, "-g1");
    assert_eq!(found.len(), 1, "{found:?}");
    assert_eq!(found[0].0, "by_line");
    assert!(found[0].1.contains(&"a/b.c:18: if (x > 4)".to_string()), "{found:?}");
}

#[test]
fn a_line_that_is_taken_away() {
    let change = |old: &str| old.replace("\tif (x > 3)\n\t\tout(x, \"three\");\n", "");
    let found = caused(change, "-g1");
    assert_eq!(found[0].0, "by_line");
    assert!(found[0].1.iter().all(|c| c.contains("(taken away)")), "{found:?}");
    assert!(found[0].1.contains(&"a/b.c:17: out(x, \"three\"); (taken away)".to_string()), "{found:?}");
}

#[test]
fn a_new_function() {
    let change = |old: &str| {
        let call = old.replace("small(x), \"inline\"", "extra(x), \"inline\"");
        let extra =
            "static __attribute__((noinline)) int extra(int x)\n{\n\treturn out(x, \"extra\");\n}\n\nint by_inline";
        call.replace("int by_inline", extra)
    };
    let found = caused(change, "-g1");
    assert_eq!(found[0].0, "by_inline");
    assert_eq!(found[0].1, ["a/b.c:28: return out(extra(x), \"inline\");"]);
    assert_eq!(found[1].1, ["a/b.c:21: static __attribute__((noinline)) int extra(int x)"]);
}

#[test]
fn an_inlined_function() {
    let found = caused(|old| old.replace("return x + 1;", "return x * 77;"), "-g1");
    assert_eq!(found, one("by_inline", "a/b.c:6: return x * 77; (in small, inlined here)"));
}

#[test]
fn a_line_that_the_compiler_counts_to_the_brace() {
    let found = caused(
        |old| old.replace("int box_is_empty(void)\n{\n\treturn 0;", "int box_is_empty(void)\n{\n\treturn 1;"),
        "-g1",
    );
    assert_eq!(found, one("box_is_empty", "a/b.c:43: return 1;"));
}

#[test]
fn a_layout() {
    let found = caused(|old| old.replace("\tint width;\n", "\tint depth;\n\tint width;\n"), "-g1");
    assert_eq!(found, one("by_layout", "it contains no line of the fix; the fix changes struct box (a/b.c:31)"));
}

#[test]
fn a_macro() {
    let found = caused(|old| old.replace("LIMIT 10", "LIMIT 20"), "-g1");
    let text = "a/b.c:28: macro LIMIT of a/b.c:1, in return x > LIMIT ? out(x, \"macro\") : 0;";
    assert_eq!(found, one("by_macro", text));
}

#[test]
fn what_the_compiler_did() {
    // helper() is inlined for once, so by_line changes without a line of the fix in it other than helper()'s own.
    let found = caused(|old| old.replace("static __attribute__((noinline)) int helper", "static int helper"), "-g1");
    let by_line = found.iter().find(|(name, _)| name == "by_line").expect("helper is inlined into it");
    assert_eq!(by_line.1, ["the compiler inlines helper here now"]);
}

#[test]
fn nothing_is_said_without_line_tables() {
    assert!(caused(|old| old.replace("x > 3", "x > 4"), "-g0").is_empty());
    assert!(caused(|old| old.replace("x > 3", "x > 4"), "-gz=zlib").iter().all(|(_, causes)| causes.is_empty()));
}

#[test]
fn damaged_debug_information() {
    let dir = tempfile::tempdir().unwrap();
    let good = compile(dir.path(), OLD.as_bytes(), "-g1");
    let object = read(&good, Take::NoDebug).unwrap();
    let changed = compile(dir.path(), OLD.replace("x > 3", "x > 4").as_bytes(), "-g1");
    let other = read(&changed, Take::NoDebug).unwrap();
    let changes = diff(&object, &other, &Layouts::default()).unwrap();
    let mut seed = 0x2545_f491_4f6c_dd1d_u64;
    for _ in 0..300 {
        let mut bytes = changed.clone();
        for _ in 0..4 {
            seed ^= seed << 13;
            seed ^= seed >> 7;
            seed ^= seed << 17;
            let at = (seed >> 8) as usize % bytes.len();
            bytes[at] ^= seed as u8 | 1;
        }
        // Wrong lines cannot be told from right ones here; it must not break off.
        causes(&good, &bytes, &changes, None, &|_| None);
    }
}
