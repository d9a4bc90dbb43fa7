// SPDX-License-Identifier: GPL-2.0-or-later
//! Results against a plan: each way in which one does not belong to it has its code.

use super::super::ledger::Ledger;
use super::super::plan::plan;
use super::super::result::{FileSum, Run, Tried, TriedFault, FILE, TRIAL};
use super::super::sample;
use super::*;
use crate::files;
use std::fs;
use tempfile::TempDir;

/// What is changed in a result.
type Edit = fn(&mut JobResult);

const ANY: Demands = Demands { twice: false, tried: false };
const TWICE: Demands = Demands { twice: true, tried: false };
const TRIED: Demands = Demands { twice: false, tried: true };

fn how() -> How {
    How { results: "results".into(), tried: true }
}

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
    fn codes(&self, jobs: &[Job<'_>], demands: Demands) -> Vec<String> {
        let planned = Planned::new(&self.stream, jobs, how());
        let found = Found::collect(&planned, &[self.dir.path().into()]).unwrap();
        let Err(error) = found.complete(&planned, demands) else { return Vec::new() };
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
    assert_eq!(bench.codes(&jobs, ANY), ["result-missing"]);
    bench.put(job, "a", "m", |_| ());
    assert_eq!(bench.codes(&jobs, ANY), [""; 0]);
    let edits: [(&str, Edit); 11] = [
        ("result-other-stream", |r| r.stream = "t".into()),
        ("result-other-kernel", |r| r.kernel = "tree:y".into()),
        ("result-other-version", |r| r.version = "1-1".to_string().try_into().unwrap()),
        ("result-other-builder", |r| r.kmend_build = "0.0.1".into()),
        ("result-other-builder", |r| r.program = "build-id:00".into()),
        ("result-other-builder", |r| r.program.clear()),
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
        assert_eq!(bench.codes(&jobs, ANY), [code]);
        bench.clear();
        // Alone it is no result either.
        bench.put(job, "b", "m", edit);
        let wanted = if code == "result-twice" { vec![] } else { vec![code, "result-missing"] };
        assert_eq!(bench.codes(&jobs, ANY), wanted);
    }
    bench.clear();
    bench.put(job, "a", "m", |r| (r.outcome, r.error) = (Outcome::Error, Some("no target".into())));
    assert_eq!(bench.codes(&jobs, ANY), ["result-failed"]);
    // A retry that came to its end counts.
    bench.put(job, "b", "m", |_| ());
    assert_eq!(bench.codes(&jobs, ANY), [""; 0]);
    // What differs is told.
    bench.clear();
    bench.put(job, "a", "m", |r| {
        r.input = "0".into();
        r.inputs.insert("ledger".into(), "0".into());
    });
    let planned = Planned::new(&bench.stream, &jobs, how());
    let found = Found::collect(&planned, &[bench.dir.path().into()]).unwrap();
    assert!(found.unusable().unwrap().1.reason.contains("differ in: ledger."));
}

#[test]
fn targets_of_one_name_are_told_apart() {
    let bench = Bench::new(1);
    let mut jobs = bench.jobs();
    jobs[0].target = Some("here".into());
    bench.put(&jobs[0], "a", "m", |r| r.target = Some("there".into()));
    assert_eq!(bench.codes(&jobs, ANY), ["result-other-target", "result-missing"]);
}

#[test]
fn twice_takes_two_machines() {
    let bench = Bench::new(1);
    let jobs = bench.jobs();
    bench.put(&jobs[0], "a", "m", |_| ());
    assert_eq!(bench.codes(&jobs, TWICE), ["result-once"]);
    bench.put(&jobs[0], "b", "m", |_| ());
    assert_eq!(bench.codes(&jobs, TWICE), ["result-once"]);
    bench.put(&jobs[0], "c", "n", |r| r.run.as_mut().unwrap().machine = None);
    assert_eq!(bench.codes(&jobs, TWICE), ["result-once"]);
    bench.put(&jobs[0], "d", "n", |_| ());
    assert_eq!(bench.codes(&jobs, TWICE), [""; 0]);
}

#[test]
fn no_more_faults_are_kept_than_are_told() {
    let bench = Bench::new(1);
    let jobs = bench.jobs();
    for n in 0..200 {
        bench.put(&jobs[0], &format!("{n}"), "m", |r| r.stream = "t".into());
    }
    let planned = Planned::new(&bench.stream, &jobs, how());
    let found = Found::collect(&planned, &[bench.dir.path().into()]).unwrap();
    let error = found.complete(&planned, ANY).unwrap_err().to_string();
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
    let planned = Planned::new(&bench.stream, &jobs, how());
    let found = Found::collect(&planned, &[bench.dir.path().into()]).unwrap();
    assert_eq!(found.seconds(0), Some(4.0));
}

/// A result with a module, which a guest was well with.
fn passed(r: &mut JobResult) {
    (r.outcome, r.module, r.target) = (Outcome::Built, Some("m".into()), Some("t".into()));
    r.refusals.clear();
    for name in ["m.ko", "m.rs", "m.json", TRIAL] {
        r.files.insert(name.into(), r.files["x"].clone());
    }
    r.tried = Some(Tried {
        passed: true,
        module_sha256: r.files["x"].sha256.clone(),
        target: "t".into(),
        kmend_build: r.kmend_build.clone(),
        program: r.program.clone(),
        accelerator: "TCG".into(),
        faults: Vec::new(),
    });
}

fn of_trial(r: &mut JobResult) -> &mut Tried {
    r.tried.as_mut().unwrap()
}

/// Writes the files that [`passed`] names beside `x`.
fn with_files(bench: &Bench, name: &str) {
    for file in ["m.ko", "m.rs", "m.json", TRIAL] {
        files::write(&bench.dir.path().join(name).join(file), b"x").unwrap();
    }
}

#[test]
fn a_trial_counts_of_that_module_kernel_and_program() {
    let bench = Bench::new(1);
    let mut jobs = bench.jobs();
    jobs[0].target = Some("t".into());
    let put = |name: &str, edit: Edit| {
        bench.put(&jobs[0], name, "m", |r| {
            passed(r);
            edit(r);
        });
        with_files(&bench, name);
    };
    put("a", |_| ());
    assert_eq!(bench.codes(&jobs, TRIED), [""; 0]);
    let edits: [(&str, Edit); 5] = [
        ("did not try", |r| r.tried = None),
        ("another module", |r| of_trial(r).module_sha256 = "0".into()),
        ("another kernel", |r| of_trial(r).target = "u".into()),
        ("another kmend-build", |r| of_trial(r).kmend_build = "0.0.1".into()),
        ("another kmend-build", |r| of_trial(r).program = "build-id:00".into()),
    ];
    for (says, edit) in edits {
        bench.clear();
        put("a", edit);
        assert_eq!(bench.codes(&jobs, TRIED), ["result-untried"], "{says}");
        assert_eq!(bench.codes(&jobs, ANY), [""; 0]);
        let planned = Planned::new(&bench.stream, &jobs, how());
        let found = Found::collect(&planned, &[bench.dir.path().into()]).unwrap();
        let error = found.complete(&planned, TRIED).unwrap_err().to_string();
        assert!(error.contains(says) && error.contains("--try"), "{error}");
        // The same module, and another job that tried it: that one counts, whichever comes first.
        for other in ["0", "b"] {
            put(other, |_| ());
            assert_eq!(bench.codes(&jobs, TRIED), [""; 0]);
            fs::remove_dir_all(bench.dir.path().join(other)).unwrap();
        }
    }
    // A refusal has no module to try.
    bench.clear();
    bench.put(&jobs[0], "a", "m", |_| ());
    assert_eq!(bench.codes(&jobs, TRIED), [""; 0]);
}

#[test]
fn a_fault_that_a_guest_showed_is_never_passed_over() {
    let bench = Bench::new(1);
    let jobs = bench.jobs();
    let failed = |r: &mut JobResult| {
        passed(r);
        r.outcome = Outcome::TryFailed;
        let fault = TriedFault { modules: "plain".into(), code: "log".into(), text: "WARNING: at f".into() };
        (of_trial(r).passed, of_trial(r).faults) = (false, vec![fault]);
    };
    bench.put(&jobs[0], "b", "m", failed);
    with_files(&bench, "b");
    for demands in [ANY, TRIED] {
        assert_eq!(bench.codes(&jobs, demands), ["result-try-failed"]);
    }
    // Not by another guest that was well, either; the two agree in their modules.
    for other in ["a", "c"] {
        bench.put(&jobs[0], other, "n", passed);
        with_files(&bench, other);
        for demands in [ANY, TRIED, TWICE] {
            assert_eq!(bench.codes(&jobs, demands), ["result-try-failed"]);
        }
    }
    // What says two things of a trial is no result.
    let edits: [Edit; 4] = [
        |r| r.outcome = Outcome::TryFailed,
        |r| of_trial(r).passed = false,
        |r| drop(r.files.remove(TRIAL)),
        |r| (r.outcome, r.tried) = (Outcome::TryFailed, None),
    ];
    for edit in edits {
        bench.clear();
        bench.put(&jobs[0], "a", "m", |r| {
            passed(r);
            edit(r);
        });
        with_files(&bench, "a");
        assert_eq!(bench.codes(&jobs, ANY), ["result-unreadable", "result-missing"]);
    }
}
