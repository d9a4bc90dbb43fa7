// SPDX-License-Identifier: GPL-2.0-or-later
//! The commands that the pages show: each has to be one that its program, `make` or `cargo xtask` takes today.

use crate::CHORES;
use clap::Command;
use kmend_builder::cli;
use std::collections::BTreeSet;

/// Goals of the kernel's Makefile that pages name.
const OF_KERNELS: [&str; 4] = ["modules", "modules_prepare", "mrproper", "olddefconfig"];

/// Takes the commands of the pages apart.
pub struct Samples {
    /// `kmend-build`, the same as `kpatch-build`, and `kmend`.
    programs: Vec<(&'static str, Command)>,
    /// Goals of the Makefile.
    goals: BTreeSet<String>,
}

impl Samples {
    /// `makefile` is the text of the Makefile.
    pub fn new(makefile: &str) -> Self {
        let goal = |line: &str| {
            let (goal, _) = line.split_once(':')?;
            let is_name = !goal.is_empty() && goal.bytes().all(|b| b.is_ascii_lowercase() || b == b'-');
            is_name.then(|| goal.to_string())
        };
        let host = kmend_manager::cli::command();
        let programs =
            vec![("kmend-build", cli::command()), ("kpatch-build", cli::kpatch_build_command()), ("kmend", host)];
        Self { programs, goals: makefile.lines().filter_map(goal).collect() }
    }

    /// The faults of one file, each `name:line: what is wrong`. Pages only.
    pub fn check(&self, name: &str, text: &str) -> Vec<String> {
        if !name.ends_with(".md") {
            return Vec::new();
        }
        let mut faults = Vec::new();
        for (line, sample) in samples(text) {
            for command in commands(&sample.text) {
                let fault = if sample.whole { self.whole(&command) } else { self.named(&command) };
                faults.extend(fault.map(|fault| format!("{name}:{line}: `{}`: {fault}", command.join(" "))));
            }
        }
        faults
    }

    /// A command as it is typed.
    fn whole(&self, words: &[String]) -> Option<String> {
        let sketched = words.iter().any(|word| word.contains(['…', '[', '<']) || word.contains("..."));
        let program = self.programs.iter().find(|(name, _)| words[0] == *name);
        let Some((_, command)) = program.filter(|_| !sketched) else {
            return self.named(words);
        };
        let error = command.clone().try_get_matches_from(words).err()?;
        (error.use_stderr()).then(|| error.to_string().lines().next().unwrap_or_default().to_string())
    }

    /// A command as a text names it: the subcommands and the names of the options.
    fn named(&self, words: &[String]) -> Option<String> {
        let words: Vec<&str> = words.iter().map(|word| word.trim_matches(['[', ']', '…', '.', '|'])).collect();
        match words[0] {
            "make" => {
                let is_goal = |w: &&&str| !w.contains(['=', '-']) && w.bytes().all(|b| b.is_ascii_lowercase());
                let mut goals = words[1..].iter().filter(is_goal);
                let unknown = goals.find(|goal| !self.goals.contains(**goal) && !OF_KERNELS.contains(*goal))?;
                Some(format!("the Makefile has no goal `{unknown}`"))
            }
            "cargo" => {
                let chore = words.get(2).filter(|_| words.get(1) == Some(&"xtask"))?;
                let is_name = chore.bytes().all(|b| b.is_ascii_lowercase());
                (is_name && !CHORES.iter().any(|c| c.name == *chore)).then(|| format!("there is no chore `{chore}`"))
            }
            program => {
                let (_, command) = self.programs.iter().find(|(name, _)| program == *name)?;
                options(command, &words[1..])
            }
        }
    }
}

/// What is wrong with the subcommands and options in `words`, where there is something.
fn options(command: &Command, words: &[&str]) -> Option<String> {
    let mut command = command.clone();
    // Adds what clap adds by itself, `--help` among it.
    command.build();
    let mut at = &command;
    for word in words {
        let name = word.split('=').next().unwrap_or_default();
        if let Some(long) = name.strip_prefix("--").filter(|long| !long.is_empty()) {
            let of = |arg: &clap::Arg| {
                let others = arg.get_all_aliases().unwrap_or_default();
                arg.get_long() == Some(long) || others.contains(&long)
            };
            if !at.get_arguments().any(of) {
                return Some(format!("`{}` has no option --{long}", at.get_name()));
            }
        } else if let Some(short) = name.strip_prefix('-').and_then(|s| s.chars().next()) {
            if !at.get_arguments().any(|arg| arg.get_short_and_visible_aliases().unwrap_or_default().contains(&short)) {
                return Some(format!("`{}` has no option -{short}", at.get_name()));
            }
        } else if at.has_subcommands() {
            let is_name = !name.is_empty() && name.bytes().all(|b| b.is_ascii_lowercase() || b == b'-');
            match at.find_subcommand(name) {
                Some(next) => at = next,
                None if is_name => return Some(format!("`{}` has no command `{name}`", at.get_name())),
                // A placeholder: `kmend COMMAND`, or alternatives.
                None => return None,
            }
        }
    }
    None
}

/// A line of a code block, with those that it goes on in, or a code span of the prose.
struct Sample {
    text: String,
    /// It is there to be typed.
    whole: bool,
}

/// The samples of a page, each with its line.
fn samples(text: &str) -> Vec<(usize, Sample)> {
    let mut found: Vec<(usize, Sample)> = Vec::new();
    let (mut fence, mut goes_on) = (None::<bool>, false);
    for (i, line) in text.lines().enumerate() {
        if let Some(kind) = line.trim_start().strip_prefix("```") {
            let shell = ["", "console", "sh", "yaml"].contains(&kind.split(' ').next().unwrap_or_default());
            fence = if fence.is_some() { None } else { Some(shell) };
            goes_on = false;
            continue;
        }
        match fence {
            Some(false) => {}
            Some(true) => {
                let (part, more) = line.strip_suffix('\\').map_or((line, false), |part| (part, true));
                match found.last_mut().filter(|_| goes_on) {
                    Some((_, sample)) => sample.text.push_str(part),
                    None => found.push((i + 1, Sample { text: part.to_string(), whole: true })),
                }
                goes_on = more;
            }
            None => {
                let spans = line.split('`').skip(1).step_by(2);
                found.extend(spans.map(|span| (i + 1, Sample { text: span.to_string(), whole: false })));
            }
        }
    }
    found
}

/// The commands of a line that are ours, word for word.
fn commands(line: &str) -> Vec<Vec<String>> {
    const OURS: [&str; 5] = ["kmend-build", "kpatch-build", "kmend", "make", "cargo"];
    // What may stand before a command.
    const BEFORE: [&str; 8] = ["$", "#", "-", "run:", "sudo", "ExecStart=", "if", "!"];
    let mut found = Vec::new();
    for part in parts(line) {
        let is_setting = |word: &str| {
            word.split_once('=').is_some_and(|(name, _)| name.bytes().all(|b| b.is_ascii_uppercase() || b == b'_'))
        };
        let mut words: &[String] = &part;
        while let Some(first) = words.first().filter(|w| BEFORE.contains(&w.as_str()) || is_setting(w)) {
            // A root's prompt, or a comment.
            if first == "#" && words.len() > 4 && !OURS.contains(&words[1].as_str()) {
                break;
            }
            words = &words[1..];
        }
        if words.len() > 1 && words[0] == "podman" && words[1] == "run" {
            let image = words.iter().position(|word| OURS.contains(&word.as_str()));
            words = image.map_or(&[], |image| &words[image..]);
        }
        if words.len() > 1 && OURS.contains(&words[0].as_str()) {
            found.push(words.to_vec());
        }
    }
    found
}

/// A line cut where one command ends and the next one begins, each into words as a shell does it. What is redirected is left out.
fn parts(line: &str) -> Vec<Vec<String>> {
    let (mut parts, mut word, mut quote) = (vec![Vec::new()], String::new(), None);
    let mut chars = line.chars().peekable();
    let end = |word: &mut String, parts: &mut Vec<Vec<String>>| {
        if let (false, Some(part)) = (word.is_empty(), parts.last_mut()) {
            part.push(std::mem::take(word));
        }
    };
    while let Some(c) = chars.next() {
        match (quote, c) {
            (Some(q), c) if c == q => quote = None,
            (None, '\'' | '"') => quote = Some(c),
            (None, '#') if word.is_empty() && parts.last().is_some_and(|part| !part.is_empty()) => break,
            (None, '|' | ';' | '&' | '(' | ')') => {
                end(&mut word, &mut parts);
                parts.push(Vec::new());
            }
            (None, '>' | '<') if word.is_empty() || word == "2" => {
                word.clear();
                while chars.next_if(|c| *c == ' ' || *c == '>' || *c == '&').is_some() {}
                while chars.next_if(|c| !" |;&()".contains(*c)).is_some() {}
            }
            (None, ' ') => end(&mut word, &mut parts),
            (_, c) => word.push(c),
        }
    }
    end(&mut word, &mut parts);
    parts
}

#[cfg(test)]
mod tests {
    use super::*;

    fn faults(text: &str) -> Vec<String> {
        Samples::new("demo: x ## y\n\tz\ntest-all: deps\nCC = a:b\n").check("docs/page.md", text)
    }

    #[test]
    fn commands_are_found() {
        let all = |line: &str| commands(line).iter().map(|words| words.join(" ")).collect::<Vec<_>>();
        assert_eq!(all("$ kmend status; echo $?"), ["kmend status"]);
        assert_eq!(all("# kmend load --all"), ["kmend load --all"]);
        assert_eq!(all("A=1 sudo kmend-build target list | less   # kmend no"), ["kmend-build target list"]);
        assert_eq!(
            all("x=$(kmend-build stream plan s.toml 2>/dev/null >list) || exit"),
            ["kmend-build stream plan s.toml"]
        );
        assert_eq!(all("podman run --rm -v a:/b kmend-build target list"), ["kmend-build target list"]);
        assert_eq!(all("make packages PACKAGER='Name <n@e.org>'"), ["make packages PACKAGER=Name <n@e.org>"]);
        assert!(all("kmend: failed to load module x").is_empty());
        assert!(all("# HELP kmend verdict of all").is_empty());
    }

    #[test]
    fn what_is_not_taken_is_a_fault() {
        assert_eq!(faults("```\n$ kmend-build target list --bogus\n```").len(), 1);
        assert_eq!(
            faults("```\nkmend-build target \\\n    lost\n```"),
            ["docs/page.md:2: `kmend-build target lost`: error: unrecognized subcommand 'lost'"]
        );
        assert_eq!(faults("text\n`kmend bogus` and `kmend status --bogus` and `kmend-build build -Z`").len(), 3);
        assert_eq!(faults("`make tests`, `cargo xtask nope`").len(), 2);
        assert_eq!(faults("```c\nkmend-build bogus\n```\n"), Vec::<String>::new());
    }

    #[test]
    fn what_is_taken_is_none() {
        let text = "`kmend-build target add rpm:NAME --rpm FILE… [--root DIR]`, `kmend COMMAND --help`, `make demo`, `make -j2 test-all`,\n\
                    `cargo xtask tidy`, `kpatch-build -s DIR`, `kmend-build stream plan|build`\n\
                    ```\n$ kmend-build build -t debian:forky fix.patch\n$ kmend-build build … fix.patch\nkmend status --help\n```\n";
        assert_eq!(faults(text), Vec::<String>::new());
    }
}
