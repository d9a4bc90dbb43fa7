// SPDX-License-Identifier: GPL-2.0-or-later
//! kmend for hosts, as it is given out: the static program as RPM and deb, with man pages and completions; and those of
//! kmend-build beside them.

use crate::home;
use anyhow::{bail, ensure, Context, Result};
use kmend_builder::target::store;
use kmend_packager::{debian, redhat, Origin};
use kmend_shared::arch;
use qemu_tests::host::tool;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The target whose build root has the compilers for hosts of another architecture.
const FOREIGN: &[(&str, &str)] = &[("ppc64le", "tree:ppc64le")];

const USAGE: &str = "package --packager 'Name <mail>' --url URL [-o DIR] [ARCH]…";

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
    let (Some(packager), Some(url)) = (packager, url) else { bail!("packages name who makes them: {USAGE}") };
    if arches.is_empty() {
        arches.push(arch::host().into());
    }
    let origin = Origin { vendor: "kmend".into(), license: "GPL-2.0-or-later".into(), date: date()?, packager, url };
    let share = tempfile::tempdir().context("cannot make a temporary folder")?;
    kmend_manager::docs::write_docs(share.path())?;
    for arch in &arches {
        one(arch, &origin, share.path(), &out)?;
    }
    // One for all architectures; operators publish them only where they want hosts to move to kmend (docs/packages.md).
    let tool = tool::packaged(PathBuf::new(), None, origin)?;
    for built in [debian::kpatch(&tool)?, redhat::kpatch(&tool, None)?, redhat::dnf_plugin(&tool, None)?] {
        println!("{}", built.write(&out.join("kpatch"))?.display());
    }
    let docs = out.join("share");
    kmend_manager::docs::write_docs(&docs)?;
    kmend_manager::docs::write(&docs, &kmend_builder::cli::command(), "1", env!("CARGO_PKG_VERSION"), &[])?;
    println!("{}", docs.display());
    Ok(())
}

fn one(arch: &str, origin: &Origin, share: &Path, out: &Path) -> Result<()> {
    let binary = match FOREIGN.iter().find(|(a, _)| *a == arch && arch != arch::host()) {
        Some((_, target)) => tool::for_target(&store::load(target)?)?,
        None => {
            ensure!(arch == arch::host(), "there are no compilers for {arch} here");
            tool::here()?
        }
    };
    let tool = tool::packaged(binary, Some(share.into()), origin.clone())?;
    for built in [debian::host_tool(&tool)?, redhat::host_tool(&tool, None)?] {
        println!("{}", built.write(out)?.display());
    }
    Ok(())
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
