// SPDX-License-Identifier: GPL-2.0-or-later
//! The index of a repository: the streams that it holds and what their ledgers know in; the packages that belong to no version
//! (0-0, the metapackage) and the index over all packages out. The ledger has the index's date before the index does, so that the
//! next one is later in any case.

use super::contents;
use super::ledger::{LastIndex, Ledger};
use super::release::{lay_down, origin, version_of, Packing, Repository, Told};
use super::values::Date;
use super::{Format, Stream};
use crate::error::{Ended, Refusal};
use crate::files;
use crate::manifest::FileFacts;
use anyhow::{Context, Result};
use kmend_packager::{self as packager, debian, redhat, Before, Built, Dates};
use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::{SystemTime, UNIX_EPOCH};

/// A stream whose packages lie in the same repository, and its ledger.
pub type Other = (Stream, Ledger);

/// Checks a repository before anything is built for it.
///
/// # Errors
/// [`Ended`]: it was signed and there is no key now.
pub fn check(repository: &Repository<'_>, ledgers: &[&Ledger]) -> Result<Before> {
    let before = packager::before(repository.folder)?;
    let last = ledgers.iter().filter_map(|l| l.index.as_ref()?.key.as_deref()).next();
    let Some(key) = repository.key else {
        let signed = before.signatures.first().copied().or(last.map(|_| "ledger.json"));
        if let (Some(signed), false) = (signed, repository.unsigned) {
            let reason =
                "the repository was signed, and without a key its hosts would refuse it, or take packages without a signature";
            let hint = "give the key with --gpg-key; or, to have no signature from now on, --unsigned, and set up the hosts anew";
            let refusal = Refusal::new("repository-signature-dropped", signed, "", reason.into(), hint);
            return Err(Ended::repository_differs(repository.folder, vec![refusal]).into());
        }
        return Ok(before);
    };
    let now = key.fingerprint();
    if let Some(last) = last.filter(|last| *last != now) {
        eprintln!(
            "warning: the last index was signed by the key {last}, this one will be by {now}: hosts that do not have the new key \
             refuse it, and packages that the old one has signed stay so"
        );
    }
    Ok(before)
}

/// The packages that [`publish`] makes for the kernels of a stream: their file names.
pub fn empty_packages(stream: &Stream) -> Result<BTreeSet<String>> {
    let first = stream.versions.first().context("the stream has no version")?;
    let name = |kernel| {
        let packing = Packing::new(stream, kernel, None)?;
        let patch = packing.empty(&first.date)?;
        Ok(match packing.format {
            Format::Rpm => patch.rpm_file(),
            Format::Deb => patch.deb_file(),
        })
    };
    stream.kernels.iter().map(name).collect()
}

/// Makes the empty packages and the index over all that lies in the repository. `before` is what [`check`] found there.
///
/// # Errors
/// The folder cannot be written to; a package of a fixed name is there with other contents.
pub fn publish(
    stream: &Stream,
    ledger: &mut Ledger,
    others: &[Other],
    before: &Before,
    repository: &Repository<'_>,
) -> Result<Dates> {
    // Of what is released, not of what the file has: each entry of the ledgers makes another metapackage.
    let entries = ledger.kernels.values().chain(others.iter().flat_map(|(_, l)| l.kernels.values())).flatten();
    let days: Vec<String> = entries.map(|e| e.date.clone()).collect();
    let first = &stream.versions.first().context("the stream has no version")?.date;
    let last = days.iter().max().map(|date| Date::try_from(date.clone()));
    let last = last.transpose().map_err(anyhow::Error::msg).context("the ledger")?.unwrap_or(first.clone());
    lay_empty_packages(stream, ledger, repository)?;
    let (mut advisories, mut newest, mut formats) = (Vec::new(), Vec::new(), Vec::new());
    for (stream, ledger) in std::iter::once((stream, &*ledger)).chain(others.iter().map(|(s, l)| (s, l))) {
        for kernel in &stream.kernels {
            let packing = Packing::new(stream, kernel, None)?;
            formats.push(packing.format);
            if packing.format == Format::Deb {
                continue;
            }
            let released = ledger.released(&kernel.target).last().map(|e| e.version);
            if let Some(version) = released {
                // What is fixed is asked for; the module is not looked at.
                let told = Told { released: ledger.released(&kernel.target), manifest: None };
                let patch = packing.live_patch(version, PathBuf::from("released"), &told)?;
                advisories.extend(redhat::advisories(&stream.name, &patch)?);
            }
            newest.push((packing.names, released.map_or(packager::Version::EMPTY, version_of)));
        }
    }
    if formats.contains(&Format::Rpm) {
        let day: String = last.as_str().chars().filter(char::is_ascii_digit).collect();
        let same_day = days.iter().filter(|day| day.as_str() == last.as_str()).count();
        let meta = redhat::Metapackage {
            version: day.parse().context("the date of the newest version")?,
            release: same_day.max(1).try_into().context("versions")?,
            dist: String::new(),
            patches: newest,
            origin: origin(stream, &last)?,
        };
        lay_metapackage(meta, ledger, others, repository)?;
        sign_what_is_not(ledger, others, repository)?;
    }
    let dates = dates(stream, before, ledger, others)?;
    ledger.index = Some(LastIndex { date: dates.date, key: repository.key.map(packager::Key::fingerprint) });
    ledger.write(&stream.path)?;
    if formats.contains(&Format::Rpm) {
        redhat::repository(repository.folder, &advisories, dates, repository.key)?;
    }
    if formats.contains(&Format::Deb) {
        // apt asks the operator where the name changes.
        let named = debian::suite_of(repository.folder);
        let lead = others.iter().map(|(s, _)| s).find(|s| Some(&s.name) == named.as_ref()).unwrap_or(stream);
        let suite = debian::Suite { stream: lead.name.clone(), vendor: lead.vendor(), dates };
        debian::repository(repository.folder, &suite, repository.key)?;
    }
    Ok(dates)
}

fn lay_empty_packages(stream: &Stream, ledger: &mut Ledger, repository: &Repository<'_>) -> Result<()> {
    let first = stream.versions.first().context("the stream has no version")?;
    for kernel in &stream.kernels {
        let packing = Packing::new(stream, kernel, None)?;
        let empty = packing.package(packing.empty(&first.date)?, repository.key)?;
        let path = repository.folder.join(&empty.file);
        // One that the ledger knows was compared with it.
        if path.exists() && ledger.other(&empty.file).is_some() {
            continue;
        }
        lay_down(repository, &empty)?;
        ledger.enter_other(contents::facts(repository.folder, &empty.file)?);
    }
    ledger.write(&stream.path)
}

/// Lays it down; under a later release where one of that name was given out with other contents.
fn lay_metapackage(
    mut meta: redhat::Metapackage,
    ledger: &mut Ledger,
    others: &[Other],
    repository: &Repository<'_>,
) -> Result<()> {
    let built = loop {
        let built = redhat::metapackage(&meta, repository.key)?;
        let known = std::iter::once(&*ledger).chain(others.iter().map(|(_, l)| l)).find_map(|l| l.other(&built.file));
        let same = |facts: &FileFacts| {
            let unsigned = || redhat::metapackage(&meta, None).map(|b| files::sha256(&b.bytes) == facts.sha256);
            Ok::<_, anyhow::Error>(facts.sha256 == files::sha256(&built.bytes) || unsigned()?)
        };
        match known {
            Some(facts) if !same(facts)? => meta.release += 1,
            Some(_) => return Ok(()),
            None => break built,
        }
    };
    built.write(repository.folder)?;
    ledger.enter_other(contents::facts(repository.folder, &built.file)?);
    Ok(())
}

/// With a key, what was released without a signature gets one: a host with `gpgcheck=1` refuses it otherwise. The ledger tells of
/// it first; an RPM that lacks the signature still is taken by the comparison with it.
fn sign_what_is_not(ledger: &mut Ledger, others: &[Other], repository: &Repository<'_>) -> Result<()> {
    let Some(key) = repository.key else { return Ok(()) };
    let read = |name: &str| files::read(&repository.folder.join(name));
    for name in contents::packages(repository.folder)?.into_iter().filter(|name| name.ends_with(".rpm")) {
        let bytes = read(&name)?;
        if redhat::is_signed(&bytes).with_context(|| name.clone())? {
            continue;
        }
        if let Some((stream, _)) = others.iter().find(|(_, l)| l.knows(&name)) {
            eprintln!(
                "warning: {name} has no signature: release the stream {} with the key, which signs it",
                stream.name
            );
            continue;
        }
        eprintln!("signing {name}, which was released without a signature");
        let signed = Built { bytes: redhat::sign(&bytes, key).with_context(|| name.clone())?, file: name };
        ledger.changed(&signed.file, &files::sha256(&signed.bytes));
        ledger.write(&repository.stream)?;
        signed.write(repository.folder)?;
    }
    Ok(())
}

/// Now; but later than all indexes before it, whatever the clock says.
fn dates(stream: &Stream, before: &Before, ledger: &Ledger, others: &[Other]) -> Result<Dates> {
    let of_ledgers = std::iter::once(ledger).chain(others.iter().map(|(_, l)| l));
    let last = of_ledgers.filter_map(|l| Some(l.index.as_ref()?.date)).chain(before.date).max();
    let clock = clock()?;
    let date = clock.max(last.map_or(0, |last| last + 1));
    // More than the seconds that apt lets pass (Acquire::Max-FutureTime).
    if date > clock + 10 {
        eprintln!(
            "warning: the last index is dated {}, later than this machine's clock ({}): this one is dated {}, and apt refuses it \
             until then; is the clock right?",
            shown(date - 1),
            shown(clock),
            shown(date)
        );
    }
    Ok(Dates { date, valid_until: Some(date + i64::from(stream.valid_days) * 86_400) })
}

/// SOURCE_DATE_EPOCH, where the environment has it, else the clock; seconds since 1970.
///
/// # Errors
/// A variable that is no number; a clock before 1970.
pub fn clock() -> Result<i64> {
    const NAME: &str = "SOURCE_DATE_EPOCH";
    if let Some(text) = std::env::var_os(NAME) {
        let seconds = text.to_str().and_then(|t| t.parse::<u32>().ok());
        return seconds.map(Into::into).with_context(|| format!("{NAME}={text:?} is no number of seconds since 1970"));
    }
    let now = SystemTime::now().duration_since(UNIX_EPOCH).context("this machine's clock")?;
    i64::try_from(now.as_secs()).context("this machine's clock")
}

/// `2027-02-28T00:00:00Z`
pub fn shown(seconds: i64) -> String {
    let time = chrono::DateTime::from_timestamp(seconds, 0);
    time.map_or(seconds.to_string(), |time| time.format("%Y-%m-%dT%H:%M:%SZ").to_string())
}
