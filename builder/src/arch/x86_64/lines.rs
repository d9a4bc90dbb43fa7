// SPDX-License-Identifier: GPL-2.0-or-later
//! Finds, before each call, a constant that is loaded into the argument register right behind one that holds
//! an address: `f(…, __FILE__, __LINE__, …)` in the System V calling convention.

use crate::arch::LineArgument;
use crate::elf::Reloc;
use iced_x86::{Code, Decoder, FlowControl, Instruction, InstructionInfoFactory, OpAccess, Register};
use std::ops::Range;

const ARGUMENTS: [Register; 6] =
    [Register::RDI, Register::RSI, Register::RDX, Register::RCX, Register::R8, Register::R9];

/// What an argument register holds.
#[derive(Clone)]
enum Held {
    Unknown,
    Address(Reloc),
    Number(Range<u64>, u32),
}

/// Walks straight through the code. `relocs` are those of the code, sorted.
pub fn arguments(mut decoder: Decoder<'_>, relocs: &[Reloc]) -> Vec<LineArgument> {
    let mut found = Vec::new();
    let mut held: [Held; 6] = std::array::from_fn(|_| Held::Unknown);
    let mut info = InstructionInfoFactory::new();
    let mut instruction = Instruction::default();
    while decoder.can_decode() {
        decoder.decode_out(&mut instruction);
        let (start, end) = (instruction.ip(), instruction.next_ip());
        let reloc = relocs.get(relocs.partition_point(|r| r.offset < start)).filter(|r| r.offset < end).copied();
        for used in info.info(&instruction).used_registers() {
            let writes = matches!(
                used.access(),
                OpAccess::Write | OpAccess::CondWrite | OpAccess::ReadWrite | OpAccess::ReadCondWrite
            );
            if let Some(n) = ARGUMENTS.iter().position(|&a| writes && a == used.register().full_register()) {
                held[n] = Held::Unknown;
            }
        }
        let target = ARGUMENTS.iter().position(|&a| a == instruction.op0_register().full_register());
        match (instruction.code(), target) {
            (Code::Mov_r32_imm32, Some(n)) if reloc.is_none() => {
                let at = start + decoder.get_constant_offsets(&instruction).immediate_offset() as u64;
                held[n] = Held::Number(at..at + 4, instruction.immediate32());
            }
            (Code::Mov_r32_imm32 | Code::Mov_rm64_imm32 | Code::Lea_r64_m, Some(n)) => {
                if let Some(reloc) = reloc {
                    held[n] = Held::Address(reloc);
                }
            }
            _ => {}
        }
        match instruction.flow_control() {
            FlowControl::Call => {
                for pair in held.windows(2) {
                    if let [Held::Address(place), Held::Number(field, value)] = pair {
                        let callee = reloc.map(|r| r.symbol);
                        found.push(LineArgument { field: field.clone(), value: *value, place: *place, callee });
                    }
                }
                held = std::array::from_fn(|_| Held::Unknown);
            }
            FlowControl::Next | FlowControl::ConditionalBranch => {}
            _ => held = std::array::from_fn(|_| Held::Unknown),
        }
    }
    found
}
