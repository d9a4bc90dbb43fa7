// SPDX-License-Identifier: GPL-2.0-or-later
//! Live patches by way of dnf: subscribing, updates, advisories, a step back.

use crate::samples::{self, el9, live_patch, EL9};
use crate::system::{Root, KPATCH};
use crate::tools::{as_root, five, managed_by, run, Said};
use kmend_packager::{redhat, Arch, Dates, Key, LivePatch, Names};
use rpm::{BuildConfig, CompressionWithLevel, Dependency, FileOptions, PackageBuilder};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A repository with packages that stand in for a distribution's, and a host that uses it.
pub struct Site {
    pub dir: tempfile::TempDir,
    pub root: Root,
    pub arch: Arch,
    pub advisories: Vec<redhat::Advisory>,
}

impl Site {
    /// The host runs the kernel `names`, and has it and kpatch installed.
    pub fn new(names: &Names) -> Site {
        let site = Site {
            dir: tempfile::tempdir().unwrap(),
            root: Root::new(names.release()),
            arch: names.arch(),
            advisories: Vec::new(),
        };
        std::fs::create_dir(site.repository()).unwrap();
        std::fs::create_dir(site.dir.path().join("log")).unwrap();
        // For dnf 5, which does not find the cache of an --installroot for --refresh.
        let repos = site.dir.path().join("repos");
        std::fs::create_dir(&repos).unwrap();
        let test = format!("[test]\nname=test\nbaseurl=file://{}\nmetadata_expire=0\n", site.repository().display());
        std::fs::write(repos.join("test.repo"), test).unwrap();
        let conf = format!("[main]\nplugins=0\nreposdir={}\nvarsdir=/nonexistent\n", repos.display());
        std::fs::write(site.dir.path().join("dnf.conf"), conf).unwrap();
        site.stand_in("base", "1-1", &["/bin/sh", "systemd"], &[]);
        site.stand_in("kpatch", "0.9.7-1", &[], &[("/usr/sbin/kpatch", KPATCH)]);
        site.kernel(names);
        site.publish(None);
        site.dnf(&["install", "base", "kpatch", &format!("kernel-core = {}", names.base())]).ok();
        site
    }

    pub fn repository(&self) -> PathBuf {
        self.dir.path().join("repository")
    }

    /// A package of the distribution.
    pub fn stand_in(&self, name: &str, version: &str, provides: &[&str], files: &[(&str, &str)]) {
        let (version, release) = version.split_once('-').unwrap();
        let mut package = PackageBuilder::new(name, version, "MIT", self.arch.uname, "stands in");
        package.using_config(BuildConfig::v4().compression(CompressionWithLevel::None)).release(release);
        for provided in provides {
            package.provides(match provided.split_once(" = ") {
                Some((name, version)) => Dependency::eq(name, version),
                None => Dependency::any(*provided),
            });
        }
        for (path, text) in files {
            package.with_file_contents(*text, FileOptions::new(*path).permissions(0o755)).unwrap();
        }
        let file = self.repository().join(format!("{name}-{version}-{release}.{}.rpm", self.arch.uname));
        package.build().unwrap().write_file(file).unwrap();
    }

    /// A kernel, several of which can be installed side by side.
    pub fn kernel(&self, names: &Names) {
        let provides = ["installonlypkg(kernel)", &format!("kernel-uname-r = {}", names.release())];
        self.stand_in("kernel-core", names.base(), &provides, &[]);
    }

    /// Adds a live patch.
    pub fn add(&mut self, patch: &LivePatch, key: Option<&Key>) {
        redhat::live_patch(patch, key).unwrap().write(&self.repository()).unwrap();
        self.advisories.extend(redhat::advisories("test", patch).unwrap());
    }

    pub fn publish(&self, key: Option<&Key>) {
        self.publish_at(samples::dates(), key);
    }

    pub fn publish_at(&self, dates: Dates, key: Option<&Key>) {
        redhat::repository(&self.repository(), &self.advisories, dates, key).unwrap();
    }

    /// dnf at work on the host.
    pub fn dnf(&self, args: &[&str]) -> Said {
        self.dnf_with(&["--nogpgcheck"], &[], args)
    }

    /// The same with other options, and in another environment.
    pub fn dnf_with(&self, options: &[&str], environment: &[(&str, &str)], args: &[&str]) -> Said {
        let mut command = self.dnf_command();
        command.env_remove("LEAPP_IPU_IN_PROGRESS").envs(environment.iter().copied());
        run(command.args(options).args(args))
    }

    fn dnf_command(&self) -> Command {
        let mut command = managed_by("dnf");
        command.args(["-y", "--releasever=9", "--forcearch", self.arch.uname, "--refresh"]);
        command.arg("--config").arg(self.dir.path().join("dnf.conf"));
        command.arg("--installroot").arg(self.root.path());
        match five() {
            // It works in the folder already.
            Some(_) => command.arg("--setopt=system_cachedir=/var/cache/libdnf5"),
            None => command.arg(format!("--setopt=cachedir={}", self.root.at("var/cache/dnf").display())),
        };
        command.arg(format!("--setopt=logdir={}", self.dir.path().join("log").display()));
        command
    }

    /// Makes `bin/dnf` and `bin/rpm` in the site's folder, which work on the host.
    pub fn as_own_programs(&self) {
        let folder = self.dir.path().join("bin");
        std::fs::create_dir_all(&folder).unwrap();
        let mut dnf = self.dnf_command();
        dnf.arg("--nogpgcheck");
        let mut rpm = managed_by("rpm");
        rpm.arg("--root").arg(self.root.path());
        for (name, command) in [("dnf", dnf), ("rpm", rpm)] {
            let words: Vec<String> = std::iter::once(command.get_program())
                .chain(command.get_args())
                .map(|word| format!("'{}'", word.to_str().unwrap()))
                .collect();
            let path = folder.join(name);
            std::fs::write(&path, format!("#!/bin/sh\nexec {} \"$@\"\n", words.join(" "))).unwrap();
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
        }
    }

    /// The live patches that are installed: NAME-VERSION-RELEASE.ARCH.
    pub fn live_patches(&self) -> Vec<String> {
        self.installed("kpatch-patch*")
    }

    /// The packages with such names that are installed.
    pub fn installed(&self, pattern: &str) -> Vec<String> {
        let mut rpm = managed_by("rpm");
        let said = run(rpm.arg("--root").arg(self.root.path()).args(["-qa", pattern])).ok();
        let mut lines: Vec<String> = said.lines().map(str::to_owned).collect();
        lines.sort();
        lines
    }
}

fn installed(arch: Arch, version: &str) -> Vec<String> {
    vec![format!("kpatch-patch-5_14_0-362_8_1-{version}.el9_3.{}", arch.uname)]
}

fn subscribe_and_update(arch: Arch) {
    let names = el9(arch);
    let kernel = names.release();
    let mut site = Site::new(&names);
    let modules = tempfile::tempdir().unwrap();
    site.add(&live_patch(modules.path(), &names, 0), None);
    site.publish(None);
    site.dnf(&["install", &format!("kpatch-patch = {kernel}")]).ok();
    assert_eq!(site.live_patches(), installed(arch, "0-0"));
    assert_eq!(site.root.calls(), [""; 0]);

    site.add(&live_patch(modules.path(), &names, 1), None);
    site.publish(None);
    site.dnf(&["update"]).ok();
    assert_eq!(site.live_patches(), installed(arch, "1-1"));
    let (file, copy) =
        ("kpatch-5_14_0-362_8_1-1-1.ko", format!("/var/lib/kpatch/{kernel}/kpatch-5_14_0-362_8_1-1-1.ko"));
    assert_eq!(
        site.root.calls(),
        [
            format!("install -k {kernel} /usr/lib/kpatch/{kernel}/{file}"),
            format!("chcon -t modules_object_t {copy}"),
            "list".into(),
            format!("load {copy}"),
        ]
    );

    site.root.write("etc/loaded", "Loaded patch modules:\nkpatch_5_14_0_362_8_1_1_1 [enabled]\n");
    site.add(&live_patch(modules.path(), &names, 2), None);
    site.publish(None);
    site.dnf(&["update"]).ok();
    assert_eq!(site.live_patches(), installed(arch, "1-2"));
    let calls = site.root.calls();
    assert_eq!(calls[3], format!("load /var/lib/kpatch/{kernel}/kpatch-5_14_0-362_8_1-1-2.ko"), "{calls:?}");
    assert_eq!(calls[4], format!("uninstall -k {kernel} {file}"), "{calls:?}");
    assert_eq!(site.root.installed(kernel), ["kpatch-5_14_0-362_8_1-1-2.ko"]);

    // Once more: the old one's %postun must not undo it.
    site.dnf(&["reinstall", &names.rpm()]).ok();
    assert_eq!(site.root.installed(kernel), ["kpatch-5_14_0-362_8_1-1-2.ko"]);
    site.root.calls();

    site.dnf(&["remove", &names.rpm()]).ok();
    assert_eq!(site.root.calls(), [format!("uninstall -k {kernel} kpatch-5_14_0-362_8_1-1-2.ko")]);
    assert_eq!(site.root.installed(kernel), [""; 0]);
}

#[test]
fn subscribe_and_update_x86_64() {
    subscribe_and_update(Arch::X86_64);
}

#[test]
fn subscribe_and_update_ppc64le() {
    subscribe_and_update(Arch::PPC64LE);
}

/// A host with kernel and live patch 1-2, of a repository with 0-0, 1-1 and 1-2; 1-2 is loaded.
fn patched_site(names: &Names, modules: &Path) -> Site {
    let mut site = Site::new(names);
    for release in 0..=2 {
        site.add(&live_patch(modules, names, release), None);
    }
    site.publish(None);
    site.dnf(&["install", &format!("kpatch-patch = {EL9}")]).ok();
    site.root.write(
        "etc/loaded",
        "Loaded patch modules:\nkpatch_5_14_0_362_8_1_1_2 [enabled]\n\nInstalled patch modules:\n",
    );
    site.root.calls();
    site
}

#[test]
fn a_step_back_warns_and_does_not_load() {
    let names = el9(Arch::X86_64);
    let modules = tempfile::tempdir().unwrap();
    let site = patched_site(&names, modules.path());
    let said = site.dnf(&["downgrade", &format!("{}-1-1.el9_3", names.rpm())]).ok();
    assert!(said.contains("WARNING: kpatch_5_14_0_362_8_1_1_2 is loaded, and newer than"), "{said}");
    assert!(said.contains("WARNING: You will have to reboot to load a downgraded kpatch-patch"), "{said}");
    assert_eq!(site.live_patches(), installed(Arch::X86_64, "1-1"));
    assert_eq!(site.root.installed(names.release()), ["kpatch-5_14_0-362_8_1-1-1.ko"]);
    let calls = site.root.calls();
    assert!(!calls.iter().any(|call| call.starts_with("load")), "{calls:?}");
}

#[test]
fn another_kernel_and_an_upgrade_in_place_load_nothing() {
    let names = el9(Arch::X86_64);
    let modules = tempfile::tempdir().unwrap();
    let site = patched_site(&names, modules.path());
    site.dnf(&["remove", &names.rpm()]).ok();
    site.root.write("etc/running", "5.14.0-1.el9.x86_64\n");
    site.root.calls();
    site.dnf(&["install", &names.rpm()]).ok();
    let calls = site.root.calls();
    assert!(calls[0].starts_with("install") && !calls.iter().any(|call| call.starts_with("load")), "{calls:?}");

    site.root.write("etc/running", names.release());
    for (upgrade, loads) in [("8to9", false), ("", true)] {
        site.dnf(&["remove", &names.rpm()]).ok();
        site.root.calls();
        site.dnf_with(&["--nogpgcheck"], &[("LEAPP_IPU_IN_PROGRESS", upgrade)], &["install", &names.rpm()]).ok();
        let calls = site.root.calls();
        assert_eq!(calls.iter().any(|call| call.starts_with("load")), loads, "{calls:?}");
    }
}

#[test]
fn a_failure_of_kpatch_does_not_fail_the_transaction() {
    let names = el9(Arch::X86_64);
    let modules = tempfile::tempdir().unwrap();
    let site = patched_site(&names, modules.path());
    for verb in ["uninstall", "install", "load"] {
        site.dnf(&["remove", &names.rpm()]).ok();
        site.root.write("etc/kpatch-fails", verb);
        let said = site.dnf(&["install", &names.rpm()]).ok();
        assert_eq!(said.contains(&format!("kpatch: {verb} failed")), verb != "uninstall", "{said}");
        assert_eq!(said.contains("WARNING: kpatch-5_14_0-362_8_1-1-2.ko could not be"), verb != "uninstall", "{said}");
        assert!(!said.contains("scriptlet failed"), "{said}");
    }
}

#[test]
fn dnf_knows_the_cves() {
    let names = el9(Arch::X86_64);
    let modules = tempfile::tempdir().unwrap();
    let mut site = Site::new(&names);
    site.add(&live_patch(modules.path(), &names, 0), None);
    site.publish(None);
    site.dnf(&["install", &names.rpm()]).ok();
    site.add(&live_patch(modules.path(), &names, 1), None);
    site.add(&live_patch(modules.path(), &names, 2), None);
    site.publish(None);
    let list = site.dnf(&["updateinfo", "list", "--cve", &samples::cve(1)]).ok();
    // The columns and words of dnf 4, and of dnf 5.
    let five = five().is_some();
    let list = list.split_whitespace().collect::<Vec<_>>().join(" ");
    let important = if five { "security Important" } else { "Important/Sec." };
    let wanted = format!("KMEND-2026:test-5_14_0-362_8_1-1-1 {important} kpatch-patch-5_14_0-362_8_1-1-1.el9_3");
    assert!(list.contains(&wanted), "{list}");
    assert!(!list.contains("-1-2 "), "{list}");
    let cves = if five { "--with-cve" } else { "cves" };
    let list = site.dnf(&["updateinfo", "list", cves]).ok().split_whitespace().collect::<Vec<_>>().join(" ");
    assert!([1, 2].iter().all(|n| list.contains(&format!("CVE-2026-100{n} {important}"))), "{list}");
    let info = site.dnf(&["updateinfo", "info", "--cve", &samples::cve(2)]).ok();
    let severity = info.lines().filter(|line| line.trim_start().starts_with("Severity"));
    assert!(info.contains("net: fix number 2 [RHEL-2]"), "{info}");
    assert!(severity.filter(|line| line.ends_with(": Important")).count() == 1, "{info}");
    site.dnf(&["update", "--cve", &samples::cve(1)]).ok();
    assert_ne!(site.live_patches(), installed(Arch::X86_64, "0-0"));
    site.dnf(&["update", "--security"]).ok();
    assert_eq!(site.live_patches(), installed(Arch::X86_64, "1-2"));
    let list = site.dnf(&["updateinfo", "list", "--cve", &samples::cve(2)]).ok();
    assert!(!list.contains("KMEND"), "nothing is left to fix: {list}");
}

#[test]
fn a_signed_repository_is_checked() {
    let names = el9(Arch::X86_64);
    let dir = tempfile::tempdir().unwrap();
    let (secret, public) = samples::key(dir.path());
    let key = Key::read(&secret).unwrap();
    let mut site = Site::new(&names);
    site.add(&live_patch(dir.path(), &names, 1), Some(&key));
    site.publish(Some(&key));
    let options = [
        "--setopt=test.gpgcheck=1".to_owned(),
        "--setopt=test.repo_gpgcheck=1".into(),
        format!("--setopt=test.gpgkey=file://{}", public.display()),
    ];
    let options: Vec<&str> = options.iter().map(String::as_str).collect();
    site.dnf_with(&options, &[], &["install", &names.rpm()]).ok();
    assert_eq!(site.live_patches(), installed(Arch::X86_64, "1-1"));
    site.dnf(&["remove", &names.rpm()]).ok();
    let repomd = site.repository().join("repodata/repomd.xml");
    let text = std::fs::read_to_string(&repomd).unwrap().replace("<revision>", "<revision>1");
    std::fs::write(&repomd, text).unwrap();
    let refused = site.dnf_with(&options, &[], &["install", &names.rpm()]).refused();
    assert!(refused.contains("GPG") || refused.contains("signature"), "{refused}");
}

#[test]
fn the_repository_has_the_same_bytes_again() {
    let names = el9(Arch::X86_64);
    let modules = tempfile::tempdir().unwrap();
    let mut site = Site::new(&names);
    site.add(&live_patch(modules.path(), &names, 2), None);
    let read = || {
        let mut files: Vec<(String, Vec<u8>)> = std::fs::read_dir(site.repository().join("repodata"))
            .unwrap()
            .map(|e| e.unwrap().path())
            .map(|p| (p.file_name().unwrap().to_str().unwrap().into(), std::fs::read(&p).unwrap()))
            .collect();
        files.sort();
        files
    };
    site.publish(None);
    let first = read();
    assert!(first.iter().any(|(name, _)| name.ends_with("updateinfo.xml.gz")));
    std::thread::sleep(std::time::Duration::from_millis(1100));
    site.publish(None);
    assert!(first == read());
    let left: Vec<_> = std::fs::read_dir(site.repository()).unwrap().map(|e| e.unwrap().file_name()).collect();
    assert!(!left.iter().any(|name| name.to_string_lossy().starts_with(".kmend")), "{left:?}");
}

/// dnf asks neither for an end nor for the way back: what says of both is for kmend on the host to read.
#[test]
fn dnf_takes_an_index_that_has_expired_and_one_that_goes_back() {
    let names = el9(Arch::X86_64);
    let modules = tempfile::tempdir().unwrap();
    let mut site = Site::new(&names);
    let newest = |site: &Site| {
        site.dnf(&["-q", "repoquery", "--latest-limit=1", "--qf", "at %{version}-%{release}", &names.rpm()]).ok()
    };
    site.add(&live_patch(modules.path(), &names, 1), None);
    let date = samples::DATE;
    site.publish_at(Dates { date, valid_until: Some(date + 1) }, None);
    let older = site.dir.path().join("older");
    run(as_root("cp").arg("-r").args([site.repository().join("repodata"), older.clone()])).ok();
    let about = site.dnf(&["repoinfo", "test"]).ok();
    assert!(about.contains("kmend-valid-until=2026-09-21T14:13:21Z"), "{about}");
    assert!(newest(&site).contains("at 1-1.el9_3"), "{}", newest(&site));
    site.add(&live_patch(modules.path(), &names, 2), None);
    site.publish_at(Dates { date: date + 1, valid_until: None }, None);
    assert!(newest(&site).contains("at 1-2.el9_3"), "{}", newest(&site));
    assert_eq!(kmend_packager::before(&site.repository()).unwrap().date, Some(date + 1));
    std::fs::remove_dir_all(site.repository().join("repodata")).unwrap();
    std::fs::rename(older, site.repository().join("repodata")).unwrap();
    assert!(newest(&site).contains("at 1-1.el9_3"), "{}", newest(&site));
}

/// A package in a folder below the repository, which no one looked at, is not in the index.
#[test]
fn packages_in_folders_below_are_not_in_the_index() {
    let names = el9(Arch::X86_64);
    let modules = tempfile::tempdir().unwrap();
    let mut site = Site::new(&names);
    site.add(&live_patch(modules.path(), &names, 1), None);
    let stranger = redhat::live_patch(&live_patch(modules.path(), &names, 2), None).unwrap();
    stranger.write(&site.repository().join("below")).unwrap();
    site.publish(None);
    let found = site.dnf(&["-q", "repoquery", "--qf", "at %{version}-%{release}", &names.rpm()]).ok();
    assert!(found.contains("at 1-1.el9_3") && !found.contains("at 1-2.el9_3"), "{found}");
}

/// What is signed later is what would have been signed at once.
#[test]
fn rpms_are_signed_later() {
    let dir = tempfile::tempdir().unwrap();
    let names = el9(Arch::X86_64);
    let patch = live_patch(dir.path(), &names, 1);
    for kind in ["rsa2048", "ed25519"] {
        let (secret, public) = samples::key_of(dir.path(), kind, "");
        let key = Key::read(&secret).unwrap();
        let plain = redhat::live_patch(&patch, None).unwrap();
        let signed = redhat::live_patch(&patch, Some(&key)).unwrap();
        assert!(!redhat::is_signed(&plain.bytes).unwrap() && redhat::is_signed(&signed.bytes).unwrap());
        assert!(redhat::sign(&plain.bytes, &key).unwrap() == signed.bytes, "{kind}");
        let file = signed.write(dir.path()).unwrap();
        let database = tempfile::tempdir().unwrap();
        let rpm = || {
            let mut rpm = managed_by("rpm");
            rpm.arg("--dbpath").arg(database.path());
            rpm
        };
        run(rpm().arg("--import").arg(&public)).ok();
        let said = run(rpm().args(["-K"]).arg(&file)).ok();
        assert!(said.contains("digests signatures OK"), "{said}");
    }
    assert!(redhat::sign(b"no package", &Key::read(&samples::key(dir.path()).0).unwrap()).is_err());
    assert!(redhat::is_signed(b"").is_err() && redhat::is_signed(&[0; 200]).is_err());
}
