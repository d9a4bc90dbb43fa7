// SPDX-License-Identifier: GPL-2.0-or-later
//! The test kernel of an architecture for which no distribution ships one that can be live patched: a config and
//! fix-ups of this repository in, a stored target with a booting kernel out.
//!
//! It is built once. All of it is in one folder of the cache, named by what goes into it; kbuild notes absolute
//! paths, so the tree is built where it stays, and a marker written last says that it is whole.

mod build;
mod source;

use crate::home;
use anyhow::{bail, ensure, Context, Result};
use kmend_builder::image::vmlinuz;
use kmend_builder::target::config::Config;
use kmend_builder::target::distro::debian::{apt, roots};
use kmend_builder::target::{record, store, tree, Added};
use kmend_builder::{files, sandbox::Sandbox};
use kmend_shared::arch::ArchNames;
use source::{Fixup, Source};
use std::path::{Path, PathBuf};
use std::time::Instant;

/// A kernel that this repository describes, in xtask/kernels/NAME.
struct Kernel {
    /// The folder's name, and the name after `tree:`.
    name: &'static str,
    /// `uname -m`.
    arch: &'static str,
    /// Its C compiler.
    cc: &'static str,
    /// The suite that has it and the Rust compiler.
    tools: &'static str,
    /// Where to look for the source, in this order: suite and series.
    sources: &'static [(&'static str, &'static str)],
}

const KERNELS: &[Kernel] = &[
    Kernel {
        name: "ppc64le",
        arch: "ppc64le",
        cc: "powerpc64le-linux-gnu-gcc-16",
        tools: "forky",
        // 7.3 is the first with Rust for this architecture.
        sources: &[("experimental", "7.3"), ("sid", "7.3"), ("forky", "7.3"), ("sid", "7.4"), ("forky", "7.4")],
    },
    // The one of Debian 13, in which there is no Rust.
    Kernel {
        name: "ppc64le-6.12",
        arch: "ppc64le",
        cc: "powerpc64le-linux-gnu-gcc-14",
        tools: "trixie",
        sources: &[("trixie", "6.12"), ("trixie-security", "6.12")],
    },
];

/// Where the kernel is in its folder.
const TREE: &str = "linux";

/// Written last into a folder with a whole kernel: a line of what it was made from by this repository, then what the
/// archive had, at the end the kernel's build id and the build root.
const MARKER: &str = "complete";

/// What the marker of a kernel begins with.
const FORMAT: &str = "1";

/// Makes the target `tree:NAME`; the argument is the name, all of them where there is none.
pub fn run(args: &[String]) -> Result<()> {
    for name in args {
        let known = || KERNELS.iter().map(|k| k.name).collect::<Vec<_>>().join(", ");
        let found = KERNELS.iter().any(|k| k.name == name);
        ensure!(found, "there is no test kernel {name}; there are {}", known());
    }
    for kernel in KERNELS.iter().filter(|k| args.is_empty() || args.iter().any(|a| a == k.name)) {
        let begun = Instant::now();
        match make(kernel)? {
            Added::AlreadyThere(target) => println!("{} is there already", target.name),
            Added::New(target) => println!("{} is ready [{:.0} s]", target.name, begun.elapsed().as_secs_f32()),
        }
    }
    Ok(())
}

/// The targets that it makes.
pub fn targets() -> Vec<String> {
    KERNELS.iter().map(|k| format!("tree:{}", k.name)).collect()
}

/// What this repository says of a kernel.
struct Recipe {
    config: String,
    fixups: Vec<Fixup>,
    /// All of it and the chore's own words, as one checksum.
    sum: String,
}

impl Recipe {
    fn read(kernel: &Kernel) -> Result<Self> {
        let folder = home()?.join("xtask/kernels").join(kernel.name);
        let config = files::read_text(&folder.join("config"))?;
        let fixups = source::fixups(&folder.join("fixups"))?;
        let mut all = format!("{FORMAT} {} {} {:?}\n{config}", kernel.cc, kernel.tools, build::TARGETS);
        fixups.iter().for_each(|f| all += &format!("{}\n{}", f.name, f.text));
        Ok(Self { config, fixups, sum: files::sha256(all.as_bytes()) })
    }

    /// Whether the kernel has CONFIG_RUST.
    fn has_rust(&self) -> bool {
        Config::parse(&self.config).is_on("CONFIG_RUST")
    }
}

fn make(kernel: &Kernel) -> Result<Added> {
    let name = format!("tree:{}", kernel.name);
    let recipe = Recipe::read(kernel)?;
    let folder = files::cache_dir()?.join("kernels");
    let _lock = files::lock(&folder.join(format!("{}.lock", kernel.name)), "makes the same kernel")?;
    // What is there and was made by this recipe needs neither the network nor a newer source.
    if let Some(target) = store::get(&name)? {
        match is_whole(&target.tree, &recipe).and_then(|()| store::check(&target)) {
            Ok(()) => return Ok(Added::AlreadyThere(Box::new(target))),
            Err(fault) => {
                eprintln!("  {name} is stored and cannot be taken as it is ({fault:#}): making what is needed")
            }
        }
    }
    let places = places(&folder, kernel)?;
    for tree in places.iter().map(|p| p.join(TREE)) {
        let stored = is_whole(&tree, &recipe).and_then(|()| store_target(kernel, &name, &tree, &folder));
        if stored.is_ok() {
            return stored;
        }
    }
    let machine = apt::machine_arch()?;
    let names = ArchNames::named(kernel.arch)?;
    let tools = apt::Archive::open(kernel.tools, &machine, None)?;
    let wanted = roots::Wanted::current(&tools, kernel.cc, names.debian, &machine, recipe.has_rust())?;
    let found = source::find(kernel.sources, &machine)?;
    // The build root keeps the processor busy while the source is downloaded. A half-built kernel may
    // have that already: which one it is, the compilers tell.
    let (root, deb) = std::thread::scope(|s| {
        let root = s.spawn(|| roots::make(&tools, &wanted));
        let deb = places.is_empty().then(|| found.fetch());
        (root.join().unwrap_or_else(|_| bail!("making the build root broke off")), deb.transpose())
    });
    let (root, deb) = (root?, deb?);
    let compilers = record::compilers(&Sandbox::new(&root), kernel.cc, recipe.has_rust())?;

    let made_from = made_from(&recipe, &found, &compilers);
    let key = &files::sha256(made_from.as_bytes())[..12];
    let place = folder.join(format!("{}-{}-{key}", kernel.name, found.series));
    let tree = place.join(TREE);
    take_back_marker(&place)?;
    if !tree.exists() {
        let deb = deb.map_or_else(|| found.fetch(), Ok)?;
        source::unpack(&deb, &found, &recipe.fixups, &tree)?;
        // It can be fetched again, and takes more room than it saves time.
        let _ = std::fs::remove_file(&deb);
    }
    let make = build::Make::new(&compilers, names.kbuild, &root, &tree)?;
    build::configure(&make, &recipe.config, &place)?;
    build::build(&make, &place)?;
    let build_id = vmlinuz::build_id_of(&tree.join("vmlinux"))?;
    files::write(&place.join(MARKER), format!("{made_from}{build_id}\n{}\n", root.display()).as_bytes())?;
    store_target(kernel, &name, &tree, &folder)
}

/// The folders of this kernel, whole ones and others.
fn places(folder: &Path, kernel: &Kernel) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).with_context(|| format!("cannot list {}", folder.display()))? {
        let path = entry.with_context(|| format!("cannot list {}", folder.display()))?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        // NAME-SERIES-KEY; the name of one kernel may begin with another's.
        let ours = name.strip_prefix(kernel.name).is_some_and(|rest| rest.split('-').count() == 3);
        if ours && path.join(TREE).is_dir() {
            found.push(path);
        }
    }
    found.sort();
    Ok(found)
}

/// What a kernel is made from, the recipe's sum in the first line.
fn made_from(recipe: &Recipe, source: &Source, compilers: &record::Compilers) -> String {
    let rustc = compilers.rustc.as_deref().unwrap_or_default();
    format!("{}\n{} {}\n{}\n{rustc}\n", recipe.sum, source.package, source.version, compilers.cc)
}

/// Whether the kernel in `tree` is whole, and of this recipe.
fn is_whole(tree: &Path, recipe: &Recipe) -> Result<()> {
    let marker = tree.parent().unwrap_or(tree).join(MARKER);
    let text = std::fs::read_to_string(&marker).with_context(|| format!("there is no {}", marker.display()))?;
    ensure!(text.lines().next() == Some(&recipe.sum), "its config or its fix-ups were different");
    let vmlinux = tree.join("vmlinux");
    ensure!(vmlinux.is_file(), "{} is gone", vmlinux.display());
    let build_id = vmlinuz::build_id_of(&vmlinux)?;
    ensure!(text.lines().rev().nth(1) == Some(&build_id), "{} is a different kernel now", vmlinux.display());
    Ok(())
}

/// From here on, until it is whole, the folder is not.
fn take_back_marker(place: &Path) -> Result<()> {
    let marker = place.join(MARKER);
    match std::fs::remove_file(&marker) {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => {
            Err(e).with_context(|| format!("cannot remove {}", marker.display()))
        }
        _ => Ok(()),
    }
}

/// Stores the target. One of the same name that an older recipe made goes; one of somebody else's stays.
fn store_target(kernel: &Kernel, name: &str, tree: &Path, folder: &Path) -> Result<Added> {
    let marker = files::read_text(&tree.parent().unwrap_or(tree).join(MARKER))?;
    let root = marker.lines().last().unwrap_or_default();
    let old = store::get(name)?.map(|t| t.tree).filter(|old| old != tree && old.starts_with(folder));
    if let Some(old) = old {
        store::remove(name)?;
        let old = old.parent().unwrap_or(&old);
        println!("the kernel that {name} was before can be removed: {}", old.display());
    }
    tree::add(tree, None, Some(kernel.name), Some(Path::new(root)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn recipes_are_read_and_every_part_counts() {
        for kernel in KERNELS {
            let recipe = Recipe::read(kernel).unwrap();
            assert!(recipe.config.contains("CONFIG_LIVEPATCH=y"));
            assert_eq!(recipe.has_rust(), kernel.name == "ppc64le");
            assert!(ArchNames::named(kernel.arch).is_ok());
            let other = Kernel { cc: "powerpc64le-linux-gnu-gcc-17", ..*kernel };
            assert_ne!(Recipe::read(&other).unwrap().sum, recipe.sum);
        }
        assert!(run(&["m68k".into()]).unwrap_err().to_string().contains("ppc64le"));
    }

    #[test]
    fn only_a_whole_kernel_of_this_recipe_is_taken() {
        let dir = tempfile::tempdir().unwrap();
        let tree = dir.path().join(TREE);
        let recipe = Recipe { config: String::new(), fixups: Vec::new(), sum: "s".into() };
        let said = || is_whole(&tree, &recipe).unwrap_err().to_string();
        assert!(said().contains("there is no"), "{}", said());
        files::write(&dir.path().join(MARKER), b"t\nx\n").unwrap();
        assert!(said().contains("were different"), "{}", said());
        files::write(&dir.path().join(MARKER), b"s\nx\n").unwrap();
        assert!(said().contains("vmlinux is gone"), "{}", said());
        files::write(&tree.join("vmlinux"), b"no kernel").unwrap();
        assert!(is_whole(&tree, &recipe).is_err());
        take_back_marker(dir.path()).unwrap();
        take_back_marker(dir.path()).unwrap();
        assert!(said().contains("there is no"), "{}", said());
    }
}
