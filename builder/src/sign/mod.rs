// SPDX-License-Identifier: GPL-2.0-or-later
//! Signs modules as the kernel's scripts/sign-file does: a module, a key and a certificate in, the module with the
//! signature behind it out. The `openssl` program does the signing; a passphrase or PIN is passed only in the
//! environment variable KBUILD_SIGN_PIN.

mod openssl;
#[cfg(test)]
mod tests;

use crate::elf::read::{read, Take};
use crate::error::Ended;
use crate::inspect::signature::{self, INFO, MAGIC, PKCS7};
use anyhow::{anyhow, bail, ensure, Context, Result};
use clap::ValueEnum;
use openssl::Openssl;
use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

/// The variable that holds the key's passphrase or the token's PIN, as for scripts/sign-file.
pub const PIN: &str = "KBUILD_SIGN_PIN";

/// What [`PIN`] holds; the first call takes it out of this process's environment, so that no other program is started with it. To be
/// called before there are threads.
pub fn pin() -> Option<&'static OsStr> {
    static TAKEN: OnceLock<Option<OsString>> = OnceLock::new();
    let taken = TAKEN.get_or_init(|| {
        let pin = std::env::var_os(PIN);
        std::env::remove_var(PIN);
        pin
    });
    taken.as_deref()
}

/// The hash that is signed. The kernel must know it (CONFIG_MODULE_SIG_SHA256 …).
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Hash {
    /// SHA-256
    Sha256,
    /// SHA-512
    Sha512,
}

impl Hash {
    fn name(self) -> &'static str {
        match self {
            Self::Sha256 => "sha256",
            Self::Sha512 => "sha512",
        }
    }
}

/// What to sign with.
#[derive(Clone, Debug)]
pub struct Signer {
    /// A PEM file, or `pkcs11:…` (RFC 7512).
    pub key: String,
    /// The certificate of that key, PEM or DER.
    pub cert: PathBuf,
    /// What is signed.
    pub hash: Hash,
    /// Name the key by its identifier instead of the certificate's issuer and serial number (`sign-file -k`).
    pub by_key_id: bool,
}

impl Signer {
    /// Signs a few bytes, to see that it can.
    ///
    /// # Errors
    /// As [`Signer::sign`].
    pub fn check(&self) -> Result<()> {
        const PROBE: &[u8] = b"kmend";
        let openssl = Openssl::new()?;
        let der = openssl.sign(PROBE, self)?;
        let why =
            |reason| anyhow!("the key {} is not that of the certificate {}: {reason}", self.key, self.cert.display());
        openssl.verify(PROBE, &der, &self.cert)?.map_err(why)
    }

    /// `ko` with a signature behind it; one that it has already gives way where `replace` says so.
    ///
    /// # Errors
    /// Bytes that are no module; one that is signed; whatever openssl finds wrong with key and certificate.
    pub fn sign(&self, ko: &[u8], replace: bool) -> Result<Vec<u8>> {
        let content = match signature::split(ko).context("the signature that it has is malformed")? {
            None => ko,
            Some(parts) if replace => parts.content,
            Some(_) => bail!("it is already signed: --replace replaces the signature"),
        };
        ensure!(
            content.starts_with(b"\x7fELF"),
            "it is not a module; modules are signed before they are compressed: unpack a compressed one first"
        );
        read(content, Take::NoDebug).context("it is no sound module")?;
        let der = Openssl::new()?.sign(content, self)?;
        let signed = [content, &der, &info(der.len())?, MAGIC].concat();
        verify(&signed, "the module", &self.cert).context("the new signature is not valid; nothing was written")?;
        Ok(signed)
    }
}

/// `struct module_signature` (include/linux/module_signature.h): only id_type and the big-endian sig_len are set.
fn info(len: usize) -> Result<[u8; INFO]> {
    let len = u32::try_from(len).context("the signature is too long")?;
    let mut info = [0; INFO];
    info[2] = PKCS7;
    info[8..].copy_from_slice(&len.to_be_bytes());
    Ok(info)
}

/// Checks that the key of `cert` has signed the module `ko`, which messages call `name`. Dates and issuers of the certificate are not looked at, as
/// the kernel does not.
///
/// # Errors
/// [`Ended`], where it has not; a certificate that cannot be read.
pub fn verify(ko: &[u8], name: &str, cert: &Path) -> Result<()> {
    let not = |reason: String| Ended::not_verified(name, &reason);
    let openssl = Openssl::new()?;
    openssl.check_cert(cert)?;
    let parts = match signature::split(ko) {
        Ok(Some(parts)) => parts,
        Ok(None) => return Err(not("it has none".into()).into()),
        Err(error) => return Err(not(format!("{error:#}")).into()),
    };
    if parts.id_type != PKCS7 {
        return Err(not(format!("it is of type {}, not PKCS#7", parts.id_type)).into());
    }
    if !parts.is_plain {
        return Err(
            not("it has bytes in front of its length that are not zero, which the kernel refuses".into()).into()
        );
    }
    if !signature::is_detached(parts.der) {
        return Err(not("it is not a detached PKCS#7 signature, which the kernel requires".into()).into());
    }
    openssl.verify(parts.content, parts.der, cert)?.map_err(|reason| not(reason).into())
}
