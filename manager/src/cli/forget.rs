// SPDX-License-Identifier: GPL-2.0-or-later
//! kmend forget: failed installs and loads that `status` shows no longer.

use super::Which;
use crate::host::lock;
use crate::status::count;
use crate::{failures, order, Run};
use anyhow::{ensure, Result};

/// Runs the command.
pub fn run(run: &Run<'_>, which: &Which) -> Result<()> {
    let file =
        which.module.as_ref().map(|module| module.file_name().unwrap_or_default().to_string_lossy().into_owned());
    let name = file.as_deref().map(order::module_name);
    let _lock = lock::take(run, "forget", true)?;
    let forgotten = failures::forget(run, name.as_deref());
    if let Some(name) = &name {
        ensure!(forgotten > 0, "no failure of {name} is recorded (`kmend status` shows those that are)");
    }
    run.say.line(format!("{} forgotten", count(forgotten, "failure")));
    Ok(())
}
