// SPDX-License-Identifier: GPL-2.0-or-later
//! Releases a version of a stream: modules in; packages in a repository and entries in the ledger out. The packages are
//! laid down first, then the ledger tells of them, then the repository's index does: nothing is given out that the
//! ledger does not know, and a release that was broken off can be run again.

use super::ledger::{Entry as Released, Ledger};
use super::values::{Date, Version};
use super::{Format, Kernel, Release, Stream};
use crate::files;
use crate::manifest::{FileFacts, Manifest};
use crate::source;
use crate::target::store;
use anyhow::{ensure, Context, Result};
use kmend_packager::{self as packager, debian, redhat, Built, Key, LivePatch, Names, Origin};
use std::path::{Path, PathBuf};

/// SPDX name of a live patch's license: it holds code of the kernel.
const LICENSE: &str = "GPL-2.0-only";

/// Where to release to.
pub struct Repository<'a> {
    /// The folder; packages of both kinds can lie in it.
    pub folder: &'a Path,
    /// What packages and index are signed with.
    pub key: Option<&'a Key>,
}

/// A kernel's packages, made or to be made.
struct Packing<'a> {
    stream: &'a Stream,
    kernel: &'a Kernel,
    names: Names,
    format: Format,
}

/// Checks what packages need to know of the stream and its kernels, before anything is built for them.
///
/// # Errors
/// What the stream file does not say; kernels that are not prepared here, or have no name in packages.
pub fn check(stream: &Stream) -> Result<()> {
    for kernel in &stream.kernels {
        let packing = Packing::new(stream, kernel, None)?;
        let first = stream.versions.first().context("the stream has no version")?;
        packing.empty(&first.date)?.check()?;
        if packing.format == Format::Rpm {
            packing.names.rpm_provides()?;
        }
    }
    Ok(())
}

/// Puts `module` (as it is to be shipped, signed or not) into packages, lays them into the repository and enters them
/// into the ledger, which is written.
pub fn release(
    stream: &Stream,
    kernel: &Kernel,
    release: &Release,
    (manifest, module): (&Manifest, &[u8]),
    repository: &Repository<'_>,
    ledger: &mut Ledger,
) -> Result<()> {
    let packing = Packing::new(stream, kernel, Some(manifest))?;
    let before = ledger.released(&kernel.target).iter().find(|e| e.version == release.version);
    if before.is_some_and(|e| e.packages.iter().all(|p| is_there(repository.folder, p))) {
        return Ok(());
    }
    let work = files::work_dir()?;
    let path = work.path().join(format!("{}.ko", manifest.name));
    files::write_quickly(&path, module)?;
    let before_it = ledger.released(&kernel.target);
    let told = Told { released: before_it, manifest: Some((release.version, manifest)) };
    let package = packing.package(packing.live_patch(release.version, path, &told)?, repository.key)?;
    let facts = FileFacts { file: package.file.clone(), sha256: files::sha256(&package.bytes) };
    if let Some(before) = before {
        ensure!(
            before.packages == [facts.clone()],
            "{} is released with SHA-256 {} and would now have {}: sign module and package as they were then, or put \
             the package that was released back into {}",
            facts.file,
            before.packages.first().map_or("none", |p| p.sha256.as_str()),
            facts.sha256,
            repository.folder.display()
        );
    }
    lay_down(repository.folder, &package)?;
    ledger.enter(&kernel.target, Released::new(release.version, release.date.as_str(), manifest, vec![facts]));
    ledger.write(&stream.path)
}

/// Makes the empty packages and the index over all that lies in the repository.
pub fn index(stream: &Stream, repository: &Repository<'_>, ledger: &Ledger) -> Result<()> {
    let first = stream.versions.first().context("the stream has no version")?;
    // Of what is released, not of what the file has: each entry of the ledger makes another metapackage.
    let dates: Vec<&str> = ledger.kernels.values().flatten().map(|e| e.date.as_str()).collect();
    let last = dates.iter().max().map(|date| Date::try_from(date.to_string()));
    let last = last.transpose().map_err(anyhow::Error::msg).context("the ledger")?.unwrap_or(first.date.clone());
    let (mut advisories, mut newest) = (Vec::new(), Vec::new());
    let mut formats = Vec::new();
    for kernel in &stream.kernels {
        let packing = Packing::new(stream, kernel, None)?;
        let empty = packing.package(packing.empty(&first.date)?, repository.key)?;
        if !repository.folder.join(&empty.file).exists() {
            lay_down(repository.folder, &empty)?;
        }
        formats.push(packing.format);
        let released = ledger.released(&kernel.target).last().map(|e| e.version);
        if packing.format == Format::Rpm {
            if let Some(version) = released {
                // What is fixed is asked for; the module is not looked at.
                let told = Told { released: ledger.released(&kernel.target), manifest: None };
                let patch = packing.live_patch(version, PathBuf::from("released"), &told)?;
                advisories.extend(redhat::advisories(&stream.name, &patch)?);
            }
            newest.push((packing.names, released.map_or(packager::Version::EMPTY, version_of)));
        }
    }
    let date = seconds(&last)?;
    if formats.contains(&Format::Rpm) {
        let day: String = last.as_str().chars().filter(char::is_ascii_digit).collect();
        let meta = redhat::Metapackage {
            version: day.parse().context("the date of the newest version")?,
            release: dates
                .iter()
                .filter(|date| **date == last.as_str())
                .count()
                .max(1)
                .try_into()
                .context("versions")?,
            dist: String::new(),
            patches: newest,
            origin: origin(stream, &last)?,
        };
        let built = redhat::metapackage(&meta, repository.key)?;
        built.write(repository.folder)?;
        redhat::repository(repository.folder, &advisories, date, repository.key)?;
    }
    if formats.contains(&Format::Deb) {
        let suite = debian::Suite { stream: stream.name.clone(), vendor: stream.vendor(), date };
        debian::repository(repository.folder, &suite, repository.key)?;
    }
    Ok(())
}

impl<'a> Packing<'a> {
    /// The names, from the module where there is one, else from the target.
    fn new(stream: &'a Stream, kernel: &'a Kernel, manifest: Option<&Manifest>) -> Result<Self> {
        let (release, arch) = match manifest {
            Some(manifest) => (manifest.target.release.clone(), manifest.target.arch.clone()),
            None => {
                let target = store::resolve(&kernel.target)?;
                (target.release, target.arch)
            }
        };
        let names = Names::new(&release, arch.parse()?)?;
        Ok(Self { stream, kernel, names, format: stream.format(kernel)? })
    }

    /// The live patch `version`, with what each version up to it brought to this kernel.
    fn live_patch(&self, version: Version, module: PathBuf, told: &Told<'_>) -> Result<LivePatch> {
        let entry = |release: &Release| -> Result<Option<packager::Entry>> {
            let mine: Vec<_> = release.fixes.iter().filter(|f| f.is_for(self.kernel)).collect();
            let line = |f: &&super::StreamFix| {
                let label = f.label(release.version);
                let missing = told.missing(release.version, f);
                packager::Line { text: label.title, tickets: label.tickets, cves: label.cves, missing }
            };
            let live = mine.iter().filter(|f| told.missing(release.version, f).is_none());
            let worst = live.filter_map(|f| f.severity).max();
            Ok((!mine.is_empty()).then_some(packager::Entry {
                date: seconds(&release.date)?,
                packager: self.stream.packager.clone(),
                version: version_of(release.version),
                severity: worst,
                lines: mine.iter().map(line).collect(),
            }))
        };
        let up_to = self.stream.versions.iter().rev().filter(|r| r.version <= version);
        let changelog = up_to.map(entry).collect::<Result<Vec<_>>>()?.into_iter().flatten().collect();
        self.patch(version_of(version), Some(module), changelog, &self.stream.version(Some(version))?.date)
    }

    /// The package to subscribe with.
    fn empty(&self, date: &Date) -> Result<LivePatch> {
        let initial = packager::Entry {
            date: seconds(date)?,
            packager: self.stream.packager.clone(),
            version: packager::Version::EMPTY,
            severity: None,
            lines: vec![packager::Line { text: "Initial empty package".into(), ..packager::Line::default() }],
        };
        self.patch(packager::Version::EMPTY, None, vec![initial], date)
    }

    fn patch(
        &self,
        version: packager::Version,
        module: Option<PathBuf>,
        changelog: Vec<packager::Entry>,
        date: &Date,
    ) -> Result<LivePatch> {
        Ok(LivePatch {
            dist: self.names.dist().into(),
            names: self.names.clone(),
            version,
            module,
            changelog,
            origin: origin(self.stream, date)?,
        })
    }

    fn package(&self, patch: LivePatch, key: Option<&Key>) -> Result<Built> {
        match self.format {
            Format::Rpm => redhat::live_patch(&patch, key),
            Format::Deb => debian::live_patch(&patch),
        }
    }
}

/// What is known of what the fixes do to one kernel.
struct Told<'a> {
    released: &'a [Released],
    /// Of the version that is being released.
    manifest: Option<(Version, &'a Manifest)>,
}

impl Told<'_> {
    /// Why the live patch has nothing of a fix that `version` brought: what that version says of it, else the first one
    /// after it that does. A version that concerns no code of a kernel has no live patch for it. None where it is
    /// there, or where nobody tells, as in what older programs released.
    fn missing(&self, version: Version, fix: &super::StreamFix) -> Option<String> {
        let entries = self.released.iter().filter(|e| e.version >= version);
        let of_entry = |e: &Released| {
            let known = e.fixes.iter().find(|f| f.is(fix)).filter(|f| f.effect.is_some())?;
            Some((e.version, source::Fix { effect: known.effect, reason: known.reason.clone(), ..Default::default() }))
        };
        let built = self.manifest.and_then(|(version, manifest)| {
            let mine = |f: &&source::Fix| f.hunks_sha256 == fix.hunks_sha256;
            Some((version, manifest.fixes.iter().find(mine)?.clone()))
        });
        let first = entries.filter_map(of_entry).chain(built).min_by_key(|(version, _)| *version);
        first.and_then(|(_, told)| told.missing())
    }
}

fn origin(stream: &Stream, date: &Date) -> Result<Origin> {
    let url = stream.url.clone();
    let url =
        url.with_context(|| format!("{}: packages name a page: add url = \"https://…\"", stream.path.display()))?;
    Ok(Origin {
        packager: stream.packager.clone(),
        vendor: stream.vendor(),
        url,
        license: LICENSE.into(),
        date: seconds(date)?,
    })
}

fn version_of(version: Version) -> packager::Version {
    packager::Version { version: version.version, release: version.release }
}

/// The beginning of a day in UTC, seconds since 1970.
fn seconds(date: &Date) -> Result<i64> {
    let day = chrono::NaiveDate::parse_from_str(date.as_str(), "%Y-%m-%d").context("a date")?;
    Ok(day.and_time(chrono::NaiveTime::MIN).and_utc().timestamp())
}

fn is_there(folder: &Path, package: &FileFacts) -> bool {
    let plain = Path::new(&package.file).file_name().is_some_and(|name| name == package.file.as_str());
    plain && std::fs::read(folder.join(&package.file)).is_ok_and(|bytes| files::sha256(&bytes) == package.sha256)
}

/// Writes a package; one of the same name is not overwritten by another.
fn lay_down(folder: &Path, package: &Built) -> Result<()> {
    let path = folder.join(&package.file);
    if path.exists() {
        ensure!(
            files::read(&path)? == package.bytes,
            "{} is there with other contents, and the ledger does not know it: take it away if it was never given out, \
             otherwise put what changed into a new version",
            path.display()
        );
        return Ok(());
    }
    package.write(folder).map(drop)
}
