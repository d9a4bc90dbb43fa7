// SPDX-License-Identifier: GPL-2.0-or-later
//! Instructions in the words of GNU as, with names for the fields that references and addresses are in.

use crate::arch::line::{Ask, Line};
use iced_x86::{
    ConstantOffsets, Decoder, DecoderOptions, Formatter, GasFormatter, Instruction, OpKind, SymbolResolver,
    SymbolResult,
};
use std::cell::RefCell;
use std::ops::Range;
use std::rc::Rc;

/// See [`Arch::disassemble`](crate::arch::Arch::disassemble).
pub fn lines(code: &[u8], at: u64, name: &mut dyn FnMut(Ask) -> Option<String>) -> Vec<Line> {
    let end = at.wrapping_add(code.len() as u64);
    let now = Rc::new(Now::default());
    let mut formatter = GasFormatter::with_options(Some(Box::new(Names(now.clone()))), None);
    let options = formatter.options_mut();
    options.set_uppercase_hex(false);
    options.set_small_hex_numbers_in_decimal(true);
    options.set_rip_relative_addresses(true);
    options.set_branch_leading_zeros(false);
    options.set_displacement_leading_zeros(false);
    let mut decoder = Decoder::with_ip(64, code, at, DecoderOptions::NONE);
    let mut instruction = Instruction::default();
    let mut found: Vec<Line> = Vec::new();
    while decoder.can_decode() {
        decoder.decode_out(&mut instruction);
        let here = instruction.ip();
        let from = here.wrapping_sub(at) as usize;
        if instruction.is_invalid() {
            // What is no code is shown byte by byte: the next byte may begin an instruction again.
            found.push(Line {
                at: here,
                bytes: vec![code[from]],
                text: format!(".byte {:#04x}", code[from]),
                jump: None,
            });
            if decoder.set_position(from + 1).is_err() {
                break;
            }
            decoder.set_ip(here.wrapping_add(1));
            continue;
        }
        let offsets = decoder.get_constant_offsets(&instruction);
        let mut jump = None;
        now.answer(&instruction, &offsets, &mut |ask| match ask {
            Ask::Address(to) if (at..end).contains(&to) => {
                jump = (instruction.op0_kind() == OpKind::NearBranch64).then_some(to);
                Some(format!("+{:#x}", to - at))
            }
            ask => name(ask),
        });
        let mut text = String::new();
        formatter.format(&instruction, &mut text);
        found.push(Line { at: here, bytes: code[from..from + instruction.len()].to_vec(), text, jump });
    }
    found
}

/// The names for the instruction that is being formatted.
#[derive(Default)]
struct Now {
    displacement: RefCell<Option<String>>,
    immediate: RefCell<Option<String>>,
}

impl Now {
    fn answer(
        &self,
        instruction: &Instruction,
        offsets: &ConstantOffsets,
        name: &mut dyn FnMut(Ask) -> Option<String>,
    ) {
        let field = |has: bool, offset: usize, size: usize| -> Option<Range<u64>> {
            let from = instruction.ip().wrapping_add(offset as u64);
            has.then(|| from..from.wrapping_add(size as u64))
        };
        let displacement =
            field(offsets.has_displacement(), offsets.displacement_offset(), offsets.displacement_size());
        let immediate = field(offsets.has_immediate(), offsets.immediate_offset(), offsets.immediate_size());
        let mut memory = displacement.and_then(|f| name(Ask::Field(f)));
        if memory.is_none() && instruction.is_ip_rel_memory_operand() {
            memory = name(Ask::Address(instruction.ip_rel_memory_address()));
        }
        let mut value = immediate.and_then(|f| name(Ask::Field(f)));
        if value.is_none() && instruction.op0_kind() == OpKind::NearBranch64 {
            value = name(Ask::Address(instruction.near_branch_target()));
        }
        *self.displacement.borrow_mut() = memory;
        *self.immediate.borrow_mut() = value;
    }
}

struct Names(Rc<Now>);

impl SymbolResolver for Names {
    fn symbol(
        &mut self,
        instruction: &Instruction,
        _operand: u32,
        instruction_operand: Option<u32>,
        address: u64,
        _address_size: u32,
    ) -> Option<SymbolResult<'_>> {
        let memory = instruction_operand.is_some_and(|n| instruction.op_kind(n) == OpKind::Memory);
        let name = if memory { &self.0.displacement } else { &self.0.immediate };
        name.borrow().as_ref().map(|name| SymbolResult::with_string(address, name.clone()))
    }
}
