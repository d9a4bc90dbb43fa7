// SPDX-License-Identifier: GPL-2.0-or-later
//! Lines of assembly for people. What an instruction looks like is the architecture's to say ([`super::Arch::disassemble`]);
//! what its operands are called, the caller's.

use std::ops::Range;

/// One instruction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// Where it begins; counts as the address does that [`super::Arch::disassemble`] was given.
    pub at: u64,
    /// Its bytes.
    pub bytes: Vec<u8>,
    /// As assembly. A jump within the code leads to `+0x1c`, counted from the start of the code.
    pub text: String,
    /// Where it jumps to within the code, counted like `at`.
    pub jump: Option<u64>,
}

impl Line {
    /// What it is without the place that it jumps to: two pieces of code of which one has grown share most of that.
    pub fn shape(&self) -> &str {
        match self.jump {
            Some(_) => self.text.rsplit_once('+').map_or(&self.text, |(shape, _)| shape),
            None => &self.text,
        }
    }

    fn covers(&self, at: u64) -> bool {
        (self.at..self.at + self.bytes.len() as u64).contains(&at)
    }
}

/// What [`super::Arch::disassemble`] wants a name for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ask {
    /// What the reference means whose field lies within these bytes; None where there is no reference.
    Field(Range<u64>),
    /// What is at this address outside of the code.
    Address(u64),
}

/// The line that holds the byte at `at`, and up to `around` lines before and behind it; that line is marked.
///
/// ```text
///   +0x10  mov    %rdi,%rbx
/// > +0x13  call   kfree
///   +0x18  xor    %eax,%eax
/// ```
pub fn excerpt(lines: &[Line], at: u64, around: usize) -> String {
    let Some(hit) = lines.iter().position(|l| l.covers(at)) else { return String::new() };
    let start = lines[0].at;
    let shown = hit.saturating_sub(around)..lines.len().min(hit.saturating_add(around + 1));
    let mut out = String::new();
    for (n, line) in lines.iter().enumerate().take(shown.end).skip(shown.start) {
        let mark = if n == hit { '>' } else { ' ' };
        out.push_str(&format!("{mark} {:>7}  {}\n", format!("+{:#x}", line.at - start), line.text));
    }
    out
}

/// What is around the first difference, for a refusal: the rebuilt code, then the shipped code, `offset` bytes
/// behind the start of both.
pub fn both(rebuilt: &[Line], shipped: &[Line], offset: u64, around: usize) -> String {
    let part = |title: &str, lines: &[Line]| {
        let start = lines.first().map_or(0, |l| l.at);
        let shown = excerpt(lines, start.saturating_add(offset), around);
        let shown = if shown.is_empty() { "  (no code there)\n".into() } else { shown };
        format!("{title}\n{shown}")
    };
    part("as rebuilt:", rebuilt) + &part("as shipped:", shipped)
}

/// `name`, `name+0x10` or `name-0x10`.
pub fn beyond(name: &str, distance: i64) -> String {
    match distance {
        0 => name.into(),
        1.. => format!("{name}+{distance:#x}"),
        _ => format!("{name}-{:#x}", distance.unsigned_abs()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::arch::by_name;

    fn lines(arch: &str, code: &[u8], name: &mut dyn FnMut(Ask) -> Option<String>) -> Vec<Line> {
        by_name(arch).unwrap().disassemble(code, 0x100, name)
    }

    fn texts(lines: &[Line]) -> Vec<&str> {
        lines.iter().map(|l| l.text.as_str()).collect()
    }

    /// push %rbx; call (field at 2); mov x(%rip),%eax (field at 8); movl $7,x(%rip); je to the ret; jmp out; ret; junk.
    const AMD64: &[u8] = &[
        0x53, 0xe8, 0, 0, 0, 0, 0x8b, 0x05, 0, 0, 0, 0, 0xc7, 0x05, 0, 0, 0, 0, 7, 0, 0, 0, 0x74, 0x05, 0xe9, 0, 0x10,
        0, 0, 0xc3, 0x06,
    ];

    #[test]
    fn amd64() {
        let found = lines("x86_64", AMD64, &mut |ask| match ask {
            Ask::Field(f) if f.contains(&0x102) => Some("kfree".into()),
            Ask::Field(f) if f.contains(&0x108) => Some("jiffies+0x8".into()),
            Ask::Field(f) if f.contains(&0x10e) => Some("\"a string\"".into()),
            Ask::Field(_) => None,
            Ask::Address(0x111d) => Some("far".into()),
            Ask::Address(_) => None,
        });
        assert_eq!(
            texts(&found),
            [
                "push %rbx",
                "call kfree",
                "mov jiffies+0x8(%rip),%eax",
                "movl $7,\"a string\"(%rip)",
                "je +0x1d",
                "jmp far",
                "ret",
                ".byte 0x06"
            ]
        );
        assert_eq!((found[4].jump, found[4].shape()), (Some(0x11d), "je "));
        assert_eq!((found[5].jump, found[5].shape()), (None, "jmp far"));
        assert_eq!(found.iter().map(|l| l.bytes.len()).sum::<usize>(), AMD64.len());
    }

    #[test]
    fn power() {
        // mflr r0; bl (field at 4); addis r3,r2,0 (field at 8); beq +8; b far; blr; ldbrx (not known); half a word.
        let words: [u32; 7] =
            [0x7c08_02a6, 0x4800_0001, 0x3c62_0000, 0x4182_0008, 0x4800_1000, 0x4e80_0020, 0x7c60_1c28];
        let code: Vec<u8> = words.iter().flat_map(|w| w.to_le_bytes()).chain([1, 2]).collect();
        let found = lines("ppc64le", &code, &mut |ask| match ask {
            Ask::Field(f) if f.contains(&0x104) => Some("kfree".into()),
            Ask::Field(f) if f.contains(&0x108) => Some("jiffies".into()),
            Ask::Address(0x1110) => Some("far".into()),
            _ => None,
        });
        assert_eq!(
            texts(&found),
            [
                "mflr r0",
                "bl kfree",
                "addis r3, r2, 0x0 <jiffies>",
                "beq +0x14",
                "b far",
                "blr",
                ".long 0x7c601c28",
                ".byte 0x01, 0x02"
            ]
        );
        assert_eq!((found[3].jump, found[3].shape()), (Some(0x114), "beq "));
    }

    #[test]
    fn every_byte_is_in_a_line() {
        for arch in ["x86_64", "ppc64le"] {
            for seed in 0..2000u32 {
                let code: Vec<u8> = (0..23u32)
                    .map(|i| (seed.wrapping_mul(2_654_435_761).rotate_left(i * 5) ^ (i * 77)) as u8)
                    .collect();
                let found = lines(arch, &code, &mut |_| None);
                assert_eq!(found.iter().flat_map(|l| l.bytes.clone()).collect::<Vec<_>>(), code, "{arch}");
                assert!(found.windows(2).all(|w| w[0].at + w[0].bytes.len() as u64 == w[1].at));
            }
        }
    }

    #[test]
    fn around_a_place() {
        let found = lines("x86_64", AMD64, &mut |_| None);
        let shown = excerpt(&found, 0x117, 1);
        assert_eq!(shown, "     +0xc  movl $7,+0x16(%rip)\n>   +0x16  je +0x1d\n    +0x18  jmp 0x111d\n");
        assert_eq!(excerpt(&found, 0x200, 1), "");
        let two = both(&found, &found[..1], 0x16, 0);
        assert_eq!(two, "as rebuilt:\n>   +0x16  je +0x1d\nas shipped:\n  (no code there)\n");
    }
}
