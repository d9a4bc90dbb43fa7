// SPDX-License-Identifier: GPL-2.0-or-later
//! Asks repositories of RPMs for packages, fetches and installs them, by the real dnf: options of `target add` in, packages out.
//!
//! dnf does the network, the repositories' certificates and signatures. Its lists and logs are in the cache folder, so that nothing of
//! the machine is changed; its configuration and repositories are the machine's own, unless others are named.

use crate::files::{self, make_dir, remove_dir};
use crate::sandbox;
use crate::target::options::Given;
use crate::target::tied;
use anyhow::{bail, ensure, Context, Result};
use kmend_shared::arch::{self, ArchNames};
use kmend_shared::programs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// `dnf download` for a dnf 4 without dnf-plugins-core.
const DOWNLOAD: &str = include_str!("download.py");

/// What of a package is asked for, a line each. dnf 4 ends each line itself as well.
const FIELDS: &str = "%{name}|%{version}-%{release}|%{arch}|%{sourcerpm}\n";

/// dnf with the repositories of one `target add`.
#[derive(Clone, Debug)]
pub struct Dnf {
    /// Options for every call.
    words: Vec<String>,
    /// What the repositories are called in messages.
    pub repositories: String,
    /// Repositories that are named by address, and whether keys check what is installed from them.
    pub unchecked: bool,
    /// Its lists, logs and the plugin.
    dir: PathBuf,
}

/// A package of a repository.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Found {
    /// `kernel-core`.
    pub name: String,
    /// Version and release.
    pub version: String,
    /// RPM's architecture.
    pub arch: String,
    /// The file name of its source package.
    pub source: String,
}

impl Found {
    /// `kernel-core-5.14.0-427.el9.x86_64`.
    pub fn full_name(&self) -> String {
        format!("{}-{}.{}", self.name, self.version, self.arch)
    }
}

/// How another repository is named, for the ends of messages.
pub const NAME_ANOTHER: &str = "--repo URL names another repository";

/// A repository that is named: its ID, and its address where the machine does not know it.
#[derive(Debug, PartialEq, Eq)]
struct Named {
    id: String,
    url: Option<String>,
}

/// The repositories that `given` names.
fn named(given: &Given) -> Result<Vec<Named>> {
    let mut all = Vec::new();
    for (at, repo) in given.all("repo").iter().enumerate() {
        match is_address(repo) {
            true => all.push(Named { id: format!("kmend-{}", at + 1), url: Some(repo.clone()) }),
            false => all.push(Named { id: checked_id("repo", repo)?, url: None }),
        }
    }
    for given in given.all("repofrompath") {
        let (id, url) = given.split_once(',').unwrap_or_default();
        ensure!(
            is_address(url),
            "--repofrompath {given:?}: write ID,URL (the URL as in a baseurl, or a folder's whole path)"
        );
        all.push(Named { id: checked_id("repofrompath", id)?, url: Some(url.into()) });
    }
    Ok(all)
}

/// Whether it is an address or a folder, not a repository's ID.
pub fn is_address(text: &str) -> bool {
    (text.contains("://") || text.starts_with('/')) && !text.contains([',', ' ', '\n'])
}

fn checked_id(option: &str, id: &str) -> Result<String> {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_".contains(c) || (option == "repo" && ".:".contains(c));
    ensure!(
        !id.is_empty() && !id.starts_with('-') && id.chars().all(plain),
        "--{option}: {id:?} is no repository's ID and no address of one (http://…, https://…, file://…, or a folder's path)"
    );
    Ok(id.into())
}

impl Dnf {
    /// dnf with the repositories of `--repo` and `--repofrompath`, this machine's own where there are none, for packages of `arch`.
    ///
    /// # Errors
    /// No dnf; a repository that is named as none can be.
    pub fn open(given: &Given, arch: &ArchNames) -> Result<Self> {
        ensure!(
            programs::find("dnf").is_some(),
            "there is no dnf on this machine: fetch the kernel's RPMs yourself, and name them with --rpm and --source"
        );
        let dir = files::cache_dir()?.join("dnf");
        let mut words = vec!["-q".to_string(), "-y".into()];
        let mut set = |option: String| words.push(format!("--setopt={option}"));
        set(format!("cachedir={}", dir.join("lists").display()));
        set(format!("logdir={}", dir.join("logs").display()));
        // A repository that is left out silently would be one without the package.
        set("skip_if_unavailable=0".into());
        set("retries=3".into());
        let named = named(given)?;
        let keys: Vec<String> = given.all("gpg-key").iter().map(|key| format!("file://{key}")).collect();
        for Named { id, url } in &named {
            if url.is_some() {
                set(format!("{id}.gpgcheck={}", u8::from(!keys.is_empty())));
                if !keys.is_empty() {
                    set(format!("{id}.gpgkey={}", keys.join(",")));
                }
            }
        }
        for Named { id, url } in &named {
            if let Some(url) = url {
                words.push(format!("--repofrompath={id},{url}"));
            }
            words.push(format!("--repo={id}"));
        }
        if let Some(version) = given.one("releasever") {
            let plain = !version.is_empty() && version.chars().all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c));
            ensure!(plain, "--releasever: {version:?} is no release of a distribution; one looks like 9 or 9.4");
            words.push(format!("--releasever={version}"));
        }
        if arch.uname != arch::host() {
            words.push(format!("--forcearch={}", arch.uname));
        }
        let repositories = match named.is_empty() {
            true => "this machine's repositories".to_string(),
            false => {
                let all: Vec<&str> = named.iter().map(|n| n.url.as_deref().unwrap_or(&n.id)).collect();
                format!("the {} {}", if all.len() == 1 { "repository" } else { "repositories" }, all.join(", "))
            }
        };
        let unchecked = keys.is_empty() && named.iter().any(|n| n.url.is_some());
        Ok(Self { words, repositories, unchecked, dir })
    }

    /// What makes two of them the same, for names of folders.
    pub fn key(&self) -> String {
        files::key(&self.words.iter().map(String::as_str).collect::<Vec<_>>())
    }

    fn command(&self) -> Command {
        let mut command = tied("dnf");
        command.args(&self.words).env("LC_ALL", "C");
        command
    }

    fn run(&self, command: &mut Command, what: &str) -> Result<Output> {
        make_dir(&self.dir.join("logs"))?;
        let out = command.output().context("cannot start dnf")?;
        if !out.status.success() {
            let said = String::from_utf8_lossy(&out.stderr).into_owned() + &String::from_utf8_lossy(&out.stdout);
            bail!("{what} from {}: {}\n{}", self.repositories, hint(&said, &self.dir), sandbox::tail(&out));
        }
        Ok(out)
    }

    /// The packages that `dnf repoquery` answers with, each once.
    ///
    /// # Errors
    /// A repository that cannot be read.
    pub fn query(&self, words: &[&str]) -> Result<Vec<Found>> {
        let mut command = self.command();
        command.args(["repoquery", "--available", "--qf", FIELDS]).args(words);
        let out = self.run(&mut command, "cannot ask for packages")?;
        Ok(parse(&String::from_utf8_lossy(&out.stdout)))
    }

    /// Makes the next answer one of today's lists.
    ///
    /// # Errors
    /// A repository that cannot be read; no repository at all.
    pub fn refresh(&self) -> Result<()> {
        let mut command = self.command();
        let out =
            self.run(command.args(["--refresh", "repolist", "--enabled"]), "cannot fetch the lists of packages")?;
        // Without one it says nothing and ends well.
        ensure!(
            !out.stdout.is_empty(),
            "dnf has no repositories on this machine: name one with --repo URL, or fetch the kernel's RPMs yourself and name them \
             with --rpm and --source"
        );
        self.run(self.command().arg("makecache"), "cannot fetch the lists of packages").map(|_| ())
    }

    /// What the kernels in the repositories are called (`uname -r`), as far as their packages say it.
    ///
    /// # Errors
    /// A repository that cannot be read.
    pub fn kernels(&self) -> Result<Vec<String>> {
        let mut command = self.command();
        command.args(["repoquery", "--available", "--whatprovides", "kernel-uname-r", "--provides"]);
        let out = self.run(&mut command, "cannot ask for kernels")?;
        let text = String::from_utf8_lossy(&out.stdout).into_owned();
        let mut all: Vec<String> =
            text.lines().filter_map(|line| line.trim().strip_prefix("kernel-uname-r = ")).map(String::from).collect();
        all.sort_by(|a, b| rpm_version::rpm_evr_compare(a, b));
        all.dedup();
        Ok(all)
    }

    /// Downloads packages (their full names) into the folder `to`, or with `source` their source packages.
    ///
    /// # Errors
    /// They cannot be downloaded whole.
    pub fn download(&self, names: &[String], source: bool, to: &Path) -> Result<()> {
        make_dir(to)?;
        let mut command = self.command();
        if !self.has_download() {
            command.arg(format!("--setopt=pluginpath={}", self.plugin()?.display()));
        }
        command.arg("download").arg("--destdir").arg(to);
        if source {
            command.arg("--source");
        }
        let what = if source { "the source package of " } else { "" };
        self.run(command.args(names), &format!("cannot fetch {what}{}", names.join(", "))).map(|_| ())
    }

    /// Whether dnf has a command `download` by itself: dnf 5, and dnf 4 with dnf-plugins-core.
    fn has_download(&self) -> bool {
        let mut command = self.command();
        command.args(["download", "--help"]).output().is_ok_and(|out| out.status.success())
    }

    /// A folder with that command.
    fn plugin(&self) -> Result<PathBuf> {
        let folder = self.dir.join("plugins").join(files::key(&[DOWNLOAD]));
        let file = folder.join("download.py");
        if files::read_text(&file).ok().as_deref() != Some(DOWNLOAD) {
            files::write(&file, DOWNLOAD.as_bytes())?;
        }
        Ok(folder)
    }

    /// Installs packages into the empty folder `root`, for the release `version` of the distribution where that was not given.
    ///
    /// # Errors
    /// Not root; packages that are missing or do not fit each other; a full disk.
    pub fn install(&self, packages: &[String], version: Option<&str>, root: &Path) -> Result<()> {
        let mut command = self.command();
        if let Some(version) = version {
            command.arg(format!("--releasever={version}"));
        }
        command.arg(format!("--installroot={}", root.display()));
        command.args(["--setopt=install_weak_deps=False", "--setopt=tsflags=nodocs", "install", "--"]).args(packages);
        self.run(&mut command, "cannot install the build root's packages")?;
        // dnf takes its own folders for such of the new system.
        remove_dir(&root.join(self.dir.strip_prefix("/").unwrap_or(&self.dir)))
    }
}

fn parse(text: &str) -> Vec<Found> {
    let mut all: Vec<Found> = text
        .lines()
        .filter_map(|line| match line.trim().split('|').collect::<Vec<_>>()[..] {
            [name, version, arch, source] => {
                let [name, version, arch, source] = [name, version, arch, source].map(String::from);
                Some(Found { name, version, arch, source })
            }
            _ => None,
        })
        .collect();
    all.sort();
    all.dedup();
    all
}

/// What the user can do about an error of dnf.
fn hint(said: &str, dir: &Path) -> String {
    let has = |words: &[&str]| words.iter().any(|word| said.contains(word));
    if has(&["No space left", "free space", "more space needed"]) {
        format!("the disk is full: make room in {} (or name another folder in KMEND_CACHE)", dir.display())
    } else if has(&["Unknown repo"]) {
        "this machine has no repository of that ID (`dnf repolist --all` lists them)".into()
    } else if has(&["superuser", "root user"]) {
        "dnf makes build roots for root only: run it as root, or name a build root with --root DIR".into()
    } else if has(&["repomd.xml", "Failed to download metadata"]) {
        "a repository cannot be read: is the network up, and its address right? What is already here stays; run it again".into()
    } else if has(&["GPG", "Public key", "not signed"]) {
        "a signature could not be checked: --gpg-key names the public key of the repository".into()
    } else if has(&["Unable to find a match", "No match for argument"]) {
        format!("a package is missing; {NAME_ANOTHER}, --root DIR a build root that you made")
    } else if has(&["nothing provides", "conflicting requests"]) {
        format!("packages do not fit each other; {NAME_ANOTHER}, --root DIR a build root that you made")
    // dnf 4 says nothing of a download of `dnf download` that broke off.
    } else if has(&["ownload", "Curl error", "hecksum"]) || said.lines().all(|line| line.contains("release version")) {
        "a download broke off or came with other content than the repository names: run it again".into()
    } else {
        "dnf says".into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn repositories_are_named_by_address_or_id() {
        let mut given = Given::default();
        given.set("repo", vec!["https://h.example/el9".into(), "baseos".into(), "/srv/el9".into()]);
        given.set("repofrompath", vec!["mine,http://h.example/x".into()]);
        let all: Vec<(String, bool)> = named(&given).unwrap().into_iter().map(|n| (n.id, n.url.is_some())).collect();
        let want = [("kmend-1", true), ("baseos", false), ("kmend-3", true), ("mine", true)];
        assert_eq!(all, want.map(|(id, has_url)| (id.to_string(), has_url)));
        for (option, bad) in [
            ("repo", "a b"),
            ("repo", "-x"),
            ("repo", ""),
            ("repo", "http://a.example/,b"),
            ("repofrompath", "http://a.example"),
            ("repofrompath", "a,b"),
            ("repofrompath", "a.b,/srv"),
        ] {
            assert!(named(&Given::from([(option, bad)])).is_err(), "{option} {bad:?}");
        }
    }

    #[test]
    fn answers_are_read() {
        let text = "kernel-core|5.14.0-1.el9|x86_64|kernel-5.14.0-1.el9.src.rpm\n\n\
                    kernel-core|5.14.0-1.el9|x86_64|kernel-5.14.0-1.el9.src.rpm\nno answer\n";
        let found = parse(text);
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].full_name(), "kernel-core-5.14.0-1.el9.x86_64");
        assert!(parse("").is_empty());
    }

    #[test]
    fn what_dnf_says_leads_to_what_to_do() {
        let hint = |said: &str| super::hint(said, Path::new("/c"));
        assert!(hint("Error: Failed to download metadata for repo 'x': Cannot download repomd.xml").contains("network"));
        assert!(hint("Error: Unknown repo: 'x'").contains("repolist"));
        assert!(hint("Error: This command has to be run with superuser privileges (under the root user)")
            .contains("--root"));
        assert!(hint("Error downloading packages:\n  Curl error (18)").contains("run it again"));
        assert!(hint("Unable to detect release version (use '--releasever')\n").contains("run it again"));
        assert_eq!(hint("Error: x"), "dnf says");
        assert!(hint("  - nothing provides x needed by gcc").contains("--repo"));
        assert!(hint("OSError: No space left on device").contains("/c"));
    }
}
