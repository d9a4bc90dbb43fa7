// SPDX-License-Identifier: GPL-2.0-or-later
//! The machines that live patches are made for: numbers of an ELF header in, the name of `uname -m` out.

use kmend_shared::arch::ArchNames;
use object::elf::{EM_386, EM_AARCH64, EM_ARM, EM_PPC, EM_RISCV, EM_S390};

/// Others, to name them in messages.
const OTHERS: &[(u16, &str)] = &[
    (EM_386, "32-bit x86"),
    (EM_AARCH64, "aarch64"),
    (EM_ARM, "32-bit arm"),
    (EM_PPC, "32-bit powerpc"),
    (EM_RISCV, "riscv"),
    (EM_S390, "s390x"),
];

/// The name, as `uname -m` says it, of a supported machine; `machine` is `e_machine`.
pub fn supported(machine: u16) -> Option<&'static str> {
    ArchNames::of_machine(machine).map(|arch| arch.uname)
}

/// A name for any machine, for messages.
pub fn name(machine: u16) -> String {
    let other = || OTHERS.iter().find(|(number, _)| *number == machine).map(|(_, name)| *name);
    supported(machine).or_else(other).map_or_else(|| format!("machine number {machine}"), Into::into)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn machines_have_the_names_of_uname() {
        assert_eq!(supported(62), Some("x86_64"));
        assert_eq!(supported(21), Some("ppc64le"));
        assert_eq!(supported(183), None);
        assert_eq!(name(183), "aarch64");
        assert_eq!(name(9999), "machine number 9999");
    }
}
