// SPDX-License-Identifier: GPL-2.0-or-later
//! Why a function is in: the objects of a unit with their line tables, and the lines that the fixes change, in; out, for
//! each changed function, the lines that brought the change, and how it got there. No decision depends on this: it is
//! for people.

pub mod align;
pub mod debug;
mod lines;

use crate::arch::line::Line;
use crate::diff::view::{ItemId, ItemKind, Ref, View};
use crate::diff::{names, ChangeSet, ChangedFunction};
use crate::source::fixed::{self, mentions, Fixed};
use debug::{Debug, Frame};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

/// What brought a change into a function.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cause {
    /// `line`, `removed-line`, `macro`, `inlining`, `callee`, `layout`, `compiler` or `place`.
    pub kind: String,
    /// Source file, relative to the tree.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub file: String,
    /// Line in that file as the fix leaves it; of a removed line, as it was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub line: Option<usize>,
    /// The text of the line, or what the compiler did.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub text: String,
    /// The inlined function or the macro that the line is in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub through: Option<String>,
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let line = self.line.map(|n| format!(":{n}")).unwrap_or_default();
        let place = format!("{}{line}", self.file);
        let through = self.through.as_deref().unwrap_or_default();
        match (self.kind.as_str(), through.is_empty()) {
            ("line", true) => write!(f, "{place}: {}", self.text),
            ("line", false) => write!(f, "{place}: {} (in {through}, inlined here)", self.text),
            ("removed-line", true) => write!(f, "{place}: {} (taken away)", self.text),
            ("removed-line", false) => write!(f, "{place}: {} (taken away, from {through}, inlined here)", self.text),
            ("macro", _) => write!(f, "{place}: macro {through}, in {}", self.text),
            ("place", true) => f.write_str(&place),
            ("place", false) => write!(f, "{place} (in {through}, inlined here)"),
            _ => f.write_str(&self.text),
        }
    }
}

/// How many causes of a function are named.
const MOST: usize = 3;

/// The causes for each changed function of a unit, by its name in the patched object. `original` and `patched` are the
/// objects' bytes; without `fixed` only places are known. `source` gives the text of a file of the tree.
pub fn causes(
    original: &[u8],
    patched: &[u8],
    changes: &ChangeSet<'_>,
    fixed: Option<&Fixed>,
    source: &dyn Fn(&str) -> Option<String>,
) -> BTreeMap<String, Vec<Cause>> {
    let (Ok(Some(before)), Ok(Some(after))) = (Debug::of_object(original), Debug::of_object(patched)) else {
        return BTreeMap::new();
    };
    let explainer = Explainer { before, after, changes, fixed, source };
    let name = |f: &ChangedFunction| changes.patched.items[f.item].name.clone();
    changes.functions.iter().map(|f| (name(f), explainer.function(f))).collect()
}

/// The code of a changed function before and after, side by side.
#[derive(Clone, Debug)]
pub struct FunctionCode {
    /// Source file.
    pub source: String,
    /// Its name; of a changed function the one that the running kernel knows.
    pub name: String,
    /// What it was; empty for a new function.
    pub original: Vec<Line>,
    /// What it becomes.
    pub patched: Vec<Line>,
    /// Both side by side.
    pub rows: Vec<align::Row>,
}

/// The code of the changed functions of a unit.
pub fn code(source: &str, changes: &ChangeSet<'_>) -> Vec<FunctionCode> {
    let of_function = |f: &ChangedFunction| {
        let patched = lines::of_item(&changes.patched, f.item);
        let original = f.original.map_or_else(Vec::new, |o| lines::of_item(&changes.original, o));
        let name = f.original.map_or(&changes.patched.items[f.item], |o| &changes.original.items[o]).name.clone();
        FunctionCode { source: source.into(), name, rows: align::align(&original, &patched), original, patched }
    };
    changes.functions.iter().map(of_function).collect()
}

struct Explainer<'a, 'o> {
    before: Debug,
    after: Debug,
    changes: &'a ChangeSet<'o>,
    fixed: Option<&'a Fixed>,
    source: &'a dyn Fn(&str) -> Option<String>,
}

/// An instruction with where it came from.
struct Origin {
    frames: Vec<Frame>,
    differs: bool,
}

impl Explainer<'_, '_> {
    fn function(&self, function: &ChangedFunction) -> Vec<Cause> {
        let (vo, vp) = (&self.changes.original, &self.changes.patched);
        let new = lines::of_item(vp, function.item);
        let old = function.original.map_or_else(Vec::new, |o| lines::of_item(vo, o));
        let rows = align::align(&old, &new);
        let (mut differs_o, mut differs_p) = (vec![false; old.len()], vec![false; new.len()]);
        for row in rows.iter().filter(|r| !r.same) {
            row.original.into_iter().for_each(|i| differs_o[i] = true);
            row.patched.into_iter().for_each(|i| differs_p[i] = true);
        }
        let after = origins(&self.after, vp, function.item, &new, &differs_p);
        let before = function.original.map_or_else(Vec::new, |o| origins(&self.before, vo, o, &old, &differs_o));
        if after.iter().all(|o| o.frames.is_empty()) {
            return Vec::new();
        }
        let Some(fixed) = self.fixed else { return first(places(&after)) };
        if function.original.is_none() {
            return heading(fixed, &after).into_iter().collect();
        }
        let tries: [&dyn Fn() -> Vec<Cause>; 8] = [
            &|| self.lines(fixed, &after, true, true),
            &|| self.lines(fixed, &before, false, true),
            &|| self.macros(fixed, &after),
            &|| self.lines(fixed, &after, true, false),
            &|| callees(vo, vp, function),
            &|| inlining(&before, &after),
            &|| within(fixed, &vp.items[function.item].name, true),
            &|| within(fixed, &vp.items[function.item].name, false),
        ];
        let found = tries.iter().map(|find| find()).find(|found| !found.is_empty());
        first(found.unwrap_or_else(|| {
            let cold = names::cold_parent(&vp.items[function.item].name).is_some();
            if let (Some(one), false) = (fixed.types.first(), cold) {
                let more = if fixed.types.len() > 1 { " and other types" } else { "" };
                return vec![said("layout", &format!("it contains no line of the fix; the fix changes {one}{more}"))];
            }
            let text =
                "it contains no line of the fix: the compiler made other choices here (registers, order, inlining)";
            (!cold).then(|| said("compiler", text)).into_iter().collect()
        }))
    }

    /// Lines of the fix that are in the code; of `only_differing`, in the instructions that differ.
    fn lines(&self, fixed: &Fixed, code: &[Origin], patched: bool, only_differing: bool) -> Vec<Cause> {
        let mut found: Vec<Cause> = Vec::new();
        for origin in code.iter().filter(|o| o.differs || !only_differing) {
            let outermost = origin.frames.last().map(|f| f.function.as_str());
            for frame in &origin.frames {
                let Some((file, text)) = fixed.text(&frame.file, patched) else { continue };
                let Some(line) = text.touched(frame.line, &frame.function) else { continue };
                // Part of a function may be inlined into the rest of it.
                let through = (outermost != Some(&frame.function)).then(|| frame.function.clone());
                let cause = Cause { through, ..of_line(file, line, patched) };
                if !found.contains(&cause) {
                    found.push(cause);
                }
                break;
            }
        }
        // A macro that makes functions has its line in all of them: once is enough, by the shortest way.
        found.sort_by(|a, b| (&a.file, a.line, &a.through).cmp(&(&b.file, b.line, &b.through)));
        found.dedup_by(|b, a| (&a.file, a.line) == (&b.file, b.line));
        found
    }

    /// Macros that the fix changes and that lines of differing instructions name.
    fn macros(&self, fixed: &Fixed, code: &[Origin]) -> Vec<Cause> {
        let mut found: Vec<Cause> = Vec::new();
        if fixed.macros.is_empty() {
            return found;
        }
        let mut read: BTreeMap<&str, Option<String>> = BTreeMap::new();
        for frame in code.iter().filter(|o| o.differs).flat_map(|o| &o.frames) {
            let (file, text) = match fixed.text(&frame.file, true) {
                Some((file, text)) => {
                    (file.to_string(), text.line(frame.line, &frame.function).map(|l| (l.number, l.text.clone())))
                }
                None => {
                    let text = read.entry(&frame.file).or_insert_with(|| (self.source)(fixed.relative(&frame.file)));
                    let line = text.as_deref().and_then(|t| t.lines().nth((frame.line as usize).checked_sub(1)?));
                    (fixed.relative(&frame.file).into(), line.map(|l| (frame.line as usize, l.trim().to_string())))
                }
            };
            let Some((number, text)) = text else { continue };
            for m in fixed.macros.iter().filter(|m| mentions(&text, &m.name)) {
                let through = Some(format!("{} of {}:{}", m.name, m.file, m.line));
                let cause =
                    Cause { kind: "macro".into(), file: file.clone(), line: Some(number), text: text.clone(), through };
                if !found.contains(&cause) {
                    found.push(cause);
                }
            }
        }
        found
    }
}

fn origins(debug: &Debug, view: &View<'_>, item: ItemId, lines: &[Line], differs: &[bool]) -> Vec<Origin> {
    let it = &view.items[item];
    let origin =
        |(line, &differs): (&Line, &bool)| Origin { frames: debug.frames(it.section, it.anchor + line.at), differs };
    lines.iter().zip(differs).map(origin).collect()
}

/// A line of the fix: of the patched text, or of the original, from which it was taken away.
fn of_line(file: &str, line: &fixed::Line, patched: bool) -> Cause {
    Cause {
        kind: if patched { "line" } else { "removed-line" }.into(),
        file: file.into(),
        line: Some(line.number),
        text: line.text.clone(),
        through: None,
    }
}

fn said(kind: &str, text: &str) -> Cause {
    Cause { kind: kind.into(), file: String::new(), line: None, text: text.into(), through: None }
}

fn first(mut causes: Vec<Cause>) -> Vec<Cause> {
    let more = causes.len().saturating_sub(MOST);
    if more > 1 {
        causes.truncate(MOST);
        causes.push(said("more", &format!("and {more} more places")));
    }
    causes
}

/// Where a new function begins, if it is the fix that has it.
fn heading(fixed: &Fixed, code: &[Origin]) -> Option<Cause> {
    let frame = code.iter().find_map(|o| o.frames.last())?;
    let (file, text) = fixed.text(&frame.file, true)?;
    let head = text.head(frame.line, &frame.function).filter(|line| line.touched)?;
    Some(of_line(file, head, true))
}

/// Where differing instructions come from, where there is no fix to compare with.
fn places(code: &[Origin]) -> Vec<Cause> {
    let mut found: Vec<Cause> = Vec::new();
    for origin in code.iter().filter(|o| o.differs) {
        let Some(frame) = origin.frames.first() else { continue };
        let through = (origin.frames.len() > 1).then(|| frame.function.clone());
        let (file, line) = (tidy(&frame.file).to_string(), Some(frame.line as usize));
        let cause = Cause { kind: "place".into(), file, line, text: String::new(), through };
        if frame.line > 0 && !found.contains(&cause) {
            found.push(cause);
        }
    }
    found
}

/// Functions that the code names under another compiler's name than before: `f.isra.0`.
fn callees(vo: &View<'_>, vp: &View<'_>, function: &ChangedFunction) -> Vec<Cause> {
    let names = |view: &View<'_>, item: ItemId| -> BTreeSet<String> {
        let named = |(_, to): (crate::elf::Reloc, Ref)| match to {
            Ref::Item { item, .. } if view.items[item].kind == ItemKind::Function => {
                Some(view.items[item].name.clone())
            }
            _ => None,
        };
        view.references(item).into_iter().filter_map(named).collect()
    };
    let Some(original) = function.original else { return Vec::new() };
    let (old, new) = (names(vo, original), names(vp, function.item));
    let renamed = new.difference(&old).filter_map(|new| {
        let was = old.iter().find(|was| stem(was) == stem(new) && !old.contains(new))?;
        Some(said("callee", &format!("it calls {new} where it called {was}: the compiler made that anew")))
    });
    renamed.collect()
}

/// Lines of the fix in the function's own definition.
fn within(fixed: &Fixed, name: &str, patched: bool) -> Vec<Cause> {
    fixed.within(stem(name), patched).map(|(file, line)| of_line(file, line, patched)).collect()
}

fn stem(name: &str) -> &str {
    name.split('.').next().unwrap_or(name)
}

/// Functions that are inlined now and were not before, or the reverse.
fn inlining(before: &[Origin], after: &[Origin]) -> Vec<Cause> {
    let inlined = |code: &[Origin]| -> BTreeSet<String> {
        let names =
            |o: &Origin| o.frames[..o.frames.len().saturating_sub(1)].iter().map(|f| f.function.clone()).collect();
        code.iter().flat_map(|o| -> Vec<String> { names(o) }).collect()
    };
    let (old, new) = (inlined(before), inlined(after));
    let come = new.difference(&old).map(|f| said("inlining", &format!("the compiler inlines {f} here now")));
    let gone = old.difference(&new).map(|f| said("inlining", &format!("the compiler no longer inlines {f} here")));
    come.chain(gone).collect()
}

/// A file's name without a leading `./`.
fn tidy(file: &str) -> &str {
    file.trim_start_matches("./")
}

#[cfg(test)]
mod tests;
