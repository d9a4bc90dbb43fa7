// SPDX-License-Identifier: GPL-2.0-or-later
//! The report of a sample: what was built, what was left out and what the guest reported in; text and JSON out.

use super::build::{changed, Built, Round};
use super::choose::Source;
use super::left::Left;
use kmend_builder::target::Target;
use qemu_tests::nop::Came;
use serde::Serialize;
use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

/// The report.
#[derive(Serialize)]
pub struct Report {
    target: String,
    seed: String,
    /// C files of the sample, of vmlinux and of modules.
    sources: [usize; 2],
    /// Functions in their text.
    functions: usize,
    /// Functions never tried, by the word in their heads that rules them out.
    never: BTreeMap<&'static str, usize>,
    /// Functions whose text was changed.
    changed: usize,
    /// Functions that were left out, by code.
    left_by_code: BTreeMap<String, usize>,
    /// Files that were left out whole.
    units_left: usize,
    /// What was left out and why.
    left: Vec<Left>,
    /// Units in the module.
    units: usize,
    /// Functions that the module replaces, in vmlinux and in modules.
    replaced: [usize; 2],
    relocations: usize,
    module_bytes: u64,
    builds: Vec<Round>,
    guest: Option<Guest>,
    /// What was not as it should be in the guest.
    pub faults: Vec<String>,
}

/// The guest's part.
#[derive(Serialize)]
struct Guest {
    /// Seconds from its start to its end, outside.
    seconds: u64,
    /// Seconds in the guest.
    loaded: Option<u64>,
    reverted: Option<u64>,
    /// Shipped modules that were loaded.
    modules: usize,
    unloadable: Vec<String>,
    patched: String,
    /// Trouble in the kernel's log without the live patch.
    before: Vec<String>,
    told: Vec<String>,
}

impl Report {
    /// What there is to say before the boot.
    pub fn new(target: &Target, seed: &str, sources: &[Source], built: &Built) -> Self {
        let mut never = BTreeMap::new();
        for word in sources.iter().flat_map(|s| &s.functions).filter_map(|f| f.never) {
            *never.entry(word).or_insert(0) += 1;
        }
        let mut left_by_code = BTreeMap::new();
        for left in built.left.iter().filter(|l| !l.function.is_empty()) {
            *left_by_code.entry(left.code.clone()).or_insert(0) += 1;
        }
        let in_vmlinux = sources.iter().filter(|s| s.object == "vmlinux").count();
        let of_vmlinux = built.replaces.iter().filter(|r| r.starts_with("vmlinux/")).count();
        Self {
            target: target.name.clone(),
            seed: seed.into(),
            sources: [in_vmlinux, sources.len() - in_vmlinux],
            functions: sources.iter().map(|s| s.functions.len()).sum(),
            never,
            changed: sources.iter().map(|s| changed(s, &built.left).len()).sum(),
            left_by_code,
            units_left: built.left.iter().filter(|l| l.function.is_empty()).count(),
            left: built.left.clone(),
            units: built.units,
            replaced: [of_vmlinux, built.replaces.len() - of_vmlinux],
            relocations: built.relocations,
            module_bytes: built.bytes,
            builds: built.rounds.clone(),
            guest: None,
            faults: Vec::new(),
        }
    }

    /// What the guest has to say.
    pub fn booted(&mut self, came: Came, time: Duration) {
        self.guest = Some(Guest {
            seconds: time.as_secs(),
            loaded: came.loaded,
            reverted: came.reverted,
            modules: came.modules,
            unloadable: came.unloadable,
            patched: came.patched,
            before: came.before,
            told: came.told,
        });
        self.faults = came.faults;
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [vmlinux, modules] = self.sources;
        writeln!(f, "{}, seed {}: {vmlinux} files of vmlinux, {modules} of modules", self.target, self.seed)?;
        let (never, left) = (self.never.values().sum::<usize>(), self.left.len() - self.units_left);
        writeln!(
            f,
            "{} functions in their text, {} changed, {never} never tried, {left} left out",
            self.functions, self.changed
        )?;
        self.never.iter().try_for_each(|(word, n)| writeln!(f, "  never: {word}: {n}"))?;
        self.left_by_code.iter().try_for_each(|(code, n)| writeln!(f, "  left out: {code}: {n}"))?;
        for left in self.left.iter().filter(|l| l.function.is_empty()) {
            writeln!(
                f,
                "  left out whole: {}: [{}] {}",
                left.source,
                left.code,
                left.reason.lines().next().unwrap_or_default()
            )?;
        }
        let [vmlinux, modules] = self.replaced;
        writeln!(
            f,
            "the module replaces {} functions of {} units ({vmlinux} of vmlinux, {modules} of modules); {} bytes, {} livepatch relocations",
            vmlinux + modules, self.units, self.module_bytes, self.relocations
        )?;
        let seconds: Vec<String> = self.builds.iter().map(|b| format!("{:.0}", b.seconds)).collect();
        writeln!(f, "builds: {} s", seconds.join(", "))?;
        let Some(guest) = &self.guest else { return Ok(()) };
        let time = |t: Option<u64>| t.map_or("never".into(), |s| format!("{s} s"));
        writeln!(
            f,
            "guest: {} s; loaded after {}, reverted after {}; {} shipped modules; patched {}",
            guest.seconds,
            time(guest.loaded),
            time(guest.reverted),
            guest.modules,
            guest.patched
        )?;
        guest.unloadable.iter().try_for_each(|m| writeln!(f, "  cannot be loaded here: {m}"))?;
        guest.before.iter().try_for_each(|line| writeln!(f, "  trouble without the live patch: {line}"))
    }
}
