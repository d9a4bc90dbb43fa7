// SPDX-License-Identifier: GPL-2.0-or-later
//! Builds a scenario's live patches: fixes in, modules (or the refusals that were asked for) out.

use crate::scenario::{Build, Refused, Scenario};
use crate::script::Ready;
use crate::series::Series;
use anyhow::{bail, ensure, Context, Result};
use kmend_builder::target::Target;
use regex::Regex;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Where `kmend-build` is: `$KMEND_BUILD`, else beside this program, made there by cargo first.
pub fn find_kmend_build() -> Result<PathBuf> {
    if let Some(path) = std::env::var_os("KMEND_BUILD") {
        return std::path::absolute(PathBuf::from(path)).context("KMEND_BUILD");
    }
    let me = std::env::current_exe().context("cannot tell where this program is")?;
    let folder = me.parent().context("this program is in no folder")?;
    let beside = folder.join("kmend-build");
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    // Of the whole workspace: a package by itself has other features, and all would be compiled again for it.
    cargo.args(["build", "--quiet", "--workspace", "--bin", "kmend-build"]);
    cargo.current_dir(env!("CARGO_MANIFEST_DIR"));
    if folder.ends_with("release") {
        cargo.arg("--release");
    }
    let status = cargo.status().context("cannot start cargo: name a built kmend-build in KMEND_BUILD")?;
    ensure!(status.success(), "kmend-build does not build");
    ensure!(beside.exists(), "cargo made no {}: name a built kmend-build in KMEND_BUILD", beside.display());
    Ok(beside)
}

/// Builds what `scenario` needs with the program `kmend_build`, into `out`. `cut` holds fixes that were cut for it.
pub fn build(scenario: &Scenario, target: &Target, kmend_build: &Path, cut: &Path, out: &Path) -> Result<Ready> {
    let mut modules = BTreeMap::new();
    for b in &scenario.builds {
        let fixes: Vec<PathBuf> =
            b.fixes.iter().map(|f| find_fix(&scenario.dir, cut, f, &target.release)).collect::<Result<_>>()?;
        let result = Command::new(kmend_build)
            .args(["build", "-t", &target.name, "-n", &b.name, "-o"])
            .arg(out)
            .args(&b.args)
            .args(b.hooks.iter().flat_map(|h| ["--hooks".into(), scenario.dir.join(h)]))
            .args(&fixes)
            .output()
            .with_context(|| format!("cannot start {}", kmend_build.display()))?;
        let said = format!("{}{}", String::from_utf8_lossy(&result.stdout), String::from_utf8_lossy(&result.stderr));
        let module = out.join(format!("{}.ko", b.name));
        match &b.refused {
            Some(refused) => check_refusal(b, refused, result.status.code(), &said, &module)?,
            None => {
                ensure!(result.status.success(), "build {} ended with {}:\n{}", b.name, result.status, indent(&said));
                ensure!(module.exists(), "build {} made no {}:\n{}", b.name, module.display(), indent(&said));
                modules.insert(b.name.clone(), module);
            }
        }
    }
    Ok(Ready { scenario: scenario.clone(), modules })
}

/// The patch file `fix`: one that was cut, the one in the scenario's folder, or for older kernels the one beside it that
/// says up to which series it is for (`fix-until-6.12.patch` for `fix.patch`).
fn find_fix(dir: &Path, cut: &Path, fix: &str, release: &str) -> Result<PathBuf> {
    let series = Series::of(release).with_context(|| format!("the release {release} names no series"))?;
    let (stem, end) = fix.split_at(fix.rfind('.').unwrap_or(fix.len()));
    let start = format!("{stem}-until-");
    let mut best: Option<(Series, PathBuf)> = None;
    for entry in std::fs::read_dir(dir).with_context(|| format!("cannot list {}", dir.display()))?.flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let Some(until) = name.strip_prefix(&start).and_then(|n| n.strip_suffix(end)) else { continue };
        let until: Series = until.to_string().try_into().with_context(|| entry.path().display().to_string())?;
        if series <= until && best.as_ref().is_none_or(|(nearest, _)| until < *nearest) {
            best = Some((until, entry.path()));
        }
    }
    let places = best.into_iter().map(|(_, path)| path).chain([dir.join(fix), cut.join(fix)]);
    match places.into_iter().find(|p| p.exists()) {
        Some(path) => Ok(path),
        None => bail!("the fix {fix} is neither in {} nor was it cut", dir.display()),
    }
}

fn check_refusal(b: &Build, wanted: &Refused, exit: Option<i32>, said: &str, module: &Path) -> Result<()> {
    ensure!(
        exit == Some(wanted.exit),
        "build {} ended with {}, and not with {}:\n{}",
        b.name,
        exit.map_or("a signal".into(), |c| format!("code {c}")),
        wanted.exit,
        indent(said)
    );
    for pattern in &wanted.says {
        let found = Regex::new(pattern).with_context(|| format!("`{pattern}`"))?.is_match(said);
        ensure!(found, "build {}: its message does not match `{pattern}`:\n{}", b.name, indent(said));
    }
    ensure!(!module.exists(), "build {} was refused and left {}", b.name, module.display());
    Ok(())
}

fn indent(text: &str) -> String {
    text.lines().map(|l| format!("    {l}\n")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn older_kernels_get_the_fix_that_is_for_them() {
        let dir = tempfile::tempdir().expect("tempdir");
        let put = |name: &str| std::fs::write(dir.path().join(name), name).expect("write");
        ["fix.patch", "fix-until-6.1.patch", "fix-until-6.12.patch", "more.patch"].into_iter().for_each(put);
        let found = |fix: &str, release: &str| {
            let path = find_fix(dir.path(), Path::new("/nonexistent"), fix, release).expect("is there");
            path.file_name().expect("a name").to_string_lossy().into_owned()
        };
        assert_eq!(found("fix.patch", "7.2.12+deb14-amd64"), "fix.patch");
        assert_eq!(found("fix.patch", "6.12.117"), "fix-until-6.12.patch");
        assert_eq!(found("fix.patch", "6.6.1"), "fix-until-6.12.patch");
        assert_eq!(found("fix.patch", "6.1.0-50-amd64"), "fix-until-6.1.patch");
        assert_eq!(found("more.patch", "6.1.0-50-amd64"), "more.patch");
        assert!(find_fix(dir.path(), Path::new("/nonexistent"), "none.patch", "6.1").is_err());
        put("fix-until-new.patch");
        assert!(find_fix(dir.path(), Path::new("/nonexistent"), "fix.patch", "6.1").is_err());
    }

    #[test]
    fn a_refusal_has_to_be_the_one_that_was_asked_for() {
        let b = Build { name: "k".into(), fixes: Vec::new(), args: Vec::new(), hooks: None, refused: None };
        let wanted = Refused { exit: 2, says: vec!["init-function".into(), "what you can do".into()] };
        let nowhere = Path::new("/nonexistent/k.ko");
        let said = "[init-function] f: x\n  what you can do: y";
        assert!(check_refusal(&b, &wanted, Some(2), said, nowhere).is_ok());
        for (exit, said, word) in [
            (Some(0), said, "code 0, and not with 2"),
            (None, said, "a signal"),
            (Some(2), "[data-changed] d", "does not match `init-function`"),
        ] {
            let message = check_refusal(&b, &wanted, exit, said, nowhere).expect_err(word).to_string();
            assert!(message.contains(word), "{message}");
        }
    }
}
