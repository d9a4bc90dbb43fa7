// SPDX-License-Identifier: GPL-2.0-or-later
//! How the running kernel keeps what a section holds: a section of an object or of a module in, its [`Storage`] out.
//! Twins that are kept in different ways are different things, even if their bytes are the same.
//!
//! Sources: include/asm-generic/vmlinux.lds.h, include/linux/{init,cache,percpu-defs}.h, kernel/module/main.c
//! (module_init_layout_section, layout_sections, ro_after_init), kernel/module/strict_rwx.c.

use crate::elf::Section;
use std::fmt;

/// How the running kernel keeps a function or a datum.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Storage {
    /// Freed once the kernel or module has started.
    Init,
    /// Called or read only when the module is removed; built-in code of this class does not exist at run time.
    Exit,
    /// Code.
    Text,
    /// Never writable.
    ReadOnly,
    /// Writable until the kernel or module has started.
    RoAfterInit,
    /// The initial value of a per-CPU variable: each processor has a copy elsewhere.
    PerCpu,
    /// Writable.
    Data,
}

impl Storage {
    /// What a section of this name and these flags becomes when it is loaded.
    pub fn of(section: &Section) -> Self {
        let name = section.name.as_str();
        let starts = |all: &[&str]| all.iter().any(|start| name.starts_with(start));
        if starts(&[".init", ".meminit", ".head.", ".dtb.init", ".con_initcall.init", ".x86_cpu_dev.init"])
            || name.ends_with("_init.init")
            || name == "__setup"
        {
            return Self::Init;
        }
        if starts(&[".exit", ".memexit"]) {
            return Self::Exit;
        }
        if section.is_text() {
            return Self::Text;
        }
        if starts(&[".data..percpu"]) {
            return Self::PerCpu;
        }
        if starts(&[".data..ro_after_init", ".bss..ro_after_init"]) {
            return Self::RoAfterInit;
        }
        // Constants that hold addresses: writable for the linker only (RO_DATA).
        if !section.is_writable() || starts(&[".data.rel.ro", ".rodata", ".ref.rodata"]) {
            return Self::ReadOnly;
        }
        Self::Data
    }

    /// True if code that runs later may neither call nor read it.
    pub fn is_gone(self) -> bool {
        matches!(self, Self::Init | Self::Exit)
    }

    /// True if a write is a page fault once the kernel or module has started.
    pub fn is_read_only(self) -> bool {
        matches!(self, Self::Text | Self::ReadOnly | Self::RoAfterInit)
    }

    /// True if what the running kernel keeps in the way `self` cannot serve code that was compiled for `wanted`.
    pub fn cannot_serve(self, wanted: Self) -> bool {
        match (self, wanted) {
            _ if self == wanted => false,
            // The new code asks for less than there is: it neither writes nor runs what stays.
            (Self::Data, Self::ReadOnly | Self::RoAfterInit) | (Self::RoAfterInit, Self::ReadOnly) => false,
            (Self::ReadOnly, Self::RoAfterInit) => false,
            // Only code and data of the start may use it now, and these have run.
            (_, Self::Init | Self::Exit) => self == Self::PerCpu,
            _ => true,
        }
    }
}

/// Places that the kernel knows by their address, beyond how their memory is kept: what a section of this name is among; None for
/// most.
pub fn area(section: &str) -> Option<&'static str> {
    // asm-generic/vmlinux.lds.h; arch/x86/kernel/vmlinux.lds.S and mm/mem_encrypt; kernel/power/snapshot.c.
    const AREAS: &[(&[&str], &str)] = &[
        (&[".sched.text"], "the code of the scheduler (`__sched`)"),
        (&[".spinlock.text"], "the code of locks (`__lockfunc`)"),
        (&[".cpuidle.text"], "the code of idle loops (`__cpuidle`)"),
        (&[".irqentry.text"], "the entries of interrupts (`__irq_entry`)"),
        (&[".softirqentry.text"], "the entries of soft interrupts (`__softirq_entry`)"),
        (&[".kprobes.text"], "the code that is closed to kprobes (`__kprobes`)"),
        (&[".noinstr.text"], "the code that is closed to tracing (`noinstr`)"),
        (&[".entry.text"], "the entries of the kernel"),
        (&[".data..decrypted", ".bss..decrypted"], "memory that is not encrypted (`__bss_decrypted` and its like)"),
        (&[".data..nosave"], "memory that hibernation leaves out (`__nosavedata`)"),
    ];
    let is_in =
        |start: &&&str| section.strip_prefix(**start).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'));
    AREAS.iter().find(|(starts, _)| starts.iter().any(|start| is_in(&start))).map(|(_, what)| *what)
}

impl fmt::Display for Storage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Init => "memory that is freed once the kernel or module has started",
            Self::Exit => "code or data for the module's removal",
            Self::Text => "code",
            Self::ReadOnly => "read-only memory",
            Self::RoAfterInit => "memory that is read-only after init",
            Self::PerCpu => "per-CPU memory",
            Self::Data => "writable memory",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::elf::{SHF_ALLOC, SHF_EXECINSTR, SHF_WRITE};

    fn of(name: &str, flags: u32) -> Storage {
        Storage::of(&Section { name: name.into(), flags: u64::from(SHF_ALLOC | flags), ..Section::default() })
    }

    #[test]
    fn sections() {
        for (name, flags, storage) in [
            (".text.f", SHF_EXECINSTR, Storage::Text),
            (".noinstr.text", SHF_EXECINSTR, Storage::Text),
            (".init.text", SHF_EXECINSTR, Storage::Init),
            (".init.rodata", 0, Storage::Init),
            (".init.data..read_mostly", SHF_WRITE, Storage::Init),
            (".exit.text", SHF_EXECINSTR, Storage::Exit),
            (".rodata.x", 0, Storage::ReadOnly),
            (".data.rel.ro.local.x", SHF_WRITE, Storage::ReadOnly),
            (".data..ro_after_init", SHF_WRITE, Storage::RoAfterInit),
            (".data..percpu..shared_aligned", SHF_WRITE, Storage::PerCpu),
            (".data..read_mostly", SHF_WRITE, Storage::Data),
            (".bss.x", SHF_WRITE, Storage::Data),
        ] {
            assert_eq!(of(name, flags), storage, "{name}");
        }
    }

    #[test]
    fn areas() {
        assert!(area(".sched.text").is_some() && area(".sched.text.f").is_some());
        assert_eq!(area(".data..decrypted"), area(".bss..decrypted"));
        for none in [".text", ".text.sched", ".sched.textx", ".data..read_mostly"] {
            assert_eq!(area(none), None, "{none}");
        }
    }

    #[test]
    fn what_serves() {
        use Storage::*;
        for (running, wanted) in [
            (Init, Text),
            (Init, Data),
            (Init, ReadOnly),
            (Exit, Text),
            (RoAfterInit, Data),
            (ReadOnly, Data),
            (PerCpu, Data),
            (Data, PerCpu),
            (ReadOnly, PerCpu),
            (PerCpu, ReadOnly),
            (PerCpu, Init),
        ] {
            assert!(running.cannot_serve(wanted), "{running:?} for {wanted:?}");
        }
        for (running, wanted) in [
            (Data, ReadOnly),
            (Data, RoAfterInit),
            (RoAfterInit, ReadOnly),
            (Text, Init),
            (Data, Init),
            (Data, Data),
            (Init, Init),
        ] {
            assert!(!running.cannot_serve(wanted), "{running:?} for {wanted:?}");
        }
    }
}
