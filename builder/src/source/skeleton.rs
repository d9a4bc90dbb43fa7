// SPDX-License-Identifier: GPL-2.0-or-later
//! Whether fixes touch anything but code: the touched files in, yes or no out. Types that objects of the running kernel
//! have can change nowhere else than outside of the bodies of functions, and in the declarations of static locals.

use super::{PatchedTree, TouchedFile};
use crate::c::lex::{scan, Directive};
use std::collections::BTreeSet;

/// True where a struct, union, enum, typedef, macro or the like may have changed. Errs towards yes.
pub fn may_change_types(tree: &PatchedTree) -> bool {
    tree.files.values().any(is_typed)
}

/// The touched files in which one may have changed.
pub fn typed(tree: &PatchedTree) -> BTreeSet<&str> {
    tree.files.iter().filter(|(_, file)| is_typed(file)).map(|(path, _)| path.as_str()).collect()
}

fn is_typed(file: &TouchedFile) -> bool {
    match (&file.original, &file.patched) {
        (Some(original), Some(patched)) => skeleton(original) != skeleton(patched),
        _ => true,
    }
}

/// The text without the bodies of functions that are written in the kernel's style, their brace on a line of its own.
/// Directives stay, wherever they are: a macro may be used in a type. So do the static variables and the types of a body.
fn skeleton(text: &[u8]) -> Vec<&[u8]> {
    let lines: Vec<&[u8]> = text.split(|&b| b == b'\n').collect();
    let mut kept = Vec::new();
    let mut in_body = false;
    let mut declaration: Option<i32> = None;
    let mut head: Vec<&[u8]> = Vec::new();
    for (raw, line) in lines.iter().zip(scan(&lines)) {
        let text = raw.trim_ascii();
        if line.file_scope {
            // Between `{` and the end of a body no line begins at file scope.
            in_body = text == b"{" && !defines_type(&head);
            declaration = None;
        }
        if in_body && line.directive.is_none() && (declaration.is_some() || declares(text)) {
            kept.push(text);
            let depth = declaration.unwrap_or(0) + braces(text);
            declaration = (depth > 0 || !text.ends_with(b";")).then_some(depth);
            continue;
        }
        match line.directive {
            Some(Directive::Line(_)) => continue,
            Some(_) => kept.push(text),
            None if text.is_empty() || is_comment(text) => {}
            None if !in_body => kept.push(text),
            None => {}
        }
        if line.file_scope {
            if text.is_empty() || text.ends_with(b";") || text.ends_with(b"}") {
                head.clear();
            } else {
                head.push(text);
            }
        } else if line.in_arguments {
            head.push(text);
        }
    }
    kept
}

/// True where a line of a body may begin the declaration of a static variable, or a type.
fn declares(text: &[u8]) -> bool {
    let mut words = text.split(|b| !b.is_ascii_alphanumeric() && *b != b'_');
    let is_type = [&b"struct "[..], b"union ", b"enum ", b"typedef "].iter().any(|word| text.starts_with(word));
    !is_comment(text) && (words.any(|word| word == b"static") || is_type && text.ends_with(b"{"))
}

/// How many more braces a line opens than it closes.
fn braces(text: &[u8]) -> i32 {
    let count = |brace| text.iter().filter(|b| **b == brace).count() as i32;
    count(b'{') - count(b'}')
}

fn is_comment(text: &[u8]) -> bool {
    text.starts_with(b"//") || text.starts_with(b"/*") && text.ends_with(b"*/")
}

/// True where a brace after these lines may open a type or an initialiser, and not a body.
fn defines_type(head: &[&[u8]]) -> bool {
    let words = head.concat();
    let named = |word: &[u8]| words.windows(word.len()).any(|w| w == word);
    !words.ends_with(b")") || named(b"__attribute__") || named(b"__packed") || named(b"=")
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = "#include <x.h>\n\nstruct pair {\n\tint a;\n};\n\n/* Works. */\nstatic struct pair *work(int x)\n{\n\tint y = x;\n\n\treturn y + 1;\n}\n\ntypedef struct\n{\n\tint b;\n} old_t;\n";

    const LONG_HEAD: &str = "static int work(struct pair *pair, int x,\n\t\tint y)\n{\n\treturn x;\n}\n";

    fn same(from: &str, to: &str) -> bool {
        assert!(FILE.contains(from), "{from}");
        skeleton(FILE.as_bytes()) == skeleton(FILE.replace(from, to).as_bytes())
    }

    #[test]
    fn bodies_do_not_count() {
        assert!(same("y + 1", "y + 2"));
        assert!(same("\treturn y", "\tif (y)\n\t\treturn 0;\n\treturn y"));
        assert!(same("Works", "Works well"));
        assert!(same("\treturn", "#line 40\n\treturn"));
    }

    #[test]
    fn the_head_of_a_function_may_have_several_lines() {
        let same =
            |from: &str, to: &str| skeleton(LONG_HEAD.as_bytes()) == skeleton(LONG_HEAD.replace(from, to).as_bytes());
        assert!(same("return x", "return y"));
        assert!(!same("int y", "long y"));
        let typed = "struct __attribute__((aligned(4),\n\tpacked))\n{\n\tint a;\n};\n";
        assert_ne!(skeleton(typed.as_bytes()), skeleton(typed.replace("int a", "long a").as_bytes()));
    }

    #[test]
    fn static_locals_do() {
        let body = |inner: &str| format!("int f(void)\n{{\n\tint x;\n\n{inner}\n\treturn x + 1;\n}}\n");
        let differ = |a: &str, b: &str| skeleton(body(a).as_bytes()) != skeleton(body(b).as_bytes());
        assert!(differ("\tstatic struct a *last;", "\tstatic struct b *last;"));
        assert!(differ("\tstatic const struct a\n\t\t*last;", "\tstatic const struct a\n\t\t**last;"));
        assert!(differ("\tstruct local {\n\t\tstruct a *p;\n\t};", "\tstruct local {\n\t\tstruct b *p;\n\t};"));
        assert!(!differ("\tstruct a *x = y;", "\tstruct b *x = y;"));
        let after = |call: &str| format!("\tstatic struct {{\n\t\tint a;\n\t}} s;\n\t{call}();");
        assert!(!differ(&after("one"), &after("two")));
    }

    #[test]
    fn all_else_does() {
        assert!(!same("int a", "long a"));
        assert!(!same("int b", "long b"));
        assert!(!same("(int x)", "(long x)"));
        assert!(!same("<x.h>", "<y.h>"));
        assert!(!same("\treturn", "#define SIZE 3\n\treturn"));
    }
}
