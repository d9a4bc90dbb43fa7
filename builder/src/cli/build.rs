// SPDX-License-Identifier: GPL-2.0-or-later
//! kmend-build build: fixes in, live patch module out.

use super::kernels::remark;
use super::patches;
use super::report;
use crate::manifest::Manifest;
use crate::pipeline::{self, Outcome, Request, Seen};
use crate::reach::limit::Limit;
use crate::report::of_build::of_build;
use crate::report::End;
use crate::session::Session;
use crate::target::Target;
use crate::{files, target, unpack};
use anyhow::{Context, Result};
use clap::Args;
use std::io::IsTerminal;
use std::path::{Path, PathBuf};

/// Build one cumulative live patch module out of one or many fixes.
///
/// Writes NAME.ko, NAME.rs (the source that registers the functions) and NAME.json (the manifest).
/// Exit code 0: built; 1: error; 2: refused; 3: the fix compiles to the same code.
#[derive(Args)]
pub struct BuildArgs {
    /// The kernel to build for, as listed by `target list`
    #[arg(short, long)]
    target: String,
    /// The file's name less its end, where it is not the module's.
    #[arg(skip)]
    pub file: Option<String>,
    /// Whether only the module is written.
    #[arg(skip)]
    pub only_module: bool,
    /// Name of the module [default: kmend_ plus the first fix's file name]
    #[arg(short, long)]
    pub name: Option<String>,
    /// Folder to write to
    #[arg(short, long, default_value = ".")]
    pub output: PathBuf,
    /// Rust file with callbacks and states to compile into the module (docs/authors.md)
    #[arg(long, value_name = "HOOKS.rs")]
    hooks: Option<PathBuf>,
    /// Accept a changed layout of this struct, union or enum, or a changed type of this variable; the manifest records it. Can be given several times
    #[arg(long, value_name = "STRUCT")]
    allow_layout: Vec<String>,
    /// Leave older live patches active instead of replacing them
    #[arg(long)]
    pub no_replace: bool,
    /// Write the result, or the reasons why there is none, as one HTML page with both versions of the code side by side
    #[arg(long, value_name = "FILE.html")]
    report: Option<PathBuf>,
    /// Print JSON instead of text: the manifest, or the refusals
    #[arg(long)]
    json: bool,
    /// For changes in headers, compile at most N units and look at ten times as many [default: 200]
    #[arg(long, value_name = "N")]
    max_units: Option<usize>,
    /// Accept this function although it is not proven to be what the kernel runs. Can be given several times
    #[arg(long, value_name = "FUNCTION")]
    allow_unproven: Vec<String>,
    /// Unified diffs against the target's source, in the order in which they apply: files (plain, .gz, .xz or .zst), folders of
    /// patches (in the order of their quilt series, or of their names), or - for standard input
    #[arg(required = true, value_name = "FIX.patch")]
    fixes: Vec<PathBuf>,
}

impl BuildArgs {
    /// Of these fixes, for this target; all else as when no option is given.
    pub fn new(target: String, fixes: Vec<PathBuf>) -> Self {
        Self {
            target,
            file: None,
            only_module: false,
            name: None,
            output: ".".into(),
            hooks: None,
            allow_layout: Vec::new(),
            no_replace: false,
            report: None,
            json: false,
            max_units: None,
            allow_unproven: Vec::new(),
            fixes,
        }
    }
}

/// Runs the command.
pub fn run(args: &BuildArgs) -> Result<()> {
    let result = build(args);
    if let Some(error) = result.as_ref().err().filter(|error| args.json && report::end_of(error).is_none()) {
        print_json!(report::error_json(args.name.as_deref(), &args.target, error)?);
    }
    result
}

fn build(args: &BuildArgs) -> Result<()> {
    files::check_writable(&args.output)
        .with_context(|| format!("cannot write to the output folder {}", args.output.display()))?;
    if let Some(folder) = args.report.as_deref().and_then(Path::parent).filter(|f| !f.as_os_str().is_empty()) {
        files::check_writable(folder).with_context(|| format!("cannot write a report to {}", folder.display()))?;
    }
    let target = target::store::load(&args.target)?;
    let name = match &args.name {
        Some(name) => name.clone(),
        None => default_name(&args.fixes[0])?,
    };
    let work = files::work_dir()?;
    let fixes = patches::gather(&args.fixes, work.path())?;
    eprintln!("building {name} for {} ({})", target.name, target.release);
    let session = Session::new(target);
    let request = Request {
        hooks: args.hooks.clone(),
        replace: !args.no_replace,
        limit: args.max_units.map(Limit).unwrap_or_default(),
        allow_unproven: args.allow_unproven.iter().cloned().collect(),
        allow_layout: args.allow_layout.iter().cloned().collect(),
        ..Request::new(&name, fixes)
    };
    let file = |end: &str| args.output.join(format!("{}.{end}", args.file.as_deref().unwrap_or(&name)));
    let module = file("ko");
    let mut seen = Seen::default();
    let outcome = match pipeline::build(&session, &request, &mut seen) {
        Ok(outcome) => outcome,
        Err(error) => {
            if let Some(end) = report::end_of(&error) {
                tell(args, (session.target(), &request), end, (None, &seen), &module)?;
            }
            return Err(error);
        }
    };
    let json = serde_json::to_string_pretty(&outcome.manifest)? + "\n";
    let written: [(PathBuf, &[u8]); 3] =
        [(file("rs"), outcome.source.as_bytes()), (file("json"), json.as_bytes()), (module.clone(), &outcome.module)];
    files::write_together(if args.only_module { &written[2..] } else { &written })?;
    tell(args, (session.target(), &request), End::Built(&outcome.manifest), (Some(&outcome), &seen), &module)?;
    if !args.json {
        print!("{}", summary(&outcome.manifest));
        println!("{}", module.display());
    }
    Ok(())
}

/// The page and the JSON that were asked for.
fn tell(
    args: &BuildArgs,
    (target, request): (&Target, &Request),
    end: End<'_>,
    (outcome, seen): (Option<&Outcome>, &Seen),
    module: &Path,
) -> Result<()> {
    let json = args.json.then(|| report::build_json(&target.name, &request.name, &end, seen, module)).transpose()?;
    if let Some(file) = &args.report {
        report::build_page(file, of_build(target, request, end, outcome, seen))?;
    }
    if let Some(json) = json {
        print_json!(json);
    }
    Ok(())
}

/// `0001-fix-the-leak.patch` → `kmend_0001_fix_the_leak`.
fn default_name(fix: &Path) -> Result<String> {
    let packed = fix.extension().is_some_and(|end| unpack::ENDS.iter().any(|e| *e == end));
    let plain = if packed { fix.with_extension("") } else { fix.to_path_buf() };
    let fix = if fix == Path::new(patches::STDIN) { Path::new("stdin") } else { plain.as_path() };
    let stem =
        fix.file_stem().with_context(|| format!("{} is no file name", fix.display()))?.to_string_lossy().into_owned();
    let clean: String = stem.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }).take(48).collect();
    Ok(format!("kmend_{clean}"))
}

/// The manifest for a person: each function with what brought it in, then what differs.
fn summary(manifest: &Manifest) -> String {
    let mut out = String::new();
    let mut line = |indent: &str, text: &str| out.push_str(&format!("{}\n", fit(&format!("{indent}{text}"))));
    for unit in manifest.units.iter().filter(|u| !u.functions.is_empty()) {
        line("", &format!("{} ({})", unit.source, unit.object));
        let longest = unit.functions.iter().map(|f| f.name.len()).max().unwrap_or_default().min(40);
        for f in &unit.functions {
            let sympos = match f.sympos {
                Some(n) if n > 0 => format!("number {n} of this name; "),
                _ => String::new(),
            };
            let reasons = match f.status.as_str() {
                "new" => String::new(),
                _ => f.reasons.join("; "),
            };
            line("  ", format!("{:8} {:longest$}  {sympos}{reasons}", f.status, f.name).trim_end());
            f.causes.iter().for_each(|c| line("             ", &c.to_string()));
        }
        if !unit.data.is_empty() {
            line("  ", &format!("carries  {}", unit.data.join(", ")));
        }
    }
    for fix in manifest.fixes.iter().filter_map(remark) {
        out.push_str(&format!("{fix}\n"));
    }
    for unproven in &manifest.allowed_unproven {
        out.push_str(&format!("NOT PROVEN, accepted by --allow-unproven: {unproven}\n"));
    }
    for c in &manifest.callbacks {
        out.push_str(&format!("  {:12} of {}: {} ({})\n", c.kind.name(), c.object, c.function, c.source));
    }
    for s in &manifest.states {
        out.push_str(&format!("  state {:#x} in version {}\n", s.id, s.version));
    }
    for warning in &manifest.warnings {
        out.push_str(&format!("warning: {warning}\n"));
    }
    for note in &manifest.notes {
        out.push_str(&format!("note: {note}\n"));
    }
    out
}

/// A line for standard output: on a terminal a long line of source is cut off, a pipe or a file gets it whole.
fn fit(line: &str) -> String {
    const WIDTH: usize = 100;
    let clean: String = line.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    if !std::io::stdout().is_terminal() {
        return clean;
    }
    match clean.char_indices().nth(WIDTH) {
        Some(_) => clean.chars().take(WIDTH - 1).chain(['…']).collect(),
        None => clean,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_come_from_the_fix() {
        assert_eq!(default_name(Path::new("/x/0001-fix-the.leak.patch")).unwrap(), "kmend_0001_fix_the_leak");
    }
}
