// SPDX-License-Identifier: GPL-2.0-or-later
//! kmend subscribe, with package managers that note what they are asked.

use super::system::{System, RELEASE};
use std::fs;

const EL: &str = "kpatch-patch-5_14_0-362_8_1";
const OTHER: &str = "5.14.0-427.13.1.el9_4.x86_64";

fn program(system: &System, name: &str, body: &str) {
    let log = "printf '%s' \"${0##*/}\" >>\"$LOG\"; for a; do printf ' %s' \"$a\" >>\"$LOG\"; done; echo >>\"$LOG\"";
    let log = log.replace("$LOG", system.root().join("packages.log").to_str().unwrap());
    system.program(name, &format!("{log}\n{body}"));
}

fn log(system: &System) -> Vec<String> {
    let path = system.root().join("packages.log");
    let text = fs::read_to_string(&path).unwrap_or_default();
    let _ = fs::remove_file(path);
    text.lines().map(String::from).collect()
}

/// A host with dnf of that version; the metapackage is installed or not.
fn rpm_host(version: &str, meta: bool) -> System {
    let system = System::new();
    system.put(&format!("lib/modules/{OTHER}/modules.builtin"), "");
    system.put("lib/modules/5.14.0-1.el9.x86_64/extra/left_behind.ko", "");
    program(
        &system,
        "dnf",
        &format!(
            "case \"$*\" in\n--version) echo '{version}';;\n\
             *repoquery*) printf '%s\\n' '{EL} 1 3.el9_3' '' 'kpatch-patch-5_14_0-427_13_1 0 0.el9_4';;\nesac"
        ),
    );
    let meta = if meta { "kpatch-patches" } else { "" };
    program(&system, "rpm", &format!("case \"$*\" in *patches) echo {meta};; *) echo {EL};; esac"));
    system
}

#[test]
fn auto_and_manual_are_a_metapackage() {
    for (version, mark) in [("4.14.0", "install"), ("dnf5 version 5.2.6.2", "user")] {
        let system = rpm_host(version, true);
        system.kmend(&["subscribe", "auto"]).ends(0);
        assert_eq!(log(&system), ["dnf --version", "dnf -y --best install kpatch-patches"]);
        system.kmend(&["subscribe", "manual"]).ends(0);
        assert_eq!(
            log(&system),
            [
                "dnf --version",
                "rpm -qa --qf %{NAME}\\n kpatch-patches",
                "rpm -qa --qf %{NAME}\\n kpatch-patch-*",
                &format!("dnf -y mark {mark} {EL}"),
                "dnf -y --setopt=clean_requirements_on_remove=False remove kpatch-patches",
            ]
        );
    }
    let system = rpm_host("4.14.0", false);
    system.kmend(&["subscribe", "manual-update"]).ends(0).says("kpatch-patches is not installed");
    assert_eq!(log(&system).len(), 2);
}

#[test]
fn status_shows_the_setting_and_what_there_is_and_notes_it() {
    for (meta, setting) in [(true, "auto-update"), (false, "manual-update")] {
        let system = rpm_host("4.14.0", meta);
        system.put("clock", "2026-11-25T10:00:00Z");
        let said = system.kmend(&["subscribe", "status"]).ends(0);
        assert_eq!(
            said.out,
            format!(
                "Kpatch update setting: {setting}\nAvailable patches: {EL}-1-3\n\
                 No live patch yet: kpatch-patch-5_14_0-427_13_1\n"
            )
        );
        assert_eq!(
            log(&system)[2],
            format!(
                "dnf -q repoquery --available --latest-limit=1 --qf %{{name}} %{{version}} %{{release}}\\n {EL} \
                 kpatch-patch-5_14_0-427_13_1"
            )
        );
        let note = system.note("available.json");
        assert_eq!(note["checked"], "2026-11-25T10:00:00Z");
        // An empty package stands for no live patch yet.
        assert_eq!(note["kernels"], serde_json::json!({ RELEASE: { "version": "1-3" }, OTHER: { "version": "0-0" } }));
    }
}

#[test]
fn install_takes_the_live_patches_of_the_kernels_that_are_there() {
    let system = rpm_host("4.14.0", false);
    system.kmend(&["subscribe", "install"]).ends(0);
    // The empty package, too: whoever has it gets the live patches to come.
    let both = format!("dnf -y --best install {EL} kpatch-patch-5_14_0-427_13_1");
    assert_eq!(log(&system).last().unwrap(), &both);
    program(&system, "dnf", "");
    let said = system.kmend(&["subscribe", "install"]).ends(0);
    assert_eq!(said.out, format!("no live patch is available for {RELEASE}, {OTHER}\n"));
    assert!(!log(&system).iter().any(|line| line.contains("install")));
}

/// A host with apt, the kernel that runs and OTHER; the kernel packages that came by themselves are `auto`.
fn apt_host(installed: &str, auto: &str) -> System {
    let system = System::new();
    for kernel in [RELEASE, OTHER] {
        system.put(&format!("lib/modules/{kernel}/modules.builtin"), "");
    }
    program(&system, "apt-get", "");
    program(&system, "systemctl", "case \"$*\" in is-enabled*) echo disabled; exit 1;; esac");
    program(
        &system,
        "apt-mark",
        &format!("case \"$1\" in showauto) for a; do case \" {auto} \" in *\" $a \"*) echo \"$a\";; esac; done;; esac"),
    );
    program(
        &system,
        "apt-cache",
        &format!("printf '%s\\n' '{DEB}:' '  Installed: (none)' '  Candidate: 1-4' '{OTHER_DEB}:' '  Candidate: 0-0'"),
    );
    program(
        &system,
        "dpkg-query",
        &format!(
            "case \"$*\" in -S*) echo linux-image-${{3#/boot/vmlinux-}}: $3; exit 1;; \
             *) for a in {installed}; do echo installed $a; done; echo config-files kpatch-patch-old;; esac"
        ),
    );
    system
}

const DEB: &str = "kpatch-patch-5.14.0-362.8.1.el9-3.x86-64";
const OTHER_DEB: &str = "kpatch-patch-5.14.0-427.13.1.el9-4.x86-64";
const INSTALL: &str = "apt-get -y -o DPkg::Lock::Timeout=900 install";

/// What was run to change something.
fn changes(system: &System) -> Vec<String> {
    let asks = ["apt-cache", "dpkg-query", "apt-mark showauto", "systemctl is-enabled"];
    log(system).into_iter().filter(|line| !asks.iter().any(|ask| line.starts_with(ask))).collect()
}

#[test]
fn apt_has_a_timer() {
    let system = apt_host("", "");
    let said = system.kmend(&["subscribe", "status"]).ends(0);
    assert_eq!(
        said.out,
        format!("Kpatch update setting: manual-update\nAvailable patches: {DEB}-1-4\nNo live patch yet: {OTHER_DEB}\n")
    );
    system.kmend(&["subscribe", "auto"]).ends(0);
    let both = format!("{INSTALL} {DEB} {OTHER_DEB}");
    assert_eq!(changes(&system), ["systemctl enable --quiet kmend-subscribe.timer", &both]);
    program(&system, "systemctl", "case \"$*\" in is-enabled*) echo enabled;; esac");
    system.kmend(&["subscribe", "status"]).ends(0).says("Kpatch update setting: auto-update\n");
    // Where systemd runs, at once.
    system.put("run/systemd/system/x", "");
    system.kmend(&["subscribe", "manual"]).ends(0);
    assert_eq!(changes(&system), ["systemctl disable --quiet --now kmend-subscribe.timer"]);
    // A unit that is missing, and no systemd at all.
    program(&system, "systemctl", "echo 'Unit file kmend-subscribe.timer does not exist.' >&2; exit 1");
    system.kmend(&["subscribe", "auto"]).ends(1).complains("kmend-subscribe.timer does not exist.");
    assert_eq!(changes(&system).len(), 1, "nothing was installed");
}

#[test]
fn what_is_missing_is_installed_and_goes_with_its_kernel() {
    let system = apt_host(DEB, &format!("linux-image-{OTHER}"));
    system.kmend(&["subscribe", "install", "--missing"]).ends(0);
    assert_eq!(changes(&system), [format!("{INSTALL} --mark-auto {OTHER_DEB}")]);
    // Asked for by hand it is renewed as well, and stays marked as it was.
    system.kmend(&["subscribe", "install"]).ends(0);
    assert_eq!(changes(&system), [format!("{INSTALL} {DEB}"), format!("{INSTALL} --mark-auto {OTHER_DEB}")]);
    let system = apt_host(&format!("{DEB} {OTHER_DEB}"), "");
    let said = system.kmend(&["subscribe", "install", "--missing"]).ends(0);
    assert_eq!((said.out.as_str(), changes(&system).len()), ("", 0));
    // The kernels were asked for by hand: so count their live patches.
    let system = apt_host("", "");
    system.kmend(&["subscribe", "install", "--missing"]).ends(0);
    assert_eq!(changes(&system), [format!("{INSTALL} {DEB} {OTHER_DEB}")]);
}

#[test]
fn a_kernel_that_was_removed_while_it_runs_stays_away() {
    let system = apt_host("", "");
    fs::remove_file(system.root().join(format!("lib/modules/{RELEASE}/modules.builtin"))).unwrap();
    system.kmend(&["subscribe", "install", "--missing"]).ends(0);
    assert_eq!(changes(&system), [format!("{INSTALL} {OTHER_DEB}")]);
}

#[test]
fn a_live_patch_that_cannot_be_installed_keeps_no_other_away() {
    let system = apt_host("", "");
    program(&system, "apt-get", &format!("case \"$*\" in *' {DEB}'*) exit 100;; esac"));
    system.kmend(&["subscribe", "install", "--missing"]).ends(1).complains(&format!("{DEB} could not be installed"));
    let by_itself =
        [format!("{INSTALL} {DEB} {OTHER_DEB}"), format!("{INSTALL} {DEB}"), format!("{INSTALL} {OTHER_DEB}")];
    assert_eq!(changes(&system), by_itself);
}

/// apt answers from lists that `check` alone renews: the age of what is known is that of the last check.
#[test]
fn only_a_check_makes_what_apt_knows_new() {
    let system = apt_host("", "");
    let checked = |system: &System| system.note("available.json")["checked"].as_str().unwrap().to_string();
    system.put("clock", "2026-11-01T10:00:00Z");
    system.kmend(&["subscribe", "check"]).ends(0);
    assert_eq!(changes(&system), ["apt-get -q -q -o APT::Update::Error-Mode=any update"]);
    system.put("clock", "2026-11-25T10:00:00Z");
    for verb in ["status", "install"] {
        system.kmend(&["subscribe", verb]).ends(0);
        assert_eq!(checked(&system), "2026-11-01T10:00:00Z", "{verb}");
    }
    program(&system, "apt-get", "exit 100");
    system.kmend(&["subscribe", "check"]).ends(1);
    assert_eq!(checked(&system), "2026-11-01T10:00:00Z", "the repository could not be reached");
    program(&system, "apt-get", "");
    system.kmend(&["subscribe", "check"]).ends(0);
    assert_eq!(checked(&system), "2026-11-25T10:00:00Z");
}

/// A check says nothing of a kernel that came after it.
#[test]
fn a_kernel_that_nobody_asked_about_is_not_unsupported() {
    let system = apt_host("", "");
    program(&system, "apt-cache", "");
    system.kmend(&["subscribe", "check"]).ends(0);
    assert_eq!(system.note("available.json")["asked"], serde_json::json!([RELEASE, OTHER]));
    system.kmend(&["status"]).ends(7).says("unsupported: ");
    let mut note = system.note("available.json");
    note["asked"] = serde_json::json!([OTHER]);
    system.put("var/lib/kmend/available.json", &note.to_string());
    system.kmend(&["status"]).ends(2).says("not patched: ");
}

/// Where there are both, dnf is the system's own, unless kmend came by a deb.
#[test]
fn of_apt_and_dnf_it_is_the_one_that_brought_kmend() {
    let system = apt_host("", "");
    program(&system, "dnf", "");
    system.kmend(&["subscribe", "auto"]).ends(0);
    assert_eq!(log(&system).last().unwrap(), "dnf -y --best install kpatch-patches");
    system.put("var/lib/dpkg/info/kmend.list", "/usr/sbin/kmend\n");
    system.kmend(&["subscribe", "auto"]).ends(0);
    assert!(!log(&system).iter().any(|line| line.starts_with("dnf ")));
}

#[test]
fn faults_are_told_and_other_systems_are_left_alone() {
    let system = System::new();
    for verb in ["auto", "manual", "install", "status"] {
        system.kmend(&["subscribe", verb]).ends(1).complains("neither dnf nor apt-get is in PATH");
    }
    system.kmend(&["subscribe"]).ends(1);
    program(&system, "dnf", "case \"$*\" in --version) ;; *) echo 'No route to host' >&2; exit 3;; esac");
    program(&system, "rpm", "");
    let said = system.kmend(&["subscribe", "auto"]).ends(1);
    said.complains("No route to host").complains("`dnf -y --best install kpatch-patches` failed (exit status: 3)");
    let said = system.kmend(&["subscribe", "status"]).ends(1);
    said.complains("repoquery").complains("No route to host");
    assert!(system.note("available.json").is_null(), "what was not seen is not noted");
    log(&system);
    fs::remove_file(system.root().join("kernel.sock")).unwrap();
    for verb in ["auto", "manual", "install", "status"] {
        system.kmend(&["subscribe", verb]).ends(1).complains("is not the running system");
    }
    assert_eq!(log(&system), [""; 0]);
}

#[test]
fn how_old_the_indexes_are_is_told_and_remembered() {
    let system = rpm_host("4.14.0", true);
    system.put("clock", "2026-11-25T10:00:00Z");
    // 1795500000 is 2026-11-24T06:00:00Z.
    let index = |date: i64, until: &str| {
        let tags = format!("<tags><content>kmend</content><content>kmend-valid-until={until}</content></tags>");
        let text = format!("<repomd><revision>{date}</revision>{tags}</repomd>");
        system.put("var/cache/dnf/live-0123456789abcdef/repodata/repomd.xml", &text);
    };
    let json = || -> serde_json::Value {
        let said = system.kmend(&["status", "--json"]);
        serde_json::from_str::<serde_json::Value>(&said.out).unwrap()["indexes"].clone()
    };
    assert_eq!(json(), serde_json::json!([]));
    index(1_795_500_000, "2027-01-01T00:00:00Z");
    let said = system.kmend(&["subscribe", "status"]).ends(0);
    assert_eq!(said.err, "");
    assert_eq!(system.note("indexes.json")["newest"]["live"], "2026-11-24T06:00:00Z");
    system.kmend(&["status"]).says("index: live of 2026-11-24, 1 day old, valid until 2027-01-01\n");
    let wanted = serde_json::json!([{"repository": "live", "date": "2026-11-24T06:00:00Z", "age_days": 1,
        "valid_until": "2027-01-01T00:00:00Z", "expired": false, "newer_seen": null,
        "file": "/var/cache/dnf/live-0123456789abcdef/repodata/repomd.xml"}]);
    assert_eq!(json(), wanted);
    let metrics = system.kmend(&["status", "--prometheus"]).ends(0);
    let metrics = metrics.says("kmend_index_timestamp_seconds{repository=\"live\"} 1795500000\n");
    metrics.says("kmend_index_stale{repository=\"live\"} 0\n");
    // Back to an older one: the note keeps what was seen.
    index(1_795_000_000, "2027-01-01T00:00:00Z");
    for _ in 0..2 {
        system.kmend(&["subscribe", "install"]).ends(0).complains("the index of live is older than before");
        assert_eq!(json()[0]["newer_seen"], "2026-11-24T06:00:00Z");
    }
    system.kmend(&["status"]).says("is older than before").says("; one of 2026-11-24 was seen before\n");
    system.kmend(&["status", "--prometheus"]).says("kmend_index_stale{repository=\"live\"} 1\n");
    // Its end is over.
    index(1_795_550_000, "2026-11-25T09:59:59Z");
    system.kmend(&["subscribe", "status"]).ends(0).complains("has expired on 2026-11-25");
    assert_eq!(json()[0]["expired"], true);
    // What is otherwise OK is a warning to monitoring.
    let live = super::ko::Ko::with_manifest(&super::system::name("1-9"), RELEASE, &["a fix"]).bytes();
    system.installed(&super::system::file("1-9"), &live);
    system.kmend(&["load", "--all"]).ends(0);
    system.put("var/lib/kmend/available.json", "{\"checked\":\"2026-11-25\",\"kernels\":{}}");
    system.kmend(&["status", "--nagios"]).ends(1).says("KMEND WARNING - patched: ").says("has expired");
    index(1_795_560_000, "2027-01-01T00:00:00Z");
    system.kmend(&["status", "--nagios"]).ends(0).says("KMEND OK - ");
}

#[test]
fn a_stream_without_a_live_patch_yet_is_subscribed_to_and_no_alarm() {
    let system = System::new();
    system.put("clock", "2026-11-25T10:00:00Z");
    program(
        &system,
        "dnf",
        &format!("case \"$*\" in --version) echo 4.14.0;; *repoquery*) echo {EL} 0 0.el9_3;; esac"),
    );
    program(&system, "rpm", "");
    system.kmend(&["subscribe", "install"]).ends(0);
    assert_eq!(log(&system).last().unwrap(), &format!("dnf -y --best install {EL}"));
    let said = system.kmend(&["subscribe", "status"]).ends(0);
    assert!(said.out.ends_with(&format!("Available patches: none\nNo live patch yet: {EL}\n")), "{}", said.out);
    system.kmend(&["status"]).ends(0).says("nothing to patch yet: ");
    system.kmend(&["status", "--json"]).ends(0).says("\"verdict\": \"nothing-yet\"").says("\"is_empty\": true");
    system.kmend(&["status", "--nagios"]).ends(0).says("KMEND OK - nothing to patch yet: ");
    system.kmend(&["status", "--prometheus"]).ends(0).says("kmend_verdict{verdict=\"nothing-yet\"} 1\n");
    // The first live patch is one that is missing.
    program(
        &system,
        "dnf",
        &format!("case \"$*\" in --version) echo 4.14.0;; *repoquery*) echo {EL} 1 1.el9_3;; esac"),
    );
    system.kmend(&["subscribe", "status"]).ends(0);
    system.kmend(&["status"]).ends(2).says("version 1-1 can be had");
}

#[test]
fn check_asks_the_repositories_themselves() {
    let system = rpm_host("4.14.0", false);
    assert_eq!(system.kmend(&["subscribe", "check"]).ends(0).out, "");
    let asked = log(&system);
    assert_eq!(asked[1], "dnf -q --refresh makecache");
    assert!(asked[2].starts_with("dnf -q repoquery"), "{asked:?}");
    assert_eq!(system.note("available.json")["kernels"][RELEASE]["version"], "1-3");
    // What cannot be reached leaves what was seen as it was.
    let before = system.note("available.json");
    program(&system, "dnf", "case \"$*\" in --version) echo 4.14.0;; *) echo 'No route to host' >&2; exit 1;; esac");
    system.kmend(&["subscribe", "check"]).ends(1).complains("No route to host");
    assert_eq!(system.note("available.json"), before);
    let system = System::new();
    program(&system, "apt-get", "");
    program(&system, "apt-cache", "");
    system.kmend(&["subscribe", "check"]).ends(0);
    assert_eq!(log(&system)[0], "apt-get -q -q -o APT::Update::Error-Mode=any update");
}
