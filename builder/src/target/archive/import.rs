// SPDX-License-Identifier: GPL-2.0-or-later
//! Makes a stored target from an archive: an untrusted file in; out, a target whose files are those of the file's list,
//! and that passed the checks of `target add`.
//!
//! All is unpacked into a folder beside the targets. When every checksum was right and the compilers started, it is renamed: a run
//! that ends earlier leaves no target.

use super::{named, read, ArchiveFault, Entry, Header, Kind, List, Sink, ROOT, RUST, TARGET, TIME};
use crate::files::{self, make_dir, remove_dir};
use crate::progress;
use crate::sandbox;
use crate::target::add::{self, Added, Parts, Places, Shipped};
use crate::target::config::Config;
use crate::target::distro::{self, Origin};
use crate::target::toolchain::Toolchain;
use crate::target::{given_files, modules, prepare, record, store, Target};
use anyhow::{Context, Result};
use sha2::{Digest, Sha256};
use std::fs::{self, File, OpenOptions};
use std::io::{Seek, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{sync_channel, Receiver, SyncSender};
use std::thread::JoinHandle;
use std::time::{Duration, SystemTime};

/// The folder of the cache in which targets are unpacked.
pub const FOLDER: &str = "imports";
/// A file takes its bytes and about so many more.
const PER_FILE: u64 = 4096;
/// So many pieces wait for the disk at most.
const WAITING: usize = 32;

/// Makes a stored target from the archive `file`. With `sha256`, hexadecimal, nothing of the file is read unless it has that checksum.
///
/// # Errors
/// [`ArchiveFault`]: nothing is stored then.
pub fn import(file: &Path, sha256: Option<&str>) -> Result<Added> {
    sandbox::possible()?;
    import_from(file, sha256).map_err(|error| named(error, &file.display().to_string()))
}

fn import_from(file: &Path, sha256: Option<&str>) -> Result<Added> {
    let cannot = || format!("cannot read {}", file.display());
    let mut packed = File::open(file).with_context(cannot)?;
    anyhow::ensure!(packed.metadata().with_context(cannot)?.is_file(), "{}: it is no file", cannot());
    if let Some(wanted) = sha256 {
        let step = progress::step("summing the file");
        let mut sum = Sha256::new();
        std::io::copy(&mut packed, &mut sum).with_context(cannot)?;
        packed.rewind().with_context(cannot)?;
        let found = files::hex(&sum.finalize());
        if !found.eq_ignore_ascii_case(wanted) {
            let said = format!("its SHA-256 is {found}, not the one that was given");
            return Err(
                ArchiveFault::new("archive-sum", said, "copy the file again, or find out who changed it").into()
            );
        }
        step.done("");
    }
    let step = progress::step("unpacking the target");
    let mut found = None;
    let unpacked = read(packed, |header, sum, list| {
        match Import::begin(header, sum, list)? {
            Begun::There(target) => {
                found = Some(target);
                // The rest of the file is not needed.
                Err(anyhow::Error::new(AlreadyThere))
            }
            Begun::New(import) => Ok(import),
        }
    });
    let (header, import) = match unpacked {
        Err(error) if error.is::<AlreadyThere>() => {
            step.done("it is there");
            return found.map(Added::AlreadyThere).context("a target that is there is gone");
        }
        other => other?,
    };
    step.done(&format!("{} files, {} MiB", header.entries, header.bytes >> 20));
    let step = progress::step("checking kernel and compilers");
    let target = import.finish(&header)?;
    step.done("");
    Ok(Added::New(Box::new(target)))
}

/// Ends the reading of an archive whose target is stored.
#[derive(Debug)]
struct AlreadyThere;

impl std::fmt::Display for AlreadyThere {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("the target is there")
    }
}

impl std::error::Error for AlreadyThere {}

enum Begun {
    There(Box<Target>),
    New(Import),
}

/// A target that is being unpacked. Dropped, it takes its files away.
struct Import {
    sum: String,
    /// Where it is unpacked.
    new: PathBuf,
    /// The build roots, each with its part and whether it is there already.
    roots: Vec<(&'static str, PathBuf, bool)>,
    disk: Option<Disk>,
    _lock: files::Lock,
}

impl Import {
    /// All that can be said of an archive before anything of it is unpacked.
    fn begin(header: &Header, sum: &str, list: &List) -> Result<Begun> {
        check_names(header)?;
        let host = kmend_shared::arch::host();
        if header.host != host {
            let said = format!("its compilers run on {}, this machine is {host}", header.host.escape_debug());
            let hint = "import it on such a machine, or make the target here with `kmend-build target add`";
            return Err(ArchiveFault::new("archive-machine", said, hint).into());
        }
        // Two imports of one target, and an import beside `target add`, come after each other.
        let lock = store::lock(&header.name)?;
        if let Some(stored) = store::get(&header.name)? {
            if stored.imported.as_deref() == Some(sum) && store::check(&stored).is_ok() {
                return Ok(Begun::There(Box::new(stored)));
            }
            let said = format!("a target {} is stored already", header.name);
            let hint = format!("`kmend-build target remove {}` removes it; then import again", header.name);
            return Err(ArchiveFault::new("archive-stored", said, hint).into());
        }
        if store::dir(&header.name)?.exists() {
            let said = format!("an unfinished target {} is there", header.name);
            let hint = format!("`kmend-build target remove {}` removes it; then import again", header.name);
            return Err(ArchiveFault::new("archive-stored", said, hint).into());
        }
        let cache = files::cache_dir()?;
        let new = cache.join(FOLDER).join(store::escape(&header.name));
        remove_dir(&new)?;
        make_dir(&new)?;
        let roots = [ROOT, RUST].into_iter().filter(|part| list.has(part)).map(|part| {
            // By its content: an import can neither replace a root that this machine made nor one of another archive.
            let folder = cache.join("roots").join(format!("imported-{}", list.sum_of(part)));
            let is_there = folder.exists();
            (part, folder, is_there)
        });
        let roots: Vec<_> = roots.collect();
        let there: Vec<&str> = roots.iter().filter(|(.., is_there)| *is_there).map(|(part, ..)| *part).collect();
        let disk = Disk::begin(new.clone(), there);
        let import = Self { sum: sum.into(), new, roots, disk: Some(disk), _lock: lock };
        import.check_room(list)?;
        Ok(Begun::New(import))
    }

    fn check_room(&self, list: &List) -> Result<()> {
        let is_there = |path: &str| self.roots.iter().any(|(part, _, there)| *there && is_in(path, part));
        let bytes = |e: &Entry| e.bytes().saturating_add(PER_FILE);
        let need = list.entries().iter().filter(|e| !is_there(&e.path)).map(bytes).fold(0, u64::saturating_add);
        match add::free(&self.new)? {
            Some(free) if free < need => Err(no_room(&format!("it takes {} MiB, {} are free", need >> 20, free >> 20))),
            _ => Ok(()),
        }
    }

    /// All files are there. Makes the target that they are, by the steps of `target add`, and stores it.
    fn finish(mut self, header: &Header) -> Result<Target> {
        if let Some(disk) = self.disk.take() {
            disk.end()?;
        }
        for (part, folder, is_there) in &self.roots {
            if *is_there {
                continue;
            }
            let from = self.new.join(part);
            make_dir(folder.parent().unwrap_or(Path::new("/")))?;
            // Another import may have had the same root; then that is it.
            let renamed = fs::rename(&from, folder);
            if !folder.exists() {
                renamed.with_context(|| format!("cannot rename {} to {}", from.display(), folder.display()))?;
            }
        }
        let dir = self.new.join(TARGET);
        let target = self.target(header, &dir).map_err(|error| {
            let hint = "export the target again; what `kmend-build target show` says of it on that machine may help";
            anyhow::Error::new(ArchiveFault::new("archive-unusable", format!("{error:#}"), hint))
        })?;
        let to = store::dir(&header.name)?;
        // The record is in the folder before that gets its name: it is there as a whole or not at all.
        files::write(&dir.join(store::FILE), store::text(&target)?.as_bytes())?;
        make_dir(to.parent().unwrap_or(Path::new("/")))?;
        fs::rename(&dir, &to).with_context(|| format!("cannot rename {} to {}", dir.display(), to.display()))?;
        Ok(target)
    }

    fn root(&self, part: &str) -> Option<PathBuf> {
        self.roots.iter().find(|(name, ..)| *name == part).map(|(_, folder, _)| folder.clone())
    }

    /// The target in `dir`, as `target add` would make it of these files; with the places that it will have.
    fn target(&self, header: &Header, dir: &Path) -> Result<Target> {
        let places = Places::new(dir, &header.release);
        let config = Config::parse(&files::read_text(&places.config)?);
        record::check_config(&config)?;
        let shipped = Shipped::read(&places, &header.release, &config)?;
        let arch = shipped.arch().uname;
        anyhow::ensure!(arch == header.arch, "its image is for {arch}, its header says {}", header.arch.escape_debug());
        modules::check_release(&places.modules, &header.release)?;
        prepare::check_prepared(&places.tree, &config, &header.release)?;
        places.set_prepared()?;
        let root = self.root(ROOT).context("it has no build root")?;
        let rust = header.toolchain.as_deref().and_then(|part| self.root(part));
        anyhow::ensure!(
            rust.is_some() || config.is_on("CONFIG_RUST"),
            "it has no Rust toolchain, and its kernel has none of its own"
        );
        let mut toolchain = Toolchain::provide(&config, rust.as_deref())?;
        if let (Some(toolchain), Some(rust)) = (&mut toolchain, rust) {
            toolchain.root = rust;
        }
        let target = Parts {
            name: &header.name,
            origin: Origin {
                distro: distro::of_name(&header.name).map(|(distro, _)| distro.facts().name.into()),
                added: vec![header.name.clone()],
            },
            release: &header.release,
            version: &header.version,
            places,
            config: &config,
            shipped,
            root,
            root_is: "the build root in it",
            toolchain,
        }
        .finish()?;
        let target = Target { imported: Some(self.sum.clone()), ..target };
        store::check(&target)?;
        let place = store::dir(&header.name)?;
        Ok(target.with_paths(|path| path.strip_prefix(dir).map(|rest| place.join(rest)).unwrap_or(path)))
    }
}

impl Drop for Import {
    fn drop(&mut self) {
        if let Some(disk) = self.disk.take() {
            // What it was about is said elsewhere.
            let _ = disk.end();
        }
        let _ = remove_dir(&self.new);
    }
}

impl Sink for Import {
    fn take(&mut self, entry: &Entry, piece: Vec<u8>, is_last: bool) -> Result<()> {
        match &mut self.disk {
            Some(disk) => disk.take(entry, piece, is_last),
            None => Ok(()),
        }
    }
}

/// What a header says of names is used in paths, messages and command lines.
fn check_names(header: &Header) -> Result<(), ArchiveFault> {
    let plain = |text: &str| add::is_plain_name(text) && !text.starts_with(['-', '.']);
    let rest = match distro::of_name(&header.name) {
        Some((distro, rest)) if distro.release(rest) == Some(&header.release) => rest,
        Some(_) => "",
        None => header.name.strip_prefix(given_files::PREFIX).unwrap_or_default(),
    };
    let version = header.version.replace(':', "+");
    let sound = rest.split('/').all(plain) && plain(&header.release) && (version.is_empty() || plain(&version));
    let short = [&header.name, &header.release, &header.version].iter().all(|text| text.len() <= 200);
    match sound && short {
        true => Ok(()),
        false => {
            let said = format!(
                "{} is no name of a target of the kernel {}, version {}",
                header.name.escape_debug(),
                header.release.escape_debug(),
                header.version.escape_debug()
            );
            Err(ArchiveFault::new("archive-name", said, "do not use this file"))
        }
    }
}

fn no_room(said: &str) -> anyhow::Error {
    let hint = "make room, or name another cache folder in KMEND_CACHE";
    ArchiveFault::new("archive-no-room", format!("there is no room for it: {said}"), hint).into()
}

fn is_in(path: &str, part: &str) -> bool {
    path.strip_prefix(part).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// Writes files while the next ones are unpacked.
struct Disk {
    /// Parts that are not written.
    there: Vec<&'static str>,
    to: SyncSender<Piece>,
    writer: JoinHandle<Result<()>>,
}

struct Piece {
    path: String,
    kind: Kind,
    bytes: Vec<u8>,
    is_last: bool,
}

impl Disk {
    fn begin(dir: PathBuf, there: Vec<&str>) -> Self {
        let there = [ROOT, RUST].into_iter().filter(|part| there.contains(part)).collect();
        let (to, from) = sync_channel(WAITING);
        Self { there, to, writer: std::thread::spawn(move || write(&dir, &from)) }
    }

    fn take(&mut self, entry: &Entry, bytes: Vec<u8>, is_last: bool) -> Result<()> {
        if self.there.iter().any(|part| is_in(&entry.path, part)) {
            return Ok(());
        }
        let piece = Piece { path: entry.path.clone(), kind: entry.kind.clone(), bytes, is_last };
        if self.to.send(piece).is_ok() {
            return Ok(());
        }
        // It has ended early; why, it says at its end.
        let (to, _) = sync_channel(0);
        let ended = std::mem::replace(&mut self.writer, std::thread::spawn(|| Ok(())));
        self.to = to;
        ended.join().unwrap_or_else(|_| Err(anyhow::anyhow!("a thread broke off")))?;
        anyhow::bail!("the files are not written any more")
    }

    /// Waits until all is written.
    fn end(self) -> Result<()> {
        drop(self.to);
        self.writer.join().unwrap_or_else(|_| Err(anyhow::anyhow!("a thread broke off")))
    }
}

fn write(dir: &Path, from: &Receiver<Piece>) -> Result<()> {
    let time = SystemTime::UNIX_EPOCH + Duration::from_secs(TIME);
    let mut open: Option<File> = None;
    for piece in from {
        let path = dir.join(&piece.path);
        let write = || -> std::io::Result<Option<File>> {
            let runs = match piece.kind {
                Kind::Folder => return fs::create_dir(&path).map(|()| None),
                Kind::Link { to } => return std::os::unix::fs::symlink(to, &path).map(|()| None),
                Kind::File { runs, .. } => runs,
            };
            let mut file = match open.take() {
                Some(file) => file,
                None => {
                    let mode = if runs { 0o755 } else { 0o644 };
                    OpenOptions::new().write(true).create_new(true).mode(mode).open(&path)?
                }
            };
            file.write_all(&piece.bytes)?;
            if piece.is_last {
                file.set_modified(time)?;
                return Ok(None);
            }
            Ok(Some(file))
        };
        open = write().map_err(|error| match error.kind() {
            std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded => no_room(&error.to_string()),
            _ => anyhow::Error::new(error).context(format!("cannot write {}", path.display())),
        })?;
    }
    Ok(())
}
