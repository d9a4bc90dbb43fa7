// SPDX-License-Identifier: GPL-2.0-or-later
//! The packages that a host of a story gets: kmend's own, and a stream that `kmend-build stream release` built for the
//! target, one version after the other as they would be released.

use super::tool;
use anyhow::{ensure, Context, Result};
use kmend_builder::target::Target;
use kmend_builder::{files, progress, sandbox};
use kmend_packager::{debian, Origin};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The folder of a story that holds its stream file and fixes.
const STREAM: &str = "stream";

/// Makes the packages in `work`; returns their names on the host (`kmend.deb`, `1-1.deb` …) and places.
pub fn make(
    target: &Target,
    story: &Path,
    versions: &[&str],
    kmend_build: &Path,
    work: &Path,
) -> Result<Vec<(String, PathBuf)>> {
    let mut found = vec![("kmend.deb".to_string(), host_tool(target, work)?)];
    let stream = fill(target, &story.join(STREAM), &work.join(STREAM))?;
    let repository = work.join("repository");
    fs::create_dir_all(&repository).with_context(|| format!("cannot make folder {}", repository.display()))?;
    let (key, certificate) = key()?;
    for version in versions {
        let step = progress::step(format!("{}: releasing version {version} of the hosts' stream", target.name));
        let mut release = Command::new(kmend_build);
        release.args(["stream", "release", "--version", version, "--output"]).arg(&repository).arg(&stream);
        release.arg("--sign-key").arg(&key).arg("--sign-cert").arg(&certificate);
        sandbox::run(&mut release, "kmend-build stream release")?;
        step.done("");
    }
    found.push(("unsigned.ko".into(), unsigned(&stream, versions[0], kmend_build, &work.join("unsigned"))?));
    for version in std::iter::once(&"0-0").chain(versions) {
        let mark = format!("_{version}_");
        let debs = fs::read_dir(&repository).with_context(|| format!("cannot read {}", repository.display()))?;
        let mut debs: Vec<PathBuf> = debs.filter_map(|e| Some(e.ok()?.path())).collect();
        debs.retain(|p| p.extension().is_some_and(|e| e == "deb") && p.to_string_lossy().contains(&mark));
        ensure!(debs.len() == 1, "{} packages of version {version} in {}", debs.len(), repository.display());
        found.push((format!("{version}.deb"), debs.remove(0)));
    }
    Ok(found)
}

/// A key to sign modules with that no kernel knows, and its certificate. They are kept, so that the same modules are the same
/// packages in the next run.
fn key() -> Result<(PathBuf, PathBuf)> {
    let folder = files::cache_dir()?.join("hosts-key");
    let _lock = files::lock(&folder.join("lock"), "makes the same key")?;
    let (key, certificate) = (folder.join("key.pem"), folder.join("certificate.pem"));
    let openssl = |args: &[&str]| {
        let mut openssl = Command::new("openssl");
        openssl.args(args);
        openssl
    };
    let is_good = |args: &[&str], file: &Path| sandbox::run(openssl(args).arg("-in").arg(file), "openssl").is_ok();
    let day = ["x509", "-noout", "-checkend", "86400"];
    if is_good(&["pkey", "-noout"], &key) && is_good(&day, &certificate) {
        return Ok((key, certificate));
    }
    let subject = "/CN=kmend's tests";
    let mut make =
        openssl(&["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "3650", "-subj", subject, "-keyout"]);
    sandbox::run(make.arg(&key).arg("-out").arg(&certificate), "openssl")?;
    Ok((key, certificate))
}

/// The module of one version without a signature.
fn unsigned(stream: &Path, version: &str, kmend_build: &Path, out: &Path) -> Result<PathBuf> {
    fs::create_dir_all(out).with_context(|| format!("cannot make folder {}", out.display()))?;
    let mut build = Command::new(kmend_build);
    build.args(["stream", "build", "--version", version, "--output"]).arg(out).arg(stream);
    sandbox::run(&mut build, "kmend-build stream build")?;
    let modules = fs::read_dir(out).with_context(|| format!("cannot read {}", out.display()))?;
    let module = modules.filter_map(|e| Some(e.ok()?.path())).find(|p| p.extension().is_some_and(|e| e == "ko"));
    module.with_context(|| format!("no module in {}", out.display()))
}

/// Copies the folder of a stream, with the target's name where the stream file has `@TARGET@`; returns the stream file.
fn fill(target: &Target, from: &Path, to: &Path) -> Result<PathBuf> {
    let entries = fs::read_dir(from).with_context(|| format!("cannot read folder {}", from.display()))?;
    for entry in entries {
        let entry = entry.with_context(|| format!("cannot read folder {}", from.display()))?;
        let text = files::read_text(&entry.path())?.replace("@TARGET@", &target.name);
        files::write_quickly(&to.join(entry.file_name()), text.as_bytes())?;
    }
    Ok(to.join("stream.toml"))
}

/// kmend's own package for hosts with `target`'s kernel.
fn host_tool(target: &Target, work: &Path) -> Result<PathBuf> {
    let origin = Origin {
        packager: "kmend's tests <tests@kmend.invalid>".into(),
        vendor: "kmend".into(),
        url: "https://kmend.invalid/".into(),
        license: "GPL-2.0-or-later".into(),
        date: 1_700_000_000,
    };
    let tool = tool::packaged(tool::for_target(target)?, None, origin)?;
    debian::host_tool(&tool)?.write(work)
}
