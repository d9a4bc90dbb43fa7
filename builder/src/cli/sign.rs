// SPDX-License-Identifier: GPL-2.0-or-later
//! kmend-build sign: a signature behind a module, for Secure Boot.

use crate::files;
use crate::sign::{Hash, Signer};
use anyhow::{Context, Result};
use clap::Args;
use std::path::PathBuf;

/// Sign a module, as the kernel's own sign-file does.
///
/// A passphrase of the key or PIN of the token is taken from the environment variable KBUILD_SIGN_PIN. The openssl
/// program does the signing. `inspect --verify-cert` checks the result.
#[derive(Args)]
pub struct SignArgs {
    /// The module, not compressed
    #[arg(value_name = "MODULE.ko")]
    module: PathBuf,
    /// The private key: a PEM file, or pkcs11:URI
    #[arg(long, value_name = "FILE|pkcs11:URI")]
    key: String,
    /// Its certificate, PEM or DER
    #[arg(long, value_name = "CERT")]
    cert: PathBuf,
    /// The hash that is signed
    #[arg(long, value_enum, default_value = "sha512")]
    hash: Hash,
    /// Name the key by its identifier, not by the certificate's issuer and serial number (sign-file -k)
    #[arg(long)]
    key_id: bool,
    /// Replace the signature that the module has
    #[arg(long)]
    replace: bool,
    /// The file to write [default: the module itself]
    #[arg(short, long, value_name = "OUT.ko")]
    output: Option<PathBuf>,
}

/// Options of commands that sign what they build.
#[derive(Args)]
pub struct SignWith {
    /// Sign the modules with this private key: a PEM file, or pkcs11:URI; see `sign`
    #[arg(long, value_name = "FILE|pkcs11:URI", requires = "sign_cert")]
    sign_key: Option<String>,
    /// The certificate of that key, PEM or DER
    #[arg(long, value_name = "CERT", requires = "sign_key")]
    sign_cert: Option<PathBuf>,
    /// The hash that is signed
    #[arg(long, value_enum, default_value = "sha512", requires = "sign_key")]
    sign_hash: Hash,
}

impl SignWith {
    /// What to sign with, where it is asked for.
    ///
    /// # Errors
    /// It cannot sign: better said before anything is compiled.
    pub fn signer(&self) -> Result<Option<Signer>> {
        let Some((key, cert)) = self.sign_key.clone().zip(self.sign_cert.clone()) else { return Ok(None) };
        let signer = Signer { key, cert, hash: self.sign_hash, by_key_id: false };
        signer.check()?;
        Ok(Some(signer))
    }
}

/// The most bytes of a module.
const MAX_BYTES: u64 = 1 << 30;

/// Runs the command.
pub fn run(args: &SignArgs) -> Result<()> {
    let signer = Signer { key: args.key.clone(), cert: args.cert.clone(), hash: args.hash, by_key_id: args.key_id };
    let bytes = files::read_at_most(&args.module, MAX_BYTES)?;
    let signed = signer.sign(&bytes, args.replace).with_context(|| format!("cannot sign {}", args.module.display()))?;
    let out = args.output.as_ref().unwrap_or(&args.module);
    files::write(out, &signed)?;
    println!("{}", out.display());
    Ok(())
}
