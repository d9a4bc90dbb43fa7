// SPDX-License-Identifier: GPL-2.0-or-later
//! Guests that need not be booted again: what a guest is made of in, what the same guest told when all was well out.
//!
//! Modules are reproducible, so most guests of a run are made of the same bytes as in the run before: the kernel, the
//! initramfs, the disks, the emulator and its arguments. Such a guest would do the same again. What it told is kept and
//! judged anew, so that a scenario that expects something else is booted.

use anyhow::{Context, Result};
use kmend_builder::files;
use kmend_builder::guest::machine::Machine;
use kmend_builder::guest::protocol::Fact;
use kmend_builder::guest::{self, Accel};
use serde::{Deserialize, Serialize};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

/// The folder of the cache that holds them, an entry a file: the SHA-256 of the rest in the first line, then JSON.
const FOLDER: &str = "passes";

/// The most that an entry is read of, in bytes: a console of a whole host is some 200 KB.
const MOST: u64 = 16 << 20;

/// What a guest told.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pass {
    /// The facts, in order.
    pub facts: Vec<Fact>,
    /// What its kernel wrote to the console.
    pub console: String,
}

/// All that a guest is made of, as sums.
#[derive(Clone, Debug)]
pub struct Recipe {
    parts: Vec<String>,
}

impl Recipe {
    /// Begins with a kernel and with the emulator that boots it.
    ///
    /// # Errors
    /// The kernel cannot be read, or there is no emulator.
    pub fn new(kernel: &Path, machine: &Machine, accel: Accel) -> Result<Self> {
        let emulator = machine.emulator()?;
        let mut recipe = Self { parts: vec![files::sha256(&files::read(kernel)?)] };
        recipe.parts.push(files::sha256(&files::read(&emulator)?));
        recipe.parts.extend(guest::arguments(machine, accel).map(String::from));
        recipe.parts.push(machine.append.into());
        if accel == Accel::Kvm {
            recipe.parts.push(processor(&files::read_text(Path::new("/proc/cpuinfo"))?));
            recipe.parts.push(files::read_text(Path::new("/proc/sys/kernel/osrelease"))?);
        }
        Ok(recipe)
    }

    /// The same with `bytes` that the guest gets as its `what`.
    pub fn with(mut self, what: &str, bytes: &[u8]) -> Self {
        self.parts.push(format!("{what} {}", files::sha256(bytes)));
        self
    }

    /// The same with all that is in the folder `tree`, which becomes its `what`: names, modes, contents; no times.
    ///
    /// # Errors
    /// Something in the folder cannot be read.
    pub fn with_tree(self, what: &str, tree: &Path) -> Result<Self> {
        let mut list = String::new();
        add_tree(tree, tree, &mut list)?;
        Ok(self.with(what, list.as_bytes()))
    }

    fn place(&self) -> Result<PathBuf> {
        let parts: Vec<&str> = self.parts.iter().map(String::as_str).collect();
        Ok(files::cache_dir()?.join(FOLDER).join(files::key(&parts)))
    }

    /// What the same guest told when all was well; None where there was none, and where what was kept is broken.
    ///
    /// # Errors
    /// There is no cache folder.
    pub fn passed(&self) -> Result<Option<Pass>> {
        let bytes = files::read_at_most(&self.place()?, MOST).unwrap_or_default();
        Ok(unpacked(&bytes))
    }

    /// Keeps what a guest told in which all was well.
    ///
    /// # Errors
    /// There is no cache folder. That it takes nothing is no error.
    pub fn keep(&self, pass: &Pass) -> Result<()> {
        let text = serde_json::to_string(pass).context("cannot write down what a guest told")?;
        files::keep(&self.place()?, format!("{}\n{text}", files::sha256(text.as_bytes())).as_bytes());
        Ok(())
    }
}

fn unpacked(bytes: &[u8]) -> Option<Pass> {
    let (sum, text) = std::str::from_utf8(bytes).ok()?.split_once('\n')?;
    if sum != files::sha256(text.as_bytes()) {
        return None;
    }
    serde_json::from_str(text).ok()
}

/// What a guest sees of this machine's processor where that runs it: of `cpuinfo`, the first processor's lines that stay the
/// same while it runs.
fn processor(cpuinfo: &str) -> String {
    let first = cpuinfo.split("\n\n").next().unwrap_or_default();
    let moves = |line: &&str| ["cpu MHz", "bogomips", "clock"].iter().any(|word| line.starts_with(word));
    first.lines().filter(|line| !moves(line)).map(|line| format!("{line}\n")).collect()
}

/// A line for each thing below `folder`: its mode, its path below `top`, and the sum of its bytes or where it leads to.
fn add_tree(top: &Path, folder: &Path, list: &mut String) -> Result<()> {
    let cannot = |path: &Path| format!("cannot read {}", path.display());
    let entries = fs::read_dir(folder).with_context(|| cannot(folder))?;
    let mut paths: Vec<PathBuf> =
        entries.map(|e| Ok(e?.path())).collect::<std::io::Result<_>>().with_context(|| cannot(folder))?;
    paths.sort();
    for path in paths {
        let about = fs::symlink_metadata(&path).with_context(|| cannot(&path))?;
        let what = match about.file_type() {
            kind if kind.is_file() => files::sha256(&files::read(&path)?),
            kind if kind.is_symlink() => fs::read_link(&path).with_context(|| cannot(&path))?.display().to_string(),
            _ => String::new(),
        };
        let below = path.strip_prefix(top).unwrap_or(&path);
        *list += &format!("{:o} {:?} {what}\n", about.permissions().mode(), below.as_os_str());
        if about.is_dir() {
            add_tree(top, &path, list)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use kmend_builder::guest::protocol::Kind;

    #[test]
    fn a_broken_entry_is_none() {
        let fact = Fact { kind: Kind::Out, scenario: "n".into(), step: 3, text: "a\tb".into() };
        let pass = Pass { facts: vec![fact], console: "[1] fine\n".into() };
        let text = serde_json::to_string(&pass).expect("writes");
        let entry = format!("{}\n{text}", files::sha256(text.as_bytes())).into_bytes();
        assert_eq!(unpacked(&entry).as_ref(), Some(&pass));
        for at in [0, entry.len() / 2, entry.len() - 1] {
            let mut spoilt = entry.clone();
            spoilt[at] ^= 1;
            assert_eq!(unpacked(&spoilt), None, "{at}");
        }
        assert_eq!(unpacked(&entry[..entry.len() - 1]), None);
        assert_eq!(unpacked(b""), None);
    }

    #[test]
    fn a_processor_is_the_same_at_another_speed() {
        let info = |mhz: &str, flags: &str| {
            format!("processor\t: 0\nmodel name\t: x\ncpu MHz\t\t: {mhz}\nflags\t\t: {flags}\n\nprocessor\t: 1\n")
        };
        assert_eq!(processor(&info("1", "a")), processor(&info("2", "a")));
        assert_ne!(processor(&info("1", "a")), processor(&info("1", "a b")));
    }

    #[test]
    fn whatever_a_guest_is_made_of_counts() {
        let dir = tempfile::tempdir().expect("tempdir");
        let key = |recipe: &Recipe| recipe.place().expect("a place");
        let none = Recipe { parts: Vec::new() };
        let tree = || none.clone().with_tree("disk", dir.path()).expect("reads");
        let put = |name: &str, text: &str| std::fs::write(dir.path().join(name), text).expect("write");
        put("a", "1");
        let first = key(&tree());
        assert_eq!(key(&tree()), first);
        let mut seen = vec![first];
        put("a", "2");
        seen.push(key(&tree()));
        put("b", "");
        seen.push(key(&tree()));
        fs::set_permissions(dir.path().join("b"), fs::Permissions::from_mode(0o755)).expect("mode");
        seen.push(key(&tree()));
        std::os::unix::fs::symlink("a", dir.path().join("c")).expect("link");
        seen.push(key(&tree()));
        seen.push(key(&tree().with("initramfs", b"x")));
        seen.push(key(&tree().with("initramfs", b"y")));
        seen.push(key(&tree().with("boots", b"x")));
        let count = seen.len();
        seen.sort();
        seen.dedup();
        assert_eq!(seen.len(), count);
    }
}
