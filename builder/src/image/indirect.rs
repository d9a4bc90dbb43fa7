// SPDX-License-Identifier: GPL-2.0-or-later
//! Which functions of the shipped kernel an indirect call may enter on a CPU with IBT: a place in, why not out.
//!
//! Sources: arch/x86/kernel/alternative.c (apply_seal_endbr).

use super::Image;
use crate::image::module::Module;
use crate::image::shipped::{Shipped, Spot};
use std::cell::OnceCell;
use std::collections::{BTreeMap, BTreeSet};

/// The shipped kernel, and what is sealed in it.
pub struct IndirectCalls<'a> {
    image: &'a Image,
    modules: &'a BTreeMap<String, Module>,
    /// Of the image; read when it is first asked for.
    sealed: OnceCell<Option<BTreeSet<u64>>>,
}

impl<'a> IndirectCalls<'a> {
    /// Nothing is read yet.
    pub fn new(image: &'a Image, modules: &'a BTreeMap<String, Module>) -> Self {
        Self { image, modules, sealed: OnceCell::new() }
    }

    /// Why an indirect call may not enter the function at a place of vmlinux (None) or a module; None where it may, where no function
    /// is, or where the kernel does not check it.
    pub fn closed(&self, module: Option<&str>, spot: Spot) -> Option<&'static str> {
        let sealed = self.sealed.get_or_init(|| self.image.sealed()).as_ref()?;
        let (is_sealed, code) = match module {
            None => (sealed.contains(&spot.at), self.image.bytes(spot.at, 4)),
            Some(module) => {
                let module = self.modules.get(module)?;
                (module.sealed().contains(&spot), Shipped::bytes(module, spot, 4))
            }
        };
        match is_sealed {
            true => Some("the kernel overwrites its ENDBR when it starts, as nothing took its address"),
            false if !self.image.arch.may_be_entered_indirectly(code?) => Some("it does not begin with ENDBR"),
            false => None,
        }
    }
}
