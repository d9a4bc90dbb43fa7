// SPDX-License-Identifier: GPL-2.0-or-later
//! What a scenario declares: a folder with a `scenario.toml` in, a checked [`Scenario`] out.

use crate::series::Series;
use anyhow::{bail, ensure, Context, Result};
use kmend_builder::files;
use kmend_builder::guest::machine::Machine;
use regex::Regex;
use serde::Deserialize;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// One scenario: what is built, and what is done and seen in the guest.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Scenario {
    /// The folder's name.
    #[serde(skip)]
    pub name: String,
    /// The folder.
    #[serde(skip)]
    pub dir: PathBuf,
    /// What it proves, in one line.
    pub title: String,
    /// The target it wants; None for the one that the command line names.
    pub target: Option<String>,
    /// Set where it makes sense on some kernels only.
    pub only: Option<Only>,
    /// The live patches to build.
    #[serde(default, rename = "build")]
    pub builds: Vec<Build>,
    /// Regular expressions for lines of the kernel's log that this scenario provokes.
    #[serde(default)]
    pub allow_log: Vec<String>,
    /// What the guest does, in order. None at all where every build is refused.
    #[serde(default, rename = "step")]
    pub steps: Vec<Step>,
}

/// The kernels that a scenario is for.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Only {
    /// Their architectures (`uname -m`); all where there is none.
    #[serde(default)]
    pub arch: Vec<String>,
    /// The first of their series: `6.12`.
    pub since: Option<Series>,
    /// Their series; all where there is none.
    #[serde(default)]
    pub series: Vec<Series>,
    /// Why not the others.
    pub why: String,
}

/// One run of `kmend-build build`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Build {
    /// The module's name, handed over as `-n`.
    pub name: String,
    /// Patch files: in the scenario's folder, or cut for it under this name (see `cut`).
    pub fixes: Vec<String>,
    /// Further arguments.
    #[serde(default)]
    pub args: Vec<String>,
    /// A hooks file in the scenario's folder.
    pub hooks: Option<String>,
    /// Set where the build has to be refused.
    pub refused: Option<Refused>,
}

/// How a build has to be turned down.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Refused {
    /// The exit code.
    pub exit: i32,
    /// Regular expressions that the message has to match, each somewhere.
    pub says: Vec<String>,
}

/// One thing that the guest does.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum Step {
    /// Loads a module that the target ships, with what it depends on.
    Modprobe(Modprobe),
    /// Removes a shipped module.
    Rmmod(String),
    /// Runs the probe and compares what it prints.
    Observe(Observe),
    /// Loads a live patch and waits until it is in force everywhere.
    Load(Load),
    /// Tries to load a live patch, which has to fail and to leave nothing behind.
    LoadRefused(LoadRefused),
    /// Disables a live patch and waits until no task runs it any more.
    Disable(String),
    /// Waits until a live patch is gone because another replaced it.
    Replaced(String),
    /// Removes a live patch's module.
    Unload(String),
}

/// A module that the target ships.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Modprobe {
    /// Its name.
    pub module: String,
    /// Module parameters.
    #[serde(default)]
    pub args: Vec<String>,
}

/// A look at the guest's behaviour.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Observe {
    /// The name of this look; the probe gets it as its first argument.
    #[serde(rename = "as")]
    pub phase: String,
    /// The lines that the probe has to print, all of them; `~` begins a regular expression for a whole line.
    pub expect: Option<Vec<String>>,
    /// The name of an earlier look that this one has to be like.
    pub same_as: Option<String>,
}

/// A live patch that is loaded.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Load {
    /// The name of the build.
    pub module: String,
    /// What /sys/kernel/livepatch has to list for it, each `object/function,sympos`; `~` begins a regular expression.
    pub lists: Vec<String>,
}

/// A live patch that the kernel has to refuse.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LoadRefused {
    /// The name of the build.
    pub module: String,
    /// Lines that insmod or the kernel's log has to say; `~` begins a regular expression for a whole line.
    pub says: Vec<String>,
}

impl Scenario {
    /// Why it is not for the kernel `release` of `arch` (both as `uname` has them), where it is not.
    pub fn not_for(&self, arch: &str, release: &str) -> Option<String> {
        let only = self.only.as_ref()?;
        let series = Series::of(release);
        let arch_fits = only.arch.is_empty() || only.arch.iter().any(|a| a == arch);
        let fits = |s: Series| {
            only.since.is_none_or(|since| since <= s) && (only.series.is_empty() || only.series.contains(&s))
        };
        let whom = match series {
            _ if !arch_fits => arch.to_string(),
            Some(series) if fits(series) => return None,
            Some(series) => series.to_string(),
            None => release.to_string(),
        };
        Some(format!("not for {whom}: {}", only.why))
    }

    /// What of it can be seen before its first live patch: nothing is built. None where that is nothing.
    pub fn before(&self) -> Option<Scenario> {
        let first = self
            .steps
            .iter()
            .position(|s| matches!(s, Step::Load(_) | Step::LoadRefused(_)))
            .unwrap_or(self.steps.len());
        let mut steps = self.steps[..first].to_vec();
        let mut shipped: Vec<String> = Vec::new();
        for step in &steps {
            match step {
                Step::Modprobe(m) => shipped.push(m.module.clone()),
                Step::Rmmod(name) => shipped.retain(|m| m != name),
                _ => {}
            }
        }
        steps.extend(shipped.into_iter().rev().map(Step::Rmmod));
        (!steps.is_empty()).then(|| Scenario { builds: Vec::new(), steps, ..self.clone() })
    }
}

/// Reads the scenarios in the subfolders of `folder`, in the order of their names.
pub fn load_all(folder: &Path) -> Result<Vec<Scenario>> {
    let mut dirs: Vec<PathBuf> = std::fs::read_dir(folder)
        .with_context(|| format!("cannot list {}", folder.display()))?
        .map(|entry| entry.map(|e| e.path()))
        .collect::<Result<_, _>>()
        .with_context(|| format!("cannot list {}", folder.display()))?;
    dirs.retain(|d| d.is_dir());
    dirs.sort();
    dirs.iter().map(|d| load(d)).collect()
}

/// Reads the scenario in the folder `dir`.
pub fn load(dir: &Path) -> Result<Scenario> {
    let file = dir.join("scenario.toml");
    let text = files::read_text(&file)?;
    let name = dir.file_name().unwrap_or_default().to_string_lossy().into_owned();
    parse(&text, &name, dir).with_context(|| format!("{}: not a scenario", file.display()))
}

fn parse(text: &str, name: &str, dir: &Path) -> Result<Scenario> {
    let mut scenario: Scenario = toml::from_str(text)?;
    scenario.name = name.into();
    scenario.dir = dir.into();
    check(&scenario)?;
    Ok(scenario)
}

/// What a scenario must keep so that its verdict means something.
fn check(s: &Scenario) -> Result<()> {
    let word = |t: &str| !t.is_empty() && t.bytes().all(|b| b.is_ascii_alphanumeric() || b"_-.".contains(&b));
    ensure!(
        word(&s.name),
        "the folder's name `{}` has other characters than letters, digits, `-`, `_` and `.`",
        s.name
    );
    ensure!(!s.builds.is_empty(), "no [[build]]: there is nothing to prove");
    if let Some(only) = &s.only {
        let limits = !only.arch.is_empty() || only.since.is_some() || !only.series.is_empty();
        ensure!(limits && !only.why.trim().is_empty(), "`only` wants an `arch`, a `series` or a `since`, and a `why`");
        for arch in &only.arch {
            Machine::of(arch).context("only.arch")?;
        }
    }
    let built: BTreeSet<&str> = s.builds.iter().filter(|b| b.refused.is_none()).map(|b| b.name.as_str()).collect();
    let mut loaded: Vec<&str> = Vec::new();
    let mut seen: BTreeSet<&str> = BTreeSet::new();
    for (i, step) in s.steps.iter().enumerate() {
        let at = i + 1;
        match step {
            Step::Modprobe(m) => ensure!(word(&m.module), "step {at}: `{}` is no module name", m.module),
            Step::Rmmod(m) => ensure!(word(m), "step {at}: `{m}` is no module name"),
            Step::Observe(o) => {
                ensure!(word(&o.phase), "step {at}: `{}` cannot name a look", o.phase);
                ensure!(
                    o.expect.is_some() || o.same_as.is_some(),
                    "step {at}: observe without expect and same_as proves nothing"
                );
                if let Some(earlier) = &o.same_as {
                    ensure!(seen.contains(earlier.as_str()), "step {at}: no earlier look is named `{earlier}`");
                }
                seen.insert(&o.phase);
            }
            Step::Load(l) => {
                ensure!(built.contains(l.module.as_str()), "step {at}: no [[build]] makes `{}`", l.module);
                ensure!(!l.lists.is_empty(), "step {at}: load without lists proves nothing");
                loaded.push(&l.module);
            }
            Step::LoadRefused(l) => {
                ensure!(built.contains(l.module.as_str()), "step {at}: no [[build]] makes `{}`", l.module);
                ensure!(!l.says.is_empty(), "step {at}: load-refused without says proves nothing");
            }
            Step::Disable(m) | Step::Replaced(m) => {
                ensure!(loaded.contains(&m.as_str()), "step {at}: `{m}` is not loaded here")
            }
            Step::Unload(m) => {
                let Some(at) = loaded.iter().position(|l| l == m) else { bail!("step {at}: `{m}` is not loaded here") };
                loaded.remove(at);
            }
        }
    }
    ensure!(loaded.is_empty(), "`{}` is never unloaded: scenarios share a guest", loaded.join("`, `"));
    for name in &built {
        let used = s.steps.iter().any(|step| match step {
            Step::Load(l) => l.module == *name,
            Step::LoadRefused(l) => l.module == *name,
            _ => false,
        });
        ensure!(used, "`{name}` is built and never loaded");
    }
    let patterns = s.allow_log.iter().chain(s.builds.iter().filter_map(|b| b.refused.as_ref()).flat_map(|r| &r.says));
    for pattern in patterns {
        Regex::new(pattern).with_context(|| format!("`{pattern}` is no regular expression"))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = r#"
        title = "t"
        [[build]]
        name = "kmend_a"
        fixes = ["a.patch"]
        [[step]]
        observe = { as = "before", expect = ["x"] }
        [[step]]
        load = { module = "kmend_a", lists = ["vmlinux/f,1"] }
        [[step]]
        disable = "kmend_a"
        [[step]]
        observe = { as = "reverted", same_as = "before" }
        [[step]]
        unload = "kmend_a"
    "#;

    #[test]
    fn a_whole_scenario_is_read() {
        let s = parse(GOOD, "a", Path::new("/s/a")).expect("reads");
        assert_eq!(s.steps.len(), 5);
        assert_eq!(s.builds[0].fixes, ["a.patch"]);
        assert!(matches!(&s.steps[1], Step::Load(l) if l.lists == ["vmlinux/f,1"]));
    }

    #[test]
    fn architectures_are_left_out_by_name() {
        let text = GOOD.replace("title", "only = { arch = [\"x86_64\"], why = \"a file of x86\" }\ntitle");
        let s = parse(&text, "a", Path::new("/s/a")).expect("reads");
        assert_eq!(s.not_for("x86_64", "7.2"), None);
        assert_eq!(s.not_for("ppc64le", "7.2").as_deref(), Some("not for ppc64le: a file of x86"));
        let text = GOOD.replace("title", "only = { since = \"6.12\", why = \"a bug\" }\ntitle");
        let one =
            parse(&text.replace("since = \"6.12\"", "series = [\"6.12\"]"), "a", Path::new("/s/a")).expect("reads");
        assert_eq!(one.not_for("x86_64", "6.12.1"), None);
        assert_eq!(one.not_for("x86_64", "7.2.1").as_deref(), Some("not for 7.2: a bug"));
        let since = parse(&text, "a", Path::new("/s/a")).expect("reads");
        assert_eq!(since.not_for("ppc64le", "6.1.0-50-amd64").as_deref(), Some("not for 6.1: a bug"));
        assert_eq!([since.not_for("x86_64", "6.12.1"), since.not_for("x86_64", "7.3.0-rc7")], [None, None]);
        assert_eq!(parse(GOOD, "a", Path::new("/s/a")).expect("reads").not_for("ppc64le", "7.2"), None);
    }

    #[test]
    fn what_is_seen_before_the_first_live_patch() {
        let shipped = "[[step]]\nmodprobe.module = \"zram\"\n";
        let text = GOOD.replacen("[[step]]", &format!("{shipped}[[step]]"), 1);
        let before = parse(&text, "a", Path::new("/s/a")).expect("reads").before().expect("something");
        assert!(before.builds.is_empty());
        assert!(matches!(&before.steps[..], [Step::Modprobe(_), Step::Observe(_), Step::Rmmod(m)] if m == "zram"));
        let none = GOOD.replace("observe = { as = \"before\", expect = [\"x\"] }", "modprobe.module = \"b\"");
        let none = none.replace("same_as = \"before\"", "expect = [\"x\"]");
        let before = parse(&none, "a", Path::new("/s/a")).expect("reads").before().expect("something");
        assert!(matches!(&before.steps[..], [Step::Modprobe(_), Step::Rmmod(_)]));
        let mut refused = parse(GOOD, "a", Path::new("/s/a")).expect("reads");
        refused.steps.clear();
        assert!(refused.before().is_none());
    }

    #[test]
    fn what_proves_nothing_is_turned_down() {
        let without = |line: &str| GOOD.replace(line, "");
        for (text, word) in [
            (without("unload = \"kmend_a\""), "step"),
            (GOOD.replace("same_as = \"before\"", "same_as = \"once\""), "no earlier look"),
            (GOOD.replace(", expect = [\"x\"]", ""), "proves nothing"),
            (GOOD.replace("module = \"kmend_a\"", "module = \"kmend_b\""), "no [[build]] makes"),
            (GOOD.replace("title", "titel"), "unknown field"),
            (
                format!("{GOOD}[[step]]\nload-refused = {{ module = \"kmend_a\", says = [] }}\n"),
                "without says proves nothing",
            ),
            (GOOD.replace("title", "only = { arch = [], why = \"w\" }\ntitle"), "wants an `arch`"),
            (GOOD.replace("title", "only = { arch = [\"m68k\"], why = \"w\" }\ntitle"), "guests of m68k"),
        ] {
            let message = format!("{:#}", parse(&text, "a", Path::new("/s/a")).expect_err(word));
            assert!(message.contains(word), "{message}");
        }
    }
}
