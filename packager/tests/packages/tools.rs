// SPDX-License-Identifier: GPL-2.0-or-later
//! Calls of real programs. One that is missing fails the test with the name of its Debian package.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// Debian's packages with the programs that the tests call.
const PACKAGES: &[(&str, &str)] = &[
    ("apt-cache", "apt"),
    ("apt-get", "apt"),
    ("apt-mark", "apt"),
    ("busybox", "busybox-static"),
    ("bwrap", "bubblewrap"),
    ("cargo", "cargo"),
    ("cat", "coreutils"),
    ("chroot", "coreutils"),
    ("cp", "coreutils"),
    ("dnf", "dnf"),
    ("dpkg", "dpkg"),
    ("dpkg-deb", "dpkg"),
    ("dpkg-query", "dpkg"),
    ("gpg", "gpg"),
    ("gpgconf", "gpgconf"),
    ("ldd", "libc-bin"),
    ("rpm", "rpm"),
    ("unshare", "util-linux"),
];

/// What a program printed, both ways, and how it ended.
pub struct Said {
    pub text: String,
    pub good: bool,
}

impl Said {
    /// The text of a program that did its work.
    #[track_caller]
    pub fn ok(self) -> String {
        assert!(self.good, "{}", self.text);
        self.text
    }

    /// The text of one that refused.
    #[track_caller]
    pub fn refused(self) -> String {
        assert!(!self.good, "should have been refused:\n{}", self.text);
        self.text
    }
}

/// A program of the machine.
pub fn program(name: &str) -> Command {
    let package = PACKAGES.iter().find(|(n, _)| *n == name).map(|(_, p)| *p).expect("a program that is in the table");
    let path = find(name)
        .unwrap_or_else(|| panic!("{name} is missing: install Debian's package {package} (`make deps` does)"));
    let mut command = Command::new(path);
    command.env("LC_ALL", "C.UTF-8").env("TZ", "UTC");
    command
}

/// The same as root, or as root of a user namespace: for programs that change their root folder.
pub fn as_root(name: &str) -> Command {
    let wanted = program(name);
    if std::fs::metadata("/proc/self").is_ok_and(|m| std::os::unix::fs::MetadataExt::uid(&m) == 0) {
        return wanted;
    }
    let mut command = program("unshare");
    command.arg("--map-root-user").arg(wanted.get_program());
    command
}

/// The root of a system with dnf 5, whose dnf and rpm are used then (`cargo xtask contrib` makes one).
pub fn five() -> Option<std::ffi::OsString> {
    std::env::var_os("KMEND_TEST_DNF5")
}

/// dnf or rpm of this machine; where there is a root with dnf 5, those of that.
pub fn managed_by(name: &str) -> Command {
    let Some(root) = five() else { return as_root(name) };
    let mut command = program("bwrap");
    command.arg("--bind").arg(root).args(["/", "--dev", "/dev", "--proc", "/proc", "--bind", "/tmp", "/tmp"]);
    // By their paths, as PATH may name programs of a test's own.
    match name {
        "dnf" => command.args(["/usr/bin/dnf5", "--use-host-config"]),
        name => command.arg(format!("/usr/bin/{name}")),
    };
    command
}

/// Where a program is.
pub fn find(name: &str) -> Option<PathBuf> {
    let path = std::env::var("PATH").unwrap_or_default();
    let mut places = path.split(':').chain(["/usr/sbin", "/sbin"]).map(|dir| Path::new(dir).join(name));
    places.find(|p| p.is_file())
}

/// Runs it to its end.
pub fn run(command: &mut Command) -> Said {
    let Output { status, stdout, stderr } = command.output().unwrap_or_else(|e| panic!("{command:?}: {e}"));
    let text = format!("{}{}", String::from_utf8_lossy(&stdout), String::from_utf8_lossy(&stderr));
    Said { text, good: status.success() }
}

/// What `rpm` says about a package file.
#[track_caller]
pub fn rpm_query(file: &Path, question: &[&str]) -> String {
    run(program("rpm").arg("-qp").args(question).arg(file)).ok()
}
