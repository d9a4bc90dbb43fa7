// SPDX-License-Identifier: GPL-2.0-or-later
//! Where code writes to what its relocations name: an object and one of its functions in; out, which relocations, and where the
//! write is.
//!
//! What is not known to write is left out: addresses of read-only data are passed to functions all the time.

use crate::arch::later::Later;
use crate::elf::{Object, SecId, SymKind};
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

/// Functions that write to what one of their arguments points to, and which argument that is (include/linux/string.h,
/// bitmap.h, uaccess.h, kstrtox.h, cmdline.c, sprintf.h, mutex.h, rwsem.h, spinlock_api_smp.h, completion.h, random.h; what compilers call by
/// themselves).
const WRITERS: &[(u8, &[&str])] = &[
    (
        0,
        &[
            "memset",
            "__memset",
            "memset_orig",
            "memset16",
            "memset32",
            "memset64",
            "__memset16",
            "__memset32",
            "__memset64",
            "memcpy",
            "__memcpy",
            "memcpy_orig",
            "memmove",
            "__memmove",
            "memzero_explicit",
            "memcpy_and_pad",
            "memcpy_fromio",
            "memcpy_flushcache",
            "__memcpy_flushcache",
            "__asan_memset",
            "__asan_memcpy",
            "__asan_memmove",
            "__msan_memset",
            "__msan_memcpy",
            "__msan_memmove",
            "strcpy",
            "stpcpy",
            "strncpy",
            "strscpy",
            "sized_strscpy",
            "strscpy_pad",
            "strlcpy",
            "strcat",
            "strncat",
            "strlcat",
            "strsep",
            "strreplace",
            "strim",
            "sprintf",
            "vsprintf",
            "snprintf",
            "vsnprintf",
            "scnprintf",
            "vscnprintf",
            "hex2bin",
            "_copy_from_user",
            "__copy_from_user",
            "copy_from_user",
            "raw_copy_from_user",
            "_copy_from_iter",
            "copy_from_kernel_nofault",
            "copy_from_user_nofault",
            "strncpy_from_user",
            "strncpy_from_kernel_nofault",
            "strncpy_from_user_nofault",
            "get_random_bytes",
            "rep_stos_alternative",
            "__bitmap_and",
            "__bitmap_or",
            "__bitmap_xor",
            "__bitmap_andnot",
            "__bitmap_complement",
            "__bitmap_set",
            "__bitmap_clear",
            "__bitmap_replace",
            "__bitmap_shift_right",
            "__bitmap_shift_left",
            "mutex_lock",
            "mutex_unlock",
            "mutex_trylock",
            "mutex_lock_interruptible",
            "mutex_lock_killable",
            "down_read",
            "down_write",
            "up_read",
            "up_write",
            "_raw_spin_lock",
            "_raw_spin_lock_irq",
            "_raw_spin_lock_irqsave",
            "_raw_spin_lock_bh",
            "_raw_spin_unlock",
            "_raw_spin_unlock_irq",
            "_raw_spin_unlock_irqrestore",
            "_raw_spin_unlock_bh",
            "_raw_read_lock",
            "_raw_read_unlock",
            "_raw_write_lock",
            "_raw_write_unlock",
            "complete",
            "complete_all",
            "add_timer",
            "mod_timer",
            "__mutex_init",
            "__init_waitqueue_head",
            "__init_rwsem",
            "__raw_spin_lock_init",
        ],
    ),
    (1, &["kstrtobool", "get_option"]),
    (
        2,
        &[
            "kstrtoull",
            "kstrtoll",
            "_kstrtoul",
            "_kstrtol",
            "kstrtouint",
            "kstrtoint",
            "kstrtou16",
            "kstrtos16",
            "kstrtou8",
            "kstrtos8",
            "kstrtobool_from_user",
            "queue_work_on",
            "queue_delayed_work_on",
            "mod_delayed_work_on",
        ],
    ),
    (
        3,
        &[
            "kstrtoull_from_user",
            "kstrtoll_from_user",
            "kstrtoul_from_user",
            "kstrtol_from_user",
            "kstrtouint_from_user",
            "kstrtoint_from_user",
            "kstrtou16_from_user",
            "kstrtos16_from_user",
            "kstrtou8_from_user",
            "kstrtos8_from_user",
        ],
    ),
];

/// Whether a function writes to what its argument number `argument`, from 0, points to.
fn is_written(function: &str, argument: u8) -> bool {
    WRITERS.iter().any(|(number, names)| *number == argument && names.contains(&function))
}

/// The relocations of a function whose targets it writes to, each with the offset of the relocation or instruction that does.
/// Where a relocation names an entry of a table of addresses, what is written is what that entry points to.
pub fn of(object: &Object, section: SecId, function: Range<u64>) -> BTreeMap<u64, u64> {
    let home = &object.sections[section];
    let direct = object.arch.accesses(home, function.clone()).into_iter();
    let mut found: BTreeMap<u64, u64> = direct.filter(|(_, access)| access.writes()).map(|(at, _)| (at, at)).collect();
    let callee = |call: u64| {
        let reloc = home.relocs.iter().find(|r| r.offset == call)?;
        Some(object.symbol_name(reloc.symbol))
    };
    for later in object.arch.later(home, function) {
        let writes = match later.what {
            Later::Write => true,
            Later::Pass { argument, call } => callee(call).is_some_and(|name| is_written(name, argument)),
        };
        if writes {
            found.entry(later.address).or_insert(later.at);
        }
    }
    found
}

/// The names that a function of `object` writes to, by its own name: of what has a symbol in its references.
pub fn names(object: &Object, function: &str) -> BTreeSet<String> {
    let is_it = |s: &&crate::elf::Symbol| s.kind == SymKind::Func && s.name == function && s.size > 0;
    let mut found = BTreeSet::new();
    for symbol in object.symbols.iter().filter(is_it) {
        let Some(home) = symbol.section() else { continue };
        let range = symbol.value..symbol.value.saturating_add(symbol.size);
        let written = of(object, home, range.clone());
        for r in object.sections[home].relocs_in(range.clone()) {
            if written.contains_key(&r.offset) {
                found.extend(name_of(object, home, range.clone(), r.offset));
            }
        }
    }
    found
}

/// The name of what a relocation leads to in the end: by way of an entry of a table of addresses, or of its section.
pub fn name_of(object: &Object, section: SecId, around: Range<u64>, at: u64) -> Option<String> {
    let home = &object.sections[section];
    let r = home.relocs_in(at..at + 1).first()?;
    let symbol = &object.symbols[r.symbol];
    let Some(target) = symbol.section() else { return Some(symbol.name.clone()) };
    let place = (symbol.value as i64).wrapping_add(r.addend).wrapping_add(object.arch.bias(home, around, r));
    let place = u64::try_from(place).ok()?;
    if object.arch.is_toc(&object.sections[target].name) {
        let entry = object.sections[target].relocs_in(place..place + 1).first()?;
        let symbol = &object.symbols[entry.symbol];
        if symbol.section().is_none() {
            return Some(symbol.name.clone());
        }
        return named_at(object, symbol.section()?, (symbol.value as i64).wrapping_add(entry.addend));
    }
    named_at(object, target, place as i64)
}

/// The datum at a place in a section.
fn named_at(object: &Object, section: SecId, place: i64) -> Option<String> {
    let is_there = |s: &&crate::elf::Symbol| {
        let range = s.value as i64..(s.value.saturating_add(s.size)) as i64;
        s.section() == Some(section) && s.kind == SymKind::Data && range.contains(&place)
    };
    object.symbols.iter().find(is_there).map(|s| s.name.clone())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_writes() {
        assert!(is_written("memset", 0) && !is_written("memset", 1));
        assert!(is_written("kstrtoint", 2) && !is_written("kstrtoint", 0));
        assert!(!is_written("strlen", 0) && !is_written("memcmp", 0));
    }
}
