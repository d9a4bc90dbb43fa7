// SPDX-License-Identifier: GPL-2.0-or-later
//! Link edits and references, on code of a few instructions: rebuilt words with relocations and shipped words in.

use super::insn::NOP;
use super::link_edits;
use super::references::target;
use super::PPC64LE;
use crate::arch::linked::{Linked, Memory, Target};
use crate::elf::*;
use object::elf;

const TOC: u64 = 0xc000_0000_00c1_8000;
const AT: u64 = 0xc000_0000_0010_0000;

/// Runs of words by address.
struct Image {
    runs: Vec<(u64, Vec<u8>)>,
    symbols: Vec<u64>,
}

impl Image {
    fn new(runs: &[(u64, &[u32])]) -> Self {
        let runs = runs.iter().map(|(at, words)| (*at, words.iter().flat_map(|w| w.to_le_bytes()).collect()));
        Self { runs: runs.collect(), symbols: Vec::new() }
    }
}

impl Memory for Image {
    fn bytes(&self, at: u64, len: u64) -> Option<&[u8]> {
        let (start, run) =
            self.runs.iter().find(|(start, run)| *start <= at && at + len <= start + run.len() as u64)?;
        let from = (at - start) as usize;
        run.get(from..from + len as usize)
    }

    fn data_base(&self) -> Option<u64> {
        Some(TOC)
    }

    fn is_symbol(&self, at: u64) -> bool {
        self.symbols.contains(&at)
    }
}

/// Symbols of every test object, by number.
const FUNC: usize = 1;
const EXTERN: usize = 2;
const WEAK: usize = 3;
const PLAIN: usize = 4;

/// An object with the words as its .text and relocations (word, kind, symbol, addend).
fn object(words: &[u32], relocs: &[(u64, u32, usize, i64)]) -> Object {
    let symbol = |name: &str, bind, place, other| Symbol {
        name: name.into(),
        kind: SymKind::None,
        bind,
        place,
        value: 0,
        size: 0,
        other,
    };
    let data: Vec<u8> = words.iter().flat_map(|w| w.to_le_bytes()).collect();
    let relocs = relocs.iter().map(|&(word, kind, symbol, addend)| Reloc { offset: 4 * word, kind, symbol, addend });
    let text =
        Section { name: ".text".into(), size: data.len() as u64, data, relocs: relocs.collect(), ..Section::default() };
    Object {
        arch: &PPC64LE,
        flags: 2,
        sections: vec![Section::default(), text],
        symbols: vec![
            symbol("", Bind::Local, Place::Undefined, 0),
            symbol("func", Bind::Global, Place::In(1), 3 << 5),
            symbol("external", Bind::Global, Place::Undefined, 0),
            symbol("weak", Bind::Weak, Place::Undefined, 0),
            symbol("plain", Bind::Local, Place::In(1), 0),
        ],
    }
}

fn linked<'a>(object: &'a Object, image: &'a Image) -> Linked<'a> {
    Linked { object, section: 1, range: 0..object.sections[1].size, at: AT, image }
}

/// The answer for each relocation.
fn follow(mine: &[u32], relocs: &[(u64, u32, usize, i64)], theirs: &[u32]) -> Vec<Result<Target, String>> {
    let (object, image) = (object(mine, relocs), Image::new(&[(AT, theirs)]));
    let linked = linked(&object, &image);
    linked.relocs().iter().map(|r| target(&linked, r)).collect()
}

/// The shipped words with known edits undone.
fn undone(mine: &[u32], relocs: &[(u64, u32, usize, i64)], theirs: &[u32]) -> Vec<u32> {
    let (object, image) = (object(mine, relocs), Image::new(&[(AT, theirs)]));
    let bytes = link_edits::undo(&linked(&object, &image)).unwrap();
    bytes.chunks(4).map(|w| u32::from_le_bytes(w.try_into().unwrap())).collect()
}

const HA: u32 = elf::R_PPC64_TOC16_HA;
const LO: u32 = elf::R_PPC64_TOC16_LO;
const LO_DS: u32 = elf::R_PPC64_TOC16_LO_DS;

// addis r9,r2,S@toc@ha; addi r3,r9,S@toc@l; ld r3,S@toc@l(r9); lwz r3,S@toc@l(r9)
const ADDIS: u32 = 0x3d22_0000;
const ADDI: u32 = 0x3869_0000;
const LD: u32 = 0xe869_0000;
const LWZ: u32 = 0x8069_0000;

/// With base r2 in the place of r9.
fn from_r2(word: u32) -> u32 {
    word & !(0x1f << 16) | 2 << 16
}

#[test]
fn halves_make_an_address() {
    let relocs = [(0, HA, EXTERN, 0), (1, LO, EXTERN, 0)];
    for distance in [0x0123_4568i64, -0x0123_4568, 0x8000, 0x7ffc, -0x8000, 0x1_8000] {
        let (ha, lo) = (((distance + 0x8000) >> 16) as u16, distance as u16);
        let shipped = [ADDIS | u32::from(ha), ADDI | u32::from(lo)];
        let there = Ok(Target::Symbol(TOC.wrapping_add_signed(distance)));
        assert_eq!(follow(&[ADDIS, ADDI], &relocs, &shipped), [there.clone(), there], "{distance:#x}");
    }
}

#[test]
fn a_lower_half_may_be_of_a_place_nearby() {
    // S+48 and S+56, S at TOC+0x17fd0: the lower halves of the two differ in their sign.
    let relocs = [(0, HA, EXTERN, 48), (1, LO_DS, EXTERN, 56)];
    let answer = follow(&[ADDIS, LD], &relocs, &[ADDIS | 2, LD | 0x8008]);
    let there = Ok(Target::Symbol(TOC + 0x1_7fd0));
    assert_eq!(answer, [there.clone(), there]);
}

#[test]
fn near_the_base_the_upper_half_goes_away() {
    let relocs = [(0, HA, EXTERN, 0), (1, LO, EXTERN, 0), (2, LO_DS, EXTERN, 0)];
    let mine = [ADDIS, LWZ, LD];
    let shipped = [NOP, from_r2(LWZ) | 0xfff0, from_r2(LD) | 0xfff0];
    let there = Ok(Target::Symbol(TOC - 16));
    assert_eq!(follow(&mine, &relocs, &shipped), [there.clone(), there.clone(), there]);
    assert_eq!(undone(&mine, &relocs, &shipped), mine);
}

#[test]
fn an_entry_of_the_toc_goes_away() {
    let relocs = [(0, HA, PLAIN, 8), (1, LO_DS, PLAIN, 8)];
    let far = [ADDIS | 0x12, ADDI | 0x3459];
    let there = Ok(Target::Held(TOC + 0x12_3459));
    assert_eq!(follow(&[ADDIS, LD], &relocs, &far), [there.clone(), there]);
    assert_eq!(undone(&[ADDIS, LD], &relocs, &far), [far[0], LD]);
    let near = [NOP, from_r2(ADDI) | 0x11];
    let there = Ok(Target::Held(TOC + 0x11));
    assert_eq!(follow(&[ADDIS, LD], &relocs, &near), [there.clone(), there]);
    assert_eq!(undone(&[ADDIS, LD], &relocs, &near), [ADDIS, LD]);
}

#[test]
fn edits_of_two_halves_belong_together() {
    let relocs = [(0, HA, EXTERN, 0), (1, LO, EXTERN, 0)];
    for shipped in [[NOP, ADDI | 16], [ADDIS, from_r2(ADDI) | 16]] {
        for answer in follow(&[ADDIS, ADDI], &relocs, &shipped) {
            assert!(answer.as_ref().unwrap_err().contains("do not fit together"), "{answer:?}");
        }
    }
    let alone = follow(&[ADDIS], &relocs[..1], &[ADDIS | 1]);
    assert!(alone[0].as_ref().unwrap_err().contains("lower half is not in this function"), "{alone:?}");
    // One that is 32 KiB away is no partner.
    let apart = follow(&[ADDIS, ADDI], &[(0, HA, EXTERN, 0), (1, LO, EXTERN, 0x8000)], &[ADDIS | 1, ADDI]);
    assert!(apart.iter().all(Result::is_err), "{apart:?}");
}

#[test]
fn what_is_no_known_edit_stays() {
    let same = |mine: u32, kind, shipped: u32| undone(&[mine], &[(0, kind, EXTERN, 0)], &[shipped]) == [shipped];
    // A nop for another instruction than addis from r2, or in the place of a lower half.
    assert!(same(0x3d29_0000, HA, NOP));
    assert!(same(ADDI, LO, NOP));
    assert!(same(LD, LO_DS, NOP));
    // Another register than r2, another target register, another instruction.
    assert!(same(LWZ, LO, 0x8068_0000));
    assert!(same(LD, LO_DS, from_r2(LD) | 4 << 21));
    assert!(same(LD, LO_DS, ADDI | 4 << 21));
    assert!(same(LWZ, LO, from_r2(ADDI)));
    assert!(same(LWZ, LO_DS, ADDI));
    // ldu and lwa are not ld.
    assert!(same(LD | 1, LO_DS, ADDI) && same(LD | 2, LO_DS, ADDI) && same(LD, LO_DS, from_r2(LD) | 1));
    // Without its relocation, or with another.
    assert_eq!(undone(&[ADDIS, LD], &[], &[NOP, ADDI]), [NOP, ADDI]);
    assert!(same(ADDIS, elf::R_PPC64_REL16_HA, NOP));
    // A call of something that must be there.
    assert!(same(0x4800_0001, elf::R_PPC64_REL24, NOP));
}

#[test]
fn the_toc_pointer_is_set_up_from_the_entry() {
    let (ha, lo) = (elf::R_PPC64_REL16_HA, elf::R_PPC64_REL16_LO);
    let distance = TOC - AT;
    let shipped = [0x3c4c_0000 | (distance + 0x8000) as u32 >> 16, 0x3842_0000 | distance as u32 & 0xffff];
    let answer = follow(&[0x3c4c_0000, 0x3842_0000], &[(0, ha, EXTERN, 0), (1, lo, EXTERN, 4)], &shipped);
    assert_eq!(answer, [Ok(Target::Symbol(TOC)), Ok(Target::Symbol(TOC))]);
    let code: Vec<u8> = shipped.iter().flat_map(|w| w.to_le_bytes()).collect();
    assert_eq!(super::insn::toc_setup(&code, AT), Some(TOC));
    assert_eq!(super::insn::toc_setup(&code[4..], AT), None);
}

/// `bl` from word 0 to `to`.
fn call(to: u64) -> u32 {
    0x4800_0001 | (to.wrapping_sub(AT) as u32 & 0x03ff_fffc)
}

/// How a global entry at `at` begins.
fn entry(at: u64) -> [u32; 4] {
    let distance = TOC - at;
    [0x3c4c_0000 | (distance + 0x8000) as u32 >> 16, 0x3842_0000 | distance as u32 & 0xffff, NOP, NOP]
}

fn follow_call(symbol: usize, to: u64, symbols: &[u64], around: &[(u64, &[u32])]) -> Result<Target, String> {
    let object = object(&[0x4800_0001], &[(0, elf::R_PPC64_REL24, symbol, 0)]);
    let shipped = [call(to)];
    let mut image = Image::new(&[&[(AT, &shipped[..])][..], around].concat());
    image.symbols = symbols.to_vec();
    target(&linked(&object, &image), &object.sections[1].relocs[0])
}

#[test]
fn calls_arrive_at_the_local_entry() {
    let at = AT - 0x4000;
    let code = entry(at);
    // st_other says it, or the code of the callee shows it.
    assert_eq!(follow_call(FUNC, at + 8, &[at], &[(at, &code)]), Ok(Target::Symbol(at)));
    assert_eq!(follow_call(EXTERN, at + 8, &[at], &[(at, &code)]), Ok(Target::Symbol(at)));
    let plain = [NOP; 8];
    assert_eq!(follow_call(EXTERN, at + 8, &[at + 8], &[(at, &plain)]), Ok(Target::Symbol(at + 8)));
    assert_eq!(follow_call(PLAIN, at + 8, &[at + 8], &[(at, &plain)]), Ok(Target::Symbol(at + 8)));
    // The linker never makes a call of the global entry.
    assert!(follow_call(EXTERN, at, &[at], &[(at, &code)]).unwrap_err().contains("global entry"));
}

#[test]
fn stubs_are_followed_or_refused() {
    let (stub, at) = (AT + 0x100_0000, AT - 0x4000);
    let code = entry(at);
    let jump = 0x4800_0000 | ((at + 8).wrapping_sub(stub) as u32 & 0x03ff_fffc);
    let around = [(stub, &[jump][..]), (at, &code)];
    assert_eq!(follow_call(EXTERN, stub, &[at], &around), Ok(Target::Symbol(at)));
    // A function that does nothing but jump on is no stub.
    assert_eq!(follow_call(EXTERN, stub, &[at, stub], &around), Ok(Target::Symbol(stub)));
    let loads = [0x3d82_0001, 0xe98c_7ff8, 0x7d89_03a6, 0x4e80_0420];
    for skip in [0, 1] {
        let said = follow_call(EXTERN, stub, &[at], &[(stub, &loads[skip..])]).unwrap_err();
        assert!(said.contains("plt_branch"), "{said}");
    }
}

#[test]
fn calls_of_what_is_nowhere_are_nops() {
    for branch in [0x4800_0001, 0x4800_0000] {
        let relocs = [(0, elf::R_PPC64_REL24, WEAK, 0)];
        assert_eq!(undone(&[branch], &relocs, &[NOP]), [branch]);
        assert_eq!(follow(&[branch], &relocs, &[NOP]), [Ok(Target::Symbol(0))]);
    }
}
