// SPDX-License-Identifier: GPL-2.0-or-later
//! Types that the fix changes: the debug information of both objects of a unit in, refusals out. Objects of the running
//! kernel keep the layout that they were made with, and code that is not patched goes on to know the old one.

pub mod check;
pub mod dwarf;
pub mod entries;
pub mod kind;
pub mod member;
pub mod renamed;
pub mod spot_check;
pub mod statics;

use crate::error::Refusal;
use dwarf::{Member, Shape, Types};
use kind::{Kind, Sides};
use std::collections::BTreeSet;

/// The code of a refusal that counts for exported functions alone.
const EXPORT_CHANGED: &str = "export-changed";

/// Names as `--allow-layout` takes them: `struct foo`, or `foo` alone.
pub fn is_allowed(allowed: &BTreeSet<String>, name: &str) -> bool {
    let bare = name.rsplit(' ').next().unwrap_or(name);
    allowed.contains(name) || allowed.contains(bare)
}

/// Types that both know and that look different, and variables of another type, but for those in `allowed`. `exported`
/// says which functions others call by their prototype of the running kernel: modules, and BPF programs.
pub fn refusals(
    original: &Types,
    patched: &Types,
    allowed: &BTreeSet<String>,
    exported: &dyn Fn(&str) -> bool,
) -> Vec<Refusal> {
    let mut found = Vec::new();
    let sides = Sides::new(original, patched);
    for (name, old) in &original.shapes {
        let Some(new) = patched.shapes.get(name).filter(|new| *new != old) else { continue };
        let moved = match (old, new) {
            (Shape::Record { size: a, members: x }, Shape::Record { size: b, members: y }) => {
                record(&sides, (*a, x), (*b, y))
            }
            (Shape::Enum(x), Shape::Enum(y)) => values(x, y),
            _ => vec!["its kind of type changes".into()],
        };
        if moved.is_empty() || is_allowed(allowed, name) {
            continue;
        }
        let bare = name.rsplit(' ').next().unwrap_or(name);
        found.push(Refusal::new(
            "struct-layout",
            name,
            "",
            format!("the fix changes its layout in memory: {}", moved.join("; ")),
            &format!(
                "objects of the running kernel keep the old layout, and a new field in them is not initialised: put the field \
                 into a shadow variable; --allow-layout {bare} if you know that this affects no other code and no existing \
                 object"
            ),
        ));
    }
    found.extend(unnamed_enums(original, patched).filter(|r| !is_allowed(allowed, &r.symbol)));
    for (name, old) in original.prototypes.iter().filter(|(name, _)| exported(name)) {
        if let Some(new) = patched.prototypes.get(name).filter(|new| !sides.same_prototype(old, new)) {
            let words = |p: &kind::Prototype| Kind::Function(Box::new(p.clone())).to_string();
            let (old, new) = (words(old), words(new));
            found.push(Refusal::new(
                EXPORT_CHANGED,
                name,
                "",
                format!("the fix changes the prototype of a function that modules or BPF programs may call, from {old} to {new}; they still call it the old way"),
                "keep the function as it is, and add a new one",
            ));
        }
    }
    found.extend(variables(original, patched, &sides).filter(|r| !is_allowed(allowed, &r.symbol)));
    found
}

/// Constants of enums without a name that get other values. Those that are gone do no harm: the code says so to the compiler.
fn unnamed_enums<'t>(original: &'t Types, patched: &'t Types) -> impl Iterator<Item = Refusal> + 't {
    original.unnamed.iter().filter_map(|old| {
        let shares = |new: &&Vec<(String, i128)>| new.iter().any(|(n, _)| old.iter().any(|(o, _)| o == n));
        let new = patched.unnamed.iter().find(shares)?;
        let kept: Vec<_> = old.iter().filter(|(name, _)| new.iter().any(|(n, _)| n == name)).cloned().collect();
        let said = values(&kept, new);
        let first = &old.first().filter(|_| !said.is_empty())?.0;
        Some(Refusal::new(
            "struct-layout",
            first,
            "",
            format!("the fix changes values of an enum without a name: {}", said.join("; ")),
            &format!(
                "what the running kernel has stored keeps its value: add new constants at the end; --allow-layout {first} if \
                 you know that nothing stores one of them"
            ),
        ))
    })
}

/// Variables of one size whose type is another: what the running kernel has in them would be taken for something else.
fn variables<'t>(original: &'t Types, patched: &'t Types, sides: &'t Sides<'_>) -> impl Iterator<Item = Refusal> + 't {
    // Numbers that the preprocessor counts up.
    let named = original.variables.iter().filter(|((_, name), _)| !name.contains("__UNIQUE_ID"));
    named.filter_map(|(key @ (function, name), old)| {
        let keeps = |a: &Member, b: &Member| a.size != b.size || sides.keeps(&a.holds, &b.holds);
        let mut new: Vec<&Member> = patched.variables.get(key)?.iter().collect();
        // Of several of one name in one function some may come or go.
        let mut gone = Vec::new();
        for old in old {
            match new.iter().position(|n| keeps(old, n)) {
                Some(same) => _ = new.remove(same),
                None => gone.push(old),
            }
        }
        let (old, new) = (gone.first()?, new.first()?);
        let home = function.as_ref().map_or_else(String::new, |f| format!(" of {f}()"));
        Some(Refusal::new(
            "data-type",
            name,
            "",
            format!("the fix changes the type of this variable{home} from `{}` to `{}`", old.holds, new.holds),
            &format!(
                "the variable keeps its current value: add a new variable, or a shadow variable; \
                 --allow-layout {name} if you know that the value is right for the new type too"
            ),
        ))
    })
}

/// How many differences are told.
const TOLD: usize = 6;

fn record(sides: &Sides<'_>, (old_size, old): (u64, &[Member]), (new_size, new): (u64, &[Member])) -> Vec<String> {
    let mut said = Vec::new();
    if old_size != new_size {
        said.push(format!("{new_size} bytes instead of {old_size}"));
    }
    let find = |all: &[Member], name: &str| all.iter().find(|m| m.name == name).cloned();
    for n in new.iter().filter(|n| !n.name.is_empty() && find(old, &n.name).is_none()) {
        let hole = if old_size == new_size { ", where padding or another field was" } else { "" };
        said.push(format!("{} is new at {}, {}{hole}", n.name, place(n), bits(n.size)));
    }
    for m in old.iter().filter(|m| !m.name.is_empty()) {
        match find(new, &m.name) {
            None => said.push(format!("{} at {} is gone", m.name, place(m))),
            Some(n) if n.at != m.at => said.push(format!("{} moved from {} to {}", m.name, place(m), place(&n))),
            Some(n) if n.size != m.size => {
                said.push(format!("{} at {} has {} instead of {}", m.name, place(m), bits(n.size), bits(m.size)))
            }
            Some(n) if !sides.keeps(&m.holds, &n.holds) => {
                said.push(format!("{} at {} is `{}` instead of `{}`", m.name, place(m), n.holds, m.holds))
            }
            Some(_) => {}
        }
    }
    if said.len() > TOLD {
        let more = said.len() - TOLD;
        said.truncate(TOLD);
        said.push(format!("{more} more"));
    }
    said
}

/// Values that mean something else than before. New ones at the end are fine, also before a last one that counts them.
fn values(old: &[(String, i128)], new: &[(String, i128)]) -> Vec<String> {
    let last = |all: &[(String, i128)]| all.last().map(|(name, _)| name.clone());
    let counts = |name: &String| last(old).as_ref() == Some(name) && last(new).as_ref() == Some(name);
    let mut said = Vec::new();
    for (name, value) in old {
        match new.iter().find(|(n, _)| n == name) {
            None => said.push(format!("{name} ({value}) is gone")),
            Some((_, now)) if now != value && !(counts(name) && now > value) => {
                said.push(format!("{name} is {now} instead of {value}"))
            }
            Some(_) => {}
        }
    }
    said.truncate(TOLD);
    said
}

fn place(m: &Member) -> String {
    match m.at % 8 {
        0 => format!("offset {}", m.at / 8),
        bit => format!("offset {}, bit {bit}", m.at / 8),
    }
}

fn bits(size: u64) -> String {
    match size % 8 {
        0 => format!("{} bytes", size / 8),
        _ => format!("{size} bits"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn enumeration(values: &[(&str, i128)]) -> Vec<(String, i128)> {
        values.iter().map(|(n, v)| (n.to_string(), *v)).collect()
    }

    #[test]
    fn enums_may_grow() {
        let old = enumeration(&[("A", 0), ("B", 1), ("MAX", 2)]);
        assert!(values(&old, &enumeration(&[("A", 0), ("B", 1), ("C", 2), ("MAX", 3)])).is_empty());
        assert!(values(&old[..2], &enumeration(&[("A", 0), ("B", 1), ("C", 2)])).is_empty());
        assert_eq!(values(&old, &enumeration(&[("A", 0), ("X", 1), ("B", 2), ("MAX", 3)])), ["B is 2 instead of 1"]);
        assert_eq!(values(&old, &enumeration(&[("A", 0), ("MAX", 2)])), ["B (1) is gone"]);
    }

    #[test]
    fn fields_in_words() {
        let none = Types::default();
        let sides = Sides::new(&none, &none);
        let record = |a, x: &[Member], b, y: &[Member]| super::record(&sides, (a, x), (b, y));
        let m = |name: &str, at, size| Member { name: name.into(), at, size, holds: Kind::Void };
        let old = [m("a", 0, 32), m("b", 64, 64)];
        assert!(record(16, &old, 16, &old).is_empty());
        let grown = [m("a", 0, 32), m("c", 32, 1), m("b", 64, 64)];
        assert_eq!(record(16, &old, 16, &grown), ["c is new at offset 4, 1 bits, where padding or another field was"]);
        let moved = [m("b", 0, 64), m("a", 64, 64)];
        assert_eq!(
            record(16, &old, 24, &moved),
            ["24 bytes instead of 16", "a moved from offset 0 to offset 8", "b moved from offset 8 to offset 0"]
        );
        assert_eq!(record(8, &old[..1], 8, &[m("a", 0, 64)]), ["a at offset 0 has 8 bytes instead of 4 bytes"]);
    }

    #[test]
    fn names_on_the_command_line() {
        let allowed = BTreeSet::from(["foo".to_string(), "struct bar".to_string()]);
        assert!(
            is_allowed(&allowed, "struct foo") && is_allowed(&allowed, "foo") && is_allowed(&allowed, "struct bar")
        );
        assert!(!is_allowed(&allowed, "union bar") && !is_allowed(&allowed, "struct other"));
    }
}
