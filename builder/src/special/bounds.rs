// SPDX-License-Identifier: GPL-2.0-or-later
//! Where special sections stand in a linked kernel: the name of one in, the symbols around it out.

/// The sections whose entries are compared, and what stands in the kernel image before and behind them all. Lists of places
/// that build tools make of the code itself (`__mcount_loc`, `.static_call_sites`) say nothing that it does not say.
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

/// The names of symbols that stand before and behind a special section in the kernel image.
pub fn bounds(table: &str) -> Option<(&'static str, &'static str)> {
    COMPARED.iter().find(|(name, ..)| *name == table).map(|&(_, start, end)| (start, end))
}
