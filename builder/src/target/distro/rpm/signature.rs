// SPDX-License-Identifier: GPL-2.0-or-later
//! Signatures of RPMs: files and the keys that a user trusts in, whether rpm takes each of them out.

use super::package::Package;
use crate::sandbox;
use anyhow::{ensure, Context, Result};
use std::path::Path;
use std::process::Command;

/// Checks that one of the public keys in the files `keys` signed each of `packages`, by rpm itself and with no other keys than
/// these.
///
/// # Errors
/// No rpm on this machine; a file that is no public key; a package without a signature, or with another.
pub fn check<'a>(packages: impl IntoIterator<Item = &'a Package>, keys: &[String]) -> Result<()> {
    let db = tempfile::tempdir().context("cannot make a folder for keys")?;
    for key in keys {
        let out = rpmkeys(db.path()).args(["--import", "--"]).arg(key).output();
        let out = out.context("signatures of RPMs are checked by rpm (the package rpm), which cannot be started")?;
        ensure!(
            out.status.success(),
            "--gpg-key {key}: rpm does not take it for a public key\n{}",
            sandbox::tail(&out)
        );
    }
    for package in packages {
        let out = rpmkeys(db.path()).args(["--checksig", "--"]).arg(&package.path).output().context("rpmkeys")?;
        ensure!(
            out.status.success(),
            "{} is not signed by one of the keys in {}: it is not the vendor's, or the key is wrong\n{}",
            package.path.display(),
            keys.join(", "),
            sandbox::tail(&out)
        );
    }
    Ok(())
}

/// rpmkeys with its keys in `db`, to which a package without a signature is a bad one.
fn rpmkeys(db: &Path) -> Command {
    let mut command = crate::target::tied("rpmkeys");
    command.args(["--define", &format!("_dbpath {}", db.display()), "--define", "_pkgverify_level all"]);
    command
}
