// SPDX-License-Identifier: GPL-2.0-or-later
//! `verify` on a live patch that was good until it was broken in one place: it names each.

use super::kernel::{Kernel, SMALL};
use super::tool::{command, folder, put};
use super::Test;
use kmend_builder::elf::{self, read::Take, Object, Place, Section};
use kmend_builder::image::module::Module;
use kmend_builder::image::symvers::Symvers;
use kmend_builder::image::Image;
use kmend_builder::target::modules;
use kmend_builder::target::store;
use kmend_builder::verify::{verify, Against};
use std::collections::BTreeMap;
use std::fs;

pub const TESTS: &[Test] = &[("each_is_named", each_is_named)];
/// Those that a kernel which compares checksums is needed for.
pub const WITH_CHECKSUMS: &[Test] = &[("checksums", checksums)];

/// A way to break a module, and what `verify` says of it.
type Mutant = (fn(&mut Object), &'static str);

const MUTANTS: &[Mutant] = &[
    (|o| o.sections.push(named(o, ".modinfo").clone()), "it must have exactly one .modinfo section"),
    (|o| replace(o, ".modinfo", "livepatch=Y", "livepatch=N"), ".modinfo does not say livepatch=Y"),
    (|o| replace(o, ".modinfo", "mod_unload", "mod_unloaf"), "vermagic is "),
    (|o| replace(o, ".modinfo", "license=GPL", "license=MIT"), ".modinfo has the licence"),
    (|o| replace(o, ".modinfo", "depends=", "depends=dummy"), "names the module dummy, but it uses no export of it"),
    (|o| seq_symbol(o).name = "kmend_no_such".into(), "symbol kmend_no_such is undefined"),
    (|o| klp_section(o).name = ".rela.text".into(), "name and SHF_RELA_LIVEPATCH do not match"),
    (|o| rename(o, ".klp.rela.vmlinux.", ".klp.rela.vm-linux."), "\"vm-linux\" is not the name of a klp object"),
    (|o| klp_section(o).name += "x", "its name does not end in that of its target"),
    (|o| klp_section(o).name = ".klp.rela.vmlinux".into(), "its name does not end in that of its target"),
    (|o| klp_section(o).info = 9999, "which does not exist"),
    (|o| klp_section(o).relocs[0].kind = 200, "is not known"),
    (beyond_the_end, "it reaches beyond section"),
    (not_zero, "the bytes there are not zero"),
    (refers_to_another, "is no livepatch symbol"),
    (too_early, "before livepatch finds it"),
    (|o| klp_symbol(o).name = ".klp.sym.vmlinux.saved_command_line".into(), "is not .klp.sym.OBJECT.NAME,SYMPOS"),
    (|o| klp_symbol(o).name = ".klp.sym.vmlinux.saved_command_line,1,1".into(), "is not .klp.sym.OBJECT.NAME,SYMPOS"),
    (|o| klp_symbol(o).name = ".klp.sym.vmlinux.saved_command_line,7".into(), "there are 1 of this name"),
    (|o| klp_symbol(o).name = ".klp.sym.vmlinux.kmend_no_such,0".into(), "there are 0 of this name"),
    // Nineteen functions have it in 7.2, many in all others.
    (
        |o| klp_symbol(o).name = ".klp.sym.vmlinux.type_show,0".into(),
        "livepatch symbol type_show,0 of vmlinux: there are ",
    ),
    (|o| klp_symbol(o).name = ".klp.sym.dummy.x,0".into(), "a relocation for vmlinux refers to .klp.sym.dummy.x,0"),
    (|o| klp_symbol(o).name = ".klp.sym.dummy.x,0".into(), "the kernel has no such module"),
    (|o| symbol(o, |s| s.section().is_some()).name = ".klp.sym.vmlinux.x,0".into(), "is no livepatch symbol"),
    (|o| *entry(o, 16) = 7, "registers, and its manifest does not name, the function cmdline_proc_show,"),
    (|o| *entry(o, 16) = 7, "livepatch symbol cmdline_proc_show,7 of vmlinux: there are 1 of this name"),
    (
        |o| renamed(o, "cmdline_proc_show", "cmdline_proc_shox"),
        "what it registers for cmdline_proc_shox is not the new code",
    ),
    (other_code, "what it registers for cmdline_proc_show is not the new code of that"),
    (without_owner, "names in its manifest, and does not register, the function cmdline_proc_show,"),
    (another_kernel, "it was proven against the kernel with build id"),
    (|o| replace(o, ".note.kmend", "\"schema\":1", "\"schema\":7"), "its manifest cannot be read"),
];

fn named<'a>(object: &'a Object, name: &str) -> &'a Section {
    &object.sections[object.section_by_name(name).unwrap_or_else(|| panic!("no section {name}"))]
}

fn klp_section(object: &mut Object) -> &mut Section {
    object.sections.iter_mut().find(|s| s.name.starts_with(".klp.rela.vmlinux")).expect("a livepatch section")
}

fn symbol(object: &mut Object, is_it: impl Fn(&elf::Symbol) -> bool) -> &mut elf::Symbol {
    object.symbols.iter_mut().skip(1).find(|s| is_it(s)).expect("a symbol")
}

/// An export that the module uses: which, depends on the series.
fn seq_symbol(object: &mut Object) -> &mut elf::Symbol {
    symbol(object, |s| s.place == Place::Undefined && s.name.contains("seq_"))
}

/// Gives the symbols of the new code another name.
fn other_code(object: &mut Object) {
    object.symbols.iter_mut().filter(|s| s.name.ends_with("cmdline_proc_show")).for_each(|s| s.name += "x");
}

/// Section and offset of the klp_func.
fn klp_func(object: &Object) -> (usize, u64) {
    let is_entry = |r: &&elf::Reloc| object.symbols[r.symbol].name.ends_with("cmdline_proc_show");
    let mut all = object.sections.iter().enumerate().filter(|(_, s)| s.is_alloc() && !s.is_text());
    all.find_map(|(id, s)| Some((id, s.relocs.iter().find(is_entry)?.offset - 8))).expect("a klp_func")
}

/// A byte of the klp_func.
fn entry(object: &mut Object, at: usize) -> &mut u8 {
    let (section, start) = klp_func(object);
    &mut object.sections[section].data[start as usize + at]
}

/// Replaces a string wherever it is in constants.
fn renamed(object: &mut Object, from: &str, to: &str) {
    for section in object.sections.iter_mut().filter(|s| s.name.starts_with(".rodata")) {
        while let Some(at) = section.data.windows(from.len()).position(|w| w == from.as_bytes()) {
            section.data.splice(at..at + from.len(), to.bytes());
        }
    }
}

/// Takes the pointer to the list of functions away.
fn without_owner(object: &mut Object) {
    let (section, start) = klp_func(object);
    let symbols = object.symbols.clone();
    let leads = |r: &elf::Reloc| {
        let symbol = &symbols[r.symbol];
        symbol.section() == Some(section) && symbol.value.wrapping_add_signed(r.addend) == start
    };
    object.sections.iter_mut().filter(|s| s.is_alloc()).for_each(|s| s.relocs.retain(|r| !leads(r)));
}

fn klp_symbol(object: &mut Object) -> &mut elf::Symbol {
    symbol(object, |s| s.name.starts_with(".klp.sym.vmlinux.saved_command_line"))
}

fn rename(object: &mut Object, from: &str, to: &str) {
    let section = klp_section(object);
    section.name = section.name.replace(from, to);
}

/// Replaces a piece of a section's text, once.
fn replace(object: &mut Object, section: &str, from: &str, to: &str) {
    let id = object.section_by_name(section).unwrap_or_else(|| panic!("no section {section}"));
    let section = &mut object.sections[id];
    let at = section.data.windows(from.len()).position(|w| w == from.as_bytes());
    let at = at.unwrap_or_else(|| panic!("{} holds no {from}", section.name));
    section.data.splice(at..at + from.len(), to.bytes());
    section.size = section.data.len() as u64;
}

/// What the first livepatch relocation applies to: the section, and where in it.
fn applies_to(object: &mut Object) -> (usize, usize) {
    let section = klp_section(object);
    (section.info as usize, section.relocs[0].offset as usize)
}

fn beyond_the_end(object: &mut Object) {
    let (target, _) = applies_to(object);
    let end = object.sections[target].size;
    klp_section(object).relocs[0].offset = end - 1;
}

fn not_zero(object: &mut Object) {
    let (target, at) = applies_to(object);
    object.sections[target].data[at] = 1;
}

fn refers_to_another(object: &mut Object) {
    let id = object.symbols.iter().position(|s| s.place == Place::Undefined && !s.name.is_empty()).unwrap();
    klp_section(object).relocs[0].symbol = id;
}

fn too_early(object: &mut Object) {
    let (target, _) = applies_to(object);
    let late = klp_section(object).relocs[0];
    object.sections[target].relocs.push(late);
    object.sections[target].relocs.sort_by_key(|r| r.offset);
}

fn another_kernel(object: &mut Object) {
    let note = String::from_utf8_lossy(&named(object, ".note.kmend").data).into_owned();
    let id = note.split("\"build_id\":\"").nth(1).unwrap().split('"').next().unwrap().to_string();
    replace(object, ".note.kmend", &id, &id.chars().rev().collect::<String>());
}

/// What a module is held against.
struct World {
    image: Image,
    symvers: Symvers,
    modules: BTreeMap<String, Module>,
    release: String,
    build_id: String,
}

impl World {
    fn of(target: &kmend_builder::target::Target) -> Self {
        Self {
            image: Image::load(&target.vmlinux).unwrap(),
            symvers: Symvers::load(&target.symvers).unwrap(),
            modules: BTreeMap::new(),
            release: target.release.clone(),
            build_id: target.build_id.clone(),
        }
    }

    fn faults(&self, ko: &[u8]) -> Vec<String> {
        let Self { image, symvers, modules, release, build_id } = self;
        let against = Against { release, build_id, image, modules, symvers };
        // What cannot be read as a module at all is an error.
        verify(ko, &against).unwrap_or_else(|error| vec![format!("{error:#}")])
    }

    /// Asserts that the module is good, and not any more once it is broken in each of these ways.
    fn check(&self, ko: &[u8], mutants: &[Mutant]) {
        let good = elf::read::read(ko, Take::NoDebug).unwrap();
        assert_eq!(self.faults(&elf::write::write(&good).unwrap()), [""; 0]);
        let mut missed = Vec::new();
        for (n, (breaks, says)) in mutants.iter().enumerate() {
            let mut bad = good.clone();
            breaks(&mut bad);
            let found = self.faults(&elf::write::write(&bad).unwrap());
            if !found.iter().any(|f| f.contains(says)) {
                missed.push(format!("{n}: {says}: {found:?}"));
            }
        }
        assert_eq!(missed, [""; 0]);
    }
}

fn each_is_named() {
    let kernel = Kernel::new().with_shared_objects();
    let fix = kernel.fix("good.patch", SMALL, "seq_putc(m, '\\n');", "seq_puts(m, \"\\n\\n\");");
    kernel.build(&fix, &["-n", "good"]).succeeds();
    let ko = fs::read(kernel.out().join("good.ko")).unwrap();
    let mut world = World::of(&kernel.target);
    world.check(&ko, MUTANTS);

    // An export of vmlinux in a namespace, which the module does not import; and one of a module, which it does not name.
    let symvers = fs::read_to_string(&kernel.target.symvers).unwrap();
    let export = |is_it: &dyn Fn(&[&str]) -> bool| {
        let mut lines = symvers.lines().map(|l| l.split('\t').collect::<Vec<_>>());
        lines.find(|l| is_it(l)).map(|l| l[1].to_string()).expect("such an export")
    };
    let in_namespace = export(&|l| l[2] == "vmlinux" && l.get(4).is_some_and(|n| !n.is_empty()));
    let of_module = export(&|l| l[2].ends_with("/8021q") || l[2].ends_with("/bridge"));
    for (name, says) in
        [(in_namespace, "is exported in namespace"), (of_module, "depends= in .modinfo does not name it")]
    {
        let mut bad = elf::read::read(&ko, Take::NoDebug).unwrap();
        seq_symbol(&mut bad).name = name;
        let found = world.faults(&elf::write::write(&bad).unwrap());
        assert!(found.iter().any(|f| f.contains(says)), "{says}: {found:?}");
    }
    // What waits for a module may lead into one that this cannot be loaded without, and into no other.
    world.modules = BTreeMap::from([("bridge".into(), modules::load(&kernel.target, "bridge").unwrap())]);
    for (other, says) in [("llc", false), ("8021q", true)] {
        let mut bad = elf::read::read(&ko, Take::NoDebug).unwrap();
        rename(&mut bad, ".klp.rela.vmlinux.", ".klp.rela.bridge.");
        klp_symbol(&mut bad).name = format!(".klp.sym.{other}.x,0");
        let found = world.faults(&elf::write::write(&bad).unwrap());
        let fault = format!("refers to .klp.sym.{other}.x,0, and bridge can be loaded without {other}");
        assert_eq!(found.iter().any(|f| f.contains(&fault)), says, "{fault}: {found:?}");
    }
    // The record and the image have to belong together.
    world.build_id = "00".into();
    let found = world.faults(&ko);
    assert!(found.iter().any(|f| f.contains("the target's record has the build id 00")), "{found:?}");
}

fn checksums() {
    let name = std::env::var("KMEND_TEST_TARGET_WITHOUT_RUST").unwrap();
    let target = store::load(&name).unwrap();
    let dir = folder();
    let path = "fs/proc/cmdline.c";
    let text = fs::read_to_string(target.tree.join(path)).unwrap();
    let fixed = text.replacen("seq_putc(m, '\\n');", "seq_puts(m, \"\\n\\n\");", 1);
    let diff = similar::TextDiff::from_lines(&text, &fixed);
    let diff = diff.unified_diff().header(&format!("a/{path}"), &format!("b/{path}")).to_string();
    let fix = put(dir.path(), "fix.patch", diff);
    let cache = kmend_builder::files::cache_dir().unwrap();
    let mut build = command(&cache);
    build.args(["build", "-t", &name, "-n", "good", "-o"]).arg(dir.path()).arg(&fix);
    super::tool::collect(&mut build).succeeds();
    let ko = fs::read(dir.path().join("good.ko")).unwrap();
    let section = |o: &mut Object| o.section_by_name("__versions").expect("checksums");
    let world = World::of(&target);
    assert!(
        world.image.vermagic(&target.release).is_some_and(|m| m.contains("modversions")),
        "another kernel is needed"
    );
    let mutants: &[Mutant] = &[
        (|o| replace(o, ".modinfo", "modversions", "modversiont"), "vermagic is "),
        (|o| replace(o, "__versions", "seq_puts", "seq_putz"), "symbol seq_puts has no checksum in the module"),
        (|o| replace(o, "__versions", "module_layout", "module_layous"), "symbol module_layout has no checksum"),
    ];
    world.check(&ko, mutants);
    for (n, says) in [(0, "has the checksum"), (1, "it has no section __versions")] {
        let mut bad = elf::read::read(&ko, Take::NoDebug).unwrap();
        let id = section(&mut bad);
        match n {
            0 => bad.sections[id].data[0] ^= 1,
            _ => bad.sections[id].name = "versions".into(),
        }
        let found = world.faults(&elf::write::write(&bad).unwrap());
        assert!(found.iter().any(|f| f.contains(says)), "{says}: {found:?}");
    }
}
