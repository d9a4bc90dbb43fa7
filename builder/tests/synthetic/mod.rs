// SPDX-License-Identifier: GPL-2.0-or-later
//! Small sound inputs, one for each reader, to start mutations from.

pub mod archive;
pub mod kallsyms;

use kallsyms::{Form, LOADED_AT};
use kmend_builder::arch::ppc64le::PPC64LE;
use kmend_builder::arch::x86_64::X86_64;
use kmend_builder::arch::Arch;
use kmend_builder::elf::{self, note, Bind, Object, Place, Reloc, Section, SymKind, Symbol};
use std::io::Write;

/// An object: code, strings, jump labels, BTF-free DWARF, a note, relocations, all kinds of symbols.
pub fn object() -> Vec<u8> {
    elf::write::write(&model()).unwrap()
}

/// The same for ppc64le, with what is its own: a TOC, a feature fixup, local entries.
pub fn power_object() -> Vec<u8> {
    elf::write::write(&power_model()).unwrap()
}

/// A live patch module: the object with .modinfo, tables of klp_funcs, livepatch relocations and a signature.
pub fn module() -> Vec<u8> {
    let mut object = model();
    let text = 1;
    let symbol = object.symbols.len();
    object.symbols.push(global(".klp.sym.vmlinux.saved_command_line,0", Place::Livepatch));
    object.symbols.push(global("__this_module", Place::Undefined));
    object.symbols.push(global("klp_enable_patch", Place::Undefined));
    object.sections.push(section(".modinfo", elf::SHF_ALLOC, b"livepatch=Y\0name=m\0vermagic=7.2.12 SMP\0"));
    let mut data = section(".data", elf::SHF_ALLOC | elf::SHF_WRITE, &[0; 96]);
    let own = object.sections.len();
    // klp_patch at 0, klp_object at 16, klp_func at 48; names are in section 2.
    let (this, strings, here) = (symbol + 1, 2, object.symbols.iter().position(|s| s.name == "here").unwrap());
    let pointer = |offset, symbol, addend| Reloc { offset, kind: X86_64.pointer_reloc(), symbol, addend };
    data.relocs = vec![
        pointer(0, this, 0),
        pointer(8, here, 16),
        pointer(24, here, 48),
        pointer(48, strings, 0),
        pointer(56, 1, 0),
    ];
    object.symbols[here].place = Place::In(own);
    object.sections.push(data);
    object
        .sections
        .push(note::section(".note.kmend", &note::Note { owner: "kmend", kind: 1, desc: b"{\"schema\":1}" }));
    object.sections.push(Section {
        name: ".klp.rela.vmlinux..text".into(),
        kind: elf::SHT_RELA,
        flags: u64::from(elf::SHF_ALLOC | elf::SHF_INFO_LINK) | elf::SHF_RELA_LIVEPATCH,
        align: 8,
        info: text,
        size: 24,
        relocs: vec![Reloc { offset: 24, kind: X86_64.call_reloc(), symbol, addend: -4 }],
        ..Section::default()
    });
    let mut ko = elf::write::write(&object).unwrap();
    // A PKCS#7 frame with nothing but its outermost values, and struct module_signature.
    let pkcs7 = [0x30, 0x0b, 0x06, 1, 1, 0xa0, 6, 0x30, 4, 0x31, 2, 0x30, 0];
    ko.extend(pkcs7);
    ko.extend([0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 0, pkcs7.len() as u8]);
    ko.extend(b"~Module signature appended~\n");
    ko
}

fn section(name: &str, flags: u32, data: &[u8]) -> Section {
    Section {
        name: name.into(),
        kind: if name.is_empty() { 0 } else { elf::SHT_PROGBITS },
        flags: flags.into(),
        align: 8,
        size: data.len() as u64,
        data: data.to_vec(),
        ..Section::default()
    }
}

fn global(name: &str, place: Place) -> Symbol {
    Symbol { name: name.into(), kind: SymKind::None, bind: Bind::Global, place, value: 0, size: 0, other: 0 }
}

fn model() -> Object {
    let mut text = section(".text", elf::SHF_ALLOC | elf::SHF_EXECINSTR, &[0; 64]);
    text.relocs = vec![
        Reloc { offset: 1, kind: X86_64.call_reloc(), symbol: 5, addend: -4 },
        Reloc { offset: 8, kind: X86_64.relative_reloc(), symbol: 2, addend: -4 },
    ];
    let mut strings = section(".rodata.str1.1", elf::SHF_ALLOC | elf::SHF_MERGE | elf::SHF_STRINGS, b"show\0store\0");
    strings.entsize = 1;
    let bss = Section { kind: elf::SHT_NOBITS, size: 4096, ..section(".bss", elf::SHF_ALLOC | elf::SHF_WRITE, b"") };
    let local = |name: &str, kind, section: usize, value, size| Symbol {
        name: name.into(),
        kind,
        bind: Bind::Local,
        place: if section == 0 { Place::Undefined } else { Place::In(section) },
        value,
        size,
        other: 0,
    };
    let id = note::Note { owner: "GNU", kind: 3, desc: &[7; 20] };
    Object {
        arch: &X86_64,
        flags: 0,
        sections: vec![
            section("", 0, b""),
            text,
            strings,
            bss,
            section(".debug_abbrev", 0, DEBUG_ABBREV),
            section(".debug_info", 0, DEBUG_INFO),
            note::section(".note.gnu.build-id", &id),
        ],
        symbols: vec![
            local("", SymKind::None, 0, 0, 0),
            local("", SymKind::Section, 1, 0, 0),
            local("", SymKind::Section, 2, 0, 0),
            local("f", SymKind::Func, 1, 0, 32),
            local("here", SymKind::None, 3, 0, 0),
            global("printk", Place::Undefined),
        ],
    }
}

fn power_model() -> Object {
    let kind = |name: &str| (0..256).find(|&kind| PPC64LE.reloc_name(kind) == name).unwrap();
    let reloc = |offset, name, symbol, addend| Reloc { offset, kind: kind(name), symbol, addend };
    let mut object = model();
    (object.arch, object.flags) = (&PPC64LE, 2);
    let (toc, alternative) = (object.sections.len(), object.sections.len() + 1);
    let (text_symbol, strings_symbol, toc_symbol, alternative_symbol, printk) = (1, 2, 5, 6, 7);
    for (symbol, home) in [(toc_symbol, toc), (alternative_symbol, alternative)] {
        let own = Symbol { place: Place::In(home), ..object.symbols[text_symbol].clone() };
        object.symbols.insert(symbol, own);
    }
    // f has a local entry.
    object.symbols[3].other = 3 << 5;
    // addis 9,2,_@toc@ha; ld 3,_@toc@l(9); li 4,62; bl printk; nop; blr
    let words: [u32; 8] = [0x3d22_0000, 0xe869_0000, 0x3880_003e, 0x4800_0001, 0x6000_0000, 0x4e80_0020, 0, 0];
    let text = &mut object.sections[1];
    text.data = words.iter().chain(&words).flat_map(|word| word.to_le_bytes()).collect();
    text.relocs = vec![
        reloc(0, "R_PPC64_TOC16_HA", toc_symbol, 0),
        reloc(4, "R_PPC64_TOC16_LO_DS", toc_symbol, 0),
        reloc(12, "R_PPC64_REL24", printk, 0),
    ];
    object.sections.push(Section {
        relocs: vec![reloc(0, "R_PPC64_ADDR64", strings_symbol, 0)],
        ..section(".toc", elf::SHF_ALLOC | elf::SHF_WRITE, &[0; 16])
    });
    object.sections.push(section("__ftr_alt_97", elf::SHF_ALLOC, &words[4].to_le_bytes()));
    // The code from 16 to 20, its alternative from 0 to 4; all counts from the start of the entry.
    object.sections.push(Section {
        relocs: vec![
            reloc(16, "R_PPC64_REL64", text_symbol, 16 + 16),
            reloc(24, "R_PPC64_REL64", text_symbol, 24 + 20),
            reloc(32, "R_PPC64_REL64", alternative_symbol, 32),
            reloc(40, "R_PPC64_REL64", alternative_symbol, 40 + 4),
        ],
        ..section("__ftr_fixup", elf::SHF_ALLOC, &[0; 48])
    });
    object
}

/// DWARF 4: a unit, and in it a struct with a name and a size.
const DEBUG_ABBREV: &[u8] = &[1, 0x11, 1, 0, 0, 2, 0x13, 0, 0x03, 0x08, 0x0b, 0x0b, 0, 0, 0];
const DEBUG_INFO: &[u8] = b"\x16\0\0\0\x04\0\0\0\0\0\x08\x01\x02jump_entry\0\x10\0";

/// A kernel image that moves itself: one loaded segment with kallsyms, and in sections BTF and where its pointers are.
pub fn image(form: Form) -> Vec<u8> {
    let symbols = kallsyms::symbols(matches!(form, Form::PercpuAfter | Form::PercpuBefore));
    let symbols: Vec<_> = symbols.iter().map(|(k, n, a)| (*k, n.as_str(), *a)).collect();
    let piece = kallsyms::image(&symbols, form, 8, &[0xcc; 64]);
    let names = b"\0.BTF\0.shstrtab\0.rela.dyn\0.relr.dyn\0";
    let (piece_at, btf) = (64 + 56, btf());
    let btf_at = piece_at + piece.len();
    // Pointers are in what is in front of kallsyms: two of one table, two of the packed one.
    let rela_at = (btf_at + btf.len()).next_multiple_of(8);
    let rela: Vec<u64> =
        (0..2).flat_map(|n| [LOADED_AT + 8 * n, X86_64.relative_dynamic().into(), LOADED_AT + n]).collect();
    let relr_at = rela_at + 8 * rela.len();
    let relr = [LOADED_AT + 16, 0b101];
    let names_at = relr_at + 8 * relr.len();
    let headers_at = (names_at + names.len()).next_multiple_of(8);
    let mut out = b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0".to_vec();
    let half = |out: &mut Vec<u8>, values: &[u16]| values.iter().for_each(|v| out.extend(v.to_le_bytes()));
    let word = |out: &mut Vec<u8>, values: &[u32]| values.iter().for_each(|v| out.extend(v.to_le_bytes()));
    let long = |out: &mut Vec<u8>, values: &[u64]| values.iter().for_each(|v| out.extend(v.to_le_bytes()));
    half(&mut out, &[2, X86_64.machine()]);
    word(&mut out, &[1]);
    long(&mut out, &[LOADED_AT, 64, headers_at as u64]);
    word(&mut out, &[0]);
    half(&mut out, &[64, 56, 1, 64, 5, 2]);
    word(&mut out, &[1, 5]);
    let size = piece.len() as u64;
    long(&mut out, &[piece_at as u64, LOADED_AT, 0, size, size + 0x10000, 4096]);
    out.extend(piece);
    out.extend(&btf);
    out.resize(rela_at, 0);
    long(&mut out, &rela);
    long(&mut out, &relr);
    out.extend(names);
    out.resize(headers_at, 0);
    out.extend([0; 64]);
    let alloc = elf::SHF_ALLOC.into();
    let sections: [(u32, u32, u64, usize, usize); 4] = [
        (1, 1, 0, btf_at, btf.len()),
        (6, 3, 0, names_at, names.len()),
        (16, 4, alloc, rela_at, 8 * rela.len()),
        (26, 19, alloc, relr_at, 8 * relr.len()),
    ];
    for (name, kind, flags, at, len) in sections {
        word(&mut out, &[name, kind]);
        long(&mut out, &[flags, 0, at as u64, len as u64, 0, 1, 0]);
    }
    out
}

/// BTF with an int, a struct and its members, an enum, a function.
pub fn btf() -> Vec<u8> {
    let names = b"\0int\0jump_entry\0code\0ENUM\0";
    let types: &[u32] = &[
        1,
        1 << 24,
        4,
        32, // int
        5,
        4 << 24 | 2,
        16,
        16,
        1,
        0,
        16,
        1,
        32, // struct jump_entry { int code; int code; }
        21,
        6 << 24 | 1,
        4,
        21,
        0, // enum
        0,
        13 << 24 | 1,
        1,
        5,
        1, // int (*)(int jump_entry)
        5,
        12 << 24,
        4, // function
    ];
    let mut out = vec![0x9f, 0xeb, 1, 0];
    let len = 4 * types.len() as u32;
    for word in [24, 0, len, len, names.len() as u32] {
        out.extend(word.to_le_bytes());
    }
    types.iter().for_each(|w| out.extend(w.to_le_bytes()));
    out.extend(names);
    out
}

/// A mail with two diffs.
pub const PATCH: &str = "From abc Mon Sep 17 00:00:00 2001\nSubject: [PATCH] x: y\n\nbody\n---\n f.c | 2 +-\n\n\
    diff --git a/fs/f.c b/fs/f.c\nindex 1..2 100644\n--- a/fs/f.c\n+++ b/fs/f.c\n@@ -1,3 +1,3 @@ int f(void)\n \
    a\n-b\n+c\n d\n@@ -10,2 +10,3 @@\n x\n\n+y\n--- a/mm/g.c\t2024-01-01\n+++ b/mm/g.c\n@@ -1 +1 @@\n-a\n\
    \\ No newline at end of file\n+b\n-- \n2.39.0\n\n";

/// A stream file with every key.
pub const STREAM: &str = r#"name = "debian-forky"
packager = "A Team <team@example.org>"

[[kernel]]
target = "debian:forky/7.2.12+deb14-amd64"
supported_until = "2027-09-01"
level = "7.2.13-1"
fixed = ["CVE-2026-0001", "CVE-2026-0002"]
fixed_file = "fixed.txt"
not_carried = [{ cve = "CVE-2026-0003", reason = "changes struct layout" }]

[[version]]
version = "1-1"
date = "2026-10-02"
level = "7.2.14-1"
hooks = "hooks.rs"
callbacks_dropped = "nothing is left to be undone"

[[version.fix]]
patch = "fixes/0001.patch"
cves = ["CVE-2026-1000"]
severity = "important"
title = "x: y"
tickets = ["RHEL-1"]
kernels = ["debian:forky/7.2.12+deb14-amd64"]
replaces = "0000000000000000000000000000000000000000000000000000000000000000"

[[version]]
version = "1-2"
date = "2026-10-09"
fix = [{ patch = "fixes/0002.patch" }]
"#;

/// Lines of Module.symvers.
pub const SYMVERS: &str = "0x00000000\tprintk\tvmlinux\tEXPORT_SYMBOL\t\n\
    0x12345678\text4_x\tfs/ext4/ext4\tEXPORT_SYMBOL_GPL\tNS\n";

/// An x86 bzImage around a gzip-compressed payload.
pub fn bzimage(payload: &[u8]) -> Vec<u8> {
    let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    packed.write_all(payload).unwrap();
    let packed = packed.finish().unwrap();
    let mut out = vec![0u8; 3 * 512];
    out[0x1f1] = 1;
    out[0x202..0x206].copy_from_slice(b"HdrS");
    out[0x206..0x208].copy_from_slice(&0x020fu16.to_le_bytes());
    out[0x248..0x24c].copy_from_slice(&512u32.to_le_bytes());
    out[0x24c..0x250].copy_from_slice(&(packed.len() as u32).to_le_bytes());
    out.extend(packed);
    out
}
