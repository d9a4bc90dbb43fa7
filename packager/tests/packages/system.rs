// SPDX-License-Identifier: GPL-2.0-or-later
//! A root folder to install into: a shell, and stand-ins for kpatch and uname that write down how they are called.

use crate::tools::{find, program, run};
use std::fs;
use std::os::unix::fs::{symlink, PermissionsExt};
use std::path::{Path, PathBuf};

/// Writes its arguments down; keeps a folder as kpatch does; `list` prints /etc/loaded. /etc/kpatch-fails has the verb
/// that fails.
pub const KPATCH: &str = r#"#!/bin/sh
echo "$*" >>/var/log/kpatch
if [ "$1" = "$(cat /etc/kpatch-fails 2>/dev/null)" ]; then
	echo "kpatch: $1 failed" >&2
	exit 1
fi
case "$1" in
install) mkdir -p "/var/lib/kpatch/$3" && cp "$4" "/var/lib/kpatch/$3/" ;;
uninstall) rm "/var/lib/kpatch/$3/$4" ;;
list) cat /etc/loaded 2>/dev/null ;;
esac
"#;

const UNAME: &str = "#!/bin/sh\ncat /etc/running\n";
const CHCON: &str = "#!/bin/sh\necho \"chcon $*\" >>/var/log/kpatch\n";

/// The folder.
pub struct Root {
    dir: tempfile::TempDir,
}

impl Root {
    /// A root with a shell; its kernel is `running`.
    pub fn new(running: &str) -> Root {
        let root = Root { dir: tempfile::tempdir().unwrap() };
        for folder in [
            "bin",
            "usr/bin",
            "usr/sbin",
            "sbin",
            "etc",
            "var/log",
            "var/lib",
            "tmp",
            "dev",
            "proc/self",
            "proc/1",
            "root",
        ] {
            fs::create_dir_all(root.path().join(folder)).unwrap();
        }
        let busybox =
            find("busybox").expect("busybox is missing: install Debian's package busybox-static (`make deps` does)");
        fs::copy(busybox, root.path().join("bin/busybox")).unwrap();
        root.shell();
        for name in ["cat", "cp", "mkdir", "rm", "rmdir", "sync", "ln", "tar", "true", "tr", "grep"] {
            symlink("/bin/busybox", root.path().join("bin").join(name)).unwrap();
        }
        // It is no chroot to the scripts.
        symlink("/", root.at("proc/1/root")).unwrap();
        root.program("bin/uname", UNAME);
        root.program("bin/chcon", CHCON);
        root.write("etc/running", running);
        root
    }

    /// dash with its libraries: busybox's shell would not call the stand-in for uname, but its own.
    fn shell(&self) {
        let dash = find("dash").expect("dash is missing: install Debian's package dash");
        let libraries = run(program("ldd").arg(&dash)).ok();
        fs::copy(dash, self.at("bin/sh")).unwrap();
        for path in libraries.split_whitespace().filter(|word| word.starts_with('/')) {
            fs::create_dir_all(self.at(path).parent().unwrap()).unwrap();
            fs::copy(path, self.at(path)).unwrap();
        }
    }

    pub fn path(&self) -> &Path {
        self.dir.path()
    }

    /// Where `path` of the host is.
    pub fn at(&self, path: &str) -> PathBuf {
        self.path().join(path.trim_start_matches('/'))
    }

    pub fn write(&self, path: &str, text: &str) {
        fs::write(self.at(path), text).unwrap();
    }

    pub fn program(&self, path: &str, text: &str) {
        self.write(path, text);
        fs::set_permissions(self.at(path), fs::Permissions::from_mode(0o755)).unwrap();
    }

    /// How kpatch (and chcon) were called since the last time.
    pub fn calls(&self) -> Vec<String> {
        let text = fs::read_to_string(self.at("var/log/kpatch")).unwrap_or_default();
        self.write("var/log/kpatch", "");
        text.lines().map(str::to_owned).collect()
    }

    /// The modules that kpatch would load at boot.
    pub fn installed(&self, kernel: &str) -> Vec<String> {
        let Ok(entries) = fs::read_dir(self.at(&format!("var/lib/kpatch/{kernel}"))) else { return Vec::new() };
        let mut names: Vec<String> = entries.map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }
}
