// SPDX-License-Identifier: GPL-2.0-or-later
//! A live patch of whole units at work: a target and a sample size in, a report and a verdict out. Every function of the
//! sample's units is changed in a way that means nothing, one module is built of them all, and the target's own kernel loads
//! it, runs with it and removes it (docs/proof.md).

mod build;
mod choose;
mod edit;
mod left;
mod report;

use crate::say::{self, Tone};
use anyhow::{bail, ensure, Context, Result};
use kmend_builder::files;
use kmend_builder::target::store;
use qemu_tests::builds::find_kmend_build;
use qemu_tests::cli::DEFAULT_TARGET;
use qemu_tests::nop;
use report::Report;
use std::path::PathBuf;
use std::time::Instant;

/// The name of the module.
const NAME: &str = "kmend_nop";

/// What the arguments say.
struct Wish {
    target: String,
    units: usize,
    seed: String,
    files: Vec<String>,
    json: Option<PathBuf>,
    keep: Option<PathBuf>,
    boot: bool,
}

/// `nop [-t TARGET] [--units N] [--seed WORD] [--file C-FILE]… [--json FILE] [--keep DIR] [--only-build]`
pub fn run(args: &[String]) -> Result<()> {
    let wish = read(args)?;
    let target = store::load(&wish.target)?;
    let kmend_build = find_kmend_build()?;
    let scratch = tempfile::tempdir().context("cannot make a temporary folder")?;
    let work = wish.keep.clone().unwrap_or_else(|| scratch.path().into());
    std::fs::create_dir_all(&work).with_context(|| format!("cannot make folder {}", work.display()))?;

    let sources = match wish.files.as_slice() {
        [] => choose::choose(&target, wish.units, &wish.seed)?,
        files => choose::usable(&target, files)?,
    };
    ensure!(!sources.is_empty(), "{}: no file with functions to change", target.name);
    let by = if wish.files.is_empty() { format!(" of seed {}", wish.seed) } else { String::new() };
    println!("{}: {} units{by}", target.name, sources.len());
    let known = left::Known::of(&target, &kmend_build)?;
    let built = build::build(&target, &kmend_build, &sources, &known, &work)?;
    let mut report = Report::new(&target, &wish.seed, &sources, &built);
    if wish.boot {
        let begun = Instant::now();
        let came = nop::run(&target, NAME, &built.module, &built.replaces)?;
        files::write(&work.join("console"), came.console.as_bytes())?;
        report.booted(came, begun.elapsed());
    }
    let json = serde_json::to_string_pretty(&report)? + "\n";
    if let Some(file) = &wish.json {
        files::write(file, json.as_bytes())?;
    }
    print!("{report}");
    ensure!(report.faults.is_empty(), "{} with the live patch:\n{}", target.name, report.faults.join("\n"));
    println!("{}", say::toned(Tone::Good, if wish.boot { "clean" } else { "built, not booted" }));
    Ok(())
}

fn read(args: &[String]) -> Result<Wish> {
    let mut wish = Wish {
        target: DEFAULT_TARGET.into(),
        units: 10,
        seed: "kmend".into(),
        files: Vec::new(),
        json: None,
        keep: None,
        boot: true,
    };
    let mut args = args.iter();
    while let Some(arg) = args.next() {
        if arg == "--only-build" {
            wish.boot = false;
            continue;
        }
        let value = args.next().with_context(|| format!("{arg} wants a value"))?;
        match arg.as_str() {
            "-t" | "--target" => wish.target.clone_from(value),
            "--units" => wish.units = value.parse().with_context(|| format!("--units {value}: no number"))?,
            "--seed" => wish.seed.clone_from(value),
            "--file" => wish.files.push(value.clone()),
            "--json" => wish.json = Some(value.into()),
            "--keep" => wish.keep = Some(value.into()),
            _ => bail!(
                "{arg} is not known; known are: -t TARGET, --units N, --seed WORD, --file C-FILE, --json FILE, --keep DIR, --only-build"
            ),
        }
    }
    ensure!(wish.units > 0, "--units 0: nothing to do");
    Ok(wish)
}
