// SPDX-License-Identifier: GPL-2.0-or-later
//! The crash breaker: a live patch whose load was followed by a crash is not loaded again at boot. A load is noted on the
//! disk before the kernel gets the module; the note goes away when the load is known to be good. One that is still there
//! after a reboot means that the host went down in between, and its live patch is set aside; one that was good in earlier
//! boots is loaded once more before that, as the power may have been cut.
//!
//! A load is known to be good when the host shuts down in good order (`kmend shutdown-mark`, run by systemd), or when the
//! live patch is still in force ten minutes later (`kmend settle`, run by systemd; any other run of kmend looks too).
//! Which boot it is tells /proc/sys/kernel/random/boot_id.

use crate::host::notes::{self, Attempt, Breaker, Good, SetAside};
use crate::host::{clock, livepatch, lock, Host};
use crate::{kept, order, Run};
use anyhow::{Context, Result};
use std::collections::BTreeMap;
use std::fs;

/// After that many seconds in force a load is known to be good.
pub const SETTLING: i64 = 600;
/// How many live patches known to be good are kept in mind.
const GOOD: usize = 100;

/// Which boot this is.
fn boot_id(host: &Host) -> Result<String> {
    let path = host.at("/proc/sys/kernel/random/boot_id");
    let text = host.text(&path)?.filter(|text| !text.is_empty());
    text.with_context(|| format!("{} does not say which boot this is", host.show(&path)))
}

/// The note; a damaged one is put beside, told, and taken as empty: the host shall get its live patches, and one that
/// crashes is noticed by the new note.
fn read(run: &Run<'_>) -> Breaker {
    match notes::read(run.host) {
        Ok(breaker) => breaker,
        Err(error) => {
            let path = run.host.at(notes::FOLDER).join(<Breaker as notes::Note>::FILE);
            let beside = path.with_extension("damaged");
            let moved = match fs::rename(&path, &beside) {
                Ok(()) => format!("it is now {}", run.host.show(&beside)),
                Err(error) => format!("it cannot be moved away either: {error}"),
            };
            run.say.warn(format!("{error:#}: which versions were set aside is not known; {moved}"));
            Breaker::default()
        }
    }
}

/// What is known of an attempt now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    Open,
    Good,
    Crashed,
}

fn fate(host: &Host, attempt: &Attempt, boot_id: &str) -> Result<Fate> {
    if attempt.boot_id != boot_id {
        return Ok(Fate::Crashed);
    }
    let begun: Option<jiff::Timestamp> = attempt.when.parse().ok();
    // A time that cannot be read never comes; the next orderly shutdown ends it.
    let old = begun.is_some_and(|then| clock::now(host).as_second() - then.as_second() >= SETTLING);
    let on = livepatch::find(host, &attempt.module)?.is_some_and(|p| p.enabled && !p.transition);
    Ok(if old && on { Fate::Good } else { Fate::Open })
}

/// Moves each attempt to where it belongs. Returns what was set aside.
fn judge(run: &Run<'_>, breaker: &mut Breaker, boot_id: &str) -> Result<Vec<SetAside>> {
    let (mut open, mut crashed) = (Vec::new(), Vec::new());
    for attempt in breaker.take_attempts() {
        match fate(run.host, &attempt, boot_id)? {
            Fate::Open => open.push(attempt),
            Fate::Good => mark_good(breaker, &attempt),
            Fate::Crashed => crashed.push(attempt),
        }
    }
    breaker.put_attempts(open);
    // Of several, those that have been in force before without a crash are spared for the sake of those that have not.
    let is_new = |a: &Attempt| !breaker.good.iter().any(|g| g.module == a.module && g.release == a.release);
    if crashed.iter().any(is_new) {
        crashed.retain(is_new);
    }
    // Of one stream the last load is charged: the one before it lived until then.
    let stream = |a: &Attempt| (order::place(&a.module, &a.release).stream, a.release.clone());
    let last: BTreeMap<_, _> = crashed.iter().map(|a| (stream(a), a.module.clone())).collect();
    crashed.retain(|a| last.get(&stream(a)) == Some(&a.module));
    let mut found = Vec::new();
    for attempt in crashed {
        let known = breaker.good.len();
        breaker.good.retain(|g| g.module != attempt.module || g.release != attempt.release);
        if breaker.good.len() < known {
            run.say.warn(format!(
                "the host went down without a shutdown after {} was loaded at {}; as it was good before, it is loaded once \
                 more, and set aside if that happens again",
                attempt.module, attempt.when
            ));
            continue;
        }
        breaker.set_aside.retain(|s| s.module != attempt.module || s.release != attempt.release);
        let reason = format!(
            "the host went down without a shutdown after it was loaded at {}, before that was known to be good",
            attempt.when
        );
        let (module, release, when) = (attempt.module, attempt.release, clock::stamp(run.host));
        found.push(SetAside { module, release, when, reason, held_back: false });
    }
    breaker.set_aside.extend(found.iter().cloned());
    Ok(found)
}

fn mark_good(breaker: &mut Breaker, attempt: &Attempt) {
    breaker.good.retain(|g| g.module != attempt.module || g.release != attempt.release);
    breaker.good.push(Good { module: attempt.module.clone(), release: attempt.release.clone() });
    let surplus = breaker.good.len().saturating_sub(GOOD);
    breaker.good.drain(..surplus);
}

/// What is set aside, after a look at what the last boot left behind; the caller holds the lock. Where that cannot be
/// written down it holds for this run, and the next one comes to the same result.
///
/// # Errors
/// sysfs says what it never should.
pub fn look(run: &Run<'_>) -> Result<Breaker> {
    let before = read(run);
    let mut breaker = before.clone();
    let boot_id = match boot_id(run.host) {
        Ok(id) => id,
        Err(error) => {
            run.say.warn(format!("{error:#}: a crash that a live patch brings is not noticed"));
            return Ok(breaker);
        }
    };
    for aside in judge(run, &mut breaker, &boot_id)? {
        run.say.warn(format!("{} is set aside: {}", aside.module, aside.reason));
    }
    // What is not written down is forgotten by the next crash.
    if breaker == before || write(run, &breaker) {
        kept::tidy(run, &breaker);
    }
    Ok(breaker)
}

/// Whether it could be written.
fn write(run: &Run<'_>, breaker: &Breaker) -> bool {
    let done = notes::write(run.host, breaker);
    if let Err(error) = &done {
        run.say.warn(format!("{error:#}: a crash that a live patch brings may not be noticed; make room in /var"));
    }
    done.is_ok()
}

/// Notes that the kernel is about to get this module. Where that cannot be written, it is a warning: a host whose /var
/// is full still gets its live patches.
pub fn begin(run: &Run<'_>, module: &str, release: &str) {
    let Ok(boot_id) = boot_id(run.host) else { return };
    let mut breaker = read(run);
    let mut attempts = breaker.take_attempts();
    attempts.retain(|a| a.module != module || a.release != release);
    attempts.push(Attempt { module: module.into(), release: release.into(), boot_id, when: clock::stamp(run.host) });
    breaker.put_attempts(attempts);
    write(run, &breaker);
}

/// A load has ended, well or not: attempts for what is neither in force nor on its way there or back are over.
///
/// # Errors
/// sysfs says what it never should.
pub fn ended(run: &Run<'_>) -> Result<()> {
    let before = read(run);
    let mut breaker = before.clone();
    let mut open = Vec::new();
    for attempt in breaker.take_attempts() {
        if livepatch::find(run.host, &attempt.module)?.is_some_and(|p| p.enabled || p.transition) {
            open.push(attempt);
        }
    }
    breaker.put_attempts(open);
    if breaker != before {
        write(run, &breaker);
    }
    Ok(())
}

/// Whether anything is open; for runs that only look.
fn is_open(host: &Host) -> bool {
    notes::read::<Breaker>(host).is_ok_and(|b| b.attempt.is_some())
}

/// Any run of kmend: where an attempt is known to be good by now, that is written down. Never waits, never fails; who may
/// not write does not.
pub fn pass_by(run: &Run<'_>) {
    if !is_open(run.host) {
        return;
    }
    let (Ok(boot_id), Ok(breaker)) = (boot_id(run.host), notes::read::<Breaker>(run.host)) else { return };
    let is_good = |a: &Attempt| matches!(fate(run.host, a, &boot_id), Ok(Fate::Good));
    if !breaker.attempts().any(is_good) {
        return;
    }
    if let Some(_lock) = lock::at_once(run) {
        let _ = settle_now(run, &boot_id);
    }
}

fn settle_now(run: &Run<'_>, boot_id: &str) -> Result<()> {
    let mut breaker: Breaker = notes::read(run.host)?;
    let before = breaker.clone();
    // A crash is the business of the next load, which tells of it.
    let (mut open, attempts) = (Vec::new(), breaker.take_attempts());
    for attempt in attempts {
        match fate(run.host, &attempt, boot_id)? {
            Fate::Good => mark_good(&mut breaker, &attempt),
            _ => open.push(attempt),
        }
    }
    breaker.put_attempts(open);
    if breaker != before {
        notes::write(run.host, &breaker)?;
    }
    kept::tidy(run, &breaker);
    Ok(())
}

/// `kmend settle`: looks whether loads are known to be good by now.
///
/// # Errors
/// The note cannot be read or written.
pub fn settle(run: &Run<'_>) -> Result<()> {
    let _lock = lock::take(run, "settle", true)?;
    settle_now(run, &boot_id(run.host)?)
}

/// `kmend shutdown-mark`: the host goes down in good order, what is in force has crashed nothing.
///
/// # Errors
/// The note cannot be read or written.
pub fn shutdown_mark(run: &Run<'_>) -> Result<()> {
    if !is_open(run.host) {
        return Ok(());
    }
    let _lock = lock::take(run, "shutdown-mark", true)?;
    let boot_id = boot_id(run.host)?;
    let mut breaker: Breaker = notes::read(run.host)?;
    let (ours, others): (Vec<_>, Vec<_>) = breaker.take_attempts().into_iter().partition(|a| a.boot_id == boot_id);
    breaker.put_attempts(others);
    for attempt in ours {
        if livepatch::find(run.host, &attempt.module)?.is_some_and(|p| p.enabled && !p.transition) {
            mark_good(&mut breaker, &attempt);
        }
    }
    notes::write(run.host, &breaker)?;
    kept::tidy(run, &breaker);
    Ok(())
}
