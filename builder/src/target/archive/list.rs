// SPDX-License-Identifier: GPL-2.0-or-later
//! The list of what an archive holds: its text in, entries out whose paths and links stay inside of the archive's parts.

use super::{ArchiveFault, Header, FILES, PARTS, ROOT, RUST, TARGET};
use crate::files;
use std::collections::HashSet;
use std::fmt::Write as _;

/// The most bytes of a list.
pub(super) const LARGEST_LIST: u64 = 256 << 20;
/// The most entries.
const MOST_ENTRIES: u64 = 2_000_000;
/// The most bytes of all files together. A target with two build roots has 4 GiB.
const MOST_BYTES: u64 = 64 << 30;
/// The longest path, and the longest name in one, in bytes: Linux takes no longer ones.
const LONGEST_PATH: usize = 2048;
const LONGEST_NAME: usize = 255;

/// One folder, file or link.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// From the top of the archive.
    pub path: String,
    /// What it is.
    pub kind: Kind,
}

/// What an entry is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A folder.
    Folder,
    /// A file.
    File {
        /// Whether it can be run.
        runs: bool,
        /// Bytes.
        size: u64,
        /// SHA-256, hexadecimal.
        sha256: String,
    },
    /// A symbolic link.
    Link {
        /// Where it leads.
        to: String,
    },
}

/// All entries: folders and files by their paths, then links by theirs, so that no file can be written by way of a link.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct List(Vec<Entry>);

impl List {
    /// Puts `entries` in order.
    ///
    /// # Errors
    /// A path or link that no archive may have.
    pub fn new(mut entries: Vec<Entry>) -> Result<Self, ArchiveFault> {
        entries.sort_by(|a, b| order(a).cmp(&order(b)));
        let list = Self(entries);
        list.check()?;
        Ok(list)
    }

    /// The entries in the order of the archive.
    pub fn entries(&self) -> &[Entry] {
        &self.0
    }

    /// Bytes of all files together.
    pub fn bytes(&self) -> u64 {
        self.0.iter().map(Entry::bytes).fold(0, u64::saturating_add)
    }

    /// Its text: a line for each entry, with tabs between the fields.
    pub fn text(&self) -> String {
        self.lines("")
    }

    /// The lines of what is below `start`, without it.
    fn lines(&self, start: &str) -> String {
        let mut text = String::new();
        for (path, entry) in self.0.iter().filter_map(|e| Some((e.path.strip_prefix(start)?, e))) {
            // Writing to a String does not fail.
            let _ = match &entry.kind {
                Kind::Folder => writeln!(text, "d\t{path}"),
                Kind::File { runs, size, sha256 } => writeln!(text, "f\t{}\t{size}\t{sha256}\t{path}", mode(*runs)),
                Kind::Link { to } => writeln!(text, "l\t{to}\t{path}"),
            };
        }
        text
    }

    /// A checksum of all that is in the part `part`.
    pub fn sum_of(&self, part: &str) -> String {
        files::sha256(self.lines(&format!("{part}/")).as_bytes())
    }

    /// Whether there is such a part.
    pub fn has(&self, part: &str) -> bool {
        self.0.iter().any(|entry| entry.path == part)
    }

    /// Reads the text of a list, of which `header` says how much it lists.
    ///
    /// # Errors
    /// It is no such list, or has a path or link that no archive may have.
    pub fn parse(text: &str, header: &Header) -> Result<Self, ArchiveFault> {
        if header.entries > MOST_ENTRIES || header.bytes > MOST_BYTES {
            let said = format!("it says that it has {} entries of {} bytes", header.entries, header.bytes);
            let most = format!("; {MOST_ENTRIES} entries and {MOST_BYTES} bytes are the most that a target may have");
            return Err(ArchiveFault::new("archive-too-large", said + &most, ""));
        }
        let mut entries = Vec::new();
        for (n, line) in text.split_terminator('\n').enumerate() {
            let wrong = || ArchiveFault::damaged(format!("line {} of its list cannot be parsed", n + 1));
            entries.push(entry(line).ok_or_else(wrong)?);
        }
        let list = Self(entries);
        list.check()?;
        if list.0.len() as u64 != header.entries || list.bytes() != header.bytes || list.text() != text {
            return Err(ArchiveFault::damaged("its list does not have as much as its header says"));
        }
        let has_toolchain = match header.toolchain.as_deref() {
            None => !list.has(RUST),
            Some(ROOT) => !list.has(RUST),
            Some(RUST) => list.has(RUST),
            Some(_) => false,
        };
        if !has_toolchain || !list.has(ROOT) || !list.has(TARGET) {
            return Err(ArchiveFault::damaged("a part of it is missing or has no use"));
        }
        Ok(list)
    }

    fn check(&self) -> Result<(), ArchiveFault> {
        let mut folders: HashSet<&str> = HashSet::new();
        for (n, entry) in self.0.iter().enumerate() {
            let path = entry.path.as_str();
            let shown = path.escape_debug();
            let is_after = n == 0 || order(&self.0[n - 1]) < order(entry);
            if !is_after {
                return Err(ArchiveFault::damaged(format!("its list is not in order, or has {shown} twice")));
            }
            check_path(path).map_err(|why| {
                ArchiveFault::new("archive-path", format!("the path {shown} {why}"), "do not use this file")
            })?;
            let above = path.rsplit_once('/').map(|(above, _)| above);
            if !above.is_none_or(|above| folders.contains(above)) {
                let said = format!("the path {shown} is in no folder of the archive");
                return Err(ArchiveFault::new("archive-path", said, "do not use this file"));
            }
            match &entry.kind {
                Kind::Folder => drop(folders.insert(path)),
                Kind::File { size, .. } if *size > MOST_BYTES => {
                    return Err(ArchiveFault::new("archive-too-large", format!("{shown} is too large"), ""));
                }
                Kind::File { .. } => {}
                Kind::Link { to } => check_link(path, to).map_err(|why| {
                    let said = format!("the link {shown} to {} {why}", to.escape_debug());
                    ArchiveFault::new("archive-link", said, "do not use this file")
                })?,
            }
        }
        let links = self.0.partition_point(|e| !matches!(e.kind, Kind::Link { .. }));
        let (things, links) = self.0.split_at(links);
        let both = links.iter().find(|link| things.binary_search_by(|e| e.path.cmp(&link.path)).is_ok());
        match both {
            Some(link) => Err(ArchiveFault::damaged(format!("its list has {} twice", link.path.escape_debug()))),
            None => Ok(()),
        }
    }
}

impl Entry {
    /// Bytes of its content.
    pub fn bytes(&self) -> u64 {
        match self.kind {
            Kind::File { size, .. } => size,
            _ => 0,
        }
    }
}

/// The mode of a file.
pub(super) fn mode(runs: bool) -> &'static str {
    match runs {
        true => "755",
        false => "644",
    }
}

/// The place of an entry in the archive.
fn order(entry: &Entry) -> (bool, &str) {
    (matches!(entry.kind, Kind::Link { .. }), &entry.path)
}

fn entry(line: &str) -> Option<Entry> {
    let fields: Vec<&str> = line.split('\t').collect();
    let (path, kind) = match fields[..] {
        ["d", path] => (path, Kind::Folder),
        ["f", mode, size, sha256, path] => {
            let runs = ["644", "755"].iter().position(|m| *m == mode)? == 1;
            let is_hex = |c: u8| c.is_ascii_digit() || (b'a'..=b'f').contains(&c);
            let whole = sha256.len() == 64 && sha256.bytes().all(is_hex);
            (path, Kind::File { runs, size: size.parse().ok()?, sha256: whole.then(|| sha256.into())? })
        }
        ["l", to, path] => (path, Kind::Link { to: to.into() }),
        _ => return None,
    };
    Some(Entry { path: path.into(), kind })
}

/// Why `path` cannot be in an archive.
fn check_path(path: &str) -> Result<(), &'static str> {
    let mut names = path.split('/');
    let part = names.next().unwrap_or_default();
    if path.chars().any(char::is_control) {
        return Err("has a control character");
    }
    if path.starts_with('/') || path.split('/').any(|name| matches!(name, "" | "." | "..")) {
        return Err("is not a plain path below the archive");
    }
    if path.len() > LONGEST_PATH || path.split('/').any(|name| name.len() > LONGEST_NAME) {
        return Err("is too long");
    }
    if !PARTS.contains(&part) {
        return Err("is in no part of a target");
    }
    match names.next() {
        Some(file) if part == TARGET && !FILES.contains(&file) => Err("is no file of a target"),
        _ => Ok(()),
    }
}

/// Why the link at `path` cannot lead to `to`. It may climb first, as far as its part goes, and then only descend: where it leads
/// can be told from the two texts then, whichever other links it passes.
fn check_link(path: &str, to: &str) -> Result<(), &'static str> {
    if to.is_empty() || to.len() > LONGEST_PATH || to.chars().any(char::is_control) {
        return Err("is no path");
    }
    let of_kernel = path.starts_with("target/");
    // `target/tree/NAME`, `root/NAME`: this many names are above what a link may reach.
    let above = if of_kernel { 2 } else { 1 };
    let depth = path.split('/').count();
    if depth <= above {
        return Err("is where no link can be");
    }
    let below = match to.strip_prefix('/') {
        // In a build root, the tools see it from the root of their sandbox.
        Some(_) if of_kernel => return Err("leads out of the archive"),
        Some(below) => below,
        None => to,
    };
    let names: Vec<&str> = below.split('/').filter(|name| !matches!(*name, "" | ".")).collect();
    let climbs = names.iter().take_while(|name| **name == "..").count();
    if names[climbs..].contains(&"..") {
        return Err("climbs after it has descended");
    }
    let may_climb = if to.starts_with('/') { 0 } else { depth - 1 - above };
    match climbs > may_climb {
        true => Err("leads out of the archive"),
        false => Ok(()),
    }
}
