// SPDX-License-Identifier: GPL-2.0-or-later
//! Emulators that the machine cannot have as packages without losing others: Debian's packages in; their files in the cache folder,
//! and a script that starts the emulator there, out. Nothing of the machine is changed.

use crate::{apt, cache};
use anyhow::{ensure, Context, Result};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Packages that run from any folder, and the program of each that is wanted. Guests are started from there where PATH has none (`Machine::emulator`).
const MOVABLE: &[(&str, &str)] = &[("qemu-system-x86", "qemu-system-x86_64"), ("qemu-system-ppc", "qemu-system-ppc64")];

/// Folders of a QEMU's firmware: qemu-system-data's, and those to which that leads.
const FIRMWARE: &[&str] = &["usr/share/qemu", "usr/share/seabios", "usr/share/slof", "usr/lib/ipxe/qemu"];

/// Whether `package` is there.
pub fn has(package: &str) -> bool {
    let program = MOVABLE.iter().find(|(name, _)| *name == package).map(|(_, program)| *program);
    program.is_some_and(|program| place(package).is_some_and(|place| place.join("bin").join(program).is_file()))
}

fn place(package: &str) -> Option<PathBuf> {
    Some(std::path::absolute(cache::folder()?).ok()?.join(cache::PROGRAMS).join(package))
}

/// Unpacks those of `wanted` for which apt would remove something, and that can be had so; the others come back.
///
/// # Errors
/// No cache folder; they cannot be fetched or unpacked.
pub fn put(wanted: Vec<&str>) -> Result<Vec<&str>> {
    let mut others = Vec::new();
    for package in wanted {
        match MOVABLE.iter().find(|(name, _)| *name == package) {
            Some((_, program)) if apt::removes(package)? => unpack(package, program)?,
            _ => others.push(package),
        }
    }
    Ok(others)
}

fn unpack(package: &str, program: &str) -> Result<()> {
    let plan = apt::plan(&[package])?.map_err(|said| anyhow::anyhow!("apt cannot install {package}:\n{said}"))?;
    let place =
        place(package).context("neither KMEND_CACHE, XDG_CACHE_HOME nor HOME is set: there is no cache folder")?;
    apt::say(&format!(
        "packages: to install {package}, apt would remove {}: unpacking it and {} others into {} instead",
        plan.removed.join(" "),
        plan.installed.len().saturating_sub(1),
        place.display()
    ));
    let cannot = |path: &Path| format!("cannot write {}", path.display());
    // Beside, then renamed; by name of this process, as another may do the same.
    let new = place.with_extension(format!("{}", std::process::id()));
    let debs = new.join("debs");
    fs::create_dir_all(&debs).with_context(|| cannot(&debs))?;
    let done = fill(&plan.installed, &debs, &new, program);
    if done.is_ok() {
        // One that was broken off, or that another process has put there meanwhile.
        let _ = fs::remove_dir_all(&place);
        fs::rename(&new, &place).with_context(|| cannot(&place))?;
    } else {
        let _ = fs::remove_dir_all(&new);
    }
    done
}

fn fill(packages: &[String], debs: &Path, new: &Path, program: &str) -> Result<()> {
    apt::download(packages, debs)?;
    let mut files: Vec<PathBuf> = fs::read_dir(debs)
        .and_then(Iterator::collect::<std::io::Result<Vec<_>>>)
        .map(|all| all.iter().map(fs::DirEntry::path).collect())
        .with_context(|| format!("cannot read {}", debs.display()))?;
    files.sort();
    let mut versions = String::new();
    for deb in &files {
        let out = Command::new("dpkg-deb").arg("-x").arg(deb).arg(new).output().context("cannot start dpkg-deb")?;
        ensure!(out.status.success(), "cannot unpack {}: {}", deb.display(), String::from_utf8_lossy(&out.stderr));
        versions.push_str(&format!("# {}\n", deb.file_name().unwrap_or_default().to_string_lossy()));
    }
    fs::remove_dir_all(debs).with_context(|| format!("cannot remove {}", debs.display()))?;
    let real = new.join("usr/bin").join(program);
    ensure!(real.is_file(), "these packages have no {program}:\n{versions}");
    let bin = new.join("bin");
    fs::create_dir_all(&bin).with_context(|| format!("cannot write {}", bin.display()))?;
    let script = bin.join(program);
    fs::write(&script, starter(program, &versions)).with_context(|| format!("cannot write {}", script.display()))?;
    fs::set_permissions(&script, fs::Permissions::from_mode(0o755))
        .with_context(|| format!("cannot make {} a program", script.display()))
}

/// The script that starts `program` from its folder, wherever that is; `versions` is a comment in it.
fn starter(program: &str, versions: &str) -> String {
    let firmware: String = FIRMWARE.iter().map(|folder| format!(" -L \"$top/{folder}\"")).collect();
    format!(
        "#!/bin/sh\n# Starts {program} from these packages, which are unpacked here:\n{versions}\
         top=$(dirname \"$0\")/..\n\
         for lib in \"$top\"/usr/lib/*-linux-gnu \"$top\"/lib/*-linux-gnu; do\n\
         \tLD_LIBRARY_PATH=$lib${{LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}}\ndone\n\
         export LD_LIBRARY_PATH\nexec \"$top/usr/bin/{program}\"{firmware} \"$@\"\n"
    )
}
