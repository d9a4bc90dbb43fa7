// SPDX-License-Identifier: GPL-2.0-or-later
//! Fetches a kernel's packages and its source package out of repositories: a release in, files in the cache out.

use super::dnf::{Dnf, Found, NAME_ANOTHER};
use crate::files::{self, make_dir, remove_dir};
use crate::progress;
use anyhow::{bail, ensure, Context, Result};
use kmend_shared::arch::{self, ArchNames};
use std::fs;
use std::path::{Path, PathBuf};

/// A kernel's packages in the cache.
#[derive(Debug)]
pub struct Fetched {
    /// Their folder, which can go once the target is there.
    pub dir: PathBuf,
    /// The files.
    pub packages: Vec<PathBuf>,
    /// The source package; None where it was not wanted.
    pub source: Option<PathBuf>,
}

/// How many kernels a message names.
const SHOWN: usize = 10;

/// The architecture that the kernel `release` is for: its release ends with it in most distributions; else this machine's.
///
/// # Errors
/// This machine's is not supported.
pub fn arch_of(release: &str) -> Result<&'static ArchNames> {
    // A flavour can be behind it: `5.14.0-427.el9.x86_64+rt`.
    let is_word = |word: &str| word.bytes().all(|b| b.is_ascii_lowercase());
    let plain = release.rsplit_once('+').filter(|(_, end)| is_word(end)).map_or(release, |(plain, _)| plain);
    Ok(ArchNames::of_release(plain).map_or_else(|| ArchNames::named(arch::host()), Ok)?)
}

/// Fetches the kernel `release`, and its source package if `with_source`.
///
/// # Errors
/// Repositories that do not have it, or not its source; a download that breaks off.
pub fn fetch(dnf: &Dnf, release: &str, with_source: bool) -> Result<Fetched> {
    let step = progress::step(format!("asking {} for {release}", dnf.repositories));
    dnf.refresh()?;
    let image = image(dnf, release)?;
    let packages = packages(dnf, &image)?;
    if with_source {
        ensure!(
            !dnf.query(&["--srpm", &image.full_name()])?.is_empty(),
            "{} has the kernel {release} ({}), but not its source package {}: {NAME_ANOTHER} beside these (each repository that is \
             meant is named then), --source FILE the source package itself",
            dnf.repositories,
            image.full_name(),
            image.source
        );
    }
    step.done(&packages.iter().map(|p| p.name.as_str()).collect::<Vec<_>>().join(", "));

    let kernels = files::cache_dir()?.join("dnf/kernels");
    let name = format!("{}-{}", image.full_name(), &dnf.key()[..12]);
    let dir = kernels.join(&name);
    let _lock = files::lock(&kernels.join(format!("{name}.lock")), "fetches the same kernel")?;
    let has_source = |dir: &Path| Ok::<_, anyhow::Error>(read(dir)?.source.is_some());
    if !dir.exists() || (with_source && !has_source(&dir)?) {
        let step = progress::step(format!("fetching the packages of {release}"));
        // What was fetched whole stays there for a run that follows one that broke off.
        let new = kernels.join(format!("{name}.part"));
        make_dir(&new)?;
        dnf.download(&packages.iter().map(Found::full_name).collect::<Vec<_>>(), false, &new)?;
        if with_source {
            dnf.download(&[image.full_name()], true, &new)?;
        }
        remove_dir(&dir)?;
        fs::rename(&new, &dir).with_context(|| format!("cannot rename {} to {}", new.display(), dir.display()))?;
        step.done("");
    }
    let fetched = read(&dir)?;
    ensure!(
        fetched.packages.len() >= packages.len() && (fetched.source.is_some() || !with_source),
        "{} has not all packages of {release}: remove it, and run again",
        dir.display()
    );
    Ok(fetched)
}

/// The RPMs in the folder.
fn read(dir: &Path) -> Result<Fetched> {
    let mut packages = Vec::new();
    for entry in fs::read_dir(dir).with_context(|| dir.display().to_string())? {
        let path = entry.with_context(|| dir.display().to_string())?.path();
        if path.extension().is_some_and(|end| end == "rpm") {
            packages.push(path);
        }
    }
    packages.sort();
    let (source, packages): (Vec<PathBuf>, Vec<PathBuf>) =
        packages.into_iter().partition(|path| path.to_string_lossy().ends_with(".src.rpm"));
    Ok(Fetched { dir: dir.into(), packages, source: source.into_iter().next() })
}

/// The package with the image of `release`: RHEL's and Fedora's say so, the others are found by their files.
fn image(dnf: &Dnf, release: &str) -> Result<Found> {
    let mut found = dnf.query(&["--whatprovides", &format!("kernel-uname-r = {release}")])?;
    if found.is_empty() {
        for path in [
            format!("/lib/modules/{release}/vmlinuz"),
            format!("/usr/lib/modules/{release}/vmlinuz"),
            format!("/boot/vmlinuz-{release}"),
        ] {
            found = dnf.query(&["--file", &path])?;
            if !found.is_empty() {
                break;
            }
        }
    }
    match &found[..] {
        [one] => Ok(one.clone()),
        [] => {
            let all = dnf.kernels()?;
            let have = match all.is_empty() {
                true => "no kernel that says its release".to_string(),
                false => all[all.len().saturating_sub(SHOWN)..].join(", "),
            };
            bail!(
                "{} has no kernel {release}; it has {have}. `uname -r` on the host says the release; {NAME_ANOTHER} that has it (a \
                 vault of older packages, say), --rpm and --source its files",
                dnf.repositories
            )
        }
        several => bail!(
            "{} has several packages with the kernel {release}: {}. Name one repository, or the files with --rpm and --source",
            dnf.repositories,
            several.iter().map(Found::full_name).collect::<Vec<_>>().join(", ")
        ),
    }
}

/// The packages of the same build that a target takes.
fn packages(dnf: &Dnf, image: &Found) -> Result<Vec<Found>> {
    let names: Vec<String> =
        names(&image.name).iter().map(|name| format!("{name}-{}.{}", image.version, image.arch)).collect();
    let mut found = dnf.query(&names.iter().map(String::as_str).collect::<Vec<_>>())?;
    found.retain(|package| package.source == image.source);
    Ok(found)
}

/// The packages with image, modules and headers of a kernel whose image is in the package `image`: `kernel-core` and
/// `kernel-rt-core` of RHEL and Fedora, `kernel` of Amazon, `kernel-default` of SUSE.
fn names(image: &str) -> Vec<String> {
    let base = image.strip_suffix("-core").unwrap_or(image);
    let ends = ["modules-core", "modules", "modules-extra", "extra", "optional", "devel"];
    std::iter::once(image.to_string()).chain(ends.iter().map(|end| format!("{base}-{end}"))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packages_of_a_kernel() {
        assert_eq!(names("kernel-core")[..3], ["kernel-core", "kernel-modules-core", "kernel-modules"]);
        assert_eq!(names("kernel-rt-core")[1], "kernel-rt-modules-core");
        assert!(names("kernel").contains(&"kernel-devel".to_string()));
        assert!(names("kernel-default").contains(&"kernel-default-extra".to_string()));
    }

    #[test]
    fn architectures_of_releases() {
        let of = |release| arch_of(release).unwrap().uname;
        assert_eq!(of("5.14.0-427.el9.ppc64le"), "ppc64le");
        assert_eq!(of("5.14.0-427.el9.x86_64+rt"), "x86_64");
        assert_eq!(of("6.4.0-150600.23.25-default"), arch::host());
    }
}
