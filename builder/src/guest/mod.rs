// SPDX-License-Identifier: GPL-2.0-or-later
//! One guest: a kernel and an initramfs in, what it told and what its kernel said out. The guest only reports what it sees;
//! who boots it judges.

pub mod cpio;
pub mod initramfs;
pub mod kernellog;
pub mod machine;
pub mod protocol;
pub mod shell;
pub mod shipped;

use crate::files;
use crate::target::tied;
use anyhow::{Context, Result};
use machine::Machine;
use protocol::{Fact, Kind};
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::sync::mpsc::{channel, Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

/// How QEMU runs the guest's code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Accel {
    /// The machine's own virtualisation.
    Kvm,
    /// QEMU's translator: slower, and always there.
    Tcg,
}

impl Accel {
    /// Its name as people have it.
    pub fn name(self) -> &'static str {
        match self {
            Accel::Kvm => "KVM",
            Accel::Tcg => "TCG",
        }
    }
}

/// How a guest came to its end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum End {
    /// It said that it was done.
    Done,
    /// Its kernel died.
    Panic,
    /// It said nothing for too long; the time is how long it was waited for.
    Silent(Duration),
    /// QEMU ended by itself; the text is what it said.
    Gone(String),
    /// It told or logged more than anyone would read.
    Flood,
}

impl End {
    /// What happened, as the rest of "the guest …"; None where it came to its end.
    pub fn fault(&self) -> Option<String> {
        match self {
            End::Done => None,
            End::Panic => Some("died: its kernel panicked".into()),
            End::Silent(time) => Some(format!("said nothing within {} s", time.as_secs())),
            End::Gone(said) => Some(format!("is gone, as QEMU ended by itself: {said}")),
            End::Flood => Some("wrote more than can be kept of its log or its probe".into()),
        }
    }
}

/// What is left of a guest.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// How it ended.
    pub end: End,
    /// What it told, in order.
    pub facts: Vec<Fact>,
    /// What its kernel wrote to the console.
    pub console: String,
}

/// The most that is kept of a guest's console, and of what it tells, in bytes each: a whole host writes some 200 KB.
const MOST: u64 = 32 << 20;

/// The longest line that is read as one; what is longer is no fact.
const LONGEST_LINE: u64 = 128 << 10;

/// Limits of a guest.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// The longest silence: longer than the guest's own limits for a step.
    pub silence: Duration,
    /// The longest life.
    pub life: Duration,
}

/// What runs a guest.
#[derive(Clone, Copy, Debug)]
pub struct Host<'a> {
    /// The guest's machine.
    pub machine: &'a Machine,
    /// How its code is run.
    pub accel: Accel,
    /// A folder for the console's log and what else QEMU wants as a file.
    pub scratch: &'a Path,
}

/// What a guest has beside a kernel and an initramfs, and how it may end.
#[derive(Clone, Copy, Debug, Default)]
pub struct More<'a> {
    /// Words for the kernel's command line.
    pub append: &'a str,
    /// Images of its disks.
    pub disks: &'a [PathBuf],
    /// It boots again when its kernel dies or wants to, and ends by switching itself off.
    pub reboots: bool,
}

/// Boots `kernel` with `initramfs` and follows it until it is done, dead or too slow.
pub fn boot(kernel: &Path, initramfs: &[u8], host: Host, limits: Limits) -> Result<Outcome> {
    boot_more(kernel, initramfs, host, limits, More::default())
}

/// The same with `more`.
pub fn boot_more(kernel: &Path, initramfs: &[u8], host: Host, limits: Limits, more: More) -> Result<Outcome> {
    let ramdisk = host.scratch.join("initramfs.cpio");
    let console = host.scratch.join("console.log");
    files::write(&ramdisk, initramfs)?;
    files::write(&console, b"")?;
    let mut guest = start(kernel, &ramdisk, host, &console, more)?;
    let (end, facts) = follow(&mut guest, limits, &console, more.reboots);
    let end = match (guest.stop(), end) {
        (said, End::Gone(_)) => End::Gone(said),
        (_, end) => end,
    };
    Ok(Outcome { end, facts, console: read_console(&console) })
}

/// A guest's memory, as QEMU takes it.
pub const MEMORY: &str = "1G";

/// The arguments of QEMU for every guest of `machine`.
pub fn arguments(machine: &Machine, accel: Accel) -> impl Iterator<Item = &'static str> {
    // One thread for all processors: with more, a processor can run an int3 of a text patch that is long done
    // (its translated copy of the code is stale), and the guest dies of it.
    let accel = if accel == Accel::Kvm { "kvm" } else { "tcg,thread=single" };
    let always = ["-smp", "2", "-m", MEMORY, "-accel", accel, "-display", "none", "-monitor", "none", "-nic", "none"];
    machine.args.iter().copied().chain(always)
}

/// A running QEMU, ended when dropped.
struct Guest {
    child: Child,
    lines: Receiver<String>,
    errors: PathBuf,
}

impl Guest {
    /// Ends QEMU; what it wrote to stderr comes back.
    fn stop(&mut self) -> String {
        // Killing or waiting fails only where QEMU has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
        std::fs::read_to_string(&self.errors).unwrap_or_default().trim().to_string()
    }
}

impl Drop for Guest {
    fn drop(&mut self) {
        self.stop();
    }
}

fn start(kernel: &Path, ramdisk: &Path, host: Host, console: &Path, more: More) -> Result<Guest> {
    let errors = console.with_extension("qemu");
    let stderr = std::fs::File::create(&errors).with_context(|| format!("cannot write {}", errors.display()))?;
    let machine = host.machine;
    let emulator = machine.emulator()?;
    // It ends with this process, whatever ends that.
    let mut qemu = tied(&emulator);
    qemu.args(arguments(machine, host.accel));
    // A pseries kernel tells the hypervisor that it dies, and QEMU would end then.
    qemu.args(if more.reboots { &["-action", "panic=none"][..] } else { &["-no-reboot"] });
    for disk in more.disks {
        // What a guest that is killed had written is there at its next start.
        qemu.arg("-drive").arg(format!("file={},format=raw,if=virtio,cache=unsafe", disk.display()));
    }
    qemu.arg("-kernel").arg(kernel).arg("-initrd").arg(ramdisk);
    // A WARN stays in the log and is found there; an Oops ends the guest at once.
    let console_name = machine.console;
    let words = ["loglevel=7 oops=panic panic=-1", machine.append, "rdinit=/init", more.append];
    let words: String = words.iter().filter(|w| !w.is_empty()).map(|w| format!(" {w}")).collect();
    qemu.arg("-append").arg(format!("console={console_name}{words}"));
    qemu.arg("-serial").arg(format!("file:{}", console.display()));
    qemu.args(["-chardev", "stdio,id=facts,signal=off", "-serial", "chardev:facts"]);
    let mut child = qemu
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(stderr)
        .spawn()
        .with_context(|| format!("cannot start {}", emulator.display()))?;
    let stdout = child.stdout.take().context("qemu has no stdout")?;
    let (send, lines) = channel();
    std::thread::spawn(move || {
        let mut reader = BufReader::new(stdout);
        let mut line = Vec::new();
        while matches!(reader.by_ref().take(LONGEST_LINE).read_until(b'\n', &mut line), Ok(n) if n > 0) {
            if send.send(String::from_utf8_lossy(&line).into_owned()).is_err() {
                return;
            }
            line.clear();
        }
    });
    Ok(Guest { child, lines, errors })
}

fn follow(guest: &mut Guest, limits: Limits, console: &Path, reboots: bool) -> (End, Vec<Fact>) {
    let begun = Instant::now();
    let mut heard = Instant::now();
    let mut facts = Vec::new();
    let mut told = 0;
    loop {
        match guest.lines.recv_timeout(Duration::from_millis(250)) {
            Ok(line) => {
                heard = Instant::now();
                told += line.len() as u64;
                if told > MOST {
                    return (End::Flood, facts);
                }
                facts.extend(protocol::parse(&line));
                if !reboots && facts.last().is_some_and(|f| f.kind == Kind::Done) {
                    wait_for_console(console, &facts);
                    return (End::Done, facts);
                }
                continue;
            }
            Err(RecvTimeoutError::Disconnected) if reboots && facts.last().is_some_and(|f| f.kind == Kind::Done) => {
                return (End::Done, facts);
            }
            // QEMU is gone; a panic that ended it is in the console's log.
            Err(RecvTimeoutError::Disconnected) => {
                let dead = kernellog::is_fatal(&read_console(console));
                return (if dead { End::Panic } else { End::Gone(String::new()) }, facts);
            }
            Err(RecvTimeoutError::Timeout) => {}
        }
        if !reboots && kernellog::is_fatal(&read_console(console)) {
            // The call trace comes after the line that was found.
            std::thread::sleep(Duration::from_secs(1));
            return (End::Panic, facts);
        }
        if std::fs::metadata(console).is_ok_and(|about| about.len() > MOST) {
            return (End::Flood, facts);
        }
        if heard.elapsed() > limits.silence {
            return (End::Silent(limits.silence), facts);
        }
        if begun.elapsed() > limits.life {
            return (End::Silent(limits.life), facts);
        }
    }
}

/// The console is slower than the facts: waits a little for the end of the last scenario in it.
fn wait_for_console(console: &Path, facts: &[Fact]) {
    let Some(last) = facts.iter().rev().find(|f| f.kind == Kind::End) else { return };
    let mark = format!("kmend-test: end {}", last.scenario);
    for _ in 0..50 {
        if read_console(console).contains(&mark) {
            return;
        }
        std::thread::sleep(Duration::from_millis(100));
    }
}

fn read_console(console: &Path) -> String {
    let mut bytes = Vec::new();
    // There is none yet where QEMU has just begun.
    let _ = std::fs::File::open(console).and_then(|file| file.take(MOST).read_to_end(&mut bytes));
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Whether KVM really runs `kernel`: /dev/kvm can be there and fail. Tried once a boot of this computer, by booting.
pub fn choose_accel(kernel: &Path, machine: &Machine, scratch: &Path) -> Result<Accel> {
    let kvm = Path::new("/dev/kvm");
    if !machine.is_native() || std::fs::OpenOptions::new().read(true).write(true).open(kvm).is_err() {
        return Ok(Accel::Tcg);
    }
    let boot_id = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    let answer = files::cache_dir()?.join("qemu-accel");
    let cached = std::fs::read_to_string(&answer).unwrap_or_default();
    if let Some(known) = cached.strip_prefix(&format!("{} ", boot_id.trim())).filter(|_| !boot_id.trim().is_empty()) {
        return Ok(if known.trim() == "kvm" { Accel::Kvm } else { Accel::Tcg });
    }
    let limits = Limits { silence: Duration::from_secs(20), life: Duration::from_secs(20) };
    let init = "#!/bin/busybox sh\n/bin/busybox mount -t devtmpfs devtmpfs /dev\n\
                printf 'KMEND\\tdone\\t-\\t-\\t\\n' >/dev/$(/bin/busybox cat /facts)\n/bin/busybox sleep 60\n";
    let initramfs = initramfs::base(init, machine)?.finish();
    let trial = boot(kernel, &initramfs, Host { machine, accel: Accel::Kvm, scratch }, limits)?;
    let accel = if trial.end == End::Done { Accel::Kvm } else { Accel::Tcg };
    let word = accel.name().to_lowercase();
    files::write(&answer, format!("{} {word}\n", boot_id.trim()).as_bytes())?;
    Ok(accel)
}
