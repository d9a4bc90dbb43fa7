// SPDX-License-Identifier: GPL-2.0-or-later
//! Whether fixes touch anything but the bodies of functions: the touched files in, yes or no out. Types that objects
//! of the running kernel have can change nowhere else.

use super::clex::{scan, Directive};
use super::PatchedTree;

/// True where a struct, union, enum, typedef, macro or the like may have changed. Errs towards yes.
pub fn may_change_types(tree: &PatchedTree) -> bool {
    tree.files.values().any(|file| match (&file.original, &file.patched) {
        (Some(original), Some(patched)) => skeleton(original) != skeleton(patched),
        _ => true,
    })
}

/// The text without the bodies of functions that are written in the kernel's style, their brace on a line of its own.
/// Directives stay, wherever they stand: a macro may be used in a type.
fn skeleton(text: &[u8]) -> Vec<&[u8]> {
    let lines: Vec<&[u8]> = text.split(|&b| b == b'\n').collect();
    let mut kept = Vec::new();
    let mut in_body = false;
    let mut head: Vec<&[u8]> = Vec::new();
    for (raw, line) in lines.iter().zip(scan(&lines)) {
        let text = raw.trim_ascii();
        if line.file_scope {
            // Between `{` and the end of a body no line begins at file scope.
            in_body = text == b"{" && !defines_type(&head);
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
    fn all_else_does() {
        assert!(!same("int a", "long a"));
        assert!(!same("int b", "long b"));
        assert!(!same("(int x)", "(long x)"));
        assert!(!same("<x.h>", "<y.h>"));
        assert!(!same("\treturn", "#define SIZE 3\n\treturn"));
    }
}
