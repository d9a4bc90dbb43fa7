// SPDX-License-Identifier: GPL-2.0-or-later
//! Debian's packages for a build root: suite and .config in, the packages with the compilers that the kernel was built with
//! out, and the root made of them. Targets that want the same packages in the same versions share one.

use super::apt::{self, Archive};
use super::mmdebstrap::{self, Variant};
use crate::target::buildroot::Root;
use crate::target::config::Config;
use crate::target::record;
use anyhow::{bail, ensure, Context, Result};
use std::path::PathBuf;
use std::process::Command;

/// What every kernel's build wants beside its compilers.
const TOOLS: &[&str] = &[
    "bc",
    "bison",
    "cpio",
    "dwarves",
    "flex",
    "kmod",
    "libc6-dev",
    "libelf-dev",
    "libssl-dev",
    "make",
    "openssl",
    "python3",
    "rsync",
    "xz-utils",
    "zstd",
];

/// What CONFIG_RUST adds. clang is for bindgen, which reads the kernel's headers through it.
const RUST: &[&str] = &["bindgen", "clang", "libclang-dev", "rust-src", "rustc"];

/// What a build root is made from.
#[derive(Clone, Debug)]
pub struct Wanted {
    packages: Vec<String>,
    /// The C compiler's program.
    cc: String,
    /// What it has to say of itself; None where any version will do.
    cc_words: Option<String>,
    rust: bool,
    versions: String,
}

impl Wanted {
    /// What the kernel of `config` wants, in the versions that `archive` has now. Refuses when the
    /// suite's compiler is no longer the kernel's.
    pub fn new(archive: &Archive, config: &Config, machine_arch: &str) -> Result<Self> {
        let cc = record::cc_program(config)?.to_string();
        let gcc = gcc_package(&cc, &archive.arch, machine_arch)?;
        check_suite_has(archive, &gcc, record::cc_text(config)?)?;
        let words = Some(record::cc_text(config)?.to_string());
        let mut more = Vec::new();
        for (option, package) in [
            ("CONFIG_GENDWARFKSYMS", "libdw-dev".to_string()),
            ("CONFIG_GCC_PLUGINS", format!("{}-plugin-dev", host_gcc(&cc))),
            ("CONFIG_KLP_BUILD", "libxxhash-dev".to_string()),
        ] {
            if config.is_on(option) {
                more.push(package);
            }
        }
        Self::of(archive, gcc, (cc, words), config.is_on("CONFIG_RUST"), more)
    }

    /// What a kernel of `arch` (Debian's name) wants that is yet to be built: the compiler `cc`
    /// (`powerpc64le-linux-gnu-gcc-16`) as `archive` has it now, and what CONFIG_RUST adds where `rust` says so.
    pub fn current(archive: &Archive, cc: &str, arch: &str, machine_arch: &str, rust: bool) -> Result<Self> {
        Self::of(archive, gcc_package(cc, arch, machine_arch)?, (cc.into(), None), rust, Vec::new())
    }

    /// The Rust toolchain alone, in the versions that `archive` has now.
    pub fn rust(archive: &Archive) -> Result<Self> {
        let packages = RUST.iter().map(|p| p.to_string()).collect();
        // The compiler that bindgen reads C with is the one to be asked for.
        Self::found(archive, packages, ("clang".into(), None), true)
    }

    fn of(
        archive: &Archive,
        gcc: String,
        (cc, cc_words): (String, Option<String>),
        rust: bool,
        more: Vec<String>,
    ) -> Result<Self> {
        let mut packages: Vec<String> = TOOLS.iter().map(|p| p.to_string()).chain(more).collect();
        if gcc != host_gcc(&cc) {
            packages.push(host_gcc(&cc));
        }
        packages.push(gcc);
        if rust {
            packages.extend(RUST.iter().map(|p| p.to_string()));
        }
        Self::found(archive, packages, (cc, cc_words), rust)
    }

    fn found(
        archive: &Archive,
        mut packages: Vec<String>,
        (cc, cc_words): (String, Option<String>),
        rust: bool,
    ) -> Result<Self> {
        packages.sort();
        let mut versions = String::new();
        for package in &packages {
            let Some(found) = archive.find(package, None)? else {
                bail!("suite {} has no package {package}, which is wanted", archive.suite);
            };
            versions += &format!("{package} {}\n", found.version);
        }
        Ok(Self { packages, cc, cc_words, rust, versions })
    }

    /// The root of these packages.
    fn root(&self, archive: &Archive) -> Root {
        let (suite, arch) = (&archive.suite, &archive.arch);
        Root {
            name: format!("{suite}-{arch}"),
            made_from: format!("{suite} {arch}\n{}", self.versions),
            cc: self.cc.clone(),
            cc_words: self.cc_words.clone(),
            rust: self.rust,
        }
    }
}

/// `gcc-16` of `x86_64-linux-gnu-gcc-16`.
fn host_gcc(cc: &str) -> String {
    cc.rfind("gcc").map(|at| cc[at..].to_string()).unwrap_or_default()
}

/// The package that holds the compiler `cc` for kernels of `arch`, on a machine of `machine_arch`.
fn gcc_package(cc: &str, arch: &str, machine_arch: &str) -> Result<String> {
    let gcc = host_gcc(cc);
    ensure!(
        gcc.strip_prefix("gcc-").is_some_and(|n| !n.is_empty() && n.chars().all(|c| c.is_ascii_digit())),
        "the kernel was built with {cc:?}: a compiler named gcc-NN, as Debian's packages have it, was expected"
    );
    if arch == machine_arch {
        return Ok(gcc);
    }
    let triplet = cc.strip_suffix(&format!("-{gcc}")).with_context(|| {
        format!("the kernel was built with {cc:?} on {arch}; this machine is {machine_arch}, and no cross compiler is named so")
    })?;
    Ok(format!("{gcc}-{}", triplet.replace('_', "-")))
}

/// Debian's compilers say their package version in parentheses: `gcc-16 (Debian 16.2.0-3) 16.2.0`.
fn check_suite_has(archive: &Archive, gcc: &str, text: &str) -> Result<()> {
    let have = archive.versions(gcc)?;
    let wanted = text.split_once("(Debian ").and_then(|(_, t)| t.split_once(')')).map(|(v, _)| v);
    let Some(wanted) = wanted else { return Ok(()) };
    // Cross compilers carry another version (16.2.0-3cross1).
    let agrees = |v: &String| v == wanted || v.strip_prefix(wanted).is_some_and(|end| end.starts_with("cross"));
    ensure!(!have.is_empty(), "suite {} has no package {gcc}, with which the kernel was built", archive.suite);
    ensure!(
        have.first().is_some_and(agrees),
        "the kernel was built with {gcc} {wanted}, suite {} has {} now: {}",
        archive.suite,
        have.join(", "),
        apt::SNAPSHOT
    );
    Ok(())
}

/// The machine itself (`/`) where it has all that is `wanted`, the compilers in those very versions; else a build root,
/// as by [`make`].
pub fn find_or_make(archive: &Archive, wanted: &Wanted) -> Result<PathBuf> {
    if !is_installed(&wanted.versions, &installed(&wanted.packages)) {
        return make(archive, wanted);
    }
    eprintln!("  this machine's own {} is the one of {}: no build root is made", wanted.cc, archive.suite);
    Ok("/".into())
}

/// What dpkg says of these packages on this machine, a line each: name, version, state. Nothing where there is no dpkg.
fn installed(packages: &[String]) -> String {
    let format = "${Package} ${Version} ${db:Status-Status}\n";
    let out = Command::new("dpkg-query").arg("-W").arg(format!("-f={format}")).args(packages).output();
    out.map(|out| String::from_utf8_lossy(&out.stdout).into_owned()).unwrap_or_default()
}

/// Whether each package of `versions` (lines of name and version) is among those that are `installed`; of those that make
/// code, the version counts.
fn is_installed(versions: &str, installed: &str) -> bool {
    let here: Vec<&str> = installed.lines().filter_map(|line| line.strip_suffix(" installed")).collect();
    let name = |line: &str| line.split(' ').next().unwrap_or_default().to_string();
    let makes_code = |name: &str| name.starts_with("gcc-") || RUST.contains(&name);
    let is_here = |wanted: &str| match makes_code(&name(wanted)) {
        true => here.contains(&wanted),
        false => here.iter().any(|line| name(line) == name(wanted)),
    };
    !versions.is_empty() && versions.lines().all(is_here)
}

/// The build root for `wanted`, made when it is not there or broken. `archive` is one of this machine's
/// architecture.
pub fn make(archive: &Archive, wanted: &Wanted) -> Result<PathBuf> {
    wanted.root(archive).make(|dir, step| {
        mmdebstrap::run(archive, Variant::MinBase, &wanted.packages, dir, step)?;
        Ok(format!("{} packages asked for", wanted.packages.len()))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn compiler_packages() {
        assert_eq!(gcc_package("x86_64-linux-gnu-gcc-16", "amd64", "amd64").unwrap(), "gcc-16");
        assert_eq!(gcc_package("gcc-12", "amd64", "amd64").unwrap(), "gcc-12");
        assert_eq!(
            gcc_package("powerpc64le-linux-gnu-gcc-16", "ppc64el", "amd64").unwrap(),
            "gcc-16-powerpc64le-linux-gnu"
        );
        assert_eq!(gcc_package("x86_64-linux-gnu-gcc-16", "amd64", "arm64").unwrap(), "gcc-16-x86-64-linux-gnu");
        assert!(gcc_package("gcc-12", "amd64", "arm64").is_err());
        assert!(gcc_package("gcc", "amd64", "amd64").is_err());
        assert!(gcc_package("gcc-12;x", "amd64", "amd64").is_err());
    }

    #[test]
    fn the_machine_itself_serves_with_the_very_versions_alone() {
        let wanted = "flex 2.6.4-8.2\ngcc-12 12.2.0-14+deb12u1\n";
        let all = "flex 2.6.4-8.2 installed\ngcc-12 12.2.0-14+deb12u1 installed\nmake 4 installed\n";
        assert!(is_installed(wanted, all));
        assert!(is_installed(wanted, &all.replace("8.2", "8.3")), "a tool that makes no code");
        assert!(!is_installed(wanted, &all.replace("u1", "u2")), "another compiler");
        assert!(!is_installed(wanted, &all.replace("8.2 installed", "8.2 config-files")), "removed");
        assert!(!is_installed(wanted, "") && !is_installed("", all));
        // dpkg of this machine, where it has one, speaks as it is read.
        let said = installed(&["dpkg".into(), "kmend-no-such-package".into()]);
        assert!(said.is_empty() || said.starts_with("dpkg ") && said.ends_with(" installed\n"), "{said}");
    }
}
