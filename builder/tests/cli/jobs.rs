// SPDX-License-Identifier: GPL-2.0-or-later
//! Jobs that do more than build: two kernels side by side, and live patches that are tried in guests before they are released.

use super::kernel::{stored, SMALL};
use super::stream::version;
use super::tool::{collect, command, folder, names, put, Ran, KMEND};
use super::Test;
use kmend_builder::files;
use kmend_builder::files::sha256;
use kmend_builder::target::Target;
use serde_json::{json, Value};
use similar::TextDiff;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

pub const WITH_TARGET: &[Test] = &[
    ("a_job_tries_its_live_patch", a_job_tries_its_live_patch),
    ("a_fault_is_a_result", a_fault_is_a_result),
    ("a_machine_without_qemu", a_machine_without_qemu),
];

pub const WITH_TWO_TARGETS: &[Test] = &[("side_by_side", side_by_side)];

/// A stream's folder, with kernels of the cache that all tests share.
struct Farm {
    dir: tempfile::TempDir,
    head: String,
    cache: PathBuf,
}

impl Farm {
    fn new(targets: &[&Target]) -> Self {
        let tables = targets.iter().map(|target| format!("[[kernel]]\ntarget = \"{}\"\n\n", target.name));
        let who = "name = \"tests\"\npackager = \"A Team <team@example.org>\"\nurl = \"https://example.org/live\"\n\n";
        let head = who.to_string() + &tables.collect::<String>();
        Self { dir: folder(), head, cache: files::cache_dir().unwrap() }
    }

    /// A patch of the target's source.
    fn patch(&self, target: &Target, name: &str, unit: &str, (from, to): (&str, &str)) {
        let text = files::read_text(&target.tree.join(unit)).unwrap();
        assert!(text.contains(from), "{unit} of {} has no {from:?}", target.name);
        let fixed = text.replacen(from, to, 1);
        let diff = TextDiff::from_lines(&text, &fixed);
        let diff = diff.unified_diff().header(&format!("a/{unit}"), &format!("b/{unit}")).to_string();
        put(self.dir.path(), name, format!("Subject: [PATCH] {name}\n\n{diff}"));
    }

    fn write(&self, versions: &str) {
        put(self.dir.path(), "stream.toml", format!("{}{versions}", self.head));
    }

    /// Runs `kmend-build stream` in the stream's folder.
    fn run(&self, args: &[&str]) -> Ran {
        let mut run = command(&self.cache);
        collect(run.current_dir(self.dir.path()).arg("stream").args(args))
    }

    /// Runs the jobs of a plan that tries the live patches, with their results in `results`.
    fn jobs(&self, results: &str) -> Ran {
        let script =
            format!("kmend-build stream plan stream.toml --try --format plain --into {results} >jobs && sh -e jobs");
        let path = format!("{}:{}", Path::new(KMEND).parent().unwrap().display(), std::env::var("PATH").unwrap());
        let mut shell = Command::new("sh");
        shell.args(["-c", &script]).current_dir(self.dir.path()).env("KMEND_CACHE", &self.cache).env("PATH", path);
        collect(&mut shell)
    }

    fn assemble(&self, results: &str, more: &[&str]) -> Ran {
        self.run(&[&["assemble", "stream.toml", "--results", results, "-o", "repo"], more].concat())
    }

    /// The folder of the one result in `results`.
    fn result_in(&self, results: &str) -> PathBuf {
        let results = self.dir.path().join(results);
        results.join(names(&results).remove(0))
    }

    fn read(&self, results: &str) -> Value {
        serde_json::from_slice(&fs::read(self.result_in(results).join("result.json")).unwrap()).unwrap()
    }

    fn is_released(&self) -> bool {
        names(&self.dir.path().join("repo")).iter().any(|name| name.ends_with(".deb"))
    }
}

fn a_job_tries_its_live_patch() {
    let target = stored("KMEND_TEST_TARGET");
    let farm = Farm::new(&[&target]);
    farm.patch(&target, "one.patch", SMALL, ("seq_putc(m, '\\n');", "seq_puts(m, \" tried\\n\");"));
    farm.write(&version(1, "", "one.patch", ""));
    farm.jobs("results").succeeds();
    let dir = farm.result_in("results");
    let result = farm.read("results");
    let module = result["module"].as_str().unwrap();
    let sum = sha256(&fs::read(dir.join(format!("{module}.ko"))).unwrap());
    let tried = &result["try"];
    assert_eq!(
        (&result["outcome"], &tried["passed"], &tried["module_sha256"]),
        (&"built".into(), &true.into(), &sum.clone().into())
    );
    assert_eq!((&tried["target"], &tried["program"]), (&result["target"], &result["program"]));
    let told: Value = serde_json::from_slice(&fs::read(dir.join("try.json")).unwrap()).unwrap();
    assert_eq!(
        (&told["result"], &told["sha256"], &told["runs"][0]["modules"]),
        (&"passed".into(), &sum.into(), &"plain".into())
    );
    assert!(fs::read_to_string(dir.join("build.log")).unwrap().contains("booting "));

    // The same job without a trial agrees with it, and is no result where a trial is wanted.
    farm.run(&["build", "stream.toml", "--result", "untried"]).succeeds();
    assert_eq!(farm.read("untried")["try"], Value::Null);
    let plan = |more: &[&str]| farm.run(&[&["plan", "stream.toml", "--results", "untried"], more].concat());
    plan(&[]).fails(3, &["nothing to build"]);
    plan(&["--try"]).succeeds();
    farm.assemble("untried", &["--require-try"]).fails(2, &["[result-untried]", "--result untried --try"]);
    farm.run(&["plan", "stream.toml", "--results", "results", "--try"]).fails(3, &["nothing to build"]);
    // A verdict that is of something else than what lies beside it.
    let original = fs::read(dir.join("try.json")).unwrap();
    let edits: [(&str, &str, Value); 4] = [
        ("/sha256", "sha256", "0".into()),
        ("/result", "result", "failed".into()),
        ("/target/build_id", "target/build_id", "0".into()),
        ("/target/release", "target/release", "6.6.6".into()),
    ];
    for (place, says, value) in edits {
        let mut other = told.clone();
        *other.pointer_mut(place).unwrap() = value;
        let bytes = other.to_string();
        put(&dir, "try.json", &bytes);
        farm.assemble("results", &["--require-try"]).fails(2, &["[result-changed]", "try.json"]);
        let mut with_sum = result.clone();
        with_sum["files"]["try.json"] = json!({"sha256": sha256(bytes.as_bytes()), "bytes": bytes.len()});
        put(&dir, "result.json", with_sum.to_string());
        farm.assemble("results", &["--require-try"]).fails(2, &["[result-untried]", says]);
        put(&dir, "result.json", result.to_string());
    }
    put(&dir, "try.json", original);
    assert!(!farm.is_released());
    // Two results of one job, one of which was tried.
    let ran = farm.assemble("untried", &["--results", "results", "--require-try", "--json"]);
    let told: Value = serde_json::from_str(&ran.succeeds().out).unwrap();
    assert_eq!(told["kernels"][0]["try"]["passed"], true);
    assert!(farm.is_released());
}

fn a_fault_is_a_result() {
    let target = stored("KMEND_TEST_TARGET");
    let farm = Farm::new(&[&target]);
    // No probe is needed: whatever reads a file runs it.
    let check = "if (unlikely(!access_ok(buf, count)))";
    farm.patch(&target, "one.patch", "fs/read_write.c", (check, &format!("WARN_ON_ONCE(pos);\n\t{check}")));
    farm.write(&version(1, "", "one.patch", ""));
    let ran = farm.jobs("results");
    ran.fails(4, &["the guest showed", "a guest showed a fault of 1 of the live patches"]);
    assert!(ran.out.contains("try failed") && ran.out.contains("failed in a guest (plain): [log]"), "{}", ran.out);
    let result = farm.read("results");
    assert_eq!((&result["outcome"], &result["try"]["passed"]), (&"try-failed".into(), &false.into()));
    assert!(result["module"].is_string() && result["files"]["try.json"].is_object(), "{result}");
    // It is not asked for again, and not released, whether trials are required or not.
    farm.run(&["plan", "stream.toml", "--results", "results", "--try"]).fails(3, &["nothing to build"]);
    for more in [&[][..], &["--require-try"]] {
        farm.assemble("results", more).fails(2, &["[result-try-failed]", "what you can do: "]);
    }
    assert!(!farm.is_released());
}

fn a_machine_without_qemu() {
    let target = stored("KMEND_TEST_TARGET");
    let farm = Farm::new(&[&target]);
    farm.patch(&target, "one.patch", SMALL, ("seq_putc(m, '\\n');", "seq_puts(m, \" tried\\n\");"));
    farm.write(&version(1, "", "one.patch", ""));
    // A cache with the target, and without programs.
    let cache = farm.dir.path().join("cache");
    let path = cache.join("targets").join(kmend_builder::target::store::escape(&target.name)).join("target.json");
    files::write(&path, &serde_json::to_vec(&target).unwrap()).unwrap();
    let mut run = command(&cache);
    run.args(["stream", "build", "stream.toml", "--result", "results", "--try"]).current_dir(farm.dir.path());
    let ran = collect(run.env("PATH", farm.dir.path()));
    // It is an error, of which another machine may know nothing, and comes before the build.
    ran.fails(1, &["the live patch could not be tried", "qemu-system-"]);
    assert!(!ran.err.contains("compiling"), "{}", ran.err);
    let result = farm.read("results");
    assert_eq!((&result["outcome"], &result["module"], &result["try"]), (&"error".into(), &Value::Null, &Value::Null));
}

fn side_by_side() {
    let targets = [stored("KMEND_TEST_TARGET"), stored("KMEND_TEST_TARGET_WITHOUT_RUST")];
    let farm = Farm::new(&[&targets[0], &targets[1]]);
    let only = |target: &Target| format!("kernels = [\"{}\"]", target.name);
    for (n, target) in targets.iter().enumerate() {
        farm.patch(target, &format!("{n}.patch"), SMALL, ("seq_putc(m, '\\n');", "seq_puts(m, \" beside\\n\");"));
    }
    let fix = |n: usize, patch: &str| format!("[[version.fix]]\npatch = \"{patch}\"\n{}\n", only(&targets[n]));
    let first = version(1, "", "0.patch", &only(&targets[0])) + &fix(1, "1.patch");
    farm.write(&first);
    let ledger = farm.dir.path().join("ledger.json");
    let release = |jobs: &str, more: &[&str]| {
        let args = ["release", "stream.toml", "-o", jobs, "-j", jobs];
        farm.run(&[&args[..], more].concat())
    };
    release("0", &[]).fails(1, &["a number from 1 on"]);
    let packages = |jobs: &str| -> Vec<(String, Vec<u8>)> {
        let repo = farm.dir.path().join(jobs);
        let there = names(&repo).into_iter().filter(|name| name.ends_with(".deb") || name == "Packages");
        there.map(|name| (name.clone(), fs::read(repo.join(name)).unwrap())).collect()
    };
    // One after the other, then at a time; the second version is refused for one kernel.
    let struct_ = "struct kthread {\n";
    farm.patch(&targets[0], "bad.patch", "kernel/kthread.c", (struct_, &format!("{struct_}\tlong kmend_added;\n")));
    farm.patch(&targets[1], "good.patch", "fs/proc/uptime.c", ("seq_printf(m, \"%lu", "seq_printf(m, \"+%lu"));
    let second = version(2, "", "bad.patch", &only(&targets[0])) + &fix(1, "good.patch");
    let mut all = Vec::new();
    for jobs in ["1", "9"] {
        let _ = fs::remove_file(&ledger);
        farm.write(&first);
        let ran = release(jobs, &["--json"]);
        let told: Value = serde_json::from_str(&ran.succeeds().out).unwrap();
        let mut made = vec![told["kernels"].clone()];
        farm.write(&(first.clone() + &second));
        let ran = release(jobs, &["--json"]);
        let told: Value = serde_json::from_str(&ran.fails(2, &["[struct-layout]"]).out).unwrap();
        made.push(told["kernels"].clone());
        let whys: Vec<&Value> = told["kernels"].as_array().unwrap().iter().map(|kernel| &kernel["result"]).collect();
        assert_eq!(whys, ["refused", "built"]);
        let of = |target: &Target, what: &str| ran.err.matches(&format!("{}: {what}", target.name)).count();
        if jobs != "1" {
            // Each line says whose it is, once; the end of a process is not told as one of the release.
            assert!(targets.iter().all(|target| of(target, "building tests 1-2") == 1), "{}", ran.err);
            assert!(of(&targets[1], "compiling") > 0, "{}", ran.err);
            assert_eq!(ran.err.matches("got no live patch").count(), 1, "{}", ran.err);
        }
        assert_eq!(of(&targets[0], "this fix cannot be live patched"), 1, "{}", ran.err);
        // The index has the date of the day.
        let told: Value = serde_json::from_slice(&fs::read(&ledger).unwrap()).unwrap();
        all.push((made, packages(jobs), told["kernels"].clone(), told["others"].clone()));
    }
    assert_eq!(
        all[0].1.iter().filter(|(name, _)| name.contains("_1-")).count(),
        3,
        "{:?}",
        names(&farm.dir.path().join("1"))
    );
    assert!(all[0] == all[1], "-j changes what is released");
    // What is gone is built again, versions of one kernel at a time too.
    for (name, _) in packages("9").iter().filter(|(name, _)| name.contains("_1-")) {
        fs::remove_file(farm.dir.path().join("9").join(name)).unwrap();
    }
    release("9", &["--restore"]).fails(2, &["[struct-layout]"]);
    assert!(packages("9") == all[0].1);
}
