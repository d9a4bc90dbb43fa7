// SPDX-License-Identifier: GPL-2.0-or-later
//! What is known of vulnerabilities on this host: manifests of live patches in the kernel and of installed files in, one
//! [`Known`] for each id out. What no manifest says is not known.

use crate::host::store::{self, Installed};
use crate::host::Host;
use crate::live::Live;
use crate::module::claims::{self, Claims};
use crate::module::cve::Cve;
use crate::module::elf;
use crate::module::manifest::{self, Effect};
use crate::module::preflight::{check, Kernel};
use anyhow::Result;
use kmend_shared::manifest::Severity;
use serde::Serialize;

/// How a vulnerability is dealt with. What is further up wins where two manifests differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum State {
    /// By a live patch that is in force.
    FixedLive,
    /// The kernel had it fixed when it was shipped.
    FixedByKernel,
    /// An installed live patch fixes it, which is not in force.
    NotLoaded,
    /// The stream knows it, and does not fix it.
    NotInStream,
    /// This kernel has no code that its fix would change.
    NotConcerned,
    /// No manifest names it.
    Unknown,
}

impl State {
    /// In words.
    pub fn words(self) -> &'static str {
        match self {
            Self::FixedLive => "fixed live",
            Self::FixedByKernel => "fixed by the kernel itself",
            Self::NotLoaded => "not loaded",
            Self::NotInStream => "not in this stream",
            Self::NotConcerned => "does not concern this kernel",
            Self::Unknown => "unknown",
        }
    }

    /// Whether there is nothing to be done on this host: it has the fix, or does without.
    pub fn is_good(self) -> bool {
        matches!(self, Self::FixedLive | Self::FixedByKernel | Self::NotConcerned)
    }
}

/// One vulnerability.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Known<'a> {
    /// Its id.
    #[serde(rename = "cve")]
    pub id: Cve,
    /// How it is dealt with.
    pub state: State,
    /// The module whose manifest says it.
    pub module: Option<&'a str>,
    /// The version of the stream that brought the fix.
    pub since: Option<&'a str>,
    /// How bad it is.
    pub severity: Option<Severity>,
    /// Why it is not fixed, or does not concern this kernel, by the manifest. Of one that is fixed: what speaks against
    /// relying on that.
    pub reason: Option<&'a str>,
}

/// What is said of fixes in manifests that do not tell what each of them does.
pub const NOT_TOLD: &str =
    "from the manifest of an older kmend-build, which also counts fixes that change no code of this kernel";

impl<'a> Known<'a> {
    /// One that no manifest names.
    pub fn unknown(id: Cve) -> Self {
        Self { id, state: State::Unknown, module: None, since: None, severity: None, reason: None }
    }

    fn of(id: Cve, state: State, claims: &'a Claims<'_>) -> Self {
        Self { state, module: Some(claims.name.as_ref()), ..Self::unknown(id) }
    }
}

/// All that the manifests of `live` and of `waiting` (installed and not in force) name, in the order of ids.
pub fn all<'a>(live: &'a [Live<'_>], waiting: &'a [Claims<'_>]) -> Vec<Known<'a>> {
    let mut found = Vec::new();
    for claims in live.iter().filter_map(Live::claims_in_force) {
        fixes(claims, State::FixedLive, &mut found);
        stream(claims, &mut found);
    }
    for claims in waiting {
        fixes(claims, State::NotLoaded, &mut found);
        stream(claims, &mut found);
    }
    // Stable: of two manifests that say the same the first is named, and one that gives its word before one that does not.
    found.sort_by_key(|known| (known.id, known.state, known.reason.is_some()));
    found.dedup_by_key(|known| known.id);
    found
}

fn fixes<'a>(claims: &'a Claims<'_>, state: State, found: &mut Vec<Known<'a>>) {
    for fix in &claims.fixes {
        let (state, reason) = match fix.effect {
            Some(Effect::Live) => (state, None),
            Some(Effect::NotBuilt | Effect::SameCode) => (State::NotConcerned, Some(fix.reason())),
            Some(Effect::Undone) => (State::NotInStream, Some(fix.reason())),
            None => (state, Some(NOT_TOLD)),
        };
        let known = |id: &Cve| Known {
            since: fix.since.as_ref().map(AsRef::as_ref),
            severity: fix.severity,
            reason,
            ..Known::of(*id, state, claims)
        };
        found.extend(fix.cves.iter().map(known));
    }
}

fn stream<'a>(claims: &'a Claims<'_>, found: &mut Vec<Known<'a>>) {
    let Some(stream) = &claims.stream else { return };
    found.extend(stream.fixed_by_kernel.iter().map(|id| Known::of(*id, State::FixedByKernel, claims)));
    let missing = stream.not_carried.iter();
    found.extend(missing.map(|n| Known { reason: Some(&n.reason), ..Known::of(n.cve, State::NotInStream, claims) }));
}

/// The one with that id.
pub fn find<'a>(known: &[Known<'a>], id: Cve) -> Known<'a> {
    known.binary_search_by_key(&id, |known| known.id).map_or(Known::unknown(id), |at| known[at])
}

/// Notes of the installed files that are not in force: of each stream the newest, where it fits this kernel.
///
/// # Errors
/// The folder of installed files cannot be listed.
pub fn waiting(host: &Host, kernel: &Kernel, live: &[Live<'_>]) -> Result<Vec<Vec<u8>>> {
    let in_force = |file: &Installed| live.iter().any(|l| l.patch.name == file.name && l.in_force());
    let newest = store::streams(store::installed(host, &kernel.release)?).into_iter();
    let newest = newest.filter_map(|stream| stream.into_iter().next()).filter(|file| !in_force(file));
    let note = |file: Installed| {
        let ready = check(host, &file.path, kernel).ok()?;
        Some(elf::File::parse(&ready.bytes).ok()?.section(manifest::SECTION)?.to_vec())
    };
    Ok(newest.filter_map(note).collect())
}

/// What those notes claim. All of them passed the preflight.
pub fn claims(notes: &[Vec<u8>]) -> Vec<Claims<'_>> {
    notes.iter().filter_map(|note| claims::of_section(note).ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::livepatch::Patch;
    use crate::module::sample;
    use crate::order;
    use serde_json::json;

    fn note(name: &str, cves: &[&str], by_kernel: &[&str], not_carried: &[&str]) -> Vec<u8> {
        let missing: Vec<_> = not_carried.iter().map(|id| json!({"cve": id, "reason": "layout"})).collect();
        let stream = json!({"name": "s", "version": "1-1", "date": "2026-10-02", "fixed_by_kernel": by_kernel,
            "not_carried": missing});
        let fix = json!({"file": "a", "title": "a", "cves": cves, "since": "1-1", "severity": "low"});
        let manifest = json!({"schema": 1, "name": name, "fixes": [fix], "stream": stream,
            "target": {"arch": "", "release": "", "build_id": ""}});
        sample::note(b"kmend\0", 1, manifest.to_string().as_bytes())
    }

    #[test]
    fn what_a_fix_does_is_kept_apart() {
        let with = |effects: &[Option<&str>]| {
            let fix = |effect: &Option<&str>| match effect {
                Some(effect) => {
                    json!({"file": "a", "title": "a", "cves": ["CVE-2026-0001"], "effect": effect, "reason": "r"})
                }
                None => json!({"file": "a", "title": "a", "cves": ["CVE-2026-0001"]}),
            };
            let fixes: Vec<_> = effects.iter().map(fix).collect();
            let manifest = json!({"schema": 1, "name": "m", "fixes": fixes,
                "target": {"arch": "", "release": "", "build_id": ""}});
            sample::note(b"kmend\0", 1, manifest.to_string().as_bytes())
        };
        let said = |loaded: &[u8], waiting: &[u8]| {
            let waiting = [claims::of_section(waiting).unwrap()];
            let live = [live(loaded, true, false)];
            let known = find(&all(&live, &waiting), "CVE-2026-0001".parse().unwrap());
            (known.state, known.reason.map(String::from))
        };
        let none = with(&[]);
        let reason = |state, reason: &str| (state, Some(reason.to_string()));
        for (effects, expected) in [
            (&[Some("live")][..], (State::FixedLive, None)),
            (&[None], reason(State::FixedLive, NOT_TOLD)),
            (&[Some("not-built")], reason(State::NotConcerned, "r")),
            (&[Some("same-code")], reason(State::NotConcerned, "r")),
            (&[Some("undone")], reason(State::NotInStream, "r")),
            // A CVE with several fixes: what is there counts, and what is missing more than what is not needed.
            (&[Some("not-built"), Some("live")], (State::FixedLive, None)),
            (&[Some("not-built"), Some("undone")], reason(State::NotInStream, "r")),
        ] {
            assert_eq!(said(&with(effects), &none), expected, "{effects:?}");
        }
        // Of a live patch that is not in force: not loaded, or of no concern all the same.
        assert_eq!(said(&none, &with(&[Some("live")])), (State::NotLoaded, None));
        assert_eq!(said(&none, &with(&[Some("same-code")])).0, State::NotConcerned);
        assert_eq!(said(&with(&[Some("same-code")]), &with(&[Some("same-code"), Some("live")])).0, State::NotLoaded);
    }

    fn live(note: &[u8], enabled: bool, transition: bool) -> Live<'_> {
        let claims = claims::of_section(note).unwrap();
        let patch = Patch { name: claims.name.to_string(), enabled, transition, stack_order: None };
        Live { place: order::place(&patch.name, "r"), patch, claims: Ok(claims) }
    }

    #[test]
    fn what_is_in_force_wins_over_what_is_not() {
        let a = ["CVE-2026-0001"];
        let said = |live: &[Live<'_>], waiting: &[&Vec<u8>]| {
            let waiting: Vec<Claims<'_>> = waiting.iter().map(|note| claims::of_section(note).unwrap()).collect();
            let known = all(live, &waiting);
            assert!(known.len() < 2, "{known:?}");
            find(&known, "CVE-2026-0001".parse().unwrap()).state
        };
        let fixes = note("m", &a, &[], &[]);
        assert_eq!(said(&[], &[]), State::Unknown);
        assert_eq!(said(&[live(&fixes, true, false)], &[]), State::FixedLive);
        // On the way there, on the way out, off.
        for (enabled, transition) in [(true, true), (false, true), (false, false)] {
            assert_eq!(said(&[live(&fixes, enabled, transition)], &[]), State::Unknown);
        }
        let missing = note("n", &[], &[], &a);
        assert_eq!(said(&[live(&missing, true, false)], &[]), State::NotInStream);
        assert_eq!(said(&[live(&missing, true, false)], &[&fixes]), State::NotLoaded);
        assert_eq!(said(&[live(&missing, true, false), live(&fixes, true, false)], &[]), State::FixedLive);
        let kernel = note("k", &[], &a, &[]);
        assert_eq!(said(&[live(&missing, true, false)], &[&kernel]), State::FixedByKernel);
        assert_eq!(said(&[live(&kernel, true, false)], &[&fixes]), State::FixedByKernel);
    }

    #[test]
    fn the_fix_tells_its_module_and_version() {
        let note = note("m", &["CVE-2026-0002", "CVE-2026-0001"], &[], &[]);
        let live = [live(&note, true, false)];
        let known = all(&live, &[]);
        assert_eq!(known.len(), 2);
        let first = Known { since: Some("1-1"), module: Some("m"), severity: Some(Severity::Low), ..known[0] };
        assert_eq!((known[0], known[0].id.to_string()), (first, "CVE-2026-0001".into()));
    }
}
