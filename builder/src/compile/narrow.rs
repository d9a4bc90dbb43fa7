// SPDX-License-Identifier: GPL-2.0-or-later
//! Stage narrow: the units that the fixes reach by way of headers in, those whose code can differ out.
//!
//! A header reaches hundreds of units, and changes the code of a few. Each unit is preprocessed with kbuild's own command,
//! as it is and with the fixes, and left out when what matters of both is the same (`tokens.rs`). The checksum of the
//! original is kept with the files that it was made of, as originals' objects are: a run that was broken off goes
//! on where it was.

use super::cache::{self, Cache};
use super::command::Saved;
use super::{explain, generated, kbuild, run_compiler, saved, tokens, CompilerSays, Unit, Variant};
use crate::error::{NothingChanged, Refusal, Refused};
use crate::files;
use crate::progress;
use crate::sandbox::{Sandbox, WORK};
use crate::source::affected::Affected;
use crate::source::PatchedTree;
use crate::target::Target;
use anyhow::{anyhow, Context, Result};
use std::collections::BTreeSet;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::Mutex;
use std::time::SystemTime;

/// How many units a fix may reach.
#[derive(Clone, Copy, Debug)]
pub struct Limit(pub usize);

impl Default for Limit {
    /// Some ten minutes with two processors.
    fn default() -> Self {
        Self(200)
    }
}

/// So many units are preprocessed for each that may be compiled: that takes a tenth of the time.
const PREPROCESSED: usize = 10;

/// Of the files that include a header, a distribution's config builds well over one in so many.
const BUILT: usize = 4;

impl Limit {
    fn preprocessed(self) -> usize {
        self.0.saturating_mul(PREPROCESSED)
    }

    /// Whether a header that so many files include may alone be the reason of a refusal.
    pub fn may_be_too_many(self, files: usize) -> bool {
        files > self.preprocessed()
    }

    /// Refuses before kbuild is asked about thousands of folders. `why` says why all that include a header count.
    pub fn check_files(self, touched: &[&str], why: &str, files: usize) -> Result<()> {
        if files > self.preprocessed().saturating_mul(BUILT) {
            let said = format!("{files} files of the kernel's source include it, which is too many to look at{why}");
            return Err(too_many(touched, said, files.div_ceil(PREPROCESSED * BUILT)));
        }
        Ok(())
    }

    /// Refuses when more units have to be preprocessed than are allowed.
    pub fn check_units(self, touched: &[&str], why: &str, units: usize) -> Result<()> {
        if units > self.preprocessed() {
            let said =
                format!("{units} units of this kernel include it; at most {} are looked at{why}", self.preprocessed());
            return Err(too_many(touched, said, units.div_ceil(PREPROCESSED)));
        }
        Ok(())
    }

    /// Refuses when more units have to be compiled than are allowed.
    fn check_changed(self, touched: &[&str], units: usize) -> Result<()> {
        if units > self.0 {
            let said = format!("the code of {units} units of this kernel may change; at most {} are compiled", self.0);
            return Err(too_many(touched, said, units));
        }
        Ok(())
    }
}

fn too_many(touched: &[&str], said: String, least: usize) -> anyhow::Error {
    let hint = format!("put the change into the .c files that need it, or take the time: --max-units {least}");
    Refused(vec![Refusal::new("reaches-too-many", "", &touched.join(", "), said, &hint)]).into()
}

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
    /// The fixes add files, which may stand before others on the compiler's search path.
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
    if affected.doubtful.is_empty() {
        return Ok(affected);
    }
    let Affected { mut units, mut notes, doubtful, mut refusals } = affected;
    let out = work.join("preprocessed");
    std::fs::create_dir_all(&out).with_context(|| format!("cannot make folder {}", out.display()))?;
    let asking = Asking {
        cache: Cache::open(target)?,
        target,
        tree,
        touched: tree.files.keys().map(String::as_str).collect(),
        adds: tree.files.values().any(|f| f.original.is_none()),
        plain: target.sandbox().writable(&out, WORK),
        patched: super::patched_sandbox(tree, target, work)?.writable(&out, WORK),
        out: &out,
        begun: SystemTime::now(),
    };
    let step = progress::step(format!("preprocessing {}", super::count(doubtful.len())));
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
    let touched: Vec<&str> = tree.files.keys().map(String::as_str).collect();
    limit.check_changed(&touched, units.len() + differ.len())?;
    let same = doubtful.len() - differ.len() - changed;
    if same > 0 {
        let all = super::count(doubtful.len());
        let (s, are) = if doubtful.len() == 1 { ("s", "is") } else { ("", "are") };
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
    Ok(Affected { units, notes, doubtful: Vec::new(), refusals })
}

fn assembler_differs(tree: &PatchedTree, unit: &Unit) -> Refusal {
    let reason = format!("what the fix ({}) changes in headers changes this assembler code", tree.titles());
    let hint = "write the fix so that assembler files see no change (`#ifndef __ASSEMBLY__`)";
    Refusal::new("assembler-file", "", &unit.source, reason, hint)
}

impl Asking<'_> {
    /// Asks for each unit, as many at a time as there are processors; the first error ends it.
    fn all(&self, units: &[Unit], step: &progress::Step) -> Result<Vec<Answer>> {
        let (next, done) = (AtomicUsize::new(0), AtomicUsize::new(0));
        let answers = Mutex::new(vec![None; units.len()]);
        let work = || -> Result<()> {
            loop {
                let n = next.fetch_add(1, Ordering::Relaxed);
                let Some(unit) = units.get(n) else { return Ok(()) };
                let answer = self.one(unit, n).inspect_err(|_| next.store(units.len(), Ordering::Relaxed))?;
                if let Ok(mut answers) = answers.lock() {
                    answers[n] = Some(answer);
                }
                let done = 1 + done.fetch_add(1, Ordering::Relaxed);
                step.detail(&format!("{done} of {} units", units.len()));
            }
        };
        let threads = std::thread::available_parallelism().map_or(1, usize::from).min(units.len());
        std::thread::scope(|scope| {
            let running: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
            let ended: Vec<Result<()>> = running
                .into_iter()
                .map(|r| r.join().unwrap_or_else(|_| Err(anyhow!("preprocessing broke off"))))
                .collect();
            ended.into_iter().collect::<Result<()>>()
        })?;
        let answers = answers.into_inner().map_err(|_| anyhow!("preprocessing broke off"))?;
        answers.into_iter().map(|a| a.context("a unit was not preprocessed")).collect()
    }

    fn one(&self, unit: &Unit, number: usize) -> Result<Answer> {
        let saved = saved(self.target, &unit.object)?;
        let key = self.cache.key(&saved.preprocess("preprocessed", "", &[]));
        let (digest, inputs) = match self.cache.digest(&key) {
            Some(known) => known,
            None => match self.preprocess(&self.plain, &saved, &[], &format!("{number}.original")) {
                Ok((digest, inputs)) => {
                    self.cache.put_digest(&key, &inputs, self.begun, &digest)?;
                    (digest, inputs)
                }
                Err(error) => match error.downcast::<CompilerSays>()? {
                    // Anything but a header that is not there is the target's fault, and is told as such.
                    CompilerSays(words) if words.contains("No such file or directory") => {
                        return Ok(Answer::Broken(words))
                    }
                    CompilerSays(words) => {
                        return Err(explain(CompilerSays(words).into(), self.target, None, unit, Variant::Original));
                    }
                },
            },
        };
        // The index gives too many: most of those are told by what the compiler did read.
        let read = |path: &String| self.touched.contains(kbuild::plain(self.inside(path)).as_str());
        if !self.adds && !inputs.iter().any(read) {
            return Ok(Answer::Same);
        }
        let (patched, _) = self
            .preprocess(&self.patched, &saved, super::OWN, &format!("{number}.patched"))
            .map_err(|e| explain(e, self.target, Some(self.tree), unit, Variant::Patched))?;
        Ok(if patched == digest { Answer::Same } else { Answer::Differs })
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
        Ok(generated::compare(unit, &original, &made(&self.patched, super::OWN, Variant::Patched)?))
    }

    /// A path that the compiler named, relative to the tree where it is in it.
    fn inside<'p>(&self, path: &'p str) -> &'p str {
        path.strip_prefix(self.target.tree_inside.as_str()).map_or(path, |p| p.trim_start_matches('/'))
    }

    /// Preprocesses a unit: the checksum of what matters, and the files that were read.
    fn preprocess(
        &self,
        sandbox: &Sandbox,
        saved: &Saved,
        flags: &[&str],
        name: &str,
    ) -> Result<(String, Vec<String>)> {
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
        Ok((if assembler { tokens::digest_of_assembler(&bytes) } else { tokens::digest(&bytes) }, inputs))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_name_the_number_that_would_do() {
        let code = |r: Result<()>| {
            let error = r.unwrap_err();
            let refused = &error.downcast_ref::<Refused>().unwrap().0[0];
            assert_eq!((refused.code.as_str(), refused.section.as_str()), ("reaches-too-many", "include/x.h"));
            refused.reason.clone() + &refused.hint
        };
        let limit = Limit(10);
        let touched = ["include/x.h"];
        limit.check_files(&touched, "", 400).unwrap();
        assert!(code(limit.check_files(&touched, "", 401)).contains("--max-units 11"));
        limit.check_units(&touched, "", 100).unwrap();
        let said = code(limit.check_units(&touched, "; so", 101));
        assert!(
            said.contains("101 units")
                && said.contains("at most 100 are looked at; so")
                && said.contains("--max-units 11"),
            "{said}"
        );
        limit.check_changed(&touched, 10).unwrap();
        let said = code(limit.check_changed(&touched, 11));
        assert!(said.contains("11 units") && said.contains("at most 10 ") && said.contains("--max-units 11"), "{said}");
        assert!(Limit(usize::MAX).check_files(&touched, "", 1 << 40).is_ok());
    }
}
