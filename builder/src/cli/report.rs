// SPDX-License-Identifier: GPL-2.0-or-later
//! `--report` and `--json` of `build` and `diff`: the result of a run in, a page or an object of JSON out.

use super::diff::Report;
use crate::error::{Ending, NothingChanged, Refusal, Refused};
use crate::explain::FunctionCode;
use crate::manifest::{Manifest, UnitFacts};
use crate::pipeline::Seen;
use crate::report::{End, Function, Page, Unit};
use crate::source::Fix;
use crate::{files, report};
use anyhow::{Context, Result};
use serde::Serialize;
use std::path::Path;

/// What `build --json` prints.
#[derive(Serialize)]
struct BuildReport<'a> {
    /// `built`, `refused` or `unchanged`.
    result: &'static str,
    /// Name of the live patch.
    name: &'a str,
    /// Name of the target.
    target: &'a str,
    /// The .ko, where it was built.
    #[serde(skip_serializing_if = "Option::is_none")]
    module: Option<String>,
    /// The manifest, where it was built.
    #[serde(skip_serializing_if = "Option::is_none")]
    manifest: Option<&'a Manifest>,
    /// Why there can be no live patch; empty where there can.
    refusals: &'a [Refusal],
    /// The fixes, where it was not built: what each of them does, where that is known.
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    fixes: &'a [Fix],
    /// What the fix changes, where it was refused after that was known.
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    changes: &'a [UnitFacts],
}

/// A build that was refused, or that found nothing to do, as an end; None for other errors.
pub fn end_of(error: &anyhow::Error) -> Option<End<'_>> {
    let refused = error.downcast_ref::<Refused>().map(|r| End::Refused(&r.0));
    refused.or_else(|| error.downcast_ref::<NothingChanged>().map(|n| End::Unchanged(&n.0)))
}

/// `build --json`.
pub fn build_json(target: &str, name: &str, end: &End<'_>, seen: &Seen, module: &Path) -> Result<String> {
    let (result, manifest, refusals): (_, _, &[Refusal]) = match end {
        End::Built(manifest) => ("built", Some(*manifest), &[]),
        End::Patchable => ("built", None, &[]),
        End::Refused(refusals) => (Ending::Refused.word(), None, refusals),
        End::Unchanged(_) => (Ending::Unchanged.word(), None, &[]),
    };
    let module = manifest.map(|_| module.display().to_string());
    let changes: &[UnitFacts] = if manifest.is_some() { &[] } else { &seen.units };
    let fixes: &[Fix] = if manifest.is_some() { &[] } else { &seen.fixes };
    let report = BuildReport { result, name, target, module, manifest, refusals, fixes, changes };
    Ok(serde_json::to_string_pretty(&report)?)
}

/// `build --json`, where it ends with an error: exit code 1.
pub fn error_json(name: Option<&str>, target: &str, error: &anyhow::Error) -> Result<String> {
    #[derive(Serialize)]
    struct Failed<'a> {
        result: &'static str,
        #[serde(skip_serializing_if = "Option::is_none")]
        name: Option<&'a str>,
        target: &'a str,
        error: String,
    }
    let result = Ending::Error.word();
    Ok(serde_json::to_string_pretty(&Failed { result, name, target, error: format!("{error:#}") })?)
}

/// `build --report`.
pub fn build_page(file: &Path, page: Page<'_>) -> Result<()> {
    write(file, &page)
}

/// `diff --report`.
pub fn diff_page(file: &Path, name: String, report: &Report, code: &[FunctionCode]) -> Result<()> {
    let end = match (report.refusals.is_empty(), report.functions.is_empty()) {
        (false, _) => End::Refused(&report.refusals),
        (true, true) => End::Unchanged("Both objects hold the same code and data."),
        (true, false) => End::Patchable,
    };
    let function = |f: &super::diff::FunctionReport| Function {
        name: f.name.clone(),
        status: f.status.into(),
        sympos: None,
        proven_at: None,
        reasons: f.reasons.clone(),
        causes: f.causes.clone(),
    };
    let unit = Unit {
        source: name.clone(),
        functions: report.functions.iter().map(function).collect(),
        data: report.data.iter().map(|d| format!("{} ({}, {})", d.name, d.status, d.section)).collect(),
        special: report.special_sections.clone(),
        ..Unit::default()
    };
    let facts = vec![("architecture", report.arch.clone())];
    write(file, &Page { name, end, facts, fixes: Vec::new(), units: vec![unit], code })
}

fn write(file: &Path, page: &report::Page<'_>) -> Result<()> {
    files::write(file, page.html().as_bytes()).with_context(|| format!("cannot write the report {}", file.display()))
}
