// SPDX-License-Identifier: GPL-2.0-or-later
//! `kmend subscribe` with the real apt: live patches of the kernels that are there and of those that come, which go with them.

use crate::apt::{add, config};
use crate::deb::Host;
use crate::samples::DEBIAN;
use crate::subscribe::kmend;
use crate::tools::{as_root, program, run, Said};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

/// A systemctl that keeps whether kmend-subscribe.timer is enabled in /timer of the host.
const SYSTEMCTL: &str = "#!/bin/sh
case \"$*\" in
'is-enabled kmend-subscribe.timer') cat ROOT/timer ;;
'enable --quiet kmend-subscribe.timer') echo enabled >ROOT/timer ;;
'disable --quiet kmend-subscribe.timer') echo disabled >ROOT/timer ;;
*) exit 1 ;;
esac
";

/// The programs that kmend runs, at work on the host, in a folder; none of this machine's dnf.
fn own_programs(host: &Host, config: &Path) -> PathBuf {
    let bin = host.dir.path().join("bin");
    fs::create_dir_all(&bin).unwrap();
    let put = |name: &str, text: &str| {
        fs::write(bin.join(name), text).unwrap();
        fs::set_permissions(bin.join(name), fs::Permissions::from_mode(0o755)).unwrap();
    };
    let root = host.root.path().display();
    for name in ["apt-get", "apt-cache", "apt-mark", "dpkg-query"] {
        let command = as_root(name);
        let mut words: Vec<&str> = vec![command.get_program().to_str().unwrap()];
        words.extend(command.get_args().map(|a| a.to_str().unwrap()));
        let root = if name == "dpkg-query" { format!(" --root={root}") } else { String::new() };
        let words = words.join(" ");
        put(name, &format!("#!/bin/sh\nexport APT_CONFIG={}\nexec {words}{root} \"$@\"\n", config.display()));
    }
    put("systemctl", &SYSTEMCTL.replace("ROOT", &root.to_string()));
    std::os::unix::fs::symlink(program("cat").get_program(), bin.join("cat")).unwrap();
    bin
}

/// A kernel of the distribution's, newer than the ones before by its `version`; `by_itself` as one that another package wanted.
fn kernel(host: &Host, release: &str, version: &str, by_itself: Option<&Path>) {
    let package = format!("linux-image-{release}");
    let boot = host.dir.path().join(&package).join("boot");
    fs::create_dir_all(&boot).unwrap();
    fs::write(boot.join(format!("vmlinuz-{release}")), "").unwrap();
    host.stand_in(&package, version, "");
    fs::create_dir_all(host.root.at(&format!("lib/modules/{release}"))).unwrap();
    host.root.write(&format!("lib/modules/{release}/modules.builtin"), "");
    if let Some(bin) = by_itself {
        run(std::process::Command::new(bin.join("apt-mark")).args(["auto", &package])).ok();
    }
}

#[test]
fn live_patches_come_and_go_with_their_kernels() {
    let kmend = kmend();
    let host = Host::new();
    let conf = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../manager/apt.conf")).unwrap();
    let config = config(&host, "file", "trusted=yes", &conf);
    let bin = own_programs(&host, &config);
    host.root.write("kernel.sock", "");
    host.root.write("timer", "disabled\n");
    fs::create_dir_all(host.root.at("proc/sys/kernel")).unwrap();
    host.root.write("proc/sys/kernel/osrelease", DEBIAN);
    kernel(&host, DEBIAN, "7.2.12-1", None);
    let package = |kernel: &str| format!("kpatch-patch-{kernel}");
    let says = |args: &[&str]| -> String {
        let mut command = std::process::Command::new(&kmend);
        run(command.arg("subscribe").args(args).env("KMEND_ROOT", host.root.path()).env("PATH", &bin)).ok()
    };
    let apt =
        |args: &[&str]| -> Said { run(std::process::Command::new(bin.join("apt-get")).args(["-y", "-q"]).args(args)) };

    // A stream that has brought nothing yet subscribes.
    add(&host, DEBIAN, 0);
    apt(&["update"]).ok();
    let said = says(&["status"]);
    assert!(said.starts_with("Kpatch update setting: manual-update\n"), "{said}");
    assert!(said.contains(&format!("No live patch yet: {}\n", package(DEBIAN))), "{said}");
    says(&["auto"]);
    assert!(says(&["status"]).starts_with("Kpatch update setting: auto-update\n"));
    assert_eq!(host.version(&package(DEBIAN)), "0-0");

    // The first live patch comes with the system's updates, and not with a look for what is missing.
    add(&host, DEBIAN, 1);
    apt(&["update"]).ok();
    says(&["install", "--missing"]);
    assert_eq!(host.version(&package(DEBIAN)), "0-0");
    apt(&["upgrade"]).ok();
    assert_eq!(host.version(&package(DEBIAN)), "1-1");

    // Kernels that come by themselves: each gets its live patch, which stays as long as apt keeps the kernel.
    let later = ["7.2.13+deb14-amd64", "7.2.14+deb14-amd64", "7.2.15+deb14-amd64", "7.2.16+deb14-amd64"];
    for (n, release) in later.iter().enumerate() {
        kernel(&host, release, &format!("7.2.{}-1", 13 + n), Some(&bin));
        add(&host, release, 2);
        // The timer's service asks first.
        says(&["check"]);
        says(&["install", "--missing"]);
        assert_eq!(host.version(&package(release)), "1-2", "{release}");
    }
    let auto = run(std::process::Command::new(bin.join("apt-mark")).arg("showauto")).ok();
    assert!(later.iter().all(|k| auto.lines().any(|l| l == package(k))), "{auto}");
    assert!(!auto.lines().any(|l| l == package(DEBIAN)), "its kernel was asked for by hand: {auto}");
    apt(&["autoremove"]).ok();
    let has = |name: String| !host.version(&name).is_empty();
    let (kernels, patches): (Vec<bool>, Vec<bool>) =
        later.iter().map(|k| (has(format!("linux-image-{k}")), has(package(k)))).unzip();
    assert_eq!(kernels, patches, "a live patch goes with its kernel");
    assert!(!kernels[0] && kernels[3], "apt keeps the newest and removes the oldest: {kernels:?}");
    assert!(has(format!("linux-image-{DEBIAN}")) && has(package(DEBIAN)));
    assert!(host.root.installed(later[0]).is_empty());

    says(&["manual"]);
    assert!(says(&["status"]).starts_with("Kpatch update setting: manual-update\n"));
    assert!(has(package(later[3])) && has(package(DEBIAN)));
}

/// The hook of kernel packages starts the service where the timer is enabled, and does not wait for it.
#[test]
fn a_new_kernel_starts_the_service_where_the_host_is_subscribed() {
    for (state, is_booted, wanted) in [("enabled", true, true), ("disabled", true, false), ("enabled", false, false)] {
        let host = Host::new();
        let hook = Path::new(env!("CARGO_MANIFEST_DIR")).join("../manager/kernel-hook");
        fs::copy(hook, host.root.at("hook")).unwrap();
        host.root.program("usr/sbin/kmend", "#!/bin/sh\n");
        if is_booted {
            fs::create_dir_all(host.root.at("run/systemd/system")).unwrap();
        }
        let text = format!(
            "#!/bin/sh\ncase \"$*\" in\n'is-enabled --quiet kmend-subscribe.timer') [ {state} = enabled ];;\n\
             *) echo \"$*\" >>/var/log/kpatch;;\nesac\n"
        );
        host.root.program("bin/systemctl", &text);
        host.root.calls();
        run(as_root("chroot").arg(host.root.path()).args(["/bin/sh", "/hook", DEBIAN])).ok();
        let calls = host.root.calls();
        assert_eq!(calls == ["--no-block start kmend-subscribe.service"], wanted, "{calls:?}");
        assert_eq!(calls.is_empty(), !wanted, "{calls:?}");
    }
}
