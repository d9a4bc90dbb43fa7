// SPDX-License-Identifier: GPL-2.0-or-later
//! Modules made of the ELF model, one of each maker.

use super::*;
use crate::arch::x86_64::X86_64;
use crate::arch::Arch;
use crate::elf;
use crate::elf::{Bind, Reloc, Section, SymKind, Symbol, SHF_ALLOC, SHF_EXECINSTR, SHF_WRITE, SHT_PROGBITS, SHT_RELA};
use crate::manifest::{FunctionFacts, TargetFacts, UnitFacts, SCHEMA};

/// A module: .modinfo, .text with two functions, .rodata with names.
struct Made(Object);

const TEXT: usize = 2;
const NAMES: usize = 3;

impl Made {
    fn new() -> Self {
        let section = |name: &str, flags: u32, data: &[u8]| Section {
            name: name.into(),
            kind: if name.is_empty() { 0 } else { SHT_PROGBITS },
            flags: flags.into(),
            align: 8,
            data: data.to_vec(),
            size: data.len() as u64,
            ..Section::default()
        };
        let info = b"livepatch=Y\0name=lp\0alias=a\0alias=b\0vermagic=7.2.12 SMP preempt\0";
        let mut made = Self(Object {
            arch: &X86_64,
            flags: 0,
            sections: vec![
                section("", 0, b""),
                section(".modinfo", SHF_ALLOC, info),
                section(".text", SHF_ALLOC | SHF_EXECINSTR, &[0x90; 64]),
                section(".rodata.str", SHF_ALLOC, b"show\0store\0ext4\0vmlinux\0not a name\0"),
            ],
            symbols: Vec::new(),
        });
        made.symbol("", SymKind::None, Place::Undefined, 0);
        for id in 1..made.0.sections.len() {
            made.symbol("", SymKind::Section, Place::In(id), 0);
        }
        made
    }

    fn symbol(&mut self, name: &str, kind: SymKind, place: Place, size: u64) -> usize {
        let bind = match place {
            Place::In(_) => Bind::Local,
            _ if name.is_empty() => Bind::Local,
            _ => Bind::Global,
        };
        self.0.symbols.push(Symbol { name: name.into(), kind, bind, place, value: 0, size, other: 0 });
        self.0.symbols.len() - 1
    }

    fn table(&mut self, name: &str, words: &[Word]) -> usize {
        let id = self.0.sections.len();
        let number = |word: &Word| if let Number(n) = word { *n } else { 0 };
        let data: Vec<u8> = words.iter().flat_map(|w| number(w).to_le_bytes()).collect();
        self.0.sections.push(Section {
            name: name.into(),
            kind: SHT_PROGBITS,
            flags: (SHF_ALLOC | SHF_WRITE).into(),
            align: 8,
            size: data.len() as u64,
            data,
            ..Section::default()
        });
        self.symbol("", SymKind::Section, Place::In(id), 0);
        for (i, word) in words.iter().enumerate() {
            let (symbol, addend) = match *word {
                Number(_) => continue,
                Code(at) => (self.of_section(TEXT), at),
                Name(text) => {
                    let names = self.0.sections[NAMES].data.clone();
                    let text = [text.as_bytes(), b"\0"].concat();
                    let at = names.windows(text.len()).position(|w| w == text).unwrap();
                    (self.of_section(NAMES), at as i64)
                }
                Own(at) => (self.of_section(id), at),
                Sym(symbol) => (symbol, 0),
            };
            let reloc = Reloc { offset: 8 * i as u64, kind: X86_64.pointer_reloc(), symbol, addend };
            self.0.sections[id].relocs.push(reloc);
        }
        id
    }

    fn of_section(&self, id: usize) -> usize {
        let mut symbols = self.0.symbols.iter();
        symbols.position(|s| s.kind == SymKind::Section && s.section() == Some(id)).unwrap()
    }

    fn report(&self) -> Report {
        inspect(&self.bytes()).unwrap()
    }

    /// Locals first, as ELF wants it.
    fn bytes(&self) -> Vec<u8> {
        let mut object = self.0.clone();
        let mut order: Vec<usize> = (0..object.symbols.len()).collect();
        order.sort_by_key(|&id| !object.symbols[id].is_local());
        for r in object.sections.iter_mut().flat_map(|s| &mut s.relocs) {
            r.symbol = order.iter().position(|&id| id == r.symbol).unwrap();
        }
        object.symbols = order.into_iter().map(|id| object.symbols[id].clone()).collect();
        elf::write::write(&object).unwrap()
    }
}

#[derive(Clone, Copy)]
enum Word {
    Number(u64),
    Code(i64),
    Name(&'static str),
    Own(i64),
    Sym(usize),
}
use Word::*;

fn patched(name: &str, functions: &[(&str, u64)]) -> Patched {
    let functions = functions.iter().map(|(n, sympos)| Function { name: (*n).into(), sympos: *sympos }).collect();
    Patched { name: name.into(), functions }
}

fn manifest() -> Manifest {
    let function = |name: &str, sympos: Option<u64>| FunctionFacts {
        name: name.into(),
        status: if sympos.is_some() { "changed" } else { "new" }.into(),
        sympos,
        proven_at: None,
        reasons: Vec::new(),
        causes: Vec::new(),
    };
    Manifest {
        callbacks: Vec::new(),
        states: Vec::new(),
        hooks_file: None,
        schema: SCHEMA,
        name: "lp".into(),
        module_sha256: Some("00".into()),
        replace: true,
        replace_set: None,
        target: TargetFacts {
            name: "tree:x".into(),
            arch: "x86_64".into(),
            release: "7.2.12".into(),
            version: String::new(),
            build_id: "aa".into(),
        },
        stream: None,
        fixes: Vec::new(),
        units: vec![UnitFacts {
            source: "a.c".into(),
            object: "vmlinux".into(),
            functions: vec![function("show", Some(2)), function("helper", None)],
            data: Vec::new(),
            special_sections: BTreeMap::new(),
            proven: 1,
            functions_total: 1,
        }],
        livepatch_symbols: Vec::new(),
        allowed_unproven: Vec::new(),
        livepatch_relocations: 0,
        audit: None,
        exports: Vec::new(),
        warnings: Vec::new(),
        allowed_layouts: Vec::new(),
        notes: Vec::new(),
        tools: BTreeMap::new(),
    }
}

#[test]
fn a_module_of_kmend_is_read_from_its_manifest() {
    let mut made = Made::new();
    made.0.sections.push(manifest().to_section().unwrap());
    let report = made.report();
    assert_eq!(report.made_by, Some(Maker::Kmend));
    assert_eq!(report.objects, Some(vec![patched("vmlinux", &[("show", 2)])]));
    assert_eq!((report.livepatch, report.replace), (true, Some(true)));
    assert_eq!(report.release(), Some("7.2.12"));
    assert_eq!(report.modinfo["alias"], ["a", "b"]);
    assert_eq!(report.manifest.unwrap().module_sha256, None);
    assert_eq!(report.remarks, [""; 0]);
}

#[test]
fn a_manifest_of_another_module_is_noticed() {
    let mut made = Made::new();
    made.0
        .sections
        .push(Manifest { name: "other".into(), livepatch_relocations: 3, ..manifest() }.to_section().unwrap());
    let remarks = made.report().remarks;
    assert_eq!(remarks.len(), 2, "{remarks:?}");
    assert!(remarks[0].contains("the name is other there, lp in the module"), "{remarks:?}");
}

#[test]
fn a_manifest_that_is_too_new_is_named() {
    let mut made = Made::new();
    made.0.sections.push(Manifest { schema: 99, ..manifest() }.to_section().unwrap());
    let report = made.report();
    assert!(report.manifest.is_none());
    assert!(report.remarks[0].contains("schema 99 of the manifest is unknown"), "{:?}", report.remarks);
}

#[test]
fn livepatch_relocations_are_counted() {
    let mut made = Made::new();
    let a = made.symbol(".klp.sym.vmlinux.foo.isra.0,2", SymKind::None, Place::Livepatch, 0);
    let b = made.symbol(".klp.sym.nonsense", SymKind::None, Place::Livepatch, 0);
    let at = |offset, symbol| Reloc { offset, kind: X86_64.call_reloc(), symbol, addend: -4 };
    made.0.sections.push(Section {
        name: ".klp.rela.vmlinux..text".into(),
        kind: SHT_RELA,
        flags: u64::from(SHF_ALLOC) | SHF_RELA_LIVEPATCH | u64::from(elf::SHF_INFO_LINK),
        align: 8,
        info: TEXT as u32,
        size: 72,
        relocs: vec![at(1, a), at(9, a), at(20, b)],
        ..Section::default()
    });
    let report = made.report();
    let section = KlpSection { needs: "vmlinux".into(), applies_to: ".text".into(), relocations: 3 };
    assert_eq!(report.livepatch_sections, [section]);
    let symbol = KlpSymbol { object: "vmlinux".into(), name: "foo.isra.0".into(), sympos: 2, relocations: 2 };
    assert_eq!(report.livepatch_symbols, [symbol]);
    assert!(report.remarks.iter().any(|r| r.contains(".klp.sym.nonsense")), "{:?}", report.remarks);
}

#[test]
fn kpatch_build() {
    let mut made = Made::new();
    let n = Number;
    made.table(
        ".kpatch.funcs",
        &[
            [Code(0), n(8), n(0), n(8), n(2), Name("show"), Name("vmlinux")],
            [Code(8), n(8), n(0), n(8), n(0), Name("store"), Name("ext4")],
        ]
        .concat(),
    );
    let report = made.report();
    assert_eq!(report.made_by, Some(Maker::Kpatch));
    assert_eq!(report.objects, Some(vec![patched("ext4", &[("store", 0)]), patched("vmlinux", &[("show", 2)])]));

    let mut made = Made::new();
    made.table(".kpatch.funcs", &[Code(0), n(8), n(0), n(8), n(2), Name("not a name"), Name("vmlinux")]);
    let report = made.report();
    assert_eq!((report.made_by, report.objects), (Some(Maker::Kpatch), None));
    assert!(report.remarks[0].contains("form"), "{:?}", report.remarks);
}

#[test]
fn klp_build() {
    let mut made = Made::new();
    let n = Number;
    let funcs = [[Name("show"), Code(0), n(0)], [Name("store"), Code(8), n(3)], [Name("store"), Code(8), n(0)]];
    let funcs = made.table(".init.klp_funcs", &funcs.concat());
    let funcs = made.of_section(funcs);
    let ext4 = made.symbol("in_ext4", SymKind::Data, made.0.symbols[funcs].place, 24);
    made.0.symbols[ext4].value = 48;
    let z = n(0);
    let objects = [[n(0), Sym(funcs), z, z, z, z, z, n(2)], [Name("ext4"), Sym(ext4), Code(0), z, z, z, z, n(1)]];
    made.table(".init.klp_objects", &objects.concat());
    let report = made.report();
    assert_eq!(report.made_by, Some(Maker::KlpBuild));
    let expected = vec![patched("vmlinux", &[("show", 0), ("store", 3)]), patched("ext4", &[("store", 0)])];
    assert_eq!(report.objects, Some(expected));

    let mut made = Made::new();
    made.table(".init.klp_objects", &[n(0), Own(0), z, z, z, z, z, n(u32::MAX.into())]);
    assert_eq!(made.report().objects, None);
}

#[test]
fn c_source() {
    let mut made = Made::new();
    made.symbol("klp_enable_patch", SymKind::None, Place::Undefined, 0);
    let this = made.symbol("__this_module", SymKind::Data, Place::Undefined, 0);
    let n = Number;
    made.table(
        ".data",
        &[
            // klp_patch at 0, klp_objects at 24 with one callback each, klp_funcs at 104 and 168.
            Sym(this),
            Own(24),
            n(0),
            n(0),
            Own(104),
            Code(0),
            n(0),
            n(0),
            Name("ext4"),
            Own(168),
            n(0),
            Code(8),
            n(0),
            Name("show"),
            Code(0),
            n(1),
            n(0),
            Name("store"),
            Code(8),
            n(0),
            n(0),
            Name("store"),
            Code(16),
            n(2),
            n(0),
            n(0),
            n(0),
            n(0),
            n(0),
        ],
    );
    let report = made.report();
    assert_eq!(report.made_by, Some(Maker::CSource));
    let expected = vec![patched("vmlinux", &[("show", 1), ("store", 0)]), patched("ext4", &[("store", 2)])];
    assert_eq!(report.objects, Some(expected));
    assert!(report.remarks[0].contains("replaces older"), "{:?}", report.remarks);
}

#[test]
fn what_cannot_be_told_is_said() {
    let report = Made::new().report();
    assert_eq!((report.made_by, report.objects, report.replace), (None, None, None));
    assert_eq!(report.remarks.len(), 2, "{:?}", report.remarks);
    assert!(inspect(b"#!/bin/sh").is_err());
    let bytes = Made::new().bytes();
    for cut in 0..bytes.len() {
        assert!(inspect(&bytes[..cut]).is_err(), "cut at {cut}");
    }
}
