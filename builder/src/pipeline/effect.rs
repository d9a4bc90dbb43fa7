// SPDX-License-Identifier: GPL-2.0-or-later
//! What each fix does to the kernel: the fixes, the changes of the units and what of them is in the live patch, in; out,
//! for each fix whether it is fixed live, does not concern this kernel, or is not fixed, and why.
//!
//! If only one fix reaches a unit, all its changes come from that fix. If several do, the unit is compiled once more
//! after each of them: what differs from the state before is what that fix changes. A fix after which the unit does not
//! compile is judged together with the next one.

use super::unit::{load, Changed};
use super::Build;
use crate::compile;
use crate::diff;
use crate::diff::view::ItemKind;
use crate::elf::Object;
use crate::error::Refused;
use crate::extract::Extract;
use crate::source::{self, Effect, Fix, PatchedTree};
use crate::target::kbuild;
use anyhow::Result;
use std::collections::{BTreeMap, BTreeSet};

/// So many files of a fix are named in its reason.
const NAMED: usize = 3;
/// The most characters of a reason.
const LONGEST: usize = 400;

/// One unit as far as it matters here.
struct Reached<'u> {
    unit: &'u Changed<'u>,
    /// The fixes that touch a file which it is compiled from, in order.
    fixes: Vec<usize>,
    functions: Functions,
    /// What of its changes a macro leaves out.
    left_out: Option<String>,
}

/// The functions of a unit, by name.
#[derive(Default)]
struct Functions {
    /// Names of the functions of it that the live patch replaces, or that the kernel calls as callbacks.
    replaced: BTreeSet<String>,
    /// Names of the functions that are new in the live patch.
    new: BTreeSet<String>,
    /// Names of all functions that it has with the fixes.
    present: BTreeSet<String>,
}

/// What is found out about the fixes, by their number.
#[derive(Debug, Default, PartialEq, Eq)]
struct Found {
    live: BTreeSet<usize>,
    /// Those that changed functions which are again as they were, and where.
    undone: BTreeMap<usize, String>,
    /// Those that change what a macro leaves out, and what that is.
    left_out: BTreeMap<usize, String>,
}

/// A unit, and its extract, if it is in a live patch.
pub type Carried<'a, 'u> = (&'a Changed<'u>, Option<&'a Extract>);

/// The fixes with what each of them does to the kernel.
///
/// # Errors
/// A compiler that cannot be run, an object that cannot be read.
pub fn effects(build: &Build<'_>, units: &[Carried<'_, '_>]) -> Result<Vec<Fix>> {
    let all: Vec<Reached<'_>> = units.iter().map(|(unit, extract)| reached(build, unit, *extract)).collect();
    let mut found = Found::default();
    for reached in &all {
        if let ([one], false) = (reached.fixes.as_slice(), reached.functions.replaced.is_empty()) {
            found.live.insert(*one);
        }
        if let Some(why) = &reached.left_out {
            reached.fixes.iter().for_each(|fix| _ = found.left_out.entry(*fix).or_insert_with(|| why.clone()));
        }
    }
    // Of units that the same fixes reach one is asked first: what it tells of them is mostly enough.
    let (mut first, mut rest, mut known) = (Vec::new(), Vec::new(), BTreeSet::new());
    for reached in all.iter().filter(|r| r.fixes.len() > 1) {
        if known.insert(&reached.fixes) { &mut first } else { &mut rest }.push(reached);
    }
    for batch in [first, rest] {
        let open: Vec<&Reached<'_>> =
            batch.into_iter().filter(|r| r.fixes.iter().any(|fix| !found.live.contains(fix))).collect();
        let states = states(build, &open)?;
        for reached in open {
            walk(reached, &states, &build.image.layouts, &mut found)?;
        }
    }
    Ok(told(build.tree, build.absent, &found))
}

/// The fixes where none changes code of the kernel; `absent` are the touched files that it does not contain, and why.
pub fn without_code(tree: &PatchedTree, absent: &BTreeMap<String, String>) -> Vec<Fix> {
    told(tree, absent, &Found::default())
}

/// The fixes with what was found out about them.
fn told(tree: &PatchedTree, absent: &BTreeMap<String, String>, found: &Found) -> Vec<Fix> {
    let fix = |(n, fix): (usize, &Fix)| {
        let (effect, reason) = judge(n, found, tree, absent);
        Fix { effect: Some(effect), reason: reason.map(|r| one_line(&r)), ..fix.clone() }
    };
    tree.fixes.iter().enumerate().map(fix).collect()
}

fn reached<'u>(build: &Build<'_>, unit: &'u Changed<'u>, extract: Option<&Extract>) -> Reached<'u> {
    let target = build.session.target();
    let mut inputs: BTreeSet<String> = unit.pair.inputs.iter().map(|path| kbuild::in_tree(target, path)).collect();
    inputs.insert(unit.source().into());
    let touches = build.tree.touches.iter().enumerate();
    let mut fixes: Vec<usize> = touches.filter(|(_, t)| !t.is_disjoint(&inputs)).map(|(n, _)| n).collect();
    if fixes.is_empty() {
        fixes = (0..build.tree.touches.len()).collect();
    }
    let changes = &unit.changes;
    let replaced = extract.into_iter().flat_map(|e| e.replaced.iter().map(|r| r.old_name.as_str()));
    let callbacks = extract.into_iter().flat_map(|e| e.callbacks.iter().map(|c| c.function.as_str()));
    let present = changes.patched.items.iter().filter(|i| i.kind == ItemKind::Function);
    let new = changes.functions.iter().filter(|f| extract.is_some() && f.original.is_none());
    let functions = Functions {
        new: new.map(|f| base(&changes.patched.items[f.item].name)).collect(),
        replaced: replaced.chain(callbacks).map(base).collect(),
        present: present.map(|i| base(&i.name)).collect(),
    };
    let left_out = (changes.left_out.first())
        .map(|left| format!("{} leaves out its change of {} in {}", left.by, left.name, unit.source()));
    Reached { unit, fixes, functions, left_out }
}

/// A function's name without what the compiler puts behind it for a copy or a part.
fn base(name: &str) -> String {
    name.split('.').find(|part| !part.is_empty()).unwrap_or(name).into()
}

/// The objects of the units of `batch` as each fix that reaches them but the last leaves them, by unit's object and count
/// of fixes. One that does not compile is missing.
fn states(build: &Build<'_>, batch: &[&Reached<'_>]) -> Result<BTreeMap<(String, usize), Object>> {
    let (target, parts) = (build.session.target(), build.parts);
    let mut wanted: BTreeMap<usize, Vec<kbuild::Unit>> = BTreeMap::new();
    for reached in batch {
        for fix in reached.fixes.iter().rev().skip(1) {
            wanted.entry(fix + 1).or_default().push(reached.unit.pair.unit.clone());
        }
    }
    let mut states = BTreeMap::new();
    for (count, units) in wanted {
        let work = tempfile::Builder::new().prefix("first-").tempdir_in(build.work)?;
        let tree = source::apply_parts(target, &parts[..count], work.path())?;
        let pairs = match compile::compile(target, &tree, &units, work.path()) {
            Ok(pairs) => pairs,
            Err(error) if !error.is::<Refused>() => return Err(error),
            Err(_) if units.len() == 1 => Vec::new(),
            Err(_) => {
                let mut pairs = Vec::new();
                for unit in &units {
                    match compile::compile(target, &tree, std::slice::from_ref(unit), work.path()) {
                        Ok(pair) => pairs.extend(pair),
                        Err(error) if error.is::<Refused>() => {}
                        Err(error) => return Err(error),
                    }
                }
                pairs
            }
        };
        for pair in pairs {
            let object = load(&pair, &pair.patched, "as some of the fixes leave it")?;
            states.insert((pair.unit.object, count), object);
        }
    }
    Ok(states)
}

/// Follows a unit from fix to fix.
fn walk(
    reached: &Reached<'_>,
    states: &BTreeMap<(String, usize), Object>,
    layouts: &crate::special::layout::Layouts,
    found: &mut Found,
) -> Result<()> {
    let mut before = reached.unit.original;
    let mut open = Vec::new();
    for (n, fix) in reached.fixes.iter().enumerate() {
        open.push(*fix);
        let state = match n + 1 == reached.fixes.len() {
            true => Some(reached.unit.patched),
            false => states.get(&(reached.unit.pair.unit.object.clone(), fix + 1)),
        };
        let Some(after) = state else { continue };
        let changes = diff::diff(before, after, layouts)?;
        let names = |f: &diff::ChangedFunction| {
            let old = f.original.map(|o| changes.original.items[o].name.as_str());
            let new = changes.patched.items[f.item].name.as_str();
            (base(old.unwrap_or(new)), old.is_some())
        };
        let functions = changes.functions.iter().map(names).collect();
        found.step(&open, &functions, &reached.functions, reached.unit.source());
        before = after;
        open.clear();
    }
    Ok(())
}

impl Found {
    /// Enters what a step of one or more fixes came to, that changed (true) or added functions of the unit `source`.
    fn step(&mut self, fixes: &[usize], step: &BTreeMap<String, bool>, unit: &Functions, source: &str) {
        let changed = || step.iter().filter(|(_, is_changed)| **is_changed).map(|(name, _)| name);
        // A function that is no more is inlined into those that are replaced.
        let gone = || changed().any(|name| !unit.present.contains(name));
        let is_live = step.keys().any(|name| unit.replaced.contains(name))
            || changed().any(|name| unit.new.contains(name))
            || !unit.replaced.is_empty() && gone();
        if is_live {
            self.live.extend(fixes);
        } else if let Some(name) = changed().next() {
            let place = || format!("{name} in {source}");
            fixes.iter().for_each(|fix| _ = self.undone.entry(*fix).or_insert_with(place));
        }
    }
}

fn judge(n: usize, found: &Found, tree: &PatchedTree, absent: &BTreeMap<String, String>) -> (Effect, Option<String>) {
    if found.live.contains(&n) {
        return (Effect::Live, None);
    }
    let touches = &tree.touches[n];
    if let Some(why) = found.left_out.get(&n) {
        return (Effect::Undone, Some(why.clone()));
    }
    if let Some(place) = found.undone.get(&n) {
        return (Effect::Undone, Some(format!("later fixes revert what it changes: {place}")));
    }
    let as_it_was = |path: &&String| tree.files.get(*path).is_some_and(|f| f.original == f.patched);
    if let Some(path) = touches.iter().find(as_it_was) {
        return (Effect::Undone, Some(format!("together, the fixes do not change {path}")));
    }
    let whys: Vec<String> = touches.iter().filter_map(|path| Some(format!("{path}: {}", absent.get(path)?))).collect();
    let built: Vec<&str> = touches.iter().filter(|path| !absent.contains_key(*path)).map(String::as_str).collect();
    if built.is_empty() {
        return (Effect::NotBuilt, Some(some(&whys, "; ")));
    }
    let s = if built.len() == 1 { "s" } else { "" };
    let same = format!("{} compile{s} to the same code with and without it", some(&built, ", "));
    (Effect::SameCode, Some(some(&[vec![same], whys].concat(), "; ")))
}

/// The first of a list, and how many more there are.
fn some(all: &[impl AsRef<str>], between: &str) -> String {
    let mut said: Vec<String> = all.iter().take(NAMED).map(|one| one.as_ref().to_string()).collect();
    if all.len() > NAMED {
        said.push(format!("and {} more", all.len() - NAMED));
    }
    said.join(between)
}

/// On one line that has an end.
fn one_line(text: &str) -> String {
    let words: Vec<&str> = text.split_whitespace().collect();
    let clean: String = words.join(" ").chars().filter(|c| !c.is_control()).collect();
    match clean.char_indices().nth(LONGEST) {
        Some((at, _)) => format!("{}…", clean[..at].trim_end()),
        None => clean,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn unit(replaced: &[&str], present: &[&str]) -> Functions {
        let all = |names: &[&str]| names.iter().map(|n| n.to_string()).collect();
        Functions { replaced: all(replaced), new: BTreeSet::new(), present: all(present) }
    }

    /// What is found out of a unit that two fixes reach, where the steps change (or with `+` add) these functions.
    fn found(unit: &Functions, steps: &[(&[usize], &[&str])]) -> (Vec<usize>, Vec<usize>) {
        let mut found = Found::default();
        for (fixes, names) in steps {
            let name = |name: &&str| (name.trim_start_matches('+').to_string(), !name.starts_with('+'));
            found.step(fixes, &names.iter().map(name).collect(), unit, "f.c");
        }
        let undone = found.undone.keys().filter(|fix| !found.live.contains(fix)).copied().collect();
        (found.live.into_iter().collect(), undone)
    }

    #[test]
    fn each_of_two_fixes_has_its_own() {
        let f_and_g = unit(&["f", "g"], &["f", "g", "h"]);
        assert_eq!(found(&f_and_g, &[(&[0], &["f"]), (&[1], &["g"])]), (vec![0, 1], vec![]));
        // The second compiles to the same code.
        assert_eq!(found(&f_and_g, &[(&[0], &["f", "g"]), (&[1], &[])]), (vec![0], vec![]));
        // One that adds what the other uses has replaced nothing.
        assert_eq!(found(&f_and_g, &[(&[0], &["+h"]), (&[1], &["f", "g"])]), (vec![1], vec![]));
        // One that changes what the other has added.
        let with_new = Functions { new: ["h".to_string()].into(), ..unit(&["f"], &["f", "h"]) };
        assert_eq!(found(&with_new, &[(&[0], &["f", "+h"]), (&[1], &["h"])]), (vec![0, 1], vec![]));
        // Both together, as the first does not compile alone.
        assert_eq!(found(&f_and_g, &[(&[0, 1], &["f"])]), (vec![0, 1], vec![]));
    }

    #[test]
    fn what_later_fixes_take_back_is_not_fixed() {
        let g = unit(&["g"], &["f", "g"]);
        assert_eq!(found(&g, &[(&[0], &["f"]), (&[1], &["f", "g"])]), (vec![1], vec![0]));
        let none = unit(&[], &["f"]);
        assert_eq!(found(&none, &[(&[0], &["f"]), (&[1], &["f"])]), (vec![], vec![0, 1]));
        // One that is inlined with the next one is there all the same.
        assert_eq!(found(&unit(&["g"], &["g"]), &[(&[0], &["f"]), (&[1], &["g"])]), (vec![0, 1], vec![]));
        // A unit tells it, another knows better.
        let mut all = Found::default();
        all.step(&[0], &[("f".to_string(), true)].into(), &none, "a.c");
        all.step(&[0], &[("g".to_string(), true)].into(), &g, "b.c");
        assert!(all.live.contains(&0));
    }

    #[test]
    fn names_and_reasons() {
        assert_eq!([base("f"), base("f.isra.0"), base(".f"), base(".")], ["f", "f", "f", "."]);
        assert_eq!(one_line(" a\n  b\t\u{1b}c "), "a b c");
        assert_eq!(one_line(&"é".repeat(LONGEST + 1)).chars().count(), LONGEST + 1);
        assert_eq!(some(&["a", "b", "c", "d", "e"], ", "), "a, b, c, and 2 more");
    }
}
