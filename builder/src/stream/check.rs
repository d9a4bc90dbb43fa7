// SPDX-License-Identifier: GPL-2.0-or-later
//! What a stream file means: its tables in, a [`Stream`] out, or all that is wrong with it.

use super::fault::{line_of, Fault, Faults};
use super::file::{self, FixTable, KernelTable, VersionTable, MAX_BYTES};
use super::folder::Folder;
use super::values::Cve;
use super::{names, Kernel, Release, Stream, StreamFix};
use crate::hooks;
use crate::reach::limit::Limit;
use crate::source::{fix, patchfile, Part};
use crate::target::{distro, store};
use anyhow::Result;
use kmend_packager::kernel_id;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use toml::Spanned;

/// What is wrong with a file that has no version yet.
pub const NO_VERSION: &str = "the stream has no version";

/// A stream file on its way to a [`Stream`].
struct Checker<'a> {
    text: &'a str,
    folder: Folder,
    faults: Vec<Fault>,
}

/// Checks the stream file `path` with this `text`.
///
/// # Errors
/// [`Faults`], as many at once as can be found.
pub fn check(path: &Path, text: &str) -> Result<Stream> {
    let faults = |faults| Faults { file: path.into(), faults };
    let file = file::parse(text).map_err(|fault| faults(vec![fault]))?;
    let mut checker = Checker { text, folder: Folder::of(path)?, faults: Vec::new() };
    if file.kernel.is_empty() {
        checker.fault(0, "the stream has no kernel", "add a [[kernel]] table with its target");
    }
    if file.version.is_empty() {
        checker.fault(
            0,
            NO_VERSION,
            "add a [[version]] table with a fix, or `kmend-build stream add` fixes; 0-0 is implied",
        );
    }
    let kernels: Vec<Kernel> = file.kernel.iter().map(|table| checker.kernel(table)).collect();
    checker.kernels_differ(&file.kernel, &kernels);
    let versions: Vec<Release> = file.version.iter().map(|table| checker.version(table, &kernels)).collect();
    checker.versions_ascend(&file.version);
    let stream = Stream {
        path: path.into(),
        name: file.name.into(),
        packager: file.packager.into(),
        vendor: file.vendor.map(Into::into),
        url: file.url.map(Into::into),
        packages: file.packages,
        valid_days: checker.valid_days(file.valid_days.as_ref()),
        limit: file.max_units.map(|most| Limit(most.get())).unwrap_or_default(),
        kernels,
        versions,
    };
    stream.kernels.iter().zip(&file.kernel).for_each(|(kernel, table)| checker.together(&stream, kernel, table));
    if checker.faults.is_empty() {
        return Ok(stream);
    }
    let mut found = checker.faults;
    found.sort_by_key(|fault| fault.line);
    found.dedup();
    Err(faults(found).into())
}

impl Checker<'_> {
    fn fault(&mut self, line: usize, reason: impl Into<String>, hint: &str) {
        self.faults.push(Fault::new(line, reason, hint));
    }

    /// How long an index is valid: long enough for a stream without news, short enough that a frozen mirror is seen.
    fn valid_days(&mut self, at: Option<&Spanned<i64>>) -> u32 {
        const DEFAULT: u32 = 90;
        let Some(at) = at else { return DEFAULT };
        match u32::try_from(*at.get_ref()).ok().filter(|days| (1..=3650).contains(days)) {
            Some(days) => days,
            None => {
                let reason = format!("valid_days = {} is no number of days from 1 to 3650", at.get_ref());
                self.fault(self.line(at), reason, "leave it out for 90 days");
                DEFAULT
            }
        }
    }

    fn line<T>(&self, at: &Spanned<T>) -> usize {
        line_of(self.text, at.span().start)
    }

    /// Contents of a file that the stream file names; a fault where it cannot be had.
    fn read(&mut self, name: &Spanned<String>, most: u64) -> Option<(std::path::PathBuf, Vec<u8>)> {
        match self.folder.read(name.get_ref(), most) {
            Ok(read) => Some(read),
            Err(error) => {
                let line = self.line(name);
                self.fault(line, format!("{error:#}"), "name a file in the folder of the stream file or below");
                None
            }
        }
    }

    fn kernel(&mut self, table: &KernelTable) -> Kernel {
        let mut fixed: BTreeSet<Cve> = BTreeSet::new();
        for cve in &table.fixed {
            if !fixed.insert(cve.get_ref().clone()) {
                let line = self.line(cve);
                self.fault(line, format!("{} is in `fixed` twice", cve.get_ref()), "remove one of them");
            }
        }
        if let Some(name) = &table.fixed_file {
            fixed.extend(self.fixed_file(name));
        }
        let mut not_carried = BTreeMap::new();
        for entry in &table.not_carried {
            let (cve, line) = (entry.cve.get_ref(), self.line(&entry.cve));
            if fixed.contains(cve) {
                self.fault(
                    line,
                    format!("{cve} is listed both as fixed by the kernel and as not carried"),
                    "remove one of them",
                );
            }
            if not_carried.insert(cve.clone(), entry.reason.clone()).is_some() {
                self.fault(line, format!("{cve} is in `not_carried` twice"), "remove one of them");
            }
        }
        Kernel {
            target: table.target.get_ref().clone(),
            release: self.release(&table.target),
            supported_until: table.supported_until.as_ref().map(|d| d.get_ref().clone()),
            level: table.level.clone(),
            fixed,
            not_carried: not_carried.into_iter().collect(),
        }
    }

    /// CVEs, one a line; `#` begins a remark.
    fn fixed_file(&mut self, name: &Spanned<String>) -> Vec<Cve> {
        let Some((_, bytes)) = self.read(name, MAX_BYTES as u64) else { return Vec::new() };
        let mut all = Vec::new();
        for (n, line) in String::from_utf8_lossy(&bytes).lines().enumerate() {
            let line = line.split('#').next().unwrap_or_default().trim();
            match Cve::try_from(line.to_string()) {
                _ if line.is_empty() => {}
                Ok(cve) => all.push(cve),
                Err(wrong) => {
                    let at = self.line(name);
                    let reason = format!("{}, line {}: {wrong}", name.get_ref(), n + 1);
                    self.fault(at, reason, "one CVE a line, remarks behind a #");
                    return all;
                }
            }
        }
        all
    }

    /// `uname -r` of a target, from the store, else from its name.
    fn release(&mut self, name: &Spanned<String>) -> Option<String> {
        let line = self.line(name);
        let text = name.get_ref();
        if let Ok(target) = store::resolve(text) {
            if target.name == *text {
                return Some(target.release);
            }
            self.fault(
                line,
                format!("{text:?} does not always mean the same kernel: today it means {}", target.name),
                "write the whole name, as `kmend-build target list` shows it",
            );
            return None;
        }
        let release = distro::of_name(text).and_then(|(distro, rest)| distro.release(rest)).map(String::from);
        let named = text.strip_prefix("tree:").is_some_and(|rest| !rest.is_empty());
        if release.is_none() && !named || text.chars().any(|c| c.is_control() || c.is_whitespace()) {
            self.fault(
                line,
                format!("{text:?} names no kernel"),
                &format!("{} or tree:NAME, as `kmend-build target list` shows it", distro::whole_names().join(" or ")),
            );
        }
        release
    }

    /// No two kernels with the same target or the same names of packages, and all names short enough.
    fn kernels_differ(&mut self, tables: &[KernelTable], kernels: &[Kernel]) {
        let mut targets = BTreeSet::new();
        let mut ids: BTreeMap<String, &str> = BTreeMap::new();
        for (table, kernel) in tables.iter().zip(kernels) {
            let line = self.line(&table.target);
            if !targets.insert(&kernel.target) {
                self.fault(line, format!("kernel {} is listed twice", kernel.target), "remove one of them");
                continue;
            }
            let Some(release) = &kernel.release else { continue };
            if let Some(other) = ids.insert(kernel_id(release), &kernel.target) {
                let reason = format!("packages for {} would have the names of those for {other}", kernel.target);
                self.fault(line, reason, "put it into a stream of its own");
            }
        }
    }

    fn version(&mut self, table: &VersionTable, kernels: &[Kernel]) -> Release {
        let version = *table.version.get_ref();
        let line = self.line(&table.version);
        for release in kernels.iter().filter_map(|k| k.release.as_ref()) {
            if let Err(error) = names::module(release, version) {
                self.fault(
                    line,
                    format!("version {version} for {release}: {error}"),
                    "this kernel can have no stream of such versions",
                );
            }
        }
        let hooks = table.hooks.as_ref().and_then(|name| {
            let (path, _) = self.read(name, 1 << 20)?;
            if let Err(error) = hooks::file::read(&path) {
                let at = self.line(name);
                self.fault(at, format!("hooks file {}: {error:#}", name.get_ref()), "");
            }
            Some(path)
        });
        let fixes = table.fix.iter().flat_map(|fix| self.fixes(fix, kernels)).collect();
        if table.fix.is_empty() {
            self.fault(
                line,
                format!("version {version} adds no fix"),
                "add a [[version.fix]] table, or leave the version out",
            );
        }
        Release {
            version,
            line,
            date: table.date.get_ref().clone(),
            level: table.level.clone(),
            hooks,
            callbacks_dropped: table.callbacks_dropped.clone(),
            fixes,
        }
    }

    /// The fixes of one table: a commit each of its patch file.
    fn fixes(&mut self, table: &FixTable, kernels: &[Kernel]) -> Vec<StreamFix> {
        let line = self.line(&table.patch);
        for name in table.kernels.iter().flatten() {
            if !kernels.iter().any(|k| k.target == *name.get_ref()) {
                let at = self.line(name);
                let reason = format!("the stream has no kernel {:?}", name.get_ref());
                self.fault(at, reason, "name targets of this file's [[kernel]] tables");
            }
        }
        if table.kernels.as_ref().is_some_and(Vec::is_empty) {
            self.fault(line, "the list `kernels` of this fix is empty", "leave it out for all kernels");
        }
        let mut cves = BTreeSet::new();
        for cve in &table.cves {
            if !cves.insert(cve.get_ref().clone()) {
                let at = self.line(cve);
                self.fault(at, format!("{} is in one fix twice", cve.get_ref()), "remove one of them");
            }
        }
        let Some((path, bytes)) = self.read(&table.patch, patchfile::MAX_BYTES) else { return Vec::new() };
        let file = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let parts = match fix::parts(&file, &bytes) {
            Ok(parts) => parts,
            Err(fault) => {
                let at = if fault.line == 0 { String::new() } else { format!(", line {}", fault.line) };
                self.fault(line, format!("{}{at}: {}", table.patch.get_ref(), fault.reason), fault.hint);
                return Vec::new();
            }
        };
        let parts = self.chosen(table, parts);
        self.said_of_one(table, &parts);
        let fix = |part: &Part| {
            let mine = |cve: &&Cve| parts.len() == 1 || part.named.iter().any(|named| named == cve.as_str());
            StreamFix {
                line,
                commit: part.fix.commit,
                sha256: part.fix.sha256.clone(),
                hunks_sha256: part.fix.hunks_sha256.clone(),
                title: table.title.as_ref().map_or_else(|| part.fix.title.clone(), ToString::to_string),
                titled: table.title.is_some(),
                path: path.clone(),
                cves: cves.iter().filter(mine).cloned().collect(),
                severity: table.severity,
                tickets: table.tickets.clone(),
                kernels: table.kernels.as_ref().map(|all| all.iter().map(|k| k.get_ref().clone()).collect()),
                allow_layout: table.allow_layout.clone(),
                allow_unproven: table.allow_unproven.clone(),
                replaces: table.replaces.as_ref().map(|sha| sha.get_ref().to_string()),
            }
        };
        parts.iter().map(fix).collect()
    }

    /// The commits of a patch file that a table means.
    fn chosen(&mut self, table: &FixTable, mut parts: Vec<Part>) -> Vec<Part> {
        let Some(commit) = &table.commit else { return parts };
        let (wanted, all) = (commit.get_ref().get(), parts.len());
        if wanted > all {
            let line = self.line(commit);
            let reason = format!("{} has no commit {wanted}", table.patch.get_ref());
            let hint =
                if all == 1 { "it has one: leave `commit` out" } else { "number them from 1, in the file's order" };
            self.fault(line, format!("{reason}: it has {all}"), hint);
            return Vec::new();
        }
        vec![parts.swap_remove(wanted - 1)]
    }

    /// What is said of one fix cannot be said of a file of several; a CVE that a message names belongs to that commit.
    fn said_of_one(&mut self, table: &FixTable, parts: &[Part]) {
        if parts.len() < 2 {
            return;
        }
        let file = format!("{} holds {} commits, each a fix of its own", table.patch.get_ref(), parts.len());
        let hint = "give the commit that is meant a table of its own with `commit = NUMBER`, and the others too";
        let line = self.line(&table.patch);
        for (key, is_there) in [("title", table.title.is_some()), ("replaces", table.replaces.is_some())] {
            if is_there {
                self.fault(line, format!("{file}: it is not clear which of them `{key}` refers to"), hint);
            }
        }
        for cve in &table.cves {
            if !parts.iter().any(|part| part.named.iter().any(|named| named == cve.get_ref().as_str())) {
                let at = self.line(cve);
                let reason =
                    format!("{file}: it is not clear which of them fixes {}, as no message names it", cve.get_ref());
                self.fault(at, reason, hint);
            }
        }
    }

    fn versions_ascend(&mut self, tables: &[VersionTable]) {
        for pair in tables.windows(2) {
            let (before, after) = (pair[0].version.get_ref(), pair[1].version.get_ref());
            if after <= before {
                let line = self.line(&pair[1].version);
                self.fault(
                    line,
                    format!("version {after} comes after {before}"),
                    "versions ascend from the top of the file to its end",
                );
            }
            let (early, late) = (pair[0].date.get_ref(), pair[1].date.get_ref());
            if late < early {
                let line = self.line(&pair[1].date);
                let reason = format!("version {after} is of {late}, before version {before} of {early}");
                self.fault(line, reason, "a version is not older than the one before it");
            }
        }
    }

    /// What the tables say of one kernel does not contradict itself.
    fn together(&mut self, stream: &Stream, kernel: &Kernel, table: &KernelTable) {
        let first = stream.versions.first().map(|r| &r.date);
        if let (Some(until), Some(first)) = (&table.supported_until, first) {
            if until.get_ref() < first {
                let line = self.line(until);
                let reason = format!(
                    "support for {} ends on {}, before the first version of {first}",
                    kernel.target,
                    until.get_ref()
                );
                self.fault(line, reason, "correct the date, or remove the kernel");
            }
        }
        let mut seen: BTreeMap<&str, usize> = BTreeMap::new();
        for fix in stream.versions.iter().flat_map(|r| &r.fixes).filter(|f| f.is_for(kernel)) {
            if let Some(first) = seen.insert(&fix.hunks_sha256, fix.line) {
                let name = fix.path.file_name().unwrap_or_default().to_string_lossy();
                let commit = fix.commit.map_or(String::new(), |n| format!(", commit {n},"));
                self.fault(
                    fix.line,
                    format!("{name}{commit} is the fix of line {first} again"),
                    "a version holds the fixes of all before it; leave this one out",
                );
            }
            for cve in &fix.cves {
                if kernel.fixed.contains(cve) {
                    let reason = format!("{cve} is fixed by the kernel {} itself", kernel.target);
                    self.fault(
                        fix.line,
                        reason,
                        "remove it from `fixed`, or exclude this kernel from the fix with `kernels`",
                    );
                }
                if kernel.not_carried.iter().any(|(known, _)| known == cve) {
                    let reason = format!("{cve} is in `not_carried` of {}", kernel.target);
                    self.fault(fix.line, reason, "remove it there, or exclude this kernel from the fix with `kernels`");
                }
            }
        }
    }
}

#[cfg(test)]
#[path = "check_tests.rs"]
mod tests;
