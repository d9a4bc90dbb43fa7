// SPDX-License-Identifier: GPL-2.0-or-later
//! The special sections that kmend knows, one row each: arrays in which each entry tells the kernel something about one place in the
//! code. To add one, add a row; the constants at the end name sections that code treats specially.
//!
//! A row has no architecture: a name means the same on all of them, and one that a kernel lacks is in none of its objects.
//!
//! Sources: include/asm-generic/{bug,vmlinux.lds}.h, arch/x86/include/asm/{alternative,jump_label,extable}.h,
//! include/linux/{jump_label,static_call_types,objtool}.h, scripts/sorttable.h, kernel/trace/ftrace.c;
//! arch/powerpc/include/asm/{feature-fixups,synch,barrier,bug,extable,jump_label}.h, arch/{x86,powerpc}/kernel/vmlinux.lds.S.

/// A struct of the kernel that entries are made of.
#[derive(Debug, PartialEq, Eq)]
pub struct CStruct {
    /// Its name in C.
    pub name: &'static str,
    /// The headers that define it; which ones there are depends on kernel and architecture.
    pub headers: &'static [&'static str],
    /// The source that defines it, relative to the tree, where that is no header; and the config option with which it compiles.
    pub source: Option<(&'static str, &'static str)>,
}

/// Struct jump_entry.
pub const JUMP_ENTRY: CStruct = in_header("jump_entry", &["linux/jump_label.h"]);
/// Struct static_call_site.
pub const STATIC_CALL_SITE: CStruct = in_header("static_call_site", &["linux/static_call_types.h"]);
/// Struct fixup_entry, of feature fixups.
pub const FIXUP_ENTRY: CStruct = CStruct {
    source: Some(("CONFIG_PPC", "arch/powerpc/lib/feature-fixups.c")),
    ..in_header("fixup_entry", &["asm/feature-fixups.h"])
};
/// Struct modversion_info, of `__versions`: no special section, but its size is asked for in the same way. Without BTF it is not known.
pub const MODVERSION_INFO: CStruct = in_header("modversion_info", &[]);

const fn in_header(name: &'static str, headers: &'static [&'static str]) -> CStruct {
    CStruct { name, headers, source: None }
}

/// How long an entry is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Size {
    /// `sizeof` of this C struct, as the target's BTF, the object's DWARF or the command line says.
    Struct(&'static CStruct),
    /// One relocated field an entry: size divided by the number of relocations.
    PerReloc,
    /// From one place that an entry of this table names to the next.
    Replacements(&'static str),
    /// From one place that an entry of a table of this struct names first to the next.
    Alternatives(&'static CStruct),
    /// Code that is apart from its function: from one place that other code or this table refers to, to the next.
    OutOfLine(&'static str),
}

/// What happens to the entries of a changed function.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// They are extracted.
    Keep,
    /// They are extracted if something that is extracted refers to them.
    Referenced,
    /// objtool makes them anew when the module is linked.
    MadeByObjtool,
    /// They tell build tools something that is no longer needed.
    Dropped,
}

/// One row of the table.
#[derive(Debug)]
pub struct Row {
    /// Section name; a trailing `*` stands for any end.
    pub name: &'static str,
    /// Entry size.
    pub size: Size,
    /// What happens to its entries.
    pub fate: Fate,
    /// Offset of the field that names the code, bytes from the start of an entry.
    pub code: u64,
    /// The name that the module loader looks for, if it differs.
    pub goes_as: Option<&'static str>,
    /// The symbols at its start and its end in the kernel image: its entries are compared with the shipped ones. None for lists of places
    /// that build tools derive from the code itself (`__mcount_loc`, `.static_call_sites`), which add nothing to it.
    pub bounds: Option<(&'static str, &'static str)>,
    /// What an entry refers to, if the kernel reads that when it loads a module: before it applies the relocations that wait for
    /// another module (kernel/livepatch/core.c, klp_init_object_loaded).
    pub early: Option<&'static str>,
    /// An entry has the line of its source in two bytes directly after the reference to the file's name: how many bytes the struct has
    /// there, padding not counted.
    pub line: Option<usize>,
}

const fn row(name: &'static str, size: Size, fate: Fate) -> Row {
    Row { name, size, fate, code: 0, goes_as: None, bounds: None, early: None, line: None }
}

const fn table(name: &'static str, of: &'static CStruct) -> Row {
    row(name, Size::Struct(of), Fate::Keep)
}

impl Row {
    const fn between(self, start: &'static str, end: &'static str) -> Self {
        Self { bounds: Some((start, end)), ..self }
    }

    const fn read_early(self, what: &'static str) -> Self {
        Self { early: Some(what), ..self }
    }

    /// A table of struct fixup_entry: mask and value come first.
    const fn after_mask_and_value(self) -> Self {
        Self { code: 16, ..self }
    }
}

/// The special sections that kmend knows.
pub const TABLE: &[Row] = &[
    Row {
        // Line and flags, two bytes each.
        line: Some(4),
        ..table("__bug_table", &in_header("bug_entry", &["linux/bug.h"]))
            .between("__start___bug_table", "__stop___bug_table")
    },
    table("__ex_table", &in_header("exception_table_entry", &["linux/extable.h", "asm/extable.h"]))
        .between("__start___ex_table", "__stop___ex_table"),
    table(JUMP_TABLE, &JUMP_ENTRY).between("__start___jump_table", "__stop___jump_table").read_early("a static key"),
    table(STATIC_CALL_SITES, &STATIC_CALL_SITE).read_early("a static call"),
    table(".altinstructions", &in_header("alt_instr", &["asm/alternative.h"]))
        .between("__alt_instructions", "__alt_instructions_end")
        .read_early("an alternative"),
    row(".altinstr_replacement", Size::Replacements(".altinstructions"), Fate::Referenced)
        .read_early("a symbol in an alternative"),
    table(".parainstructions", &in_header("paravirt_patch_site", &["asm/paravirt_types.h"]))
        .between("__parainstructions", "__parainstructions_end"),
    row(".smp_locks", Size::PerReloc, Fate::Keep).between("__smp_locks", "__smp_locks_end"),
    row(".fixup", Size::OutOfLine("__ex_table"), Fate::Referenced),
    row(".altinstr_aux", Size::OutOfLine("__ex_table"), Fate::Referenced),
    table("__ftr_fixup", &FIXUP_ENTRY).after_mask_and_value().between("__start___ftr_fixup", "__stop___ftr_fixup"),
    table("__mmu_ftr_fixup", &FIXUP_ENTRY)
        .after_mask_and_value()
        .between("__start___mmu_ftr_fixup", "__stop___mmu_ftr_fixup"),
    table("__fw_ftr_fixup", &FIXUP_ENTRY)
        .after_mask_and_value()
        .between("__start___fw_ftr_fixup", "__stop___fw_ftr_fixup"),
    row("__ftr_alt_*", Size::Alternatives(&FIXUP_ENTRY), Fate::Referenced),
    row("__lwsync_fixup", Size::PerReloc, Fate::Keep).between("__start___lwsync_fixup", "__stop___lwsync_fixup"),
    // NOSPEC_BARRIER_FIXUP_SECTION fills __barrier_nospec_fixup, and the linker script of the kernel gathers that into
    // __spec_barrier_fixup, but none does so for modules, where module_finalize() looks for the gathered name alone
    // (arch/powerpc/kernel/module.c and vmlinux.lds.S, from 4.19 to 7.3 at least).
    Row {
        goes_as: Some("__spec_barrier_fixup"),
        ..row("__barrier_nospec_fixup", Size::PerReloc, Fate::Keep)
            .between("__start___barrier_nospec_fixup", "__stop___barrier_nospec_fixup")
    },
    row("__spec_barrier_fixup", Size::PerReloc, Fate::Keep),
    row(MCOUNT_LOC, Size::PerReloc, Fate::Keep),
    row(PATCHABLE_ENTRIES, Size::PerReloc, Fate::Keep),
    row(".kcfi_traps", Size::PerReloc, Fate::Keep),
    row(".discard.annotate_data", Size::PerReloc, Fate::Dropped),
    row(".discard.addressable", Size::PerReloc, Fate::Dropped),
    row(".discard.sym_checksum", Size::PerReloc, Fate::Dropped),
    row(KLP_CALLBACKS, Size::PerReloc, Fate::Dropped),
    row(".discard.*", Size::PerReloc, Fate::Keep),
    row(".orc_unwind", Size::Struct(&in_header("orc_entry", &["asm/orc_types.h"])), Fate::MadeByObjtool),
    row(".orc_unwind_ip", Size::PerReloc, Fate::MadeByObjtool),
    row(".orc_header", Size::PerReloc, Fate::MadeByObjtool),
    row(".retpoline_sites", Size::PerReloc, Fate::MadeByObjtool),
    row(".return_sites", Size::PerReloc, Fate::MadeByObjtool),
    row(".call_sites", Size::PerReloc, Fate::MadeByObjtool),
    row(".cfi_sites", Size::PerReloc, Fate::MadeByObjtool),
    row(ENDBR_SEAL, Size::PerReloc, Fate::MadeByObjtool),
    row(".printk_index", Size::PerReloc, Fate::Dropped),
];

/// Jumps that the kernel turns into nops and back.
pub const JUMP_TABLE: &str = "__jump_table";
/// Calls that the kernel directs elsewhere.
pub const STATIC_CALL_SITES: &str = ".static_call_sites";
/// The calls of ftrace, one for each function that it can trace.
pub const MCOUNT_LOC: &str = "__mcount_loc";
/// The same, and padding in front of functions, as compilers list them (-fpatchable-function-entry).
pub const PATCHABLE_ENTRIES: &str = "__patchable_function_entries";
/// The ENDBR instructions that the kernel overwrites.
pub const ENDBR_SEAL: &str = ".ibt_endbr_seal";
/// What the author wants to be called: `diff/callbacks.rs` reads it.
pub const KLP_CALLBACKS: &str = ".discard.klp_callback_ptrs";

/// The table's row for a section of this name.
pub fn row_of(name: &str) -> Option<&'static Row> {
    TABLE.iter().find(|row| match row.name.strip_suffix('*') {
        Some(start) => name.starts_with(start),
        None => name == row.name,
    })
}

/// Whether the section `name` is a table of this struct.
pub fn holds(name: &str, of: &CStruct) -> bool {
    row_of(name).is_some_and(|row| matches!(row.size, Size::Struct(own) if own == of))
}

/// The name of the section that entries of the section `name` go into.
pub fn name_in_live_patch(name: &str) -> &str {
    row_of(name).and_then(|row| row.goes_as).unwrap_or(name)
}

/// The structs whose sizes are asked for.
pub fn structs() -> impl Iterator<Item = &'static CStruct> {
    let of_row = |row: &'static Row| match row.size {
        Size::Struct(of) => Some(of),
        _ => None,
    };
    TABLE.iter().filter_map(of_row).chain([&MODVERSION_INFO])
}

/// The struct of this name, if its size is asked for.
pub fn struct_named(name: &[u8]) -> Option<&'static CStruct> {
    structs().find(|of| of.name.as_bytes() == name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_for_the_loader() {
        assert_eq!(name_in_live_patch("__barrier_nospec_fixup"), "__spec_barrier_fixup");
        assert_eq!(name_in_live_patch("__lwsync_fixup"), "__lwsync_fixup");
        assert_eq!(name_in_live_patch(".text.f"), ".text.f");
    }

    #[test]
    fn what_a_row_names_has_a_row() {
        for row in TABLE {
            let table = match row.size {
                Size::Replacements(table) | Size::OutOfLine(table) => Some(table),
                Size::Alternatives(of) => TABLE.iter().find(|r| r.size == Size::Struct(of)).map(|r| r.name),
                Size::Struct(_) | Size::PerReloc => continue,
            };
            assert!(table.is_some_and(|table| row_of(table).is_some()), "{}", row.name);
        }
        assert!(TABLE.iter().filter_map(|row| row.goes_as).all(|name| row_of(name).is_some()));
    }

    #[test]
    fn structs_of_tables() {
        assert!(holds("__mmu_ftr_fixup", &FIXUP_ENTRY) && !holds("__lwsync_fixup", &FIXUP_ENTRY));
        assert_eq!(struct_named(b"jump_entry"), Some(&JUMP_ENTRY));
        assert_eq!(struct_named(b"task_struct"), None);
    }
}
