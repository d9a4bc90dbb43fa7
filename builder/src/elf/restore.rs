// SPDX-License-Identifier: GPL-2.0-or-later
//! Names that `strip --strip-unneeded` took: relocations to static functions and data go by way of section
//! symbols, so their own symbols are not needed and are gone. With a section for each function and datum the
//! section's name says it. In: an object; out: the same, with local symbols where a section had none.

use super::{Bind, Object, Place, SecId, SymKind, Symbol};
use std::collections::HashSet;

/// Puts a local symbol into each section of code or writable data that has none, under the name that the
/// compiler gave the section.
pub fn names(object: &mut Object) {
    let mut named = vec![false; object.sections.len()];
    for symbol in &object.symbols {
        if let Some(home) = symbol.section() {
            named[home] |=
                !symbol.name.is_empty() && matches!(symbol.kind, SymKind::Func | SymKind::Data | SymKind::None);
        }
    }
    let functions: HashSet<&str> = object.sections.iter().filter_map(|s| s.name.strip_prefix(".text.")).collect();
    let mut found = Vec::new();
    for (id, section) in object.sections.iter().enumerate().filter(|(id, s)| !named[*id] && s.size > 0) {
        if section.is_text() {
            let (entry, other) = object.arch.entry_of(object, id);
            if let Some(name) = function_name(&section.name, &functions).filter(|_| entry < section.size) {
                found.push(Symbol { other, ..symbol(name, SymKind::Func, id, entry, section.size - entry) });
            }
        } else if let Some(name) = data_name(&section.name).filter(|_| section.is_writable()) {
            found.push(symbol(name.into(), SymKind::Data, id, 0, section.size));
        }
    }
    object.symbols.append(&mut found);
}

/// `.text.foo` → `foo`; `.text.unlikely.foo` → `foo.cold` where there is a `.text.foo` as well.
fn function_name(section: &str, functions: &HashSet<&str>) -> Option<String> {
    let rest = section.strip_prefix(".text.")?;
    for group in ["unlikely.", "hot.", "startup.", "exit."] {
        if let Some(name) = rest.strip_prefix(group) {
            let cold = group == "unlikely." && functions.contains(name);
            return is_name(name).then(|| if cold { format!("{name}.cold") } else { name.into() });
        }
    }
    is_name(rest).then(|| rest.into())
}

fn data_name(section: &str) -> Option<&str> {
    section.strip_prefix(".data.").or_else(|| section.strip_prefix(".bss.")).filter(|name| is_name(name))
}

fn is_name(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
}

fn symbol(name: String, kind: SymKind, section: SecId, value: u64, size: u64) -> Symbol {
    Symbol { name, kind, bind: Bind::Local, place: Place::In(section), value, size, other: 0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_sections() {
        let functions = HashSet::from(["foo", "unlikely.foo", "unlikely.rare"]);
        assert_eq!(function_name(".text.foo", &functions).as_deref(), Some("foo"));
        assert_eq!(function_name(".text.unlikely.foo", &functions).as_deref(), Some("foo.cold"));
        assert_eq!(function_name(".text.unlikely.rare", &functions).as_deref(), Some("rare"));
        assert_eq!(function_name(".text", &functions), None);
        assert_eq!(function_name(".text..refcount", &functions), None);
        assert_eq!(data_name(".bss.count.0"), Some("count.0"));
        assert_eq!(data_name(".data..once"), None);
        assert_eq!(data_name(".rodata.foo"), None);
    }
}
