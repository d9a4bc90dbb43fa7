// SPDX-License-Identifier: GPL-2.0-or-later
//! Notes that kmend keeps for itself in /var/lib/kmend, each a JSON file: what failed, what a subscription check saw,
//! and the breaker with the versions that were set aside. Who changes one holds the lock ([`super::lock`]).

use super::{is_gone, Host};
use crate::files;
use anyhow::{Context, Result};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Where they are.
pub const FOLDER: &str = "/var/lib/kmend";
/// A larger file is no note of kmend's, bytes.
const LARGEST: u64 = 4 << 20;

/// A kind of note.
pub trait Note: Default + Serialize + DeserializeOwned {
    /// Name of its file in [`FOLDER`].
    const FILE: &'static str;
}

/// failures.json: installs and loads that failed, oldest first. `status` shows them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failures {
    /// All of them.
    pub failures: Vec<Failure>,
}

/// One failure.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// When, UTC: `2026-11-25T17:00:00Z` ([`super::clock::stamp`]).
    pub when: String,
    /// When it failed first, without a success since; empty in old notes.
    #[serde(default)]
    pub since: String,
    /// What was tried: `install`, `load`, `unload`.
    pub what: String,
    /// The module's name.
    pub module: String,
    /// The kernel, `uname -r`.
    pub release: String,
    /// Why it failed.
    pub reason: String,
    /// What can be done later on, where that is known.
    #[serde(default)]
    pub advice: Option<String>,
    /// The kernel that the refused file says it is for, where that is another.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub meant_for: Option<String>,
}

/// available.json: what a subscription check saw.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Available {
    /// When it looked, UTC: a date, or as in [`Failure::when`].
    pub checked: String,
    /// By kernel, `uname -r`: what is the newest there.
    pub kernels: BTreeMap<String, Newest>,
    /// The kernels that were asked about; empty in a note that does not say, which is about all.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub asked: Vec<String>,
}

/// The newest live patch there is for a kernel.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Newest {
    /// Its version: `1-3`.
    pub version: String,
}

/// breaker.json: the load that is under way, which a crash leaves behind, and what was set aside for crashing.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Breaker {
    /// A load that was begun and not ended.
    pub attempt: Option<Attempt>,
    /// Loads before that one, of other streams, which are not known to be good either.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub earlier: Vec<Attempt>,
    /// Live patches that were in force without a crash, oldest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub good: Vec<Good>,
    /// Versions that are not loaded any more by `load --all`.
    #[serde(default)]
    pub set_aside: Vec<SetAside>,
}

impl Breaker {
    /// All attempts, oldest first.
    pub fn attempts(&self) -> impl Iterator<Item = &Attempt> {
        self.earlier.iter().chain(&self.attempt)
    }

    /// All attempts, oldest first, out of it.
    pub fn take_attempts(&mut self) -> Vec<Attempt> {
        let mut all = std::mem::take(&mut self.earlier);
        all.extend(self.attempt.take());
        all
    }

    /// Attempts, oldest first, into it.
    pub fn put_attempts(&mut self, mut attempts: Vec<Attempt>) {
        self.attempt = attempts.pop();
        self.earlier = attempts;
    }

    /// Whether it was in force without a crash, and was not set aside since.
    pub fn is_good(&self, module: &str, release: &str) -> bool {
        let good = self.good.iter().any(|g| g.module == module && g.release == release);
        good && self.aside(module, release).is_none()
    }

    /// What was set aside of that module.
    pub fn aside(&self, module: &str, release: &str) -> Option<&SetAside> {
        self.set_aside.iter().find(|s| s.module == module && s.release == release)
    }
}

/// A live patch for a kernel; in breaker.json one that was in force without a crash.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Good {
    /// The module's name.
    pub module: String,
    /// The kernel, `uname -r`.
    pub release: String,
}

/// uninstalled.json: modules in /usr/lib/kpatch that were uninstalled, while the package that has them stays.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Uninstalled {
    /// All of them.
    pub uninstalled: Vec<Good>,
}

impl Uninstalled {
    /// Whether that module was.
    pub fn has(&self, module: &str, release: &str) -> bool {
        self.uninstalled.iter().any(|u| u.module == module && u.release == release)
    }
}

/// A load that was begun.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attempt {
    /// The module's name.
    pub module: String,
    /// The kernel, `uname -r`.
    pub release: String,
    /// Which boot it was, /proc/sys/kernel/random/boot_id.
    pub boot_id: String,
    /// When, as in [`Failure::when`]; for people.
    pub when: String,
    /// When, seconds since that boot ([`super::clock::uptime`]); None in old notes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uptime: Option<u64>,
}

/// A version that is left alone.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SetAside {
    /// The module's name.
    pub module: String,
    /// The kernel, `uname -r`.
    pub release: String,
    /// When it was set aside, as in [`Failure::when`].
    pub when: String,
    /// Why.
    pub reason: String,
    /// It is held back on purpose, by a step back; else it crashed the host.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub held_back: bool,
}

impl Note for Failures {
    const FILE: &'static str = "failures.json";
}

impl Note for Available {
    const FILE: &'static str = "available.json";
}

impl Note for Uninstalled {
    const FILE: &'static str = "uninstalled.json";
}

impl Note for Breaker {
    const FILE: &'static str = "breaker.json";
}

/// Reads a note; where there is none, the empty one.
///
/// # Errors
/// It is there, and cannot be read or is damaged. What was in it is not known then: whoever only shows it says so and
/// goes on.
pub fn read<N: Note>(host: &Host) -> Result<N> {
    let path = host.at(FOLDER).join(N::FILE);
    let shown = host.show(&path);
    let bytes = match files::read(&path, LARGEST) {
        Err(error) if is_gone(&error) => return Ok(N::default()),
        bytes => bytes.with_context(|| format!("cannot read {shown}"))?,
    };
    serde_json::from_slice(&bytes)
        .with_context(|| format!("{shown} is damaged; kmend writes a new one when you remove it"))
}

/// Writes a note, mode 644; what was there is gone, or as it was where this fails.
///
/// # Errors
/// Whatever the file system says.
pub fn write<N: Note>(host: &Host, note: &N) -> Result<()> {
    let path = host.at(FOLDER).join(N::FILE);
    let mut text = serde_json::to_vec_pretty(note).with_context(|| format!("{} has no JSON", host.show(&path)))?;
    text.push(b'\n');
    files::write(&path, &text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::{self, File};

    #[test]
    fn what_is_written_is_read_again() {
        let dir = tempfile::tempdir().unwrap();
        let host = Host::new(dir.path());
        assert_eq!(read::<Breaker>(&host).unwrap(), Breaker::default());
        let attempt =
            Attempt { module: "a".into(), release: "r".into(), boot_id: "b".into(), when: "w".into(), uptime: Some(1) };
        let note = Breaker { attempt: Some(attempt), ..Breaker::default() };
        write(&host, &note).unwrap();
        assert_eq!(read::<Breaker>(&host).unwrap(), note);
        assert_eq!(fs::read_dir(host.at(FOLDER)).unwrap().count(), 1);
    }

    #[test]
    fn the_forms_are_those_of_other_programs() {
        let dir = tempfile::tempdir().unwrap();
        let host = Host::new(dir.path());
        let put = |name: &str, text: &str| {
            fs::create_dir_all(host.at(FOLDER)).unwrap();
            fs::write(host.at(FOLDER).join(name), text).unwrap();
        };
        put("available.json", r#"{"checked":"2026-11-25","kernels":{"7.3.0-rc7":{"version":"1-3","more":1}}}"#);
        assert_eq!(read::<Available>(&host).unwrap().kernels["7.3.0-rc7"].version, "1-3");
        let failure = r#"{"when":"2026-11-25T17:00:00Z","what":"load","module":"m","release":"r","reason":"busy"}"#;
        put("failures.json", &format!(r#"{{"failures":[{failure}]}}"#));
        assert_eq!(read::<Failures>(&host).unwrap().failures[0].reason, "busy");
        put("breaker.json", r#"{"attempt":null,"set_aside":[]}"#);
        assert_eq!(read::<Breaker>(&host).unwrap(), Breaker::default());
    }

    #[test]
    fn damaged_ones_are_named() {
        let dir = tempfile::tempdir().unwrap();
        let host = Host::new(dir.path());
        fs::create_dir_all(host.at(FOLDER)).unwrap();
        let path = host.at(FOLDER).join("failures.json");
        for text in ["", "{", "[]", "{\"failures\":[{}]}", "\0\0"] {
            fs::write(&path, text).unwrap();
            let error = format!("{:#}", read::<Failures>(&host).unwrap_err());
            assert!(error.starts_with("/var/lib/kmend/failures.json is damaged"), "{error}");
        }
        File::create(&path).unwrap().set_len(LARGEST + 1).unwrap();
        assert!(format!("{:#}", read::<Failures>(&host).unwrap_err()).contains("too large"));
        fs::remove_file(&path).unwrap();
        fs::create_dir(&path).unwrap();
        assert!(format!("{:#}", read::<Failures>(&host).unwrap_err()).contains("not a regular file"));
    }
}
