// SPDX-License-Identifier: GPL-2.0-or-later
//! Streams: wrong files, and a stream of two and three versions on a prepared kernel, released into a repository.

use super::kernel::{Kernel, SMALL};
use super::sign::keys;
use super::tool::{collect, command, folder, names, put, Ran};
use super::Test;
use serde_json::Value;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

pub const TESTS: &[Test] =
    &[("wrong_files", wrong_files), ("kernels_that_are_not_prepared", kernels_that_are_not_prepared)];

pub const WITH_TARGET: &[Test] = &[
    ("two_versions", two_versions),
    ("what_a_fix_lets_pass", allowances),
    ("callbacks_of_the_version_before", callbacks),
    ("released_as_rpms", rpms),
];

const HEAD: &str = "name = \"tests\"\npackager = \"A Team <team@example.org>\"\nurl = \"https://example.org/live\"\n\n";

fn version(release: u32, more: &str, patch: &str, fix: &str) -> String {
    format!(
        "[[version]]\nversion = \"1-{release}\"\ndate = \"2026-10-0{release}\"\n{more}\n[[version.fix]]\npatch = \"{patch}\"\n{fix}\n"
    )
}

fn stream(cache: &Path, args: &[&str]) -> Ran {
    collect(command(cache).arg("stream").args(args))
}

fn wrong_files() {
    let dir = folder();
    let cache = dir.path().join("cache");
    let check = |text: &str| {
        let file = put(dir.path(), "stream.toml", text);
        stream(&cache, &["check", file.to_str().unwrap()])
    };
    let kernel = "[[kernel]]\ntarget = \"debian:none/6.0.0-one-amd64\"\n\n";
    put(dir.path(), "fixes/a.patch", "--- a/f.c\n+++ b/f.c\n@@ -1 +1 @@\n-a\n+b\n");
    let good = format!("{HEAD}{kernel}{}", version(1, "", "fixes/a.patch", "cves = [\"CVE-2026-1234\"]"));
    let ran = check(&good);
    assert!(ran.succeeds().out.contains("kpatch_6_0_0_one_amd64_1_1"), "{}", ran.out);
    assert!(ran.out.contains("version 1-1 can be built"), "{}", ran.out);
    check(&good.replace("url =", "max_units = 0\nurl =")).fails(1, &["stream.toml, line 3: ", "nonzero"]);
    check(&good.replace("cves =", "allow_layout = [\"struct a *\"]\ncves ="))
        .fails(1, &["line 14", "no name of a type"]);
    check(&good.replace("cves =", "allow_unproven = [\"\"]\ncves =")).fails(1, &["line 14", "no name of a function"]);
    check("").fails(1, &["stream.toml, line 1: missing field", "docs/streams.md"]);
    check(&good.replace("CVE-2026", "CVE-26")).fails(1, &["stream.toml, line 14: ", "is no CVE"]);
    check(&good.replace("fixes/a", "../a")).fails(1, &["stream.toml, line 13: ", "`..`", "what you can do"]);
    check(&good.replace("url =", "uri =")).fails(1, &["stream.toml, line 3: unknown field"]);
    stream(&cache, &["check", "/no/such/stream.toml"]).fails(1, &["cannot read /no/such/stream.toml"]);
    let file = put(dir.path(), "stream.toml", &good);
    let file = file.to_str().unwrap();
    put(dir.path(), "ledger.json", "{\"schema\":1");
    stream(&cache, &["check", file]).fails(1, &["ledger.json cannot be used"]);
    fs::remove_file(dir.path().join("ledger.json")).unwrap();
    stream(&cache, &["build", file, "--version", "1-9"]).fails(1, &["has no version 1-9; it has: 1-1"]);
    stream(&cache, &["build", file, "--version", "one"]).fails(1, &["\"one\" is no version"]);
    stream(&cache, &["build", file, "-k", "tree:y"]).fails(1, &["has no kernel tree:y; it has: debian:none/"]);
}

fn kernels_that_are_not_prepared() {
    let dir = folder();
    put(dir.path(), "a.patch", "--- a/f.c\n+++ b/f.c\n@@ -1 +1 @@\n-a\n+b\n");
    let kernels = "[[kernel]]\ntarget = \"debian:none/6.0.0-one-amd64\"\n\n[[kernel]]\ntarget = \"tree:none\"\n\n";
    let file = put(dir.path(), "stream.toml", format!("{HEAD}{kernels}{}", version(1, "", "a.patch", "")));
    let (cache, out) = (dir.path().join("cache"), dir.path().join("out"));
    let [file, out] = [&file, &out].map(|p| p.to_str().unwrap());
    let ran = stream(&cache, &["build", file, "-o", out]);
    ran.fails(1, &["debian:none/6.0.0-one-amd64: ", "tree:none: ", "2 of the stream's kernels got no live patch"]);
    assert_eq!(ran.out.matches("failed").count(), 2, "{}", ran.out);
    stream(&cache, &["release", file, "-o", out]).fails(1, &["debian:none/6.0.0-one-amd64"]);
    assert!(names(Path::new(out)).is_empty());
    assert!(!dir.path().join("ledger.json").exists());
}

/// A folder `stream` in that of `kernel`, with two patches.
struct Bench {
    kernel: Kernel,
    file: PathBuf,
    repo: PathBuf,
}

impl Bench {
    fn new() -> Self {
        let kernel = Kernel::new().with_shared_objects();
        let dir = kernel.dir.path().join("stream");
        let text = |patch: PathBuf| fs::read_to_string(patch).unwrap();
        let one = kernel.fix("one.patch", SMALL, "seq_putc(m, '\\n');", "seq_puts(m, \" one\\n\");");
        let old = "seq_printf(m, \"%lu";
        let uptime = kernel.source("fs/proc/uptime.c");
        let two =
            kernel.patch("two.patch", "fs/proc/uptime.c", &uptime, &uptime.replacen(old, "seq_printf(m, \"+%lu", 1));
        assert!(uptime.contains(old), "fs/proc/uptime.c has another text");
        put(&dir, "one.patch", format!("Subject: [PATCH] proc: the first\n\n{}", text(one)));
        put(&dir, "two.patch", format!("Subject: [PATCH] proc: the second\n\n{}", text(two)));
        Self { file: dir.join("stream.toml"), repo: kernel.dir.path().join("repo"), kernel }
    }

    fn head(&self, more: &str) -> String {
        format!("{HEAD}[[kernel]]\ntarget = \"{}\"\n{more}\n", self.kernel.target.name)
    }

    fn write(&self, parts: &[&str]) {
        fs::write(&self.file, parts.concat()).unwrap();
    }

    fn run(&self, command: &str, more: &[&str]) -> Ran {
        let file = self.file.to_str().unwrap();
        stream(&self.kernel.cache(), &[&[command, file], more].concat())
    }

    fn release(&self, more: &[&str]) -> Ran {
        self.run("release", &[&["-o", self.repo.to_str().unwrap()], more].concat())
    }

    fn ledger(&self) -> Value {
        serde_json::from_slice(&fs::read(self.file.with_file_name("ledger.json")).unwrap()).unwrap()
    }

    fn module(&self, release: u32) -> String {
        let id: String =
            self.kernel.target.release.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }).collect();
        format!("kpatch_{id}_1_{release}")
    }
}

/// A layout that the author lets pass, in the stream file.
fn allowances() {
    let bench = Bench::new();
    let struct_ = "struct kthread {\n";
    let fix = bench.kernel.fix("struct.patch", "kernel/kthread.c", struct_, &format!("{struct_}\tlong kmend_added;\n"));
    fs::copy(fix, bench.file.with_file_name("struct.patch")).unwrap();
    let head = bench.head("");
    let out = bench.kernel.dir.path().join("out");
    let build = || bench.run("build", &["-o", out.to_str().unwrap()]);
    bench.write(&[&head, &version(1, "", "struct.patch", "")]);
    build().fails(2, &["[struct-layout] struct kthread", "--allow-layout is `allow_layout = [\"NAME\"]`"]);
    // One more that no kernel needs, as another kernel of the stream may.
    let allow = "allow_layout = [\"kthread\"]\nallow_unproven = [\"kmend_no_such_function\"]";
    bench.write(&["max_units = 300\n", &head, &version(1, "", "struct.patch", allow)]);
    build().succeeds();
    let manifest = fs::read(out.join(format!("{}.json", bench.module(1)))).unwrap();
    let manifest: Value = serde_json::from_slice(&manifest).unwrap();
    assert_eq!(manifest["allowed_layouts"], serde_json::json!(["kthread"]));
    assert_eq!(manifest["allowed_unproven"], Value::Null);
}

fn two_versions() {
    let bench = Bench::new();
    let name = bench.kernel.target.name.clone();
    let head = bench.head(
        "supported_until = \"2027-09-01\"\nfixed = [\"CVE-2026-0001\"]\n\n[[kernel.not_carried]]\ncve = \"CVE-2026-0002\"\nreason = \"changes struct layout\"\n",
    );
    let first =
        version(1, "", "one.patch", "cves = [\"CVE-2026-1001\"]\nseverity = \"important\"\ntickets = [\"T-1\"]");
    let second = version(2, "", "two.patch", "cves = [\"CVE-2026-1002\"]\nseverity = \"low\"");
    bench.write(&[&head, &first]);
    bench.run("check", &[]).succeeds();

    // Built, beside a kernel that is not there.
    let out = bench.kernel.out();
    let with_none = format!("{head}[[kernel]]\ntarget = \"tree:no-such-tree-of-tests\"\n\n");
    bench.write(&[&with_none, &first]);
    let ran = bench.run("build", &["-o", out.to_str().unwrap()]);
    ran.fails(1, &["tree:no-such-tree-of-tests: ", "1 of the stream's kernels got no live patch"]);
    let module = bench.module(1);
    assert!(ran.out.contains(&format!("{module}.ko")) && ran.out.contains("failed"), "{}", ran.out);
    assert_eq!(names(&out), ["json", "ko", "rs"].map(|end| format!("{module}.{end}")));
    let manifest: Value = serde_json::from_slice(&fs::read(out.join(format!("{module}.json"))).unwrap()).unwrap();
    assert_eq!(
        manifest["stream"],
        serde_json::json!({"name": "tests", "version": "1-1", "date": "2026-10-01", "supported_until": "2027-09-01",
            "fixed_by_kernel": ["CVE-2026-0001"],
            "not_carried": [{"cve": "CVE-2026-0002", "reason": "changes struct layout"}]})
    );
    let fix = &manifest["fixes"][0];
    assert_eq!((&fix["title"], &fix["since"]), (&"proc: the first".into(), &"1-1".into()));
    assert_eq!(
        (&fix["cves"][0], &fix["severity"], &fix["tickets"][0]),
        (&"CVE-2026-1001".into(), &"important".into(), &"T-1".into())
    );

    // Released, and again with nothing new.
    bench.write(&[&head, &first]);
    bench.release(&[]).succeeds();
    let ledger = bench.ledger();
    let entry = &ledger["kernels"][&name][0];
    assert_eq!(entry["module_sha256"], manifest["module_sha256"]);
    let deb = entry["packages"][0]["file"].as_str().unwrap().to_string();
    let before = names(&bench.repo);
    assert!(before.contains(&deb) && before.iter().any(|n| n.contains("_0-0_")), "{before:?}");
    bench.release(&[]).succeeds();
    assert_eq!((bench.ledger(), names(&bench.repo)), (ledger, before));

    // A released version stays as it is, and so does a released fix.
    bench.write(&[&head, &first.replace("T-1", "T-2")]);
    bench.release(&[]).fails(2, &["[released-version-changed]", "put what changed into a new version"]);
    let patch = bench.file.with_file_name("one.patch");
    let text = fs::read_to_string(&patch).unwrap();
    let sha = kmend_builder::files::sha256(text.as_bytes());
    fs::write(&patch, text.replace(" one\\n", " mended\\n")).unwrap();
    bench.write(&[&head, &first, &second]);
    let replaces = format!("replaces = \"{sha}\"");
    for command in ["check", "build"] {
        bench.run(command, &[]).fails(2, &["[released-fix-changed] one.patch", &replaces]);
    }
    bench.write(&[&head, &first.replace("tickets", &format!("{replaces}\ntickets")), &second]);
    bench.run("check", &[]).succeeds();
    fs::write(&patch, &text).unwrap();
    bench.write(&[&head, &second]);
    bench.run("check", &[]).fails(2, &["[released-fix-dropped] one.patch", "\"proc: the first\" is in version 1-1"]);

    // The second version holds both, signed.
    bench.write(&[&head, &first, &second]);
    let dir = bench.kernel.dir.path();
    keys(dir);
    let [key, cert] = ["a.key", "a.crt"].map(|n| dir.join(n).display().to_string());
    bench.release(&["--sign-key", &key, "--sign-cert", &cert]).succeeds();
    let entries = bench.ledger()["kernels"][&name].clone();
    let fixes: Vec<&Value> = entries[1]["fixes"].as_array().unwrap().iter().map(|f| &f["title"]).collect();
    assert_eq!(fixes, ["proc: the first", "proc: the second"]);
    let deb = bench.repo.join(entries[1]["packages"][0]["file"].as_str().unwrap());
    let unpacked = dir.join("unpacked");
    assert!(Command::new("dpkg-deb").arg("-x").args([&deb, &unpacked]).status().unwrap().success());
    let release = &bench.kernel.target.release;
    let folder = unpacked.join("usr/lib/kpatch").join(release);
    let ko = folder.join(&names(&folder)[0]);
    let said =
        collect(command(&bench.kernel.cache()).arg("inspect").arg(&ko).args(["--verify-cert", &cert, "-t", &name]));
    for words in [
        "(verified)",
        "stream       tests 1-2",
        "important, CVE-2026-1001, T-1, since 1-1",
        "not carried: CVE-2026-0002",
    ] {
        assert!(said.succeeds().out.contains(words), "{words} in {}", said.out);
    }
    let index = fs::read_to_string(bench.repo.join("Packages")).unwrap();
    assert_eq!(index.matches("Package: kpatch-patch-").count(), 3, "{index}");
    // A released version stays in the file.
    bench.write(&[&head, &first, &version(3, "", "two.patch", "")]);
    bench.run("check", &[]).fails(2, &["[released-version-missing]", "version 1-2 is released"]);
}

const HOOKS: &str = "// SPDX-License-Identifier: GPL-2.0-or-later
use crate::{livepatch::{Callbacks, Object}, livepatch_hooks};

pub struct Check;

impl Callbacks for Check {
    fn post_unpatch(_object: &Object) {}
}

livepatch_hooks! { callbacks: { vmlinux: Check } }
";

fn callbacks() {
    let bench = Bench::new();
    put(bench.file.parent().unwrap(), "hooks.rs", HOOKS);
    let head = bench.head("");
    let first = version(1, "hooks = \"hooks.rs\"", "one.patch", "");
    bench.write(&[&head, &first]);
    bench.release(&[]).succeeds();
    bench.write(&[&head, &first, &version(2, "", "two.patch", "")]);
    let out = bench.kernel.out();
    let to = ["-o", out.to_str().unwrap()];
    bench.run("build", &to).fails(2, &["[callback-missing] post_unpatch of vmlinux", "callbacks_dropped"]);
    assert!(names(&out).is_empty());
    bench.write(&[&head, &first, &version(2, "callbacks_dropped = \"it has set up nothing\"", "two.patch", "")]);
    bench.run("build", &to).succeeds();
}

/// What `rpm` says of a package file.
fn rpm(file: &Path, question: &str) -> String {
    let said = Command::new("rpm").args(["-qp", "--nosignature", question]).arg(file).output();
    String::from_utf8(said.expect("rpm is missing: `make deps` installs it").stdout).unwrap()
}

fn rpms() {
    let bench = Bench::new();
    let head = bench.head("").replacen("\n\n", "\npackages = \"rpm\"\n\n", 1);
    let first =
        version(1, "", "one.patch", "cves = [\"CVE-2026-1001\"]\nseverity = \"important\"\ntickets = [\"T-1\"]");
    let second = version(2, "", "two.patch", "cves = [\"CVE-2026-1002\"]");
    bench.write(&[&head, &first]);
    bench.release(&[]).succeeds();
    bench.write(&[&head, &first, &second]);
    bench.release(&[]).succeeds();
    let id: String = bench
        .kernel
        .target
        .release
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() || c == '-' { c } else { '_' })
        .collect();
    let there = names(&bench.repo);
    for wanted in ["-0-0.", "-1-1.", "-1-2."] {
        let package = format!("kpatch-patch-{id}{wanted}");
        assert!(there.iter().any(|f| f.starts_with(&package) && f.ends_with(".rpm")), "{package}: {there:?}");
    }
    assert!(there.iter().any(|f| f.starts_with("kpatch-patches-")), "{there:?}");
    let newest = there.iter().find(|f| f.starts_with(&format!("kpatch-patch-{id}-1-2."))).unwrap();
    let newest = bench.repo.join(newest);
    let file = format!("/usr/lib/kpatch/{}/kpatch-{id}-1-2.ko\n", bench.kernel.target.release);
    assert!(rpm(&newest, "--list").contains(&file), "{}", rpm(&newest, "--list"));
    let changes = rpm(&newest, "--changelog");
    assert!(changes.contains("- proc: the first [T-1] {CVE-2026-1001}"), "{changes}");
    assert!(changes.contains("- proc: the second {CVE-2026-1002}"), "{changes}");
    // The index tells of the advisories too.
    let index = fs::read_to_string(bench.repo.join("repodata/repomd.xml")).unwrap();
    assert!(index.contains("type=\"primary\"") && index.contains("type=\"updateinfo\""), "{index}");
}
