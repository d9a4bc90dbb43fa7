// SPDX-License-Identifier: GPL-2.0-or-later
//! The pointers of a position-independent image: its dynamic relocations in, the places of all pointers out,
//! with the address that each leads to before the kernel moves itself.
//!
//! Such an image moves itself at boot by adding a distance to each of these places (arch/powerpc/kernel/reloc_64.S).
//! A kernel does that for RELATIVE alone; nothing else is believed here.

use crate::arch::Arch;
use anyhow::{ensure, Context, Result};
use object::elf::{FileHeader64, SectionHeader64};
use object::read::elf::{RelrIterator, SectionHeader};
use object::{elf, LittleEndian as LE};
use std::collections::BTreeMap;

/// More than any kernel has; a debug kernel of a distribution has some 400,000.
const MOST: usize = 1 << 24;

/// The places of pointers, in ascending order.
#[derive(Clone, Debug, Default)]
pub struct Pointers {
    /// By place: where it leads; None where the place itself holds that.
    places: BTreeMap<u64, Option<u64>>,
}

impl Pointers {
    /// Reads the dynamic relocations of an image.
    ///
    /// # Errors
    /// Malformed tables, or a relocation that the kernel would not apply to itself.
    pub fn read(file: &[u8], sections: &[SectionHeader64<LE>], arch: &dyn Arch) -> Result<Self> {
        let mut places = BTreeMap::new();
        for header in sections.iter().filter(|h| h.sh_flags(LE) & u64::from(elf::SHF_ALLOC) != 0) {
            match header.sh_type(LE) {
                elf::SHT_RELA => {
                    let all: &[elf::Rela64<LE>] = header
                        .data_as_array(LE, file)
                        .context("its dynamic relocations lie outside of the file: is it truncated?")?;
                    ensure!(all.len() <= MOST, "{} dynamic relocations are more than any kernel has", all.len());
                    for (n, r) in all.iter().enumerate() {
                        let kind = r.r_type(LE, false);
                        if kind == 0 {
                            continue;
                        }
                        ensure!(
                            kind == arch.relative_dynamic() && r.r_sym(LE, false) == 0,
                            "dynamic relocation {n} is {}, which kmend does not know in an image (only {})",
                            arch.reloc_name(kind),
                            arch.reloc_name(arch.relative_dynamic())
                        );
                        places.insert(r.r_offset.get(LE), Some(r.r_addend.get(LE) as u64));
                    }
                }
                elf::SHT_RELR => {
                    let packed = header
                        .data_as_array(LE, file)
                        .context("its packed dynamic relocations lie outside of the file: is it truncated?")?;
                    for place in RelrIterator::<FileHeader64<LE>>::new(LE, packed) {
                        ensure!(places.len() <= MOST, "more dynamic relocations than any kernel has");
                        places.entry(place).or_insert(None);
                    }
                }
                elf::SHT_REL => {
                    anyhow::bail!("its dynamic relocations are without addends (REL), which kmend does not know")
                }
                _ => {}
            }
        }
        Ok(Self { places })
    }

    /// Places whose contents the relocations give, with those contents.
    pub fn values(&self) -> impl Iterator<Item = (u64, u64)> + '_ {
        self.places.iter().filter_map(|(&place, &value)| Some((place, value?)))
    }

    /// True where the image has no dynamic relocations: then numbers and pointers look alike.
    pub fn is_empty(&self) -> bool {
        self.places.is_empty()
    }

    /// True where a pointer stands at exactly this address.
    pub fn is_one(&self, at: u64) -> bool {
        self.places.contains_key(&at)
    }

    /// True where none of `len` bytes is part of a pointer.
    pub fn none_in(&self, at: u64, len: u64) -> bool {
        self.places.range(at.saturating_sub(7)..at.saturating_add(len)).next().is_none()
    }
}
