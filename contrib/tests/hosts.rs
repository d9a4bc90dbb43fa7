// SPDX-License-Identifier: GPL-2.0-or-later
//! A fleet for the real ansible-playbook: each host a root with the real apt or dnf, and a false kernel.

use crate::site::{Family, Site};
use crate::system::System;
use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A systemctl that keeps whether kmend-subscribe.timer is enabled.
const SYSTEMCTL: &str = "case \"$*\" in
'is-enabled kmend-subscribe.timer') cat \"$KMEND_ROOT/timer\" ;;
'enable --quiet kmend-subscribe.timer') echo enabled >\"$KMEND_ROOT/timer\" ;;
'disable --quiet kmend-subscribe.timer') echo disabled >\"$KMEND_ROOT/timer\" ;;
esac";

/// One host.
pub struct Host {
    pub system: System,
    folder: PathBuf,
}

impl Host {
    /// The newest version that is in force, and no other: 2 for 1-2; 0 for none.
    pub fn in_force(&self) -> u32 {
        let mut on = self.system.in_force();
        on.retain(|(_, enabled)| *enabled);
        assert!(on.len() < 2, "{on:?}");
        let version = |name: &str| name.rsplit('_').next().unwrap().parse().unwrap();
        on.first().map_or(0, |(name, _)| version(name))
    }

    /// A file of its root, where it was changed or added.
    pub fn changed(&self, path: &str) -> PathBuf {
        self.folder.join("upper").join(path)
    }

    /// It crashes, is away for some seconds, and kpatch.service loads what is to be loaded.
    pub fn crashes(&self) {
        fs::write(self.folder.join("down"), "").unwrap();
        self.system.boots_again();
        self.system.kmend(&["load", "--all"]);
        std::thread::sleep(std::time::Duration::from_secs(5));
        fs::remove_file(self.folder.join("down")).unwrap();
    }
}

/// All of them.
pub struct Fleet {
    dir: tempfile::TempDir,
    pub site: Site,
    pub hosts: BTreeMap<&'static str, Host>,
}

/// What ansible-playbook said.
pub struct Play {
    pub code: i32,
    pub text: String,
}

impl Play {
    /// A number of a host in the recap; None where it is not named there.
    pub fn recap(&self, host: &str, key: &str) -> Option<u32> {
        let recap = self.text.split("PLAY RECAP").nth(1)?;
        let line = recap.lines().find(|line| line.split_whitespace().next() == Some(host))?;
        line.split_whitespace().find_map(|word| word.strip_prefix(key)?.strip_prefix('=')?.parse().ok())
    }
}

impl Fleet {
    /// Hosts by their names; those whose name begins with `canary` are canaries.
    pub fn new(members: &[(&'static str, Family)]) -> Self {
        let dir = tempfile::Builder::new().prefix("kmend-fleet").tempdir().unwrap();
        let site = Site::new(&dir.path().join("site"));
        let ssh = dir.path().join("ssh");
        fs::write(&ssh, include_str!("ssh.sh").replace("DIR", dir.path().to_str().unwrap())).unwrap();
        fs::set_permissions(&ssh, fs::Permissions::from_mode(0o755)).unwrap();
        let (mut hosts, mut inventory) =
            (BTreeMap::new(), [String::from("[kmend_canary]\n"), String::from("[rest]\n")]);
        for (name, family) in members {
            let system = System::new();
            system.put("proc/sys/kernel/osrelease", &format!("{}\n", family.kernel().release()));
            system.put("timer", "disabled\n");
            system.program("systemctl", SYSTEMCTL);
            let folder = dir.path().join("hosts").join(name);
            fs::create_dir_all(&folder).unwrap();
            let settings = format!("system={}\nfamily={family:?}\n", system.root().display());
            fs::write(folder.join("settings"), settings).unwrap();
            inventory[usize::from(!name.starts_with("canary"))] += &format!("{name}\n");
            hosts.insert(*name, Host { system, folder });
        }
        fs::write(dir.path().join("inventory"), inventory.concat()).unwrap();
        let vars = format!(
            "ansible_become: false\nansible_python_interpreter: /usr/bin/python3\n\
             kmend_apt_sources: |\n  Types: deb\n  URIs: file:{apt}\n  Suites: ./\n  Trusted: yes\n\
             kmend_dnf_repository: |\n  [live]\n  name=live\n  baseurl=file://{dnf}\n  gpgcheck=0\n  metadata_expire=1\n\
             kmend_watch_seconds: 4\nkmend_return_seconds: 60\nkmend_transition_poll_seconds: 1\n",
            apt = site.at(Family::Apt).display(),
            dnf = site.at(Family::Dnf).display()
        );
        fs::create_dir_all(dir.path().join("group_vars")).unwrap();
        fs::write(dir.path().join("group_vars/all.yml"), vars).unwrap();
        Self { dir, site, hosts }
    }

    /// ansible-playbook with one of contrib/ansible/.
    pub fn plays(&self, playbook: &str, args: &[&str]) -> Play {
        let dir = self.dir.path();
        let contrib = Path::new(env!("CARGO_MANIFEST_DIR")).join("../ansible");
        let mut command = Command::new("unshare");
        command.args(["--mount", "--propagation", "private", "/bin/sh"]);
        command.arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("enter.sh")).arg(dir);
        command.args(["ansible-playbook", "-i"]).arg(dir.join("inventory")).arg(contrib.join(playbook)).args(args);
        command.current_dir(dir).env("LC_ALL", "C.UTF-8").env("HOME", dir);
        for (key, value) in [
            ("SSH_EXECUTABLE", dir.join("ssh").to_str().unwrap()),
            ("SSH_TRANSFER_METHOD", "piped"),
            ("PIPELINING", "1"),
            ("NOCOLOR", "1"),
            ("LOCAL_TEMP", dir.join("tmp").to_str().unwrap()),
        ] {
            command.env(format!("ANSIBLE_{key}"), value);
        }
        let out = command.output().unwrap();
        let text = [out.stdout, out.stderr].map(|text| String::from_utf8_lossy(&text).into_owned()).concat();
        println!("== {playbook} {args:?}\n{text}");
        Play { code: out.status.code().unwrap_or(-1), text }
    }
}
