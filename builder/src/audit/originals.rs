// SPDX-License-Identifier: GPL-2.0-or-later
//! Which symbol of the original a symbol of the patched object continues: two objects of one unit in, an answer or the
//! reason why there is none out.
//!
//! Names say it where the source gives them. Where the compiler numbered a name, the declaration in the debug information
//! says it, of a function its callers ([`Clones`]); without that, a name that is there once on each side.

use super::clones::Clones;
use super::statics::{Declared, Statics};
use super::Unit;
use crate::elf::{Object, SymId, SymKind, Symbol};
use std::cell::OnceCell;
use std::collections::HashMap;

/// What of the original a symbol continues.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Original {
    /// This symbol.
    Is(SymId),
    /// None: the fix adds it.
    New,
    /// Unknown, with the reason.
    Unsure(String),
}

/// The symbols of a unit's rebuilt original.
pub struct Originals<'o> {
    patched: &'o Object,
    original: &'o Object,
    like: &'o Object,
    by_name: HashMap<&'o str, Vec<SymId>>,
    /// By name without numbers: patched, original.
    by_base: [HashMap<String, Vec<SymId>>; 2],
    statics: &'o [Statics; 2],
    clones: OnceCell<Clones>,
}

impl<'o> Originals<'o> {
    /// For a unit.
    pub fn new(unit: &Unit<'o>) -> Self {
        let Unit { patched, original, like, statics, .. } = *unit;
        let mut by_name: HashMap<&str, Vec<SymId>> = HashMap::new();
        for id in defined(original) {
            by_name.entry(&original.symbols[id].name).or_default().push(id);
        }
        let by_base = [patched, original].map(|object| {
            let mut all: HashMap<String, Vec<SymId>> = HashMap::new();
            for id in defined(object) {
                let name = &object.symbols[id].name;
                if let Some(base) = without_numbers(name) {
                    all.entry(base).or_default().push(id);
                }
            }
            all
        });
        Self { patched, original, like, by_name, by_base, statics, clones: OnceCell::new() }
    }

    /// The original of a symbol of the patched object.
    pub fn of(&self, symbol: SymId) -> Original {
        let mine = &self.patched.symbols[symbol];
        let Some(base) = without_numbers(&mine.name) else {
            return match self.by_name.get(mine.name.as_str()).map_or(&[][..], Vec::as_slice) {
                [] => Original::New,
                [one] => Original::Is(*one),
                all => Original::Unsure(format!("the original has {} symbols {}", all.len(), mine.name)),
            };
        };
        if let Some(found) = self.by_declaration(mine, &base) {
            return found;
        }
        let none = Vec::new();
        let of = |n: usize, object: &Object| -> Vec<SymId> {
            let all = self.by_base[n].get(&base).unwrap_or(&none).iter().copied();
            all.filter(|&id| (object.symbols[id].kind == SymKind::Func) == (mine.kind == SymKind::Func)).collect()
        };
        let clones = self.clones.get_or_init(|| Clones::new(self.patched, self.like));
        if let Some(name) = clones.original(symbol).map(|id| self.like.symbols[id].name.as_str()) {
            if let [one] = self.by_name.get(name).map_or(&[][..], Vec::as_slice) {
                return Original::Is(*one);
            }
        }
        match (&of(0, self.patched)[..], &of(1, self.original)[..]) {
            (_, []) => Original::New,
            ([_], [one]) if self.alike(mine, *one) => Original::Is(*one),
            ([_], [one]) => Original::Unsure(format!(
                "the original's {} has another size or is in memory of another kind",
                self.original.symbols[*one].name
            )),
            (mine, theirs) => Original::Unsure(format!(
                "the patched file has {} of the name {base}, the original {}, and the compiler's numbers do not tell which \
                 is which",
                mine.len(),
                theirs.len()
            )),
        }
    }

    /// By where the debug information says that it is declared; None where that says nothing.
    fn by_declaration(&self, mine: &Symbol, base: &str) -> Option<Original> {
        if mine.kind == SymKind::Func {
            return None;
        }
        let [patched, original] = self.statics;
        let declared = patched.get(&mine.name)?;
        let same_scope =
            |d: &Declared| d.function == declared.function && d.name == declared.name && d.file == declared.file;
        let find = |all: &'o Statics, is: &dyn Fn(&Declared) -> bool| {
            let found = all.iter().filter(|(_, d)| same_scope(d) && is(d)).map(|(name, _)| name.as_str());
            found.collect::<Vec<&str>>()
        };
        let is = |name: &str| match self.by_name.get(name).map_or(&[][..], Vec::as_slice) {
            [one] if self.alike(mine, *one) => Original::Is(*one),
            [_] => Original::Unsure(format!("the original's {name} has another size or is in memory of another kind")),
            [] => Original::Unsure(format!("{name} of the original is not in the code as it was shipped")),
            _ => Original::Unsure(format!("the original has several symbols {name}")),
        };
        if let Some(line) = declared.line {
            let here = |d: &Declared| d.line == Some(line);
            match (&find(original, &here)[..], &find(patched, &here)[..]) {
                ([one], [_]) => return Some(is(one)),
                ([], [_]) => {}
                _ => return Some(Original::Unsure(format!("several variables {base} are declared in line {line}"))),
            }
        }
        // The fix adds or changes the line of the declaration: of the same function, what no line of the other side continues.
        let alone = |others: &'o Statics| {
            move |d: &Declared| d.line.is_none() || !others.values().any(|o| same_scope(o) && o.line == d.line)
        };
        Some(match (&find(original, &alone(patched))[..], &find(patched, &alone(original))[..]) {
            ([], _) => Original::New,
            ([one], [_]) => is(one),
            (theirs, mine) => Original::Unsure(format!(
                "{} has {} {base} in lines that the fix changes, the original {}, and nothing tells which is which",
                declared.function,
                mine.len(),
                theirs.len()
            )),
        })
    }

    fn alike(&self, mine: &Symbol, theirs: SymId) -> bool {
        let other = &self.original.symbols[theirs];
        let writable = |object: &Object, s: &Symbol| s.section().map(|id| object.sections[id].is_writable());
        mine.kind == SymKind::Func
            || mine.size == other.size && writable(self.patched, mine) == writable(self.original, other)
    }
}

pub fn defined(object: &Object) -> impl Iterator<Item = SymId> + '_ {
    let is_one =
        |s: &Symbol| s.section().is_some() && !s.name.is_empty() && !matches!(s.kind, SymKind::Section | SymKind::File);
    object.symbols.iter().enumerate().filter(move |(_, s)| is_one(s)).map(|(id, _)| id)
}

/// The name without the numbers that compilers put behind it: `count.12` → `count`, `foo.constprop.0` → `foo.constprop`. None
/// for a name without any.
pub fn without_numbers(name: &str) -> Option<String> {
    let is_number = |part: &&str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
    let (numbers, parts): (Vec<&str>, Vec<&str>) = name.split('.').partition(is_number);
    (!numbers.is_empty() && parts.first().is_some_and(|p| !p.is_empty())).then(|| parts.join("."))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_of_the_compiler() {
        assert_eq!(without_numbers("count.12").as_deref(), Some("count"));
        assert_eq!(without_numbers("foo.constprop.0.isra.1.cold").as_deref(), Some("foo.constprop.isra.cold"));
        assert_eq!(without_numbers("foo.cold"), None);
        assert_eq!(without_numbers("count"), None);
        assert_eq!(without_numbers(".12"), None);
    }
}
