// SPDX-License-Identifier: GPL-2.0-or-later
//! Build roots of RPM packages: repositories and a kernel's .config in, a root with exactly the compiler of that kernel
//! out. Targets that want the same packages share one.

use super::dnf::{Dnf, Found, NAME_ANOTHER};
use crate::progress;
use crate::sandbox::Sandbox;
use crate::target::buildroot::Root;
use crate::target::config::Config;
use crate::target::record;
use anyhow::{bail, ensure, Context, Result};
use kmend_shared::{arch, programs};
use std::fs;
use std::path::{Path, PathBuf};

/// What every kernel's build wants beside its compiler, by the names of RHEL and Fedora.
pub const TOOLS: &[&str] = &[
    "bc",
    "binutils",
    "bison",
    "bzip2",
    "cpio",
    "diffutils",
    "dwarves",
    "elfutils-libelf-devel",
    "findutils",
    "flex",
    "gawk",
    "hostname",
    "kmod",
    "make",
    "openssl",
    "openssl-devel",
    "patch",
    "perl-interpreter",
    "python3",
    "rpm-build",
    "rsync",
    "tar",
    "xz",
    "zstd",
];

/// Programs of these packages that this machine has to have to be the build root itself.
const PROGRAMS: [&str; 6] = ["bc", "bison", "flex", "ld", "make", "openssl"];

/// A Rust toolchain.
pub const RUST: &[&str] = &["bindgen-cli", "clang", "clang-devel", "rust", "rust-src"];

/// The root for the kernel of `config`: this machine where its compiler is the kernel's, else one of the repositories' packages.
///
/// # Errors
/// Repositories without that version of the compiler, or without another of the packages.
pub fn find_or_make(dnf: &Dnf, config: &Config) -> Result<PathBuf> {
    let cc = record::cc_program(config)?;
    let wanted = record::cc_text(config)?;
    let has_tools = PROGRAMS.iter().all(|program| programs::find(program).is_some());
    if has_tools && record::version_of(&Sandbox::new(Path::new("/")), cc).is_ok_and(|here| here == wanted) {
        progress::note(&format!("this machine's own {cc} is the kernel's: no build root is made"));
        return Ok("/".into());
    }
    let compiler = compiler(dnf, cc, wanted)?;
    let mut names: Vec<&str> = TOOLS.to_vec();
    for (option, package) in [("CONFIG_GCC_PLUGINS", "gcc-plugin-devel"), ("CONFIG_GENDWARFKSYMS", "elfutils-devel")] {
        if config.is_on(option) {
            names.push(package);
        }
    }
    if config.is_on("CONFIG_RUST") {
        names.extend(RUST);
    }
    let mut packages = latest(dnf, &names)?;
    for (option, tool, version) in recorded(config) {
        let all = dnf.query(&[tool])?;
        match all.iter().filter(|p| is_version(&p.version, &version)).max_by(|a, b| order(a, b)) {
            Some(same) => {
                packages.retain(|p| p.name != tool);
                packages.push(same.clone());
            }
            // It makes no code that differs: what follows from it is compared, and each function is proven.
            None => progress::note(&format!(
                "the kernel was built with {tool} {version} ({option}), {} has {}: that is used instead",
                dnf.repositories,
                all.iter().map(|p| p.version.as_str()).collect::<Vec<_>>().join(", ")
            )),
        }
    }
    packages.push(compiler);
    make(dnf, packages, cc, Some(wanted), config.is_on("CONFIG_RUST"))
}

/// A root with a Rust toolchain alone, of the machine's repositories.
///
/// # Errors
/// Repositories that do not have it.
pub fn rust(dnf: &Dnf) -> Result<PathBuf> {
    dnf.refresh()?;
    make(dnf, latest(dnf, RUST)?, "clang", None, true)
}

fn make(dnf: &Dnf, mut packages: Vec<Found>, cc: &str, words: Option<&str>, rust: bool) -> Result<PathBuf> {
    packages.sort();
    let version = release_version();
    let names: Vec<String> = packages.iter().map(Found::full_name).collect();
    let root = Root {
        name: format!("rpm-{}", arch::host()),
        made_from: format!("{}\n{}\n{}\n", dnf.key(), version.as_deref().unwrap_or_default(), names.join("\n")),
        cc: cc.into(),
        cc_words: words.map(String::from),
        rust,
    };
    if dnf.unchecked {
        progress::note(
            "signatures of the build root's packages are not checked: --gpg-key names the public key that signed them",
        );
    }
    root.make(|dir, _| {
        dnf.install(&names, version.as_deref(), dir)?;
        Ok(format!("{} packages asked for", names.len()))
    })
}

/// The newest of each of the packages.
fn latest(dnf: &Dnf, names: &[&str]) -> Result<Vec<Found>> {
    let found = dnf.query(&[&["--latest-limit=1"], names].concat())?;
    let is_mine = |package: &&Found| ["noarch", arch::host()].contains(&package.arch.as_str());
    let pick =
        |name: &&str| found.iter().filter(is_mine).filter(|p| p.name == **name).max_by(|a, b| order(a, b)).cloned();
    let missing: Vec<&str> = names.iter().filter(|name| pick(name).is_none()).copied().collect();
    ensure!(
        missing.is_empty(),
        "{} has no package {}, which a build root takes: {NAME_ANOTHER} beside these (each repository that is meant is named then), \
         --root DIR a build root that you made",
        dnf.repositories,
        missing.join(", ")
    );
    Ok(names.iter().filter_map(pick).collect())
}

fn order(a: &Found, b: &Found) -> std::cmp::Ordering {
    rpm_version::rpm_evr_compare(&a.version, &b.version)
}

/// The package with the compiler `cc` that says `words` of itself.
fn compiler(dnf: &Dnf, cc: &str, words: &str) -> Result<Found> {
    let version = compiler_version(words).with_context(|| format!("{words:?} names no version of a compiler"))?;
    let mut all = dnf.query(&["--whatprovides", &format!("/usr/bin/{cc}")])?;
    all.retain(|package| package.arch == arch::host());
    if let Some(found) = all.iter().filter(|p| is_version(&p.version, &version)).max_by(|a, b| order(a, b)) {
        return Ok(found.clone());
    }
    let have = match all.is_empty() {
        true => "has none".to_string(),
        false => format!("has {}", all.iter().map(Found::full_name).collect::<Vec<_>>().join(", ")),
    };
    bail!(
        "the kernel was built with {words:?}, that is {cc} {version}: {} {have}. {NAME_ANOTHER} that still has it, beside these (each \
         repository that is meant is named then), --root DIR a build root with it",
        dnf.repositories
    )
}

/// `11.4.1-3` of `gcc (GCC) 11.4.1 20231218 (Red Hat 11.4.1-3)`; `7.5.0` of `gcc (SUSE Linux) 7.5.0`.
fn compiler_version(words: &str) -> Option<String> {
    let is_version = |word: &&str| word.starts_with(|c: char| c.is_ascii_digit()) && word.contains('.');
    let brackets = words.split('(').skip(1).filter_map(|part| part.split_once(')'));
    let packaged =
        brackets.filter_map(|(inside, _)| inside.split_whitespace().find(is_version)).find(|w| w.contains('-'));
    let own = || words.split(['(', ')']).step_by(2).flat_map(str::split_whitespace).find(is_version);
    packaged.or_else(own).map(String::from)
}

/// Whether a package's `version` is `wanted` with the distribution's own ending (`11.4.1-3.el9` is `11.4.1-3`), or any release of it.
fn is_version(version: &str, wanted: &str) -> bool {
    version.strip_prefix(wanted).is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '_', '-']))
}

/// The tools whose versions the .config has, by their packages.
fn recorded(config: &Config) -> Vec<(&'static str, &'static str, String)> {
    let number = |option| config.get(option).and_then(|value| value.parse::<u32>().ok()).filter(|number| *number > 0);
    let mut all = Vec::new();
    if let Some(n) = number("CONFIG_LD_VERSION") {
        // 23502 is 2.35.2 (scripts/ld-version.sh); GNU leaves out a last 0.
        let (major, minor, patch) = (n / 10_000, n / 100 % 100, n % 100);
        let patch = if patch == 0 { String::new() } else { format!(".{patch}") };
        all.push(("CONFIG_LD_VERSION", "binutils", format!("{major}.{minor}{patch}")));
    }
    if let Some(n) = number("CONFIG_PAHOLE_VERSION") {
        // 125 is 1.25 (scripts/pahole-version.sh).
        all.push(("CONFIG_PAHOLE_VERSION", "dwarves", format!("{}.{}", n / 100, n % 100)));
    }
    all
}

/// What this machine's repositories call its release ($releasever): RHEL and what is built from it by the first number alone. None on
/// a machine of another family, whose repositories are named with their addresses.
fn release_version() -> Option<String> {
    let text = fs::read_to_string("/etc/os-release").ok()?;
    version_in(&text)
}

fn version_in(os_release: &str) -> Option<String> {
    let get = |name: &str| {
        os_release.lines().find_map(|l| l.strip_prefix(name)?.strip_prefix('=')).map(|v| v.trim_matches('"'))
    };
    let version = get("VERSION_ID")?;
    let family = format!("{} {}", get("ID")?, get("ID_LIKE").unwrap_or_default());
    let first = version.split('.').next().unwrap_or(version);
    Some(if family.split(' ').any(|id| id == "rhel") { first } else { version }.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_of_compilers() {
        for (words, version) in [
            ("gcc (GCC) 11.4.1 20231218 (Red Hat 11.4.1-3)", "11.4.1-3"),
            ("gcc (GCC) 14.2.1 20240912 (Red Hat 14.2.1-3)", "14.2.1-3"),
            ("gcc (SUSE Linux) 7.5.0", "7.5.0"),
            ("gcc-12 (Debian 12.2.0-14+deb12u1) 12.2.0", "12.2.0-14+deb12u1"),
        ] {
            assert_eq!(compiler_version(words).as_deref(), Some(version), "{words}");
        }
        assert_eq!(compiler_version("gcc"), None);
        assert!(is_version("11.4.1-3.el9", "11.4.1-3") && is_version("7.5.0-150000.3", "7.5.0"));
        assert!(!is_version("11.4.1-30.el9", "11.4.1-3") && !is_version("11.5.0-2.el9", "11.4.1-3"));
    }

    #[test]
    fn versions_in_a_config() {
        let config = Config::parse("CONFIG_LD_VERSION=23502\nCONFIG_PAHOLE_VERSION=125\n");
        let all: Vec<(&str, String)> =
            recorded(&config).into_iter().map(|(_, tool, version)| (tool, version)).collect();
        assert_eq!(all, [("binutils", "2.35.2".to_string()), ("dwarves", "1.25".to_string())]);
        let round = Config::parse("CONFIG_LD_VERSION=24000\nCONFIG_PAHOLE_VERSION=0\n");
        assert_eq!(recorded(&round), [("CONFIG_LD_VERSION", "binutils", "2.40".to_string())]);
    }

    #[test]
    fn releases_of_distributions() {
        assert_eq!(version_in("ID=\"rhel\"\nVERSION_ID=\"9.4\"\n").as_deref(), Some("9"));
        assert_eq!(version_in("ID=rocky\nID_LIKE=\"rhel centos fedora\"\nVERSION_ID=\"9.4\"\n").as_deref(), Some("9"));
        assert_eq!(version_in("ID=fedora\nVERSION_ID=40\n").as_deref(), Some("40"));
        assert_eq!(version_in("ID=arch\n"), None);
    }
}
