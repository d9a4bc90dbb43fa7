// SPDX-License-Identifier: GPL-2.0-or-later
//! kmend's notes as `status` shows them: those about one kernel. Notes that are damaged are remarks; they hide nothing of
//! what the kernel itself says.

use crate::host::notes::{self, Available, Breaker, Failure, Failures, Note, SetAside};
use crate::host::store::Installed;
use crate::host::{clock, Host};
use crate::live::Live;
use crate::order::Version;
use serde::Serialize;

/// What a check saw for this kernel.
#[derive(Debug, Serialize)]
pub struct Offer {
    /// The newest version: `1-3`.
    pub version: String,
    /// It is newer than all that are in force or installed.
    pub is_newer: bool,
    /// There is a stream for this kernel, and no live patch in it yet (version 0).
    pub is_empty: bool,
}

/// The notes about one kernel.
#[derive(Default)]
pub(super) struct Noted {
    offered: Option<(String, Version)>,
    pub checked: Option<String>,
    /// How many days ago that was; None where the note does not say a day.
    pub checked_days: Option<i64>,
    pub failures: Vec<Failure>,
    pub set_aside: Vec<SetAside>,
    pub remarks: Vec<String>,
}

/// Reads them.
pub(super) fn read(host: &Host, release: &str) -> Noted {
    let mut noted = Noted::default();
    let available: Available = noted.take(host);
    let failures: Failures = noted.take(host);
    let breaker: Breaker = noted.take(host);
    // A kernel that came after the check: it says nothing of that one.
    let is_about = available.asked.is_empty() || available.asked.iter().any(|asked| asked == release);
    if !available.checked.is_empty() && (is_about || available.kernels.contains_key(release)) {
        noted.checked = Some(plain(&available.checked));
        let day = available.checked.get(..10).and_then(clock::date);
        noted.checked_days = day.map(|day| clock::days(day, clock::today(host)));
    }
    if let Some(newest) = available.kernels.get(release) {
        match version(&newest.version) {
            Some(version) => noted.offered = Some((newest.version.clone(), version)),
            None => {
                // There is something for this kernel; what, is not known.
                noted.checked = None;
                let text = plain(&newest.version);
                noted.remarks.push(format!(
                    "{}/{} says version {text:?} of {release}: one looks like 1-3",
                    notes::FOLDER,
                    Available::FILE
                ));
            }
        }
    }
    noted.failures = failures.failures.into_iter().filter(|f| f.release == release).map(shown).collect();
    noted.set_aside = breaker.set_aside.into_iter().filter(|s| s.release == release).collect();
    noted.set_aside.iter_mut().for_each(|s| (s.reason, s.when) = (plain(&s.reason), plain(&s.when)));
    let boot = clock::boot_id(host).ok();
    if let Some(attempt) = breaker.attempt.filter(|a| boot.is_some_and(|boot| boot != a.boot_id)) {
        let (module, when) = (plain(&attempt.module), plain(&attempt.when));
        noted.remarks.push(format!("the system went down while {module} was being loaded, {when}"));
    }
    noted
}

impl Noted {
    fn take<N: Note>(&mut self, host: &Host) -> N {
        notes::read(host).unwrap_or_else(|error| {
            self.remarks.push(format!("{error:#}"));
            N::default()
        })
    }

    /// What the check saw, against what is here.
    pub fn offer(&self, live: &[Live<'_>], files: &[Installed]) -> Option<Offer> {
        let (text, version) = self.offered.as_ref()?;
        let in_force = live.iter().filter(|l| l.in_force()).filter_map(|l| l.place.version);
        let here = in_force.chain(files.iter().filter_map(|f| f.place.version)).max();
        Some(Offer {
            version: text.clone(),
            is_newer: version.version > 0 && here.is_none_or(|here| *version > here),
            is_empty: version.version == 0,
        })
    }
}

/// `1-3`, and the bare `0` of a stream that is empty.
fn version(text: &str) -> Option<Version> {
    let number = |text: &str| text.bytes().all(|b| b.is_ascii_digit()).then(|| text.parse().ok())?;
    let (version, release) = text.split_once('-').unwrap_or((text, "0"));
    let found = Version { version: number(version)?, release: number(release)? };
    (text.contains('-') || found.version == 0).then_some(found)
}

fn shown(failure: Failure) -> Failure {
    let when = plain(&failure.when);
    Failure {
        since: if failure.since.is_empty() { when.clone() } else { plain(&failure.since) },
        when,
        what: plain(&failure.what),
        module: plain(&failure.module),
        release: failure.release,
        // What follows is what can be done.
        reason: plain(failure.reason.lines().next().unwrap_or_default()),
        advice: failure.advice.as_deref().map(plain),
        meant_for: None,
    }
}

/// On one line, and without what a terminal would take as a command.
fn plain(text: &str) -> String {
    let lines: Vec<&str> = text.split('\n').map(str::trim).filter(|line| !line.is_empty()).collect();
    lines.join("; ").chars().map(|c| if c.is_control() { '?' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_two_numbers() {
        assert_eq!(version("1-3"), Some(Version { version: 1, release: 3 }));
        assert_eq!(version("0"), Some(Version { version: 0, release: 0 }));
        assert_eq!(version("0-1"), Some(Version { version: 0, release: 1 }));
        for none in ["", "1", "-", "1-", "-3", "1-3.el9", "1-3-4", "a", "1-99999999999999999999"] {
            assert_eq!(version(none), None, "{none:?}");
        }
    }

    #[test]
    fn reasons_are_shown_on_one_line() {
        assert_eq!(plain("busy\n  what you can do: wait\x1b[31m\n"), "busy; what you can do: wait?[31m");
    }
}
