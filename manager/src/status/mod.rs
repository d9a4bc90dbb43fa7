// SPDX-License-Identifier: GPL-2.0-or-later
//! Whether a host is patched: sysfs, /proc, the installed files and kmend's notes in, [`Status`] out. What is said of a
//! live patch's fixes is what the manifest of the loaded module says, and no more.

mod judge;
mod noted;
mod on_disk;
mod verdict;

pub use judge::count;
pub use noted::Offer;
pub use on_disk::{Kept, OnDisk};
pub use verdict::{Level, Verdict};

use crate::host::indexes::{self, Index};
use crate::host::livepatch::{self, State};
use crate::host::notes::Failure;
use crate::host::store::{self, Installed};
use crate::host::tasks::{self, Task};
use crate::host::trust::{self, Signatures};
use crate::host::{clock, Host};
use crate::known::{self, Known};
use crate::live::{self, InKernel, Live};
use crate::module::claims::{Claims, Text};
use crate::module::cve::Cve;
use crate::module::manifest::{Fix, Unproven};
use crate::module::preflight::Kernel;
use crate::module::stream::{Day, NotCarried};
use crate::order;
use anyhow::Result;
use serde::Serialize;

/// All of it. docs/status.md has the fields of the JSON.
#[derive(Debug, Serialize)]
pub struct Status<'a> {
    /// Version of the JSON's form: 2.
    pub schema_version: u32,
    /// In a word.
    pub verdict: Verdict,
    /// In a line.
    pub summary: String,
    /// The running kernel.
    pub kernel: KernelFacts,
    /// The kernel level that live patches in force amount to, by their manifests; None where they do not say one.
    pub level: Option<String>,
    /// Vulnerabilities that live patches in force fix.
    pub fixed_live: Vec<Cve>,
    /// Those that the kernel had fixed when it was shipped.
    pub fixed_by_kernel: Vec<Cve>,
    /// Those of fixes in force that change no code of this kernel, and why.
    pub not_concerned: Vec<NotCarried>,
    /// Those that the streams in force know and do not fix.
    pub not_in_stream: Vec<NotCarried>,
    /// Until when this kernel gets live patches; None where no manifest in force says it.
    pub support: Option<Support>,
    /// What a check saw for this kernel; None where there was no check, or nothing for it.
    pub available: Option<Offer>,
    /// When that was checked.
    pub checked: Option<String>,
    /// How many days ago that was; None where there was no check.
    pub checked_days: Option<i64>,
    /// Where vulnerabilities take a newer kernel: the newest that is installed, if it is newer than the running one.
    pub newer_kernel: Option<String>,
    /// Who checks who made a live patch.
    pub signatures: Signatures,
    /// Indexes of repositories of live patches that this host has fetched.
    pub indexes: Vec<Index>,
    /// Live patches in the kernel.
    pub loaded: Vec<Loaded<'a>>,
    /// Files for this kernel: the newest of each stream; where that one is past loading, the newest other one too.
    pub installed: Vec<OnDisk>,
    /// Files that are kept while a newer version is on trial.
    pub kept: Vec<Kept>,
    /// Modules of live patches that were taken back and that are stuck in memory.
    pub stuck: Vec<String>,
    /// Modules of live patches that were replaced or disabled, and that are still in memory; nothing uses them.
    pub replaced: Vec<String>,
    /// Installs and loads for this kernel that failed, oldest first.
    pub failures: Vec<Failure>,
    /// Tasks that a transition waits for.
    pub blocking: Vec<Task>,
    /// What could not be told, and why.
    pub remarks: Vec<String>,
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
    /// It is known to have no livepatch.
    #[serde(skip)]
    pub no_livepatch: bool,
}

/// Until when there are live patches.
#[derive(Debug, Serialize)]
pub struct Support {
    /// The last day.
    pub until: Day,
    /// How many days that is from today in UTC: 0 on the last day, negative after it.
    pub days_left: i64,
}

/// One live patch in the kernel.
#[derive(Debug, Serialize)]
pub struct Loaded<'a> {
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
    pub fixes: Option<Vec<Fix<Text<'a>>>>,
    /// Functions that were let through without a proof, by its manifest.
    pub unproven: Vec<Unproven>,
    /// Why the fixes are not known.
    pub remark: Option<String>,
}

/// Looks at the host, whose live patches were read before. A check of the repositories that is more than `max_age` days ago
/// is too old.
///
/// # Errors
/// /proc or sysfs cannot be read.
pub fn gather<'a>(host: &Host, patches: &'a [InKernel], max_age: u32) -> Result<Status<'a>> {
    let kernel = Kernel::running(host)?;
    let live = live::understand(patches, &kernel);
    let mut noted = noted::read(host, &kernel.release);
    let live::Left { stuck, replaced } = live::left(host)?;
    let files = store::installed(host, &kernel.release)?;
    let known = known::all(&live, &[]);
    let ids = |state| known.iter().filter(|k| k.state == state).map(|k| k.id).collect();
    let missing = |k: &Known<'_>| NotCarried { cve: k.id, reason: k.reason.unwrap_or_default().into() };
    let of = |state| known.iter().filter(|k| k.state == state).map(missing).collect::<Vec<NotCarried>>();
    let not_in_stream = of(known::State::NotInStream);
    noted.remarks.extend(live.iter().filter_map(not_told));
    let transition = live.iter().map(|l| &l.patch).find(|p| p.transition);
    let blocking = transition.map_or(Ok(Vec::new()), |patch| tasks::blocking(host, patch))?;
    // A failure is of no concern where that version is in force, or a newer one, which holds what it does.
    let is_made_good = |f: &Failure| {
        let place = order::place(&f.module, &kernel.release);
        let newer =
            |l: &Live<'_>| l.place.stream == place.stream && place.version.is_some_and(|v| l.place.version > Some(v));
        live.iter().any(|l| l.in_force() && (l.patch.name == f.module || newer(l)))
    };
    noted.failures.retain(|f| !is_made_good(f));
    let look = on_disk::Look { host, kernel: &kernel, live: &live, stuck: &stuck, set_aside: &noted.set_aside };
    let installed = look.installed(&files);
    let kept = look.kept().unwrap_or_else(|error| {
        noted.remarks.push(format!("{error:#}"));
        Vec::new()
    });
    let (indexes, faults) = indexes::look(host);
    noted.remarks.extend(faults);
    let mut status = Status {
        schema_version: 2,
        verdict: Verdict::NotPatched,
        summary: String::new(),
        level: live::level(&live).map(Into::into),
        fixed_live: ids(known::State::FixedLive),
        fixed_by_kernel: ids(known::State::FixedByKernel),
        newer_kernel: if not_in_stream.is_empty() { None } else { newer_kernel(host, &kernel.release)? },
        not_concerned: of(known::State::NotConcerned),
        not_in_stream,
        support: support(host, &live),
        available: noted.offer(&live, &files),
        checked: noted.checked,
        checked_days: noted.checked_days,
        signatures: trust::signatures(host),
        indexes,
        loaded: Vec::new(),
        installed,
        kept,
        stuck,
        replaced,
        failures: noted.failures,
        blocking,
        remarks: noted.remarks,
        kernel: KernelFacts {
            release: kernel.release,
            machine: kernel.machine,
            build_id: kernel.running.and_then(Result::ok),
            no_livepatch: livepatch::is_missing(host),
        },
    };
    (status.verdict, status.summary) = judge::judge(&status, &live, max_age);
    status.summary.extend(status.indexes.iter().filter_map(Index::stale).map(|why| format!("; {why}")));
    status.loaded = live.into_iter().map(|l| loaded(l, &files)).collect();
    Ok(status)
}

/// What is said of a live patch in force whose manifest names CVEs and does not tell which of its fixes are live.
fn not_told(live: &Live<'_>) -> Option<String> {
    let claims = live.claims_in_force()?;
    let is_one = claims.fixes.iter().any(|fix| fix.effect.is_none() && !fix.cves.is_empty());
    is_one.then(|| format!("CVEs of {} count as fixed live {}", live.patch.name, known::NOT_TOLD))
}

fn loaded<'a>(live: Live<'a>, installed: &[Installed]) -> Loaded<'a> {
    let state = live.patch.state();
    let (fixes, unproven, remark) = match live.claims {
        Ok(Claims { fixes, allowed_unproven, .. }) => (Some(fixes), allowed_unproven, None),
        Err(remark) => (None, Vec::new(), Some(remark)),
    };
    Loaded {
        state,
        stream: live.place.stream,
        version: live.place.version.map(|v| v.to_string()),
        installed: installed.iter().any(|i| i.name == live.patch.name),
        name: live.patch.name,
        fixes,
        unproven,
        remark,
    }
}

/// The latest of the dates that live patches in force say.
fn support(host: &Host, live: &[Live<'_>]) -> Option<Support> {
    let until = live.iter().filter_map(|l| l.claims_in_force()?.stream.as_ref()?.supported_until);
    let until = until.max()?;
    Some(Support { until, days_left: clock::days(clock::today(host), until.0) })
}

/// The newest kernel whose modules and image are installed, where that is newer than `release`.
fn newer_kernel(host: &Host, release: &str) -> Result<Option<String>> {
    let mut names = host.names(&host.at("/lib/modules"))?;
    names.retain(|name| order::natural(name, release).is_gt() && !name.contains(char::is_control));
    names.sort_by(|a, b| order::natural(b, a));
    let image = |name: &String| {
        let beside = host.at("/lib/modules").join(name).join("vmlinuz");
        // Debian calls it vmlinux on powerpc.
        let in_boot = ["vmlinuz", "vmlinux"].map(|kind| host.at("/boot").join(format!("{kind}-{name}")));
        beside.is_file() || in_boot.iter().any(|path| path.is_file())
    };
    Ok(names.into_iter().find(image))
}
