// SPDX-License-Identifier: GPL-2.0-or-later
//! Files of live patches for one kernel, installed and kept, with what rules out loading them.

use crate::host::notes::SetAside;
use crate::host::store::{self, Installed};
use crate::host::Host;
use crate::live::Live;
use crate::module::preflight::{check, Kernel};
use anyhow::Result;
use serde::Serialize;

/// One file.
#[derive(Debug, Serialize)]
pub struct OnDisk {
    /// The module's name.
    pub name: String,
    /// The file.
    pub file: String,
    /// Its stream.
    pub stream: String,
    /// Its version in it.
    pub version: Option<String>,
    /// Why it cannot be loaded; None if nothing rules it out, or if it is active.
    pub refused: Option<String>,
    /// Why `load --all` leaves it alone: it was set aside.
    pub set_aside: Option<String>,
    /// It was set aside on purpose, by a step back: since when.
    pub held_back: Option<String>,
    /// A module of this name is stuck in memory: it cannot be loaded again before a reboot.
    pub stuck: bool,
}

/// One file that was uninstalled, and is kept as a newer version is not known to be good.
#[derive(Debug, Serialize)]
pub struct Kept {
    /// The file.
    #[serde(flatten)]
    pub file: OnDisk,
    /// The newest version of its stream that is installed or whose package is; None where there is none any more.
    pub until: Option<String>,
}

/// What is said of a module that is stuck in memory.
pub(super) const STUCK: &str = "was taken back and is stuck in memory until a reboot";

impl OnDisk {
    /// Why it will not get in force, whatever is tried.
    pub fn helpless(&self) -> Option<&'static str> {
        match (&self.set_aside, self.stuck) {
            (Some(_), _) => Some("was set aside and is not loaded any more"),
            (None, true) => Some(STUCK),
            (None, false) => None,
        }
    }
}

/// What it takes to judge a file.
pub(super) struct Look<'a> {
    pub host: &'a Host,
    pub kernel: &'a Kernel,
    pub live: &'a [Live<'a>],
    pub stuck: &'a [String],
    pub set_aside: &'a [SetAside],
}

impl Look<'_> {
    fn at(&self, file: Installed) -> OnDisk {
        let in_force = self.live.iter().any(|l| l.patch.name == file.name && l.patch.enabled);
        let refused = if in_force { None } else { check(self.host, &file.path, self.kernel).err() };
        let aside = self.set_aside.iter().find(|s| s.module == file.name && !in_force);
        OnDisk {
            file: self.host.show(&file.path),
            stream: file.place.stream,
            version: file.place.version.map(|v| v.to_string()),
            refused: refused.map(|r| format!("{}: {}", r.place, r.reason)),
            set_aside: aside.map(|s| format!("{} ({})", s.reason, s.when)),
            held_back: aside.filter(|s| s.held_back).map(|s| s.when.clone()),
            stuck: self.stuck.contains(&file.name),
            name: file.name,
        }
    }

    /// The newest of each stream; where that one is past loading, the newest other one too.
    pub fn installed(&self, files: &[Installed]) -> Vec<OnDisk> {
        let mut found = Vec::new();
        for stream in store::streams(files.to_vec()) {
            let mut files = stream.into_iter().map(|file| self.at(file));
            let newest = files.next();
            let other = newest.as_ref().and_then(OnDisk::helpless).and_then(|_| files.find(|f| f.helpless().is_none()));
            found.extend(newest.into_iter().chain(other));
        }
        found
    }

    /// Those that are kept.
    ///
    /// # Errors
    /// Their folder cannot be listed.
    pub fn kept(&self) -> Result<Vec<Kept>> {
        let release = &self.kernel.release;
        let kept = store::kept(self.host, release)?.into_iter().map(|file| {
            let until = store::newer(self.host, release, &file.place)?.map(|version| version.to_string());
            Ok(Kept { file: self.at(file), until })
        });
        kept.collect()
    }
}
