// SPDX-License-Identifier: GPL-2.0-or-later
//! The program `kmend-deps` with an apt-get and a dpkg-query of these tests, which write down how they are called.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

/// Nothing but zstd is missing.
const DPKG_QUERY: &str = "for last; do :; done; [ \"$last\" = zstd ] || printf 'install ok installed'";

/// The machine with these programs in `folder`; what `deps` printed, and whether it was content.
fn deps(folder: &Path, apt_get: &str, args: &[&str]) -> (String, bool) {
    deps_with(folder, &[("dpkg-query", DPKG_QUERY), ("apt-get", apt_get)], args)
}

/// The same with these scripts as programs.
fn deps_with(folder: &Path, programs: &[(&str, &str)], args: &[&str]) -> (String, bool) {
    for (name, script) in programs.iter().chain(&[("id", "echo 0")]) {
        let path = folder.join(name);
        fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
        fs::set_permissions(&path, Permissions::from_mode(0o755)).unwrap();
    }
    let path = format!("{}:/usr/bin:/bin", folder.display());
    let out = Command::new(env!("CARGO_BIN_EXE_kmend-deps"))
        .args(args)
        .env("PATH", path)
        .env("LOG", folder.join("log"))
        .env("KMEND_CACHE", folder.join("cache"))
        .output();
    let out = out.unwrap();
    let said = format!("{}{}", String::from_utf8_lossy(&out.stdout), String::from_utf8_lossy(&out.stderr));
    (said, out.status.success())
}

fn log(folder: &Path) -> String {
    fs::read_to_string(folder.join("log")).unwrap_or_default()
}

#[test]
fn what_is_missing_is_installed_and_nothing_else() {
    let dir = tempfile::tempdir().unwrap();
    let apt = "echo \"$@\" >>\"$LOG\"; echo 'Inst zstd (1 Debian [amd64])'";
    let (said, good) = deps(dir.path(), apt, &["demo"]);
    assert!(good && said.contains("zstd is missing") && said.contains("1 installed"), "{said}");
    let log = log(dir.path());
    let calls: Vec<&str> = log.lines().collect();
    assert_eq!(calls.len(), 2, "{log}");
    assert!(calls[0].starts_with("-s ") && calls[0].ends_with(" zstd"), "{log}");
    assert!(!calls[1].contains("-s ") && calls[1].contains("--no-remove") && calls[1].ends_with(" zstd"), "{log}");
}

#[test]
fn a_package_is_never_removed() {
    let dir = tempfile::tempdir().unwrap();
    // Alone it removes other; together with other, nothing.
    let apt = "echo \"$@\" >>\"$LOG\"; echo 'Inst zstd (1 Debian [amd64])'; case \" $* \" in *' other '*) ;; \
               *) echo 'Remv other [1]' ;; esac";
    let (said, good) = deps(dir.path(), apt, &[]);
    assert!(!good && said.contains("to install zstd, apt would remove other: nothing was installed"), "{said}");
    assert!(said.contains("`apt-get install zstd other`"), "{said}");
    assert!(log(dir.path()).lines().all(|call| call.starts_with("-s ")), "{}", log(dir.path()));
    // Where no version of other fits.
    let apt = "echo \"$@\" >>\"$LOG\"; echo 'Inst zstd (1 Debian [amd64])'; echo 'Remv other [1]'";
    let (said, good) = deps(dir.path(), apt, &[]);
    assert!(!good && said.contains("`apt-get remove other`"), "{said}");
    assert!(log(dir.path()).lines().all(|call| call.starts_with("-s ")), "{}", log(dir.path()));
}

#[test]
fn lists_that_are_missing_are_fetched() {
    let dir = tempfile::tempdir().unwrap();
    let apt = "echo \"$@\" >>\"$LOG\"; case \" $* \" in *' update '*) touch \"$LOG.lists\" ;; \
               *) [ -e \"$LOG.lists\" ] || { echo 'E: Unable to locate package zstd' >&2; exit 100; }; \
               echo 'Inst zstd (1 Debian [amd64])' ;; esac";
    let (said, good) = deps(dir.path(), apt, &["demo"]);
    assert!(good && said.contains("fetching the package lists"), "{said}");
    let (said, good) = deps(dir.path(), "echo no such mirror >&2; exit 100", &["demo"]);
    assert!(!good && said.contains("the package lists cannot be fetched") && said.contains("no such mirror"), "{said}");
}

#[test]
fn other_arguments_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let (said, good) = deps(dir.path(), "exit 1", &["demos"]);
    assert!(!good && said.contains("not `demos`"), "{said}");
}

#[test]
fn an_emulator_for_which_apt_would_remove_something_is_unpacked_beside() {
    let dir = tempfile::tempdir().unwrap();
    let cache = dir.path().join("cache");
    // Two are missing; the emulator removes qemu-utils, zstd nothing.
    let missing =
        "for last; do :; done; case $last in zstd | qemu-system-x86) ;; *) printf 'install ok installed' ;; esac";
    let apt = "echo \"$@\" >>\"$LOG\"; case \" $* \" in *' download '*) : >qemu-system-x86_1_amd64.deb; : >libfdt1_1_amd64.deb ;; \
               *' qemu-system-x86'*) printf 'Inst libfdt1 (1 Debian [amd64])\\nInst qemu-system-x86 (1 Debian [amd64])\\nRemv qemu-utils [1]\\n' ;; \
               *) echo 'Inst zstd (1 Debian [amd64])' ;; esac";
    let unpack =
        "mkdir -p \"$3/usr/bin\"; printf '#!/bin/sh\\necho real \"$*\"\\n' >\"$3/usr/bin/qemu-system-x86_64\"; \
                  chmod +x \"$3/usr/bin/qemu-system-x86_64\"";
    let run = |unpack: &str| {
        deps_with(dir.path(), &[("dpkg-query", missing), ("apt-get", apt), ("dpkg-deb", unpack)], &["demo"])
    };
    // One that cannot be unpacked leaves nothing.
    let (said, good) = run("echo broken >&2; exit 1");
    assert!(!good && said.contains("broken"), "{said}");
    assert_eq!(fs::read_dir(cache.join("programs")).unwrap().count(), 0);
    let (said, good) = run(unpack);
    assert!(good && said.contains("would remove qemu-utils") && said.contains("1 installed"), "{said}");
    let all = log(dir.path());
    assert!(all.lines().filter(|call| !call.contains("-s ")).all(|call| !call.contains("install -y qemu")), "{all}");
    let script = cache.join("programs/qemu-system-x86/bin/qemu-system-x86_64");
    let out = Command::new(script).args(["-smp", "2"]).output().unwrap();
    let out = String::from_utf8_lossy(&out.stdout).into_owned();
    assert!(out.starts_with("real -L ") && out.ends_with(" -smp 2\n"), "{out}");
    // It is there now.
    let (said, _) = run("exit 1");
    assert!(!said.contains("qemu-system-x86 is missing"), "{said}");
}
