// SPDX-License-Identifier: GPL-2.0-or-later
//! kmend-build diff: the diff engine alone, on two objects.

use crate::diff::{self, patchability, ChangeSet};
use crate::elf::read::{read, Take};
use crate::error::{NothingChanged, Refusal, Refused};
use crate::special::layout::Layouts;
use crate::special::{self, Fate};
use crate::{elf, extract, files};
use anyhow::{Context, Result};
use clap::Args;
use serde::Serialize;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Compare two objects of one source file and say what a live patch would have to carry.
///
/// Exit code 0: patchable; 1: unusable input; 2: refused; 3: nothing changed.
#[derive(Args)]
pub struct DiffArgs {
    /// The original object, compiled with -ffunction-sections -fdata-sections
    original: PathBuf,
    /// The patched object, compiled the same way
    patched: PathBuf,
    /// Print JSON instead of text
    #[arg(long)]
    json: bool,
    /// Sizes of structs for objects without debug information: jump_entry=16,alt_instr=14,…
    #[arg(long, value_name = "STRUCT=BYTES,…")]
    layout: Option<String>,
    /// Write the extracted object here
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
}

/// What `diff --json` prints.
#[derive(Serialize)]
struct Report {
    arch: String,
    functions: Vec<FunctionReport>,
    data: Vec<DataReport>,
    special_sections: BTreeMap<String, usize>,
    refusals: Vec<Refusal>,
}

#[derive(Serialize)]
struct FunctionReport {
    name: String,
    status: &'static str,
    reasons: Vec<String>,
}

#[derive(Serialize)]
struct DataReport {
    name: String,
    section: String,
    status: &'static str,
    reasons: Vec<String>,
}

/// Runs the command.
pub fn run(args: &DiffArgs) -> Result<()> {
    let (original, layouts_o) = load(&args.original)?;
    let (patched, layouts_p) = load(&args.patched)?;
    let mut layouts = match &args.layout {
        Some(text) => Layouts::parse(text)?,
        None => Layouts::default(),
    };
    layouts.fill(layouts_p);
    layouts.fill(layouts_o);
    let changes = diff::diff(&original, &patched, &layouts)?;
    for note in &changes.entries.notes {
        eprintln!("kmend-build: note: {note}");
    }
    let mut refusals = patchability::refusals(&changes);
    let nothing = changes.functions.is_empty() && refusals.is_empty();
    let mut special = BTreeMap::new();
    if refusals.is_empty() && !nothing {
        match extract::extract(&changes, "0") {
            Ok(extract) => {
                special = extract.special.clone();
                if let Some(out) = &args.output {
                    files::write(out, &elf::write::write(&extract.object)?)?;
                }
            }
            Err(more) => refusals = more,
        }
    } else {
        special = count_entries(&changes);
    }
    let report = report(&changes, special, &refusals);
    if args.json {
        println!("{}", serde_json::to_string_pretty(&report)?);
    } else {
        print_text(&report);
    }
    match () {
        () if nothing => Err(NothingChanged("nothing changed: both objects hold the same code and data".into()).into()),
        () if !refusals.is_empty() => Err(Refused(refusals).into()),
        () => Ok(()),
    }
}

fn load(path: &Path) -> Result<(elf::Object, Layouts)> {
    let bytes = files::read(path)?;
    let object = read(&bytes, Take::NoDebug).with_context(|| path.display().to_string())?;
    let needed = object.sections.iter().any(|s| {
        s.size > 0
            && s.entsize == 0
            && special::row_of(&s.name)
                .is_some_and(|r| matches!(r.size, special::Size::Struct(_)) && r.fate == Fate::Keep)
    });
    let layouts = if needed {
        Layouts::from_dwarf(&bytes).with_context(|| path.display().to_string())?
    } else {
        Layouts::default()
    };
    Ok((object, layouts))
}

fn count_entries(changes: &ChangeSet<'_>) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    for function in &changes.functions {
        for entry in changes.entries.by_item.get(&function.item).into_iter().flatten() {
            *counts.entry(changes.patched.object.sections[entry.section].name.clone()).or_default() += 1;
        }
    }
    counts
}

fn report(changes: &ChangeSet<'_>, special_sections: BTreeMap<String, usize>, refusals: &[Refusal]) -> Report {
    let view = &changes.patched;
    let functions = changes
        .functions
        .iter()
        .map(|f| FunctionReport {
            // The name that the running kernel knows.
            name: f.original.map_or(&view.items[f.item], |o| &changes.original.items[o]).name.clone(),
            status: if f.original.is_some() { "changed" } else { "new" },
            reasons: f.reasons.clone(),
        })
        .collect();
    let entry = |item: usize, status, reasons| DataReport {
        name: view.items[item].name.clone(),
        section: view.section(item).name.clone(),
        status,
        reasons,
    };
    let data = changes
        .data
        .iter()
        .map(|(item, why)| entry(*item, "changed", vec![why.clone()]))
        .chain(
            changes
                .new_data
                .iter()
                .filter(|&&item| !view.items[item].is_own_copy(view.object))
                .map(|&item| entry(item, "new", Vec::new())),
        )
        .collect();
    Report { arch: view.object.arch.name().into(), functions, data, special_sections, refusals: refusals.to_vec() }
}

fn print_text(report: &Report) {
    for f in &report.functions {
        println!("{:8} {}  ({})", f.status, f.name, f.reasons.join("; "));
    }
    for d in &report.data {
        let why = if d.reasons.is_empty() { String::new() } else { format!("  ({})", d.reasons.join("; ")) };
        println!("{:8} data {} in {}{why}", d.status, d.name, d.section);
    }
    for (section, n) in &report.special_sections {
        println!("special  {section}: {n} {}", if *n == 1 { "entry" } else { "entries" });
    }
}
