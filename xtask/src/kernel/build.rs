// SPDX-License-Identifier: GPL-2.0-or-later
//! Configures and builds a test kernel with its own compilers: a mended tree and a config fragment in, vmlinux and
//! modules out.

use anyhow::{ensure, Context, Result};
use kmend_builder::sandbox::{self, Limits, Sandbox};
use kmend_builder::target::config::Config;
use kmend_builder::target::prepare;
use kmend_builder::target::record::{Banner, Compilers};
use kmend_builder::{files, progress};
use std::fs::File;
use std::io::{BufRead, BufReader, IsTerminal, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// What kbuild is asked for.
pub const TARGETS: &[&str] = &["vmlinux", "modules"];

/// Where the config fragment is inside the sandbox.
const FRAGMENT: &str = sandbox::WORK;

/// Who built it, for the banner: the same on every machine.
const BUILDER: &str = "kmend@kmend";

/// How often a log that is no terminal gets a line.
const EVERY: Duration = Duration::from_secs(60);

/// `make` in the tree of a test kernel.
pub struct Make {
    sandbox: Sandbox,
    vars: Vec<String>,
}

impl Make {
    /// For the kernel in `tree`, seen under its own path, with the `compilers` of `root`.
    pub fn new(compilers: &Compilers, kbuild_arch: &str, root: &Path, tree: &Path) -> Result<Self> {
        let mut config = format!("CONFIG_CC_IS_GCC=y\nCONFIG_CC_VERSION_TEXT=\"{}\"\n", compilers.cc);
        if let Some(rustc) = &compilers.rustc {
            config += &format!("CONFIG_RUST=y\nCONFIG_RUSTC_VERSION_TEXT=\"{rustc}\"\n");
        }
        let config = Config::parse(&config);
        let banner = Banner {
            release: String::new(),
            builder: BUILDER.into(),
            compilers: String::new(),
            version: String::new(),
        };
        let made = prepare::Make::new(&config, &banner, kbuild_arch, root)?;
        // kbuild itself names the release.
        let vars = made.vars.into_iter().filter(|v| !v.starts_with("KERNELRELEASE=")).collect();
        let inside = tree.to_str().with_context(|| format!("{}: the path is not UTF-8", tree.display()))?;
        let sandbox = Sandbox::new(root).writable(tree, inside).cwd(inside).limits(Limits::none());
        let sandbox = made.env.iter().fold(sandbox, |s, (name, value)| s.env(name, value));
        Ok(Self { sandbox, vars })
    }

    fn command(&self, sandbox: &Sandbox, args: &[&str]) -> Result<Command> {
        let args: Vec<&str> = self.vars.iter().map(String::as_str).chain(args.iter().copied()).collect();
        sandbox.command("make", &args)
    }
}

/// Makes the .config of the tree in `place` from `fragment`: all else is off. Nothing is touched where it is that already.
pub fn configure(make: &Make, fragment: &str, place: &Path) -> Result<()> {
    let step = progress::step("configuring");
    let (file, dot_config) = (place.join("config"), place.join(super::TREE).join(".config"));
    files::write(&file, fragment.as_bytes())?;
    // What is configured already stays: kbuild takes a newer .config for a reason to look at everything again.
    let is_there = files::read_text(&dot_config).is_ok_and(|have| unlike(fragment, &have).is_empty());
    if !is_there {
        let folder = tempfile::tempdir().context("cannot make a temporary folder")?;
        files::write(&folder.path().join("config"), fragment.as_bytes())?;
        let sandbox = make.sandbox.clone().read_only(folder.path(), FRAGMENT);
        let all = format!("KCONFIG_ALLCONFIG={FRAGMENT}/config");
        sandbox::run(&mut make.command(&sandbox, &[&all, "allnoconfig"])?, "make allnoconfig")?;
    }
    let unlike = unlike(fragment, &files::read_text(&dot_config)?);
    if !unlike.is_empty() {
        // Or the next run would take it for done.
        let _ = std::fs::remove_file(&dot_config);
    }
    ensure!(
        unlike.is_empty(),
        "not all of the config came out as it was asked for (something that it depends on is off, or it is no longer \
         there); mend the config:\n{}",
        unlike.iter().map(|l| format!("    {l}\n")).collect::<String>()
    );
    step.done("");
    Ok(())
}

/// What `config` has other than `fragment` asks for, a line each.
fn unlike(fragment: &str, config: &str) -> Vec<String> {
    let (asked, have) = (Config::parse(fragment), Config::parse(config));
    let names = fragment.lines().filter_map(|l| {
        let off = l.strip_prefix("# ").and_then(|l| l.strip_suffix(" is not set"));
        off.or_else(|| l.split_once('=').map(|(name, _)| name)).filter(|name| name.starts_with("CONFIG_"))
    });
    let value = |c: &Config, name: &str| c.get(name).unwrap_or("n").to_string();
    names
        .filter(|name| value(&asked, name) != value(&have, name))
        .map(|name| format!("{name}={} was asked for, {} came out", value(&asked, name), value(&have, name)))
        .collect()
}

/// Builds kernel and modules in `place`; what is there already is not built again. All that make says goes into a log.
pub fn build(make: &Make, place: &Path) -> Result<()> {
    let step = progress::step("building the kernel and its modules");
    let log = place.join("build.log");
    let mut file = File::create(&log).with_context(|| format!("cannot write {}", log.display()))?;
    let errors = file.try_clone().with_context(|| log.display().to_string())?;
    let jobs = format!("-j{}", std::thread::available_parallelism().map_or(2, |n| n.get()));
    let args: Vec<&str> = [jobs.as_str()].into_iter().chain(TARGETS.iter().copied()).collect();
    let mut child = make
        .command(&make.sandbox, &args)?
        .stdout(Stdio::piped())
        .stderr(errors)
        .spawn()
        .context("cannot start bwrap: is it installed? (`make deps` installs what kmend needs)")?;
    let mut count = 0;
    let mut told = Instant::now();
    for line in child.stdout.take().into_iter().flat_map(|out| BufReader::new(out).split(b'\n')) {
        let line = line.context("make's output")?;
        file.write_all(&[line.as_slice(), b"\n"].concat()).with_context(|| log.display().to_string())?;
        let line = String::from_utf8_lossy(&line);
        if let Some(object) = object_of(&line) {
            count += 1;
            step.detail(&format!("{object} ({count} objects)"));
        }
        if !std::io::stderr().is_terminal() && told.elapsed() > EVERY {
            told = Instant::now();
            eprintln!("  {count} objects so far");
        }
    }
    let status = child.wait().context("make")?;
    if !status.success() {
        let said = String::from_utf8_lossy(&files::read(&log)?).into_owned();
        let hint = if said.contains("No space left") { "the disk is full; " } else { "" };
        let tail: Vec<&str> = said.lines().rev().filter(|l| is_fault(l)).take(20).collect();
        let tail: String = tail.iter().rev().map(|l| format!("    {l}\n")).collect();
        anyhow::bail!("{hint}make ended with {status}; its whole output is in {}:\n{tail}", log.display());
    }
    step.done(&format!("{count} objects"));
    Ok(())
}

/// The object that a line of kbuild's is about: `  CC [M]  drivers/net/dummy.o`.
fn object_of(line: &str) -> Option<&str> {
    let mut words = line.strip_prefix("  ")?.split_whitespace();
    let first = words.next().filter(|w| ["CC", "AS", "LD", "RUSTC", "HOSTCC"].contains(w));
    first.and(words.last()).filter(|object| object.contains('.'))
}

fn is_fault(line: &str) -> bool {
    ["error", "Error", "No space left", "***"].iter().any(|word| line.contains(word))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_did_not_come_out_is_named() {
        let fragment =
            "# a comment\nCONFIG_A=y\nCONFIG_B=m\n# CONFIG_C is not set\nCONFIG_D=y\n# CONFIG_E is not set\n";
        let config = "CONFIG_A=y\nCONFIG_B=y\nCONFIG_C=y\nCONFIG_F=y\n";
        assert_eq!(
            unlike(fragment, config),
            [
                "CONFIG_B=m was asked for, y came out",
                "CONFIG_C=n was asked for, y came out",
                "CONFIG_D=y was asked for, n came out"
            ]
        );
        assert!(unlike(fragment, "CONFIG_A=y\nCONFIG_B=m\nCONFIG_D=y\n# CONFIG_C is not set\n").is_empty());
    }

    #[test]
    fn lines_of_kbuild() {
        assert_eq!(object_of("  CC      fs/proc/cmdline.o"), Some("fs/proc/cmdline.o"));
        assert_eq!(object_of("  CC [M]  drivers/net/dummy.o"), Some("drivers/net/dummy.o"));
        assert_eq!(object_of("  RUSTC L rust/kernel.o"), Some("rust/kernel.o"));
        for other in ["  GEN     modules.builtin", "warning: x.o", "", "  CC", "  UPD     include/x.h"] {
            assert_eq!(object_of(other), None, "{other}");
        }
    }
}
