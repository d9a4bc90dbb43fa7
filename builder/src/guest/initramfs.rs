// SPDX-License-Identifier: GPL-2.0-or-later
//! What every guest gets: a machine in, an initramfs with busybox and an init out, to which its own files are added.

use crate::guest::cpio::Archive;
use crate::guest::machine::Machine;
use anyhow::Result;

const INIT: &str = include_str!("init.sh");
const LIB: &str = include_str!("lib.sh");
const TRACE: &str = include_str!("trace.sh");

/// An archive that runs `/s/NAME/run.sh` of each of `names`; `live` are the live patches that one of them may leave behind.
pub fn running(names: &[&str], live: &[&str], machine: &Machine) -> Result<Archive> {
    let mut archive = base(INIT, machine)?;
    archive.file("/lib.sh", LIB.as_bytes());
    archive.file("/trace.sh", TRACE.as_bytes());
    archive.file("/order", lines(names).as_bytes());
    archive.file("/live-patches", lines(live).as_bytes());
    archive.dir("/s");
    archive.dir("/modules");
    Ok(archive)
}

/// An archive with busybox, the mount points, `init`, and the name of the port on which it tells.
pub fn base(init: &str, machine: &Machine) -> Result<Archive> {
    let mut archive = Archive::default();
    for dir in ["/bin", "/dev", "/proc", "/sys", "/tmp"] {
        archive.dir(dir);
    }
    archive.program("/bin/busybox", &machine.busybox()?);
    archive.file("/facts", lines(&[machine.facts]).as_bytes());
    archive.program("/init", init.as_bytes());
    Ok(archive)
}

fn lines(words: &[&str]) -> String {
    words.iter().map(|w| format!("{w}\n")).collect()
}
