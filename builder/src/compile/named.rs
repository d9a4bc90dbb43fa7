// SPDX-License-Identifier: GPL-2.0-or-later
//! Names in references to variables of shared sections: a compiler's assembly in, the same out, in which those variables are
//! global symbols.
//!
//! An assembler refers to a local symbol by its section and an offset, and `&table[N]` is then the variable behind the table.
//! To a global symbol it refers by its name. [`restore`] makes them local again once the object is read.

use crate::elf::{Bind, Object};
use std::collections::BTreeSet;

/// Makes the variables in sections that have no name of their own global.
pub fn edit(assembly: &str) -> String {
    let mut out = String::with_capacity(assembly.len());
    let (mut global, mut objects) = (BTreeSet::new(), BTreeSet::new());
    let mut section = "";
    for line in assembly.lines() {
        let mut words = line.trim_start().splitn(2, char::is_whitespace);
        let (word, rest) = (words.next().unwrap_or_default(), words.next().unwrap_or_default().trim());
        match word {
            ".globl" | ".global" | ".weak" => _ = global.insert(rest),
            ".type" if rest.ends_with("@object") => {
                _ = objects.insert(rest.split(',').next().unwrap_or_default().trim())
            }
            ".section" => section = rest.split(',').next().unwrap_or_default(),
            ".text" | ".data" | ".bss" | ".previous" | ".popsection" | ".pushsection" => section = "",
            _ => {}
        }
        let label = line.strip_suffix(':').filter(|label| !label.starts_with([' ', '\t', '.']));
        if let Some(label) = label.filter(|label| objects.contains(label) && !global.contains(label)) {
            // With -fdata-sections a section of the variable's own ends in its name.
            if !section.is_empty() && !section.ends_with(&format!(".{label}")) {
                out.push_str(&format!("\t.globl\t{label}\n"));
            }
        }
        out.push_str(line);
        out.push('\n');
    }
    out
}

/// Makes symbols local again that are local in `like`, the object of the same source without the edit.
pub fn restore(object: &mut Object, like: &Object) {
    let is_local = |name: &str| like.symbols.iter().any(|s| s.is_local() && s.section().is_some() && s.name == name);
    for symbol in object.symbols.iter_mut().filter(|s| s.bind == Bind::Global && s.section().is_some()) {
        if is_local(&symbol.name) {
            symbol.bind = Bind::Local;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_variables_of_shared_sections() {
        let before = "\t.section\t.data..read_mostly,\"aw\"\n\t.align 32\n\t.type\ttable, @object\n\t.size\ttable, 64\ntable:\n\t.long\t1\n\
            \t.globl\tshared\n\t.type\tshared, @object\nshared:\n\t.long\t1\n\
            \t.section\t.data.own,\"aw\"\n\t.type\town, @object\nown:\n\t.long\t1\n\
            \t.text\n\t.type\tf, @function\nf:\n\tret\n";
        let after = before.replace("\ntable:", "\n\t.globl\ttable\ntable:");
        assert_eq!(edit(before), after);
    }
}
