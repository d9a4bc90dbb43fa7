// SPDX-License-Identifier: GPL-2.0-or-later
//! How much of whole kernels is proven: targets and a sample size in, a table out. What was compared is kept, so that a
//! run can be interrupted and resumed, and a sample can grow.

use crate::say;
use anyhow::{bail, ensure, Context, Result};
use kmend_builder::files;
use kmend_builder::prove::report::{Prover, UnitReport};
use kmend_builder::reach::affected;
use kmend_builder::target::kbuild::Unit;
use kmend_builder::target::{store, Target};
use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::path::{Path, PathBuf};

/// Units that are compiled together.
const AT_A_TIME: usize = 8;

/// What the arguments say.
struct Wish {
    targets: Vec<String>,
    /// None: all.
    units: Option<usize>,
    seed: String,
}

/// A line of what is kept: a unit compared, or why it was not.
#[derive(Clone, Debug)]
enum Line {
    Compared(UnitReport),
    /// Source, why.
    Left(String, String),
}

/// `prove [-t TARGET]… [--units N|all] [--seed WORD]`
pub fn run(args: &[String]) -> Result<()> {
    let wish = read(args)?;
    let mut table = vec![Row::titles()];
    for name in &wish.targets {
        say::title(name);
        let target = store::load(name)?;
        let lines = sample(&target, &wish)?;
        table.extend(rows(&target, &lines));
    }
    say::title(&format!("seed {}", wish.seed));
    table.iter().for_each(|row| println!("{row}"));
    Ok(())
}

fn read(args: &[String]) -> Result<Wish> {
    let mut wish = Wish { targets: Vec::new(), units: Some(300), seed: "kmend".into() };
    let mut args = args.iter();
    while let Some(arg) = args.next() {
        let value = args.next().with_context(|| format!("{arg} wants a value"))?;
        match arg.as_str() {
            "-t" | "--target" => wish.targets.push(value.clone()),
            "--units" if value == "all" => wish.units = None,
            "--units" => wish.units = Some(value.parse().with_context(|| format!("--units {value}: no number"))?),
            "--seed" => wish.seed.clone_from(value),
            _ => bail!("{arg} is not known; known are: -t TARGET, --units N (or all), --seed WORD"),
        }
    }
    if wish.targets.is_empty() {
        wish.targets = qemu_tests::cli::STOCK.iter().map(|t| t.to_string()).chain(crate::kernel::targets()).collect();
    }
    Ok(wish)
}

/// Compares the sample as far as that was not done before; returns all of it.
fn sample(target: &Target, wish: &Wish) -> Result<Vec<Line>> {
    let all = affected::everything(target)?;
    ensure!(!all.is_empty(), "{}: kbuild names no C file", target.name);
    let mut chosen = shuffled(&all, &wish.seed);
    chosen.truncate(wish.units.unwrap_or(all.len()));
    let file = kept(target)?;
    let mut known = read_kept(&file)?;
    let new: Vec<&str> = chosen.iter().map(String::as_str).filter(|s| !known.contains_key(*s)).collect();
    println!("{} of {} C files, {} to be compared", chosen.len(), all.len(), new.len());
    let mut prover = None;
    for (n, sources) in new.chunks(AT_A_TIME).enumerate() {
        for line in compare(target, &mut prover, sources)? {
            keep(&file, &line)?;
            show(n * AT_A_TIME + sources.len(), new.len(), &line);
            known.entry(source(&line).into()).or_default().insert(object(&line).into(), line);
        }
    }
    Ok(chosen.iter().filter_map(|s| known.get(s)).flat_map(|lines| lines.values().cloned()).collect())
}

/// `all` in an order by chance: the same order for the same seed, whatever else is in the list.
pub fn shuffled(all: &[String], seed: &str) -> Vec<String> {
    let mut keyed: Vec<(String, &String)> =
        all.iter().map(|s| (files::sha256(format!("{seed}\0{s}").as_bytes()), s)).collect();
    keyed.sort();
    keyed.into_iter().map(|(_, s)| s.clone()).collect()
}

fn compare<'t>(target: &'t Target, prover: &mut Option<Prover<'t>>, sources: &[&str]) -> Result<Vec<Line>> {
    let (units, others) = match affected::units_of(target, sources) {
        Ok(found) => found,
        Err(error) if sources.len() == 1 => (Vec::new(), vec![(sources[0].to_string(), format!("{error:#}"))]),
        Err(_) => return one_by_one(target, prover, sources),
    };
    let mut lines: Vec<Line> = others.into_iter().map(|(source, why)| Line::Left(source, why)).collect();
    let Some(first) = units.first() else { return Ok(lines) };
    if prover.is_none() {
        *prover = Some(Prover::load(target, Some(first))?);
    }
    let Some(loaded) = prover.as_mut() else { return Ok(lines) };
    let work = tempfile::tempdir().context("cannot make a temporary folder")?;
    let all: Vec<&Unit> = units.iter().collect();
    match loaded.compare(&all, work.path()) {
        Ok(reports) => lines.extend(reports.into_iter().map(Line::Compared)),
        Err(error) if sources.len() == 1 => lines.push(Line::Left(sources[0].into(), format!("{error:#}"))),
        Err(_) => return one_by_one(target, prover, sources),
    }
    Ok(lines)
}

fn one_by_one<'t>(target: &'t Target, prover: &mut Option<Prover<'t>>, sources: &[&str]) -> Result<Vec<Line>> {
    let each = sources.iter().map(|s| compare(target, prover, &[s])).collect::<Result<Vec<_>>>()?;
    Ok(each.concat())
}

/// The klp object; a file may become part of several.
fn object(line: &Line) -> &str {
    match line {
        Line::Compared(report) => &report.object,
        Line::Left(..) => "",
    }
}

fn source(line: &Line) -> &str {
    match line {
        Line::Compared(report) => &report.source,
        Line::Left(source, _) => source,
    }
}

fn show(done: usize, of: usize, line: &Line) {
    match line {
        Line::Compared(r) => {
            println!("[{done}/{of}] {} ({}): {} of {}", r.source, r.object, r.proven, r.functions);
            for d in &r.differs {
                let at = d.at.as_deref().map(|at| format!(", compared at {at}")).unwrap_or_default();
                println!("    {}+{:#x}{at}: {}; {}", d.function, d.offset, d.reason, d.cause);
                d.code.lines().for_each(|line| println!("      {line}"));
            }
        }
        Line::Left(source, why) => println!("[{done}/{of}] {source}: left out: {}", why.lines().next().unwrap_or("")),
    }
}

/// Where the comparisons of a target are kept: a line each. Another builder compares anew, with the objects that are kept.
fn kept(target: &Target) -> Result<PathBuf> {
    let own = files::read(&std::env::current_exe().context("cannot find the path of this program")?)?;
    let builder = files::sha256(format!("{} {}", files::sha256(&own), target.build_id).as_bytes());
    let name = format!("{}-{}.jsonl", target.name.replace(['/', ':'], "_"), &builder[..12]);
    Ok(files::cache_dir()?.join("proofs").join(name))
}

fn read_kept(file: &Path) -> Result<BTreeMap<String, BTreeMap<String, Line>>> {
    let text = if file.is_file() { files::read_text(file)? } else { String::new() };
    let mut known: BTreeMap<String, BTreeMap<String, Line>> = BTreeMap::new();
    // A line that was broken off is one that is missing.
    for value in text.lines().filter_map(|l| serde_json::from_str::<serde_json::Value>(l).ok()) {
        let line = match value["left"].as_array().map(Vec::as_slice) {
            Some([source, why]) => {
                Line::Left(source.as_str().unwrap_or_default().into(), why.as_str().unwrap_or_default().into())
            }
            _ => match serde_json::from_value(value) {
                Ok(report) => Line::Compared(report),
                Err(_) => continue,
            },
        };
        known.entry(source(&line).into()).or_default().insert(object(&line).into(), line);
    }
    Ok(known)
}

fn keep(file: &Path, line: &Line) -> Result<()> {
    let text = match line {
        Line::Compared(report) => serde_json::to_string(report)?,
        Line::Left(source, why) => serde_json::json!({ "left": [source, why] }).to_string(),
    };
    if let Some(folder) = file.parent() {
        std::fs::create_dir_all(folder).with_context(|| format!("cannot make folder {}", folder.display()))?;
    }
    let mut to = std::fs::OpenOptions::new().create(true).append(true).open(file);
    let written =
        to.as_mut().map_err(|e| std::io::Error::new(e.kind(), e.to_string())).and_then(|f| writeln!(f, "{text}"));
    written.with_context(|| format!("cannot write {}", file.display()))
}

/// A row of the table, as Markdown.
struct Row([String; 6]);

impl Row {
    fn titles() -> Self {
        Self(
            ["kernel", "part", "units", "functions proven", "bytes of functions proven", "units left out"]
                .map(Into::into),
        )
    }
}

impl std::fmt::Display for Row {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "| {} |", self.0.join(" | "))
    }
}

/// Vmlinux and modules apart.
fn rows(target: &Target, lines: &[Line]) -> Vec<Row> {
    let left: BTreeSet<&str> = lines.iter().filter(|l| matches!(l, Line::Left(..))).map(source).collect();
    let mut rows = Vec::new();
    for (part, is_in) in [("vmlinux", true), ("modules", false)] {
        let reports: Vec<&UnitReport> = lines
            .iter()
            .filter_map(|l| match l {
                Line::Compared(r) if (r.object == "vmlinux") == is_in => Some(r),
                _ => None,
            })
            .collect();
        let sum = |of: fn(&UnitReport) -> u64| reports.iter().map(|r| of(r)).sum::<u64>();
        let share = |part: u64, all: u64| {
            format!("{part} of {all} ({:.2} %)", if all == 0 { 100.0 } else { part as f64 * 100.0 / all as f64 })
        };
        rows.push(Row([
            target.name.clone(),
            part.into(),
            reports.len().to_string(),
            share(sum(|r| r.proven as u64), sum(|r| r.functions as u64)),
            share(sum(|r| r.bytes_proven), sum(|r| r.bytes)),
            if is_in { left.len().to_string() } else { String::new() },
        ]));
    }
    rows
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_grow_and_stay() {
        let all: Vec<String> = (0..50).map(|n| format!("fs/{n}.c")).collect();
        let first = shuffled(&all, "a");
        assert_eq!(first, shuffled(&all, "a"));
        assert_ne!(first, shuffled(&all, "b"));
        let fewer: Vec<String> = all.iter().filter(|s| *s != "fs/7.c").cloned().collect();
        let rest: Vec<String> = first.iter().filter(|s| *s != "fs/7.c").cloned().collect();
        assert_eq!(shuffled(&fewer, "a"), rest);
    }

    #[test]
    fn what_is_kept_is_read_again() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("x/kept.jsonl");
        let report = UnitReport {
            source: "a.c".into(),
            object: "vmlinux".into(),
            functions: 2,
            proven: 1,
            bytes: 30,
            bytes_proven: 10,
            differs: Vec::new(),
        };
        keep(&file, &Line::Compared(report.clone())).unwrap();
        let other = UnitReport { object: "xe".into(), ..report.clone() };
        keep(&file, &Line::Compared(other.clone())).unwrap();
        keep(&file, &Line::Left("b.c".into(), "no".into())).unwrap();
        let mut text = std::fs::read_to_string(&file).unwrap();
        text.push_str("{\"source\":\"c.c\",\"obj");
        std::fs::write(&file, text).unwrap();
        let known = read_kept(&file).unwrap();
        assert_eq!(known.len(), 2);
        assert!(matches!(&known["a.c"]["vmlinux"], Line::Compared(r) if *r == report));
        assert!(matches!(&known["a.c"]["xe"], Line::Compared(r) if *r == other));
        assert!(matches!(&known["b.c"][""], Line::Left(_, why) if why == "no"));
    }
}
