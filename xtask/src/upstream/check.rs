// SPDX-License-Identifier: GPL-2.0-or-later
//! The series against prepared targets: a copy of each tree in, a verdict out. The series is applied with git, read by the tree's own
//! checkpatch.pl, and compiled in the tree; the sample, and the examples of the documentation, run on the target's own kernel.

use super::{kept, KEPT, PARTS};
use crate::home;
use crate::say::{self, Tone};
use anyhow::{bail, ensure, Context, Result};
use kmend_builder::guest::machine::Machine;
use kmend_builder::guest::protocol::Kind;
use kmend_builder::guest::{self, initramfs, kernellog, End, Host, Limits, Outcome};
use kmend_builder::link::examples;
use kmend_builder::sandbox::{self, Sandbox};
use kmend_builder::target::{store, Target};
use kmend_builder::{files, progress};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

/// The targets that are checked where none is named.
const TARGETS: [&str; 2] = ["debian:forky", "tree:ppc64le"];

/// The sample, and the module that is made of the examples.
const SAMPLE: &str = "rust_livepatch";
const EXAMPLES: &str = "rust_livepatch_examples";

/// The script that the guest runs, and what the sample's callbacks write.
const SCRIPT: &str = include_str!("boot.sh");
const SAID: [&str; 4] = [
    "rust_livepatch_examples: 4 examples ran",
    "rust_livepatch: pre_patch: previous version of the state: None",
    "rust_livepatch: post_patch: all tasks run the new function",
    "rust_livepatch: post_unpatch: version of the state: Some(1)",
];

/// Debug information and BTF are not wanted, and take most of the time.
const OFF: [&str; 3] = ["CONFIG_DEBUG_INFO=", "CONFIG_DEBUG_INFO_BTF=", "CONFIG_DEBUG_INFO_BTF_MODULES="];

/// `upstream check [TARGET]…`
pub fn run(args: &[String]) -> Result<()> {
    let named: Vec<&str> = args.iter().map(String::as_str).collect();
    let targets = if named.is_empty() { TARGETS.to_vec() } else { named };
    for name in targets {
        check(&store::load(name)?).with_context(|| format!("the series on {name}"))?;
        println!("{}", say::toned(Tone::Good, &format!("{name}: the series applies, builds, loads and unloads")));
    }
    Ok(())
}

fn check(target: &Target) -> Result<()> {
    ensure!(target.rustc.is_some(), "its kernel has no Rust: choose a target with CONFIG_RUST");
    let cache = files::cache_dir()?;
    let scratch = tempfile::Builder::new().prefix(".kmend-upstream-").tempdir_in(&cache);
    let scratch = scratch.with_context(|| format!("cannot make a folder in {}", cache.display()))?;
    let (tree, work) = (scratch.path().join("linux"), scratch.path().join("work"));
    std::fs::create_dir(&work).with_context(|| format!("cannot make {}", work.display()))?;
    let step = progress::step(format!("copying what changes of {}", target.tree.display()));
    let shown = copy(&target.tree, &tree)?;
    step.done("");
    apply(&tree, &work)?;

    let there = Target { tree: tree.clone(), ..target.clone() };
    let whole = |sandbox: Sandbox, inside: &str| {
        let part = |s: Sandbox, dir: &String| s.read_only(&target.tree.join(dir), &format!("{inside}/{dir}"));
        shown.iter().fold(sandbox, part)
    };
    // checkpatch.pl takes a whole perl, which build roots lack: it runs with this machine's.
    let machines = Sandbox::new(Path::new("/")).read_only(&tree, sandbox::TREE).read_only(&work, sandbox::WORK);
    checkpatch(&whole(machines, sandbox::TREE))?;
    let sandbox = there.sandbox_writable().writable(&work, sandbox::WORK).limits(sandbox::Limits::of_tools().longer(4));
    let sandbox = whole(sandbox, &target.tree_inside);
    build(&there, &sandbox, &work)?;
    let read = |path: &Path| files::read(path);
    let sample = read(&tree.join(format!("samples/rust/{SAMPLE}.ko")))?;
    let examples = read(&work.join(format!("examples/{EXAMPLES}.ko")))?;
    boot(target, &sample, &examples)
}

/// Folders of the tree that the series or kbuild's preparation writes to.
const WRITTEN: [&str; 7] = ["arch", "include", "kernel", "rust", "samples", "scripts", "tools"];

/// Copies `from` to `to`: its files, and the folders that are written to. The others are empty in the copy; returns them: they are
/// shown from `from`, read-only.
fn copy(from: &Path, to: &Path) -> Result<Vec<String>> {
    std::fs::create_dir(to).with_context(|| format!("cannot make {}", to.display()))?;
    let (mut copied, mut shown) = (Vec::new(), Vec::new());
    for entry in std::fs::read_dir(from).with_context(|| format!("cannot list {}", from.display()))? {
        let path = entry.with_context(|| format!("cannot list {}", from.display()))?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if path.is_dir() && !path.is_symlink() && !WRITTEN.contains(&name.as_str()) {
            std::fs::create_dir(to.join(&name)).with_context(|| format!("cannot make {}", to.join(&name).display()))?;
            shown.push(name);
        } else if !name.starts_with("vmlinux") {
            // A kernel's image is no part of what is compiled here.
            copied.push(path);
        }
    }
    done(Command::new("cp").args(["-a", "--reflink=auto"]).args(copied).arg(to), "cp")?;
    Ok(shown)
}

fn done(command: &mut Command, what: &str) -> Result<()> {
    let out = command.output().with_context(|| format!("cannot start {what}"))?;
    ensure!(out.status.success(), "{what} failed ({}):\n{}", out.status, sandbox::tail(&out));
    Ok(())
}

/// Applies the kept patches to `tree`, each in full, and leaves them in `work`.
fn apply(tree: &Path, work: &Path) -> Result<()> {
    let dir = home()?.join(KEPT);
    let patches = kept(&dir)?;
    ensure!(patches.len() == PARTS.len() + 1, "{} has {} patches", dir.display(), patches.len());
    for (name, text) in &patches {
        files::write(&work.join(name), text.as_bytes())?;
        if !name.starts_with("0000-") {
            let mut git = Command::new("git");
            git.args(["apply", "--whitespace=error-all"]).arg(work.join(name)).current_dir(tree);
            // The copy is no repository, and must not be taken for a part of one that is around it.
            git.env("GIT_CEILING_DIRECTORIES", tree.parent().unwrap_or(tree));
            done(&mut git, "git").with_context(|| name.clone())?;
        }
    }
    println!("  {} patches applied", patches.len() - 1);
    Ok(())
}

/// No errors of checkpatch.pl; its warnings are shown.
fn checkpatch(sandbox: &Sandbox) -> Result<()> {
    let script = format!("scripts/checkpatch.pl --terse --no-summary --show-types {}/000[1-9]-*.patch", sandbox::WORK);
    let out = sandbox.output("sh", &["-c", &script])?;
    let said = String::from_utf8_lossy(&out.stdout);
    let lines: Vec<&str> = said.lines().filter(|l| !l.trim().is_empty()).collect();
    let errors: Vec<&&str> = lines.iter().filter(|l| l.contains(": ERROR:")).collect();
    ensure!(errors.is_empty(), "checkpatch.pl has errors:\n{}", said);
    // Without a word it did not run, or all is well: then it says so by its code.
    ensure!(!lines.is_empty() || out.status.success(), "checkpatch.pl failed:\n{}", sandbox::tail(&out));
    lines.iter().for_each(|line| println!("  checkpatch.pl: {line}"));
    println!("  checkpatch.pl: no errors, {} warnings", lines.len());
    Ok(())
}

/// Compiles the kernel crate with the series, the sample in the tree, and the examples beside it.
fn build(target: &Target, sandbox: &Sandbox, work: &Path) -> Result<()> {
    let make = |args: &[&str]| -> Result<()> {
        let mut all: Vec<&str> = vec!["-j2"];
        all.extend(target.make_vars.iter().map(String::as_str));
        all.extend(args);
        let out = sandbox.run("make", &all)?;
        let said = String::from_utf8_lossy(&out.stderr).into_owned();
        let doubts: Vec<&str> = said.lines().filter(|l| is_doubt(l)).collect();
        ensure!(doubts.is_empty(), "make {} has warnings:\n{said}", args.join(" "));
        Ok(())
    };
    let step = progress::step("configuring and preparing the tree: the kernel crate with the series");
    let wanted = ["--enable", "SAMPLES", "--enable", "SAMPLES_RUST", "--module", "SAMPLE_RUST_LIVEPATCH"];
    sandbox.run("scripts/config", &wanted)?;
    make(&["olddefconfig"])?;
    let config = files::read_text(&target.tree.join(".config"))?;
    ensure!(config.contains("\nCONFIG_SAMPLE_RUST_LIVEPATCH=m\n"), "the sample cannot be configured");
    make(&["modules_prepare"])?;
    step.done("");

    let step = progress::step("compiling the sample in the tree, and the examples beside it");
    let modules = |dir: &str| make(&[&OFF[..], &[&format!("M={dir}"), "modules"]].concat());
    modules("samples/rust")?;
    let dir = work.join("examples");
    files::write(&dir.join("Kbuild"), format!("obj-m := {EXAMPLES}.o\n").as_bytes())?;
    files::write(&dir.join(format!("{EXAMPLES}.rs")), module_of_examples().as_bytes())?;
    modules(&format!("{}/examples", sandbox::WORK))?;
    step.done("");
    Ok(())
}

/// A line of rustc's, objtool's or modpost's that is neither about clocks nor about target features that the kernel itself chooses.
fn is_doubt(line: &str) -> bool {
    let line = line.to_ascii_lowercase();
    let known = [
        "clock skew",
        "in the future",
        "-ctarget-feature",
        "warnings emitted",
        "warning emitted",
        "symvers is missing",
    ];
    (line.contains("warning:") || line.contains("error:")) && !known.iter().any(|k| line.contains(k))
}

fn module_of_examples() -> String {
    format!(
        "// SPDX-License-Identifier: GPL-2.0-only\n//! Runs the examples of the documentation.\nuse kernel::prelude::*;\n\
         module! {{\n    type: Examples,\n    name: \"{EXAMPLES}\",\n    description: \"Examples\",\n    license: \"GPL\",\n}}\n\
         struct Examples;\nimpl kernel::Module for Examples {{\n    fn init(_module: &'static ThisModule) -> Result<Self> {{\n        \
         let n = examples()?;\n        pr_info!(\"{{n}} examples ran\\n\");\n        Ok(Self)\n    }}\n}}\n{}",
        examples::function("kernel")
    )
}

/// Boots the target's kernel with both modules.
fn boot(target: &Target, sample: &[u8], examples: &[u8]) -> Result<()> {
    let scratch = tempfile::tempdir().context("cannot make a temporary folder")?;
    let machine = Machine::of(&target.arch)?;
    let accel = guest::choose_accel(&target.vmlinuz, machine, scratch.path())?;
    let mut archive = initramfs::running(&["upstream"], &[SAMPLE], machine)?;
    archive.dir("/s/upstream");
    archive.file("/s/upstream/run.sh", SCRIPT.as_bytes());
    archive.file(&format!("/s/upstream/{SAMPLE}.ko"), sample);
    archive.file(&format!("/s/upstream/{EXAMPLES}.ko"), examples);
    let step = progress::step(format!("booting {} ({})", target.release, accel.name()));
    let host = Host { machine, accel, scratch: scratch.path() };
    let limits = Limits { silence: Duration::from_secs(240), life: Duration::from_secs(900) };
    let outcome = guest::boot(&target.vmlinuz, &archive.finish(), host, limits)?;
    step.done("");
    judge(&outcome)
}

/// What the guest told is all that it should.
fn judge(outcome: &Outcome) -> Result<()> {
    let texts = |kind: Kind| outcome.facts.iter().filter(move |f| f.kind == kind).map(|f| f.text.as_str());
    let mut faults: Vec<String> = texts(Kind::Fail).chain(texts(Kind::Dirty)).map(String::from).collect();
    let steps: Vec<usize> = outcome.facts.iter().filter(|f| f.kind == Kind::Ok).map(|f| f.step).collect();
    if steps != [1, 2, 3, 4, 5, 6, 7] {
        faults.push(format!("of seven steps these were done: {steps:?}"));
    }
    if texts(Kind::List).collect::<Vec<_>>() != ["vmlinux/cmdline_proc_show,1"] {
        faults.push("the kernel lists other functions than cmdline_proc_show".into());
    }
    let said: Vec<&str> = texts(Kind::Out).collect();
    let missing = SAID.iter().filter(|line| !said.contains(line));
    faults.extend(missing.map(|line| format!("the modules did not write {line:?}")));
    faults.extend(kernellog::trouble(kernellog::of_scenario(&outcome.console, "upstream"), &[]));
    if outcome.end != End::Done {
        faults.push(format!("the guest ended otherwise: {:?}", outcome.end));
    }
    if !faults.is_empty() {
        bail!("{}\n{}", faults.join("\n"), kernellog::tail(&outcome.console, 40));
    }
    said.iter().for_each(|line| println!("  {line}"));
    Ok(())
}
