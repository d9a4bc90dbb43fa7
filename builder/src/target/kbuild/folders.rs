// SPDX-License-Identifier: GPL-2.0-or-later
//! What kbuild said of folders in, the objects that are linked out: the folders are followed from the top of the tree.

use anyhow::{bail, Result};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// What the top makefile itself links and enters, among what folders contribute; no folder has this name. From Linux 6.1 on
/// the Kbuild file beside it lists the folders; before, only core-y, drivers-y and others in the makefiles do.
pub const TOP: &str = "/";

/// The folders that every kernel has code from.
const ALWAYS: [&str; 6] = ["init", "kernel", "mm", "fs", "lib", "drivers"];

/// The objects of one folder's makefile, as kbuild spells them.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Told {
    y: Vec<String>,
    m: Vec<String>,
    lib: Vec<String>,
    /// Its makefile cannot be read by itself: a part of another, or broken.
    pub failed: bool,
}

/// What kbuild said about the folders that were asked for.
#[derive(Debug, Default)]
pub struct Objects {
    /// kbuild's spelling of each object that is linked, by its plain path.
    spelled: BTreeMap<String, String>,
}

impl Objects {
    /// All objects, as kbuild spells them.
    pub fn all(&self) -> impl Iterator<Item = &str> {
        self.spelled.values().map(String::as_str)
    }

    /// kbuild's spelling of `object` (`a/b/../c.o` for `a/c.o`); None when it goes into nothing.
    pub fn spelling(&self, object: &str) -> Option<&str> {
        self.spelled.get(object).map(String::as_str)
    }

    /// The plain paths of all objects, sorted.
    pub fn into_plain(self) -> Vec<String> {
        self.spelled.into_keys().collect()
    }
}

/// Reads the lines that the rules for make print: `kmend|FOLDER|KIND|OBJECTS`.
pub fn read_answers(text: &str, told: &mut BTreeMap<String, Told>) {
    for line in text.lines().filter_map(|l| l.strip_prefix("kmend|")) {
        let [dir, kind, list] = line.splitn(3, '|').collect::<Vec<_>>()[..] else { continue };
        let list = list.split_whitespace().map(String::from).collect();
        let entry = told.entry(dir.into()).or_default();
        match kind {
            "y" => entry.y = list,
            "m" => entry.m = list,
            "lib" => entry.lib = list,
            "failed" => entry.failed = true,
            _ => {}
        }
    }
}

/// Follows the folders down from the top, as kbuild does: what no folder names is not linked. Returns the objects, and the
/// folders that were reached.
pub fn linked(told: &BTreeMap<String, Told>) -> (Objects, BTreeSet<String>) {
    let mut builtin = BTreeSet::from([".".to_string(), TOP.to_string()]);
    let mut any = builtin.clone();
    loop {
        let (had_builtin, had_any) = (builtin.len(), any.len());
        for (dir, told) in told {
            let below = |list: &[String], end: &str| -> Vec<String> {
                list.iter().filter_map(|o| o.strip_suffix(end)).map(plain).collect()
            };
            if builtin.contains(dir) {
                builtin.extend(below(&told.y, "/built-in.a"));
            }
            if any.contains(dir) {
                any.extend(below(&told.m, "/modules.order"));
            }
        }
        any.extend(builtin.iter().cloned());
        if (builtin.len(), any.len()) == (had_builtin, had_any) {
            break;
        }
    }
    let mut spelled = BTreeMap::new();
    for (dir, told) in told {
        let in_vmlinux = told.y.iter().chain(&told.lib).filter(|_| builtin.contains(dir));
        let in_modules = told.m.iter().filter(|_| any.contains(dir));
        for object in in_modules.chain(in_vmlinux).filter(|o| o.ends_with(".o")) {
            spelled.insert(plain(object), object.clone());
        }
    }
    any.remove(TOP);
    (Objects { spelled }, any)
}

/// That a file is not in the kernel can only be said where the way from the top leads to all that every kernel has: of the
/// folders in `reached`, those that the tree has according to `is_there`.
///
/// # Errors
/// A folder that is there and was not reached. To take that for an answer would be to say of fixes that the kernel does not
/// need them.
pub fn check_reached(reached: &BTreeSet<String>, is_there: impl Fn(&str) -> bool) -> Result<()> {
    let lost: Vec<&str> = ALWAYS.into_iter().filter(|dir| is_there(dir) && !reached.contains(*dir)).collect();
    if lost.is_empty() && reached.len() > 1 {
        return Ok(());
    }
    let lost = if lost.is_empty() { "any folder".to_string() } else { lost.join("/, ") + "/" };
    bail!(
        "its makefiles do not lead from the top of the tree to {lost}, so kmend cannot tell what this kernel contains: it \
         does not know this form of kbuild, or the tree is not complete"
    )
}

/// A path without `.` and `..` parts.
pub fn plain(path: &str) -> String {
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." if parts.last().is_some_and(|p| *p != "..") => _ = parts.pop(),
            part => parts.push(part),
        }
    }
    if parts.is_empty() {
        ".".into()
    } else {
        parts.join("/")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(y: &str, m: &str, lib: &str) -> Told {
        let list = |s: &str| s.split_whitespace().map(String::from).collect();
        Told { y: list(y), m: list(m), lib: list(lib), failed: false }
    }

    fn all<const N: usize>(told: [(&str, Told); N]) -> BTreeMap<String, Told> {
        told.into_iter().map(|(d, t)| (d.to_string(), t)).collect()
    }

    #[test]
    fn only_what_is_reached_from_the_top_is_linked() {
        let told = all([
            (".", told("fs/built-in.a init/main.o", "fs/modules.order drv/modules.order", "")),
            ("fs", told("fs/a.o fs/x/y/built-in.a", "fs/b.o", "fs/l.o")),
            ("fs/x/y", told("fs/x/y/c.o fs/x/y/../d.o", "", "")),
            // Reached for its modules alone.
            ("drv", told("drv/e.o", "drv/f.o", "drv/g.o")),
            // Not reached at all.
            ("stub", told("stub/h.o", "stub/i.o", "stub/j.o")),
        ]);
        let (objects, reached) = linked(&told);
        assert!(reached.contains("drv") && !reached.contains("stub"));
        assert_eq!(objects.spelling("fs/x/d.o"), Some("fs/x/y/../d.o"));
        let all = objects.into_plain();
        assert_eq!(all, ["drv/f.o", "fs/a.o", "fs/b.o", "fs/l.o", "fs/x/d.o", "fs/x/y/c.o", "init/main.o"]);
    }

    /// Before 6.1 the Kbuild file at the top has only generated headers.
    #[test]
    fn folders_that_only_the_top_makefile_lists() {
        let top = told(
            "arch/x/kernel/head64.o fs/built-in.a lib/built-in.a lib/lib.a",
            "fs/modules.order lib/modules.order arch/x/oprofile/modules.order",
            "",
        );
        let told = all([
            (TOP, top),
            (".", told("", "", "")),
            ("fs", told("fs/a.o", "fs/b.o", "")),
            ("lib", told("lib/c.o", "", "lib/d.o")),
            ("arch/x/oprofile", told("", "arch/x/oprofile/e.o", "")),
            ("net", told("net/f.o", "", "")),
        ]);
        let (objects, reached) = linked(&told);
        assert!(!reached.contains(TOP) && reached.contains("fs") && !reached.contains("net"));
        let all = ["arch/x/kernel/head64.o", "arch/x/oprofile/e.o", "fs/a.o", "fs/b.o", "lib/c.o", "lib/d.o"];
        assert_eq!(objects.into_plain(), all);
    }

    #[test]
    fn a_way_that_leads_to_nothing_is_an_error() {
        let reached = |dirs: &str| dirs.split_whitespace().map(String::from).collect::<BTreeSet<_>>();
        let nothing = linked(&all([(TOP, told("", "", "")), (".", told("", "", ""))])).1;
        let said = check_reached(&nothing, |_| true).unwrap_err().to_string();
        assert!(said.contains("init/, kernel/, mm/, fs/, lib/, drivers/"), "{said}");
        check_reached(&nothing, |_| false).unwrap_err();
        check_reached(&reached(". init kernel mm fs lib drivers"), |_| true).unwrap();
        // Half of the way is none either.
        let said = check_reached(&reached(". init kernel mm fs lib"), |_| true).unwrap_err().to_string();
        assert!(said.contains("drivers/") && !said.contains("init/"), "{said}");
        check_reached(&reached(". init kernel mm fs lib"), |dir| dir != "drivers").unwrap();
    }

    #[test]
    fn answers() {
        let mut told = BTreeMap::new();
        read_answers("kmend|fs|y|fs/a.o  fs/b.o \nnoise\nkmend|fs|m|\nkmend|x|failed|\nkmend|y\n", &mut told);
        assert_eq!(told["fs"].y, ["fs/a.o", "fs/b.o"]);
        assert!(told["x"].failed && !told["fs"].failed && told.len() == 2);
    }

    #[test]
    fn plain_paths() {
        assert_eq!(plain("a/b/../c.o"), "a/c.o");
        assert_eq!(plain("./a//b"), "a/b");
        assert_eq!(plain("../a"), "../a");
        assert_eq!(plain("."), ".");
    }
}
