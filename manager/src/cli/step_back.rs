// SPDX-License-Identifier: GPL-2.0-or-later
//! kmend step-back: an older installed version in the place of the one in force, at the next boots as well.

use crate::host::store::{self, Installed};
use crate::host::{livepatch, lock};
use crate::module::preflight::Kernel;
use crate::order::{self, Place};
use crate::{aside, breaker, Run};
use anyhow::{bail, ensure, Context, Result};
use clap::Args;

/// Arguments of `step-back`.
#[derive(Args)]
pub struct StepBackArgs {
    /// The version, such as 1-9, or the name of a module [default: the next older installed one]
    #[arg(value_name = "VERSION")]
    version: Option<String>,
}

/// Runs the command.
pub fn run(run: &Run<'_>, args: &StepBackArgs) -> Result<()> {
    let kernel = Kernel::running(run.host)?;
    let _lock = lock::take(run, "step-back", true)?;
    let mut breaker = breaker::look(run)?;
    let (current, place) = in_force(run, args.version.as_deref(), &kernel.release)?;
    let installed = store::with_kept(run.host, &kernel.release)?;
    let stream = || installed.iter().filter(|i| i.place.stream == place.stream);
    let older: Vec<&Installed> = stream().filter(|i| i.place.version < place.version).collect();
    let wanted = |i: &&&Installed| match &args.version {
        Some(version) => {
            i.name == order::module_name(version) || i.place.version.is_some_and(|v| v.to_string() == *version)
        }
        None => breaker.aside(&i.name, &kernel.release).is_none(),
    };
    let target = older.iter().rev().find(wanted);
    let which = args.version.as_deref().unwrap_or("that is not set aside");
    let target = target.with_context(|| {
        format!(
            "no version {which} older than {current} is installed for {}: `kmend list` shows what is; `kmend unload \
             {current}` takes it back altogether",
            kernel.release
        )
    })?;
    super::load::known(run, &target.path, &kernel, &mut breaker)?;
    let newer = stream().filter(|i| i.place.version > target.place.version).map(|i| i.name.as_str());
    aside::stepped_back(run, newer.collect::<Vec<_>>().as_slice(), &target.name, &kernel.release)
}

/// The live patch that is stepped back from.
fn in_force(run: &Run<'_>, version: Option<&str>, release: &str) -> Result<(String, Place)> {
    let patches = livepatch::all(run.host)?;
    let on: Vec<(String, Place)> = patches
        .into_iter()
        .filter(|p| p.enabled)
        .map(|p| (p.name.clone(), order::place(&p.name, release)))
        .filter(|(_, place)| place.version.is_some())
        .collect();
    let stream = version.map(|v| order::place(&order::module_name(v), release)).filter(|p| p.version.is_some());
    let mut fits = on.iter().filter(|(_, place)| stream.as_ref().is_none_or(|s| s.stream == place.stream));
    match (fits.next(), fits.next()) {
        (Some(one), None) => Ok(one.clone()),
        (None, _) => {
            ensure!(on.is_empty(), "no live patch of that stream is in force");
            bail!("no version of a stream is in force: there is nothing to step back from (`kmend list` shows what is)")
        }
        (Some((a, _)), Some((b, _))) => {
            bail!("{a} and {b} are in force: name the module to go back to (`kmend list` shows what is installed)")
        }
    }
}
