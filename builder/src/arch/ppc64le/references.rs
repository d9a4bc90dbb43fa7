// SPDX-License-Identifier: GPL-2.0-or-later
//! Where references in linked ppc64le code lead: the shipped instructions in, the place of the symbol out.
//!
//! A branch leads to the local entry of its callee. An address that is put together of two instructions has
//! its halves at two relocations of the same symbol; only both together say where it leads.

use super::branches::local_entry;
use super::insn;
use super::link_edits::{edit, Edit};
use super::PPC64LE;
use crate::arch::linked::{Linked, Target};
use crate::arch::Arch as _;
use crate::elf::{Bind, Reloc};
use object::elf;

/// How the kinds of halves relate to what they are counted from.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Base {
    /// The TOC base.
    Toc,
    /// The place of the field itself.
    Here,
}

/// Where the field of `reloc` in the image leads.
///
/// # Errors
/// In words: no known instruction is there, or it leads through something that is not followed.
pub fn target(linked: &Linked<'_>, reloc: &Reloc) -> Result<Target, String> {
    match reloc.kind {
        elf::R_PPC64_REL24 => branch(linked, reloc).map(Target::Symbol),
        elf::R_PPC64_REL14 => {
            let distance = insn::conditional_distance(shipped(linked, reloc.offset)?);
            Ok(Target::Symbol(callee(linked, reloc, linked.address(reloc.offset).wrapping_add_signed(distance))?))
        }
        elf::R_PPC64_TOC16 | elf::R_PPC64_TOC16_DS => {
            let distance = i64::from(field(reloc, shipped(linked, reloc.offset)?) as i16);
            Ok(Target::Symbol(base(linked)?.wrapping_add_signed(distance.wrapping_sub(reloc.addend))))
        }
        elf::R_PPC64_TOC16_HA | elf::R_PPC64_TOC16_LO | elf::R_PPC64_TOC16_LO_DS => halves(linked, reloc, Base::Toc),
        elf::R_PPC64_REL16_HA | elf::R_PPC64_REL16_LO => halves(linked, reloc, Base::Here),
        kind => Err(format!("{} is not followed in a linked image", PPC64LE.reloc_name(kind))),
    }
}

fn shipped(linked: &Linked<'_>, offset: u64) -> Result<u32, String> {
    linked.shipped_word(offset).ok_or_else(|| "the shipped image ends here".into())
}

fn base(linked: &Linked<'_>) -> Result<u64, String> {
    linked.image.data_base().ok_or_else(|| "no function of the shipped image says where its TOC is".into())
}

/// The 16 bits of an instruction that hold a field of this kind.
fn field(reloc: &Reloc, word: u32) -> u16 {
    match reloc.kind {
        elf::R_PPC64_TOC16_DS | elf::R_PPC64_TOC16_LO_DS if insn::op(word) != insn::ADDI => word as u16 & 0xfffc,
        _ => word as u16,
    }
}

/// The callee of a `b` or `bl`.
fn branch(linked: &Linked<'_>, reloc: &Reloc) -> Result<u64, String> {
    let word = shipped(linked, reloc.offset)?;
    if edit(linked, reloc, linked.rebuilt_word(reloc.offset).unwrap_or_default(), word) == Some(Edit::Dropped) {
        return Ok(0);
    }
    let reached = linked.address(reloc.offset).wrapping_add_signed(insn::branch_distance(word));
    callee(linked, reloc, stub(linked, reached)?)
}

/// Where a branch goes on to that leads to a stub of the linker's (32 MiB are as far as it reaches). Stubs have
/// no symbols, and nothing else without one is a branch's target but places within functions.
fn stub(linked: &Linked<'_>, reached: u64) -> Result<u64, String> {
    let image = linked.image;
    if image.is_symbol(reached) || image.is_symbol(reached.wrapping_sub(8)) {
        return Ok(reached);
    }
    let word = |n: u64| {
        let bytes = image.bytes(reached.wrapping_add(4 * n), 4)?;
        Some(u32::from_le_bytes(bytes.try_into().ok()?))
    };
    match word(0) {
        Some(jump) if insn::is_plain_branch(jump) => Ok(reached.wrapping_add_signed(insn::branch_distance(jump))),
        // [addis r12,r2,…;] ld r12,…(…); mtctr r12; bctr
        _ if (1..4).any(|n| word(n) == Some(0x7d89_03a6) && word(n + 1) == Some(0x4e80_0420)) => {
            Err("the shipped code calls through a stub that loads its target (plt_branch), which is not followed"
                .into())
        }
        _ => Ok(reached),
    }
}

/// The value of the callee's symbol, when a branch arrives at `entry`.
fn callee(linked: &Linked<'_>, reloc: &Reloc, entry: u64) -> Result<u64, String> {
    let symbol = &linked.object.symbols[reloc.symbol];
    let entry = entry.wrapping_sub(reloc.addend as u64);
    if symbol.section().is_some() && symbol.bind != Bind::Weak {
        return Ok(entry.wrapping_sub(local_entry(symbol)));
    }
    // Defined elsewhere: whether it has two entries, its code shows.
    let sets_up = |at: u64| {
        let code = linked.image.bytes(at, 8)?;
        insn::toc_setup(code, at)
    };
    let base = base(linked)?;
    if sets_up(entry) == Some(base) {
        return Err("the shipped code calls the global entry of a function that has a local one".into());
    }
    let global = entry.wrapping_sub(8);
    Ok(if sets_up(global) == Some(base) { global } else { entry })
}

/// One half of an address.
#[derive(Clone, Copy)]
struct Half {
    reloc: Reloc,
    upper: bool,
    /// Symbol plus this is what its field holds a half of.
    bias: i64,
}

fn half(linked: &Linked<'_>, reloc: &Reloc, from: Base) -> Result<Option<Half>, String> {
    let bias = |base: u64| reloc.addend.wrapping_sub(base as i64);
    let toc = || base(linked).map(bias);
    let here = || bias(linked.address(reloc.offset));
    let (upper, bias) = match (reloc.kind, from) {
        (elf::R_PPC64_TOC16_HA, Base::Toc) => (true, toc()?),
        (elf::R_PPC64_TOC16_LO | elf::R_PPC64_TOC16_LO_DS, Base::Toc) => (false, toc()?),
        (elf::R_PPC64_REL16_HA, Base::Here) => (true, here()),
        (elf::R_PPC64_REL16_LO, Base::Here) => (false, here()),
        _ => return Ok(None),
    };
    Ok(Some(Half { reloc: *reloc, upper, bias }))
}

fn halves(linked: &Linked<'_>, reloc: &Reloc, from: Base) -> Result<Target, String> {
    let Some(own) = half(linked, reloc, from)? else { return Err("no half of an address".into()) };
    let mut best: Option<Half> = None;
    for other in linked.relocs().iter().filter(|r| r.symbol == reloc.symbol) {
        let Some(other) = half(linked, other, from)?.filter(|other| other.upper != own.upper) else { continue };
        if other.bias == own.bias {
            agree(linked, &own, &other)?;
        }
        let distance = |h: &Half| h.bias.wrapping_sub(own.bias).unsigned_abs();
        if best.is_none_or(|b| distance(&other) < distance(&b)) {
            best = Some(other);
        }
    }
    let other = best.filter(|other| other.bias.abs_diff(own.bias) < 0x8000).ok_or_else(|| {
        let (this, that) = if own.upper { ("upper", "lower") } else { ("lower", "upper") };
        format!("the {this} half of an address whose {that} half is not in this function")
    })?;
    let (upper, lower) = if own.upper { (own, other) } else { (other, own) };
    let high = match what(linked, &upper)? {
        (_, Edit::Dropped) => 0,
        (word, _) => i64::from(word as u16 as i16) << 16,
    };
    let (word, edited) = what(linked, &lower)?;
    // The upper half says where within 64 KiB it leads, the lower half says the rest. Usually both are made of
    // the same sum; where the lower one belongs to a place nearby, `apart` says how far.
    let apart = lower.bias.wrapping_sub(upper.bias);
    let low = i64::from((i64::from(field(&lower.reloc, word)) - apart) as u16 as i16);
    let symbol = (high + low).wrapping_sub(upper.bias) as u64;
    match edited {
        Edit::Direct { held: true, .. } if apart == 0 => Ok(Target::Held(symbol.wrapping_add_signed(reloc.addend))),
        Edit::Direct { held: true, .. } => Err("the linker took an entry of the TOC away that is still in use".into()),
        _ => Ok(Target::Symbol(symbol)),
    }
}

/// The shipped instruction of a half, and what the linker did to it.
fn what(linked: &Linked<'_>, half: &Half) -> Result<(u32, Edit), String> {
    let word = shipped(linked, half.reloc.offset)?;
    if matches!(half.reloc.kind, elf::R_PPC64_REL16_HA | elf::R_PPC64_REL16_LO) {
        return Ok((word, Edit::Kept));
    }
    let mine = linked.rebuilt_word(half.reloc.offset).unwrap_or_default();
    let edit = edit(linked, &half.reloc, mine, word);
    edit.map(|edit| (word, edit)).ok_or_else(|| format!("the shipped instruction {word:08x} is not the rebuilt one"))
}

/// Two halves of one address: r2 is in the lower one exactly where the upper one is gone.
fn agree(linked: &Linked<'_>, own: &Half, other: &Half) -> Result<(), String> {
    let (upper, lower) = if own.upper { (own, other) } else { (other, own) };
    let dropped = what(linked, upper)?.1 == Edit::Dropped;
    let from_base = matches!(what(linked, lower)?.1, Edit::Direct { from_base: true, .. });
    if dropped == from_base {
        return Ok(());
    }
    let at = lower.reloc.offset.wrapping_sub(linked.range.start);
    Err(format!("the linker's edits of the two halves of this address (the other one at {at:#x}) do not fit together"))
}
