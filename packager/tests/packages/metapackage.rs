// SPDX-License-Identifier: GPL-2.0-or-later
//! kpatch-patches: what a host with it gets, and that a live patch that cannot be had does not keep a kernel away.

use crate::dnf::Site;
use crate::samples::{el9, live_patch, origin};
use crate::tools::rpm_query;
use kmend_packager::redhat::{self, Metapackage};
use kmend_packager::{Arch, Names, Version};

const LATER: &str = "5.14.0-427.13.1.el9_4";

pub fn later(arch: Arch) -> Names {
    Names::new(&format!("{LATER}.{}", arch.uname), arch).unwrap()
}

pub fn meta(version: u32, patches: &[(&Names, u32)]) -> Metapackage {
    let number = |release: u32| if release == 0 { Version::EMPTY } else { Version { version: 1, release } };
    Metapackage {
        version,
        release: 1,
        dist: ".el9".into(),
        patches: patches.iter().map(|(names, release)| ((*names).clone(), number(*release))).collect(),
        origin: origin(),
    }
}

pub fn add(site: &Site, meta: &Metapackage) {
    redhat::metapackage(meta, None).unwrap().write(&site.repository()).unwrap();
}

fn subscribes(arch: Arch) {
    let (names, later) = (el9(arch), later(arch));
    let modules = tempfile::tempdir().unwrap();
    let mut site = Site::new(&names);
    site.add(&live_patch(modules.path(), &names, 1), None);
    add(&site, &meta(1, &[(&names, 1)]));
    site.publish(None);
    site.dnf(&["install", "kpatch-patches"]).ok();
    let installed = |more: &[&str]| {
        let mut all: Vec<String> = more.iter().map(|p| format!("{p}.{}", arch.uname)).collect();
        all.push(site_meta(&site));
        all.sort();
        assert_eq!(site.live_patches(), all);
    };
    installed(&["kpatch-patch-5_14_0-362_8_1-1-1.el9_3"]);

    // A new version for this kernel, and a kernel that is new on the host.
    let mut site = site;
    site.add(&live_patch(modules.path(), &names, 2), None);
    site.add(&live_patch(modules.path(), &later, 0), None);
    add(&site, &meta(2, &[(&names, 2), (&later, 0)]));
    site.kernel(&later);
    site.publish(None);
    let said = site.dnf(&["update"]).ok();
    let all = site.live_patches();
    assert!(all.iter().any(|p| p.starts_with("kpatch-patch-5_14_0-362_8_1-1-2.el9_3")), "{said}{all:?}");
    assert!(all.iter().any(|p| p.starts_with("kpatch-patch-5_14_0-427_13_1-0-0.el9_4")), "{said}{all:?}");

    // And then its first live patch.
    site.add(&live_patch(modules.path(), &later, 1), None);
    add(&site, &meta(3, &[(&names, 2), (&later, 1)]));
    site.publish(None);
    site.dnf(&["update"]).ok();
    let all = site.live_patches();
    assert!(all.iter().any(|p| p.starts_with("kpatch-patch-5_14_0-427_13_1-1-1.el9_4")), "{all:?}");
}

fn site_meta(_: &Site) -> String {
    "kpatch-patches-1-1.el9.noarch".into()
}

#[test]
fn subscribes_x86_64() {
    subscribes(Arch::X86_64);
}

#[test]
fn subscribes_ppc64le() {
    subscribes(Arch::PPC64LE);
}

#[test]
fn a_kernel_that_comes_later_is_subscribed_by_the_package_that_is_there() {
    let (names, later) = (el9(Arch::X86_64), later(Arch::X86_64));
    let modules = tempfile::tempdir().unwrap();
    let mut site = Site::new(&names);
    site.add(&live_patch(modules.path(), &names, 1), None);
    site.add(&live_patch(modules.path(), &later, 1), None);
    add(&site, &meta(1, &[(&names, 1), (&later, 1)]));
    site.publish(None);
    site.dnf(&["install", "kpatch-patches"]).ok();
    assert_eq!(site.live_patches().len(), 2, "{:?}", site.live_patches());
    site.kernel(&later);
    site.publish(None);
    let said = site.dnf(&["update"]).ok();
    assert!(site.live_patches().iter().any(|p| p.starts_with("kpatch-patch-5_14_0-427_13_1-1-1")), "{said}");
}

#[test]
fn a_live_patch_that_cannot_be_had_does_not_keep_a_kernel_away() {
    let (names, later) = (el9(Arch::X86_64), later(Arch::X86_64));
    let modules = tempfile::tempdir().unwrap();
    let mut site = Site::new(&names);
    site.add(&live_patch(modules.path(), &names, 1), None);
    add(&site, &meta(1, &[(&names, 1), (&later, 1)]));
    site.kernel(&later);
    site.publish(None);
    site.dnf(&["install", "kpatch-patches"]).ok();
    let kernels = ["kernel-core-5.14.0-362.8.1.el9_3.x86_64", "kernel-core-5.14.0-427.13.1.el9_4.x86_64"];
    let said = site.dnf(&["update"]).ok();
    assert_eq!(site.installed("kernel-core"), kernels, "{said}");
    site.dnf(&["install", &format!("kernel-core = {LATER}")]).ok();
    assert_eq!(site.installed("kernel-core"), kernels);
}

#[test]
fn the_requirements_name_each_kernel() {
    let dir = tempfile::tempdir().unwrap();
    let names = el9(Arch::X86_64);
    let made = redhat::metapackage(&meta(20_261_002, &[(&names, 2)]), None).unwrap();
    assert_eq!(made.file, "kpatch-patches-20261002-1.el9.noarch.rpm");
    let path = made.write(dir.path()).unwrap();
    let said = rpm_query(&path, &["--recommends"]) + &rpm_query(&path, &["--requires"]);
    let wanted = "(kpatch-patch-5_14_0-362_8_1 >= 1-2 if kernel-uname-r = 5.14.0-362.8.1.el9_3.x86_64)";
    assert!(said.lines().any(|l| l == wanted), "{said}");
}

#[test]
fn two_kernels_of_one_name_are_refused() {
    let other = Names::new("5.14.0-362.8.1.el9.x86_64", Arch::X86_64).unwrap();
    let error = redhat::metapackage(&meta(1, &[(&el9(Arch::X86_64), 1), (&other, 1)]), None).unwrap_err().to_string();
    assert!(error.contains("would both be kpatch-patch-5_14_0-362_8_1"), "{error}");
}
