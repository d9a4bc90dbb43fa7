// SPDX-License-Identifier: GPL-2.0-or-later
//! A module that a job has built, read again before it is released: result, stream and target in; what the stream file, the
//! ledger and the kernel say against it out. It trusts nothing that the job says, but that the code in the module is what the
//! fixes mean: that takes the source and the compilers, or a second machine (`--twice`).

use super::build::labels;
use super::ledger::Ledger;
use super::plan::Job;
use super::result::{JobResult, TRIAL};
use super::{input, names, rules, Stream};
use crate::elf::read::{read, Take};
use crate::error::{Ended, Refusal};
use crate::files;
use crate::inspect::{fit::fit, inspect};
use crate::manifest::Manifest;
use crate::progress;
use crate::target::{store, Target};
use anyhow::{bail, Context, Result};
use serde_json::Value;
use std::collections::BTreeSet;
use std::path::Path;

/// A module that may be released.
pub struct Module {
    /// Its manifest.
    pub manifest: Manifest,
    /// The .ko as it was built.
    pub bytes: Vec<u8>,
}

/// Reads the module of `result` in `folder` again, as the kernel's loader will, and compares what is said of it.
///
/// # Errors
/// [`Ended`], where it is refused or breaks the ledger's rules; a target that cannot be read.
pub fn module(
    stream: &Stream,
    job: &Job<'_>,
    (result, folder): (&JobResult, &Path),
    ledger: &Ledger,
) -> Result<Module> {
    let name = result.module.as_deref().context("no module")?;
    let step = progress::step(format!("checking {name}.ko"));
    let refused = |code: &str, reasons: Vec<String>| {
        let at = format!("{}, job {}", folder.display(), job.id);
        let refusal = Refusal::new(code, &job.kernel.target, &at, reasons.join("; "), HINT);
        Err(Ended::results_refused(vec![refusal], 0).into())
    };
    let files = || {
        let bytes = result.file(folder, &format!("{name}.ko"))?;
        let json = result.file(folder, &format!("{name}.json"))?;
        let manifest: Manifest = serde_json::from_slice(&json).with_context(|| format!("{name}.json"))?;
        Ok::<_, anyhow::Error>((bytes, manifest))
    };
    let (bytes, manifest) = match files() {
        Ok(files) => files,
        Err(error) => return refused("result-changed", vec![format!("{error:#}")]),
    };
    let target = store::get(&job.kernel.target)?.with_context(|| {
        format!(
            "the target {} is not on this machine: its image, its modules and its Module.symvers are needed",
            job.kernel.target
        )
    })?;
    let mut faults = of_manifest(stream, job, &manifest, &target, ledger)?;
    if result.module.as_deref() != Some(manifest.name.as_str()) {
        faults.push(format!("the manifest is of {}", manifest.name));
    }
    let told = serde_json::to_value((&result.fixes, &result.warnings, &result.notes))?;
    if told != serde_json::to_value((&manifest.fixes, &manifest.warnings, &manifest.notes))? {
        faults.push("result.json has other fixes, warnings or notes than the manifest".into());
    }
    match inside(&bytes, &manifest) {
        Ok(found) => faults.extend(found),
        Err(error) => faults.push(format!("{error:#}")),
    }
    if !faults.is_empty() {
        return refused("result-manifest", faults);
    }
    if result.tried.is_some() {
        match of_trial(result, folder, &bytes, &target) {
            Ok(()) => {}
            Err(error) => return refused("result-untried", vec![format!("{error:#}")]),
        }
    }
    // Bytes of a stranger: what cannot be read does not fit.
    let report = match inspect(&bytes) {
        Ok(report) => report,
        Err(error) => return refused("result-does-not-fit", vec![format!("{error:#}")]),
    };
    let fit = fit(&bytes, &report, &target)?;
    let mut reasons = fit.reasons;
    reasons.extend(fit.unchecked.into_iter().map(|what| format!("it cannot be checked {what}")));
    reasons.extend(report.remarks);
    if report.signature.is_some() {
        reasons.push("it is signed already, and jobs have no keys".into());
    }
    if !reasons.is_empty() {
        return refused("result-does-not-fit", reasons);
    }
    let refusals = rules::module(&manifest, job.release, ledger.released(&job.kernel.target));
    if !refusals.is_empty() {
        return Err(Ended::breaks_ledger(job.release.version, &job.kernel.target, refusals).into());
    }
    step.done(&format!("{} bytes", bytes.len()));
    Ok(Module { manifest, bytes })
}

/// What can be done for a module that is not what it should be.
const HINT: &str =
    "build it again on a machine that you trust; a job that writes this is broken, or its result was replaced";

/// What the manifest says otherwise than the stream file, the target and this kmend-build.
fn of_manifest(
    stream: &Stream,
    job: &Job<'_>,
    manifest: &Manifest,
    target: &Target,
    ledger: &Ledger,
) -> Result<Vec<String>> {
    let mut faults = Vec::new();
    let mut same = |what: &str, is_same: bool| {
        if !is_same {
            faults
                .push(format!("its manifest has another {what} than the stream file, the target or this kmend-build"));
        }
    };
    let labels = labels(stream, job.kernel, job.release, ledger.released(&job.kernel.target));
    let fixes = stream.fixes(job.kernel, job.release.version);
    let told = &manifest.target;
    same("name", manifest.name == names::module(&target.release, job.release.version)?);
    same(
        "target",
        [&told.name, &told.arch, &told.release, &told.version, &told.build_id]
            == [&target.name, &target.arch, &target.release, &target.version, &target.build_id],
    );
    same(
        "compiler",
        manifest.tools.get("cc") == Some(&target.cc) && manifest.tools.get("rustc") == target.rustc.as_ref(),
    );
    same("version of kmend-build", manifest.tools.get("kmend-build").map(String::as_str) == Some(input::BUILDER));
    same("`replace`", manifest.replace);
    same("stream", manifest.stream.as_ref() == Some(&labels.facts));
    let of_fixes = manifest.fixes.len() == fixes.len()
        && manifest.fixes.iter().zip(&fixes).zip(&labels.fixes).all(|((has, (_, fix)), label)| {
            let file = fix.path.file_name().is_some_and(|name| name.to_string_lossy() == has.file);
            file && has.effect.is_some()
                && (has.commit, &has.hunks_sha256, &has.title) == (fix.commit, &fix.hunks_sha256, &label.title)
                && (&has.cves, &has.severity, &has.tickets) == (&label.cves, &label.severity, &label.tickets)
                && has.since.as_ref() == Some(&label.since)
        });
    same("list of fixes", of_fixes);
    let layouts: BTreeSet<String> =
        fixes.iter().flat_map(|(_, fix)| &fix.allow_layout).map(ToString::to_string).collect();
    same("`allowed_layouts`", manifest.allowed_layouts.iter().all(|name| layouts.contains(name)));
    let unproven: BTreeSet<String> =
        fixes.iter().flat_map(|(_, fix)| &fix.allow_unproven).map(ToString::to_string).collect();
    same("`allowed_unproven`", manifest.allowed_unproven.iter().all(|u| unproven.contains(&u.function)));
    let hooks = job.release.hooks.as_ref().map(|path| files::read(path).map(|bytes| files::sha256(&bytes)));
    same("hooks file", manifest.hooks_file.as_ref().map(|h| &h.sha256) == hooks.transpose()?.as_ref());
    Ok(faults)
}

/// Checks that what the guest told in full is of this module and kernel, and that all was well.
fn of_trial(result: &JobResult, folder: &Path, module: &[u8], target: &Target) -> Result<()> {
    let told: Value = serde_json::from_slice(&result.file(folder, TRIAL)?).with_context(|| TRIAL.to_string())?;
    let sum = files::sha256(module);
    let wanted: [(&str, &str); 5] = [
        ("/result", "passed"),
        ("/sha256", &sum),
        ("/target/name", &target.name),
        ("/target/release", &target.release),
        ("/target/build_id", &target.build_id),
    ];
    match wanted.iter().find(|(place, wanted)| told.pointer(place).and_then(Value::as_str) != Some(*wanted)) {
        None => Ok(()),
        Some((place, wanted)) => bail!("{TRIAL} has another {}, not {wanted}", &place[1..]),
    }
}

/// What the manifest inside of the module says otherwise than the one beside it, which has its sum, the sums of patch files and, behind
/// its notes, offers of what messages name. Nothing is done with these.
fn inside(bytes: &[u8], manifest: &Manifest) -> Result<Vec<String>> {
    let mut faults = Vec::new();
    if manifest.module_sha256.as_deref() != Some(files::sha256(bytes).as_str()) {
        faults.push("its manifest has the sum of another module".into());
    }
    let object = read(bytes, Take::NoDebug).context("the module")?;
    let inside = Manifest::of_module(&object)?.context("the module has no manifest in it")?;
    let mut beside = Manifest { module_sha256: None, ..manifest.clone() };
    beside.fixes.iter_mut().for_each(|fix| fix.sha256.clear());
    if beside.notes.starts_with(&inside.notes) {
        beside.notes.truncate(inside.notes.len());
    }
    if serde_json::to_value(&inside)? != serde_json::to_value(&beside)? {
        faults.push("the manifest inside the module differs from the one next to it".into());
    }
    Ok(faults)
}
