// SPDX-License-Identifier: GPL-2.0-or-later
//! One version of a stream for one kernel: what the stream file says in, a module that keeps the ledger's rules out.

use super::ledger::{Entry, Ledger};
use super::values::{Date, Version};
use super::{names, rules, Kernel, Release, Stream, StreamFix};
use crate::error::Ended;
use crate::pipeline::{self, Label, Labels, Outcome, Request, Seen};
use crate::session::Session;
use crate::source::Fix;
use crate::target;
use anyhow::{ensure, Result};

/// What came of one kernel.
#[derive(Debug)]
pub enum End {
    /// It was built.
    Built(Box<Outcome>),
    /// Its fixes change no code of this kernel; each says why. There is no live patch.
    NoCode(Vec<Fix>),
    /// This version adds no fix for it: the last that did stays, where there is one.
    NothingNew(Option<Version>),
    /// It gets no live patches any more; the last day on which it did.
    Ended(Date),
}

/// What was asked for and what was seen, of a build however it ended: for its report.
#[derive(Default)]
pub struct Watched {
    /// The kernel and the request, where it came to that.
    pub asked: Option<(Session, Request)>,
    /// What the pipeline saw.
    pub seen: Seen,
}

/// How it ends without a build, where the stream file says so.
pub fn idle(stream: &Stream, kernel: &Kernel, release: &Release) -> Option<End> {
    if let Some(until) = kernel.supported_until.as_ref().filter(|until| **until < release.date) {
        return Some(End::Ended(until.clone()));
    }
    if !release.fixes.iter().any(|f| f.is_for(kernel)) {
        let older = stream.versions.iter().rev().filter(|r| r.version < release.version);
        let last = older.filter(|r| r.fixes.iter().any(|f| f.is_for(kernel))).map(|r| r.version).next();
        return Some(End::NothingNew(last));
    }
    None
}

/// What the stream says of `release` for `kernel`, as its manifest has it.
pub fn labels(stream: &Stream, kernel: &Kernel, release: &Release, released: &[Entry]) -> Labels {
    let fixes = stream.fixes(kernel, release.version);
    Labels {
        facts: stream.facts(kernel, release),
        fixes: fixes.iter().map(|(since, fix)| label(fix, *since, release.version, released)).collect(),
    }
}

/// Builds `release` for `kernel`.
///
/// # Errors
/// Those of the pipeline; [`Ended`], where it breaks the ledger's rules; names that have no room.
pub fn build(
    stream: &Stream,
    kernel: &Kernel,
    release: &Release,
    ledger: &Ledger,
    watched: &mut Watched,
) -> Result<End> {
    if let Some(end) = idle(stream, kernel, release) {
        return Ok(end);
    }
    let fixes = stream.fixes(kernel, release.version);
    let released = ledger.released(&kernel.target);
    let broken = |refusals: Vec<_>| match refusals.is_empty() {
        true => Ok(()),
        false => Err(Ended::breaks_ledger(release.version, &kernel.target, refusals)),
    };
    broken(rules::fixes(stream, kernel, release, released))?;
    let target = target::store::load(&kernel.target)?;
    ensure!(
        target.name == kernel.target,
        "{} means {} now: write the whole name into the stream file",
        kernel.target,
        target.name
    );
    let name = names::module(&target.release, release.version)?;
    let request = Request {
        hooks: release.hooks.clone(),
        limit: stream.limit,
        allow_unproven: fixes.iter().flat_map(|(_, fix)| &fix.allow_unproven).map(ToString::to_string).collect(),
        allow_layout: fixes.iter().flat_map(|(_, fix)| &fix.allow_layout).map(ToString::to_string).collect(),
        stream: Some(labels(stream, kernel, release, released)),
        ..Request::new(name, fixes.iter().map(|(_, fix)| fix.path.clone()).collect())
    };
    let Watched { asked, seen } = watched;
    let (session, request) = asked.insert((Session::new(target), request));
    let outcome = match pipeline::build(session, request, seen) {
        Ok(outcome) => outcome,
        // Hosts that have an older version would keep it.
        Err(error) if rules::before(released, release.version).is_some() => return Err(error),
        Err(_) if !seen.fixes.is_empty() && seen.fixes.iter().all(|fix| fix.missing().is_some()) => {
            return Ok(End::NoCode(seen.fixes.clone()));
        }
        Err(error) => return Err(error),
    };
    broken(rules::module(&outcome.manifest, release, released))?;
    Ok(End::Built(Box::new(outcome)))
}

/// What the stream says of a fix. A version that is released is built once more with the titles that it has.
fn label(fix: &StreamFix, since: Version, version: Version, released: &[Entry]) -> Label {
    let entry = released.iter().find(|e| e.version == version);
    let same = entry.and_then(|e| e.fixes.iter().find(|old| old.is(fix))).filter(|_| !fix.titled);
    let label = fix.label(since);
    Label { title: same.map_or(label.title, |old| old.title.clone()), ..label }
}
