// SPDX-License-Identifier: GPL-2.0-or-later
//! The fixes of the corpus that run in `make test`: a list with what has to come out in, a verdict out; and how that list
//! is chosen anew from the records of a whole run.

use super::fixes::Fixes;
use super::pair::{Pair, PAIRS};
use super::parts::Parts;
use super::record::{Outcome, Record, Store};
use super::run::{self, Bench};
use super::seen::Seen;
use crate::home;
use anyhow::{ensure, Context, Result};
use kmend_builder::files;
use kmend_builder::reach::includes;
use kmend_builder::session::Session;
use serde::Deserialize;
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

/// How many are chosen of a series.
const MANY: usize = 10;

/// What a chosen fix may take, so that all of them together stay short.
const SECONDS: f32 = 60.0;

/// The list.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct List {
    #[serde(default, rename = "fix")]
    fixes: Vec<Chosen>,
}

/// A fix, and what has to come out.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
struct Chosen {
    series: String,
    path: String,
    /// What it needs of other files.
    #[serde(default)]
    with: Parts,
    /// SHA-256 of the difference.
    sha256: String,
    outcome: Outcome,
    #[serde(default)]
    codes: BTreeSet<String>,
    #[serde(default)]
    replaces: Vec<String>,
    #[serde(default)]
    special: BTreeSet<String>,
}

fn list_file() -> Result<PathBuf> {
    Ok(home()?.join("xtask/corpus.toml"))
}

/// Runs the chosen fixes; nothing that is known of them counts.
pub fn check() -> Result<()> {
    let file = list_file()?;
    let list: List = toml::from_str(&files::read_text(&file)?).with_context(|| file.display().to_string())?;
    ensure!(!list.fixes.is_empty(), "{} names no fixes", file.display());
    let mut faults = Vec::new();
    for pair in PAIRS {
        let chosen: Vec<&Chosen> = list.fixes.iter().filter(|c| c.series == pair.series).collect();
        if !chosen.is_empty() {
            faults.extend(check_pair(pair, &chosen)?);
        }
    }
    ensure!(
        faults.is_empty(),
        "{} of {} fixes came out otherwise:\n{}",
        faults.len(),
        list.fixes.len(),
        faults.join("\n")
    );
    Ok(())
}

fn check_pair(pair: &Pair, chosen: &[&Chosen]) -> Result<Vec<String>> {
    let paths: BTreeSet<String> = chosen.iter().flat_map(|c| c.with.paths().chain([&c.path])).cloned().collect();
    let fixes = Fixes::only(pair, &paths)?;
    let diffs = fixes.diffs()?;
    let scratch = tempfile::tempdir().context("cannot make a temporary folder")?;
    let store = Store::at(scratch.path());
    let index = includes::index(&fixes.target)?;
    let bench = Bench {
        pair,
        fixes: &fixes,
        diffs: &diffs,
        seen: Seen::new(&fixes.target.tree, index.includers()),
        store: &store,
        builder: "",
        earlier: &[],
        session: Session::new(fixes.target.clone()),
        aloud: false,
    };
    let paths: Vec<String> = chosen.iter().map(|c| c.path.clone()).collect();
    let tell = |record: &Record| println!("{}: {}", pair.series, super::line(record));
    let records = run::run(&bench, &paths, &tell)?;
    let fault = |wanted: &Chosen, record: &Record| -> Result<Option<String>> {
        let found = describe(pair, record, &diffs)?;
        Ok((found != *wanted).then(|| {
            let why = record.refusals.first().map(|r| format!("\n  {}", r.reason)).unwrap_or_default();
            format!("{}: wanted\n{}found\n{}{}{why}", wanted.path, text(wanted), text(&found), record.error)
        }))
    };
    let faults =
        chosen.iter().zip(&records).map(|(wanted, record)| fault(wanted, record)).collect::<Result<Vec<_>>>()?;
    Ok(faults.into_iter().flatten().collect())
}

fn describe(pair: &Pair, r: &Record, diffs: &[(String, String)]) -> Result<Chosen> {
    let mut mine = Parts::whole(&r.path);
    mine.add(&r.with);
    Ok(Chosen {
        series: pair.series.into(),
        path: r.path.clone(),
        with: r.with.clone(),
        sha256: files::sha256(mine.diff(diffs)?.as_bytes()),
        outcome: r.outcome,
        codes: r.codes().into_iter().map(String::from).collect(),
        replaces: r.replaces.clone(),
        special: r.special.clone(),
    })
}

/// Writes the list anew: of each series, fixes that have between them all codes and all special sections, the cheap ones
/// first.
pub fn choose(pair: &Pair, records: &[Record], diffs: &[(String, String)]) -> Result<()> {
    let file = list_file()?;
    let old: List = match files::read_text(&file) {
        Ok(text) => toml::from_str(&text).with_context(|| file.display().to_string())?,
        Err(_) => List::default(),
    };
    let mut all: Vec<Chosen> = old.fixes.into_iter().filter(|c| c.series != pair.series).collect();
    for record in covering(records) {
        all.push(describe(pair, record, diffs)?);
    }
    let head =
        "# SPDX-License-Identifier: GPL-2.0-or-later\n# Fixes of the corpus that run in `make test`, and what has to \
                come out. Written by `cargo xtask corpus SERIES choose`.\n";
    let text: String = all.iter().map(|c| format!("\n{}", text(c))).collect();
    files::write(&file, format!("{head}{text}").as_bytes())
}

/// As few of `records` as have between them what all have, then others, up to [`MANY`].
fn covering(records: &[Record]) -> Vec<&Record> {
    let wants = |r: &Record| -> BTreeSet<String> {
        let codes = r.codes().into_iter().map(|c| format!("code {c}"));
        codes.chain(r.special.iter().cloned()).chain([format!("{:?} {}", r.outcome, r.with.is_empty())]).collect()
    };
    let usable =
        |r: &&Record| !matches!(r.outcome, Outcome::Failed | Outcome::Crashed) && r.seconds < SECONDS && r.units < 4;
    let mut left: BTreeMap<usize, &Record> = records.iter().filter(usable).enumerate().collect();
    let (mut seen, mut chosen) = (BTreeSet::new(), Vec::new());
    while chosen.len() < MANY {
        // The one that adds most that is new; among equals, the first.
        let gain = |r: &Record| wants(r).difference(&seen).count();
        let Some(best) = left.iter().max_by_key(|(i, r)| (gain(r), std::cmp::Reverse(**i))).map(|(i, _)| *i) else {
            break;
        };
        let Some(record) = left.remove(&best) else { break };
        seen.extend(wants(record));
        chosen.push(record);
    }
    chosen
}

/// A fix as it is in the list.
fn text(c: &Chosen) -> String {
    let list =
        |words: &mut dyn Iterator<Item = &String>| words.map(|w| format!("{w:?}")).collect::<Vec<_>>().join(", ");
    let outcome = format!("{:?}", c.outcome).to_lowercase();
    let mut text = format!("[[fix]]\nseries = {:?}\npath = {:?}\n", c.series, c.path);
    if !c.with.is_empty() {
        text += &format!("with = [{}]\n", list(&mut Vec::from(c.with.clone()).iter()));
    }
    text += &format!("sha256 = {:?}\noutcome = {outcome:?}\n", c.sha256);
    for (name, words) in [
        ("codes", list(&mut c.codes.iter())),
        ("replaces", list(&mut c.replaces.iter())),
        ("special", list(&mut c.special.iter())),
    ] {
        if !words.is_empty() {
            text += &format!("{name} = [{words}]\n");
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::super::record::tests::record;
    use super::*;
    use kmend_builder::error::Refusal;

    #[test]
    fn what_is_chosen_covers_all_and_reads_back() {
        let mut records: Vec<Record> = (0..30).map(|n| record(&format!("{n}.c"), Outcome::Patchable)).collect();
        records[17].special.insert("__bug_table".into());
        records[23] = Record {
            refusals: vec![Refusal::new("data-changed", "d", "23.c", "why".into(), "")],
            ..record("23.c", Outcome::Refused)
        };
        records[29].outcome = Outcome::Crashed;
        let chosen = covering(&records);
        assert_eq!(chosen.len(), MANY);
        let paths: Vec<&str> = chosen.iter().map(|r| r.path.as_str()).collect();
        assert!(paths.contains(&"17.c") && paths.contains(&"23.c") && !paths.contains(&"29.c"), "{paths:?}");
        let one = describe(&PAIRS[0], &records[17], &[("17.c".into(), "diff".into())]).expect("described");
        let list: List = toml::from_str(&text(&one)).expect("reads back");
        assert_eq!(list.fixes, [one]);
    }

    #[test]
    fn the_list_names_known_series() {
        let text = files::read_text(&list_file().expect("a place")).expect("there");
        let list: List = toml::from_str(&text).expect("reads");
        assert!(list.fixes.iter().all(|c| PAIRS.iter().any(|p| p.series == c.series)));
    }
}
