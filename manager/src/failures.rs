// SPDX-License-Identifier: GPL-2.0-or-later
//! Installs and loads that failed, for `kmend status`: package scriptlets end well whatever happens, so that this is where
//! a failure stays to be seen. The caller holds the lock.

use crate::host::clock;
use crate::host::notes::{self, Failure, Failures};
use crate::load::Stalled;
use crate::module::preflight::Refusal;
use crate::{order, Run};
use anyhow::Error;

/// How many are kept, the last ones.
const KEPT: usize = 20;
/// A reason is cut off behind that many characters.
const LONGEST: usize = 2000;

/// What to do later about a transition that stalled.
const STALLED: &str = "end or restart the tasks that blocked it, then `kmend load --all` again";

/// Notes that `what` (`install`, `load`) failed for a module and a kernel. Where that cannot be written, it is told.
pub fn record(run: &Run<'_>, what: &str, module: &str, release: &str, error: &Error) {
    let reason: String = format!("{error:#}").chars().take(LONGEST).collect();
    let (when, what) = (clock::stamp(run.host), what.to_string());
    let advice = error.is::<Stalled>().then(|| STALLED.to_string());
    let (module_name, release_name) = (module.to_string(), release.to_string());
    let since = when.clone();
    let meant_for = error.downcast_ref::<Refusal>().and_then(|refusal| refusal.meant_for.clone());
    let meant_for = meant_for.filter(|meant| meant != release);
    let mut failure =
        Failure { when, since, what, module: module_name, release: release_name, reason, advice, meant_for };
    change(run, |failures| {
        if let Some(before) = failures.iter().find(|f| is_same(f, &failure.what, module, release)) {
            failure.since.clone_from(if before.since.is_empty() { &before.when } else { &before.since });
        }
        failures.retain(|f| !is_same(f, &failure.what, module, release));
        failures.push(failure);
        let surplus = failures.len().saturating_sub(KEPT);
        failures.drain(..surplus);
    });
}

/// `what` went well: its failure is over, and so is that of an install where a load went well; those of installs of older
/// versions of its stream, as each version holds what the older ones do; and those of the same module that was refused
/// for another kernel, as it is where it belongs now.
pub fn clear(run: &Run<'_>, what: &str, module: &str, release: &str) {
    let place = order::place(module, release);
    let is_older = |f: &Failure| {
        let other = order::place(&f.module, release);
        let is_install = f.what == "install" && f.release == release;
        is_install && other.version.is_some() && other.stream == place.stream && other.version < place.version
    };
    let is_done = |f: &Failure| f.what == what || what == "load" && f.what == "install";
    let is_over = |f: &Failure| {
        let is_it = f.module == module && (f.release == release || f.meant_for.as_deref() == Some(release));
        is_done(f) && (is_it || is_older(f))
    };
    change(run, |failures| failures.retain(|f| !is_over(f)));
}

/// A module that is uninstalled, or was not installed at all: nothing failed of it matters any more.
pub fn gone(run: &Run<'_>, module: &str, release: &str) {
    change(run, |failures| failures.retain(|f| f.module != module || f.release != release));
}

/// Forgets what failed of a module, for all kernels; of all modules where none is named. How many failures that were.
pub fn forget(run: &Run<'_>, module: Option<&str>) -> usize {
    let mut count = 0;
    change(run, |failures| {
        let before = failures.len();
        failures.retain(|f| module.is_some_and(|module| f.module != module));
        count = before - failures.len();
    });
    count
}

fn is_same(failure: &Failure, what: &str, module: &str, release: &str) -> bool {
    failure.what == what && failure.module == module && failure.release == release
}

/// A damaged note is begun anew: what it held has been said when it happened.
fn change(run: &Run<'_>, change: impl FnOnce(&mut Vec<Failure>)) {
    let before = notes::read::<Failures>(run.host);
    let mut after = before.as_ref().map_or_else(|_| Failures::default(), Clone::clone);
    change(&mut after.failures);
    if before.is_ok_and(|before| before == after) {
        return;
    }
    if let Err(error) = notes::write(run.host, &after) {
        run.say.warn(format!("{error:#}: `kmend status` does not show this failure later"));
    }
}
