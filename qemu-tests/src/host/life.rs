// SPDX-License-Identifier: GPL-2.0-or-later
//! A host's life: a target, stages and files for it in; each stage's verdict out.

use super::disk::{self, System};
use super::story::Stage;
use crate::judge::Verdict;
use crate::passes::{Pass, Recipe};
use anyhow::{Context, Result};
use kmend_builder::guest::initramfs;
use kmend_builder::guest::kernellog;
use kmend_builder::guest::machine::Machine;
use kmend_builder::guest::protocol::Fact;
use kmend_builder::guest::shipped::Shipped;
use kmend_builder::guest::{self, End, Host, Limits, More};
use kmend_builder::target::Target;
use kmend_builder::{files, progress};
use std::path::{Path, PathBuf};
use std::time::Duration;

const INIT: &str = include_str!("../../guest/host-init.sh");
const RUN: &[u8] = include_bytes!("../../guest/host-run.sh");

/// Runs the story when all units of the host are up, kpatch.service among them.
const UNIT: &[u8] = b"[Unit]\nDescription=The host's story\nAfter=kpatch.service\n\n[Service]\nType=idle\n\
    ExecStart=/story/run\nKillMode=process\n\n[Install]\nWantedBy=multi-user.target\n";

/// What a host is made from.
pub struct Made<'a> {
    /// Its kernel.
    pub target: &'a Target,
    /// What it lives through.
    pub stages: &'a [Stage],
    /// Files that it finds in /story: name and place.
    pub files: &'a [(String, PathBuf)],
    /// Where consoles and what it told are kept.
    pub keep_logs: Option<&'a Path>,
    /// Boots it also where a host of the same bytes passed before.
    pub fresh: bool,
}

/// The size of the host's second disk, which is empty, as mke2fs takes it.
const SPARE: &str = "32M";

/// Words for the kernel's command line on all boots.
const APPEND: &str = "systemd.show_status=no";

/// Lets the host live; the stages' verdicts, in order.
pub fn live(made: &Made) -> Result<Vec<Verdict>> {
    let scratch = tempfile::tempdir().context("cannot make a temporary folder")?;
    let target = made.target;
    let machine = Machine::of(&target.arch)?;
    let accel = guest::choose_accel(&target.vmlinuz, machine, scratch.path())?;
    let disks = [scratch.path().join("host.img"), scratch.path().join("spare.img")];
    let (mut facts, mut console) = (Vec::new(), String::new());
    let mut boots: Vec<&str> = made.stages.iter().map(|s| s.boot.as_str()).collect();
    boots.dedup();
    let system = system(made, machine, scratch.path(), &boots)?;
    let initramfs = initramfs(target, machine)?;
    let recipe = Recipe::new(&target.vmlinuz, machine, accel)?
        .with("initramfs", &initramfs)
        .with_tree("disk", system.folder())?
        .with("boots", format!("{boots:?} {APPEND} {SPARE}").as_bytes());
    let before = if made.fresh { None } else { recipe.passed()? };
    if before.is_some_and(|pass| made.stages.iter().all(|s| verdict(s, &pass.facts, &pass.console) == Verdict::Pass)) {
        return Ok(vec![Verdict::AsBefore; made.stages.len()]);
    }
    let step = progress::step(format!("{}: making the host's disk", target.name));
    system.into_disk(&disks[0])?;
    disk::filesystem(None, &disks[1], SPARE)?;
    step.done("");
    let mut end = End::Done;
    for (number, append) in boots.iter().enumerate() {
        if end != End::Done {
            break;
        }
        let step = progress::step(format!("{}: a host {append} ({})", target.name, accel.name()));
        let append = format!("{append} kmend.boot={number} {APPEND}");
        // A busy machine starts a system slowly, and says little meanwhile.
        let limits = Limits { silence: Duration::from_secs(400), life: Duration::from_secs(2400) };
        let more = More { append: &append, disks: &disks, reboots: true };
        let host = Host { machine, accel, scratch: scratch.path() };
        let outcome = guest::boot_more(&target.vmlinuz, &initramfs, host, limits, more)?;
        facts.extend(outcome.facts);
        console += &outcome.console;
        end = outcome.end;
        step.done(if end == End::Done { "switched itself off" } else { "came to a bad end" });
    }
    if let Some(keep) = made.keep_logs {
        files::write(&keep.join(format!("{}-host.console", target.release)), console.as_bytes())?;
        let lines: String = facts.iter().map(|f| format!("{:?}\t{}\t{}\n", f.kind, f.scenario, f.text)).collect();
        files::write(&keep.join(format!("{}-host.facts", target.release)), lines.as_bytes())?;
    }
    let mut verdicts: Vec<Verdict> = made.stages.iter().map(|s| verdict(s, &facts, &console)).collect();
    if end != End::Done {
        let why = format!("the host's end: {end:?}; the last of its console:\n{}", kernellog::tail(&console, 25));
        // The stage that was under way answers for it.
        let at = verdicts.iter().position(|v| *v != Verdict::Pass).unwrap_or(verdicts.len().saturating_sub(1));
        if let Some(verdict) = verdicts.get_mut(at) {
            let before = match verdict {
                Verdict::Fail(text) => format!("{text}\n"),
                _ => String::new(),
            };
            *verdict = Verdict::Fail(before + &why);
        }
    }
    if verdicts.iter().all(|v| *v == Verdict::Pass) {
        recipe.keep(&Pass { facts, console })?;
    }
    Ok(verdicts)
}

fn verdict(stage: &Stage, facts: &[Fact], console: &str) -> Verdict {
    let mut wrong = stage.judge(facts);
    let trouble = kernellog::trouble(kernellog::of_scenario(console, &stage.name), &stage.allow_log);
    if !trouble.is_empty() {
        wrong.push("the kernel's log tells of trouble:".into());
        wrong.extend(trouble.iter().take(12).map(|l| format!("    {l}")));
    }
    if wrong.is_empty() {
        Verdict::Pass
    } else {
        Verdict::Fail(wrong.join("\n"))
    }
}

fn initramfs(target: &Target, machine: &Machine) -> Result<Vec<u8>> {
    let mut archive = initramfs::base(INIT, machine)?;
    archive.dir("/root");
    archive.dir("/modules");
    let shipped = Shipped::of(target)?;
    let mut order: Vec<String> = Vec::new();
    for wanted in ["virtio_pci", "virtio_blk", "ext4"].iter().filter(|m| shipped.has(m)) {
        for module in shipped.with_dependencies(wanted)? {
            if !order.contains(&module.name) {
                archive.file(&format!("/modules/{}.ko", module.name), &module.elf);
                order.push(module.name);
            }
        }
    }
    archive.file("/order", order.join("\n").as_bytes());
    Ok(archive.finish())
}

fn system(made: &Made, machine: &Machine, scratch: &Path, boots: &[&str]) -> Result<System> {
    let system = System::new(made.target, scratch.join("system"))?;
    system.program("story/run", RUN)?;
    system.file("etc/systemd/system/kmend-story.service", UNIT)?;
    system.link("../kmend-story.service", "etc/systemd/system/multi-user.target.wants/kmend-story.service")?;
    system.file("story/facts", machine.facts.as_bytes())?;
    let (mut order, mut numbers) = (String::new(), String::new());
    let mut number = 0;
    for stage in made.stages {
        // `boots` has no two alike behind each other.
        if boots[number] != stage.boot {
            number += 1;
        }
        order += &format!("{}\n", stage.name);
        numbers += &format!("{number}\n");
        system.file(&format!("story/{}", stage.name), stage.script.as_bytes())?;
    }
    system.file("story/order", order.as_bytes())?;
    system.file("story/boots", numbers.as_bytes())?;
    for (name, place) in made.files {
        system.file(&format!("story/{name}"), &files::read(place)?)?;
    }
    Ok(system)
}
