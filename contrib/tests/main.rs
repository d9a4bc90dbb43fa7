// SPDX-License-Identifier: GPL-2.0-or-later
//! contrib/ with the real ansible-playbook and Prometheus, as root: `cargo xtask contrib`. Needs what that installs.

mod hosts;
#[path = "../../manager/tests/host/ko.rs"]
mod ko;
mod prometheus;
mod site;
#[path = "../../manager/tests/host/streams.rs"]
#[expect(dead_code, reason = "what the other tests take from it")]
mod streams;
#[path = "../../manager/tests/host/system.rs"]
#[expect(dead_code, reason = "what the other tests take from it")]
mod system;

use hosts::{Fleet, Host, Play};
use site::Family;
use std::path::PathBuf;
use std::process::Command;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

/// kmend of this workspace, which cargo builds first.
fn program() -> PathBuf {
    static PROGRAM: OnceLock<PathBuf> = OnceLock::new();
    let build = || {
        let mut cargo = Command::new(option_env!("CARGO").unwrap_or("cargo"));
        cargo.args(["build", "--quiet", "--package", "kmend-manager", "--bin", "kmend"]);
        site::run(cargo.current_dir(env!("CARGO_MANIFEST_DIR")));
        // target/debug/deps/TEST
        std::env::current_exe().unwrap().ancestors().nth(2).unwrap().join("kmend")
    };
    PROGRAM.get_or_init(build).clone()
}

const MEMBERS: [(&str, Family); 4] =
    [("canary1", Family::Apt), ("canary2", Family::Dnf), ("web1", Family::Apt), ("web2", Family::Dnf)];

/// All hosts are named in the recap, without a failure; how much was changed on each.
#[track_caller]
fn good(fleet: &Fleet, play: &Play) -> Vec<u32> {
    assert_eq!(play.code, 0, "{}", play.text);
    let of = |name: &str, key: &str| play.recap(name, key).unwrap_or_else(|| panic!("{name} {key}: {}", play.text));
    let bad = |name: &str| of(name, "failed") + of(name, "unreachable");
    assert!(fleet.hosts.keys().all(|name| bad(name) == 0), "{}", play.text);
    fleet.hosts.keys().map(|name| of(name, "changed")).collect()
}

fn versions(fleet: &Fleet) -> Vec<u32> {
    MEMBERS.iter().map(|(name, _)| fleet.hosts[name].in_force()).collect()
}

/// Waits until the version is in force there, then crashes it.
fn crash_with(host: &Host, module: &str) {
    let end = Instant::now() + Duration::from_secs(300);
    let enabled = host.system.root().join("sys/kernel/livepatch").join(module).join("enabled");
    // While it is replaced the version before is in force, too.
    while std::fs::read_to_string(&enabled).unwrap_or_default().trim() != "1" {
        assert!(Instant::now() < end, "{module} does not come");
        std::thread::sleep(Duration::from_millis(100));
    }
    std::thread::sleep(Duration::from_millis(1500));
    host.crashes();
}

#[test]
fn a_fleet_is_patched_and_a_canary_that_crashes_stops_it() {
    let fleet = Fleet::new(&MEMBERS);
    fleet.site.release(1);
    // To try it changes nothing.
    good(&fleet, &fleet.plays("subscribe.yml", &["--check"]));
    for host in fleet.hosts.values() {
        assert!(!host.changed("usr/sbin/kpatch").exists() && !host.changed("etc/ansible").join("facts.d").exists());
    }
    assert!(good(&fleet, &fleet.plays("subscribe.yml", &[])).iter().all(|changed| *changed > 2));
    assert!(fleet.hosts.values().all(|host| host.changed("usr/sbin/kmend").exists()));
    assert_eq!(good(&fleet, &fleet.plays("subscribe.yml", &[])), [0; 4]);
    assert_eq!(good(&fleet, &fleet.plays("subscribe.yml", &["--check"])), [0; 4]);
    assert_eq!(versions(&fleet), [0; 4]);

    good(&fleet, &fleet.plays("patch.yml", &["--check"]));
    assert_eq!(versions(&fleet), [0; 4]);
    let play = fleet.plays("patch.yml", &[]);
    assert!(good(&fleet, &play).iter().all(|changed| *changed > 0));
    assert_eq!(versions(&fleet), [1; 4]);
    assert_eq!(play.text.matches("\"msg\": \"patched: ").count(), 4, "a line per host");
    assert_eq!(good(&fleet, &fleet.plays("patch.yml", &[])), [0; 4]);

    // The live patches are good; the next version crashes a canary.
    fleet.hosts.values().for_each(|host| drop(host.system.kmend(&["shutdown-mark"])));
    fleet.site.release(2);
    let before: Vec<_> = ["web1", "web2"].map(|name| fleet.hosts[name].system.asked()).into();
    let play = std::thread::scope(|scope| {
        scope.spawn(|| crash_with(&fleet.hosts["canary1"], &Family::Apt.module(2)));
        fleet.plays("patch.yml", &[])
    });
    assert_ne!(play.code, 0, "{}", play.text);
    assert_eq!(play.recap("canary1", "failed"), Some(1));
    assert!(play.text.contains("reboot-needed: "), "{}", play.text);
    // The good version before is in force there; the rest was not touched.
    assert_eq!(versions(&fleet), [1, 2, 1, 1]);
    let aside = &fleet.hosts["canary1"].system.note("breaker.json")["set_aside"];
    assert_eq!(aside[0]["module"], Family::Apt.module(2));
    for (name, asked) in ["web1", "web2"].iter().zip(before) {
        assert_eq!(play.recap(name, "ok"), None, "{name} was reached");
        assert_eq!(fleet.hosts[name].system.asked(), asked);
    }
    let report = fleet.plays("report.yml", &[]);
    assert_eq!(good(&fleet, &report), [0; 4]);
    let verdicts = ["reboot-needed", "patched"].map(|v| report.text.matches(&format!("\"msg\": \"{v}: ")).count());
    assert_eq!(verdicts, [1, 3]);
    // Nor is it at the next try.
    let play = fleet.plays("patch.yml", &[]);
    assert_eq!((play.recap("canary1", "failed"), play.recap("web1", "ok")), (Some(1), None));
    assert_eq!(versions(&fleet), [1, 2, 1, 1]);
    // A newer version helps.
    fleet.site.release(3);
    good(&fleet, &fleet.plays("patch.yml", &[]));
    assert_eq!(versions(&fleet), [3; 4]);
}

#[test]
fn hosts_subscribe_and_unsubscribe() {
    let fleet = Fleet::new(&MEMBERS[2..]);
    fleet.site.release(1);
    good(&fleet, &fleet.plays("subscribe.yml", &["-e", "kmend_auto=true"]));
    assert_eq!(good(&fleet, &fleet.plays("subscribe.yml", &["-e", "kmend_auto=true"])), [0; 2]);
    assert_eq!(good(&fleet, &fleet.plays("subscribe.yml", &[])), [1; 2]);
    assert_eq!(good(&fleet, &fleet.plays("subscribe.yml", &[])), [0; 2]);
}
