// SPDX-License-Identifier: GPL-2.0-or-later
//! Data that each place in the code has for itself: a symbol and its section in; out, whether the module may have a copy
//! instead of the running kernel's.
//!
//! Flags and counters of messages (include/linux/once.h, once_lite.h, ratelimit.h, printk.h, dynamic_debug.h, net/netlink.h),
//! keys of lockdep, the function's name, and tables that compilers make of a switch. Nothing in the kernel compares their
//! addresses with those of another place in the code.

use super::originals::without_numbers;

/// Static variables of a function, as the source calls them.
const LOCALS: &[&str] = &[
    "__already_done",
    "__func__",
    "__FUNCTION__",
    "__PRETTY_FUNCTION__",
    "__key",
    "__msg",
    "__warned",
    "___rs",
    "_rs",
    "CSWTCH",
];

/// Those that count only in these sections, since others may have such names too.
const IN_SECTIONS: &[(&str, &[&str])] = &[
    ("_entry", &[".rodata", ".data.rel.ro"]),
    ("_entry_ptr", &[".printk_index"]),
    ("descriptor", &["__dyndbg", "__verbose"]),
];

/// Whether a section holds nothing else, also where its data has no names: flags for what is done once, and records of
/// UBSAN.
pub fn is_section(section: &str) -> bool {
    matches!(section, ".data..once" | ".data.once") || section.starts_with(".data..L")
}

/// Whether a datum is such a one.
pub fn is_of_one_place(name: &str, section: &str) -> bool {
    let base = without_numbers(name);
    let local = base.as_deref().unwrap_or(name);
    let last = local.rsplit('.').next().unwrap_or(local);
    let known = |(name, sections): &(&str, &[&str])| *name == last && sections.iter().any(|s| section.starts_with(s));
    is_section(section)
        || last.starts_with("__UNIQUE_ID_")
        || name != last && (LOCALS.contains(&last) || IN_SECTIONS.iter().any(known))
}
