// SPDX-License-Identifier: GPL-2.0-or-later
//! kmend list: what is loaded and what is installed, in kpatch's lines; scripts read them. Cockpit's page wants these two
//! blocks and no others (pkg/packagekit/kpatch.jsx: `m.trim().split("\n\n")` has to have two parts).

use crate::host::livepatch::{self, Patch};
use crate::host::store;
use crate::live::{self, Left};
use crate::{transition, Run};
use anyhow::Result;
use std::collections::BTreeMap;

/// Runs the command; without `more`, the two blocks alone.
pub fn run(run: &Run<'_>, more: bool) -> Result<()> {
    let patches = livepatch::all(run.host)?;
    run.say.line("Loaded patch modules:");
    for patch in &patches {
        run.say.line(format!("{} [{}]", patch.name, patch.state().word()));
    }
    if more {
        transition::show_blocking(run)?;
    }
    run.say.line("");
    run.say.line("Installed patch modules:");
    for release in store::releases(run.host)? {
        for installed in store::installed(run.host, &release)? {
            run.say.line(format!("{} ({release})", installed.name));
        }
    }
    if !more {
        return Ok(());
    }
    let Left { stuck, replaced } = live::left(run.host)?;
    if !stuck.is_empty() || !replaced.is_empty() {
        run.say.line("");
        run.say.line("In memory and not in force:");
    }
    stuck.iter().for_each(|name| run.say.line(format!("{name} [stuck until a reboot]")));
    replaced.iter().for_each(|name| run.say.line(format!("{name} [unused]")));
    functions(run, &patches)
}

/// Which live patch each function comes from: the one that is highest in the order. Kernels without `stack_order` do
/// not tell.
fn functions(run: &Run<'_>, patches: &[Patch]) -> Result<()> {
    let mut highest: BTreeMap<_, (u64, &Patch)> = BTreeMap::new();
    for patch in patches {
        let Some(order) = patch.stack_order else { continue };
        for function in livepatch::functions(run.host, &patch.name)? {
            let entry = highest.entry(function).or_insert((order, patch));
            if entry.0 < order {
                *entry = (order, patch);
            }
        }
    }
    if highest.is_empty() {
        return Ok(());
    }
    run.say.line("");
    run.say.line("Currently livepatched functions:");
    let mut rows = vec![["Module".into(), "Object".into(), "Function/Occurrence".into()]];
    for (function, (_, patch)) in &highest {
        let transition = if patch.transition { "  (transition)" } else { "" };
        let last = format!("{},{}{transition}", function.name, function.position);
        rows.push([patch.name.clone(), function.object.clone(), last]);
    }
    let width = |column: usize| rows.iter().map(|row| row[column].len()).max().unwrap_or_default();
    let (first, second) = (width(0), width(1));
    for [module, object, function] in &rows {
        run.say.line(format!("{module:<first$}  {object:<second$}  {function}"));
    }
    Ok(())
}
