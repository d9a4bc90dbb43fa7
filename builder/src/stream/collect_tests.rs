// SPDX-License-Identifier: GPL-2.0-or-later
//! Results against a plan: each way in which one does not belong to it has its code.

use super::super::ledger::Ledger;
use super::super::plan::plan;
use super::super::result::{FileSum, Run, FILE};
use super::super::sample;
use super::*;
use crate::files;
use std::fs;
use tempfile::TempDir;

/// What is changed in a result.
type Edit = fn(&mut JobResult);

struct Bench {
    stream: Stream,
    dir: TempDir,
    _stream_dir: TempDir,
}

impl Bench {
    fn new(kernels: usize) -> Self {
        let (stream_dir, stream) = sample::stream(kernels);
        Self { stream, dir: tempfile::tempdir().unwrap(), _stream_dir: stream_dir }
    }

    fn jobs(&self) -> Vec<Job<'_>> {
        let kernels: Vec<_> = self.stream.kernels.iter().collect();
        plan(&self.stream, &self.stream.versions[1], &kernels, &Ledger::empty("s")).unwrap()
    }

    /// A result that was refused, changed by `edit`, in the folder `name`.
    fn put(&self, job: &Job<'_>, name: &str, machine: &str, edit: impl FnOnce(&mut JobResult)) {
        let mut result = JobResult::new(&self.stream, job);
        result.outcome = Outcome::Refused;
        result.refusals = vec![Refusal::new("init-function", "f", "f.c", "it runs once".into(), "")];
        result.files.insert("x".into(), FileSum { sha256: files::sha256(b"x"), bytes: 1 });
        result.run = Some(Run { machine: Some(machine.into()), ..Run::default() });
        edit(&mut result);
        files::write(&self.dir.path().join(name).join("x"), b"x").unwrap();
        files::write(&self.dir.path().join(name).join(FILE), &serde_json::to_vec(&result).unwrap()).unwrap();
    }

    /// Codes of what is wrong.
    fn codes(&self, jobs: &[Job<'_>], twice: bool) -> Vec<String> {
        let planned = Planned::new(&self.stream, jobs, Path::new("results"));
        let found = Found::collect(&planned, &[self.dir.path().into()]).unwrap();
        let Err(error) = found.complete(&planned, twice) else { return Vec::new() };
        let refused: Ended = error.downcast().unwrap();
        // What to run again is said, or that it has to go.
        assert!(refused.refusals.iter().all(|r| !r.hint.is_empty()), "{refused}");
        refused.refusals.into_iter().map(|r| r.code).collect()
    }

    fn clear(&self) {
        for entry in fs::read_dir(self.dir.path()).unwrap() {
            fs::remove_dir_all(entry.unwrap().path()).unwrap();
        }
    }
}

#[test]
fn each_fault_has_its_code() {
    let bench = Bench::new(1);
    let jobs = bench.jobs();
    let job = &jobs[0];
    assert_eq!(bench.codes(&jobs, false), ["result-missing"]);
    bench.put(job, "a", "m", |_| ());
    assert_eq!(bench.codes(&jobs, false), [""; 0]);
    let edits: [(&str, Edit); 9] = [
        ("result-other-stream", |r| r.stream = "t".into()),
        ("result-other-kernel", |r| r.kernel = "tree:y".into()),
        ("result-other-version", |r| r.version = "1-1".to_string().try_into().unwrap()),
        ("result-other-builder", |r| r.kmend_build = "0.0.1".into()),
        ("result-other-input", |r| r.input = "0".into()),
        ("result-other-input", |r| r.id = "0".into()),
        ("result-changed", |r| r.files.get_mut("x").unwrap().sha256 = "0".into()),
        ("result-unreadable", |r| r.refusals.clear()),
        ("result-twice", |r| r.refusals[0].reason = "it runs never".into()),
    ];
    for (code, edit) in edits {
        bench.clear();
        bench.put(job, "a", "m", |_| ());
        bench.put(job, "b", "m", edit);
        assert_eq!(bench.codes(&jobs, false), [code]);
        bench.clear();
        // Alone it is no result either.
        bench.put(job, "b", "m", edit);
        let wanted = if code == "result-twice" { vec![] } else { vec![code, "result-missing"] };
        assert_eq!(bench.codes(&jobs, false), wanted);
    }
    bench.clear();
    bench.put(job, "a", "m", |r| (r.outcome, r.error) = (Outcome::Error, Some("no target".into())));
    assert_eq!(bench.codes(&jobs, false), ["result-failed"]);
    // A retry that came to its end counts.
    bench.put(job, "b", "m", |_| ());
    assert_eq!(bench.codes(&jobs, false), [""; 0]);
    // What differs is told.
    bench.clear();
    bench.put(job, "a", "m", |r| {
        r.input = "0".into();
        r.inputs.insert("ledger".into(), "0".into());
    });
    let planned = Planned::new(&bench.stream, &jobs, Path::new("results"));
    let found = Found::collect(&planned, &[bench.dir.path().into()]).unwrap();
    assert!(found.unusable().unwrap().1.reason.contains("differ in: ledger."));
}

#[test]
fn targets_of_one_name_are_told_apart() {
    let bench = Bench::new(1);
    let mut jobs = bench.jobs();
    jobs[0].target = Some("here".into());
    bench.put(&jobs[0], "a", "m", |r| r.target = Some("there".into()));
    assert_eq!(bench.codes(&jobs, false), ["result-other-target", "result-missing"]);
}

#[test]
fn twice_takes_two_machines() {
    let bench = Bench::new(1);
    let jobs = bench.jobs();
    bench.put(&jobs[0], "a", "m", |_| ());
    assert_eq!(bench.codes(&jobs, true), ["result-once"]);
    bench.put(&jobs[0], "b", "m", |_| ());
    assert_eq!(bench.codes(&jobs, true), ["result-once"]);
    bench.put(&jobs[0], "c", "n", |r| r.run.as_mut().unwrap().machine = None);
    assert_eq!(bench.codes(&jobs, true), ["result-once"]);
    bench.put(&jobs[0], "d", "n", |_| ());
    assert_eq!(bench.codes(&jobs, true), [""; 0]);
}

#[test]
fn no_more_faults_are_kept_than_are_told() {
    let bench = Bench::new(1);
    let jobs = bench.jobs();
    for n in 0..200 {
        bench.put(&jobs[0], &format!("{n}"), "m", |r| r.stream = "t".into());
    }
    let planned = Planned::new(&bench.stream, &jobs, Path::new("results"));
    let found = Found::collect(&planned, &[bench.dir.path().into()]).unwrap();
    let error = found.complete(&planned, false).unwrap_err().to_string();
    assert!(error.contains("and 150 more") && error.contains("result-missing"), "{error}");
    assert_eq!(error.matches("result-other-stream").count(), 50);
}

#[test]
fn times_are_those_of_the_newest_build() {
    let bench = Bench::new(1);
    let jobs = bench.jobs();
    let built = |begun, seconds| {
        move |r: &mut JobResult| {
            (r.outcome, r.module, r.input) = (Outcome::Built, Some("m".into()), "older".into());
            r.refusals.clear();
            for end in ["ko", "rs", "json"] {
                r.files.insert(format!("m.{end}"), FileSum { sha256: String::new(), bytes: 0 });
            }
            r.run = Some(Run { begun, seconds, ..Run::default() });
        }
    };
    bench.put(&jobs[0], "a", "m", built(7, 3.0));
    bench.put(&jobs[0], "b", "m", built(8, 4.0));
    bench.put(&jobs[0], "c", "m", built(6, 5.0));
    let planned = Planned::new(&bench.stream, &jobs, Path::new("results"));
    let found = Found::collect(&planned, &[bench.dir.path().into()]).unwrap();
    assert_eq!(found.seconds(0), Some(4.0));
}
