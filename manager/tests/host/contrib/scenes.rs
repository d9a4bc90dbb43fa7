// SPDX-License-Identifier: GPL-2.0-or-later
//! False systems, what kmend prints there for Prometheus, and the alerts that fire. It is four days after 1970-01-01, so that
//! promtool, whose tests begin there, has the same time.

use super::super::streams::{self, fix, missing, stream};
use super::super::system::{file, name, Plan, System, RELEASE};
use serde_json::{json, Value};
use std::collections::{BTreeMap, VecDeque};

/// Ninety hours past 1970-01-01.
const NOW: &str = "1970-01-04T18:00:00Z";

/// One host.
pub struct Scene {
    pub name: &'static str,
    /// What `kmend status --prometheus` prints; None where there is no kmend.
    pub metrics: Option<String>,
    /// `kmend status --json`.
    pub json: Value,
    /// When that was written, as promtool writes series.
    pub written: Option<&'static str>,
    /// Alerts that fire after 10 minutes.
    pub soon: &'static [&'static str],
    /// Alerts that fire after 90 hours.
    pub later: &'static [&'static str],
}

impl Scene {
    /// The lines with values.
    pub fn samples(&self) -> impl Iterator<Item = &str> {
        self.metrics.iter().flat_map(|text| text.lines()).filter(|line| !line.starts_with('#'))
    }
}

fn scene(name: &'static str, system: &System, soon: &'static [&'static str], later: &'static [&'static str]) -> Scene {
    system.put("clock", NOW);
    let metrics = Some(system.kmend(&["status", "--prometheus"]).ends(0).out);
    let json = serde_json::from_str(&system.kmend(&["status", "--json"]).out).unwrap();
    // Every five minutes.
    Scene { name, metrics, json, written: Some("0+300x1080"), soon, later }
}

/// Patched by 1-10, with a check and an index of this day, and an end of the stream.
fn patched(until: &str) -> System {
    let system = System::new();
    system.put("clock", NOW);
    let mut of = stream("1-10");
    (of["date"], of["supported_until"], of["level"]) = (json!("1970-01-02"), json!(until), json!("5.14.0-362.13.1"));
    let fixes = [
        fix("a: check the length", &["CVE-2026-1001"], "1-9"),
        missing(
            "b: not here",
            &["CVE-2026-1011"],
            "not-built",
            "b.c: it needs CONFIG_B, which this kernel does not set",
        ),
    ];
    streams::install(&system, "1-10", &fixes, of);
    system.kmend(&["load", "--all"]).ends(0);
    system.kmend(&["shutdown-mark"]);
    checked(&system, "1970-01-04", Some("1-10"));
    index(&system, "1970-03-01T00:00:00Z");
    system
}

fn checked(system: &System, day: &str, version: Option<&str>) {
    let kernels = version.map_or(json!({}), |version| json!({RELEASE: {"version": version}}));
    streams::note(system, "available.json", json!({"checked": day, "kernels": kernels}));
}

fn index(system: &System, until: &str) {
    let tags = format!("<tags><content>kmend</content><content>kmend-valid-until={until}</content></tags>");
    let text = format!("<repomd><revision>86400</revision>{tags}</repomd>");
    system.put("var/cache/dnf/live-0123456789abcdef/repodata/repomd.xml", &text);
}

fn crashed() -> System {
    let system = System::new();
    system.put("clock", NOW);
    system.version("1-10");
    system.kmend(&["load", "--all"]).ends(0);
    system.boots_again();
    system.kmend(&["load", "--all"]);
    system
}

/// The version before it is in force, whose stream names a CVE that it does not fix.
fn crashed_with_a_gap() -> System {
    let system = patched("1970-06-01");
    system.version("1-11");
    system.kmend(&["load", "--all"]).ends(0);
    system.boots_again();
    system.kmend(&["load", "--all"]);
    system
}

fn stalled() -> System {
    let functions = BTreeMap::from([(name("1-10"), vec!["vmlinux/type_show,17".to_string()])]);
    let system = System::with(Plan { functions, ..Plan::default() });
    system.version("1-10");
    system.loaded(&name("1-10"), true, true);
    system.task(812, 812, "collector", "0", "[<0>] msleep+0x2b/0x40\n[<0>] type_show+0x1b/0x40");
    system
}

fn refused() -> System {
    let system = System::with(Plan { load: BTreeMap::from([(name("1-10"), VecDeque::from([22]))]), ..Plan::default() });
    system.put("clock", NOW);
    system.version("1-10");
    system.kmend(&["load", "--all"]).ends(1);
    system
}

/// All.
pub fn all() -> Vec<Scene> {
    let with = |change: &dyn Fn(&System)| {
        let system = patched("1970-06-01");
        change(&system);
        system
    };
    let there = file("1-10");
    vec![
        scene("patched", &patched("1970-06-01"), &[], &[]),
        scene("not patched", &System::new(), &[], &["KmendNotPatched"]),
        scene(
            "set aside by the crash breaker",
            &crashed(),
            &["KmendSetAside"],
            &["KmendRebootNeeded", "KmendSetAside"],
        ),
        scene(
            "set aside where a CVE has no fix",
            &crashed_with_a_gap(),
            &["KmendSetAside"],
            &["KmendRebootNeeded", "KmendSetAside"],
        ),
        scene("transition stalled", &stalled(), &[], &["KmendTransitionLong", "KmendTransitionStalled"]),
        scene("support ends", &patched("1970-01-20"), &["KmendSupportEnds"], &["KmendSupportEnds"]),
        scene("expired", &patched("1969-12-20"), &["KmendExpired"], &["KmendExpired"]),
        scene("check too old", &with(&|s| checked(s, "1969-12-15", Some("1-10"))), &[], &["KmendCheckTooOld"]),
        scene("index expired", &with(&|s| index(s, "1970-01-03T00:00:00Z")), &[], &["KmendIndexStale"]),
        scene("update waits", &with(&|s| checked(s, "1970-01-04", Some("1-11"))), &[], &["KmendUpdateWaits"]),
        scene(
            "unsupported",
            &with(&|s| {
                s.boots_again();
                std::fs::remove_file(s.folder(RELEASE).join(&there)).unwrap();
                checked(s, "1970-01-04", None);
            }),
            &[],
            &["KmendUnsupported"],
        ),
        scene("load refused", &refused(), &[], &["KmendFailures", "KmendNotPatched"]),
        Scene {
            written: Some("0x1080"),
            ..scene("file not written any more", &patched("1970-06-01"), &[], &["KmendMetricsOld"])
        },
        Scene {
            name: "no metrics of kmend",
            metrics: None,
            json: Value::Null,
            written: None,
            soon: &[],
            later: &["KmendMetricMissing"],
        },
    ]
}
