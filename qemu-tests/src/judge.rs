// SPDX-License-Identifier: GPL-2.0-or-later
//! Judges one scenario: what it declares and what the guest told in, a verdict out.

use crate::expect;
use crate::scenario::{Observe, Scenario, Step};
use kmend_builder::guest::kernellog;
use kmend_builder::guest::protocol::{Fact, Kind};
use std::collections::BTreeMap;

/// What became of a scenario.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Everything was as declared.
    Pass,
    /// Everything was as declared in a run before, in a guest of the same bytes; it was not booted again.
    AsBefore,
    /// Something was not; the text says what, over as many lines as it takes.
    Fail(String),
    /// It was not run, because it makes no sense on this kernel; the text says why.
    NotHere(String),
}

impl Verdict {
    /// Whether everything was as declared, in this run or in one before.
    pub fn is_good(&self) -> bool {
        matches!(self, Verdict::Pass | Verdict::AsBefore)
    }
}

/// Judges `scenario` by the facts of its guest and by what the kernel said meanwhile.
pub fn judge(scenario: &Scenario, facts: &[Fact], console: &str) -> Verdict {
    let mine: Vec<&Fact> = facts.iter().filter(|f| f.scenario == scenario.name).collect();
    let log = kernellog::of_scenario(console, &scenario.name);
    let mut faults = step_faults(scenario, &mine);
    if let Some(dirty) = mine.iter().find(|f| f.kind == Kind::Dirty) {
        faults.push(dirty.text.clone());
    }
    let trouble = kernellog::trouble(log, &scenario.allow_log);
    if !trouble.is_empty() {
        let lines: String = trouble.iter().take(12).map(|l| format!("    {l}\n")).collect();
        faults.push(format!("the kernel's log tells of trouble:\n{lines}"));
    }
    if faults.is_empty() {
        Verdict::Pass
    } else {
        Verdict::Fail(faults.iter().map(|f| f.trim_end()).collect::<Vec<_>>().join("\n"))
    }
}

fn step_faults(scenario: &Scenario, facts: &[&Fact]) -> Vec<String> {
    let mut faults = Vec::new();
    let mut looks: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for (i, step) in scenario.steps.iter().enumerate() {
        let n = i + 1;
        let of = |kind: Kind| -> Vec<String> {
            facts.iter().filter(|f| f.step == n && f.kind == kind).map(|f| f.text.clone()).collect()
        };
        let place = format!("step {n} ({})", describe(step));
        if let Step::Observe(o) = step {
            let seen = of(Kind::Out);
            faults.extend(look_faults(o, &seen, &looks).map(|fault| format!("{place}:\n{fault}")));
            looks.insert(&o.phase, seen);
        }
        let failed = of(Kind::Fail);
        if !failed.is_empty() {
            faults.push(format!("{place}: {}", failed.join("; ")));
            return faults;
        }
        if of(Kind::Ok).is_empty() {
            faults.push(format!("{place}: the guest never came to its end"));
            return faults;
        }
        if let Step::LoadRefused(l) = step {
            faults.extend(expect::lacks(&l.says, &of(Kind::Out)).map(|fault| format!("{place}:\n{fault}")));
        }
        if let Step::Load(l) = step {
            faults.extend(expect::lacks(&l.lists, &of(Kind::List)).map(|fault| format!("{place}:\n{fault}")));
        }
    }
    faults
}

fn look_faults(o: &Observe, seen: &[String], looks: &BTreeMap<&str, Vec<String>>) -> Option<String> {
    if let Some(expected) = &o.expect {
        if let Some(fault) = expect::differs(expected, seen) {
            return Some(fault);
        }
    }
    let earlier = looks.get(o.same_as.as_deref()?)?;
    // What was seen is compared as text, so a `~` in it must not turn into an expression.
    (earlier != seen).then(|| {
        let lines = |sign: &str, of: &[String]| of.iter().map(|l| format!("  {sign} {l}\n")).collect::<String>();
        let name = o.same_as.as_deref().unwrap_or_default();
        format!("{}{}", lines(&format!("- {name}:"), earlier), lines("+ now:", seen))
    })
}

fn describe(step: &Step) -> String {
    match step {
        Step::Modprobe(m) => format!("load the shipped module {}", m.module),
        Step::Rmmod(m) => format!("remove the shipped module {m}"),
        Step::Observe(o) => format!("behaviour {}", o.phase),
        Step::Load(l) => format!("load {}", l.module),
        Step::LoadRefused(l) => format!("the kernel refuses {}", l.module),
        Step::Disable(m) => format!("disable {m}"),
        Step::Replaced(m) => format!("{m} is replaced"),
        Step::Unload(m) => format!("unload {m}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::Load;

    fn scenario() -> Scenario {
        let look = |phase: &str, expect: Option<&str>, same: Option<&str>| {
            Step::Observe(Observe {
                phase: phase.into(),
                expect: expect.map(|e| vec![e.to_string()]),
                same_as: same.map(String::from),
            })
        };
        Scenario {
            name: "n".into(),
            dir: "/".into(),
            title: String::new(),
            target: None,
            only: None,
            builds: Vec::new(),
            allow_log: Vec::new(),
            steps: vec![
                look("before", Some("~v[0-9]"), None),
                Step::Load(Load { module: "k".into(), lists: vec!["vmlinux/f,1".into()] }),
                look("reverted", None, Some("before")),
            ],
        }
    }

    fn facts(reverted: &str, listed: &str) -> Vec<Fact> {
        let fact = |kind, step, text: &str| Fact { kind, scenario: "n".into(), step, text: text.into() };
        vec![
            fact(Kind::Out, 1, "v1"),
            fact(Kind::Ok, 1, ""),
            fact(Kind::List, 2, listed),
            fact(Kind::Ok, 2, ""),
            fact(Kind::Out, 3, reverted),
            fact(Kind::Ok, 3, ""),
        ]
    }

    #[test]
    fn as_declared_passes() {
        assert_eq!(judge(&scenario(), &facts("v1", "vmlinux/f,1"), ""), Verdict::Pass);
    }

    #[test]
    fn every_kind_of_fault_is_named() {
        let log = "kmend-test: begin n\n[1] WARNING: at x\nkmend-test: end n\n";
        let mut short = facts("v1", "vmlinux/f,1");
        short.truncate(4);
        let cases = [
            (facts("v2", "vmlinux/f,1"), "", "step 3 (behaviour reverted)"),
            (facts("v1", "vmlinux/f,2"), "", "expected vmlinux/f,1"),
            (facts("v1", "vmlinux/f,1"), log, "WARNING: at x"),
            (short, "", "never came to its end"),
        ];
        for (facts, log, word) in cases {
            match judge(&scenario(), &facts, log) {
                Verdict::Fail(text) => assert!(text.contains(word), "{text}"),
                other => panic!("{other:?}, wanted: {word}"),
            }
        }
    }
}
