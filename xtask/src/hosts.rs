// SPDX-License-Identifier: GPL-2.0-or-later
//! Live patches as operators use them: packages installed, updated and removed on whole hosts that are booted.

use crate::{home, say};
use anyhow::{ensure, Context, Result};
use kmend_builder::parallel;
use kmend_builder::target::store;
use qemu_tests::builds;
use qemu_tests::cli::DEFAULT_TARGET;
use qemu_tests::host::{life, packages, story};
use qemu_tests::judge::Verdict;
use std::path::Path;

/// The kernels that hosts have: one of each architecture.
const TARGETS: [&str; 2] = [DEFAULT_TARGET, "tree:ppc64le"];

/// The story, and the versions of its stream.
const STORY: &str = "cumulative";
const VERSIONS: [&str; 4] = ["1-1", "1-2", "1-3", "1-4"];

/// Lets a host live on each target that is named, all where none is. `--keep-logs DIR` keeps what it told and its console;
/// `--fresh` boots it also where a host of the same bytes passed before.
pub fn run(args: &[String]) -> Result<()> {
    let (mut targets, mut keep, mut fresh) = (Vec::new(), None, false);
    let mut args = args.iter();
    while let Some(arg) = args.next() {
        match arg.as_str() {
            "--fresh" => fresh = true,
            "--keep-logs" => keep = Some(args.next().context("--keep-logs wants a folder")?),
            target => targets.push(target),
        }
    }
    if targets.is_empty() {
        targets.extend(TARGETS);
    }
    let kmend_build = builds::find_kmend_build()?;
    let keep = keep.map(Path::new);
    // A guest keeps one processor busy.
    let failed: usize = parallel::map(&targets, |_, target| one(target, &kmend_build, keep, fresh))?.into_iter().sum();
    ensure!(failed == 0, "{failed} stages were not as expected");
    Ok(())
}

/// The number of stages that failed. What it has to say comes at the end, as a whole.
fn one(target: &str, kmend_build: &Path, keep_logs: Option<&Path>, fresh: bool) -> Result<usize> {
    let target = store::load(target)?;
    let folder = home()?.join("qemu-tests/hosts").join(STORY);
    let work = tempfile::tempdir().context("cannot make a temporary folder")?;
    let files = packages::make(&target, &folder, &VERSIONS, kmend_build, work.path())?;
    let names = kmend_packager::Names::new(&target.release, target.arch.parse()?)?;
    let words = [("RELEASE", target.release.clone()), ("MODULE", names.module_stem())];
    let (stages, others): (Vec<_>, Vec<_>) =
        story::load(&folder, &words)?.into_iter().partition(|s| s.arch.as_ref().is_none_or(|a| *a == target.arch));
    let made = life::Made { target: &target, stages: &stages, files: &files, keep_logs, fresh };
    let verdicts = life::live(&made)?;
    let mut failed = 0;
    let mut text = format!("\n{} ({} {}):\n", target.name, target.release, target.arch);
    for (stage, verdict) in stages.iter().zip(&verdicts) {
        match verdict {
            Verdict::Pass => text += &format!("{} {}\n", say::toned(say::Tone::Good, "PASS"), stage.title()),
            Verdict::AsBefore => text += &format!("same {} (passed before, not booted)\n", stage.title()),
            Verdict::Fail(reason) | Verdict::NotHere(reason) => {
                failed += 1;
                text += &format!("{} {}\n", say::toned(say::Tone::Bad, "FAIL"), stage.title());
                text.extend(reason.lines().map(|line| format!("     {line}\n")));
            }
        }
    }
    text.extend(others.iter().map(|stage| format!("     {} (not for {})\n", stage.title(), target.arch)));
    let before = verdicts.iter().filter(|v| **v == Verdict::AsBefore).count();
    let before = if before == 0 { String::new() } else { format!(", {before} as before") };
    println!("{text}{} of {} stages passed{before}", stages.len() - failed, stages.len());
    Ok(failed)
}
