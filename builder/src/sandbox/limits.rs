// SPDX-License-Identifier: GPL-2.0-or-later
//! Limits of a tool in the sandbox: from the environment, or several times what compilers need.

use std::process::{Command, Output};
use std::time::Duration;

const MIB: u64 = 1 << 20;

/// Limits of one run of a tool. [`Limits::none`] has none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Seconds until it has to be done.
    pub seconds: Option<u64>,
    /// Bytes of address space of each process.
    pub memory: Option<u64>,
    /// Bytes of each file that it writes.
    pub file: Option<u64>,
    /// Processes of its user at the same time.
    pub processes: Option<u64>,
    /// Bytes that it may write to stdout, and as many to stderr.
    pub output: Option<u64>,
}

/// A limit, the variable that sets it, and in what unit.
struct Row {
    variable: &'static str,
    of: fn(&mut Limits) -> &mut Option<u64>,
    default: u64,
    unit: u64,
    name: &'static str,
    /// What /proc/self/limits calls the limit of this process that it cannot go beyond.
    own: Option<&'static str>,
}

const ROWS: [Row; 5] = [
    Row { variable: "KMEND_TOOL_SECONDS", of: |l| &mut l.seconds, default: 900, unit: 1, name: "seconds", own: None },
    Row {
        variable: "KMEND_TOOL_MEMORY",
        of: |l| &mut l.memory,
        default: 8192,
        unit: MIB,
        name: "MiB of memory",
        own: Some("Max address space"),
    },
    Row {
        variable: "KMEND_TOOL_FILE",
        of: |l| &mut l.file,
        default: 1024,
        unit: MIB,
        name: "MiB in one file",
        own: Some("Max file size"),
    },
    Row {
        variable: "KMEND_TOOL_PROCESSES",
        of: |l| &mut l.processes,
        default: 8192,
        unit: 1,
        name: "processes",
        own: Some("Max processes"),
    },
    Row {
        variable: "KMEND_TOOL_OUTPUT",
        of: |l| &mut l.output,
        default: 64,
        unit: MIB,
        name: "MiB of output",
        own: None,
    },
];

/// The hard limit of this process that /proc/self/limits (proc_pid_limits(5)) has under that name; None: there is none.
fn hard(text: &str, name: &str) -> Option<u64> {
    let mut columns = text.lines().find_map(|line| line.strip_prefix(name))?.split_whitespace();
    columns.nth(1)?.parse().ok()
}

/// What the tools say when a limit that the kernel keeps is reached, by the limit's variable.
const SAID: &[(&str, &[&str])] = &[
    (
        "KMEND_TOOL_MEMORY",
        &[
            "out of memory",
            "virtual memory exhausted",
            "memory exhausted",
            "memory allocation of",
            "Cannot allocate memory",
        ],
    ),
    ("KMEND_TOOL_FILE", &["File size limit exceeded", "File too large", "file too large"]),
    ("KMEND_TOOL_PROCESSES", &["Resource temporarily unavailable", "fork: retry", "Cannot fork", "can't fork"]),
];

impl Limits {
    /// For a tool that compiles, links or reads one thing. A variable that is no number counts as if it were not set. No
    /// limit is beyond this process's own hard one (`ulimit -H`): without privileges no one can raise that.
    pub fn of_tools() -> Self {
        let mut limits = Self::none();
        let own = std::fs::read_to_string("/proc/self/limits").unwrap_or_default();
        for row in &ROWS {
            let given = std::env::var(row.variable).ok().and_then(|v| v.parse::<u64>().ok());
            let hard = row.own.and_then(|name| hard(&own, name)).unwrap_or(u64::MAX);
            *(row.of)(&mut limits) = Some(given.unwrap_or(row.default).saturating_mul(row.unit).min(hard));
        }
        limits
    }

    /// No limits: for whole kernels, whose builds the caller watches.
    pub fn none() -> Self {
        Self { seconds: None, memory: None, file: None, processes: None, output: None }
    }

    /// The same, and `times` as long.
    pub fn longer(mut self, times: u64) -> Self {
        self.seconds = self.seconds.map(|n| n.saturating_mul(times));
        self
    }

    /// How long it may run.
    pub fn time(&self) -> Option<Duration> {
        self.seconds.map(Duration::from_secs)
    }

    /// `program`, with the limits that the kernel keeps (prlimit of util-linux sets them).
    pub fn command(&self, program: &str) -> Command {
        let options = [("--as", self.memory), ("--fsize", self.file), ("--nproc", self.processes)];
        let mut set = options.iter().filter_map(|(option, n)| Some(format!("{option}={}", (*n)?))).peekable();
        if set.peek().is_none() {
            return Command::new(program);
        }
        let mut c = Command::new("prlimit");
        c.arg("--core=0").args(set).arg(program);
        c
    }

    /// The limit that a failed tool ran into, by its words; with the variable that raises it.
    pub fn reached(&self, out: &Output) -> Option<String> {
        let text = [out.stderr.as_slice(), out.stdout.as_slice()].concat();
        let text = String::from_utf8_lossy(&text);
        let (variable, _) = SAID.iter().find(|(_, words)| words.iter().any(|w| text.contains(w)))?;
        self.named(variable)
    }

    /// The limit of time in words.
    pub fn of_time(&self) -> String {
        self.named("KMEND_TOOL_SECONDS").unwrap_or_default()
    }

    /// The limit of output in words.
    pub fn of_output(&self) -> String {
        self.named("KMEND_TOOL_OUTPUT").unwrap_or_default()
    }

    fn named(&self, variable: &str) -> Option<String> {
        let row = ROWS.iter().find(|row| row.variable == variable)?;
        let n = (*(row.of)(&mut self.clone()))?;
        Some(format!("its limit of {} {} (set {variable} to change it)", n / row.unit, row.name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hard_limits_of_this_process() {
        let text = "Limit                     Soft Limit           Hard Limit           Units     \n\
                    Max file size             1000                 unlimited            bytes     \n\
                    Max processes             95817                95818                processes \n\
                    Max address space         4294967296           4294967297           bytes     \n";
        assert_eq!(hard(text, "Max address space"), Some(4_294_967_297));
        assert_eq!(hard(text, "Max processes"), Some(95_818));
        assert_eq!(hard(text, "Max file size"), None);
        assert_eq!(hard("", "Max file size"), None);
        assert_eq!(hard("Max file size", "Max file size"), None);
    }
}
