// SPDX-License-Identifier: GPL-2.0-or-later
//! Long jumps between functions: a compiler's assembly in, the same with four bytes for the distance of each jump to a symbol out.
//!
//! Functions that the source puts into one section (`__sched`, `__ref`) are near to each other, and gas gives a jump between
//! two of them one byte for the distance. From a live patch that one cannot reach the kernel. gas takes a suffix for the
//! length of a jump (GNU as manual, "Instruction Naming" of i386: `.d32`).

/// The edited assembly. Jumps to labels of the compiler and to numbered ones stay in their function, and stay as they are.
pub fn long(assembly: &str) -> String {
    let mut out = String::with_capacity(assembly.len() + assembly.len() / 64);
    for line in assembly.lines() {
        match parts(line) {
            Some((mnemonic, rest)) => {
                out.extend(["\t", mnemonic, ".d32\t", rest]);
            }
            None => out.push_str(line),
        }
        out.push('\n');
    }
    out
}

/// Mnemonic and operand of a jump to a symbol that stands on a line of its own, as compilers write it.
fn parts(line: &str) -> Option<(&str, &str)> {
    let (mnemonic, rest) = line.strip_prefix('\t')?.split_once(['\t', ' '])?;
    let is_jump = mnemonic.starts_with('j') && mnemonic.bytes().all(|b| b.is_ascii_lowercase());
    // These have no long form.
    let is_short = matches!(mnemonic, "jcxz" | "jecxz" | "jrcxz");
    let first = rest.bytes().next()?;
    let is_symbol = first.is_ascii_alphabetic() || first == b'_';
    (is_jump && !is_short && is_symbol && !rest.contains(';')).then_some((mnemonic, rest))
}

#[cfg(test)]
mod tests {
    use super::long;

    #[test]
    fn jumps_to_symbols_alone() {
        let before =
            "mutex_lock:\n\tjmp\t__mutex_lock_slowpath\n\tjne\tslow.part.0\n\tjmp\t.L4\n\tjmp\t*%rax\n\tjmp 1f\n\
            \tjrcxz\tf\n\tcall\tf\n\tje\tother@PLT\n\t.type\tjmp, @function\n\tjmp a; nop\n";
        let after = "mutex_lock:\n\tjmp.d32\t__mutex_lock_slowpath\n\tjne.d32\tslow.part.0\n\tjmp\t.L4\n\tjmp\t*%rax\n\tjmp 1f\n\
            \tjrcxz\tf\n\tcall\tf\n\tje.d32\tother@PLT\n\t.type\tjmp, @function\n\tjmp a; nop\n";
        assert_eq!(long(before), after);
    }
}
