// SPDX-License-Identifier: GPL-2.0-or-later
//! Runs scenarios on one target: builds, shared guests, a verdict for each.

use crate::builds;
use crate::cut::{self, Done};
use crate::judge::{judge, Verdict};
use crate::passes::{Pass, Recipe};
use crate::scenario::Scenario;
use crate::script::{self, Ready};
use anyhow::{Context, Result};
use kmend_builder::files;
use kmend_builder::guest::kernellog;
use kmend_builder::guest::machine::Machine;
use kmend_builder::guest::protocol::Kind;
use kmend_builder::guest::shipped::Shipped;
use kmend_builder::guest::{self, End, Host, Limits, Outcome};
use kmend_builder::progress;
use kmend_builder::target::Target;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// How many scenarios share a guest.
const PER_GUEST: usize = 12;

/// What a run needs besides its scenarios.
pub struct Suite<'a> {
    /// The kernel to boot.
    pub target: &'a Target,
    /// The program that builds.
    pub kmend_build: &'a Path,
    /// Where built modules and cut fixes go.
    pub work: &'a Path,
    /// Runs only what comes before the first live patch of each scenario, and builds nothing.
    pub before: bool,
    /// Where the logs of failed guests are kept.
    pub keep_logs: Option<&'a Path>,
    /// Boots also what passed before in a guest of the same bytes.
    pub fresh: bool,
}

/// A scenario that waits for its guest.
struct Waiting {
    /// Its number.
    at: usize,
    ready: Ready,
    /// What a guest with it alone is made of.
    recipe: Recipe,
}

/// Runs `scenarios` and hands each verdict to `tell` as soon as it is known. The verdicts come back in their order.
pub fn run(suite: &Suite, scenarios: &[Scenario], tell: &mut dyn FnMut(&Scenario, &Verdict)) -> Result<Vec<Verdict>> {
    let mut verdicts: Vec<Option<Verdict>> = vec![None; scenarios.len()];
    let here: Vec<Scenario> = scenarios.iter().filter(|s| not_for(suite, s).is_none()).cloned().collect();
    let cuts = match suite.before {
        true => BTreeMap::new(),
        false => cut::cut_all(&here, suite.target, &suite.work.join("cut")),
    };
    let mut built: Vec<(usize, Ready)> = Vec::new();
    for (i, scenario) in scenarios.iter().enumerate() {
        match prepare(suite, scenario, cuts.get(&scenario.name)) {
            Ok(Prepared::Ready(ready)) => built.push((i, *ready)),
            Ok(Prepared::Settled(verdict)) => settle(&mut verdicts[i], scenario, verdict, tell),
            Err(error) => settle(&mut verdicts[i], scenario, Verdict::Fail(format!("{error:#}")), tell),
        }
    }
    if !built.is_empty() {
        boot_all(suite, scenarios, built, &mut verdicts, tell)?;
    }
    let unjudged = || Verdict::Fail("it was never run".into());
    Ok(verdicts.into_iter().map(|v| v.unwrap_or_else(unjudged)).collect())
}

fn settle(
    slot: &mut Option<Verdict>,
    scenario: &Scenario,
    verdict: Verdict,
    tell: &mut dyn FnMut(&Scenario, &Verdict),
) {
    tell(scenario, &verdict);
    *slot = Some(verdict);
}

/// What a scenario has come to before any guest.
enum Prepared {
    /// A guest has to run it.
    Ready(Box<Ready>),
    /// It needs no guest.
    Settled(Verdict),
}

fn not_for(suite: &Suite, scenario: &Scenario) -> Option<String> {
    scenario.not_for(&suite.target.arch, &suite.target.release)
}

fn prepare(suite: &Suite, scenario: &Scenario, cut: Option<&Done>) -> Result<Prepared> {
    let not_here = |why: &str| Ok(Prepared::Settled(Verdict::NotHere(why.into())));
    if let Some(why) = not_for(suite, scenario) {
        return not_here(&why);
    }
    if suite.before {
        return match scenario.before() {
            Some(scenario) => Ok(Prepared::Ready(Box::new(Ready { scenario, modules: BTreeMap::new() }))),
            None => not_here("without a look before its live patch"),
        };
    }
    let nothing_cut = PathBuf::new();
    let cut = match cut {
        Some(Done::Cut(folder)) => folder,
        Some(Done::Already) => return not_here("already in this kernel"),
        Some(Done::Other(why)) => return not_here(why),
        Some(Done::Failed(reason)) => anyhow::bail!("{reason}"),
        None => &nothing_cut,
    };
    let out = suite.work.join("built").join(&scenario.name);
    std::fs::create_dir_all(&out).with_context(|| format!("cannot make folder {}", out.display()))?;
    let step = progress::step(format!("{}: building {}", suite.target.name, scenario.name));
    let ready = builds::build(scenario, suite.target, suite.kmend_build, cut, &out)?;
    step.done("");
    // Where every build had to be refused there is nothing to boot.
    Ok(if scenario.steps.is_empty() { Prepared::Settled(Verdict::Pass) } else { Prepared::Ready(Box::new(ready)) })
}

fn boot_all(
    suite: &Suite,
    scenarios: &[Scenario],
    built: Vec<(usize, Ready)>,
    verdicts: &mut [Option<Verdict>],
    tell: &mut dyn FnMut(&Scenario, &Verdict),
) -> Result<()> {
    let scratch = tempfile::tempdir().context("cannot make a temporary folder")?;
    let machine = Machine::of(&suite.target.arch)?;
    let accel = guest::choose_accel(&suite.target.vmlinuz, machine, scratch.path())?;
    let host = Host { machine, accel, scratch: scratch.path() };
    let shipped = Shipped::of(suite.target)?;
    let recipe = Recipe::new(&suite.target.vmlinuz, machine, accel)?;
    let mut waiting = Vec::new();
    for (at, ready) in built {
        let recipe = recipe.clone().with("initramfs", &script::initramfs(&[&ready], machine, &shipped)?);
        let before = if suite.fresh { None } else { recipe.passed()? };
        if before.is_some_and(|pass| judge(&ready.scenario, &pass.facts, &pass.console) == Verdict::Pass) {
            settle(&mut verdicts[at], &scenarios[at], Verdict::AsBefore, tell);
        } else {
            waiting.push(Waiting { at, ready, recipe });
        }
    }
    let mut guests = 0;
    while !waiting.is_empty() {
        let group: Vec<Waiting> = waiting.drain(..waiting.len().min(PER_GUEST)).collect();
        guests += 1;
        let ready: Vec<&Ready> = group.iter().map(|w| &w.ready).collect();
        let outcome = boot(suite, &ready, &shipped, host)?;
        let over = over(&ready, &outcome);
        let mut failed = false;
        let mut again = Vec::new();
        for (place, waits) in group.into_iter().enumerate() {
            if place >= over {
                again.push(waits);
                continue;
            }
            let scenario = &waits.ready.scenario;
            let verdict = judge(scenario, &outcome.facts, &outcome.console);
            let verdict = blame(verdict, &waits.ready, place + 1 == over, &outcome);
            failed |= verdict != Verdict::Pass;
            if verdict == Verdict::Pass {
                waits.recipe.keep(&told(&scenario.name, &outcome))?;
            }
            settle(&mut verdicts[waits.at], &scenarios[waits.at], verdict, tell);
        }
        if let (true, Some(keep)) = (failed, suite.keep_logs) {
            keep_logs(keep, &format!("{}-guest-{guests}", suite.target.release), &outcome)?;
        }
        again.append(&mut waiting);
        waiting = again;
    }
    Ok(())
}

/// What the guest told of one scenario.
fn told(scenario: &str, outcome: &Outcome) -> Pass {
    let facts = outcome.facts.iter().filter(|f| f.scenario == scenario).cloned().collect();
    Pass { facts, console: kernellog::part_of_scenario(&outcome.console, scenario) }
}

fn boot(suite: &Suite, ready: &[&Ready], shipped: &Shipped, host: Host) -> Result<Outcome> {
    let (name, accel) = (&suite.target.name, host.accel.name());
    let step = progress::step(format!("{name}: booting with {} scenarios ({accel})", ready.len()));
    let initramfs = script::initramfs(ready, host.machine, shipped)?;
    let silence = Duration::from_secs(180);
    let limits = Limits { silence, life: silence + Duration::from_secs(150) * ready.len() as u32 };
    let outcome = guest::boot(&suite.target.vmlinuz, &initramfs, host, limits)?;
    step.done(match outcome.end {
        End::Done => "done",
        End::Panic => "its kernel died",
        End::Silent(_) => "it fell silent",
        End::Gone(_) => "QEMU ended",
        End::Flood => "it wrote without end",
    });
    Ok(outcome)
}

/// How many scenarios of the guest are settled by it: those that came to their end, and the one under way when it died.
fn over(ready: &[&Ready], outcome: &Outcome) -> usize {
    let begun = ready
        .iter()
        .take_while(|r| outcome.facts.iter().any(|f| f.kind == Kind::Begin && f.scenario == r.scenario.name))
        .count();
    // A guest in which nothing begins would be booted again for ever: the first scenario bears that.
    begun.max(1)
}

/// The scenario that ran last also answers for the guest's end.
fn blame(verdict: Verdict, ready: &Ready, last: bool, outcome: &Outcome) -> Verdict {
    let name = &ready.scenario.name;
    let booted = outcome.facts.iter().any(|f| f.kind == Kind::Up);
    let finished = outcome.facts.iter().any(|f| f.kind == Kind::End && f.scenario == *name);
    if !last || (finished && outcome.end == End::Done) {
        return verdict;
    }
    let what = match outcome.end.fault() {
        Some(fault) => format!("the guest {fault}"),
        None if !finished => "the guest ended without finishing it".to_string(),
        None => return verdict,
    };
    let when = if booted { "" } else { " before it came up" };
    let tail = kernellog::tail(&outcome.console, 25);
    let before = match verdict {
        Verdict::Fail(text) => format!("{text}\n"),
        Verdict::Pass | Verdict::AsBefore | Verdict::NotHere(_) => String::new(),
    };
    Verdict::Fail(format!("{before}{what}{when}; the last of its console:\n{}", tail.trim_end()))
}

fn keep_logs(keep: &Path, guest: &str, outcome: &Outcome) -> Result<()> {
    files::write(&keep.join(format!("{guest}.console")), outcome.console.as_bytes())?;
    let facts: String =
        outcome.facts.iter().map(|f| format!("{:?}\t{}\t{}\t{}\n", f.kind, f.scenario, f.step, f.text)).collect();
    files::write(&keep.join(format!("{guest}.facts")), facts.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;
    use kmend_builder::guest::protocol::Fact;

    fn ready(name: &str) -> Ready {
        let scenario = Scenario {
            name: name.into(),
            dir: "/".into(),
            title: String::new(),
            target: None,
            only: None,
            builds: Vec::new(),
            allow_log: Vec::new(),
            steps: Vec::new(),
        };
        Ready { scenario, modules: BTreeMap::new() }
    }

    fn fact(kind: Kind, scenario: &str) -> Fact {
        Fact { kind, scenario: scenario.into(), step: 0, text: String::new() }
    }

    #[test]
    fn the_one_that_ran_is_blamed_and_the_rest_runs_again() {
        let (a, b, c) = (ready("a"), ready("b"), ready("c"));
        let facts = vec![fact(Kind::Up, ""), fact(Kind::Begin, "a"), fact(Kind::End, "a"), fact(Kind::Begin, "b")];
        let outcome = Outcome { end: End::Panic, facts, console: "[1] Kernel panic - not syncing: x\n".into() };
        assert_eq!(over(&[&a, &b, &c], &outcome), 2);
        assert_eq!(blame(Verdict::Pass, &a, false, &outcome), Verdict::Pass);
        match blame(Verdict::Pass, &b, true, &outcome) {
            Verdict::Fail(text) => assert!(text.contains("died") && text.contains("not syncing: x"), "{text}"),
            other => panic!("{other:?} in a dead guest"),
        }
    }

    #[test]
    fn what_is_kept_of_a_guest_is_one_scenario_and_judged_as_all_was() {
        let facts = vec![fact(Kind::Up, ""), fact(Kind::Begin, "a"), fact(Kind::End, "a"), fact(Kind::Begin, "ab")];
        let console = "kmend-test: begin ab\n[1] WARNING: x\nkmend-test: end ab\nkmend-test: begin a\r\n[2] y\r\nkmend-test: end a\r\n";
        let outcome = Outcome { end: End::Done, facts, console: console.into() };
        let pass = told("a", &outcome);
        assert_eq!(pass.facts.len(), 2);
        assert!(!pass.console.contains("WARNING"), "{}", pass.console);
        for name in ["a", "ab"] {
            let pass = told(name, &outcome);
            assert_eq!(kernellog::of_scenario(&pass.console, name), kernellog::of_scenario(console, name));
        }
        assert!(told("ab", &outcome).console.contains("WARNING"));
    }

    #[test]
    fn a_guest_that_never_comes_up_fails_its_first_scenario() {
        let (a, b) = (ready("a"), ready("b"));
        let outcome = Outcome { end: End::Gone("no such file".into()), facts: Vec::new(), console: String::new() };
        assert_eq!(over(&[&a, &b], &outcome), 1);
        match blame(Verdict::Pass, &a, true, &outcome) {
            Verdict::Fail(text) => assert!(text.contains("no such file before it came up"), "{text}"),
            other => panic!("{other:?} without a guest"),
        }
    }
}
