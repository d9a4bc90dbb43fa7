// SPDX-License-Identifier: GPL-2.0-or-later
//! `target add rpm:NAME --release` with the real dnf and repositories that createrepo_c makes: without the kernel, its source, its
//! compiler; that cannot be reached, or break off.

use super::kernel::Kernel;
use super::rpms;
use super::tool::{folder, names, put, run, Ran};
use super::Test;
use kmend_builder::target::distro::rpm::roots;
use kmend_builder::target::Target;
use rpm::{FileOptions, PackageBuilder};
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::Arc;

pub const TESTS: &[Test] = &[
    ("repositories_without_what_is_wanted", without),
    ("repositories_that_are_none", none),
    ("downloads_that_break_off", broken_off),
    ("options_of_dnf", options),
];

pub const WITH_TARGET: &[Test] = &[("repositories_without_the_compiler", without_compiler)];

const RELEASE: &str = "5.14.0-1.el9.x86_64";

fn createrepo(dir: &Path) {
    let out = Command::new("createrepo_c").arg("-q").arg(dir).output().expect("createrepo_c starts");
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
}

/// A repository with the RPMs of a kernel that is none, and its source.
fn repository(dir: &Path) -> PathBuf {
    let (rpms, source) = rpms::built(dir);
    let repo = dir.join("repo");
    std::fs::create_dir(&repo).unwrap();
    for rpm in rpms.iter().chain([&source]) {
        std::fs::rename(rpm, repo.join(rpm.file_name().unwrap())).unwrap();
    }
    createrepo(&repo);
    repo
}

/// `target add rpm:x` by dnf.
fn add(dir: &Path, repo: &str, more: &[&str]) -> Ran {
    let words = [&["target", "add", "rpm:x", "--releasever", "9", "--repo", repo], more].concat();
    let ran = run(&dir.join("cache"), &words);
    let targets = dir.join("cache/targets");
    assert!(names(&targets).iter().all(|name| !targets.join(name).join("target.json").exists()));
    ran
}

/// The RPMs of kernels that the cache holds.
fn fetched(dir: &Path) -> Vec<String> {
    let kernels = dir.join("cache/dnf/kernels");
    let folders = names(&kernels).into_iter().filter(|name| !name.ends_with(".lock") && !name.ends_with(".part"));
    folders.flat_map(|name| names(&kernels.join(name))).collect()
}

fn without() {
    let dir = folder();
    let repo = repository(dir.path());
    let at = repo.display().to_string();
    // All of it is fetched; that it holds no kernel is found by what comes then.
    add(dir.path(), &at, &["--release", RELEASE]).fails(1, &["--gpg-key", "vmlinuz"]);
    assert_eq!(fetched(dir.path()), ["kernel-5.14.0-1.el9.src.rpm", "kernel-core-5.14.0-1.el9.x86_64.rpm"]);
    // The release in the target's name does as well.
    let words = ["target", "add", &format!("rpm:x/{RELEASE}"), "--releasever", "9", "--repo", &at];
    run(&dir.path().join("cache"), &words).fails(1, &["vmlinuz"]);
    add(dir.path(), &at, &["--release", "5.14.0-9.el9.x86_64"]).fails(1, &["5.14.0-9.el9.x86_64", &at, "--repo"]);
    // Without the source, unless that is named.
    let source = repo.join("kernel-5.14.0-1.el9.src.rpm");
    let moved = dir.path().join("kernel.src.rpm");
    std::fs::rename(&source, &moved).unwrap();
    createrepo(&repo);
    std::fs::remove_dir_all(dir.path().join("cache/dnf/kernels")).unwrap();
    add(dir.path(), &at, &["--release", RELEASE]).fails(1, &["kernel-5.14.0-1.el9.src.rpm", "--source"]);
    add(dir.path(), &at, &["--release", RELEASE, "--source", &moved.display().to_string()]).fails(1, &["vmlinuz"]);
    std::fs::remove_file(repo.join("kernel-core-5.14.0-1.el9.x86_64.rpm")).unwrap();
    createrepo(&repo);
    add(dir.path(), &at, &["--release", RELEASE]).fails(1, &["has no kernel", RELEASE, &at]);
}

fn none() {
    let dir = folder();
    let empty = dir.path().join("empty");
    std::fs::create_dir(&empty).unwrap();
    let add = |repo: &str| add(dir.path(), repo, &["--release", RELEASE]);
    add(&empty.display().to_string()).fails(1, &[&empty.display().to_string(), "network"]);
    add(&dir.path().join("gone").display().to_string()).fails(1, &["--repo", "gone"]);
    // Nothing listens at this port.
    add("http://127.0.0.1:1/el9").fails(1, &["http://127.0.0.1:1/el9", "network"]);
    add("kmend-no-such-repository").fails(1, &["kmend-no-such-repository", "repolist"]);
}

fn options() {
    let dir = folder();
    let run = |words: &[&str]| run(&dir.path().join("cache"), &[&["target", "add"], words].concat());
    run(&["rpm:x"]).fails(1, &["--rpm", "--source", "--release"]);
    run(&["rpm:x", "--release", "el9"]).fails(1, &["el9", "uname -r"]);
    run(&["rpm:x/5.14.0-2.el9.x86_64", "--release", RELEASE]).fails(1, &["--release", "5.14.0-2.el9.x86_64"]);
    run(&["rpm:x", "--release", RELEASE, "--rpm", "a.rpm"]).fails(1, &["--release", "--rpm"]);
    run(&["rpm:x", "--release", RELEASE, "--repo", "a b"]).fails(1, &["--repo", "a b"]);
    run(&["rpm:x", "--release", RELEASE, "--repofrompath", "http://x"]).fails(1, &["--repofrompath", "ID,URL"]);
    run(&["rpm:x", "--release", RELEASE, "--repo", "/", "--releasever", "9 x"]).fails(1, &["--releasever", "9 x"]);
    assert!(names(&dir.path().join("cache/targets")).is_empty());
}

/// A server of the files in `repo`, at a port of its own; while `cuts`, it ends in the middle of a source RPM.
fn serve(repo: PathBuf, cuts: Arc<AtomicBool>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    // It ends with the test's process.
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let _ = answer(stream, &repo, cuts.load(Ordering::SeqCst));
        }
    });
    address
}

fn answer(mut stream: TcpStream, repo: &Path, cuts: bool) -> std::io::Result<()> {
    let mut lines = BufReader::new(stream.try_clone()?).lines();
    let first = lines.next().unwrap_or_else(|| Ok(String::new()))?;
    while lines.next().transpose()?.is_some_and(|line| !line.is_empty()) {}
    let path = first.split(' ').nth(1).unwrap_or_default().trim_start_matches('/').to_string();
    let Ok(bytes) = std::fs::read(repo.join(&path)) else {
        return write!(stream, "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
    };
    write!(stream, "HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", bytes.len())?;
    let end = if cuts && path.ends_with(".src.rpm") { bytes.len() / 2 } else { bytes.len() };
    stream.write_all(&bytes[..end])
}

fn broken_off() {
    let dir = folder();
    let cuts = Arc::new(AtomicBool::new(true));
    let address = serve(repository(dir.path()), cuts.clone());
    add(dir.path(), &address, &["--release", RELEASE]).fails(1, &[&address, "run it again"]);
    assert!(fetched(dir.path()).is_empty(), "{:?}", fetched(dir.path()));
    // The next run goes on with what is there.
    cuts.store(false, Ordering::SeqCst);
    add(dir.path(), &address, &["--release", RELEASE]).fails(1, &["vmlinuz"]);
    assert_eq!(fetched(dir.path()).len(), 2);
}

/// A package with one file.
fn package(dir: &Path, name: &str, version: &str, release: &str, arch: &str, files: &[(&str, Vec<u8>, u16)]) {
    let mut builder = PackageBuilder::new(name, version, "GPL", arch, "x");
    builder.release(release);
    for (path, content, mode) in files {
        builder.with_file_contents(content.clone(), FileOptions::new(*path).mode(*mode)).unwrap();
    }
    builder.build().unwrap().write_file(dir.join(format!("{name}-{version}-{release}.{arch}.rpm"))).unwrap();
}

/// The RPMs of a real kernel's files and their source RPM, by the real rpmbuild; one module is enough.
fn real_kernel(target: &Target, dir: &Path) -> (PathBuf, PathBuf) {
    let below = format!("/lib/modules/{}", target.release);
    let module = first_module(target.modules.as_deref().unwrap()).unwrap();
    let files = [
        (target.vmlinuz.as_path(), "vmlinuz".to_string()),
        (&target.config, "config".into()),
        (&target.symvers, "symvers".into()),
        (&module, format!("kernel/{}", module.file_name().unwrap().to_str().unwrap())),
    ];
    let copies: String =
        files.iter().map(|(from, to)| format!("cp {} %{{buildroot}}{below}/{to}\n", from.display())).collect();
    let spec = format!(
        "%global debug_package %{{nil}}\n%global __os_install_post %{{nil}}\n%define _binary_payload w1.gzdio\nName: kernel\n\
         Version: 5.14.0\nRelease: 1.el9\nSummary: x\nLicense: GPL\nAutoReqProv: no\n%description\nx\n%package core\nSummary: x\n\
         AutoReqProv: no\n%description core\nx\n%install\nmkdir -p %{{buildroot}}{below}/kernel\n{copies}%files core\n{below}\n"
    );
    let spec = put(dir, "kernel.spec", spec);
    let top = dir.join("top");
    let args = ["-ba", "--target", &target.arch, "--define", &format!("_topdir {}", top.display())];
    let done = Command::new("rpmbuild").args(args).arg(spec).output().expect("rpmbuild starts");
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    let binary = top.join(format!("RPMS/{0}/kernel-core-5.14.0-1.el9.{0}.rpm", target.arch));
    (binary, top.join("SRPMS/kernel-5.14.0-1.el9.src.rpm"))
}

fn first_module(dir: &Path) -> Option<PathBuf> {
    names(dir).into_iter().map(|name| dir.join(name)).find_map(|path| match path.is_dir() {
        true => first_module(&path),
        false => path.file_name()?.to_str()?.contains(".ko").then_some(path),
    })
}

/// A real kernel in RPMs, and the packages of a build root, of which the compiler is missing, of another version, or none.
fn without_compiler() {
    let kernel = Kernel::new();
    let (target, dir) = (&kernel.target, kernel.dir.path());
    std::fs::remove_dir_all(kernel.cache().join("targets")).unwrap();
    let arch = kmend_shared::arch::host();
    assert_eq!(target.arch, arch, "KMEND_TEST_TARGET is a kernel of this machine's architecture");
    let repo = dir.join("repo");
    std::fs::create_dir(&repo).unwrap();
    let (core, source) = real_kernel(target, dir);
    for rpm in [core, source] {
        std::fs::rename(&rpm, repo.join(rpm.file_name().unwrap())).unwrap();
    }
    let at = repo.display().to_string();
    let fails = |says: &[&str]| {
        createrepo(&repo);
        add(dir, &at, &["--release", &target.release]).fails(1, says);
    };
    let cc = target.cc.split(' ').next().unwrap();
    fails(&[&target.cc, "has none", &at, "--repo", "--root"]);
    let program = format!("/usr/bin/{cc}");
    let words = target.cc.split(['(', ')']).nth(1).and_then(|packager| packager.split(' ').nth(1)).unwrap();
    let (version, release) = words.split_once('-').unwrap();
    let gcc = |version: &str, release: &str| {
        let script = b"#!/bin/sh\necho no compiler\n".to_vec();
        package(&repo, "gcc", version, release, arch, &[(&program, script, 0o100_755)]);
    };
    gcc("4.0.0", "1.el9");
    fails(&[&target.cc, "gcc-4.0.0-1.el9", &at, "--repo", "--root"]);
    // The compiler without what it is used with.
    gcc(version, &format!("{release}.el9"));
    fails(&["has no package", "elfutils-libelf-devel", "flex", &at, "--root"]);
    // All that a build root takes by its names, in which nothing runs.
    for name in roots::TOOLS.iter().chain(roots::RUST).chain(&["gcc-plugin-devel", "elfutils-devel"]) {
        package(&repo, name, "1.0", "1.el9", "noarch", &[]);
    }
    fails(&["the new build root does not work", cc]);
    let roots = names(&dir.join("cache/roots"));
    assert!(roots.iter().all(|name| name.ends_with(".lock")), "{roots:?}");
}
