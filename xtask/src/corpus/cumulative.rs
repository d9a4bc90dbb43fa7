// SPDX-License-Identifier: GPL-2.0-or-later
//! One module for all fixes of a release: the records of its fixes in; the module, what it carries and what not, and
//! what a guest reported about it out.

use super::guest::NOT_HERE;
use super::parts::Parts;
use super::record::{Outcome, Record};
use super::run::{self, Bench};
use anyhow::{bail, Context, Result};
use kmend_builder::error::Refused;
use kmend_builder::files;
use kmend_builder::guest::End;
use kmend_builder::manifest::Manifest;
use kmend_builder::pipeline::{self, Request};
use qemu_tests::judge::Verdict;
use qemu_tests::loads::{self, Patch};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// How many shipped modules are loaded after it, to be patched as they come.
const COMING: usize = 12;

/// How often what is in the way is left out, before it is given up.
const ROUNDS: usize = 12;

/// What came of it.
pub struct Cumulative {
    /// The module's name.
    pub name: String,
    /// The changed files that it carries.
    pub carried: BTreeSet<String>,
    /// How many of the others compile to the same code, and so need no patch.
    pub unchanged: usize,
    /// How many are refused alone already.
    pub refused: usize,
    /// Fixes that are patchable alone and not together with the others, with the reason.
    pub left_out: BTreeMap<String, String>,
    /// Functions it replaces.
    pub functions: usize,
    /// klp objects it patches.
    pub objects: usize,
    /// Bytes of the module.
    pub size: usize,
    /// What the guest reported, and how it ended.
    pub verdict: (Verdict, End),
    /// The shipped modules that were loaded after it.
    pub after: Vec<String>,
}

impl Cumulative {
    /// The paragraph about it.
    pub fn text(&self) -> String {
        let good = match &self.verdict {
            (Verdict::Pass | Verdict::AsBefore, End::Done) => {
                "the transition completed, all functions were listed, each module was patched \
                                           as it came, the log stayed clean, and it was reverted"
                    .to_string()
            }
            (Verdict::Fail(why) | Verdict::NotHere(why), _) => {
                format!("**{}**", why.lines().map(str::trim).take(3).collect::<Vec<_>>().join(" "))
            }
            (_, end) => format!("**the guest ended otherwise: {end:?}**"),
        };
        let mut text = format!(
            "\n### One module for all of it\n\n`{}` takes the running kernel to every fix of the newer release that can be live \
             patched: it carries {} of the changed files; {} compile to the same code and need no patch; {} are refused, \
             each listed below. It replaces {} functions of {} objects (vmlinux and modules) and has {} bytes. Loaded into \
             the stock kernel in QEMU, with the modules {} coming after it: {good}.\n",
            self.name,
            self.carried.len(),
            self.unchanged,
            self.refused,
            self.functions,
            self.objects,
            self.size,
            self.after.join(", ")
        );
        for (path, why) in &self.left_out {
            text += &format!("* not carried, though patchable alone: {path}: {why}\n");
        }
        text
    }
}

/// Builds the module of all patchable fixes in `records`, and loads it.
pub fn make(bench: &Bench, series: &str, records: &[Record]) -> Result<Cumulative> {
    let mut carried = Parts::default();
    for record in records.iter().filter(|r| r.outcome == Outcome::Patchable) {
        carried.add(&Parts::whole(&record.path));
        carried.add(&record.with);
    }
    let name = format!("kmend_{}", bench.fixes.newest.replace(|c: char| !c.is_ascii_alphanumeric(), "_"));
    let dir = tempfile::Builder::new().prefix("kmend-corpus-").tempdir().context("cannot make a temporary folder")?;
    let fix = dir.path().join("all.patch");
    let mut left_out = BTreeMap::new();
    for _ in 0..ROUNDS {
        files::write(&fix, format!("Subject: all of {series}\n\n{}", carried.diff(bench.diffs)?).as_bytes())?;
        let request = Request::new(&name, vec![fix.clone()]);
        let error = match pipeline::build(&bench.session, &request, &mut Default::default()) {
            Ok(built) => {
                let file = files::cache_dir()?.join("corpus").join(series).join(format!("{name}.ko"));
                files::write(&file, &built.module)?;
                let whole = carried.paths().filter(|p| carried.has_all_of(p)).cloned().collect();
                let mut made = load(bench, name, whole, left_out, &built.manifest, &file)?;
                let rest = |outcome: Outcome| {
                    let others = records.iter().filter(|r| !made.carried.contains(&r.path));
                    others.filter(|r| r.outcome == outcome).count()
                };
                (made.unchanged, made.refused) = (rest(Outcome::Unchanged), rest(Outcome::Refused));
                return Ok(made);
            }
            Err(error) => error,
        };
        let refused = error.downcast::<Refused>().context("the module of all fixes cannot be built")?;
        let before = carried.files();
        for refusal in &refused.0 {
            let place = refusal.section.split(", ").next().unwrap_or_default();
            if carried.remove(place) {
                println!("left out: {place}: [{}] {}", refusal.code, refusal.reason.lines().next().unwrap_or_default());
                left_out.insert(place.to_string(), format!("`{}` {}", refusal.code, refusal.symbol));
            }
        }
        if carried.files() == before {
            bail!("the module of all fixes is refused, and no single file is the cause: {refused}");
        }
    }
    bail!("after {ROUNDS} rounds there is still something in the way of a module of all fixes")
}

fn load(
    bench: &Bench,
    name: String,
    carried: BTreeSet<String>,
    left_out: BTreeMap<String, String>,
    manifest: &Manifest,
    file: &Path,
) -> Result<Cumulative> {
    let replaces = run::replaces(manifest);
    let objects: BTreeSet<&str> = replaces.iter().filter_map(|r| r.split_once('/')).map(|(o, _)| o).collect();
    let modules: Vec<String> = objects
        .iter()
        .filter(|o| **o != "vmlinux" && !NOT_HERE.contains(o))
        .take(COMING)
        .map(|o| o.to_string())
        .collect();
    let patch = Patch {
        name: name.clone(),
        file: PathBuf::from(file),
        replaces: replaces.clone(),
        before: Vec::new(),
        after: modules.clone(),
    };
    let (verdicts, outcome) = loads::load_each(&bench.fixes.target, &[patch])?;
    let verdict = verdicts.into_iter().next().context("the guest gave no verdict")?;
    if verdict != Verdict::Pass {
        println!("{verdict:?}");
    }
    Ok(Cumulative {
        name,
        carried,
        unchanged: 0,
        refused: 0,
        left_out,
        functions: replaces.len(),
        objects: objects.len(),
        size: std::fs::metadata(file).map_or(0, |m| m.len() as usize),
        verdict: (verdict, outcome.end),
        after: modules,
    })
}
