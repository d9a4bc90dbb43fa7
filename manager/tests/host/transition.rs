// SPDX-License-Identifier: GPL-2.0-or-later
//! kmend transition and force transition.

use super::system::{file, name, Plan, System};
use std::collections::BTreeMap;

/// A kernel with a transition under way, which goes to these states never; a task that sits in a patched function.
fn stalled(enabled: bool, never: &[bool]) -> System {
    let transitions = never.iter().map(|on| ((name("1-1"), *on), None)).collect();
    let functions = BTreeMap::from([(name("1-1"), vec!["vmlinux/type_show,17".to_string()])]);
    let system = System::with(Plan { transitions, functions, ..Plan::default() });
    system.version("1-1");
    system.loaded(&name("1-1"), enabled, true);
    let waits = if enabled { "0" } else { "1" };
    system.task(812, 812, "sshd", waits, "[<0>] msleep+0x2b/0x40\n[<0>] type_show+0x1b/0x40");
    system.put("proc/812/cmdline", "/usr/sbin/sshd\0-D\0");
    system.put("proc/812/cgroup", "0::/system.slice/sshd.service\n");
    system.task(20, 20, "kworker/0:1", waits, "[<0>] worker_thread+0x1/0x2");
    system.put("proc/20/stat", "20 (kworker/0:1) I 2 0 0 0 -1 69238880 0 0\n");
    system.put("proc/20/cmdline", "");
    system
}

#[test]
fn nothing_under_way_is_no_error() {
    let system = System::new();
    system.loaded(&name("1-1"), true, false);
    for args in [&["transition"][..], &["transition", "wait"], &["transition", "retry"], &["transition", "roll-back"]] {
        assert_eq!(system.kmend(args).ends(0).out, "no transition is under way\n");
    }
    system.kmend(&["force", "transition"]).ends(0).says("no transition is under way");
    assert!(system.asked().is_empty());
}

#[test]
fn it_shows_who_blocks_where_he_sits_and_what_can_be_done() {
    let system = stalled(true, &[]);
    let said = system.kmend(&["transition"]).ends(0);
    assert_eq!(
        said.out,
        format!(
            "{} is being put in force: 2 tasks are not switched over\n\n\
             20 kworker/0:1\n\
             sits in: no patched function at the moment; it has not reached a point where it can be switched\n\
             it is: a thread of the kernel\n\
             what you can do: wait; where it never leaves that function, take the live patch back (`kmend transition \
             roll-back`) and reboot into a patched kernel\n\
             stack:\n[<0>] worker_thread+0x1/0x2\n\n\
             812 sshd\n\
             sits in: type_show, which the live patch replaces\n\
             it is: /usr/sbin/sshd -D\n\
             what you can do: `systemctl restart sshd.service`, which ends it\n\
             stack:\n[<0>] msleep+0x2b/0x40\n[<0>] type_show+0x1b/0x40\n\n\
             `kmend transition wait` waits on, `roll-back` turns it back, `retry` does that and begins again; `kmend force \
             transition` is dangerous\n",
            name("1-1")
        )
    );
    assert!(system.asked().is_empty(), "it only looks");
    assert_eq!(system.kmend(&["transition", "show"]).ends(0).out, said.out);
}

#[test]
fn wait_waits_as_long_as_it_is_told() {
    let system = stalled(true, &[]);
    let said = system.kmend(&["transition", "wait", "--timeout", "7"]).ends(1);
    said.complains("is still in transition after 7 seconds").says("812 sshd");
    assert_eq!(system.slept(), 7);
    assert!(system.asked().is_empty());
    system.kmend(&["transition", "wait", "--timeout", "x"]).ends(1);
}

#[test]
fn roll_back_turns_it_around_in_both_directions() {
    let system = stalled(true, &[]);
    system.kmend(&["transition", "roll-back"]).ends(0).says("turning the transition of");
    assert_eq!(system.in_force(), []);
    assert_eq!(
        system.asked(),
        [format!("write /sys/kernel/livepatch/{}/enabled 0", name("1-1")), format!("delete {}", name("1-1"))]
    );
    let system = stalled(false, &[]);
    system.kmend(&["transition", "roll-back"]).ends(0);
    assert_eq!(system.in_force(), [(name("1-1"), true)]);
    // The way back stalls as well.
    for (enabled, error) in [(true, "transition stalled for"), (false, "is still on its way back in")] {
        let system = stalled(enabled, &[!enabled]);
        system.kmend(&["transition", "roll-back"]).ends(1).complains(error);
        assert_eq!(system.in_force(), [(name("1-1"), !enabled)]);
    }
}

#[test]
fn retry_ends_where_the_transition_was_going() {
    // Back and in again by loading the installed file.
    let system = stalled(true, &[]);
    system.kmend(&["transition", "retry"]).ends(0).says(&file("1-1"));
    assert_eq!(system.in_force(), [(name("1-1"), true)]);
    // Without its file it is out, and that is told.
    let system = stalled(true, &[]);
    system.kmend(&["uninstall", &name("1-1")]).ends(0);
    system.kmend(&["transition", "retry"]).ends(1).complains("its file is not installed");
    assert_eq!(system.in_force(), []);
    // In and out again.
    let system = stalled(false, &[]);
    system.kmend(&["transition", "retry"]).ends(0);
    assert_eq!(system.in_force(), []);
    // The way back stalls: turned around once more.
    let system = stalled(true, &[false]);
    system.kmend(&["transition", "retry"]).ends(0);
    assert_eq!(system.in_force(), [(name("1-1"), true)]);
    let system = stalled(true, &[false, true]);
    system.kmend(&["transition", "retry"]).ends(1).complains("is still in transition");
    assert_eq!(system.in_force(), [(name("1-1"), true)]);
}

#[test]
fn force_is_asked_for_in_so_many_words_and_waits_first() {
    let system = stalled(true, &[]);
    let said = system.kmend(&["force", "transition"]).ends(0);
    said.says("812 sshd").says("forcing the transition").complains("the module stays in memory until a reboot");
    assert!(system.slept() >= 75);
    assert_eq!(system.in_force(), [(name("1-1"), true)]);
    assert_eq!(system.asked(), [format!("write /sys/kernel/livepatch/{}/force 1", name("1-1"))]);
}
