// SPDX-License-Identifier: GPL-2.0-or-later
//! The pointers of a position-independent image: its dynamic relocations in, the places of all pointers out,
//! with the address that each points to before the kernel moves itself.
//!
//! Such an image moves itself at boot by adding a distance to each of these places (arch/powerpc/kernel/reloc_64.S).
//! A kernel does this only for RELATIVE relocations, so only those are accepted here.

use crate::arch::Arch;
use anyhow::{bail, ensure, Context, Result};
use object::elf::{FileHeader64, SectionHeader64, Sym64};
use object::read::elf::{RelrIterator, SectionHeader, Sym};
use object::{elf, LittleEndian as LE};

/// More than any kernel has; the large ones of distributions have some 600,000.
const MOST: usize = 1 << 22;

/// Bytes of a pointer.
const SIZE: u64 = 8;

/// The places of pointers.
#[derive(Clone, Debug, Default)]
pub struct Pointers {
    /// In ascending order, with where it leads; None where the place itself holds that.
    places: Vec<(u64, Option<u64>)>,
}

impl Pointers {
    /// Reads the dynamic relocations of an image.
    ///
    /// # Errors
    /// Malformed tables, or a relocation that the kernel would not apply to itself.
    pub fn read(file: &[u8], sections: &[SectionHeader64<LE>], arch: &dyn Arch) -> Result<Self> {
        let mut places = Vec::new();
        for header in sections.iter().filter(|h| h.sh_flags(LE) & u64::from(elf::SHF_ALLOC) != 0) {
            match header.sh_type(LE) {
                elf::SHT_RELA => {
                    let all: &[elf::Rela64<LE>] = header
                        .data_as_array(LE, file)
                        .context("its dynamic relocations lie outside of the file: is it truncated?")?;
                    for (n, r) in all.iter().enumerate() {
                        let (kind, symbol) = (r.r_type(LE, false), r.r_sym(LE, false));
                        if kind == 0 {
                            continue;
                        }
                        // What is nowhere stays zero: the kernel passes over such a relocation (`machine_is()` of a
                        // platform that is left out, up to 6.13).
                        if kind == arch.pointer_reloc() && is_nowhere(file, sections, header, symbol) {
                            continue;
                        }
                        ensure!(
                            kind == arch.relative_dynamic() && symbol == 0,
                            "dynamic relocation {n} is of type {kind} with symbol {symbol}; kernels move themselves by \
                             RELATIVE ones (type {}) without a symbol, and kmend knows no others",
                            arch.relative_dynamic()
                        );
                        places.push((r.r_offset.get(LE), Some(r.r_addend.get(LE) as u64)));
                        ensure!(places.len() <= MOST, TOO_MANY);
                    }
                }
                elf::SHT_RELR => {
                    let packed = header
                        .data_as_array(LE, file)
                        .context("its packed dynamic relocations lie outside of the file: is it truncated?")?;
                    for place in RelrIterator::<FileHeader64<LE>>::new(LE, packed) {
                        places.push((place, None));
                        ensure!(places.len() <= MOST, TOO_MANY);
                    }
                }
                elf::SHT_REL => bail!("its dynamic relocations are without addends (REL), which kmend does not know"),
                _ => {}
            }
        }
        places.sort_unstable();
        if let Some(pair) = places.windows(2).find(|pair| pair[1].0.wrapping_sub(pair[0].0) < SIZE) {
            bail!("two dynamic relocations for one place, {:#x}", pair[1].0);
        }
        Ok(Self { places })
    }

    /// Places whose contents the relocations give, with those contents.
    pub fn values(&self) -> impl Iterator<Item = (u64, u64)> + '_ {
        self.places.iter().filter_map(|&(place, value)| Some((place, value?)))
    }

    /// True where the image has no dynamic relocations: then numbers and pointers look alike.
    pub fn is_empty(&self) -> bool {
        self.places.is_empty()
    }

    /// True where a pointer is at exactly this address.
    pub fn is_one(&self, at: u64) -> bool {
        self.places.binary_search_by_key(&at, |p| p.0).is_ok()
    }

    /// True where none of `len` bytes is part of a pointer.
    pub fn none_in(&self, at: u64, len: u64) -> bool {
        let next = self.places.partition_point(|p| p.0 < at.saturating_sub(SIZE - 1));
        self.places.get(next).is_none_or(|p| p.0 >= at.saturating_add(len))
    }
}

/// Whether the symbol `index` of the table that belongs to the relocations `of` is weak and not defined.
fn is_nowhere(file: &[u8], sections: &[SectionHeader64<LE>], of: &SectionHeader64<LE>, index: u32) -> bool {
    let symbols = sections.get(of.sh_link(LE) as usize).filter(|_| of.sh_link(LE) != 0);
    let symbols: Option<&[Sym64<LE>]> = symbols.and_then(|s| s.data_as_array(LE, file).ok());
    let symbol = symbols.and_then(|all| all.get(index as usize));
    symbol.is_some_and(|s| s.is_undefined(LE) && s.st_bind() == elf::STB_WEAK && s.st_value(LE) == 0)
}

const TOO_MANY: &str = "more dynamic relocations than any kernel has";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::arch::ppc64le::PPC64LE;
    use object::{U32, U64};

    const HOME: u64 = 0xc000_0000_0001_0000;

    /// A file that is one table, and its section header.
    fn header(kind: u32, offset: u64, size: u64) -> SectionHeader64<LE> {
        let (zero, no) = (U32::new(LE, 0), U64::new(LE, 0));
        SectionHeader64 {
            sh_name: zero,
            sh_type: U32::new(LE, kind),
            sh_flags: U64::new(LE, elf::SHF_ALLOC.into()),
            sh_addr: no,
            sh_offset: U64::new(LE, offset),
            sh_size: U64::new(LE, size),
            sh_link: zero,
            sh_info: zero,
            sh_addralign: no,
            sh_entsize: no,
        }
    }

    fn read(kind: u32, words: &[u64]) -> Result<Pointers> {
        let file: Vec<u8> = words.iter().flat_map(|w| w.to_le_bytes()).collect();
        Pointers::read(&file, &[header(kind, 0, file.len() as u64)], &PPC64LE)
    }

    fn fault(kind: u32, words: &[u64]) -> String {
        format!("{:#}", read(kind, words).unwrap_err())
    }

    #[test]
    fn relative_ones_are_pointers() {
        let relative = u64::from(PPC64LE.relative_dynamic());
        let found = read(elf::SHT_RELA, &[HOME + 64, relative, HOME + 1, HOME, relative, HOME + 2, 0, 0, 0]).unwrap();
        assert_eq!(found.values().collect::<Vec<_>>(), [(HOME, HOME + 2), (HOME + 64, HOME + 1)]);
        assert!(found.is_one(HOME) && found.is_one(HOME + 64) && !found.is_one(HOME + 8) && !found.is_one(HOME + 65));
        for (at, len, none) in
            [(8, 56, true), (7, 8, false), (8, 57, false), (64, 8, false), (71, 1, false), (72, 8, true)]
        {
            assert_eq!(found.none_in(HOME + at, len), none, "{at} {len}");
        }
    }

    #[test]
    fn packed_ones_hold_their_values() {
        // An address, then a map of the 63 words behind it.
        let found = read(elf::SHT_RELR, &[HOME, 0b1001]).unwrap();
        assert_eq!(found.values().count(), 0);
        assert!(found.is_one(HOME) && found.is_one(HOME + 24) && !found.is_one(HOME + 8));
    }

    #[test]
    fn what_is_nowhere_stays_zero() {
        let entry = |bind: u8, section: u16| {
            let mut symbol = vec![0, 0, 0, 0, bind << 4, 0];
            symbol.extend(section.to_le_bytes());
            symbol.resize(24, 0);
            symbol
        };
        let kind = u64::from(PPC64LE.pointer_reloc());
        for (symbol, good) in [
            (entry(elf::STB_WEAK, elf::SHN_UNDEF), true),
            (entry(elf::STB_WEAK, 1), false),
            (entry(elf::STB_GLOBAL, elf::SHN_UNDEF), false),
        ] {
            let mut file: Vec<u8> = [HOME, kind | 1 << 32, 0].iter().flat_map(|w| w.to_le_bytes()).collect();
            file.extend([vec![0; 24], symbol].concat());
            let table = |kind, offset, size, link| SectionHeader64 {
                sh_link: U32::new(LE, link),
                ..header(kind, offset, size)
            };
            let sections = [header(0, 0, 0), table(elf::SHT_RELA, 0, 24, 2), table(elf::SHT_DYNSYM, 24, 48, 0)];
            let found = Pointers::read(&file, &sections, &PPC64LE);
            assert_eq!(found.is_ok_and(|f| f.is_empty()), good);
        }
    }

    #[test]
    fn others_are_refused() {
        let relative = u64::from(PPC64LE.relative_dynamic());
        assert!(fault(elf::SHT_RELA, &[HOME, u64::from(PPC64LE.pointer_reloc()) | 1 << 32, 0]).contains("type 38"));
        assert!(fault(elf::SHT_RELA, &[HOME, relative | 1 << 32, 0]).contains("symbol 1"));
        assert!(fault(elf::SHT_REL, &[HOME, relative]).contains("REL"));
        assert!(fault(elf::SHT_RELA, &[HOME, relative, 1, HOME + 4, relative, 1]).contains("one place"));
        assert!(fault(elf::SHT_RELA, &[HOME]).contains("truncated"));
    }
}
