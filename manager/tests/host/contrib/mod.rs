// SPDX-License-Identifier: GPL-2.0-or-later
//! contrib/ against the program: each metric, label, verdict and JSON field that is named there is one that kmend prints; and
//! contrib/prometheus/kmend.test.yml, which promtool runs (`cargo xtask contrib`), holds what kmend prints on false systems.
//! `BLESS=1` writes that file.

mod promql;
mod scenes;

use promql::Named;
use scenes::Scene;
use serde_json::Value;
use std::collections::BTreeSet;
use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};

type Set = BTreeSet<String>;

/// Labels and metrics that come from Prometheus and node_exporter.
const FOREIGN_LABELS: [&str; 3] = ["instance", "job", "file"];
const FOREIGN_METRICS: [&str; 2] = ["up", "node_textfile_mtime_seconds"];

fn contrib(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../contrib").join(path)
}

fn text(path: &str) -> String {
    fs::read_to_string(contrib(path)).unwrap()
}

/// What kmend prints in all scenes: metrics, labels, verdicts.
fn printed(scenes: &[Scene]) -> (Set, Set, Set) {
    let (mut metrics, mut labels, mut verdicts) = (Set::new(), Set::new(), Set::new());
    for scene in scenes {
        for line in scene.samples() {
            let Named { metrics: names, labels: keys, values } = promql::named(line.rsplit_once(' ').unwrap().0);
            metrics.extend(names);
            labels.extend(keys);
            verdicts.extend(values.into_iter().filter(|(label, _)| label == "verdict").map(|(_, value)| value));
        }
    }
    (metrics, labels, verdicts)
}

/// The expressions of the rules, and the labels in their texts; the names of the alerts.
fn rules() -> (Vec<String>, Set, Set) {
    let text = text("prometheus/kmend.rules.yml");
    let of = |key: &str| text.lines().filter_map(|l| l.trim().strip_prefix(key)).map(String::from).collect::<Vec<_>>();
    let (expressions, alerts) = (of("expr: "), of("- alert: "));
    assert_eq!(expressions.len(), alerts.len(), "an expression is not on one line");
    (expressions, promql::after(&text, "$labels.").collect(), alerts.into_iter().collect())
}

/// All texts at `key`, wherever in it.
fn at(value: &Value, key: &str, found: &mut Vec<String>) {
    match value {
        Value::Object(map) => {
            found.extend(map.get(key).and_then(Value::as_str).map(String::from));
            map.values().for_each(|value| at(value, key, found));
        }
        Value::Array(list) => list.iter().for_each(|value| at(value, key, found)),
        _ => {}
    }
}

fn dashboard() -> Value {
    serde_json::from_str(&text("grafana/kmend.json")).unwrap()
}

#[test]
fn dashboard_and_rules_name_what_kmend_prints() {
    let (metrics, labels, verdicts) = printed(&scenes::all());
    let (mut expressions, in_texts, _) = rules();
    at(&dashboard(), "expr", &mut expressions);
    // Those of variables; a text `query` alone is the kind of the data source.
    dashboard()["templating"]["list"]
        .as_array()
        .unwrap()
        .iter()
        .for_each(|v| at(&v["query"], "query", &mut expressions));
    assert!(expressions.len() > 30, "{expressions:#?}");
    assert!(metrics.len() > 12 && verdicts.len() > 10, "{metrics:?} {verdicts:?}");
    let known = |set: &Set, more: &[&str], word: &str| set.contains(word) || more.contains(&word);
    for label in &in_texts {
        assert!(known(&labels, &FOREIGN_LABELS, label), "the rules name a label {label:?}, which kmend does not print");
    }
    for expression in &expressions {
        let named = promql::named(expression);
        assert!(!named.metrics.is_empty(), "{expression}");
        for metric in &named.metrics {
            assert!(known(&metrics, &FOREIGN_METRICS, metric), "{expression}: kmend prints no {metric}");
        }
        for label in &named.labels {
            assert!(known(&labels, &FOREIGN_LABELS, label), "{expression}: kmend prints no label {label}");
        }
        for (_, value) in named.values.iter().filter(|(label, _)| label == "verdict") {
            assert!(value.split('|').all(|v| verdicts.contains(v)), "{expression}: there is no such verdict");
        }
    }
}

/// A verdict without a colour would be drawn in any.
#[test]
fn the_dashboard_has_a_colour_for_each_verdict() {
    let (_, _, verdicts) = printed(&scenes::all());
    let mut named = Vec::new();
    at(&dashboard(), "options", &mut named);
    let missing: Vec<_> = verdicts.iter().filter(|verdict| !named.contains(verdict)).collect();
    assert!(missing.is_empty(), "{missing:?}");
}

#[test]
fn panels_have_ids_places_and_the_chosen_data_source() {
    let dashboard = dashboard();
    let panels = dashboard["panels"].as_array().unwrap();
    let ids: BTreeSet<u64> = panels.iter().map(|p| p["id"].as_u64().unwrap()).collect();
    assert_eq!(ids.len(), panels.len());
    let mut taken = BTreeSet::new();
    for panel in panels {
        let place = |key: &str| panel["gridPos"][key].as_u64().unwrap();
        assert!(place("x") + place("w") <= 24, "Grafana's grid is 24 wide: {}", panel["title"]);
        for x in place("x")..place("x") + place("w") {
            for y in place("y")..place("y") + place("h") {
                assert!(taken.insert((x, y)), "{} lies on another panel", panel["title"]);
            }
        }
        assert!(!panel["targets"].as_array().unwrap().is_empty());
        for target in panel["targets"].as_array().unwrap() {
            assert_eq!(target["datasource"]["uid"], "${datasource}");
        }
    }
}

/// The file of tests that promtool runs: per scene what kmend prints there as input, and the alerts that have to fire.
#[test]
fn the_tests_of_the_rules_hold_what_kmend_prints() {
    let scenes = scenes::all();
    let (_, _, alerts) = rules();
    let fired: Set = scenes.iter().flat_map(|s| s.later.iter().chain(s.soon)).map(|a| (*a).to_string()).collect();
    assert_eq!(fired, alerts, "each alert has a scene, and each scene's alerts are there");
    let mut fresh = String::from(
        "# SPDX-License-Identifier: GPL-2.0-or-later\n# Written by manager/tests/host/contrib (BLESS=1): the input is what kmend prints on false systems, whose clock\n# says 90 hours past 1970-01-01, as promtool's does then.\nrule_files:\n  - kmend.rules.yml\nevaluation_interval: 5m\ntests:\n",
    );
    scenes.iter().for_each(|scene| fresh += &test(scene));
    let path = contrib("prometheus/kmend.test.yml");
    if std::env::var_os("BLESS").is_some() {
        fs::write(&path, &fresh).unwrap();
    }
    assert!(fs::read_to_string(&path).unwrap_or_default() == fresh, "{}: run this with BLESS=1", path.display());
}

fn test(scene: &Scene) -> String {
    let mut out = format!("  - name: {}\n    interval: 5m\n    input_series:\n", scene.name);
    let mut series = |name: &str, values: &str| {
        let _ = writeln!(out, "      - series: '{}'\n        values: '{values}'", name.replace('\'', "''"));
    };
    let host = "instance=\"host:9100\",job=\"node\"";
    series(&format!("up{{{host}}}"), "1x1080");
    for line in scene.samples() {
        let (name, value) = line.rsplit_once(' ').unwrap();
        let name = match name.strip_suffix('}') {
            Some(name) => format!("{name},{host}}}"),
            None => format!("{name}{{{host}}}"),
        };
        series(&name, &format!("{value}x1080"));
    }
    if let Some(written) = scene.written {
        let name =
            format!("node_textfile_mtime_seconds{{file=\"/var/lib/prometheus/node-exporter/kmend.prom\",{host}}}");
        series(&name, written);
    }
    out += "    promql_expr_test:\n";
    for (time, alerts) in [("10m", scene.soon), ("90h", scene.later)] {
        let _ = writeln!(
            out,
            "      - expr: count by (alertname, instance) (ALERTS{{alertstate=\"firing\"}})\n        eval_time: {time}"
        );
        let samples: Vec<_> = alerts
            .iter()
            .map(|a| {
                format!("          - labels: '{{alertname=\"{a}\", instance=\"host:9100\"}}'\n            value: 1\n")
            })
            .collect();
        let none = if samples.is_empty() { " []" } else { "" };
        let _ = write!(out, "        exp_samples:{none}\n{}", samples.concat());
    }
    out
}

/// All files of contrib/ansible/, but the docs of it.
fn playbooks(folder: &Path, found: &mut Vec<(String, String)>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            playbooks(&path, found);
        } else {
            found.push((path.display().to_string(), fs::read_to_string(&path).unwrap()));
        }
    }
}

/// The keys of objects in lists at `key`.
fn keys(status: &Value, key: &str) -> Set {
    let objects = status[key].as_array().into_iter().flatten().filter_map(Value::as_object);
    objects.flat_map(|object| object.keys().cloned()).collect()
}

#[test]
fn the_playbooks_name_fields_and_verdicts_of_kmend() {
    let scenes = scenes::all();
    let (_, _, verdicts) = printed(&scenes);
    let mut fields = Set::new();
    for json in scenes.iter().map(|s| &s.json).filter(|json| json.is_object()) {
        fields.extend(json.as_object().unwrap().keys().cloned());
        for key in ["loaded", "installed"] {
            fields.extend(keys(json, key).into_iter().map(|field| format!("{key}.{field}")));
        }
        for key in ["available", "kernel"] {
            fields.extend(json[key].as_object().into_iter().flatten().map(|(field, _)| format!("{key}.{field}")));
        }
    }
    let mut files = Vec::new();
    playbooks(&contrib("ansible"), &mut files);
    let mut named = 0;
    for (file, text) in &files {
        let mut has = |field: String| {
            named += 1;
            assert!(fields.contains(&field), "{file}: kmend status --json has no {field}");
        };
        for mark in ["kmend_status.", "fact."] {
            for place in text.match_indices(mark).filter(|(at, _)| !text[..*at].ends_with(['.', '_'])) {
                let rest = &text[place.0 + mark.len()..];
                let words: Vec<String> = promql::words(rest.split([' ', ')', '\n']).next().unwrap());
                // What kmend.fact says by itself.
                if words[0] != "error" && words[0] != "j2" {
                    has(words[0].clone());
                    words.get(1).map(|word| format!("{}.{word}", words[0])).into_iter().for_each(&mut has);
                }
                // `… | selectattr('state', 'equalto', 'enabled') | map(attribute='name')`
                let line = rest.lines().next().unwrap_or_default();
                for mark in ["selectattr('", "rejectattr('", "attribute='"] {
                    promql::after(line, mark).for_each(|word| has(format!("{}.{word}", words[0])));
                }
            }
        }
        let lists = text.lines().filter(|line| line.contains("kmend_status.verdict in ["));
        for verdict in lists.flat_map(|line| line.split('\'').skip(1).step_by(2)) {
            assert!(verdicts.contains(verdict), "{file}: there is no verdict {verdict}");
        }
        let good = text.split_once("kmend_good_verdicts:\n").map_or("", |(_, rest)| rest);
        for verdict in good.lines().map_while(|line| line.strip_prefix("  - ")) {
            assert!(verdicts.contains(verdict), "{file}: there is no verdict {verdict}");
        }
    }
    assert!(named > 20, "only {named} fields were found");
}
