// SPDX-License-Identifier: GPL-2.0-or-later
//! Where a linked kernel has its special sections: the name of a section in, the symbols at its start and end out.

/// The sections whose entries are compared, and the symbols at the start and the end of each in the kernel image. Lists of places
/// that build tools derive from the code itself (`__mcount_loc`, `.static_call_sites`) add nothing to it.
const COMPARED: &[(&str, &str, &str)] = &[
    ("__bug_table", "__start___bug_table", "__stop___bug_table"),
    ("__ex_table", "__start___ex_table", "__stop___ex_table"),
    ("__jump_table", "__start___jump_table", "__stop___jump_table"),
    (".altinstructions", "__alt_instructions", "__alt_instructions_end"),
    (".parainstructions", "__parainstructions", "__parainstructions_end"),
    (".smp_locks", "__smp_locks", "__smp_locks_end"),
    ("__ftr_fixup", "__start___ftr_fixup", "__stop___ftr_fixup"),
    ("__mmu_ftr_fixup", "__start___mmu_ftr_fixup", "__stop___mmu_ftr_fixup"),
    ("__fw_ftr_fixup", "__start___fw_ftr_fixup", "__stop___fw_ftr_fixup"),
    ("__lwsync_fixup", "__start___lwsync_fixup", "__stop___lwsync_fixup"),
    ("__barrier_nospec_fixup", "__start___barrier_nospec_fixup", "__stop___barrier_nospec_fixup"),
];

/// The symbols at the start and the end of a special section in the kernel image.
pub fn bounds(table: &str) -> Option<(&'static str, &'static str)> {
    COMPARED.iter().find(|(name, ..)| *name == table).map(|&(_, start, end)| (start, end))
}
