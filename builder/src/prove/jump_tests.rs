// SPDX-License-Identifier: GPL-2.0-or-later
//! Jump label sites that objtool has switched off in the shipped code, assembled by the real tools.

use super::{prove, Verdict};
use crate::elf::read::{read, Take};
use crate::image::module::Module;
use crate::special::layout::Layouts;
use std::path::Path;
use std::process::Command;

/// sizeof(struct jump_entry) on x86_64.
const JUMP_ENTRY: &str = "jump_entry=16";

/// Leads into another section: the assembler leaves that to a relocation.
const FAR_JUMP: &str = ".byte 0xe9\n\t.long cold - (. + 4)";
const NOP: &str = ".byte 0x0f, 0x1f, 0x44, 0, 0";

/// A function with `site` as its jump label site.
fn unit(dir: &Path, site: &str) -> crate::elf::Object {
    let text = format!(
        "\t.text\n\t.globl f\n\t.type f, @function\nf:\n1:\t{site}\n\tret\n\t.size f, . - f\n\
         \t.section .text.unlikely, \"ax\"\n\t.globl g\n\t.type g, @function\ng:\tint3\ncold:\tmov $1, %eax\n\tret\n\
         \t.size g, . - g\n\t.section __jump_table, \"aw\"\n\t.long 1b - .\n\t.long cold - .\n\t.quad 0\n"
    );
    std::fs::write(dir.join("unit.s"), text).unwrap();
    let made = Command::new("cc").current_dir(dir).args(["-c", "unit.s"]).status();
    assert!(made.expect("cc is needed to link Rust programs").success());
    read(&std::fs::read(dir.join("unit.o")).unwrap(), Take::NoDebug).unwrap()
}

/// Whether f() is proven where it is rebuilt with one site and shipped with another.
fn is_proven(rebuilt: &str, shipped: &str, layouts: &str) -> bool {
    let layouts = Layouts::parse(layouts).unwrap();
    let dir = tempfile::tempdir().unwrap();
    let rebuilt = unit(dir.path(), rebuilt);
    let shipped = Module { object: unit(dir.path(), shipped) };
    matches!(prove(&rebuilt, &shipped, &layouts).functions["f"], Verdict::Proven(_))
}

#[test]
fn a_jump_into_another_section_that_is_switched_off() {
    assert!(is_proven(FAR_JUMP, FAR_JUMP, JUMP_ENTRY));
    assert!(is_proven(FAR_JUMP, NOP, JUMP_ENTRY));
    assert!(!is_proven(FAR_JUMP, ".byte 0x0f, 0x1f, 0x44, 0, 1", JUMP_ENTRY), "no nop of objtool's");
    assert!(!is_proven(NOP, FAR_JUMP, JUMP_ENTRY), "switched on in what is shipped");
    assert!(!is_proven(FAR_JUMP, NOP, ""), "no jump label site");
}
