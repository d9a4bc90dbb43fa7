// SPDX-License-Identifier: GPL-2.0-or-later
//! An RPM file: what its header says, and files out of its payload. The rpm crate reads both; its digests are checked here, and
//! nothing is written but to places that the caller names.

use crate::files::make_dir;
use anyhow::{anyhow, ensure, Context, Result};
use std::fs::File;
use std::io::{self, BufReader, Read};
use std::path::{Component, Path, PathBuf};

/// Larger than any kernel's package: a limit against a file without end.
const PACKAGE_LIMIT: u64 = 2 << 30;
/// Larger than any file of a kernel or its source, and than all of one package together.
const FILE_LIMIT: u64 = 4 << 30;
const ALL_LIMIT: u64 = 16 << 30;

/// An RPM file whose digests are right.
#[derive(Clone, Debug)]
pub struct Package {
    /// Where it is.
    pub path: PathBuf,
    /// `kernel-core`.
    pub name: String,
    /// Version and release: `5.14.0-427.13.1.el9_4`.
    pub version: String,
    /// RPM's architecture: `x86_64`, `noarch`.
    pub arch: String,
    /// The source package that it was built from: `kernel-5.14.0-427.13.1.el9_4.src.rpm`. Empty for a source package.
    pub source: String,
    /// Whether it is a source package.
    pub is_source: bool,
    /// Its regular files, by their paths from the root; those that are only listed (ghosts) are not among them.
    pub files: Vec<String>,
}

/// The path of a file in a package, from the root; None for one that leads out of it.
fn from_root(path: &Path) -> Option<String> {
    let mut parts = Vec::new();
    for part in path.components() {
        match part {
            Component::Normal(name) => parts.push(name.to_str()?),
            Component::RootDir | Component::CurDir => {}
            Component::ParentDir | Component::Prefix(_) => return None,
        }
    }
    (!parts.is_empty()).then(|| parts.join("/"))
}

/// A file of the payload that is in it, and wanted.
fn is_file(entry: &rpm::FileEntry<'_>) -> bool {
    entry.mode().file_type() == rpm::FileType::Regular && !entry.flags().contains(rpm::FileFlags::GHOST)
}

/// Checks that the entries of both headers of an RPM lie within them, which the rpm crate takes for granted. (RPM's documentation,
/// "RPM V4 package format": a lead of 96 bytes, then two headers, the first padded to 8 bytes.)
fn check_headers(path: &Path) -> Result<()> {
    const LEAD: usize = 96;
    let mut file = BufReader::new(File::open(path)?);
    let mut lead = [0; LEAD];
    file.read_exact(&mut lead).context("it ends in its first 96 bytes")?;
    ensure!(lead.starts_with(&[0xed, 0xab, 0xee, 0xdb]), "it does not begin as RPMs do");
    let signatures = check_header(&mut file).context("its header with signatures")?;
    let mut padding = vec![0; signatures.next_multiple_of(8) - signatures];
    file.read_exact(&mut padding).context("it ends behind its header with signatures")?;
    check_header(&mut file).context("its header").map(|_| ())
}

/// Reads one header, and returns the size of its data.
fn check_header(file: &mut impl Read) -> Result<usize> {
    const ENTRY: usize = 16;
    // rpm's own limits (lib/header.c).
    const ENTRIES_LIMIT: u32 = 0xffff;
    const DATA_LIMIT: u32 = 256 << 20;
    let number = |bytes: &[u8]| bytes.try_into().map(u32::from_be_bytes).unwrap_or_default();
    let mut start = [0; 16];
    file.read_exact(&mut start).context("it is cut off")?;
    ensure!(start.starts_with(&[0x8e, 0xad, 0xe8, 0x01]), "it does not begin as one");
    let (entries, size) = (number(&start[8..12]), number(&start[12..]));
    ensure!(entries <= ENTRIES_LIMIT && size <= DATA_LIMIT, "it is larger than rpm allows");
    let mut index = vec![0; entries as usize * ENTRY];
    file.read_exact(&mut index).context("it is cut off")?;
    let mut data = Vec::new();
    file.take(size.into()).read_to_end(&mut data)?;
    ensure!(data.len() == size as usize, "it is cut off");
    let zeros: Vec<usize> = (0..data.len()).filter(|&at| data[at] == 0).collect();
    for entry in index.chunks(ENTRY) {
        let [tag, kind, offset, count] = [0, 4, 8, 12].map(|at| number(&entry[at..at + 4]));
        let fits = data.get(offset as usize..).is_some_and(|rest| match kind {
            // Strings end with a zero byte each.
            6 | 8 | 9 => zeros.len() - zeros.partition_point(|&at| at < offset as usize) >= count as usize,
            0 | 1 | 2 | 7 => rest.len() >= count as usize,
            3 => rest.len() / 2 >= count as usize,
            4 => rest.len() / 4 >= count as usize,
            5 => rest.len() / 8 >= count as usize,
            _ => false,
        });
        ensure!(fits, "its entry {tag} leads out of it");
    }
    Ok(data.len())
}

impl Package {
    /// Reads the header of the RPM at `path`, and checks the digests of header and payload.
    ///
    /// # Errors
    /// No RPM; one that is cut off or damaged.
    pub fn open(path: &Path) -> Result<Self> {
        Self::read(path).with_context(|| format!("{}: kmend cannot read this RPM", path.display()))
    }

    fn read(path: &Path) -> Result<Self> {
        let size = std::fs::metadata(path).context("it cannot be found")?.len();
        ensure!(size <= PACKAGE_LIMIT, "it has more than {} GiB", PACKAGE_LIMIT >> 30);
        check_headers(path).context("is it an RPM, and whole?")?;
        let package = rpm::Package::open(path).map_err(|e| anyhow!("{e}")).context("is it an RPM, and whole?")?;
        let digests = package.check_digests().map_err(|e| anyhow!("{e}"))?;
        digests.result().map_err(|e| anyhow!("{e}")).context("it is damaged or cut off")?;
        let meta = &package.metadata;
        let text = |value: Result<&str, rpm::Error>| value.map(String::from).map_err(|e| anyhow!("its header: {e}"));
        let entries = meta.get_file_entries().map_err(|e| anyhow!("its list of files: {e}"))?;
        let is_source = meta.is_source_package();
        Ok(Self {
            path: path.into(),
            name: text(meta.get_name())?,
            version: format!("{}-{}", text(meta.get_version())?, text(meta.get_release())?),
            arch: text(meta.get_arch())?,
            source: if is_source { String::new() } else { text(meta.get_source_rpm())? },
            is_source,
            files: entries.iter().filter(|e| is_file(e)).filter_map(|e| from_root(&e.path())).collect(),
        })
    }

    /// What its file should be called: `kernel-core-5.14.0-427.el9.x86_64`.
    pub fn full_name(&self) -> String {
        let arch = if self.is_source { "src" } else { &self.arch };
        format!("{}-{}.{arch}", self.name, self.version)
    }

    /// Writes the files for which `place` gives a place there; returns how many.
    ///
    /// # Errors
    /// A payload that is damaged or larger than a kernel's; a full disk; a wanted file whose content is with another (a hard
    /// link).
    pub fn unpack(&self, place: &dyn Fn(&str) -> Option<PathBuf>) -> Result<usize> {
        self.write(place).with_context(|| format!("cannot unpack {}", self.path.display()))
    }

    fn write(&self, place: &dyn Fn(&str) -> Option<PathBuf>) -> Result<usize> {
        let mut reader = rpm::PackageReader::open(&self.path).map_err(|e| anyhow!("{e}"))?;
        let (mut written, mut left) = (0, ALL_LIMIT);
        while let Some(mut file) = reader.next_file().map_err(|e| anyhow!("{e}"))? {
            let wanted = from_root(&file.metadata.path()).filter(|_| is_file(&file.metadata));
            let Some(to) = wanted.as_deref().and_then(place) else { continue };
            let name = wanted.unwrap_or_default();
            ensure!(file.has_payload(), "{name} is a hard link to another file, which kmend does not follow");
            if let Some(parent) = to.parent() {
                make_dir(parent)?;
            }
            let most = left.min(FILE_LIMIT);
            let mut out = File::create(&to).with_context(|| to.display().to_string())?;
            let size =
                io::copy(&mut (&mut file).take(most.saturating_add(1)), &mut out).with_context(|| name.clone())?;
            ensure!(size <= most, "{name}: more than a kernel's package holds");
            file.finish().with_context(|| name.clone())?;
            left -= size;
            written += 1;
        }
        Ok(written)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    /// A package with these files.
    fn package(dir: &Path, name: &str, files: &[(&str, &[u8])], how: rpm::CompressionType) -> PathBuf {
        let mut builder = rpm::PackageBuilder::new(name, "5.14.0", "GPL", "x86_64", "a kernel");
        builder.using_config(rpm::BuildConfig::default().compression(how)).release("1.el9");
        for (path, data) in files {
            builder.with_file_contents(data.to_vec(), rpm::FileOptions::new(*path)).unwrap();
        }
        let path = dir.join(format!("{name}.rpm"));
        builder.build().unwrap().write_file(&path).unwrap();
        path
    }

    #[test]
    fn files_come_out_of_each_kind_of_payload() {
        let dir = tempfile::tempdir().unwrap();
        let long = b"MODULE ".repeat(10_000);
        let files: [(&str, &[u8]); 2] = [("/lib/modules/1/a.ko", &long), ("/boot/b", b"x")];
        use rpm::CompressionType::{Bzip2, Gzip, None, Xz, Zstd};
        for (i, how) in [None, Gzip, Xz, Zstd, Bzip2].into_iter().enumerate() {
            let path = package(dir.path(), &format!("p{i}"), &files, how);
            let package = Package::open(&path).unwrap();
            assert_eq!((package.version.as_str(), package.arch.as_str()), ("5.14.0-1.el9", "x86_64"));
            let mut found = package.files.clone();
            found.sort();
            assert_eq!(found, ["boot/b", "lib/modules/1/a.ko"], "{how:?}");
            let to = dir.path().join(format!("out{i}/a.ko"));
            assert_eq!(package.unpack(&|path| path.ends_with(".ko").then(|| to.clone())).unwrap(), 1);
            assert!(fs::read(&to).unwrap() == long, "{how:?}");
        }
    }

    #[test]
    fn damaged_files_are_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = package(dir.path(), "p", &[("/boot/b", &[7; 5000])], rpm::CompressionType::Xz);
        let good = fs::read(&path).unwrap();
        // Each byte of it matters to a digest, but for the lead and for what the signature header has beside digests.
        for cut in [0, 10, 95, 96, 112, 300, good.len() / 2, good.len() - 1] {
            fs::write(&path, &good[..cut]).unwrap();
            assert!(Package::open(&path).is_err(), "cut at {cut}");
        }
        for at in (0..good.len()).step_by(7) {
            let mut bad = good.clone();
            bad[at] ^= 0x41;
            fs::write(&path, &bad).unwrap();
            // No panic, whatever comes of it.
            if let Ok(package) = Package::open(&path) {
                let _ = package.unpack(&|_| Some(dir.path().join("out")));
            }
        }
        let mut bad = good.clone();
        let last = bad.len() - 20;
        bad[last] ^= 1;
        fs::write(&path, &bad).unwrap();
        assert!(Package::open(&path).is_err());
    }

    #[test]
    fn paths_do_not_lead_out() {
        assert_eq!(from_root(Path::new("/lib/./a")).as_deref(), Some("lib/a"));
        for bad in ["/", "", "/lib/../../etc/passwd", ".."] {
            assert_eq!(from_root(Path::new(bad)), None, "{bad}");
        }
    }
}
