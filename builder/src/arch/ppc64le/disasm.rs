// SPDX-License-Identifier: GPL-2.0-or-later
//! Instructions as assembly, with names for what branches and references lead to. What the decoder does not know (one
//! in a hundred in a kernel: system and vector instructions) is shown as its word.

use super::branches::INSTRUCTION;
use crate::arch::line::{Ask, Line};
use powerpc::{Argument, Extension, Extensions, Ins, Opcode};

/// See [`Arch::disassemble`](crate::arch::Arch::disassemble).
pub fn lines(code: &[u8], at: u64, name: &mut dyn FnMut(Ask) -> Option<String>) -> Vec<Line> {
    let known = Extensions::from(Extension::Ppc64) | Extension::AltiVec;
    let end = at.wrapping_add(code.len() as u64);
    let mut found = Vec::new();
    for (n, bytes) in code.chunks(INSTRUCTION as usize).enumerate() {
        let here = at.wrapping_add(n as u64 * INSTRUCTION);
        let Some(word) = bytes.try_into().ok().map(u32::from_le_bytes) else {
            let text = bytes.iter().map(|b| format!("{b:#04x}")).collect::<Vec<_>>().join(", ");
            found.push(Line { at: here, bytes: bytes.to_vec(), text: format!(".byte {text}"), jump: None });
            continue;
        };
        let instruction = Ins::new(word, known);
        let field = name(Ask::Field(here..here.wrapping_add(INSTRUCTION)));
        let target = match instruction.op {
            Opcode::Illegal => None,
            _ => instruction.branch_offset().filter(|_| !instruction.field_aa()),
        };
        let mut jump = None;
        let text = match target {
            Some(distance) => {
                let to = here.wrapping_add_signed(distance.into());
                let where_to = field.or_else(|| {
                    jump = (at..end).contains(&to).then_some(to);
                    match jump {
                        Some(to) => Some(format!("+{:#x}", to - at)),
                        None => name(Ask::Address(to)),
                    }
                });
                branch(&instruction, where_to.unwrap_or_else(|| format!("{to:#x}")))
            }
            None => {
                let plain = match instruction.op {
                    Opcode::Illegal => format!(".long {word:#010x}"),
                    _ => instruction.simplified().to_string(),
                };
                match field {
                    Some(field) => format!("{plain} <{field}>"),
                    None => plain,
                }
            }
        };
        found.push(Line { at: here, bytes: bytes.to_vec(), text, jump });
    }
    found
}

/// A branch with its target by name. The target is the last argument.
fn branch(instruction: &Ins, to: String) -> String {
    let parsed = instruction.simplified();
    let mut args: Vec<String> =
        parsed.args.iter().take_while(|a| !matches!(a, Argument::None)).map(Argument::to_string).collect();
    args.pop();
    args.push(to);
    format!("{} {}", parsed.mnemonic, args.join(", "))
}
