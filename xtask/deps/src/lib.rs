// SPDX-License-Identifier: GPL-2.0-or-later
//! Installs those Debian packages that kmend and its proofs call and the machine lacks: names in; the same machine with these
//! packages, out. It installs nothing else, and removes nothing: where apt would, an emulator is unpacked into the cache folder, and for
//! other packages it stops and says so.

mod apt;
mod beside;
// The same file as kmend-shared's, whose dependencies would have to be compiled first.
#[path = "../../../shared/src/cache.rs"]
mod cache;
mod packages;

use anyhow::{bail, ensure, Context, Result};
pub use packages::{Need, PACKAGES};
use std::process::Command;

/// Installs what is missing: for the tests, or only for the demo.
///
/// # Errors
/// Arguments other than none and `demo`; apt cannot, or would remove a package.
pub fn run(args: &[String]) -> Result<()> {
    let only_demo = match args {
        [] => false,
        [word] if word == "demo" => true,
        _ => bail!("`deps` takes nothing or `demo`, not `{}`", args.join(" ")),
    };
    let wanted = PACKAGES.iter().filter(|(_, need, _)| !only_demo || *need == Need::Demo);
    install_missing(&wanted.map(|(package, _, why)| (*package, *why)).collect::<Vec<_>>())
}

/// Installs those packages that are missing; each with what it is for.
///
/// # Errors
/// No dpkg on this machine; apt cannot, or would remove a package.
pub fn install_missing(packages: &[(&str, &str)]) -> Result<()> {
    let names = |packages: &[&(&str, &str)], between: &str| {
        packages.iter().map(|(package, _)| *package).collect::<Vec<_>>().join(between)
    };
    ensure!(
        present("dpkg-query"),
        "this machine has no dpkg: install these by its own means: {}",
        names(&packages.iter().collect::<Vec<_>>(), ", ")
    );
    let missing: Vec<_> =
        packages.iter().filter(|(package, _)| !is_installed(package) && !beside::has(package)).collect();
    if missing.is_empty() {
        println!("packages: nothing is missing");
        return Ok(());
    }
    missing.iter().for_each(|(package, why)| println!("packages: {package} is missing ({why})"));
    let mut wanted: Vec<&str> = missing.iter().map(|(package, _)| *package).collect();
    let mut plan = match apt::plan(&wanted)? {
        Ok(plan) => plan,
        // Lists that are old, or none at all as in a fresh container.
        Err(_) => {
            apt::update()?;
            apt::plan(&wanted)?.map_err(|said| anyhow::anyhow!("apt cannot install them:\n{said}"))?
        }
    };
    if !plan.removed.is_empty() {
        wanted = beside::put(wanted)?;
        if wanted.is_empty() {
            return Ok(());
        }
        plan = apt::plan(&wanted)?.map_err(|said| anyhow::anyhow!("apt cannot install them:\n{said}"))?;
    }
    if !plan.removed.is_empty() {
        bail!("{}", conflict(&wanted, &plan.removed)?);
    }
    if apt::install(&wanted, plan.installed.len()).is_ok() {
        return Ok(());
    }
    // Lists so old that the archive no longer has what they name.
    apt::update()?;
    apt::install(&wanted, plan.installed.len())
}

/// What is in the way, and the ways out.
fn conflict(wanted: &[&str], removed: &[String]) -> Result<String> {
    let mut guilty = Vec::new();
    for package in wanted {
        if apt::removes(package)? {
            guilty.push(*package);
        }
    }
    let guilty = if guilty.is_empty() { wanted.to_vec() } else { guilty };
    // Named beside them, apt looks for a version that goes with them.
    let both: Vec<&str> = guilty.iter().copied().chain(removed.iter().map(String::as_str)).collect();
    let (removed, names) = (removed.join(" "), guilty.join(" "));
    let fits = apt::plan(&both)?.is_ok_and(|plan| plan.removed.is_empty());
    let way = if fits {
        format!("`apt-get install {}` installs another version of {removed}, which goes with it", both.join(" "))
    } else {
        format!("if you can do without {removed}: `apt-get remove {removed}`; else use another machine, or a container")
    };
    Ok(format!(
        "to install {names}, apt would remove {removed}: nothing was installed\n  what you can do: {way}; then run this again"
    ))
}

fn is_installed(package: &str) -> bool {
    let out = Command::new("dpkg-query").args(["-W", "-f=${Status}", package]).output();
    out.is_ok_and(|o| o.status.success() && o.stdout.ends_with(b"ok installed"))
}

fn present(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|folder| folder.join(program).is_file())
}

/// Whether root runs this.
///
/// # Errors
/// The machine has no `id`.
pub fn is_root() -> Result<bool> {
    let out = Command::new("id").arg("-u").output().context("cannot start id")?;
    Ok(out.stdout.trim_ascii() == b"0")
}
