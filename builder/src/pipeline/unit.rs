// SPDX-License-Identifier: GPL-2.0-or-later
//! One record per unit, which grows on its way through the pipeline: [`Compiled`] → [`Changed`] → [`Extracted`] →
//! [`Proven`] → [`Resolved`]. Each wraps the one before, so that nothing is joined by its position in a list.

use crate::audit::statics::Statics as Declarations;
use crate::compile::ObjectPair;
use crate::diff::locals::Evidence;
use crate::diff::{self, moved, ChangeSet};
use crate::elf::read::{read, Take};
use crate::elf::Object;
use crate::extract::Extract;
use crate::image::Image;
use crate::prove::all_units::UnitProof;
use crate::resolve;
use anyhow::{Context, Result};
use std::cell::OnceCell;
use std::ops::Deref;

/// A unit as it was compiled.
pub struct Compiled {
    /// The objects as bytes.
    pub pair: ObjectPair,
    original: Object,
    patched: Object,
    moved: Option<(Object, Object)>,
}

impl Compiled {
    /// Reads the objects of a unit.
    ///
    /// # Errors
    /// One that cannot be read.
    pub fn read(pair: ObjectPair) -> Result<Self> {
        let load = |bytes: &[u8], which: &str| load(&pair, bytes, which);
        let (original, patched) = (load(&pair.original, "original")?, load(&pair.patched, "patched")?);
        let moved = match &pair.moved {
            Some(m) => Some((load(&m.original, "original, to be moved")?, load(&m.patched, "patched, to be moved")?)),
            None => None,
        };
        Ok(Self { pair, original, patched, moved })
    }
}

/// Reads one object of a unit.
pub fn load(pair: &ObjectPair, bytes: &[u8], which: &str) -> Result<Object> {
    read(bytes, Take::NoDebug).with_context(|| format!("{} ({which})", pair.unit.object))
}

/// An original and a patched object of one unit.
pub type Both<'u> = (&'u Object, &'u Object);

/// Where objects that units are compiled to again are kept, for as long as their units.
#[derive(Default)]
pub struct Shelf(OnceCell<Box<(Object, Object, Shelf)>>);

impl Shelf {
    /// Keeps a pair of objects.
    pub fn keep(&self, (original, patched): (Object, Object)) -> Both<'_> {
        let mut end = self;
        while let Some(kept) = end.0.get() {
            end = &kept.2;
        }
        let kept = end.0.get_or_init(|| Box::new((original, patched, Shelf::default())));
        (&kept.0, &kept.1)
    }
}

/// A unit with what the fixes change in it.
pub struct Changed<'u> {
    /// The objects as they were compiled first.
    pub pair: &'u ObjectPair,
    /// The original, with a section for each function.
    pub original: &'u Object,
    /// The patched one.
    pub patched: &'u Object,
    /// Both, compiled to run in another module, where the architecture or the code needs that.
    pub moved: Option<Both<'u>>,
    /// What debug information says of static variables, where the code does not tell them apart.
    pub evidence: Option<Evidence>,
    /// The same for the second reader, which reads it by itself: of the original and of the patched object.
    pub declared: Option<[Declarations; 2]>,
    /// What the fixes change, in code that can run in the live patch.
    pub changes: ChangeSet<'u>,
    /// What they change in the code as the kernel has it, if that differs.
    in_kernel: Option<ChangeSet<'u>>,
}

impl<'u> Changed<'u> {
    /// Compares the objects of a unit.
    ///
    /// # Errors
    /// Objects of different architectures.
    pub fn of(unit: &'u Compiled, image: &Image) -> Result<Self> {
        let Compiled { pair, original, patched, moved } = unit;
        let moved = moved.as_ref().map(|(original, patched)| (original, patched));
        let (changes, in_kernel) = differences((original, patched), moved, image, None)?;
        Ok(Self { pair, original, patched, moved, evidence: None, declared: None, changes, in_kernel })
    }

    /// Compares the objects once more, as they are now known.
    ///
    /// # Errors
    /// As [`Changed::of`].
    pub fn compare(&mut self, image: &Image) -> Result<()> {
        let both = (self.original, self.patched);
        (self.changes, self.in_kernel) = differences(both, self.moved, image, self.evidence.as_ref())?;
        Ok(())
    }

    /// Takes the code of the live patch from other objects, which do what these do.
    ///
    /// # Errors
    /// As [`Changed::of`].
    pub fn take_code_of(&mut self, pair: Both<'u>, image: &Image) -> Result<()> {
        let mut moved = diff::diff_with(pair.0, pair.1, &image.layouts, self.evidence.as_ref())?;
        moved::adopt(&mut moved, self.in_kernel());
        let changes = std::mem::replace(&mut self.changes, moved);
        self.in_kernel.get_or_insert(changes);
        self.moved = Some(pair);
        Ok(())
    }

    /// What the fixes change in the code as the kernel has it.
    pub fn in_kernel(&self) -> &ChangeSet<'u> {
        self.in_kernel.as_ref().unwrap_or(&self.changes)
    }

    /// The source file.
    pub fn source(&self) -> &'u str {
        &self.pair.unit.source
    }

    /// The module it is part of; None for vmlinux.
    pub fn module(&self) -> Option<&'u str> {
        self.pair.unit.module.as_deref()
    }
}

type Differences<'u> = (ChangeSet<'u>, Option<ChangeSet<'u>>);

/// What differs in code that can run in the live patch, and in the kernel's, if that is other code.
fn differences<'u>(
    both: Both<'u>,
    moved: Option<Both<'u>>,
    image: &Image,
    evidence: Option<&Evidence>,
) -> Result<Differences<'u>> {
    let diff = |(original, patched): Both<'u>| diff::diff_with(original, patched, &image.layouts, evidence);
    let changes = diff(both)?;
    let Some(pair) = moved else { return Ok((changes, None)) };
    let mut moved = diff(pair)?;
    moved::adopt(&mut moved, &changes);
    Ok((moved, Some(changes)))
}

/// A unit with the code that the live patch takes of it.
pub struct Extracted<'u> {
    changed: &'u Changed<'u>,
    /// That code.
    pub extract: Extract,
}

impl<'u> Extracted<'u> {
    /// Of this unit.
    pub fn new(changed: &'u Changed<'u>, extract: Extract) -> Self {
        Self { changed, extract }
    }
}

impl<'u> Deref for Extracted<'u> {
    type Target = Changed<'u>;

    fn deref(&self) -> &Changed<'u> {
        self.changed
    }
}

/// A unit whose original is shown to be in the shipped kernel.
pub struct Proven<'u> {
    extracted: Extracted<'u>,
    /// Its original as it was rebuilt, with kbuild's own flags.
    pub rebuilt: Object,
    /// What is shown of it.
    pub proof: UnitProof,
}

impl<'u> Proven<'u> {
    /// Of this unit.
    pub fn new(extracted: Extracted<'u>, rebuilt: Object, proof: UnitProof) -> Self {
        Self { extracted, rebuilt, proof }
    }
}

impl<'u> Deref for Proven<'u> {
    type Target = Extracted<'u>;

    fn deref(&self) -> &Extracted<'u> {
        &self.extracted
    }
}

/// A unit whose references are settled.
pub struct Resolved<'u> {
    proven: Proven<'u>,
    /// Its payload, and the livepatch symbols in it.
    pub resolved: resolve::UnitResolved,
}

impl<'u> Resolved<'u> {
    /// Of this unit.
    pub fn new(proven: Proven<'u>, resolved: resolve::UnitResolved) -> Self {
        Self { proven, resolved }
    }
}

impl<'u> Deref for Resolved<'u> {
    type Target = Proven<'u>;

    fn deref(&self) -> &Proven<'u> {
        &self.proven
    }
}
