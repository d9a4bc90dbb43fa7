// SPDX-License-Identifier: GPL-2.0-or-later
//! The ledger: what was released of a stream, in `ledger.json` beside the stream file. It is read whole, and written
//! beside and renamed, under a lock.

use super::values::Version;
use super::{Stream, StreamFix};
use crate::files::{self, Lock};
use crate::hooks::{Kind, State};
use crate::manifest::{FileFacts, Manifest};
use crate::source::Effect;
use anyhow::{bail, ensure, Context, Result};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Version of the form; it grows when a field changes its meaning or goes away, and when one is new, as older programs
/// refuse fields that they do not know. In form 1 a fix has the sum of its patch file alone; before form 3 there are neither `others` nor
/// `index`.
const SCHEMA: u32 = 3;
/// The oldest form that is read.
const OLDEST: u32 = 1;
/// The most bytes of a ledger.
const MAX_BYTES: u64 = 256 << 20;

/// What was released of one stream.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Ledger {
    /// [`SCHEMA`].
    schema: u32,
    /// The stream's name.
    pub stream: String,
    /// By target: its released versions, ascending.
    pub kernels: BTreeMap<String, Vec<Entry>>,
    /// Packages in the repository that belong to no version: 0-0, metapackages, and what the operator has adopted. None in older
    /// forms.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub others: Option<Vec<FileFacts>>,
    /// The last index that was made of the repository.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub index: Option<LastIndex>,
}

/// What is known of the last index.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LastIndex {
    /// Its date, seconds since 1970.
    pub date: i64,
    /// Fingerprint of the key that signed it; None where it has no signature.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
}

/// One released version for one kernel.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Entry {
    /// `1-2`
    pub version: Version,
    /// The version's day.
    pub date: String,
    /// `uname -r`.
    pub release: String,
    /// The kernel's GNU build id.
    pub build_id: String,
    /// Name of the module.
    pub module: String,
    /// SHA-256 of the module as it was built, before anybody signed it.
    pub module_sha256: String,
    /// Its fixes, in order.
    pub fixes: Vec<ReleasedFix>,
    /// States that it declares.
    pub states: Vec<State>,
    /// What it has called.
    pub callbacks: Vec<Called>,
    /// Its packages.
    pub packages: Vec<FileFacts>,
}

/// A fix that was released.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReleasedFix {
    /// The patch file's name.
    pub file: String,
    /// Which of the commits in that; None where there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub commit: Option<usize>,
    /// SHA-256 of the patch file.
    pub sha256: String,
    /// SHA-256 of its hunks and their paths, which tells whether it is the same fix; None in what form 1 has of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hunks_sha256: Option<String>,
    /// Its title.
    pub title: String,
    /// CVEs that it fixes.
    pub cves: Vec<String>,
    /// What it does to this kernel; None in what form 1 has of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub effect: Option<Effect>,
    /// Why it does nothing, where it does not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

impl ReleasedFix {
    /// The sum by which it is known.
    pub fn sum(&self) -> &str {
        self.hunks_sha256.as_deref().unwrap_or(&self.sha256)
    }

    /// Whether `fix` is this one: by its hunks; where their sum is not known, by the file.
    pub fn is(&self, fix: &StreamFix) -> bool {
        match &self.hunks_sha256 {
            Some(sum) => *sum == fix.hunks_sha256,
            None => self.sha256 == fix.sha256,
        }
    }

    /// Whether `sum` is that of its hunks or of its patch file.
    pub fn has_sum(&self, sum: &str) -> bool {
        self.sum() == sum || self.sha256 == sum
    }
}

/// A callback that was released.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Called {
    /// klp object: `vmlinux` or a module.
    pub object: String,
    /// When.
    pub kind: Kind,
}

/// Where the ledger of the stream file `stream` is.
pub fn path(stream: &Path) -> PathBuf {
    stream.with_file_name("ledger.json")
}

/// Keeps others from changing the ledger of the stream file `stream` until dropped.
pub fn lock(stream: &Path) -> Result<Lock> {
    files::lock(&stream.with_file_name(".ledger.lock"), "releases this stream")
}

impl Ledger {
    /// That of a stream of which nothing was released.
    pub fn empty(stream: &str) -> Self {
        Self { schema: SCHEMA, stream: stream.into(), kernels: BTreeMap::new(), others: Some(Vec::new()), index: None }
    }

    /// The ledger of `stream`; an empty one where nothing was released.
    ///
    /// # Errors
    /// A file that is no ledger, one of another stream or of a newer form.
    pub fn read(stream: &Stream) -> Result<Self> {
        Self::of(&stream.path, &stream.name)
    }

    /// The ledger beside the stream file `file`, of the stream `name`.
    ///
    /// # Errors
    /// As [`Ledger::read`].
    pub fn of(file: &Path, name: &str) -> Result<Self> {
        let path = path(file);
        let meta = match std::fs::metadata(&path) {
            Ok(meta) => meta,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(Self::empty(name)),
            Err(e) => return Err(e).with_context(|| format!("cannot read the ledger {}", path.display())),
        };
        ensure!(
            meta.is_file() && meta.len() <= MAX_BYTES,
            "the ledger {} is no file of a ledger's size",
            path.display()
        );
        let bytes = files::read(&path)?;
        Self::parse(&bytes, name).with_context(|| {
            format!("the ledger {} cannot be used: put back the file that the last release wrote", path.display())
        })
    }

    fn parse(bytes: &[u8], stream: &str) -> Result<Self> {
        let value: serde_json::Value = serde_json::from_slice(bytes)?;
        match value.get("schema").and_then(serde_json::Value::as_u64) {
            Some(schema) if (u64::from(OLDEST)..=u64::from(SCHEMA)).contains(&schema) => {}
            schema => bail!("its schema {schema:?} is not known, this kmend-build knows {SCHEMA}"),
        }
        let mut ledger: Self = serde_json::from_value(value)?;
        ledger.schema = SCHEMA;
        ledger.take_sums_over();
        ensure!(ledger.stream == stream, "it is of the stream {:?}, not of {stream:?}", ledger.stream);
        for (kernel, entries) in &ledger.kernels {
            let ascending = entries.windows(2).all(|pair| pair[0].version < pair[1].version);
            ensure!(ascending, "the versions of {kernel} do not ascend");
        }
        Ok(ledger)
    }

    /// What form 1 has of a patch file that was released again since gets the sum of its hunks from there.
    fn take_sums_over(&mut self) {
        let all = self.kernels.values().flatten().flat_map(|e| &e.fixes).filter(|f| f.commit.is_none());
        let known: BTreeMap<String, String> =
            all.filter_map(|f| Some((f.sha256.clone(), f.hunks_sha256.clone()?))).collect();
        for fix in self.kernels.values_mut().flatten().flat_map(|e| &mut e.fixes) {
            if fix.hunks_sha256.is_none() {
                fix.hunks_sha256 = known.get(&fix.sha256).cloned();
            }
        }
    }

    /// Writes it beside the stream file `stream`.
    pub fn write(&self, stream: &Path) -> Result<()> {
        let text = serde_json::to_string_pretty(self).context("the ledger")? + "\n";
        files::write(&path(stream), text.as_bytes()).context("the ledger")
    }

    /// What it has of a package that belongs to no version.
    pub fn other(&self, file: &str) -> Option<&FileFacts> {
        self.others.iter().flatten().find(|p| p.file == file)
    }

    /// Whether it tells of the package `file`.
    pub fn knows(&self, file: &str) -> bool {
        let of_versions = self.kernels.values().flatten().flat_map(|e| &e.packages);
        self.other(file).is_some() || of_versions.into_iter().any(|p| p.file == file)
    }

    /// Enters a package that belongs to no version.
    pub fn enter_other(&mut self, facts: FileFacts) {
        let others = self.others.get_or_insert_default();
        others.retain(|p| p.file != facts.file);
        others.push(facts);
        others.sort_by(|a, b| a.file.cmp(&b.file));
    }

    /// Notes that the package `file` has another sum from now on, as it was signed.
    pub fn changed(&mut self, file: &str, sha256: &str) {
        let of_versions = self.kernels.values_mut().flatten().flat_map(|e| &mut e.packages);
        for facts in of_versions.chain(self.others.iter_mut().flatten()).filter(|p| p.file == file) {
            facts.sha256 = sha256.into();
        }
    }

    /// What was released for a target, ascending.
    pub fn released(&self, target: &str) -> &[Entry] {
        self.kernels.get(target).map_or(&[], Vec::as_slice)
    }

    /// Adds an entry, or replaces the one of the same version.
    pub fn enter(&mut self, target: &str, entry: Entry) {
        let entries = self.kernels.entry(target.into()).or_default();
        entries.retain(|e| e.version != entry.version);
        entries.push(entry);
        entries.sort_by_key(|e| e.version);
    }
}

impl Entry {
    /// What is entered of a module that was built.
    pub fn new(version: Version, date: &str, manifest: &Manifest, packages: Vec<FileFacts>) -> Self {
        let mut callbacks: Vec<Called> =
            manifest.callbacks.iter().map(|c| Called { object: c.object.clone(), kind: c.kind }).collect();
        callbacks.sort();
        let fix = |f: &crate::source::Fix| ReleasedFix {
            file: f.file.clone(),
            commit: f.commit,
            sha256: f.sha256.clone(),
            hunks_sha256: Some(f.hunks_sha256.clone()),
            title: f.title.clone(),
            cves: f.cves.clone(),
            effect: f.effect,
            reason: f.reason.clone(),
        };
        Self {
            version,
            date: date.into(),
            release: manifest.target.release.clone(),
            build_id: manifest.target.build_id.clone(),
            module: manifest.name.clone(),
            module_sha256: manifest.module_sha256.clone().unwrap_or_default(),
            fixes: manifest.fixes.iter().map(fix).collect(),
            states: manifest.states.clone(),
            callbacks,
            packages,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = r#"{"schema":1,"stream":"s","kernels":{"tree:x":[{"version":"1-1","date":"2026-10-02","release":"7",
        "build_id":"aa","module":"m","module_sha256":"bb","fixes":[],"states":[],"callbacks":[],"packages":[]}]}}"#;

    #[test]
    fn what_is_no_ledger_is_said() {
        assert!(Ledger::parse(GOOD.as_bytes(), "s").is_ok());
        let says = |text: &str, words: &str| {
            let error = format!("{:#}", Ledger::parse(text.as_bytes(), "s").unwrap_err());
            assert!(error.contains(words), "{error}");
        };
        says("", "EOF");
        says("[]", "schema");
        says(&GOOD.replace("\"schema\":1", "\"schema\":4"), "schema Some(4)");
        says(&GOOD.replace("\"schema\":1", "\"schema\":0"), "schema Some(0)");
        says(&GOOD.replace("\"s\"", "\"other\""), "\"other\"");
        says(&GOOD.replace("date", "day"), "day");
        says(&GOOD.replace("1-1", "1"), "is no version");
        let entry = &GOOD[GOOD.find("[{").unwrap() + 1..GOOD.find("]}}").unwrap()];
        says(&GOOD.replace(entry, &format!("{entry},{entry}")), "do not ascend");
        // Every cut is an error.
        (0..GOOD.len()).for_each(|end| assert!(Ledger::parse(&GOOD.as_bytes()[..end], "s").is_err()));
    }

    #[test]
    fn older_ledgers_are_read() {
        let old = r#""fixes":[{"file":"a.patch","sha256":"aa","title":"a","cves":[]}]"#;
        let old = GOOD.replace("\"fixes\":[]", old);
        let ledger = Ledger::parse(old.as_bytes(), "s").unwrap();
        let fix = &ledger.released("tree:x")[0].fixes[0];
        assert_eq!((fix.sum(), fix.hunks_sha256.as_deref(), fix.effect), ("aa", None, None));
        // Written again it is one of today's form, with what is known.
        let text = serde_json::to_string(&ledger).unwrap();
        assert!(text.contains("\"schema\":3") && !text.contains("hunks_sha256"), "{text}");
        assert_eq!(Ledger::parse(text.as_bytes(), "s").unwrap().kernels, ledger.kernels);
        // A later version knows more of the same file.
        let second = old.replace("1-1", "1-2").replace("\"cves\":[]", r#""cves":[],"hunks_sha256":"bb""#);
        let entry = |text: &str| text[text.find("[{").unwrap() + 1..text.rfind("]}}").unwrap()].to_string();
        let both = old.replace(&entry(&old), &format!("{},{}", entry(&old), entry(&second)));
        let both = Ledger::parse(both.as_bytes(), "s").unwrap();
        assert_eq!(both.released("tree:x")[0].fixes[0].sum(), "bb");
        let new = old.replace("\"cves\":[]", r#""cves":[],"hunks_sha256":"bb","effect":"not-built","reason":"r""#);
        let new = Ledger::parse(new.as_bytes(), "s").unwrap();
        let fix = &new.released("tree:x")[0].fixes[0];
        assert_eq!((fix.sum(), fix.effect), ("bb", Some(Effect::NotBuilt)));
        assert!(fix.has_sum("aa") && fix.has_sum("bb"));
    }

    #[test]
    fn entries_are_ordered_by_number() {
        let mut ledger = Ledger::parse(GOOD.as_bytes(), "s").unwrap();
        let entry = ledger.released("tree:x")[0].clone();
        for release in [10, 9, 10] {
            ledger.enter("tree:x", Entry { version: Version { version: 1, release }, ..entry.clone() });
        }
        let versions: Vec<String> = ledger.released("tree:x").iter().map(|e| e.version.to_string()).collect();
        assert_eq!(versions, ["1-1", "1-9", "1-10"]);
        let text = serde_json::to_string(&ledger).unwrap();
        assert_eq!(Ledger::parse(text.as_bytes(), "s").unwrap().kernels, ledger.kernels);
        assert!(ledger.released("tree:y").is_empty());
    }
}
