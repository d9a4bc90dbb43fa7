// SPDX-License-Identifier: GPL-2.0-or-later
//! A corpus of real fixes: two releases of a stable series in; what the builder makes of each changed file out.

mod chosen;
mod cumulative;
mod fixes;
mod guest;
mod hunks;
mod needs;
mod other;
mod pair;
mod parts;
mod record;
pub mod run;
mod says;
mod seen;
mod table;

use crate::home;
use anyhow::{bail, ensure, Context, Result};
use fixes::Fixes;
use kmend_builder::files;
use kmend_builder::reach::includes;
use kmend_builder::session::Session;
use pair::{Pair, PAIRS};
use record::{Outcome, Record, Store};
use run::Bench;
use seen::Seen;
use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

/// What the sample is drawn by.
const SEED: &str = "kmend";

/// Runs the corpus of a series, or of all, and writes the page: `corpus [SERIES [HOW MANY] [keep|choose]]`. A number takes
/// the place of the pair's own; `keep` tries nothing again that an earlier state of the builder has settled (what reached
/// too many units is not); `choose` makes the list of those in `make test` anew, and no page. The path of a changed file
/// tries that one alone, says what it is tried together with, and writes no page either. `corpus check` runs those in
/// `make test`.
pub fn run(args: &[String]) -> Result<()> {
    let words: Vec<&str> = args.iter().map(String::as_str).collect();
    if words == ["check"] {
        return chosen::check();
    }
    let pairs: Vec<&Pair> = match words.first() {
        None => PAIRS.iter().collect(),
        Some(series) => match PAIRS.iter().find(|p| p.series == *series) {
            Some(pair) => vec![pair],
            None => bail!("there is no series `{series}`; {}", known()),
        },
    };
    let mut how = How::default();
    for word in words.iter().skip(1) {
        match *word {
            "keep" => how.keep = true,
            "choose" => how.choose = true,
            path if path.contains('/') => how.alone = Some(path),
            n => how.most = Some(n.parse().with_context(|| format!("`{n}` is no number of fixes"))?),
        }
    }
    pairs.into_iter().try_for_each(|pair| run_pair(pair, how))
}

/// How a pair is run.
#[derive(Clone, Copy, Debug, Default)]
struct How<'a> {
    /// How many fixes are drawn, where not as many as the pair says.
    most: Option<usize>,
    /// What earlier states of the builder have settled is not tried again.
    keep: bool,
    /// The list of those that run in `make test` is what comes out, and not the page.
    choose: bool,
    /// The one fix that is tried.
    alone: Option<&'a str>,
}

fn known() -> String {
    let names: Vec<&str> = PAIRS.iter().map(|p| p.series).collect();
    format!("there are {}", names.join(", "))
}

fn run_pair(pair: &Pair, how: How) -> Result<()> {
    let fixes = Fixes::find(pair)?;
    let (differ, unbuilt) = (fixes.changed.len(), fixes.unbuilt.len());
    println!(
        "{} {} to {}: {differ} C files and headers differ, {unbuilt} of them not in this kernel",
        pair.package, pair.from, pair.to.1
    );
    let mut paths = fixes.drawn(SEED);
    if let Some(path) = how.alone {
        paths.retain(|p| p == path);
        ensure!(!paths.is_empty(), "`{path}` does not differ, or is not in this kernel");
    }
    paths.truncate(how.most.or(pair.sample).unwrap_or(usize::MAX));
    let diffs = fixes.diffs()?;
    let store = Store::open(pair.series)?;
    let builder = builder()?;
    let builders = store.builders(&builder)?;
    let earlier = if how.keep { builders.as_slice() } else { &[] };
    let index = includes::index(&fixes.target)?;
    let bench = Bench {
        pair,
        fixes: &fixes,
        diffs: &diffs,
        seen: Seen::new(&fixes.target.tree, index.includers()),
        store: &store,
        builder: &builder,
        earlier,
        session: Session::new(fixes.target.clone()),
        aloud: how.alone.is_some(),
    };
    let done = AtomicUsize::new(0);
    let tell = |record: &Record| {
        let n = done.fetch_add(1, Ordering::Relaxed) + 1;
        println!("[{n}/{}] {}", paths.len(), line(record));
    };
    let begun = Instant::now();
    let records = run::run(&bench, &paths, &tell)?;
    let wall = begun.elapsed().as_secs_f32();
    summary(pair, &records);
    if how.alone.is_some() {
        records.iter().flat_map(|r| &r.refusals).for_each(|r| println!("{r}"));
        return Ok(());
    }
    if how.choose {
        return chosen::choose(pair, &records, &diffs);
    }
    let loaded = guest::load(&fixes.target, &records, &store)?;
    println!("{}", loaded.text());
    let cumulative = match pair.cumulative {
        true => Some(cumulative::make(&bench, pair.series, &records)?),
        false => None,
    };
    let today = Command::new("date").args(["-u", "+%F"]).output().context("cannot start date")?;
    let section = table::section(&table::Section {
        pair,
        release: &fixes.target.release,
        date: String::from_utf8_lossy(&today.stdout).trim(),
        differ: (differ, unbuilt),
        records: &records,
        earlier: records.iter().filter(|r| r.builder != builder).count(),
        // Fixes that were known already took no time now.
        wall: Some(wall).filter(|w| *w > records.iter().map(|r| r.seconds).sum::<f32>() / 3.0),
        loaded: Some(&loaded),
        cumulative: cumulative.as_ref(),
    });
    let page = home()?.join("docs/corpus.md");
    let old = std::fs::read_to_string(&page).unwrap_or_default();
    files::write(&page, table::put(&old, pair.series, &section).as_bytes())?;
    println!("{} is written", page.display());
    ensure!(loaded.passed(), "not all of the modules that were loaded passed");
    Ok(())
}

fn line(r: &Record) -> String {
    let with =
        if r.with.is_empty() { String::new() } else { format!(" (with {})", Vec::from(r.with.clone()).join(", ")) };
    let what = match r.outcome {
        Outcome::Patchable => format!("patchable, {} functions", r.replaces.len()),
        Outcome::Refused => format!("refused: {}", r.codes().into_iter().collect::<Vec<_>>().join(", ")),
        Outcome::Unchanged => "unchanged".into(),
        Outcome::Failed | Outcome::Crashed => {
            format!("{:?}: {}", r.outcome, r.error.lines().next().unwrap_or_default())
        }
    };
    format!("{}{with}: {what} [{:.1} s]", r.path, r.seconds)
}

fn summary(pair: &Pair, records: &[Record]) {
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    for r in records {
        *counts.entry(format!("{:?}", r.outcome)).or_default() += 1;
        r.codes().into_iter().for_each(|code| *counts.entry(format!("  {code}")).or_default() += 1);
    }
    println!("{}: {} fixes", pair.series, records.len());
    counts.iter().for_each(|(what, n)| println!("{n:5} {what}"));
}

/// A checksum of the sources that the builder is made of: what another found is found anew.
fn builder() -> Result<String> {
    let home = home()?;
    let mut parts = Vec::new();
    for folder in ["builder/src", "kmod"] {
        sources(&home, &home.join(folder), &mut parts)?;
    }
    parts.sort();
    Ok(files::key(&parts.iter().map(String::as_str).collect::<Vec<_>>()))
}

fn sources(home: &Path, folder: &Path, parts: &mut Vec<String>) -> Result<()> {
    for entry in std::fs::read_dir(folder).with_context(|| format!("cannot list {}", folder.display()))?.flatten() {
        let path = entry.path();
        if path.is_dir() {
            sources(home, &path, parts)?;
        } else {
            let name = path.strip_prefix(home).unwrap_or(&path);
            parts.push(format!("{}\n{}", name.display(), files::sha256(&files::read(&path)?)));
        }
    }
    Ok(())
}
