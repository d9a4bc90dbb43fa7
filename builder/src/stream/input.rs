// SPDX-License-Identifier: GPL-2.0-or-later
//! What decides the result of a job: a stream, a kernel, a version and the ledger in; a sum over all of it out, which is the same on
//! every machine. It needs no prepared target; a target's record has a sum of its own.

use super::build::labels;
use super::ledger::Ledger;
use super::{Kernel, Release, Stream};
use crate::files;
use crate::image::vmlinuz;
use crate::target::Target;
use anyhow::{anyhow, Context, Result};
use serde_json::{json, Value};
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::LazyLock;

/// What the sums are made of begins with this; another way to make them gets another.
const FORM: &str = "kmend job 2";
/// The most bytes of a hooks file.
const MAX_HOOKS: u64 = 1 << 20;

/// The version of this kmend-build.
pub const BUILDER: &str = env!("CARGO_PKG_VERSION");

/// The most bytes of a program that is summed.
const MAX_PROGRAM: u64 = 1 << 30;

/// Which build of kmend-build runs: `build-id:` and its GNU build id, `sha256:` and the sum of the program where the linker left none.
/// Two machines with the same package agree, also where one of them has stripped it; two builds of one version differ.
///
/// # Errors
/// The program cannot be read.
pub fn program() -> Result<&'static str> {
    static PROGRAM: LazyLock<Result<String, String>> = LazyLock::new(|| {
        // As it was started: a package manager may have put another one in its place.
        program_in(Path::new("/proc/self/exe")).map_err(|error| format!("{error:#}"))
    });
    PROGRAM.as_deref().map_err(|error| anyhow!("kmend-build cannot read itself: {error}"))
}

fn program_in(path: &Path) -> Result<String> {
    /// Of a build id, in hexadecimal: no hash that linkers write is shorter. A number that someone typed in may be.
    const SHORTEST: usize = 32;
    if let Some(id) = vmlinuz::build_id_of(path).ok().filter(|id| id.len() >= SHORTEST) {
        return Ok(format!("build-id:{id}"));
    }
    Ok(format!("sha256:{}", files::sha256(&files::read_at_most(path, MAX_PROGRAM)?)))
}

/// The input of a job.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Input {
    /// SHA-256 over the parts, hexadecimal.
    pub sum: String,
    /// SHA-256 of each part by its name: what differs between two inputs can be said.
    pub parts: BTreeMap<String, String>,
    /// The build of kmend-build that it is for: [`program`].
    pub program: &'static str,
}

impl Input {
    /// The names of the parts in which `other` differs.
    pub fn differs(&self, other: &BTreeMap<String, String>) -> Vec<&str> {
        let mine = self.parts.iter().filter(|(name, sum)| other.get(*name) != Some(sum));
        mine.map(|(name, _)| name.as_str()).collect()
    }
}

/// What decides the result of building `release` for `kernel`, beside the target:
///
/// - `builder`: the version of kmend-build, and which build of it
/// - `stream`: what the stream file says of the stream, the kernel and the version
/// - `fixes`: the fixes in order, by the sums of their hunks, with what the stream says of each
/// - `hooks`: the hooks file
/// - `ledger`: what was released for this kernel before this version
///
/// # Errors
/// A hooks file, or kmend-build itself, that cannot be read.
pub fn of(stream: &Stream, kernel: &Kernel, release: &Release, ledger: &Ledger) -> Result<Input> {
    let released = ledger.released(&kernel.target);
    let labels = labels(stream, kernel, release, released);
    let fixes = stream.fixes(kernel, release.version);
    let fix = |((_, fix), label): (&(_, &super::StreamFix), &crate::pipeline::Label)| {
        json!({
            "file": fix.path.file_name().map(|name| name.to_string_lossy()),
            "commit": fix.commit,
            "hunks_sha256": fix.hunks_sha256,
            "title": label.title,
            "cves": label.cves,
            "severity": label.severity,
            "tickets": label.tickets,
            "since": label.since,
            "allow_layout": fix.allow_layout,
            "allow_unproven": fix.allow_unproven,
            "replaces": fix.replaces,
        })
    };
    let hooks = release.hooks.as_ref().map(|path| {
        let bytes = files::read_at_most(path, MAX_HOOKS)?;
        Ok::<_, anyhow::Error>(json!([path.file_name().map(|n| n.to_string_lossy()), files::sha256(&bytes)]))
    });
    let missing = released.iter().filter(|e| stream.versions.iter().all(|r| r.version != e.version));
    let program = program()?;
    let parts = [
        ("builder", json!([BUILDER, program])),
        (
            "stream",
            json!({
                "facts": labels.facts,
                "kernel": kernel.target,
                "max_units": stream.limit.0,
                "callbacks_dropped": release.callbacks_dropped,
                "missing": missing.map(|e| e.version).collect::<Vec<_>>(),
            }),
        ),
        ("fixes", fixes.iter().zip(&labels.fixes).map(fix).collect()),
        ("hooks", json!(hooks.transpose()?)),
        ("ledger", before(kernel, release, ledger)?),
    ];
    let parts = parts.map(|(name, value)| (name.to_string(), files::sha256(value.to_string().as_bytes())));
    let mut words = vec![FORM];
    words.extend(parts.iter().flat_map(|(name, sum)| [name.as_str(), sum.as_str()]));
    Ok(Input { sum: files::key(&words), parts: parts.into(), program })
}

/// The ledger's rows of the versions before `release`. Packages are no part of them: they get other sums when they are signed later.
fn before(kernel: &Kernel, release: &Release, ledger: &Ledger) -> Result<Value> {
    let rows = ledger.released(&kernel.target).iter().filter(|e| e.version < release.version);
    let row = |entry| {
        let mut row = serde_json::to_value(entry).context("the ledger")?;
        row.as_object_mut().and_then(|fields| fields.remove("packages"));
        Ok(row)
    };
    rows.map(row).collect::<Result<Vec<_>>>().map(Value::Array)
}

/// The sum over what a target's record says of the kernel and its compilers; folders of the machine are no part of it.
pub fn of_target(target: &Target) -> String {
    let Target { name, arch, release, version, build_id, make_vars, make_env, cc_flags, cc, rustc, .. } = target;
    let toolchain = target.toolchain.as_ref().map(|t| &t.rustc);
    let facts =
        json!([FORM, name, arch, release, version, build_id, make_vars, make_env, cc_flags, cc, rustc, toolchain]);
    files::sha256(facts.to_string().as_bytes())
}

#[cfg(test)]
#[path = "input_tests.rs"]
mod tests;
