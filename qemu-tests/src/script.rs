// SPDX-License-Identifier: GPL-2.0-or-later
//! What the guest gets: scenarios with their built modules in, an initramfs out.

use crate::scenario::{Scenario, Step};
use anyhow::{Context, Result};
use kmend_builder::files;
use kmend_builder::guest::cpio::Archive;
use kmend_builder::guest::initramfs;
use kmend_builder::guest::machine::Machine;
use kmend_builder::guest::shipped::{kernel_name, Module, Shipped};
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

/// A scenario whose live patches are built.
#[derive(Clone, Debug)]
pub struct Ready {
    /// The scenario.
    pub scenario: Scenario,
    /// Its modules, by the name of the build.
    pub modules: BTreeMap<String, PathBuf>,
}

/// Makes the initramfs that runs `ready`, one after the other.
pub fn initramfs(ready: &[&Ready], machine: &Machine, shipped: &Shipped) -> Result<Vec<u8>> {
    let names: Vec<&str> = ready.iter().map(|r| r.scenario.name.as_str()).collect();
    let live: BTreeSet<String> = ready.iter().flat_map(|r| r.modules.keys().map(|n| kernel_name(n))).collect();
    let mut archive = initramfs::running(&names, &live.iter().map(String::as_str).collect::<Vec<_>>(), machine)?;
    let mut there = BTreeSet::new();
    for r in ready {
        add_scenario(&mut archive, r, shipped, &mut there)
            .with_context(|| format!("cannot put scenario {} into a guest", r.scenario.name))?;
    }
    Ok(archive.finish())
}

fn add_scenario(archive: &mut Archive, ready: &Ready, shipped: &Shipped, there: &mut BTreeSet<String>) -> Result<()> {
    let s = &ready.scenario;
    let home = format!("/s/{}", s.name);
    archive.dir(&home);
    archive.file(&format!("{home}/probe.sh"), &files::read(&s.dir.join("probe.sh"))?);
    for (name, file) in &ready.modules {
        archive.file(&format!("{home}/{name}.ko"), &files::read(file)?);
    }
    let mut loads: BTreeMap<String, Vec<Module>> = BTreeMap::new();
    for step in &s.steps {
        let Step::Modprobe(m) = step else { continue };
        loads.insert(m.module.clone(), shipped.with_dependencies(&m.module)?);
    }
    for module in loads.values().flatten() {
        if there.insert(module.name.clone()) {
            archive.file(&format!("/modules/{}.ko", module.name), &module.elf);
        }
    }
    archive.file(&format!("{home}/run.sh"), run_script(s, &loads).as_bytes());
    Ok(())
}

/// The shell script of one scenario: a line a step, numbered from 1.
fn run_script(s: &Scenario, loads: &BTreeMap<String, Vec<Module>>) -> String {
    let mut text = format!("begin {}\n", s.name);
    for (i, step) in s.steps.iter().enumerate() {
        let n = i + 1;
        text += &match step {
            Step::Modprobe(m) => {
                let order = loads.get(&m.module).map(Vec::as_slice).unwrap_or_default();
                let last = order.len().saturating_sub(1);
                let mut lines = String::new();
                for (at, module) in order.iter().enumerate() {
                    let args: String =
                        m.args.iter().filter(|_| at == last).map(|a| format!(" {}", quoted(a))).collect();
                    lines += &format!("modprobe_one {n} {0}.ko {0}{args}\n", module.name);
                }
                lines + &format!("ok {n}\n")
            }
            Step::Rmmod(m) => format!("rmmod_one {n} {}\n", kernel_name(m)),
            Step::Observe(o) => format!("observe {n} {}\n", o.phase),
            Step::Load(l) => format!("load {n} {}\n", l.module),
            Step::LoadRefused(l) => format!("load_refused {n} {}\n", l.module),
            Step::Disable(m) => format!("disable {n} {m}\n"),
            Step::Replaced(m) => format!("replaced {n} {m}\n"),
            Step::Unload(m) => format!("rmmod_one {n} {m}\n"),
        };
    }
    text + "end\n"
}

fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::{Load, LoadRefused, Modprobe};

    #[test]
    fn steps_become_numbered_calls() {
        let s = Scenario {
            name: "n".into(),
            dir: "/".into(),
            title: String::new(),
            target: None,
            only: None,
            builds: Vec::new(),
            allow_log: Vec::new(),
            steps: vec![
                Step::Modprobe(Modprobe { module: "x-y".into(), args: vec!["a=it's".into()] }),
                Step::Load(Load { module: "kmend_a".into(), lists: Vec::new() }),
                Step::LoadRefused(LoadRefused { module: "kmend_b".into(), says: Vec::new() }),
                Step::Disable("kmend_a".into()),
                Step::Unload("kmend_a".into()),
            ],
        };
        let module = |name: &str| Module { name: name.into(), elf: Vec::new() };
        let loads = BTreeMap::from([("x-y".to_string(), vec![module("dep"), module("x_y")])]);
        let text = "begin n\nmodprobe_one 1 dep.ko dep\nmodprobe_one 1 x_y.ko x_y 'a=it'\\''s'\nok 1\n\
                    load 2 kmend_a\nload_refused 3 kmend_b\ndisable 4 kmend_a\nrmmod_one 5 kmend_a\nend\n";
        assert_eq!(run_script(&s, &loads), text);
    }
}
