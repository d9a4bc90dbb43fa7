// SPDX-License-Identifier: GPL-2.0-or-later
//! The crash breaker: a live patch whose load was followed by a crash is not loaded again at boot. A load is noted on the
//! disk before the kernel gets the module; the note goes away when the load is known to be good. One that is still there
//! after a reboot means that the host went down in between, and its live patch is set aside; one that was good in earlier
//! boots is loaded once more before that, as the power may have been cut.
//!
//! A load is known to be good when the host shuts down in good order (`kmend shutdown-mark`, run by systemd, which is asked
//! whether it does: a unit is stopped for other reasons, too), or when the live patch is still in force ten minutes later
//! (`kmend settle`, run by systemd; any other run of kmend looks too).
//! Which boot it is tells /proc/sys/kernel/random/boot_id, and how long ago a load was the time since the boot: the host's
//! clock may be set after the load, by hours.

use crate::host::notes::{self, Attempt, Breaker, Good, SetAside};
use crate::host::{clock, livepatch, lock, Host};
use crate::{last_good, order, watch, Run};
use anyhow::{Error, Result};
use std::collections::{BTreeMap, HashSet};
use std::fs;

/// After that many seconds in force a load is known to be good.
pub const SETTLING: u64 = 600;
/// How many live patches known to be good are kept in mind.
const GOOD: usize = 100;

/// The note; a damaged one is put beside, told, and taken as empty: the host shall get its live patches, and one that
/// crashes is noticed by the new note.
pub fn read(run: &Run<'_>) -> Breaker {
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
    // Where no time is known it never comes; the next orderly shutdown ends the attempt.
    let old = attempt.uptime.zip(clock::uptime(host)).is_some_and(|(then, now)| now >= then.saturating_add(SETTLING));
    let on = livepatch::find(host, &attempt.module)?.is_some_and(|p| p.enabled && !p.transition);
    Ok(if old && on { Fate::Good } else { Fate::Open })
}

/// An attempt of this boot, noted by an older kmend, does not say when it was: it begins now.
fn adopt(host: &Host, attempt: &mut Attempt) {
    attempt.uptime = attempt.uptime.or_else(|| clock::uptime(host));
}

/// Moves each attempt to where it belongs. Returns what was set aside.
fn judge(run: &Run<'_>, breaker: &mut Breaker, boot_id: &str) -> Result<Vec<SetAside>> {
    let (mut open, mut crashed) = (Vec::new(), Vec::new());
    for mut attempt in breaker.take_attempts() {
        match fate(run.host, &attempt, boot_id)? {
            Fate::Open => {
                adopt(run.host, &mut attempt);
                open.push(attempt);
            }
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
            "the host went down without a shutdown after it was loaded at {}, before the load was known to be good",
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
    let boot_id = match clock::boot_id(run.host) {
        Ok(id) => id,
        Err(error) => {
            run.say.warn(format!("{error:#}: a crash caused by a live patch is not noticed"));
            return Ok(breaker);
        }
    };
    for aside in judge(run, &mut breaker, &boot_id)? {
        run.say.warn(format!("{} is set aside: {}", aside.module, aside.reason));
    }
    // What is not written down is forgotten by the next crash.
    if breaker == before || write(run, &breaker) {
        last_good::tidy(run, &breaker);
    }
    Ok(breaker)
}

/// Whether it could be written.
fn write(run: &Run<'_>, breaker: &Breaker) -> bool {
    let done = notes::write(run.host, breaker);
    if let Err(error) = &done {
        run.say.warn(format!("{error:#}: a crash caused by a live patch may not be noticed; free space in /var"));
    }
    done.is_ok()
}

/// Notes that the kernel is about to get this module. Where that cannot be written, it is a warning: a host whose /var
/// is full still gets its live patches. `breaker` is what the note holds, and holds the load then, too.
pub fn begin(run: &Run<'_>, breaker: &mut Breaker, module: &str, release: &str) {
    let Ok(boot_id) = clock::boot_id(run.host) else { return };
    let mut attempts = breaker.take_attempts();
    attempts.retain(|a| a.module != module || a.release != release);
    let (when, uptime) = (clock::stamp(run.host), clock::uptime(run.host));
    attempts.push(Attempt { module: module.into(), release: release.into(), boot_id, when, uptime });
    breaker.put_attempts(attempts);
    write(run, breaker);
}

/// The load of `module` has ended, well or not: attempts for what is neither in force nor on its way there or back are
/// over. Of the other ones it is enough that the kernel has them: there may be thousands, and what was replaced is gone.
///
/// # Errors
/// sysfs says what it never should.
pub fn ended(run: &Run<'_>, breaker: &mut Breaker, module: &str) -> Result<()> {
    end(run, breaker, Some(module))
}

/// Live patches were taken back, or a transition was turned around: the same for all attempts.
///
/// # Errors
/// sysfs says what it never should.
pub fn all_ended(run: &Run<'_>) -> Result<()> {
    end(run, &mut read(run), None)
}

fn end(run: &Run<'_>, breaker: &mut Breaker, module: Option<&str>) -> Result<()> {
    let there: HashSet<String> = run.host.names(&run.host.at(livepatch::FOLDER))?.into_iter().collect();
    let (mut open, mut over) = (Vec::new(), false);
    for attempt in breaker.take_attempts() {
        let is_other = module.is_some_and(|module| module != attempt.module);
        let is_on =
            || Ok::<_, Error>(livepatch::find(run.host, &attempt.module)?.is_some_and(|p| p.enabled || p.transition));
        match there.contains(&attempt.module) && (is_other || is_on()?) {
            true => open.push(attempt),
            false => over = true,
        }
    }
    breaker.put_attempts(open);
    if over {
        write(run, breaker);
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
    let (Ok(boot_id), Ok(breaker)) = (clock::boot_id(run.host), notes::read::<Breaker>(run.host)) else { return };
    let is_news = |a: &Attempt| match fate(run.host, a, &boot_id) {
        Ok(Fate::Open) => a.uptime.is_none(),
        fate => matches!(fate, Ok(Fate::Good)),
    };
    if !breaker.attempts().any(is_news) {
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
    for mut attempt in attempts {
        match fate(run.host, &attempt, boot_id)? {
            Fate::Good => mark_good(&mut breaker, &attempt),
            Fate::Crashed => open.push(attempt),
            Fate::Open => {
                adopt(run.host, &mut attempt);
                open.push(attempt);
            }
        }
    }
    breaker.put_attempts(open);
    if breaker != before {
        notes::write(run.host, &breaker)?;
    }
    last_good::tidy(run, &breaker);
    Ok(())
}

/// `kmend settle`: looks whether loads are known to be good by now.
///
/// # Errors
/// The note cannot be read or written.
pub fn settle(run: &Run<'_>) -> Result<()> {
    let _lock = lock::take(run, "settle", true)?;
    settle_now(run, &clock::boot_id(run.host)?)
}

/// `kmend shutdown-mark`: the host goes down in good order, what is in force has crashed nothing.
///
/// # Errors
/// The note cannot be read or written.
pub fn shutdown_mark(run: &Run<'_>) -> Result<()> {
    if !is_open(run.host) || !watch::goes_down(run) {
        return Ok(());
    }
    let _lock = lock::take(run, "shutdown-mark", true)?;
    let boot_id = clock::boot_id(run.host)?;
    let mut breaker: Breaker = notes::read(run.host)?;
    let (ours, others): (Vec<_>, Vec<_>) = breaker.take_attempts().into_iter().partition(|a| a.boot_id == boot_id);
    breaker.put_attempts(others);
    for attempt in ours {
        if livepatch::find(run.host, &attempt.module)?.is_some_and(|p| p.enabled && !p.transition) {
            mark_good(&mut breaker, &attempt);
        }
    }
    notes::write(run.host, &breaker)?;
    last_good::tidy(run, &breaker);
    Ok(())
}
