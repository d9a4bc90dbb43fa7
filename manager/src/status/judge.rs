// SPDX-License-Identifier: GPL-2.0-or-later
//! The verdict and its line: facts in, both out. First what passes by itself, then what can be done at once, then what
//! takes a reboot: whoever follows the advice gets to the next one.

use super::verdict::Verdict;
use super::{on_disk, OnDisk, Status};
use crate::host::livepatch::Patch;
use crate::live::Live;
use crate::order;

const INSTALL: &str = "`kmend subscribe install` installs it";
const LOAD: &str = "`kmend load --all` loads what fits";

/// Judges what was gathered.
pub(super) fn judge(status: &Status<'_>, live: &[Live<'_>], max_age: u32) -> (Verdict, String) {
    if let Some(patch) = live.iter().map(|l| &l.patch).find(|p| p.transition) {
        return in_transition(status, patch);
    }
    if status.kernel.no_livepatch {
        return no_livepatch(status);
    }
    let on: Vec<&str> = live.iter().filter(|l| l.in_force()).map(|l| l.patch.name.as_str()).collect();
    not_loaded(status, &on)
        .or_else(|| only_held_back(status, &on))
        .or_else(|| update_available(status, &on))
        .or_else(|| helpless(status, &on))
        .or_else(|| expired(status, &on))
        .or_else(|| newer_kernel(status, &on))
        .unwrap_or_else(|| old_check(status, at_rest(status, &on), max_age))
}

/// That nothing newer is known says little where the last look at what there is was long ago.
fn old_check(status: &Status<'_>, (verdict, line): (Verdict, String), max_age: u32) -> (Verdict, String) {
    match status.checked_days {
        Some(days) if days > i64::from(max_age) && matches!(verdict, Verdict::Patched | Verdict::NothingYet) => {
            let days = count(usize::try_from(days).unwrap_or_default(), "day");
            let why = format!("what the repositories offer was asked {days} ago; `kmend subscribe check` asks again");
            (Verdict::OldCheck, format!("{line}; {why}"))
        }
        _ => (verdict, line),
    }
}

/// Nothing of what follows helps on such a kernel.
fn no_livepatch(status: &Status<'_>) -> (Verdict, String) {
    let installed = if status.installed.is_empty() { "" } else { ", nor what is installed for it" };
    let line = format!("this kernel is built without CONFIG_LIVEPATCH: no live patch can be loaded{installed}");
    (Verdict::NoLivepatch, line + "; boot a kernel that has it")
}

fn in_transition(status: &Status<'_>, patch: &Patch) -> (Verdict, String) {
    let stuck = status.blocking.iter().filter(|t| t.sits_in.is_some()).count();
    let direction = if patch.enabled { "put in force" } else { "taken back" };
    let tasks = match status.blocking.len() {
        0 => "no task that /proc shows".into(),
        n => count(n, "task"),
    };
    let waits = format!("{} is being {direction}, {tasks} not switched over", patch.name);
    match stuck {
        0 => (Verdict::InTransition, waits),
        n => (Verdict::Stalled, format!("{waits}, of which {n} in a patched function")),
    }
}

/// Kept files that are the last of their stream that can be loaded.
fn kept<'s>(status: &'s Status<'_>) -> impl Iterator<Item = &'s OnDisk> {
    let alone = |file: &&OnDisk| status.installed.iter().all(|f| f.stream != file.stream || f.helpless().is_some());
    status.kept.iter().map(|kept| &kept.file).filter(alone)
}

/// Installed files that can be loaded: of no version in force, or newer than the one that is.
fn not_loaded(status: &Status<'_>, on: &[&str]) -> Option<(Verdict, String)> {
    let (mut none, mut older) = (Vec::new(), Vec::new());
    let files = status.installed.iter().chain(kept(status));
    for file in files.filter(|f| f.helpless().is_none() && !on.contains(&f.name.as_str())) {
        match of_stream(status, on, file) {
            None => none.push(file.name.clone()),
            Some(name) if is_newer(status, name, &file.name) => {}
            Some(name) => older.push(format!("{} is installed, {name} is in force", file.name)),
        }
    }
    if !none.is_empty() {
        let also = match on {
            [] => "no live patch is in force".into(),
            _ => format!("in force: {}", some(on, ", ")),
        };
        return Some((Verdict::NotLoaded, format!("{}; {also}; {LOAD}", some(&none, ", "))));
    }
    (!older.is_empty()).then(|| (Verdict::Outdated, format!("{}; {LOAD}", some(&older, "; "))))
}

/// Nothing of a stream is in force, as what there is of it is held back by a step back.
fn only_held_back(status: &Status<'_>, on: &[&str]) -> Option<(Verdict, String)> {
    let held = |file: &&OnDisk| file.held_back.is_some() && of_stream(status, on, file).is_none();
    let name = &status.installed.iter().find(held)?.name;
    let line =
        format!("{name} is held back by a step back, and no older version is in force; `kmend retry {name}` loads it");
    Some((Verdict::NotLoaded, line))
}

fn of_stream<'a>(status: &Status<'_>, on: &[&'a str], file: &OnDisk) -> Option<&'a str> {
    on.iter().copied().find(|name| order::place(name, &status.kernel.release).stream == file.stream)
}

/// Whether `one` is a newer version than `other`, which is of the same stream.
fn is_newer(status: &Status<'_>, one: &str, other: &str) -> bool {
    let version = |name: &str| order::place(name, &status.kernel.release).version;
    version(one) > version(other)
}

/// A check saw a newer version than any that is here.
fn update_available(status: &Status<'_>, on: &[&str]) -> Option<(Verdict, String)> {
    let offer = status.available.as_ref()?;
    let has = match on {
        [] if status.installed.is_empty() => return None,
        [] => "no live patch is in force".into(),
        _ => format!("{} {} in force", some(on, ", "), are(on)),
    };
    offer
        .is_newer
        .then(|| (Verdict::UpdateAvailable, format!("version {} can be had, {has}; {INSTALL}", offer.version)))
}

/// What is newest is here and cannot be put in force any more, as long as this kernel runs.
fn helpless(status: &Status<'_>, on: &[&str]) -> Option<(Verdict, String)> {
    let missing = |file: &&OnDisk| {
        file.held_back.is_none()
            && !on.contains(&file.name.as_str())
            && of_stream(status, on, file).is_none_or(|name| !is_newer(status, name, &file.name))
    };
    let of_file = status.installed.iter().filter(missing).find_map(|f| Some((f.name.as_str(), f.helpless()?)));
    let aside =
        status.installed.iter().any(|f| f.set_aside.is_some() && of_file.is_some_and(|(name, _)| name == f.name));
    let stream = |name: &str| order::place(name, &status.kernel.release).stream;
    let alone = |name: &&String| !on.iter().any(|other| stream(other) == stream(name));
    let stuck = || Some((status.stuck.iter().find(alone)?.as_str(), on_disk::STUCK));
    let (name, why) = of_file.or_else(stuck)?;
    let has = match on {
        [] => "no live patch is in force".into(),
        _ => format!("in force: {}", some(on, ", ")),
    };
    let what = match aside {
        true => {
            format!("a newer version, or a newer kernel and a reboot, helps; `kmend retry {name}` loads it anyway")
        }
        false => "reboot, if possible into a newer kernel, to resolve this".into(),
    };
    Some((Verdict::RebootNeeded, format!("{name} {why}; {has}; {what}")))
}

fn expired(status: &Status<'_>, on: &[&str]) -> Option<(Verdict, String)> {
    let support = status.support.as_ref().filter(|s| s.days_left < 0 && !on.is_empty())?;
    let since = format!("live patches for this kernel ended on {}", support.until.0);
    let line = format!("{} {} in force, but {since}; install a newer kernel and reboot", some(on, ", "), are(on));
    Some((Verdict::Expired, line))
}

/// Vulnerabilities that take a newer kernel are a reason to reboot once that kernel is there; before, they are a fact.
fn newer_kernel(status: &Status<'_>, on: &[&str]) -> Option<(Verdict, String)> {
    let newer = status.newer_kernel.as_ref()?;
    let missing = match status.not_in_stream.len() {
        0 => return None,
        n => format!("{} cannot be fixed live", count(n, "CVE")),
    };
    let line = format!("{}, but {missing}, and a newer kernel is installed: reboot into {newer}", in_force(status, on));
    Some((Verdict::RebootNeeded, line))
}

fn at_rest(status: &Status<'_>, on: &[&str]) -> (Verdict, String) {
    if !on.is_empty() {
        let missing = match status.not_in_stream.len() {
            0 => String::new(),
            n => format!("; {} cannot be fixed live and {} a newer kernel", count(n, "CVE"), take(n)),
        };
        let held: Vec<&str> =
            status.installed.iter().filter(|f| f.held_back.is_some()).map(|f| f.name.as_str()).collect();
        let held = if held.is_empty() { String::new() } else { format!("; held back: {}", some(&held, ", ")) };
        return (Verdict::Patched, in_force(status, on) + &missing + &held);
    }
    let none = "no live patch is in force, and none is installed for this kernel";
    match (&status.available, &status.checked) {
        (Some(offer), _) if offer.is_empty => {
            (Verdict::NothingYet, "the stream of this kernel has brought no live patch yet".into())
        }
        (Some(offer), _) => (Verdict::NotPatched, format!("{none}; version {} can be had; {INSTALL}", offer.version)),
        (None, Some(checked)) => {
            (Verdict::Unsupported, format!("{none}; there was none for it when that was checked, {checked}"))
        }
        (None, None) => (Verdict::NotPatched, none.into()),
    }
}

fn in_force(status: &Status<'_>, on: &[&str]) -> String {
    let fixed = match status.fixed_live.len() {
        0 => String::new(),
        n => format!(", {} {} fixed live", count(n, "CVE"), if n == 1 { "is" } else { "are" }),
    };
    format!("{} {} in force{fixed}", some(on, ", "), are(on))
}

fn are(names: &[&str]) -> &'static str {
    if names.len() == 1 {
        "is"
    } else {
        "are"
    }
}

fn take(count: usize) -> &'static str {
    if count == 1 {
        "takes"
    } else {
        "take"
    }
}

/// `1 task`, `2 tasks`.
pub fn count(n: usize, what: &str) -> String {
    format!("{n} {what}{}", if n == 1 { "" } else { "s" })
}

/// The first three, and how many more there are: the verdict is one line.
fn some(names: &[impl AsRef<str>], between: &str) -> String {
    let mut said: Vec<&str> = names.iter().take(3).map(AsRef::as_ref).collect();
    let more = format!("{} more", names.len().saturating_sub(3));
    if names.len() > 3 {
        said.push(&more);
    }
    said.join(between)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_lists_are_cut_and_counted() {
        assert_eq!(some(&["a"], ", "), "a");
        assert_eq!(some(&["a", "b", "c"], ", "), "a, b, c");
        assert_eq!(some(&["a", "b", "c", "d", "e"], ", "), "a, b, c, 2 more");
    }
}
