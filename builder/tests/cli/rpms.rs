// SPDX-License-Identifier: GPL-2.0-or-later
//! `target add rpm:NAME` and `target add tree:NAME` with files that are missing, damaged, not signed or do not belong together: a
//! message that names the file, and nothing in the cache.

use super::tool::{folder, names, put, run, Ran};
use super::Test;
use rpm::{FileOptions, PackageBuilder};
use std::path::{Path, PathBuf};
use std::process::Command;

pub const TESTS: &[Test] = &[
    ("rpms_that_are_none", rpms_that_are_none),
    ("rpms_that_do_not_belong_together", rpms_that_do_not_belong_together),
    ("rpms_without_a_signature", rpms_without_a_signature),
    ("files_that_are_missing", files_that_are_missing),
];

const RELEASE: &str = "5.14.0-1.el9.x86_64";

/// What is packed: the package's name and release, and its files by their paths.
struct Made<'a> {
    name: &'a str,
    release: &'a str,
    files: &'a [&'a str],
}

/// The RPM in `dir`.
fn make(dir: &Path, made: &Made<'_>) -> PathBuf {
    let mut builder = PackageBuilder::new(made.name, "5.14.0", "GPL", "x86_64", "a kernel");
    builder.release(made.release);
    for path in made.files {
        let file = FileOptions::new(path.replace("REL", RELEASE));
        builder.with_file_contents(b"CONFIG_LIVEPATCH=y\n".to_vec(), file).unwrap();
    }
    let path = dir.join(format!("{}-{}.rpm", made.name, made.release));
    builder.build().unwrap().write_file(&path).unwrap();
    path
}

fn core(dir: &Path) -> PathBuf {
    let files = ["/lib/modules/REL/vmlinuz", "/lib/modules/REL/config", "/lib/modules/REL/symvers.gz"];
    make(dir, &Made { name: "kernel-core", release: "1.el9", files: &files })
}

fn modules(dir: &Path, release: &str) -> PathBuf {
    make(dir, &Made { name: "kernel-modules", release, files: &["/lib/modules/REL/kernel/a.ko"] })
}

/// A source package, of a real spec file by the real rpmbuild.
fn source(dir: &Path, name: &str) -> PathBuf {
    let spec = format!(
        "Name: {name}\nVersion: 5.14.0\nRelease: 1.el9\nSummary: x\nLicense: GPL\n%description\nx\n%prep\nexit 3\n%files\n"
    );
    let spec = put(dir, &format!("{name}.spec"), spec);
    let top = format!("_topdir {}", dir.join("top").display());
    let done = Command::new("rpmbuild").args(["-bs", "--define", &top]).arg(spec).output().expect("rpmbuild starts");
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    dir.join(format!("top/SRPMS/{name}-5.14.0-1.el9.src.rpm"))
}

/// `target add rpm:x` with these files, and more words.
fn add(dir: &Path, rpms: &[&Path], source: &Path, more: &[&str]) -> Ran {
    let mut words = vec!["target".to_string(), "add".into(), "rpm:x".into()];
    for rpm in rpms {
        words.extend(["--rpm".to_string(), rpm.display().to_string()]);
    }
    words.extend(["--source".to_string(), source.display().to_string()]);
    words.extend(more.iter().map(|word| word.to_string()));
    let ran = run(&dir.join("cache"), &words);
    // A folder that a later run would go on with is no target.
    let targets = dir.join("cache/targets");
    assert!(names(&targets).iter().all(|name| !targets.join(name).join("target.json").exists()));
    ran
}

fn rpms_that_are_none() {
    let dir = folder();
    let (good, text) = (core(dir.path()), put(dir.path(), "text.rpm", "no package\n"));
    let source = source(dir.path(), "kernel");
    add(dir.path(), &[&good, &text], &source, &[]).fails(1, &["text.rpm"]);
    add(dir.path(), &[&good, &dir.path().join("gone.rpm")], &source, &[]).fails(1, &["--rpm", "gone.rpm"]);
    let whole = std::fs::read(&good).unwrap();
    for (at, cut) in [50, 100, 200, whole.len() / 2, whole.len() - 1].into_iter().enumerate() {
        let file = put(dir.path(), &format!("cut{at}.rpm"), &whole[..cut]);
        add(dir.path(), &[&file], &source, &[]).fails(1, &[&format!("cut{at}.rpm")]);
    }
    for (at, place) in (96..whole.len()).step_by(whole.len() / 40).enumerate() {
        let mut bad = whole.clone();
        bad[place] ^= 0x55;
        let file = put(dir.path(), &format!("bad{at}.rpm"), bad);
        // Whatever it becomes is no kernel that can be added.
        add(dir.path(), &[&file], &source, &[]).fails(1, &[]);
    }
}

fn rpms_that_do_not_belong_together() {
    let dir = folder();
    let (core, good) = (core(dir.path()), modules(dir.path(), "1.el9"));
    let (kernel, other) = (source(dir.path(), "kernel"), source(dir.path(), "bash"));
    run(&dir.path().join("cache"), &["target", "add", "rpm:x"]).fails(1, &["--rpm", "--source"]);
    add(dir.path(), &[&core], &kernel, &[]).fails(1, &["modules of", RELEASE]);
    add(dir.path(), &[&good], &kernel, &[]).fails(1, &["kernel-modules-5.14.0-1.el9.x86_64"]);
    add(dir.path(), &[&core, &kernel], &kernel, &[]).fails(1, &["--source", "kernel-5.14.0-1.el9.src.rpm"]);
    add(dir.path(), &[&core, &good], &good, &[]).fails(1, &["--source", "kernel-modules-1.el9.rpm"]);
    let newer = modules(dir.path(), "2.el9");
    add(dir.path(), &[&core, &newer], &kernel, &[]).fails(1, &["kernel-modules-2.el9.rpm", "do not belong together"]);
    add(dir.path(), &[&core, &good], &other, &[]).fails(1, &["bash-5.14.0-1.el9.src.rpm"]);
    add(dir.path(), &[&core, &good], &kernel, &["--mirror", "http://x"]).fails(1, &["--mirror"]);
}

fn rpms_without_a_signature() {
    let dir = folder();
    let (rpms, kernel) = built(dir.path());
    let rpms: Vec<&Path> = rpms.iter().map(PathBuf::as_path).collect();
    let key = put(dir.path(), "key.asc", "no key\n");
    let signed = |key: &Path| add(dir.path(), &rpms, &kernel, &["--gpg-key", &key.display().to_string()]);
    signed(&dir.path().join("gone.asc")).fails(1, &["--gpg-key", "gone.asc"]);
    signed(&key).fails(1, &["key.asc"]);
    signed(&public_key(dir.path())).fails(1, &["kernel-core-5.14.0-1.el9.x86_64.rpm", "public.asc"]);
    // Without a key that is said, and the files are what it goes on with.
    add(dir.path(), &rpms, &kernel, &[]).fails(1, &["--gpg-key", "vmlinuz"]);
}

/// The RPMs of a kernel that is none, and its source RPM, by the real rpmbuild.
pub fn built(dir: &Path) -> (Vec<PathBuf>, PathBuf) {
    std::fs::create_dir_all(dir).unwrap();
    let below = format!("/lib/modules/{RELEASE}");
    let spec = format!(
        "%global debug_package %{{nil}}\nName: kernel\nVersion: 5.14.0\nRelease: 1.el9\nSummary: x\nLicense: GPL\n\
         %description\nx\n%package core\nSummary: x\nProvides: kernel-uname-r = {RELEASE}\n%description core\nx\n%install\nmkdir -p %{{buildroot}}{below}/kernel\n\
         echo CONFIG_LIVEPATCH=y > %{{buildroot}}{below}/config\necho CONFIG_MODULES=y >> %{{buildroot}}{below}/config\n\
         echo CONFIG_CC_IS_GCC=y >> %{{buildroot}}{below}/config\n\
         echo 'CONFIG_CC_VERSION_TEXT=\"gcc 1\"' >> %{{buildroot}}{below}/config\n\
         for f in vmlinuz symvers kernel/a.ko; do echo x > %{{buildroot}}{below}/$f; done\n%files core\n{below}\n"
    );
    let spec = put(dir, "kernel.spec", spec);
    let top = format!("_topdir {}", dir.join("top").display());
    let args = ["-ba", "--target", "x86_64", "--define", &top];
    let done = Command::new("rpmbuild").args(args).arg(spec).output().expect("rpmbuild starts");
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    let source = dir.join("top/SRPMS/kernel-5.14.0-1.el9.src.rpm");
    (vec![dir.join("top/RPMS/x86_64/kernel-core-5.14.0-1.el9.x86_64.rpm")], source)
}

/// A public key that signed nothing.
fn public_key(dir: &Path) -> PathBuf {
    let home = dir.join("gnupg");
    std::fs::create_dir(&home).unwrap();
    let gpg = |args: &[&str]| {
        let done = Command::new("gpg").arg("--homedir").arg(&home).args(args).output().expect("gpg starts");
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
        done.stdout
    };
    gpg(&["--batch", "--passphrase", "", "--quick-generate-key", "x <x@example.org>", "rsa3072", "sign", "never"]);
    put(dir, "public.asc", gpg(&["--armor", "--export"]))
}

fn files_that_are_missing() {
    let dir = folder();
    let cache = dir.path().join("cache");
    let add = |more: &[&str]| run(&cache, &[&["target", "add", "tree:x"], more].concat());
    add(&[]).fails(1, &["--source"]);
    let gone = dir.path().join("gone").display().to_string();
    add(&["--source", &gone]).fails(1, &["--source", &gone]);
    add(&["--mirror", "x"]).fails(1, &["--mirror"]);
    assert!(names(&cache.join("targets")).is_empty());
}
