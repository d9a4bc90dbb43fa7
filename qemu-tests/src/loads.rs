// SPDX-License-Identifier: GPL-2.0-or-later
//! Loads many live patches in one guest, one after the other: finished modules in, a verdict for each out.
//!
//! Nothing is known of what their fixes do, so there is no probe: the transition has to complete, the kernel has to list
//! every function, to stay healthy, and to let go of the patch again.

use crate::judge::{judge, Verdict};
use crate::scenario::{Load, Modprobe, Observe, Scenario, Step};
use crate::script::{self, Ready};
use anyhow::{Context, Result};
use kmend_builder::files;
use kmend_builder::guest::machine::Machine;
use kmend_builder::guest::shipped::Shipped;
use kmend_builder::guest::{self, Host, Limits, Outcome};
use kmend_builder::progress;
use kmend_builder::target::Target;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Prints each klp object with whether it is patched (/sys/kernel/livepatch/PATCH/OBJECT/patched, since Linux 6.1), and
/// whether it is there.
const PROBE: &str = "#!/bin/busybox sh\ncd /sys/kernel/livepatch/$NAME && for object in */; do\n\
                     object=${object%/} there=no\n\
                     [ $object = vmlinux ] || [ -d /sys/module/$object ] && there=yes\n\
                     echo \"$object: there $there, patched $(cat $object/patched)\"\ndone\n";

/// A finished live patch.
#[derive(Clone, Debug)]
pub struct Patch {
    /// The module's name.
    pub name: String,
    /// The file.
    pub file: PathBuf,
    /// The functions it replaces, as the kernel lists them: `object/name,sympos`.
    pub replaces: Vec<String>,
    /// Shipped modules that are loaded before it.
    pub before: Vec<String>,
    /// Shipped modules that are loaded after it, and so are patched as they come.
    pub after: Vec<String>,
}

impl Patch {
    /// What is done with it, as a scenario whose probe tells which objects are patched.
    fn scenario(&self, dir: &Path) -> Scenario {
        let modprobe = |name: &String| Step::Modprobe(Modprobe { module: name.clone(), args: Vec::new() });
        let look = |phase: &str, there: &[&[String]]| {
            let is_there = |object: &str| object == "vmlinux" || there.concat().iter().any(|m| m == object);
            // Others may come along, where one of these depends on them.
            let line = |o: &str| match is_there(o) {
                true => format!("{o}: there yes, patched 1"),
                false => format!("~{o}: (there yes, patched 1|there no, patched 0)"),
            };
            let lines = self.objects().into_iter().map(line).collect();
            Step::Observe(Observe { phase: phase.into(), expect: Some(lines), same_as: None })
        };
        let mut steps: Vec<Step> = self.before.iter().map(modprobe).collect();
        steps.push(Step::Load(Load { module: self.name.clone(), lists: self.replaces.clone() }));
        steps.push(look("applied", &[&self.before]));
        if !self.after.is_empty() {
            steps.extend(self.after.iter().map(modprobe));
            steps.push(look("later", &[&self.before, &self.after]));
        }
        steps.extend([Step::Disable(self.name.clone()), Step::Unload(self.name.clone())]);
        Scenario {
            name: self.name.clone(),
            dir: dir.into(),
            title: String::new(),
            target: None,
            only: None,
            builds: Vec::new(),
            allow_log: Vec::new(),
            steps,
        }
    }

    /// The klp objects that it patches, in the shell's order.
    fn objects(&self) -> BTreeSet<&str> {
        self.replaces.iter().filter_map(|r| r.split_once('/')).map(|(object, _)| object).collect()
    }
}

/// Boots `target` once and loads `patches`; a verdict for each, in their order. What the guest said comes along.
pub fn load_each(target: &Target, patches: &[Patch]) -> Result<(Vec<Verdict>, Outcome)> {
    let scratch = tempfile::tempdir().context("cannot make a temporary folder")?;
    files::write(&scratch.path().join("probe.sh"), PROBE.as_bytes())?;
    let machine = Machine::of(&target.arch)?;
    let accel = guest::choose_accel(&target.vmlinuz, machine, scratch.path())?;
    let host = Host { machine, accel, scratch: scratch.path() };
    let ready: Vec<Ready> = patches
        .iter()
        .map(|p| Ready {
            scenario: p.scenario(scratch.path()),
            modules: BTreeMap::from([(p.name.clone(), p.file.clone())]),
        })
        .collect();
    let what = format!("booting {} with {} live patches ({})", target.release, patches.len(), accel.name());
    let step = progress::step(what);
    let initramfs = script::initramfs(&ready.iter().collect::<Vec<_>>(), machine, &Shipped::of(target)?)?;
    let silence = Duration::from_secs(180);
    let limits = Limits { silence, life: silence + Duration::from_secs(60) * patches.len() as u32 };
    let outcome = guest::boot(&target.vmlinuz, &initramfs, host, limits)?;
    step.done(&format!("{:?}", outcome.end));
    let verdicts = ready.iter().map(|r| judge(&r.scenario, &outcome.facts, &outcome.console)).collect();
    Ok((verdicts, outcome))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modules_are_loaded_before_and_after() {
        let patch = Patch {
            name: "kmend_a".into(),
            file: "/a.ko".into(),
            replaces: vec!["vmlinux/f,1".into(), "bridge/g,1".into()],
            before: vec!["bridge".into()],
            after: vec![],
        };
        let s = patch.scenario(Path::new("/"));
        let looks = |s: &Scenario| -> Vec<Vec<String>> {
            let expected = s.steps.iter().filter_map(|step| match step {
                Step::Observe(look) => look.expect.clone(),
                _ => None,
            });
            expected.collect()
        };
        assert_eq!(s.steps.len(), 5);
        let there = ["bridge: there yes, patched 1", "vmlinux: there yes, patched 1"];
        assert_eq!(looks(&s), [there]);
        let later = Patch { before: vec![], after: vec!["bridge".into()], ..patch };
        let either = ["~bridge: (there yes, patched 1|there no, patched 0)", there[1]];
        assert_eq!(looks(&later.scenario(Path::new("/"))), [either, there]);
    }
}
