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

/// What the names of static calls' trampolines begin with, and those of their keys (include/linux/static_call_types.h).
const TRAMPOLINE: &str = "__SCT__";
const KEY: &str = "__SCK__";

/// Whether a function of `object` passes `name`, the trampoline of a static call, to `__static_call_update()`, with the call's key: a
/// place of the kernel's to be rewritten, which is not called by that pointer (include/linux/static_call.h,
/// static_call_update()). objtool lets such pointers pass for the same reason.
pub fn updates_static_call(object: &Object, function: &str, name: &str) -> bool {
    let Some(key) = name.strip_prefix(TRAMPOLINE).map(|call| format!("{KEY}{call}")) else { return false };
    let is_it = |s: &&crate::elf::Symbol| s.kind == SymKind::Func && s.name == function && s.size > 0;
    object.symbols.iter().filter(is_it).any(|s| {
        let Some(section) = s.section().map(|id| &object.sections[id]) else { return false };
        let range = s.value..s.value.saturating_add(s.size);
        let relocs = section.relocs_in(range.clone());
        let update =
            |r: &Reloc| object.symbol_name(r.symbol) == "__static_call_update" && object.arch.is_branch(section, r);
        relocs.iter().any(update) && relocs.iter().any(|r| leads_to(object, section, range.clone(), r, &key))
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
    use crate::elf::{Bind, Place, Symbol};

    /// A function of x86_64 that refers to a key and a trampoline and calls another.
    fn updater(key: &str, calls: &str) -> Object {
        let arch = crate::arch::by_name("x86_64").unwrap();
        let data = vec![0x48, 0xc7, 0xc6, 0, 0, 0, 0, 0x48, 0xc7, 0xc7, 0, 0, 0, 0, 0xe8, 0, 0, 0, 0];
        let flags = u64::from(crate::elf::SHF_ALLOC | crate::elf::SHF_EXECINSTR);
        let mut text = Section { name: ".text.f".into(), flags, size: data.len() as u64, data, ..Section::default() };
        let mut object = Object { arch, flags: 0, sections: Vec::new(), symbols: vec![Symbol::null()] };
        let (kind, bind, place) = (SymKind::Func, Bind::Global, Place::In(0));
        object.symbols.push(Symbol { name: "f".into(), kind, bind, place, value: 0, size: text.size, other: 0 });
        for (offset, kind, name) in [(3, 11, "__SCT__x"), (10, 11, key), (15, 4, calls)] {
            let symbol = object.undefined(name);
            text.relocs.push(Reloc { offset, kind, symbol, addend: 0 });
        }
        object.sections.push(text);
        object
    }

    #[test]
    fn trampolines_that_are_updated() {
        let update = "__static_call_update";
        assert!(updates_static_call(&updater("__SCK__x", update), "f", "__SCT__x"));
        assert!(!updates_static_call(&updater("__SCK__y", update), "f", "__SCT__x"), "of another call");
        assert!(!updates_static_call(&updater("__SCK__x", "g"), "f", "__SCT__x"), "passed to another function");
        assert!(!updates_static_call(&updater("__SCK__x", update), "g", "__SCT__x"));
        assert!(!updates_static_call(&updater("__SCK__x", update), "f", "x"));
    }

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
