// SPDX-License-Identifier: GPL-2.0-or-later
//! Marks that kernel sources put on what they name: `__ref` functions, which may name what is gone once the kernel has started,
//! and the symbols of linker scripts that mark where an area begins or ends.
//!
//! Sources: include/linux/init.h and scripts/mod/modpost.c (`.ref.text`), include/asm-generic/sections.h,
//! arch/{x86,powerpc}/include/asm/sections.h, include/asm-generic/vmlinux.lds.h.

use crate::elf::{Object, Reloc, Section, SymKind};
use std::ops::Range;

/// Symbols that mark an area, beside the pairs that [`is_boundary`] knows by their form.
const BOUNDARIES: &[&str] = &[
    "_text",
    "_stext",
    "_etext",
    "_data",
    "_sdata",
    "_edata",
    "_end",
    "_sinittext",
    "_einittext",
    "__bss_start",
    "__bss_stop",
    "__init_begin",
    "__init_end",
    "__head_end",
    "__srwx_boundary",
    "__exittext_begin",
    "__exittext_end",
    "__nosave_begin",
    "__nosave_end",
    "__per_cpu_start",
    "__per_cpu_end",
    "__start_rodata",
    "__end_rodata",
    "__end_rodata_aligned",
    "__end_rodata_hpage_align",
    "__end_of_kernel_reserve",
    "__start_ro_after_init",
    "__end_ro_after_init",
    "__start_once",
    "__end_once",
    "__brk_base",
    "__brk_limit",
];

/// Whether a symbol of the kernel image marks where an area begins or ends: nothing is called, read or written there, code compares
/// addresses with it.
pub fn is_boundary(name: &str) -> bool {
    let of_code = name.strip_prefix("__").and_then(|n| n.strip_suffix("_text_start").or(n.strip_suffix("_text_end")));
    BOUNDARIES.contains(&name) || of_code.is_some_and(|n| !n.is_empty())
}

/// Whether functions of a section are marked `__ref`: their author says that they use what is gone once the kernel has started
/// only before that.
pub fn is_ref(section: &Section) -> bool {
    section.is_text() && (section.name == ".ref.text" || section.name.starts_with(".ref.text."))
}

/// Whether a `__ref` function of an object that the kernel was made of refers to `name`. A live patch may then keep that reference: the
/// kernel that runs has it already.
pub fn names_from_ref(object: &Object, function: &str, name: &str) -> bool {
    let is_it = |s: &&crate::elf::Symbol| s.kind == SymKind::Func && s.name == function && s.size > 0;
    object.symbols.iter().filter(is_it).any(|s| {
        let Some(section) = s.section().map(|id| &object.sections[id]).filter(|section| is_ref(section)) else {
            return false;
        };
        let range = s.value..s.value.saturating_add(s.size);
        section.relocs_in(range.clone()).iter().any(|r| leads_to(object, section, range.clone(), r, name))
    })
}

/// Whether a reference leads to the symbol `name`, by that name or by its section.
fn leads_to(object: &Object, section: &Section, around: Range<u64>, r: &Reloc, name: &str) -> bool {
    let symbol = &object.symbols[r.symbol];
    if symbol.kind != SymKind::Section {
        return symbol.name == name;
    }
    let at = (symbol.value as i64).wrapping_add(r.addend).wrapping_add(object.arch.bias(section, around, r));
    let is_there = |s: &crate::elf::Symbol| s.name == name && s.section() == symbol.section() && s.value as i64 == at;
    object.symbols.iter().any(is_there)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn boundaries() {
        for name in ["_stext", "_einittext", "__init_begin", "__entry_text_start", "__softirqentry_text_end"] {
            assert!(is_boundary(name), "{name}");
        }
        for name in ["start_kernel", "__text_start", "kernel_text_address", "_einittex", "__init_begin_x"] {
            assert!(!is_boundary(name), "{name}");
        }
    }
}
