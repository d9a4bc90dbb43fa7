// SPDX-License-Identifier: GPL-2.0-or-later
//! What the powerpc module loader asks of a finished module: its ELF in, the faults out
//! (arch/powerpc/kernel/module_64.c, apply_relocate_add, restore_r2, module_init_ftrace_plt).

use super::insn::NOP;
use crate::elf::{Object, Place, Reloc, Section};
use crate::section_table::PATCHABLE_ENTRIES;
use object::elf;

/// The profiling call that restore_r2 leaves alone.
const PROFILING: &str = "_mcount";

/// Faults for which the loader would refuse the module, or worse, would not.
pub fn faults(object: &Object) -> Vec<String> {
    let mut found = Vec::new();
    for section in &object.sections {
        // Livepatch relocations are in a section of their own and apply to the one that sh_info names.
        let target = if section.relocs.is_empty() || section.kind != elf::SHT_RELA {
            section
        } else {
            match object.sections.get(section.info as usize) {
                Some(target) => target,
                None => continue,
            }
        };
        found.extend(section.relocs.iter().filter_map(|r| call_fault(object, target, r)));
    }
    // The loader counts the out-of-line stubs for ftrace by the first section of this name.
    let sites = object.sections.iter().filter(|s| s.name == PATCHABLE_ENTRIES).count();
    if sites > 1 {
        found.push(format!("it has {sites} sections {PATCHABLE_ENTRIES}, the loader looks at one"));
    }
    found
}

/// What is wrong with a branch to a place outside of the module: it goes through a stub, which saves the TOC
/// pointer in the frame of the function that the branch is in.
fn call_fault(object: &Object, section: &Section, r: &Reloc) -> Option<String> {
    let symbol = &object.symbols[r.symbol];
    let is_outside = matches!(symbol.place, Place::Undefined | Place::Livepatch);
    if r.kind != elf::R_PPC64_REL24 || !is_outside || symbol.name == PROFILING {
        return None;
    }
    let word = |at: u64| -> Option<u32> { Some(u32::from_le_bytes(section.bytes(at..at + 4).try_into().ok()?)) };
    let at = format!("section {}+{:#x}: the branch to {}", section.name, r.offset, symbol.name);
    match (word(r.offset), word(r.offset + 4)) {
        (Some(branch), _) if branch & 1 == 0 => {
            Some(format!("{at} is a sibling call: its caller would go on with another TOC pointer"))
        }
        (Some(_), Some(NOP)) => None,
        _ => Some(format!("{at} is not followed by a nop, where the loader puts the TOC pointer's restore")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::arch::ppc64le::PPC64LE;
    use crate::elf::{Bind, Symbol, SHF_ALLOC, SHF_EXECINSTR, SHT_PROGBITS};

    fn module(words: [u32; 2], place: Place, name: &str) -> Object {
        let text = Section {
            name: ".text.f".into(),
            kind: SHT_PROGBITS,
            flags: u64::from(SHF_ALLOC | SHF_EXECINSTR),
            data: words.iter().flat_map(|w| w.to_le_bytes()).collect(),
            size: 8,
            relocs: vec![Reloc { offset: 0, kind: elf::R_PPC64_REL24, symbol: 1, addend: 0 }],
            ..Section::default()
        };
        let symbols = vec![Symbol::null(), Symbol { name: name.into(), place, bind: Bind::Global, ..Symbol::null() }];
        Object { arch: &PPC64LE, flags: 2, sections: vec![Section::default(), text], symbols }
    }

    const BL: u32 = 0x4800_0001;
    const B: u32 = 0x4800_0000;
    const LD: u32 = 0xe8a1_0020;

    #[test]
    fn calls_out_of_the_module_need_their_nop() {
        assert!(faults(&module([BL, NOP], Place::Livepatch, "g")).is_empty());
        assert!(faults(&module([BL, LD], Place::Livepatch, "g"))[0].contains("not followed by a nop"));
        assert!(faults(&module([BL, LD], Place::Undefined, "g"))[0].contains("branch to g"));
        assert!(faults(&module([BL, LD], Place::In(1), "g")).is_empty(), "within the module");
        assert!(faults(&module([BL, LD], Place::Undefined, PROFILING)).is_empty());
    }

    #[test]
    fn no_sibling_call_leaves_the_module() {
        assert!(faults(&module([B, NOP], Place::Livepatch, "g"))[0].contains("sibling call"));
        assert!(faults(&module([B, NOP], Place::In(1), "g")).is_empty());
    }

    #[test]
    fn livepatch_relocations_are_looked_at_where_they_apply() {
        let mut object = module([BL, LD], Place::Livepatch, "g");
        let relocs = std::mem::take(&mut object.sections[1].relocs);
        let klp = Section { kind: elf::SHT_RELA, info: 1, relocs, ..Section::default() };
        object.sections.push(klp);
        assert_eq!(faults(&object).len(), 1);
    }
}
