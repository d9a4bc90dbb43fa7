// SPDX-License-Identifier: GPL-2.0-or-later
//! A guest for a person: a kernel and files in, a shell in it on this terminal, until the person leaves it.

use super::cpio::Archive;
use super::{arguments, initramfs, Host};
use crate::files;
use crate::target::tied;
use anyhow::{ensure, Context, Result};
use std::path::Path;
use std::process::Stdio;

const INIT: &str = include_str!("shell.sh");

/// An archive whose init shows `welcome` and starts a shell. The guest's own files are added to it.
///
/// # Errors
/// There is no busybox.
pub fn archive(welcome: &str, host: Host) -> Result<Archive> {
    let mut archive = initramfs::base(INIT, host.machine)?;
    archive.file("/welcome", welcome.as_bytes());
    archive.dir("/modules");
    Ok(archive)
}

/// Boots `kernel` with `initramfs`, its console on this terminal, and comes back when QEMU has ended.
///
/// # Errors
/// QEMU cannot be started, or ends with an error.
pub fn boot(kernel: &Path, initramfs: &[u8], host: Host) -> Result<()> {
    let ramdisk = host.scratch.join("initramfs.cpio");
    files::write(&ramdisk, initramfs)?;
    let emulator = host.machine.emulator()?;
    let append = format!("console={} quiet panic=-1 rdinit=/init {}", host.machine.console, host.machine.append);
    let mut qemu = tied(&emulator);
    qemu.args(arguments(host.machine, host.accel)).arg("-no-reboot");
    qemu.arg("-kernel").arg(kernel).arg("-initrd").arg(&ramdisk).arg("-append").arg(append);
    // What interrupts a program goes to the guest's, not to QEMU.
    qemu.args(["-chardev", "stdio,id=console,signal=off", "-serial", "chardev:console"]).stdin(Stdio::inherit());
    let status = qemu.status().with_context(|| format!("cannot start {}", emulator.display()))?;
    ensure!(status.success(), "QEMU ended with {status}");
    Ok(())
}
