// SPDX-License-Identifier: GPL-2.0-or-later
//! Headers that kbuild makes of C files (kernel/bounds.c, arch/x86/kernel/asm-offsets.c …): the assembly of such a file
//! before and after the fixes in, a refusal out where a value in it changes.
//!
//! The compiler writes each value into the assembly as `.ascii "->NAME $VALUE EXPRESSION"`, of which a script makes
//! `#define NAME VALUE` (`sed-offsets` in scripts/Makefile.lib). What includes the header has the value without a trace of
//! what it was made of, in assembler code as well, and so the fixes cannot be followed there.

use crate::error::Refusal;
use crate::target::kbuild::Unit;
use std::collections::BTreeMap;

/// Whether a unit is one that becomes a header.
pub(crate) fn makes_header(unit: &Unit) -> bool {
    unit.object.ends_with(".s")
}

/// The values in an assembly, by name.
fn values(assembly: &str) -> BTreeMap<&str, &str> {
    let line = |l| {
        let (text, _) =
            str::strip_prefix(str::trim_start(l), ".ascii")?.trim_start().strip_prefix("\"->")?.rsplit_once('"')?;
        let mut words = text.split(' ');
        let (name, value) = (words.next()?, words.next()?);
        // `->#TEXT` is a remark.
        (!name.starts_with('#')).then(|| (name, value.trim_start_matches(['$', '#'])))
    };
    assembly.lines().filter_map(line).collect()
}

/// Refuses where a value of `unit` differs between two assemblies.
pub(super) fn compare(unit: &Unit, original: &str, patched: &str) -> Option<Refusal> {
    let (old, new) = (values(original), values(patched));
    let names: BTreeMap<&str, _> =
        old.iter().chain(&new).map(|(name, _)| (*name, (old.get(name), new.get(name)))).collect();
    let differ = names.into_iter().filter(|(_, (old, new))| old != new).map(|(name, (old, new))| match (old, new) {
        (Some(old), Some(new)) => format!("{name} is {new} instead of {old}"),
        (None, _) => format!("{name} is new"),
        (_, None) => format!("{name} is gone"),
    });
    let differ: Vec<String> = differ.collect();
    let first = differ.get(..5).unwrap_or(&differ);
    let more =
        if differ.len() > first.len() { format!("; {} more", differ.len() - first.len()) } else { String::new() };
    let reason = format!(
        "kbuild generates a header from this file, and the fix changes values in it: {}{more}",
        first.join("; ")
    );
    let hint = "the running kernel was built with the old value, also in assembler code: write the fix so that the value stays the same";
    (!differ.is_empty()).then(|| Refusal::new("generated-header", "", &unit.source, reason, hint))
}

#[cfg(test)]
mod tests {
    use super::*;

    const X86: &str = "#APP\n# 11 \"kernel/bounds.c\" 1\n\t\n.ascii \"->NR_PAGEFLAGS $25 __NR_PAGEFLAGS\"\t#\n# 0 \"\" 2\n\t\
                       .ascii \"->#a remark\"\n\t.ascii \"->\"\n\t.ascii \"->ZONES $5 __MAX_NR_ZONES\"\n\t.ascii \"->open\n";

    fn said(patched: &str) -> Option<String> {
        let unit = Unit { source: "kernel/bounds.c".into(), object: "kernel/bounds.s".into(), module: None };
        assert!(makes_header(&unit));
        compare(&unit, X86, patched).map(|r| r.reason)
    }

    #[test]
    fn values_that_differ() {
        assert_eq!(values(X86), BTreeMap::from([("NR_PAGEFLAGS", "25"), ("ZONES", "5")]));
        assert_eq!(values("\t.ascii \"->TASK 232 offsetof(struct a, b)\"\n"), BTreeMap::from([("TASK", "232")]));
        assert_eq!(said(&X86.replace("__MAX_NR_ZONES", "MAX_ZONES").replace("# 11", "# 12")), None);
        let text = X86.replace("$5", "$6").replace("->NR_PAGEFLAGS", "->NR");
        let end = ": NR is new; NR_PAGEFLAGS is gone; ZONES is 6 instead of 5";
        assert!(said(&text).unwrap().ends_with(end), "{:?}", said(&text));
        let many: String = (0..9).map(|n| format!(".ascii \"->N{n} $1 x\"\n")).collect();
        assert!(said(&format!("{X86}{many}")).unwrap().ends_with("; N4 is new; 4 more"));
    }
}
