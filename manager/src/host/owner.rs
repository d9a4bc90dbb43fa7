// SPDX-License-Identifier: GPL-2.0-or-later
//! Whose a task is: /proc/PID in, its command line and the service it belongs to out, and what can be done about it.

use super::Host;

/// What a task belongs to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Owner {
    /// The kernel itself: a thread without a program.
    Kernel,
    /// A service of systemd's, and its command line.
    Service(String, String),
    /// Any other program, by its command line.
    Program(String),
}

/// Flag of a kernel thread in field 9 of /proc/PID/stat (include/linux/sched.h, PF_KTHREAD).
const KTHREAD: u64 = 0x0020_0000;

/// Looks at the process; None where it has ended.
pub fn of(host: &Host, pid: u64) -> Option<Owner> {
    let text = |name: &str| host.text(&host.at("/proc").join(pid.to_string()).join(name)).ok().flatten();
    let command = text("cmdline").unwrap_or_default().replace('\0', " ");
    let command: String = command.trim().chars().take(200).map(|c| if c.is_control() { '?' } else { c }).collect();
    if command.is_empty() {
        // The name in brackets may hold anything; fields are counted behind its end.
        let stat = text("stat")?;
        let flags = stat.rsplit_once(") ")?.1.split(' ').nth(6)?.parse::<u64>().ok()?;
        return (flags & KTHREAD != 0).then_some(Owner::Kernel);
    }
    let groups = text("cgroup").unwrap_or_default();
    let plain = |c: char| c.is_ascii_alphanumeric() || "@_.:\\-".contains(c);
    let service = groups.lines().flat_map(|line| line.split('/')).rfind(|part| part.ends_with(".service"));
    Some(match service.filter(|name| name.chars().all(plain) && !name.starts_with("user@")) {
        Some(service) => Owner::Service(service.into(), command),
        None => Owner::Program(command),
    })
}

impl Owner {
    /// What it is, and what can be done so that its task is switched over.
    pub fn advice(&self) -> Vec<String> {
        match self {
            Self::Kernel => vec![
                "it is: a thread of the kernel".into(),
                "what you can do: wait; where it never leaves that function, take the live patch back (`kmend transition \
                 roll-back`) and reboot into a patched kernel"
                    .into(),
            ],
            Self::Service(service, command) => vec![
                format!("it is: {command}"),
                format!("what you can do: `systemctl restart {service}`, which ends it"),
            ],
            Self::Program(command) => {
                vec![format!("it is: {command}"), "what you can do: end it, or make it do something else".into()]
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn services_programs_and_kernel_threads_are_told_apart() {
        let dir = tempfile::tempdir().unwrap();
        let host = Host::new(dir.path());
        let task = |pid: u64, cmdline: &str, stat: &str, cgroup: &str| {
            let folder = dir.path().join(format!("proc/{pid}"));
            fs::create_dir_all(&folder).unwrap();
            for (name, text) in [("cmdline", cmdline), ("stat", stat), ("cgroup", cgroup)] {
                fs::write(folder.join(name), text).unwrap();
            }
            of(&host, pid)
        };
        let (sshd, user) =
            ("0::/system.slice/sshd.service\n", "0::/user.slice/user-0.slice/user@0.service/app.slice\n");
        assert_eq!(task(1, "sshd\0-D\0", "", sshd), Some(Owner::Service("sshd.service".into(), "sshd -D".into())));
        assert_eq!(task(2, "a\x1b[2J", "", user), Some(Owner::Program("a?[2J".into())));
        assert_eq!(task(3, "", "3 (kworker/0:1) x) I 2 0 0 0 -1 69238880 0", ""), Some(Owner::Kernel));
        for stat in ["", "3 (a", "3 (a) ", "3 (a) Z 2 0 0 0 -1 4228100 0", "3 (a) Z 2 0 0 0 -1 x 0"] {
            assert_eq!(task(4, "", stat, ""), None, "{stat}");
        }
        assert_eq!(task(5, "x", "", "0::/a$(reboot).service"), Some(Owner::Program("x".into())));
        assert_eq!(of(&host, 6), None);
    }
}
