// SPDX-License-Identifier: GPL-2.0-or-later
//! Which member of a variable a fix changes: a unit's changed data and the debug information of both its objects in, names such
//! as `table[2].mode` with their types out.

use super::dwarf::{Member, Types};
use super::kind::{record, Kind};
use crate::compile::recompile::{recompile, How};
use crate::diff::{ChangeSet, ChangedData};
use crate::error::ChangedMember;
use crate::source::PatchedTree;
use crate::target::kbuild::Unit;
use crate::target::Target;
use std::path::Path;

/// Deeper than variables of the kernel are nested.
const DEEP: usize = 32;

/// More units than this are not compiled again only to say more about a refusal.
const MOST: usize = 8;

/// Compiles the units whose data the fix changes, which is refused, with debug information, and names what changed.
pub fn ask<'a, 'o: 'a>(
    target: &Target,
    tree: &PatchedTree,
    units: impl Iterator<Item = (&'a Unit, &'a mut ChangeSet<'o>)>,
    work: &Path,
) {
    let is_refused = |changes: &ChangeSet<'_>| changes.data.iter().any(|datum| !changes.goes_with_code(datum.item));
    let mut concerned: Vec<_> = units.filter(|(_, changes)| is_refused(changes)).take(MOST).collect();
    if concerned.is_empty() {
        return;
    }
    let named: Vec<&Unit> = concerned.iter().map(|(unit, _)| *unit).collect();
    // The refusal is right without the name too.
    let Ok(objects) = recompile(target, tree, &named, How::Types, work) else { return };
    for ((_, changes), (original, patched)) in concerned.iter_mut().zip(objects) {
        if let (Ok(original), Ok(patched)) = (Types::read(&original), Types::read(&patched)) {
            name(&original, &patched, changes);
        }
    }
}

/// Names the changed members of a unit, as far as the debug information tells.
pub fn name(original: &Types, patched: &Types, changes: &mut ChangeSet<'_>) {
    let named = |datum: &ChangedData| {
        let symbol = &changes.patched.items[datum.item].name;
        member(original, patched, symbol, datum.difference.at)
    };
    let members: Vec<Option<ChangedMember>> = changes.data.iter().map(named).collect();
    changes.data.iter_mut().zip(members).for_each(|(datum, member)| datum.member = member);
}

/// The member of the variable `symbol` that holds its byte `at`; the variable itself where that is None.
fn member(original: &Types, patched: &Types, symbol: &str, at: Option<u64>) -> Option<ChangedMember> {
    let of = |types: &Types| {
        let variable = variable(types, symbol)?;
        match at {
            Some(at) => held(types, variable, at.checked_mul(8)?),
            None => Some((variable.name.clone(), variable.holds.to_string())),
        }
    };
    let ((_, before), (name, after)) = (of(original)?, of(patched)?);
    Some(ChangedMember { name, before, after })
}

/// The only variable that may have this symbol: gcc appends a dot and a number to those that are local to a function.
fn variable<'t>(types: &'t Types, symbol: &str) -> Option<&'t Member> {
    let bare = symbol.split('.').next()?;
    let is_local = bare != symbol;
    let of_name = types.variables.iter().filter(|((function, name), _)| name == bare && function.is_some() == is_local);
    let mut found = of_name.flat_map(|(_, variables)| variables);
    found.next().filter(|_| found.next().is_none())
}

/// What holds the byte that begins with this bit of a variable: name and type.
fn held(types: &Types, variable: &Member, mut bit: u64) -> Option<(String, String)> {
    let (mut name, mut size, mut holds) = (variable.name.clone(), variable.size, &variable.holds);
    for _ in 0..DEEP {
        if let Kind::Array(of, n) = holds {
            let Some(one) = size.checked_div(*n).filter(|one| *one > 0 && bit / one < *n) else { break };
            name += &format!("[{}]", bit / one);
            (bit, size, holds) = (bit % one, one, of);
            continue;
        }
        let Some((_, members)) = record(holds, types) else { break };
        let Some(member) = covering(members, bit) else { break };
        name += &format!(".{}", member.name);
        (bit, size, holds) = (bit.saturating_sub(member.at), member.size, &member.holds);
    }
    Some((name, holds.to_string()))
}

/// The member that a byte belongs to; None where several share it, as bit fields do, or none has it.
fn covering(members: &[Member], bit: u64) -> Option<&Member> {
    let end = |m: &Member| m.at.saturating_add(m.size);
    let touching = || members.iter().filter(|m| !m.name.is_empty() && m.at < bit.saturating_add(8) && end(m) > bit);
    // Of a union, any member will do.
    touching()
        .find(|m| m.at <= bit && end(m) >= bit.saturating_add(8))
        .or_else(|| touching().next().filter(|_| touching().count() == 1))
}

#[cfg(test)]
mod tests {
    use super::super::dwarf::Shape;
    use super::super::kind::Number;
    use super::*;

    const U32: Kind = Kind::Number { size: 4, what: Number::Unsigned };
    const U64: Kind = Kind::Number { size: 8, what: Number::Unsigned };

    fn m(name: &str, at: u64, size: u64, holds: Kind) -> Member {
        Member { name: name.into(), at, size, holds }
    }

    /// `struct s { u32 a; u32 b:3, c:3; struct { u32 d; } in; } table[2]`, of which `a` is of another type where `other`.
    fn types(other: bool) -> Types {
        let a = if other { Kind::Named("enum e".into()) } else { U32 };
        let members = vec![m("a", 0, 32, a), m("b", 32, 3, U32), m("c", 35, 3, U32), m("in.d", 64, 32, U32)];
        let mut types = Types::default();
        types.shapes.insert("struct s".into(), Shape::Record { size: 12, members });
        let table = Kind::Array(Box::new(Kind::Named("struct s".into())), 2);
        types.variables.insert((None, "table".into()), vec![m("table", 0, 192, table)]);
        let number = if other { U64 } else { U32 };
        types.variables.insert((Some("f".into()), "number".into()), vec![m("number", 0, 32, number)]);
        types.variables.insert((Some("f".into()), "two".into()), vec![m("two", 0, 32, U32), m("two", 0, 32, U32)]);
        types
    }

    #[test]
    fn members_have_names() {
        let (old, new) = (types(false), types(true));
        let of = |symbol: &str, at| member(&old, &new, symbol, at).map(|m| (m.name, m.before, m.after));
        let is = |name: &str, before: &str, after: &str| Some((name.into(), before.into(), after.into()));
        assert_eq!(of("table", Some(0)), is("table[0].a", "u32", "enum e"));
        assert_eq!(of("table", Some(15)), is("table[1].a", "u32", "enum e"));
        assert_eq!(of("table", Some(20)), is("table[1].in.d", "u32", "u32"));
        assert_eq!(of("table", Some(4)), is("table[0]", "struct s", "struct s"), "two bit fields share the byte");
        assert_eq!(of("table", Some(99)), is("table", "struct s [2]", "struct s [2]"));
        assert_eq!(of("number.7", None), is("number", "u32", "u64"));
        assert_eq!(of("number", None), None, "that would be another variable");
        assert_eq!(of("two.1", None), None, "there are two of them");
    }
}
