// SPDX-License-Identifier: GPL-2.0-or-later
//! Which `kernel` crate a live patch is compiled against, and which fields `struct klp_patch` has there.

use super::{bindings, shim};
use crate::error::{Refusal, Refused};
use crate::files;
use crate::target::config::Config;
use crate::target::Target;
use anyhow::{bail, Result};
use std::path::Path;

/// The crate `kernel` that the module uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Crate {
    /// The kernel's own: kbuild compiles the module's Rust.
    Own,
    /// kmod/shim: kmend compiles it.
    Shim,
}

/// What kmod uses of the kernel's own crates, and which younger kernels have: file and text in it.
const USED: [(&str, &str); 4] = [
    ("rust/kernel/sync/atomic/predefine.rs", "AtomicType for *mut T"),
    ("rust/pin-init/src/lib.rs", "pub const fn zeroed<T: Zeroable>"),
    ("rust/pin-init/src/lib.rs", "MaybeZeroable"),
    ("rust/kernel/types.rs", "NotThreadSafe"),
];

/// The crate for the kernel of `config`, whose source is in `tree`. Kernels with CONFIG_RUST whose crates are older than what kmod
/// uses get the shim, as those without CONFIG_RUST do.
pub fn which(tree: &Path, config: &Config) -> Crate {
    let has = |(file, text): &(&str, &str)| std::fs::read_to_string(tree.join(file)).is_ok_and(|t| t.contains(text));
    match config.is_on("CONFIG_RUST") && USED.iter().all(has) {
        true => Crate::Own,
        false => Crate::Shim,
    }
}

/// How a live patch says which others it replaces.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Replacement {
    /// `bool replace`: all others, or none.
    Flag,
    /// `unsigned int replace_set`: those of the same set.
    Set,
}

/// Which of the two the bindings to a kernel's `struct klp_patch` have.
///
/// # Errors
/// It has neither, or both.
pub fn replacement(bindings: &str) -> Result<Replacement> {
    let body = bindings.split_once("struct klp_patch {").and_then(|(_, rest)| rest.split_once('}'));
    let body = body.map_or("", |(body, _)| body);
    let has = |field: &str| body.split(|c: char| !c.is_alphanumeric() && c != '_').any(|word| word == field);
    match (has("replace"), has("replace_set")) {
        (true, false) => Ok(Replacement::Flag),
        (false, true) => Ok(Replacement::Set),
        _ => bail!(
            "struct klp_patch of include/linux/livepatch.h has neither `replace` nor `replace_set`, or both: kmend does not know \
             how this kernel replaces live patches"
        ),
    }
}

/// The set that a live patch belongs to: None where the kernel has no sets. kmend puts all live patches into set 0, to which one
/// belongs that names none, so each replaces all older ones.
///
/// # Errors
/// [`Refused`] where the kernel has sets and the live patch is to replace none (`replace` is false).
pub fn replace_set(target: &Target, replace: bool) -> Result<Option<u32>> {
    set_of(of(target)?, replace, &target.release)
}

fn set_of(replacement: Replacement, replace: bool, release: &str) -> Result<Option<u32>> {
    match (replacement, replace) {
        (Replacement::Flag, _) => Ok(None),
        (Replacement::Set, true) => Ok(Some(0)),
        (Replacement::Set, false) => {
            let why = format!(
                "{release} sorts live patches into sets (klp_patch.replace_set), and a live patch always replaces those of its set"
            );
            let hint = "leave --no-replace out, and put the older fixes into this live patch as well";
            Err(Refused(vec![Refusal::new("replace-set", "klp_patch", "include/linux/livepatch.h", why, hint)]).into())
        }
    }
}

/// What the bindings to the kernel of `target` say.
pub fn of(target: &Target) -> Result<Replacement> {
    let config = Config::parse(&files::read_text(&target.config)?);
    let folder = match which(&target.tree, &config) {
        Crate::Own => bindings::missing(target)?,
        Crate::Shim => shim::bindings(target)?,
    };
    replacement(&files::read_text(&folder.join(bindings::MADE))?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bindings_tell_replace_from_replace_set() {
        let with = |fields: &str| {
            format!("pub struct klp_state {{pub replace: u8,}} #[repr(C)] pub struct klp_patch {{pub mod_ : * mut module, {fields} pub list : list_head,}} pub struct x {{pub replace_set: u8}}")
        };
        assert_eq!(replacement(&with("pub replace : bool_ ,")).unwrap(), Replacement::Flag);
        assert_eq!(replacement(&with("pub replace_set : ffi :: c_uint ,")).unwrap(), Replacement::Set);
        assert!(replacement(&with("")).is_err());
        assert!(replacement(&with("pub replace : bool_ , pub replace_set : u32 ,")).is_err());
        assert!(replacement("pub struct klp_patches {pub replace: bool}").is_err());
    }

    #[test]
    fn every_live_patch_of_a_kernel_with_sets_replaces() {
        for replace in [true, false] {
            assert_eq!(set_of(Replacement::Flag, replace, "7.2").unwrap(), None);
        }
        assert_eq!(set_of(Replacement::Set, true, "9.0").unwrap(), Some(0));
        let Refused(refusals) = set_of(Replacement::Set, false, "9.0").unwrap_err().downcast().unwrap();
        assert_eq!(refusals[0].code, "replace-set");
    }

    #[test]
    fn older_crates_of_the_kernel_are_not_used() {
        let tree = tempfile::tempdir().unwrap();
        let on = Config::parse("CONFIG_RUST=y\n");
        assert_eq!(which(tree.path(), &on), Crate::Shim);
        for (file, text) in USED {
            let path = tree.path().join(file);
            let old = std::fs::read_to_string(&path).unwrap_or_default();
            files::write(&path, format!("{old}{text}\n").as_bytes()).unwrap();
        }
        assert_eq!(which(tree.path(), &on), Crate::Own);
        assert_eq!(which(tree.path(), &Config::parse("")), Crate::Shim);
        files::write(&tree.path().join(USED[0].0), b"").unwrap();
        assert_eq!(which(tree.path(), &on), Crate::Shim);
    }
}
