// SPDX-License-Identifier: GPL-2.0-or-later
//! Debian's source of a kernel: a linux-source package in, an unpacked tree out.

use super::apt;
use crate::files::{make_dir, remove_dir};
use crate::sandbox;
use crate::target::tied;
use anyhow::{bail, Context, Result};
use std::fs;
use std::path::Path;
use std::process::Stdio;

/// Unpacks the source tree out of a Debian linux-source package into `tree`, which must not exist yet.
/// The tarball in the package goes through pipes and is never written.
pub fn unpack(deb: &Path, version: &str, tree: &Path) -> Result<()> {
    let member = format!("./usr/src/linux-source-{version}.tar.xz");
    let new = tree.with_extension("unpacking");
    remove_dir(&new)?;
    make_dir(&new)?;
    let mut package = apt::fsys_tarfile(deb).spawn().context("cannot start dpkg-deb")?;
    let stdout = package.stdout.take().context("dpkg-deb gave no output")?;
    let mut outer = tied("tar")
        .args(["-x", "-O", "-f", "-", &member])
        .stdin(stdout)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .context("cannot start tar")?;
    let stdout = outer.stdout.take().context("tar gave no output")?;
    let mut xz = tied("xz")
        .args(["-dc", "-T0"])
        .stdin(stdout)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .context("cannot start xz")?;
    let stdout = xz.stdout.take().context("xz gave no output")?;
    let inner = tied("tar")
        .args(["-x", "--no-same-owner", "--strip-components=1", "-C"])
        .arg(&new)
        .stdin(stdout)
        .output()
        .context("cannot start tar")?;
    let mut said = String::new();
    let mut good = inner.status.success();
    for child in [xz, outer, package] {
        let out = child.wait_with_output().context("unpacking the source")?;
        // A reader that stops early ends its writer with SIGPIPE; then the reader's word counts.
        good &= out.status.success() || out.status.code().is_none();
        said += &sandbox::tail(&out);
    }
    said += &sandbox::tail(&inner);
    if !good || !new.join("Kbuild").is_file() {
        // Half a tree helps no one, least of all on a full disk.
        let _ = remove_dir(&new);
        let full = said.contains("No space left");
        let hint = if full { "the disk is full" } else { "is the package damaged?" };
        bail!("cannot unpack {} of {}: {hint}\n{said}", member, deb.display());
    }
    fs::rename(&new, tree).with_context(|| format!("cannot rename {} to {}", new.display(), tree.display()))
}
