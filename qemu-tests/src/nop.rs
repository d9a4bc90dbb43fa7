// SPDX-License-Identifier: GPL-2.0-or-later
//! One large live patch that changes nothing in one guest: the module in, what came of it out.
//!
//! The guest loads shipped modules and works without the live patch first: what the kernel says then is not the live patch's
//! doing, and a module that does not load then needs not load later. With the live patch the same has to work again, half of
//! the modules loaded before it and half after.

use anyhow::{Context, Result};
use kmend_builder::files;
use kmend_builder::guest::initramfs;
use kmend_builder::guest::kernellog;
use kmend_builder::guest::machine::Machine;
use kmend_builder::guest::protocol::Kind;
use kmend_builder::guest::shipped::Shipped;
use kmend_builder::guest::{self, End, Host, Limits, Outcome};
use kmend_builder::progress;
use kmend_builder::target::Target;
use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

const SCRIPT: &str = include_str!("../guest/nop.sh");

/// Its name in the guest.
const NAME: &str = "nop";

/// What the guest writes into the log when the live patch's turn comes.
const BEFORE_IS_OVER: &str = "kmend-test: before is over";

/// Shipped modules that the work uses.
const WORK: &[&str] = &["loop", "ext4", "overlay", "dummy", "bridge", "8021q", "veth"];

/// Words in the names of shipped modules that are not loaded: they are made to torture or to crash the kernel, or QEMU's
/// translator lacks the processor's virtualisation.
const NOT_LOADED: &[&str] = &["torture", "scale", "test", "kunit", "lkdtm", "kvm_intel", "kvm_amd", "fault_inject"];

/// What came of it.
#[derive(Clone, Debug, Default)]
pub struct Came {
    /// What was not as it should be; empty where all was.
    pub faults: Vec<String>,
    /// Lines of trouble that the kernel says without the live patch.
    pub before: Vec<String>,
    /// What the guest told, by step.
    pub told: Vec<String>,
    /// Seconds in the guest from insmod to the end of the transition.
    pub loaded: Option<u64>,
    /// Seconds in the guest from the request to revert to the end of the transition.
    pub reverted: Option<u64>,
    /// Shipped modules that were loaded in the guest.
    pub modules: usize,
    /// Shipped modules that could not be loaded there, without the live patch.
    pub unloadable: Vec<String>,
    /// `N of M objects`: how many objects of the live patch were there and patched.
    pub patched: String,
    /// What the kernel wrote to the console.
    pub console: String,
}

/// Boots `target` with the live patch `name` in `file`, which has to replace `replaces` (`object/function,sympos`).
pub fn run(target: &Target, name: &str, file: &Path, replaces: &[String]) -> Result<Came> {
    let scratch = tempfile::tempdir().context("cannot make a temporary folder")?;
    let machine = Machine::of(&target.arch)?;
    let accel = guest::choose_accel(&target.vmlinuz, machine, scratch.path())?;
    let shipped = Shipped::of(target)?;
    let mut archive = initramfs::running(&[NAME], &[name], machine)?;
    let home = format!("/s/{NAME}");
    archive.dir(&home);
    archive.file("/nop.sh", SCRIPT.as_bytes());
    archive.file(&format!("{home}/{name}.ko"), &files::read(file)?);
    archive.file(&format!("{home}/replaces"), replaces.join("\n").as_bytes());
    let mut order: Vec<String> = Vec::new();
    for module in wanted(replaces, &shipped) {
        for module in shipped.with_dependencies(&module)? {
            if !order.contains(&module.name) {
                archive.file(&format!("/modules/{}.ko", module.name), &module.elf);
                order.push(module.name);
            }
        }
    }
    archive.file(&format!("{home}/modules"), (order.join("\n") + "\n").as_bytes());
    archive.file(&format!("{home}/run.sh"), run_script(name).as_bytes());
    let step = progress::step(format!("booting {} with {} modules ({})", target.release, order.len(), accel.name()));
    let host = Host { machine, accel, scratch: scratch.path() };
    let limits = Limits { silence: Duration::from_secs(900), life: Duration::from_secs(3 * 3600) };
    let outcome = guest::boot(&target.vmlinuz, &archive.finish(), host, limits)?;
    step.done(&format!("{:?}", outcome.end));
    Ok(judge(outcome))
}

/// The shipped modules to load: those that are patched, and those that the work uses.
fn wanted(replaces: &[String], shipped: &Shipped) -> Vec<String> {
    let objects = replaces.iter().filter_map(|r| r.split_once('/')).map(|(object, _)| object);
    let all: BTreeSet<&str> = objects.chain(WORK.iter().copied()).filter(|o| *o != "vmlinux").collect();
    let is_harmless = |name: &&str| !NOT_LOADED.iter().any(|word| name.contains(word));
    all.into_iter().filter(is_harmless).filter(|name| shipped.has(name)).map(String::from).collect()
}

fn run_script(name: &str) -> String {
    // Thousands of functions are patched one by one while others wait; and a transition compares all functions with the stacks
    // of all tasks in one go, which takes a translated processor longer than the kernel's watchdogs allow. These are the most
    // that can be set.
    let patience = [
        ("/proc/sys/kernel/hung_task_timeout_secs", 900),
        ("/proc/sys/kernel/watchdog_thresh", 60),
        ("/sys/module/rcupdate/parameters/rcu_cpu_stall_timeout", 300),
    ];
    let patience: String =
        patience.iter().map(|(file, seconds)| format!("[ ! -e {file} ] || echo {seconds} >{file}\n")).collect();
    format!(
        ". /nop.sh\nbegin {NAME}\n{patience}nop_before\nnop_load {name}\n\
         nop_run {name}\nnop_revert {name}\nnop_after\nend\n"
    )
}

/// What the guest's facts and its log come to.
fn judge(outcome: Outcome) -> Came {
    let log = kernellog::of_scenario(&outcome.console, NAME);
    let (before, with) = log.split_once(BEFORE_IS_OVER).unwrap_or((log, ""));
    let mut came = Came { before: kernellog::trouble(before, &[]), ..Came::default() };
    for fact in &outcome.facts {
        let text = fact.text.as_str();
        match fact.kind {
            Kind::Fail => came.faults.push(format!("step {}: {text}", fact.step)),
            Kind::Dirty => came.faults.push(text.into()),
            Kind::Out => {
                let number = |key: &str| text.strip_prefix(key).and_then(|n| n.trim().parse().ok());
                came.loaded = number("loaded ").or(came.loaded);
                came.reverted = number("reverted ").or(came.reverted);
                if let Some(patched) = text.strip_prefix("patched ") {
                    came.patched = patched.into();
                }
                if let (1, Some(module)) = (fact.step, text.strip_prefix("not loaded: ")) {
                    came.unloadable.push(module.into());
                }
                if let (1, Some(n)) = (fact.step, text.strip_suffix(" shipped modules are loaded")) {
                    came.modules = n.trim().parse().unwrap_or_default();
                }
                came.told.push(format!("{} {text}", fact.step));
            }
            _ => {}
        }
    }
    let trouble = kernellog::trouble(with, &[]);
    came.faults.extend(trouble.iter().take(20).map(|line| format!("the kernel's log: {line}")));
    let is_over = outcome.facts.iter().any(|f| f.kind == Kind::End);
    if outcome.end != End::Done || !is_over {
        let last = came.told.last().cloned().unwrap_or_default();
        let tail = kernellog::tail(&outcome.console, 40);
        came.faults
            .push(format!("the guest ended with {:?} after `{last}`; the last of its console:\n{tail}", outcome.end));
    }
    came.console = outcome.console;
    came
}

#[cfg(test)]
mod tests {
    use super::*;
    use kmend_builder::guest::protocol::Fact;

    fn outcome(console: &str, facts: &[(Kind, usize, &str)]) -> Outcome {
        let fact =
            |&(kind, step, text): &(Kind, usize, &str)| Fact { kind, scenario: NAME.into(), step, text: text.into() };
        Outcome { end: End::Done, facts: facts.iter().map(fact).collect(), console: console.into() }
    }

    #[test]
    fn only_what_comes_with_the_live_patch_is_a_fault() {
        let log = |a: &str, b: &str| {
            format!("kmend-test: begin nop\n{a}\n<4>kmend-test: before is over\n{b}\nkmend-test: end nop\n")
        };
        let facts = [
            (Kind::Out, 1, "not loaded: x: No such device"),
            (Kind::Out, 1, "12 shipped modules are loaded"),
            (Kind::Out, 2, "loaded 31"),
            (Kind::Out, 3, "patched 3 of 4 objects"),
            (Kind::Out, 4, "reverted 40"),
            (Kind::End, 0, ""),
        ];
        let came = judge(outcome(&log("WARNING: at a", "fine"), &facts));
        assert_eq!((came.faults.len(), came.before.len(), came.modules), (0, 1, 12));
        assert_eq!((came.loaded, came.reverted, came.patched.as_str()), (Some(31), Some(40), "3 of 4 objects"));
        assert_eq!(came.unloadable, ["x: No such device"]);
        let came = judge(outcome(&log("", "WARNING: at a"), &facts));
        assert!(came.faults[0].contains("WARNING: at a"), "{:?}", came.faults);
        let came = judge(outcome(&log("", ""), &facts[..5]));
        assert!(came.faults[0].contains("ended with"), "{:?}", came.faults);
    }
}
