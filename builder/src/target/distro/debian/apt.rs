// SPDX-License-Identifier: GPL-2.0-or-later
//! Asks a suite of the machine's own apt sources for packages, and fetches them: suite and package
//! name in, a verified .deb in the cache out.
//!
//! apt itself handles downloads and signatures, with a private configuration, so that neither the machine's package
//! lists nor its architecture matter, and nothing of the machine is changed.

use super::sources::{self, Entry};
use crate::files::{make_dir, remove_dir};
use crate::target::tied;
use crate::{files, sandbox};
use anyhow::{bail, ensure, Context, Result};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

/// How old package lists may be before they are fetched anew.
const FRESH: Duration = Duration::from_secs(3600);

/// Debian's own keyring, from the package debian-archive-keyring.
const KEYRING: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";

/// The package lists of one suite for one architecture.
#[derive(Clone, Debug)]
pub struct Archive {
    /// Suite or codename: `forky`.
    pub suite: String,
    /// Debian's name of the architecture: `amd64`.
    pub arch: String,
    /// sources.list lines that serve the suite, the suite that it adds to first.
    pub lines: Vec<String>,
    dir: PathBuf,
}

/// One version of a package, as the suite's lists describe it.
#[derive(Clone, Debug)]
pub struct Package {
    /// Package name.
    pub name: String,
    /// Version, with epoch where there is one.
    pub version: String,
    /// Architecture of this package: `amd64`, `all`.
    pub arch: String,
    /// What it depends on, as in the control file.
    pub depends: String,
    /// SHA-256 of the .deb, hexadecimal.
    pub sha256: String,
    /// Size of the .deb in bytes.
    pub size: u64,
}

impl Package {
    /// The .deb's file name, as apt would write it.
    pub fn file_name(&self) -> String {
        format!("{}_{}_{}.deb", self.name, self.version.replace(':', "%3a"), self.arch)
    }
}

impl Archive {
    /// Opens `suite` for `arch` (Debian's name): through the machine's own sources, or through
    /// `mirror`. Fetches the package lists when there are none or they are more than an hour old.
    pub fn open(suite: &str, arch: &str, mirror: Option<&str>) -> Result<Self> {
        let plain = |c: char| c.is_ascii_alphanumeric() || "-_.+".contains(c);
        ensure!(
            !suite.is_empty() && suite.chars().all(plain) && !suite.starts_with(['-', '.']),
            "{suite:?} is no name of a suite; examples: forky, sid, trixie"
        );
        let lines = lines(suite, mirror)?;
        let key = files::sha256(lines.join("\n").as_bytes());
        let dir = files::cache_dir()?.join("apt").join(format!("{suite}-{arch}-{}", &key[..8]));
        let archive = Self { suite: suite.into(), arch: arch.into(), lines, dir };
        archive.configure()?;
        if !archive.is_fresh() {
            archive.update()?;
        }
        Ok(archive)
    }

    /// Writes apt's private configuration. It is read after the machine's own (`-c`), so that proxies
    /// and credentials hold, and undoes there what does not belong here: hooks and other index files.
    fn configure(&self) -> Result<()> {
        let dir = self.dir.to_str().filter(|d| !d.contains(['"', '\\', '\n']));
        let dir = dir.with_context(|| {
            format!("apt cannot work in {}: name a cache folder without quotes in KMEND_CACHE", self.dir.display())
        })?;
        for sub in ["state/lists/partial", "cache/archives/partial"] {
            make_dir(&self.dir.join(sub))?;
        }
        let arch = &self.arch;
        let conf = format!(
            "#clear APT::Update::Pre-Invoke;\n#clear APT::Update::Post-Invoke;\n#clear APT::Update::Post-Invoke-Success;\n\
             #clear APT::Architectures;\n#clear Acquire::Languages;\n\
             Dir::State \"{dir}/state\";\nDir::State::lists \"lists/\";\nDir::State::status \"{dir}/state/status\";\n\
             Dir::Cache \"{dir}/cache\";\nDir::Cache::archives \"archives/\";\n\
             Dir::Cache::pkgcache \"pkgcache.bin\";\nDir::Cache::srcpkgcache \"srcpkgcache.bin\";\n\
             Dir::Etc::sourcelist \"{dir}/sources.list\";\nDir::Etc::sourceparts \"/dev/null\";\n\
             Dir::Etc::preferences \"/dev/null\";\nDir::Etc::preferencesparts \"/dev/null\";\n\
             APT::Architecture \"{arch}\";\nAPT::Architectures {{ \"{arch}\"; }};\n\
             APT::Sandbox::User \"root\";\n\
             APT::Get::AllowUnauthenticated \"false\";\nAcquire::AllowInsecureRepositories \"false\";\n\
             Acquire::Check-Valid-Until \"false\";\nAcquire::Languages \"none\";\nAcquire::Retries \"3\";\n\
             Acquire::GzipIndexes \"false\";\nAcquire::PDiffs \"false\";\n"
        );
        files::write(&self.conf(), conf.as_bytes())?;
        let list: String = self.lines.iter().map(|l| format!("{l}\n")).collect();
        files::write(&self.dir.join("sources.list"), list.as_bytes())?;
        let status = self.dir.join("state/status");
        if !status.exists() {
            files::write(&status, b"")?;
        }
        Ok(())
    }

    fn conf(&self) -> PathBuf {
        self.dir.join("apt.conf")
    }

    fn apt(&self, program: &str) -> Command {
        let mut c = tied(program);
        c.arg("-c").arg(self.conf()).env("LC_ALL", "C").env_remove("APT_CONFIG");
        c
    }

    fn stamp(&self) -> PathBuf {
        self.dir.join("updated")
    }

    fn is_fresh(&self) -> bool {
        let age = fs::metadata(self.stamp()).and_then(|m| m.modified()).ok().and_then(|t| t.elapsed().ok());
        age.is_some_and(|a| a < FRESH)
    }

    /// Fetches the package lists; apt checks their signatures.
    pub fn update(&self) -> Result<()> {
        let _lock = files::lock(&self.dir.join("lock"), "fetches package lists")?;
        if self.is_fresh() {
            return Ok(());
        }
        let step = crate::progress::step(format!("fetching the package lists of {} ({})", self.suite, self.arch));
        let out = self.apt("apt-get").args(["-q", "update"]).output().context("cannot start apt-get")?;
        let said = String::from_utf8_lossy(&out.stderr).into_owned();
        // apt-get update ends with 0 even when nothing could be reached ("W: Failed to fetch").
        let failed = said.lines().any(|l| l.contains("Failed to fetch") || l.starts_with("E: "));
        if failed || !out.status.success() {
            let hint = update_hint(&said, &self.suite);
            bail!("cannot fetch the package lists of suite {}: {hint}\n{}", self.suite, sandbox::tail(&out));
        }
        // The cache is made once here, so that parallel questions need not write it.
        sandbox::run(self.apt("apt-cache").arg("gencaches"), "apt-cache gencaches")?;
        files::write(&self.stamp(), b"")?;
        step.done("");
        Ok(())
    }

    /// All versions of `package` in the suite, newest first; none when the suite lacks it.
    pub fn packages(&self, package: &str) -> Result<Vec<Package>> {
        // apt-cache show fails for a name that is unknown and for other reasons alike.
        let out = self.apt("apt-cache").args(["show", "--", package]).output().context("cannot start apt-cache")?;
        let said = String::from_utf8_lossy(&out.stderr);
        if !out.status.success() && !said.contains("No packages found") && !said.contains("Unable to locate") {
            bail!("apt-cache show {package} failed:\n{}", sandbox::tail(&out));
        }
        Ok(parse_packages(&String::from_utf8_lossy(&out.stdout), package))
    }

    /// The versions of `package` in the suite, newest first.
    pub fn versions(&self, package: &str) -> Result<Vec<String>> {
        Ok(self.packages(package)?.into_iter().map(|p| p.version).collect())
    }

    /// `package` in `version`, or in its newest; None when the suite has no such thing.
    pub fn find(&self, package: &str, version: Option<&str>) -> Result<Option<Package>> {
        let all = self.packages(package)?;
        Ok(all.into_iter().find(|p| version.is_none_or(|v| p.version == v)))
    }

    /// Names of the packages that start with `prefix`.
    pub fn names(&self, prefix: &str) -> Result<Vec<String>> {
        let out = sandbox::run(self.apt("apt-cache").args(["pkgnames", "--", prefix]), "apt-cache pkgnames")?;
        let mut names: Vec<String> = String::from_utf8_lossy(&out.stdout).lines().map(String::from).collect();
        names.sort();
        Ok(names)
    }

    /// Fetches `package` (in `version`, or its newest) and returns the .deb in the cache. A file that
    /// is there already is used when its SHA-256 is the one of the signed lists.
    pub fn fetch(&self, package: &str, version: Option<&str>) -> Result<PathBuf> {
        let Some(wanted) = self.find(package, version)? else {
            let have = self.versions(package)?;
            let suite = &self.suite;
            match version {
                Some(v) if !have.is_empty() => {
                    bail!("suite {suite} has no {package} {v}: it has {}; {SNAPSHOT}", have.join(", "))
                }
                _ => bail!("suite {suite} ({}) has no package {package}", self.arch),
            }
        };
        let debs = files::cache_dir()?.join("debs");
        let deb = debs.join(wanted.file_name());
        let _lock = files::lock(&debs.join(format!("{}.lock", wanted.file_name())), "fetches the same package")?;
        if is_intact(&deb, &wanted) {
            return Ok(deb);
        }
        let begun = debs.join(format!("{}.part", wanted.file_name()));
        remove_dir(&begun)?;
        make_dir(&begun)?;
        let what = format!("{}={}", wanted.name, wanted.version);
        let out =
            self.apt("apt-get").args(["-q", "download", &what]).current_dir(&begun).output().context("apt-get")?;
        let got = begun.join(wanted.file_name());
        if !out.status.success() || !got.exists() {
            let hint = fetch_hint(&String::from_utf8_lossy(&out.stderr), &debs);
            // Lists that no longer agree with the mirror must not hinder the next run.
            let _ = fs::remove_file(self.stamp());
            bail!("cannot fetch {what} of suite {}: {hint}\n{}", self.suite, sandbox::tail(&out));
        }
        ensure!(is_intact(&got, &wanted), "{what} came with other content than the signed lists name: run again");
        fs::rename(&got, &deb).with_context(|| format!("cannot move {} into {}", got.display(), debs.display()))?;
        remove_dir(&begun)?;
        Ok(deb)
    }
}

/// What to do when an archive has moved on.
pub const SNAPSHOT: &str = "an archive that still has it can be named with --mirror URI (a snapshot of that day, say)";

/// Fetches `package` of `suite` for `arch` (Debian's name) through the machine's own apt sources.
pub fn fetch(suite: &str, arch: &str, package: &str, version: Option<&str>) -> Result<PathBuf> {
    Archive::open(suite, arch, None)?.fetch(package, version)
}

/// The versions of `package` in `suite`, newest first.
pub fn versions(suite: &str, arch: &str, package: &str) -> Result<Vec<String>> {
    Archive::open(suite, arch, None)?.versions(package)
}

/// This machine's architecture by Debian's name.
pub fn machine_arch() -> Result<String> {
    let out = sandbox::run(Command::new("dpkg").arg("--print-architecture"), "dpkg --print-architecture")?;
    Ok(String::from_utf8_lossy(&out.stdout).trim().to_string())
}

/// Unpacks the files of `deb` into `dir` (made when missing); `only` names what to unpack, as tar has
/// it (`./usr/lib/modules`), everything when empty.
pub fn unpack(deb: &Path, dir: &Path, only: &[&str]) -> Result<()> {
    make_dir(dir)?;
    let mut reader = fsys_tarfile(deb).spawn().context("cannot start dpkg-deb")?;
    let stdout = reader.stdout.take().context("dpkg-deb gave no output")?;
    let mut tar = tied("tar");
    tar.args(["-x", "--no-same-owner", "-C"]).arg(dir).args(only).stdin(stdout);
    let done = sandbox::run(&mut tar, &format!("unpacking {}", deb.display()));
    // dpkg-deb's words tell more about a damaged package than tar's.
    let read = reader.wait_with_output().context("dpkg-deb")?;
    ensure!(
        read.status.success() || done.is_ok(),
        "{} is damaged or the disk is full:\n{}",
        deb.display(),
        sandbox::tail(&read)
    );
    done.map(|_| ())
}

/// Lists the paths in `deb`.
pub fn contents(deb: &Path) -> Result<Vec<String>> {
    let mut reader = fsys_tarfile(deb).spawn().context("cannot start dpkg-deb")?;
    let stdout = reader.stdout.take().context("dpkg-deb gave no output")?;
    let out = sandbox::run(Command::new("tar").arg("-t").stdin(stdout), &format!("listing {}", deb.display()));
    let _ = reader.wait();
    Ok(String::from_utf8_lossy(&out?.stdout).lines().map(String::from).collect())
}

/// `dpkg-deb --fsys-tarfile`: the package's files as a tar stream on a pipe.
pub(super) fn fsys_tarfile(deb: &Path) -> Command {
    let mut c = tied("dpkg-deb");
    c.arg("--fsys-tarfile").arg(deb).stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::piped());
    c
}

/// sources.list lines for `suite`, the suite it adds to first.
fn lines(suite: &str, mirror: Option<&str>) -> Result<Vec<String>> {
    let base = sources::base_suite(suite);
    let mut suites = vec![base];
    if base != suite {
        suites.push(suite);
    }
    let entries = sources::machine(Path::new("/")).unwrap_or_default();
    suites.into_iter().map(|s| line(&entries, s, mirror)).collect()
}

fn line(entries: &[Entry], suite: &str, mirror: Option<&str>) -> Result<String> {
    let found = sources::serving(entries, suite);
    let uri = match (mirror, found) {
        (Some(m), _) => m,
        (None, Some(entry)) => entry.uris.iter().map(String::as_str).find(|u| !u.starts_with("cdrom:")).unwrap_or(""),
        (None, None) => bail!(
            "no entry of this machine's apt sources is a Debian archive that could hold suite {suite}: \
             name one with --mirror URI"
        ),
    };
    ensure!(
        uri.contains(':') && !uri.contains(char::is_whitespace),
        "{uri:?} is no archive address; an example of the form: http://HOST/debian"
    );
    let key = match found.and_then(|e| e.signed_by.as_deref()) {
        Some(k) if k.contains("BEGIN PGP") => {
            let file = files::cache_dir()?.join("apt").join(format!("key-{}.asc", &files::sha256(k.as_bytes())[..12]));
            files::write(&file, format!("{k}\n").as_bytes())?;
            Some(file.display().to_string())
        }
        Some(k) => k.split_whitespace().next().map(String::from),
        None => Path::new(KEYRING).exists().then(|| KEYRING.to_string()),
    };
    let key = key.map(|k| format!("signed-by={k} ")).unwrap_or_default();
    Ok(format!("deb [{key}target=Packages] {uri} {suite} main"))
}

fn parse_packages(text: &str, package: &str) -> Vec<Package> {
    let mut found: Vec<Package> = Vec::new();
    for stanza in sources::stanzas(text) {
        let get = |name: &str| stanza.iter().find(|(n, _)| n == name).map(|(_, v)| v.clone()).unwrap_or_default();
        // `apt-cache show` also shows packages that merely provide the name.
        if get("Package") == package && !found.iter().any(|p| p.version == get("Version")) {
            found.push(Package {
                name: get("Package"),
                version: get("Version"),
                arch: get("Architecture"),
                depends: get("Depends"),
                sha256: get("SHA256"),
                size: get("Size").parse().unwrap_or(0),
            });
        }
    }
    found
}

fn is_intact(deb: &Path, wanted: &Package) -> bool {
    use sha2::{Digest, Sha256};
    let sum = || -> std::io::Result<String> {
        let mut hash = Sha256::new();
        std::io::copy(&mut fs::File::open(deb)?, &mut hash)?;
        Ok(files::hex(&hash.finalize()))
    };
    let size = fs::metadata(deb).map(|m| m.len()).unwrap_or(0);
    wanted.sha256.len() == 64 && size == wanted.size && sum().is_ok_and(|s| s == wanted.sha256)
}

fn update_hint(said: &str, suite: &str) -> String {
    if said.contains("does not have a Release file") || said.contains("404") {
        format!("the archive has no suite {suite:?} (examples: forky, sid, trixie)")
    } else if said.contains("NO_PUBKEY") || said.contains("not signed") || said.contains("signatures") {
        "its signature could not be verified: a newer debian-archive-keyring on this machine may help".into()
    } else {
        fetch_hint(said, Path::new("the cache folder"))
    }
}

fn fetch_hint(said: &str, dir: &Path) -> String {
    if said.contains("No space left") {
        format!("the disk is full: make room in {} (or name another folder in KMEND_CACHE)", dir.display())
    } else if said.contains("resolv") || said.contains("onnect") || said.contains("unreachable") {
        "the archive cannot be reached: is the network up? What is already here stays; run it again".into()
    } else if said.contains("404") {
        "the archive no longer has it; run again, which fetches the lists anew".into()
    } else {
        "apt says".into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn package_stanzas() {
        let text = "Package: linux-source-7.2\nVersion: 7.2.13-1\nArchitecture: all\nSize: 5\nSHA256: ab\n\
                    Depends: binutils, xz-utils\nDescription: x\n more\n\n\
                    Package: other\nVersion: 1\nProvides: linux-source-7.2\n\n\
                    Package: linux-source-7.2\nVersion: 1:7.2.12-1\nArchitecture: all\n";
        let found = parse_packages(text, "linux-source-7.2");
        assert_eq!(found.len(), 2);
        assert_eq!(found[0].depends, "binutils, xz-utils");
        assert_eq!(found[1].file_name(), "linux-source-7.2_1%3a7.2.12-1_all.deb");
    }

    #[test]
    fn intact_means_the_signed_content() {
        let dir = tempfile::tempdir().unwrap();
        let deb = dir.path().join("x.deb");
        fs::write(&deb, b"content").unwrap();
        let mut p = parse_packages("Package: x\nVersion: 1\nArchitecture: all\n", "x").remove(0);
        assert!(!is_intact(&deb, &p), "no checksum in the lists");
        p.size = 7;
        p.sha256 = files::sha256(b"content");
        assert!(is_intact(&deb, &p));
        fs::write(&deb, b"c0ntent").unwrap();
        assert!(!is_intact(&deb, &p));
    }

    #[test]
    fn lines_name_key_and_suite() {
        let entries = sources::parse_list("deb [signed-by=/k/debian-archive.gpg] http://a.example/debian sid main\n");
        let own = line(&entries, "forky", None).unwrap();
        assert_eq!(own, "deb [signed-by=/k/debian-archive.gpg target=Packages] http://a.example/debian forky main");
        let other = line(&entries, "forky", Some("http://b.example/x")).unwrap();
        assert_eq!(other, "deb [signed-by=/k/debian-archive.gpg target=Packages] http://b.example/x forky main");
        assert!(line(&entries, "forky", Some("two words")).is_err());
        assert!(line(&[], "forky", None).unwrap_err().to_string().contains("--mirror"));
    }

    #[test]
    fn odd_suite_names_are_refused() {
        for suite in ["", "a b", "../x", "-x", "a/b", "a\nb"] {
            assert!(Archive::open(suite, "amd64", Some("http://a.example/debian")).is_err(), "{suite:?}");
        }
    }
}
