// SPDX-License-Identifier: GPL-2.0-or-later
//! A flipped bit in the cache: the same module comes out, or an error that says so.

use super::bench::{Bench, NAME};
use super::mutate::Random;
use super::outcome::{run, Outcome};
use anyhow::{ensure, Context, Result};
use kmend_builder::files;
use std::path::{Path, PathBuf};

/// Spoils one file of the worker's cache, builds, and puts the file back.
pub fn flip(bench: &Bench, random: &mut Random, place: &Path) -> Result<Outcome> {
    let mut entries = Vec::new();
    collect(&bench.cache, &mut entries)?;
    entries.sort();
    ensure!(!entries.is_empty(), "{} is empty", bench.cache.display());
    let entry = &entries[random.below(entries.len())];
    let good = files::read(entry)?;
    std::fs::write(entry, bench.spoil(&good, random)).with_context(|| entry.display().to_string())?;
    let fix = place.join("fix.patch");
    files::write(&fix, &bench.patch)?;
    let out = place.join("out");
    let outcome = match run(&mut bench.build(&fix, &out))? {
        Err(outcome) => outcome,
        Ok(ran) if ran.code == 0 => {
            let module = files::read(&out.join(format!("{NAME}.ko")))?;
            let change = || format!("another module with {} spoilt", entry.display());
            if module == bench.module {
                Outcome::Accepted
            } else {
                Outcome::Changed(change())
            }
        }
        Ok(ran) if ran.err.trim().is_empty() => Outcome::Changed(format!("exit code {} without a word", ran.code)),
        Ok(_) => Outcome::Refused,
    };
    std::fs::write(entry, good).with_context(|| entry.display().to_string())?;
    Ok(outcome)
}

/// The files below a folder; links lead to what is everybody's.
fn collect(folder: &Path, found: &mut Vec<PathBuf>) -> Result<()> {
    for entry in std::fs::read_dir(folder).with_context(|| folder.display().to_string())? {
        let entry = entry.with_context(|| folder.display().to_string())?;
        let kind = entry.file_type().with_context(|| entry.path().display().to_string())?;
        if kind.is_dir() {
            collect(&entry.path(), found)?;
        } else if kind.is_file() && entry.metadata().is_ok_and(|m| m.len() > 0) {
            found.push(entry.path());
        }
    }
    Ok(())
}
