// SPDX-License-Identifier: GPL-2.0-or-later
//! Jobs in the forms of engines, some of them with names that shells and YAML would take for more than names.

use super::super::ledger::Ledger;
use super::super::plan::plan;
use super::super::sample;
use super::*;
use std::process::Command;

fn how(results: &str) -> How {
    How { results: results.into(), tried: false }
}

#[test]
fn kernels_share_jobs_as_evenly_as_they_go() {
    let (_dir, stream) = sample::stream(10);
    let kernels: Vec<_> = stream.kernels.iter().collect();
    let jobs = plan(&stream, &stream.versions[1], &kernels, &Ledger::empty("s")).unwrap();
    let jobs: Vec<_> = jobs.iter().collect();
    let sizes = |most| batches(&stream, &jobs, most, &how("r")).iter().map(|b| b.jobs.len()).collect::<Vec<_>>();
    assert_eq!(sizes(usize::MAX), [1; 10]);
    assert_eq!(sizes(10), [1; 10]);
    assert_eq!(sizes(4), [3, 3, 2, 2]);
    assert_eq!(sizes(1), [10]);
    let few = batches(&stream, &jobs, 4, &how("r"));
    let all: Vec<&str> = few.iter().flat_map(|b| &b.jobs).map(|job| job.id.as_str()).collect();
    assert_eq!(all, jobs.iter().map(|job| job.id.as_str()).collect::<Vec<_>>());
    assert_eq!(few[3].id, "s-1-2-part-4");
    assert_eq!(few[0].command.iter().filter(|word| *word == "--input").count(), 3);
    assert!(batches(&stream, &[], 4, &how("r")).is_empty());
}

#[test]
fn limits_are_those_of_the_engines() {
    assert_eq!(most(None, None).unwrap(), usize::MAX);
    assert_eq!(most(None, Some(7)).unwrap(), 7);
    for (engine, limit) in
        [(Engine::Github, 256), (Engine::Gitlab, 200), (Engine::Buildkite, 500), (Engine::Slurm, 1000)]
    {
        assert_eq!(most(Some(engine), None).unwrap(), limit);
        assert_eq!(most(Some(engine), Some(limit)).unwrap(), limit);
        let error = most(Some(engine), Some(limit + 1)).unwrap_err().to_string();
        assert!(error.contains(&limit.to_string()), "{error}");
    }
    assert_eq!(most(Some(Engine::Plain), Some(5000)).unwrap(), 5000);
}

#[test]
fn what_engines_get_is_what_they_take() {
    let (_dir, mut stream) = sample::stream(2);
    stream.kernels[1].target = "tree:$(touch x)'\"\\: #".into();
    let kernels: Vec<_> = stream.kernels.iter().collect();
    let jobs = plan(&stream, &stream.versions[1], &kernels, &Ledger::empty("s")).unwrap();
    let jobs: Vec<_> = jobs.iter().collect();
    let batches = batches(&stream, &jobs, 9, &how("results"));
    let text = |engine| written(engine, &stream, &batches, &how("results"));
    // A shell gets the same words back.
    let words = |line: &str| {
        let line = line.replacen("kmend-build", "printf '%s\\n'", 1);
        let out = Command::new("sh").args(["-c", &line]).output().unwrap();
        let mut words = vec!["kmend-build".to_string()];
        words.extend(String::from_utf8(out.stdout).unwrap().lines().map(String::from));
        words
    };
    let plain: Vec<Vec<String>> = text(Engine::Plain).lines().map(words).collect();
    assert_eq!(plain, batches.iter().map(|b| b.command.clone()).collect::<Vec<_>>());

    let github: serde_json::Value = serde_json::from_str(&text(Engine::Github)).unwrap();
    assert_eq!(text(Engine::Github).lines().count(), 1);
    let commands: Vec<_> =
        github["include"].as_array().unwrap().iter().map(|j| words(j["command"].as_str().unwrap())).collect();
    assert_eq!(commands, plain);

    // Each value of YAML that holds more than a word is a text of JSON.
    let json = |line: &str| serde_json::from_str::<serde_json::Value>(line).unwrap();
    let gitlab = text(Engine::Gitlab);
    let scripts: Vec<_> = gitlab
        .lines()
        .filter_map(|l| l.strip_prefix("  script: "))
        .map(|l| words(json(l)[0].as_str().unwrap()))
        .collect();
    assert_eq!(scripts, plain);
    let buildkite = text(Engine::Buildkite);
    let steps = buildkite.lines().filter_map(|l| l.strip_prefix("    command: "));
    let steps: Vec<_> = steps.map(|l| words(&json(l).as_str().unwrap().replace("$$", "$"))).collect();
    assert_eq!(steps, plain);

    // The script picks the task.
    let slurm = text(Engine::Slurm).replace("exec kmend-build", "printf '%s\\n'");
    for (task, wanted) in [("0", Some(&plain[0])), ("1", Some(&plain[1])), ("2", None), ("", None)] {
        let out = Command::new("sh").args(["-c", &slurm]).env("SLURM_ARRAY_TASK_ID", task).output().unwrap();
        assert_eq!(out.status.success(), wanted.is_some(), "{task}");
        let said: Vec<String> = String::from_utf8(out.stdout).unwrap().lines().map(String::from).collect();
        assert_eq!(said, wanted.map_or(&[][..], |words| &words[1..]));
    }
    let none = |engine| written(engine, &stream, &[], &how("results"));
    assert_eq!([Engine::Github, Engine::Slurm, Engine::Plain].map(none), ["{\"include\":[]}\n", "", ""]);
}
