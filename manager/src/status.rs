// SPDX-License-Identifier: GPL-2.0-or-later
//! Whether a host is patched: sysfs, /proc and the installed files in, [`Status`] out. What is said of a live patch's
//! fixes is what the manifest of the loaded module says, and no more.

use crate::host::livepatch::{self, Patch, State};
use crate::host::store::{self, Installed};
use crate::host::tasks::{self, Task};
use crate::host::Host;
use crate::module::manifest::{self, Fix, Unproven};
use crate::module::preflight::{check, Kernel};
use crate::order;
use anyhow::Result;
use serde::Serialize;
use std::fs;

/// All of it. docs/operators.md has the fields of the JSON.
#[derive(Debug, Serialize)]
pub struct Status {
    /// Version of the JSON's form: 1.
    pub schema: u32,
    /// In a word.
    pub verdict: Verdict,
    /// In a line.
    pub summary: String,
    /// The running kernel.
    pub kernel: KernelFacts,
    /// Live patches in the kernel.
    pub loaded: Vec<Loaded>,
    /// Files for this kernel: the newest of each stream.
    pub installed: Vec<OnDisk>,
    /// Tasks that a transition waits for.
    pub blocking: Vec<Task>,
}

/// What is said of the host.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// A live patch is in force, and of what is installed for this kernel the newest of each stream.
    Patched,
    /// None is, and none is installed for this kernel.
    NotPatched,
    /// Something is installed for this kernel, and nothing of its stream is in force.
    NotLoaded,
    /// Of a stream an older version is in force than is installed.
    Outdated,
    /// A transition is under way.
    InTransition,
    /// A transition is under way, and a task sits in a patched function.
    Stalled,
}

impl Verdict {
    /// As `status` says it.
    pub fn word(self) -> &'static str {
        match self {
            Self::Patched => "patched",
            Self::NotPatched => "not patched",
            Self::NotLoaded => "installed but not loaded",
            Self::Outdated => "outdated",
            Self::InTransition => "in transition",
            Self::Stalled => "stalled",
        }
    }

    /// The exit code of `status`.
    pub fn exit_code(self) -> u8 {
        match self {
            Self::Patched => 0,
            Self::NotPatched => 2,
            Self::NotLoaded | Self::Outdated => 3,
            Self::InTransition | Self::Stalled => 4,
        }
    }
}

/// The running kernel.
#[derive(Debug, Serialize)]
pub struct KernelFacts {
    /// `uname -r`.
    pub release: String,
    /// `uname -m`.
    pub machine: String,
    /// GNU build id, hexadecimal; None where the kernel shows none.
    pub build_id: Option<String>,
}

/// One live patch in the kernel.
#[derive(Debug, Serialize)]
pub struct Loaded {
    /// The module's name.
    pub name: String,
    /// Its state.
    pub state: State,
    /// Its stream.
    pub stream: String,
    /// Its version in it, as `1-10`; None for a module outside of the pattern of names.
    pub version: Option<String>,
    /// A file of that name is installed for this kernel.
    pub installed: bool,
    /// What it fixes, by its manifest; None where it has none.
    pub fixes: Option<Vec<Fix>>,
    /// Functions that were let through without a proof, by its manifest.
    pub unproven: Vec<Unproven>,
    /// Why the fixes are not known.
    pub remark: Option<String>,
}

/// One installed file.
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
    /// Why it cannot be loaded; None where nothing speaks against it, or where it is in force.
    pub refused: Option<String>,
}

/// Looks at the host.
///
/// # Errors
/// /proc or sysfs cannot be read.
pub fn gather(host: &Host) -> Result<Status> {
    let kernel = Kernel::running(host)?;
    let release = kernel.release.as_str();
    let patches = livepatch::all(host)?;
    let installed = store::installed(host, release)?;
    let loaded: Vec<Loaded> = patches.iter().map(|p| loaded(host, p, &installed, release)).collect();
    let streams = store::streams(installed);
    let newest = streams.into_iter().filter_map(|stream| stream.into_iter().next());
    let installed: Vec<OnDisk> = newest.map(|file| on_disk(host, file, &kernel, &patches)).collect();
    let transition = patches.iter().find(|p| p.transition);
    let blocking = transition.map_or(Ok(Vec::new()), |patch| tasks::blocking(host, patch))?;
    let (verdict, summary) = judge(release, &patches, &installed, &blocking);
    let build_id = kernel.running.and_then(Result::ok);
    let kernel = KernelFacts { release: kernel.release, machine: kernel.machine, build_id };
    Ok(Status { schema: 1, verdict, summary, kernel, loaded, installed, blocking })
}

fn loaded(host: &Host, patch: &Patch, installed: &[Installed], release: &str) -> Loaded {
    let place = order::place(&patch.name, release);
    let note = host.at("/sys/module").join(&patch.name).join("notes").join(manifest::SECTION);
    let mut found = Loaded {
        name: patch.name.clone(),
        state: patch.state(),
        stream: place.stream,
        version: place.version.map(|v| v.to_string()),
        installed: installed.iter().any(|i| i.name == patch.name),
        fixes: None,
        unproven: Vec::new(),
        remark: None,
    };
    match fs::read(&note).map(|bytes| manifest::of_section(&bytes)) {
        Ok(Ok(manifest)) if manifest.name == patch.name => {
            found.unproven = manifest.allowed_unproven;
            found.fixes = Some(manifest.fixes);
        }
        Ok(Ok(manifest)) => {
            found.remark = Some(format!("its manifest is that of {}: what it fixes is not known", manifest.name))
        }
        Ok(Err(fault)) => found.remark = Some(format!("{}: {}: what it fixes is not known", fault.place, fault.reason)),
        Err(error) if super::host::is_gone(&error) => {
            found.remark = Some("it has no manifest of kmend's: what it fixes is not known".into());
        }
        Err(error) => {
            found.remark = Some(format!("cannot read {} ({error}): what it fixes is not known", host.show(&note)))
        }
    }
    found
}

fn on_disk(host: &Host, file: Installed, kernel: &Kernel, patches: &[Patch]) -> OnDisk {
    let in_force = patches.iter().any(|p| p.name == file.name && p.enabled);
    let refused = if in_force { None } else { check(host, &file.path, kernel).err() };
    OnDisk {
        file: host.show(&file.path),
        name: file.name,
        stream: file.place.stream,
        version: file.place.version.map(|v| v.to_string()),
        refused: refused.map(|r| format!("{}: {}", r.place, r.reason)),
    }
}

fn judge(release: &str, patches: &[Patch], installed: &[OnDisk], blocking: &[Task]) -> (Verdict, String) {
    if let Some(patch) = patches.iter().find(|p| p.transition) {
        let stuck = blocking.iter().filter(|t| t.sits_in.is_some()).count();
        let direction = if patch.enabled { "put in force" } else { "taken back" };
        let waits =
            format!("{} is being {direction}, {} not switched over", patch.name, tasks_in_words(blocking.len()));
        return match stuck {
            0 => (Verdict::InTransition, waits),
            n => (Verdict::Stalled, format!("{waits}, of which {n} in a patched function")),
        };
    }
    let on: Vec<&str> = patches.iter().filter(|p| p.enabled).map(|p| p.name.as_str()).collect();
    let missing = installed.iter().filter(|file| !on.contains(&file.name.as_str()));
    let (mut none, mut older) = (Vec::new(), Vec::new());
    for file in missing {
        let same: Vec<&&str> = on.iter().filter(|name| order::place(name, release).stream == file.stream).collect();
        match same.first() {
            None => none.push(file.name.clone()),
            Some(name) => {
                let is_newer = order::place(name, release).version > order::place(&file.name, release).version;
                if !is_newer {
                    older.push(format!("{} is installed, {name} is in force", file.name));
                }
            }
        }
    }
    const TO_DO: &str = "`kmend load --all` loads what fits";
    if !none.is_empty() {
        let also =
            if on.is_empty() { "no live patch is in force".into() } else { format!("in force: {}", some(&on, ", ")) };
        return (Verdict::NotLoaded, format!("{}; {also}; {TO_DO}", some(&none, ", ")));
    }
    if !older.is_empty() {
        return (Verdict::Outdated, format!("{}; {TO_DO}", some(&older, "; ")));
    }
    match on.as_slice() {
        [] => (Verdict::NotPatched, "no live patch is in force, and none is installed for this kernel".into()),
        [one] => (Verdict::Patched, format!("{one} is in force")),
        many => (Verdict::Patched, format!("{} are in force", some(many, ", "))),
    }
}

/// The first three, and how many more there are: the verdict is one line.
fn some(names: &[impl AsRef<str>], between: &str) -> String {
    let mut said: Vec<&str> = names.iter().take(3).map(AsRef::as_ref).collect();
    let more = format!("{} more", names.len().saturating_sub(3));
    if names.len() > 3 {
        said.push(&more);
    }
    said.join(between)
}

fn tasks_in_words(count: usize) -> String {
    match count {
        0 => "no task that /proc shows".into(),
        1 => "1 task".into(),
        n => format!("{n} tasks"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_lists_are_cut_and_counted() {
        assert_eq!(some(&["a"], ", "), "a");
        assert_eq!(some(&["a", "b", "c"], ", "), "a, b, c");
        assert_eq!(some(&["a", "b", "c", "d", "e"], ", "), "a, b, c, 2 more");
    }
}
