// SPDX-License-Identifier: GPL-2.0-or-later
//! Stage narrow: the units that the fixes reach through headers in, those whose code can differ out.
//!
//! A header reaches hundreds of units, and changes the code of a few. Each unit is preprocessed with kbuild's own command,
//! as it is and with the fixes, and left out when what matters of both is the same (`c/tokens.rs`). The checksum of the
//! original is kept with the files that it was made of, as originals' objects are: an interrupted run continues where
//! it stopped.
//!
//! The words that the original's code refers to are kept beside its checksum. Where a fix changes functions in a header that
//! thousands of units include (`reach/headers/`), each is preprocessed once as it is, and those that refer to none of these
//! functions are left out by that, now and for all later fixes.

use super::affected::Affected;
use super::generated;
use super::headers::Seers;
use super::limit::Limit;
use crate::c::tokens;
use crate::compile::cache::{self, Cache, Preprocessed};
use crate::compile::{explain, patched_sandbox, run_compiler, CompilerSays, Variant, OWN};
use crate::error::{NothingChanged, Refusal, Refused};
use crate::files;
use crate::parallel;
use crate::progress;
use crate::sandbox::{Sandbox, WORK};
use crate::source::PatchedTree;
use crate::target::kbuild::command::Saved;
use crate::target::kbuild::{self, count, saved, Unit};
use crate::target::Target;
use anyhow::{Context, Result};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant, SystemTime};

/// What the preprocessor said about one unit.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Answer {
    /// Its code is the same with and without the fixes.
    Same,
    /// Its code may differ.
    Differs,
    /// The original cannot be preprocessed in this tree; the compiler's words.
    Broken(String),
}

struct Asking<'a> {
    cache: Cache<'a>,
    target: &'a Target,
    tree: &'a PatchedTree,
    /// Paths of all touched files.
    touched: BTreeSet<&'a str>,
    /// Those among them of which it is known who sees what is changed.
    seers: &'a BTreeMap<String, Seers>,
    /// The fixes add files, which may be before others on the compiler's search path.
    adds: bool,
    plain: Sandbox,
    patched: Sandbox,
    out: &'a Path,
    begun: SystemTime,
}

/// Takes out of `affected` the units whose code cannot differ.
///
/// # Errors
/// [`Refused`] when there are more of them, when a patched unit cannot be preprocessed, and when assembler code differs.
pub fn narrow(target: &Target, tree: &PatchedTree, affected: Affected, limit: Limit, work: &Path) -> Result<Affected> {
    narrow_with(Cache::open(target)?, target, tree, affected, limit, work)
}

fn narrow_with(
    cache: Cache<'_>,
    target: &Target,
    tree: &PatchedTree,
    affected: Affected,
    limit: Limit,
    work: &Path,
) -> Result<Affected> {
    if affected.doubtful.is_empty() {
        return Ok(affected);
    }
    let Affected { mut units, mut notes, doubtful, seers, mut refusals } = affected;
    let out = work.join("preprocessed");
    std::fs::create_dir_all(&out).with_context(|| format!("cannot make folder {}", out.display()))?;
    let asking = Asking {
        cache,
        target,
        tree,
        touched: tree.files.keys().map(String::as_str).collect(),
        seers: &seers,
        adds: tree.files.values().any(|f| f.original.is_none()),
        plain: target.sandbox().writable(&out, WORK),
        patched: patched_sandbox(tree, target, work)?.writable(&out, WORK),
        out: &out,
        begun: SystemTime::now(),
    };
    let touched: Vec<&str> = tree.files.keys().map(String::as_str).collect();
    let all = doubtful.len();
    let mut doubtful = doubtful;
    if seers.values().any(|s| !s.names.is_empty()) {
        doubtful = asking.referring(doubtful)?;
        limit.check_referring(&touched, doubtful.len())?;
    }
    let step = progress::step(format!("preprocessing {}", count(doubtful.len())));
    let mut answers = asking.all(&doubtful, &step)?;
    // What a generated header lacks, kbuild makes when it makes the object.
    let broken: Vec<usize> = (0..answers.len()).filter(|n| matches!(answers[*n], Answer::Broken(_))).collect();
    if !broken.is_empty() {
        if kbuild::owns(target) {
            let objects =
                broken.iter().map(|n| Ok(saved(target, &doubtful[*n].object)?.object)).collect::<Result<Vec<_>>>()?;
            kbuild::make_objects(target, &objects.iter().map(String::as_str).collect::<Vec<_>>())?;
        }
        let again: Vec<Unit> = broken.iter().map(|n| doubtful[*n].clone()).collect();
        for (n, answer) in broken.into_iter().zip(asking.all(&again, &step)?) {
            if let Answer::Broken(words) = &answer {
                let error = CompilerSays(words.clone()).into();
                return Err(explain(error, target, None, &doubtful[n], Variant::Original));
            }
            answers[n] = answer;
        }
    }
    let differ: Vec<&Unit> =
        doubtful.iter().zip(&answers).filter(|(_, a)| **a == Answer::Differs).map(|(u, _)| u).collect();
    let (headers, differ): (Vec<&Unit>, Vec<&Unit>) = differ.into_iter().partition(|u| generated::makes_header(u));
    for unit in headers {
        refusals.extend(asking.values(unit)?);
    }
    let changed = refusals.len();
    let (assembler, differ): (Vec<&Unit>, Vec<&Unit>) = differ.into_iter().partition(|u| u.source.ends_with(".S"));
    step.done(&format!("the code of {} may differ", differ.len() + assembler.len()));
    if !assembler.is_empty() {
        refusals.extend(assembler.into_iter().map(|u| assembler_differs(tree, u)));
        return Err(Refused(refusals).into());
    }
    limit.check_changed(&touched, units.len() + differ.len())?;
    let same = all - differ.len() - changed;
    if same > 0 {
        let (s, are) = if all == 1 { ("s", "is") } else { ("", "are") };
        let all = count(all);
        notes.push(format!("{same} of {all} include{s} what the fix changes and {are} made of the same code with it"));
    }
    if units.is_empty() && differ.is_empty() {
        return Err(match refusals.is_empty() {
            true => NothingChanged::in_any_unit(&notes).into(),
            false => Refused(refusals).into(),
        });
    }
    units.extend(differ.into_iter().cloned());
    units.sort();
    units.dedup();
    Ok(Affected { units, notes, refusals, ..Affected::default() })
}

fn assembler_differs(tree: &PatchedTree, unit: &Unit) -> Refusal {
    let reason = format!("what the fix ({}) changes in headers changes this assembler code", tree.titles());
    let hint = "write the fix so that it does not change assembler files (`#ifndef __ASSEMBLY__`)";
    Refusal::new("assembler-file", "", &unit.source, reason, hint)
}

impl Asking<'_> {
    /// Those of `units` whose code may see what is changed, by what it refers to as it is.
    fn referring(&self, units: Vec<Unit>) -> Result<Vec<Unit>> {
        let step = progress::step(format!("reading what {} refer to (kept for the next time)", count(units.len())));
        let sees = self.each(&units, &step, |unit, n| match self.original(unit, n)? {
            Ok(original) => Ok(self.sees(unit, &original)),
            Err(_) => Ok(true),
        })?;
        let units: Vec<Unit> = units.into_iter().zip(sees).filter(|(_, sees)| *sees).map(|(unit, _)| unit).collect();
        step.done(&format!("{} to what the fix changes", units.len()));
        Ok(units)
    }

    /// Asks for each unit whether its code changes.
    fn all(&self, units: &[Unit], step: &progress::Step) -> Result<Vec<Answer>> {
        self.each(units, step, |unit, n| self.one(unit, n))
    }

    /// Runs `ask` for each unit, as many at a time as there are processors; the first error ends it.
    fn each<R: Send>(
        &self,
        units: &[Unit],
        step: &progress::Step,
        ask: impl Fn(&Unit, usize) -> Result<R> + Sync,
    ) -> Result<Vec<R>> {
        let (done, begun) = (AtomicUsize::new(0), Instant::now());
        parallel::map(units, |n, unit| {
            let answer = ask(unit, n)?;
            let done = 1 + done.fetch_add(1, Ordering::Relaxed);
            step.detail(&format!("{done} of {} units{}", units.len(), left(begun.elapsed(), done, units.len())));
            Ok(answer)
        })
    }

    /// What the original is made of, from the cache where it can; the compiler's words where a file is missing.
    fn original(&self, unit: &Unit, number: usize) -> Result<std::result::Result<Preprocessed, String>> {
        let saved = saved(self.target, &unit.object)?;
        let key = self.cache.key(&saved.preprocess("preprocessed", "", &[]));
        if let Some(known) = self.cache.preprocessed(&key) {
            return Ok(Ok(known));
        }
        match self.preprocess(&self.plain, &saved, &[], &format!("{number}.original")) {
            Ok(made) => {
                self.cache.put_preprocessed(&key, self.begun, &made)?;
                Ok(Ok(made))
            }
            Err(error) => match error.downcast::<CompilerSays>()? {
                // Every error other than a missing header is a fault of the target, and reported as such.
                CompilerSays(words) if words.contains("No such file or directory") => Ok(Err(words)),
                CompilerSays(words) => {
                    Err(explain(CompilerSays(words).into(), self.target, None, unit, Variant::Original))
                }
            },
        }
    }

    /// Whether the code of a unit may see what is changed. The index gives too many: most of those are told by what the
    /// compiler did read.
    fn sees(&self, unit: &Unit, original: &Preprocessed) -> bool {
        let paths = original.inputs.iter().map(|path| kbuild::in_tree(self.target, path));
        let mut read = paths.filter(|path| self.touched.contains(path.as_str()));
        let may = |seers: &Seers| {
            let refers = || seers.names.is_empty() || seers.names.iter().any(|name| original.words.has(name));
            seers.files.contains(&unit.source) && (seers.renamed.contains(&unit.source) || refers())
        };
        self.adds || read.any(|path| self.seers.get(&path).is_none_or(may))
    }

    fn one(&self, unit: &Unit, number: usize) -> Result<Answer> {
        let original = match self.original(unit, number)? {
            Ok(original) => original,
            Err(words) => return Ok(Answer::Broken(words)),
        };
        if !self.sees(unit, &original) {
            return Ok(Answer::Same);
        }
        let saved = saved(self.target, &unit.object)?;
        let patched = self
            .preprocess(&self.patched, &saved, OWN, &format!("{number}.patched"))
            .map_err(|e| explain(e, self.target, Some(self.tree), unit, Variant::Patched))?;
        Ok(if patched.digest == original.digest { Answer::Same } else { Answer::Differs })
    }

    /// Compares the values that a generated header has from this unit.
    fn values(&self, unit: &Unit) -> Result<Option<Refusal>> {
        let saved = saved(self.target, &unit.object)?;
        let made = |sandbox: &Sandbox, flags: &[&str], variant| -> Result<String> {
            let name = format!("values.{}.s", if variant == Variant::Patched { "patched" } else { "original" });
            let to = format!("{WORK}/{name}");
            run_compiler(sandbox, &saved.to_assembly(&to, &format!("{to}.d"), flags))
                .map_err(|e| explain(e, self.target, Some(self.tree), unit, variant))?;
            files::read_text(&self.out.join(name))
        };
        let original = made(&self.plain, &[], Variant::Original)?;
        Ok(generated::compare(unit, &original, &made(&self.patched, OWN, Variant::Patched)?))
    }

    /// Preprocesses a unit.
    fn preprocess(&self, sandbox: &Sandbox, saved: &Saved, flags: &[&str], name: &str) -> Result<Preprocessed> {
        let to = format!("{WORK}/{name}");
        run_compiler(sandbox, &saved.preprocess(&to, &format!("{to}.d"), flags))?;
        let (text, deps) = (self.out.join(name), self.out.join(format!("{name}.d")));
        let bytes = files::read(&text)?;
        let inputs = cache::inputs(&files::read_text(&deps)?)?;
        // Hundreds of them would fill a small disk.
        for file in [text, deps] {
            std::fs::remove_file(&file).with_context(|| format!("cannot remove {}", file.display()))?;
        }
        let assembler = saved.source.ends_with(".S");
        let (digest, words) = if assembler { tokens::digest_of_assembler(&bytes) } else { tokens::digest(&bytes) };
        Ok(Preprocessed { digest, words, inputs })
    }
}

/// How long it goes on, where it has gone on long enough to tell; `, about 5 minutes left`.
fn left(elapsed: Duration, done: usize, all: usize) -> String {
    let rest = elapsed.as_secs_f64() / done as f64 * (all - done) as f64;
    match (rest / 60.0).ceil() {
        minutes if minutes > 1.0 && elapsed.as_secs() >= 5 => format!(", about {minutes} minutes left"),
        _ => String::new(),
    }
}

#[cfg(test)]
mod tests;
