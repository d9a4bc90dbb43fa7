// SPDX-License-Identifier: GPL-2.0-or-later
//! A farm on this machine: a stream of three kernels goes through a real engine with two workers, of which one dies in the middle; what
//! `assemble` makes of the results has to be what `release` makes on one machine, byte for byte. Needs root, for the namespaces that hold
//! the daemons. And the workflows of contrib/ before a validator.

mod bench;
mod enclosed;
mod slurm;
mod workflows;

use crate::{deps, say};
use anyhow::{bail, ensure, Context, Result};
use std::path::Path;
use std::time::Instant;

/// An engine that is run.
struct Engine {
    name: &'static str,
    /// Installs what is missing, in the machine's network.
    install: fn() -> Result<()>,
    /// Runs it in the folder that is given, with processes and a network of its own.
    run: fn(&Path) -> Result<()>,
}

const ENGINES: &[Engine] = &[Engine { name: "slurm", install: slurm::install, run: slurm::run }];

/// How this program calls itself for the part that runs with the daemons.
const INSIDE: &str = "--inside";

/// What is checked without an engine.
const WORKFLOWS: &str = "workflows";

/// Runs the engines that are named, and checks the workflows if these are; all where nothing is named.
pub fn run(args: &[String]) -> Result<()> {
    let words: Vec<&str> = args.iter().map(String::as_str).collect();
    if let [INSIDE, name, folder] = words[..] {
        enclosed::network()?;
        return (engine(name)?.run)(Path::new(folder));
    }
    let engines: Vec<&Engine> = match words[..] {
        [] => ENGINES.iter().collect(),
        _ => words.iter().filter(|word| **word != WORKFLOWS).map(|name| engine(name)).collect::<Result<_>>()?,
    };
    ensure!(engines.is_empty() || deps::is_root()?, "it makes namespaces for the daemons: run it as root");
    // It is looked for, and built, while there is a network.
    let kmend_build = qemu_tests::builds::find_kmend_build()?;
    if words.is_empty() || words.contains(&WORKFLOWS) {
        workflows::run(&kmend_build)?;
    }
    for engine in engines {
        say::title(engine.name);
        (engine.install)()?;
        let begun = Instant::now();
        let folder = tempfile::Builder::new().prefix("kmend-farm-").tempdir().context("cannot make a folder")?;
        enclosed::run(&[INSIDE, engine.name], folder.path(), &kmend_build)?;
        println!("{}: as on one machine, byte for byte [{:.0} s]", engine.name, begun.elapsed().as_secs_f32());
    }
    Ok(())
}

fn engine(name: &str) -> Result<&'static Engine> {
    match ENGINES.iter().find(|engine| engine.name == name) {
        Some(engine) => Ok(engine),
        None => {
            let names: Vec<&str> = ENGINES.iter().map(|engine| engine.name).chain([WORKFLOWS]).collect();
            bail!("there is no engine `{name}`: {}", names.join(", "))
        }
    }
}
