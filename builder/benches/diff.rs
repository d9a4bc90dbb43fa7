// SPDX-License-Identifier: GPL-2.0-or-later
//! How long `kmend-build diff` takes and how much memory it needs, on a stripped pair of objects of about
//! 95 KB that is made here. With `CREATE_DIFF_OBJECT=…/create-diff-object` in the environment, kpatch's program
//! is measured on the same pair.
//!
//! `cargo bench -p kmend-builder --bench diff`

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

const ROUNDS: usize = 31;
const FLAGS: &str = "-c -O2 -std=gnu11 -ffreestanding -fno-pic -fno-pie -mcmodel=kernel -mno-red-zone -mno-sse \
     -fno-asynchronous-unwind-tables -pg -mfentry -mrecord-mcount -ffunction-sections -fdata-sections";

fn main() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let (original, patched) =
        (compile(folder.path(), "original", &[]), compile(folder.path(), "patched", &["-DPATCHED"]));
    let size = bytes(&original) + bytes(&patched);
    println!("pair: {} and {} bytes, stripped", bytes(&original), bytes(&patched));

    let out = folder.path().join("out.o");
    let layout = "bug_entry=12,jump_entry=16";
    let mut ours = Command::new(env!("CARGO_BIN_EXE_kmend-build"));
    ours.args(["diff", "--json", "--layout", layout, "-o"]).args([&out, &original, &patched]);
    let time = measure(&mut ours);
    println!("kmend-build diff, with start-up: {}", show(&time));

    let memory = memory(&original, &patched, layout);
    println!(
        "memory beyond the program itself: {} KiB, {:.1} times the objects",
        memory / 1024,
        memory as f64 / size as f64
    );

    if let Some(theirs) = std::env::var_os("CREATE_DIFF_OBJECT") {
        let symbols = folder.path().join("symtab");
        let listed = Command::new("readelf").args(["-s", "--wide"]).arg(&original).output().expect("readelf");
        std::fs::write(&symbols, listed.stdout).expect("the symbol table can be written");
        let mut theirs = Command::new(theirs);
        for (name, value) in [("BUG", "12"), ("JUMP", "16"), ("ALT", "14"), ("EX", "12"), ("PARA", "16"), ("ORC", "6")]
        {
            theirs.env(format!("{name}_STRUCT_SIZE"), value);
        }
        theirs.env("STATIC_CALL_STRUCT_SIZE", "8").env("PRINTK_INDEX_STRUCT_SIZE", "44");
        theirs.args([&original, &patched]).arg("vmlinux").arg(&symbols).args(["/dev/null", "bench"]).arg(&out);
        let other = measure(&mut theirs);
        println!("create-diff-object: {}", show(&other));
        println!("ratio of the medians: {:.2}", time[ROUNDS / 2].as_secs_f64() / other[ROUNDS / 2].as_secs_f64());
    }
    assert!(memory < 10 * size, "more than 10 times the size of the objects");
}

/// Functions of the kind that kernel objects hold: calls, strings, warnings, static data, jump labels.
fn source() -> String {
    let header = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/pairs/kernel.h");
    let mut text = format!("#include \"{}\"\nstruct static_key key;\n", header.display());
    for n in 0..86 {
        let _ = write!(
            text,
            "int work{n}(int x) {{\n\
             static int count;\n\
             WARN_ON(x < 0);\n\
             if (static_branch(&key)) outside(x);\n\
             printk(\"work {n}: %d\\n\", count += x);\n\
             for (int i = 0; i < x; i++) {{ if (source() > i) printk(\"more {n} %d\\n\", i); outside(i * {n}); }}\n"
        );
        if n == 43 {
            text.push_str("#ifdef PATCHED\nif (x > 100) return -22;\n#endif\n");
        }
        text.push_str("return x + source();\n}\n");
    }
    text
}

fn compile(folder: &Path, name: &str, flags: &[&str]) -> PathBuf {
    let (source_file, object) = (folder.join("unit.c"), folder.join(format!("{name}.o")));
    std::fs::write(&source_file, source()).expect("the source can be written");
    let compiler = cc::Build::new()
        .cargo_metadata(false)
        .no_default_flags(true)
        .target("x86_64-unknown-linux-gnu")
        .host("x86_64-unknown-linux-gnu")
        .opt_level(2)
        .get_compiler();
    let mut compile = Command::new(compiler.path());
    compile.args(FLAGS.split_whitespace()).args(flags).arg("-o").args([&object, &source_file]);
    assert!(compile.status().expect("a C compiler").success());
    let strip = Command::new("strip").args(["--strip-debug", "--keep-file-symbols"]).arg(&object).status();
    assert!(strip.expect("strip").success());
    object
}

fn measure(command: &mut Command) -> Vec<Duration> {
    command.stdout(Stdio::null()).stderr(Stdio::null());
    let mut times: Vec<Duration> = (0..ROUNDS)
        .map(|_| {
            let start = Instant::now();
            assert!(command.status().expect("the program runs").success(), "{command:?}");
            start.elapsed()
        })
        .collect();
    times.sort();
    times
}

fn show(times: &[Duration]) -> String {
    format!("median of {}: {:.2?}, least {:.2?}", times.len(), times[times.len() / 2], times[0])
}

/// By how much this process's own memory (without the pages of its program file) grows at most during a
/// comparison, bytes.
fn memory(original: &Path, patched: &Path, layout: &str) -> u64 {
    let status = |field: &str| -> u64 {
        let text = std::fs::read_to_string("/proc/self/status").expect("/proc is there");
        let line = text.lines().find_map(|l| l.strip_prefix(field)).expect("Linux tells its memory");
        line.trim_matches([':', ' ', '\t', 'k', 'B']).parse::<u64>().expect("a number") * 1024
    };
    std::fs::write("/proc/self/clear_refs", "5").expect("the peak can be reset");
    let before = status("RssAnon");
    let outcome =
        kmend_builder::cli::diff::compare(original, patched, Some(layout), &Default::default()).expect("it compares");
    assert_eq!(outcome.report.functions.len(), 1);
    status("VmHWM").saturating_sub(status("RssFile") + before)
}

fn bytes(path: &Path) -> u64 {
    std::fs::metadata(path).expect("the object is there").len()
}
