// SPDX-License-Identifier: GPL-2.0-or-later
//! Streams: for some kernels, one cumulative live patch after the other. A stream file (docs/streams.md) in, modules,
//! packages and a ledger of what was released out.
//!
//! `file` reads the form, `check` what it means, `build` makes the modules, `rules` compares them with what `ledger`
//! has of the versions before. `release` makes packages, `contents` compares a repository with the ledgers, `index` makes its index.
//!
//! On many machines (docs/farm.md): `plan` says which jobs there are and `input` what decides their results, `engines` writes them as
//! engines take them, `job` runs one and leaves a `result`, `collect` holds results against the plan, and `assemble` reads their
//! modules again.

pub mod assemble;
pub mod build;
mod check;
pub mod collect;
pub mod contents;
pub mod edit;
pub mod engines;
pub mod fault;
pub mod file;
pub mod folder;
pub mod git;
pub mod index;
pub mod input;
pub mod job;
pub mod ledger;
pub mod names;
pub mod plan;
pub mod release;
pub mod result;
pub mod rules;
#[cfg(test)]
mod sample;
pub mod values;

use crate::manifest::{NotCarried, StreamFacts};
use crate::pipeline::Label;
use crate::reach::limit::Limit;
use crate::target::distro;
pub use crate::target::distro::Format;
use anyhow::{anyhow, Context, Result};
use kmend_packager::Severity;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use values::{Cve, Date, Function, Level, OneLine, Ticket, TypeName, Version};

/// A stream as its file has it, all of it checked that can be checked without building.
#[derive(Clone, Debug)]
pub struct Stream {
    /// The stream file.
    pub path: PathBuf,
    /// The stream's name.
    pub name: String,
    /// `Name <mail>`.
    pub packager: String,
    /// Who gives the packages out, where it is not the packager.
    pub vendor: Option<String>,
    /// A page about them.
    pub url: Option<String>,
    /// The form of the packages, where the kernels do not tell.
    pub packages: Option<Format>,
    /// How many units all fixes of a version may reach by way of headers.
    pub limit: Limit,
    /// How many days an index of its repository is valid.
    pub valid_days: u32,
    /// The kernels, in the order of the file. At least one.
    pub kernels: Vec<Kernel>,
    /// The versions, ascending. At least one.
    pub versions: Vec<Release>,
}

/// A kernel that gets live patches.
#[derive(Clone, Debug)]
pub struct Kernel {
    /// The target's name.
    pub target: String,
    /// `uname -r`; None where the target is not prepared on this machine and its name does not tell.
    pub release: Option<String>,
    /// The last day on which it gets live patches.
    pub supported_until: Option<Date>,
    /// Its level of fixes.
    pub level: Option<Level>,
    /// CVEs that the kernel itself has fixed.
    pub fixed: BTreeSet<Cve>,
    /// CVEs that no live patch of it fixes, and why.
    pub not_carried: Vec<(Cve, OneLine)>,
}

/// One version, with what it adds to the one before.
#[derive(Clone, Debug)]
pub struct Release {
    /// `1-2`
    pub version: Version,
    /// Its line in the stream file.
    pub line: usize,
    /// Its day.
    pub date: Date,
    /// The level of fixes from it on.
    pub level: Option<Level>,
    /// Its hooks file.
    pub hooks: Option<PathBuf>,
    /// Why it may lack callbacks of the version before.
    pub callbacks_dropped: Option<OneLine>,
    /// What it adds.
    pub fixes: Vec<StreamFix>,
}

/// One fix.
#[derive(Clone, Debug)]
pub struct StreamFix {
    /// Its line in the stream file.
    pub line: usize,
    /// The patch file.
    pub path: PathBuf,
    /// Which of the commits in that it is, from 1; None where there is one.
    pub commit: Option<usize>,
    /// SHA-256 of the patch file.
    pub sha256: String,
    /// SHA-256 of its hunks and their paths: what tells whether it is the same fix ([`crate::source::sum`]).
    pub hunks_sha256: String,
    /// The author's title, else its Subject, else its file's name.
    pub title: String,
    /// The title is the author's, and not the patch file's.
    pub titled: bool,
    /// CVEs that it fixes.
    pub cves: Vec<Cve>,
    /// How bad they are.
    pub severity: Option<Severity>,
    /// Tickets.
    pub tickets: Vec<Ticket>,
    /// Targets that it is for; None: all.
    pub kernels: Option<Vec<String>>,
    /// Types whose changed layout passes.
    pub allow_layout: Vec<TypeName>,
    /// Functions that pass without a proof.
    pub allow_unproven: Vec<Function>,
    /// Sum of the hunks, or SHA-256 of the patch file, whose place it takes.
    pub replaces: Option<String>,
}

/// The most bytes of a stream file.
const MAX_BYTES: u64 = 16 << 20;

/// The text of the stream file `path`.
///
/// # Errors
/// It cannot be read, is too large, or no text.
pub fn text(path: &Path) -> Result<String> {
    let bytes = crate::files::read_at_most(path, MAX_BYTES).context("the stream file")?;
    String::from_utf8(bytes).map_err(|_| anyhow!("the stream file {} is no text in UTF-8", path.display()))
}

impl Stream {
    /// Reads and checks a stream file.
    ///
    /// # Errors
    /// [`fault::Faults`]; a file that cannot be read.
    pub fn read(path: &Path) -> Result<Self> {
        check::check(path, &text(path)?)
    }

    /// The kernel of the target `name`.
    ///
    /// # Errors
    /// One that the stream does not have.
    pub fn kernel(&self, name: &str) -> Result<&Kernel> {
        self.kernels.iter().find(|k| k.target == name).with_context(|| {
            let known: Vec<&str> = self.kernels.iter().map(|k| k.target.as_str()).collect();
            format!("{} has no kernel {name}; it has: {}", self.path.display(), known.join(", "))
        })
    }

    /// The version `wanted`, or the newest.
    ///
    /// # Errors
    /// One that the stream does not have.
    pub fn version(&self, wanted: Option<Version>) -> Result<&Release> {
        let found = match wanted {
            None => self.versions.last(),
            Some(wanted) => self.versions.iter().find(|r| r.version == wanted),
        };
        found.with_context(|| {
            let known: Vec<String> = self.versions.iter().map(|r| r.version.to_string()).collect();
            let wanted = wanted.map_or(String::new(), |v| format!(" {v}"));
            format!("{} has no version{wanted}; it has: {}", self.path.display(), known.join(", "))
        })
    }

    /// What the cumulative live patch `version` for `kernel` is made of: the fixes of all versions up to it in order,
    /// each with the version that brought it. One that replaces another is in its place; one that replaces a file of
    /// several commits is in the place of the first.
    pub fn fixes(&self, kernel: &Kernel, version: Version) -> Vec<(Version, &StreamFix)> {
        let mut all: Vec<(Version, &StreamFix)> = Vec::new();
        for release in self.versions.iter().filter(|r| r.version <= version) {
            for fix in release.fixes.iter().filter(|f| f.is_for(kernel)) {
                let goes = |old: &StreamFix| fix.replaces.as_ref().is_some_and(|sum| old.has_sum(sum));
                let at = all.iter().position(|(_, old)| goes(old)).unwrap_or(all.len());
                all.retain(|(_, old)| !goes(old));
                all.insert(at, (release.version, fix));
            }
        }
        all
    }

    /// Who gives the packages out: the packager's name where nothing else is said.
    pub fn vendor(&self) -> String {
        let name = || self.packager.split(" <").next().unwrap_or_default().to_string();
        self.vendor.clone().unwrap_or_else(name)
    }

    /// The form of a kernel's packages.
    ///
    /// # Errors
    /// A kernel of a tree, where the stream file does not say.
    pub fn format(&self, kernel: &Kernel) -> Result<Format> {
        let known = distro::of_name(&kernel.target).map(|(distro, _)| distro.facts().format);
        self.packages.or(known).with_context(|| {
            let (file, target) = (self.path.display(), &kernel.target);
            format!("{file}: which packages {target} takes is not known: add packages = \"rpm\" or \"deb\"")
        })
    }

    /// What the manifest of `version` for `kernel` says of the stream.
    pub fn facts(&self, kernel: &Kernel, release: &Release) -> StreamFacts {
        let so_far = self.versions.iter().filter(|r| r.version <= release.version);
        let level = so_far.filter_map(|r| r.level.as_ref()).next_back().or(kernel.level.as_ref());
        StreamFacts {
            name: self.name.clone(),
            version: release.version.to_string(),
            date: release.date.to_string(),
            supported_until: kernel.supported_until.as_ref().map(Date::to_string),
            level: level.map(Level::to_string),
            fixed_by_kernel: kernel.fixed.iter().map(Cve::to_string).collect(),
            not_carried: kernel
                .not_carried
                .iter()
                .map(|(cve, reason)| NotCarried { cve: cve.to_string(), reason: reason.to_string() })
                .collect(),
        }
    }
}

impl StreamFix {
    /// Whether `kernel` gets it.
    pub fn is_for(&self, kernel: &Kernel) -> bool {
        self.kernels.as_ref().is_none_or(|names| names.contains(&kernel.target))
    }

    /// Whether `sum` is that of its hunks or of its patch file.
    pub fn has_sum(&self, sum: &str) -> bool {
        self.hunks_sha256 == sum || self.sha256 == sum
    }

    /// What the stream says of it, for the manifest.
    pub fn label(&self, since: Version) -> Label {
        Label {
            commit: self.commit,
            sha256: self.sha256.clone(),
            title: self.title.clone(),
            cves: self.cves.iter().map(Cve::to_string).collect(),
            severity: self.severity.map(|s| s.name().to_string()),
            tickets: self.tickets.iter().map(Ticket::to_string).collect(),
            since: since.to_string(),
        }
    }
}
