// SPDX-License-Identifier: GPL-2.0-or-later
//! The result of a fix, kept as lines of JSON, so that a run can be interrupted and resumed.

use super::parts::Parts;
use anyhow::{Context, Result};
use kmend_builder::error::Refusal;
use kmend_builder::files;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

/// How it ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// A module whose originals are proven.
    Patchable,
    /// Turned down by name.
    Refused,
    /// It compiles to the same code.
    Unchanged,
    /// Neither: an error of kmend's own, or of its surroundings.
    Failed,
    /// kmend panicked.
    Crashed,
}

/// What became of one fix.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Record {
    /// Fix, target and builder, in one checksum.
    pub key: String,
    /// The builder's own.
    #[serde(default)]
    pub builder: String,
    /// The file that it is named by.
    pub path: String,
    /// What of other files of the same release it does not compile without.
    pub with: Parts,
    /// How it ended.
    pub outcome: Outcome,
    /// Why it was refused.
    pub refusals: Vec<Refusal>,
    /// What went wrong.
    pub error: String,
    /// Units that were compiled.
    pub units: usize,
    /// Functions that the module replaces, as the kernel lists them: `object/name,sympos`.
    pub replaces: Vec<String>,
    /// Special sections of which the module has entries.
    pub special: BTreeSet<String>,
    /// Seconds by step.
    pub steps: BTreeMap<String, f32>,
    /// Seconds in all.
    pub seconds: f32,
    /// The module's name; empty where there is none.
    pub module: String,
}

impl Record {
    /// The codes of its refusals, each once.
    pub fn codes(&self) -> BTreeSet<&str> {
        self.refusals.iter().map(|r| r.code.as_str()).collect()
    }

    /// The klp objects that the module patches.
    pub fn objects(&self) -> BTreeSet<&str> {
        self.replaces.iter().filter_map(|r| r.split_once('/')).map(|(object, _)| object).collect()
    }
}

/// All records of a series, and the modules that came out.
pub struct Store {
    folder: PathBuf,
    known: Mutex<BTreeMap<String, Record>>,
}

impl Store {
    /// Opens what is kept of `series`. Lines that were cut off are left out: their fixes run again.
    pub fn open(series: &str) -> Result<Self> {
        Ok(Self::at(&files::cache_dir()?.join("corpus").join(series)))
    }

    /// The same in a folder of its own.
    pub fn at(folder: &Path) -> Self {
        let text = std::fs::read_to_string(folder.join("records.jsonl")).unwrap_or_default();
        let records = text.lines().filter_map(|line| serde_json::from_str::<Record>(line).ok());
        let known = records.map(|r| (r.key.clone(), r)).collect();
        Self { folder: folder.into(), known: Mutex::new(known) }
    }

    /// The record of `key`, where it is known and its module is still there.
    pub fn get(&self, key: &str) -> Option<Record> {
        let known = self.known.lock().ok()?;
        known.get(key).filter(|r| r.module.is_empty() || self.module(&r.module).is_file()).cloned()
    }

    /// The builders that have been at work here, the newest first; `builder` is one of them from now on.
    pub fn builders(&self, builder: &str) -> Result<Vec<String>> {
        let file = self.folder.join("builders");
        let mut all: Vec<String> = match file.exists() {
            true => files::read_text(&file)?.lines().map(String::from).collect(),
            false => Vec::new(),
        };
        all.retain(|b| b != builder);
        all.insert(0, builder.into());
        files::write(&file, all.iter().map(|b| format!("{b}\n")).collect::<String>().as_bytes())?;
        Ok(all)
    }

    /// Where the module `name` is kept.
    pub fn module(&self, name: &str) -> PathBuf {
        self.folder.join("modules").join(format!("{name}.ko"))
    }

    /// Keeps `record`, and the module that it names.
    pub fn put(&self, record: &Record, module: Option<&[u8]>) -> Result<()> {
        if let Some(module) = module {
            files::write(&self.module(&record.module), module)?;
        }
        let mut known = self.known.lock().map_err(|_| anyhow::anyhow!("another thread failed"))?;
        let path = self.folder.join("records.jsonl");
        std::fs::create_dir_all(&self.folder).with_context(|| format!("cannot make {}", self.folder.display()))?;
        let mut file = std::fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(&path)
            .with_context(|| format!("cannot write {}", path.display()))?;
        // One write, and a line end before it too: what a broken run left of a line does not spoil the next one.
        let line = format!("\n{}\n", serde_json::to_string(record).context("cannot write down a record")?);
        file.write_all(line.as_bytes()).with_context(|| format!("cannot write {}", path.display()))?;
        known.insert(record.key.clone(), record.clone());
        Ok(())
    }
}

#[cfg(test)]
pub mod tests {
    use super::*;

    /// A record of nothing in particular.
    pub fn record(path: &str, outcome: Outcome) -> Record {
        Record {
            key: path.into(),
            builder: String::new(),
            path: path.into(),
            with: Parts::default(),
            outcome,
            refusals: Vec::new(),
            error: String::new(),
            units: 1,
            replaces: Vec::new(),
            special: BTreeSet::new(),
            steps: BTreeMap::new(),
            seconds: 1.0,
            module: String::new(),
        }
    }

    #[test]
    fn a_broken_line_is_a_fix_that_runs_again() {
        let dir = tempfile::tempdir().expect("tempdir");
        let store = Store::at(dir.path());
        store.put(&record("a.c", Outcome::Failed), None).expect("kept");
        std::fs::OpenOptions::new()
            .append(true)
            .open(dir.path().join("records.jsonl"))
            .and_then(|mut f| f.write_all(b"{\"key\":\"b.c\",\"pa"))
            .expect("written");
        let built = Record { module: "kmend_c".into(), ..record("c.c", Outcome::Patchable) };
        Store::at(dir.path()).put(&built, Some(b"ko")).expect("kept");
        let store = Store::at(dir.path());
        assert_eq!(store.get("a.c").map(|r| r.outcome), Some(Outcome::Failed));
        assert!(store.get("b.c").is_none() && store.get("c.c").is_some());
        std::fs::remove_file(store.module("kmend_c")).expect("removed");
        assert!(store.get("c.c").is_none(), "its module is gone");
        for builder in ["one", "two", "one"] {
            store.builders(builder).expect("kept");
        }
        assert_eq!(store.builders("three").expect("kept"), ["three", "one", "two"]);
    }
}
