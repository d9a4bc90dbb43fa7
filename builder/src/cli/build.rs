// SPDX-License-Identifier: GPL-2.0-or-later
//! kmend-build build: fixes in, live patch module out.

use crate::manifest::Manifest;
use crate::pipeline::{self, Request};
use crate::{files, target};
use anyhow::{Context, Result};
use clap::Args;
use std::path::PathBuf;

/// Build one cumulative live patch module out of one or many fixes.
///
/// Writes NAME.ko, NAME.rs (the source that registers the functions) and NAME.json (the manifest).
/// Exit code 0: built; 1: error; 2: refused; 3: the fix compiles to the same code.
#[derive(Args)]
pub struct BuildArgs {
    /// The kernel it is for, as `target list` shows it
    #[arg(short, long)]
    target: String,
    /// Name of the module [default: kmend_ and the first fix's file name]
    #[arg(short, long)]
    name: Option<String>,
    /// Folder to write to
    #[arg(short, long, default_value = ".")]
    output: PathBuf,
    /// Rust file with callbacks and states, to be compiled into the module (docs/authors.md)
    #[arg(long, value_name = "HOOKS.rs")]
    hooks: Option<PathBuf>,
    /// Leave older live patches active instead of taking their place
    #[arg(long)]
    no_replace: bool,
    /// Unified diffs against the target's source, in the order in which they apply
    #[arg(required = true, value_name = "FIX.patch")]
    fixes: Vec<PathBuf>,
}

/// Runs the command.
pub fn run(args: &BuildArgs) -> Result<()> {
    files::check_writable(&args.output)
        .with_context(|| format!("cannot write to the output folder {}", args.output.display()))?;
    let target = target::store::load(&args.target)?;
    let name = match &args.name {
        Some(name) => name.clone(),
        None => default_name(&args.fixes[0])?,
    };
    eprintln!("building {name} for {} ({})", target.name, target.release);
    let request = Request {
        target,
        name: name.clone(),
        fixes: args.fixes.clone(),
        hooks: args.hooks.clone(),
        replace: !args.no_replace,
    };
    let outcome = pipeline::build(&request)?;
    let json = serde_json::to_string_pretty(&outcome.manifest)? + "\n";
    let file = |end: &str| args.output.join(format!("{name}.{end}"));
    files::write_together(&[
        (file("rs"), outcome.source.as_bytes()),
        (file("json"), json.as_bytes()),
        (file("ko"), &outcome.module),
    ])?;
    print_summary(&outcome.manifest);
    println!("{}", args.output.join(format!("{name}.ko")).display());
    Ok(())
}

/// `0001-fix-the-leak.patch` → `kmend_0001_fix_the_leak`.
fn default_name(fix: &std::path::Path) -> Result<String> {
    let stem =
        fix.file_stem().with_context(|| format!("{} is no file name", fix.display()))?.to_string_lossy().into_owned();
    let clean: String = stem.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }).take(48).collect();
    Ok(format!("kmend_{clean}"))
}

fn print_summary(manifest: &Manifest) {
    for unit in manifest.units.iter().filter(|u| !u.functions.is_empty()) {
        println!("{} ({})", unit.source, unit.object);
        for f in &unit.functions {
            let sympos = match f.sympos {
                Some(n) if n > 0 => format!(", number {n} of this name"),
                _ => String::new(),
            };
            println!("  {:8} {}{sympos}: {}", f.status, f.name, f.reasons.join("; "));
        }
        if !unit.data.is_empty() {
            println!("  brings   {}", unit.data.join(", "));
        }
    }
    for c in &manifest.callbacks {
        println!("  {:12} of {}: {} ({})", c.kind.name(), c.object, c.function, c.source);
    }
    for s in &manifest.states {
        println!("  state {:#x} in version {}", s.id, s.version);
    }
    for note in &manifest.notes {
        println!("note: {note}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    #[test]
    fn names_come_from_the_fix() {
        assert_eq!(default_name(Path::new("/x/0001-fix-the.leak.patch")).unwrap(), "kmend_0001_fix_the_leak");
    }
}
