// SPDX-License-Identifier: GPL-2.0-or-later
//! What the instructions of a function do with the addresses that relocations give them.

use crate::arch::Access;
use crate::elf::Section;
use iced_x86::{Decoder, FlowControl, Instruction, InstructionInfoFactory, Mnemonic, OpAccess, Register};
use std::ops::Range;

/// See [`Arch::accesses`](crate::arch::Arch::accesses).
pub fn accesses(section: &Section, function: Range<u64>) -> Vec<(u64, Access)> {
    let mut relocs = section.relocs_in(function.clone()).iter().map(|r| r.offset).peekable();
    let end = function.end;
    let mut decoder = super::decoder(section, function);
    let mut instruction = Instruction::default();
    let mut facts = InstructionInfoFactory::new();
    let mut found = Vec::new();
    while decoder.can_decode() && relocs.peek().is_some() {
        decoder.decode_out(&mut instruction);
        if instruction.is_invalid() {
            break;
        }
        let fields = decoder.get_constant_offsets(&instruction);
        let memory = instruction.ip() + fields.displacement_offset() as u64;
        while let Some(at) = relocs.next_if(|&at| at < instruction.next_ip()) {
            if at < instruction.ip() {
                continue;
            }
            let is_memory = fields.has_displacement() && at == memory;
            let is_branch = !is_memory
                && matches!(
                    instruction.flow_control(),
                    FlowControl::Call | FlowControl::UnconditionalBranch | FlowControl::ConditionalBranch
                );
            if is_branch {
                continue;
            }
            let access = match is_memory {
                true => of_memory(&instruction, &mut facts),
                false => Access::Address,
            };
            found.push((
                at,
                access.of_address(|| {
                    is_compared(&instruction, super::decoder(section, instruction.next_ip()..end), &mut facts)
                }),
            ));
        }
    }
    found
}

/// True if an instruction compares an address, or puts it into a register that is only compared, as far as the code goes on
/// in one line.
fn is_compared(instruction: &Instruction, mut code: Decoder<'_>, facts: &mut InstructionInfoFactory) -> bool {
    if instruction.mnemonic() == Mnemonic::Cmp {
        return true;
    }
    let register = instruction.op0_register().full_register();
    if !matches!(instruction.mnemonic(), Mnemonic::Mov | Mnemonic::Lea) || !register.is_gpr() {
        return false;
    }
    let (mut next, mut compared) = (Instruction::default(), false);
    while code.can_decode() {
        code.decode_out(&mut next);
        let info = facts.info(&next);
        let of_register = || info.used_registers().iter().filter(|used| used.register().full_register() == register);
        let is_read = of_register().any(|used| !matches!(used.access(), OpAccess::Write | OpAccess::None));
        match (is_read, next.mnemonic()) {
            (true, Mnemonic::Cmp) => compared = true,
            // The registers that a function keeps for its caller are put back at its end.
            (true, Mnemonic::Push) => {}
            (true, _) => return false,
            (false, _) if of_register().any(|used| used.access() == OpAccess::Write) => break,
            // What is passed in registers is read by the call.
            (false, _) if next.flow_control() == FlowControl::Call && !is_kept(register) => return false,
            (false, _) => {}
        }
    }
    compared
}

/// True for registers that calls keep (System V ABI, AMD64 supplement, 3.2.1).
fn is_kept(register: Register) -> bool {
    matches!(register, Register::RBX | Register::RBP | Register::R12 | Register::R13 | Register::R14 | Register::R15)
}

/// What an instruction does with its memory operand.
fn of_memory(instruction: &Instruction, facts: &mut InstructionInfoFactory) -> Access {
    let (mut touched, mut writes) = (false, false);
    for used in facts.info(instruction).used_memory() {
        touched |= !matches!(used.access(), OpAccess::None | OpAccess::NoMemAccess);
        writes |= matches!(
            used.access(),
            OpAccess::Write | OpAccess::CondWrite | OpAccess::ReadWrite | OpAccess::ReadCondWrite
        );
    }
    let is_fixed = |register| matches!(register, Register::None | Register::RIP | Register::EIP);
    match touched {
        false => Access::Address,
        true if is_fixed(instruction.memory_base()) && instruction.memory_index() == Register::None => {
            Access::Direct { writes }
        }
        true => Access::Indexed { writes },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::elf::{Reloc, SHF_ALLOC, SHF_EXECINSTR};

    fn of(code: &[u8], fields: &[u64]) -> Vec<(u64, Access)> {
        let relocs = fields.iter().map(|&offset| Reloc { offset, kind: 11, symbol: 1, addend: 0 }).collect();
        let (flags, size) = (u64::from(SHF_ALLOC | SHF_EXECINSTR), code.len() as u64);
        let section = Section { flags, data: code.to_vec(), size, relocs, ..Section::default() };
        accesses(&section, 0..size)
    }

    #[test]
    fn what_instructions_do() {
        let direct = |writes| Access::Direct { writes };
        // mov eax, [rip+x]; mov [rip+x], eax; lock inc dword [rip+x]
        assert_eq!(of(&[0x8b, 0x05, 0, 0, 0, 0], &[2]), [(2, direct(false))]);
        assert_eq!(of(&[0x89, 0x05, 0, 0, 0, 0], &[2]), [(2, direct(true))]);
        assert_eq!(of(&[0xf0, 0xff, 0x05, 0, 0, 0, 0], &[3]), [(3, direct(true))]);
        // cmp dword [rip+x], 5; mov dword [rip+x], 5
        assert_eq!(of(&[0x83, 0x3d, 0, 0, 0, 0, 5], &[2]), [(2, direct(false))]);
        assert_eq!(of(&[0xc7, 0x05, 0, 0, 0, 0, 5, 0, 0, 0], &[2]), [(2, direct(true))]);
        // mov [rdi*4+x], esi; mov eax, [rdi*4+x]
        assert_eq!(of(&[0x89, 0x34, 0xbd, 0, 0, 0, 0], &[3]), [(3, Access::Indexed { writes: true })]);
        assert_eq!(of(&[0x8b, 0x04, 0xbd, 0, 0, 0, 0], &[3]), [(3, Access::Indexed { writes: false })]);
        // lea rdi, [rip+x]; mov rdi, x; cmp rbx, x; mov qword [rdi-0x18], x
        assert_eq!(of(&[0x48, 0x8d, 0x3d, 0, 0, 0, 0], &[3]), [(3, Access::Address)]);
        assert_eq!(of(&[0x48, 0xc7, 0xc7, 0, 0, 0, 0], &[3]), [(3, Access::Address)]);
        assert_eq!(of(&[0x48, 0x81, 0xfb, 0, 0, 0, 0], &[3]), [(3, Access::Compared)]);
        assert_eq!(of(&[0x48, 0xc7, 0x47, 0xe8, 0, 0, 0, 0], &[4]), [(4, Access::Address)]);
        // call x; jmp x
        assert_eq!(of(&[0xe8, 0, 0, 0, 0, 0xe9, 0, 0, 0, 0], &[1, 6]), []);
    }
}
