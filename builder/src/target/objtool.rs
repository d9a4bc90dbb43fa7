// SPDX-License-Identifier: GPL-2.0-or-later
//! What the target's objtool knows by name: a source tree in, the functions that do not return out.
//!
//! No object says that a function does not return, so objtool has a list (tools/objtool/noreturns.h; up to Linux 6.3 an array in
//! check.c). After a call to any other undefined symbol it assumes that the code continues.

use super::Target;
use std::collections::BTreeSet;
use std::path::Path;

/// The functions that objtool knows not to return; none where the tree has no list of them.
pub fn noreturns(target: &Target) -> BTreeSet<String> {
    of_tree(&target.tree)
}

fn of_tree(tree: &Path) -> BTreeSet<String> {
    let read = |file: &str| std::fs::read_to_string(tree.join("tools/objtool").join(file)).unwrap_or_default();
    let header = read("noreturns.h");
    if header.is_empty() {
        of_array(&read("check.c"))
    } else {
        header
            .lines()
            .filter_map(|line| Some(line.trim().strip_prefix("NORETURN(")?.split_once(')')?.0.into()))
            .collect()
    }
}

/// The strings of `global_noreturns[] = { … };`.
fn of_array(source: &str) -> BTreeSet<String> {
    let Some((_, rest)) = source.split_once("global_noreturns[] = {") else { return BTreeSet::new() };
    let inside = rest.split_once("};").map_or("", |(inside, _)| inside);
    inside.split('"').skip(1).step_by(2).map(String::from).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::files;

    #[test]
    fn the_list_is_read_in_both_forms() {
        let dir = tempfile::tempdir().unwrap();
        assert!(of_tree(dir.path()).is_empty());
        let names = ["do_exit", "panic"].map(String::from);
        let check = "static const char * const global_noreturns[] = {\n\t\"do_exit\",\n\t\"panic\",\n\t};\n\t\"other\"";
        files::write(&dir.path().join("tools/objtool/check.c"), check.as_bytes()).unwrap();
        assert!(of_tree(dir.path()).into_iter().eq(names.clone()));
        files::write(&dir.path().join("tools/objtool/check.c"), b"#include \"noreturns.h\"\n").unwrap();
        let header = "/* NORETURN(x) */\nNORETURN(do_exit)\nNORETURN(panic)\n";
        files::write(&dir.path().join("tools/objtool/noreturns.h"), header.as_bytes()).unwrap();
        assert!(of_tree(dir.path()).into_iter().eq(names));
    }
}
