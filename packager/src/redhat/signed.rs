// SPDX-License-Identifier: GPL-2.0-or-later
//! Signatures of RPMs that are made already: a package file's bytes in; whether it is signed, and the same package with
//! another signature, out. Everything but the signature stays as it is.

use crate::signing::Key;
use anyhow::{Context, Result};
use rpm::Package;

/// Whether somebody has signed the RPM `bytes`; who, and whether the signature is good, is not asked.
///
/// # Errors
/// It is no RPM.
pub fn is_signed(bytes: &[u8]) -> Result<bool> {
    Ok(!parse(bytes)?.raw_signatures().context("its signatures")?.is_empty())
}

/// The same RPM, signed by `key` and by nobody else: what [`super::live_patch`] makes with that key.
///
/// # Errors
/// It is no RPM; the key cannot sign.
pub fn sign(bytes: &[u8], key: &Key) -> Result<Vec<u8>> {
    let mut package = parse(bytes)?;
    if !package.raw_signatures().context("its signatures")?.is_empty() {
        package.clear_signatures().context("its signatures")?;
    }
    let built = package.metadata.get_build_time().context("when it was built")?;
    package.sign_with_timestamp(key.rpm(), key.when(i64::try_from(built)?)?).context("it cannot be signed")?;
    let mut bytes = Vec::new();
    package.write(&mut bytes).context("it cannot be written")?;
    Ok(bytes)
}

fn parse(bytes: &[u8]) -> Result<Package> {
    Package::parse(&mut std::io::Cursor::new(bytes)).context("it is no RPM")
}
