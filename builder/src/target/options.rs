// SPDX-License-Identifier: GPL-2.0-or-later
//! The options of `target add`: what each way to make a target takes, and what was given.

use anyhow::{bail, Result};
use std::collections::BTreeMap;
use std::path::Path;

/// An option of `kmend-build target add`.
#[derive(Debug)]
pub struct Opt {
    /// Its name, without the dashes.
    pub name: &'static str,
    /// What its value is.
    pub value: &'static str,
    /// What `--help` says of it.
    pub help: &'static str,
    /// Whether it takes several values.
    pub many: bool,
}

/// Where the kernel's source is.
pub const SOURCE: Opt = Opt {
    name: "source",
    value: "PATH",
    help: "The kernel's source: a source RPM for rpm:NAME, a folder for tree:NAME; kmend prepares a copy of its own",
    many: false,
};

/// Where the compilers are.
pub const ROOT: Opt = Opt {
    name: "root",
    value: "DIR",
    help: "The build root with the kernel's compilers [default: this machine]",
    many: false,
};

/// Where the Rust toolchain is.
pub const RUST: Opt = Opt {
    name: "rust",
    value: "DIR",
    help: "A build root with rustc, rust-src and bindgen, for a kernel without CONFIG_RUST [default: one that kmend makes]",
    many: false,
};

/// What was given, by the options' names.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Given(BTreeMap<&'static str, Vec<String>>);

impl Given {
    /// The value of an option that takes one.
    pub fn one(&self, name: &str) -> Option<&str> {
        self.all(name).last().map(String::as_str)
    }

    /// The values of an option.
    pub fn all(&self, name: &str) -> &[String] {
        self.0.get(name).map(Vec::as_slice).unwrap_or_default()
    }

    /// Whether nothing was given.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The value of an option that is a path.
    pub fn path(&self, name: &str) -> Option<&Path> {
        self.one(name).map(Path::new)
    }

    /// Sets the values of an option.
    pub fn set(&mut self, name: &'static str, values: Vec<String>) {
        self.0.insert(name, values);
    }

    /// Takes the values of an option out.
    pub fn take(&mut self, name: &str) -> Vec<String> {
        self.0.remove(name).unwrap_or_default()
    }

    /// Fails on an option that is not among those that `whose` takes.
    ///
    /// # Errors
    /// Names it.
    pub fn check(&self, takes: &[Opt], whose: &str) -> Result<()> {
        match self.0.keys().find(|name| !takes.iter().any(|o| o.name == **name)) {
            Some(name) => bail!("--{name} is not for {whose}: it is for another kind of target"),
            None => Ok(()),
        }
    }

    /// The same on a command line.
    pub fn words(&self) -> Vec<String> {
        let option = |(name, values): (&&str, &Vec<String>)| -> Vec<String> {
            values.iter().flat_map(|value| [format!("--{name}"), value.clone()]).collect()
        };
        self.0.iter().flat_map(option).collect()
    }
}

impl<const N: usize> From<[(&'static str, &str); N]> for Given {
    fn from(given: [(&'static str, &str); N]) -> Self {
        Self(given.into_iter().map(|(name, value)| (name, vec![value.to_string()])).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_given_comes_back_as_words() {
        let mut given = Given::from([("source", "/s")]);
        given.set("rpm", vec!["/a".into(), "/b c".into()]);
        assert_eq!(given.words(), ["--rpm", "/a", "--rpm", "/b c", "--source", "/s"]);
        assert_eq!((given.one("source"), given.one("root"), given.all("rpm").len()), (Some("/s"), None, 2));
        assert!(given.check(&[SOURCE], "x").unwrap_err().to_string().starts_with("--rpm "));
    }
}
