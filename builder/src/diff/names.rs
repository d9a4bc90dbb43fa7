// SPDX-License-Identifier: GPL-2.0-or-later
//! What compilers do to names: numbers behind static locals, suffixes of split and cloned functions.

/// The name without the number that GCC gives a static local: `count.12` → `count`. None without one.
pub fn without_number(name: &str) -> Option<&str> {
    let (base, number) = name.rsplit_once('.')?;
    (!base.is_empty() && !number.is_empty() && number.bytes().all(|b| b.is_ascii_digit())).then_some(base)
}

/// The name of a static local as the source has it: without GCC's number behind it, and without the function's
/// name that clang puts before it: `count.12`, `foo.count` and `foo.count.3` → `count`.
pub fn base(name: &str) -> &str {
    let name = without_number(name).unwrap_or(name);
    name.rsplit_once('.').map_or(name, |(_, last)| last)
}

/// The name with the number of its clone removed: `foo.isra.3` → `foo.isra`, `foo.part.0.cold` → `foo.part.cold`.
/// Names without a clone's suffix stay as they are.
pub fn without_clone_number(name: &str) -> String {
    let mut parts = Vec::new();
    let mut after_clone = false;
    for part in name.split('.') {
        let number = !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
        if !(after_clone && number) {
            parts.push(part);
        }
        after_clone = matches!(part, "isra" | "constprop" | "part" | "cold" | "llvm" | "lto_priv");
    }
    parts.join(".")
}

/// The name of an initcall's entry without the counter and the line in it:
/// `__initcall__kmod_sys__403_1234_start6` → `__initcall__kmod_sys__start6`. None for other names
/// (include/linux/init.h, __initcall_name; architectures without relative entries have a datum of this name).
pub fn without_line(name: &str) -> Option<String> {
    let rest = name.strip_prefix("__initcall__kmod_")?;
    let (at, _) = rest.match_indices("__").find(|(at, _)| numbers(&rest[at + 2..]).is_some())?;
    Some(format!("__initcall__kmod_{}__{}", &rest[..at], numbers(&rest[at + 2..])?))
}

/// The name of a BTF id without the counter and the line at its end: `__BTF_ID__struct__sock__12345` →
/// `__BTF_ID__struct__sock` (include/linux/btf_ids.h). None for other names.
pub fn without_btf_counter(name: &str) -> Option<&str> {
    let (plain, number) = name.rsplit_once("__")?;
    let counted = !number.is_empty() && number.bytes().all(|b| b.is_ascii_digit());
    (name.starts_with("__BTF_ID__") && counted).then_some(plain)
}

/// What is behind two numbers, each with an underscore behind it.
fn numbers(text: &str) -> Option<&str> {
    (0..2).try_fold(text, |text, _| {
        let (number, rest) = text.split_once('_')?;
        (!number.is_empty() && number.bytes().all(|b| b.is_ascii_digit())).then_some(rest)
    })
}

/// Whether module_init() or module_exit() gave a function this name beside its own (include/linux/module.h).
pub fn is_module_entry(name: &str) -> bool {
    matches!(name, "init_module" | "cleanup_module")
}

/// The function that a `.cold` part belongs to: `foo.isra.0.cold` → `foo.isra.0`.
pub fn cold_parent(name: &str) -> Option<&str> {
    if let Some(parent) = name.strip_suffix(".cold") {
        return Some(parent);
    }
    let (start, number) = name.rsplit_once('.')?;
    number.bytes().all(|b| b.is_ascii_digit()).then(|| start.strip_suffix(".cold"))?
}

/// The function that GCC split a part from: `foo.part.0`, `foo.cold` and `foo.part.0.cold` → `foo`. None for whole functions.
pub fn whole(name: &str) -> Option<&str> {
    let first = name.find(".part.").or_else(|| cold_parent(name).map(str::len))?;
    Some(&name[..first])
}

/// Whether the compiler may have given the function other arguments than the source does.
pub fn has_own_arguments(name: &str) -> bool {
    name.split('.').skip(1).any(|part| matches!(part, "isra" | "constprop" | "part"))
}

/// Sections that contain only the data that [`is_own_copy`] is about, also where it has no name: flags for what
/// is to be done once, and UBSAN's records (`.data..Lubsan…`), whose local labels the assembler drops.
pub fn is_own_section(section: &str) -> bool {
    matches!(section, ".data..once" | ".data.once") || section.starts_with(".data..L")
}

/// Data that belongs to one place in the code and holds no state worth keeping: each build of that place
/// has its own (include/linux/once.h, printk.h, dynamic_debug.h, lockdep.h, ratelimit.h, netlink.h; GCC's
/// CSWTCH).
pub fn is_own_copy(name: &str, section: &str) -> bool {
    const BASES: &[&str] = &[
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
    // Names that others may have too.
    const IN_SECTIONS: &[(&str, &[&str])] = &[
        ("_entry", &[".rodata", ".data.rel.ro"]),
        ("_entry_ptr", &[".printk_index"]),
        ("descriptor", &["__dyndbg", "__verbose"]),
    ];
    if name.starts_with(".L") || is_own_section(section) {
        return true;
    }
    let local = base(name);
    let is_in = |(base, sections): &(&str, &[&str])| *base == local && sections.iter().any(|s| section.starts_with(s));
    local.starts_with("__UNIQUE_ID_") || (name != local && (BASES.contains(&local) || IN_SECTIONS.iter().any(is_in)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn static_locals() {
        assert_eq!(without_number("count.12"), Some("count"));
        assert_eq!(without_number("count"), None);
        assert_eq!(without_number("foo.isra"), None);
        assert_eq!(without_number(".12"), None);
    }

    #[test]
    fn clones() {
        assert_eq!(without_clone_number("foo.isra.3"), "foo.isra");
        assert_eq!(without_clone_number("foo.isra.3.cold"), "foo.isra.cold");
        assert_eq!(without_clone_number("foo.constprop.0.isra.1"), "foo.constprop.isra");
        assert_eq!(without_clone_number("foo.12"), "foo.12");
        assert_eq!(cold_parent("foo.isra.0.cold"), Some("foo.isra.0"));
        assert_eq!(cold_parent("foo.cold.3"), Some("foo"));
        assert_eq!(cold_parent("foo"), None);
    }

    #[test]
    fn initcalls() {
        let plain = |name| without_line(name);
        assert_eq!(
            plain("__initcall__kmod_dev__1024_11729_net_dev_init4").unwrap(),
            "__initcall__kmod_dev__net_dev_init4"
        );
        assert_eq!(plain("__initcall__kmod_a__b__1_2_c__3_4_d6s").unwrap(), "__initcall__kmod_a__b__c__3_4_d6s");
        assert_eq!(plain("__initcall__kmod_dev__net_dev_init4"), None);
        assert_eq!(plain("count.12"), None);
    }

    #[test]
    fn btf_ids() {
        assert_eq!(without_btf_counter("__BTF_ID__struct__sock__1298"), Some("__BTF_ID__struct__sock"));
        assert_eq!(without_btf_counter("__BTF_ID__set8__x"), None);
        assert_eq!(without_btf_counter("count__1"), None);
    }

    #[test]
    fn own_copies() {
        assert!(is_own_copy("__func__.3", ".rodata"));
        assert!(is_own_copy("foo.__key", ".bss"));
        assert!(is_own_copy("foo.__key.4", ".bss"));
        assert!(is_own_copy("foo.__UNIQUE_ID_ddebug7", "__dyndbg"));
        assert!(is_own_copy("x", ".data..once"));
        assert!(!is_own_copy("__func__", ".rodata"));
        assert!(!is_own_copy("count.1", ".bss"));
        assert!(is_own_copy("descriptor.2", "__dyndbg") && is_own_copy("_entry.1", ".rodata._entry.1"));
        assert!(!is_own_copy("descriptor.2", ".data.descriptor.2") && !is_own_copy("_entry.1", ".bss._entry.1"));
    }
}
