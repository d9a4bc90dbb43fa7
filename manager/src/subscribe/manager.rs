// SPDX-License-Identifier: GPL-2.0-or-later
//! The system's package manager: dnf (4 and 5) or apt-get, as they are in PATH. What changes something shows its own
//! output; what asks is read here, in the language of C.

use super::Offer;
use crate::host::Host;
use anyhow::{bail, ensure, Context, Result};
use kmend_shared::{names, programs};
use std::process::{Command, Stdio};

/// Which one it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Manager {
    /// dnf; `five` where it is dnf5, some of whose words are others.
    Dnf {
        /// It is dnf5.
        five: bool,
    },
    /// apt-get, of Debian and its kin.
    Apt,
}

/// dpkg's list of what kmend's own deb has put on the host.
const OWN_DEB: &str = "/var/lib/dpkg/info/kmend.list";

/// All live patches.
const ALL: &str = "kpatch-patch-*";

impl Manager {
    /// The one there is. Where there are both it is dnf, unless kmend itself came by a deb: then dnf is there for other systems.
    ///
    /// # Errors
    /// There is none.
    pub fn find(host: &Host) -> Result<Self> {
        let is_deb = in_path("apt-get") && host.at(OWN_DEB).is_file();
        if in_path("dnf") && !is_deb {
            // dnf5 says `dnf5 version 5.2.6.2`, dnf4 `4.18.0`.
            return Ok(Self::Dnf { five: ask("dnf", &["--version"])?.contains("dnf5") });
        }
        ensure!(
            in_path("apt-get"),
            "neither dnf nor apt-get is in PATH: get live patches with this system's tools, then `kmend install` them"
        );
        Ok(Self::Apt)
    }

    /// The name of the package with the live patch for a kernel.
    pub fn package(&self, release: &str) -> String {
        match self {
            Self::Dnf { .. } => names::rpm(release),
            Self::Apt => names::deb(release),
        }
    }

    /// Fetches the lists of the repositories anew.
    ///
    /// # Errors
    /// They cannot be reached.
    pub fn renew(&self) -> Result<()> {
        match self {
            Self::Dnf { .. } => change("dnf", &["-q", "--refresh", "makecache"]),
            // Else it ends well where a repository cannot be reached, and what it knew before is used.
            Self::Apt => change("apt-get", &["-q", "-q", "-o", "APT::Update::Error-Mode=any", "update"]),
        }
    }

    /// Installs packages, or renews them.
    ///
    /// # Errors
    /// It cannot be run, or says no.
    pub fn install(&self, packages: &[&str]) -> Result<()> {
        match self {
            // Without --best, dnf4 leaves an older version as it is where dnf.conf does not say best=True.
            Self::Dnf { .. } => change("dnf", &[&["-y", "--best", "install"], packages].concat()),
            Self::Apt => change("apt-get", &[APT_INSTALL, packages].concat()),
        }
    }

    /// Installs new packages, each with the release of its kernel, so that they leave the host together with it. With dnf that is
    /// the metapackage's business. A deb that is asked for by hand would keep its kernel for ever, as it depends on it: where
    /// apt may remove the kernel by itself, so it may the live patch (manager/apt.conf keeps both until then).
    ///
    /// # Errors
    /// As [`Manager::install`].
    pub fn install_new(&self, new: &[(&str, &str)]) -> Result<()> {
        fn packages<'a>(new: &[(&str, &'a str)]) -> Vec<&'a str> {
            new.iter().map(|(_, package)| *package).collect()
        }
        if *self != Self::Apt {
            return if new.is_empty() { Ok(()) } else { self.install(&packages(new)) };
        }
        let (mut by_itself, mut by_hand) = (Vec::new(), Vec::new());
        for one in new {
            if kernel_came_by_itself(one.0)? { &mut by_itself } else { &mut by_hand }.push(*one);
        }
        for (list, mark) in [(by_itself, &["--mark-auto"][..]), (by_hand, &[])] {
            if !list.is_empty() {
                change("apt-get", &[APT_INSTALL, mark, &packages(&list)].concat())?;
            }
        }
        Ok(())
    }

    /// Whether a package is installed.
    ///
    /// # Errors
    /// The database of packages cannot be asked.
    pub fn is_installed(&self, package: &str) -> Result<bool> {
        Ok(self.matching(package)?.iter().any(|name| name == package))
    }

    /// Names of the live patches that are installed.
    ///
    /// # Errors
    /// As [`Manager::is_installed`].
    pub fn installed(&self) -> Result<Vec<String>> {
        self.matching(ALL)
    }

    fn matching(&self, pattern: &str) -> Result<Vec<String>> {
        let text = match self {
            Self::Dnf { .. } => ask("rpm", &["-qa", "--qf", "%{NAME}\\n", pattern])?,
            Self::Apt => {
                let form = "${db:Status-Status} ${Package}\\n";
                // It ends with 1 where there is none; what it says of that goes to standard error.
                let output = run("dpkg-query", &["-W", "-f", form, pattern])?;
                let output = String::from_utf8_lossy(&output.stdout).into_owned();
                output.lines().filter_map(|line| line.strip_prefix("installed ")).map(|n| format!("{n}\n")).collect()
            }
        };
        Ok(text.split_whitespace().map(String::from).collect())
    }

    /// The newest version of each of these packages in the repositories; those that are not there are left out.
    ///
    /// # Errors
    /// The repositories cannot be asked.
    pub fn available(&self, packages: &[&str]) -> Result<Vec<Offer>> {
        match self {
            Self::Dnf { .. } => {
                let form = "%{name} %{version} %{release}\\n";
                let ask_for = ["-q", "repoquery", "--available", "--latest-limit=1", "--qf", form];
                Ok(ask("dnf", &[&ask_for[..], packages].concat())?.lines().filter_map(of_dnf).collect())
            }
            Self::Apt => Ok(of_apt(&ask("apt-cache", &[&["policy"], packages].concat())?)),
        }
    }
}

/// Removes a package with dnf, and nothing that came with it.
///
/// # Errors
/// As [`Manager::install`].
pub fn dnf_remove(package: &str) -> Result<()> {
    change("dnf", &["-y", "--setopt=clean_requirements_on_remove=False", "remove", package])
}

/// Has these packages count as asked for by hand with dnf; `five` where it is dnf5.
///
/// # Errors
/// As [`Manager::install`].
pub fn dnf_keep(five: bool, packages: &[&str]) -> Result<()> {
    if packages.is_empty() {
        return Ok(());
    }
    change("dnf", &[&["-y", "mark", if five { "user" } else { "install" }], packages].concat())
}

/// `kpatch-patch-5_14_0-362_8_1 1 3.el9_3`. Version 0-0 is an empty package, which stands for no live patch yet.
fn of_dnf(line: &str) -> Option<Offer> {
    let mut words = line.split_whitespace();
    let (package, version, release) = (words.next()?, words.next()?, words.next()?);
    let number = release.split('.').next()?;
    offer(package, &format!("{version}-{number}"))
}

/// Blocks: `NAME:`, then lines with white space before them, of which `Candidate: 1-3`.
fn of_apt(text: &str) -> Vec<Offer> {
    let mut package = "";
    let mut found = Vec::new();
    for line in text.lines() {
        match line.trim_start().strip_prefix("Candidate: ") {
            Some(version) => found.extend(offer(package, version.trim())),
            None if !line.starts_with(' ') => package = line.trim_end().trim_end_matches(':'),
            None => {}
        }
    }
    found
}

/// A version of two numbers, as live patches have; none else is one.
fn offer(package: &str, version: &str) -> Option<Offer> {
    let (first, second) = version.split_once('-')?;
    let number = |text: &str| text.parse::<u64>().ok();
    let (first, second) = (number(first)?, number(second)?);
    Some(Offer { package: package.into(), version: format!("{first}-{second}") })
}

fn in_path(program: &str) -> bool {
    programs::find(program).is_some()
}

/// Waits for dpkg: a kernel's hook asks while dpkg still installs the kernel.
const APT_INSTALL: &[&str] = &["-y", "-o", "DPkg::Lock::Timeout=900", "install"];

/// Whether apt may remove the package of a kernel by itself.
fn kernel_came_by_itself(release: &str) -> Result<bool> {
    // On powerpc it is called vmlinux. What is not found goes to standard error.
    let files = ["vmlinuz", "vmlinux"].map(|kind| format!("/boot/{kind}-{release}"));
    let found = run("dpkg-query", &["-S", &files[0], &files[1]])?;
    let found = String::from_utf8_lossy(&found.stdout).into_owned();
    let lines = found.lines().filter(|line| !line.starts_with("diversion by "));
    let owners: Vec<&str> =
        lines.filter_map(|line| line.split_once(": ")).flat_map(|(names, _)| names.split(", ")).collect();
    if owners.is_empty() {
        return Ok(false);
    }
    Ok(ask("apt-mark", &[&["showauto"], owners.as_slice()].concat())?.lines().count() == owners.len())
}

/// Runs what changes something; it shows its own output, and asks nothing.
fn change(program: &str, args: &[&str]) -> Result<()> {
    let mut command = Command::new(program);
    command.args(args).env("DEBIAN_FRONTEND", "noninteractive").stdin(Stdio::null());
    let status = command.status().with_context(|| format!("cannot run {program}"))?;
    ensure!(status.success(), "`{program} {}` failed ({status}): see its output above", args.join(" "));
    Ok(())
}

fn run(program: &str, args: &[&str]) -> Result<std::process::Output> {
    let mut command = Command::new(program);
    command.args(args).env("LC_ALL", "C").stdin(Stdio::null());
    command.output().with_context(|| format!("cannot run {program}"))
}

fn ask(program: &str, args: &[&str]) -> Result<String> {
    let output = run(program, args)?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        let said = said.trim().lines().next_back().unwrap_or("it does not say why");
        bail!("`{program} {}` failed ({}): {said}", args.join(" "), output.status);
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_of_dnf_and_apt_are_read() {
        let told = |line| of_dnf(line).map(|o| format!("{} {}", o.package, o.version));
        assert_eq!(told("kpatch-patch-a 1 3.el9_3").as_deref(), Some("kpatch-patch-a 1-3"));
        assert_eq!(told("kpatch-patch-a 1 10").as_deref(), Some("kpatch-patch-a 1-10"));
        assert_eq!(told("kpatch-patch-a 0 0.el9").as_deref(), Some("kpatch-patch-a 0-0"));
        for none in ["", "a", "a 1", "a x 1", "a 1 x.el9", "a 1-2"] {
            assert_eq!(told(none), None, "{none}");
        }
        let text = "kpatch-patch-a:\n  Installed: (none)\n  Candidate: 1-3\n  Version table:\n     1-3 500\n\
                    kpatch-patch-b:\n  Installed: 1-1\n  Candidate: (none)\nN: Unable to locate package c\n";
        assert_eq!(of_apt(text), [Offer { package: "kpatch-patch-a".into(), version: "1-3".into() }]);
    }
}
