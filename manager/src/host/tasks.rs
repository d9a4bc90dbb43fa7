// SPDX-License-Identifier: GPL-2.0-or-later
//! Tasks that a transition waits for: /proc/PID/task/TID/patch_state of all tasks in, those that are not where the live
//! patch wants them out, each with its kernel stack and the patched function that it sits in.

use super::livepatch::{self, Function, Patch};
use super::Host;
use anyhow::Result;
use serde::Serialize;

/// One task that blocks a transition.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Task {
    /// The process.
    pub pid: u64,
    /// The task in it.
    pub tid: u64,
    /// Its name, /proc/PID/task/TID/comm.
    pub comm: String,
    /// Its kernel stack, innermost first; None where it cannot be read.
    pub stack: Option<Vec<String>>,
    /// The innermost patched function on its stack; None where there is none, or no stack.
    pub sits_in: Option<String>,
}

impl Task {
    /// In lines for a person.
    pub fn lines(&self) -> Vec<String> {
        let mut lines = vec![format!("{} {}", self.tid, self.comm)];
        if self.tid != self.pid {
            lines[0] += &format!(" (a thread of {})", self.pid);
        }
        lines.push(match (&self.sits_in, &self.stack) {
            (Some(function), _) => format!("sits in: {function}, which the live patch replaces"),
            (None, Some(stack)) if !stack.is_empty() => {
                "sits in: no patched function at the moment; it has not reached a point where it can be switched".into()
            }
            (None, Some(_)) => {
                "sits in: not known, because the kernel shows no stack for it (it may be running)".into()
            }
            (None, None) => "sits in: not known, because its stack cannot be read".into(),
        });
        lines.push("stack:".into());
        lines.extend(self.stack.iter().flatten().cloned());
        lines
    }
}

/// The tasks that `patch` waits for. What ends while it is looked at does not block.
///
/// A task's patch_state is 1 where it uses the new code, 0 where it does not, -1 outside of a transition
/// (kernel/livepatch/transition.h); `enabled` of the live patch is the state that is wanted.
///
/// # Errors
/// /proc or the functions of the live patches cannot be listed.
pub fn blocking(host: &Host, patch: &Patch) -> Result<Vec<Task>> {
    if !patch.transition {
        return Ok(Vec::new());
    }
    let wanted = if patch.enabled { "1" } else { "0" };
    let (mut functions, mut patches) = (Vec::new(), Vec::new());
    // The functions of all of them: an atomic replace takes the others back.
    for other in livepatch::all(host)? {
        functions.extend(livepatch::functions(host, &other.name)?);
        patches.push(other.name);
    }
    let proc = host.at("/proc");
    let mut found = Vec::new();
    for pid in numbers(host.names(&proc)?) {
        let tasks = proc.join(pid.to_string()).join("task");
        for tid in numbers(host.names(&tasks)?) {
            let file = |name: &str| tasks.join(tid.to_string()).join(name);
            let Ok(Some(state)) = host.text(&file("patch_state")) else { continue };
            if state == wanted || state == "-1" {
                continue;
            }
            let comm = host.text(&file("comm")).ok().flatten().unwrap_or_default();
            let stack = host.text(&file("stack")).ok().flatten();
            let stack: Option<Vec<String>> = stack.map(|s| s.lines().map(printable).collect());
            let sits_in = stack.iter().flatten().find_map(|frame| patched(frame, &functions, &patches));
            found.push(Task { pid, tid, comm: printable(&comm), stack, sits_in });
        }
    }
    Ok(found)
}

fn numbers(names: Vec<String>) -> Vec<u64> {
    let mut numbers: Vec<u64> = names.iter().filter_map(|n| n.parse().ok()).collect();
    numbers.sort_unstable();
    numbers
}

/// A task chooses its name itself; control characters would reach a terminal.
fn printable(text: &str) -> String {
    text.trim_end().chars().map(|c| if c.is_control() { '?' } else { c }).collect()
}

/// The function of a frame as /proc/PID/stack has it (`[<0>] NAME+0x1b/0x40 [MODULE]`), where that is a patched one.
///
/// The new code is in the live patch's module, under the same name, or with kmend-build as `kmend.N.NAME`.
fn patched(frame: &str, functions: &[Function], patches: &[String]) -> Option<String> {
    let text = frame.strip_prefix("[<").and_then(|f| f.split_once("] ")).map_or(frame, |(_, rest)| rest);
    let (symbol, rest) = text.split_once('+')?;
    let module = rest.split_once(" [").map(|(_, m)| m.split([' ', ']']).next().unwrap_or(m));
    let in_live_patch = module.is_some_and(|m| patches.iter().any(|p| p == m));
    let name = new_code(symbol).filter(|_| in_live_patch).unwrap_or(symbol);
    let of = |f: &&Function| f.name == name && (in_live_patch || f.object == module.unwrap_or("vmlinux"));
    let function = functions.iter().find(of)?;
    Some(if function.object == "vmlinux" { name.into() } else { format!("{name} of module {}", function.object) })
}

/// `NAME` of `kmend.N.NAME`.
fn new_code(symbol: &str) -> Option<&str> {
    let (number, name) = symbol.strip_prefix("kmend.")?.split_once('.')?;
    number.bytes().all(|b| b.is_ascii_digit()).then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn function(object: &str, name: &str) -> Function {
        Function { object: object.into(), name: name.into(), position: "1".into() }
    }

    #[test]
    fn frames_of_patched_functions_are_told() {
        let functions = [function("vmlinux", "type_show"), function("e1000", "e1000_up")];
        let patches = ["kpatch_x".to_string()];
        let told = |frame| patched(frame, &functions, &patches);
        assert_eq!(told("[<0>] type_show+0x1b/0x40").as_deref(), Some("type_show"));
        assert_eq!(told("[<ffffffff81234567>] type_show+0x1b/0x40").as_deref(), Some("type_show"));
        assert_eq!(told("[<0>] type_show+0x1b/0x40 [kpatch_x]").as_deref(), Some("type_show"));
        assert_eq!(told("[<0>] kmend.0.type_show+0x1b/0x40 [kpatch_x]").as_deref(), Some("type_show"));
        assert_eq!(told("[<0>] e1000_up+0x1/0x2 [e1000]").as_deref(), Some("e1000_up of module e1000"));
        // Namesakes in other places, and what is no frame.
        for other in [
            "[<0>] type_show+0x1b/0x40 [e1000]",
            "[<0>] e1000_up+0x1/0x2",
            "[<0>] kmend.0.type_show+0x1b/0x40",
            "[<0>] type_show2+0x1b/0x40",
            "[<0>] 0xffffffffffffffff",
            "[<0>",
            "",
            "type_show",
        ] {
            assert_eq!(told(other), None, "{other}");
        }
    }

    #[test]
    fn names_of_tasks_do_not_reach_the_terminal_raw() {
        assert_eq!(printable("a\x1b[2Jb\n"), "a?[2Jb");
    }
}
