// SPDX-License-Identifier: GPL-2.0-or-later
//! Tries a finished live patch on its target's own kernel in QEMU: the module, the target and a probe in, [`Report`] out. The
//! guest only tells what it sees; `judge` says what of that is a fault.

mod judge;
mod plan;

pub use judge::{Fault, FunctionSeen, ObjectSeen, ProbeSeen, Run};
pub use plan::{Order, Phase};

use crate::elf::read::{read, Take};
use crate::error::Ended;
use crate::guest::machine::Machine;
use crate::guest::protocol::{Fact, Kind};
use crate::guest::shipped::{depends, kernel_name, Shipped};
use crate::guest::{self, kernellog, shell, End, Host, Limits, Outcome};
use crate::inspect::{fit::fit, inspect};
use crate::klp::functions::new_code;
use crate::klp::is_object_name;
use crate::target::Target;
use crate::{files, progress, unpack};
use anyhow::{bail, ensure, Context, Result};
use judge::{differs, Known, Left};
use plan::{Plan, SETTLES};
use serde::Serialize;
use std::collections::BTreeSet;
use std::path::Path;
use std::time::{Duration, Instant};

/// Version of the JSON's form; it grows when a field changes its meaning or goes away.
pub const SCHEMA: u32 = 1;

/// The most that a live patch may have, packed or not, in bytes: a guest has 1 GiB of memory.
const MOST: u64 = 128 << 20;

/// The most that a probe may have, in bytes.
const MOST_PROBE: u64 = 1 << 20;

/// The longest that a probe may run, in seconds.
pub const LONGEST: u64 = 3600;

/// How long a guest may take to come up, or for a step that has no limit of its own: a translated one on a busy machine.
const PATIENCE: u64 = 240;

/// What came of it. docs/try.md has the fields.
#[derive(Debug, Serialize)]
pub struct Report {
    /// [`SCHEMA`].
    pub schema_version: u32,
    /// `passed` or `failed`.
    pub result: &'static str,
    /// Name of the live patch.
    pub live_patch: String,
    /// SHA-256 of the module, unpacked.
    pub sha256: String,
    /// The kernel.
    pub target: Kernel,
    /// `KVM` or `TCG`: how QEMU ran the guest's code.
    pub accelerator: &'static str,
    /// Guests that were booted.
    pub guests: usize,
    /// How long it took, in seconds.
    pub seconds: f64,
    /// What people should know of all runs.
    pub notes: Vec<String>,
    /// The runs, in their order.
    pub runs: Vec<Run>,
}

/// The kernel that was booted.
#[derive(Debug, Serialize)]
pub struct Kernel {
    /// Name of the target.
    pub name: String,
    /// `uname -m`.
    pub arch: String,
    /// `uname -r`.
    pub release: String,
    /// The distribution's package version; empty for a tree.
    pub version: String,
    /// Its GNU build id, hexadecimal.
    pub build_id: String,
}

impl Report {
    /// Whether no run showed a fault.
    pub fn passed(&self) -> bool {
        self.runs.iter().all(|run| run.passed)
    }

    /// How many faults there are.
    pub fn faults(&self) -> usize {
        self.runs.iter().map(|run| run.faults.len()).sum()
    }
}

/// The emulator that guests of `arch` (`uname -m`) take, by its name in PATH.
///
/// # Errors
/// No guests of it can be made.
pub fn emulator_of(arch: &str) -> Result<&'static str> {
    Ok(Machine::of(arch)?.qemu_name())
}

/// Checks that guests of `arch` (`uname -m`) can be made on this machine, as far as that shows without one.
///
/// # Errors
/// QEMU or busybox is missing.
pub fn check_machine(arch: &str) -> Result<()> {
    let machine = Machine::of(arch)?;
    machine.emulator()?;
    machine.busybox().map(drop)
}

/// A live patch that fits its target, with all that goes into the guest.
pub struct Subject<'a> {
    target: &'a Target,
    ko: Vec<u8>,
    plan: Plan,
    known: Known,
}

/// How it is tried.
#[derive(Clone, Debug, Default)]
pub struct Wishes {
    /// The probe: a shell script.
    pub probe: Option<Vec<u8>>,
    /// Shipped modules that are loaded first, beside those that the live patch needs.
    pub modules: Vec<String>,
    /// How long each run of the probe may take, in seconds; None for a minute.
    pub seconds: Option<u64>,
    /// It is a fault if the probe prints the same with the live patch as without.
    pub expect_change: bool,
}

/// Reads a probe.
///
/// # Errors
/// It cannot be read, is larger than 1 MiB, or is no text.
pub fn read_probe(path: &Path) -> Result<Vec<u8>> {
    let bytes = files::read_at_most(path, MOST_PROBE)?;
    ensure!(!bytes.is_empty(), "{} is empty: a probe is a shell script", path.display());
    let is_text = std::str::from_utf8(&bytes).is_ok() && !bytes.contains(&0);
    ensure!(is_text, "{} is no text: a probe is a shell script", path.display());
    Ok(bytes)
}

impl<'a> Subject<'a> {
    /// Reads the live patch in `path` and checks that it is one for `target`.
    ///
    /// # Errors
    /// No module, or a damaged one; [`Ended`] where it is for another kernel; a module that the target does not have.
    pub fn read(path: &Path, target: &'a Target, wishes: &Wishes) -> Result<Self> {
        let ko = unpack::unpacked(path, files::read_at_most(path, MOST)?, MOST)?;
        Self::of(&path.display().to_string(), ko, target, wishes)
    }

    /// The same for a live patch in memory, which errors call `named`.
    ///
    /// # Errors
    /// As [`Subject::read`].
    pub fn of(named: &str, ko: Vec<u8>, target: &'a Target, wishes: &Wishes) -> Result<Self> {
        let named = || named.to_string();
        let report = inspect(&ko).with_context(named)?;
        let fits = fit(&ko, &report, target)?;
        let name = report.name.clone().unwrap_or_else(named);
        if !fits.fits {
            return Err(Ended::does_not_fit(&name, &target.name, &fits.reasons).into());
        }
        ensure!(is_object_name(&name), "{}: {name:?} is not the name of a module", named());
        let shipped = Shipped::of(target)?;
        let objects: BTreeSet<String> = report.objects.iter().flatten().map(|o| o.name.clone()).collect();
        let objects: Vec<String> = objects.into_iter().filter(|name| name != "vmlinux").collect();
        let mut needs = depends(&ko).with_context(named)?;
        for module in &wishes.modules {
            ensure!(is_object_name(&kernel_name(module)), "{module:?} is no name of a module");
            needs.push(module.clone());
        }
        let plan = Plan::new(&name, &shipped, &objects, &needs)?;
        let probe = wishes.probe.clone();
        let plan = Plan { probe, seconds: wishes.seconds.unwrap_or(SETTLES), ..plan };
        let known = Known { code: new_code(&read(&ko, Take::NoDebug)?) };
        Ok(Self { target, ko, plan, known })
    }

    /// Boots guests until all runs were done. One that dies takes its run with it; those that are left get another.
    ///
    /// # Errors
    /// QEMU or busybox is missing, or the target's kernel does not come up at all.
    pub fn run(&self, wishes: &Wishes) -> Result<Report> {
        let begun = Instant::now();
        let scratch = files::work_dir()?;
        let host = self.host(scratch.path())?;
        let mut runs: Vec<Run> = Vec::new();
        let mut left = self.plan.orders();
        let mut guests = 0;
        while !left.is_empty() {
            guests += 1;
            let outcome = self.boot(left, host)?;
            let over = over(left, &outcome.facts);
            for (at, order) in left[..over].iter().enumerate() {
                let end = (at + 1 == over).then_some(&outcome.end);
                let left = Left { facts: &outcome.facts, console: &outcome.console, end };
                runs.push(judge::judge(&self.plan, &self.known, *order, left));
            }
            left = &left[over..];
        }
        compare(&mut runs, wishes.expect_change);
        let target = self.target;
        Ok(Report {
            schema_version: SCHEMA,
            result: if runs.iter().all(|run| run.passed) { "passed" } else { "failed" },
            live_patch: self.plan.name.clone(),
            sha256: files::sha256(&self.ko),
            target: Kernel {
                name: target.name.clone(),
                arch: target.arch.clone(),
                release: target.release.clone(),
                version: target.version.clone(),
                build_id: target.build_id.clone(),
            },
            accelerator: host.accel.name(),
            guests,
            seconds: (begun.elapsed().as_secs_f64() * 10.0).round() / 10.0,
            notes: notes(&runs, &self.known, self.plan.probe.is_some()),
            runs,
        })
    }

    /// A shell in a guest with the live patch, the probe and the modules at hand, on this terminal.
    ///
    /// # Errors
    /// QEMU or busybox is missing, or QEMU ends with an error.
    pub fn shell(&self) -> Result<()> {
        let scratch = files::work_dir()?;
        let host = self.host(scratch.path())?;
        let mut archive = shell::archive(&self.welcome(), host)?;
        self.plan.files(&mut archive, &self.ko);
        shell::boot(&self.target.vmlinuz, &archive.finish(), host)
    }

    fn host<'s>(&self, scratch: &'s Path) -> Result<Host<'s>> {
        let machine = Machine::of(&self.target.arch)?;
        let accel = guest::choose_accel(&self.target.vmlinuz, machine, scratch)?;
        Ok(Host { machine, accel, scratch })
    }

    fn boot(&self, orders: &[Order], host: Host) -> Result<Outcome> {
        let Self { plan, target, .. } = self;
        let (of, how) = (&target.release, host.accel.name());
        let step = progress::step(format!("booting {of} and trying {} ({how})", plan.name));
        let initramfs = plan.initramfs(orders, &self.ko, host.machine)?;
        let silence = PATIENCE + plan.seconds.max(SETTLES);
        let life = silence + (3 * plan.seconds + 3 * SETTLES + PATIENCE) * orders.len() as u64;
        let limits = Limits { silence: Duration::from_secs(silence), life: Duration::from_secs(life) };
        let outcome = guest::boot(&target.vmlinuz, &initramfs, host, limits)?;
        if !outcome.facts.iter().any(|f| f.kind == Kind::Up) {
            let (end, last) = (outcome.end.fault().unwrap_or_default(), kernellog::tail(&outcome.console, 25));
            bail!("the kernel of {} does not come up in QEMU: the guest {end}; its last lines:\n{last}", target.name);
        }
        step.done(if outcome.end == End::Done { "" } else { "the guest did not come to its end" });
        Ok(outcome)
    }

    fn welcome(&self) -> String {
        let Plan { name, patched, needed, probe, .. } = &self.plan;
        let mut text = format!(
            "\n{} with {name}:\n  insmod /{name}.ko\n  cat /sys/kernel/livepatch/{name}/transition    (0: it is over)\n  \
             echo 0 >/sys/kernel/livepatch/{name}/enabled; rmmod {name}\n",
            self.target.name
        );
        for module in needed.iter().chain(patched) {
            text += &format!("  insmod /modules/{}.ko\n", module.name);
        }
        if probe.is_some() {
            text += "  sh /probe.sh patched\n";
        }
        text + "`exit` ends the guest.\n\n"
    }
}

/// How many of the runs are settled by a guest: those that began. The first one answers for a guest in which none did.
fn over(orders: &[Order], facts: &[Fact]) -> usize {
    let begun = |order: &&Order| facts.iter().any(|f| f.kind == Kind::Begin && f.scenario == order.name());
    orders.iter().take_while(begun).count().max(1)
}

/// What only several runs tell, and what was wished for.
fn compare(runs: &mut [Run], expect_change: bool) {
    // Before the live patch, with the modules: what the run that loads them later has to come back to.
    let with_modules =
        runs.iter().find(|run| run.modules == Order::Before).and_then(|run| run.probe.get(&Phase::Before));
    let with_modules = with_modules.cloned();
    for run in runs {
        let (before, reverted) = match run.modules {
            Order::After => (with_modules.as_ref(), run.probe.get(&Phase::Reverted)),
            _ => (run.probe.get(&Phase::Before), None),
        };
        let mut faults = Vec::new();
        if let (Some(before), Some(reverted)) = (before, reverted) {
            faults.extend(differs(before, reverted, "before it with the modules"));
        }
        let patched = run.probe.get(&Phase::Patched).filter(|_| expect_change && run.modules != Order::Never);
        if let (Some(before), Some(patched)) = (before, patched) {
            if before.says_the_same(patched) {
                let text = "the probe prints the same with the live patch as without".into();
                faults.push(Fault { code: "probe-unchanged", text });
            }
        }
        run.faults.extend(faults);
        run.passed = run.faults.is_empty();
    }
}

fn notes(runs: &[Run], known: &Known, has_probe: bool) -> Vec<String> {
    if known.code.is_empty() {
        return vec!["it is not known which functions it replaces, so their entries were not counted".into()];
    }
    let counts = |at: usize| runs.iter().filter_map(move |run| run.functions.get(at)?.entries);
    // Those that were counted, in one run at least.
    let is_never = |at: &usize| counts(*at).next().is_some() && counts(*at).all(|n| n == 0);
    let never: Vec<&str> =
        (0..known.code.len()).filter(is_never).map(|at| known.code[at].function.name.as_str()).collect();
    match (never.is_empty(), has_probe) {
        (true, _) => Vec::new(),
        (false, true) => vec![format!("no run of the probe was seen to enter {}", never.join(", "))],
        (false, false) => vec![format!("without a probe nothing was seen to enter {}", never.join(", "))],
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::klp::functions::NewCode;
    use std::collections::BTreeMap;

    fn run(modules: Order, said: &[(Phase, &str)]) -> Run {
        let seen = |text: &str| ProbeSeen { stdout: vec![text.into()], ..ProbeSeen::default() };
        let probe: BTreeMap<Phase, ProbeSeen> = said.iter().map(|(phase, text)| (*phase, seen(text))).collect();
        Run {
            modules,
            passed: true,
            faults: Vec::new(),
            notes: Vec::new(),
            objects: Vec::new(),
            functions: Vec::new(),
            probe,
            log: Vec::new(),
            console: Vec::new(),
        }
    }

    fn codes(runs: &[Run]) -> Vec<&str> {
        runs.iter().flat_map(|run| &run.faults).map(|f| f.code).collect()
    }

    #[test]
    fn modules_that_come_later_are_compared_with_those_that_were_there() {
        let after = |text| run(Order::After, &[(Phase::Patched, "new"), (Phase::Reverted, text)]);
        let before =
            || run(Order::Before, &[(Phase::Before, "old"), (Phase::Patched, "new"), (Phase::Reverted, "old")]);
        let mut good = [after("old"), before()];
        compare(&mut good, true);
        assert_eq!(codes(&good), Vec::<&str>::new());
        let mut bad = [after("new"), before()];
        compare(&mut bad, false);
        assert_eq!((codes(&bad), bad[0].passed), (vec!["probe-differs"], false));
    }

    #[test]
    fn a_change_is_expected_where_it_is_wished_for_and_its_modules_are_there() {
        let same = |modules| run(modules, &[(Phase::Before, "old"), (Phase::Patched, "old"), (Phase::Reverted, "old")]);
        let mut runs = [same(Order::Never), same(Order::Before)];
        compare(&mut runs, false);
        assert!(codes(&runs).is_empty());
        compare(&mut runs, true);
        assert_eq!((codes(&runs), runs[0].passed), (vec!["probe-unchanged"], true));
    }

    #[test]
    fn what_was_not_counted_is_not_called_unentered() {
        let function =
            |entries| FunctionSeen { object: "vmlinux".into(), name: "f".into(), sympos: 0, entries, at_least: false };
        let code = NewCode {
            object: "vmlinux".into(),
            function: crate::klp::Function { name: "f".into(), sympos: 0 },
            section: ".text".into(),
            place: 0..1,
        };
        let known = Known { code: vec![code] };
        let said = |counts: &[Option<u64>]| {
            let with = |count: &Option<u64>| Run { functions: vec![function(*count)], ..run(Order::After, &[]) };
            notes(&counts.iter().map(with).collect::<Vec<_>>(), &known, true).len()
        };
        assert_eq!((said(&[None]), said(&[None, Some(3)]), said(&[Some(0), Some(3)])), (0, 0, 0));
        assert_eq!((said(&[Some(0), None]), said(&[Some(0), Some(0)])), (1, 1));
        assert_eq!(notes(&[], &Known::default(), true).len(), 1);
    }

    #[test]
    fn a_guest_settles_what_began() {
        let begin = |name: &str| Fact { kind: Kind::Begin, scenario: name.into(), step: 0, text: String::new() };
        let all = [Order::Never, Order::After, Order::Before];
        assert_eq!(over(&all, &[]), 1);
        assert_eq!(over(&all, &[begin("never"), begin("after")]), 2);
        assert_eq!(over(&all[2..], &[begin("before")]), 1);
    }

    #[test]
    fn a_probe_is_a_text_of_some_size() {
        let dir = tempfile::tempdir().unwrap();
        let file = |bytes: &[u8]| {
            let path = dir.path().join("probe.sh");
            std::fs::write(&path, bytes).unwrap();
            read_probe(&path)
        };
        assert!(file(b"cat /proc/cmdline\n").is_ok());
        for bad in [&b""[..], b"a\0b", b"\xff\xfe", &vec![b'x'; (1 << 20) + 1]] {
            assert!(file(bad).is_err());
        }
        assert!(read_probe(dir.path()).is_err() && read_probe(&dir.path().join("none")).is_err());
    }
}
