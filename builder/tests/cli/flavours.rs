// SPDX-License-Identifier: GPL-2.0-or-later
//! Names that mean the newest of several kernels: never one of another flavour.

use super::kernel::Kernel;
use super::tool::run;
use super::Test;

pub const TESTS: &[Test] = &[("a_name_never_means_another_flavour", newest)];

fn newest() {
    let kernel = Kernel::new();
    let add = |release: &str, version: &str| {
        let mut target = kernel.target.clone();
        target.name = format!("debian:flavours/{release}");
        target.release = release.into();
        target.version = version.into();
        kernel.store(&target);
    };
    let arch = kmend_shared::arch::ArchNames::named(&kernel.target.arch).unwrap().debian;
    let show = |name: &str| run(&kernel.cache(), &["target", "show", name]);
    add(&format!("7.2.13+deb14-cloud-{arch}"), "7.2.13-1");
    show("debian:flavours").fails(1, &["no target", &format!("7.2.13+deb14-cloud-{arch}")]);
    add(&format!("7.2.11+deb14-{arch}"), "7.2.11-1");
    add(&format!("7.2.12+deb14-{arch}"), "7.2.12-1");
    add(&format!("7.2.12+deb14-rt-{arch}"), "7.2.12-1");
    for (name, release) in [
        ("debian:flavours", "7.2.12+deb14"),
        ("debian:flavours/cloud", "7.2.13+deb14-cloud"),
        ("debian:flavours/rt", "7.2.12+deb14-rt"),
    ] {
        let ran = show(name);
        assert!(ran.succeeds().out.starts_with(&format!("debian:flavours/{release}-{arch}\n")), "{name}: {}", ran.out);
    }
    show("debian:flavours/other").fails(1, &["no target"]);
    // Not a release that begins so.
    show(&format!("debian:flavours/7.2.13+deb14-{arch}")).fails(1, &["no target"]);
    run(&kernel.cache(), &["target", "add", "debian:flavours/Cloud"]).fails(1, &["Cloud", "cloud"]);
}
