// SPDX-License-Identifier: GPL-2.0-or-later
//! The workflows of contrib/, and the pipeline that a plan prints, before a validator with the schemas of their engines.

use crate::{deps, say, shell};
use anyhow::Result;
use kmend_builder::files;
use kmend_builder::sandbox;
use std::path::Path;
use std::process::Command;

/// Whose venv makes its folder; Debian's python3 does not without it.
const PACKAGES: &[(&str, &str)] = &[("python3-venv", "makes the folder for the validator of workflows")];

/// The validator: one version, as its schemas come with it.
const CHECK: &str = "check-jsonschema==0.33.2";

/// Workflows, and the schema of that program for each.
const WORKFLOWS: [(&str, &str); 3] = [
    ("contrib/github/kmend.yml", "vendor.github-workflows"),
    ("contrib/gitlab/kmend.yml", "vendor.gitlab-ci"),
    ("contrib/gitlab/kmend-defaults.yml", "vendor.gitlab-ci"),
];

/// A stream of two kernels that are not there, which a plan does not need.
const STREAM: &str =
    "name = \"farm\"\npackager = \"kmend's tests <tests@kmend.invalid>\"\nurl = \"https://kmend.invalid/farm\"\n\n\
    [[kernel]]\ntarget = \"debian:none/6.0.0-one-amd64\"\n\n[[kernel]]\ntarget = \"debian:none/6.0.1-one-amd64\"\n\n\
    [[version]]\nversion = \"1-1\"\ndate = \"2026-10-01\"\n\n\
    [[version.fix]]\npatch = \"fix.patch\"\ntitle = \"a fix\"\nseverity = \"low\"\n";

const FIX: &str = "Subject: [PATCH] a fix\n\n--- a/f.c\n+++ b/f.c\n@@ -1 +1 @@\n-a\n+b\n";

/// Checks all of them.
///
/// # Errors
/// One that does not fit its schema; the validator cannot be installed.
pub fn run(kmend_build: &Path) -> Result<()> {
    say::title("workflows of contrib/");
    deps::install_missing(PACKAGES)?;
    let dir = files::cache_dir()?.join(CHECK.replace("==", "-"));
    let _lock = files::lock(&dir.with_extension("lock"), "installs the same validator")?;
    let program = dir.join("bin/check-jsonschema");
    let done = dir.join("done");
    if !done.exists() {
        println!("installing {CHECK} into {}", dir.display());
        sandbox::run(Command::new("python3").args(["-m", "venv", "--clear"]).arg(&dir), "python3")?;
        sandbox::run(Command::new(dir.join("bin/pip")).args(["install", "--quiet", CHECK]), "pip")?;
        files::write(&done, b"")?;
    }
    let program = program.to_string_lossy();
    WORKFLOWS
        .iter()
        .try_for_each(|(file, schema)| shell(&program, &["--verbose", "--builtin-schema", schema, file]))?;
    // The child pipeline is what kmend-build prints.
    let work = tempfile::tempdir()?;
    files::write(&work.path().join("fix.patch"), FIX.as_bytes())?;
    let stream = work.path().join("stream.toml");
    files::write(&stream, STREAM.as_bytes())?;
    let plan = sandbox::run(
        Command::new(kmend_build).args(["stream", "plan", "--format", "gitlab"]).arg(stream),
        "kmend-build",
    )?;
    let file = work.path().join("jobs.yml");
    files::write(&file, &plan.stdout)?;
    shell(&program, &["--verbose", "--builtin-schema", "vendor.gitlab-ci", &file.to_string_lossy()])
}
