// SPDX-License-Identifier: GPL-2.0-or-later
//! What is carried where code that moves is compiled with other flags than the kernel: here the kernel inlines, the
//! code that moves does not, or the other way round.

use kmend_builder::diff::{self, moved::adopt, patchability, ChangeSet};
use kmend_builder::elf::read::{read, Take};
use kmend_builder::elf::Object;
use kmend_builder::extract::{extract, Extract};
use kmend_builder::special::layout::Layouts;
use std::process::Command;

const FLAGS: &str = "-c -O2 -ffreestanding -fno-pic -fno-pie -mcmodel=kernel -fno-stack-protector \
     -fno-asynchronous-unwind-tables -fcf-protection=none -pg -mfentry -mrecord-mcount -ffunction-sections \
     -fdata-sections";

/// Two functions that use a third one, which the fix changes, and a fourth one, which it leaves alone.
const SOURCE: &str = r#"
#ifdef PATCHED
#define STEP 3
#else
#define STEP 2
#endif
extern int seen(int);
static int other(int x) { return seen(x) ^ 7; }
static int step(int x) { return seen(x) * STEP; }
int first(int x) { return step(x) + 1; }
int second(int x) { return step(x) + other(x); }
int third(int x) { return other(x) - 1; }
"#;

struct Flavour {
    original: Object,
    patched: Object,
}

fn compile(extra: &str) -> Flavour {
    compile_source(SOURCE, extra)
}

fn compile_source(text: &str, extra: &str) -> Flavour {
    let folder = tempfile::tempdir().unwrap();
    let source = folder.path().join("unit.c");
    std::fs::write(&source, text).unwrap();
    let object = |define: Option<&str>| {
        let out = folder.path().join("unit.o");
        let compiler = cc::Build::new()
            .cargo_metadata(false)
            .no_default_flags(true)
            .target("x86_64-unknown-linux-gnu")
            .host("x86_64-unknown-linux-gnu")
            .opt_level(2)
            .get_compiler();
        let words = FLAGS.split_whitespace().chain(extra.split_whitespace()).chain(define);
        let done = Command::new(compiler.path()).args(words).arg("-o").arg(&out).arg(&source).output().unwrap();
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
        read(&std::fs::read(&out).unwrap(), Take::NoDebug).unwrap()
    };
    Flavour { original: object(None), patched: object(Some("-DPATCHED")) }
}

impl Flavour {
    fn changes(&self) -> ChangeSet<'_> {
        diff::diff(&self.original, &self.patched, &Layouts::default()).unwrap()
    }
}

/// Names of the functions that are carried: replaced ones, others.
fn carried(changes: &ChangeSet<'_>) -> (Vec<String>, Vec<String>) {
    let (replaced, new): (Vec<_>, Vec<_>) = changes.functions.iter().partition(|f| f.original.is_some());
    let names = |list: Vec<&diff::ChangedFunction>| {
        let mut names: Vec<String> = list.iter().map(|f| changes.patched.items[f.item].name.clone()).collect();
        names.sort();
        names
    };
    (names(replaced), names(new))
}

fn extracted(changes: &ChangeSet<'_>) -> Extract {
    let patchable = patchability::check(changes).unwrap_or_else(|r| panic!("{r:?}"));
    extract(patchable, "0").unwrap_or_else(|r| panic!("{r:?}"))
}

#[test]
fn callers_that_hold_the_old_code_are_replaced() {
    let (kernel, module) = (compile("-finline-functions -finline-limit=1000"), compile("-fno-inline"));
    let seen = kernel.changes();
    assert_eq!(carried(&seen).0, ["first", "second"], "the kernel has no step() of its own");
    let mut changes = module.changes();
    assert_eq!(carried(&changes).0, ["step"], "by itself it would be all that the module replaces");

    adopt(&mut changes, &seen);

    let (replaced, new) = carried(&changes);
    assert_eq!(replaced, ["first", "second"]);
    assert!(new.is_empty(), "{new:?}");
    let out = extracted(&changes);
    let names: Vec<&str> = out.replaced.iter().map(|r| r.old_name.as_str()).collect();
    assert_eq!(names, ["first", "second"]);
    for name in ["step", "other"] {
        assert!(out.externals.iter().all(|e| e.name != name), "the kernel has no {name}() to be called");
        assert!(out.object.symbols.iter().any(|s| s.name == name && s.section().is_some()), "so a copy comes along");
    }
}

#[test]
fn what_cannot_be_found_again_is_refused() {
    let (kernel, module) = (compile("-fno-inline"), compile("-finline-functions -finline-limit=1000"));
    let mut changes = module.changes();
    adopt(&mut changes, &kernel.changes());
    // step() is in the kernel and changed, but it is not there any more when it is compiled for a module.
    let refusals = patchability::refusals(&changes);
    assert_eq!(refusals.len(), 1, "{refusals:?}");
    assert_eq!((refusals[0].code.as_str(), refusals[0].symbol.as_str()), ("compiled-otherwise", "step"));
}

#[test]
fn what_differs_in_the_code_that_moves_alone_stays_out() {
    let (kernel, mut module) = (compile(""), compile(""));
    // third() of the patched pair looks otherwise, as registers that were given out in another order would.
    let third = module.patched.symbols.iter().find(|s| s.name == "third").unwrap();
    let section = third.section().unwrap();
    *module.patched.sections[section].data.last_mut().unwrap() ^= 1;
    let mut changes = module.changes();
    assert!(carried(&changes).0.contains(&"third".to_string()));
    adopt(&mut changes, &kernel.changes());
    assert_eq!(carried(&changes), carried(&kernel.changes()));
}

#[test]
fn flags_that_change_nothing_change_nothing() {
    let both = compile("");
    let mut changes = both.changes();
    let before = carried(&changes);
    adopt(&mut changes, &both.changes());
    assert_eq!(carried(&changes), before);
}

#[test]
fn a_cold_part_that_the_kernel_lacks_takes_the_place_of_nothing() {
    let text = "#ifdef PATCHED\n#define STEP 3\n#else\n#define STEP 2\n#endif\n\
        extern void trap(int) __attribute__((cold)); extern int seen(int);\n\
        int fourth(int x) { if (seen(x)) { trap(x); trap(seen(STEP)); } return x + STEP; }\n";
    let kernel = compile_source(text, "-fno-reorder-blocks-and-partition");
    let module = compile_source(text, "-freorder-blocks-and-partition");
    assert_eq!(carried(&kernel.changes()).0, ["fourth"]);
    let mut changes = module.changes();
    assert_eq!(carried(&changes).0, ["fourth", "fourth.cold"]);
    adopt(&mut changes, &kernel.changes());
    assert_eq!(carried(&changes), (vec!["fourth".to_string()], vec!["fourth.cold".to_string()]));
}

/// What is compared and what runs are compiled alike but for the sections; where one inlines what the other calls, a caller
/// with the old code in it would not be seen.
#[test]
fn inlined_in_one_of_the_two() {
    let check = |source: &str, compared: &str, runs: &str| {
        let (compared, runs) = (compile_source(source, compared), compile_source(source, runs));
        let found = diff::inlined::check(&compared.original, &runs.original, &["step"].into());
        found.into_iter().map(|r| format!("{} {}: {}", r.code, r.symbol, r.reason)).collect::<Vec<_>>()
    };
    let shipped = "-fno-function-sections -fno-data-sections";
    let global = SOURCE.replace("static int step", "int step");
    for source in [SOURCE, &global] {
        assert_eq!(check(source, "", shipped), Vec::<String>::new());
        assert_eq!(check(source, "-fno-inline", &format!("{shipped} -fno-inline")), Vec::<String>::new());
    }
    let found = check(SOURCE, "-fno-inline", shipped);
    assert!(found.len() == 2 && found.iter().all(|r| r.starts_with("compiled-otherwise ")), "{found:?}");
    let found = check(&global, "-fno-inline", shipped);
    let of_step: Vec<&String> = found.iter().filter(|r| r.starts_with("compiled-otherwise step: ")).collect();
    assert!(of_step.len() == 2 && of_step[0].contains("running kernel first does not call it"), "{found:?}");
}
