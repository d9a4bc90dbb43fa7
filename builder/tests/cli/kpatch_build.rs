// SPDX-License-Identifier: GPL-2.0-or-later
//! kmend-build called as kpatch-build: which kernel is meant, what is written and where, what is refused.

use super::fake::{good_fix, Fake};
use super::kernel::{Kernel, SMALL};
use super::tool::{collect, folder, names, put, Ran, KMEND};
use super::Test;
use kmend_builder::target::store;
use std::ffi::OsStr;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

pub const TESTS: &[Test] = &[
    ("options_that_are_not_taken", options_that_are_not_taken),
    ("files_that_are_not_there", files_that_are_not_there),
    ("which_kernel_is_meant", which_kernel_is_meant),
    ("kernels_that_are_not_there", kernels_that_are_not_there),
    ("several_targets_fit", several_targets_fit),
    ("configs_are_compared", configs_are_compared),
    ("help_and_version", help_and_version),
];

pub const WITH_TARGET: &[Test] = &[("live_patch_where_kpatch_build_puts_it", live_patch)];

/// kpatch-build, a link in `dir`, called in the folder `at`.
fn kpatch_build(dir: &Path, cache: &Path, at: &Path) -> Command {
    let link = dir.join("kpatch-build");
    if !link.exists() {
        symlink(KMEND, &link).unwrap();
    }
    let mut command = Command::new(link);
    command.env("KMEND_CACHE", cache).env_remove("TARGET_ARCH").current_dir(at).stdin(Stdio::null());
    command
}

/// A fake target, a patch, and the folder in which kpatch-build is called.
struct Place {
    fake: Fake,
    patch: PathBuf,
    at: PathBuf,
}

impl Place {
    fn new() -> Self {
        let fake = Fake::new();
        let patch = put(fake.dir.path(), "a.patch", good_fix());
        let at = fake.dir.path().join("here");
        std::fs::create_dir(&at).unwrap();
        Self { fake, patch, at }
    }

    fn command(&self) -> Command {
        let mut command = kpatch_build(self.fake.dir.path(), &self.fake.cache(), &self.at);
        command.arg(&self.patch);
        command
    }

    fn run<S: AsRef<OsStr>>(&self, args: &[S]) -> Ran {
        collect(self.command().args(args))
    }

    /// Runs it, and asserts that it came to build for this target. (A fake one has no kbuild, so no more comes of that.)
    fn builds_for<S: AsRef<OsStr>>(&self, args: &[S], target: &str) -> Ran {
        let ran = self.run(args);
        ran.sane();
        assert!(ran.err.contains(&format!("kpatch-build: using the target {target}\n")), "{ran:?}");
        ran
    }
}

fn options_that_are_not_taken() {
    let place = Place::new();
    for args in [&["-e", "x.ko"][..], &["--oot-module", "x.ko"], &["--oot-module=x.ko", "--oot-module-src", "."]] {
        place.run(args).fails(1, &["--oot-module: "]);
    }
    place.run(&["--oot-module-src", "."]).fails(1, &["--oot-module-src: "]);
    for args in [&["-g", "gcc-12"][..], &["--gcc", "gcc"], &["--no-such"], &["-j", "0"], &["-j", "x"], &["-a"]] {
        place.run(args).fails(1, &[]);
    }
    place.run(&["-a", "7.2.0-fake", "-r", "kernel-1-1.src.rpm"]).fails(1, &["--sourcerpm"]);
    assert!(names(&place.at).is_empty());
    // Options without effect, and shortened ones.
    let all =
        ["--archv", "7.2.0-fake", "-j4", "-t", "vmlinux", "--skip-gcc-check", "--skip-compiler-check", "--skip-cl"];
    let ran = place.builds_for(&all, "tree:fake");
    for option in ["--jobs: ", "--target: ", "--skip-gcc-check: ", "--skip-compiler-check: "] {
        assert!(ran.err.contains(&format!("kpatch-build: {option}")), "{option}: {}", ran.err);
    }
    // The last one counts, as with getopt.
    place.builds_for(&["-a", "1.0", "-a", "7.2.0-fake"], "tree:fake");
}

fn files_that_are_not_there() {
    let place = Place::new();
    for (option, path) in [
        ("--config", "no"),
        ("--vmlinux", "no"),
        ("--sourcerpm", "no.src.rpm"),
        ("--sourcedir", "no"),
        ("--output", "no"),
    ] {
        place.run(&[option, path]).fails(1, &[option, path]);
    }
    place.run(&["no.patch"]).fails(1, &["no.patch"]);
    // No standard input, no folders: kpatch-build has none.
    place.run(&["-"]).fails(1, &["no patch file -"]);
    collect(&mut kpatch_build(place.fake.dir.path(), &place.fake.cache(), &place.at))
        .fails(1, &["Usage: kpatch-build"]);
    assert!(names(&place.at).is_empty());
}

fn which_kernel_is_meant() {
    let place = Place::new();
    let (tree, image) = (&place.fake.target.tree, &place.fake.target.vmlinux);
    place.builds_for(&["-a", "7.2.0-fake"], "tree:fake");
    place.builds_for(&[OsStr::new("-v"), image.as_os_str()], "tree:fake");
    place.builds_for(&[OsStr::new("-v"), image.as_os_str(), OsStr::new("-a"), OsStr::new("7.2.0-fake")], "tree:fake");
    place.builds_for(&[OsStr::new("-s"), tree.as_os_str(), OsStr::new("-v"), image.as_os_str()], "tree:fake");
    place.builds_for(&["-t", "tree:fake"], "tree:fake");
    // Without a vmlinux of its own a tree says nothing.
    place.run(&[OsStr::new("-s"), tree.as_os_str()]).fails(1, &["--vmlinux"]);
    std::fs::copy(image, tree.join("vmlinux")).unwrap();
    place.builds_for(&[OsStr::new("-s"), tree.as_os_str()], "tree:fake");
    // The same kernel, another folder: the target's own source is used, which is said.
    let other = place.fake.dir.path().join("other");
    std::fs::create_dir(&other).unwrap();
    let ran =
        place.builds_for(&[OsStr::new("-s"), other.as_os_str(), OsStr::new("-v"), image.as_os_str()], "tree:fake");
    assert!(ran.err.contains("its own source is used"), "{}", ran.err);
    // What contradicts itself.
    let says = ["7.2.0-fake", "9.9"];
    place.run(&["-t", "tree:fake", "-a", "9.9"]).fails(1, &says);
    place.run(&["-t", "tree:fake", "-t", "tree:other"]).fails(1, &["--target"]);
    place.run(&["-t", "tree:none"]).fails(1, &["no target \"tree:none\""]);
}

fn kernels_that_are_not_there() {
    let place = Place::new();
    let how =
        ["no target for the kernel 9.9-x", "tree:fake (7.2.0-fake)", "/9.9-x`", "kmend-build target add --tree DIR"];
    place.run(&["-a", "9.9-x"]).fails(1, &how);
    let running = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap();
    place.run::<&str>(&[]).fails(1, &[&format!("no target for the kernel {}", running.trim())]);
    put(&place.at, "kernel-5.14.0-362.el9.src.rpm", "");
    place.run(&["-r", "kernel-5.14.0-362.el9.src.rpm"]).fails(1, &["no target for the kernel 5.14.0-362.el9."]);
    // A tree that is no target and cannot be one, and one of another release.
    let tree = place.fake.dir.path().join("plain");
    put(&tree, "include/config/kernel.release", "7.7\n");
    put(&tree, "vmlinux", "");
    place.run(&[OsStr::new("-s"), tree.as_os_str()]).fails(1, &["vmlinux"]);
    std::fs::copy(&place.fake.target.vmlinux, tree.join("vmlinux")).unwrap();
    place.run(&[OsStr::new("-s"), tree.as_os_str(), OsStr::new("-a"), OsStr::new("9.9")]).fails(1, &["9.9", "7.7"]);
    let mut other = place.fake.target.clone();
    other.build_id = "cd".repeat(20);
    place.fake.store(&other);
    place
        .run(&[OsStr::new("-s"), tree.as_os_str()])
        .fails(1, &["kmend-build target add --tree", "is no kernel source tree"]);
    place.run(&["-v", "../vmlinux"]).fails(1, &["no target for the kernel of ../vmlinux"]);
}

fn several_targets_fit() {
    let place = Place::new();
    let mut other = place.fake.target.clone();
    other.name = "tree:other".into();
    let record = format!("targets/{}/target.json", store::escape(&other.name));
    put(&place.fake.cache(), &record, serde_json::to_vec(&other).unwrap());
    place.run(&["-a", "7.2.0-fake"]).fails(1, &["tree:fake, tree:other", "-t"]);
    place.builds_for(&["-a", "7.2.0-fake", "-t", "tree:other"], "tree:other");
    // One for this machine's architecture is meant, unless $TARGET_ARCH says another.
    other.arch = "ppc64le".into();
    put(&place.fake.cache(), &record, serde_json::to_vec(&other).unwrap());
    if kmend_shared::arch::host() == "x86_64" {
        place.builds_for(&["-a", "7.2.0-fake"], "tree:fake");
        let ran = collect(place.command().args(["-a", "7.2.0-fake"]).env("TARGET_ARCH", "ppc64le"));
        assert!(ran.err.contains("using the target tree:other\n"), "{ran:?}");
    }
}

fn configs_are_compared() {
    let place = Place::new();
    put(&place.at, "same", "# a comment\nCONFIG_LIVEPATCH=y\n# CONFIG_X is not set\n");
    place.builds_for(&["-a", "7.2.0-fake", "-c", "same"], "tree:fake");
    put(&place.at, "other", "CONFIG_LIVEPATCH=y\nCONFIG_OTHER=m\n");
    place.run(&["-a", "7.2.0-fake", "-c", "other"]).fails(1, &["--config", "CONFIG_OTHER=m"]);
}

fn help_and_version() {
    let dir = folder();
    let run = |args: &[&str]| collect(kpatch_build(dir.path(), dir.path(), dir.path()).args(args));
    for flag in ["-h", "--help"] {
        let help = run(&[flag]);
        for option in
            ["--archversion", "--sourcerpm", "--sourcedir", "--config", "--vmlinux", "--jobs", "--target", "--name"]
        {
            assert!(help.succeeds().out.contains(option), "{option}: {}", help.out);
        }
    }
    assert!(run(&["--version"]).succeeds().out.starts_with("Version : "));
}

fn live_patch() {
    let kernel = Kernel::new().with_shared_objects();
    let at = kernel.dir.path().join("here");
    std::fs::create_dir(&at).unwrap();
    let patch = kernel.fix("0001-fix.it~now.patch", SMALL, "seq_putc(m, '\\n');", "seq_puts(m, \" changed\\n\");");
    let release = kernel.target.release.as_str();
    let run = |args: &[&OsStr]| {
        let mut command = kpatch_build(kernel.dir.path(), &kernel.cache(), &at);
        let ran = collect(command.args(["-a", release]).arg(&patch).args(args));
        ran.succeeds();
        assert_eq!(ran.out.lines().last(), Some("SUCCESS"));
    };
    run(&[]);
    assert_eq!(names(&at), ["livepatch-0001-fix-it-now.ko"]);
    let module = std::fs::read(at.join("livepatch-0001-fix-it-now.ko")).unwrap();
    let has = |text: &[u8]| module.windows(text.len()).any(|w| w == text);
    assert!(has(b"\0name=livepatch_0001_fix_it_now\0"), "the module has another name");
    // Another name, another folder, with what kmend-build writes beside it.
    let out = kernel.dir.path().join("out");
    std::fs::create_dir(&out).unwrap();
    let args = [
        OsStr::new("-d"),
        OsStr::new("-R"),
        OsStr::new("-n"),
        OsStr::new("my.fix-1"),
        OsStr::new("-o"),
        out.as_os_str(),
    ];
    run(&args);
    assert_eq!(names(&out), ["my-fix-1.json", "my-fix-1.ko", "my-fix-1.rs"]);
    let json: serde_json::Value = serde_json::from_slice(&std::fs::read(out.join("my-fix-1.json")).unwrap()).unwrap();
    assert_eq!((json["name"].as_str(), json["replace"].as_bool()), (Some("my_fix_1"), Some(false)), "{json}");
    // Several patches.
    let second = kernel.fix("second.diff", "fs/proc/version.c", "utsname()->release,", "utsname()->machine,");
    run(&[second.as_os_str()]);
    assert_eq!(names(&at), ["livepatch-0001-fix-it-now.ko", "livepatch-patch.ko"]);
}
