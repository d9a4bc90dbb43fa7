// SPDX-License-Identifier: GPL-2.0-or-later
//! How the running kernel keeps what is at an address of its image, or at a place of a shipped module; and which
//! functions of it an indirect call may enter.
//!
//! Sources: include/asm-generic/{vmlinux.lds.h,sections.h}, arch/x86/kernel/alternative.c (apply_seal_endbr).

use super::Image;
use crate::elf::Section;
use crate::image::module::Module;
use crate::image::shipped::Spot;
use crate::section_table::ENDBR_SEAL;
use crate::special::storage::Storage;
use std::collections::BTreeSet;

/// Symbols of the linker script around each class, the innermost first: where two areas overlap, the first counts.
const AREAS: &[(&str, &str, Storage)] = &[
    // On x86_64 and powerpc this is within the init area.
    ("__per_cpu_start", "__per_cpu_end", Storage::PerCpu),
    ("_sinittext", "_einittext", Storage::Init),
    ("__init_begin", "__init_end", Storage::Init),
    ("_stext", "_etext", Storage::Text),
    ("__start_ro_after_init", "__end_ro_after_init", Storage::RoAfterInit),
    ("__start_rodata", "__end_rodata", Storage::ReadOnly),
    ("_sdata", "_edata", Storage::Data),
    ("__bss_start", "__bss_stop", Storage::Data),
];

impl Image {
    /// How the running kernel keeps what is at `address`; None if the image does not say.
    pub fn storage(&self, address: u64) -> Option<Storage> {
        let at = |name: &str| self.kallsyms.named(name).next().map(|s| s.address);
        let holds = |start: &str, end: &str| match (at(start), at(end)) {
            (Some(start), Some(end)) => (start..end).contains(&address),
            _ => false,
        };
        AREAS.iter().find(|(start, end, _)| holds(start, end)).map(|&(_, _, storage)| storage)
    }

    /// The addresses of the functions whose ENDBR the kernel overwrites when it starts; None for a kernel without
    /// CONFIG_X86_KERNEL_IBT.
    pub fn sealed(&self) -> Option<BTreeSet<u64>> {
        let at = |name: &str| self.kallsyms.named(name).next().map(|s| s.address);
        let (start, end) = (at("__ibt_endbr_seal")?, at("__ibt_endbr_seal_end")?);
        let entries = self.bytes(start, end.checked_sub(start)?)?.chunks_exact(4);
        let places = (start..).step_by(4);
        let distance = |entry: &[u8]| i64::from(i32::from_le_bytes([entry[0], entry[1], entry[2], entry[3]]));
        Some(entries.zip(places).map(|(entry, place)| place.wrapping_add_signed(distance(entry))).collect())
    }
}

impl Module {
    /// How the kernel keeps what is at `spot` once the module is loaded.
    pub fn storage(&self, spot: Spot) -> Option<Storage> {
        self.object.sections.get(spot.space).filter(|_| spot.space != 0).map(Storage::of)
    }

    /// The functions of the module whose ENDBR the kernel overwrites when it loads the module.
    pub fn sealed(&self) -> BTreeSet<Spot> {
        let lists = self.object.sections.iter().filter(|s: &&Section| s.name == ENDBR_SEAL);
        let places = lists.flat_map(|s| &s.relocs).filter_map(|r| {
            let symbol = &self.object.symbols[r.symbol];
            Some(Spot { space: symbol.section()?, at: symbol.value.wrapping_add_signed(r.addend) })
        });
        places.collect()
    }
}
