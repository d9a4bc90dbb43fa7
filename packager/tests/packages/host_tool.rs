// SPDX-License-Identifier: GPL-2.0-or-later
//! The packages of kmend itself. The program in them is another of this machine.

use crate::deb::Host;
use crate::dnf::Site;
use crate::samples::{el9, live_patch, origin};
use crate::system::{Root, KPATCH};
use crate::tools::{as_root, find, program, rpm_query, run};
use kmend_packager::{debian, redhat, Arch, HostTool};
use rpm::{BuildConfig, CompressionWithLevel, FileOptions, PackageBuilder, Scriptlet};
use std::fs;
use std::path::{Path, PathBuf};

pub fn tool(dir: &Path) -> HostTool {
    let share = dir.join("share");
    let (man, completions) = (share.join("man/man8"), share.join("bash-completion/completions"));
    fs::create_dir_all(&man).unwrap();
    fs::create_dir_all(&completions).unwrap();
    fs::write(man.join("kmend.8"), ".TH KMEND 8\n").unwrap();
    fs::write(completions.join("kmend"), "complete -F _kmend kmend\n").unwrap();
    HostTool {
        version: "0.1.0".into(),
        release: 1,
        dist: ".el9".into(),
        binary: find("dash").expect("dash is missing: install Debian's package dash"),
        unit: Path::new(env!("CARGO_MANIFEST_DIR")).join("../manager/kpatch.service"),
        share: Some(share),
        origin: origin(),
    }
}

/// kmend comes to a host with live patches.
const ENABLED: [&str; 3] = [
    "systemctl --no-reload unmask kpatch.service",
    "systemctl --no-reload enable kpatch.service",
    "systemctl --no-reload enable kmend-check.timer",
];

/// A systemctl that keeps the state of kpatch.service in /etc/unit, as far as packages' scripts ask for it.
const SYSTEMCTL: &str = "#!/bin/sh
case \"$*\" in
'is-enabled kpatch.service') cat /etc/unit && echo ;;
'is-enabled --quiet kmend-check.timer') [ \"$(cat /etc/timer)\" = enabled ] ;;
*' enable kmend-check.timer') echo enabled >/etc/timer ;;
*' disable kmend-check.timer'*) echo disabled >/etc/timer ;;
*unmask*kpatch.service) [ \"$(cat /etc/unit)\" != masked ] || echo disabled >/etc/unit ;;
*enable*kpatch.service) echo enabled >/etc/unit ;;
*disable*kpatch.service | 'preset kpatch.service') echo disabled >/etc/unit ;;
esac
";

/// A host with live patches, and with a systemctl that writes down how it is called.
fn live_patches_before(root: &Root) {
    root.program("bin/systemctl", "#!/bin/sh\necho \"systemctl $*\" >>/var/log/kpatch\n");
    fs::create_dir_all(root.at("var/lib/kpatch/5.14.0")).unwrap();
    root.write("var/lib/kpatch/5.14.0/some.ko", "");
    root.calls();
}

#[test]
fn the_rpm_takes_the_place_of_kpatch() {
    let names = el9(Arch::X86_64);
    let mut site = Site::new(&names);
    let made = redhat::host_tool(&tool(site.dir.path()), None).unwrap();
    let path = made.write(&site.repository()).unwrap();
    assert_eq!(made.file, "kmend-0.1.0-1.el9.x86_64.rpm");
    assert!(rpm_query(&path, &["--provides"]).lines().any(|l| l == "kpatch = 0.9.11-1"));
    let listed = rpm_query(&path, &["-lv"]);
    for ending in [
        "/usr/sbin/kmend",
        "/usr/sbin/kpatch -> kmend",
        "/usr/lib/systemd/system/kpatch.service",
        "/usr/lib/systemd/system/kmend-check.service",
        "/usr/lib/systemd/system/kmend-check.timer",
        "/etc/sos/extras.d/kmend",
        "/usr/share/man/man8/kmend.8",
        "/usr/share/bash-completion/completions/kmend",
    ] {
        assert!(listed.lines().any(|l| l.ends_with(ending)), "{ending}: {listed}");
    }
    let requires = rpm_query(&path, &["--requires"]);
    assert!(requires.contains("libc.so.6()(64bit)") && requires.contains("libc.so.6(GLIBC_2."), "{requires}");
    let libraries: Vec<&str> = requires.lines().filter(|l| l.contains("(64bit)")).collect();
    site.stand_in("glibc", "2.40-1", &libraries, &[]);
    site.add(&live_patch(site.dir.path(), &names, 1), None);
    site.publish(None);

    let said = site.dnf(&["install", "kmend"]).refused();
    assert!(said.contains("conflicts with kpatch"), "{said}");
    live_patches_before(&site.root);
    site.dnf(&["swap", "kpatch", "kmend"]).ok();
    assert_eq!(site.root.calls(), ENABLED);
    site.dnf(&["reinstall", "kmend"]).ok();
    assert_eq!(site.root.calls(), [""; 0], "who has disabled the unit since then had a reason");
    assert_eq!(fs::read_link(site.root.at("usr/sbin/kpatch")).unwrap(), Path::new("kmend"));
    site.dnf(&["install", &names.rpm()]).ok();
    assert_eq!(site.live_patches().len(), 1, "kmend is the kpatch that it asks for");
}

#[test]
fn the_deb_takes_the_place_of_kpatch() {
    let host = Host::new();
    let made = debian::host_tool(&tool(host.dir.path())).unwrap();
    assert_eq!(made.file, "kmend_0.1.0-1_amd64.deb");
    let path = made.write(host.dir.path()).unwrap();
    let control = run(program("dpkg-deb").arg("-f").arg(&path)).ok();
    let depends = control.lines().find_map(|l| l.strip_prefix("Depends: ")).unwrap();
    assert!(depends.contains("libc6 (>= 2."), "{control}");
    assert!(
        control.contains("Provides: kpatch (= 0.9.11-1)\nConflicts: kpatch (<< 1:0)\nReplaces: kpatch (<< 1:0)\n"),
        "{control}"
    );
    host.stand_in("libc6", "2.99", "");
    host.stand_in("libgcc-s1", "99", "");
    fs::remove_file(host.root.at("usr/sbin/kpatch")).unwrap();
    live_patches_before(&host.root);
    host.dpkg("-i", path.to_str().unwrap()).ok();
    assert_eq!((host.version("kmend").as_str(), host.version("kpatch").as_str()), ("0.1.0-1", ""));
    assert_eq!(host.root.calls(), ENABLED);
    assert_eq!(fs::read_link(host.root.at("usr/sbin/kpatch")).unwrap(), Path::new("kmend"));
    let patch = live_patch(host.dir.path(), &crate::samples::debian(), 0);
    let path = debian::live_patch(&patch).unwrap().write(host.dir.path()).unwrap();
    host.dpkg("-i", path.to_str().unwrap()).ok();
    host.dpkg("-r", &patch.names.deb()).ok();
    host.dpkg("-r", "kmend").ok();
    assert_eq!(
        host.root.calls(),
        [
            "systemctl is-enabled --quiet kmend-check.timer",
            "systemctl is-enabled --quiet kmend-subscribe.timer",
            "systemctl --no-reload disable kmend-check.timer kmend-subscribe.timer",
            "systemctl --no-reload disable kmend-check.timer",
            "systemctl --no-reload disable kpatch.service"
        ]
    );
    assert!(!host.root.at("usr/sbin/kpatch").exists());
}

/// A host that kmend's deb can be installed on, and the deb.
fn debian_host() -> (Host, PathBuf) {
    let host = Host::new();
    let path = debian::host_tool(&tool(host.dir.path())).unwrap().write(host.dir.path()).unwrap();
    host.stand_in("libc6", "2.99", "");
    host.stand_in("libgcc-s1", "99", "");
    (host, path)
}

/// kpatch as RHEL has it: its unit is preset when it comes, which disables it there, and disabled when it goes.
fn rhel_kpatch(site: &Site) {
    let mut package = PackageBuilder::new("kpatch", "0.9.7", "MIT", site.arch.uname, "stands in");
    package.using_config(BuildConfig::v4().compression(CompressionWithLevel::None)).release("2");
    let file = |path: &str, mode| FileOptions::new(path.to_string()).permissions(mode);
    package.with_file_contents(KPATCH, file("/usr/sbin/kpatch", 0o755)).unwrap();
    package.with_file_contents("[Unit]\n", file("/usr/lib/systemd/system/kpatch.service", 0o644)).unwrap();
    let script = |text: &str| Scriptlet::new(text).prog(vec!["/bin/sh"]);
    package
        .post_install_script(script("[ \"$1\" != 1 ] || systemctl preset kpatch.service\n"))
        .pre_uninstall_script(script("[ \"$1\" != 0 ] || systemctl --no-reload disable --now kpatch.service\n"));
    let path = site.repository().join(format!("kpatch-0.9.7-2.{}.rpm", site.arch.uname));
    package.build().unwrap().write_file(path).unwrap();
}

#[test]
fn a_swap_leaves_the_unit_as_it_was() {
    for state in ["enabled", "disabled"] {
        let names = el9(Arch::X86_64);
        let site = Site::new(&names);
        let made = redhat::host_tool(&tool(site.dir.path()), None).unwrap();
        let path = made.write(&site.repository()).unwrap();
        let requires = rpm_query(&path, &["--requires"]);
        let libraries: Vec<&str> = requires.lines().filter(|l| l.contains("(64bit)")).collect();
        site.stand_in("glibc", "2.40-1", &libraries, &[]);
        rhel_kpatch(&site);
        site.publish(None);
        site.root.program("bin/systemctl", SYSTEMCTL);
        site.dnf(&["update", "kpatch"]).ok();
        fs::create_dir_all(site.root.at("var/lib/kpatch/5.14.0")).unwrap();
        site.root.write("var/lib/kpatch/5.14.0/some.ko", "");
        let unit = || fs::read_to_string(site.root.at("etc/unit")).unwrap().trim().to_string();
        site.root.write("etc/unit", state);
        site.dnf(&["swap", "kpatch", "kmend"]).ok();
        assert_eq!(unit(), state, "kpatch to kmend");
        site.dnf(&["swap", "kmend", "kpatch"]).ok();
        assert_eq!(unit(), state, "kmend to kpatch");
        assert!(!site.root.at("run/kmend-unit-before").exists());
        // Without another kpatch it goes.
        site.dnf(&["swap", "kpatch", "kmend"]).ok();
        assert_eq!(unit(), state);
        site.dnf(&["remove", "kmend"]).ok();
        assert_eq!(unit(), "disabled");
    }
}

#[test]
fn dpkg_leaves_the_unit_as_it_was_too() {
    for state in ["enabled", "disabled"] {
        let (host, path) = debian_host();
        host.root.program("bin/systemctl", SYSTEMCTL);
        fs::create_dir_all(host.root.at("usr/lib/systemd/system")).unwrap();
        fs::create_dir_all(host.root.at("var/lib/kpatch/5.14.0")).unwrap();
        host.root.write("var/lib/kpatch/5.14.0/some.ko", "");
        let unit = || fs::read_to_string(host.root.at("etc/unit")).unwrap().trim().to_string();
        let timer = || fs::read_to_string(host.root.at("etc/timer")).unwrap().trim().to_string();
        // Debian's kpatch masks its unit when it goes, and knows by itself what it was when it comes.
        let folder = host.dir.path().join("kpatch");
        let put = |name: &str, text: &str| {
            let path = folder.join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(&path, text).unwrap();
            fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
        };
        fs::remove_file(host.root.at("usr/sbin/kpatch")).unwrap();
        put("usr/sbin/kpatch", KPATCH);
        put("usr/lib/systemd/system/kpatch.service", "[Unit]\n");
        put("DEBIAN/postrm", "#!/bin/sh\n[ \"$1\" != remove ] || echo masked >/etc/unit\n");
        host.stand_in("kpatch", "0.9.11-2", "Conflicts: kmend\nReplaces: kmend\n");
        host.root.write("etc/unit", state);
        host.dpkg("-i", path.to_str().unwrap()).ok();
        assert_eq!(host.version("kmend"), "0.1.0-1");
        assert_eq!(unit(), state, "kpatch to kmend");
        host.root.write("etc/unit", state);
        run(as_root("dpkg").arg(format!("--root={}", host.root.path().display())).args([
            "--force-architecture",
            "--auto-deconfigure",
            "-i",
            host.dir.path().join("kpatch.deb").to_str().unwrap(),
        ]))
        .ok();
        assert_eq!((host.version("kpatch").as_str(), host.version("kmend").as_str()), ("0.9.11-2", ""));
        assert_eq!(unit(), state, "kmend to kpatch");
        assert_eq!(timer(), "disabled");
        // Removed and not purged, it is no upgrade.
        host.dpkg("-i", path.to_str().unwrap()).ok();
        assert_eq!((unit().as_str(), timer().as_str()), (state, "enabled"), "and back");
        assert!(!host.root.at("var/lib/kmend/first").exists());
    }
}

#[test]
fn same_input_same_bytes() {
    let dir = tempfile::tempdir().unwrap();
    let tool = tool(dir.path());
    let first = (redhat::host_tool(&tool, None).unwrap(), debian::host_tool(&tool).unwrap());
    std::thread::sleep(std::time::Duration::from_millis(1100));
    assert!(first == (redhat::host_tool(&tool, None).unwrap(), debian::host_tool(&tool).unwrap()));
}

#[test]
fn what_is_no_program_or_has_no_place_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let refused = |change: &dyn Fn(&mut HostTool)| {
        let mut tool = tool(dir.path());
        change(&mut tool);
        format!("{:#}", redhat::host_tool(&tool, None).unwrap_err())
    };
    let unit = Path::new(env!("CARGO_MANIFEST_DIR")).join("Cargo.toml");
    assert!(refused(&|tool| tool.binary = unit.clone()).contains("is no 64-bit ELF file"));
    assert!(refused(&|tool| tool.unit = "/nonexistent/kpatch.service".into()).contains("cannot read /nonexistent"));
    assert!(refused(&|tool| tool.version = "0.1 0".into()).contains("version \"0.1 0\""));
    fs::write(dir.path().join("share/man/evil"), "").unwrap();
    assert!(refused(&|_| ()).contains("share/man/evil is no folder of man pages"));
}

/// apt removes Debian's kpatch before it unpacks kmend, and that masks its unit then.
#[test]
fn the_unit_of_a_kpatch_that_is_gone_already_is_remembered() {
    for state in ["enabled", "disabled"] {
        let (host, path) = debian_host();
        host.root.program("bin/systemctl", SYSTEMCTL);
        fs::remove_file(host.root.at("usr/sbin/kpatch")).unwrap();
        host.dpkg("-r", "kpatch").ok();
        host.root.write("etc/unit", "masked");
        fs::create_dir_all(host.root.at("var/lib/systemd/deb-systemd-helper-masked")).unwrap();
        host.root.write("var/lib/systemd/deb-systemd-helper-masked/kpatch.service", "");
        let wants = host.root.at("etc/systemd/system/multi-user.target.wants");
        fs::create_dir_all(&wants).unwrap();
        if state == "enabled" {
            std::os::unix::fs::symlink("/lib/systemd/system/kpatch.service", wants.join("kpatch.service")).unwrap();
        }
        host.dpkg("-i", path.to_str().unwrap()).ok();
        assert_eq!(fs::read_to_string(host.root.at("etc/unit")).unwrap().trim(), state);
    }
}
