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

    /// Compiles the source with further flags.
    fn object(&self, name: &str, flags: &[&str]) -> PathBuf {
        let (source, object) = (self.path("unit.c"), self.path(name));
        std::fs::write(&source, SOURCE).unwrap();
        let compiler = cc::Build::new()
            .cargo_metadata(false)
            .no_default_flags(true)
            .target("x86_64-unknown-linux-gnu")
            .host("x86_64-unknown-linux-gnu")
            .opt_level(2)
            .get_compiler();
        let status = Command::new(compiler.path())
            .args("-c -O2 -fno-pic -mcmodel=kernel -pg -mfentry -ffunction-sections -fdata-sections".split(' '))
            .args(flags)
            .arg("-o")
            .args([&object, &source])
            .status()
            .unwrap();
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

/// Broken files give an error or a result, never a panic: bytes of a real object changed one by one.
#[test]
fn damaged_input() {
    let bench = Bench::new();
    let (old, new) = (bench.object("old.o", &[]), bench.object("new.o", &["-DTEXT=\"new\""]));
    let bytes = std::fs::read(&new).unwrap();
    let damaged = bench.path("damaged.o");
    let mut seed = 1_u64;
    let mut random = |below: usize| {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (seed >> 33) as usize % below
    };
    for round in 0..2000 {
        let mut copy = bytes.clone();
        for _ in 0..=round % 3 {
            let at = random(copy.len());
            copy[at] = [0, 1, 0x7f, 0x80, 0xff, random(256) as u8][random(6)];
        }
        if round % 10 == 0 {
            copy.truncate(random(copy.len()));
        }
        std::fs::write(&damaged, &copy).unwrap();
        let _ = kmend_builder::cli::diff::compare(&old, &damaged, Some("jump_entry=16"));
        let _ = kmend_builder::cli::diff::compare(&damaged, &old, None);
    }
}
