// SPDX-License-Identifier: GPL-2.0-or-later
//! The proof, compiled and linked by the real tools: a unit against an image and a module made of the same source, and made
//! of one that was changed in one place. The code model says for which architecture: `kernel` is x86_64's, others ppc64le's.

use super::{prove, Verdict};
use crate::elf::read::{read, Take};
use crate::elf::Object;
use crate::image::kallsyms::{Kallsyms, KernelSymbol};
use crate::image::module::Module;
use crate::image::shipped::Shipped;
use crate::image::Image;
use crate::special::layout::Layouts;
use object::{Object as _, ObjectSymbol as _, SymbolKind};
use std::path::Path;
use std::process::Command;

const UNIT: &str = r#"
extern int far_value, other_value;
int callee(int), other_callee(int);
void missing(void) __attribute__((weak));
static int first[4], second[4];
#define WRITTEN(x) #x
#define TEXT_OF(x) WRITTEN(x)
int uses_number(int x) { return x * NUMBER; }
int uses_callee(int x) { return CALLEE(x) + 1; }
int uses_array(int x) { return ++ARRAY[x & 3]; }
const char *uses_text(void) { return TEXT; }
int uses_value(void) { return VALUE; }
int *uses_address(void) { return &VALUE; }
#ifdef __powerpc64__
/* A number in the TOC. */
long uses_toc(void)
{
	long x;
	asm(".pushsection .toc,\"aw\"\n1: .quad " TEXT_OF(TOC) "\n.popsection\n"
	    "addis %0,2,1b@toc@ha\nld %0,1b@toc@l(%0)" : "=b"(x));
	return x;
}
/* An address in the TOC that the linker leaves there. */
long uses_entry(void)
{
	long x;
	asm(".pushsection .toc,\"aw\"\n1: .quad " TEXT_OF(ENTRY) "\n.popsection\n"
	    "addis %0,2,1b@toc@ha\naddi %0,%0,1b@toc@l\nld %0,0(%0)" : "=b"(x));
	return x;
}
#endif
static const int table[4] = { TABLE, 20, 30, 40 };
int uses_table(int x) { return table[x & 3]; }
static int (*const own[2])(int) = { OWN, uses_array };
int uses_pointer(int x) { return own[x & 1](x); }
int both(int x) { return first[x & 3] - (second[x & 3] += 2); }
int calls_missing(int x) { missing(); return callee(x) + x; }
"#;

const REST: &str = r#"
int far_value __attribute__((section(".far"))) = 5;
int other_value = 6;
int *pointer = &other_value;
int callee(int x) { return x + other_value; }
int other_callee(int x) { return x - other_value; }
"#;

const PLAIN: [&str; 9] = [
    "NUMBER=12345",
    "CALLEE=callee",
    "ARRAY=first",
    "TEXT=\"one\"",
    "VALUE=far_value",
    "TOC=0x123456789abcdef",
    "ENTRY=far_value",
    "TABLE=10",
    "OWN=uses_number",
];

/// A change, and the functions that are not the same with it.
const CHANGES: [(&str, &[&str]); 10] = [
    ("NUMBER=12346", &["uses_number"]),
    ("CALLEE=other_callee", &["uses_callee"]),
    ("ARRAY=second", &["uses_array"]),
    ("TEXT=\"two\"", &["uses_text"]),
    ("VALUE=other_value", &["uses_address", "uses_value"]),
    ("TOC=0x123456789abcdee", &["uses_toc"]),
    ("ENTRY=other_value", &["uses_entry"]),
    ("TABLE=11", &["uses_pointer", "uses_table"]),
    ("OWN=uses_callee", &["uses_pointer", "uses_table"]),
    // The number that far_value's address would be in the image.
    ("ENTRY=0xc000000000800000", &["uses_entry"]),
];

pub(super) fn run(dir: &Path, program: &str, args: &[&str]) {
    let said = Command::new(program).args(args).current_dir(dir).output();
    let said = said.unwrap_or_else(|e| panic!("{program} is needed (Debian: gcc-powerpc64le-linux-gnu): {e}"));
    assert!(said.status.success(), "{program} {args:?}: {}", String::from_utf8_lossy(&said.stderr));
}

fn compile(dir: &Path, name: &str, text: &str, model: &str, defines: &[String]) {
    std::fs::write(dir.join(format!("{name}.c")), text).unwrap();
    let defines: Vec<String> = defines.iter().map(|d| format!("-D{d}")).collect();
    let (own, compiler) = match model {
        "kernel" => ("-mno-red-zone -mno-sse -fcf-protection=none", "x86_64-linux-gnu-gcc"),
        _ => (
            "-mcpu=power8 -mno-altivec -mno-vsx -msoft-float -mno-pointers-to-nested-functions",
            "powerpc64le-linux-gnu-gcc",
        ),
    };
    let (model, file) = (format!("-mcmodel={model}"), format!("{name}.c"));
    let mut args =
        vec!["-O2", "-ffreestanding", "-fno-PIE", "-fno-toplevel-reorder", "-fno-asynchronous-unwind-tables"];
    args.extend(own.split(' ').chain([model.as_str(), "-c", &file]).chain(defines.iter().map(String::as_str)));
    run(dir, compiler, &args);
}

/// The defines, with one of them changed.
fn with(change: Option<&str>) -> Vec<String> {
    let name = |d: &str| d.split('=').next().unwrap_or_default().to_string();
    let pick = |d: &str| change.filter(|c| name(c) == name(d)).unwrap_or(d).to_string();
    PLAIN.iter().map(|d| pick(d)).collect()
}

pub(super) fn load(path: &Path) -> Object {
    read(&std::fs::read(path).unwrap(), Take::NoDebug).unwrap()
}

fn image(dir: &Path) -> Image {
    link(dir, "medium", &["unit.o", "rest.o"])
}

fn link(dir: &Path, model: &str, objects: &[&str]) -> Image {
    image_of(dir, model, objects, "callee")
}

/// An image of these objects, which begins at `entry`.
pub(super) fn image_of(dir: &Path, model: &str, objects: &[&str], entry: &str) -> Image {
    let (args, linker) = match model {
        "kernel" => {
            ("-m elf_x86_64 -Ttext=0xffffffff81000000 --section-start=.far=0xffffffff81800000", "x86_64-linux-gnu-ld")
        }
        _ => (
            "-EL -m elf64lppc -pie --no-dynamic-linker -z notext -Ttext=0xc000000000008000 \
             --section-start=.far=0xc000000000800000",
            "powerpc64le-linux-gnu-ld",
        ),
    };
    let mut args: Vec<&str> = args.split_whitespace().chain(["-e", entry, "-o", "image"]).collect();
    args.extend(objects);
    run(dir, linker, &args);
    let bytes = std::fs::read(dir.join("image")).unwrap();
    let file = object::File::parse(bytes.as_slice()).unwrap();
    let mut symbols: Vec<KernelSymbol> = file
        .symbols()
        .filter(|s| matches!(s.kind(), SymbolKind::Text | SymbolKind::Data) && s.is_definition())
        .map(|s| KernelSymbol {
            name: s.name().unwrap().into(),
            kind: if s.kind() == SymbolKind::Text { b'T' } else { b'd' },
            address: s.address(),
        })
        .collect();
    symbols.sort_by_key(|s| s.address);
    Image::with_symbols(bytes.clone(), Some(Kallsyms::new(symbols))).unwrap()
}

fn differing(object: &Object, shipped: &dyn Shipped) -> Vec<String> {
    let proof = prove(object, shipped, &Layouts::default());
    assert_eq!(proof.functions.len(), if object.arch.name() == "x86_64" { 10 } else { 12 });
    let differs = |(name, verdict): (&String, &Verdict)| match verdict {
        Verdict::Differs { why, .. } => {
            println!("{name}: {why}");
            Some(name.clone())
        }
        Verdict::Proven(_) => None,
    };
    proof.functions.iter().filter_map(differs).collect()
}

/// Makes the unit as it is and a shipped form of it with each change; hands both to `differs`.
fn each_change(model: &str, ship: impl Fn(&Path) -> Box<dyn Shipped>) {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    compile(dir, "rest", REST, model, &[]);
    compile(dir, "unit", UNIT, model, &with(None));
    let object = load(&dir.join("unit.o"));
    assert_eq!(differing(&object, &*ship(dir)), [""; 0], "nothing was changed");
    let is_there = |function: &&str| object.symbols.iter().any(|s| s.name == **function);
    for (change, functions) in CHANGES.into_iter().filter(|(_, functions)| functions.iter().all(is_there)) {
        compile(dir, "unit", UNIT, model, &with(Some(change)));
        assert_eq!(differing(&object, &*ship(dir)), functions, "{change}");
    }
}

#[test]
fn an_image_is_told_from_a_changed_one() {
    each_change("medium", |dir| Box::new(image(dir)));
    each_change("kernel", |dir| Box::new(link(dir, "kernel", &["unit.o", "rest.o"])));
}

#[test]
fn a_module_is_told_from_a_changed_one() {
    each_change("large", |dir| {
        run(dir, "powerpc64le-linux-gnu-ld", &["-EL", "-m", "elf64lppc", "-r", "rest.o", "unit.o", "-o", "module.ko"]);
        Box::new(Module { object: load(&dir.join("module.ko")) })
    });
    each_change("kernel", |dir| {
        run(dir, "x86_64-linux-gnu-ld", &["-m", "elf_x86_64", "-r", "rest.o", "unit.o", "-o", "module.ko"]);
        Box::new(Module { object: load(&dir.join("module.ko")) })
    });
}

#[test]
fn the_image_was_edited_in_each_known_way() {
    let dir = tempfile::tempdir().unwrap();
    compile(dir.path(), "rest", REST, "medium", &[]);
    compile(dir.path(), "unit", UNIT, "medium", &with(None));
    let (object, image) = (load(&dir.path().join("unit.o")), image(dir.path()));
    let words = |name: &str| -> Vec<u32> {
        let symbol = object.symbols.iter().find(|s| s.name == name).unwrap();
        let at = Shipped::functions(&image, name)[0];
        let bytes = Shipped::bytes(&image, at, symbol.size).unwrap();
        bytes.chunks(4).map(|w| u32::from_le_bytes(w.try_into().unwrap())).collect()
    };
    let nop = 0x6000_0000;
    // addis r9; addi r9 in the place of ld; lwa
    assert_eq!(words("uses_value")[3] >> 16, 0x3929);
    // nop; ld from r2
    assert_eq!((words("uses_toc")[0], words("uses_toc")[1] >> 16), (nop, 0xe862));
    assert!(words("both")[2..].contains(&nop));
    assert_eq!(words("calls_missing").iter().filter(|w| **w == nop).count(), 3);
    assert!(!image.pointers.is_empty(), "the entry that uses_entry reads is a pointer");
}

/// A file with a function whose name others have too, alone in its section.
const NAMESAKE: &str = r#"
int ask(const char *);
static __attribute__((used)) int show(int x) { return ask(TEXT) + x * FACTOR; }
#ifdef ALSO
static __attribute__((used)) int ALSO(int x) { return x - 1; }
#endif
#ifdef TABLE
int (*TABLE[2])(int) = { show };
__attribute__((section(".text.user"))) int USER(int x) { return TABLE[x](1); }
#endif
"#;

const ASKED: &str = "int callee(int x) { return x; }\nint ask(const char *text) { return *text; }\n";

/// Compiles two files of [`NAMESAKE`], each with its defines; links what `shipped` makes of them; proves the first.
fn namesake(first: &[&str], shipped: &[&str], second: &[&str]) -> (Verdict, String) {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    let make = |name: &str, defines: &[&str]| {
        let defines: Vec<String> = defines.iter().map(|d| d.to_string()).collect();
        compile(dir, name, NAMESAKE, "medium", &defines);
    };
    compile(dir, "asked", ASKED, "medium", &[]);
    make("first", first);
    let object = load(&dir.join("first.o"));
    make("first", shipped);
    make("second", second);
    let image = link(dir, "medium", &["asked.o", "first.o", "second.o"]);
    let verdict = prove(&object, &image, &Layouts::default()).functions["show"].clone();
    let why = match &verdict {
        Verdict::Differs { why, .. } => why.clone(),
        Verdict::Proven(_) => String::new(),
    };
    (verdict, why)
}

#[test]
fn namesakes_are_told_apart_by_what_refers_to_them() {
    let one = ["TEXT=\"one\"", "FACTOR=3", "TABLE=first_table", "USER=first_user"];
    let two = ["TEXT=\"one\"", "FACTOR=3", "TABLE=second_table", "USER=second_user"];
    let (Verdict::Proven(first), _) = namesake(&one, &one, &two) else { panic!("the first is not proven") };
    let (Verdict::Proven(second), _) = namesake(&two, &one, &two) else { panic!("the second is not proven") };
    assert!(first < second, "{first:?} {second:?}");
    // The one that is this file's was changed; the other one looks as it should.
    let changed = ["TEXT=\"one\"", "FACTOR=5", "TABLE=first_table", "USER=first_user"];
    let (verdict, why) = namesake(&one, &changed, &two);
    assert!(matches!(verdict, Verdict::Differs { at: Some(at), .. } if at == first), "{verdict:?}");
    assert!(why.starts_with("shipped bytes are"), "{why}");
}

#[test]
fn namesakes_that_nothing_tells_apart_are_not_proven() {
    let one = ["TEXT=\"one\"", "FACTOR=3"];
    let two = ["TEXT=\"two\"", "FACTOR=3"];
    let (_, why) = namesake(&one, &one, &one);
    assert!(
        why.starts_with("2 functions of this name in the shipped kernel are alike in bytes and references"),
        "{why}"
    );
    // Only one of them is as it was rebuilt: this file's, or the other while this file's was changed.
    for shipped in [one, ["TEXT=\"three\"", "FACTOR=3"]] {
        let second = if shipped == one { two } else { one };
        let (_, why) = namesake(&one, &shipped, &second);
        assert!(
            why.contains("has 2 functions show; one has these bytes, but nothing else of this file shows"),
            "{why}"
        );
    }
    // A second one of another file's, in the same order, says no more; one that no other has does.
    let (_, why) = namesake(
        &[&one[..], &["ALSO=also"]].concat(),
        &["TEXT=\"three\"", "FACTOR=3", "ALSO=also"],
        &["TEXT=\"one\"", "FACTOR=3", "ALSO=also"],
    );
    assert!(why.contains("has 2 functions "), "{why}");
    let (verdict, why) = namesake(
        &[&one[..], &["ALSO=also"]].concat(),
        &["TEXT=\"one\"", "FACTOR=3", "ALSO=also"],
        &["TEXT=\"three\"", "FACTOR=3", "ALSO=other"],
    );
    assert!(matches!(verdict, Verdict::Proven(_)), "{why}");
}
