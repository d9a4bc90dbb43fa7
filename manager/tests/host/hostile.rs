// SPDX-License-Identifier: GPL-2.0-or-later
//! Other users, other processes at the same time, umasks, and files that are not what their names say.

use super::ko::Ko;
use super::system::{file, name, Said, System, RELEASE};
use std::fs;
use std::os::unix::fs::{chown, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

const KMEND: &str = env!("CARGO_BIN_EXE_kmend");

fn mode(path: &Path) -> u32 {
    fs::symlink_metadata(path).unwrap().mode() & 0o777
}

fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

fn said(command: &mut Command) -> Said {
    let output = command.output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    Said { code: output.status.code().unwrap_or(-1), out: text(output.stdout), err: text(output.stderr) }
}

/// Runs kmend by way of a shell that says this first.
fn after(system: &System, script: &str, args: &[&str]) -> Said {
    let script = format!("{script}; exec \"$@\"");
    said(&mut system.command(Path::new("/bin/sh"), &[&["-c", &script, "sh", KMEND], args].concat()))
}

/// Whether the tests run as root, who can be another user, too.
fn is_root() -> bool {
    fs::metadata("/proc/self").unwrap().uid() == 0
}

/// Another user's process that holds this file; None where it may not open it.
fn holder(path: &Path) -> Option<Child> {
    let mut child = Command::new("/usr/bin/setpriv")
        .args(["--reuid=65534", "--regid=65534", "--clear-groups", "/bin/sh", "-c"])
        .arg("exec 9<\"$0\" && flock 9 && echo held && exec sleep 300")
        .arg(path)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut first = [0; 1];
    let held = std::io::Read::read(child.stdout.as_mut().unwrap(), &mut first).unwrap() == 1;
    held.then_some(child)
}

#[test]
fn the_lock_is_for_root_alone_and_one_that_another_user_holds_is_left_to_him() {
    if !is_root() {
        return;
    }
    let system = System::new();
    set_mode(system.root(), 0o755);
    let module = system.version("1-1");
    let lock = system.root().join("var/lib/kpatch/.lock");
    // As older versions left it, and held since.
    fs::write(&lock, "process 7: load --all\n").unwrap();
    set_mode(&lock, 0o644);
    let mut stranger = holder(&lock).unwrap();
    let begun = Instant::now();
    let told = format!("process {} (sleep) of user 65534 holds /var/lib/kpatch/.lock", stranger.id());
    system.kmend(&["load", &module]).ends(0).complains(&told);
    assert!(begun.elapsed() < Duration::from_secs(30));
    assert_eq!(mode(&lock), 0o600);
    assert!(holder(&lock).is_none(), "another user opened the new one");
    // From then on no one is in the way.
    for args in [&["load", "--all"][..], &["uninstall", &module]] {
        assert_eq!(system.kmend(args).ends(0).err, "");
    }
    stranger.kill().unwrap();
    stranger.wait().unwrap();
    // One that is there and free is closed to others; the umask opens none.
    set_mode(&lock, 0o666);
    after(&system, "umask 0", &["load", "--all"]).ends(0);
    assert_eq!(mode(&lock), 0o600);
    fs::remove_file(&lock).unwrap();
    after(&system, "umask 0", &["load", "--all"]).ends(0);
    assert_eq!(mode(&lock), 0o600);
}

/// All below a folder.
fn walk(folder: &Path) -> Vec<PathBuf> {
    let mut found = vec![folder.to_path_buf()];
    for entry in fs::read_dir(folder).unwrap().flatten() {
        match entry.file_type().unwrap().is_dir() {
            true => found.extend(walk(&entry.path())),
            false => found.push(entry.path()),
        }
    }
    found
}

#[test]
fn modes_do_not_depend_on_the_umask() {
    for umask in ["umask 0", "umask 077", "umask 027"] {
        let system = System::new();
        let path = system.file(&file("1-1"), &Ko::with_manifest(&name("1-1"), RELEASE, &[]).bytes());
        after(&system, umask, &["install", &path]).ends(0);
        after(&system, umask, &["load", "--all"]).ends(0);
        let path = system.file(&file("1-2"), &Ko::with_manifest(&name("1-2"), RELEASE, &[]).bytes());
        after(&system, umask, &["install", &path]).ends(0);
        after(&system, umask, &["uninstall", &name("1-1")]).ends(0);
        let prom = system.root().join("var/metrics/kmend.prom");
        after(&system, umask, &["status", "--prometheus", prom.to_str().unwrap()]).ends(0);
        for path in walk(&system.root().join("var")) {
            let wanted = match path.file_name().unwrap().to_str().unwrap() {
                ".lock" => 0o600,
                _ if path.is_dir() => 0o755,
                _ => 0o644,
            };
            assert_eq!(mode(&path), wanted, "{umask}: {}", path.display());
        }
        assert!(system.root().join("var/lib/kmend/last-good").join(RELEASE).is_dir());
    }
}

#[test]
fn modes_that_an_older_version_left_are_put_right() {
    let system = System::new();
    system.version("1-1");
    system.kmend(&["load", "--all"]).ends(0);
    let var = system.root().join("var/lib");
    for (path, to) in [("kmend", 0o700), ("kmend/breaker.json", 0o600), ("kpatch", 0o700)] {
        set_mode(&var.join(path), to);
    }
    set_mode(&system.folder(RELEASE), 0o777);
    set_mode(&system.folder(RELEASE).join(file("1-1")), 0o600);
    let said = system.kmend(&["load", "--all"]).ends(0);
    let said = said.complains(&format!("/var/lib/kpatch/{RELEASE} was open to other users (mode 777)"));
    assert_eq!(said.err.lines().count(), 1, "{}", said.err);
    for path in walk(&var).into_iter().filter(|path| !path.ends_with(".lock")) {
        assert_eq!(mode(&path), if path.is_dir() { 0o755 } else { 0o644 }, "{}", path.display());
    }
}

#[test]
fn what_another_user_has_put_there_is_not_loaded() {
    if !is_root() {
        return;
    }
    let system = System::new();
    system.version("1-1");
    system.version("1-2");
    system.version("1-3");
    chown(system.folder(RELEASE).join(file("1-3")), Some(1000), None).unwrap();
    set_mode(&system.folder(RELEASE).join(file("1-2")), 0o666);
    system
        .kmend(&["load", "--all"])
        .ends(1)
        .complains(&format!("{}: file: it belongs to user 1000, not to root", file("1-3")))
        .complains(&format!("{}: file: users other than root can write to it (mode 666)", file("1-2")));
    assert_eq!(system.in_force(), [(name("1-1"), true)]);
    system.kmend(&["load", &name("1-3")]).ends(1).complains("it belongs to user 1000");
    // A file that the operator names is his own business.
    let path = system.file("own.ko", &Ko::new("own", RELEASE).bytes());
    chown(&path, Some(1000), None).unwrap();
    system.kmend(&["load", &path]).ends(0);
}

#[test]
fn pipes_and_devices_among_the_modules_are_told_and_nothing_waits_for_them() {
    let system = System::new();
    system.version("1-1");
    let folder = system.folder(RELEASE);
    let fifo = |path: &Path| assert!(Command::new("mkfifo").arg(path).status().unwrap().success());
    fifo(&folder.join("a-pipe.ko"));
    fifo(&folder.join(file("1-3")));
    fs::create_dir(folder.join("b-folder.ko")).unwrap();
    std::os::unix::fs::symlink("/dev/zero", folder.join("c-device.ko")).unwrap();
    std::os::unix::fs::symlink("nowhere", folder.join("d-nowhere.ko")).unwrap();
    let large = fs::File::create(folder.join("e-large.ko")).unwrap();
    large.set_len(1 << 40).unwrap();
    let begun = Instant::now();
    let timed =
        |args: &[&str]| said(&mut system.command(Path::new("/usr/bin/timeout"), &[&["20", KMEND], args].concat()));
    timed(&["status"]).ends(3);
    timed(&["cve"]).ends(0);
    let said = timed(&["load", "--all"]).ends(1);
    let said = said.complains("a-pipe.ko: file: cannot read it: it is not a regular file");
    let said = said.complains("b-folder.ko: file: cannot read it: it is not a regular file");
    let said = said.complains("c-device.ko: file: cannot read it: it is not a regular file");
    said.complains("d-nowhere.ko: file: cannot read it: No such file")
        .complains("e-large.ko: file: cannot read it: it is too large: 1099511627776 bytes");
    assert_eq!(system.in_force(), [(name("1-1"), true)]);
    for args in [&["info", "a_pipe"][..], &["info", "c_device"], &["info", "e_large"], &["load", "a_pipe"]] {
        timed(args).ends(1);
    }
    // Whatever it is, it can be taken away.
    for module in ["a_pipe", &name("1-3"), "c_device", "d_nowhere", "e_large"] {
        timed(&["uninstall", module]).ends(0);
    }
    let named = system.root().join("named.ko");
    fifo(&named);
    timed(&["install", named.to_str().unwrap()]).ends(1).complains("not a regular file");
    // One in the place of a file that kmend keeps, or that the kernel should have.
    for path in ["var/lib/kmend/breaker.json", "var/lib/kmend/failures.json", "proc/uptime", "sys/kernel/notes"] {
        let path = system.root().join(path);
        let _ = fs::remove_file(&path);
        fifo(&path);
    }
    timed(&["status"]);
    timed(&["load", "--all"]);
    assert!(begun.elapsed() < Duration::from_secs(60));
}

#[test]
fn metrics_that_many_publish_at_once_are_whole_at_any_time() {
    let system = System::new();
    system.version("1-1");
    let prom = system.root().join("kmend.prom");
    let publish = || system.kmend(&["status", "--prometheus", prom.to_str().unwrap()]).ends(0);
    publish();
    let whole = fs::read_to_string(&prom).unwrap();
    assert!(whole.len() > 1000);
    let (mut reads, mut torn) = (0, 0);
    std::thread::scope(|scope| {
        let writers: Vec<_> = (0..4).map(|_| scope.spawn(|| (0..40).for_each(|_| drop(publish())))).collect();
        while writers.iter().any(|writer| !writer.is_finished()) {
            reads += 1;
            torn += u32::from(fs::read_to_string(&prom).unwrap() != whole);
            std::thread::sleep(Duration::from_micros(200));
        }
    });
    assert_eq!(torn, 0, "of {reads}");
    let beside = fs::read_dir(system.root()).unwrap().flatten();
    assert_eq!(beside.filter(|entry| entry.file_name().to_string_lossy().starts_with(".kmend")).count(), 0);
}

/// What a terminal would obey: it clears the screen, goes back to the line's begin, begins a line of its own, turns the
/// direction of text.
const EVIL: &str = "ok\x1b[2J\rkmend: all is well\npatched: all is well\x07\u{9b}1A\u{202e}\u{2066}\x7f";

#[track_caller]
fn harmless(said: &Said) {
    for text in [&said.out, &said.err] {
        let bad = |c: char| c != '\n' && c.is_control() || ('\u{202a}'..='\u{202e}').contains(&c) || c == '\u{2066}';
        assert!(!text.contains(bad), "{text:?}");
        let forged = |line: &str| line.starts_with("patched: all") || line.starts_with("kmend: all");
        assert!(!text.lines().any(forged), "{text}");
    }
}

#[test]
fn nothing_of_a_module_reaches_the_terminal_as_a_command() {
    let evil = serde_json::to_string(EVIL).unwrap();
    let evil = evil.trim_matches('"');
    let mut titles = Ko::with_manifest("evil", RELEASE, &[evil]);
    titles.modinfo.push(format!("description={EVIL}"));
    titles.modinfo.push(format!("{EVIL}={EVIL}"));
    let mut vermagic = Ko::new("evil", RELEASE);
    vermagic.modinfo[3] = format!("vermagic={}", EVIL.replace(' ', "_"));
    let mut named = Ko::with_manifest("evil", RELEASE, &[]);
    named.manifest = named.manifest.map(|text| text.replace("\"evil\"", &format!("\"{evil}\"")));
    let mut foreign = Ko::with_manifest("evil", RELEASE, &[]);
    foreign.manifest = foreign.manifest.map(|text| text.replace("abcd0102", evil));
    let mut release = Ko::with_manifest("evil", RELEASE, &[]);
    release.manifest = release.manifest.map(|text| text.replace(RELEASE, evil));
    let unnamed = Ko { modinfo: vec![format!("name={EVIL}")], ..Ko::new("evil", RELEASE) };
    let broken = Ko { manifest: Some(format!("{{\"schema\":1,\"{evil}\":")), ..Ko::new("evil", RELEASE) };
    for ko in [titles, vermagic, named, foreign, release, unnamed, broken] {
        let system = System::new();
        let path = system.file("evil.ko", &ko.bytes());
        let installed = System::new();
        installed.installed("evil.ko", &ko.bytes());
        for args in [&["info", &path][..], &["install", &path], &["load", &path], &["status"], &["status", "--nagios"]]
        {
            harmless(&system.kmend(args));
        }
        for args in
            [&["info", "evil"][..], &["load", "--all"], &["load", "evil"], &["status"], &["list"], &["cve"], &["uname"]]
        {
            harmless(&installed.kmend(args));
        }
        let json = installed.kmend(&["status", "--json"]).out;
        serde_json::from_str::<serde_json::Value>(&json).unwrap();
    }
    // Names of files, and what is typed.
    let system = System::new();
    let bytes = Ko::new("evil", RELEASE).bytes();
    for file in ["a\x1b[2J.ko", "a\nkmend: all is well.ko", "\u{202e}a.ko"] {
        let path = system.file(file, &bytes);
        system.installed(file, &bytes);
        for args in
            [&["info", &path][..], &["install", &path], &["load", &path], &["load", "--all"], &["status"], &["list"]]
        {
            harmless(&system.kmend(args));
        }
    }
    for args in [&[EVIL][..], &["load", EVIL], &["cve", EVIL], &["install", "-k", EVIL, "x.ko"], &["forget", EVIL]] {
        harmless(&system.kmend(args));
    }
}

#[test]
fn json_is_exact() {
    let system = System::new();
    let title = "a \u{202e}b\u{200b}c";
    let ko = Ko::with_manifest("own", RELEASE, &[title]);
    let path = system.file("own.ko", &ko.bytes());
    system.kmend(&["load", &path]).ends(0);
    let json: serde_json::Value = serde_json::from_str(&system.kmend(&["status", "--json"]).ends(0).out).unwrap();
    assert_eq!(json["loaded"][0]["fixes"][0]["title"], title);
    system.kmend(&["status"]).ends(0).says("  fix: a \\u{202e}b\\u{200b}c\n");
}

/// Runs kmend as a service has it, with 1024 open files at most. Returns the seconds of processor time that it took: the
/// machine may be busy with other tests.
fn timed(system: &System, args: &[&str]) -> f64 {
    let script = "ulimit -n 1024; \"$@\" || exit; times";
    let said = said(&mut system.command(Path::new("/bin/sh"), &[&["-c", script, "sh", KMEND], args].concat())).ends(0);
    let seconds = |text: &str| {
        let (minutes, seconds) = text.trim_end_matches('s').split_once('m').unwrap();
        minutes.parse::<f64>().unwrap() * 60.0 + seconds.parse::<f64>().unwrap()
    };
    said.out.lines().last().unwrap().split_whitespace().map(seconds).sum()
}

#[test]
fn thousands_of_streams_are_loaded_in_time() {
    let system = System::new();
    let count = 1500;
    for number in 0..count {
        let ko = Ko::new(&format!("own_{number}"), RELEASE);
        system.installed(&format!("own_{number}.ko"), &ko.bytes());
    }
    let first = timed(&system, &["load", "--all"]);
    assert_eq!(system.asked().len(), count);
    let line = "own_1 (1) R I     \ttramp: 0xffffffffc04 (klp_ftrace_handler+0x0/0x1b0)\n";
    system.put("sys/kernel/tracing/enabled_functions", &line.repeat(count));
    let (second, status) = (timed(&system, &["load", "--all"]), timed(&system, &["status"]));
    println!("first {first:.1} s, second {second:.1} s, status {status:.1} s");
    assert!(first < 30.0 && second < 10.0 && status < 10.0, "{first} {second} {status}");
}
