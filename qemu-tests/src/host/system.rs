// SPDX-License-Identifier: GPL-2.0-or-later
//! Debian systems in folders of the cache: packages in, what they unpack to out. None of their programs is run for it, so
//! the architecture can be a foreign one.

use anyhow::{Context, Result};
use kmend_builder::files;
use kmend_builder::files::{make_dir, remove_dir};
use kmend_builder::progress;
use kmend_builder::target::distro::debian::apt::Archive;
use kmend_builder::target::distro::debian::mmdebstrap::{self, Variant};
use std::fs;
use std::path::PathBuf;

/// Written last into a folder that is complete; it holds what it was made from.
const MARKER: &str = "etc/kmend-system";

/// A folder with `packages` of `suite` for `arch` (Debian's name), and what they depend on.
/// Made where it is not there; no one writes to it.
pub fn unpacked(suite: &str, arch: &str, packages: &[&str]) -> Result<PathBuf> {
    let archive = Archive::open(suite, arch, None)?;
    let mut marker = format!("{suite} {arch}\n");
    for package in packages {
        let found = archive.find(package, None)?;
        let found = found.with_context(|| format!("suite {suite} has no package {package} for {arch}"))?;
        marker += &format!("{package} {}\n", found.version);
    }
    let key = &files::sha256(marker.as_bytes())[..12];
    let systems = files::cache_dir()?.join("systems");
    let folder = systems.join(format!("{suite}-{arch}-{key}"));
    let _lock = files::lock(&systems.join(format!("{key}.lock")), "makes the same system")?;
    if fs::read_to_string(folder.join(MARKER)).is_ok_and(|found| found == marker) {
        return Ok(folder);
    }
    let step = progress::step(format!("unpacking a system of {suite} for {arch} with {}", packages.join(", ")));
    let new = systems.join(format!("{key}.new"));
    remove_dir(&new)?;
    remove_dir(&folder)?;
    make_dir(&new)?;
    let packages: Vec<String> = packages.iter().map(|p| p.to_string()).collect();
    let made = mmdebstrap::run(&archive, Variant::Extract, &packages, &new, &step)
        .and_then(|()| files::write(&new.join(MARKER), marker.as_bytes()));
    if let Err(fault) = made {
        // Half a system helps no one, least of all on a full disk.
        let _ = remove_dir(&new);
        return Err(fault);
    }
    fs::rename(&new, &folder).with_context(|| format!("cannot rename {} to {}", new.display(), folder.display()))?;
    step.done("");
    Ok(folder)
}
