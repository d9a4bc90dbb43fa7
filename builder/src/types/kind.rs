// SPDX-License-Identifier: GPL-2.0-or-later
//! What a member or variable holds, and whether it is still the same: types of both objects of a unit in, yes or no out.
//!
//! Qualifiers and names from `typedef` make no difference, nor does whether a struct that is only declared is defined as
//! well. Plain integers of one size are alike, except in the arguments and the result of a function: a caller extends them.

use super::dwarf::{Member, Shape, Types};
use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;
use std::fmt;

/// A type without its qualifiers and typedefs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Nothing: what `void *` points to.
    Void,
    /// An integer, `bool`, an enum without a name, a floating-point number.
    Number {
        /// Bytes.
        size: u64,
        /// What its bits mean.
        what: Number,
    },
    /// A struct, union or enum by name: `struct sock`, or that of the typedef of one that has none itself.
    Named(String),
    /// A struct or union without a name, or local to a function.
    Unnamed {
        /// Bytes.
        size: u64,
        /// In order.
        members: Vec<Member>,
    },
    /// A pointer.
    Pointer(Box<Kind>),
    /// An array and the number of its elements; 0 where that is left open.
    Array(Box<Kind>, u64),
    /// A function.
    Function(Box<Prototype>),
}

/// What the bits of a number mean.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Number {
    /// An integer with a sign.
    Signed,
    /// An integer without.
    Unsigned,
    /// `_Bool`.
    Bool,
    /// Anything else, such as `double`.
    Other,
}

/// What a function takes and returns.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Prototype {
    /// What it returns.
    pub returns: Kind,
    /// What it takes; None where the declaration does not say (`int f()`).
    pub takes: Option<Vec<Kind>>,
    /// Whether more arguments may follow.
    pub variadic: bool,
}

/// The types of both sides of a comparison.
pub struct Sides<'t> {
    old: &'t Types,
    new: &'t Types,
    /// Names of types that are being compared at the moment: struct list_head refers to itself.
    open: RefCell<BTreeSet<(String, String)>>,
    /// How many more types may be compared.
    left: Cell<u32>,
}

/// More than any unit of the kernel needs: a limit against types that are made to take long.
const STEPS: u32 = 1 << 22;

/// Bytes of a pointer, on all architectures that kmend knows.
const POINTER: u64 = 8;

/// Bytes of an enum.
const ENUM: u64 = 4;

/// Deeper than types of the kernel are nested, and more members than are worth comparing. What goes beyond is not the same.
const DEEP: usize = 32;
const LEAVES: usize = 4096;

/// A part of a value: its offset and size in bits, its own name, what it holds.
struct Leaf<'k> {
    at: u64,
    size: u64,
    name: &'k str,
    holds: &'k Kind,
}

impl<'t> Sides<'t> {
    /// The types of the original and of the patched object.
    pub fn new(old: &'t Types, new: &'t Types) -> Self {
        Self { old, new, open: RefCell::default(), left: Cell::new(STEPS) }
    }

    /// Whether a value in memory, of one size, keeps its meaning when its type is `new` instead of `old`. Integers do,
    /// also as the only member of a struct (`atomic_t`, `refcount_t`); pointers only where they point to the same type.
    pub fn keeps(&self, old: &Kind, new: &Kind) -> bool {
        self.keeps_in(old, new, 0)
    }

    fn keeps_in(&self, old: &Kind, new: &Kind, deep: usize) -> bool {
        match (old, new) {
            _ if deep > DEEP => false,
            (Kind::Array(a, n), Kind::Array(b, m)) => {
                n == m && self.size(a) == self.size(b) && self.keeps_in(a, b, deep + 1)
            }
            (Kind::Pointer(_), Kind::Pointer(_)) => self.same(old, new),
            _ if old == new || self.are_same_name(old, new) => true,
            (Kind::Named(a), Kind::Named(b)) if is_plain(old) && is_plain(new) => self.is_renamed(a, b),
            // An array of one is its element; one of several is no number.
            (Kind::Array(of, n), other) | (other, Kind::Array(of, n)) if is_plain(other) => {
                *n == 1 && self.size(of) == self.size(other) && self.keeps_in(of, other, deep + 1)
            }
            _ => {
                let (Some(a), Some(b)) = (leaves(old, self.old), leaves(new, self.new)) else { return false };
                let records = is_record(old) && is_record(new);
                let is_one = |all: &[Leaf<'_>]| {
                    all.len() == 1 || all.iter().any(|leaf| leaf.size == self.size(old).max(self.size(new)))
                };
                if !records && !a.iter().chain(&b).any(|leaf| points(leaf.holds)) {
                    // A number, and a struct or union of which one member is all of it.
                    return is_one(&a) && is_one(&b);
                }
                let several = a.len() > 1 || b.len() > 1;
                let alike = |(a, b): (&Leaf<'_>, &Leaf<'_>)| {
                    (a.at, a.size) == (b.at, b.size)
                        && (!several || a.name == b.name)
                        && (is_plain(a.holds) && is_plain(b.holds) || self.keeps_in(a.holds, b.holds, deep + 1))
                };
                a.len() == b.len() && a.iter().zip(&b).all(alike)
            }
        }
    }

    /// Bits of a type; 0 where that is open.
    fn size(&self, kind: &Kind) -> u64 {
        let bytes = match kind {
            Kind::Number { size, .. } => *size,
            Kind::Pointer(_) => POINTER,
            Kind::Array(of, n) => return self.size(of).wrapping_mul(*n),
            Kind::Named(name) if name.starts_with("enum ") => ENUM,
            Kind::Named(_) | Kind::Unnamed { .. } => {
                let found = record(kind, self.old).or_else(|| record(kind, self.new));
                found.map_or(0, |(size, _)| size)
            }
            Kind::Void | Kind::Function(_) => 0,
        };
        bytes.wrapping_mul(8)
    }

    /// Whether what is at the other end of a pointer is the same type.
    pub fn same(&self, old: &Kind, new: &Kind) -> bool {
        let Some(left) = self.left.get().checked_sub(1) else { return false };
        self.left.set(left);
        match (old, new) {
            (Kind::Number { size: a, what: x }, Kind::Number { size: b, what: y }) => {
                a == b && (x == y || is_integer(*x) && is_integer(*y))
            }
            (Kind::Pointer(a), Kind::Pointer(b)) => self.same(a, b),
            (Kind::Array(a, n), Kind::Array(b, m)) => (n == m || *n == 0 || *m == 0) && self.same(a, b),
            (Kind::Function(a), Kind::Function(b)) => self.same_prototype(a, b),
            (Kind::Void, Kind::Void) => true,
            _ if self.are_same_name(old, new) => true,
            (Kind::Named(a), Kind::Named(b)) => self.is_renamed(a, b),
            (Kind::Named(_) | Kind::Unnamed { .. }, Kind::Named(_) | Kind::Unnamed { .. }) => {
                record(old, self.old).zip(record(new, self.new)).is_some_and(|(a, b)| self.same_record(a, b))
            }
            _ => false,
        }
    }

    /// Whether functions are called in the same way and mean the same by it.
    pub fn same_prototype(&self, old: &Prototype, new: &Prototype) -> bool {
        let passed = |a: &Kind, b: &Kind| match (a, b) {
            (Kind::Number { .. }, Kind::Number { .. }) => a == b,
            _ => self.same(a, b),
        };
        let takes = match (&old.takes, &new.takes) {
            (Some(a), Some(b)) => {
                old.variadic == new.variadic && a.len() == b.len() && a.iter().zip(b).all(|(a, b)| passed(a, b))
            }
            _ => true,
        };
        takes && passed(&old.returns, &new.returns)
    }

    fn are_same_name(&self, old: &Kind, new: &Kind) -> bool {
        matches!((old, new), (Kind::Named(a), Kind::Named(b)) if a == b)
    }

    /// The fix renames a type that stays what it is: each side knows one of the names only.
    fn is_renamed(&self, old: &str, new: &str) -> bool {
        if self.new.names.contains(old) || self.old.names.contains(new) {
            return false;
        }
        let keyword = |name: &str| name.split_once(' ').map(|(keyword, _)| keyword.to_string());
        match (self.old.shapes.get(old), self.new.shapes.get(new)) {
            _ if keyword(old).zip(keyword(new)).is_some_and(|(a, b)| a != b) => false,
            (Some(Shape::Enum(a)), Some(Shape::Enum(b))) => a == b,
            (Some(Shape::Record { size: a, members: x }), Some(Shape::Record { size: b, members: y })) => {
                let pair = (old.to_string(), new.to_string());
                if !self.open.borrow_mut().insert(pair.clone()) {
                    return true;
                }
                let same = self.same_record((*a, x), (*b, y));
                self.open.borrow_mut().remove(&pair);
                same
            }
            _ => false,
        }
    }

    fn same_record(&self, (old_size, old): (u64, &[Member]), (new_size, new): (u64, &[Member])) -> bool {
        let alike = |(a, b): (&Member, &Member)| {
            (&a.name, a.at, a.size) == (&b.name, b.at, b.size) && self.same(&a.holds, &b.holds)
        };
        old_size == new_size && old.len() == new.len() && old.iter().zip(new).all(alike)
    }
}

fn is_integer(what: Number) -> bool {
    matches!(what, Number::Signed | Number::Unsigned)
}

/// A number, whatever it means.
fn is_plain(kind: &Kind) -> bool {
    match kind {
        Kind::Number { .. } => true,
        Kind::Named(name) => name.starts_with("enum "),
        _ => false,
    }
}

fn is_record(kind: &Kind) -> bool {
    matches!(kind, Kind::Named(_) | Kind::Unnamed { .. }) && !is_plain(kind)
}

/// A pointer, or an array of them.
fn points(kind: &Kind) -> bool {
    match kind {
        Kind::Pointer(_) => true,
        Kind::Array(of, _) => points(of),
        _ => false,
    }
}

/// Size in bytes and members of a struct or union.
pub(super) fn record<'k>(kind: &'k Kind, types: &'k Types) -> Option<(u64, &'k [Member])> {
    match kind {
        Kind::Unnamed { size, members, .. } => Some((*size, members)),
        Kind::Named(name) => match types.shapes.get(name)? {
            Shape::Record { size, members } => Some((*size, members)),
            Shape::Enum(_) => None,
        },
        _ => None,
    }
}

/// The parts of a value, structs in it taken apart; None for what is too large, or not defined.
fn leaves<'k>(kind: &'k Kind, types: &'k Types) -> Option<Vec<Leaf<'k>>> {
    let mut out = Vec::new();
    let mut left: Vec<(Leaf<'k>, usize)> = vec![(Leaf { at: 0, size: 0, name: "", holds: kind }, 0)];
    while let Some((leaf, deep)) = left.pop() {
        if deep > DEEP || out.len() + left.len() > LEAVES {
            return None;
        }
        if !is_record(leaf.holds) {
            out.push(leaf);
            continue;
        }
        let members = record(leaf.holds, types)?.1;
        left.extend(members.iter().rev().map(|m| {
            let name = m.name.rsplit('.').next().unwrap_or_default();
            (Leaf { at: leaf.at.wrapping_add(m.at), size: m.size, name, holds: &m.holds }, deep + 1)
        }));
    }
    // A lone value has no offset and no name; its size was compared.
    if let [only] = out.as_mut_slice() {
        (only.size, only.name) = (0, "");
    }
    Some(out)
}

impl fmt::Display for Kind {
    /// As C has it, without a name: `int (*)(struct sock *)`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&declared(self, String::new()))
    }
}

/// `kind` with `inner` in the place of what is declared.
fn declared(kind: &Kind, inner: String) -> String {
    let spaced = |word: &str| match inner.as_str() {
        "" => word.to_string(),
        inner => format!("{word} {inner}"),
    };
    let grouped = || match inner.starts_with('*') {
        true => format!("({inner})"),
        false => inner.clone(),
    };
    match kind {
        Kind::Void => spaced("void"),
        Kind::Number { size, what } => {
            let bits = size.saturating_mul(8);
            match what {
                Number::Signed => spaced(&format!("s{bits}")),
                Number::Unsigned => spaced(&format!("u{bits}")),
                Number::Bool => spaced("bool"),
                Number::Other => spaced(&format!("{bits}-bit number")),
            }
        }
        Kind::Named(name) => spaced(name),
        Kind::Unnamed { .. } => spaced("struct without a name"),
        Kind::Pointer(to) => declared(to, format!("*{inner}")),
        Kind::Array(of, 0) => declared(of, format!("{}[]", grouped())),
        Kind::Array(of, n) => declared(of, format!("{}[{n}]", grouped())),
        Kind::Function(p) => declared(&p.returns, format!("{}{}", grouped(), arguments(p))),
    }
}

fn arguments(p: &Prototype) -> String {
    let Some(takes) = &p.takes else { return "()".into() };
    let mut all: Vec<String> = takes.iter().map(ToString::to_string).collect();
    match (all.is_empty(), p.variadic) {
        (_, true) => all.push("...".into()),
        (true, false) => all.push("void".into()),
        _ => {}
    }
    format!("({})", all.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pointer(to: Kind) -> Kind {
        Kind::Pointer(Box::new(to))
    }

    fn named(name: &str) -> Kind {
        Kind::Named(name.into())
    }

    const INT: Kind = Kind::Number { size: 4, what: Number::Signed };
    const UNSIGNED: Kind = Kind::Number { size: 4, what: Number::Unsigned };

    fn function(takes: Kind) -> Kind {
        let prototype = Prototype { returns: INT, takes: Some(vec![takes]), variadic: false };
        pointer(Kind::Function(Box::new(prototype)))
    }

    fn types(records: &[(&str, &[(&str, Kind)])]) -> Types {
        let mut types = Types::default();
        for (name, members) in records {
            let place = |(n, (name, holds)): (usize, &(&str, Kind))| Member {
                name: name.to_string(),
                at: n as u64 * 64,
                size: 64,
                holds: holds.clone(),
            };
            let members: Vec<Member> = members.iter().enumerate().map(place).collect();
            types.names.insert(name.to_string());
            types.shapes.insert(name.to_string(), Shape::Record { size: members.len() as u64 * 8, members });
        }
        types
    }

    #[test]
    fn what_pointers_lead_to() {
        let none = Types::default();
        let sides = Sides::new(&none, &none);
        assert!(sides.keeps(&INT, &UNSIGNED) && sides.keeps(&pointer(INT), &pointer(UNSIGNED)));
        assert!(sides.keeps(&pointer(named("struct a")), &pointer(named("struct a"))));
        assert!(!sides.keeps(&pointer(named("struct a")), &pointer(named("struct b"))));
        assert!(!sides.keeps(&pointer(Kind::Void), &pointer(named("struct b"))));
        assert!(!sides.keeps(&pointer(INT), &pointer(Kind::Number { size: 8, what: Number::Signed })));
        assert!(!sides.keeps(&Kind::Number { size: 8, what: Number::Unsigned }, &pointer(Kind::Void)));
        assert!(!sides.keeps(&function(INT), &function(UNSIGNED)), "the caller extends it");
        assert!(sides.keeps(&named("enum a"), &INT));
        let array = |of| Kind::Array(Box::new(of), 2);
        assert!(!sides.keeps(&array(pointer(named("struct a"))), &array(pointer(named("struct b")))));
        assert!(!sides.keeps(&pointer(pointer(named("struct a"))), &pointer(pointer(named("struct b")))));
    }

    #[test]
    fn arrays_of_numbers() {
        let number = |size| Kind::Number { size, what: Number::Unsigned };
        let array = |of: Kind, n| Kind::Array(Box::new(of), n);
        let halves = [("low", number(4)), ("high", number(4))];
        let types = types(&[("struct one", &[("all", number(8))]), ("struct halves", &halves)]);
        let sides = Sides::new(&types, &types);
        assert!(sides.keeps(&array(INT, 4), &array(UNSIGNED, 4)) && sides.keeps(&array(INT, 1), &UNSIGNED));
        assert!(!sides.keeps(&array(number(4), 4), &array(number(8), 2)));
        assert!(!sides.keeps(&array(number(4), 0), &array(number(8), 0)), "an array at the end of a struct");
        assert!(!sides.keeps(&array(number(4), 2), &number(8)));
        assert!(sides.keeps(&number(8), &named("struct one")));
        assert!(!sides.keeps(&number(8), &named("struct halves")), "two numbers for one");
    }

    #[test]
    fn values_of_another_enum() {
        let with = |name: &str, values: &[(&str, i128)]| {
            let mut types = Types::default();
            types.names.insert(name.into());
            let values = values.iter().map(|(name, value)| (name.to_string(), *value));
            types.shapes.insert(name.into(), Shape::Enum(values.collect()));
            types
        };
        let (old, new) = (with("enum a", &[("IDLE", 0), ("BUSY", 1)]), with("enum b", &[("BUSY", 0), ("IDLE", 1)]));
        assert!(!Sides::new(&old, &new).keeps(&named("enum a"), &named("enum b")));
        let renamed = with("enum b", &[("IDLE", 0), ("BUSY", 1)]);
        assert!(Sides::new(&old, &renamed).keeps(&named("enum a"), &named("enum b")));
    }

    #[test]
    fn a_type_may_get_another_name() {
        let node = |name: &str| vec![("next", pointer(named(name))), ("value", INT)];
        let (old, new) = (types(&[("struct a", &node("struct a"))]), types(&[("struct b", &node("struct b"))]));
        let (a, b) = (pointer(named("struct a")), pointer(named("struct b")));
        assert!(Sides::new(&old, &new).keeps(&a, &b));
        let both = types(&[("struct a", &node("struct a")), ("struct b", &node("struct b"))]);
        assert!(!Sides::new(&both, &both).keeps(&a, &b), "both are types of their own");
        let other = types(&[("struct b", &[("value", INT), ("next", pointer(named("struct b")))])]);
        assert!(!Sides::new(&old, &other).keeps(&a, &b), "it looks different");
    }

    #[test]
    fn values_of_another_struct() {
        let old = types(&[("struct atomic", &[("counter", INT)]), ("struct xy", &[("x", INT), ("y", INT)])]);
        let new = types(&[
            ("struct atomic", &[("counter", INT)]),
            ("struct refcount", &[("refs", named("struct atomic"))]),
            ("struct yx", &[("y", INT), ("x", INT)]),
            ("struct list", &[("next", pointer(named("struct list"))), ("prev", pointer(named("struct list")))]),
        ]);
        let sides = Sides::new(&old, &new);
        assert!(sides.keeps(&named("struct atomic"), &named("struct refcount")));
        assert!(sides.keeps(&INT, &named("struct atomic")));
        assert!(!sides.keeps(&named("struct xy"), &named("struct yx")));
        assert!(!sides.keeps(&named("struct xy"), &named("struct list")));
        assert!(!sides.keeps(&named("struct xy"), &named("struct unknown")));
    }

    #[test]
    fn in_words() {
        assert_eq!(function(pointer(named("struct a"))).to_string(), "s32 (*)(struct a *)");
        assert_eq!(Kind::Array(Box::new(pointer(Kind::Void)), 3).to_string(), "void *[3]");
        assert_eq!(pointer(Kind::Array(Box::new(UNSIGNED), 0)).to_string(), "u32 (*)[]");
    }
}
