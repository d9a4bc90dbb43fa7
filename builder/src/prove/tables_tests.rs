// SPDX-License-Identifier: GPL-2.0-or-later
//! What special sections say about a function, assembled and linked by the real tools: rebuilt and shipped alike, and shipped
//! with one thing changed.

use super::tests::{image_of, load, run};
use super::{prove, Verdict};
use crate::image::module::Module;
use crate::image::shipped::Shipped;
use crate::special::layout::Layouts;
use std::path::Path;

const UNIT: &str = r#"
	.text
	.globl f, g, key, other
	.type f, @function
	.type key, @object
	.type other, @object
f:
1:	.byte 0x0f, 0x1f, 0
2:	mov (%rdi), %eax
3:	ud2
4:	.byte 0x0f, 0x1f, 0x44, 0, 0
5:	lock; incl (%rdi)
	ret
6:	xor %eax, %eax
	ret
	.size f, . - f
	.type g, @function
g:	ret
	.size g, . - g

	.section .altinstructions, "a"
	.long 1b - ., 7f - ., FEATURE
	.byte 3, 3
	.section .altinstr_replacement, "ax"
	.byte 0x90
7:	.byte REPLACEMENT
#ifdef CHECKED
	.section __ex_table, "a"
	.long 2b - ., WAY_OUT - ., HANDLER
#endif
	.section __bug_table, "aw"
	.long 3b - ., 8f - .
	.word 7, FLAGS
	.section .rodata.str1.1, "aMS", @progbits, 1
8:	.asciz FILE
	.section __jump_table, "aw"
	.long 4b - ., 6b - .
	.quad KEY + BRANCH - .
	.section .smp_locks, "a"
	.balign 4
	.long LOCKED - .
	.data
	.quad 0
key:	.quad 0
other:	.quad 0
"#;

/// Symbols before and behind all tables, as the linker script of the kernel has them.
const AROUND: [(&str, &str); 5] = [
    (".altinstructions", "__alt_instructions __alt_instructions_end"),
    ("__ex_table", "__start___ex_table __stop___ex_table"),
    ("__bug_table", "__start___bug_table __stop___bug_table"),
    ("__jump_table", "__start___jump_table __stop___jump_table"),
    (".smp_locks", "__smp_locks __smp_locks_end"),
];

const PLAIN: [&str; 10] = [
    "FEATURE=0x120",
    "REPLACEMENT=0x0f,0x01,0xcb",
    "CHECKED",
    "WAY_OUT=6b",
    "HANDLER=3",
    "FLAGS=0x901",
    "FILE=\"one.c\"",
    "KEY=key",
    "BRANCH=0",
    "LOCKED=5b",
];

/// What is changed; where it is found in f(), and what is said of it.
const CHANGES: [(&str, u64, &str); 10] = [
    ("FEATURE=0x121", 0, "its .altinstructions entry differs: its byte 8 is 21"),
    ("REPLACEMENT=0x0f,0x01,0xca", 0, "in byte 0x2 of its code in .altinstr_replacement: shipped bytes are ca"),
    ("NOT_CHECKED", 3, "the shipped __ex_table has no entry for this address"),
    ("WAY_OUT=5b", 3, "its __ex_table entry differs: the shipped code refers to f+0xc, the rebuilt code to f+0x10"),
    ("HANDLER=4", 3, "its __ex_table entry differs: its byte 8 is 04"),
    ("FLAGS=0x903", 5, "its __bug_table entry differs: its byte 10 is 03"),
    ("FILE=\"two.c\"", 5, "its __bug_table entry differs: the constant"),
    ("KEY=other", 7, "its __jump_table entry differs: the shipped code refers to "),
    ("BRANCH=1", 7, "its __jump_table entry differs: the shipped code refers to "),
    ("LOCKED=4b", 7, "the shipped .smp_locks has an entry for this address, the rebuilt one has none"),
];

fn assemble(dir: &Path, name: &str, text: &str, change: Option<&str>) {
    std::fs::write(dir.join(format!("{name}.S")), text).unwrap();
    let name_of = |d: &str| d.split('=').next().unwrap_or_default().replace("NOT_", "");
    let pick = |d: &'static str| change.filter(|c| name_of(c) == name_of(d)).unwrap_or(d).to_string();
    let defines: Vec<String> = PLAIN.into_iter().map(|d| format!("-D{}", pick(d))).collect();
    let file = format!("{name}.S");
    run(
        dir,
        "x86_64-linux-gnu-gcc",
        &["-c", &file].into_iter().chain(defines.iter().map(String::as_str)).collect::<Vec<_>>(),
    );
}

fn each_change(ship: impl Fn(&Path) -> Box<dyn Shipped>) {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    let layouts = Layouts::parse("alt_instr=14,exception_table_entry=12,bug_entry=12,jump_entry=16").unwrap();
    assemble(dir, "unit", UNIT, None);
    let object = load(&dir.join("unit.o"));
    let proof = prove(&object, &*ship(dir), &layouts);
    assert_eq!(proof.proven(), 2, "{:?}", proof.functions);
    for (change, offset, says) in CHANGES {
        assemble(dir, "unit", UNIT, Some(change));
        let proof = prove(&object, &*ship(dir), &layouts);
        assert!(matches!(proof.functions["g"], Verdict::Proven(_)), "{change}: {:?}", proof.functions);
        let Verdict::Differs { offset: at, why, .. } = &proof.functions["f"] else { panic!("{change}: f is proven") };
        println!("{change}: {at}: {why}");
        assert!(why.contains(says), "{change}: {why}");
        assert_eq!(*at, offset, "{change}: {why}");
    }
}

#[test]
fn a_module_with_other_entries_is_told() {
    each_change(|dir| {
        run(dir, "x86_64-linux-gnu-ld", &["-m", "elf_x86_64", "-r", "unit.o", "-o", "module.ko"]);
        Box::new(Module { object: load(&dir.join("module.ko")) })
    });
}

#[test]
fn an_image_with_other_entries_is_told() {
    each_change(|dir| {
        for (file, n) in [("before", 0), ("behind", 1)] {
            let symbol = |(section, names): (&str, &str)| {
                let name = names.split(' ').nth(n).unwrap_or_default();
                format!("\t.section {section}, \"a\"\n\t.globl {name}\n\t.type {name}, @object\n{name}:\n")
            };
            let mut text: String = AROUND.into_iter().map(symbol).collect();
            // The unit's pieces do not begin where the sections do.
            text += "\t.text\n\tret\n\t.section .altinstr_replacement, \"ax\"\n\t.byte 0x90, 0x90\n";
            assemble(dir, file, &text, None);
        }
        Box::new(image_of(dir, "kernel", &["before.o", "unit.o", "behind.o"], "f"))
    });
}

/// struct bug_entry of powerpc before 5.13: whole addresses, 24 bytes with the padding behind the flags.
const WHOLE_ADDRESSES: &str = r#"
	.abiversion 2
	.text
	.globl f, g
	.type f, @function
f:	li 3, 1
3:	trap
	blr
	.size f, . - f
	.type g, @function
g:	blr
	.size g, . - g
	.section __bug_table, "aw"
	.quad TRAP, 8f
	.short 7, FLAGS
	.balign 8
	.section .rodata.str1.1, "aMS", @progbits, 1
8:	.asciz FILE
"#;

/// As [`CHANGES`].
const CHANGES_OF_WHOLE_ADDRESSES: [(&str, u64, &str); 3] = [
    ("FLAGS=0x903", 4, "its __bug_table entry differs: its byte 18 is 03"),
    ("FILE=\"two.c\"", 4, "its __bug_table entry differs: the constant"),
    ("TRAP=f", 0, "the shipped __bug_table has an entry for this address, the rebuilt one has none"),
];

fn assemble_ppc(dir: &Path, name: &str, text: &str, change: Option<&str>) {
    std::fs::write(dir.join(format!("{name}.S")), text).unwrap();
    let plain = ["TRAP=3b", "FLAGS=0x901", "FILE=\"one.c\""];
    let name_of = |d: &str| d.split('=').next().unwrap_or_default().to_string();
    let pick = |d: &'static str| change.filter(|c| name_of(c) == name_of(d)).unwrap_or(d);
    let defines: Vec<String> = plain.into_iter().map(|d| format!("-D{}", pick(d))).collect();
    let file = format!("{name}.S");
    let args: Vec<&str> = ["-c", &file].into_iter().chain(defines.iter().map(String::as_str)).collect();
    run(dir, "powerpc64le-linux-gnu-gcc", &args);
}

fn each_change_of_whole_addresses(ship: impl Fn(&Path) -> Box<dyn Shipped>) {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    assemble_ppc(dir, "unit", WHOLE_ADDRESSES, None);
    let object = load(&dir.join("unit.o"));
    // 12 is what a kernel with distances has: the section shows that it is not this one's.
    for layouts in ["bug_entry=24", "bug_entry=12"].map(|text| Layouts::parse(text).unwrap()) {
        assemble_ppc(dir, "unit", WHOLE_ADDRESSES, None);
        let proof = prove(&object, &*ship(dir), &layouts);
        assert_eq!(proof.proven(), 2, "{:?}", proof.functions);
        for (change, offset, says) in CHANGES_OF_WHOLE_ADDRESSES {
            assemble_ppc(dir, "unit", WHOLE_ADDRESSES, Some(change));
            let proof = prove(&object, &*ship(dir), &layouts);
            let Verdict::Differs { offset: at, why, .. } = &proof.functions["f"] else {
                panic!("{change}: f is proven")
            };
            assert!(why.contains(says), "{change}: {why}");
            assert_eq!(*at, offset, "{change}: {why}");
        }
    }
}

#[test]
fn whole_addresses_in_a_module() {
    each_change_of_whole_addresses(|dir| {
        run(dir, "powerpc64le-linux-gnu-ld", &["-EL", "-m", "elf64lppc", "-r", "unit.o", "-o", "module.ko"]);
        Box::new(Module { object: load(&dir.join("module.ko")) })
    });
}

/// The image moves itself: its addresses are dynamic relocations.
#[test]
fn whole_addresses_in_an_image() {
    each_change_of_whole_addresses(|dir| {
        for (file, name) in [("before", "__start___bug_table"), ("behind", "__stop___bug_table")] {
            let symbol = format!("\t.globl {name}\n\t.type {name}, @object\n{name}:\n");
            assemble_ppc(dir, file, &format!("\t.section __bug_table, \"aw\"\n{symbol}\t.text\n\tblr\n"), None);
        }
        Box::new(image_of(dir, "medium", &["before.o", "unit.o", "behind.o"], "f"))
    });
}
