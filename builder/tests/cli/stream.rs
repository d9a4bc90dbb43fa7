// SPDX-License-Identifier: GPL-2.0-or-later
//! Streams: wrong files, and a stream of two and three versions on a prepared kernel, released into a repository.

use super::kernel::{Kernel, SMALL};
use super::sign::keys;
use super::tool::{collect, command, folder, names, put, Ran, KMEND};
use super::Test;
use serde_json::Value;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

pub const TESTS: &[Test] =
    &[("wrong_files", wrong_files), ("kernels_that_are_not_prepared", kernels_that_are_not_prepared)];

pub const WITH_TARGET: &[Test] = &[
    ("two_versions", two_versions),
    ("what_a_fix_lets_pass", allowances),
    ("callbacks_of_the_version_before", callbacks),
    ("what_each_fix_does_is_kept_apart", effects),
    ("commits_of_one_file", commits),
    ("commits_that_build_on_each_other", commits_together),
    ("mails_around_released_hunks", mails),
    ("released_as_rpms", rpms),
];

const HEAD: &str = "name = \"tests\"\npackager = \"A Team <team@example.org>\"\nurl = \"https://example.org/live\"\n\n";

/// A version of a stream file.
pub fn version(release: u32, more: &str, patch: &str, fix: &str) -> String {
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
    for days in ["0", "-1", "3651"] {
        check(&good.replace("url =", &format!("valid_days = {days}\nurl ="))).fails(1, &["line 3: valid_days = "]);
    }
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
pub struct Bench {
    pub kernel: Kernel,
    pub file: PathBuf,
    pub repo: PathBuf,
}

impl Bench {
    pub fn new() -> Self {
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

    pub fn head(&self, more: &str) -> String {
        format!("{HEAD}[[kernel]]\ntarget = \"{}\"\n{more}\n", self.kernel.target.name)
    }

    pub fn write(&self, parts: &[&str]) {
        fs::write(&self.file, parts.concat()).unwrap();
    }

    pub fn run(&self, command: &str, more: &[&str]) -> Ran {
        let file = self.file.to_str().unwrap();
        stream(&self.kernel.cache(), &[&[command, file], more].concat())
    }

    /// Releases as a user whose new files no one else may read; the repository is for all.
    pub fn release(&self, more: &[&str]) -> Ran {
        let mut shell = Command::new("sh");
        shell.args(["-c", "umask 077; exec \"$0\" \"$@\"", KMEND, "stream", "release"]).arg(&self.file);
        shell.arg("-o").arg(&self.repo).args(more).env("KMEND_CACHE", self.kernel.cache()).stdin(Stdio::null());
        let ran = collect(&mut shell);
        for path in std::iter::once(self.repo.clone()).chain(names(&self.repo).iter().map(|n| self.repo.join(n))) {
            let Ok(about) = fs::metadata(&path) else { continue };
            let wanted = if path.ends_with(".kmend.lock") {
                0o600
            } else if about.is_dir() {
                0o755
            } else {
                0o644
            };
            assert_eq!(about.permissions().mode() & 0o777, wanted, "{}", path.display());
        }
        ran
    }

    pub fn ledger(&self) -> Value {
        serde_json::from_slice(&fs::read(self.file.with_file_name("ledger.json")).unwrap()).unwrap()
    }

    pub fn module(&self, release: u32) -> String {
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

/// What a ledger has but the index, which is another each time.
fn released(ledger: &Value) -> [&Value; 2] {
    [&ledger["kernels"], &ledger["others"]]
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
    assert_eq!((&fix["effect"], &fix["reason"]), (&"live".into(), &Value::Null));
    assert_eq!(
        (&fix["cves"][0], &fix["severity"], &fix["tickets"][0]),
        (&"CVE-2026-1001".into(), &"important".into(), &"T-1".into())
    );

    // Released, and again with nothing new.
    bench.write(&[&head, &first]);
    bench.release(&[]).succeeds();
    let ledger = bench.ledger();
    let entry = &ledger["kernels"][&name][0];
    assert!(ledger["index"]["date"].as_i64() > Some(1_700_000_000), "{ledger}");
    assert_eq!(entry["module_sha256"], manifest["module_sha256"]);
    let deb = entry["packages"][0]["file"].as_str().unwrap().to_string();
    let before = names(&bench.repo);
    assert!(before.contains(&deb) && before.iter().any(|n| n.contains("_0-0_")), "{before:?}");
    bench.release(&[]).succeeds();
    assert_eq!((released(&bench.ledger()), names(&bench.repo)), (released(&ledger), before));

    // A released version stays as it is, and so does a released fix.
    bench.write(&[&head, &first.replace("T-1", "T-2")]);
    bench.release(&[]).fails(2, &["[released-version-changed]", "put what changed into a new version"]);
    let patch = bench.file.with_file_name("one.patch");
    let text = fs::read_to_string(&patch).unwrap();
    let sha = bench.ledger()["kernels"][&name][0]["fixes"][0]["hunks_sha256"].as_str().unwrap().to_string();
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
    // Found out before anything is compiled.
    for (key, cert, says) in
        [("/no/such.key", cert.as_str(), "there is no key /no/such.key"), (&key, "/no/such.crt", "/no/such.crt")]
    {
        let ran = bench.release(&["--sign-key", key, "--sign-cert", cert]);
        ran.fails(1, &[says]);
        assert!(!ran.err.contains("building"), "{}", ran.err);
    }
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

/// Text of `path` with a remark that compiles to nothing.
fn with_a_remark(text: &str) -> String {
    text.replacen('\n', " /* kmend */\n", 1)
}

/// Three answers: fixed live, no concern of this kernel, not fixed; of fixes with files of their own and of several in one.
fn effects() {
    let bench = Bench::new();
    let (kernel, dir) = (&bench.kernel, bench.file.parent().unwrap().to_path_buf());
    let name = kernel.target.name.clone();
    let fix = |file: &str, path: &str, from: &str, to: &str| {
        let text = fs::read_to_string(kernel.patch(file, path, from, to)).unwrap();
        put(&dir, file, format!("Subject: {file}\n\nIt may fix CVE-2026-7777.\n\n{text}"));
    };
    let absent = kernel.source("kernel/kcsan/core.c");
    fix("absent.patch", "kernel/kcsan/core.c", &absent, &with_a_remark(&absent));
    let small = kernel.source(SMALL);
    let first = small.replacen("seq_putc(m, '\\n');", "seq_puts(m, \" one\\n\");", 1);
    fix("same.patch", SMALL, &first, &with_a_remark(&first));
    let remarked = with_a_remark(&first);
    fix("undoes.patch", SMALL, &remarked, &remarked.replacen("seq_puts(m, \" one\\n\");", "seq_putc(m, '\\n');", 1));
    let table = |file: &str, cve: &str| {
        format!("[[version.fix]]\npatch = \"{file}\"\ncves = [\"{cve}\"]\nseverity = \"critical\"\n")
    };
    let first = version(1, "", "one.patch", "cves = [\"CVE-2026-1001\"]\nseverity = \"low\"");
    let others = [table("absent.patch", "CVE-2026-1002"), table("same.patch", "CVE-2026-1003")].concat();
    let head = bench.head("");
    bench.write(&[&head, &first, &others]);
    let ran = bench.release(&[]);
    for words in [
        "  3      1     1          1\n",
        &format!("{name}:\n  absent.patch (CVE-2026-1002): does not concern this kernel: kernel/kcsan/core.c: "),
        "it needs CONFIG_KCSAN, which this kernel does not set\n",
        &format!("  same.patch (CVE-2026-1003): does not concern this kernel: {SMALL} compiles to the same code"),
        "  note: kernel/kcsan/core.c: ",
        "  note: same.patch (\"same.patch\"): its message names CVE-2026-7777;",
    ] {
        assert!(ran.succeeds().out.contains(words), "{words} is not in\n{}", ran.out);
    }
    let entry = &bench.ledger()["kernels"][&name][0];
    let told = |fixes: &Value| -> Vec<String> {
        fixes.as_array().unwrap().iter().map(|f| f["effect"].as_str().unwrap().to_string()).collect()
    };
    assert_eq!(told(&entry["fixes"]), ["live", "not-built", "same-code"]);
    let index = fs::read_to_string(bench.repo.join("Packages")).unwrap();
    assert!(index.contains("Kmend-Cves: CVE-2026-1001\n"), "{index}");
    let deb = bench.repo.join(entry["packages"][0]["file"].as_str().unwrap());
    let unpacked = kernel.dir.path().join("unpacked");
    assert!(Command::new("dpkg-deb").arg("-x").args([&deb, &unpacked]).status().unwrap().success());
    let docs = unpacked.join("usr/share/doc");
    let changes = fs::read_to_string(docs.join(&names(&docs)[0]).join("changelog.Debian")).unwrap();
    assert!(changes.contains("* proc: the first {CVE-2026-1001}\n"), "{changes}");
    assert!(changes.contains("* absent.patch (CVE-2026-1002 does not concern this kernel: kernel/kcsan"), "{changes}");

    // The same for programs; the second fix of a file takes back what the first one does.
    bench.write(&[&head, &first, &others, &version(2, "", "undoes.patch", ""), &table("two.patch", "CVE-2026-1004")]);
    let out = kernel.out();
    let ran = bench.run("build", &["--json", "-o", out.to_str().unwrap()]);
    let json: Value = serde_json::from_str(&ran.succeeds().out).unwrap();
    let one = &json["kernels"][0];
    assert_eq!((&json["version"], &one["result"], &one["kernel"]), (&"1-2".into(), &"built".into(), &name.into()));
    assert_eq!(told(&one["fixes"]), ["undone", "not-built", "same-code", "undone", "live"]);
    assert!(
        one["notes"].as_array().unwrap().len() > 2
            && one["warnings"].is_array()
            && one["refusals"] == serde_json::json!([])
    );
    let inside = collect(command(&kernel.cache()).arg("inspect").arg(out.join(format!("{}.ko", bench.module(2)))));
    assert!(
        inside.succeeds().out.contains("    not fixed: ") && !inside.out.contains("CVE-2026-7777"),
        "{}",
        inside.out
    );

    // A version that concerns no code of the kernel has no live patch for it, and that is no refusal.
    fs::remove_file(bench.file.with_file_name("ledger.json")).unwrap();
    bench.write(&[&head, &version(1, "", "absent.patch", "cves = [\"CVE-2026-1002\"]")]);
    let ran = bench.run("build", &["-o", out.to_str().unwrap()]);
    assert!(ran.succeeds().out.contains("does not concern this kernel"), "{}", ran.out);
    let ran = bench.run("build", &["--json", "-o", out.to_str().unwrap()]);
    let json: Value = serde_json::from_str(&ran.succeeds().out).unwrap();
    assert_eq!((&json["kernels"][0]["result"], &json["kernels"][0]["module"]), (&"no-code".into(), &Value::Null));
    assert_eq!(told(&json["kernels"][0]["fixes"]), ["not-built"]);
}

/// A mailbox is as many fixes as it has commits, in a stream and in a build.
fn commits() {
    let bench = Bench::new();
    let (kernel, dir) = (&bench.kernel, bench.file.parent().unwrap().to_path_buf());
    let small = kernel.source(SMALL);
    let texts = [
        small.clone(),
        with_a_remark(&small),
        with_a_remark(&small).replacen("seq_putc(m, '\\n');", "seq_puts(m, \" one\\n\");", 1),
    ];
    let mail = |n: usize, diff: String, message: &str| {
        format!("From 0123456789 Mon Sep 17 00:00:00 2001\nFrom: A <a@b>\nSubject: [PATCH {n}/3] commit {n}\n\n{message}\n---\n{diff}-- \n2.39\n\n")
    };
    let diff = |n: usize| fs::read_to_string(kernel.patch("x.patch", SMALL, &texts[n], &texts[n + 1])).unwrap();
    let two = fs::read_to_string(dir.join("two.patch")).unwrap();
    let mbox = mail(1, diff(0), "") + &mail(2, diff(1), "Fixes CVE-2026-1001.") + &mail(3, two, "");
    let path = put(&dir, "series.mbox", mbox);
    let out = kernel.out();
    let told = |fixes: &Value| -> Vec<(String, String, usize)> {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_string();
        let cves = |f: &Value| f["cves"].as_array().map_or(0, Vec::len);
        fixes.as_array().unwrap().iter().map(|f| (text(&f["title"]), text(&f["effect"]), cves(f))).collect()
    };
    let one = |n: usize, effect: &str, cves: usize| (format!("commit {n}"), effect.to_string(), cves);
    let ran = kernel.build(&path, &["-n", "kmend_series", "--json"]);
    let json: Value = serde_json::from_str(&ran.succeeds().out).unwrap();
    let fixes = &json["manifest"]["fixes"];
    assert_eq!(told(fixes), [one(1, "same-code", 0), one(2, "live", 0), one(3, "live", 0)]);
    assert!(json["manifest"]["notes"].to_string().contains("series.mbox, commit 2"), "{}", json["manifest"]["notes"]);
    assert_eq!((&fixes[0]["sha256"], &fixes[0]["commit"]), (&fixes[1]["sha256"], &1.into()));
    assert_ne!(fixes[0]["hunks_sha256"], fixes[1]["hunks_sha256"]);
    bench.write(&[&bench.head(""), &version(1, "", "series.mbox", "cves = [\"CVE-2026-1001\"]")]);
    let ran = bench.run("build", &["--json", "-o", out.to_str().unwrap()]);
    let json: Value = serde_json::from_str(&ran.succeeds().out).unwrap();
    assert_eq!(told(&json["kernels"][0]["fixes"]), [one(1, "same-code", 0), one(2, "live", 1), one(3, "live", 0)]);
    assert!(!json["kernels"][0]["notes"].to_string().contains("names CVE"), "{json}");
}

/// The first commit uses what the second adds, and the third changes that: all of them are live, none compiles to nothing.
fn commits_together() {
    let bench = Bench::new();
    let kernel = &bench.kernel;
    let head = "static int cmdline_proc_show";
    let small = kernel.source(SMALL);
    let uses = small.replacen("seq_putc(m, '\\n');", "kmend_end(m);", 1);
    let added = "static noinline void kmend_end(struct seq_file *m)\n{\n\tseq_puts(m, \" end\\n\");\n}\n\n";
    let adds = uses.replacen(head, &format!("{added}{head}"), 1);
    let texts = [&small, &uses, &adds, &adds.replacen("\" end", "\" END", 1)];
    let mails: String = (0..3)
        .map(|n| {
            let diff = fs::read_to_string(kernel.patch("x.patch", SMALL, texts[n], texts[n + 1])).unwrap();
            format!("From 0123456789 Mon Sep 17 00:00:00 2001\nFrom: A <a@b>\nSubject: commit {n}\n\n---\n{diff}-- \n2.39\n\n")
        })
        .collect();
    let path = put(kernel.dir.path(), "series.mbox", mails);
    let ran = kernel.build(&path, &["-n", "kmend_series", "--json"]);
    let json: Value = serde_json::from_str(&ran.succeeds().out).unwrap();
    let effects: Vec<&Value> = json["manifest"]["fixes"].as_array().unwrap().iter().map(|f| &f["effect"]).collect();
    assert_eq!(effects, ["live", "live", "live"]);
    // Where nothing changes code each fix says why.
    let absent = kernel.source("kernel/kcsan/core.c");
    let absent = kernel.patch("absent.patch", "kernel/kcsan/core.c", &absent, &with_a_remark(&absent));
    let same = kernel.patch("same.patch", SMALL, &small, &with_a_remark(&small));
    let ran = kernel.build(&absent, &[same.as_os_str(), "--json".as_ref()]);
    let json: Value = serde_json::from_str(&ran.fails(3, &["nothing to patch"]).out).unwrap();
    let effects: Vec<&Value> = json["fixes"].as_array().unwrap().iter().map(|f| &f["effect"]).collect();
    assert_eq!((&json["result"], effects), (&"unchanged".into(), vec![&"not-built".into(), &"same-code".into()]));
}

/// What a mail says around released hunks may change, and a ledger of an older program is read.
fn mails() {
    let bench = Bench::new();
    let head = bench.head("");
    let first = version(1, "", "one.patch", "cves = [\"CVE-2026-1001\"]");
    bench.write(&[&head, &first]);
    bench.release(&[]).succeeds();
    let ledger = bench.ledger();
    let patch = bench.file.with_file_name("one.patch");
    let text = fs::read_to_string(&patch).unwrap();
    let mailed =
        text.replacen("proc: the first\n\n", "proc: another title\n\nReviewed-by: A <a@b>\n---\n fs | 2 +-\n\n", 1);
    assert_ne!(mailed, text);
    fs::write(&patch, &mailed).unwrap();
    bench.release(&[]).succeeds();
    assert_eq!(released(&bench.ledger()), released(&ledger));
    let second = version(2, "", "two.patch", "");
    bench.write(&[&head, &first, &second]);
    bench.run("check", &[]).succeeds();

    // As it was written before: form 1, with the sum of the file alone.
    let mut old = ledger;
    old["schema"] = 1.into();
    let fixes = old["kernels"][&bench.kernel.target.name][0]["fixes"].as_array_mut().unwrap();
    for key in ["hunks_sha256", "effect"] {
        assert!(fixes[0].as_object_mut().unwrap().remove(key).is_some());
    }
    fs::write(bench.file.with_file_name("ledger.json"), old.to_string()).unwrap();
    bench.run("check", &[]).fails(2, &["[released-fix-changed] one.patch", "an older kmend-build"]);
    fs::write(&patch, &text).unwrap();
    bench.run("check", &[]).succeeds();
    bench.release(&[]).succeeds();
    assert_eq!(bench.ledger()["schema"], 3);
    fs::write(&patch, &mailed).unwrap();
    bench.run("check", &[]).succeeds();
}

const HOOKS: &str = "// SPDX-License-Identifier: GPL-2.0-or-later
use crate::{livepatch::{CallbackObject, Callbacks}, livepatch_hooks};
use kernel::prelude::*;

pub struct Check;

#[vtable]
impl Callbacks for Check {
    fn post_unpatch(_object: &CallbackObject<'_>) {}
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
pub fn rpm(file: &Path, question: &str) -> String {
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
