// SPDX-License-Identifier: GPL-2.0-or-later
//! The stream that goes through each engine, and what it has to come to.

use anyhow::{ensure, Context, Result};
use kmend_builder::{files, sandbox};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Two of Debian and one that is cross-compiled.
const TARGETS: [&str; 3] = ["debian:forky", "debian:bookworm", "tree:ppc64le"];

/// A fix that each of them takes.
const FIX: &str = "qemu-tests/hosts/cumulative/stream/one.patch";

/// The day of the index: both repositories get the same.
const NOW: (&str, &str) = ("SOURCE_DATE_EPOCH", "1790000000");

/// The folder of a stream, its results and its repository.
pub struct Bench {
    /// The stream's folder, which all workers see.
    pub dir: PathBuf,
    /// The kernels, by the whole names of their targets.
    pub kernels: Vec<String>,
}

impl Bench {
    /// Writes the stream into `dir`.
    pub fn new(dir: &Path) -> Result<Self> {
        files::make_dir(dir)?;
        files::write_quickly(&dir.join("one.patch"), &files::read(&crate::home()?.join(FIX))?)?;
        let kernels: Vec<String> = TARGETS
            .iter()
            .map(|name| Ok(kmend_builder::target::store::load(name)?.name))
            .collect::<Result<_>>()
            .context("`make target kernel` prepares the kernels")?;
        let tables: String = kernels.iter().map(|name| format!("[[kernel]]\ntarget = \"{name}\"\n\n")).collect();
        let text = format!(
            "name = \"farm\"\npackager = \"kmend's tests <tests@kmend.invalid>\"\nurl = \"https://kmend.invalid/farm\"\n\
             packages = \"deb\"\n\n{tables}[[version]]\nversion = \"1-1\"\ndate = \"2026-10-01\"\n\n\
             [[version.fix]]\npatch = \"one.patch\"\ncves = [\"CVE-2026-0001\"]\n"
        );
        files::write_quickly(&dir.join("stream.toml"), text.as_bytes())?;
        Ok(Self { dir: dir.into(), kernels })
    }

    /// `kmend-build stream …` in the stream's folder; what it prints.
    pub fn stream(&self, args: &[&str]) -> Result<String> {
        let mut run = Command::new("kmend-build");
        run.current_dir(&self.dir).env(NOW.0, NOW.1).arg("stream").args(args);
        let out = sandbox::run(&mut run, &format!("kmend-build stream {}", args[0]))?;
        String::from_utf8(out.stdout).context("kmend-build prints UTF-8")
    }

    /// Where the jobs write.
    pub fn results(&self) -> PathBuf {
        self.dir.join("results")
    }

    /// Assembles the results, releases the same stream by itself in `beside`, and compares both repositories and both ledgers.
    ///
    /// # Errors
    /// A result is missing or not as it should be, a leftover is beside the results, or the two differ.
    pub fn check(&self, beside: &Path) -> Result<()> {
        let results = contents(&self.results())?;
        let finished = results.keys().filter(|name| name.ends_with("/result.json")).count();
        ensure!(finished == self.kernels.len(), "{finished} results of {} kernels", self.kernels.len());
        let folders = std::fs::read_dir(self.results()).context("the results")?.count();
        ensure!(folders == self.kernels.len(), "{folders} folders in {}", self.results().display());
        self.stream(&["assemble", "stream.toml", "--results", "results", "-o", "repo"])?;
        let alone = Self::new(beside)?;
        alone.stream(&["release", "stream.toml", "-o", "repo"])?;
        let (here, there) = (contents(&self.dir.join("repo"))?, contents(&alone.dir.join("repo"))?);
        let packages =
            here.keys().filter(|name| name.ends_with("_1-1_amd64.deb") || name.ends_with("_1-1_ppc64el.deb"));
        ensure!(packages.count() == self.kernels.len(), "not a package for each kernel: {:?}", here.keys());
        ensure!(here == there, "the repository is not the one that `release` makes");
        let ledger = |bench: &Self| files::read(&bench.dir.join("ledger.json"));
        ensure!(ledger(self)? == ledger(&alone)?, "the ledger is not the one that `release` writes");
        println!("{} files in the repository, and the ledger: the same as by `release`", here.len());
        Ok(())
    }
}

/// The sums of all files below `dir`, by their paths.
fn contents(dir: &Path) -> Result<BTreeMap<String, String>> {
    let mut found = BTreeMap::new();
    let mut folders = vec![dir.to_path_buf()];
    while let Some(folder) = folders.pop() {
        let entries = std::fs::read_dir(&folder).with_context(|| format!("cannot read {}", folder.display()))?;
        for entry in entries {
            let path = entry.with_context(|| format!("cannot read {}", folder.display()))?.path();
            if path.is_dir() {
                folders.push(path);
            } else {
                let name = path.strip_prefix(dir).context("a file below the folder")?.display().to_string();
                found.insert(name, files::sha256(&files::read(&path)?));
            }
        }
    }
    Ok(found)
}
