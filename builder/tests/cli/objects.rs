// SPDX-License-Identifier: GPL-2.0-or-later
//! `diff` on files that are no objects it can use: a message that names the file and the fault, exit code 1.

use super::tool::{folder, names, put, run, Ran};
use super::Test;
use std::path::{Path, PathBuf};
use std::process::Command;

pub const TESTS: &[Test] = &[
    ("good_pair", good_pair),
    ("not_elf", not_elf),
    ("other_kinds_of_elf", other_kinds_of_elf),
    ("every_truncation", every_truncation),
    ("flipped_bytes", flipped_bytes),
    ("missing_files", missing_files),
    ("bad_layouts", bad_layouts),
    ("names_that_a_terminal_would_act_on", names_that_a_terminal_would_act_on),
];

const SOURCE: &str = "int seen;\nint f(int x) { seen = x; return x + ADD; }\nint g(int x) { return x * seen; }\n";

/// As the kernel is compiled.
pub const FLAGS: &[&str] = &[
    "-O2",
    "-c",
    "-ffunction-sections",
    "-fdata-sections",
    "-fno-asynchronous-unwind-tables",
    "-fno-pie",
    "-mcmodel=kernel",
    "-mno-red-zone",
    "-pg",
    "-mfentry",
];

struct Pair {
    dir: tempfile::TempDir,
    original: PathBuf,
    patched: PathBuf,
}

impl Pair {
    fn new() -> Self {
        let dir = folder();
        let original = compile(dir.path(), "original", "1");
        let patched = compile(dir.path(), "patched", "seen * 3 + 5");
        Self { original, patched, dir }
    }

    fn diff(&self, original: &Path, patched: &Path) -> Ran {
        let out = self.dir.path().join("out/x.o");
        let ran = run(self.dir.path(), &["diff".as_ref(), original, patched, "-o".as_ref(), &out]);
        if ran.code != Some(0) {
            assert!(names(&self.dir.path().join("out")).is_empty(), "{ran:?}");
        }
        ran
    }

    /// The pair with `bytes` in either place: the message names the file.
    fn bad(&self, bytes: &[u8], says: &[&str]) {
        let bad = put(self.dir.path(), "bad.o", bytes);
        self.diff(&bad, &self.patched).fails(1, &["bad.o"]).fails(1, says);
        self.diff(&self.original, &bad).fails(1, &["bad.o"]).fails(1, says);
    }
}

fn compile(dir: &Path, name: &str, add: &str) -> PathBuf {
    // All objects have the same file name, as those of kbuild do.
    let source = put(dir, "unit.c", SOURCE);
    let object = dir.join(format!("{name}.o"));
    let ran = Command::new("cc").args(FLAGS).arg(format!("-DADD=({add})")).arg("-o").args([&object, &source]).status();
    assert!(ran.expect("cc is needed to link Rust programs").success());
    object
}

fn names_that_a_terminal_would_act_on() {
    let pair = Pair::new();
    let spoilt = |path: &Path| {
        let mut bytes = std::fs::read(path).unwrap();
        let at: Vec<usize> = bytes.windows(3).enumerate().filter(|(_, w)| *w == b"\0f\0").map(|(n, _)| n + 1).collect();
        assert!(!at.is_empty(), "no symbol f");
        at.into_iter().for_each(|at| bytes[at] = 0x1b);
        put(pair.dir.path(), &format!("{}-spoilt.o", path.file_stem().unwrap().display()), bytes)
    };
    let (original, patched) = (spoilt(&pair.original), spoilt(&pair.patched));
    let ran = pair.diff(&original, &patched);
    assert!(format!("{}{}", ran.out, ran.err).contains("⟨U+001B⟩"), "{ran:?}");
    ran.sane();
}

fn good_pair() {
    let pair = Pair::new();
    let ran = pair.diff(&pair.original, &pair.patched);
    assert!(ran.succeeds().out.contains("changed  f"), "{ran:?}");
    assert!(pair.dir.path().join("out/x.o").is_file());
    let json = run(pair.dir.path(), &["diff".as_ref(), pair.original.as_path(), &pair.patched, "--json".as_ref()]);
    let report: serde_json::Value = serde_json::from_str(&json.succeeds().out).unwrap();
    assert_eq!(report["functions"][0]["name"], "f");
    let same = Pair::new();
    same.diff(&same.original, &same.original).fails(3, &["nothing changed"]);
}

fn not_elf() {
    let pair = Pair::new();
    pair.bad(b"", &["not an ELF file"]);
    pair.bad(b"int x;\n", &["not an ELF file"]);
    pair.bad(b"\x7fEL", &["not an ELF file"]);
    pair.bad(b"!<arch>\n/               0           0     0     0       0         `\n", &["archive"]);
    pair.bad(b"!<thin>\n", &["archive"]);
    pair.bad(b"BC\xc0\xde0000", &["not an ELF file"]);
    pair.bad(&[0; 4096], &["not an ELF file"]);
}

fn other_kinds_of_elf() {
    let pair = Pair::new();
    let good = std::fs::read(&pair.original).unwrap();
    let with = |at: usize, bytes: &[u8]| {
        let mut all = good.clone();
        all[at..at + bytes.len()].copy_from_slice(bytes);
        all
    };
    // Offsets of the ELF64 header: EI_CLASS 4, EI_DATA 5, e_type 16, e_machine 18, e_flags 48.
    pair.bad(&with(4, &[1]), &["32-bit"]);
    pair.bad(&with(4, &[9]), &["bad.o"]);
    pair.bad(&with(5, &[2]), &["big-endian"]);
    pair.bad(&with(16, &[2, 0]), &["not a relocatable object"]);
    pair.bad(&with(16, &[3, 0]), &["not a relocatable object"]);
    pair.bad(&with(16, &[4, 0]), &["not a relocatable object"]);
    pair.bad(&with(18, &[183, 0]), &["architecture"]);
    pair.bad(&with(18, &[40, 0]), &["architecture"]);
    // EM_PPC64 of the first ABI.
    let mut old = with(18, &[21, 0]);
    old[48] = 1;
    pair.bad(&old, &["kmend knows"]);
    // Section table beyond the end, no sections, absurd counts.
    pair.bad(&with(40, &[0xff; 8]), &["section table"]);
    pair.bad(&with(40, &[0xf0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f]), &["section table"]);
    pair.bad(&with(40, &[0; 8]), &["bad.o"]);
    pair.bad(&with(60, &[0xff, 0xfe]), &["bad.o"]);
    pair.bad(&with(62, &[0xff, 0xfe]), &["bad.o"]);
}

fn every_truncation() {
    let pair = Pair::new();
    let good = std::fs::read(&pair.original).unwrap();
    for len in (0..good.len()).step_by(37).chain([1, 4, 16, 63, 64, 65, good.len() - 1]) {
        let bad = put(pair.dir.path(), "bad.o", &good[..len]);
        pair.diff(&bad, &pair.patched).fails(1, &["bad.o"]);
    }
}

fn flipped_bytes() {
    let pair = Pair::new();
    let good = std::fs::read(&pair.patched).unwrap();
    let mut seed = 0x2545_f491_4f6c_dd1d_u64;
    for _ in 0..150 {
        let mut bytes = good.clone();
        for _ in 0..3 {
            seed ^= seed << 13;
            seed ^= seed >> 7;
            seed ^= seed << 17;
            let at = (seed >> 8) as usize % bytes.len();
            bytes[at] ^= seed as u8 | 1;
        }
        let bad = put(pair.dir.path(), "bad.o", &bytes);
        let ran = pair.diff(&pair.original, &bad);
        ran.sane();
        assert!(matches!(ran.code, Some(0..=3)), "{ran:?}");
        let _ = std::fs::remove_dir_all(pair.dir.path().join("out"));
    }
}

fn missing_files() {
    let pair = Pair::new();
    pair.diff(Path::new("/no/such.o"), &pair.patched).fails(1, &["cannot read /no/such.o", "No such file"]);
    pair.diff(&pair.original, pair.dir.path()).fails(1, &["cannot read", "directory"]);
    let other = put(pair.dir.path(), "empty.o", b"");
    pair.diff(&other, &other).fails(1, &["empty.o"]);
}

fn bad_layouts() {
    let pair = Pair::new();
    for bad in ["", "x", "jump_entry", "jump_entry=", "jump_entry=x", "jump_entry=-1", "jump_entry=0", "no_struct=8"] {
        let layout = format!("--layout={bad}");
        let ran = run(pair.dir.path(), &["diff".as_ref(), pair.original.as_path(), &pair.patched, layout.as_ref()]);
        // An empty list is a list.
        if !bad.is_empty() {
            ran.fails(1, &[bad.split('=').next().unwrap_or(bad)]);
        }
    }
}
