// SPDX-License-Identifier: GPL-2.0-or-later
//! Runs the builder on fixes: paths in, one record per fix out; several at a time.

use super::fixes::Fixes;
use super::needs::needs;
use super::pair::Pair;
use super::parts::Parts;
use super::record::{Outcome, Record, Store};
use super::seen::Seen;
use anyhow::{Context, Result};
use kmend_builder::error::{NothingChanged, Refused};
use kmend_builder::files;
use kmend_builder::manifest::{FunctionFacts, Manifest, UnitFacts};
use kmend_builder::pipeline::{self, Request};
use kmend_builder::progress::{listen, Took};
use kmend_builder::reach::affected;
use kmend_builder::reach::limit::Limit;
use kmend_builder::session::Session;
use std::collections::{BTreeMap, BTreeSet};
use std::panic::{catch_unwind, AssertUnwindSafe};
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Condvar, Mutex, PoisonError};
use std::time::Instant;

/// What a run needs besides its fixes.
pub struct Bench<'a> {
    /// The two releases.
    pub pair: &'a Pair,
    /// Where the fixes come from.
    pub fixes: &'a Fixes,
    /// The difference in each changed file.
    pub diffs: &'a [(String, String)],
    /// Who includes what.
    pub seen: Seen<'a>,
    /// What is known already.
    pub store: &'a Store,
    /// A checksum of the builder.
    pub builder: &'a str,
    /// Those of earlier states of it whose answers are taken, the newest first.
    pub earlier: &'a [String],
    /// What is opened of the kernel, once for all.
    pub session: Session,
    /// Whether each try and its result are printed.
    pub aloud: bool,
}

/// So many fixes are made ready together.
const TOGETHER: usize = 6;

/// So often more is added to a fix that does not compile.
const ROUNDS: usize = 16;

/// With more files than `MANY` only this often: if it has not ended by then, each round adds further fixes.
const WIDE_ROUNDS: usize = 6;

/// So many files compile in a few seconds.
const MANY: usize = 12;

/// Runs all of `paths`, one more at a time than there are processors: while one waits for the linker, the others compile.
/// Each record is handed to `tell` as soon as it is; they come back in the order of `paths`.
pub fn run(bench: &Bench, paths: &[String], tell: &(dyn Fn(&Record) + Sync)) -> Result<Vec<Record>> {
    let next = AtomicUsize::new(0);
    let ready = Ready::default();
    let done: Mutex<BTreeMap<usize, Result<Record>>> = Mutex::new(BTreeMap::new());
    let worker = || loop {
        let n = next.fetch_add(1, Ordering::Relaxed);
        let Some(path) = paths.get(n) else { return };
        ready.wait_for(n);
        let record = one(bench, path);
        if let Ok(record) = &record {
            tell(record);
        }
        if let Ok(mut done) = done.lock() {
            done.insert(n, record);
        }
    };
    let at_once = kmend_builder::parallel::processors() + 1;
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for (n, chunk) in paths.chunks(TOGETHER).enumerate() {
                // No further ahead than what is worked on.
                while n * TOGETHER > next.load(Ordering::Relaxed) + TOGETHER {
                    std::thread::sleep(std::time::Duration::from_millis(100));
                }
                make_ready(bench, chunk);
                ready.are((n + 1) * TOGETHER);
            }
        });
        (0..at_once).for_each(|_| _ = scope.spawn(worker));
    });
    done.into_inner().map_err(|_| anyhow::anyhow!("a thread failed"))?.into_values().collect()
}

/// How many fixes are ready.
#[derive(Default)]
struct Ready {
    many: Mutex<usize>,
    more: Condvar,
}

impl Ready {
    fn are(&self, many: usize) {
        *self.many.lock().unwrap_or_else(PoisonError::into_inner) = many;
        self.more.notify_all();
    }

    fn wait_for(&self, n: usize) {
        let many = self.many.lock().unwrap_or_else(PoisonError::into_inner);
        drop(self.more.wait_while(many, |many| *many <= n));
    }
}

/// Lets kbuild compile the files for the first time, all together: alone, each would wait for a make of its own. What goes
/// wrong here is found again, and told, with the fix that it belongs to.
fn make_ready(bench: &Bench, paths: &[String]) {
    let sources: Vec<&str> = paths.iter().map(String::as_str).filter(|p| p.ends_with(".c")).collect();
    let ask = || affected::reached_by(&bench.fixes.target, &sources).map(|_| ());
    let _ = catch_unwind(AssertUnwindSafe(|| listen(ask)));
}

/// A fix alone, and, where it does not compile so, with what it needs of other files.
fn one(bench: &Bench, path: &str) -> Result<Record> {
    let mut have = Parts::whole(path);
    let alone = attempt(bench, path, &have)?;
    let mut last = alone.clone();
    let mut wide = 0;
    for _ in 0..ROUNDS {
        let more = needs(&last.refusals, &have, bench.diffs, &bench.seen);
        let mut both = have.clone();
        both.add(&more);
        wide += usize::from(both.files() > MANY);
        if more.is_empty() || both.files() > bench.pair.together || wide > WIDE_ROUNDS {
            break;
        }
        have = both;
        if bench.aloud {
            let why = last.refusals.iter().take(8).map(|r| format!("{r}\n")).collect::<String>();
            println!("{why}so with {}", Vec::from(have.clone()).join(" "));
        }
        last = attempt(bench, path, &have)?;
        if last.outcome != Outcome::Refused {
            return Ok(last);
        }
    }
    // What was added and did not help only hides the reason; what got it to compile shows a better one.
    let compiles = |r: &Record| !r.codes().contains("does-not-compile");
    Ok(if compiles(&last) || !compiles(&alone) { last } else { alone })
}

/// One run of the builder, or what is known of it.
fn attempt(bench: &Bench, path: &str, have: &Parts) -> Result<Record> {
    let target = &bench.fixes.target;
    let patch = format!("Subject: {path}\n\n{}", have.diff(bench.diffs)?);
    let key_of = |builder: &str| files::key(&[builder, &target.build_id, &patch]);
    let key = key_of(bench.builder);
    // The search for units that see a change improves between versions.
    let is_settled = |r: &Record| {
        !matches!(r.outcome, Outcome::Failed | Outcome::Crashed) && !r.codes().contains("reaches-too-many")
    };
    let kept = || bench.earlier.iter().find_map(|b| bench.store.get(&key_of(b)).filter(is_settled));
    if let Some(record) = bench.store.get(&key).or_else(kept) {
        return Ok(record);
    }
    let dir = tempfile::Builder::new().prefix("kmend-corpus-").tempdir().context("cannot make a temporary folder")?;
    let file = dir.path().join("fix.patch");
    files::write(&file, patch.as_bytes())?;
    let begun = Instant::now();
    let (result, steps) = listen(|| build(bench, &name(path), &file));
    let seconds = begun.elapsed().as_secs_f32();
    let mut with = have.clone();
    with.remove(path);
    let mut record = Record {
        key,
        builder: bench.builder.into(),
        path: path.into(),
        with,
        outcome: Outcome::Patchable,
        refusals: Vec::new(),
        error: String::new(),
        units: 0,
        replaces: Vec::new(),
        special: BTreeSet::new(),
        steps: by_stage(&steps),
        seconds,
        module: String::new(),
    };
    let module = settle(&mut record, result);
    bench.store.put(&record, module.as_deref())?;
    Ok(record)
}

/// A run of the builder, whatever comes of it: None for a panic.
fn build(bench: &Bench, name: &str, fix: &Path) -> Option<Result<pipeline::Outcome>> {
    let request = Request { replace: false, limit: Limit(bench.pair.reach), ..Request::new(name, vec![fix.into()]) };
    catch_unwind(AssertUnwindSafe(|| pipeline::build(&bench.session, &request, &mut Default::default()))).ok()
}

/// Writes into `record` what came out; the module comes back.
fn settle(record: &mut Record, result: Option<Result<pipeline::Outcome>>) -> Option<Vec<u8>> {
    let error = match result {
        Some(Ok(built)) => {
            let m = &built.manifest;
            record.units = m.units.len();
            record.module = m.name.clone();
            record.replaces = replaces(m);
            record.special = m.units.iter().flat_map(|u| u.special_sections.keys().cloned()).collect();
            return Some(built.module);
        }
        Some(Err(error)) => error,
        None => {
            record.outcome = Outcome::Crashed;
            record.error = "a panic; its message is on standard error".into();
            return None;
        }
    };
    match error.downcast::<Refused>() {
        Ok(refused) => {
            record.outcome = Outcome::Refused;
            record.refusals = refused.0;
        }
        Err(error) if error.downcast_ref::<NothingChanged>().is_some() => record.outcome = Outcome::Unchanged,
        Err(error) => {
            record.outcome = Outcome::Failed;
            record.error = format!("{error:#}");
        }
    }
    None
}

/// The functions that a module replaces, as the kernel lists them: `object/name,sympos`.
pub fn replaces(manifest: &Manifest) -> Vec<String> {
    // What has no position is not registered: the cold part of a function is included with it.
    let listed = |unit: &UnitFacts, f: &FunctionFacts| Some(format!("{}/{},{}", unit.object, f.name, f.sympos?.max(1)));
    let of = |unit: &UnitFacts| unit.functions.iter().filter_map(|f| listed(unit, f)).collect::<Vec<_>>();
    manifest.units.iter().flat_map(of).collect()
}

/// Seconds by the first word of what a step did: `compiling fs/x.c` and `compiling 3 units` are one stage.
fn by_stage(steps: &[Took]) -> BTreeMap<String, f32> {
    let mut all = BTreeMap::new();
    for step in steps {
        let stage = step.what.split(' ').next().unwrap_or_default();
        *all.entry(stage.to_string()).or_insert(0.0) += step.time.as_secs_f32();
    }
    all
}

/// A module name for the fix of `path`: its last parts, and a few digits that tell it from others.
pub fn name(path: &str) -> String {
    let clean: String = path.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }).collect();
    let tail = &clean[clean.len().saturating_sub(40)..];
    format!("kmend_{}_{}", tail.trim_start_matches('_'), &files::sha256(path.as_bytes())[..6])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_names_of_modules() {
        for path in ["net/ipv4/tcp.c", "drivers/net/wireless/realtek/rtlwifi/rtl8192de/phy_common.c"] {
            kmend_builder::emit::check_module_name(&name(path)).expect("a good name");
        }
        assert_ne!(name("a/b-c.c"), name("a/b_c.c"));
    }
}
