// SPDX-License-Identifier: GPL-2.0-or-later
//! The packages of kmend-build. The program in them is another of this machine.

use crate::samples::origin;
use crate::tools::{find, program, rpm_query, run};
use kmend_packager::{debian, redhat, BuildTool};
use std::fs;
use std::path::Path;

const FILES: [&str; 4] = [
    "/usr/bin/kmend-build",
    "/usr/share/man/man1/kmend-build.1",
    "/usr/share/fish/vendor_completions.d/kmend-build.fish",
    "/usr/share/doc/kmend-build/authors.md",
];

fn tool(dir: &Path) -> BuildTool {
    let share = dir.join("share");
    for file in FILES.iter().filter_map(|file| file.strip_prefix("/usr/share/")) {
        fs::create_dir_all(share.join(file).parent().unwrap()).unwrap();
        fs::write(share.join(file), "some\n").unwrap();
    }
    BuildTool {
        version: "0.1.0".into(),
        release: 1,
        dist: ".el9".into(),
        binary: find("dash").expect("dash is missing: install Debian's package dash"),
        share: Some(share),
        origin: origin(),
    }
}

#[test]
fn the_rpm_has_the_program_its_pages_and_what_it_calls() {
    let dir = tempfile::tempdir().unwrap();
    let made = redhat::build_tool(&tool(dir.path()), None).unwrap();
    assert_eq!(made.file, "kmend-build-0.1.0-1.el9.x86_64.rpm");
    let path = made.write(dir.path()).unwrap();
    let listed = rpm_query(&path, &["-l"]);
    let mut listed: Vec<&str> = listed.lines().collect();
    listed.sort_unstable();
    let mut files = FILES;
    files.sort_unstable();
    assert_eq!(listed, files);
    let requires = rpm_query(&path, &["--requires"]);
    for needed in ["bubblewrap", "patch", "openssl"] {
        assert!(requires.lines().any(|l| l == needed), "{needed}: {requires}");
    }
    assert!(requires.contains("libc.so.6()(64bit)"), "{requires}");
    assert!(rpm_query(&path, &["--recommends"]).lines().any(|l| l == "createrepo_c"));
    assert_eq!(rpm_query(&path, &["--scripts"]), "");
}

#[test]
fn the_deb_has_the_same() {
    let dir = tempfile::tempdir().unwrap();
    let tool = tool(dir.path());
    let made = debian::build_tool(&tool).unwrap();
    assert_eq!(made.file, "kmend-build_0.1.0-1_amd64.deb");
    assert_eq!(made.bytes, debian::build_tool(&tool).unwrap().bytes);
    let path = made.write(dir.path()).unwrap();
    let listed = run(program("dpkg-deb").arg("-c").arg(&path)).ok();
    for file in FILES {
        assert!(listed.lines().any(|l| l.ends_with(&format!(" {}", &file[1..]))), "{file}: {listed}");
    }
    let depends = run(program("dpkg-deb").arg("-f").arg(&path).arg("Depends")).ok();
    let depends: Vec<&str> = depends.trim().split(", ").collect();
    for needed in ["bubblewrap", "mmdebstrap", "patch", "openssl"] {
        assert!(depends.contains(&needed), "{needed}: {depends:?}");
    }
    assert!(depends.iter().any(|d| d.starts_with("libc6 (>= 2.")), "{depends:?}");
}

#[test]
fn what_belongs_to_no_place_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let mut tool = tool(dir.path());
    tool.version = "one".into();
    assert!(debian::build_tool(&tool).is_err() && redhat::build_tool(&tool, None).is_err());
    tool.version = "0.1.0".into();
    fs::create_dir_all(dir.path().join("share/games/kmend-build")).unwrap();
    assert!(debian::build_tool(&tool).is_err() && redhat::build_tool(&tool, None).is_err());
}
