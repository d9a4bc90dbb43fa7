// SPDX-License-Identifier: GPL-2.0-or-later
//! The running kernel of a machine with Debian's packages: its dpkg database and its apt sources in; the suite that still has this
//! kernel out.

use super::apt::{self, Archive};
use super::sources;
use crate::sandbox;
use crate::target::host::{Packaged, Running};
use crate::target::options::Given;
use anyhow::{bail, ensure, Context, Result};
use kmend_shared::arch::{self, ArchNames};
use kmend_shared::programs;
use std::path::Path;
use std::process::Command;

/// An installed package.
#[derive(Debug, PartialEq, Eq)]
struct Installed {
    name: String,
    version: String,
    arch: String,
}

/// The suite of the machine's apt sources that has the package with one of `images`, as a target's name.
///
/// # Errors
/// A database that dpkg cannot read; an architecture that is not supported; no suite that has this version any longer.
pub fn packaged(running: &Running, images: &[String], given: &Given) -> Result<Option<Packaged>> {
    let admin = running.at("/var/lib/dpkg");
    if !admin.join("status").is_file() || programs::find("dpkg-query").is_none() {
        return Ok(None);
    }
    let Some(package) = owner(&admin, images)? else { return Ok(None) };
    given.check(super::FACTS.options, super::FACTS.newest)?;
    let installed = ask(&admin, &package)?;
    let arch = ArchNames::named(&installed.arch).with_context(|| format!("the package {package}"))?;
    let suite = suite(running, &installed, given.one("mirror"))?;
    let mut given = given.clone();
    if arch.uname != arch::host() {
        given.set("arch", vec![arch.uname.into()]);
    }
    Ok(Some(Packaged {
        rest: format!("{suite}/{}", running.release),
        package: format!("{} {}", installed.name, installed.version),
        given,
    }))
}

fn dpkg_query(admin: &Path) -> Command {
    let mut command = Command::new("dpkg-query");
    command.arg(format!("--admindir={}", admin.display())).env("LC_ALL", "C");
    command
}

/// The package that has one of `paths`.
fn owner(admin: &Path, paths: &[String]) -> Result<Option<String>> {
    // It fails where one of several is in no package.
    let out = dpkg_query(admin).arg("-S").args(paths).output().context("cannot start dpkg-query")?;
    Ok(owner_in(&String::from_utf8_lossy(&out.stdout)))
}

/// `linux-image-6.1.0-50-amd64` of `linux-image-6.1.0-50-amd64: /boot/vmlinuz-6.1.0-50-amd64`. The name can have an architecture
/// behind a colon; a line can have several names; lines on diversions have spaces.
fn owner_in(said: &str) -> Option<String> {
    said.lines().find_map(|line| {
        let name = line.split_once(": ")?.0.split([',', ':']).next()?;
        let plain = |c: char| c.is_ascii_alphanumeric() || "-+.".contains(c);
        (!name.is_empty() && name.chars().all(plain)).then(|| name.to_string())
    })
}

fn ask(admin: &Path, package: &str) -> Result<Installed> {
    let mut asks = dpkg_query(admin);
    asks.args(["-W", "-f=${Version}\t${Architecture}\t${db:Status-Status}\n", "--", package]);
    let out = sandbox::run(&mut asks, &format!("dpkg-query -W {package}"))?;
    let text = String::from_utf8_lossy(&out.stdout).into_owned();
    let fields = text.lines().next().unwrap_or_default().split('\t').collect::<Vec<_>>();
    let [version, arch, state] = fields[..] else { bail!("dpkg-query says {text:?} of {package}") };
    ensure!(
        state == "installed",
        "the package {package}, which has the image of the running kernel, is {state}, not installed: dpkg --configure -a \
         finishes it"
    );
    Ok(Installed { name: package.into(), version: version.into(), arch: arch.into() })
}

/// The first suite of the machine that has the headers of this very kernel.
fn suite(running: &Running, installed: &Installed, mirror: Option<&str>) -> Result<String> {
    let entries = sources::machine(&running.root)?;
    let suites = sources::suites(&entries);
    ensure!(
        !suites.is_empty(),
        "the running kernel is of {} {}, and no entry of the machine's apt sources ({}) is a suite of Debian: name the target by its \
         suite, as in debian:forky/{}",
        installed.name,
        installed.version,
        running.at("/etc/apt").display(),
        running.release
    );
    let headers = format!("linux-headers-{}", running.release);
    let mut found = Vec::new();
    let mut fault = None;
    for suite in &suites {
        let versions = Archive::open(suite, &installed.arch, mirror).and_then(|archive| archive.versions(&headers));
        match versions {
            Ok(versions) if versions.contains(&installed.version) => return Ok(suite.to_string()),
            Ok(versions) => found.extend(versions),
            Err(error) => fault = Some(error),
        }
    }
    if let Some(fault) = fault {
        return Err(fault.context(format!("not all suites of this machine could be asked for {headers}")));
    }
    let has = if found.is_empty() { String::new() } else { format!(" (but {})", found.join(", ")) };
    bail!(
        "the running kernel is of {} {}; none of the suites {} has {headers} {}{has}: {}",
        installed.name,
        installed.version,
        suites.join(", "),
        installed.version,
        apt::SNAPSHOT
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn owners_of_images() {
        let image = "linux-image-6.1.0-50-amd64: /boot/vmlinuz-6.1.0-50-amd64\n";
        assert_eq!(owner_in(image).as_deref(), Some("linux-image-6.1.0-50-amd64"));
        assert_eq!(owner_in("a:amd64, b: /boot/vmlinuz-1\n").as_deref(), Some("a"));
        let diverted = format!("diversion by x from: /boot/vmlinuz-1\n{image}");
        assert_eq!(owner_in(&diverted).as_deref(), Some("linux-image-6.1.0-50-amd64"));
        assert_eq!(owner_in(""), None);
        assert_eq!(owner_in("local diversion from: /x\n"), None);
    }

    #[test]
    fn a_made_database_is_asked_by_dpkg_itself() {
        let dir = tempfile::tempdir().unwrap();
        let put = |path: &str, text: &str| crate::files::write(&dir.path().join(path), text.as_bytes()).unwrap();
        let image = "/boot/vmlinuz-6.1.0-50-amd64".to_string();
        let running = Running { root: dir.path().into(), release: "6.1.0-50-amd64".into(), build_id: "ab".into() };
        let packaged = || packaged(&running, &["/lib/modules/gone".into(), image.clone()], &Given::default());
        assert_eq!(packaged().unwrap(), None, "no database");
        if programs::find("dpkg-query").is_none() {
            return;
        }
        let status = |state: &str| {
            format!("Package: linux-image-x\nStatus: install ok {state}\nVersion: 6.1-1\nArchitecture: amd64\nDescription: x\n")
        };
        put("var/lib/dpkg/status", &status("installed"));
        assert_eq!(packaged().unwrap(), None, "in no package");
        put("var/lib/dpkg/info/format", "1\n");
        put("var/lib/dpkg/info/linux-image-x.list", &format!("/.\n/boot\n{image}\n"));
        // It is found; that this made machine has no sources is the next thing.
        let said = format!("{:#}", packaged().unwrap_err());
        assert!(said.contains("linux-image-x 6.1-1") && said.contains("etc/apt"), "{said}");
        put("var/lib/dpkg/status", &status("half-configured"));
        let said = format!("{:#}", packaged().unwrap_err());
        assert!(said.contains("half-configured"), "{said}");
    }
}
