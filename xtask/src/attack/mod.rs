// SPDX-License-Identifier: GPL-2.0-or-later
//! Both programs under attack, as an attacker or a broken machine would use them: a seed and a budget of seconds in, a
//! table of the tries and their results out. One panic, one hang or one unreported change fails it.
//!
//! The seed decides what is tried, the budget how much of it. builder/tests/hostile.rs attacks the readers alone, many
//! more times; here the whole programs run, with their files around them.

mod bench;
mod cache;
mod inputs;
mod kills;
#[path = "../../../builder/tests/synthetic/mutate.rs"]
mod mutate;
mod outcome;

use crate::say::{self, Tone};
use anyhow::{bail, ensure, Context, Result};
use bench::Bench;
use mutate::Random;
use outcome::{Count, Outcome};
use qemu_tests::cli::DEFAULT_TARGET;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::Mutex;
use std::time::{Duration, Instant};

/// One kind of attack.
struct Class {
    name: &'static str,
    /// Its part of the budget, in hundredths.
    share: u64,
    /// Tries it once, with files of its own in the folder.
    attack: fn(&Bench, &mut Random, &Path) -> Result<Outcome>,
}

const CLASSES: &[Class] = &[
    Class { name: "objects (diff)", share: 6, attack: inputs::objects },
    Class { name: "modules (inspect)", share: 6, attack: inputs::modules },
    Class { name: "modules on a host (info, install)", share: 6, attack: inputs::modules_of_a_host },
    Class { name: "installed modules (status, list)", share: 4, attack: inputs::installed },
    Class { name: "patches (build)", share: 12, attack: inputs::patches },
    Class { name: "stream files (stream check)", share: 4, attack: inputs::stream_files },
    Class { name: "ledgers (stream check)", share: 4, attack: inputs::ledgers },
    Class { name: "kills at system calls (kmend install)", share: 8, attack: kills::install },
    Class { name: "kills at system calls (sign)", share: 8, attack: kills::sign },
    Class { name: "kills at system calls (build)", share: 20, attack: kills::build },
    Class { name: "flips in the cache (build)", share: 22, attack: cache::flip },
];

struct Wish {
    target: String,
    seconds: u64,
    seed: String,
    only: Option<String>,
}

/// `attack [-t TARGET] [--seconds N] [--seed WORD] [--only CLASS]`
pub fn run(args: &[String]) -> Result<()> {
    let wish = read(args)?;
    let begun = Instant::now();
    let bench = Bench::new(&wish.target)?;
    println!("{}: seed {}, ready after {:.0} s", wish.target, wish.seed, begun.elapsed().as_secs_f32());
    let seed =
        wish.seed.bytes().fold(0xcbf2_9ce4_8422_2325, |h: u64, b| (h ^ u64::from(b)).wrapping_mul(0x100_0000_01b3));
    let classes: Vec<&Class> =
        CLASSES.iter().filter(|c| wish.only.as_ref().is_none_or(|only| c.name.contains(only))).collect();
    ensure!(!classes.is_empty(), "no class of attacks has `{}` in its name", wish.only.unwrap_or_default());
    let all: u64 = classes.iter().map(|c| c.share).sum();
    let mut total = Count::default();
    for class in classes {
        let budget = Duration::from_millis(wish.seconds * 1000 * class.share / all);
        let count = attack(class, &bench, seed, budget)?;
        println!("  {:<38} {count}", class.name);
        ensure!(count.tries > 0, "{}: not one try within {budget:?}", class.name);
        total.add(count);
    }
    println!("  {:<38} {total}", "all");
    if total.faults.is_empty() {
        println!(
            "{} [{:.0} s]",
            say::toned(Tone::Good, "no panic, no hang, no silent change"),
            begun.elapsed().as_secs_f32()
        );
        return Ok(());
    }
    bail!("seed {}:\n{}", wish.seed, total.faults.join("\n"))
}

fn read(args: &[String]) -> Result<Wish> {
    let mut wish = Wish { target: DEFAULT_TARGET.into(), seconds: 90, seed: "kmend".into(), only: None };
    let mut args = args.iter();
    while let Some(arg) = args.next() {
        let value = args.next().with_context(|| format!("{arg} wants a value"))?.clone();
        match arg.as_str() {
            "-t" | "--target" => wish.target = value,
            "--seconds" => wish.seconds = value.parse().with_context(|| format!("--seconds {value}"))?,
            "--seed" => wish.seed = value,
            "--only" => wish.only = Some(value),
            other => bail!("`attack` knows -t, --seconds, --seed and --only, not `{other}`"),
        }
    }
    Ok(wish)
}

/// Tries `class` until the budget is spent, on all processors; each thread at least once.
fn attack(class: &Class, bench: &Bench, seed: u64, budget: Duration) -> Result<Count> {
    let next = AtomicU64::new(0);
    let count = Mutex::new(Count::default());
    let begun = Instant::now();
    let work = |worker: usize| -> Result<()> {
        let folder = tempfile::tempdir().context("cannot make a temporary folder")?;
        let bench = bench.of_worker(worker);
        loop {
            let round = next.fetch_add(1, Ordering::Relaxed);
            let place = folder.path().join("try");
            std::fs::create_dir(&place).with_context(|| place.display().to_string())?;
            // The first round is no attack: what it shows is that nothing is refused without one.
            let with = if round == 0 { bench.sound() } else { bench.clone() };
            let outcome = (class.attack)(&with, &mut Random::new(seed, round), &place)
                .with_context(|| format!("{}, round {round}", class.name))?;
            ensure!(round > 0 || outcome == Outcome::Accepted, "{}, without an attack: {outcome:?}", class.name);
            std::fs::remove_dir_all(&place).with_context(|| place.display().to_string())?;
            if let Ok(mut count) = count.lock() {
                count.one(class.name, round, outcome);
            }
            if begun.elapsed() >= budget {
                return Ok(());
            }
        }
    };
    let workers = kmend_builder::parallel::processors().min(bench::WORKERS);
    std::thread::scope(|scope| {
        let running: Vec<_> = (0..workers).map(|n| scope.spawn(move || work(n))).collect();
        running.into_iter().try_for_each(|r| r.join().unwrap_or_else(|_| bail!("an attack broke off")))
    })?;
    count.into_inner().ok().context("an attack broke off")
}
