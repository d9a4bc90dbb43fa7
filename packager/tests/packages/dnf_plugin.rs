// SPDX-License-Identifier: GPL-2.0-or-later
//! `dnf kpatch` with the real dnf 4: the plugin comes from its package, and works on the host.

use crate::dnf::Site;
use crate::host_tool::tool;
use crate::metapackage::later;
use crate::samples::{el9, live_patch};
use crate::tools::{rpm_query, Said};
use kmend_packager::{redhat, Arch, Names};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;

const CONF: &str = "etc/dnf/plugins/kpatch.conf";

/// A host with the plugin, and modules for its live patches.
struct Host {
    site: Site,
    modules: tempfile::TempDir,
}

impl Host {
    fn new(names: &Names) -> Host {
        let site = Site::new(names);
        site.stand_in("python3-dnf", "4.14.0-1", &[], &[]);
        redhat::dnf_plugin(&tool(site.dir.path()), None).unwrap().write(&site.repository()).unwrap();
        site.publish(None);
        site.dnf(&["install", "kpatch-dnf"]).ok();
        Host { site, modules: tempfile::tempdir().unwrap() }
    }

    /// dnf with the plugin.
    fn dnf(&self, args: &[&str]) -> Said {
        let path = format!("--setopt=pluginpath={}", self.site.root.at("usr/lib/kpatch-dnf").display());
        let conf = format!("--setopt=pluginconfpath={}", self.site.root.at("etc/dnf/plugins").display());
        let options = ["--nogpgcheck", "--setopt=plugins=1", &path, &conf];
        self.site.dnf_with(&options, &[("PYTHONDONTWRITEBYTECODE", "1")], args)
    }

    fn kpatch(&self, verb: &str) -> String {
        self.dnf(&["-q", "kpatch", verb]).ok()
    }

    fn add(&mut self, names: &Names, release: u32) {
        self.site.add(&live_patch(self.modules.path(), names, release), None);
        self.site.publish(None);
    }

    fn kernel(&self, names: &Names) {
        self.site.kernel(names);
        self.site.publish(None);
    }

    /// The live patches that are installed are these, by the beginnings of their names.
    #[track_caller]
    fn has(&self, wanted: &[String]) {
        let all = self.site.live_patches();
        assert_eq!(all.len(), wanted.len(), "{all:?}");
        assert!(wanted.iter().all(|w| all.iter().any(|p| p.starts_with(w))), "{all:?} is not {wanted:?}");
    }

    fn conf(&self) -> String {
        fs::read_to_string(self.site.root.at(CONF)).unwrap()
    }
}

fn is(names: &Names, version: &str) -> String {
    format!("{}-{version}.", names.rpm())
}

fn verbs(arch: Arch) {
    let (names, later) = (el9(arch), later(arch));
    let mut host = Host::new(&names);
    let manual = "Kpatch update setting: manual-update\nKpatch filter setting: no-filter\n";
    assert_eq!(host.kpatch("status"), manual);
    host.add(&names, 1);
    let offered = format!("{manual}Available patches: {}-1-1.el9_3.{}\n", names.rpm(), arch.uname);
    assert_eq!(host.kpatch("status"), offered);
    host.has(&[]);

    host.kpatch("install");
    host.has(&[is(&names, "1-1")]);
    assert_eq!(host.kpatch("status"), manual);
    assert!(host.site.root.calls().iter().any(|call| call.starts_with("load ")));
    host.add(&names, 2);
    host.kpatch("install");
    host.has(&[is(&names, "1-2")]);

    // Subscribed: a kernel that comes brings its live patch, here the empty one.
    let said = host.dnf(&["kpatch", "auto"]).ok();
    assert!(said.contains("Kpatch update setting: auto\n"), "{said}");
    assert!(host.kpatch("status").starts_with("Kpatch update setting: auto-update\n"));
    host.add(&later, 0);
    host.kernel(&later);
    host.dnf(&["upgrade"]).ok();
    host.has(&[is(&names, "1-2"), is(&later, "0-0")]);
    host.add(&later, 1);
    host.dnf(&["upgrade"]).ok();
    host.has(&[is(&names, "1-2"), is(&later, "1-1")]);

    host.kpatch("manual");
    assert!(host.kpatch("status").starts_with("Kpatch update setting: manual-update\n"));
    host.dnf(&["remove", &later.rpm(), &format!("kernel-core-{}", later.base())]).ok();
    host.dnf(&["upgrade"]).ok();
    host.dnf(&["install", &format!("kernel-core-{}", later.base())]).ok();
    host.has(&[is(&names, "1-2")]);
    let said = host.dnf(&["kpatch", "automatic"]).refused();
    assert!(said.contains("auto-update"), "{said}");
}

#[test]
fn verbs_x86_64() {
    verbs(Arch::X86_64);
}

#[test]
fn verbs_ppc64le() {
    verbs(Arch::PPC64LE);
}

/// Kernels come first, and their streams days after.
#[test]
fn a_live_patch_that_is_later_than_its_kernel_comes_with_the_next_update() {
    let (names, later) = (el9(Arch::X86_64), later(Arch::X86_64));
    let mut host = Host::new(&names);
    host.add(&names, 1);
    host.kpatch("auto-update");
    host.kernel(&later);
    host.dnf(&["upgrade"]).ok();
    host.add(&later, 0);
    host.site.stand_in("base", "1-2", &["/bin/sh", "systemd"], &[]);
    host.site.publish(None);
    host.dnf(&["upgrade", "base"]).ok();
    host.has(&[is(&names, "1-1")]);
    assert!(host.kpatch("status").contains(&format!("No live patch yet: {}-0-0", later.rpm())));
    host.dnf(&["upgrade"]).ok();
    host.has(&[is(&names, "1-1"), is(&later, "0-0")]);
    host.kpatch("manual-update");
    host.dnf(&["remove", &later.rpm()]).ok();
    host.dnf(&["upgrade"]).ok();
    host.has(&[is(&names, "1-1")]);
}

#[test]
fn a_live_patch_stays_as_long_as_its_kernel() {
    let (names, later) = (el9(Arch::X86_64), later(Arch::X86_64));
    let mut host = Host::new(&names);
    host.add(&names, 1);
    host.add(&later, 1);
    host.kpatch("auto");
    host.kernel(&later);
    host.dnf(&["upgrade"]).ok();
    host.dnf(&["autoremove"]).ok();
    host.has(&[is(&names, "1-1"), is(&later, "1-1")]);
    host.kpatch("manual");
    host.dnf(&["autoremove"]).ok();
    host.has(&[is(&names, "1-1"), is(&later, "1-1")]);
    // The oldest kernel goes when a third one comes.
    let third = Names::new("5.14.0-503.11.1.el9_5.x86_64", Arch::X86_64).unwrap();
    host.kernel(&third);
    host.dnf(&["--setopt=installonly_limit=2", "upgrade"]).ok();
    host.has(&[is(&later, "1-1")]);
    host.dnf(&["remove", &format!("kernel-core-{}", later.base())]).ok();
    host.has(&[]);
}

#[test]
fn what_somebody_asks_for_is_not_overruled() {
    let (names, later) = (el9(Arch::X86_64), later(Arch::X86_64));
    let mut host = Host::new(&names);
    host.kpatch("auto");
    host.add(&later, 1);
    host.add(&later, 2);
    host.kernel(&later);
    let wanted = format!("{}-1-1.el9_4", later.rpm());
    host.dnf(&["install", &format!("kernel-core-{}", later.base()), &wanted]).ok();
    host.has(&[is(&later, "1-1")]);
    host.dnf(&["remove", &later.rpm()]).ok();
    host.has(&[]);
}

#[test]
fn a_live_patch_that_cannot_be_installed_does_not_keep_a_kernel_away() {
    let (names, later) = (el9(Arch::X86_64), later(Arch::X86_64));
    let mut host = Host::new(&names);
    host.kpatch("auto");
    host.add(&later, 1);
    host.kernel(&later);
    // Nothing that is kpatch >= 0.6.1.
    host.site.dnf(&["remove", "kpatch"]).ok();
    fs::remove_file(host.site.repository().join("kpatch-0.9.7-1.x86_64.rpm")).unwrap();
    host.site.publish(None);
    let said = host.dnf(&["upgrade"]).ok();
    assert!(said.contains("kernel-core-5.14.0-427.13.1.el9_4"), "{said}");
    assert!(said.contains(&format!("{}-1-1.el9_4.x86_64 cannot be installed", later.rpm())), "{said}");
    host.has(&[]);
}

/// A vendor's live patches have names of their own; and RPM takes el9_3 and el9.3 for one version.
#[test]
fn provides_decide_and_not_names() {
    let names = el9(Arch::X86_64);
    let host = Host::new(&names);
    let of = |name: &str, release: &str| {
        host.site.stand_in(name, "1-1", &[&format!("kpatch-patch = {release}")], &[]);
        host.site.publish(None);
    };
    of("kpatch-patch-other", "5.14.0-362.8.1.el9.3.x86_64");
    host.kpatch("install");
    host.has(&[]);
    of("kpatch-patch-vendor", names.release());
    assert!(host.kpatch("status").contains("Available patches: kpatch-patch-vendor-1-1.x86_64\n"));
    of("kpatch-patch-second", names.release());
    let said = host.dnf(&["kpatch", "install"]).ok();
    assert!(said.contains("kpatch-patch-second, kpatch-patch-vendor"), "{said}");
    host.has(&[]);
    host.dnf(&["install", "kpatch-patch-vendor"]).ok();
    let said = host.dnf(&["kpatch", "auto"]).ok();
    assert!(!said.contains("kpatch-patch-second"), "{said}");
    host.has(&["kpatch-patch-vendor-1-1".into()]);
}

#[test]
fn kernels_without_a_live_patch_are_not_offered() {
    let (names, later) = (el9(Arch::X86_64), later(Arch::X86_64));
    let mut host = Host::new(&names);
    let modules = |names: &Names| {
        let provides = format!("kernel-modules-uname-r = {}", names.release());
        host.site.stand_in("kernel-modules", names.base(), &[&provides], &[]);
    };
    modules(&names);
    modules(&later);
    host.kernel(&later);
    host.kpatch("auto-filter");
    assert!(host.kpatch("status").contains("Kpatch filter setting: auto-filter\n"));
    let said = host.dnf(&["upgrade"]).ok();
    assert!(said.contains(&format!("auto-filter): {}\n", later.release())), "{said}");
    assert!(!said.contains("kernel-core-5.14.0-427"), "{said}");
    host.dnf(&["install", &format!("kernel-modules-{}", later.base())]).refused();
    // The parts of an installed kernel can be had.
    host.dnf(&["install", "kernel-modules"]).ok();
    host.add(&later, 0);
    let said = host.dnf(&["upgrade", "kernel-core"]).ok();
    assert!(said.contains("kernel-core-5.14.0-427") && !said.contains("auto-filter)"), "{said}");
    host.kpatch("no-filter");
    assert!(host.kpatch("status").contains("Kpatch filter setting: no-filter\n"));
}

#[test]
fn the_setting_keeps_what_else_is_in_the_file() {
    let names = el9(Arch::X86_64);
    let host = Host::new(&names);
    let shipped = host.conf();
    assert!(!shipped.to_lowercase().contains("autoupdate = true"), "cockpit would take it for the setting");
    host.kpatch("auto");
    assert_eq!(host.conf(), shipped.replace("autoupdate = False", "autoupdate = True"));
    let path = host.site.root.at(CONF);
    for (before, after) in [
        ("", "[main]\nautofilter = True\n"),
        ("# mine\n[main]\nenabled=1\n\n[x]\ny=1", "# mine\n[main]\nenabled=1\nautofilter = True\n\n[x]\ny=1\n"),
        ("[main]\nautofilter=no\nautoupdate=1\n", "[main]\nautofilter = True\nautoupdate=1\n"),
        ("[x]\nautofilter = False\n", "[x]\nautofilter = False\n[main]\nautofilter = True\n"),
    ] {
        fs::write(&path, before).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
        host.kpatch("auto-filter");
        assert_eq!(host.conf(), after);
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o640);
        let left = fs::read_dir(path.parent().unwrap()).unwrap().count();
        assert_eq!(left, 1, "only the setting is left there");
    }
    fs::write(&path, "[main]\nautoupdate = maybe\n").unwrap();
    let said = host.dnf(&["kpatch", "status"]).ok();
    assert!(
        said.contains("Kpatch update setting: manual-update\n") && said.contains("kpatch.conf: autoupdate"),
        "{said}"
    );
    fs::remove_file(&path).unwrap();
    host.kpatch("auto");
    assert_eq!(host.conf(), "[main]\nautoupdate = True\n");

    // The setting of this machine is not that of the root in which dnf works.
    let plugin = format!("--setopt=pluginpath={}", host.site.root.at("usr/lib/kpatch-dnf").display());
    let elsewhere = format!("--setopt=pluginconfpath={}", host.modules.path().display());
    let options = ["--nogpgcheck", "--setopt=plugins=1", &plugin, &elsewhere];
    let said = host.site.dnf_with(&options, &[("PYTHONDONTWRITEBYTECODE", "1")], &["kpatch", "auto"]).refused();
    assert!(said.contains("--setopt=pluginconfpath="), "{said}");
    assert_eq!(fs::read_dir(host.modules.path()).unwrap().count(), 0);
}

#[test]
fn the_package_has_a_link_for_each_python() {
    let dir = tempfile::tempdir().unwrap();
    let made = redhat::dnf_plugin(&tool(dir.path()), None).unwrap();
    assert_eq!(made.file, "kpatch-dnf-0.1.0-1.el9.noarch.rpm");
    let path = made.write(dir.path()).unwrap();
    let listed = rpm_query(&path, &["-lv"]);
    for python in ["3.6", "3.9", "3.12"] {
        let link =
            format!("/usr/lib/python{python}/site-packages/dnf-plugins/kpatch.py -> /usr/lib/kpatch-dnf/kpatch.py");
        assert!(listed.lines().any(|line| line.ends_with(&link)), "{link}: {listed}");
    }
    assert_eq!(rpm_query(&path, &["--configfiles"]), format!("/{CONF}\n"));
}

/// dnf's library as dnf-automatic uses it: without a command line. The last argument is a module that is loaded before.
const LIBRARY: &str = r#"
import importlib, os, shutil, sys
import dnf
root, repository, plugins, module = sys.argv[1:]
importlib.import_module(module)
base = dnf.Base()
conf = base.conf
conf.installroot = root
conf.reposdir = conf.varsdir = ["/nonexistent"]
for folder in ("cachedir", "persistdir", "logdir"):
    shutil.rmtree(root + "/var/" + folder, ignore_errors=True)
    os.makedirs(root + "/var/" + folder)
    setattr(conf, folder, root + "/var/" + folder)
conf.substitutions["releasever"] = "9"
conf.plugins, conf.gpgcheck = True, False
conf.pluginpath, conf.pluginconfpath = [plugins], [root + "/etc/dnf/plugins"]
base.init_plugins()
base.pre_configure_plugins()
base.repos.add_new_repo("test", conf, baseurl=["file://" + repository])
base.configure_plugins()
base.fill_sack()
base.upgrade_all()
base.resolve()
print(" ".join(sorted(str(item.pkg) for item in base.transaction)))
"#;

#[test]
fn dnf_automatic_subscribes_as_well() {
    let (names, later) = (el9(Arch::X86_64), later(Arch::X86_64));
    let mut host = Host::new(&names);
    host.kpatch("auto");
    host.add(&names, 0);
    host.add(&later, 0);
    let run = |host: &Host, module: &str| {
        let mut python = Command::new("/usr/bin/python3");
        python.args(["-B", "-c", LIBRARY]).arg(host.site.root.path()).arg(host.site.repository());
        python.arg(host.site.root.at("usr/lib/kpatch-dnf")).arg(module);
        let said = crate::tools::run(&mut python).ok();
        said.lines().last().unwrap_or_default().to_owned()
    };
    let own = format!("{}-0-0.el9_3.x86_64", names.rpm());
    assert_eq!(run(&host, "dnf.automatic.main"), own);
    assert_eq!(run(&host, "dnf"), "", "another program asks for what it wants");
    host.kernel(&later);
    let kernel = format!("kernel-core-{}.x86_64", later.base());
    assert_eq!(run(&host, "dnf"), format!("{kernel} {}-0-0.el9_4.x86_64", later.rpm()));
}
