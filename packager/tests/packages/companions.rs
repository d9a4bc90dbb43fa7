// SPDX-License-Identifier: GPL-2.0-or-later
//! The packages named kpatch: in a repository they move hosts with the vendor's kpatch to kmend, and without them nothing moves.

use crate::apt::{apt, repository, suite};
use crate::deb::Host;
use crate::dnf::Site;
use crate::host_tool::tool;
use crate::samples::{el9, live_patch};
use crate::tools::{rpm_query, run};
use kmend_packager::{debian, redhat, Arch};
use std::fs;
use std::path::Path;

/// A host with the vendor's kpatch, its plugin and a live patch; kmend is in the repository.
fn vendors() -> Site {
    let names = el9(Arch::X86_64);
    let mut site = Site::new(&names);
    let path = redhat::host_tool(&tool(site.dir.path()), None).unwrap().write(&site.repository()).unwrap();
    let requires = rpm_query(&path, &["--requires"]);
    let libraries: Vec<&str> = requires.lines().filter(|l| l.contains("(64bit)")).collect();
    site.stand_in("glibc", "2.40-1", &libraries, &[]);
    site.stand_in("python3-dnf", "4.14.0-1", &[], &[]);
    site.stand_in("kpatch-dnf", "0.9.7_0.4-3", &[], &[("/etc/dnf/plugins/kpatch.conf", "[main]\n")]);
    site.add(&live_patch(site.dir.path(), &names, 1), None);
    site.publish(None);
    site.dnf(&["install", "kpatch-dnf", "python3-dnf", &names.rpm()]).ok();
    site
}

fn versions(site: &Site) -> String {
    let mut rpm = crate::tools::managed_by("rpm");
    let form = "%{name} %{epoch} %{version}\\n";
    let said = run(rpm.arg("--root").arg(site.root.path()).args(["-qa", "--qf", form])).ok();
    let mut lines: Vec<&str> = said.lines().filter(|l| l.starts_with("kpatch ") || l.starts_with("kmend ")).collect();
    lines.sort_unstable();
    lines.join("\n")
}

#[test]
fn an_update_moves_to_kmend_where_the_repository_has_kpatch() {
    let site = vendors();
    site.dnf(&["update"]).ok();
    assert_eq!(versions(&site), "kpatch (none) 0.9.7", "kmend in the repository moves nobody");

    let made = redhat::kpatch(&tool(site.dir.path()), None).unwrap();
    assert_eq!(made.file, "kpatch-0.1.0-1.el9.noarch.rpm");
    let path = made.write(&site.repository()).unwrap();
    assert!(rpm_query(&path, &["--provides"]).lines().any(|l| l == "kpatch = 1:0.1.0-1.el9"));
    redhat::dnf_plugin(&tool(site.dir.path()), None).unwrap().write(&site.repository()).unwrap();
    site.publish(None);
    site.dnf(&["update"]).ok();
    assert_eq!(versions(&site), "kmend (none) 0.1.0\nkpatch 1 0.1.0");
    assert_eq!(fs::read_link(site.root.at("usr/sbin/kpatch")).unwrap(), Path::new("kmend"));
    assert!(site.root.at("usr/lib/kpatch-dnf/kpatch.py").exists());
    assert_eq!(site.live_patches().len(), 1);

    // The vendor's newer one does not bring it back, nor is kpatch needed for kmend to stay.
    site.stand_in("kpatch", "0.9.20-1", &[], &[("/usr/sbin/kpatch", "#!/bin/sh\n")]);
    site.publish(None);
    site.dnf(&["update"]).ok();
    assert_eq!(versions(&site), "kmend (none) 0.1.0\nkpatch 1 0.1.0");
    site.dnf(&["remove", "--setopt=clean_requirements_on_remove=False", "kpatch"]).ok();
    assert_eq!((versions(&site).as_str(), site.live_patches().len()), ("kmend (none) 0.1.0", 1));
    // And back.
    fs::remove_file(path).unwrap();
    site.publish(None);
    site.dnf(&["swap", "kmend", "kpatch"]).ok();
    assert_eq!(versions(&site), "kpatch (none) 0.9.20");
}

#[test]
fn dpkg_takes_both_in_one_run() {
    let host = Host::new();
    let dir = host.dir.path();
    let tool = debian::host_tool(&tool(dir)).unwrap().write(dir).unwrap();
    let made = debian::kpatch(&crate::host_tool::tool(dir)).unwrap();
    assert_eq!(made.file, "kpatch_0.1.0-1_all.deb");
    let companion = made.write(dir).unwrap();
    host.stand_in("libc6", "2.99", "");
    host.stand_in("libgcc-s1", "99", "");
    let root = format!("--root={}", host.root.path().display());
    let install =
        |files: &[&Path]| run(crate::tools::as_root("dpkg").args([&root, "--force-architecture", "-i"]).args(files));
    install(&[&companion, &tool]).ok();
    assert_eq!((host.version("kmend").as_str(), host.version("kpatch").as_str()), ("0.1.0-1", "1:0.1.0-1"));
    host.dpkg("-r", "kpatch").ok();
    assert_eq!(host.version("kmend"), "0.1.0-1");
    // kmend takes the place of a vendor's kpatch, and not of this one.
    install(&[&companion]).ok();
    install(&[&tool]).ok();
    assert_eq!(host.version("kpatch"), "1:0.1.0-1");
}

#[test]
fn apt_moves_to_kmend_where_the_repository_has_kpatch() {
    let host = Host::new();
    host.stand_in("libc6", "2.99", "");
    host.stand_in("libgcc-s1", "99", "");
    let folder = repository(&host);
    debian::host_tool(&tool(host.dir.path())).unwrap().write(&folder).unwrap();
    let upgrade = |options: &[&str]| {
        debian::repository(&folder, &suite(), None).unwrap();
        apt(&host, "trusted=yes", &["update"]).ok();
        apt(&host, "trusted=yes", &[&["upgrade"], options].concat()).ok();
        (host.version("kmend"), host.version("kpatch"))
    };
    let before = (String::new(), "0.9.11-1".into());
    assert_eq!(upgrade(&["--with-new-pkgs"]), before);
    debian::kpatch(&tool(host.dir.path())).unwrap().write(&folder).unwrap();
    assert_eq!(upgrade(&[]), before, "apt-get installs nothing new unless it is told to");
    assert_eq!(upgrade(&["--with-new-pkgs"]), ("0.1.0-1".into(), "1:0.1.0-1".into()));
    assert_eq!(fs::read_link(host.root.at("usr/sbin/kpatch")).unwrap(), Path::new("kmend"));
}
