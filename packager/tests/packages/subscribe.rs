// SPDX-License-Identifier: GPL-2.0-or-later
//! `kmend subscribe` with the real dnf: the verbs of `dnf kpatch`, without a plugin.

use crate::dnf::Site;
use crate::metapackage::{add, later, meta};
use crate::samples::{el9, live_patch, DATE};
use crate::tools::{program, run, Said};
use kmend_packager::{Arch, Dates};
use std::path::{Path, PathBuf};

/// kmend of this workspace, made by cargo where it is not there.
pub fn kmend() -> PathBuf {
    let me = std::env::current_exe().unwrap();
    // target/PROFILE/deps/TEST
    let folder = me.parent().and_then(Path::parent).unwrap();
    let mut cargo = program("cargo");
    cargo.args(["build", "--quiet", "--workspace", "--bin", "kmend"]).current_dir(env!("CARGO_MANIFEST_DIR"));
    if folder.ends_with("release") {
        cargo.arg("--release");
    }
    run(&mut cargo).ok();
    folder.join("kmend")
}

/// What kmend says on the host, whose dnf and rpm are the real ones at work there.
fn on_host(site: &Site, kmend: &Path, verb: &str) -> Said {
    let bin = site.dir.path().join("bin");
    let path = format!("{}:{}", bin.display(), std::env::var("PATH").unwrap_or_default());
    let mut command = std::process::Command::new(kmend);
    run(command.args(["subscribe", verb]).env("KMEND_ROOT", site.root.path()).env("PATH", path))
}

fn verbs(arch: Arch) {
    let kmend = kmend();
    let (names, later) = (el9(arch), later(arch));
    let modules = tempfile::tempdir().unwrap();
    let mut site = Site::new(&names);
    site.as_own_programs();
    // The running system of kmend's: a root where a kernel is played, and the kernels on it.
    site.root.write("kernel.sock", "");
    std::fs::create_dir_all(site.root.at("proc/sys/kernel")).unwrap();
    site.root.write("proc/sys/kernel/osrelease", names.release());
    for kernel in [names.release(), later.release()] {
        std::fs::create_dir_all(site.root.at(&format!("lib/modules/{kernel}"))).unwrap();
        site.root.write(&format!("lib/modules/{kernel}/modules.builtin"), "");
    }
    let says = |site: &Site, verb: &str| on_host(site, &kmend, verb).ok();
    let has = |site: &Site, wanted: &[&str]| {
        let all = site.live_patches();
        assert_eq!(all.len(), wanted.len(), "{all:?}");
        assert!(wanted.iter().all(|w| all.iter().any(|p| p.starts_with(w))), "{all:?}");
    };

    assert_eq!(says(&site, "status"), "Kpatch update setting: manual-update\nAvailable patches: none\n");
    site.add(&live_patch(modules.path(), &names, 1), None);
    site.add(&live_patch(modules.path(), &later, 0), None);
    add(&site, &meta(1, &[(&names, 1), (&later, 0)]));
    site.kernel(&later);
    site.publish(None);
    site.dnf(&["install", &format!("kernel-core = {}", later.base())]).ok();
    // The empty package of the later kernel is no live patch, and subscribes to those to come.
    let (first, second) = (names.rpm(), later.rpm());
    let said = says(&site, "status");
    assert_eq!(
        said,
        format!("Kpatch update setting: manual-update\nAvailable patches: {first}-1-1\nNo live patch yet: {second}\n")
    );
    says(&site, "install");
    has(&site, &[&format!("{first}-1-1"), &format!("{second}-0-0")]);
    assert!(site.root.calls().iter().any(|call| call.starts_with("load ")));

    // By hand: a newer version does not come until it is asked for.
    site.add(&live_patch(modules.path(), &names, 2), None);
    site.publish(None);
    assert!(says(&site, "status").contains(&format!("{first}-1-2")));
    has(&site, &[&format!("{first}-1-1"), &format!("{second}-0-0")]);
    says(&site, "install");
    has(&site, &[&format!("{first}-1-2"), &format!("{second}-0-0")]);

    // By themselves: with the metapackage, an update of the system is enough.
    says(&site, "auto");
    assert!(says(&site, "status").starts_with("Kpatch update setting: auto-update\n"));
    site.add(&live_patch(modules.path(), &names, 3), None);
    add(&site, &meta(2, &[(&names, 3), (&later, 0)]));
    site.publish(None);
    site.dnf(&["update"]).ok();
    has(&site, &["kpatch-patches-2", &format!("{first}-1-3"), &format!("{second}-0-0")]);
    says(&site, "manual");
    assert!(says(&site, "status").starts_with("Kpatch update setting: manual-update\n"));
    has(&site, &[&format!("{first}-1-3"), &format!("{second}-0-0")]);
}

#[test]
fn verbs_x86_64() {
    verbs(Arch::X86_64);
}

#[test]
fn verbs_ppc64le() {
    verbs(Arch::PPC64LE);
}

/// dnf takes an index that has expired, and one that goes back; kmend reads its cache and says so.
#[test]
fn an_index_that_ends_or_goes_back_is_told() {
    let (kmend, names) = (kmend(), el9(Arch::X86_64));
    let modules = tempfile::tempdir().unwrap();
    let mut site = Site::new(&names);
    site.as_own_programs();
    site.root.write("kernel.sock", "");
    for folder in ["proc/sys/kernel", "sys/kernel/livepatch"] {
        std::fs::create_dir_all(site.root.at(folder)).unwrap();
    }
    site.root.write("proc/sys/kernel/osrelease", names.release());
    site.root.write("clock", "2026-09-24T12:00:00Z");
    site.add(&live_patch(modules.path(), &names, 1), None);
    let publish = |site: &Site, date: i64, days: i64| {
        site.publish_at(Dates { date: DATE + date, valid_until: Some(DATE + date + days * 86_400) }, None);
        on_host(site, &kmend, "status").ok()
    };
    let status = |site: &Site| {
        let mut command = std::process::Command::new(&kmend);
        run(command.arg("status").env("KMEND_ROOT", site.root.path())).text
    };
    let said = publish(&site, 100, 90);
    assert!(!said.contains("the index"), "{said}");
    let line = "index: test of 2026-09-21, 2 days old, valid until 2026-12-20\n";
    assert!(status(&site).contains(line), "{}", status(&site));
    let said = publish(&site, 0, 90);
    assert!(said.contains("the index of test is older than before: it is from 2026-09-21"), "{said}");
    assert!(status(&site).contains("the index of test is older than before"), "{}", status(&site));
    let said = publish(&site, 200, 1);
    assert!(said.contains("the index of test has expired on 2026-09-22"), "{said}");
    assert!(status(&site).contains(", 2 days old, expired on 2026-09-22\n"), "{}", status(&site));
}
