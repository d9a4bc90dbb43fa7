// SPDX-License-Identifier: GPL-2.0-or-later
//! A stream on many machines: plans, results that are not what they should be, and real ones that are assembled into a repository.

use super::stream::{version, Bench};
use super::tool::{collect, command, folder, names, on_full_disk, put, Ran, KMEND};
use super::Test;
use kmend_builder::files::sha256;
use kmend_builder::target::Target;
use serde_json::Value;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

pub const TESTS: &[Test] = &[
    ("plans_need_no_target", plans_need_no_target),
    ("jobs_without_a_target", jobs_without_a_target),
    ("errors_in_json", errors_in_json),
    ("files_that_grow", files_that_grow),
    ("commits_become_fixes", commits_become_fixes),
    ("a_thousand_kernels", a_thousand_kernels),
];

pub const WITH_TARGET: &[Test] = &[
    ("results_become_a_repository", results_become_a_repository),
    ("hostile_results", hostile_results),
    ("results_that_hold_no_module", results_that_hold_no_module),
];

const HEAD: &str = "name = \"tests\"\npackager = \"A Team <team@example.org>\"\nurl = \"https://example.org/live\"\n\n";

fn stream(cache: &Path, args: &[&str]) -> Ran {
    collect(command(cache).arg("stream").args(args))
}

fn json(ran: &Ran) -> Value {
    serde_json::from_str(&ran.out).unwrap_or_else(|e| panic!("{e}: {}{}", ran.out, ran.err))
}

/// A patch of one file that no kernel has.
fn patch(name: &str) -> String {
    format!("Subject: [PATCH] {name}\n\n--- a/f.c\n+++ b/f.c\n@@ -1 +1 @@\n-{name}\n+b\n")
}

/// A stream of `kernels` kernels that are not prepared, in `dir`.
fn made_up(dir: &Path, kernels: usize) -> PathBuf {
    put(dir, "a.patch", patch("a"));
    let tables: String =
        (0..kernels).map(|n| format!("[[kernel]]\ntarget = \"debian:none/6.0.{n}-one-amd64\"\n\n")).collect();
    put(dir, "stream.toml", format!("{HEAD}{tables}{}", version(1, "", "a.patch", "")))
}

fn plans_need_no_target() {
    let dir = folder();
    let cache = dir.path().join("cache");
    let file = made_up(dir.path(), 3);
    let text = fs::read_to_string(&file).unwrap();
    let ended = "target = \"debian:none/6.0.0-one-amd64\"\nsupported_until = \"2026-10-01\"";
    let text = text.replace("target = \"debian:none/6.0.0-one-amd64\"", ended);
    put(dir.path(), "b.patch", patch("b-old"));
    let second =
        version(2, "", "b.patch", "kernels = [\"debian:none/6.0.2-one-amd64\", \"debian:none/6.0.0-one-amd64\"]");
    fs::write(&file, format!("{text}{second}")).unwrap();
    let file = file.to_str().unwrap();
    let plan = |more: &[&str]| stream(&cache, &[&["plan", file], more].concat());
    let told = json(plan(&["--json"]).succeeds());
    assert_eq!(
        (&told["schema_version"], &told["command"], &told["result"], &told["to_build"]),
        (&1.into(), &"plan".into(), &"done".into(), &1.into())
    );
    let whys: Vec<&str> = told["kernels"].as_array().unwrap().iter().map(|k| k["why"].as_str().unwrap()).collect();
    assert_eq!(whys, ["support-ended", "nothing-new", "build"]);
    let job = &told["kernels"][2];
    assert_eq!((&job["arch"], &job["target"], &job["seconds"]), (&"x86_64".into(), &Value::Null, &Value::Null));
    assert_eq!(job["module"], "kpatch_6_0_2_one_amd64_1_2");
    assert_eq!(told["kernels"][0]["command"], Value::Null);
    assert_eq!(job["command"].as_str().unwrap(), plan(&["--format", "plain"]).succeeds().out.trim());
    // With a trial: the same job, which needs a guest.
    let tried = json(plan(&["--try", "--json"]).succeeds());
    let with_try = &tried["kernels"][2];
    assert_eq!((&with_try["id"], &with_try["input"]), (&job["id"], &job["input"]));
    assert!(with_try["command"].as_str().unwrap().ends_with(" --result results --try"), "{with_try}");
    assert_eq!(tried["jobs"][0]["command"].as_array().unwrap().last(), Some(&"--try".into()));
    let guest = serde_json::json!({"emulator": "qemu-system-x86_64", "memory": "1G"});
    assert_eq!((&job["needs"]["guest"], &with_try["needs"]["guest"]), (&Value::Null, &guest));
    assert_eq!((&job["needs"]["target"], &told["kernels"][0]["needs"]), (&job["kernel"], &Value::Null));
    let table = plan(&[]);
    assert!(table.succeeds().out.contains("kernels to build: 1 of 3, in 1 job"), "{}", table.out);
    // Another folder, the same sums.
    let elsewhere = folder();
    for name in ["a.patch", "b.patch", "stream.toml"] {
        fs::copy(dir.path().join(name), elsewhere.path().join(name)).unwrap();
    }
    let other = elsewhere.path().join("stream.toml");
    let other = json(stream(&cache, &["plan", other.to_str().unwrap(), "--json"]).succeeds());
    assert_eq!((&other["kernels"][2]["input"], &other["kernels"][2]["id"]), (&job["input"], &job["id"]));
    // The first version, for all three; by two in a job.
    let jobs = json(plan(&["--version", "1-1", "--max-jobs", "2", "--json"]).succeeds());
    let sizes: Vec<usize> =
        jobs["jobs"].as_array().unwrap().iter().map(|j| j["kernels"].as_array().unwrap().len()).collect();
    assert_eq!(sizes, [2, 1]);
    plan(&["--max-jobs", "0"]).fails(1, &["a number from 1 on"]);
    plan(&["--format", "github", "--max-jobs", "257"]).fails(1, &["--max-jobs 257", "256 at most"]);
    // Nothing to do.
    let none = plan(&["-k", "debian:none/6.0.1-one-amd64", "--json"]);
    let none = json(none.fails(3, &["there is nothing to build"]));
    assert_eq!((&none["result"], &none["jobs"]), (&"nothing-to-do".into(), &serde_json::json!([])));
    let none = plan(&["-k", "debian:none/6.0.1-one-amd64", "--format", "github"]);
    assert_eq!(none.fails(3, &[]).out, "{\"include\":[]}\n");
}

/// Runs the command lines of a plan in `dir`.
fn run_lines(dir: &Path, cache: &Path, lines: &str) -> Ran {
    let mut shell = Command::new("sh");
    let path = format!("{}:{}", Path::new(KMEND).parent().unwrap().display(), std::env::var("PATH").unwrap());
    shell.args(["-c", lines]).current_dir(dir).env("KMEND_CACHE", cache).env("PATH", path);
    collect(&mut shell)
}

fn jobs_without_a_target() {
    let dir = folder();
    let cache = dir.path().join("cache");
    let file = made_up(dir.path(), 2);
    let before = names(dir.path());
    let plan = || run_lines(dir.path(), &cache, "kmend-build stream plan stream.toml --format plain");
    let lines = plan().succeeds().out.clone();
    let first = lines.lines().next().unwrap();
    // An error is a result, and one that an engine may try again.
    let ran = run_lines(dir.path(), &cache, first);
    ran.fails(1, &["debian:none/6.0.0-one-amd64: no target"]);
    let results = dir.path().join("results");
    let id = names(&results).remove(0);
    assert_eq!(names(&results.join(&id)), ["build.log", "result.json"]);
    let result: Value = serde_json::from_slice(&fs::read(results.join(&id).join("result.json")).unwrap()).unwrap();
    assert_eq!((&result["outcome"], &result["id"], &result["module"]), (&"error".into(), &id.into(), &Value::Null));
    assert!(
        result["error"].as_str().unwrap().contains("no target") && result["run"]["seconds"].is_number(),
        "{result}"
    );
    assert!(!dir.path().join("ledger.json").exists());
    // A plan that is older than its stream: a patch was changed since.
    fs::write(dir.path().join("a.patch"), patch("c")).unwrap();
    run_lines(dir.path(), &cache, first).fails(1, &["the plan is not of this stream file", "plan again"]);
    fs::write(dir.path().join("a.patch"), patch("a")).unwrap();
    let file = file.to_str().unwrap();
    let build = |more: &[&str]| stream(&cache, &[&["build", file, "-k", "debian:none/6.0.0-one-amd64"], more].concat());
    build(&["--input", "0"]).fails(1, &["--result"]);
    build(&["--try"]).fails(1, &["--result"]);
    build(&["--result", "x", "--processors", "0"]).fails(1, &["a number from 1 on"]);
    build(&["--result", "x", "--input", "0"]).fails(1, &["the plan is not of this stream file"]);
    build(&["--result", "x", "-o", "y"]).fails(1, &["cannot be used with"]);
    build(&["--result", "x", "--sign-key", "y", "--sign-cert", "z"]).fails(1, &["cannot be used with"]);
    // A disk that is full.
    let full = dir.path().join("full");
    fs::create_dir(&full).unwrap();
    let mut run = command(&cache);
    run.args(["stream", "build", file, "-k", "debian:none/6.0.0-one-amd64", "--result"]).arg(&full);
    let (ran, left) = on_full_disk(&run, &full, 16, 0);
    ran.fails(1, &["is the disk full?"]);
    assert!(left.is_empty(), "{left:?}");
    // A folder that is none.
    put(dir.path(), "file", "");
    let at = dir.path().join("file");
    build(&["--result", at.to_str().unwrap()]).fails(1, &["file"]);
    assert_eq!(names(dir.path()).len(), before.len() + 3, "{:?}", names(dir.path()));
}

fn errors_in_json() {
    let dir = folder();
    let cache = dir.path().join("cache");
    let file = made_up(dir.path(), 1);
    let text = fs::read_to_string(&file).unwrap();
    let name = file.to_str().unwrap();
    let good = json(stream(&cache, &["check", name, "--json"]).succeeds());
    assert_eq!((&good["result"], &good["kernels"][0]["fixes"]), (&"done".into(), &1.into()));
    fs::write(&file, text.replace("date = \"2026", "date = \"2O26")).unwrap();
    let all: [&[&str]; 5] = [
        &["check", name, "--json"],
        &["plan", name, "--json"],
        &["build", name, "--json", "-o", "out"],
        &["release", name, "--json", "-o", "repo"],
        &["assemble", name, "--json", "-o", "repo", "--results", "r"],
    ];
    for args in all {
        let mut run = command(&cache);
        let ran = collect(run.current_dir(dir.path()).arg("stream").args(args));
        let told = json(ran.fails(1, &["is no day of the calendar"]));
        assert_eq!((&told["command"], &told["result"]), (&args[0].into(), &"error".into()));
        assert!(told["faults"][0]["line"].as_u64() > Some(5) && told["error"].is_string(), "{told}");
    }
}

fn files_that_grow() {
    let dir = folder();
    let cache = dir.path().join("cache");
    let run = |args: &[&str]| {
        let mut run = command(&cache);
        collect(run.current_dir(dir.path()).env("SOURCE_DATE_EPOCH", "1790000000").arg("stream").args(args))
    };
    let who = "A Team <team@example.org>";
    let kernel = "debian:none/6.0.0-one-amd64";
    let file = dir.path().join("stream.toml");
    run(&["init", "stream.toml", "--packager", "nobody", "-k", kernel]).fails(1, &["--packager", "Name <mail>"]);
    run(&["init", "stream.toml", "--name", "s", "--packager", who, "-k", "debian:forky"])
        .fails(1, &["names no kernel"]);
    assert!(!file.exists());
    run(&["init", "stream.toml", "--name", "s", "--packager", who, "-k", kernel]).succeeds();
    run(&["init", "stream.toml", "--name", "s", "--packager", who, "-k", kernel]).fails(1, &["exists already"]);
    run(&["check", "stream.toml"]).fails(1, &["has no version", "kmend-build stream add"]);
    let mut before = fs::read_to_string(&file).unwrap() + "# mine\n";
    fs::write(&file, &before).unwrap();

    // One from elsewhere is copied; one in the folder is named.
    let outside = folder();
    let from = put(outside.path(), "one.patch", patch("one CVE-2026-7777"));
    put(dir.path(), "fixes/two.patch", patch("two"));
    let ran = run(&["add", "stream.toml", from.to_str().unwrap(), "--cve", "CVE-2026-1001", "--severity", "low"]);
    assert!(ran.succeeds().out.contains("1 patch added to the new version 1-1"), "{}", ran.out);
    run(&["add", "stream.toml", "fixes/two.patch"]).succeeds();
    let now = fs::read_to_string(&file).unwrap();
    let added = now.strip_prefix(&before).expect("what was there stays");
    for line in [
        "date = \"2026-09-21\"",
        "patch = \"one.patch\"",
        "patch = \"fixes/two.patch\"",
        "# cves = [\"CVE-2026-7777\"]",
    ] {
        assert!(added.contains(line), "{line}: {added}");
    }
    assert_eq!(added.matches("[[version]]").count(), 1);
    run(&["check", "stream.toml"]).succeeds();
    before = now;

    // Nothing is changed where something is wrong, and no copy stays.
    let bad = put(outside.path(), "bad.patch", "no patch");
    let other = put(outside.path(), "sub/one.patch", patch("another"));
    for (args, says) in [
        (vec![bad.to_str().unwrap()], "bad.patch"),
        (vec![other.to_str().unwrap()], "exists with other contents"),
        (vec![from.to_str().unwrap()], "is the fix of line"),
        (vec!["fixes/two.patch", "--cve", "CVE-1"], "is no CVE"),
        (vec!["fixes/two.patch", "--severity", "bad"], "critical"),
        (vec!["none.patch"], "none.patch"),
        (vec![bad.to_str().unwrap(), "--version", "1-0"], "is no version"),
        (vec![bad.to_str().unwrap(), "--date", "2026-10-01"], "has its day already"),
    ] {
        run(&[vec!["add", "stream.toml"], args].concat()).fails(1, &[says]);
        assert_eq!(fs::read_to_string(&file).unwrap(), before);
        assert!(!dir.path().join("bad.patch").exists());
    }
    // What is released gets no more fixes.
    let ledger = serde_json::json!({"schema": 3, "stream": "s", "others": [], "kernels": {kernel: [{"version": "1-1",
        "date": "2026-09-21", "release": "6", "build_id": "a", "module": "m", "module_sha256": "b", "fixes": [],
        "states": [], "callbacks": [], "packages": []}]}});
    put(dir.path(), "ledger.json", ledger.to_string());
    let third = put(outside.path(), "three.patch", patch("three"));
    let third = third.to_str().unwrap();
    run(&["add", "stream.toml", third, "--version", "1-1"]).fails(1, &["version 1-1 is released"]);
    let ran = run(&["add", "stream.toml", third, "--date", "2026-10-02"]);
    assert!(ran.succeeds().out.contains("the new version 1-2"), "{}", ran.out);
}

fn commits_become_fixes() {
    let dir = folder();
    let repo = dir.path().join("linux");
    fs::create_dir(&repo).unwrap();
    let git = |args: &[&str]| {
        let mut git = Command::new("git");
        git.args(["-c", "user.name=A", "-c", "user.email=a@b", "-c", "core.fsmonitor=false", "-C"])
            .arg(&repo)
            .args(args);
        let out = git.output().expect("git is missing: `make deps` installs it");
        assert!(out.status.success(), "{args:?}: {}", String::from_utf8_lossy(&out.stderr));
    };
    git(&["init", "-q", "-b", "main"]);
    let commit = |name: &str, text: &str, message: &str| {
        fs::write(repo.join(name), text).unwrap();
        git(&["add", "."]);
        git(&["commit", "-q", "-m", message]);
    };
    commit("f.c", "a\n", "begin");
    git(&["tag", "v1"]);
    commit("f.c", "b\n", "f: the first\n\nIt fixes CVE-2026-5555.");
    commit("g.c", "c\n", "g: a new file $(touch x)");
    // What a repository's configuration would have git run.
    let mark = dir.path().join("ran");
    git(&["config", "diff.external", &format!("touch {}", mark.display())]);
    git(&["config", "core.fsmonitor", &format!("touch {}", mark.display())]);
    git(&["config", "core.pager", &format!("touch {}", mark.display())]);
    let own = dir.path().join("own");
    put(&own, "a.patch", patch("z"));
    let head =
        format!("{HEAD}[[kernel]]\ntarget = \"debian:none/6.0.0-one-amd64\"\n\n{}", version(1, "", "a.patch", ""));
    let file = put(&own, "stream.toml", &head);
    let add = |range: &str| {
        let args = ["add", file.to_str().unwrap(), "--from-git", repo.to_str().unwrap(), range];
        stream(&dir.path().join("cache"), &args)
    };
    for (range, says) in [
        ("v1..v1", "holds no commit"),
        ("none..main", "git cannot read none..main"),
        ("--output=x", "--output"),
        ("", "is no range of commits"),
    ] {
        add(range).fails(1, &[says]);
    }
    let ran = add("v1..main");
    assert!(ran.succeeds().out.contains("2 patches added to version 1-1"), "{}", ran.out);
    assert!(!mark.exists());
    let text = fs::read_to_string(&file).unwrap();
    let added = text.strip_prefix(&head).unwrap();
    assert!(added.contains("# title = \"f: the first\"") && added.contains("# cves = [\"CVE-2026-5555\"]"), "{added}");
    assert_eq!(names(&own).len(), 5, "{:?}", names(&own));
    stream(&dir.path().join("cache"), &["check", file.to_str().unwrap()]).succeeds();
    // The same once more: nothing is added twice.
    add("v1..main").fails(1, &["is the fix of line"]);
    git(&["checkout", "-q", "-b", "side", "v1"]);
    commit("h.c", "d\n", "h: beside");
    git(&["checkout", "-q", "main"]);
    git(&["merge", "-q", "--no-ff", "-m", "both", "side"]);
    add("v1..main").fails(1, &["is a merge"]);
}

/// A run that may have so much data in memory, KiB.
fn within(kib: usize, cache: &Path, args: &[&str]) -> Ran {
    let mut shell = Command::new("sh");
    shell.args(["-c", "ulimit -d \"$1\"; shift; exec \"$@\"", "sh", &kib.to_string(), KMEND, "stream"]).args(args);
    collect(shell.env("KMEND_CACHE", cache))
}

/// Plans of 1,000 kernels, and 3,000 results of which each is read, in seconds and in memory that does not grow with them.
/// KMEND_TEST_RESULTS takes another number for each kernel.
fn a_thousand_kernels() {
    const KERNELS: usize = 1000;
    let copies: usize = std::env::var("KMEND_TEST_RESULTS").ok().and_then(|n| n.parse().ok()).unwrap_or(3);
    let dir = folder();
    let cache = dir.path().join("cache");
    let file = made_up(dir.path(), KERNELS);
    let file = file.to_str().unwrap();
    let begun = Instant::now();
    let plan = json(stream(&cache, &["plan", file, "--json"]).succeeds());
    let kernels = plan["kernels"].as_array().unwrap();
    assert_eq!((kernels.len(), &plan["to_build"]), (KERNELS, &KERNELS.into()));
    let planned = begun.elapsed();
    let matrix = json(stream(&cache, &["plan", file, "--format", "github"]).succeeds());
    assert_eq!(matrix["include"].as_array().unwrap().len(), 256);
    // Each with a refusal of 20 kB, so that what is kept of it would show.
    let results = dir.path().join("results");
    let long = "x".repeat(20_000);
    for (n, kernel) in kernels.iter().enumerate() {
        let result = serde_json::json!({"schema_version": 1, "id": kernel["id"], "stream": "tests", "version": "1-1",
            "kernel": kernel["kernel"], "kmend_build": plan["kmend_build"], "program": plan["program"], "input": kernel["input"],
            "inputs": kernel["inputs"], "target": null, "outcome": "refused", "why": null, "said": "refused",
            "module": null, "functions": null, "fixes": [], "warnings": [], "notes": [], "error": null, "run": null,
            "refusals": [{"code": "x-y", "symbol": "", "section": "", "reason": long, "hint": ""}],
            "files": {"build.log": {"sha256": sha256(b"log"), "bytes": 3}}});
        let text = result.to_string();
        for copy in 0..copies {
            let to = results.join(format!("{copy}/{n}"));
            put(&to, "result.json", &text);
            put(&to, "build.log", "log");
        }
    }
    // 40 MiB of heap: one copy of all results would take half of that, three more than all of it.
    let begun = Instant::now();
    let ran = within(40 << 10, &cache, &["plan", file, "--results", results.to_str().unwrap(), "--json"]);
    let told = json(ran.fails(3, &["there is nothing to build"]));
    let read = begun.elapsed();
    assert!(told["kernels"].as_array().unwrap().iter().all(|k| k["why"] == "has-result"));
    println!("{KERNELS} kernels planned in {planned:.1?}, {} results read in {read:.1?}", KERNELS * copies);
    assert!(planned.as_secs() < 30 && read.as_secs() < 60 * (1 + copies as u64 / 10), "{planned:?} {read:?}");
    // Each fault is told, and no more of them than anybody reads.
    for (n, _) in kernels.iter().enumerate() {
        put(&results.join(format!("0/{n}")), "build.log", "lag");
    }
    let ran = within(40 << 10, &cache, &["plan", file, "--results", results.to_str().unwrap()]);
    ran.fails(
        if copies > 1 { 3 } else { 0 },
        &[&format!("{KERNELS} of {} results are not of this plan", KERNELS * copies)],
    );
}

impl Bench {
    /// Runs the jobs of the plan, with their results in `results` of the stream's folder.
    fn jobs(&self, results: &str) -> Ran {
        let dir = self.file.parent().unwrap();
        let script = format!("kmend-build stream plan stream.toml --format plain --into {results} >jobs && sh -e jobs");
        run_lines(dir, &self.kernel.cache(), &script)
    }

    fn results(&self, name: &str) -> PathBuf {
        self.file.with_file_name(name)
    }

    fn assemble(&self, results: &[&Path], more: &[&str]) -> Ran {
        let mut run = command(&self.kernel.cache());
        run.args(["stream", "assemble"]).arg(&self.file).arg("-o").arg(&self.repo).args(more);
        for dir in results {
            run.arg("--results").arg(dir);
        }
        collect(&mut run)
    }

    /// A copy of the one result in `from`, changed by `edit`.
    fn copy(&self, from: &Path, to: &str, edit: impl FnOnce(&Path)) -> PathBuf {
        let to = self.results(to);
        let _ = fs::remove_dir_all(&to);
        let id = names(from).remove(0);
        for name in names(&from.join(&id)) {
            put(&to.join(&id), &name, fs::read(from.join(&id).join(&name)).unwrap());
        }
        edit(&to.join(&id));
        to
    }
}

/// Edits `result.json` in `dir`.
fn edit(dir: &Path, change: impl FnOnce(&mut Value)) {
    let path = dir.join("result.json");
    let mut value: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    change(&mut value);
    fs::write(&path, value.to_string()).unwrap();
}

fn results_become_a_repository() {
    let bench = Bench::new();
    let name = bench.kernel.target.name.clone();
    let head = bench.head("");
    let first = version(1, "", "one.patch", "cves = [\"CVE-2026-1001\"]");
    bench.write(&[&head, &first]);
    // Two runs write the same bytes.
    bench.jobs("one").succeeds();
    bench.jobs("two").succeeds();
    let [one, two] = ["one", "two"].map(|n| bench.results(n));
    let id = names(&one).remove(0);
    let module = bench.module(1);
    let wanted = [
        "build.log".into(),
        format!("{module}.json"),
        format!("{module}.ko"),
        format!("{module}.rs"),
        "report.html".into(),
        "result.json".into(),
    ];
    assert_eq!(names(&one.join(&id)), wanted);
    for file in &wanted[1..5] {
        let [a, b] = [&one, &two].map(|dir| fs::read(dir.join(&id).join(file)).unwrap());
        assert!(a == b, "{file} differs");
    }
    let of = |dir: &Path| -> Value {
        serde_json::from_slice(&fs::read(dir.join(&id).join("result.json")).unwrap()).unwrap()
    };
    let result = of(&one);
    assert_eq!(
        (&result["outcome"], &result["module"], &result["version"]),
        (&"built".into(), &module.clone().into(), &"1-1".into())
    );
    assert!(
        result["run"]["peak_memory_kib"].as_u64() > Some(1000) && result["run"]["steps"][0]["what"].is_string(),
        "{result}"
    );
    assert!(!bench.file.with_file_name("ledger.json").exists());
    // A plan that knows them has nothing to do, and times.
    let plan = |more: &[&str]| bench.run("plan", &[&["--json"], more].concat());
    assert_eq!(plan(&[]).succeeds().code, Some(0));
    let told = json(plan(&["--results", one.to_str().unwrap()]).fails(3, &[]));
    assert_eq!(told["kernels"][0]["why"], "has-result");
    assert!(told["kernels"][0]["seconds"].as_f64() > Some(0.0), "{told}");

    // Two runs on one machine are not two machines.
    bench.assemble(&[&one, &two], &["--twice"]).fails(2, &["[result-once]"]);
    assert!(!bench.repo.join("Packages").exists() && ledger_is_empty(&bench));
    edit(&two.join(&id), |r| r["run"]["machine"] = "another".into());
    // Without trees and compilers: records, images and modules are enough.
    let target = bench.kernel.target.clone();
    let bare = Target { tree: "/nowhere/tree".into(), root: "/nowhere/root".into(), ..target.clone() };
    bench.kernel.store(&bare);
    let ran = bench.assemble(&[&one, &two], &["--twice", "--json"]);
    let told = json(ran.succeeds());
    assert_eq!((&told["command"], &told["kernels"][0]["result"]), (&"assemble".into(), &"built".into()));
    let entry = bench.ledger()["kernels"][&name][0].clone();
    assert_eq!(entry["module_sha256"], sha256(&fs::read(one.join(&id).join(format!("{module}.ko"))).unwrap()));
    let deb = bench.repo.join(entry["packages"][0]["file"].as_str().unwrap());
    let assembled = fs::read(&deb).unwrap();
    assert!(fs::read_to_string(bench.repo.join("Packages")).unwrap().contains("_1-1_"));
    assert!(!fs::read_dir(&bench.repo).unwrap().any(|e| e
        .unwrap()
        .file_name()
        .to_string_lossy()
        .starts_with(".kmend-packages")));
    // Run again it does nothing more; neither does a plan.
    bench.assemble(&[&one], &[]).succeeds();
    assert_eq!(bench.ledger()["kernels"][&name].as_array().unwrap().len(), 1);
    plan(&[]).fails(3, &["nothing to build"]);
    // What `release` makes of the same stream is the same package.
    bench.kernel.store(&target);
    fs::remove_file(bench.file.with_file_name("ledger.json")).unwrap();
    fs::remove_dir_all(&bench.repo).unwrap();
    bench.release(&[]).succeeds();
    assert!(fs::read(&deb).unwrap() == assembled, "release and assemble differ");

    // The second version: results of the first, and of another ledger, are named.
    bench.write(&[&head, &first, &version(2, "", "two.patch", "")]);
    bench.assemble(&[&one], &[]).fails(2, &["[result-other-version]", "[result-missing]", "kmend-build stream build"]);
    let ledger = bench.file.with_file_name("ledger.json");
    fs::rename(&ledger, ledger.with_extension("away")).unwrap();
    bench.jobs("old").succeeds();
    fs::rename(ledger.with_extension("away"), &ledger).unwrap();
    let old = bench.results("old");
    bench.assemble(&[&old], &[]).fails(2, &["[result-other-input]", "differ in: ledger"]);
    bench.jobs("new").succeeds();
    bench.assemble(&[&bench.results("new")], &[]).succeeds();
    assert_eq!(bench.ledger()["kernels"][&name].as_array().unwrap().len(), 2);
}

/// A refused run may have written the ledger's form, and no version.
fn ledger_is_empty(bench: &Bench) -> bool {
    bench.ledger()["kernels"].as_object().unwrap().is_empty()
}

fn hostile_results() {
    let bench = Bench::new();
    let head = bench.head("");
    bench.write(&[&head, &version(1, "", "one.patch", "")]);
    bench.jobs("good").succeeds();
    let good = bench.results("good");
    let module = bench.module(1);
    let ko = format!("{module}.ko");
    let manifest = format!("{module}.json");
    // A module of another fix, with a manifest that fits it.
    bench.write(&[&head, &version(1, "", "two.patch", "")]);
    bench.jobs("other").succeeds();
    bench.write(&[&head, &version(1, "", "one.patch", "")]);
    let other = bench.results("other");
    let take = |dir: &Path, name: &str| {
        let bytes = fs::read(other.join(names(&other).remove(0)).join(name)).unwrap();
        let sum = serde_json::json!({"sha256": sha256(&bytes), "bytes": bytes.len()});
        fs::write(dir.join(name), bytes).unwrap();
        edit(dir, |r| r["files"][name] = sum);
    };
    let rewrite = |dir: &Path, name: &str, change: &dyn Fn(Vec<u8>) -> Vec<u8>| {
        let bytes = change(fs::read(dir.join(name)).unwrap());
        let sum = serde_json::json!({"sha256": sha256(&bytes), "bytes": bytes.len()});
        fs::write(dir.join(name), bytes).unwrap();
        edit(dir, |r| r["files"][name] = sum);
    };
    let said = |dir: &Path, change: &dyn Fn(&mut Value)| {
        rewrite(dir, &manifest, &|bytes| {
            let mut value: Value = serde_json::from_slice(&bytes).unwrap();
            change(&mut value);
            value.to_string().into_bytes()
        });
    };
    type Edit<'a> = (&'a str, Box<dyn Fn(&Path) + 'a>);
    let edits: Vec<Edit<'_>> = vec![
        // Changed after the job wrote it.
        ("result-changed", Box::new(|dir| fs::write(dir.join(&ko), "x").unwrap())),
        ("result-changed", Box::new(|dir| fs::remove_file(dir.join(&manifest)).unwrap())),
        (
            "result-changed",
            Box::new(|dir| {
                fs::rename(dir.join(&ko), dir.join("away")).unwrap();
                symlink("away", dir.join(&ko)).unwrap();
            }),
        ),
        ("result-changed", Box::new(|dir| fs::File::create(dir.join(&ko)).unwrap().set_len(1 << 40).unwrap())),
        (
            "result-unreadable",
            Box::new(|dir| {
                let json = dir.join("result.json");
                let text = fs::read(&json).unwrap();
                fs::write(json, &text[..text.len() / 2]).unwrap();
            }),
        ),
        ("result-unreadable", Box::new(|dir| edit(dir, |r| r["module"] = "../../etc/passwd".into()))),
        ("result-other-input", Box::new(|dir| edit(dir, |r| r["input"] = "0".into()))),
        ("result-other-target", Box::new(|dir| edit(dir, |r| r["target"] = "0".into()))),
        // With sums that fit.
        ("result-manifest", Box::new(|dir| take(dir, &ko))),
        (
            "result-manifest",
            Box::new(|dir| {
                take(dir, &ko);
                take(dir, &manifest);
            }),
        ),
        (
            "result-manifest",
            Box::new(|dir| said(dir, &|m| m["fixes"][0]["cves"] = serde_json::json!(["CVE-2026-9999"]))),
        ),
        ("result-manifest", Box::new(|dir| said(dir, &|m| m["stream"]["level"] = "9.9.9-1".into()))),
        ("result-manifest", Box::new(|dir| said(dir, &|m| m["allowed_layouts"] = serde_json::json!(["task_struct"])))),
        ("result-manifest", Box::new(|dir| edit(dir, |r| r["fixes"][0]["effect"] = "not-built".into()))),
        (
            "result-manifest",
            Box::new(|dir| {
                rewrite(dir, &ko, &|mut bytes| {
                    // A byte of the code, with the sum of what came out of it.
                    let at = bytes.len() / 3;
                    bytes[at] ^= 1;
                    bytes
                })
            }),
        ),
        ("result-changed", Box::new(|dir| rewrite(dir, &manifest, &|_| b"{".to_vec()))),
        (
            "result-manifest",
            Box::new(|dir| {
                rewrite(dir, &ko, &|_| b"\x7fELF".to_vec());
                said(dir, &|m| m["module_sha256"] = sha256(b"\x7fELF").into());
            }),
        ),
        (
            "result-failed",
            Box::new(|dir| {
                edit(dir, |r| {
                    (r["outcome"], r["module"], r["error"]) = ("error".into(), Value::Null, "broken \u{1b}[2J".into());
                })
            }),
        ),
    ];
    let mut repo_before = None;
    for (n, (code, change)) in edits.iter().enumerate() {
        let bad = bench.copy(&good, "bad", |dir| change(dir));
        let ran = bench.assemble(&[&bad], &[]);
        ran.fails(2, &[&format!("[{code}]"), "what you can do: "]);
        // Nothing of it is released.
        let there = names(&bench.repo);
        assert!(!there.iter().any(|name| name.ends_with(".deb") || name == "Packages"), "{n}: {there:?}");
        assert_eq!(&there, repo_before.get_or_insert_with(|| there.clone()));
        assert!(ledger_is_empty(&bench), "{n}");
    }
    // Two results of one job that differ.
    let bad = bench
        .copy(&good, "bad", |dir| rewrite(dir, &format!("{module}.rs"), &|bytes| [bytes, b"//\n".to_vec()].concat()));
    bench.assemble(&[&good, &bad], &[]).fails(2, &["[result-twice]", "of other bytes"]);
    bench.assemble(&[&bench.results("none")], &[]).fails(1, &["none"]);
    let empty = bench.results("empty");
    fs::create_dir_all(&empty).unwrap();
    bench.assemble(&[&empty], &[]).fails(2, &["[result-missing]", "run again: kmend-build stream build"]);
    // A worker that is another kmend-build, or another target of that name.
    let bad = bench.copy(&good, "bad", |dir| edit(dir, |r| r["kmend_build"] = "0.0.1".into()));
    bench.assemble(&[&bad], &[]).fails(2, &["[result-other-builder]"]);
    let bad = bench.copy(&good, "bad", |dir| edit(dir, |r| r["program"] = "build-id:00".into()));
    bench.assemble(&[&bad], &[]).fails(2, &["[result-other-builder]", "build-id:00"]);
    // A disk that is full.
    let mut run = command(&bench.kernel.cache());
    run.args(["stream", "assemble"]).arg(&bench.file).arg("-o").arg(&bench.repo).arg("--results").arg(&good);
    let (ran, left) = on_full_disk(&run, &bench.repo, 16, 1);
    ran.fails(1, &["is the disk full?"]);
    assert!(left.iter().all(|name| name == ".kmend.lock") && ledger_is_empty(&bench), "{left:?}");
    bench.assemble(&[&good], &[]).succeeds();
}

/// A refusal and code that a kernel does not have are results, with exit code 0; they are not asked for again.
fn results_that_hold_no_module() {
    let bench = Bench::new();
    let struct_ = "struct kthread {\n";
    let fix = bench.kernel.fix("struct.patch", "kernel/kthread.c", struct_, &format!("{struct_}\tlong kmend_added;\n"));
    fs::copy(fix, bench.file.with_file_name("struct.patch")).unwrap();
    let mut other = bench.kernel.target.clone();
    other.name = "tree:other-kernel-of-tests".into();
    other.release = "9.9.9-other-amd64".into();
    bench.kernel.store(&other);
    let second = format!("packages = \"deb\"\n{}[[kernel]]\ntarget = \"{}\"\n\n", bench.head(""), other.name);
    let only = format!("kernels = [\"{}\"]", bench.kernel.target.name);
    bench.write(&[&second, &version(1, "", "struct.patch", &only)]);
    bench.jobs("results").succeeds();
    let results = bench.results("results");
    assert_eq!(names(&results).len(), 1);
    let dir = results.join(&names(&results)[0]);
    assert_eq!(names(&dir), ["build.log", "report.html", "result.json"]);
    let result: Value = serde_json::from_slice(&fs::read(dir.join("result.json")).unwrap()).unwrap();
    assert_eq!((&result["outcome"], &result["refusals"][0]["code"]), (&"refused".into(), &"struct-layout".into()));
    bench.run("plan", &["--results", results.to_str().unwrap()]).fails(3, &["nothing to build"]);
    let told = json(bench.assemble(&[&results], &["--json"]).fails(2, &["[struct-layout]"]));
    let words: Vec<&Value> = told["kernels"].as_array().unwrap().iter().map(|k| &k["result"]).collect();
    assert_eq!((words, &told["result"]), (vec![&"refused".into(), &"nothing-new".into()], &"refused".into()));
    assert!(bench.repo.join("Packages").exists());
}
