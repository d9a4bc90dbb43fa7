// SPDX-License-Identifier: GPL-2.0-or-later
//! Who includes what: a target's tree in, for a changed file all files out that it reaches by `#include`.
//!
//! Objects that were never compiled have no dependency lists, so only their text is available: of every C file, header
//! and assembler file the names in its `#include` lines, and of the makefiles the headers that they force on a folder's
//! files. Which folder a name is looked for in depends on flags and conditionals that only kbuild knows; a name that
//! does not name one beside the file that includes it is therefore taken for every file whose path ends in it. That
//! gives too many files, never too few; the preprocessor decides in the end (`reach/narrow.rs`). The whole tree has to
//! be read for this, so the result is cached.

mod marks;
pub(super) mod outside;
mod rules;
pub mod scan;

use crate::files;
use crate::parallel;
use crate::progress;
use crate::target::kbuild::{last_made, owns, plain, tree_id};
use crate::target::Target;
use anyhow::{Context, Result};
pub(super) use marks::Marks;
use rules::Rules;
use scan::{How, Includes, Scanner};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::fmt::Write;
use std::io::Read;
use std::path::Path;
use std::sync::OnceLock;
use std::time::UNIX_EPOCH;

/// Raised when what is kept, or how it is found, changes.
const VERSION: &str = "kmend includes 6";

/// All includes of a tree, by name. Files go by their number.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Index {
    version: String,
    /// Of all files' paths; of their sizes and times too where they may change.
    fingerprint: String,
    /// When kbuild last made objects in the tree.
    made: String,
    files: Vec<String>,
    /// `#include "NAME"`.
    quoted: BTreeMap<String, Vec<u32>>,
    /// `#include <NAME>` and all other ways.
    anywhere: BTreeMap<String, Vec<u32>>,
    /// Headers that a makefile forces on the C files below a folder (empty: on all).
    forced: Vec<(String, String)>,
    /// Files with an include whose name a macro computes: they may include anything.
    computed: Vec<u32>,
    rules: Rules,
}

/// Finds all includes in the tree of `target`, or takes what is kept of it. In a tree of kmend's own nothing changes but what
/// kbuild adds where it makes objects.
pub fn index(target: &Target) -> Result<Index> {
    let path = files::cache_dir()?.join("index").join(format!("includes-{}.json", tree_id(target)));
    let write = |index: &Index| -> Result<()> {
        files::keep(&path, &serde_json::to_vec(index).context("cannot write the list of includes")?);
        Ok(())
    };
    let kept: Option<Index> = std::fs::read(&path).ok().and_then(|b| serde_json::from_slice(&b).ok());
    let made = last_made(target)?;
    let kept = match kept.filter(Index::is_sound) {
        Some(kept) if owns(target) && kept.made == made => return Ok(kept),
        other => other,
    };
    let (sources, makefiles) = walk(&target.tree, &target.arch)?;
    let print = |index: &Index| index.print(&target.tree, &sources, &makefiles, owns(target));
    if let Some(mut kept) = kept.filter(|k| k.fingerprint == print(k)) {
        if kept.made != made {
            kept.made = made;
            write(&kept)?;
        }
        return Ok(kept);
    }
    let step = progress::step("finding out which files include which (kept for the next time)");
    let config = std::fs::read_to_string(&target.config).unwrap_or_default();
    let mut found = search(&target.tree, &target.arch, &sources, &makefiles, &config)?;
    (found.fingerprint, found.made) = (print(&found), made);
    write(&found)?;
    step.done(&format!("{} files", found.files.len()));
    Ok(found)
}

/// Of all files' paths, sizes and times.
pub(super) fn fingerprint(tree: &Path, sources: &[String]) -> String {
    let mut text = String::new();
    for path in sources {
        let meta = std::fs::metadata(tree.join(path)).ok();
        let time = meta.as_ref().and_then(|m| m.modified().ok()).and_then(|t| t.duration_since(UNIX_EPOCH).ok());
        let _ = writeln!(text, "{path} {} {}", meta.map_or(0, |m| m.len()), time.unwrap_or_default().as_nanos());
    }
    files::sha256(text.as_bytes())
}

/// The folder of an architecture under arch/, by its `uname -m` name.
pub fn arch_folder(arch: &str) -> &str {
    match arch {
        "x86_64" | "i686" => "x86",
        "ppc64le" | "ppc64" => "powerpc",
        "aarch64" => "arm64",
        "s390x" => "s390",
        "loongarch64" => "loongarch",
        "riscv64" => "riscv",
        other => other,
    }
}

/// The C files, headers and assembler files that may become code of this target, and the makefiles; sorted.
pub(super) fn walk(tree: &Path, arch: &str) -> Result<(Vec<String>, Vec<String>)> {
    let (mut sources, mut makefiles) = (Vec::new(), Vec::new());
    let mut folders = vec![String::new()];
    while let Some(folder) = folders.pop() {
        let dir = tree.join(&folder);
        let entries = std::fs::read_dir(&dir).with_context(|| format!("cannot read the folder {}", dir.display()))?;
        for entry in entries {
            let entry = entry.with_context(|| format!("cannot read the folder {}", dir.display()))?;
            let kind = entry.file_type().with_context(|| format!("cannot read {}", entry.path().display()))?;
            let Ok(name) = entry.file_name().into_string() else { continue };
            let path = if folder.is_empty() { name.clone() } else { format!("{folder}/{name}") };
            if kind.is_dir() {
                let skip = (folder.is_empty() && outside::is_skipped(&name))
                    || (folder == "arch" && name != arch_folder(arch));
                if !skip {
                    folders.push(path);
                }
            } else if is_source(&name) {
                sources.push(path);
            } else if name.starts_with("Makefile") || name == "Kbuild" {
                makefiles.push(path);
            }
        }
    }
    sources.sort();
    makefiles.sort();
    // kbuild's own makefiles are in a folder that holds no code of the kernel.
    makefiles.extend(["scripts/Makefile.lib".to_string(), "scripts/Makefile.build".into()]);
    Ok((sources, makefiles))
}

fn is_source(name: &str) -> bool {
    [".c", ".h", ".S"].iter().any(|end| name.ends_with(end))
}

/// What `look` makes of the text of each of `files`, in their order; as many at a time as there are processors.
pub(crate) fn each_text<R: Send>(tree: &Path, files: &[String], look: impl Fn(&[u8]) -> R + Sync) -> Result<Vec<R>> {
    let chunks: Vec<&[String]> = files.chunks(256).collect();
    let found = parallel::map(&chunks, |_, chunk| {
        let mut text = Vec::new();
        let look = |path: &String| {
            text.clear();
            let file = tree.join(path);
            std::fs::File::open(&file)
                .and_then(|mut f| f.read_to_end(&mut text))
                .with_context(|| format!("cannot read {}", file.display()))?;
            Ok(look(&text))
        };
        chunk.iter().map(look).collect::<Result<Vec<R>>>()
    })?;
    Ok(found.into_iter().flatten().collect())
}

/// Reads all of `sources` and `makefiles`, and what they reach outside.
pub(super) fn search(tree: &Path, arch: &str, sources: &[String], makefiles: &[String], config: &str) -> Result<Index> {
    let mut index = Index { version: VERSION.into(), ..Index::default() };
    for makefile in makefiles {
        let text = std::fs::read(tree.join(makefile)).unwrap_or_default();
        let text = String::from_utf8_lossy(&text);
        let folder = makefile.rsplit_once('/').map_or("", |(d, _)| d);
        index.rules.read(folder, &text, arch_folder(arch));
        // What the architecture's makefile says, and kbuild's own, holds for all files.
        let top = folder == "scripts" || (folder.starts_with("arch/") && folder.matches('/').count() == 1);
        let folder = if top { "" } else { folder };
        index.forced.extend(scan::forced(&text).into_iter().map(|n| (folder.to_string(), n)));
    }
    index.forced.sort();
    index.forced.dedup();
    let scanner = Scanner::default();
    let includes = each_text(tree, sources, |text| scanner.scan(text))?;
    let inside = sources.iter().map(String::as_str).zip(&includes);
    let outside = outside::reached(tree, &scanner, inside, &index.rules.compiled)?;
    let mut all: Vec<(String, Includes)> = sources.iter().cloned().zip(includes).chain(outside).collect();
    all.sort_by(|(a, _), (b, _)| a.cmp(b));
    // An option that names a header and is not set is no include.
    let off = |name: &str| {
        name.starts_with("CONFIG_") && !config.lines().any(|l| l.strip_prefix(name).is_some_and(|r| r.starts_with('=')))
    };
    for (at, (path, includes)) in (0u32..).zip(all) {
        // A header of trace events that may name itself does: if its macro led to another of that name, the events that it
        // defines would never be made, and the kernel would not link.
        let others = includes.by_macro.into_iter().filter(|name| !may_be(name, &path));
        for (how, name) in includes.names.into_iter().chain(others.map(|name| (How::Anywhere, name))) {
            let map = if how == How::Quoted { &mut index.quoted } else { &mut index.anywhere };
            let list = map.entry(name).or_default();
            if list.last() != Some(&at) {
                list.push(at);
            }
        }
        if includes.computed.iter().any(|name| !off(name)) {
            index.computed.push(at);
        }
        index.files.push(path);
    }
    Ok(index)
}

/// An include's name without the parts that lead upwards: what the path of the included file ends in.
fn tail(name: &str) -> String {
    let plain = plain(name);
    plain.trim_start_matches("../").to_string()
}

/// The name of a file without its folders.
pub(super) fn last(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
}

fn ends_in(path: &str, tail: &str) -> bool {
    path.strip_suffix(tail).is_some_and(|head| head.is_empty() || head.ends_with('/'))
}

/// Whether an include of `name` may mean the file at `path`.
pub fn may_be(name: &str, path: &str) -> bool {
    ends_in(path, &tail(name))
}

/// One spelling of an include.
struct Spelling<'a> {
    name: &'a str,
    tail: String,
    quoted: bool,
    by: &'a [u32],
}

/// An index that is ready to be asked.
pub struct Includers<'a> {
    index: &'a Index,
    files: HashSet<&'a str>,
    /// By the last part of the name.
    spellings: HashMap<String, Vec<Spelling<'a>>>,
    /// The files that include each file directly, where it was asked for.
    known: Vec<OnceLock<Vec<u32>>>,
}

impl Index {
    fn is_sound(&self) -> bool {
        let known = |list: &Vec<u32>| list.iter().all(|n| (*n as usize) < self.files.len());
        self.version == VERSION && self.quoted.values().chain(self.anywhere.values()).chain([&self.computed]).all(known)
    }

    /// The fingerprint of a tree with these `sources` and `makefiles`.
    fn print(&self, tree: &Path, sources: &[String], makefiles: &[String], owned: bool) -> String {
        let outside: Vec<String> = self.files.iter().filter(|f| outside::is_outside(f)).cloned().collect();
        let all = [sources, makefiles, &outside].concat();
        if owned {
            files::sha256(all.join("\n").as_bytes())
        } else {
            fingerprint(tree, &all)
        }
    }

    /// All files that were looked at, sorted.
    pub(super) fn files(&self) -> &[String] {
        &self.files
    }

    /// Whether the file at `path`, in a folder that holds no kernel code, becomes a part of the kernel all the same.
    pub(super) fn takes_from_outside(&self, path: &str) -> bool {
        outside::is_outside(path) && self.files.binary_search_by(|f| f.as_str().cmp(path)).is_ok()
    }

    /// The objects that are made of the C or assembler file at `path`: its own, and those that a makefile compiles of it
    /// elsewhere. None where it is only a part of others.
    pub(super) fn objects(&self, path: &str) -> Vec<String> {
        let stem = path.strip_suffix(".c").or(path.strip_suffix(".S")).filter(|_| !outside::is_outside(path));
        stem.map(|stem| format!("{stem}.o")).into_iter().chain(self.rules.objects(path)).collect()
    }

    /// The assembly of the C file at `path` of which kbuild makes a header.
    pub(super) fn values(&self, path: &str) -> Option<String> {
        let assembly = format!("{}.s", path.strip_suffix(".c")?);
        self.rules.values.contains(&assembly).then_some(assembly)
    }

    /// What kbuild makes of the text of the file at `path`.
    pub(super) fn made_of<'a>(&'a self, path: &'a str) -> impl Iterator<Item = &'a str> {
        self.rules.made_of(path)
    }

    /// Whether `object` is compiled of a file elsewhere.
    pub(super) fn compiles(&self, object: &str) -> bool {
        self.rules.compiles(object)
    }

    /// Whether the file at `path` is the source of a program that runs where the kernel is built.
    pub(super) fn is_program(&self, path: &str) -> bool {
        self.rules.programs.iter().any(|p| p == path)
    }

    /// Files that include more than is known here: a name that a macro computes, or a file of another kind.
    pub(super) fn blind(&self) -> Vec<&str> {
        let strange = self.quoted.iter().chain(&self.anywhere).filter(|(name, _)| !is_source(name));
        let all = strange.flat_map(|(_, by)| by).chain(&self.computed);
        all.map(|n| self.files[*n as usize].as_str()).collect()
    }

    /// Prepares the index for questions.
    pub fn includers(&self) -> Includers<'_> {
        let mut spellings: HashMap<String, Vec<Spelling<'_>>> = HashMap::new();
        let all = self.quoted.iter().map(|s| (s, true)).chain(self.anywhere.iter().map(|s| (s, false)));
        for ((name, by), quoted) in all {
            let tail = tail(name);
            spellings.entry(last(&tail).to_string()).or_default().push(Spelling { name, tail, quoted, by });
        }
        let files = self.files.iter().map(String::as_str).collect();
        Includers { index: self, files, spellings, known: self.files.iter().map(|_| OnceLock::new()).collect() }
    }
}

impl<'a> Includers<'a> {
    /// All files that were looked at, sorted.
    pub(super) fn files(&self) -> &'a [String] {
        &self.index.files
    }

    /// `path` and every file that includes it, directly or through another; `path` comes first and need not be in the
    /// tree (a file that a fix adds), the others are sorted.
    pub fn closure(&self, path: &str) -> Vec<String> {
        let mut seen = self.closure_of([path]);
        seen.remove(path);
        [path].into_iter().chain(seen).map(String::from).collect()
    }

    /// `paths` and every file that includes one of them.
    pub(super) fn closure_of<'p>(&self, paths: impl IntoIterator<Item = &'p str>) -> BTreeSet<&'p str>
    where
        'a: 'p,
    {
        let mut seen: BTreeSet<&'p str> = paths.into_iter().collect();
        let (mut next, mut code) = (Vec::new(), true);
        for path in &seen {
            code &= path.ends_with(".c");
            match self.number(path) {
                Some(n) => next.push(n),
                // A file that a fix adds.
                None => next.extend(self.of(path)),
            }
        }
        let marked = self.marked(next, code);
        seen.extend(marked.numbers().map(|n| self.index.files[n].as_str()));
        seen
    }

    /// The files of these numbers and every file that includes one of them, by number.
    pub(super) fn closure_of_numbers(&self, files: impl IntoIterator<Item = usize>) -> Marks {
        let files: Vec<u32> = files.into_iter().map(|n| n as u32).collect();
        let code = files.iter().all(|n| self.index.files[*n as usize].ends_with(".c"));
        self.marked(files, code)
    }

    /// The files in `next` and what includes them; `code` where all that are asked for are C files.
    fn marked(&self, mut next: Vec<u32>, code: bool) -> Marks {
        // What a macro computes may be this very header. No kernel computes the name of a .c file, and one that is
        // not built must be reported as such.
        if !code {
            next.extend(&self.index.computed);
        }
        let mut seen = Marks::of(self.index.files.len());
        next.retain(|n| seen.add(*n as usize));
        while let Some(n) = next.pop() {
            let by = self.known[n as usize].get_or_init(|| self.of(&self.index.files[n as usize]));
            next.extend(by.iter().copied().filter(|n| seen.add(*n as usize)));
        }
        seen
    }

    fn number(&self, path: &str) -> Option<u32> {
        self.index.files.binary_search_by(|f| f.as_str().cmp(path)).ok().map(|n| n as u32)
    }

    /// The numbers of the files that include `path` directly.
    fn of(&self, path: &str) -> Vec<u32> {
        let files = &self.index.files;
        let mut found = Vec::new();
        for s in self.spellings.get(last(path)).into_iter().flatten().filter(|s| ends_in(path, &s.tail)) {
            for n in s.by {
                let file = files[*n as usize].as_str();
                // The compiler looks beside the including file first, and stops there.
                let beside = || plain(&format!("{}/{}", file.rsplit_once('/').map_or(".", |(d, _)| d), s.name));
                if s.quoted {
                    let beside = beside();
                    if beside != path && self.files.contains(beside.as_str()) {
                        continue;
                    }
                }
                found.push(*n);
            }
        }
        for (folder, _) in self.index.forced.iter().filter(|(_, name)| ends_in(path, &tail(name))) {
            let below =
                |f: &&str| folder.is_empty() || f.strip_prefix(folder.as_str()).is_some_and(|r| r.starts_with('/'));
            let code = (0u32..).zip(files).filter(|(_, f)| !f.ends_with(".h") && below(&f.as_str()));
            found.extend(code.map(|(n, _)| n));
        }
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Tree(tempfile::TempDir);

    impl Tree {
        fn new(files: &[(&str, &str)]) -> Self {
            let dir = tempfile::tempdir().unwrap();
            files.iter().for_each(|(path, text)| files::write(&dir.path().join(path), text.as_bytes()).unwrap());
            Self(dir)
        }

        fn index(&self) -> Index {
            let (sources, makefiles) = walk(self.0.path(), "x86_64").unwrap();
            search(self.0.path(), "x86_64", &sources, &makefiles, "CONFIG_SET=\"x.h\"\n").unwrap()
        }

        fn closure(&self, path: &str) -> Vec<String> {
            self.index().includers().closure(path)
        }
    }

    #[test]
    fn c_files_that_others_include() {
        let tree = Tree::new(&[
            ("kernel/all.c", "#include \"part.c\"\n  #  include <../lib/x.c>\n"),
            ("kernel/part.c", "#include \"../lib/x.c\"\n"),
            ("lib/x.c", "int x;\n"),
            ("arch/arm/y.c", "#include \"../../lib/x.c\"\n"),
            ("tools/z.c", "#include \"../lib/x.c\"\n"),
        ]);
        assert_eq!(tree.closure("kernel/part.c"), ["kernel/part.c", "kernel/all.c"]);
        assert_eq!(tree.closure("lib/x.c"), ["lib/x.c", "kernel/all.c", "kernel/part.c"]);
        assert_eq!(tree.closure("kernel/all.c"), ["kernel/all.c"]);
    }

    #[test]
    fn kernel_code_in_folders_of_other_things() {
        let tree = Tree::new(&[
            ("kernel/bpf/relo.c", "#include \"../../tools/lib/relo.c\"\n"),
            ("kernel/bpf/btf.c", "#include \"../tools/lib/relo.h\"\n"),
            (
                "kernel/bpf/Makefile",
                "$(obj)/one.o: $(srctree)/tools/lib/one.c FORCE\n\t$(call if_changed_rule,cc_o_c)\n",
            ),
            ("tools/lib/relo.c", "#include <linux/btf.h>\n#include \"relo.h\"\n"),
            ("tools/lib/relo.h", "#include \"deep.h\"\n"),
            ("tools/lib/deep.h", ""),
            ("tools/lib/one.c", "#include <linux/btf.h>\n"),
            ("tools/lib/other.c", "#include <linux/btf.h>\n"),
            ("tools/include/linux/btf.h", ""),
            ("include/linux/btf.h", ""),
            ("lib/all.c", "#include <linux/libfdt.h>\n"),
            ("include/linux/libfdt.h", "#include \"../../scripts/libfdt.h\"\n"),
            ("scripts/libfdt.h", ""),
        ]);
        let all = ["include/linux/btf.h", "kernel/bpf/relo.c", "tools/lib/one.c", "tools/lib/relo.c"];
        assert_eq!(tree.closure("include/linux/btf.h"), all);
        let all = ["tools/lib/deep.h", "kernel/bpf/btf.c", "kernel/bpf/relo.c", "tools/lib/relo.c", "tools/lib/relo.h"];
        assert_eq!(tree.closure("tools/lib/deep.h"), all);
        assert_eq!(tree.closure("scripts/libfdt.h"), ["scripts/libfdt.h", "include/linux/libfdt.h", "lib/all.c"]);
        let index = tree.index();
        assert!(index.takes_from_outside("tools/lib/one.c") && index.takes_from_outside("scripts/libfdt.h"));
        assert!(!index.takes_from_outside("tools/lib/other.c") && !index.takes_from_outside("lib/all.c"));
        assert_eq!(index.objects("tools/lib/one.c"), ["kernel/bpf/one.o"]);
        assert_eq!(index.objects("lib/all.c"), ["lib/all.o"]);
        assert!(index.objects("tools/lib/relo.c").is_empty() && index.objects("lib/all.h").is_empty());
        assert!(index.files().is_sorted());
    }

    #[test]
    fn headers_through_headers_and_wrappers() {
        let tree = Tree::new(&[
            ("include/asm-generic/deep.h", ""),
            ("arch/x86/include/generated/asm/deep.h", "#include <asm-generic/deep.h>\n"),
            ("include/linux/wide.h", "#ifdef X\n#include <asm/deep.h>\n#endif\n"),
            ("include/uapi/linux/wide.h", ""),
            ("fs/a.c", "#include <linux/wide.h>\n"),
            ("fs/b.S", "#include <asm/deep.h>\n"),
            ("fs/c.c", "#include <linux/other.h>\n"),
        ]);
        let all = [
            "include/asm-generic/deep.h",
            "arch/x86/include/generated/asm/deep.h",
            "fs/a.c",
            "fs/b.S",
            "include/linux/wide.h",
        ];
        assert_eq!(tree.closure("include/asm-generic/deep.h"), all);
        // The `-I` order decides which one is meant, so count both.
        assert_eq!(tree.closure("include/uapi/linux/wide.h"), ["include/uapi/linux/wide.h", "fs/a.c"]);
    }

    #[test]
    fn beside_the_file_first_else_anywhere() {
        let tree = Tree::new(&[
            ("drv/one/core.h", ""),
            ("drv/two/core.h", ""),
            ("drv/two/far.h", ""),
            ("drv/one/a.c", "#include \"core.h\"\n#include \"far.h\"\n"),
            ("drv/two/b.c", "#include \"./core.h\"\n#include \"far.h\"\n"),
            ("drv/sub/c.c", "#include \"core.h\"\n#include \"../two/far.h\"\n"),
            // Other words that end alike.
            ("drv/sub/d.c", "#include \"score.h\"\n#include \"x/core.h\"\n"),
        ]);
        assert_eq!(tree.closure("drv/one/core.h"), ["drv/one/core.h", "drv/one/a.c", "drv/sub/c.c"]);
        assert_eq!(tree.closure("drv/two/core.h"), ["drv/two/core.h", "drv/sub/c.c", "drv/two/b.c"]);
        assert_eq!(tree.closure("drv/two/far.h").len(), 4);
        // A header that a fix adds may be found before the one that was found till now.
        assert_eq!(tree.closure("drv/new/core.h"), ["drv/new/core.h", "drv/sub/c.c"]);
    }

    #[test]
    fn computed_and_forced_includes() {
        let tree = Tree::new(&[
            ("include/trace/define_trace.h", "#include TRACE_INCLUDE(TRACE_INCLUDE_FILE)\n"),
            ("drv/trace.h", "#define TRACE_INCLUDE_FILE trace\n#include <trace/define_trace.h>\n"),
            ("drv/ev.h", "#define TRACE_INCLUDE_FILE ../drv/trace\n"),
            // It names itself, and no other of that name.
            ("lib/trace.h", "#define TRACE_INCLUDE_FILE trace\n#include <trace/define_trace.h>\n"),
            ("lib/d.c", "#include \"trace.h\"\n"),
            ("drv/a.c", "#define CREATE_TRACE_POINTS\n#include \"trace.h\"\n"),
            ("drv/b.c", "#include \"ev.h\"\n"),
            ("drv/any.c", "#include WHICH\n"),
            ("drv/none.c", "#include CONFIG_NOT_SET\n"),
            ("drv/some.c", "#include CONFIG_SET\n"),
            ("drv/forced.h", ""),
            ("drv/Makefile", "ccflags-y += -include $(src)/forced.h\n"),
            ("lib/c.c", "int c;\n"),
        ]);
        assert_eq!(
            tree.closure("drv/trace.h"),
            ["drv/trace.h", "drv/a.c", "drv/any.c", "drv/b.c", "drv/ev.h", "drv/some.c"]
        );
        let forced = tree.closure("drv/forced.h");
        assert_eq!(forced, ["drv/forced.h", "drv/a.c", "drv/any.c", "drv/b.c", "drv/none.c", "drv/some.c"]);
    }

    #[test]
    fn what_kbuild_adds_is_seen() {
        let tree = Tree::new(&[("a.c", "#include \"../tools/b.h\"\n"), ("tools/b.h", "")]);
        let print = |index: &Index, owned| {
            let (sources, makefiles) = walk(tree.0.path(), "x86_64").unwrap();
            index.print(tree.0.path(), &sources, &makefiles, owned)
        };
        let index = tree.index();
        let (own, other) = (print(&index, true), print(&index, false));
        assert_eq!((print(&index, true), print(&index, false)), (own.clone(), other.clone()));
        files::write(&tree.0.path().join("tools/b.h"), b"int x;\n").unwrap();
        assert_eq!(print(&index, true), own);
        assert_ne!(print(&index, false), other);
        files::write(&tree.0.path().join("made.c"), b"").unwrap();
        assert_ne!(print(&index, true), own);
    }

    #[test]
    fn what_is_kept_is_checked() {
        let tree = Tree::new(&[("a.c", "#include \"b.h\"\n"), ("b.h", "")]);
        let good = tree.index();
        assert!(good.is_sound());
        let text = serde_json::to_string(&good).unwrap();
        let read = |text: &str| serde_json::from_str::<Index>(text).unwrap().is_sound();
        assert!(read(&text));
        assert!(!read(&text.replace("[0]", "[2]")));
        assert!(!read(&text.replace(VERSION, "another")));
    }
}
