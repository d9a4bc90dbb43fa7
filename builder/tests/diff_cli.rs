// SPDX-License-Identifier: GPL-2.0-or-later
//! `kmend-build diff` as a person or a script meets it: exit codes, the shape of the JSON, and what it says
//! about input that it cannot use.

use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::Command;

const SOURCE: &str = "
    int printk(const char *, ...);
    #ifdef LIMIT
    int limit = LIMIT;
    #else
    int limit = 1;
    #endif
    int work(int x)
    {
    #ifdef TEXT
        printk(TEXT);
    #else
        printk(\"old\");
    #endif
        return x > limit;
    }
";

struct Machine {
    triple: &'static str,
    package: &'static str,
    flags: &'static str,
}

const X86_64: Machine = Machine {
    triple: "x86_64-unknown-linux-gnu",
    package: "gcc-x86-64-linux-gnu",
    flags: "-mcmodel=kernel -pg -mfentry",
};
const PPC64LE: Machine = Machine {
    triple: "powerpc64le-unknown-linux-gnu",
    package: "gcc-powerpc64le-linux-gnu",
    flags: "-mcpu=power8 -msoft-float -mno-altivec -mno-vsx -mcmodel=large -pg -mprofile-kernel",
};

struct Bench {
    folder: tempfile::TempDir,
}

struct Answer {
    code: i32,
    out: String,
    err: String,
}

impl Bench {
    fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap() }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Compiles the source for x86_64 with further flags.
    fn object(&self, name: &str, flags: &[&str]) -> PathBuf {
        let source = self.file("unit.c", SOURCE.as_bytes());
        self.compile(&X86_64, &source, name, flags)
    }

    /// Compiles the source for ppc64le with further flags.
    fn ppc64le(&self, name: &str, flags: &[&str]) -> PathBuf {
        let source = self.file("unit.c", SOURCE.as_bytes());
        self.compile(&PPC64LE, &source, name, flags)
    }

    fn compile(&self, machine: &Machine, source: &Path, name: &str, flags: &[&str]) -> PathBuf {
        let object = self.path(name);
        let compiler = cc::Build::new()
            .cargo_metadata(false)
            .no_default_flags(true)
            .target(machine.triple)
            .host(if cfg!(target_arch = "x86_64") { X86_64.triple } else { PPC64LE.triple })
            .opt_level(2)
            .get_compiler();
        let status = Command::new(compiler.path())
            .args("-c -O2 -ffreestanding -fno-pic -ffunction-sections -fdata-sections".split(' '))
            .args(machine.flags.split(' '))
            .args(flags)
            .arg("-o")
            .args([&object, source])
            .status()
            .unwrap_or_else(|e| panic!("{}: {e}; install {}", compiler.path().display(), machine.package));
        assert!(status.success());
        object
    }

    fn file(&self, name: &str, bytes: &[u8]) -> PathBuf {
        std::fs::write(self.path(name), bytes).unwrap();
        self.path(name)
    }
}

fn diff(arguments: &[&Path], options: &[&str]) -> Answer {
    let output =
        Command::new(env!("CARGO_BIN_EXE_kmend-build")).arg("diff").args(options).args(arguments).output().unwrap();
    Answer {
        code: output.status.code().expect("no signal"),
        out: String::from_utf8(output.stdout).unwrap(),
        err: String::from_utf8(output.stderr).unwrap(),
    }
}

/// Exit code 1 and one line that says it all.
fn assert_unusable(answer: &Answer, words: &[&str]) {
    assert_eq!(answer.code, 1, "{}", answer.err);
    assert_eq!(answer.err.lines().count(), 1, "{}", answer.err);
    assert_eq!(answer.out, "");
    for word in words {
        assert!(answer.err.contains(word), "{word:?} is not in: {}", answer.err);
    }
}

#[test]
fn patchable() {
    let bench = Bench::new();
    let (old, new) = (bench.object("old.o", &[]), bench.object("new.o", &["-DTEXT=\"new\""]));
    let out = bench.path("out.o");
    let answer = diff(&[&old, &new], &["--json", "-o", out.to_str().unwrap()]);
    assert_eq!(answer.code, 0, "{}", answer.err);
    let json: Value = serde_json::from_str(&answer.out).unwrap();
    let keys: Vec<&String> = json.as_object().unwrap().keys().collect();
    assert_eq!(keys.len(), 5, "{keys:?}");
    assert_eq!(json["arch"], "x86_64");
    assert_eq!(json["functions"][0]["name"], "work");
    assert_eq!(json["functions"][0]["status"], "changed");
    assert!(json["functions"][0]["reasons"][0].as_str().unwrap().contains("\"new\" instead of \"old\""));
    assert_eq!(json["data"].as_array().unwrap().len(), 0);
    assert!(json["special_sections"].is_object());
    assert_eq!(json["refusals"].as_array().unwrap().len(), 0);
    assert!(std::fs::read(out).unwrap().starts_with(b"\x7fELF"));
}

#[test]
fn refused() {
    let bench = Bench::new();
    let (old, new) = (bench.object("old.o", &[]), bench.object("new.o", &["-DLIMIT=2"]));
    let out = bench.path("out.o");
    let answer = diff(&[&old, &new], &["--json", "-o", out.to_str().unwrap()]);
    assert_eq!(answer.code, 2);
    let json: Value = serde_json::from_str(&answer.out).unwrap();
    let refusal = json["refusals"][0].as_object().unwrap();
    assert_eq!(refusal["code"], "data-changed");
    assert_eq!(refusal["symbol"], "limit");
    assert_eq!(refusal["section"], ".data.limit");
    assert!(refusal["reason"].is_string() && refusal["hint"].is_string());
    assert_eq!(json["data"][0]["name"], "limit");
    assert_eq!(json["data"][0]["status"], "changed");
    assert!(!out.exists(), "nothing is written when a fix is refused");
    assert!(answer.err.contains("what you can do"));
}

#[test]
fn a_changed_member_has_a_name_and_a_type() {
    let bench = Bench::new();
    let source = |number: &str, value: &str| {
        format!(
            "struct rule {{ const char *name; {number} limit; }};
             struct rule rules[] = {{ {{ \"a\", 1 }}, {{ \"b\", {value} }} }};
             int work(int n) {{ return rules[n].limit; }}\n"
        )
    };
    let object = |name: &str, text: String, flags: &[&str]| {
        let file = bench.file(&format!("{name}.c"), text.as_bytes());
        bench.compile(&X86_64, &file, &format!("{name}.o"), flags)
    };
    let member = |flags: &[&str], number: &str, value: &str| {
        let (old, new) = (object("old", source("int", "2"), flags), object("new", source(number, value), flags));
        let answer = diff(&[&old, &new], &["--json"]);
        assert_eq!(answer.code, 2, "{}", answer.err);
        let json: Value = serde_json::from_str(&answer.out).unwrap();
        let refusals = json["refusals"].as_array().unwrap();
        refusals.iter().find(|r| r["code"] == "data-changed").unwrap()["member"].clone()
    };
    let is =
        |name: &str, before: &str, after: &str| serde_json::json!({ "name": name, "before": before, "after": after });
    assert_eq!(member(&["-g"], "int", "3"), is("rules[1].limit", "s32", "s32"));
    assert_eq!(member(&["-g"], "unsigned", "3"), is("rules[1].limit", "s32", "u32"));
    assert_eq!(member(&["-g"], "char", "3"), is("rules[1].limit", "s32", "s8"));
    assert_eq!(member(&[], "int", "3"), Value::Null, "without debug information nobody knows");
}

#[test]
fn nothing_changed() {
    let bench = Bench::new();
    let (old, new) = (bench.object("old.o", &[]), bench.object("new.o", &["-DTEXT=\"old\""]));
    let answer = diff(&[&old, &new], &["--json"]);
    assert_eq!(answer.code, 3);
    let json: Value = serde_json::from_str(&answer.out).unwrap();
    assert_eq!(json["functions"].as_array().unwrap().len(), 0);
    assert!(answer.err.contains("nothing changed"));
}

#[test]
fn unusable_input() {
    let bench = Bench::new();
    let good = bench.object("good.o", &[]);
    let bytes = std::fs::read(&good).unwrap();
    let changed = |at: usize, byte: u8| {
        let mut copy = bytes.clone();
        copy[at] = byte;
        copy
    };
    let missing = bench.path("missing.o");
    assert_unusable(&diff(&[&good, &missing], &[]), &["missing.o"]);
    assert_unusable(&diff(&[&good, bench.folder.path()], &[]), &[]);
    let cases: &[(&str, Vec<u8>, &str)] = &[
        ("empty.o", Vec::new(), "empty"),
        ("text.o", b"int work(int x);\n".to_vec(), "not an ELF file"),
        ("header.o", bytes[..40].to_vec(), "truncated"),
        ("half.o", bytes[..bytes.len() / 2].to_vec(), "truncated"),
        ("big-endian.o", changed(5, 2), "big-endian"),
        ("narrow.o", changed(4, 1), "32-bit"),
        ("arm.o", changed(18, 183), "architecture"),
        ("program.o", changed(16, 2), "not a relocatable object"),
    ];
    for (name, content, words) in cases {
        let bad = bench.file(name, content);
        assert_unusable(&diff(&[&bad, &good], &[]), &[name, words]);
        assert_unusable(&diff(&[&good, &bad], &["--json"]), &[name, words]);
    }
    assert_unusable(&diff(&[&good, &good], &["--layout", "jump_entry"]), &["--layout"]);
    assert_unusable(&diff(&[&good, &good], &["--layout", "jump=16"]), &["jump", "jump_entry"]);
    assert_unusable(&diff(&[&good, &good], &["--layout", "jump_entry=x"]), &["jump_entry"]);
}

#[test]
fn without_symbols() {
    let bench = Bench::new();
    let good = bench.object("good.o", &[]);
    let bare = bench.object("bare.o", &[]);
    // strip -s refuses nothing in a relocatable file: it takes the relocations' symbols too.
    let status = Command::new("objcopy").args(["--remove-section=.symtab", "--strip-all"]).arg(&bare).status().unwrap();
    assert!(status.success());
    let answer = diff(&[&good, &bare], &[]);
    assert_unusable(&answer, &["bare.o", "symbol"]);
}

#[test]
fn patchable_on_ppc64le() {
    let bench = Bench::new();
    let (old, new) = (bench.ppc64le("old.o", &[]), bench.ppc64le("new.o", &["-DTEXT=\"new\""]));
    let answer = diff(&[&old, &new], &["--json"]);
    assert_eq!(answer.code, 0, "{}", answer.err);
    let json: Value = serde_json::from_str(&answer.out).unwrap();
    assert_eq!(json["arch"], "ppc64le");
    assert_eq!(json["functions"][0]["name"], "work");
    assert_eq!(json["functions"][0]["status"], "changed");
}

#[test]
fn other_architectures() {
    let bench = Bench::new();
    let (amd64, power) = (bench.object("amd64.o", &[]), bench.ppc64le("power.o", &[]));
    assert_unusable(&diff(&[&amd64, &power], &[]), &["different architectures", "x86_64", "ppc64le"]);
    assert_unusable(&diff(&[&power, &amd64], &["--json"]), &["different architectures", "x86_64", "ppc64le"]);
    // The same compiler makes them all.
    let big_endian = bench.ppc64le("big-endian.o", &["-mbig-endian", "-mabi=elfv2"]);
    let old_abi = bench.ppc64le("elfv1.o", &["-mabi=elfv1"]);
    let old_big = bench.ppc64le("elfv1-big.o", &["-mbig-endian", "-mabi=elfv1"]);
    for (bad, words) in [(&big_endian, "big-endian"), (&old_abi, "ELFv1"), (&old_big, "big-endian")] {
        let name = bad.file_name().unwrap().to_str().unwrap();
        assert_unusable(&diff(&[bad, &power], &[]), &[name, words]);
        assert_unusable(&diff(&[&power, bad], &["--json"]), &[name, words]);
    }
    let bytes = std::fs::read(&power).unwrap();
    let cases: &[(&str, usize, u8, &str)] = &[
        ("narrow.o", 4, 1, "32-bit"),
        ("ppc32.o", 18, 20, "architecture"),
        ("abi3.o", 48, 3, "ELFv2"),
        ("elfv1-marked.o", 48, 1, "ELFv1"),
    ];
    for &(name, at, byte, words) in cases {
        let mut copy = bytes.clone();
        copy[at] = byte;
        let bad = bench.file(name, &copy);
        assert_unusable(&diff(&[&bad, &power], &[]), &[name, words]);
        assert_unusable(&diff(&[&power, &bad], &[]), &[name, words]);
    }
}

/// A relocation type of kernels without a TOC (CONFIG_PPC_KERNEL_PCREL) is refused by its name.
#[test]
fn code_without_toc() {
    let bench = Bench::new();
    let flags = ["-mcpu=power10", "-mpcrel", "-mcmodel=medium"];
    let pcrel = |name: &str, text: &'static str| {
        let flags: Vec<&str> = flags.into_iter().chain([text]).collect();
        bench.ppc64le(name, &flags)
    };
    let (old, new) = (pcrel("old.o", "-DTEXT=\"old\""), pcrel("new.o", "-DTEXT=\"new\""));
    let answer = diff(&[&old, &new], &["--json"]);
    assert_eq!(answer.code, 2, "{}{}", answer.out, answer.err);
    assert!(answer.err.contains("R_PPC64_PCREL34"), "{}", answer.err);
}

/// Broken files give an error or a result, never a panic: bytes of a real object changed one by one.
fn damage(bench: &Bench, old: &Path, new: &Path, rounds: usize) {
    let bytes = std::fs::read(new).unwrap();
    let damaged = bench.path("damaged.o");
    let none = std::collections::BTreeSet::new();
    let mut seed = 1_u64;
    let mut random = |below: usize| {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (seed >> 33) as usize % below
    };
    for round in 0..rounds {
        let mut copy = bytes.clone();
        for _ in 0..=round % 3 {
            let at = random(copy.len());
            copy[at] = [0, 1, 0x7f, 0x80, 0xff, random(256) as u8][random(6)];
        }
        if round % 10 == 0 {
            copy.truncate(random(copy.len()));
        }
        std::fs::write(&damaged, &copy).unwrap();
        let layout = Some("jump_entry=16,fixup_entry=48,bug_entry=12");
        let _ = kmend_builder::cli::diff::compare_and_show(old, &damaged, layout, &none, true);
        let _ = kmend_builder::cli::diff::compare_and_show(&damaged, old, None, &none, true);
    }
}

#[test]
fn damaged_input() {
    let bench = Bench::new();
    let (old, new) = (bench.object("old.o", &[]), bench.object("new.o", &["-DTEXT=\"new\""]));
    damage(&bench, &old, &new, 2000);
}

#[test]
fn damaged_input_of_ppc64le() {
    let bench = Bench::new();
    let pairs = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/pairs");
    for name in ["feature-fixup-tables.c", "toc-constant.c", "line-argument.c", "shared-section.c", "jump-label.c"] {
        let source = pairs.join(name);
        let old = bench.compile(&PPC64LE, &source, "old.o", &[]);
        let new = bench.compile(&PPC64LE, &source, "new.o", &["-DPATCHED"]);
        damage(&bench, &old, &new, 1000);
    }
}
