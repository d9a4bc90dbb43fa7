// SPDX-License-Identifier: GPL-2.0-or-later
//! Relocations that come too late. Jump labels, static calls and alternatives are read when the live patch
//! module loads; a relocation that waits for another module is applied after that
//! (kernel/livepatch/core.c, klp_init_object_loaded). What depends on it is refused; a tracepoint alone is
//! switched off in the patched function, and said.

use crate::elf::*;
use crate::error::Refusal;
use std::collections::HashSet;

/// Room for a `struct static_key` of any kernel (include/linux/jump_label.h: 16 bytes), zeroed: a key that is off.
const KEY_ROOM: u64 = 64;

/// An exported function without effect (kernel/static_call.c).
const NO_EFFECT: &str = "__static_call_return0";

/// What [`silence_tracepoints`] did.
#[derive(Debug, Default)]
pub struct Silenced {
    /// Symbols that the payload does not refer to any more.
    pub gone: HashSet<String>,
    /// A remark for each tracepoint.
    pub notes: Vec<String>,
}

/// Switches the tracepoints off whose keys are among `late`. Each gets a key of the live patch's own, which
/// nothing ever switches on; the calls behind it go to a function without effect, so that objtool does not
/// take them for static calls.
pub fn silence_tracepoints(object: &mut Object, late: &HashSet<String>, jump_entry: u64, call_site: u64) -> Silenced {
    let mut done = Silenced::default();
    let named = |object: &Object, start: &str| -> Vec<(SymId, String)> {
        let all = object.symbols.iter().enumerate().filter(|(_, s)| s.is_undefined() && late.contains(&s.name));
        all.filter_map(|(id, s)| Some((id, s.name.strip_prefix(start)?.to_string()))).collect()
    };
    let keys = named(object, "__tracepoint_");
    if keys.is_empty() || jump_entry == 0 {
        return done;
    }
    let mut silenced = HashSet::new();
    for (key, tracepoint) in keys {
        let Some(table) = object.section_by_name("__jump_table") else { continue };
        // Code behind the tracepoint may read it; that reference stays, and is applied with the module.
        let elsewhere = object
            .sections
            .iter()
            .enumerate()
            .any(|(id, s)| id != table && s.relocs.iter().any(|r| r.symbol == key && s.is_text()));
        let functions: HashSet<String> = object.sections[table]
            .relocs
            .iter()
            .filter(|r| r.symbol == key)
            .filter_map(|r| object.sections[table].relocs_in(r.offset / jump_entry * jump_entry..r.offset).first())
            .map(|code| object.symbols[code.symbol].name.clone())
            .collect();
        if functions.is_empty() {
            continue;
        }
        let own = own_key(object, &tracepoint);
        for r in object.sections[table].relocs.iter_mut().filter(|r| r.symbol == key) {
            // The low bits say which branch is the likely one and that objtool puts a nop there.
            r.symbol = own;
            r.addend &= 3;
        }
        let mut functions: Vec<String> = functions.into_iter().collect();
        functions.sort();
        done.notes.push(format!(
            "the tracepoint {tracepoint} is off in the patched {}: its key is in a module",
            functions.join(", ")
        ));
        if !elsewhere {
            done.gone.insert(format!("__tracepoint_{tracepoint}"));
        }
        silenced.insert(tracepoint);
    }
    // A call that no silenced key guards is left as it is, and refused.
    let calls: Vec<_> =
        named(object, "__SCT__tp_func_").into_iter().filter(|(_, name)| silenced.contains(name)).collect();
    if !calls.is_empty() {
        let none = object.undefined(NO_EFFECT);
        for (call, name) in calls {
            for r in object.sections.iter_mut().flat_map(|s| &mut s.relocs).filter(|r| r.symbol == call) {
                r.symbol = none;
            }
            done.gone.insert(format!("__SCT__tp_func_{name}"));
            done.gone.insert(format!("__SCK__tp_func_{name}"));
        }
    }
    // A weak undefined symbol that nothing refers to does not survive the link.
    for symbol in object.symbols.iter_mut().filter(|s| s.is_undefined() && done.gone.contains(&s.name)) {
        symbol.bind = Bind::Weak;
    }
    if let (Some(id), true) = (object.section_by_name(".static_call_sites"), call_site > 0) {
        let section = &object.sections[id];
        let is_gone = |entry: &u64| {
            let relocs = section.relocs_in(entry * call_site..(entry + 1) * call_site);
            relocs.iter().any(|r| done.gone.contains(&object.symbols[r.symbol].name))
        };
        let gone: Vec<u64> = (0..section.size / call_site).filter(is_gone).collect();
        remove_entries(&mut object.sections[id], call_site, &gone);
    }
    done
}

/// A static key of the payload's own, off.
fn own_key(object: &mut Object, tracepoint: &str) -> SymId {
    object.sections.push(Section {
        name: format!(".data.kmend_key_{tracepoint}"),
        kind: SHT_PROGBITS,
        flags: u64::from(SHF_ALLOC | SHF_WRITE),
        align: 8,
        data: vec![0; KEY_ROOM as usize],
        size: KEY_ROOM,
        ..Section::default()
    });
    let place = Place::In(object.sections.len() - 1);
    let name = format!("kmend_key_{tracepoint}");
    // Local symbols stand before the others; a global one can be added at the end, and is weak so that
    // two units may have the same.
    object.symbols.push(Symbol {
        name,
        kind: SymKind::Data,
        bind: Bind::Weak,
        place,
        value: 0,
        size: KEY_ROOM,
        other: 0,
    });
    object.symbols.len() - 1
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
                _ if section.is_text() && name.starts_with("__SCT__") => "a static call",
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
