// SPDX-License-Identifier: GPL-2.0-or-later
//! kmend for hosts and kmend-build for those who make live patches, as they are given out: the static programs as RPM and deb,
//! with man pages, completions and documents.

use crate::home;
use anyhow::{bail, ensure, Context, Result};
use kmend_builder::target::store;
use kmend_builder::{cli, files};
use kmend_manager::docs::{Manual, Names};
use kmend_packager::{debian, redhat, BuildTool, Origin};
use kmend_shared::arch;
use qemu_tests::host::tool;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The target whose build root has the compilers for hosts of another architecture.
const FOREIGN: &[(&str, &str)] = &[("ppc64le", "tree:ppc64le")];

/// What packages have as their address where none is named (RFC 2606: a name that leads nowhere).
const NO_URL: &str = "https://kmend.invalid/";

/// Where kmend-build takes the name of a target.
const NAMES: Names = Names {
    ask: "names",
    value: "TARGET",
    options: &[('t', "target"), ('k', "kernel")],
    commands: &["target show", "target remove"],
    or_files: false,
};

const VERSION: &str = env!("CARGO_PKG_VERSION");

const USAGE: &str = "package [--packager 'Name <mail>'] [--url URL] [-o DIR] [ARCH]…";

/// Writes the packages.
pub fn run(args: &[String]) -> Result<()> {
    let (mut packager, mut url, mut out, mut arches) = (None, None, PathBuf::from("."), Vec::new());
    let mut args = args.iter();
    while let Some(arg) = args.next() {
        let mut value = || args.next().cloned().with_context(|| format!("{arg} wants a value; {USAGE}"));
        match arg.as_str() {
            "--packager" => packager = Some(value()?),
            "--url" => url = Some(value()?),
            "-o" => out = value()?.into(),
            option if option.starts_with('-') => bail!("there is no option {option}; {USAGE}"),
            arch => arches.push(arch.to_string()),
        }
    }
    let packager = packager.map_or_else(packager_of_git, Ok)?;
    let url = url.unwrap_or_else(|| NO_URL.into());
    if arches.is_empty() {
        arches.push(arch::host().into());
    }
    let origin = Origin { vendor: "kmend".into(), license: "GPL-2.0-or-later".into(), date: date()?, packager, url };
    let share = tempfile::tempdir().context("cannot make a temporary folder")?;
    let (hosts, builders) = (share.path().join("kmend"), share.path().join("kmend-build"));
    kmend_manager::docs::write_docs(&hosts)?;
    let manual = Manual { section: "1", version: VERSION, pages: cli::manual::PAGES, names: NAMES };
    kmend_manager::docs::write(&builders, &cli::command(), &manual, &[])?;
    for (folder, name) in [(&hosts, "kmend"), (&builders, "kmend-build")] {
        documents(&folder.join("doc").join(name))?;
    }
    for arch in &arches {
        host_tool(arch, &origin, &hosts, &out)?;
    }
    build_tool(&origin, &builders, &out)?;
    // One for all architectures; operators publish them only where they want hosts to move to kmend (docs/packages.md).
    let tool = tool::packaged(PathBuf::new(), None, origin)?;
    for built in [debian::kpatch(&tool)?, redhat::kpatch(&tool, None)?, redhat::dnf_plugin(&tool, None)?] {
        println!("{}", built.write(&out.join("kpatch"))?.display());
    }
    Ok(())
}

/// kmend for hosts of one architecture.
fn host_tool(arch: &str, origin: &Origin, share: &Path, out: &Path) -> Result<()> {
    let binary = match FOREIGN.iter().find(|(a, _)| *a == arch && arch != arch::host()) {
        Some((_, target)) => tool::for_target(&store::load(target)?)?,
        None => {
            ensure!(arch == arch::host(), "there are no compilers for {arch} here");
            tool::here(tool::KMEND)?
        }
    };
    let tool = tool::packaged(binary, Some(share.into()), origin.clone())?;
    for built in [debian::host_tool(&tool)?, redhat::host_tool(&tool, None)?] {
        println!("{}", built.write(out)?.display());
    }
    Ok(())
}

/// kmend-build for machines of this one's architecture.
fn build_tool(origin: &Origin, share: &Path, out: &Path) -> Result<()> {
    let tool = BuildTool {
        version: VERSION.into(),
        release: 1,
        dist: String::new(),
        binary: tool::here(tool::KMEND_BUILD)?,
        share: Some(share.into()),
        origin: origin.clone(),
    };
    for built in [debian::build_tool(&tool)?, redhat::build_tool(&tool, None)?] {
        println!("{}", built.write(out)?.display());
    }
    Ok(())
}

/// Puts the repository's documents into `folder`: docs/ as they are, README, changes and licence beside them.
fn documents(folder: &Path) -> Result<()> {
    let home = home()?;
    let docs = std::fs::read_dir(home.join("docs")).context("cannot read docs/")?;
    let mut paths: Vec<PathBuf> = docs.filter_map(|e| Some(e.ok()?.path())).collect();
    // The index and the site's list of pages are for other places.
    let is_page = |p: &Path| p.extension().is_some_and(|e| e == "md") && !p.ends_with("README.md");
    paths.retain(|p| is_page(p) && !p.ends_with("SUMMARY.md"));
    paths.extend(["README.md", "CHANGELOG.md", "COPYING"].map(|name| home.join(name)));
    for path in paths {
        let name = path.file_name().context("a document without a name")?;
        files::write_quickly(&folder.join(name), &files::read(&path)?)?;
    }
    // Where Debian looks for it (policy, 12.5).
    files::write_quickly(&folder.join("copyright"), &files::read(&home.join("COPYING"))?)
}

/// Who makes packages where that is not said: the name and address that git has for commits.
fn packager_of_git() -> Result<String> {
    let word = |key: &str| -> Result<String> {
        let said =
            Command::new("git").args(["config", key]).current_dir(home()?).output().context("cannot start git")?;
        Ok(String::from_utf8_lossy(&said.stdout).trim().to_string())
    };
    let (name, mail) = (word("user.name")?, word("user.email")?);
    ensure!(
        !name.is_empty() && !mail.is_empty(),
        "packages name who makes them: --packager 'Name <mail>' (make packages PACKAGER='Name <mail>')"
    );
    Ok(format!("{name} <{mail}>"))
}

/// SOURCE_DATE_EPOCH, else the date of the last commit: seconds since 1970.
fn date() -> Result<i64> {
    let said = match std::env::var("SOURCE_DATE_EPOCH") {
        Ok(said) => said,
        Err(_) => {
            let git = Command::new("git").args(["log", "-1", "--format=%ct"]).current_dir(home()?).output();
            String::from_utf8_lossy(&git.context("cannot start git; set SOURCE_DATE_EPOCH")?.stdout).into_owned()
        }
    };
    said.trim().parse().with_context(|| format!("{:?} is no number of seconds: set SOURCE_DATE_EPOCH", said.trim()))
}
