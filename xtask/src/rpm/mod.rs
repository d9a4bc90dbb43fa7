// SPDX-License-Identifier: GPL-2.0-or-later
//! A kernel by its RPMs, the whole way: the stock kernel of a Debian target is packed as RHEL packs its own, by the real rpmbuild,
//! added by these files, built for, and booted; then added by the real dnf out of a repository of them, to the same target.
//!
//! Image, modules, .config, Module.symvers, generated headers and source are those of the real kernel, so proof and boot are too. The
//! layout of the packages is what is tried.

use crate::{proofs, say};
use anyhow::{bail, ensure, Context, Result};
use kmend_builder::files::{self, make_dir, remove_dir};
use kmend_builder::target::distro::debian::apt;
use kmend_builder::target::{store, Target};
use qemu_tests::builds;
use qemu_tests::cli::WITHOUT_RUST;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The target that is made.
const MADE: &str = "rpm:made";

/// The same by dnf.
const BY_DNF: &str = "rpm:made-by-dnf";

/// Fixes in vmlinux, in a function that has namesakes, and in a module.
const SCENARIOS: [&str; 3] = ["new-function-data", "namesake", "module-before"];

/// What the fix of the source package adds to the tarball's tree, so that there is something to apply.
const PATCH: &str = "--- /dev/null\n+++ b/redhat/kmend\n@@ -0,0 +1 @@\n+a file of the vendor's\n";

/// What is not packed as source: what builds leave in a tree.
const LEFT: [&str; 12] = [
    "*.o",
    "*.a",
    "*.so",
    "*.cmd",
    ".*.d",
    ".tmp_*",
    "./.config*",
    "./include/config",
    "./include/generated",
    "./Module.symvers",
    "./arch/*/include/generated",
    "./*.index",
];

/// Makes the RPMs where they are not kept, and goes the whole way with them. `--keep` leaves the target.
pub fn run(args: &[String]) -> Result<()> {
    let keep = match args.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [] => false,
        ["--keep"] => true,
        _ => bail!("`rpm` takes nothing or --keep, not `{}`", args.join(" ")),
    };
    let stock = store::load(WITHOUT_RUST)?;
    let dir = files::cache_dir()?.join("rpms").join(files::key(&[&stock.build_id, include_str!("kernel.spec"), PATCH]));
    let _lock = files::lock(&dir.with_extension("lock"), "makes RPMs of a kernel")?;
    if !dir.join("done").exists() {
        make(&stock, &dir)?;
        files::write(&dir.join("done"), b"")?;
    }
    let kmend_build = builds::find_kmend_build()?;
    let kmend = |words: &[&str]| Command::new(&kmend_build).args(words).status().context("cannot start kmend-build");
    // Those that a run which broke off has left.
    for name in [MADE, BY_DNF].iter().filter(|name| store::resolve(name).is_ok()) {
        ensure!(kmend(&["target", "remove", name])?.success(), "{name} cannot be removed");
    }
    say::title("adding it by its RPMs");
    let (binary, source) = built(&dir)?;
    let root = stock.root.display().to_string();
    let mut words = vec!["target", "add", MADE, "--root", &root, "--source", &source];
    for rpm in &binary {
        words.extend(["--rpm", rpm]);
    }
    ensure!(kmend(&words)?.success(), "the target was not added");
    let target = store::load(MADE)?;
    ensure!(target.tree.join("redhat/kmend").is_file(), "the patch of the source package was not applied");
    ensure!(target.build_id == stock.build_id, "{MADE} has another image than {}", stock.name);
    let mut only: Vec<String> = vec!["-t".into(), MADE.into()];
    only.extend(SCENARIOS.iter().flat_map(|name| ["--only".to_string(), name.to_string()]));
    proofs::run(&only)?;
    say::title("adding it by dnf");
    call(Command::new("createrepo_c").arg("-q").arg(&dir))?;
    let repo = dir.display().to_string();
    let words = ["target", "add", BY_DNF, "--release", &target.release, "--repo", &repo, "--root", &root];
    ensure!(kmend(&words)?.success(), "the target was not added by dnf");
    check_same(&target, &store::load(BY_DNF)?)?;
    ensure!(kmend(&["target", "remove", BY_DNF])?.success(), "{BY_DNF} cannot be removed");
    if !keep {
        ensure!(kmend(&["target", "remove", MADE])?.success(), "{MADE} cannot be removed");
    }
    Ok(())
}

/// Two targets of one kernel: all of their files are the same, source included. What was built in the one is not looked at.
fn check_same(one: &Target, other: &Target) -> Result<()> {
    ensure!(
        one.release == other.release
            && one.version == other.version
            && one.build_id == other.build_id
            && one.cc == other.cc,
        "{} and {} are not one kernel",
        one.name,
        other.name
    );
    let files = |target: &Target| [&target.config, &target.symvers, &target.vmlinuz, &target.tree].map(Clone::clone);
    for (a, b) in files(one).iter().zip(files(other)) {
        call(Command::new("diff").args(["-rq", "--no-dereference", "-x", "*.o", "-x", ".*.cmd"]).arg(a).arg(b))?;
    }
    Ok(())
}

/// The RPMs in `dir` and the source RPM.
fn built(dir: &Path) -> Result<(Vec<String>, String)> {
    let mut all = Vec::new();
    for folder in ["RPMS", "SRPMS"] {
        let entries = std::fs::read_dir(dir.join(folder)).with_context(|| dir.join(folder).display().to_string())?;
        all.extend(entries.flatten().map(|e| e.path().display().to_string()));
    }
    all.sort();
    let (source, binary): (Vec<String>, Vec<String>) = all.into_iter().partition(|path| path.ends_with(".src.rpm"));
    Ok((binary, source.into_iter().next().context("there is no source RPM")?))
}

/// Makes the RPMs of the kernel `stock` in `dir`.
fn make(stock: &Target, dir: &Path) -> Result<()> {
    say::title(&format!("packing {} as RPMs", stock.release));
    remove_dir(dir)?;
    let version = stock.version.split('-').next().unwrap_or_default();
    let (stage, sources, top) = (dir.join("stage"), dir.join("SOURCES"), format!("linux-{version}-1.made"));
    stage_files(stock, &stage)?;
    make_dir(&sources)?;
    // %build and %install start in it; it is %prep that would unpack it.
    make_dir(&dir.join("BUILD").join(&top))?;
    files::write(&sources.join(format!("patch-{version}-redhat.patch")), PATCH.as_bytes())?;
    files::write(&sources.join("linux-kernel-test.patch"), b"")?;
    let mut tar = Command::new("tar");
    tar.arg("-C").arg(&stock.tree).args(LEFT.map(|left| format!("--exclude={left}")));
    tar.arg(format!("--transform=s,^\\.,{top},S")).args(["--use-compress-program=xz -0 -T0", "-cf"]);
    call(tar.arg(sources.join(format!("{top}.tar.xz"))).arg("."))?;
    let spec = include_str!("kernel.spec").replace("@VERSION@", version).replace("@ARCH@", &stock.arch);
    files::write(&dir.join("kernel.spec"), spec.as_bytes())?;
    let mut build = Command::new("rpmbuild");
    build.args(["--noprep", "--nodeps", "-ba", "--target", &stock.arch]);
    for (name, value) in [
        ("_topdir", dir.display().to_string()),
        ("_rpmdir", dir.join("RPMS").display().to_string()),
        ("_build_name_fmt", "%%{NAME}-%%{VERSION}-%%{RELEASE}.%%{ARCH}.rpm".to_string()),
        ("stage", stage.display().to_string()),
        ("uname_r", stock.release.clone()),
    ] {
        build.args(["--define", &format!("{name} {value}")]);
    }
    call(build.arg(dir.join("kernel.spec")))?;
    for folder in ["stage", "SOURCES", "BUILD", "BUILDROOT"] {
        remove_dir(&dir.join(folder))?;
    }
    Ok(())
}

/// What each package holds, in a folder of its name.
fn stage_files(stock: &Target, stage: &Path) -> Result<()> {
    let release = &stock.release;
    let copy = |from: &Path, to: PathBuf| files::write(&to, &files::read(from)?);
    let core = stage.join("core/lib/modules").join(release);
    copy(&stock.vmlinuz, core.join("vmlinuz"))?;
    copy(&stock.config, core.join("config"))?;
    copy(&stock.symvers, core.join("symvers"))?;
    call(Command::new("gzip").arg(core.join("symvers")))?;
    let modules = stage.join("modules/lib/modules").join(release);
    make_dir(modules.parent().context("lib/modules")?)?;
    let shipped = stock.modules.as_ref().context("the target has no modules")?;
    call(Command::new("cp").args(["-R", "--no-dereference"]).arg(shipped).arg(&modules))?;
    for link in ["build", "source", "vmlinuz"] {
        let _ = std::fs::remove_file(modules.join(link));
    }
    // As RHEL ships them; many at a time, as each is small.
    let mut find = Command::new("find");
    find.arg(modules.join("kernel")).args(["-name", "*.ko", "-print0"]);
    let listed = find.output().context("find")?.stdout;
    let list = stage.join("modules.list");
    files::write(&list, &listed)?;
    call(Command::new("xargs").args(["-0", "-P2", "-n64", "-a"]).arg(&list).args(["xz", "-0", "--check=crc32"]))?;
    // The headers that Debian built its own modules with: include/ is the source's, the generated ones are the build's.
    let devel = stage.join("devel/usr/src/kernels").join(release);
    let (suite, arch) = ("bookworm", "amd64");
    let short = release.trim_end_matches("-amd64");
    for package in [format!("linux-headers-{short}-common"), format!("linux-headers-{release}")] {
        let deb = apt::fetch(suite, arch, &package, Some(&stock.version))?;
        let new = stage.join("deb");
        apt::unpack(&deb, &new, &[])?;
        make_dir(&devel)?;
        let from = new.join("usr/src").join(&package);
        for folder in
            ["include", "arch/x86/include", ".config", "Module.symvers"].iter().filter(|f| from.join(f).exists())
        {
            let to = devel.join(folder);
            make_dir(to.parent().context("usr/src")?)?;
            // Into what is there.
            call(Command::new("cp").args(["-R", "--no-dereference", "-T"]).arg(from.join(folder)).arg(to))?;
        }
        remove_dir(&new)?;
        let _ = std::fs::remove_file(&deb);
    }
    Ok(())
}

fn call(command: &mut Command) -> Result<()> {
    let program = command.get_program().to_string_lossy().into_owned();
    let out = command.output().with_context(|| format!("cannot start {program}"))?;
    ensure!(out.status.success(), "{program} failed:\n{}", kmend_builder::sandbox::tail(&out));
    Ok(())
}
