// SPDX-License-Identifier: GPL-2.0-or-later
//! What builds open of their kernel, each file once: a target in; its image, exports and index of definitions out, read when they are
//! first asked for.

use crate::compile::probe;
use crate::image::symvers::Symvers;
use crate::image::Image;
use crate::progress;
use crate::reach::definitions::Definitions;
use crate::target::{kbuild, Target};
use anyhow::Result;
use std::sync::{Mutex, OnceLock, PoisonError};

/// A kernel with all that was opened of it. Builds for it that run side by side can share one.
pub struct Session {
    target: Target,
    image: OnceLock<Image>,
    symvers: OnceLock<Symvers>,
    definitions: OnceLock<Definitions>,
    /// Held by who reads.
    reading: Mutex<()>,
}

impl Session {
    /// For one kernel; reads nothing yet.
    pub fn new(target: Target) -> Self {
        Self {
            target,
            image: OnceLock::new(),
            symvers: OnceLock::new(),
            definitions: OnceLock::new(),
            reading: Mutex::default(),
        }
    }

    /// The kernel.
    pub fn target(&self) -> &Target {
        &self.target
    }

    /// The shipped image. `unit` is any C unit of the kernel: a kernel without BTF is asked by it how long the structs of special
    /// sections are.
    ///
    /// # Errors
    /// An image that cannot be read; a unit that does not compile.
    pub fn image(&self, unit: Option<&kbuild::Unit>) -> Result<&Image> {
        self.once(&self.image, || {
            let step = progress::step("reading the shipped kernel image");
            let image = probe::image(&self.target, unit)?;
            step.done(&format!("{} symbols", image.kallsyms.symbols().len()));
            Ok(image)
        })
    }

    /// All exports.
    ///
    /// # Errors
    /// Module.symvers cannot be read.
    pub fn symvers(&self) -> Result<&Symvers> {
        self.once(&self.symvers, || Symvers::load(&self.target.symvers))
    }

    /// Which files define which names.
    ///
    /// # Errors
    /// A tree that cannot be read.
    pub fn definitions(&self) -> Result<&Definitions> {
        self.once(&self.definitions, || Definitions::of(&self.target))
    }

    /// What `cell` holds, by way of `read` at the first time.
    fn once<'s, T>(&self, cell: &'s OnceLock<T>, read: impl FnOnce() -> Result<T>) -> Result<&'s T> {
        if let Some(known) = cell.get() {
            return Ok(known);
        }
        let _one = self.reading.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = cell.get() {
            return Ok(known);
        }
        let new = read()?;
        Ok(cell.get_or_init(|| new))
    }
}
