// SPDX-License-Identifier: GPL-2.0-or-later
//! kmend info: what a module says of itself, in modinfo's lines; then its manifest.

use crate::host::{store, LARGEST};
use crate::module::{manifest, preflight, Fault, Module};
use crate::{files, order, say, Run};
use anyhow::{anyhow, Context, Result};
use clap::Args;
use std::path::PathBuf;

/// Arguments of `info`.
#[derive(Args)]
pub struct InfoArgs {
    /// A .ko file, or the name of an installed or a loaded module
    #[arg(value_name = "MODULE")]
    module: PathBuf,
}

/// Runs the command.
pub fn run(run: &Run<'_>, args: &InfoArgs) -> Result<()> {
    let release = run.host.release()?;
    match store::locate(run.host, &release, &args.module) {
        Ok(path) => {
            let shown = run.host.show(&path);
            let bytes = files::read(&path, preflight::LARGEST).with_context(|| format!("cannot read {shown}"))?;
            let fault = |Fault { place, reason }| {
                let (place, reason) = (say::shown(&place).into_owned(), say::shown(&reason).into_owned());
                anyhow!("failed to get info for patch {shown}: {place}: {reason}")
            };
            let module = Module::parse(&bytes).map_err(fault)?;
            run.say.line(format!("Patch information for {}:", args.module.display()));
            field(run, "filename", &shown);
            module.modinfo.iter().for_each(|(key, value)| field(run, key, value));
            if let Some(manifest) = &module.manifest {
                tell(run, manifest);
            }
            Ok(())
        }
        Err(not_found) => loaded(run, &args.module.to_string_lossy(), not_found),
    }
}

/// A loaded module shows its notes.
fn loaded(run: &Run<'_>, module: &str, not_found: anyhow::Error) -> Result<()> {
    let name = order::module_name(module);
    let folder = run.host.at("/sys/module").join(&name);
    if !order::is_module_name(&name) || !folder.is_dir() {
        return Err(not_found);
    }
    run.say.line(format!("Patch information for {module}:"));
    field(run, "name", &name);
    field(run, "loaded", "its file is not installed for this kernel");
    match files::read(&folder.join("notes").join(manifest::SECTION), LARGEST) {
        Ok(note) => {
            let fault = |Fault { place, reason }| anyhow!("loaded module {name}: {place}: {reason}");
            tell(run, &manifest::of_section(&note).map_err(fault)?);
        }
        Err(_) => field(run, "manifest", "not built by kmend: what it fixes is not known"),
    }
    Ok(())
}

fn tell(run: &Run<'_>, manifest: &manifest::Manifest) {
    field(run, "build id", &format!("{} (of the kernel that it was proven against)", manifest.target.build_id));
    let replaces = if manifest.replace {
        "all older live patches (atomic replace)"
    } else {
        "none: older live patches stay active"
    };
    field(run, "replaces", replaces);
    for fix in &manifest.fixes {
        let missing = fix.missing().map_or(String::new(), |missing| format!(": {missing}"));
        field(run, "fix", &format!("{} ({}){missing}", fix.title, fix.file));
    }
    for unproven in &manifest.allowed_unproven {
        field(run, "NOT PROVEN", &format!("{} of {}", unproven.function, unproven.object));
    }
}

/// As modinfo lays it out.
fn field(run: &Run<'_>, key: &str, value: &str) {
    run.say.line(format!("{:<15} {}", format!("{key}:"), value.trim_end()));
}
