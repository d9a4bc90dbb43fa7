// SPDX-License-Identifier: GPL-2.0-or-later
//! What came of the kernels of a stream's version: how each build ended in; a table with what is said of each kernel below it,
//! or JSON, out. Errors are told at once, on standard error.

use crate::diff::warnings::Warning;
use crate::error::{BreaksLedger, KernelsLeftOut, Refusal, Refused};
use crate::manifest::Manifest;
use crate::source::Fix;
use crate::stream::build::End;
use crate::stream::{Kernel, Release, Stream};
use anyhow::Result;
use serde::Serialize;
use std::collections::BTreeSet;

/// All kernels. docs/streams.md has the fields of the JSON.
#[derive(Serialize)]
pub struct Results {
    /// Version of the JSON's form: 1.
    schema_version: u32,
    /// The stream's name.
    stream: String,
    /// The version that was built.
    version: String,
    kernels: Vec<OneKernel>,
    #[serde(skip)]
    left_out: usize,
    #[serde(skip)]
    refused: bool,
}

/// What came of one kernel.
#[derive(Serialize)]
struct OneKernel {
    kernel: String,
    /// `built`, `no-code`, `nothing-new`, `ended`, `refused` or `failed`.
    result: &'static str,
    /// The result in words, as the table has it.
    said: String,
    /// Name of the module, where it was built.
    module: Option<String>,
    /// How many functions it replaces.
    functions: Option<usize>,
    /// The fixes, with what each of them does to this kernel.
    fixes: Vec<Fix>,
    warnings: Vec<Warning>,
    notes: Vec<String>,
    /// Why there is no live patch.
    refusals: Vec<Refusal>,
    /// What went wrong, where it was not a refusal.
    error: Option<String>,
}

impl Results {
    /// None as yet.
    pub fn new(stream: &Stream, release: &Release) -> Self {
        Self {
            schema_version: 1,
            stream: stream.name.clone(),
            version: release.version.to_string(),
            kernels: Vec::new(),
            left_out: 0,
            refused: true,
        }
    }

    /// Adds how the build for `kernel` ended.
    pub fn add(&mut self, kernel: &Kernel, end: Result<End>) {
        let mut one = OneKernel::new(kernel);
        match end {
            Ok(End::Built(outcome)) => one.built(outcome.manifest),
            Ok(End::NoCode(fixes)) => {
                let none = fixes.iter().all(|f| f.effect.is_some_and(|effect| effect.is_not_concerned()));
                let said = if none { "does not concern this kernel" } else { "changes no code of it" };
                (one.result, one.said, one.fixes) = ("no-code", said.into(), fixes);
            }
            Ok(End::NothingNew(Some(last))) => {
                (one.result, one.said) = ("nothing-new", format!("nothing new since {last}"));
            }
            Ok(End::NothingNew(None)) => (one.result, one.said) = ("nothing-new", "no fix is for it".into()),
            Ok(End::Ended(until)) => (one.result, one.said) = ("ended", format!("ended {until}")),
            Err(error) => {
                eprintln!("{}: {error:#}", kernel.target);
                error.downcast_ref().and_then(keys).into_iter().for_each(|keys| eprintln!("  {keys}"));
                let of_build = error.downcast_ref().map(|Refused(refusals)| refusals);
                let of_ledger = || error.downcast_ref().map(|broken: &BreaksLedger| &broken.refusals);
                match of_build.or_else(of_ledger) {
                    Some(refusals) => (one.result, one.refusals) = ("refused", refusals.clone()),
                    None => (one.result, one.error) = ("failed", Some(format!("{error:#}"))),
                }
                one.said = one.result.into();
                self.left_out += 1;
                self.refused &= one.error.is_none();
            }
        }
        self.kernels.push(one);
    }

    /// The table, and below it what is said of each kernel.
    pub fn text(&self) -> String {
        let mut table = Table::new(&["KERNEL", "VERSION", "RESULT", "FIXES", "LIVE", "FUNCTIONS", "CVES"]);
        for one in &self.kernels {
            let live: Vec<&Fix> = one.fixes.iter().filter(|f| f.is_live()).collect();
            let cves: BTreeSet<&String> = live.iter().flat_map(|f| &f.cves).collect();
            let number = |n: usize| if one.fixes.is_empty() { "-".into() } else { n.to_string() };
            let numbers = [one.fixes.len(), live.len(), one.functions.unwrap_or_default(), cves.len()].map(number);
            let [fixes, live, functions, cves] = numbers;
            table.row([one.kernel.clone(), self.version.clone(), one.said.clone(), fixes, live, functions, cves]);
        }
        table.text() + &self.kernels.iter().map(OneKernel::remarks).collect::<String>()
    }

    /// All of it as JSON.
    pub fn json(&self) -> Result<String> {
        Ok(serde_json::to_string_pretty(self)? + "\n")
    }

    /// The error that a run with these results ends with.
    pub fn end(&self) -> Result<()> {
        match self.left_out {
            0 => Ok(()),
            kernels => Err(KernelsLeftOut { kernels, refused: self.refused }.into()),
        }
    }
}

impl OneKernel {
    fn new(kernel: &Kernel) -> Self {
        Self {
            kernel: kernel.target.clone(),
            result: "failed",
            said: String::new(),
            module: None,
            functions: None,
            fixes: Vec::new(),
            warnings: Vec::new(),
            notes: Vec::new(),
            refusals: Vec::new(),
            error: None,
        }
    }

    fn built(&mut self, manifest: Manifest) {
        let functions = manifest.units.iter().flat_map(|u| &u.functions).filter(|f| f.sympos.is_some()).count();
        (self.result, self.said) = ("built", format!("{}.ko", manifest.name));
        (self.module, self.functions) = (Some(manifest.name), Some(functions));
        (self.fixes, self.warnings, self.notes) = (manifest.fixes, manifest.warnings, manifest.notes);
    }

    /// What is said of it beside its row.
    fn remarks(&self) -> String {
        let mut lines: Vec<String> = self.fixes.iter().filter_map(remark).collect();
        lines.extend(self.warnings.iter().map(|warning| format!("warning: {warning}")));
        lines.extend(self.notes.iter().map(|note| format!("note: {note}")));
        match lines.is_empty() {
            true => String::new(),
            false => format!("{}:\n  {}\n", self.kernel, lines.join("\n  ")),
        }
    }
}

/// What is said of a fix that is not in the live patch.
pub fn remark(fix: &Fix) -> Option<String> {
    let cves = if fix.cves.is_empty() { String::new() } else { format!(" ({})", fix.cves.join(", ")) };
    fix.missing().map(|missing| format!("{}{cves}: {missing}", fix.title))
}

/// Where a stream file has what the hints of a refusal say as options of `build`.
fn keys(refused: &Refused) -> Option<String> {
    let meant = |option: &str| refused.0.iter().any(|r| r.hint.contains(option));
    let known = [
        ("--allow-layout", "`allow_layout = [\"NAME\"]` in the fix's table"),
        ("--allow-unproven", "`allow_unproven = [\"NAME\"]` in the fix's table"),
        ("--max-units", "`max_units = N` at the top"),
    ];
    let keys: Vec<String> =
        known.iter().filter(|(option, _)| meant(option)).map(|(option, key)| format!("{option} is {key}")).collect();
    (!keys.is_empty()).then(|| format!("in a stream file {} (docs/streams.md)", keys.join(", ")))
}

/// Columns as wide as their widest cell.
pub struct Table {
    rows: Vec<Vec<String>>,
}

impl Table {
    /// With these heads.
    pub fn new(head: &[&str]) -> Self {
        Self { rows: vec![head.iter().map(|s| s.to_string()).collect()] }
    }

    /// Adds a row.
    pub fn row<const N: usize>(&mut self, cells: [String; N]) {
        self.rows.push(cells.into());
    }

    /// All rows.
    pub fn text(&self) -> String {
        let width = |n: usize| self.rows.iter().filter_map(|r| r.get(n)).map(|c| c.chars().count()).max().unwrap_or(0);
        let line = |row: &Vec<String>| {
            let cells: Vec<String> = row.iter().enumerate().map(|(n, c)| format!("{c:<w$}", w = width(n))).collect();
            format!("{}\n", cells.join("  ").trim_end())
        };
        self.rows.iter().map(line).collect()
    }
}
