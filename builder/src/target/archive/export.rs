// SPDX-License-Identifier: GPL-2.0-or-later
//! Writes a target as an archive: a stored target in; a file out that has the same bytes for the same target on every
//! machine.

use super::list::mode;
use super::{ArchiveFault, Entry, Header, Kind, List, FILES, FORM, HEADER, LIST, ROOT, RUST, TARGET, TIME};
use crate::target::add::Places;
use crate::target::{distro, kbuild, store, Target};
use crate::{files, parallel, progress, sandbox};
use anyhow::{ensure, Context, Result};
use sha2::{Digest, Sha256};
use std::fs::{self, File};
use std::io::{BufWriter, Read, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use tar::EntryType;

/// How hard zstd tries. The next levels take twice the time for a file that is a tenth smaller.
const LEVEL: i32 = 3;

/// What was written.
#[derive(Clone, Debug)]
pub struct Exported {
    /// The target's whole name.
    pub name: String,
    /// Bytes of the archive.
    pub bytes: u64,
    /// Its SHA-256, hexadecimal.
    pub sha256: String,
}

/// A file to be exported: where it is, and what it is in the archive.
struct Found {
    from: PathBuf,
    path: String,
    kind: fs::Metadata,
}

/// Writes the target that `name` means to `out`.
///
/// # Errors
/// [`ArchiveFault`] of a target that cannot be moved to another machine; a target that cannot be used; a file that cannot be read, or
/// an archive that cannot be written: nothing is at `out` then that was not there before.
pub fn export(name: &str, out: &Path) -> Result<Exported> {
    let target = store::load(name)?;
    ensure!(!out.is_dir(), "cannot write {}: it is a directory", out.display());
    // Nothing may be added to it meanwhile, and no kbuild may work in its tree.
    let _lock = store::lock(&target.name)?;
    let written = write(&target, out).map_err(|error| super::named(error, &target.name))?;
    Ok(Exported { name: target.name, ..written })
}

fn write(target: &Target, out: &Path) -> Result<Exported> {
    let dir = store::dir(&target.name)?;
    let parts = parts(target, &dir)?;
    let _kbuild = kbuild::lock(target)?;
    let step = progress::step("summing the target's files");
    let mut found = Vec::new();
    for (part, folder) in &parts {
        walk(folder, part, &mut found)?;
    }
    let entries = parallel::map(&found, |_, found| Ok(Entry { path: found.path.clone(), kind: found.kind()? }))?;
    let list = List::new(entries)?;
    let text = list.text();
    let header = Header {
        kmend_target: FORM,
        name: target.name.clone(),
        arch: target.arch.clone(),
        release: target.release.clone(),
        version: target.version.clone(),
        host: kmend_shared::arch::host().into(),
        toolchain: target.toolchain.as_ref().map(|t| if t.root == target.root { ROOT } else { RUST }.into()),
        entries: list.entries().len() as u64,
        bytes: list.bytes(),
        list: files::sha256(text.as_bytes()),
    };
    // What an import would not take is not written.
    List::parse(&text, &header)?;
    step.done(&format!("{} files, {} MiB", list.entries().len(), header.bytes >> 20));

    let step = progress::step("packing them");
    let folder = out.parent().filter(|d| !d.as_os_str().is_empty()).unwrap_or(Path::new("."));
    files::make_dir(folder)?;
    let beside = tempfile::Builder::new()
        .prefix(files::BESIDE_PREFIX)
        .tempfile_in(folder)
        .with_context(|| format!("cannot write in {}", folder.display()))?;
    let (bytes, sha256) = pack(beside.as_file(), &header, &list, &text, &parts)
        .with_context(|| format!("cannot write {}: is the disk full?", out.display()))?;
    let set_mode = fs::set_permissions(beside.path(), std::os::unix::fs::PermissionsExt::from_mode(0o644));
    set_mode.with_context(|| format!("cannot set the mode of {}", out.display()))?;
    beside.persist(out).with_context(|| format!("cannot write {}", out.display()))?;
    step.done(&format!("{} MiB", bytes >> 20));
    Ok(Exported { name: String::new(), bytes, sha256 })
}

/// The folders that are exported, each with its part.
fn parts(target: &Target, dir: &Path) -> Result<Vec<(&'static str, PathBuf)>, ArchiveFault> {
    let places = Places::new(dir, &target.release);
    let own = target.tree == places.tree && target.config == places.config && target.symvers == places.symvers;
    let own = own && target.vmlinuz == places.vmlinuz && target.modules.as_ref() == Some(&places.modules);
    if !own || !kbuild::owns(target) {
        let said = "its tree is a folder of yours, which builds see at its own place";
        let hint = "add the kernel by its files (`kmend-build target add tree:NAME --source …`) and export that target";
        return Err(ArchiveFault::new("export-tree", said, hint));
    }
    let roots = [Some(&target.root), target.toolchain.as_ref().map(|t| &t.root)];
    if roots.into_iter().flatten().any(|root| root == Path::new("/")) {
        let said = "its compilers are those of this machine";
        let hint = "add it with a build root that has them (--root DIR), and export that target";
        return Err(ArchiveFault::new("export-machine", said, hint));
    }
    let toolchain = target.toolchain.iter().filter(|t| t.root != target.root).map(|t| (RUST, t.root.clone()));
    Ok([(ROOT, target.root.clone())].into_iter().chain(toolchain).chain([(TARGET, dir.into())]).collect())
}

/// All that is exported of `folder`, which becomes the part `part`.
fn walk(folder: &Path, part: &str, found: &mut Vec<Found>) -> Result<()> {
    // Of the source of Rust only its library is used; the compiler's is four times as large.
    let library = if part == TARGET { None } else { distro::rust_library(folder)? };
    let library = library.map(|library| format!("{part}{library}"));
    let source = library.as_deref().and_then(|library| library.rsplit_once('/')).map(|(source, _)| source);
    let wanted = |above: &str, name: &str| match part {
        _ if Some(above) == source => library.as_deref() == Some(&format!("{above}/{name}")),
        _ if above != part => true,
        TARGET => FILES.contains(&name),
        _ => sandbox::is_shown(name),
    };
    let mut queue = vec![(folder.to_path_buf(), part.to_string())];
    while let Some((from, path)) = queue.pop() {
        let cannot = || format!("cannot read {}", from.display());
        let kind = fs::symlink_metadata(&from).with_context(cannot)?;
        if kind.is_dir() {
            for entry in fs::read_dir(&from).with_context(cannot)? {
                let entry = entry.with_context(cannot)?;
                let Some(name) = entry.file_name().to_str().map(String::from) else {
                    let said = format!("the name of {} is no UTF-8", entry.path().display());
                    return Err(ArchiveFault::new("export-name", said, "").into());
                };
                if wanted(&path, &name) {
                    queue.push((entry.path(), format!("{path}/{name}")));
                }
            }
        }
        found.push(Found { from, path, kind });
    }
    Ok(())
}

impl Found {
    fn kind(&self) -> Result<Kind> {
        let cannot = || format!("cannot read {}", self.from.display());
        if self.kind.is_dir() {
            return Ok(Kind::Folder);
        }
        if self.kind.is_symlink() {
            let to = fs::read_link(&self.from).with_context(cannot)?;
            let to = to.to_str().with_context(cannot)?.to_string();
            return Ok(Kind::Link { to });
        }
        if !self.kind.is_file() {
            let said = format!("{} is neither a file nor a folder nor a link", self.from.display());
            return Err(ArchiveFault::new("export-kind", said, "remove it, or make the target anew").into());
        }
        let mut sum = Sha256::new();
        let size = std::io::copy(&mut File::open(&self.from).with_context(cannot)?, &mut sum).with_context(cannot)?;
        Ok(Kind::File { runs: self.kind.mode() & 0o100 != 0, size, sha256: files::hex(&sum.finalize()) })
    }
}

/// Writes the archive to `file`; its bytes and its checksum.
fn pack(
    file: &File,
    header: &Header,
    list: &List,
    text: &str,
    parts: &[(&'static str, PathBuf)],
) -> Result<(u64, String)> {
    let out = Summing { inner: BufWriter::with_capacity(1 << 20, file), sum: Sha256::new(), bytes: 0 };
    let mut zstd = zstd::stream::write::Encoder::new(out, LEVEL)?;
    zstd.include_checksum(true)?;
    let mut tar = tar::Builder::new(zstd);
    let json = serde_json::to_string_pretty(header)? + "\n";
    for (name, text) in [(HEADER, json.as_str()), (LIST, text)] {
        let size = text.len() as u64;
        tar.append_data(&mut tar_header(EntryType::Regular, false, size), name, text.as_bytes())?;
    }
    for entry in list.entries() {
        let path = entry.path.as_str();
        match &entry.kind {
            Kind::Folder => tar.append_data(&mut tar_header(EntryType::Directory, true, 0), path, std::io::empty())?,
            Kind::Link { to } => link(&mut tar, path, to)?,
            Kind::File { runs, size, sha256 } => {
                let (part, rest) = path.split_once('/').context("a file outside of all parts")?;
                let folder = parts.iter().find(|(name, _)| *name == part).map(|(_, folder)| folder);
                let from = folder.context("a file outside of all parts")?.join(rest);
                let file = File::open(&from).with_context(|| format!("cannot read {}", from.display()))?;
                let mut content = Summing { inner: file.take(*size), sum: Sha256::new(), bytes: 0 };
                tar.append_data(&mut tar_header(EntryType::Regular, *runs, *size), path, &mut content)?;
                let is_same = content.bytes == *size && files::hex(&content.sum.finalize()) == *sha256;
                ensure!(is_same, "{} was changed meanwhile: export the target again", from.display());
            }
        }
    }
    let mut out = tar.into_inner()?.finish()?;
    out.flush()?;
    file.sync_data()?;
    Ok((out.bytes, files::hex(&out.sum.finalize())))
}

/// Adds a link with its text as it is, where the library would leave out what has no meaning.
fn link(tar: &mut tar::Builder<impl Write>, path: &str, to: &str) -> std::io::Result<()> {
    let mut header = tar_header(EntryType::Symlink, true, 0);
    if header.set_link_name_literal(to).is_err() {
        let text = format!("{to}\0");
        let mut long = tar_header(EntryType::GNULongLink, false, text.len() as u64);
        long.set_path("././@LongLink")?;
        long.set_cksum();
        tar.append(&long, text.as_bytes())?;
        header.set_link_name_literal(&to.as_bytes()[..100])?;
    }
    tar.append_data(&mut header, path, std::io::empty())
}

fn tar_header(kind: EntryType, runs: bool, size: u64) -> tar::Header {
    let mut header = tar::Header::new_gnu();
    header.set_entry_type(kind);
    header.set_mode(u32::from_str_radix(mode(runs), 8).unwrap_or_default());
    header.set_size(size);
    header.set_mtime(TIME);
    header.set_uid(0);
    header.set_gid(0);
    header
}

/// Sums what goes through it.
struct Summing<T> {
    inner: T,
    sum: Sha256,
    bytes: u64,
}

impl<W: Write> Write for Summing<W> {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        let n = self.inner.write(bytes)?;
        self.sum.update(&bytes[..n]);
        self.bytes += n as u64;
        Ok(n)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.inner.flush()
    }
}

impl<R: Read> Read for Summing<R> {
    fn read(&mut self, bytes: &mut [u8]) -> std::io::Result<usize> {
        let n = self.inner.read(bytes)?;
        self.sum.update(&bytes[..n]);
        self.bytes += n as u64;
        Ok(n)
    }
}
