// SPDX-License-Identifier: GPL-2.0-or-later
//! Versions that are set aside, by the breaker after a crash or by a step back: a load of one is refused, `retry` lifts
//! it.

use crate::host::clock;
use crate::host::notes::{self, Breaker, SetAside};
use crate::{breaker, Run};
use anyhow::{bail, ensure, Result};

/// Refuses a version that is set aside.
///
/// # Errors
/// It is.
pub fn refuse(breaker: &Breaker, module: &str, release: &str) -> Result<()> {
    match breaker.aside(module, release) {
        None => Ok(()),
        Some(aside) => bail!(
            "{module} was set aside at {}: {}\n  what you can do: install a newer version; or `kmend retry {module}`, which \
             loads it all the same",
            aside.when,
            aside.reason
        ),
    }
}

/// Sets aside the versions newer than the one that the host was taken back to, so that they are not loaded at boot; the
/// caller holds the lock.
///
/// # Errors
/// The note cannot be written.
pub fn stepped_back(run: &Run<'_>, newer: &[&str], to: &str, release: &str) -> Result<()> {
    let mut breaker = breaker::look(run)?;
    for module in newer.iter().filter(|module| breaker.aside(module, release).is_none()).collect::<Vec<_>>() {
        let reason = format!("a step back to {to} was asked for");
        breaker.set_aside.push(SetAside {
            module: module.to_string(),
            release: release.into(),
            when: clock::stamp(run.host),
            reason,
            held_back: true,
        });
        run.say.line(format!("{module} is set aside: it is not loaded at boot until `kmend retry {module}`"));
    }
    notes::write(run.host, &breaker)
}

/// Lifts what was set aside; the caller holds the lock.
///
/// # Errors
/// It is not set aside; the note cannot be written.
pub fn lift(run: &Run<'_>, module: &str, release: &str) -> Result<()> {
    let mut breaker = breaker::look(run)?;
    ensure!(
        breaker.aside(module, release).is_some(),
        "{module} is not set aside for {release}: `kmend load {module}` loads it"
    );
    breaker.set_aside.retain(|s| s.module != module || s.release != release);
    notes::write(run.host, &breaker)
}
