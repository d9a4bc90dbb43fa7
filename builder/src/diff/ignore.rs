// SPDX-License-Identifier: GPL-2.0-or-later
//! What the author of a fix asked to leave out, with kpatch's macros (kmod/include/kpatch/kpatch-macros.h):
//! KPATCH_IGNORE_FUNCTION and KPATCH_IGNORE_SECTION. The patched object in, what they name out.

use super::names;
use super::view::{ItemKind, Ref, View};
use crate::elf::SecId;
use crate::error::Refusal;
use std::collections::BTreeSet;

const FUNCTION: &str = "KPATCH_IGNORE_FUNCTION";
const SECTION: &str = "KPATCH_IGNORE_SECTION";

/// What the macros name.
#[derive(Clone, Debug, Default)]
pub struct Ignored {
    functions: BTreeSet<String>,
    sections: BTreeSet<String>,
    /// Macros that name nothing of this file.
    pub refusals: Vec<Refusal>,
}

/// A change that is left out because a macro asks for it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct LeftOut {
    /// The function or datum; the section, for code or records without a name.
    pub name: String,
    /// The macro.
    pub by: &'static str,
}

/// True for the sections that the macros fill.
pub fn is_macro_section(name: &str) -> bool {
    name.starts_with(".kpatch.")
}

impl Ignored {
    /// Reads `.kpatch.ignore.functions` (pointers to functions) and `.kpatch.ignore.sections` (pointers to
    /// strings) of the patched object.
    pub fn of(view: &View<'_>) -> Self {
        let mut ignored = Self::default();
        for (id, section) in view.object.sections.iter().enumerate() {
            let of_functions = match section.name.as_str() {
                ".kpatch.ignore.functions" => true,
                ".kpatch.ignore.sections" => false,
                _ => continue,
            };
            for r in &section.relocs {
                let to = view.reference(id, r.offset..r.offset + 1, r);
                if of_functions {
                    ignored.name_function(view, to);
                } else {
                    ignored.name_section(view, to);
                }
            }
        }
        ignored
    }

    fn name_function(&mut self, view: &View<'_>, to: Ref) {
        match to {
            Ref::Item { item, addend: 0 } if view.items[item].kind == ItemKind::Function => {
                self.functions.insert(view.items[item].name.clone());
            }
            other => {
                let name = match other {
                    Ref::Item { item, .. } => view.items[item].name.as_str(),
                    Ref::External { symbol, .. } => view.object.symbol_name(symbol),
                    _ => "something",
                };
                self.refusals.push(Refusal::new(
                    "kpatch-macro",
                    FUNCTION,
                    ".kpatch.ignore.functions",
                    format!("it names {name}, which is not a function of this file"),
                    "name a function of the same file, or remove the macro",
                ));
            }
        }
    }

    fn name_section(&mut self, view: &View<'_>, to: Ref) {
        let name = match to {
            Ref::Item { item, .. } => text(view, view.items[item].section, view.items[item].range.start),
            Ref::String { section, start, addend } => text(view, section, start.saturating_add_signed(addend)),
            _ => String::new(),
        };
        // The relocations of a section belong to it.
        let name = name.strip_prefix(".rela").unwrap_or(&name).to_string();
        if view.object.sections.iter().any(|s| s.name == name) {
            self.sections.insert(name);
        } else {
            self.refusals.push(Refusal::new(
                "kpatch-macro",
                SECTION,
                ".kpatch.ignore.sections",
                format!("it names the section \"{name}\", which this file does not have"),
                "correct the name, or remove the macro",
            ));
        }
    }

    /// The macro that asks to leave out a change of this function, or of a part that the compiler split from it.
    pub fn function(&self, name: &str, section: &str) -> Option<&'static str> {
        let named = self.functions.contains(name) || names::whole(name).is_some_and(|f| self.functions.contains(f));
        named.then_some(FUNCTION).or_else(|| self.section(section))
    }

    /// The macro that asks to leave out a change of data in this section.
    pub fn section(&self, section: &str) -> Option<&'static str> {
        self.sections.contains(section).then_some(SECTION)
    }
}

/// The refusal of fixes of which nothing is left; `macro_name` is one that asked for it.
pub fn refusal(macro_name: &str, left_out: &[&LeftOut]) -> Refusal {
    let names: BTreeSet<&str> = left_out.iter().map(|one| one.name.as_str()).collect();
    let names: Vec<&str> = names.into_iter().collect();
    Refusal::new(
        "kpatch-macro",
        macro_name,
        "",
        format!("it leaves out all that the fixes change: {}", names.join(", ")),
        "nothing would be fixed; remove the macro for the functions that matter",
    )
}

fn text(view: &View<'_>, section: SecId, start: u64) -> String {
    String::from_utf8_lossy(crate::elf::strings::string_at(&view.object.sections[section], start)).into_owned()
}
