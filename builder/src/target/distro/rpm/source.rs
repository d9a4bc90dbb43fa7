// SPDX-License-Identifier: GPL-2.0-or-later
//! A kernel's source out of its source package: what `rpmbuild -bp` leaves where the build root has it, else the tarball with the
//! patches that the spec file applies, in the forms of RHEL, Fedora and SUSE.
//!
//! A spec file is a program, so it runs only in the sandbox: no network, and only its own folder is writable.

use super::package::Package;
use crate::files::{self, make_dir, remove_dir};
use crate::progress;
use crate::sandbox::{self, Limits, Sandbox, WORK};
use crate::target::add::is_source;
use crate::target::tied;
use anyhow::{bail, ensure, Context, Result};
use std::fs;
use std::path::{Path, PathBuf};

/// How deep below rpmbuild's BUILD a tree may be: rpm 4.20 has a folder more.
const DEPTH: usize = 4;

/// Unpacks the source package into `tree`, prepared as its spec file has it. `root` is the build root, `dir` a folder to work in.
///
/// # Errors
/// A %prep that fails, patches that do not apply, a package without a kernel's source; a full disk.
pub fn unpack(package: &Package, root: &Path, rpm_arch: &str, dir: &Path, tree: &Path) -> Result<()> {
    let work = dir.join("source.unpacking");
    remove_dir(&work)?;
    let result = fill(package, root, rpm_arch, &work, tree);
    // Half a source is of no use, least of all on a full disk.
    let removed = remove_dir(&work);
    result.with_context(|| package.path.display().to_string()).and(removed)
}

fn fill(package: &Package, root: &Path, rpm_arch: &str, work: &Path, tree: &Path) -> Result<()> {
    let sources = work.join("SOURCES");
    make_dir(&sources)?;
    package.unpack(&|path| Some(sources.join(Path::new(path).file_name()?)))?;
    let spec = only(&sources, "spec file", &|name| name.ends_with(".spec"))?;
    let found = if has_rpmbuild(root) {
        let step = progress::step("preparing the source as its spec file has it (rpmbuild -bp)");
        let found = rpmbuild(root, rpm_arch, work, &spec)?;
        step.done("");
        found
    } else {
        let step = progress::step("unpacking the source, with the patches of its spec file");
        let found = by_hand(&sources, &spec, work)?;
        step.done("there is no rpmbuild in the build root");
        found
    };
    fs::rename(&found, tree).with_context(|| format!("cannot rename {} to {}", found.display(), tree.display()))
}

fn has_rpmbuild(root: &Path) -> bool {
    ["usr/bin/rpmbuild", "bin/rpmbuild"].iter().any(|path| root.join(path).exists())
}

/// Runs %prep in the sandbox; the tree that it leaves.
fn rpmbuild(root: &Path, rpm_arch: &str, work: &Path, spec: &Path) -> Result<PathBuf> {
    for folder in ["BUILD", "SPECS", "tmp"] {
        make_dir(&work.join(folder))?;
    }
    let name = spec.file_name().context("spec file")?.to_string_lossy().into_owned();
    let sandbox = Sandbox::new(root).writable(work, WORK).cwd(WORK).limits(Limits::of_tools().longer(4));
    let spec_inside = format!("{WORK}/SOURCES/{name}");
    let defines = [
        format!("_topdir {WORK}"),
        format!("_tmppath {WORK}/tmp"),
        format!("_dbpath {WORK}/tmp/db"),
        // Their configs were compared with the kernel's when that was built.
        "with_configchecks 0".to_string(),
    ];
    let mut args = vec!["-bp", "--nodeps", "--target", rpm_arch];
    for define in &defines {
        args.extend(["--define", define]);
    }
    args.push(&spec_inside);
    let out = sandbox.output("rpmbuild", &args)?;
    ensure!(
        out.status.success(),
        "rpmbuild -bp fails with {name} in the build root {}: a program that its %prep calls may be missing there\n{}",
        root.display(),
        sandbox::tail(&out)
    );
    let mut trees = Vec::new();
    find_trees(&work.join("BUILD"), DEPTH, &mut trees)?;
    match trees.len() {
        1 => Ok(trees.remove(0)),
        0 => bail!("rpmbuild -bp leaves no kernel source with {name}: is it a kernel's source package?"),
        _ => bail!(
            "rpmbuild -bp leaves {} kernel sources with {name}, and nothing says which of them is meant",
            trees.len()
        ),
    }
}

fn find_trees(dir: &Path, depth: usize, found: &mut Vec<PathBuf>) -> Result<()> {
    if is_source(dir) {
        found.push(dir.into());
        return Ok(());
    }
    if depth == 0 {
        return Ok(());
    }
    for entry in fs::read_dir(dir).with_context(|| dir.display().to_string())?.flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            find_trees(&entry.path(), depth - 1, found)?;
        }
    }
    Ok(())
}

/// The one file in `dir` that is meant.
fn only(dir: &Path, what: &str, is_it: &dyn Fn(&str) -> bool) -> Result<PathBuf> {
    let mut names = names(dir)?;
    names.retain(|name| is_it(name));
    ensure!(names.len() == 1, "it has {} files that look like its {what}, not one: {}", names.len(), names.join(", "));
    Ok(dir.join(names.remove(0)))
}

/// The names of the files in `dir`, sorted.
fn names(dir: &Path) -> Result<Vec<String>> {
    let entries = fs::read_dir(dir).with_context(|| dir.display().to_string())?;
    let mut names: Vec<String> = entries.flatten().map(|e| e.file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    Ok(names)
}

/// The ends of tarballs' names.
const TAR: [&str; 5] = [".tar.xz", ".tar.gz", ".tar.bz2", ".tar.zst", ".tar"];

/// `linux-6.12` of `linux-6.12.tar.xz`.
fn tarball(name: &str) -> Option<&str> {
    TAR.iter().find_map(|end| name.strip_suffix(end))
}

/// Without rpmbuild: the one tarball of Linux, then the patches of the spec file (RHEL, Fedora) or of series.conf (SUSE).
fn by_hand(sources: &Path, spec: &Path, work: &Path) -> Result<PathBuf> {
    let is_linux = |name: &str| {
        let version = tarball(name).and_then(|stem| stem.strip_prefix("linux-"));
        version.is_some_and(|v| v.starts_with(|c: char| c.is_ascii_digit()))
    };
    let linux = only(sources, "tarball of Linux", &is_linux)?;
    let tree = work.join("tree");
    untar(&linux, &tree, 1)?;
    ensure!(is_source(&tree), "{} holds no kernel source", linux.file_name().unwrap_or_default().to_string_lossy());
    let all = names(sources)?;
    let series = sources.join("series.conf");
    let patches = if series.exists() {
        for name in all.iter().filter(|name| name.starts_with("patches.") && tarball(name).is_some()) {
            untar(&sources.join(name), work, 0)?;
        }
        series_conf(&files::read_text(&series)?)?.into_iter().map(|patch| work.join(patch)).collect()
    } else {
        let named = spec_patches(&files::read_text(spec)?, &all)?;
        named.into_iter().map(|patch| sources.join(patch)).collect::<Vec<PathBuf>>()
    };
    for patch in patches {
        apply(&patch, &tree)?;
    }
    Ok(tree)
}

/// Unpacks a tarball by tar, which knows how it is packed.
fn untar(file: &Path, to: &Path, strip: usize) -> Result<()> {
    make_dir(to)?;
    let mut tar = tied("tar");
    tar.args(["-x", "--no-same-owner", "--no-same-permissions", &format!("--strip-components={strip}"), "-C"]);
    let out = tar.arg(to).arg("-f").arg(file).output().context("cannot start tar")?;
    let full = String::from_utf8_lossy(&out.stderr).contains("No space left");
    let hint =
        if full { "the disk is full" } else { "is the package damaged, or the program that unpacks it missing?" };
    let name = file.file_name().unwrap_or_default().to_string_lossy();
    ensure!(out.status.success(), "cannot unpack {name}: {hint}\n{}", sandbox::tail(&out));
    Ok(())
}

/// Applies a patch in the tree, without fuzz.
fn apply(patch: &Path, tree: &Path) -> Result<()> {
    let name = patch.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let size = fs::metadata(patch).with_context(|| format!("the patch {name} is not in the package"))?.len();
    if size == 0 {
        // Fedora's linux-kernel-test.patch is there for people to fill.
        return Ok(());
    }
    let mut command = tied("patch");
    command
        .args(["-p1", "--fuzz=0", "--force", "--silent", "--no-backup-if-mismatch", "-i"])
        .arg(patch)
        .arg("-d")
        .arg(tree);
    let out = command.output().context("cannot start patch")?;
    ensure!(out.status.success(), "the patch {name} does not apply to the source\n{}", sandbox::tail(&out));
    Ok(())
}

/// The patches of a spec file, `Patch1: patch-%{patchversion}-redhat.patch`, in the order of their numbers. Macros are not known
/// here: each name has to fit one of the package's files.
///
/// # Errors
/// Names that fit none or several.
fn spec_patches(spec: &str, all: &[String]) -> Result<Vec<String>> {
    let mut found = Vec::new();
    for line in spec.lines() {
        let Some((tag, name)) = line.split_once(':') else { continue };
        let Some(number) = tag.trim().strip_prefix("Patch").or_else(|| tag.trim().strip_prefix("patch")) else {
            continue;
        };
        let number: u64 = match number.parse() {
            Ok(number) => number,
            Err(_) if number.is_empty() => found.len() as u64,
            Err(_) => continue,
        };
        let name = name.trim().rsplit('/').next().unwrap_or_default();
        let fit: Vec<&String> = all.iter().filter(|file| fits(name, file)).collect();
        match fit[..] {
            [file] => found.push((number, file.clone())),
            [] => bail!("its spec file names the patch {name}, which is not in it"),
            _ => bail!("its spec file names the patch {name}, which several files fit: use a build root with rpmbuild"),
        }
    }
    found.sort();
    Ok(found.into_iter().map(|(_, name)| name).collect())
}

/// Whether `file` is what `name` can come to, each macro in it standing for anything.
fn fits(name: &str, file: &str) -> bool {
    let Some(start) = name.find('%') else { return name == file };
    let (before, rest) = name.split_at(start);
    let Some(file) = file.strip_prefix(before) else { return false };
    let behind = match rest.strip_prefix("%{") {
        Some(inner) => inner.split_once('}').map_or("", |(_, behind)| behind),
        None => rest[1..].trim_start_matches(|c: char| c.is_ascii_alphanumeric() || c == '_'),
    };
    (1..=file.len()).filter(|&at| file.is_char_boundary(at)).any(|at| fits(behind, &file[at..]))
}

/// The patches of SUSE's series.conf, in their order: a path a line; those with a guard (`+name`) are left out, as SUSE does
/// where no guard is set.
///
/// # Errors
/// A path that leads elsewhere.
fn series_conf(text: &str) -> Result<Vec<String>> {
    let mut patches = Vec::new();
    for line in text.lines() {
        let line = line.split('#').next().unwrap_or_default();
        let words: Vec<&str> = line.split_whitespace().collect();
        let [guards @ .., path] = &words[..] else { continue };
        if guards.iter().any(|guard| guard.starts_with('+')) {
            continue;
        }
        let is_plain = path.starts_with("patches.") && !path.split('/').any(|part| part == "..");
        ensure!(is_plain, "series.conf names {path:?}, which is no patch of the package");
        patches.push(path.to_string());
    }
    Ok(patches)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patches_of_spec_files() {
        let all = ["kernel.spec", "linux-6.17.tar.xz", "linux-kernel-test.patch", "patch-6.17-redhat.patch"]
            .map(String::from);
        let spec = "Name: kernel\nSource0: linux-%{tarfile_release}.tar.xz\nPatch999999: linux-kernel-test.patch\n\
                    %if !%{nopatches}\nPatch1: patch-%{patchversion}-redhat.patch\n%endif\n";
        assert_eq!(spec_patches(spec, &all).unwrap(), ["patch-6.17-redhat.patch", "linux-kernel-test.patch"]);
        assert!(spec_patches("Patch1: %{name}.patch\n", &all[..2]).is_err());
        assert!(spec_patches("Patch1: %{x}.patch\n", &all).unwrap_err().to_string().contains("several"));
        assert!(fits("a-%{?x}-%y.patch", "a-1-2.patch") && !fits("a-%{x}.patch", "b-1.patch") && fits("%", "é"));
    }

    #[test]
    fn patches_of_series_conf() {
        let text = "# Kernel patches\n\n\tpatches.suse/a.patch\n+needs_work\tpatches.suse/b.patch\n-x patches.suse/c.patch # no\n";
        assert_eq!(series_conf(text).unwrap(), ["patches.suse/a.patch", "patches.suse/c.patch"]);
        assert!(series_conf("/etc/passwd\n").is_err() && series_conf("patches.suse/../../x\n").is_err());
    }

    #[test]
    fn a_tree_comes_of_tarball_and_patches() {
        let dir = tempfile::tempdir().unwrap();
        let sources = dir.path().join("SOURCES");
        let tree = dir.path().join("linux-6.17");
        for (file, text) in [("Kbuild", ""), ("Makefile", "VERSION = 6\n"), ("kernel/livepatch/core.c", "int a;\n")] {
            files::write(&tree.join(file), text.as_bytes()).unwrap();
        }
        make_dir(&sources).unwrap();
        let mut tar = std::process::Command::new("tar");
        tar.args(["-C", &dir.path().display().to_string(), "-cJf"])
            .arg(sources.join("linux-6.17.tar.xz"))
            .arg("linux-6.17");
        assert!(tar.status().unwrap().success());
        let patch = "--- a/kernel/livepatch/core.c\n+++ b/kernel/livepatch/core.c\n@@ -1 +1 @@\n-int a;\n+int b;\n";
        files::write(&sources.join("patch-6.17-redhat.patch"), patch.as_bytes()).unwrap();
        files::write(&sources.join("linux-kernel-test.patch"), b"").unwrap();
        let spec = sources.join("kernel.spec");
        files::write(&spec, b"Patch1: patch-%{v}-redhat.patch\nPatch2: linux-kernel-test.patch\n").unwrap();
        let made = by_hand(&sources, &spec, &dir.path().join("work")).unwrap();
        assert_eq!(files::read_text(&made.join("kernel/livepatch/core.c")).unwrap(), "int b;\n");
        files::write(&sources.join("patch-6.17-redhat.patch"), patch.replace("-int a", "-int x").as_bytes()).unwrap();
        let said = by_hand(&sources, &spec, &dir.path().join("again")).unwrap_err().to_string();
        assert!(said.contains("patch-6.17-redhat.patch"), "{said}");
    }

    #[test]
    fn trees_are_found_below_build() {
        let dir = tempfile::tempdir().unwrap();
        let mut found = Vec::new();
        let tree = dir.path().join("kernel-6.17-build/kernel-6.17/linux-6.17");
        for file in ["Kbuild", "Makefile", "kernel/livepatch/core.c"] {
            files::write(&tree.join(file), b"").unwrap();
        }
        find_trees(dir.path(), DEPTH, &mut found).unwrap();
        assert_eq!(found, [tree]);
        assert!(has_rpmbuild(Path::new("/")) || !Path::new("/usr/bin/rpmbuild").exists());
    }
}
