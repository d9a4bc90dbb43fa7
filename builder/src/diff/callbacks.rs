// SPDX-License-Identifier: GPL-2.0-or-later
//! The callbacks that a fix registers with KLP_PRE_PATCH_CALLBACK() and its relations
//! (include/linux/livepatch_helpers.h), or with kpatch's KPATCH_PRE_PATCH_CALLBACK() and its: the patched object in, the
//! functions out.
//!
//! Each KLP macro leaves a pointer to the function, under a name that says when it is called and, behind that, for which klp
//! object. Which object that is follows from the unit, so only the first part is read. kpatch's leave it in a section for each
//! kind; in its own header (kmod/patch/kpatch-macros.h) an empty pointer to the object's name follows.

use super::view::{ItemId, ItemKind, Ref, View};
use super::ChangeSet;
use crate::elf::SymKind;
use crate::error::Refusal;
use crate::hooks::Kind;
use crate::section_table::KLP_CALLBACKS;

/// The callbacks of a unit: when, and which function of the patched object.
///
/// # Errors
/// A pointer of no kind that is known, or one to something else than a function that the fix adds.
pub fn of(changes: &ChangeSet<'_>) -> Result<Vec<(Kind, ItemId)>, Vec<Refusal>> {
    let view = &changes.patched;
    let (mut found, mut refusals) = (Vec::new(), Vec::new());
    for (id, section) in view.object.sections.iter().enumerate() {
        let of_kpatch = kpatch_kind(&section.name);
        if section.name != KLP_CALLBACKS && of_kpatch.is_none() {
            continue;
        }
        for r in &section.relocs {
            let pointer = pointer_at(view, id, r.offset);
            let Some(kind) = of_kpatch.or_else(|| pointer.and_then(kind_of)) else {
                refusals.push(Refusal::new(
                    "unknown-section",
                    pointer.unwrap_or_default(),
                    KLP_CALLBACKS,
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
                    &section.name,
                    format!(
                        "{} names something that is not a new function of this file",
                        match of_kpatch {
                            Some(kind) => kind.macro_name().replacen("KLP", "KPATCH", 1),
                            None => kind.macro_name(),
                        }
                    ),
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

/// The kind of the callbacks in a section that kpatch's macros fill: `.kpatch.callbacks.pre_patch`.
pub fn kpatch_kind(section: &str) -> Option<Kind> {
    Kind::of_name(section.strip_prefix(".kpatch.callbacks.")?)
}

fn is_new_function(changes: &ChangeSet<'_>, item: ItemId) -> bool {
    changes.functions.iter().any(|f| f.item == item && f.original.is_none())
}

/// The name of the pointer that is there.
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
        assert_eq!(kpatch_kind(".kpatch.callbacks.post_patch"), Some(Kind::PostPatch));
        for other in [".kpatch.callbacks.", ".kpatch.callbacks.mid_patch", ".kpatch.force", "pre_patch"] {
            assert_eq!(kpatch_kind(other), None, "{other}");
        }
    }
}
