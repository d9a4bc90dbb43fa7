// SPDX-License-Identifier: GPL-2.0-or-later
//! Releases a version of a stream: modules in; packages in a repository and entries in the ledger out. All packages are made
//! before the first one is laid down; then the ledger tells of them, then the repository's index does: nothing is given out that
//! the ledger does not know, and a release that was broken off can be run again.

use super::ledger::{Entry as Released, Ledger};
use super::values::{Date, Version};
use super::{Format, Kernel, Release, Stream};
use crate::files;
use crate::manifest::{FileFacts, Manifest};
use crate::source;
use crate::target::store;
use anyhow::{ensure, Context, Result};
use kmend_packager::{self as packager, debian, redhat, Built, Key, LivePatch, Names, Origin};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// SPDX name of a live patch's license: it holds code of the kernel.
const LICENSE: &str = "GPL-2.0-only";

/// Where to release to.
pub struct Repository<'a> {
    /// The folder; packages of both kinds can lie in it.
    pub folder: &'a Path,
    /// What packages and index are signed with.
    pub key: Option<&'a Key>,
    /// A repository that was signed will have no signature from now on.
    pub unsigned: bool,
    /// The stream file that is released into it.
    pub stream: PathBuf,
}

/// A kernel's packages, made or to be made.
pub(super) struct Packing<'a> {
    stream: &'a Stream,
    kernel: &'a Kernel,
    pub names: Names,
    pub format: Format,
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

/// A package that is ready: it waits beside the repository's own, with what the ledger will tell of it.
pub struct Packed {
    /// The kernel's target.
    target: String,
    entry: Released,
    package: FileFacts,
    /// Where it waits; None where it is in the repository already.
    waits: Option<PathBuf>,
}

/// The folder in a repository in which packages wait. What a killed run left of its own is removed: the caller holds the lock.
///
/// # Errors
/// The repository cannot be written.
pub fn staging(folder: &Path) -> Result<tempfile::TempDir> {
    let prefix = format!("{}packages-", files::BESIDE_PREFIX);
    let cannot = || format!("cannot read the repository {}", folder.display());
    for entry in std::fs::read_dir(folder).with_context(cannot)? {
        let entry = entry.with_context(cannot)?;
        if entry.file_name().to_string_lossy().starts_with(&prefix) && entry.file_type().with_context(cannot)?.is_dir()
        {
            files::remove_dir(&entry.path())?;
        }
    }
    let dir = tempfile::Builder::new().prefix(&prefix).tempdir_in(folder);
    dir.with_context(|| format!("cannot make a folder in {}", folder.display()))
}

/// Puts `module` (as it is to be shipped, signed or not) into a package, which waits in `staging`. None where the version is released and
/// its packages are there.
///
/// # Errors
/// It cannot be packed as it was released; another package of its name lies in the repository.
pub fn pack(
    stream: &Stream,
    kernel: &Kernel,
    release: &Release,
    (manifest, module): (&Manifest, &[u8]),
    (repository, staging): (&Repository<'_>, &Path),
    ledger: &Ledger,
) -> Result<Option<Packed>> {
    let packing = Packing::new(stream, kernel, Some(manifest))?;
    let before = ledger.released(&kernel.target).iter().find(|e| e.version == release.version);
    if before.is_some_and(|e| e.packages.iter().all(|p| is_there(repository.folder, p))) {
        return Ok(None);
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
    let waits = match is_missing(repository, &package)? {
        true => Some(package.write(staging)?),
        false => None,
    };
    let entry = Released::new(release.version, release.date.as_str(), manifest, vec![facts.clone()]);
    Ok(Some(Packed { target: kernel.target.clone(), entry, package: facts, waits }))
}

/// Lays packages that wait into the repository, then enters all of them into the ledger, which is written once.
///
/// # Errors
/// The repository or the ledger cannot be written. What lies in the repository then and the ledger does not know, the next run
/// takes over.
pub fn lay_all(packed: Vec<Packed>, repository: &Repository<'_>, ledger: &mut Ledger) -> Result<()> {
    if packed.is_empty() {
        return Ok(());
    }
    for one in &packed {
        let Some(waits) = &one.waits else { continue };
        let path = repository.folder.join(&one.package.file);
        std::fs::rename(waits, &path).with_context(|| format!("cannot write {}", path.display()))?;
    }
    packed.into_iter().for_each(|one| ledger.enter(&one.target, one.entry));
    ledger.write(&repository.stream)
}

/// The names of the packages that the version `release` has for `kernels`.
///
/// # Errors
/// A kernel that is not prepared here.
pub fn file_names(stream: &Stream, kernels: &[&Kernel], release: &Release) -> Result<BTreeSet<String>> {
    let name = |kernel: &&Kernel| {
        let packing = Packing::new(stream, kernel, None)?;
        let told = Told { released: &[], manifest: None };
        let patch = packing.live_patch(release.version, PathBuf::from("to be built"), &told)?;
        Ok(match packing.format {
            Format::Rpm => patch.rpm_file(),
            Format::Deb => patch.deb_file(),
        })
    };
    kernels.iter().map(name).collect()
}

impl<'a> Packing<'a> {
    /// The names, from the module where there is one, else from the target.
    pub fn new(stream: &'a Stream, kernel: &'a Kernel, manifest: Option<&Manifest>) -> Result<Self> {
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
    pub fn live_patch(&self, version: Version, module: PathBuf, told: &Told<'_>) -> Result<LivePatch> {
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
    pub fn empty(&self, date: &Date) -> Result<LivePatch> {
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

    pub fn package(&self, patch: LivePatch, key: Option<&Key>) -> Result<Built> {
        match self.format {
            Format::Rpm => redhat::live_patch(&patch, key),
            Format::Deb => debian::live_patch(&patch),
        }
    }
}

/// What is known of what the fixes do to one kernel.
pub(super) struct Told<'a> {
    pub released: &'a [Released],
    /// Of the version that is being released.
    pub manifest: Option<(Version, &'a Manifest)>,
}

impl Told<'_> {
    /// Why the live patch has nothing of a fix that `version` brought: what that version says of it, else the first one
    /// after it that does. A version that concerns no code of a kernel has no live patch for it. None where it is
    /// there, or where no one tells, as in what older programs released.
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

pub(super) fn origin(stream: &Stream, date: &Date) -> Result<Origin> {
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

pub(super) fn version_of(version: Version) -> packager::Version {
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

/// Whether a package still has to be laid down; one of the same name is not overwritten by another. The same one without a
/// signature is: the run that laid it down had no key, and was broken off.
fn is_missing(repository: &Repository<'_>, package: &Built) -> Result<bool> {
    let path = repository.folder.join(&package.file);
    if !path.exists() {
        return Ok(true);
    }
    let there = files::read(&path)?;
    let later = || {
        let key = repository.key.filter(|_| package.file.ends_with(".rpm"))?;
        redhat::sign(&there, key).ok()
    };
    ensure!(
        there == package.bytes || later().is_some_and(|signed| signed == package.bytes),
        "{} is there with other contents, and the ledger does not know it: take it away if it was never given out, \
         otherwise put what changed into a new version",
        path.display()
    );
    Ok(there != package.bytes)
}

/// Writes a package that [`is_missing`].
pub(super) fn lay_down(repository: &Repository<'_>, package: &Built) -> Result<()> {
    match is_missing(repository, package)? {
        true => package.write(repository.folder).map(drop),
        false => Ok(()),
    }
}
