// SPDX-License-Identifier: GPL-2.0-or-later
//! Who else has a hand on functions of the kernel: the lists of kprobes and of ftrace in, users by function out. Both need
//! debugfs or tracefs mounted; where a list is missing, nothing is known and no one is named.

use super::Host;

/// Where the list of kprobes is (kernel/kprobes.c, report_probe).
const KPROBES: &str = "/sys/kernel/debug/kprobes/list";
/// Where the functions that ftrace calls something for are (kernel/trace/ftrace.c, t_show).
const ENABLED: [&str; 2] = ["/sys/kernel/tracing/enabled_functions", "/sys/kernel/debug/tracing/enabled_functions"];

/// One kprobe.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kprobe {
    /// `vmlinux` or a module's name.
    pub object: String,
    /// The function.
    pub function: String,
    /// Where in it, as the list has it: `0x10`.
    pub offset: String,
}

/// A function that ftrace calls something for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Traced {
    /// `vmlinux` or a module's name.
    pub object: String,
    /// The function.
    pub function: String,
    /// How many users it has; livepatch counts as one.
    pub users: u64,
    /// Flag `I`: one of them changes where the function returns to or goes on (IPMODIFY). There can be one such user at
    /// most, and livepatch is one.
    pub redirected: bool,
    /// Who, as far as the list names it.
    pub by: String,
}

/// Kprobes.
pub fn kprobes(host: &Host) -> Vec<Kprobe> {
    let text = host.text(&host.at(KPROBES)).ok().flatten().unwrap_or_default();
    text.lines().filter_map(kprobe).collect()
}

/// `ffffffff81234560  k  type_show+0x10  [e1000] [DISABLED][FTRACE]`, or with the module's name bare.
fn kprobe(line: &str) -> Option<Kprobe> {
    let mut words = line.split_whitespace().skip(2);
    let (function, offset) = words.next()?.split_once('+')?;
    let flags = ["GONE", "DISABLED", "OPTIMIZED", "FTRACE"];
    // Where the list has no name of its own, it says `type_show+0x10/0x40`.
    let offset = offset.split('/').next().unwrap_or(offset);
    let rest: Vec<&str> = words.collect();
    if rest.iter().any(|word| word.contains("[GONE]") || word.contains("[DISABLED]")) {
        return None;
    }
    let object = rest.first().map(|w| w.trim_matches(['[', ']'])).filter(|w| !flags.iter().any(|f| w.contains(f)));
    let object = object.unwrap_or("vmlinux");
    Some(Kprobe { object: object.into(), function: function.into(), offset: offset.into() })
}

/// Functions that ftrace calls something for.
pub fn traced(host: &Host) -> Vec<Traced> {
    let text = ENABLED.iter().find_map(|path| host.text(&host.at(path)).ok().flatten()).unwrap_or_default();
    let mut found: Vec<Traced> = Vec::new();
    for line in text.lines() {
        // Lines that go on about the function before begin with white space.
        match (line.starts_with(char::is_whitespace), found.last_mut()) {
            (true, Some(last)) => name_user(last, line),
            _ => found.extend(first_line(line)),
        }
    }
    found
}

/// `type_show [e1000] (1) R I   M  tramp: 0xffffffffc0400000 (klp_ftrace_handler+0x0/0x1b0) ->ftrace_ops_…`
fn first_line(line: &str) -> Option<Traced> {
    let (name, rest) = line.split_once(" (")?;
    let (users, rest) = rest.split_once(')')?;
    let (function, object) = match name.split_once(" [") {
        Some((function, module)) => (function, module.trim_end_matches(']')),
        None => (name, "vmlinux"),
    };
    // Flags are letters, one each; who is called is behind them.
    let flags = rest.split(|c: char| !c.is_ascii_alphabetic()).take_while(|word| word.len() <= 1);
    let redirected = flags.into_iter().any(|flag| flag == "I");
    let mut traced = Traced {
        object: object.into(),
        function: function.trim().into(),
        users: users.trim().parse().ok()?,
        redirected,
        by: String::new(),
    };
    name_user(&mut traced, rest);
    Some(traced)
}

/// The user's function is in brackets: `(klp_ftrace_handler+0x0/0x1b0)`.
fn name_user(traced: &mut Traced, text: &str) {
    let names = text.split(['(', ')', '>', ' ']).filter_map(|word| word.split_once("+0x").map(|(name, _)| name));
    for name in names.filter(|n| !n.is_empty() && !n.starts_with("ftrace_") && !n.starts_with("arch_ftrace")) {
        if !traced.by.split(", ").any(|known| known == name) {
            traced.by += if traced.by.is_empty() { "" } else { ", " };
            traced.by.extend(name.chars().filter(|c| !c.is_control()));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_of_the_kernel_are_read() {
        let probe = |line| kprobe(line).map(|k| format!("{} {} {}", k.object, k.function, k.offset));
        assert_eq!(probe("ffffffff8123  k  type_show+0x0    [FTRACE]").as_deref(), Some("vmlinux type_show 0x0"));
        assert_eq!(probe("ffffffff8123  r  e1000_up+0x10  e1000 ").as_deref(), Some("e1000 e1000_up 0x10"));
        assert_eq!(
            probe("ffffffff8123  r  e1000_up+0x10  [e1000]    [OPTIMIZED]").as_deref(),
            Some("e1000 e1000_up 0x10")
        );
        assert_eq!(probe("ffffffff8123  k  e1000_up+0x10/0x40 [e1000]").as_deref(), Some("e1000 e1000_up 0x10"));
        for nothing in ["", "a", "a k", "a k b", "ffffffff8123  k  type_show+0x0    [DISABLED][FTRACE]"] {
            assert_eq!(probe(nothing), None, "{nothing}");
        }
        let traced = |line: &str| first_line(line).unwrap();
        let klp = traced("type_show (1) R I     \ttramp: 0xffffffffc04 (klp_ftrace_handler+0x0/0x1b0) ->ftrace_ops_assist_func+0x0/0xf0");
        assert_eq!((klp.users, klp.redirected, klp.by.as_str()), (1, true, "klp_ftrace_handler"));
        assert_eq!((klp.object.as_str(), klp.function.as_str()), ("vmlinux", "type_show"));
        let module = traced("e1000_up [e1000] (2)           \t->arch_ftrace_ops_list_func+0x0/0x1e0");
        assert_eq!((module.object.as_str(), module.users, module.redirected), ("e1000", 2, false));
        assert_eq!(traced("a (1)             ->function_trace_call+0x0/0x10").by, "function_trace_call");
        assert!(traced("a (1)   I D   M ").redirected);
        assert!(!traced("a (1)     D   M \ttramp: 0xf (I+0x0/0x1) ").redirected);
        for nothing in ["", "a", "a (", "a (x) R", "#### all functions enabled ####"] {
            assert_eq!(first_line(nothing), None, "{nothing}");
        }
    }
}
