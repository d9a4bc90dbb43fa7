// SPDX-License-Identifier: GPL-2.0-or-later
//! What is done with a live patch in a guest: its modules and what they depend on in, runs of numbered steps and the guest's
//! files for them out.

use crate::guest::cpio::Archive;
use crate::guest::initramfs;
use crate::guest::machine::Machine;
use crate::guest::shipped::{kernel_name, Module, Shipped};
use anyhow::Result;
use serde::Serialize;

const LIB: &str = include_str!("try.sh");

/// The limit of each of lib.sh's waits in the guest, seconds.
pub const SETTLES: u64 = 60;

/// What a run does about the modules that the live patch changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Order {
    /// It changes none.
    Plain,
    /// They are never loaded.
    Never,
    /// They are loaded while the live patch is there.
    After,
    /// They are loaded before the live patch.
    Before,
}

impl Order {
    /// Its name in the guest, in tables and in JSON.
    pub fn name(self) -> &'static str {
        match self {
            Order::Plain => "plain",
            Order::Never => "never",
            Order::After => "after",
            Order::Before => "before",
        }
    }

    /// Whether the modules are there when the probe runs under the live patch.
    pub fn has_modules(self) -> bool {
        matches!(self, Order::After | Order::Before)
    }
}

/// When a probe runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Phase {
    /// Before the live patch.
    Before,
    /// While it is in force.
    Patched,
    /// After it was reverted.
    Reverted,
}

impl Phase {
    /// All of them, in order.
    pub const ALL: [Phase; 3] = [Phase::Before, Phase::Patched, Phase::Reverted];

    /// Its name, which the probe is called with.
    pub fn name(self) -> &'static str {
        match self {
            Phase::Before => "before",
            Phase::Patched => "patched",
            Phase::Reverted => "reverted",
        }
    }
}

/// One step of a run: a function of try.sh or lib.sh.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Loads what the live patch or the probe needs.
    Needed,
    /// Loads the modules that the live patch changes.
    Patched,
    /// Runs the probe.
    Probe(Phase),
    /// Waits a little in place of a probe.
    Idle,
    /// Notes that the log is the live patch's doing from here on.
    Mark,
    /// Loads the live patch and waits for its transition.
    Load,
    /// Looks which klp objects are patched.
    Objects,
    /// Begins to count entries.
    CountOn,
    /// Tells the counts.
    CountOff,
    /// Reverts the live patch and waits for its transition.
    Disable,
    /// Tries the modules again that could not be loaded under the live patch.
    Retry,
    /// Removes the live patch.
    Unload,
    /// Looks at the taint again, and removes the modules.
    Finish,
}

/// What all runs have in common.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Name of the live patch, as the kernel has it: letters, digits and `_`.
    pub name: String,
    /// The modules that it changes and what these depend on, in loading order.
    pub patched: Vec<Module>,
    /// What else is loaded first, in loading order.
    pub needed: Vec<Module>,
    /// The probe, a shell script.
    pub probe: Option<Vec<u8>>,
    /// How long each run of the probe may take, seconds.
    pub seconds: u64,
}

impl Plan {
    /// With the shipped modules `objects` that the live patch changes, and the others that it or the probe `needs`.
    ///
    /// # Errors
    /// The target has no such module, or it cannot be read.
    pub fn new(name: &str, shipped: &Shipped, objects: &[String], needs: &[String]) -> Result<Self> {
        let in_order = |names: &[String]| -> Result<Vec<Module>> {
            let mut all: Vec<Module> = Vec::new();
            for name in names {
                for module in shipped.with_dependencies(name)? {
                    if !all.iter().any(|m| m.name == module.name) {
                        all.push(module);
                    }
                }
            }
            Ok(all)
        };
        let (patched, needed) = (in_order(objects)?, in_order(needs)?);
        Ok(Self { name: kernel_name(name), patched, needed, probe: None, seconds: SETTLES })
    }

    /// The runs, so ordered that no module has to be removed between two of them: some cannot be.
    pub fn orders(&self) -> &'static [Order] {
        match self.patched.is_empty() {
            true => &[Order::Plain],
            false => &[Order::Never, Order::After, Order::Before],
        }
    }

    /// What a run does.
    pub fn steps(&self, order: Order) -> Vec<Step> {
        let probe = |phase| self.probe.is_some().then_some(Step::Probe(phase));
        let mut steps = vec![Step::Needed];
        if order == Order::Before {
            steps.push(Step::Patched);
        }
        // Without the modules it would tell something else than afterwards with them.
        steps.extend(probe(Phase::Before).filter(|_| order != Order::After));
        steps.extend([Step::Mark, Step::Load]);
        if order == Order::After {
            steps.push(Step::Patched);
        }
        steps.extend([Step::Objects, Step::CountOn]);
        steps.push(probe(Phase::Patched).unwrap_or(Step::Idle));
        steps.extend([Step::CountOff, Step::Disable, Step::Retry]);
        steps.extend(probe(Phase::Reverted));
        steps.extend([Step::Unload, Step::Finish]);
        steps
    }

    /// The script of a run: a line a step, numbered from 1.
    fn script(&self, order: Order) -> String {
        let name = &self.name;
        let names = |modules: &[Module]| modules.iter().map(|m| format!(" {}", m.name)).collect::<String>();
        let mut text = format!(
            ". /try.sh\nexport KMEND_LIVEPATCH={name} KMEND_MODULES={order}\nbegin {order}\n",
            order = order.name()
        );
        for (at, step) in self.steps(order).into_iter().enumerate() {
            let n = at + 1;
            text += &match step {
                Step::Needed => format!("shipped {n}{}\n", names(&self.needed)),
                Step::Patched => format!("shipped {n}{}\n", names(&self.patched)),
                Step::Probe(phase) => format!("probe {n} {} {}\n", phase.name(), self.seconds),
                Step::Idle => format!("idle {n}\n"),
                Step::Mark => format!("mark {n} {name}\n"),
                Step::Load => format!("load {n} {name}\n"),
                Step::Objects => format!("objects {n} {name}\n"),
                Step::CountOn => format!("count_on {n} {name}\n"),
                Step::CountOff => format!("count_off {n}\n"),
                Step::Disable => format!("disable {n} {name}\n"),
                Step::Retry => format!("retry {n}\n"),
                Step::Unload => format!("rmmod_one {n} {name}\n"),
                Step::Finish => format!("finish {n}\n"),
            };
        }
        text + "end\n"
    }

    /// The initramfs of a guest that does the runs `orders` with the live patch `ko`.
    ///
    /// # Errors
    /// There is no busybox.
    pub fn initramfs(&self, orders: &[Order], ko: &[u8], machine: &Machine) -> Result<Vec<u8>> {
        let names: Vec<&str> = orders.iter().map(|order| order.name()).collect();
        let mut archive = initramfs::running(&names, &[&self.name], machine)?;
        archive.file("/try.sh", LIB.as_bytes());
        self.files(&mut archive, ko);
        for order in orders {
            let home = format!("/s/{}", order.name());
            archive.dir(&home);
            archive.file(&format!("{home}/run.sh"), self.script(*order).as_bytes());
            archive.link(&format!("{home}/{}.ko", self.name), &format!("/{}.ko", self.name));
            archive.link(&format!("{home}/probe.sh"), "/probe.sh");
        }
        Ok(archive.finish())
    }

    /// Adds the live patch, the probe and the modules.
    pub fn files(&self, archive: &mut Archive, ko: &[u8]) {
        archive.file(&format!("/{}.ko", self.name), ko);
        self.probe.iter().for_each(|probe| archive.program("/probe.sh", probe));
        let mut there: Vec<&str> = Vec::new();
        for module in self.needed.iter().chain(&self.patched) {
            if !there.contains(&module.name.as_str()) {
                archive.file(&format!("/modules/{}.ko", module.name), &module.elf);
                there.push(&module.name);
            }
        }
    }
}

#[cfg(test)]
pub(super) fn sample(modules: &[&str], probe: bool) -> Plan {
    let module = |name: &&str| Module { name: name.to_string(), elf: Vec::new() };
    Plan {
        name: "kmend_a".into(),
        patched: modules.iter().map(module).collect(),
        needed: Vec::new(),
        probe: probe.then(|| b"echo\n".to_vec()),
        seconds: 60,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modules_are_never_there_then_after_then_before() {
        let plan = sample(&["dep", "zram"], true);
        let script = |order| plan.script(order);
        assert_eq!(plan.orders(), [Order::Never, Order::After, Order::Before]);
        assert!(!script(Order::Never).contains("zram"));
        let place = |text: &str, what: &str| text.find(what).unwrap_or_else(|| panic!("{what} in {text}"));
        let (before, after) = (script(Order::Before), script(Order::After));
        assert!(place(&before, "shipped 2 dep zram") < place(&before, "load 5 kmend_a"));
        assert!(place(&after, "load 3 kmend_a") < place(&after, "shipped 4 dep zram"));
        assert!(!after.contains("before"), "{after}");
        assert_eq!(sample(&[], true).orders(), [Order::Plain]);
    }

    #[test]
    fn a_run_without_a_probe_waits() {
        let text = sample(&[], false).script(Order::Plain);
        assert!(text.contains("\nidle 6\n") && !text.contains("\nprobe "), "{text}");
        assert!(text.ends_with("\nrmmod_one 10 kmend_a\nfinish 11\nend\n"), "{text}");
    }
}
