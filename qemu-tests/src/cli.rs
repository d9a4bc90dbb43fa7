// SPDX-License-Identifier: GPL-2.0-or-later
//! The command line: which scenarios, on which target; a named line for each verdict.

use crate::builds;
use crate::cut;
use crate::judge::Verdict;
use crate::scenario::{self, Scenario};
use crate::suite::{self, Suite};
use anyhow::{bail, ensure, Context, Result};
use clap::Parser;
use kmend_builder::parallel;
use kmend_builder::target::store;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// The target that scenarios run on where nothing else is named.
pub const DEFAULT_TARGET: &str = "debian:forky";

/// The distributions' kernels that everything is proven on. That of Debian 13 is not its newest, so that the newest has
/// fixes for it.
pub const STOCK: [&str; 3] = [DEFAULT_TARGET, "debian:trixie/6.12.107+deb13-amd64", WITHOUT_RUST];

/// The one without CONFIG_RUST that tests of the command line take.
pub const WITHOUT_RUST: &str = "debian:bookworm";

/// Boots a target's own kernel and proves live patches in it, one scenario after the other.
#[derive(Parser)]
#[command(name = "qemu-tests", version)]
pub struct Options {
    /// Lists the scenarios and ends.
    #[arg(long)]
    list: bool,
    /// Runs only this scenario; can be given more than once.
    #[arg(long, value_name = "NAME")]
    only: Vec<String>,
    /// The target to build for and to boot; can be given more than once.
    #[arg(short, long = "target", value_name = "TARGET", default_value = DEFAULT_TARGET)]
    targets: Vec<String>,
    /// Builds nothing: runs only what comes before the first live patch of each scenario.
    #[arg(long)]
    before: bool,
    /// Boots also what passed before in a guest of the same bytes.
    #[arg(long)]
    fresh: bool,
    /// Keeps consoles and facts of guests in which something failed.
    #[arg(long, value_name = "DIR")]
    keep_logs: Option<PathBuf>,
    /// Keeps built modules and cut fixes.
    #[arg(long, value_name = "DIR")]
    keep: Option<PathBuf>,
    /// Cuts the real fix of this scenario, shows it with its checksum, and ends.
    #[arg(long, value_name = "NAME")]
    cut: Option<String>,
}

/// Reads the command line and runs.
pub fn run() -> ExitCode {
    finish(try_run(&Options::parse()))
}

/// The same with arguments from elsewhere; the first one is the program's name.
pub fn run_with(args: &[String]) -> ExitCode {
    match Options::try_parse_from(args) {
        Ok(options) => finish(try_run(&options)),
        Err(error) => error.exit(),
    }
}

fn finish(result: Result<bool>) -> ExitCode {
    match result {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("qemu-tests: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn all_scenarios() -> Result<Vec<Scenario>> {
    let home = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut all = scenario::load_all(&home.join("scenarios"))?;
    all.extend(scenario::load_all(&home.join("real"))?);
    Ok(all)
}

fn try_run(options: &Options) -> Result<bool> {
    let mut scenarios = all_scenarios()?;
    for wanted in &options.only {
        if !scenarios.iter().any(|s| s.name == *wanted) {
            bail!("no scenario is named `{wanted}`: --list shows their names");
        }
    }
    scenarios.retain(|s| options.only.is_empty() || options.only.contains(&s.name));
    if options.list {
        scenarios.iter().for_each(|s| println!("{:<24} {}", s.name, s.title));
        return Ok(true);
    }
    if let Some(name) = &options.cut {
        let target = options.targets.first().map_or(DEFAULT_TARGET, String::as_str);
        return show_cut(&scenarios, name, target);
    }
    let scratch = tempfile::tempdir().context("cannot make a temporary folder")?;
    let how = How {
        work: options.keep.as_deref().unwrap_or(scratch.path()),
        before: options.before,
        keep_logs: options.keep_logs.as_deref(),
        fresh: options.fresh,
    };
    let groups = by_target(&scenarios, &options.targets);
    let several = groups.len() > 1;
    let all = run_groups(&groups, &how)?;
    // A run in which nothing was proven is no good one, unless it was asked for what is not for this target.
    let proved = |verdicts: &[Verdict]| verdicts.iter().any(Verdict::is_good) || (several && !options.only.is_empty());
    Ok(all.iter().all(|verdicts| !has_failed(verdicts) && proved(verdicts)))
}

fn has_failed(verdicts: &[Verdict]) -> bool {
    verdicts.iter().any(|v| matches!(v, Verdict::Fail(_)))
}

/// How scenarios are run, whatever the target.
struct How<'a> {
    work: &'a Path,
    before: bool,
    keep_logs: Option<&'a Path>,
    fresh: bool,
}

/// A kernel, and the names of the scenarios that run on it: all where none is named.
#[derive(Clone, Copy, Debug)]
pub struct Kernel<'a> {
    /// The target.
    pub target: &'a str,
    /// The scenarios.
    pub only: &'a [&'a str],
}

/// Runs scenarios on several kernels; with `fresh` also those that passed before in a guest of the same bytes.
///
/// # Errors
/// A scenario failed, or on a kernel none passed: the names of the kernels are in it, and all were run.
pub fn run_kernels(kernels: &[Kernel], fresh: bool) -> Result<()> {
    let scenarios = all_scenarios()?;
    let group = |kernel: &Kernel| {
        let runs = |s: &&Scenario| kernel.only.is_empty() || kernel.only.contains(&s.name.as_str());
        let is_on = |s: &&Scenario| s.target.as_ref().is_none_or(|own| own == kernel.target);
        (kernel.target.to_string(), scenarios.iter().filter(runs).filter(is_on).cloned().collect())
    };
    let groups: Vec<(String, Vec<Scenario>)> = kernels.iter().map(group).collect();
    let scratch = tempfile::tempdir().context("cannot make a temporary folder")?;
    let how = How { work: scratch.path(), before: false, keep_logs: None, fresh };
    let all = run_groups(&groups, &how)?;
    let bad = groups.iter().zip(&all).filter(|(_, v)| has_failed(v) || !v.iter().any(Verdict::is_good));
    let bad: Vec<&str> = bad.map(|((target, _), _)| target.as_str()).collect();
    ensure!(bad.is_empty(), "not everything passed on {}", bad.join(", "));
    Ok(())
}

/// The verdicts of each group of scenarios on its target. A guest keeps one processor busy, so several targets run side by
/// side, and what one came to is printed as a whole.
fn run_groups(groups: &[(String, Vec<Scenario>)], how: &How) -> Result<Vec<Vec<Verdict>>> {
    let kmend_build = builds::find_kmend_build()?;
    parallel::map(groups, |_, (name, group)| {
        let target = store::load(name)?;
        let work = how.work.join(name.replace([':', '/'], "-"));
        let suite = Suite {
            target: &target,
            kmend_build: &kmend_build,
            work: &work,
            before: how.before,
            keep_logs: how.keep_logs,
            fresh: how.fresh,
        };
        let mut text = format!("\n{} ({} {}):\n", target.name, target.release, target.arch);
        let verdicts = suite::run(&suite, group, &mut |scenario, verdict| {
            if groups.len() == 1 {
                print!("{}", line(scenario, verdict));
            } else {
                text += &line(scenario, verdict);
            }
        })?;
        let head = if groups.len() == 1 { "" } else { text.as_str() };
        println!("{head}{}", sum(&verdicts));
        Ok(verdicts)
    })
}

/// `3 passed, 5 as before, 0 failed, 1 not for ppc64le, 2 already in this kernel`: each kind of left out ones by itself.
fn sum(verdicts: &[Verdict]) -> String {
    let passed = verdicts.iter().filter(|v| **v == Verdict::Pass).count();
    let before = verdicts.iter().filter(|v| **v == Verdict::AsBefore).count();
    let before = if before == 0 { String::new() } else { format!(" {before} as before,") };
    let failed = verdicts.iter().filter(|v| matches!(v, Verdict::Fail(_))).count();
    let mut left_out: BTreeMap<&str, usize> = BTreeMap::new();
    for verdict in verdicts {
        if let Verdict::NotHere(why) = verdict {
            *left_out.entry(why.split(':').next().unwrap_or_default()).or_default() += 1;
        }
    }
    let left_out: String = left_out.iter().map(|(why, n)| format!(", {n} {why}")).collect();
    format!("{passed} passed,{before} {failed} failed{left_out}")
}

/// What runs on which target: each scenario on all of them, or on the one that it names itself.
fn by_target(scenarios: &[Scenario], targets: &[String]) -> Vec<(String, Vec<Scenario>)> {
    let mut names: Vec<String> = targets.to_vec();
    names.extend(scenarios.iter().filter_map(|s| s.target.clone()));
    let mut groups: Vec<(String, Vec<Scenario>)> = Vec::new();
    for name in names {
        if groups.iter().any(|(n, _)| *n == name) {
            continue;
        }
        let is_on = |s: &&Scenario| s.target.as_ref().map_or(targets.contains(&name), |own| *own == name);
        let group: Vec<Scenario> = scenarios.iter().filter(is_on).cloned().collect();
        groups.push((name, group));
    }
    groups.retain(|(_, group)| !group.is_empty());
    groups
}

/// A scenario's line with its verdict, and further ones where it failed.
fn line(scenario: &Scenario, verdict: &Verdict) -> String {
    let line = |word: &str, text: &str| format!("{word:<4} {:<24} {text}\n", scenario.name);
    match verdict {
        Verdict::Pass => line("PASS", &scenario.title),
        Verdict::AsBefore => line("same", &format!("{} (passed before, not booted)", scenario.title)),
        Verdict::NotHere(why) => line("", why),
        Verdict::Fail(reason) => {
            let reason: String = reason.lines().map(|l| format!("     {l}\n")).collect();
            line("FAIL", &scenario.title) + &reason
        }
    }
}

fn show_cut(scenarios: &[Scenario], name: &str, target: &str) -> Result<bool> {
    let Some(scenario) = scenarios.iter().find(|s| s.name == name) else {
        bail!("no scenario is named `{name}`: --list shows their names");
    };
    let (patch, sum) = cut::show(scenario, &store::load(target)?)?;
    print!("{patch}");
    println!("sha256 = \"{sum}\"");
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_target_gets_the_scenarios_that_name_none() {
        let scenario = |name: &str, target: Option<&str>| Scenario {
            name: name.into(),
            dir: "/".into(),
            title: String::new(),
            target: target.map(String::from),
            only: None,
            builds: Vec::new(),
            allow_log: Vec::new(),
            steps: Vec::new(),
        };
        let all = [scenario("a", None), scenario("b", Some("y")), scenario("c", Some("z"))];
        let groups = |targets: &[&str]| -> Vec<String> {
            let targets: Vec<String> = targets.iter().map(|t| t.to_string()).collect();
            let line = |(target, group): (String, Vec<Scenario>)| {
                format!("{target}: {}", group.iter().map(|s| s.name.as_str()).collect::<Vec<_>>().join(" "))
            };
            by_target(&all, &targets).into_iter().map(line).collect()
        };
        assert_eq!(groups(&["x", "y", "x"]), ["x: a", "y: a b", "z: c"]);
        assert_eq!(groups(&["z"]), ["z: a c", "y: b"]);
    }

    #[test]
    fn what_is_left_out_is_counted_by_its_reason() {
        let out = |why: &str| Verdict::NotHere(why.into());
        let verdicts = [
            Verdict::Pass,
            out("not for ppc64le: a file of x86"),
            out("already in this kernel"),
            out("not for ppc64le: another reason"),
            Verdict::Fail("x".into()),
        ];
        assert_eq!(sum(&verdicts), "1 passed, 1 failed, 1 already in this kernel, 2 not for ppc64le");
        assert_eq!(sum(&[]), "0 passed, 0 failed");
        assert_eq!(sum(&[Verdict::Pass, Verdict::AsBefore, Verdict::AsBefore]), "1 passed, 2 as before, 0 failed");
    }
}
