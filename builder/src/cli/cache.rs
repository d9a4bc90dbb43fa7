// SPDX-License-Identifier: GPL-2.0-or-later
//! kmend-build cache: show, prune.

use crate::{files, leftovers};
use anyhow::{Context, Result};
use clap::{Args, Subcommand};
use std::path::Path;

/// What kmend keeps, and what killed runs left behind
///
/// The folder is $KMEND_CACHE, else $XDG_CACHE_HOME/kmend, else ~/.cache/kmend.
#[derive(Args)]
pub struct CacheArgs {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Shows what is in the cache and how large it is, and what is left of killed runs
    Show,
    /// Removes what is left of killed runs: half-made build roots and targets, work folders, half-written files
    Prune,
}

/// What the folders of the cache hold.
const FOLDERS: &[(&str, &str)] = &[
    ("apt", "package lists"),
    ("bindings", "Rust bindings to headers"),
    ("commands", "kbuild's commands"),
    ("crates", "compiled Rust crates"),
    ("debs", "packages of kernels and sources"),
    ("index", "which files include which, and the like"),
    ("kernels", "kernels built for tests"),
    ("layouts", "sizes of structs"),
    ("objects", "compiled and preprocessed units"),
    ("roots", "build roots: the compilers"),
    ("targets", "kernels that live patches are built for: `kmend-build target list`"),
];

/// Runs the command.
pub fn run(args: &CacheArgs) -> Result<()> {
    match args.command {
        Command::Show => show(),
        Command::Prune => prune(),
    }
}

fn show() -> Result<()> {
    let cache = files::cache_dir()?;
    println!("{}", cache.display());
    let mut total = 0;
    for folder in folders(&cache)? {
        let (_, bytes) = leftovers::size(&cache.join(&folder));
        total += bytes;
        let what = FOLDERS.iter().find(|(name, _)| *name == folder).map_or("", |(_, what)| what);
        println!("{}", format!("  {folder:10} {:>9}  {what}", in_units(bytes)).trim_end());
    }
    println!("  {:10} {:>9}", "all", in_units(total));
    let left = leftovers::all()?;
    if !left.is_empty() {
        println!("\nleft by runs that were killed (`kmend-build cache prune` removes it):");
    }
    for one in &left {
        println!("  {:>9}  {}: {}", in_units(leftovers::size(&one.path).1), one.path.display(), one.what);
    }
    Ok(())
}

fn prune() -> Result<()> {
    let left = leftovers::all()?;
    if left.is_empty() {
        println!("nothing is left of killed runs");
    }
    let mut kept = None;
    for one in &left {
        let (_, bytes) = leftovers::size(&one.path);
        match one.remove() {
            Ok(()) => println!("removed {}: {} [{}]", one.path.display(), one.what, in_units(bytes)),
            Err(error) => kept = Some(error),
        }
    }
    kept.map_or(Ok(()), Err)
}

fn folders(cache: &Path) -> Result<Vec<String>> {
    let cannot = || format!("cannot read {}", cache.display());
    let mut found = Vec::new();
    match std::fs::read_dir(cache) {
        Ok(entries) => {
            for entry in entries {
                let entry = entry.with_context(cannot)?;
                if entry.path().is_dir() {
                    found.push(entry.file_name().to_string_lossy().into_owned());
                }
            }
        }
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => {}
        Err(e) => return Err(e).with_context(cannot),
    }
    found.sort();
    Ok(found)
}

/// Bytes as people read them.
fn in_units(bytes: u64) -> String {
    match bytes {
        0..=0xfffff => format!("{} KiB", bytes.div_ceil(1 << 10)),
        0x10_0000..=0x3fff_ffff => format!("{} MiB", bytes >> 20),
        _ => format!("{:.1} GiB", bytes as f64 / f64::from(1 << 30)),
    }
}
