// SPDX-License-Identifier: GPL-2.0-or-later
//! The running kernel's code as assembly: bytes and their address in, lines with the names of symbols out.

use super::kallsyms::Kallsyms;
use crate::arch::line::{beyond, Ask, Line};
use crate::arch::Arch;

/// The lines of a piece of the running kernel, which begins at address `at`.
pub fn of_kernel(arch: &dyn Arch, kallsyms: &Kallsyms, code: &[u8], at: u64) -> Vec<Line> {
    arch.disassemble(code, at, &mut |ask| match ask {
        Ask::Field(_) => None,
        Ask::Address(address) => symbol_at(kallsyms, address),
    })
}

/// `name` or `name+0x10`: the last symbol at or before an address.
pub fn symbol_at(kallsyms: &Kallsyms, address: u64) -> Option<String> {
    let symbols = kallsyms.symbols();
    let after = symbols.partition_point(|s| s.address <= address);
    let last = &symbols[after.checked_sub(1)?];
    // Of several at one address the first is the one that traces show.
    let first = symbols.partition_point(|s| s.address < last.address);
    Some(beyond(&symbols[first].name, (address - last.address) as i64))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::image::kallsyms::KernelSymbol;

    #[test]
    fn names_of_addresses() {
        let symbol = |address, name: &str| KernelSymbol { address, kind: b't', name: name.into() };
        let all = Kallsyms::new(vec![symbol(0x1000, "first"), symbol(0x1000, "alias"), symbol(0x2000, "second")]);
        assert_eq!(symbol_at(&all, 0x1008).as_deref(), Some("first+0x8"));
        assert_eq!(symbol_at(&all, 0x2000).as_deref(), Some("second"));
        assert_eq!(symbol_at(&all, 0xfff), None);
    }
}
