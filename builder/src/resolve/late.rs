// SPDX-License-Identifier: GPL-2.0-or-later
//! Relocations that come too late. Jump labels, static calls and alternatives are read when the live patch
//! module loads; a relocation that waits for another module is applied after that
//! (kernel/livepatch/core.c, klp_init_object_loaded). What depends on it is refused; a tracepoint alone is
//! switched off in the patched function, and said.

use crate::elf::*;
use crate::error::Refusal;
use std::collections::HashSet;

/// `struct jump_entry.key`, bit 1: objtool puts a nop in the place of the jump (include/linux/jump_label.h,
/// arch/x86/include/asm/jump_label.h).
const NOP_BY_OBJTOOL: i64 = 2;

/// Switches the tracepoints off whose keys are among `late`: their jumps become the nops that they are while a
/// tracepoint is not in use, and no entry tells the kernel of them. Returns a remark for each.
pub fn silence_tracepoints(
    object: &mut Object,
    late: &HashSet<String>,
    jump_entry: u64,
    call_site: u64,
) -> Vec<String> {
    let mut notes = Vec::new();
    for id in 0..object.sections.len() {
        let size = match object.sections[id].name.as_str() {
            "__jump_table" => jump_entry,
            ".static_call_sites" => call_site,
            _ => continue,
        };
        if size == 0 || object.sections[id].size % size != 0 {
            continue;
        }
        let mut gone = Vec::new();
        for entry in 0..object.sections[id].size / size {
            let relocs = object.sections[id].relocs_in(entry * size..(entry + 1) * size);
            let key = relocs.iter().find(|r| late.contains(&object.symbols[r.symbol].name));
            let (Some(code), Some(key)) = (relocs.first().copied(), key.copied()) else { continue };
            let name = object.symbols[key.symbol].name.clone();
            if name.starts_with("__SCK__tp_func_") {
                gone.push(entry);
            } else if let Some(tracepoint) = name.strip_prefix("__tracepoint_") {
                if key.addend & NOP_BY_OBJTOOL != 0 && disable(object, &code) {
                    gone.push(entry);
                    let function = &object.symbols[code.symbol].name;
                    notes.push(format!(
                        "the tracepoint {tracepoint} is off in the patched {function}: its key is in a module"
                    ));
                }
            }
        }
        remove_entries(&mut object.sections[id], size, &gone);
    }
    notes.sort();
    notes.dedup();
    notes
}

fn disable(object: &mut Object, code: &Reloc) -> bool {
    let symbol = &object.symbols[code.symbol];
    let (Some(section), at) = (symbol.section(), symbol.value.wrapping_add_signed(code.addend) as usize) else {
        return false;
    };
    let arch = object.arch;
    object.sections[section].data.get_mut(at..).is_some_and(|bytes| arch.disable_jump(bytes))
}

fn remove_entries(section: &mut Section, size: u64, gone: &[u64]) {
    if gone.is_empty() {
        return;
    }
    let mut data = Vec::new();
    let mut relocs = Vec::new();
    let mut kept = 0;
    for entry in (0..section.size / size).filter(|entry| !gone.contains(entry)) {
        let range = entry * size..(entry + 1) * size;
        data.extend_from_slice(section.bytes(range.clone()));
        for r in section.relocs_in(range.clone()) {
            relocs.push(Reloc { offset: r.offset - range.start + kept * size, ..*r });
        }
        kept += 1;
    }
    section.data = data;
    section.relocs = relocs;
    section.size = kept * size;
}

/// What in a payload depends on relocations that come too late; `late` are its symbols that wait for `module`.
pub fn refusals(object: &Object, module: &str, late: &HashSet<String>) -> Vec<Refusal> {
    let mut found = Vec::new();
    for section in &object.sections {
        for r in &section.relocs {
            let name = &object.symbols[r.symbol].name;
            if !late.contains(name) {
                continue;
            }
            let what = match section.name.as_str() {
                "__jump_table" => "a static key",
                ".static_call_sites" => "a static call",
                ".altinstr_replacement" => "a symbol in an alternative",
                // The code behind a tracepoint that is off is never run.
                _ if section.is_text() && name.starts_with("__SCT__") && !name.starts_with("__SCT__tp_func_") => {
                    "a static call"
                }
                _ => continue,
            };
            found.push(Refusal::new(
                "key-in-module",
                name,
                &section.name,
                format!("the changed code uses {what} of the module {module}, which may come after the live patch"),
                "use static_key_enabled() (or KLP_STATIC_CALL) in the fix instead",
            ));
        }
    }
    found
}
