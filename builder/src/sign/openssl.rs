// SPDX-License-Identifier: GPL-2.0-or-later
//! Runs the `openssl` program: bytes and key names in, DER or its error message out. No secret is on its command line.

use super::{Signer, PIN};
use anyhow::{bail, ensure, Context, Result};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

/// A folder for what goes to openssl and comes from it.
pub struct Openssl {
    work: tempfile::TempDir,
}

impl Openssl {
    /// Makes the folder.
    pub fn new() -> Result<Self> {
        let work =
            tempfile::Builder::new().prefix("kmend-sign-").tempdir().context("cannot make a temporary folder")?;
        Ok(Self { work })
    }

    /// The detached signature of `content`, DER.
    pub fn sign(&self, content: &[u8], signer: &Signer) -> Result<Vec<u8>> {
        let cert = self.check_cert(&signer.cert)?;
        let (module, out) = (self.put("module", content)?, self.work.path().join("signature"));
        let mut command = openssl();
        // The flags of scripts/sign-file: detached is the default.
        command.args(["cms", "-sign", "-binary", "-noattr", "-nocerts", "-nosmimecap", "-outform", "DER"]);
        command.args(["-md", signer.hash.name()]).args(signer.by_key_id.then_some("-keyid"));
        command.arg("-signer").arg(cert).arg("-in").arg(module).arg("-out").arg(&out);
        // An empty one where there is none, lest openssl asks the terminal.
        command.env(PIN, super::pin().unwrap_or_default()).args(["-passin", &format!("env:{PIN}")]);
        if signer.key.starts_with("pkcs11:") {
            check_uri(&signer.key)?;
            command.args(Self::token()?).args(["-inkey", &signer.key]);
        } else {
            let key = Path::new(&signer.key);
            ensure!(key.is_file(), "there is no key {}: name a PEM file, or pkcs11:URI", key.display());
            command.arg("-inkey").arg(absolute(key)?);
        }
        let ran = run(&mut command)?;
        if !ran.status.success() {
            let pin = match super::pin() {
                None => format!("; {PIN} is not set: a passphrase or PIN is taken from there"),
                Some(_) => format!("; the passphrase or PIN was taken from {PIN}"),
            };
            bail!(
                "openssl cannot sign with the key {} and the certificate {}: {}{pin}",
                signer.key,
                signer.cert.display(),
                words(&ran)
            );
        }
        crate::files::read(&out)
    }

    /// Whether `der` is a signature of `content` by the key of `cert`; if not, why.
    pub fn verify(&self, content: &[u8], der: &[u8], cert: &Path) -> Result<Result<(), String>> {
        let (module, signature) = (self.put("module", content)?, self.put("signature", der)?);
        let mut command = openssl();
        command.args(["cms", "-verify", "-binary", "-inform", "DER", "-noverify", "-nointern", "-out", "/dev/null"]);
        command.arg("-in").arg(signature).arg("-content").arg(module).arg("-certfile").arg(self.check_cert(cert)?);
        let ran = run(&mut command)?;
        Ok(if ran.status.success() { Ok(()) } else { Err(words(&ran)) })
    }

    /// Checks that `cert` is a certificate, and gives a copy of it that all versions of openssl read.
    pub fn check_cert(&self, cert: &Path) -> Result<PathBuf> {
        let bytes = crate::files::read(cert).context("the certificate")?;
        let form = if bytes.first() == Some(&0x30) { "DER" } else { "PEM" };
        let out = self.work.path().join("certificate.pem");
        let mut command = openssl();
        command.args(["x509", "-inform", form, "-outform", "PEM", "-in"]).arg(self.put("certificate", &bytes)?);
        let ran = run(command.arg("-out").arg(&out))?;
        ensure!(ran.status.success(), "{} is not an X.509 certificate in PEM or DER: {}", cert.display(), words(&ran));
        Ok(out)
    }

    /// What makes openssl read keys from tokens: the provider where it is installed, else the engine.
    fn token() -> Result<&'static [&'static str]> {
        let works = |args: &[&str]| run(openssl().args(args)).map(|ran| ran.status.success());
        if works(&["list", "-providers", "-provider", "pkcs11"])? {
            return Ok(&["-provider", "default", "-provider", "pkcs11"]);
        }
        if works(&["engine", "pkcs11"])? {
            return Ok(&["-engine", "pkcs11", "-keyform", "engine"]);
        }
        bail!(
            "this openssl cannot read keys from tokens: install its pkcs11 provider (pkcs11-provider) or engine \
             (libengine-pkcs11-openssl in Debian, openssl-pkcs11 in Fedora)"
        )
    }

    fn put(&self, name: &str, bytes: &[u8]) -> Result<PathBuf> {
        let path = self.work.path().join(name);
        std::fs::write(&path, bytes).with_context(|| format!("cannot write {}", path.display()))?;
        Ok(path)
    }
}

/// A URI is on openssl's command line, where all users of the machine can read it.
fn check_uri(uri: &str) -> Result<()> {
    ensure!(
        !uri.to_ascii_lowercase().contains("pin-value"),
        "the key's URI holds a PIN, which other users could read: leave pin-value out and set {PIN}"
    );
    Ok(())
}

fn openssl() -> Command {
    let mut command = Command::new("openssl");
    command.stdin(Stdio::null()).env("LC_ALL", "C");
    command
}

fn run(command: &mut Command) -> Result<Output> {
    command.output().context("cannot start openssl, which signs modules and checks signatures: install it")
}

fn absolute(path: &Path) -> Result<PathBuf> {
    std::path::absolute(path).with_context(|| path.display().to_string())
}

/// What openssl said, without its numbers: `40…:error:0A…:lib:function:reason:file:line:` gives the reason.
fn words(ran: &Output) -> String {
    let text = String::from_utf8_lossy(&ran.stderr);
    let line = |line: &str| -> String {
        let short = match line.split_once(":error:") {
            Some((_, rest)) => {
                let parts: Vec<&str> = rest.splitn(5, ':').collect();
                let end = parts.get(3).copied().unwrap_or(rest);
                end.to_string()
            }
            None => line.to_string(),
        };
        short.chars().filter(|c| !c.is_control()).take(200).collect()
    };
    let mut lines: Vec<String> = text.lines().map(line).filter(|l| !l.trim().is_empty()).collect();
    lines.dedup();
    lines.truncate(6);
    if lines.is_empty() {
        format!("it ended with {}", ran.status)
    } else {
        lines.join("; ")
    }
}
