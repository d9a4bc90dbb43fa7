// SPDX-License-Identifier: GPL-2.0-or-later
//! What differs between the machines that guests run on: a kernel's architecture in, QEMU's words, device names and a busybox
//! out.

use crate::files;
use crate::target::distro;
use anyhow::{ensure, Context, Result};
use kmend_shared::arch::ArchNames;
use kmend_shared::{cache, programs};
use std::path::{Path, PathBuf};

/// The machine that QEMU makes for kernels of one architecture.
#[derive(Debug)]
pub struct Machine {
    /// The architecture, by `uname -m`.
    pub arch: &'static str,
    /// The emulator's name, and the package of it in Debian and Fedora.
    qemu: (&'static str, &'static str),
    /// What it makes.
    pub args: &'static [&'static str],
    /// The kernel's name of the first serial port, on which its log goes.
    pub console: &'static str,
    /// The second one's, on which the guest tells what it sees.
    pub facts: &'static str,
    /// Words for every kernel's command line.
    pub append: &'static str,
    /// The architecture of an ELF program for it.
    elf: object::Architecture,
}

/// All machines, by architecture.
const MACHINES: &[Machine] = &[
    Machine {
        arch: "x86_64",
        qemu: ("qemu-system-x86_64", "qemu-system-x86"),
        args: &["-machine", "pc", "-cpu", "max"],
        console: "ttyS0",
        facts: "ttyS1",
        // The kernel counts timer interrupts while it calibrates its clock, and panics where a busy machine let QEMU have no time.
        append: "no_timer_check",
        elf: object::Architecture::X86_64,
    },
    Machine {
        arch: "ppc64le",
        qemu: ("qemu-system-ppc64", "qemu-system-ppc"),
        // A terminal of the hypervisor for each -serial. The translator has none of the mitigations that the
        // machine offers, and says so for each that is left on.
        args: &["-machine", "pseries,cap-cfpc=broken,cap-sbbc=broken,cap-ibs=broken", "-cpu", "power9", "-vga", "none"],
        console: "hvc0",
        facts: "hvc1",
        append: "",
        elf: object::Architecture::PowerPc64,
    },
];

impl Machine {
    /// The machine for kernels of `arch` (`uname -m`).
    pub fn of(arch: &str) -> Result<&'static Machine> {
        MACHINES.iter().find(|m| m.arch == arch).with_context(|| {
            let known: Vec<&str> = MACHINES.iter().map(|m| m.arch).collect();
            format!("guests of {arch} cannot be made here; known are {}", known.join(", "))
        })
    }

    /// The emulator's name.
    pub fn qemu_name(&self) -> &'static str {
        self.qemu.0
    }

    /// Whether this computer's own processors could run the guest's code.
    pub fn is_native(&self) -> bool {
        self.arch == kmend_shared::arch::host()
    }

    /// The emulator: the machine's, else the one that `cargo xtask deps` unpacked into the cache folder.
    ///
    /// # Errors
    /// There is none.
    pub fn emulator(&self) -> Result<PathBuf> {
        let (name, package) = self.qemu;
        let own = files::cache_dir()?.join(cache::PROGRAMS).join(package).join("bin").join(name);
        programs::find(name)
            .or_else(|| own.is_file().then_some(own))
            .with_context(|| {
                format!(
                    "{name} is not in PATH: install the package {package} (Debian and Fedora call it so; in kmend's repository \
                     `cargo xtask deps` does)"
                )
            })
    }

    /// A static busybox for the guest: this computer's own, else one out of the packages of its distribution, which the cache
    /// keeps.
    ///
    /// # Errors
    /// There is none that runs in the guest by itself, and none can be fetched.
    pub fn busybox(&self) -> Result<Vec<u8>> {
        let good = |path: &PathBuf| files::read(path).ok().filter(|data| self.check_program(data).is_ok());
        if let Some(data) = self.own_busyboxes().iter().find_map(good) {
            return Ok(data);
        }
        let kept = files::cache_dir()?.join("busybox").join(format!("busybox-{}", self.arch));
        let _lock = files::lock(&kept.with_extension("lock"), "fetches the same busybox")?;
        if let Some(data) = good(&kept) {
            return Ok(data);
        }
        let fetched = distro::of_machine().and_then(|distro| distro.busybox(ArchNames::named(self.arch)?));
        let data = fetched.with_context(|| {
            let arch = self.arch;
            format!(
                "a guest of {arch} needs a statically linked busybox, and there is none: put one into a folder of \
                 PATH as busybox-{arch} (Debian's package is busybox-static; Fedora's and EPEL's busybox is static)"
            )
        })?;
        self.check_program(&data).context("the busybox that was fetched")?;
        files::write(&kept, &data)?;
        Ok(data)
    }

    /// Where this computer may have a busybox for the guest.
    fn own_busyboxes(&self) -> Vec<PathBuf> {
        let mut places: Vec<PathBuf> = programs::find(format!("busybox-{}", self.arch)).into_iter().collect();
        if self.is_native() {
            places.extend(programs::find("busybox"));
            places.extend(["/usr/bin", "/bin", "/usr/sbin", "/sbin"].map(|folder| Path::new(folder).join("busybox")));
        }
        places
    }

    /// Whether an ELF program runs in a guest by itself: its architecture is the guest's, and it wants no
    /// interpreter (PT_INTERP).
    fn check_program(&self, data: &[u8]) -> Result<()> {
        use object::read::elf::{ElfFile64, ProgramHeader};
        use object::Object;
        let file = ElfFile64::<object::Endianness>::parse(data).context("not a 64-bit ELF program")?;
        ensure!(file.architecture() == self.elf, "a program for {:?}, not for {}", file.architecture(), self.arch);
        ensure!(file.is_little_endian(), "a big-endian program");
        let interpreted = file.elf_program_headers().iter().any(|s| s.p_type(file.endian()) == object::elf::PT_INTERP);
        ensure!(!interpreted, "not a static program, so it cannot run in an initramfs by itself");
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use object::write;

    fn program(arch: object::Architecture, endian: object::Endianness) -> Vec<u8> {
        let mut o = write::Object::new(object::BinaryFormat::Elf, arch, endian);
        o.add_section(Vec::new(), b".text".to_vec(), object::SectionKind::Text);
        o.write().expect("writes")
    }

    #[test]
    fn every_architecture_of_targets_has_a_machine() {
        for names in kmend_shared::arch::ARCHES {
            let machine = Machine::of(names.uname).expect("a machine");
            assert_ne!(machine.console, machine.facts);
        }
        let said = Machine::of("m68k").expect_err("unknown").to_string();
        assert!(said.contains("x86_64, ppc64le"), "{said}");
    }

    #[test]
    fn a_program_for_another_machine_is_told() {
        use object::{Architecture, Endianness};
        let ppc = Machine::of("ppc64le").expect("a machine");
        ppc.check_program(&program(Architecture::PowerPc64, Endianness::Little)).expect("fits");
        for (data, word) in [
            (program(Architecture::X86_64, Endianness::Little), "not for ppc64le"),
            (program(Architecture::PowerPc64, Endianness::Big), "big-endian"),
            (b"#!/bin/sh\n".to_vec(), "not a 64-bit ELF"),
        ] {
            let said = format!("{:#}", ppc.check_program(&data).expect_err(word));
            assert!(said.contains(word), "{said}");
        }
    }
}
