// SPDX-License-Identifier: GPL-2.0-or-later
//! kmend-build diff: only the diff engine, on two objects.

use super::report;
use crate::diff::locals::{Evidence, Statics};
use crate::diff::patchability::running_name;
use crate::diff::warnings::{warnings, Warning};
use crate::diff::{self, patchability, ChangeSet};
use crate::elf::read::{read, Take};
use crate::error::{NothingChanged, Refusal, Refused};
use crate::explain::{self, Cause, FunctionCode};
use crate::hooks::Kind;
use crate::special::layout::Layouts;
use crate::special::{self, Fate};
use crate::types::{self, dwarf::Types};
use crate::{elf, extract, files};
use anyhow::{Context, Result};
use clap::Args;
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// Compare two objects of one source file and list what a live patch would have to contain.
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
    /// Write the comparison as one HTML page with both versions of the code side by side
    #[arg(long, value_name = "FILE.html")]
    report: Option<PathBuf>,
    /// Accept a changed layout of this struct, union or enum, or a changed type of this variable. Can be given several times
    #[arg(long, value_name = "STRUCT")]
    allow_layout: Vec<String>,
    /// Write the extracted object to this file
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
}

/// What `diff --json` prints.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// `uname -m` of the objects.
    pub arch: String,
    /// Changed and new functions.
    pub functions: Vec<FunctionReport>,
    /// Changed and new data.
    pub data: Vec<DataReport>,
    /// How many entries of each special section are included.
    pub special_sections: BTreeMap<String, usize>,
    /// What the live patch would have called.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub callbacks: Vec<CallbackReport>,
    /// Why there can be no live patch; empty where there can.
    pub refusals: Vec<Refusal>,
    /// What to expect of one all the same.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<Warning>,
}

/// One function of a [`Report`].
#[derive(Clone, Debug, Serialize)]
pub struct FunctionReport {
    /// Its name; of a changed function the one that the running kernel knows.
    pub name: String,
    /// `changed` or `new`.
    pub status: &'static str,
    /// What differs in its code.
    pub reasons: Vec<String>,
    /// Where the instructions that differ come from, where the objects have line tables.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub causes: Vec<Cause>,
}

/// One callback of a [`Report`].
#[derive(Clone, Debug, Serialize)]
pub struct CallbackReport {
    /// When it is called.
    pub kind: Kind,
    /// The function.
    pub function: String,
}

/// One datum of a [`Report`].
#[derive(Clone, Debug, Serialize)]
pub struct DataReport {
    /// Its name.
    pub name: String,
    /// The section it is in.
    pub section: String,
    /// `changed` or `new`.
    pub status: &'static str,
    /// Why it is in.
    pub reasons: Vec<String>,
}

/// What came out of a comparison.
pub struct Outcome {
    /// For people and programs.
    pub report: Report,
    /// The extracted code; None where nothing changed or something was refused.
    pub extract: Option<extract::Extract>,
    /// What a person should know beside it.
    pub notes: Vec<String>,
}

impl Outcome {
    /// Nothing changed, and nothing was refused.
    pub fn is_nothing(&self) -> bool {
        self.report.functions.is_empty() && self.report.refusals.is_empty()
    }
}

/// Runs the command.
pub fn run(args: &DiffArgs) -> Result<()> {
    let allowed = args.allow_layout.iter().cloned().collect();
    let (outcome, code) =
        compare_and_show(&args.original, &args.patched, args.layout.as_deref(), &allowed, args.report.is_some())?;
    for note in &outcome.notes {
        eprintln!("kmend-build: note: {note}");
    }
    if let (Some(extract), Some(out)) = (&outcome.extract, &args.output) {
        files::write_quickly(out, &elf::write::write(&extract.object)?)?;
    }
    if let Some(file) = &args.report {
        report::diff_page(file, args.patched.display().to_string(), &outcome.report, &code)?;
    }
    if args.json {
        print_json!(serde_json::to_string_pretty(&outcome.report)?);
    } else {
        print_text(&outcome.report);
    }
    match () {
        () if outcome.is_nothing() => {
            Err(NothingChanged("nothing changed: both objects hold the same code and data".into()).into())
        }
        () if !outcome.report.refusals.is_empty() => Err(Refused(outcome.report.refusals).into()),
        () => Ok(()),
    }
}

/// Compares two objects of one source file. `layout` is the text of `--layout`, `allowed` what `--allow-layout` names.
///
/// # Errors
/// Files that cannot be read, or that are no objects of one architecture that kmend knows.
pub fn compare(original: &Path, patched: &Path, layout: Option<&str>, allowed: &BTreeSet<String>) -> Result<Outcome> {
    compare_and_show(original, patched, layout, allowed, false).map(|(outcome, _)| outcome)
}

/// The same; with `show`, also the code of the changed functions. [`FunctionCode::source`] is the patched object's name. It takes
/// longer than the comparison of a small pair: a disassembler makes its tables first.
///
/// # Errors
/// As [`compare`].
pub fn compare_and_show(
    original: &Path,
    patched: &Path,
    layout: Option<&str>,
    allowed: &BTreeSet<String>,
    show: bool,
) -> Result<(Outcome, Vec<FunctionCode>)> {
    let name = patched.display().to_string();
    let (original, original_bytes, layouts_o) = load(original)?;
    let (patched, patched_bytes, layouts_p) = load(patched)?;
    let types = |bytes: &[u8]| Types::read(bytes).with_context(|| name.clone());
    let mut layouts = layout.map(Layouts::parse).transpose()?.unwrap_or_default();
    layouts.fill(layouts_p);
    layouts.fill(layouts_o);
    let mut changes = diff::diff(&original, &patched, &layouts)?;
    if changes.needs_evidence() {
        // Without the sources, which line of one is which of the other is not known.
        let statics = |bytes: &[u8]| -> Result<Statics> {
            let mut all = types::statics::read_statics(bytes).with_context(|| name.clone())?;
            all.values_mut().for_each(|declared| declared.line = None);
            Ok(all)
        };
        let evidence = Evidence { original: statics(&original_bytes)?, patched: statics(&patched_bytes)? };
        changes = diff::diff_with(&original, &patched, &layouts, Some(&evidence))?;
    }
    if !changes.data.is_empty() {
        types::member::name(&types(&original_bytes)?, &types(&patched_bytes)?, &mut changes);
    }
    if !changes.renamed.is_empty() {
        types::renamed::tell_apart(&types(&original_bytes)?, &types(&patched_bytes)?, &mut changes);
    }
    let mut seen = diff::renamed::refusals(&[("", &changes)]);
    if !changes.functions.is_empty() {
        let exported = patchability::called_from_outside(&changes.original);
        seen.extend(types::refusals(&types(&original_bytes)?, &types(&patched_bytes)?, allowed, &|name| {
            exported.contains(name)
        }));
    }
    let (mut extracted, mut refusals) = match patchability::check(&changes) {
        Ok(_) if changes.functions.is_empty() => (None, Vec::new()),
        Ok(patchable) => match extract::extract(patchable, "0") {
            Ok(extract) => (Some(extract), Vec::new()),
            Err(refusals) => (None, refusals),
        },
        Err(refusals) => (None, refusals),
    };
    if !seen.is_empty() {
        extracted = None;
        refusals.extend(seen);
    }
    let special = extracted.as_ref().map_or_else(|| count_entries(&changes), |e| e.special.clone());
    let causes = explain::causes(&original_bytes, &patched_bytes, &changes, None, &|_| None);
    let mut report = report_of(&changes, special, &refusals, &causes);
    let callbacks = extracted.iter().flat_map(|e| &e.callbacks);
    report.callbacks = callbacks.map(|c| CallbackReport { kind: c.kind, function: c.function.clone() }).collect();
    let code = if show { explain::code(&name, &changes) } else { Vec::new() };
    Ok((Outcome { report, extract: extracted, notes: changes.entries.notes.clone() }, code))
}

/// The most bytes of an object; the largest of a kernel with debug information have a tenth of that.
const MAX_BYTES: u64 = 512 << 20;

fn load(path: &Path) -> Result<(elf::Object, Vec<u8>, Layouts)> {
    let bytes = files::read_at_most(path, MAX_BYTES)?;
    let mut object = read(&bytes, Take::NoDebug).with_context(|| path.display().to_string())?;
    elf::restore::names(&mut object);
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
    Ok((object, bytes, layouts))
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

fn report_of(
    changes: &ChangeSet<'_>,
    special_sections: BTreeMap<String, usize>,
    refusals: &[Refusal],
    causes: &BTreeMap<String, Vec<Cause>>,
) -> Report {
    let view = &changes.patched;
    let functions = changes
        .functions
        .iter()
        .map(|f| FunctionReport {
            // The name that the running kernel knows.
            name: f.original.map_or(&*view.items[f.item].name, |o| running_name(&changes.original, o)).into(),
            status: if f.original.is_some() { "changed" } else { "new" },
            reasons: f.reasons.clone(),
            causes: causes.get(&view.items[f.item].name).cloned().unwrap_or_default(),
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
        .map(|datum| entry(datum.item, "changed", vec![datum.difference.why.clone()]))
        .chain(
            changes
                .new_data
                .iter()
                .filter(|&&item| !view.items[item].is_own_copy(view.object))
                .map(|&item| entry(item, "new", Vec::new())),
        )
        .collect();
    Report {
        arch: view.object.arch.name().into(),
        functions,
        data,
        special_sections,
        callbacks: Vec::new(),
        refusals: refusals.to_vec(),
        warnings: warnings(changes),
    }
}

fn print_text(report: &Report) {
    for f in &report.functions {
        println!("{:8} {}  ({})", f.status, f.name, f.reasons.join("; "));
        f.causes.iter().for_each(|c| println!("           {c}"));
    }
    for d in &report.data {
        let why = if d.reasons.is_empty() { String::new() } else { format!("  ({})", d.reasons.join("; ")) };
        println!("{:8} data {} in {}{why}", d.status, d.name, d.section);
    }
    for c in &report.callbacks {
        println!("calls    {}  ({})", c.function, c.kind.name());
    }
    for (section, n) in &report.special_sections {
        println!("special  {section}: {n} {}", if *n == 1 { "entry" } else { "entries" });
    }
    for warning in &report.warnings {
        println!("warning  {warning}");
    }
}
