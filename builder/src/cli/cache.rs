// SPDX-License-Identifier: GPL-2.0-or-later
//! kmend-build cache: show, prune.

use crate::compile::room;
use crate::target::distro::DISTROS;
use crate::{files, leftovers};
use anyhow::Result;
use clap::{Args, Subcommand};

/// Show or clean up what kmend keeps, and what killed runs left behind
///
/// The folder is $KMEND_CACHE, else $XDG_CACHE_HOME/kmend, else ~/.cache/kmend.
#[derive(Args)]
pub struct CacheArgs {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Show what is in the cache, how large it is, and what killed runs left behind
    Show,
    /// Remove what killed runs left behind: unfinished build roots and targets, work folders, half-written files
    ///
    /// Compiled units that were of no use for longest go too, if all of them take more than $KMEND_CACHE_OBJECTS MiB (20480 if it is
    /// not set). Builds do the same.
    Prune,
}

/// What the folders of the cache hold, beside those of the distributions.
const FOLDERS: &[(&str, &str)] = &[
    ("bindings", "Rust bindings to headers"),
    ("commands", "kbuild's commands"),
    ("crates", "compiled Rust crates"),
    ("imports", "targets that are being imported"),
    ("index", "which files include which, and the like"),
    ("kernels", "kernels built for tests"),
    ("layouts", "sizes of structs"),
    ("objects", "compiled and preprocessed units, and what was read in them"),
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
    for path in leftovers::entries(&cache)?.into_iter().filter(|path| path.is_dir()) {
        let folder = path.file_name().unwrap_or_default().to_string_lossy();
        let bytes = leftovers::size(&path);
        total += bytes;
        let mut known = FOLDERS.iter().chain(DISTROS.iter().flat_map(|distro| distro.facts().cache));
        let what = known.find(|(name, _)| *name == folder).map_or("", |(_, what)| what);
        println!("{}", format!("  {folder:10} {:>9}  {what}", in_units(bytes)).trim_end());
    }
    println!("  {:10} {:>9}", "all", in_units(total));
    println!(
        "\nobjects: at most {} ($KMEND_CACHE_OBJECTS); what was of no use for longest is removed first",
        in_units(room::most())
    );
    let left = leftovers::all()?;
    if !left.is_empty() {
        println!("\nleft by runs that were killed (`kmend-build cache prune` removes it):");
    }
    for one in &left {
        println!("  {:>9}  {}: {}", in_units(leftovers::size(&one.path)), one.path.display(), one.what);
    }
    Ok(())
}

fn prune() -> Result<()> {
    let trimmed = room::trim(&files::cache_dir()?.join("objects"), room::most());
    if trimmed > 0 {
        println!("removed compiled units that were of no use for longest [{}]", in_units(trimmed));
    }
    let left = leftovers::all()?;
    if left.is_empty() {
        println!("nothing is left of killed runs");
    }
    let mut kept = None;
    for one in &left {
        let bytes = leftovers::size(&one.path);
        match one.remove() {
            Ok(()) => println!("removed {}: {} [{}]", one.path.display(), one.what, in_units(bytes)),
            Err(error) => kept = Some(error),
        }
    }
    kept.map_or(Ok(()), Err)
}

/// Bytes as people read them.
fn in_units(bytes: u64) -> String {
    match bytes {
        0..=0xfffff => format!("{} KiB", bytes.div_ceil(1 << 10)),
        0x10_0000..=0x3fff_ffff => format!("{} MiB", bytes >> 20),
        _ => format!("{:.1} GiB", bytes as f64 / f64::from(1 << 30)),
    }
}
