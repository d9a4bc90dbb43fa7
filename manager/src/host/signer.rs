// SPDX-License-Identifier: GPL-2.0-or-later
//! Whether the key of a certificate has signed a module: a module's content, its signature and a certificate file in, the reason
//! against it out. The system's openssl does it: every distribution has it and keeps it, and kmend stays free of cryptography.
//! As in the kernel, dates and issuers of the certificate are not looked at. What openssl reads are files in memory.

use super::{modes, Host};
use crate::files;
use crate::module::signature::Parts;
use rustix::fs::{memfd_create, MemfdFlags};
use std::fs::File;
use std::io::Write;
use std::os::fd::AsRawFd;
use std::process::{Command, Output, Stdio};

/// A larger file is no certificate.
const LARGEST: u64 = 1 << 20;

/// Why a module is not taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The signature is not one of that key, or not of that module.
    Signature(String),
    /// It cannot be checked: the certificate or openssl is missing.
    Check(String),
}

/// Checks that the key of the certificate `cert` (a path of the host's) has made the signature.
///
/// # Errors
/// [`Fault`].
pub fn verify(host: &Host, parts: &Parts<'_>, cert: &str) -> Result<(), Fault> {
    let cert = certificate(host, cert).map_err(Fault::Check)?;
    let run = || -> std::io::Result<Output> {
        let [content, signature, cert] = [in_memory(parts.content)?, in_memory(parts.der)?, in_memory(&cert)?];
        let mut openssl = openssl();
        openssl.args(["cms", "-verify", "-binary", "-inform", "DER", "-noverify", "-nointern", "-out", "/dev/null"]);
        openssl.args(["-in", &path(&signature), "-content", &path(&content), "-certfile", &path(&cert)]);
        openssl.output()
    };
    let ran = run().map_err(|error| Fault::Check(cannot(&error)))?;
    if ran.status.success() {
        return Ok(());
    }
    Err(Fault::Signature(words(&ran)))
}

/// The certificate in PEM.
fn certificate(host: &Host, path: &str) -> Result<Vec<u8>, String> {
    let cannot_read = |error: std::io::Error| format!("the certificate {path} cannot be read: {error}");
    let file = files::open(&host.at(path)).map_err(cannot_read)?;
    if let Some(fault) = file.metadata().ok().and_then(|meta| modes::fault(&meta)) {
        return Err(format!("the certificate {path} is not used: {fault}"));
    }
    let bytes = files::whole(&file, LARGEST).map_err(cannot_read)?;
    // One in DER is a sequence; PEM is text.
    let form = if bytes.first() == Some(&0x30) { "DER" } else { "PEM" };
    let run = || -> std::io::Result<Output> {
        let file = in_memory(&bytes)?;
        openssl().args(["x509", "-inform", form, "-outform", "PEM", "-in", &self::path(&file)]).output()
    };
    let ran = run().map_err(|error| cannot(&error))?;
    if !ran.status.success() {
        return Err(format!("{path} is not an X.509 certificate in PEM or DER: {}", words(&ran)));
    }
    Ok(ran.stdout)
}

fn openssl() -> Command {
    let mut command = Command::new("openssl");
    command.stdin(Stdio::null()).env("LC_ALL", "C");
    command
}

fn cannot(error: &std::io::Error) -> String {
    format!("openssl, which checks signatures, cannot be run: {error}")
}

/// A file that has no name.
fn in_memory(bytes: &[u8]) -> std::io::Result<File> {
    let mut file = File::from(memfd_create("kmend", MemfdFlags::CLOEXEC)?);
    file.write_all(bytes)?;
    Ok(file)
}

/// Where another process finds it while this one has it open.
fn path(file: &File) -> String {
    format!("/proc/{}/fd/{}", std::process::id(), file.as_raw_fd())
}

/// The reason in openssl's last words: `40…:error:0A…:lib:function:reason:file:line:`.
fn words(ran: &Output) -> String {
    let text = String::from_utf8_lossy(&ran.stderr);
    let reason = |line: &str| line.split_once(":error:").and_then(|(_, rest)| rest.split(':').nth(3).map(String::from));
    let last = text.lines().rev().find_map(reason);
    last.or_else(|| text.lines().next().map(String::from))
        .unwrap_or_else(|| format!("openssl failed with {}", ran.status))
}
