// SPDX-License-Identifier: GPL-2.0-or-later
//! Reads an archive: bytes from anywhere in; its entries out, each compared with the list before, its content with its checksum.

use super::list::{mode, LARGEST_LIST};
use super::{ArchiveFault, Entry, Header, Kind, List, AGAIN, FORM, HEADER, LIST};
use crate::files;
use anyhow::{Context, Result};
use sha2::{Digest, Sha256};
use std::io::{ErrorKind, Read};
use tar::EntryType;

/// The most bytes of a header.
const LARGEST_HEADER: u64 = 64 << 10;
/// The longest entry that only holds a long name.
const LARGEST_NAME: u64 = 4096;
/// Contents are handed on in pieces of at most so many bytes.
const PIECE: usize = 1 << 20;
/// 2 to the power of this is the most that unpacking keeps of what came before, in bytes.
const WINDOW: u32 = 27;

/// What takes the entries of an archive, in the order of the list.
pub trait Sink {
    /// The next piece of an entry, or a folder or link as a whole. It is not known yet that its content is the right one.
    ///
    /// # Errors
    /// It cannot be taken.
    fn take(&mut self, entry: &Entry, piece: Vec<u8>, is_last: bool) -> Result<()>;
}

/// Takes all and keeps nothing.
struct Nowhere;

impl Sink for Nowhere {
    fn take(&mut self, _: &Entry, _: Vec<u8>, _: bool) -> Result<()> {
        Ok(())
    }
}

/// Reads the whole of a packed archive. `begin` is given its header, the checksum of that (and so of all of it), and its list; what
/// it returns takes the entries, and comes back when all of them were right.
///
/// # Errors
/// [`ArchiveFault`], and the failures of `begin` and its sink.
pub fn read<S: Sink>(packed: impl Read, begin: impl FnOnce(&Header, &str, &List) -> Result<S>) -> Result<(Header, S)> {
    let mut unpack = zstd::stream::read::Decoder::new(packed).map_err(broken)?;
    unpack.window_log_max(WINDOW).map_err(broken)?;
    read_tar(unpack, begin)
}

/// Whether `tar`, an unpacked archive, is sound; its header.
///
/// # Errors
/// [`ArchiveFault`].
pub fn check(tar: impl Read) -> Result<Header> {
    read_tar(tar, |_, _, _| Ok(Nowhere)).map(|(header, _)| header)
}

fn read_tar<S: Sink>(tar: impl Read, begin: impl FnOnce(&Header, &str, &List) -> Result<S>) -> Result<(Header, S)> {
    let mut archive = tar::Archive::new(tar);
    // Its own entries for long names and the like are not followed but read here, as their sizes have to be bounded.
    let mut all = Entries { tar: archive.entries().map_err(broken)?.raw(true), done: 0 };
    let (header, sum) = all.header()?;
    let list = all.text(LIST, LARGEST_LIST)?;
    if files::sha256(list.as_bytes()) != header.list {
        return Err(ArchiveFault::damaged("its list is not the one that its header names").into());
    }
    let list = List::parse(&list, &header)?;
    let mut sink = begin(&header, &sum, &list)?;
    for entry in list.entries() {
        all.entry(entry, &mut sink)?;
    }
    if all.tar.next().is_some() {
        return Err(ArchiveFault::damaged("it has more than its list").into());
    }
    // Behind the end of a tar are zeros, and nothing else behind these.
    let mut rest = archive.into_inner().take(2 * PIECE as u64);
    let mut bytes = Vec::new();
    rest.read_to_end(&mut bytes).map_err(broken)?;
    match bytes.len() < PIECE && bytes.iter().all(|b| *b == 0) {
        true => Ok((header, sink)),
        false => Err(ArchiveFault::damaged("it has more than its list").into()),
    }
}

/// The entries of a tar that were not read yet.
struct Entries<'a, R: 'a + Read> {
    tar: tar::Entries<'a, R>,
    done: u64,
}

impl<'a, R: Read> Entries<'a, R> {
    /// The next entry, whose path has to be `path`, and what its link leads to.
    fn next(&mut self, path: &str) -> Result<(tar::Entry<'a, R>, Vec<u8>), ArchiveFault> {
        let (mut long_path, mut long_link) = (None, None);
        loop {
            let Some(next) = self.tar.next() else {
                let said = format!("it ends after {} entries, before {}", self.done, path.escape_debug());
                return Err(ArchiveFault::new("archive-truncated", said, AGAIN));
            };
            let mut next = next.map_err(broken)?;
            let place = match next.header().entry_type() {
                EntryType::GNULongName => &mut long_path,
                EntryType::GNULongLink => &mut long_link,
                _ => {
                    let found = long_path.unwrap_or_else(|| next.header().path_bytes().into_owned());
                    // A folder may have a slash behind its name.
                    let is_it = found == path.as_bytes() || found.strip_suffix(b"/") == Some(path.as_bytes());
                    if !is_it {
                        let found = String::from_utf8_lossy(&found).escape_debug().to_string();
                        let said = format!("{found} comes where {} has to", path.escape_debug());
                        return Err(ArchiveFault::damaged(said));
                    }
                    let link = long_link.or_else(|| next.header().link_name_bytes().map(|link| link.into_owned()));
                    self.done += 1;
                    return Ok((next, link.unwrap_or_default()));
                }
            };
            if next.size() > LARGEST_NAME || place.is_some() {
                return Err(ArchiveFault::damaged("one of its names is too long"));
            }
            let mut name = Vec::new();
            next.read_to_end(&mut name).map_err(broken)?;
            while name.last() == Some(&0) {
                name.pop();
            }
            *place = Some(name);
        }
    }

    /// The entry `path`, a text of at most `most` bytes.
    fn text(&mut self, path: &str, most: u64) -> Result<String, ArchiveFault> {
        let (mut entry, _) = self.next(path)?;
        let size = entry.size();
        if entry.header().entry_type() != EntryType::Regular {
            return Err(ArchiveFault::damaged(format!("{path} is no file")));
        }
        if size > most {
            let said = format!("{path} has {size} bytes; {most} are the most that it may have");
            return Err(ArchiveFault::new("archive-too-large", said, ""));
        }
        let mut bytes = Vec::new();
        entry.read_to_end(&mut bytes).map_err(broken)?;
        if bytes.len() as u64 != size {
            return Err(truncated());
        }
        String::from_utf8(bytes).map_err(|_| ArchiveFault::damaged(format!("{path} is no text")))
    }

    /// The header, and its checksum.
    fn header(&mut self) -> Result<(Header, String), ArchiveFault> {
        let foreign = |_| {
            let said = "it is no exported target";
            ArchiveFault::new("archive-foreign", said, "give a file that `kmend-build target export` wrote")
        };
        let text = self.text(HEADER, LARGEST_HEADER).map_err(|fault| match fault.code {
            "archive-truncated" => fault,
            _ => foreign(()),
        })?;
        let value: serde_json::Value = serde_json::from_str(&text).map_err(|_| foreign(()))?;
        let form = value["kmend_target"].as_u64().ok_or_else(|| foreign(()))?;
        if form != FORM {
            let said = format!("it has form {form} of exported targets, and this kmend-build knows form {FORM} only");
            let hint = "export and import by the same version of kmend-build";
            return Err(ArchiveFault::new("archive-version", said, hint));
        }
        let header = serde_json::from_value(value)
            .map_err(|error| ArchiveFault::damaged(format!("its header cannot be parsed: {error}")))?;
        Ok((header, files::sha256(text.as_bytes())))
    }

    /// The entry of the list that has to come next, into `sink`.
    fn entry(&mut self, wanted: &Entry, sink: &mut impl Sink) -> Result<()> {
        let shown = wanted.path.escape_debug();
        let (mut found, link) = self.next(&wanted.path)?;
        let header = found.header();
        let (kind, size) = (header.entry_type(), found.size());
        let has_mode = |wanted: &str| {
            let found = header.mode().unwrap_or(u32::MAX);
            format!("{found:o}") == wanted
        };
        match (&wanted.kind, kind) {
            (Kind::Folder, EntryType::Directory) if size == 0 && has_mode(mode(true)) => {
                return sink.take(wanted, Vec::new(), true);
            }
            (Kind::Link { to }, EntryType::Symlink) if size == 0 && link == to.as_bytes() => {
                return sink.take(wanted, Vec::new(), true);
            }
            (Kind::File { runs, size: listed, .. }, EntryType::Regular) if size == *listed && has_mode(mode(*runs)) => {
            }
            (_, EntryType::Directory | EntryType::Symlink | EntryType::Regular) => {
                return Err(ArchiveFault::damaged(format!("{shown} is not as its list says")).into());
            }
            _ => {
                let said = format!("{shown} is a device, a hard link or the like, which no target has");
                return Err(ArchiveFault::new("archive-kind", said, "do not use this file").into());
            }
        }
        let Kind::File { sha256, .. } = &wanted.kind else { return Ok(()) };
        let mut sum = Sha256::new();
        let mut left = size;
        loop {
            let length = left.min(PIECE as u64);
            let mut piece = Vec::with_capacity(length as usize);
            found.by_ref().take(length).read_to_end(&mut piece).map_err(broken)?;
            if piece.len() as u64 != length {
                return Err(truncated().into());
            }
            left -= length;
            sum.update(&piece);
            sink.take(wanted, piece, left == 0).with_context(|| format!("cannot unpack {shown}"))?;
            if left == 0 {
                break;
            }
        }
        match files::hex(&sum.finalize()) == *sha256 {
            true => Ok(()),
            false => Err(ArchiveFault::damaged(format!("{shown} has another checksum than its list says")).into()),
        }
    }
}

fn truncated() -> ArchiveFault {
    ArchiveFault::new("archive-truncated", "it ends in the middle of a file", AGAIN)
}

/// What a failure to read or to unpack means.
fn broken(error: std::io::Error) -> ArchiveFault {
    match error.kind() {
        ErrorKind::UnexpectedEof => ArchiveFault::new("archive-truncated", "it is cut off", AGAIN),
        _ => ArchiveFault::damaged(format!("it cannot be read: {error}")),
    }
}
