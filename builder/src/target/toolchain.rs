// SPDX-License-Identifier: GPL-2.0-or-later
//! The Rust toolchain for kernels without CONFIG_RUST: one build root with rustc, the source of `core` and
//! bindgen, which all such targets share. It does not depend on the kernel.

use super::config::Config;
use super::{distro, record, Target};
use crate::files;
use crate::sandbox::Sandbox;
use anyhow::{ensure, Context, Result};
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

/// Which one is in use, in the folder of build roots.
const RECORD: &str = "rust-toolchain.json";

/// Where the toolchain is, and what it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Toolchain {
    /// Its build root.
    pub root: PathBuf,
    /// rustc's own words.
    pub rustc: String,
}

impl Toolchain {
    /// For the kernel of `config`: none where it has its own Rust, else that in the build root `named`, else the one that is there,
    /// made where there is none, or a broken one.
    ///
    /// # Errors
    /// `named` has not all of it; none can be made on this machine.
    pub fn provide(config: &Config, named: Option<&Path>) -> Result<Option<Self>> {
        if config.is_on("CONFIG_RUST") {
            return Ok(None);
        }
        if let Some(root) = named {
            return Self::of_root(root).map(Some).with_context(|| format!("--rust {}", root.display()));
        }
        let record = files::cache_dir()?.join("roots").join(RECORD);
        if let Some(found) = Self::read(&record).filter(|t| t.check().is_ok()) {
            return Ok(Some(found));
        }
        let root = distro::of_machine().and_then(|distro| distro.rust_root());
        let root = root.context(
            "a kernel without CONFIG_RUST needs a Rust toolchain besides its own compilers, and kmend cannot make \
             one here: name a build root that has rustc, rust-src and bindgen with --rust DIR",
        )?;
        let rustc = Self::ask(&root)?;
        let made = Self { root, rustc };
        let text = serde_json::to_vec_pretty(&made).context("cannot write down the Rust toolchain")?;
        files::write(&record, &text)?;
        Ok(Some(made))
    }

    /// The one in a build root that the user names.
    fn of_root(root: &Path) -> Result<Self> {
        let root = root.canonicalize().context("it cannot be found")?;
        let rustc = Self::ask(&root)?;
        record::version_of(&Sandbox::new(&root), "bindgen")?;
        let source = distro::rust_library(&root)?;
        ensure!(source.is_some(), "it has no source of Rust's library (the package rust-src)");
        Ok(Self { root, rustc })
    }

    fn read(record: &Path) -> Option<Self> {
        serde_json::from_slice(&std::fs::read(record).ok()?).ok()
    }

    /// Whether it is there, and still what it was.
    pub fn check(&self) -> Result<()> {
        ensure!(self.root.exists(), "the build root {} of the Rust toolchain is gone", self.root.display());
        let now = Self::ask(&self.root)?;
        ensure!(now == self.rustc, "the Rust compiler drifted: it was {:?}, now it is {now:?}", self.rustc);
        Ok(())
    }

    fn ask(root: &Path) -> Result<String> {
        record::version_of(&Sandbox::new(root), "rustc")
    }

    /// The sandbox in which it works on `target`: the tree read-only at its place.
    pub fn sandbox(&self, target: &Target) -> Sandbox {
        let sandbox = Sandbox::new(&self.root).read_only(&target.tree, &target.tree_inside).cwd(&target.tree_inside);
        // It is not a nightly compiler; the kernel's own build does the same.
        sandbox.env("RUSTC_BOOTSTRAP", "1")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_toolchain_that_is_gone_is_none() {
        let dir = tempfile::tempdir().unwrap();
        let gone = Toolchain { root: dir.path().join("root"), rustc: "rustc 1".into() };
        assert!(gone.check().unwrap_err().to_string().contains("is gone"));
        let record = dir.path().join(RECORD);
        assert_eq!(Toolchain::read(&record), None);
        files::write(&record, b"{").unwrap();
        assert_eq!(Toolchain::read(&record), None);
        files::write(&record, &serde_json::to_vec(&gone).unwrap()).unwrap();
        assert_eq!(Toolchain::read(&record), Some(gone));
    }
}
