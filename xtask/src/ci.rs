// SPDX-License-Identifier: GPL-2.0-or-later
//! All checks, in order; each part is a make target and can be run by itself.

use crate::say::{self, Tone};
use crate::{attack, cargo, corpus, deps, hosts, kernel, nop, proofs, rpm, shell, target, tidy};
use anyhow::{bail, Context, Result};
use std::time::{Duration, Instant};

/// How much is run.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Extent {
    /// Every scenario on every kernel.
    all: bool,
    /// Guests are booted also where one of the same bytes passed before.
    fresh: bool,
}

type Part = (&'static str, fn(Extent) -> Result<()>);

const PARTS: &[Part] = &[
    ("deps", |_| deps::run(&[])),
    ("fmt", |_| shell(&cargo(), &["fmt", "--all", "--check"])),
    ("lint", |_| shell(&cargo(), LINT)),
    ("tidy", |_| tidy::run(&[])),
    ("target", |_| target(&[])),
    ("kernel", |_| kernel::run(&[])),
    ("unit", |_| unit()),
    ("attack", |_| attack::run(&[])),
    ("corpus", |_| corpus::run(&["check".into()])),
    ("qemu", |extent| proofs::run(&words(extent))),
    // A small sample of what docs/proof.md shows at scale.
    ("nop", |_| nop::run(&["--units", "6", "--seed", "make-test"].map(String::from))),
    ("rpm", |extent| if extent.all { rpm::run(&[]) } else { say_left_out() }),
    ("hosts", |extent| hosts::run(&words(Extent { all: false, ..extent }))),
];

/// Fourteen minutes on a busy machine, most of them for packing and unpacking a whole kernel.
fn say_left_out() -> Result<()> {
    println!("left out: a kernel by its RPMs is part of `make test-all`");
    Ok(())
}

/// The tests of contrib/, which `cargo xtask contrib` runs, are checked here too.
const LINT: &[&str] = &[
    "clippy",
    "--quiet",
    "--workspace",
    "--all-targets",
    "--features",
    "kmend-contrib-tests/fleet",
    "--",
    "-D",
    "warnings",
];

/// The arguments of a chore that boots guests.
fn words(extent: Extent) -> Vec<String> {
    [("all", extent.all), ("--fresh", extent.fresh)].iter().filter(|(_, on)| *on).map(|(w, _)| w.to_string()).collect()
}

/// All tests of cargo's, those on a prepared kernel too.
fn unit() -> Result<()> {
    let target = format!("KMEND_TEST_TARGET={}", qemu_tests::cli::DEFAULT_TARGET);
    let without_rust = format!("KMEND_TEST_TARGET_WITHOUT_RUST={}", qemu_tests::cli::WITHOUT_RUST);
    shell("env", &[&target, &without_rust, &cargo(), "test", "--quiet", "--workspace"])
}

/// Runs all parts; the first that fails ends it. With `all` every scenario runs on every kernel, in guests that are booted
/// anew; `--fresh` boots them anew without the other scenarios.
pub fn run(args: &[String]) -> Result<()> {
    let extent = match args.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [] => Extent::default(),
        ["--fresh"] => Extent { all: false, fresh: true },
        ["all"] | ["all", "--fresh"] => Extent { all: true, fresh: true },
        _ => bail!("`ci` takes nothing, `all` or `--fresh`, not `{}`", args.join(" ")),
    };
    let mut took = Vec::new();
    for (name, part) in PARTS {
        say::title(name);
        let begun = Instant::now();
        let result = part(extent);
        took.push((*name, begun.elapsed()));
        if let Err(error) = result {
            print!("{}", table(&took));
            return Err(error)
                .with_context(|| format!("{} (again by itself: make {name})", say::toned(Tone::Bad, "failed")));
        }
        println!("{name}: {} [{:.0} s]", say::toned(Tone::Good, "ok"), begun.elapsed().as_secs_f32());
    }
    print!("{}", table(&took));
    Ok(())
}

/// What each part took, and all of them, in seconds.
fn table(took: &[(&str, Duration)]) -> String {
    let all: Duration = took.iter().map(|(_, time)| *time).sum();
    let line = |(name, time): &(&str, Duration)| format!("{name:<8} {:>6.0} s\n", time.as_secs_f32());
    let lines: String = took.iter().chain([&("all", all)]).map(line).collect();
    format!("\n{}\n{lines}", say::toned(Tone::Title, "what each part took"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_ends_with_the_sum() {
        let table = table(&[("deps", Duration::from_secs(1)), ("qemu", Duration::from_millis(620_400))]);
        let rows: Vec<Vec<&str>> = table.lines().skip(2).map(|l| l.split_whitespace().collect()).collect();
        assert_eq!(rows, [["deps", "1", "s"], ["qemu", "620", "s"], ["all", "621", "s"]]);
    }

    #[test]
    fn each_part_that_boots_is_told_what_was_asked_for() {
        assert!(words(Extent::default()).is_empty());
        assert_eq!(words(Extent { all: true, fresh: true }), ["all", "--fresh"]);
        assert_eq!(words(Extent { all: false, fresh: true }), ["--fresh"]);
    }
}
