// SPDX-License-Identifier: GPL-2.0-or-later
//! A story: a folder of stages in, a verdict out. Each stage is a script `NN-name.sh` that runs on the host, with what it
//! has to print in `NN-name.expect`.

use crate::expect::line_matches;
use anyhow::{ensure, Context, Result};
use kmend_builder::files;
use kmend_builder::guest::protocol::{Fact, Kind};
use std::path::Path;

/// One stage.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stage {
    /// The script's name without `.sh`.
    pub name: String,
    /// The script.
    pub script: String,
    /// Words for the kernel's command line, which the script names behind `# boot:`. Where they are not those of the stage
    /// before, the host is switched off and started with them.
    pub boot: String,
    /// The only architecture that it is for (`# arch:`).
    pub arch: Option<String>,
    /// What its output has to hold.
    pub expect: Vec<Expected>,
    /// Lines of the kernel's log that would be trouble elsewhere (`# kernel:`), as regular expressions.
    pub allow_log: Vec<String>,
}

/// A line of an `.expect` file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Expected {
    /// The output has such a line, behind the one that was expected before: the text, or behind a `~` an expression.
    Line(String),
    /// No line of the stage's output is such a line (`! …`).
    Not(String),
}

impl Stage {
    fn read(script: &str, expect: &str, name: &str) -> Self {
        let directives = |key: &str| -> Vec<String> {
            let lines = script.lines().filter_map(|l| l.strip_prefix("# ")?.strip_prefix(key));
            lines.map(|l| l.trim().to_string()).collect()
        };
        let expected = |line: &str| match line.strip_prefix("! ") {
            Some(not) => Expected::Not(not.into()),
            None => Expected::Line(line.into()),
        };
        Self {
            name: name.into(),
            script: script.into(),
            boot: directives("boot:").join(" "),
            arch: directives("arch:").into_iter().next(),
            expect: expect.lines().filter(|l| !l.is_empty() && !l.starts_with("# ")).map(expected).collect(),
            allow_log: directives("kernel:"),
        }
    }

    /// The name, and what the line below the license says of it.
    pub fn title(&self) -> String {
        let about = self.script.lines().nth(1).and_then(|l| l.strip_prefix("# ")).unwrap_or_default();
        format!("{:<16} {about}", self.name)
    }

    /// What is wrong with what the host told in this stage; nothing where all is well.
    pub fn judge(&self, facts: &[Fact]) -> Vec<String> {
        let of_stage = |f: &&Fact| f.scenario == self.name;
        let said: Vec<&str> =
            facts.iter().filter(of_stage).filter(|f| f.kind == Kind::Out).map(|f| f.text.as_str()).collect();
        let mut wrong = Vec::new();
        if !facts.iter().filter(of_stage).any(|f| f.kind == Kind::Begin) {
            return vec!["it never began".into()];
        }
        let mut from = 0;
        for expected in &self.expect {
            match expected {
                Expected::Line(line) => match said[from..].iter().position(|s| line_matches(line, s)) {
                    Some(at) => from += at + 1,
                    None => {
                        wrong.push(format!("expected, and not there (behind line {from} of the output): {line}"));
                        break;
                    }
                },
                Expected::Not(line) => {
                    let bad = said.iter().filter(|s| line_matches(line, s));
                    wrong.extend(bad.map(|s| format!("must not be there: {s}")));
                }
            }
        }
        if !wrong.is_empty() {
            wrong.push("it told:".into());
            wrong.extend(said.iter().map(|s| format!("    {s}")));
        }
        wrong
    }
}

/// The stages in a folder, in the order of their names. `words` are written in the place of `@NAME@`.
pub fn load(folder: &Path, words: &[(&str, String)]) -> Result<Vec<Stage>> {
    let filled = |path: &Path| -> Result<String> {
        let mut text = files::read_text(path)?;
        for (name, word) in words {
            text = text.replace(&format!("@{name}@"), word);
        }
        Ok(text)
    };
    let entries = std::fs::read_dir(folder).with_context(|| format!("cannot read folder {}", folder.display()))?;
    let mut scripts: Vec<_> = entries.filter_map(|e| Some(e.ok()?.path())).collect();
    scripts.retain(|p| p.extension().is_some_and(|e| e == "sh"));
    scripts.sort();
    ensure!(!scripts.is_empty(), "{} has no stages", folder.display());
    let stage = |script: &std::path::PathBuf| {
        let name = script.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let expect = filled(&script.with_extension("expect"))?;
        let stage = Stage::read(&filled(script)?, &expect, &name);
        let lines = stage.expect.iter().filter(|e| matches!(e, Expected::Line(_))).count();
        ensure!(lines > 0, "{} expects nothing of its stage", script.with_extension("expect").display());
        Ok(stage)
    };
    scripts.iter().map(stage).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fact(kind: Kind, text: &str) -> Fact {
        Fact { kind, scenario: "01-x".into(), step: 0, text: text.into() }
    }

    #[test]
    fn lines_are_expected_in_order() {
        let script = "#!/bin/sh\n# boot: a=1\n# boot: b=2\n# kernel: Kernel panic\ntrue\n";
        let stage = Stage::read(script, "# a remark\none\n\n~two .* three\n! ~bad.*\n", "01-x");
        assert_eq!((stage.boot.as_str(), stage.allow_log.len(), stage.expect.len()), ("a=1 b=2", 1, 3));
        let told = |lines: &[&str]| {
            let mut facts = vec![fact(Kind::Begin, "")];
            facts.extend(lines.iter().map(|l| fact(Kind::Out, l)));
            stage.judge(&facts).into_iter().next().unwrap_or_default()
        };
        assert_eq!(told(&["zero", "one", "else", "two and three"]), "");
        assert!(told(&["two and three", "one"]).contains("two .* three"));
        assert!(told(&["one", "bad luck", "two and three"]).contains("must not be there: bad luck"));
        assert_eq!(stage.judge(&[]), ["it never began"]);
    }
}
