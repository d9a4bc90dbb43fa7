// SPDX-License-Identifier: GPL-2.0-or-later
//! What the instructions of a function do with the addresses that relocations give them.

use super::Branches;
use crate::arch::later::Step;
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

/// Registers of arguments, in order (System V ABI, AMD64 supplement, 3.2.3).
pub const ARGUMENTS: [Register; 6] =
    [Register::RDI, Register::RSI, Register::RDX, Register::RCX, Register::R8, Register::R9];

/// A register as a bit; none for others than the general ones.
pub fn bit(register: Register) -> u32 {
    let full = register.full_register();
    if full.is_gpr() {
        1 << full.number()
    } else {
        0
    }
}

/// A function for [`later`](crate::arch::later): up to what cannot be decoded.
pub fn steps(section: &Section, function: Range<u64>) -> Vec<Step> {
    let mut relocs = section.relocs_in(function.clone()).iter().map(|r| r.offset).peekable();
    let mut decoder = super::decoder(section, function);
    let mut i = Instruction::default();
    let mut facts = InstructionInfoFactory::new();
    let mut all = Vec::new();
    while decoder.can_decode() {
        decoder.decode_out(&mut i);
        if i.is_invalid() {
            break;
        }
        let fields = decoder.get_constant_offsets(&i);
        let memory = i.ip() + fields.displacement_offset() as u64;
        let (mut of_memory, mut of_number) = (None, None);
        while let Some(at) = relocs.next_if(|&at| at < i.next_ip()) {
            match fields.has_displacement() && at == memory {
                true => of_memory = Some(at),
                false if at >= i.ip() => of_number = Some(at),
                false => {}
            }
        }
        let info = facts.info(&i);
        let mut step = Step { at: i.ip(), ..Step::default() };
        for used in info.used_registers() {
            if !matches!(used.access(), OpAccess::Read | OpAccess::CondRead | OpAccess::None) {
                step.written |= bit(used.register());
            }
        }
        for used in info.used_memory() {
            let writes = matches!(
                used.access(),
                OpAccess::Write | OpAccess::CondWrite | OpAccess::ReadWrite | OpAccess::ReadCondWrite
            );
            // Per-CPU memory counts from GS.
            if writes && !matches!(used.segment(), Register::GS | Register::FS) {
                step.through |= bit(used.base()) | if used.scale() == 1 { bit(used.index()) } else { 0 };
            }
        }
        let to = bit(i.op0_register());
        let from = bit(i.memory_base()) | if i.memory_index_scale() == 1 { bit(i.memory_index()) } else { 0 };
        match i.mnemonic() {
            Mnemonic::Lea => {
                step.gives = of_memory.map(|at| (at, to));
                step.copies = of_memory.is_none().then_some((to, from));
            }
            Mnemonic::Mov => {
                step.gives = of_number.filter(|_| to != 0).map(|at| (at, to));
                let other = bit(i.op1_register());
                step.copies = (to != 0 && other != 0).then_some((to, other));
            }
            Mnemonic::Add | Mnemonic::Sub | Mnemonic::Inc | Mnemonic::Dec if to != 0 => {
                step.gives = of_number.map(|at| (at, to));
                let other = if i.mnemonic() == Mnemonic::Add { bit(i.op1_register()) } else { 0 };
                step.copies = Some((to, to | other));
            }
            // They move along.
            Mnemonic::Stosb | Mnemonic::Stosd | Mnemonic::Stosq | Mnemonic::Stosw => {
                step.copies = Some((bit(Register::RDI), bit(Register::RDI)));
            }
            _ => {}
        }
        let branch = |i: &Instruction| {
            (of_number.is_none() && i.is_jcc_short_or_near_or_jmp_or_call()).then(|| i.near_branch_target())
        };
        step.goes_on = true;
        match i.flow_control() {
            FlowControl::UnconditionalBranch => {
                (step.goes_on, step.calls, step.jumps) = (false, of_number, branch(&i));
            }
            FlowControl::ConditionalBranch => step.jumps = branch(&i),
            FlowControl::IndirectBranch | FlowControl::Return => step.goes_on = false,
            FlowControl::Call | FlowControl::IndirectCall => {
                step.calls = of_number;
                let kept = |n: &u32| !is_kept(Register::RAX + *n);
                step.written |= (0..16).filter(kept).map(|n| 1 << n).sum::<u32>();
            }
            _ => {}
        }
        all.push(step);
    }
    all
}

/// True for registers that calls keep (System V ABI, AMD64 supplement, 3.2.1).
fn is_kept(register: Register) -> bool {
    matches!(register, Register::RBX | Register::RBP | Register::R12 | Register::R13 | Register::R14 | Register::R15)
}

/// What an instruction does with its memory operand.
fn of_memory(instruction: &Instruction, facts: &mut InstructionInfoFactory) -> Access {
    let (mut touched, mut writes) = (false, false);
    // `push` and `call` write to the stack, whatever their operand is.
    let is_operand = |base: Register| base != Register::RSP || instruction.memory_base() == Register::RSP;
    for used in facts.info(instruction).used_memory().iter().filter(|used| is_operand(used.base())) {
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
    use crate::arch::later::{uses, Later};
    use crate::elf::{Reloc, SHF_ALLOC, SHF_EXECINSTR};

    fn section(code: &[u8], fields: &[u64]) -> Section {
        let relocs = fields.iter().map(|&offset| Reloc { offset, kind: 11, symbol: 1, addend: 0 }).collect();
        let (flags, size) = (u64::from(SHF_ALLOC | SHF_EXECINSTR), code.len() as u64);
        Section { flags, data: code.to_vec(), size, relocs, ..Section::default() }
    }

    fn of(code: &[u8], fields: &[u64]) -> Vec<(u64, Access)> {
        accesses(&section(code, fields), 0..code.len() as u64)
    }

    #[test]
    fn what_is_done_later() {
        let of = |code: &[u8], fields: &[u64]| -> Vec<(u64, Later)> {
            let all = uses(&steps(&section(code, fields), 0..code.len() as u64), &ARGUMENTS.map(bit));
            all.into_iter().map(|u| (u.address, u.what)).collect()
        };
        let pass = |argument, call| Later::Pass { argument, call };
        // mov rdi, x; xor eax, eax; rep stosq
        let stores = [0x48, 0xc7, 0xc7, 0, 0, 0, 0, 0x31, 0xc0, 0xf3, 0x48, 0xab];
        assert_eq!(of(&stores, &[3]), [(3, Later::Write)]);
        // mov rsi, x; rep movsb reads it.
        assert_eq!(of(&[0x48, 0xc7, 0xc6, 0, 0, 0, 0, 0xf3, 0xa4], &[3]), []);
        // lea rdi, [rip+x]; call y; call y
        let calls = [0x48, 0x8d, 0x3d, 0, 0, 0, 0, 0xe8, 0, 0, 0, 0, 0xe8, 0, 0, 0, 0];
        assert_eq!(of(&calls, &[3, 8, 13]), [(3, pass(0, 8))]);
        // mov rbx, x; call y; mov rdi, rbx; jmp z
        let kept = [0x48, 0xc7, 0xc3, 0, 0, 0, 0, 0xe8, 0, 0, 0, 0, 0x48, 0x89, 0xdf, 0xe9, 0, 0, 0, 0];
        assert_eq!(of(&kept, &[3, 8, 16]), [(3, pass(0, 16))]);
        // mov rax, x; test edi, edi; cmove rax, rsi; mov [rax], edi
        let one_of_two = [0x48, 0xc7, 0xc0, 0, 0, 0, 0, 0x85, 0xff, 0x48, 0x0f, 0x44, 0xc6, 0x89, 0x38];
        assert_eq!(of(&one_of_two, &[3]), []);
        // mov rax, x; add rax, 8; lock or dword [rax+4], 1
        let locked = [0x48, 0xc7, 0xc0, 0, 0, 0, 0, 0x48, 0x83, 0xc0, 8, 0xf0, 0x83, 0x48, 4, 1];
        assert_eq!(of(&locked, &[3]), [(3, Later::Write)]);
        // mov rax, x; mov edi, [rax]; mov [rdi], rax: kept elsewhere.
        assert_eq!(of(&[0x48, 0xc7, 0xc0, 0, 0, 0, 0, 0x8b, 0x38, 0x48, 0x89, 0x07], &[3]), []);
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
        // push qword [rip+x]; call [rip+x]: what they write is on the stack; pop qword [rip+x]
        assert_eq!(of(&[0xff, 0x35, 0, 0, 0, 0], &[2]), [(2, direct(false))]);
        assert_eq!(of(&[0xff, 0x15, 0, 0, 0, 0], &[2]), [(2, direct(false))]);
        assert_eq!(of(&[0xff, 0x14, 0xfd, 0, 0, 0, 0], &[3]), [(3, Access::Indexed { writes: false })]);
        assert_eq!(of(&[0x8f, 0x05, 0, 0, 0, 0], &[2]), [(2, direct(true))]);
        // call x; jmp x
        assert_eq!(of(&[0xe8, 0, 0, 0, 0, 0xe9, 0, 0, 0, 0], &[1, 6]), []);
    }
}
