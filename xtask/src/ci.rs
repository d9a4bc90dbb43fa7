// SPDX-License-Identifier: GPL-2.0-or-later
//! All that has to hold, in order; each part by itself is a make target and can be run again alone.

use crate::say::{self, Tone};
use crate::{attack, cargo, corpus, deps, hosts, kernel, nop, proofs, shell, target, tidy};
use anyhow::{bail, Context, Result};
use std::time::Instant;

type Part = (&'static str, fn() -> Result<()>);

const PARTS: &[Part] = &[
    ("deps", || deps::run(&[])),
    ("fmt", || shell(&cargo(), &["fmt", "--all", "--check"])),
    ("lint", || shell(&cargo(), LINT)),
    ("tidy", || tidy::run(&[])),
    ("target", || target(&[])),
    ("kernel", || kernel::run(&[])),
    ("unit", unit),
    ("attack", || attack::run(&[])),
    ("corpus", || corpus::run(&["check".into()])),
];

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

/// The part that boots, as `make test` and as `make test-all` have it.
const QEMU: Part = ("qemu", || proofs::run(&[]));
const QEMU_ALL: Part = ("qemu-all", || proofs::run(&["all".into()]));

/// A small sample of what docs/proof.md shows at scale.
const NOP: Part = ("nop", || nop::run(&["--units", "6", "--seed", "make-test"].map(String::from)));

/// What comes last.
const HOSTS: Part = ("hosts", || hosts::run(&[]));

/// All tests of cargo's, those on a prepared kernel too.
fn unit() -> Result<()> {
    let target = format!("KMEND_TEST_TARGET={}", qemu_tests::cli::DEFAULT_TARGET);
    let without_rust = format!("KMEND_TEST_TARGET_WITHOUT_RUST={}", qemu_tests::cli::WITHOUT_RUST);
    shell("env", &[&target, &without_rust, &cargo(), "test", "--quiet", "--workspace"])
}

/// Runs all parts; the first that fails ends it. With `all` every scenario runs on every kernel.
pub fn run(args: &[String]) -> Result<()> {
    let qemu = match args {
        [] => QEMU,
        [all] if all == "all" => QEMU_ALL,
        _ => bail!("`ci` takes nothing or `all`, not `{}`", args.join(" ")),
    };
    for (name, part) in PARTS.iter().chain([&qemu, &NOP, &HOSTS]) {
        say::title(name);
        let begun = Instant::now();
        part().with_context(|| format!("{} (again by itself: make {name})", say::toned(Tone::Bad, "failed")))?;
        println!("{name}: {} [{:.0} s]", say::toned(Tone::Good, "ok"), begun.elapsed().as_secs_f32());
    }
    Ok(())
}
