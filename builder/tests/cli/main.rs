// SPDX-License-Identifier: GPL-2.0-or-later
//! The command line as a user sees it: the real program run on good and bad input in, its exit code, its words
//! and what it leaves behind out.
//!
//! Tests that need a prepared kernel take it from KMEND_TEST_TARGET, or KMEND_TEST_TARGET_WITHOUT_RUST where it has to be
//! one without CONFIG_RUST (a target's name). Where that is not set they are counted as ignored, and one line says so.

mod archive;
mod dnf;
mod fake;
mod farm;
mod fixes;
mod flavours;
mod headers;
mod hooks;
mod host;
mod hostile;
mod jobs;
mod kernel;
mod kpatch_build;
mod kpatch_sources;
mod mutants;
mod new_code;
mod objects;
mod output;
mod outside;
mod prepared;
mod reader;
mod references;
mod report;
mod repositories;
mod rpms;
mod samples;
mod sign;
mod stream;
mod tables;
mod tool;
mod trial;
mod usage;
mod without_rust;

use libtest_mimic::{Arguments, Trial};
use std::process::ExitCode;

fn main() -> ExitCode {
    let args = Arguments::from_args();
    let mut trials = Vec::new();
    for (group, tests) in [
        ("usage", usage::TESTS),
        ("kpatch_build", kpatch_build::TESTS),
        ("fixes", fixes::TESTS),
        ("objects", objects::TESTS),
        ("report", report::TESTS),
        ("rpms", rpms::TESTS),
        ("dnf", dnf::TESTS),
        ("archive", archive::TESTS),
        ("host", host::TESTS),
        ("output", output::TESTS),
        ("sign", sign::TESTS),
        ("stream", stream::TESTS),
        ("farm", farm::TESTS),
        ("try", trial::TESTS),
    ] {
        trials.extend(tests.iter().map(|t| trial(group, t)));
    }
    for (variable, group, tests) in [
        ("KMEND_TEST_TARGET", "target", prepared::TESTS),
        ("KMEND_TEST_TARGET", "target", headers::TESTS),
        ("KMEND_TEST_TARGET", "target", hooks::TESTS),
        ("KMEND_TEST_TARGET", "target", kpatch_sources::TESTS),
        ("KMEND_TEST_TARGET", "kpatch_build", kpatch_build::WITH_TARGET),
        ("KMEND_TEST_TARGET", "hostile", hostile::TESTS),
        ("KMEND_TEST_TARGET", "target", outside::TESTS),
        ("KMEND_TEST_TARGET", "target", references::TESTS),
        ("KMEND_TEST_TARGET", "target", tables::TESTS),
        ("KMEND_TEST_TARGET", "new_code", new_code::TESTS),
        ("KMEND_TEST_TARGET", "sign", sign::WITH_TARGET),
        ("KMEND_TEST_TARGET", "dnf", dnf::WITH_TARGET),
        ("KMEND_TEST_TARGET", "host", host::WITH_TARGET),
        ("KMEND_TEST_TARGET", "flavours", flavours::TESTS),
        ("KMEND_TEST_TARGET", "stream", stream::WITH_TARGET),
        ("KMEND_TEST_TARGET", "stream", repositories::TESTS),
        ("KMEND_TEST_TARGET", "farm", farm::WITH_TARGET),
        ("KMEND_TEST_TARGET", "jobs", jobs::WITH_TARGET),
        ("KMEND_TEST_TARGET_WITHOUT_RUST", "jobs", jobs::WITH_TWO_TARGETS),
        ("KMEND_TEST_TARGET", "mutants", mutants::TESTS),
        ("KMEND_TEST_TARGET", "try", trial::WITH_TARGET),
        ("KMEND_TEST_TARGET", "reader", reader::TESTS),
        ("KMEND_TEST_TARGET", "samples", samples::TESTS),
        ("KMEND_TEST_TARGET_WITHOUT_RUST", "mutants", mutants::WITH_CHECKSUMS),
        ("KMEND_TEST_TARGET_WITHOUT_RUST", "without_rust", without_rust::TESTS),
        ("KMEND_TEST_TARGET_WITHOUT_RUST", "without_rust", hooks::TESTS_WITHOUT_RUST),
        ("KMEND_TEST_TARGET_WITHOUT_RUST", "without_rust", kpatch_sources::TESTS_WITHOUT_RUST),
        ("KMEND_TEST_TARGET_WITHOUT_RUST", "without_rust", outside::TESTS_WITHOUT_RUST),
    ] {
        let named = std::env::var(variable).is_ok_and(|name| !name.is_empty());
        if !named && !args.list {
            println!("{} tests need {variable}: not run", tests.len());
        }
        trials.extend(tests.iter().map(|t| trial(group, t).with_ignored_flag(!named)));
    }
    libtest_mimic::run(&args, trials).exit_code()
}

/// A test: its name, and what panics where it fails.
type Test = (&'static str, fn());

fn trial(group: &str, (name, test): &Test) -> Trial {
    let test = *test;
    Trial::test(format!("{group}::{name}"), move || {
        test();
        Ok(())
    })
}
