// SPDX-License-Identifier: GPL-2.0-or-later
//! Installs the Debian packages that kmend and its proofs call, where they are missing.

use crate::say;
use anyhow::{bail, ensure, Context, Result};
use std::path::Path;
use std::process::Command;

/// A package and what it is for.
const PACKAGES: &[(&str, &str)] = &[
    ("binutils", "takes objects apart in tests"),
    ("binutils-powerpc64le-linux-gnu", "the same for ppc64le"),
    ("bubblewrap", "runs a target's compilers in its build root"),
    ("busybox-static", "the user space of guests"),
    ("createrepo-c", "makes repositories of RPMs"),
    ("dash", "runs the packages' scripts in tests"),
    ("debian-archive-keyring", "checks what apt fetches"),
    ("diffutils", "cuts real fixes"),
    ("dnf", "installs from them in tests"),
    ("e2fsprogs", "makes the disks of hosts"),
    ("gcc", "links Rust programs, compiles the pairs of tests"),
    ("gcc-powerpc64le-linux-gnu", "compiles the pairs of tests for ppc64le"),
    ("gpg", "makes the keys of tests"),
    ("gpg-agent", "does so behind it"),
    ("gpgconf", "ends it"),
    ("gpgv", "checks signatures for apt"),
    ("libc6-dev", "links Rust programs"),
    ("libengine-pkcs11-openssl", "signs with keys on tokens in tests"),
    ("libssl-dev", "compiles the kernel's sign-file in tests"),
    ("make", "the front door"),
    ("mmdebstrap", "makes build roots"),
    ("openssl", "signs modules and checks signatures"),
    ("patch", "applies fixes"),
    ("qemu-system-ppc", "boots guests of ppc64le"),
    ("qemu-system-x86", "boots guests of x86_64"),
    ("rpm", "reads packages in tests"),
    ("softhsm2", "the token of tests"),
    ("strace", "kills programs at their system calls in tests"),
    ("xz-utils", "unpacks kernels and sources"),
    ("zstd", "unpacks kernels"),
];

/// Installs what is missing.
pub fn run(_args: &[String]) -> Result<()> {
    install_missing(PACKAGES)
}

/// Installs those packages that are missing; each with what it is for.
pub fn install_missing(packages: &[(&str, &str)]) -> Result<()> {
    ensure!(
        Path::new("/usr/bin/dpkg-query").exists(),
        "this machine has no dpkg: install these by its own means: {}",
        packages.iter().map(|(p, _)| *p).collect::<Vec<_>>().join(", ")
    );
    let missing: Vec<_> = packages.iter().filter(|(package, _)| !is_installed(package)).collect();
    if missing.is_empty() {
        println!("{}", say::toned(say::Tone::Good, "nothing is missing"));
        return Ok(());
    }
    missing.iter().for_each(|(package, why)| println!("missing: {package} ({why})"));
    let names: Vec<&str> = missing.iter().map(|(package, _)| *package).collect();
    if install(&names).is_ok() {
        return Ok(());
    }
    // Lists that are old, or none at all as in a fresh container.
    apt_get(&["update"]).context("the package lists cannot be fetched")?;
    install(&names)
}

fn install(names: &[&str]) -> Result<()> {
    let mut args = vec!["install", "-y", "--no-install-recommends"];
    args.extend_from_slice(names);
    apt_get(&args)
}

fn apt_get(args: &[&str]) -> Result<()> {
    let mut command = if is_root()? {
        Command::new("apt-get")
    } else {
        let mut sudo = Command::new("sudo");
        sudo.arg("apt-get");
        sudo
    };
    let status = command.args(args).env("DEBIAN_FRONTEND", "noninteractive").status();
    let status = status.context("cannot start apt-get (as root, or through sudo)")?;
    if !status.success() {
        bail!("apt-get {} ended with {status}", args.join(" "));
    }
    Ok(())
}

fn is_installed(package: &str) -> bool {
    let out = Command::new("dpkg-query").args(["-W", "-f=${Status}", package]).output();
    out.is_ok_and(|o| o.status.success() && o.stdout.ends_with(b"ok installed"))
}

/// Whether root runs this.
pub fn is_root() -> Result<bool> {
    let out = Command::new("id").arg("-u").output().context("cannot start id")?;
    Ok(out.stdout.trim_ascii() == b"0")
}
