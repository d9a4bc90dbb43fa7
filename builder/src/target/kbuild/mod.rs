// SPDX-License-Identifier: GPL-2.0-or-later
//! Asks a target's kbuild: folders in, the objects that go into vmlinux and modules out; and lets it say how it
//! compiles them.
//!
//! kbuild's own makefiles answer, with the target's configuration. A single target (`make a/b.o`) would not do:
//! kbuild builds a file that way although the configuration leaves it out.

pub mod command;

use crate::files;
use crate::sandbox::WORK;
use crate::target::Target;
use anyhow::{bail, Context, Result};
use command::Saved;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Output;
use std::time::{SystemTime, UNIX_EPOCH};

/// A translation unit that the fixes reach.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Unit {
    /// Source, relative to the tree: `fs/proc/cmdline.c`.
    pub source: String,
    /// The object that kbuild makes of it: `fs/proc/cmdline.o`.
    pub object: String,
    /// The klp object it ends in: None for vmlinux, else the module's name with underscores.
    pub module: Option<String>,
}

/// `3 units`.
pub(crate) fn count(units: usize) -> String {
    format!("{units} unit{}", if units == 1 { "" } else { "s" })
}

/// Reads kbuild's saved command of `unit`.
pub fn saved(target: &Target, object: &str) -> Result<Saved> {
    let path = saved_file(target, object);
    let text = files::read_text(&path)?;
    let saved =
        Saved::read(&text).with_context(|| format!("kbuild's saved command {} cannot be used", path.display()))?;
    Ok(saved.with_flags(&target.cc_flags))
}

/// Rules handed to make beside kbuild's own. `kmend-tell` runs within scripts/Makefile.build, whose variables its
/// recipe prints once all makefiles are read; `kmend-make` goes down from the top as kbuild does, less `prepare`.
/// Kbuild enters the folders of libs-y from the top; the folders above them must not, whose flags would go down too.
const RULES: &str = "kmend-ask: ; @+$(foreach d,$(KMEND_DIRS),$(MAKE) --no-print-directory \
-f $(srctree)/scripts/Makefile.build obj=$(d) need-builtin=1 need-modorder=1 kmend-tell || echo 'kmend|$(d)|failed|' ;) :
kmend-tell: ; @: $(info kmend|$(obj)|y|$(real-obj-y)) $(info kmend|$(obj)|m|$(real-obj-m) $(filter %/modules.order,$(obj-m))) \
$(info kmend|$(obj)|lib|$(lib-y))
kmend-libs = $(patsubst %/,%,$(sort $(ARCH_LIB)))
kmend-enter = $(MAKE) --no-print-directory -f $(srctree)/scripts/Makefile.build obj=$1 need-builtin=1 need-modorder=1 $2 &&
kmend-make: ; @+$(foreach l,$(kmend-libs),$(if $(filter $l/%,$(KMEND_OBJECTS)),\
$(call kmend-enter,$l,$(filter $l/%,$(KMEND_OBJECTS))))) \
$(if $(filter-out $(addsuffix /%,$(kmend-libs)),$(KMEND_OBJECTS)),\
$(call kmend-enter,.,$(addprefix ./,$(filter-out $(addsuffix /%,$(kmend-libs)),$(KMEND_OBJECTS))))) :";

/// Makes kbuild write down each command (a file an object in [`WORK`]) where it would run and save it: in place of
/// cmd_and_fixdep of scripts/Kbuild.include, with the text that fixdep would be given.
fn write_down() -> String {
    format!(
        "override cmd_and_fixdep = $(file >{WORK}/$(subst /,%2F,$@),savedcmd_$@ := \
         $(subst $(pound),$$(pound),$(subst $$,$$$$,$(cmd_$(1))))):"
    )
}

/// One command line can name this many folders.
const MOST_FOLDERS: usize = 256;

/// The objects of one folder's makefile, as kbuild spells them.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct Told {
    y: Vec<String>,
    m: Vec<String>,
    lib: Vec<String>,
    /// Its makefile cannot be read by itself: a part of another one, or broken.
    failed: bool,
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
}

/// Whether kmend made the target's tree itself, and so may let kbuild write to it.
pub fn owns(target: &Target) -> bool {
    // A tree of the user's is seen where it stands, so that its paths in saved commands are right.
    target.tree != Path::new(&target.tree_inside)
}

/// A name for what is kept about a target's tree: the same only for the same kernel at the same place.
pub fn tree_id(target: &Target) -> String {
    let text = [&target.name, &target.tree.display().to_string(), &target.release, &target.build_id]
        .map(String::as_str)
        .join("\0");
    files::sha256(text.as_bytes())[..24].to_string()
}

/// Asks kbuild which objects the makefiles in `dirs` (and in all folders above them) contribute. For a tree of
/// kmend's own, which does not change, the answers are kept.
pub fn ask(target: &Target, dirs: &BTreeSet<String>) -> Result<Objects> {
    let mut all = BTreeSet::from([".".to_string()]);
    for dir in dirs {
        let parts: Vec<&str> = dir.split('/').collect();
        all.extend((1..=parts.len()).map(|n| parts[..n].join("/")));
    }
    let mut told = kept_answers(target)?;
    let words = ask_new(target, &all, &mut told)?;
    let (objects, reached) = linked(&told);
    let silent = |d: &&String| has_makefile(target, d) && told.get(*d).is_none_or(|t| t.failed) && reached.contains(*d);
    if let Some(dir) = all.iter().find(silent) {
        bail!("kbuild of {} does not say what it builds in {dir}; is the tree complete?{words}", target.name);
    }
    Ok(objects)
}

/// All objects that go into vmlinux and modules, by plain path, sorted. Takes minutes the first time.
pub fn everything(target: &Target) -> Result<Vec<String>> {
    let mut told = kept_answers(target)?;
    loop {
        let (objects, reached) = linked(&told);
        let new: BTreeSet<String> =
            reached.into_iter().filter(|d| !told.contains_key(d) && has_makefile(target, d)).collect();
        if new.is_empty() {
            return Ok(objects.spelled.into_keys().collect());
        }
        let before = told.len();
        let words = ask_new(target, &new, &mut told)?;
        if told.len() == before {
            bail!("kbuild of {} does not say what it builds; is the tree complete?{words}", target.name);
        }
    }
}

fn has_makefile(target: &Target, dir: &str) -> bool {
    ["Kbuild", "Makefile"].iter().any(|m| target.tree.join(dir).join(m).is_file())
}

fn kept_file(target: &Target) -> Result<PathBuf> {
    Ok(files::cache_dir()?.join("index").join(format!("kbuild-{}.json", tree_id(target))))
}

fn kept_answers(target: &Target) -> Result<BTreeMap<String, Told>> {
    Ok(match std::fs::read(kept_file(target)?) {
        Ok(bytes) if owns(target) => serde_json::from_slice(&bytes).unwrap_or_default(),
        _ => BTreeMap::new(),
    })
}

/// Asks about those of `dirs` that are not in `told` yet; returns make's words, indented.
fn ask_new(target: &Target, dirs: &BTreeSet<String>, told: &mut BTreeMap<String, Told>) -> Result<String> {
    let new: Vec<&str> =
        dirs.iter().map(String::as_str).filter(|d| !told.contains_key(*d) && has_makefile(target, d)).collect();
    let mut words = String::new();
    for new in new.chunks(MOST_FOLDERS) {
        let about = format!("KMEND_DIRS={}", new.join(" "));
        let said = make(target, &[], "kmend-ask", &about, "asking kbuild what it builds", None)?;
        read_answers(&String::from_utf8_lossy(&said.stdout), told);
        words.extend(String::from_utf8_lossy(&said.stderr).lines().map(|l| format!("\n    {l}")));
    }
    if owns(target) && !new.is_empty() {
        files::keep(&kept_file(target)?, &serde_json::to_vec(&told).context("cannot write down what kbuild builds")?);
    }
    Ok(words)
}

fn read_answers(text: &str, told: &mut BTreeMap<String, Told>) {
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

/// Follows the folders down from the top, as kbuild does: what no folder names is not linked.
fn linked(told: &BTreeMap<String, Told>) -> (Objects, BTreeSet<String>) {
    let mut builtin = BTreeSet::from([".".to_string()]);
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
    (Objects { spelled }, any)
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

/// Where kbuild saves the command of `object`, on this machine; where it never compiled it, what it said that it
/// would save ([`ask_commands`]).
pub fn saved_file(target: &Target, object: &str) -> PathBuf {
    let (dir, name) = object.rsplit_once('/').unwrap_or((".", object));
    let saved = target.tree.join(dir).join(format!(".{name}.cmd"));
    if owns(target) && !saved.is_file() {
        let told = told_file(target, object).ok().filter(|f| f.is_file());
        return told.unwrap_or(saved);
    }
    saved
}

/// Where the command is kept that kbuild would use for `object`.
pub fn told_file(target: &Target, object: &str) -> Result<PathBuf> {
    let dir = files::cache_dir()?.join("commands").join(tree_id(target));
    Ok(dir.join(format!("{}.cmd", object.replace('/', "%2F"))))
}

/// Whether kbuild's command for `object` is known. What it only said is believed where it can be read.
pub fn is_known(target: &Target, object: &str) -> bool {
    let file = saved_file(target, object);
    match told_file(target, object) {
        Ok(told) if told == file => std::fs::read_to_string(file).is_ok_and(|text| Saved::read(&text).is_ok()),
        _ => file.is_file(),
    }
}

/// Asks kbuild for the commands of `objects` (its spelling) without compiling any of them: make does not run its
/// recipes (`-n`) but expands them, and so writes the commands down. They are kept outside of the tree. Returns the
/// objects that kbuild said nothing of.
pub fn ask_commands<'o>(target: &Target, objects: &[&'o str]) -> Result<Vec<&'o str>> {
    let mut missing = Vec::new();
    // A command line has a limit; this stays well below it.
    for some in objects.chunks(500) {
        let said = tempfile::tempdir().context("cannot make a folder for kbuild's commands")?;
        let about = format!("KMEND_OBJECTS={}", some.join(" "));
        // Also where an object stands there already (if-changed-cond is kbuild's own name for "has to be made").
        let how = ["-n", "if-changed-cond=y"];
        make(target, &how, "kmend-make", &about, "asking kbuild for its commands", Some(said.path()))?;
        for object in some {
            match std::fs::read_to_string(said.path().join(object.replace('/', "%2F"))) {
                Ok(command) if Saved::read(&command).is_ok() => {
                    files::write_quickly(&told_file(target, &plain(object))?, command.as_bytes())?;
                }
                _ => missing.push(*object),
            }
        }
    }
    Ok(missing)
}

/// Lets kbuild compile `objects` (its spelling) in the target's tree, once and for all.
pub fn make_objects(target: &Target, objects: &[&str]) -> Result<()> {
    let what = format!("kbuild of {} compiling {}", target.name, objects.join(" "));
    // Before too: it may be broken off.
    stamp(target)?;
    let made = make(target, &[], "kmend-make", &format!("KMEND_OBJECTS={}", objects.join(" ")), &what, None);
    stamp(target)?;
    made.map(|_| ())
}

fn stamp(target: &Target) -> Result<()> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    files::write_quickly(&made_file(target)?, now.as_nanos().to_string().as_bytes())
}

fn made_file(target: &Target) -> Result<PathBuf> {
    Ok(files::cache_dir()?.join("index").join(format!("made-{}", tree_id(target))))
}

/// When kbuild last made objects in the target's tree, which may have brought generated sources; empty where it never did.
pub fn last_made(target: &Target) -> Result<String> {
    Ok(std::fs::read_to_string(made_file(target)?).unwrap_or_default())
}

fn make(target: &Target, more: &[&str], goal: &str, about: &str, what: &str, told: Option<&Path>) -> Result<Output> {
    let (mut sandbox, _lock);
    if owns(target) {
        let id = files::sha256(target.tree.as_os_str().as_encoded_bytes());
        let lock = files::cache_dir()?.join("locks").join(format!("kbuild-{}", &id[..16]));
        _lock = Some(files::lock(&lock, "lets kbuild work in this tree")?);
        sandbox = target.sandbox_writable();
    } else {
        (sandbox, _lock) = (target.sandbox(), None);
    }
    let release = format!("KERNELRELEASE={}", target.release);
    let mut eval = format!("--eval={RULES}");
    if let Some(told) = told {
        sandbox = sandbox.writable(told, WORK);
        eval = format!("{eval}\n{}", write_down());
    }
    let jobs = format!("-j{}", crate::parallel::processors());
    let mut args = vec!["-s", jobs.as_str(), eval.as_str()];
    args.extend(target.make_vars.iter().map(String::as_str).filter(|v| !v.starts_with("KERNELRELEASE=")));
    args.extend(more);
    args.extend([release.as_str(), about, goal]);
    sandbox
        .run("make", &args)
        .with_context(|| what.to_string())
        .with_context(|| format!("the tree of {} ({}) cannot be used", target.name, target.tree.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_reached_from_the_top_is_linked() {
        let told = |y: &str, m: &str, lib: &str| {
            let list = |s: &str| s.split_whitespace().map(String::from).collect();
            Told { y: list(y), m: list(m), lib: list(lib), failed: false }
        };
        let told = BTreeMap::from([
            (".", told("fs/built-in.a init/main.o", "fs/modules.order drv/modules.order", "")),
            ("fs", told("fs/a.o fs/x/y/built-in.a", "fs/b.o", "fs/l.o")),
            ("fs/x/y", told("fs/x/y/c.o fs/x/y/../d.o", "", "")),
            // Reached for its modules alone.
            ("drv", told("drv/e.o", "drv/f.o", "drv/g.o")),
            // Not reached at all.
            ("stub", told("stub/h.o", "stub/i.o", "stub/j.o")),
        ]);
        let told = told.into_iter().map(|(d, t)| (d.to_string(), t)).collect();
        let (objects, reached) = linked(&told);
        assert!(reached.contains("drv") && !reached.contains("stub"));
        let all: Vec<&str> = objects.spelled.keys().map(String::as_str).collect();
        assert_eq!(all, ["drv/f.o", "fs/a.o", "fs/b.o", "fs/l.o", "fs/x/d.o", "fs/x/y/c.o", "init/main.o"]);
        assert_eq!(objects.spelling("fs/x/d.o"), Some("fs/x/y/../d.o"));
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
