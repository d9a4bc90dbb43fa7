// SPDX-License-Identifier: GPL-2.0-or-later
//! The demo: from nothing to a real upstream fix at work in a booted stock kernel, told step by step.

use crate::cut::Done;
use crate::judge::{judge, Verdict};
use crate::say::{self, Tone};
use crate::scenario::{self, Scenario, Step};
use crate::script::{self, Ready};
use crate::{builds, cli, cut};
use anyhow::{bail, ensure, Context, Result};
use kmend_builder::guest::machine::Machine;
use kmend_builder::guest::protocol::{Fact, Kind};
use kmend_builder::guest::shipped::Shipped;
use kmend_builder::guest::{self, Host, Limits};
use kmend_builder::target::store;
use kmend_builder::{files, progress};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

/// The real fix that is shown.
const FIX: &str = "freezable-wait";

/// Tells the story; the argument names another real fix.
pub fn run(args: &[String]) -> Result<()> {
    let name = args.first().map_or(FIX, String::as_str);
    let scenario = scenario::load(&Path::new(env!("CARGO_MANIFEST_DIR")).join("real").join(name))?;
    let work = tempfile::tempdir().context("cannot make a temporary folder")?;

    say::title("1. A kernel that really runs somewhere");
    println!(
        "   {}: the distribution's own image, its source, and a build root with the very\n   compilers that it was \
         built with. Fetched and prepared once; a second run does nothing.",
        cli::DEFAULT_TARGET
    );
    let kmend_build = builds::find_kmend_build()?;
    std::thread::scope(|s| {
        // Meanwhile. What goes wrong with it is told where the fix is cut.
        let fetched = s.spawn(|| progress::listen(|| cut::fetch_newer(&scenario)));
        prepare(&kmend_build)?;
        if !fetched.is_finished() {
            println!("   Waiting for the source of the next release, which has the fix …");
        }
        anyhow::Ok(())
    })?;
    let kernel = store::load(cli::DEFAULT_TARGET)?;

    say::title("2. A fix from the next release of its stable series");
    let fix = cut_fix(&scenario, &kernel, work.path())?;
    let text = files::read_text(&fix.join(cut::FIX))?;
    text.lines().for_each(|l| println!("   | {l}"));

    say::title("3. The fix becomes a live patch");
    println!("   Only the files that it reaches are compiled, and proven against the shipped image.");
    let ready = build(&scenario, &kernel, &fix, work.path())?;

    say::title("4. The stock kernel boots, and the live patch is loaded, disabled and removed");
    let facts = boot(&ready, &kernel, work.path())?;
    println!("   What is looked at: {}.", scenario.title);
    narrate(&scenario, &facts.0);
    match judge(&scenario, &facts.0, &facts.1) {
        Verdict::Pass | Verdict::AsBefore => {
            println!("\n{}", say::toned(Tone::Good, "The fix worked in the running kernel, and went without a trace."));
            Ok(())
        }
        Verdict::Fail(reason) | Verdict::NotHere(reason) => {
            bail!("{}:\n{reason}", say::toned(Tone::Bad, "this is not what had to be seen"))
        }
    }
}

fn prepare(kmend_build: &Path) -> Result<()> {
    let status = Command::new(kmend_build).args(["target", "add", cli::DEFAULT_TARGET]).status();
    let status = status.with_context(|| format!("cannot start {}", kmend_build.display()))?;
    ensure!(status.success(), "`kmend-build target add {}` ended with {status}", cli::DEFAULT_TARGET);
    Ok(())
}

fn cut_fix(scenario: &Scenario, kernel: &kmend_builder::target::Target, work: &Path) -> Result<std::path::PathBuf> {
    let mut cuts = cut::cut_all(std::slice::from_ref(scenario), kernel, &work.join("cut"));
    match cuts.remove(&scenario.name) {
        Some(Done::Cut(folder)) => Ok(folder),
        Some(Done::Already) => bail!("{} has this fix already: name another kernel", kernel.name),
        Some(Done::Failed(reason) | Done::Other(reason)) => bail!("{reason}"),
        None => bail!("{} has no cut.toml: it is no real fix", scenario.dir.display()),
    }
}

fn build(scenario: &Scenario, target: &kmend_builder::target::Target, fix: &Path, work: &Path) -> Result<Ready> {
    let out = work.join("built");
    std::fs::create_dir_all(&out).with_context(|| format!("cannot make folder {}", out.display()))?;
    for b in &scenario.builds {
        println!("   $ kmend-build build -t {} -n {} {}", target.name, b.name, b.fixes.join(" "));
    }
    let ready = builds::build(scenario, target, &builds::find_kmend_build()?, fix, &out)?;
    for (name, module) in &ready.modules {
        let size = std::fs::metadata(module).map(|m| m.len()).unwrap_or_default();
        println!("   {name}.ko: {size} bytes, with {name}.rs and {name}.json to read");
    }
    Ok(ready)
}

fn boot(ready: &Ready, kernel: &kmend_builder::target::Target, work: &Path) -> Result<(Vec<Fact>, String)> {
    let machine = Machine::of(&kernel.arch)?;
    let accel = guest::choose_accel(&kernel.vmlinuz, machine, work)?;
    let initramfs = script::initramfs(&[ready], machine, &Shipped::of(kernel)?)?;
    println!("   {} in QEMU ({}); this takes about a minute …", kernel.release, accel.name());
    let limits = Limits { silence: Duration::from_secs(180), life: Duration::from_secs(600) };
    let outcome = guest::boot(&kernel.vmlinuz, &initramfs, Host { machine, accel, scratch: work }, limits)?;
    Ok((outcome.facts, outcome.console))
}

/// What the guest told, step by step.
fn narrate(scenario: &Scenario, facts: &[Fact]) {
    for (i, step) in scenario.steps.iter().enumerate() {
        let told = |kind: Kind| facts.iter().filter(move |f| f.step == i + 1 && f.kind == kind);
        match step {
            Step::Modprobe(m) => println!("   # modprobe {}", m.module),
            Step::Rmmod(m) | Step::Unload(m) => println!("   # rmmod {m}"),
            Step::Load(l) => {
                println!("   # insmod {}.ko", l.module);
                told(Kind::List).for_each(|f| println!("     /sys/kernel/livepatch/{}/{}", l.module, f.text));
            }
            Step::LoadRefused(l) => {
                println!("   # insmod {}.ko", l.module);
                told(Kind::Out).for_each(|f| println!("     {}", f.text));
            }
            Step::Disable(m) => println!("   # echo 0 > /sys/kernel/livepatch/{m}/enabled"),
            Step::Replaced(m) => println!("   {m} is replaced"),
            Step::Observe(o) => {
                println!("   {}:", o.phase);
                told(Kind::Out).for_each(|f| println!("     {}", say::toned(Tone::Good, &f.text)));
            }
        }
        told(Kind::Fail).for_each(|f| println!("     {}", say::toned(Tone::Bad, &f.text)));
    }
}
