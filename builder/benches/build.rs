// SPDX-License-Identifier: GPL-2.0-or-later
//! How long `build` takes against kbuild, which compiles the same file twice: a prepared kernel in (KMEND_TEST_TARGET,
//! else debian:forky), a table of medians out.
//!
//! `cargo bench --bench build -- [--runs N] [UNIT…]`. Everything of one unit is measured in turns, so that what else
//! the machine does falls on all of it alike. kbuild works in an overlay over the target's tree, which needs root.

#[allow(dead_code)]
#[path = "../tests/cli/kernel.rs"]
mod kernel;
#[allow(dead_code)]
#[path = "../tests/cli/tool.rs"]
mod tool;

use kernel::Kernel;
use kmend_builder::sandbox::Sandbox;
use kmend_builder::target::kbuild;
use kmend_builder::target::Target;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

/// Source, and the change to it: `old`, `new`.
const UNITS: [(&str, &str, &str); 3] = [
    ("fs/proc/cmdline.c", "seq_putc(m, '\\n');", "seq_puts(m, \" changed\\n\");"),
    (
        "net/ipv4/tcp_ipv4.c",
        "if (addr_len < sizeof(struct sockaddr_in))\n\t\treturn -EINVAL;",
        "if (addr_len < sizeof(struct sockaddr_in))\n\t\treturn -EFAULT;",
    ),
    ("kernel/sched/fair.c", "unsigned int rr_interval = 0;", "unsigned int rr_interval = 1;"),
];

/// What the proof may add to a build.
const PROOF: f64 = 0.2;

/// What the second reader, and compiling again for it and for what it checks, may take of a build without the cache.
const SECOND_READER: f64 = 0.15;

/// What one unit took, in seconds, a list for each thing measured.
#[derive(Default)]
struct Figures {
    make: Vec<f64>,
    compiler: Vec<f64>,
    warm: Vec<f64>,
    cold: Vec<f64>,
    /// Of the runs with the cache, by the stage's first word.
    stages: BTreeMap<String, Vec<f64>>,
    /// Of the runs without it: the stage `link`, and the whole, each as a part of the stage `compile`.
    link: Vec<f64>,
    whole: Vec<f64>,
    /// Reading the shipped kernel and proving against it, as a part of all else: with the cache, and without it.
    proof: [Vec<f64>; 2],
    /// The second reader, and what is compiled with debug information or names, as a part of the runs without the cache.
    second: Vec<f64>,
}

fn main() {
    let args: Vec<String> = std::env::args().skip(1).filter(|a| a != "--bench").collect();
    let runs = match args.iter().position(|a| a == "--runs") {
        Some(at) => args.get(at + 1).and_then(|n| n.parse().ok()).expect("--runs takes a number"),
        None => 3,
    };
    if std::env::var_os("KMEND_TEST_TARGET").is_none() {
        std::env::set_var("KMEND_TEST_TARGET", "debian:forky");
    }
    let kernel = Kernel::new();
    println!("{} runs each, medians in seconds; {} processors, load {}", runs, cpus(), load());
    println!("kmend-build: {}", tool::KMEND);
    println!("{:22} {:>9} {:>9} {:>9} {:>9} {:>9} {:>7}", "", "make x2", "cc x2", "budget", "warm", "cold", "ratio");
    let wanted = |unit: &str| args.iter().all(|a| !a.contains('/')) || args.iter().any(|a| a == unit);
    let mut kept = true;
    for (unit, old, new) in UNITS.into_iter().filter(|(unit, ..)| wanted(unit)) {
        kept &= bench(&kernel, unit, old, new, runs);
    }
    println!(
        "the proof may add {PROOF} to a build without the cache, the second reader may take {SECOND_READER} of it"
    );
    println!("budget: 3 times `make x2` plus 5 s; ratio: `warm` less 5 s, to `make x2`");
    println!("load at the end: {}", load());
    std::process::exit(i32::from(!kept));
}

/// Measures one unit, and says whether `build` kept to its budget.
fn bench(kernel: &Kernel, unit: &str, old: &str, new: &str, runs: usize) -> bool {
    let fix = kernel.fix("bench.patch", unit, old, new);
    let object = format!("{}.o", unit.strip_suffix(".c").unwrap_or(unit));
    let overlay = Overlay::new(kernel);
    // The first run of each is not counted: make looks at what the overlay changed, files come into memory.
    build(kernel, &fix);
    overlay.make(&kernel.target, unit, &object);
    let mut f = Figures::default();
    for _ in 0..runs {
        f.make.push(overlay.make(&kernel.target, unit, &object) + overlay.make(&kernel.target, unit, &object));
        f.compiler.push(compiler(&kernel.target, &object) + compiler(&kernel.target, &object));
        let (took, stages) = build(kernel, &fix);
        f.warm.push(took);
        f.proof[0].push(proof(took, &stages));
        for (stage, took) in stages {
            f.stages.entry(word(&stage).into()).or_default().push(took);
        }
        std::fs::remove_dir_all(kernel.cache().join("objects")).expect("the object cache");
        let (took, stages) = build(kernel, &fix);
        f.cold.push(took);
        let of =
            |first: &str| stages.iter().filter(|(stage, _)| word(stage) == first).map(|(_, took)| took).sum::<f64>();
        f.link.push(of("linking") / of("compiling"));
        f.whole.push(took / of("compiling"));
        f.proof[1].push(proof(took, &stages));
        f.second.push(stages.iter().filter(|(stage, _)| is_second(stage)).map(|(_, took)| took).sum::<f64>() / took);
    }
    let (make, warm) = (median(&f.make), median(&f.warm));
    let budget = 3.0 * make + 5.0;
    println!(
        "{unit:22} {make:9.2} {:9.2} {budget:9.2} {warm:9.2} {:9.2} {:7.2}{}",
        median(&f.compiler),
        median(&f.cold),
        (warm - 5.0).max(0.0) / make,
        if warm <= budget { "" } else { "  TOO SLOW" }
    );
    let stages: Vec<String> = f.stages.iter().map(|(s, took)| format!("{s} {:.1}", median(took))).collect();
    println!("{:22} {}", "", stages.join(", "));
    println!(
        "{:22} without the cache: linking {:.2} of compiling, the whole {:.2}",
        "",
        median(&f.link),
        median(&f.whole)
    );
    let [with, without] = f.proof.each_ref().map(|all| median(all));
    let slow = if without <= PROOF { "" } else { "  TOO SLOW" };
    println!("{:22} the proof: {with:.2} of all else, without the cache {without:.2}{slow}", "");
    let second = median(&f.second);
    let much = if second <= SECOND_READER { "" } else { "  TOO MUCH" };
    println!("{:22} the second reader: {second:.3} of a build without the cache{much}", "");
    warm <= budget && without <= PROOF && second <= SECOND_READER
}

/// The first word of a stage.
fn word(stage: &str) -> &str {
    stage.split(' ').next().unwrap_or_default()
}

/// Whether a stage is the second reader's, or compiles what only the checks of the new code need.
fn is_second(stage: &str) -> bool {
    let starts = ["reading the module against", "compiling with debug information", "compiling again, to distinguish"];
    starts.iter().any(|start| stage.starts_with(start))
}

/// What proving took of a build, as a part of the rest. The shipped image is read for other stages as well; it counts here.
fn proof(took: f64, stages: &[(String, f64)]) -> f64 {
    let is_proof = |stage: &str| ["reading", "proving"].contains(&word(stage)) && !is_second(stage);
    let proving: f64 = stages.iter().filter(|(stage, _)| is_proof(stage)).map(|(_, took)| took).sum();
    proving / (took - proving)
}

/// One `build`; seconds, and those of its stages as it says them.
fn build(kernel: &Kernel, fix: &Path) -> (f64, Vec<(String, f64)>) {
    let begun = Instant::now();
    let ran = kernel.build(fix, &["-n", "bench"]);
    let took = begun.elapsed().as_secs_f64();
    ran.succeeds();
    let stage = |line: &str| {
        let (rest, took) = line.strip_prefix("  ")?.strip_suffix(" s]")?.rsplit_once(" [")?;
        Some((rest.to_string(), took.parse().ok()?))
    };
    (took, ran.err.lines().filter_map(stage).collect())
}

/// A tree that kbuild may write to, over the target's own.
struct Overlay {
    dir: PathBuf,
}

impl Overlay {
    fn new(kernel: &Kernel) -> Self {
        let dir = kernel.dir.path().join("overlay");
        for part in ["upper", "work", "tree"] {
            std::fs::create_dir_all(dir.join(part)).expect("the overlay's folders");
        }
        Self { dir }
    }

    /// Seconds that `make OBJECT` takes after its source was touched.
    fn make(&self, target: &Target, unit: &str, object: &str) -> f64 {
        let tree = self.dir.join("tree");
        let mut sandbox = Sandbox::new(&target.root).writable(&tree, &target.tree_inside).cwd(&target.tree_inside);
        for (name, value) in &target.make_env {
            sandbox = sandbox.env(name, value);
        }
        let mut args: Vec<&str> = target.make_vars.iter().map(String::as_str).collect();
        args.extend(["-s", object]);
        let make = sandbox.command("make", &args).expect("a sandbox");
        let script = "mount -t overlay overlay -o \"lowerdir=$1,upperdir=$2/upper,workdir=$2/work\" \"$2/tree\" && \
                      touch \"$2/tree/$3\" && shift 3 && exec \"$@\"";
        let mut all = Command::new("unshare");
        all.args(["-m", "sh", "-c", script, "sh"]).arg(&target.tree).arg(&self.dir).arg(unit);
        all.arg(make.get_program()).args(make.get_args());
        seconds(&mut all)
    }
}

/// Seconds that the unit's saved command alone takes, without make and objtool.
fn compiler(target: &Target, object: &str) -> f64 {
    let saved = kbuild::saved(target, object).expect("kbuild's saved command");
    let call = saved.call("/tmp/x.o", "/tmp/x.d", &[]);
    let args: Vec<&str> = call[1..].iter().map(String::as_str).collect();
    seconds(&mut target.sandbox().command(&call[0], &args).expect("a sandbox"))
}

fn seconds(command: &mut Command) -> f64 {
    let begun = Instant::now();
    let out = command.stdin(Stdio::null()).output().expect("the command starts");
    assert!(out.status.success(), "{command:?}: {}", String::from_utf8_lossy(&out.stderr));
    begun.elapsed().as_secs_f64()
}

fn median(all: &[f64]) -> f64 {
    let mut all = all.to_vec();
    all.sort_by(f64::total_cmp);
    all.get(all.len() / 2).copied().unwrap_or(f64::NAN)
}

fn cpus() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

fn load() -> String {
    let text = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    text.split(' ').take(3).collect::<Vec<_>>().join(" ")
}
