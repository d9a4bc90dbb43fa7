// SPDX-License-Identifier: GPL-2.0-or-later
//! Distributions: what kmend asks of a distribution, and the table of known ones.
//!
//! A distribution is a folder beside this file with a type that implements [`Distro`], and its line in [`DISTROS`].
//! Nothing else refers to a distribution by name: the command line, the store, streams and `cache show` ask this table.
//! What all of them would do alike is in [`add`](super::add) (a target's folder, its checks, its record) and
//! [`buildroot`](super::buildroot).

pub mod debian;
pub mod rpm;

use super::host::{Packaged, Running};
use super::options::{Given, Opt};
use super::Added;
use anyhow::{ensure, Context, Result};
use kmend_shared::arch::ArchNames;
use kmend_shared::programs;
use serde::{Deserialize, Serialize};
use std::cmp::Ordering;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// The distributions whose kernels can be added.
pub const DISTROS: &[&dyn Distro] = &[&debian::Debian, &rpm::Rpm];

/// A distribution: where its kernels come from.
pub trait Distro: Sync {
    /// What is known of it without asking anything.
    fn facts(&self) -> &'static Facts;

    /// Makes the target that is asked for, or finds that it is there: release and packages, from these source, .config,
    /// Module.symvers, image, modules and build root, all checked against each other. [`add`](super::add) has the parts that do not
    /// differ between distributions.
    ///
    /// # Errors
    /// No such kernel; packages that cannot be had or do not belong together; a kernel that cannot be a target.
    fn add(&self, ask: &Ask) -> Result<Added>;

    /// The package of a machine that has its running kernel: one of `images`, paths from that machine's root, is in it. `given` is
    /// what the user gave. None where no package of this distribution has it.
    ///
    /// # Errors
    /// Repositories that have this kernel no longer, or cannot be reached.
    fn packaged(&self, running: &Running, images: &[String], given: &Given) -> Result<Option<Packaged>>;

    /// `uname -r` of the kernel that a target's name means; `rest` is what follows the colon. None where the name means the newest
    /// of several.
    fn release<'a>(&self, rest: &'a str) -> Option<&'a str>;

    /// What the kernel `release` is beside the plain one of its version: `cloud`, `rt`. None for the plain one.
    fn flavour<'a>(&self, release: &'a str) -> Option<&'a str>;

    /// How the package version `a` is to `b`, by the distribution's own rules.
    ///
    /// # Errors
    /// No program to ask; what is no version.
    fn order(&self, a: &str, b: &str) -> Result<Ordering>;

    /// A build root with rustc, the source of Rust's library and bindgen out of this machine's own repositories, for kernels
    /// without CONFIG_RUST. It is asked on machines that have [`Facts::tool`].
    ///
    /// # Errors
    /// Repositories that do not have it, or cannot be reached.
    fn rust_root(&self) -> Result<PathBuf>;

    /// The folders in the build root `root`, as seen inside of it, where the distribution's packages put the source of Rust's
    /// library, if it is there.
    fn rust_sources(&self, root: &Path) -> Vec<String>;

    /// The program of a busybox for machines of `arch` that needs no libraries, out of the distribution's packages. Nothing of
    /// this machine is changed.
    ///
    /// # Errors
    /// It has none, or it cannot be fetched.
    fn busybox(&self, arch: &ArchNames) -> Result<Vec<u8>>;
}

/// What is known of a distribution.
pub struct Facts {
    /// What the names of its targets start with, before the colon.
    pub name: &'static str,
    /// What those names look like that mean the newest of several kernels.
    pub newest: &'static str,
    /// What those look like that mean one kernel for good.
    pub one: &'static str,
    /// What is written behind `target add` for each, with what it means.
    pub examples: [(&'static str, &'static str); 2],
    /// The condition under which a target that is not stored can be added: "if Debian has such a suite or kernel".
    pub missing: &'static str,
    /// What `target add` takes for its kernels.
    pub options: &'static [Opt],
    /// The packages that its hosts install.
    pub format: Format,
    /// Its folders in the cache, and what they hold.
    pub cache: &'static [(&'static str, &'static str)],
    /// The program that machines with its packages have.
    pub tool: &'static str,
}

/// The form of packages.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// For dnf.
    Rpm,
    /// For apt.
    Deb,
}

/// What `target add` was asked for.
#[derive(Clone, Debug)]
pub struct Ask {
    /// The distribution, as its targets' names start.
    distro: &'static str,
    /// What follows the colon: `forky`, `forky/7.2.12+deb14-amd64`.
    pub rest: String,
    /// What it was asked for with.
    pub given: Given,
}

impl Ask {
    /// For the target `distro:rest` with what is `given`.
    ///
    /// # Errors
    /// An option that this distribution does not take.
    pub fn new(facts: &Facts, rest: &str, given: Given) -> Result<Self> {
        given.check(facts.options, facts.newest)?;
        Ok(Self { distro: facts.name, rest: rest.into(), given })
    }

    /// The value of an option.
    pub fn option(&self, name: &str) -> Option<&str> {
        self.given.one(name)
    }

    /// Where the target `name` is from, that this made: the same options make it again.
    pub fn origin(&self, name: &str) -> Origin {
        let added = std::iter::once(name.into()).chain(self.given.words()).collect();
        Origin { distro: Some(self.distro.into()), added }
    }
}

/// Where a target is from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Origin {
    /// The distribution, by its name in the table; None for a kernel that the user built.
    pub distro: Option<String>,
    /// What makes it again, behind `kmend-build target add`.
    pub added: Vec<String>,
}

/// The distribution of `target`'s name; None for a tree, and for what is no name of a target.
pub fn of_name(target: &str) -> Option<(&'static dyn Distro, &str)> {
    let (name, rest) = target.split_once(':')?;
    let distro = DISTROS.iter().find(|d| d.facts().name == name)?;
    Some((*distro, rest))
}

/// What the name of a target that means the newest of several kernels starts with, and their flavour: `debian:forky` and `cloud` of
/// `debian:forky/cloud`. None where it means one kernel for good.
pub fn newest(name: &str) -> Option<(&str, Option<&str>)> {
    let Some((distro, rest)) = of_name(name) else { return Some((name, None)) };
    if distro.release(rest).is_some() {
        return None;
    }
    match name.split_once('/') {
        Some((start, flavour)) => Some((start, Some(flavour))),
        None => Some((name, None)),
    }
}

/// The flavour of the kernel that the target `name` is, of which `release` is the release.
pub fn flavour<'a>(name: &str, release: &'a str) -> Option<&'a str> {
    of_name(name).and_then(|(distro, _)| distro.flavour(release))
}

/// Names of targets, one for each distribution.
pub fn examples() -> Vec<&'static str> {
    DISTROS.iter().map(|d| name_in(d.facts().examples[0].0)).collect()
}

/// The target's name in what is written behind `target add`.
fn name_in(example: &str) -> &str {
    example.split(' ').next().unwrap_or(example)
}

/// What names look like that mean one kernel for good, one for each distribution.
pub fn whole_names() -> Vec<&'static str> {
    DISTROS.iter().map(|d| d.facts().one).collect()
}

/// What all names look like.
pub fn names() -> Vec<&'static str> {
    DISTROS.iter().flat_map(|d| [d.facts().newest, d.facts().one]).collect()
}

/// The distribution whose packages this machine has.
///
/// # Errors
/// One that kmend does not know.
pub fn of_machine() -> Result<&'static dyn Distro> {
    let found = DISTROS.iter().find(|d| programs::find(d.facts().tool).is_some());
    found.copied().with_context(|| {
        let tools: Vec<&str> = DISTROS.iter().map(|d| d.facts().tool).collect();
        format!("kmend cannot fetch packages on this machine: it has no {}", tools.join(" or "))
    })
}

/// Makes the target `name` (`debian:forky`), or finds that it is there.
///
/// # Errors
/// A name of no distribution, and what [`Distro::add`] fails with.
pub fn add(name: &str, given: Given) -> Result<Added> {
    let (distro, rest) = of_name(name).with_context(|| {
        let like = names().join(" or ");
        format!(
            "{name:?} is not the name of a target: names look like {like}; a kernel you built is added with \
             --tree DIR"
        )
    })?;
    distro.add(&Ask::new(distro.facts(), rest, given)?)
}

/// Where the source of Rust's library is, as seen inside the build root `root`; None leaves it to kbuild's default.
///
/// # Errors
/// More than one. A folder that a link of another name leads to, as in Debian's rust-src, is one.
pub fn rust_library(root: &Path) -> Result<Option<String>> {
    let mut found: Vec<String> = DISTROS.iter().flat_map(|d| d.rust_sources(root)).collect();
    let mut seen = BTreeSet::new();
    found
        .retain(|place| root.join(place.trim_start_matches('/')).canonicalize().map_or(true, |real| seen.insert(real)));
    ensure!(found.len() < 2, "more than one Rust library source in {}: {}", root.display(), found.join(", "));
    Ok(found.pop())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_to_the_source_of_rusts_library_is_no_second_one() {
        let root = tempfile::tempdir().unwrap();
        let library = |folder: &Path| {
            std::fs::create_dir_all(folder.join("core/src")).unwrap();
            std::fs::write(folder.join("core/src/lib.rs"), "").unwrap();
        };
        library(&root.path().join("usr/src/rustc-1.97.1/library"));
        std::fs::create_dir_all(root.path().join("usr/lib/rustlib/src")).unwrap();
        let link = root.path().join("usr/lib/rustlib/src/rust");
        std::os::unix::fs::symlink("../../../src/rustc-1.97.1", &link).unwrap();
        assert_eq!(rust_library(root.path()).unwrap().as_deref(), Some("/usr/src/rustc-1.97.1/library"));
        std::fs::remove_file(&link).unwrap();
        library(&link.join("library"));
        rust_library(root.path()).unwrap_err();
    }

    #[test]
    fn the_table_is_sound() {
        for distro in DISTROS {
            let facts = distro.facts();
            let start = format!("{}:", facts.name);
            let names = [facts.newest, facts.one].into_iter().chain(facts.examples.map(|(given, _)| name_in(given)));
            assert!(names.clone().all(|name| name.starts_with(&start)), "{start}");
            let [newest, one] =
                facts.examples.map(|(given, _)| of_name(name_in(given)).map(|(d, rest)| d.release(rest)));
            assert_eq!(newest, Some(None));
            assert!(one.flatten().is_some());
            assert_eq!(DISTROS.iter().filter(|d| d.facts().name == facts.name).count(), 1);
        }
        assert_eq!(super::newest("debian:forky/cloud"), Some(("debian:forky", Some("cloud"))));
        assert_eq!(super::newest("debian:forky"), Some(("debian:forky", None)));
        assert_eq!(super::newest("debian:forky/7.2.12+deb14-amd64"), None);
        assert_eq!(super::newest("tree:x"), Some(("tree:x", None)));
        assert!(of_name("tree:x").is_none() && of_name("debian").is_none() && of_name("").is_none());
    }

    #[test]
    fn an_option_of_another_distribution_is_refused() {
        let given = |name| Given::from([(name, "x")]);
        let facts = debian::Debian.facts();
        let ask = Ask::new(facts, "forky", given("mirror")).unwrap();
        assert_eq!((ask.option("mirror"), ask.option("arch")), (Some("x"), None));
        let origin = ask.origin("debian:forky/1");
        assert_eq!(origin.added, ["debian:forky/1", "--mirror", "x"]);
        assert_eq!(origin.distro.as_deref(), Some("debian"));
        assert!(Ask::new(facts, "forky", given("rpm")).is_err());
    }
}
