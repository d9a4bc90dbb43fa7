// SPDX-License-Identifier: GPL-2.0-or-later
//! The running kernel of a machine with RPM packages: its rpm database in; the name and the release by which dnf fetches its packages
//! out.

use crate::target::add::is_plain_name;
use crate::target::host::{Packaged, Running};
use crate::target::options::Given;
use anyhow::{ensure, Context, Result};
use kmend_shared::programs;
use std::fs;
use std::path::Path;
use std::process::Command;

/// Folders of rpm's database, and names of its file: Fedora and RHEL 10, the releases before them and SUSE.
const FOLDERS: [&str; 2] = ["/usr/lib/sysimage/rpm", "/var/lib/rpm"];
const FILES: [&str; 3] = ["rpmdb.sqlite", "Packages.db", "Packages"];

/// The package with one of `images`, as the target `rpm:ID/RELEASE`, where ID is the distribution's (`rhel9.4`).
///
/// # Errors
/// rpm cannot be started.
pub fn packaged(running: &Running, images: &[String], given: &Given) -> Result<Option<Packaged>> {
    let database = |folder: &&&str| FILES.iter().any(|file| running.at(folder).join(file).is_file());
    let Some(folder) = FOLDERS.iter().find(database) else { return Ok(None) };
    if programs::find("rpm").is_none() {
        return Ok(None);
    }
    for image in images {
        let Some(package) = owner(&running.root, folder, image)? else { continue };
        let mut given = given.clone();
        given.set("release", vec![running.release.clone()]);
        let rest = format!("{}/{}", label(&running.root), running.release);
        return Ok(Some(Packaged { rest, package, given }));
    }
    Ok(None)
}

/// The package that has the file `path` of the machine.
fn owner(root: &Path, folder: &str, path: &str) -> Result<Option<String>> {
    let mut rpm = Command::new("rpm");
    rpm.arg("--root").arg(root).args(["--dbpath", folder, "-qf", "--qf", "%{NAME} %{VERSION}-%{RELEASE}\n", path]);
    let out = rpm.env("LC_ALL", "C").output().context("cannot start rpm")?;
    let text = String::from_utf8_lossy(&out.stdout).into_owned();
    let line = text.lines().next().unwrap_or_default();
    // It fails where no package has it.
    if !out.status.success() || line.is_empty() {
        return Ok(None);
    }
    ensure!(line.split(' ').count() == 2, "rpm says {line:?} of {path}");
    Ok(Some(line.into()))
}

/// `rhel9.4` out of /etc/os-release, by which the target is called.
fn label(root: &Path) -> String {
    let text =
        ["etc/os-release", "usr/lib/os-release"].iter().find_map(|file| fs::read_to_string(root.join(file)).ok());
    let get = |name: &str| {
        let value = text.as_deref()?.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix('='))?;
        Some(value.trim_matches('"').to_string())
    };
    let label = get("ID").unwrap_or_default() + &get("VERSION_ID").unwrap_or_default();
    if is_plain_name(&label) {
        label
    } else {
        "host".into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_are_called_by_the_distribution() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(label(dir.path()), "host");
        let put = |text: &str| crate::files::write(&dir.path().join("etc/os-release"), text.as_bytes()).unwrap();
        put("NAME=x\nID=\"rhel\"\nVERSION_ID=\"9.4\"\n");
        assert_eq!(label(dir.path()), "rhel9.4");
        put("ID=\"a b\"\n");
        assert_eq!(label(dir.path()), "host");
        let running = Running { root: dir.path().into(), release: "5".into(), build_id: "ab".into() };
        assert_eq!(packaged(&running, &["/boot/vmlinuz-5".into()], &Given::default()).unwrap(), None);
    }
}
