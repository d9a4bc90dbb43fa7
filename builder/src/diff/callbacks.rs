// SPDX-License-Identifier: GPL-2.0-or-later
//! The callbacks that a fix registers with KLP_PRE_PATCH_CALLBACK() and its relations
//! (include/linux/livepatch_helpers.h): the patched object in, the functions out.
//!
//! Each macro leaves a pointer to the function, under a name that says when it is called and, behind that, for which klp
//! object. Which object that is follows from the unit, so only the first part is read.

use super::view::{ItemId, ItemKind, Ref, View};
use super::ChangeSet;
use crate::elf::SymKind;
use crate::error::Refusal;
use crate::hooks::Kind;

/// The section that the macros fill.
pub const SECTION: &str = ".discard.klp_callback_ptrs";

/// The callbacks of a unit: when, and which function of the patched object.
///
/// # Errors
/// A pointer of no kind that is known, or one to something else than a function that the fix adds.
pub fn of(changes: &ChangeSet<'_>) -> Result<Vec<(Kind, ItemId)>, Vec<Refusal>> {
    let view = &changes.patched;
    let (mut found, mut refusals) = (Vec::new(), Vec::new());
    for (id, section) in view.object.sections.iter().enumerate().filter(|(_, s)| s.name == SECTION) {
        for r in &section.relocs {
            let pointer = pointer_at(view, id, r.offset);
            let Some(kind) = pointer.and_then(kind_of) else {
                refusals.push(Refusal::new(
                    "unknown-section",
                    pointer.unwrap_or_default(),
                    SECTION,
                    "it contains a pointer that is none of the four kinds of callbacks".into(),
                    "use the macros of <linux/livepatch_helpers.h>",
                ));
                continue;
            };
            match view.reference(id, r.offset..r.offset + 1, r) {
                Ref::Item { item, addend: 0 } if is_new_function(changes, item) => found.push((kind, item)),
                other => refusals.push(Refusal::new(
                    "callback-function",
                    &name_of(view, other),
                    SECTION,
                    format!("{} names something that is not a new function of this file", kind.macro_name()),
                    "name a function that the fix adds to the same file; that function can call others",
                )),
            }
        }
    }
    found.sort_by_key(|&(kind, item)| (kind, item));
    if refusals.is_empty() {
        Ok(found)
    } else {
        Err(refusals)
    }
}

fn is_new_function(changes: &ChangeSet<'_>, item: ItemId) -> bool {
    changes.functions.iter().any(|f| f.item == item && f.original.is_none())
}

/// The name of the pointer that stands there.
fn pointer_at<'o>(view: &View<'o>, section: usize, offset: u64) -> Option<&'o str> {
    let symbols = view.object.symbols.iter();
    let mut here = symbols.filter(|s| s.kind == SymKind::Data && s.section() == Some(section) && s.value == offset);
    here.next().map(|s| s.name.as_str())
}

/// `__klp_pre_patch_callback_OBJECT` (include/linux/livepatch_external.h).
fn kind_of(pointer: &str) -> Option<Kind> {
    let rest = pointer.strip_prefix("__klp_")?;
    Kind::ALL.into_iter().find(|kind| rest.strip_prefix(kind.name()).is_some_and(|r| r.starts_with("_callback_")))
}

fn name_of(view: &View<'_>, reference: Ref) -> String {
    match reference {
        Ref::Item { item, .. } if view.items[item].kind != ItemKind::Anonymous => view.items[item].name.clone(),
        Ref::External { symbol, .. } => view.object.symbols[symbol].name.clone(),
        _ => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_by_the_names_of_pointers() {
        assert_eq!(kind_of("__klp_pre_patch_callback_vmlinux"), Some(Kind::PrePatch));
        assert_eq!(kind_of("__klp_post_unpatch_callback_zram"), Some(Kind::PostUnpatch));
        for other in ["", "__klp_pre_patch", "__klp_mid_patch_callback_vmlinux", "klp_pre_patch_callback_vmlinux"] {
            assert_eq!(kind_of(other), None, "{other}");
        }
    }
}
