// SPDX-License-Identifier: GPL-2.0-or-later
//! A repository that dnf reads: createrepo_c makes it, modifyrepo_c adds the advisories. It is made under a temporary
//! name, and replaces the existing one when it is complete.

use super::updateinfo::{updateinfo, Advisory};
use crate::index::{Dates, TAG, VALID_UNTIL};
use crate::program::run;
use crate::signing::Key;
use crate::{date, files};
use anyhow::{ensure, Context, Result};
use regex::Regex;
use std::fs::{self, File};
use std::path::Path;
use std::process::Command;
use std::time::{Duration, UNIX_EPOCH};

/// Makes `folder`, which holds RPMs, a repository: `folder/repodata`. All its times are `dates.date`; those of the RPMs' files
/// become the times when they were built, so that a mirror does not fetch them anew with each index. The same RPMs and
/// advisories give the same bytes. With `key`, repomd.xml.asc lies beside repomd.xml (`repo_gpgcheck=1`). RPMs in folders below
/// are not in it.
pub fn repository(folder: &Path, advisories: &[Advisory], dates: Dates, key: Option<&Key>) -> Result<()> {
    dates.check()?;
    let seconds = date::rpm(dates.date)?;
    let rpms = files::with_ending(folder, "rpm")?;
    ensure!(!rpms.is_empty(), "{} holds no RPM to make a repository of", folder.display());
    let mut list = String::new();
    for path in &rpms {
        let name = path.file_name().and_then(|n| n.to_str()).filter(|n| !n.contains('\n'));
        list.push_str(name.with_context(|| format!("{} has a strange name", path.display()))?);
        list.push('\n');
        let built = rpm::PackageMetadata::open(path).and_then(|package| package.get_build_time());
        let built = built.with_context(|| format!("{} is no RPM", path.display()))?;
        let at = UNIX_EPOCH + Duration::from_secs(built.min(u32::MAX.into()));
        let stamped = File::options().append(true).open(path).and_then(|file| file.set_modified(at));
        stamped.with_context(|| format!("cannot set the time of {}", path.display()))?;
    }
    let beside = tempfile::Builder::new()
        .prefix(".kmend-")
        .tempdir_in(folder)
        .with_context(|| format!("cannot write in {}", folder.display()))?;
    let packages = beside.path().join("packages");
    files::write(&packages, list.as_bytes())?;
    let mut create = Command::new("createrepo_c");
    create
        .args(["--quiet", "--no-database", "--workers=1", "--compress-type=gz", "--set-timestamp-to-revision"])
        .arg(format!("--revision={seconds}"))
        .arg(format!("--content={TAG}"));
    if let Some(until) = dates.valid_until {
        create.arg(format!("--content={VALID_UNTIL}{}", date::zulu(until)?));
    }
    create.arg("--pkglist").arg(&packages).arg("--outputdir").args([beside.path(), folder]);
    run(&mut create, "createrepo-c")?;
    let repodata = beside.path().join("repodata");
    if !advisories.is_empty() {
        let path = beside.path().join("updateinfo.xml");
        files::write(&path, updateinfo(advisories)?.as_bytes())?;
        let add = ["--mdtype=updateinfo", "--compress-type=gz"];
        run(Command::new("modifyrepo_c").args(add).args([&path, &repodata]), "createrepo-c")?;
    }
    seal(&repodata.join("repomd.xml"), seconds, key)?;
    files::readable(&repodata)?;
    swap(&repodata, &folder.join("repodata"), &beside.path().join("before"))
}

/// modifyrepo_c writes the time of day into repomd.xml; and what is signed is what is there in the end.
fn seal(repomd: &Path, seconds: u32, key: Option<&Key>) -> Result<()> {
    let text = files::read_text(repomd)?;
    let times = Regex::new("<timestamp>[0-9]+</timestamp>").context("timestamps")?;
    let text = times.replace_all(&text, format!("<timestamp>{seconds}</timestamp>"));
    files::write(repomd, text.as_bytes())?;
    if let Some(key) = key {
        let signature = key.beside(text.as_bytes(), seconds.into())?;
        files::write(&repomd.with_extension("xml.asc"), signature.as_bytes())?;
    }
    Ok(())
}

/// `new` takes the place of `old`, which is kept as `aside` until then.
fn swap(new: &Path, old: &Path, aside: &Path) -> Result<()> {
    let cannot = || format!("cannot put the new repository at {}", old.display());
    let before = old.exists();
    if before {
        fs::rename(old, aside).with_context(cannot)?;
    }
    let put = fs::rename(new, old);
    if put.is_err() && before {
        fs::rename(aside, old).with_context(|| format!("{}: the old one is lost as well", cannot()))?;
    }
    put.with_context(cannot)
}
