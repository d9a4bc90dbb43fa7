// SPDX-License-Identifier: GPL-2.0-or-later
//! The kernel's log: console text in, the lines that must not be there out.

use regex::{Regex, RegexSet};
use std::sync::LazyLock;

/// What a healthy kernel never says.
static TROUBLE: LazyLock<RegexSet> = LazyLock::new(|| {
    let expressions = [
        r"\bWARNING: ",
        r"\bBUG: ",
        r"\bOops\b",
        r"kernel BUG at",
        r"Kernel panic",
        r"general protection fault",
        r"[Uu]nable to handle",
        r"Unrecoverable |[Bb]ad kernel stack|Bad trap at",
        r"\bUBSAN: |\bKASAN: |\bKFENCE: |\bKCSAN: ",
        r"blocked for more than \d+ seconds",
        r"soft lockup|hard LOCKUP",
        r"rcu: INFO: .*(stall|starved)",
        r"\bCall Trace:",
        r"scheduling while atomic",
        r"refcount_t: ",
        r"livepatch: .*(fail|error|not found|invalid|cannot|doesn't|unable)",
        r"Unknown symbol|unknown relocation|Unknown rela|Invalid relocation|invalid relocation|overflow in relocation",
        r"Unknown ADD relocation|Expected nop after call|REL(24|32|34) -?\d+ out of range|bad TOC16",
        r"out of range of kernel_toc|doesn't contain \.(stubs|mygot)",
        r"exec format|Invalid module format|disagrees about version|version magic",
        r"page allocation failure|Out of memory",
        r"percpu ref .* <= 0|list_(add|del) corruption",
    ];
    RegexSet::new(expressions).unwrap_or_else(|_| RegexSet::empty())
});

/// Whether the kernel is beyond help and the guest can be ended.
pub fn is_fatal(console: &str) -> bool {
    console.contains("Kernel panic") || console.contains("---[ end Kernel")
}

/// The lines of `console` that tell of trouble, without those that `allowed` matches.
pub fn trouble(console: &str, allowed: &[String]) -> Vec<String> {
    let allowed: Vec<Regex> = allowed.iter().filter_map(|a| Regex::new(a).ok()).collect();
    console
        .lines()
        .map(|l| l.trim_end())
        .filter(|l| TROUBLE.is_match(l) && !allowed.iter().any(|a| a.is_match(l)))
        .map(String::from)
        .collect()
}

/// What the kernel said while `scenario` ran; all to the end where it never came to an end.
pub fn of_scenario<'a>(console: &'a str, scenario: &str) -> &'a str {
    let (begin, end) = (format!("kmend-test: begin {scenario}"), format!("kmend-test: end {scenario}"));
    let whole_line = |text: &str, mark: &str| {
        let mut from = 0;
        while let Some(at) = text[from..].find(mark) {
            let after = from + at + mark.len();
            if text[after..].starts_with(['\r', '\n']) || after == text.len() {
                return Some((from + at, after));
            }
            from = after;
        }
        None
    };
    let Some((_, from)) = whole_line(console, &begin) else { return "" };
    let rest = &console[from..];
    whole_line(rest, &end).map_or(rest, |(at, _)| &rest[..at])
}

/// The part of `console` in which [`of_scenario`] finds the same.
pub fn part_of_scenario(console: &str, scenario: &str) -> String {
    format!("kmend-test: begin {scenario}{}kmend-test: end {scenario}\n", of_scenario(console, scenario))
}

/// What the kernel said before any scenario ran.
pub fn of_boot(console: &str) -> &str {
    console.find("kmend-test: begin ").map_or(console, |at| &console[..at])
}

/// The last `n` lines.
pub fn tail(console: &str, n: usize) -> String {
    let lines: Vec<&str> = console.lines().map(|l| l.trim_end()).collect();
    lines[lines.len().saturating_sub(n)..].iter().map(|l| format!("    {l}\n")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOG: &str = "[ 1.0] boots\r\n[ 2.0] kmend-test: begin a\r\n[ 2.1] livepatch: enabling patch 'k'\r\n\
        [ 2.2] k: tainting kernel with TAINT_LIVEPATCH\r\n[ 2.3] kmend-test: end a\r\n\
        [ 3.0] kmend-test: begin a-b\r\n[ 3.1] ------------[ cut here ]------------\r\n\
        [ 3.1] WARNING: CPU: 0 PID: 1 at fs/x.c:3 f+0x1/0x2\r\n[ 3.1] Call Trace:\r\n";

    #[test]
    fn each_scenario_has_its_own_part() {
        assert!(trouble(of_boot(LOG), &[]).is_empty());
        assert!(of_scenario(LOG, "a").contains("enabling patch") && !of_scenario(LOG, "a").contains("WARNING"));
        assert_eq!(trouble(of_scenario(LOG, "a"), &[]), Vec::<String>::new());
        assert_eq!(trouble(of_scenario(LOG, "a-b"), &[]).len(), 2);
        assert_eq!(of_scenario(LOG, "b"), "");
    }

    #[test]
    fn trouble_that_is_asked_for_is_none() {
        let allowed = ["WARNING: .* at fs/x.c".to_string(), "Call Trace".to_string()];
        assert!(trouble(LOG, &allowed).is_empty());
        for line in [
            "livepatch: symbol 'x' not found in symbol table",
            "module_64: kmend_x: Expected nop after call, got 7c0802a6 at f+0x8/0x20 [kmend_x]",
            "module_64: kmend_x: REL24 -33554944 out of range!",
            "BUG: Unable to handle kernel data access at 0x10",
        ] {
            assert_eq!(trouble(line, &[]).len(), 1, "{line}");
        }
        assert!(is_fatal("[ 1] Kernel panic - not syncing: x"));
    }
}
