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
    for (name, script) in [("dpkg-query", DPKG_QUERY), ("apt-get", apt_get), ("id", "echo 0")] {
        let path = folder.join(name);
        fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
        fs::set_permissions(&path, Permissions::from_mode(0o755)).unwrap();
    }
    let path = format!("{}:/usr/bin:/bin", folder.display());
    let out = Command::new(env!("CARGO_BIN_EXE_kmend-deps"))
        .args(args)
        .env("PATH", path)
        .env("LOG", folder.join("log"))
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
