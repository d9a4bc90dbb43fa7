// SPDX-License-Identifier: GPL-2.0-or-later
//! What the guest told of one run, and its kernel's log, in; [`Run`] with every fault out.

use super::plan::{Order, Phase, Plan, Step};
use crate::guest::protocol::{Fact, Kind};
use crate::guest::{kernellog, End};
use crate::klp::functions::NewCode;
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};

/// What each live patch taints the kernel with: an out-of-tree module, an unsigned one, a live patch
/// (Documentation/admin-guide/tainted-kernels.rst).
const OWN_TAINT: u64 = 1 << 12 | 1 << 13 | 1 << 15;

/// How many lines of a log are kept.
const LINES: usize = 25;

/// Something that is not as it has to be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Fault {
    /// Stable name of its kind; docs/try.md has them all.
    pub code: &'static str,
    /// What was seen, in one sentence.
    pub text: String,
}

/// One run of the live patch.
#[derive(Clone, Debug, Serialize)]
pub struct Run {
    /// What it did about the modules that the live patch changes.
    pub modules: Order,
    /// True where there are no faults.
    pub passed: bool,
    /// What was not as it has to be.
    pub faults: Vec<Fault>,
    /// What people should know, and what was not tried.
    pub notes: Vec<String>,
    /// The klp objects of the live patch, as they were under it.
    pub objects: Vec<ObjectSeen>,
    /// The functions that it replaces; empty if unknown.
    pub functions: Vec<FunctionSeen>,
    /// The probe, by its phases; empty without a probe.
    pub probe: BTreeMap<Phase, ProbeSeen>,
    /// Lines of the kernel's log that tell of trouble.
    pub log: Vec<String>,
    /// The last lines of the console, where the guest did not come to its end.
    pub console: Vec<String>,
}

/// One klp object.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ObjectSeen {
    /// `vmlinux` or a module.
    pub name: String,
    /// Whether it was there.
    pub loaded: bool,
    /// Whether the kernel says that it is patched; null before Linux 6.1, which does not say.
    pub patched: Option<bool>,
}

/// One replaced function.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct FunctionSeen {
    /// The klp object that it is in.
    pub object: String,
    /// Its name.
    pub name: String,
    /// Its position among its namesakes; 0 where it is unique.
    pub sympos: u64,
    /// How often its new code was entered while the probe ran; null where that was not counted.
    pub entries: Option<u64>,
    /// It may have been entered more often: some entries were lost.
    pub at_least: bool,
}

/// What a probe said in one phase.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct ProbeSeen {
    /// Its exit code; 137 where it was killed.
    pub exit: i64,
    /// Lines of its standard output.
    pub stdout: Vec<String>,
    /// Lines of its standard error.
    pub stderr: Vec<String>,
    /// It said more than is kept.
    pub cut: bool,
    /// It took longer than it may, and was killed.
    pub late: bool,
}

impl ProbeSeen {
    /// Whether it says the same as `other`: output and exit code.
    pub fn says_the_same(&self, other: &ProbeSeen) -> bool {
        self.exit == other.exit && self.stdout == other.stdout && self.cut == other.cut
    }
}

/// What a guest left behind.
#[derive(Clone, Copy)]
pub struct Left<'a> {
    /// What it told.
    pub facts: &'a [Fact],
    /// Its console.
    pub console: &'a str,
    /// How it ended, of the run that was under way then; None for those before.
    pub end: Option<&'a End>,
}

/// What the live patch is known to hold.
#[derive(Clone, Debug, Default)]
pub struct Known {
    /// The new code of each replaced function; empty if unknown.
    pub code: Vec<NewCode>,
}

/// Judges one run.
pub fn judge(plan: &Plan, known: &Known, order: Order, left: Left) -> Run {
    let mut run = Run {
        modules: order,
        passed: true,
        faults: Vec::new(),
        notes: Vec::new(),
        objects: Vec::new(),
        functions: Vec::new(),
        probe: BTreeMap::new(),
        log: Vec::new(),
        console: Vec::new(),
    };
    let mine: Vec<&Fact> = left.facts.iter().filter(|f| f.scenario == order.name()).collect();
    let told = Told { mine: &mine };
    let steps = plan.steps(order);
    let over = walk(&mut run, &steps, &told, plan);
    if !over {
        died(&mut run, left);
    }
    run.objects = objects(&told);
    run.functions = functions(&mut run.notes, &run.objects, &told, known);
    listed(&mut run, &mine, known);
    patched(&mut run);
    log(&mut run, left.console);
    taint(&mut run, &told);
    let before = run.probe.get(&Phase::Before);
    if let (Some(before), Some(after)) = (before, run.probe.get(&Phase::Reverted)) {
        let fault = differs(before, after, "before it");
        run.faults.extend(fault);
    }
    run.passed = run.faults.is_empty();
    run
}

/// The fault of a probe that tells something else after the live patch than without it.
pub fn differs(before: &ProbeSeen, after: &ProbeSeen, when: &str) -> Option<Fault> {
    (!before.says_the_same(after))
        .then(|| fault("probe-differs", format!("the probe prints something else after the live patch than {when}")))
}

fn fault(code: &'static str, text: impl Into<String>) -> Fault {
    Fault { code, text: text.into() }
}

/// The facts of one run.
struct Told<'a> {
    mine: &'a [&'a Fact],
}

impl<'a> Told<'a> {
    /// The texts of a kind that step `n` told.
    fn of(&self, n: usize, kind: Kind) -> Vec<&'a str> {
        self.mine.iter().filter(|f| f.step == n && f.kind == kind).map(|f| f.text.as_str()).collect()
    }

    /// What follows `word` where that was told, in any step.
    fn all(&self, word: &str) -> Vec<&'a str> {
        let told = self.mine.iter().filter(|f| f.kind == Kind::Told);
        told.filter_map(|f| after(&f.text, word)).collect()
    }
}

/// What follows the first word of `text`, where that is `word`.
fn after<'a>(text: &'a str, word: &str) -> Option<&'a str> {
    let rest = text.strip_prefix(word)?;
    (rest.is_empty() || rest.starts_with(' ')).then(|| rest.trim())
}

/// Goes through the steps; false where the guest did not come to the end of them, and none of them failed.
fn walk(run: &mut Run, steps: &[Step], told: &Told, plan: &Plan) -> bool {
    for (at, step) in steps.iter().enumerate() {
        let n = at + 1;
        for text in told.of(n, Kind::Told) {
            if let Some(rest) = after(text, "unloadable") {
                let (module, why) = rest.split_once(' ').unwrap_or((rest, ""));
                run.notes.push(format!("the module {module} cannot be loaded in this guest: {why}"));
            }
            if let Some(module) = after(text, "loadable") {
                let text = format!("the module {module} can be loaded without the live patch, and not with it");
                run.faults.push(fault("module-refused", text));
            }
        }
        if let Step::Probe(phase) = step {
            probe(run, *phase, n, told, plan);
        }
        let failed = told.of(n, Kind::Fail);
        if !failed.is_empty() {
            run.faults.push(fault(code_of(step, failed[0]), failed.join("; ")));
            return true;
        }
        if told.of(n, Kind::Ok).is_empty() {
            return false;
        }
    }
    true
}

/// What it means that lib.sh says that a step failed.
fn code_of(step: &Step, said: &str) -> &'static str {
    match step {
        Step::Load if said.contains("did not settle") => "transition-stalled",
        Step::Load => "load-failed",
        Step::Disable => "not-reverted",
        _ => "unload-failed",
    }
}

fn probe(run: &mut Run, phase: Phase, n: usize, told: &Told, plan: &Plan) {
    let words = told.of(n, Kind::Told);
    let owned = |kind| told.of(n, kind).into_iter().map(String::from).collect();
    let code = words.iter().find_map(|w| after(w, "code")).and_then(|code| code.parse().ok());
    // Where it never ended, the guest's end is the fault.
    let Some(exit) = code else { return };
    let late = words.contains(&"late");
    if late {
        let text = format!("the probe did not end within {} s ({})", plan.seconds, phase.name());
        run.faults.push(fault("probe-late", text));
    }
    let cut = words.iter().any(|w| after(w, "cut").is_some());
    run.probe.insert(phase, ProbeSeen { exit, stdout: owned(Kind::Out), stderr: owned(Kind::Err), cut, late });
}

fn died(run: &mut Run, left: Left) {
    let (code, text) = match left.end {
        Some(End::Panic) => ("guest-died", None),
        Some(End::Silent(_)) => ("guest-silent", None),
        Some(End::Gone(_)) => ("guest-gone", None),
        Some(End::Flood) => ("guest-flood", None),
        Some(End::Done) | None => ("guest-left", Some("ended before the run came to its end")),
    };
    let said = left.end.and_then(End::fault).or(text.map(String::from)).unwrap_or_default();
    run.faults.push(fault(code, format!("the guest {said}")));
    let lines: Vec<String> = left.console.lines().map(|l| l.trim_end().to_string()).collect();
    run.console = lines[lines.len().saturating_sub(LINES)..].to_vec();
}

fn objects(told: &Told) -> Vec<ObjectSeen> {
    let read = |text: &str| {
        let mut words = text.split(' ');
        let (name, there, patched) = (words.next()?, words.next()?, words.next()?);
        let patched = match patched {
            "1" => Some(true),
            "0" => Some(false),
            _ => None,
        };
        Some(ObjectSeen { name: name.into(), loaded: there == "1", patched })
    };
    told.all("object").into_iter().filter_map(read).collect()
}

/// Each replaced function with its count. The counts are by address; where each section is was told.
fn functions(notes: &mut Vec<String>, objects: &[ObjectSeen], told: &Told, known: &Known) -> Vec<FunctionSeen> {
    let uncounted = told.all("uncounted");
    notes.extend(uncounted.iter().map(|why| format!("entries were not counted: {why}")));
    let hex = |text: &str| u64::from_str_radix(text.trim_start_matches("0x"), 16).ok();
    let bases: BTreeMap<&str, u64> = told
        .all("base")
        .into_iter()
        .filter_map(|t| t.split_once(' '))
        .filter_map(|(s, at)| Some((s, hex(at)?)))
        .collect();
    let counts: Vec<(u64, u64)> = told
        .all("count")
        .into_iter()
        .filter_map(|t| t.split_once(' '))
        .filter_map(|(at, n)| Some((hex(at)?, n.parse().ok()?)))
        .collect();
    let lost = told.all("lost");
    let is_there = |name: &str| objects.iter().any(|o| o.name == name && o.loaded);
    let seen = |code: &NewCode| {
        let base = bases.get(code.section.as_str()).copied();
        let counted = uncounted.is_empty() && !lost.is_empty() && is_there(&code.object);
        let entries = base.filter(|_| counted).map(|base| {
            let is_in = |at: u64| at.checked_sub(base).is_some_and(|offset| code.place.contains(&offset));
            counts.iter().filter(|(at, _)| is_in(*at)).map(|(_, n)| n).sum()
        });
        FunctionSeen {
            object: code.object.clone(),
            name: code.function.name.clone(),
            sympos: code.function.sympos,
            entries,
            at_least: entries.is_some() && lost.iter().any(|n| *n != "0"),
        }
    };
    known.code.iter().map(seen).collect()
}

/// The kernel has to list the functions that the live patch registers, and no others.
fn listed(run: &mut Run, mine: &[&Fact], known: &Known) {
    let lists: BTreeSet<String> = mine.iter().filter(|f| f.kind == Kind::List).map(|f| f.text.clone()).collect();
    if lists.is_empty() || known.code.is_empty() {
        return;
    }
    // The kernel numbers the only one of a name, too.
    let name = |c: &NewCode| format!("{}/{},{}", c.object, c.function.name, c.function.sympos.max(1));
    let wanted: BTreeSet<String> = known.code.iter().map(name).collect();
    if lists != wanted {
        let differ: Vec<&str> = lists.symmetric_difference(&wanted).map(String::as_str).collect();
        let text = format!("the kernel lists other functions than the live patch registers: {}", differ.join(", "));
        run.faults.push(fault("functions-differ", text));
    }
}

/// What is there has to be patched, and nothing else is.
fn patched(run: &mut Run) {
    for object in &run.objects {
        let (name, is) = (&object.name, if object.loaded { "is loaded" } else { "is not loaded" });
        match (object.loaded, object.patched) {
            (true, Some(false)) => run
                .faults
                .push(fault("object-not-patched", format!("{name} {is}, and the kernel says it is not patched"))),
            (false, Some(true)) => {
                run.faults.push(fault("object-not-patched", format!("{name} {is}, and the kernel says it is patched")))
            }
            (true, _) if run.modules == Order::Never && name != "vmlinux" => {
                run.notes.push(format!("the module {name} is always there, so it was not tried without it"))
            }
            _ => {}
        }
    }
}

/// Trouble from the live patch on is a fault, trouble before it is not its doing.
fn log(run: &mut Run, console: &str) {
    let said = kernellog::of_scenario(console, run.modules.name());
    let (before, with) = said.split_once("kmend-test: loading ").unwrap_or((said, ""));
    let before = kernellog::trouble(before, &[]);
    if let Some(first) = before.first() {
        run.notes.push(format!("the kernel reports trouble without the live patch: {first}"));
    }
    run.log = kernellog::trouble(with, &[]);
    if !run.log.is_empty() {
        let text = format!("the kernel's log reports trouble: {}", run.log[0]);
        run.faults.push(fault("log", text));
    }
    run.log.truncate(LINES);
}

fn taint(run: &mut Run, told: &Told) {
    let values: Vec<u64> = told.all("taint").into_iter().filter_map(|t| t.parse().ok()).collect();
    if let [before, after] = values[..] {
        let new = after & !before & !OWN_TAINT;
        if new != 0 {
            let bits: Vec<String> = (0..64).filter(|bit| new >> bit & 1 == 1).map(|bit| bit.to_string()).collect();
            let text = format!(
                "the kernel is tainted in a way that no live patch causes: bit {} of /proc/sys/kernel/tainted",
                bits.join(", ")
            );
            run.faults.push(fault("taint", text));
        }
    }
}

#[cfg(test)]
mod tests;
