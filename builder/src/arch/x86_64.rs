// SPDX-License-Identifier: GPL-2.0-or-later
//! x86_64: relocations (System V ABI, AMD64 supplement, table 4.9), instruction lengths, ftrace sites.

mod accesses;
mod disasm;
mod jumps;
mod lines;
mod rust_flags;

use super::{later, Access, Arch, Field, LineArgument, LocalBranch};
use crate::arch::line::{Ask, Line};
use crate::elf::{Object, Reloc, SecId, Section};
use crate::section_table::{MCOUNT_LOC, PATCHABLE_ENTRIES};
use anyhow::Result;
use iced_x86::{Decoder, DecoderOptions, FlowControl, Instruction, Mnemonic};
use object::elf;
use std::ops::Range;

/// The architecture.
#[derive(Debug)]
pub struct Amd64;

/// The one instance.
pub static X86_64: Amd64 = Amd64;

impl Arch for Amd64 {
    fn name(&self) -> &'static str {
        "x86_64"
    }

    fn machine(&self) -> u16 {
        elf::EM_X86_64
    }

    fn long_jumps(&self, assembly: &str) -> Option<String> {
        Some(jumps::long(assembly))
    }

    fn field(&self, kind: u32) -> Option<Field> {
        Some(match kind {
            elf::R_X86_64_NONE => Field::None,
            elf::R_X86_64_64 => Field::Absolute { bytes: 8 },
            elf::R_X86_64_32 | elf::R_X86_64_32S => Field::Absolute { bytes: 4 },
            elf::R_X86_64_PC32 | elf::R_X86_64_PLT32 => Field::Relative { bytes: 4 },
            elf::R_X86_64_PC64 => Field::Relative { bytes: 8 },
            _ => return None,
        })
    }

    fn reloc_name(&self, kind: u32) -> String {
        match kind {
            elf::R_X86_64_NONE => "R_X86_64_NONE".into(),
            elf::R_X86_64_64 => "R_X86_64_64".into(),
            elf::R_X86_64_32 => "R_X86_64_32".into(),
            elf::R_X86_64_32S => "R_X86_64_32S".into(),
            elf::R_X86_64_PC32 => "R_X86_64_PC32".into(),
            elf::R_X86_64_PLT32 => "R_X86_64_PLT32".into(),
            elf::R_X86_64_PC64 => "R_X86_64_PC64".into(),
            other => format!("R_X86_64 type {other}"),
        }
    }

    fn rust_flags(&self, c: &[String]) -> Result<Vec<String>> {
        rust_flags::rust_flags(c)
    }

    fn clang_flags(&self) -> &'static [&'static str] {
        &["--target=x86_64-linux-gnu"]
    }

    fn call_reloc(&self) -> u32 {
        elf::R_X86_64_PLT32
    }

    fn relative_reloc(&self) -> u32 {
        elf::R_X86_64_PC32
    }

    fn pointer_reloc(&self) -> u32 {
        elf::R_X86_64_64
    }

    fn same_reloc(&self, a: u32, b: u32) -> bool {
        let plain = |k| if k == elf::R_X86_64_PLT32 { elf::R_X86_64_PC32 } else { k };
        plain(a) == plain(b)
    }

    fn bias(&self, section: &Section, function: Range<u64>, reloc: &Reloc) -> i64 {
        match self.field(reloc.kind) {
            Some(Field::Relative { bytes: 4 }) if section.is_text() => {}
            _ => return 0,
        }
        // Nearly always the field ends the instruction; an immediate may be behind it.
        let mut end = 4;
        for instruction in decode(section, function) {
            let (start, next) = (instruction.ip(), instruction.next_ip());
            if start <= reloc.offset && reloc.offset < next {
                end = next - reloc.offset;
                break;
            }
        }
        end as i64
    }

    fn biases(&self, section: &Section, function: Range<u64>) -> Vec<(u64, i64)> {
        let relocs = section.relocs_in(function.clone());
        let mut ends = decode(section, function).map(|i| i.next_ip()).peekable();
        let relative = |r: &Reloc| matches!(self.field(r.kind), Some(Field::Relative { bytes: 4 }));
        let distance = |r: &Reloc| {
            while ends.next_if(|&end| end <= r.offset).is_some() {}
            match ends.peek() {
                Some(&end) if section.is_text() && relative(r) => (end - r.offset) as i64,
                None if section.is_text() && relative(r) => 4,
                _ => 0,
            }
        };
        relocs.iter().map(|r| r.offset).zip(relocs.iter().map(distance)).collect()
    }

    fn local_branches(&self, section: &Section, range: Range<u64>) -> Option<Vec<LocalBranch>> {
        let mut found = Vec::new();
        let mut decoder = decoder(section, range.clone());
        let mut instruction = Instruction::default();
        while decoder.can_decode() {
            decoder.decode_out(&mut instruction);
            if instruction.is_invalid() {
                return None;
            }
            let call = instruction.flow_control() == FlowControl::Call;
            let jump =
                matches!(instruction.flow_control(), FlowControl::UnconditionalBranch | FlowControl::ConditionalBranch);
            if !(call || jump) || !instruction.is_jcc_short_or_near_or_jmp_or_call() {
                continue;
            }
            let target = instruction.near_branch_target();
            let offsets = decoder.get_constant_offsets(&instruction);
            let width = offsets.immediate_size() as u8;
            let field = instruction.ip() + offsets.immediate_offset() as u64;
            let relocated = !section.relocs_in(field..field + u64::from(width)).is_empty();
            if !relocated && !range.contains(&target) {
                found.push(LocalBranch { field, target, width, call });
            }
        }
        Some(found)
    }

    fn leaves(&self, section: &Section, range: Range<u64>, stays: &dyn Fn(&Reloc) -> bool) -> bool {
        let mut decoder = decoder(section, range.clone());
        let mut instruction = Instruction::default();
        while decoder.can_decode() {
            decoder.decode_out(&mut instruction);
            let next = instruction.next_ip();
            let out = match instruction.flow_control() {
                _ if instruction.is_invalid() => true,
                FlowControl::Return | FlowControl::IndirectBranch => true,
                FlowControl::UnconditionalBranch | FlowControl::ConditionalBranch => {
                    match section.relocs_in(instruction.ip()..next) {
                        [] => !range.contains(&instruction.near_branch_target()),
                        relocs => !relocs.iter().all(stays),
                    }
                }
                _ => false,
            };
            if out {
                return true;
            }
        }
        false
    }

    fn accesses(&self, section: &Section, function: Range<u64>) -> Vec<(u64, Access)> {
        accesses::accesses(section, function)
    }

    fn later(&self, section: &Section, function: Range<u64>) -> Vec<later::Use> {
        later::uses(&accesses::steps(section, function), &accesses::ARGUMENTS.map(accesses::bit))
    }

    fn branch_at(&self, section: &Section, reloc: &Reloc) -> Option<(u64, bool)> {
        // call rel32, jmp rel32, jcc rel32. Before any other field of this type is a ModRM byte that names no
        // register but rip, or the opcode of an instruction with an immediate.
        if !matches!(self.field(reloc.kind), Some(Field::Relative { bytes: 4 })) {
            return None;
        }
        let opcode = |back: u64| section.data.get(reloc.offset.checked_sub(back)? as usize).copied();
        match (opcode(2), opcode(1)) {
            (_, Some(0xe8)) => Some((reloc.offset - 1, true)),
            (_, Some(0xe9)) => Some((reloc.offset - 1, false)),
            (Some(0x0f), Some(0x80..=0x8f)) => Some((reloc.offset - 2, false)),
            _ => None,
        }
    }

    fn branch_addend(&self, distance: i64) -> i64 {
        // The field is relative to its own end.
        distance - 4
    }

    fn is_padding(&self, section: &Section, range: Range<u64>) -> bool {
        let bytes = section.bytes(range.clone());
        let fills = |i: Instruction| matches!(i.mnemonic(), Mnemonic::Nop | Mnemonic::Int3);
        section.relocs_in(range.clone()).is_empty()
            && (bytes.iter().all(|&byte| byte == 0) || are_nops(bytes) || decode(section, range).all(fills))
    }

    fn line_arguments(&self, section: &Section, range: Range<u64>, relocs: &[Reloc]) -> Vec<LineArgument> {
        lines::arguments(decoder(section, range), relocs)
    }

    fn runs_on(&self, section: &Section, range: Range<u64>) -> bool {
        let end = range.end;
        let Some(last) = decode(section, range).last() else { return true };
        let leaves = matches!(
            last.flow_control(),
            FlowControl::UnconditionalBranch
                | FlowControl::IndirectBranch
                | FlowControl::Return
                | FlowControl::Exception
        );
        last.is_invalid() || last.next_ip() != end || !leaves
    }

    fn entry_of(&self, object: &Object, section: SecId) -> (u64, u8) {
        // After the call padding that `__patchable_function_entries` refers to.
        let recorded = object.sections.iter().any(|s| {
            s.name == PATCHABLE_ENTRIES
                && s.relocs.iter().any(|r| {
                    let symbol = &object.symbols[r.symbol];
                    symbol.section() == Some(section) && symbol.value.wrapping_add_signed(r.addend) == 0
                })
        });
        let nops = object.sections[section].data.iter().take_while(|&&byte| byte == 0x90).count() as u64;
        (if recorded { nops } else { 0 }, 0)
    }

    fn has_ftrace_site(&self, object: &Object, section: usize, entry: u64, end: u64) -> bool {
        // `call __fentry__` (or, after objtool, a 5-byte nop) at the entry or behind endbr64; recorded in __mcount_loc.
        let s = &object.sections[section];
        let near = entry..end.min(entry + 16);
        let by_call = s.relocs_in(near.clone()).iter().any(|r| object.symbols[r.symbol].name == "__fentry__");
        by_call
            || object.sections.iter().filter(|m| m.name == MCOUNT_LOC).flat_map(|m| &m.relocs).any(|r| {
                let symbol = &object.symbols[r.symbol];
                symbol.section() == Some(section) && near.contains(&symbol.value.wrapping_add_signed(r.addend))
            })
    }

    fn may_be_entered_indirectly(&self, code: &[u8]) -> bool {
        // endbr64
        code.starts_with(&[0xf3, 0x0f, 0x1e, 0xfa])
    }

    fn is_disabled_jump(&self, mine: &[u8], theirs: &[u8]) -> Option<usize> {
        let nop = jump_nop(mine)?;
        (theirs.get(..nop.len()) == Some(nop)).then_some(nop.len())
    }

    fn is_tracing_symbol(&self, name: &str) -> bool {
        name == "__fentry__"
    }

    fn relative_dynamic(&self) -> u32 {
        elf::R_X86_64_RELATIVE
    }

    fn refers_by_section(&self) -> bool {
        true
    }

    fn disassemble(&self, code: &[u8], at: u64, name: &mut dyn FnMut(Ask) -> Option<String>) -> Vec<Line> {
        disasm::lines(code, at, name)
    }

    fn trap(&self) -> &'static [u8] {
        // int3
        &[0xcc]
    }
}

/// The nop as long as the jump that `code` begins with (arch/x86/include/asm/nops.h: BYTES_NOP2, BYTES_NOP5).
fn jump_nop(code: &[u8]) -> Option<&'static [u8]> {
    let nop: &[u8] = match code.first()? {
        0xeb => &[0x66, 0x90],
        0xe9 => &[0x0f, 0x1f, 0x44, 0x00, 0x00],
        _ => return None,
    };
    (code.len() >= nop.len()).then_some(nop)
}

/// Short for what [`Amd64::local_branches`] asks of an instruction.
trait Branches {
    fn is_jcc_short_or_near_or_jmp_or_call(&self) -> bool;
}

impl Branches for Instruction {
    fn is_jcc_short_or_near_or_jmp_or_call(&self) -> bool {
        self.is_jcc_short_or_near() || self.is_jmp_short_or_near() || self.is_call_near()
    }
}

/// True for nops as assemblers write them and for traps. What else could be a nop is left to the decoder, whose
/// tables cost more than a small object takes.
fn are_nops(mut bytes: &[u8]) -> bool {
    while !bytes.is_empty() {
        let prefixes = bytes.iter().take_while(|&&byte| matches!(byte, 0x66 | 0x2e)).count();
        let len = match bytes[prefixes..] {
            [0x90 | 0xcc, ..] => 1,
            [0x0f, 0x1f, 0x00, ..] => 3,
            [0x0f, 0x1f, 0x40, ..] => 4,
            [0x0f, 0x1f, 0x44, ..] => 5,
            [0x0f, 0x1f, 0x80, ..] => 7,
            [0x0f, 0x1f, 0x84, ..] => 8,
            _ => return false,
        };
        match bytes.get(prefixes + len..) {
            Some(rest) => bytes = rest,
            None => return false,
        }
    }
    true
}

fn decoder(section: &Section, range: Range<u64>) -> Decoder<'_> {
    Decoder::with_ip(64, section.bytes(range.clone()), range.start, DecoderOptions::NONE)
}

fn decode(section: &Section, range: Range<u64>) -> impl Iterator<Item = Instruction> + '_ {
    let mut decoder = decoder(section, range);
    std::iter::from_fn(move || decoder.can_decode().then(|| decoder.decode()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nops() {
        assert!(are_nops(&[]));
        assert!(are_nops(&[0x90, 0xcc, 0x66, 0x90, 0x0f, 0x1f, 0x44, 0, 0]));
        assert!(are_nops(&[0x66, 0x66, 0x2e, 0x0f, 0x1f, 0x84, 0, 0, 0, 0, 0]));
        assert!(!are_nops(&[0x0f, 0x1f, 0x84, 0, 0, 0, 0]), "cut off");
        assert!(!are_nops(&[0x90, 0xc3]));
        assert!(!are_nops(&[0x66]));
    }
}
