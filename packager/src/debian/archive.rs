// SPDX-License-Identifier: GPL-2.0-or-later
//! The file format of Debian packages (deb(5)): an ar archive of `debian-binary`, `control.tar.xz`, `data.tar.xz`. Order,
//! owners and times are fixed, so that the same input gives the same bytes.

use anyhow::{ensure, Context, Result};
use liblzma::{read::XzDecoder, write::XzEncoder};
use md5::{Digest, Md5};
use std::collections::{BTreeMap, BTreeSet};
use std::io::{Read, Write};
use std::path::Path;
use tar::{EntryType, Header};

/// What a package is put together from.
pub(super) struct Deb {
    /// The text of the control file.
    pub control: String,
    /// postinst, prerm, postrm.
    pub scripts: BTreeMap<&'static str, String>,
    /// Path on the host (absolute), with mode and data.
    pub files: BTreeMap<String, (u32, Vec<u8>)>,
    /// Path on the host, where it leads.
    pub links: BTreeMap<String, String>,
    /// Folders that are empty.
    pub folders: BTreeSet<String>,
    /// Seconds since 1970.
    pub date: u64,
}

impl Deb {
    /// The finished file's bytes.
    pub(super) fn bytes(&self) -> Result<Vec<u8>> {
        let members = [
            ("debian-binary", b"2.0\n".to_vec()),
            ("control.tar.xz", self.control_tar()?),
            ("data.tar.xz", self.data_tar()?),
        ];
        let mut out = ar::Builder::new(Vec::new());
        for (name, data) in members {
            let mut header = ar::Header::new(name.into(), data.len() as u64);
            header.set_mode(0o100_644);
            header.set_mtime(self.date);
            out.append(&header, data.as_slice())?;
        }
        Ok(out.into_inner()?)
    }

    fn control_tar(&self) -> Result<Vec<u8>> {
        let mut out = Tar::new(self.date);
        out.file("control", 0o644, self.control.as_bytes())?;
        let sums: String = self.files.iter().map(|(path, (_, data))| md5_line(path, data)).collect();
        if !sums.is_empty() {
            out.file("md5sums", 0o644, sums.as_bytes())?;
        }
        // Files that an administrator may change (deb-conffiles(5)).
        let kept: String =
            self.files.keys().filter(|path| path.starts_with("/etc/")).map(|p| format!("{p}\n")).collect();
        if !kept.is_empty() {
            out.file("conffiles", 0o644, kept.as_bytes())?;
        }
        for (name, text) in &self.scripts {
            out.file(name, 0o755, text.as_bytes())?;
        }
        out.finish()
    }

    fn data_tar(&self) -> Result<Vec<u8>> {
        let mut folders = self.folders.clone();
        for path in self.files.keys().chain(self.links.keys()).chain(&self.folders) {
            ensure!(path.starts_with('/') && !path.contains("/.."), "{path} is no path that a package can hold");
            folders.extend(Path::new(path).ancestors().skip(1).filter_map(|p| p.to_str()).map(str::to_owned));
        }
        folders.remove("/");
        let mut out = Tar::new(self.date);
        for folder in &folders {
            out.entry(EntryType::Directory, &format!("{}/", &folder[1..]), 0o755, &[])?;
        }
        for (path, (mode, data)) in &self.files {
            out.file(&path[1..], *mode, data)?;
        }
        for (path, target) in &self.links {
            out.link(&path[1..], target)?;
        }
        out.finish()
    }
}

/// The control file of a finished package.
pub(super) fn control_of(path: &Path, deb: &[u8]) -> Result<String> {
    let mut archive = ar::Archive::new(deb);
    while let Some(member) = archive.next_entry() {
        let member = member.with_context(|| format!("{} is no Debian package", path.display()))?;
        if member.header().identifier() != b"control.tar.xz" {
            continue;
        }
        let mut inner = tar::Archive::new(XzDecoder::new(member));
        for entry in inner.entries().with_context(|| format!("{}", path.display()))? {
            let mut entry = entry.with_context(|| format!("{}: control.tar.xz", path.display()))?;
            if entry.path().is_ok_and(|p| p == Path::new("control") || p == Path::new("./control")) {
                let mut text = String::new();
                entry
                    .by_ref()
                    .take(1 << 20)
                    .read_to_string(&mut text)
                    .with_context(|| format!("{}", path.display()))?;
                ensure!(
                    text.starts_with("Package: ") && !text.trim_end().contains("\n\n"),
                    "{}: its control file is not one paragraph that starts with Package",
                    path.display()
                );
                return Ok(text);
            }
        }
    }
    anyhow::bail!(
        "{} has no control.tar.xz with a control file: it is not a Debian package, or not one made by kmend",
        path.display()
    )
}

fn md5_line(path: &str, data: &[u8]) -> String {
    let sum: String = Md5::digest(data).iter().map(|b| format!("{b:02x}")).collect();
    format!("{sum}  {}\n", &path[1..])
}

struct Tar {
    out: tar::Builder<XzEncoder<Vec<u8>>>,
    date: u64,
}

impl Tar {
    fn new(date: u64) -> Tar {
        Tar { out: tar::Builder::new(XzEncoder::new(Vec::new(), 6)), date }
    }

    fn header(&self, kind: EntryType, mode: u32, size: usize) -> Header {
        let mut header = Header::new_gnu();
        header.set_entry_type(kind);
        header.set_mode(mode);
        header.set_mtime(self.date);
        header.set_uid(0);
        header.set_gid(0);
        header.set_size(size as u64);
        header
    }

    fn entry(&mut self, kind: EntryType, path: &str, mode: u32, data: &[u8]) -> Result<()> {
        let mut header = self.header(kind, mode, data.len());
        header.set_username("root")?;
        header.set_groupname("root")?;
        self.out.append_data(&mut header, path, data).with_context(|| format!("file {path} of a package"))
    }

    fn file(&mut self, path: &str, mode: u32, data: &[u8]) -> Result<()> {
        self.entry(EntryType::Regular, path, mode, data)
    }

    fn link(&mut self, path: &str, target: &str) -> Result<()> {
        let mut header = self.header(EntryType::Symlink, 0o777, 0);
        header.set_username("root")?;
        header.set_groupname("root")?;
        self.out.append_link(&mut header, path, target).with_context(|| format!("link {path} of a package"))
    }

    fn finish(self) -> Result<Vec<u8>> {
        let mut encoder = self.out.into_inner()?;
        encoder.flush()?;
        Ok(encoder.finish()?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn deb(control: &str) -> Vec<u8> {
        let control = control.into();
        let (scripts, files, links) = (BTreeMap::new(), BTreeMap::new(), BTreeMap::new());
        Deb { control, scripts, files, links, folders: BTreeSet::new(), date: 0 }.bytes().unwrap()
    }

    #[test]
    fn control_files_are_read_back() {
        let path = Path::new("a.deb");
        let text = "Package: a\nVersion: 1\n";
        assert_eq!(control_of(path, &deb(text)).unwrap(), text);
        for hostile in ["Package: a\n\nPackage: b\n", "Version: 1\n", ""] {
            let error = control_of(path, &deb(hostile)).unwrap_err().to_string();
            assert!(error.starts_with("a.deb: its control file is not one paragraph"), "{error}");
        }
    }

    #[test]
    fn broken_debs_are_survived() {
        let whole = deb("Package: a\nVersion: 1\n");
        for end in 0..whole.len() - 200 {
            assert!(control_of(Path::new("a.deb"), &whole[..end]).is_err(), "{end}");
        }
        for place in 0..whole.len() {
            let mut bytes = whole.clone();
            bytes[place] ^= 0x5a;
            let _ = control_of(Path::new("a.deb"), &bytes);
        }
    }
}
