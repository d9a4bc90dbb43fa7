// SPDX-License-Identifier: GPL-2.0-or-later
//! Made-up guests: what they told in, the faults by their codes out.

use super::*;
use crate::klp::Function;
use crate::trial::plan::sample;
use std::time::Duration;

/// A live patch of two functions, one of a module.
fn known() -> Known {
    let code = |object: &str, name: &str, from: u64| NewCode {
        object: object.into(),
        function: Function { name: name.into(), sympos: 0 },
        section: ".text".into(),
        place: from..from + 16,
    };
    Known { code: vec![code("vmlinux", "f", 0x10), code("zram", "g", 0x40)] }
}

/// What a guest tells of a run in which all is well, with `edits`: the first text that begins with a word becomes another.
fn facts(order: Order, edits: &[(&str, &str)]) -> Vec<Fact> {
    let plan = sample(&["zram"], true);
    let mut all = Vec::new();
    for (at, step) in plan.steps(order).into_iter().enumerate() {
        let there = i32::from(order.has_modules());
        let told: Vec<(Kind, String)> = match step {
            Step::Mark | Step::Finish => vec![(Kind::Told, "taint 0".into())],
            Step::Load => vec![(Kind::List, "vmlinux/f,1".into()), (Kind::List, "zram/g,1".into())],
            Step::Probe(phase) => {
                let said = if phase == Phase::Patched { "new" } else { "old" };
                vec![(Kind::Out, said.into()), (Kind::Told, "code 0".into())]
            }
            Step::Objects => {
                let zram = format!("object zram {there} {there}");
                vec![(Kind::Told, "object vmlinux 1 1".into()), (Kind::Told, zram)]
            }
            Step::CountOn => vec![(Kind::Told, "base .text 0xffffffffc0000000".into())],
            Step::CountOff => vec![
                (Kind::Told, "count ffffffffc0000014 7".into()),
                (Kind::Told, "count ffffffffc0000044 2".into()),
                (Kind::Told, "lost 0".into()),
            ],
            _ => Vec::new(),
        };
        let fact = |(kind, text)| Fact { kind, scenario: order.name().into(), step: at + 1, text };
        all.extend(told.into_iter().chain([(Kind::Ok, String::new())]).map(fact));
    }
    for (from, to) in edits {
        let place = all.iter().position(|f| f.text.starts_with(from)).unwrap_or_else(|| panic!("{from}"));
        all[place].text = to.to_string();
    }
    all
}

/// The verdict on what a guest told.
fn judged(order: Order, facts: &[Fact], console: &str, end: Option<&End>) -> Run {
    let run = judge(&sample(&["zram"], true), &known(), order, Left { facts, console, end });
    assert_eq!(run.passed, run.faults.is_empty());
    run
}

fn codes(order: Order, facts: &[Fact], console: &str) -> Vec<&'static str> {
    judged(order, facts, console, None).faults.iter().map(|f| f.code).collect()
}

#[test]
fn all_is_well() {
    let console = "kmend-test: begin before\n[1] kmend-test: loading kmend_a\n[2] fine\nkmend-test: end before\n";
    let run = judged(Order::Before, &facts(Order::Before, &[]), console, None);
    assert_eq!(run.faults, []);
    let entries: Vec<_> = run.functions.iter().map(|f| (f.name.as_str(), f.entries, f.at_least)).collect();
    assert_eq!(entries, [("f", Some(7), false), ("g", Some(2), false)]);
    assert_eq!(run.probe[&Phase::Patched].stdout, ["new"]);
    // Where the module is not there, nothing is said of its function.
    let run = judged(Order::Never, &facts(Order::Never, &[]), "", None);
    assert_eq!((run.passed, run.functions[0].entries, run.functions[1].entries), (true, Some(7), None));
}

#[test]
fn each_fault_has_its_code() {
    let edited = |edits: &[(&str, &str)]| codes(Order::Plain, &facts(Order::Plain, edits), "");
    assert_eq!(edited(&[]), Vec::<&str>::new());
    assert_eq!(edited(&[("old", "other")]), ["probe-differs"]);
    assert_eq!(edited(&[("code 0", "code 1")]), ["probe-differs"]);
    assert_eq!(edited(&[("zram/g", "zram/g,2")]), ["functions-differ"]);
    assert_eq!(edited(&[("object vmlinux", "object vmlinux 1 0")]), ["object-not-patched"]);
    assert_eq!(edited(&[("object zram", "object zram 0 1")]), ["object-not-patched"]);
    assert_eq!(edited(&[("object zram", "object zram 0 -")]), Vec::<&str>::new(), "before Linux 6.1");
    let mut tainted = facts(Order::Plain, &[]);
    for (last, code) in [("taint 36864", None), ("taint 37376", Some("taint"))] {
        let finish = tainted.iter_mut().rev().find(|f| f.text.starts_with("taint")).unwrap();
        finish.text = last.into();
        assert_eq!(codes(Order::Plain, &tainted, ""), Vec::from_iter(code));
    }
}

#[test]
fn a_probe_that_took_too_long_is_a_fault() {
    let mut told = facts(Order::Plain, &[("code 0", "code 137")]);
    let step = told.iter().find(|f| f.text == "code 137").unwrap().step;
    told.push(Fact { kind: Kind::Told, scenario: "plain".into(), step, text: "late".into() });
    assert_eq!(codes(Order::Plain, &told, ""), ["probe-late", "probe-differs"]);
}

#[test]
fn a_step_that_fails_ends_the_run() {
    for (at, text, code) in [
        (Step::Load, "insmod: no", "load-failed"),
        (Step::Load, "kmend_a did not settle in 60 s", "transition-stalled"),
        (Step::Disable, "kmend_a did not settle in 60 s", "not-reverted"),
        (Step::Unload, "rmmod kmend_a: no", "unload-failed"),
    ] {
        let n = 1 + sample(&["zram"], true).steps(Order::Plain).iter().position(|s| *s == at).unwrap();
        let mut told = facts(Order::Plain, &[]);
        told.retain(|f| f.step < n);
        told.push(Fact { kind: Kind::Fail, scenario: "plain".into(), step: n, text: text.into() });
        assert_eq!(codes(Order::Plain, &told, ""), [code]);
    }
}

#[test]
fn a_guest_that_does_not_come_to_its_end_is_shown_with_its_console() {
    let mut told = facts(Order::Plain, &[]);
    told.retain(|f| f.step < 5);
    let console: String = (0..100).map(|n| format!("line {n}\r\n")).collect();
    for (end, code) in [
        (End::Panic, "guest-died"),
        (End::Silent(Duration::from_secs(9)), "guest-silent"),
        (End::Gone("x".into()), "guest-gone"),
        (End::Flood, "guest-flood"),
        (End::Done, "guest-left"),
    ] {
        let run = judged(Order::Plain, &told, &console, Some(&end));
        assert_eq!(run.faults.iter().map(|f| f.code).collect::<Vec<_>>(), [code]);
        assert_eq!((run.console.len(), run.console[24].as_str()), (25, "line 99"));
    }
}

#[test]
fn trouble_counts_from_the_live_patch_on() {
    let log = |before: &str, with: &str| {
        format!("kmend-test: begin plain\n{before}\nkmend-test: loading kmend_a\n{with}\nkmend-test: end plain\n")
    };
    let told = facts(Order::Plain, &[]);
    let of = |console: &str| codes(Order::Plain, &told, console);
    assert_eq!(of(&log("fine", "fine")), Vec::<&str>::new());
    assert_eq!(of(&log("WARNING: CPU: 0 at x", "fine")), Vec::<&str>::new());
    assert_eq!(of(&log("fine", "WARNING: CPU: 0 at x")), ["log"]);
}

#[test]
fn modules_that_the_guest_cannot_load_are_notes() {
    let mut told = facts(Order::After, &[("object zram", "object zram 0 0")]);
    let n = 1 + sample(&["zram"], true).steps(Order::After).iter().position(|s| *s == Step::Patched).unwrap();
    let fact = |step, text: &str| Fact { kind: Kind::Told, scenario: "after".into(), step, text: text.into() };
    told.insert(0, fact(n, "unloadable zram insmod: can't insert: No such device"));
    let run = judged(Order::After, &told, "", None);
    assert!(run.passed && run.notes[0].contains("No such device"), "{run:?}");
    told.push(fact(n + 1, "loadable zram"));
    assert_eq!(codes(Order::After, &told, ""), ["module-refused"]);
}

#[test]
fn lost_entries_make_counts_lower_bounds() {
    let with = |lost: &str| judged(Order::Before, &facts(Order::Before, &[("lost 0", lost)]), "", None);
    assert!(with("lost 4").functions.iter().all(|f| f.at_least));
    let run = with("uncounted there is no tracer");
    assert!(run.functions.iter().all(|f| f.entries.is_none()) && run.notes.len() == 1 && run.passed);
}
