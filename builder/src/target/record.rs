// SPDX-License-Identifier: GPL-2.0-or-later
//! Checks that compilers, config and release agree with the kernel's own record: the shipped .config,
//! the banner in the shipped image, and the available compilers in; the compilers' version lines or a refusal out.

use super::config::Config;
use crate::sandbox::Sandbox;
use anyhow::{bail, ensure, Context, Result};

/// What the image says about itself: `linux_banner` of init/version.c.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Banner {
    /// `uname -r`.
    pub release: String,
    /// Who built it: `user@host`.
    pub builder: String,
    /// Compiler and linker, as in LINUX_COMPILER: `gcc-16 (Debian 16.2.0-3) 16.2.0, GNU ld …`.
    pub compilers: String,
    /// `uname -v`.
    pub version: String,
}

/// The compilers a kernel was built with and that are at hand, by their own words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Compilers {
    /// First line of the C compiler's `--version`.
    pub cc: String,
    /// rustc's `--version`; None where the kernel has no CONFIG_RUST.
    pub rustc: Option<String>,
}

/// Finds the banner in an ELF kernel image.
pub fn banner(image: &[u8]) -> Result<Banner> {
    const START: &[u8] = b"Linux version ";
    let mut rest = image;
    while let Some(at) = find(rest, START) {
        let line = &rest[at..];
        let end = line.iter().take(1024).position(|&b| b == 0 || b == b'\n').unwrap_or(0);
        if let Some(found) = std::str::from_utf8(&line[..end]).ok().and_then(parse_banner) {
            return Ok(found);
        }
        rest = &line[START.len()..];
    }
    bail!("no \"Linux version …\" banner in the image: is it a kernel?")
}

fn find(data: &[u8], what: &[u8]) -> Option<usize> {
    let first = *what.first()?;
    let mut from = 0;
    // Candidates by the first byte keep this fast on tens of megabytes.
    while let Some(at) = data.get(from..)?.iter().position(|&b| b == first) {
        if data[from + at..].starts_with(what) {
            return Some(from + at);
        }
        from += at + 1;
    }
    None
}

/// `Linux version RELEASE (USER@HOST) (COMPILERS) #1 …`; the compilers' words hold parentheses themselves.
fn parse_banner(line: &str) -> Option<Banner> {
    let rest = line.strip_prefix("Linux version ")?;
    let (release, rest) = rest.split_once(" (")?;
    let (builder, rest) = rest.split_once(") (")?;
    let (compilers, version) = rest.rsplit_once(") #")?;
    let release_like = release.starts_with(|c: char| c.is_ascii_digit()) && !release.contains(char::is_whitespace);
    // linux_banner proper has the build number; the copy that CONFIG_… template strings leave has "# SMP".
    let numbered = version.starts_with(|c: char| c.is_ascii_digit());
    (release_like && numbered).then(|| Banner {
        release: release.into(),
        builder: builder.into(),
        compilers: compilers.into(),
        version: format!("#{version}"),
    })
}

/// The image must be of `release` and made by the compiler of `config`.
pub fn check_banner(banner: &Banner, release: &str, config: &Config) -> Result<()> {
    ensure!(
        banner.release == release,
        "the image says it is {}, the packages or the tree are {release}: they do not belong together",
        banner.release
    );
    let cc = cc_text(config)?;
    ensure!(
        banner.compilers == cc || banner.compilers.starts_with(&format!("{cc},")),
        "the image says it was compiled by {:?}, its .config by {cc:?}: they do not belong together",
        banner.compilers
    );
    Ok(())
}

/// The headers' record (include/generated/compile.h) must name the compiler of `config`.
pub fn check_compile_h(text: &str, config: &Config) -> Result<()> {
    let Some(compiler) = define(text, "LINUX_COMPILER") else { return Ok(()) };
    let cc = cc_text(config)?;
    ensure!(
        compiler.starts_with(cc),
        "compile.h of the kernel's headers names the compiler {compiler:?}, its .config {cc:?}: they do not belong together"
    );
    Ok(())
}

/// The value of `#define NAME "value"`.
pub fn define<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    let line = text.lines().find(|l| l.split_whitespace().nth(1) == Some(name))?;
    let (_, value) = line.split_once('"')?;
    value.rsplit_once('"').map(|(v, _)| v)
}

/// CONFIG_CC_VERSION_TEXT, with a clear word where kmend cannot go.
pub fn cc_text(config: &Config) -> Result<&str> {
    ensure!(
        config.is_on("CONFIG_CC_IS_GCC"),
        "the kernel was not built with gcc (CONFIG_CC_IS_GCC is off): other compilers are not supported"
    );
    let text = config.get("CONFIG_CC_VERSION_TEXT").filter(|t| !t.is_empty());
    text.context("the .config has no CONFIG_CC_VERSION_TEXT (it came with Linux 5.8): older kernels are not supported")
}

/// The C compiler's program, as it is passed to kbuild: the first word of CONFIG_CC_VERSION_TEXT.
pub fn cc_program(config: &Config) -> Result<&str> {
    let text = cc_text(config)?;
    let word = text.split_whitespace().next().unwrap_or("");
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_.+".contains(c);
    ensure!(
        !word.is_empty() && word.chars().all(plain) && !word.starts_with('-') && word.contains("gcc"),
        "CONFIG_CC_VERSION_TEXT starts with no gcc's name: {text:?}"
    );
    Ok(word)
}

/// CONFIG_RUSTC_VERSION_TEXT of a kernel with CONFIG_RUST.
pub fn rustc_text(config: &Config) -> Result<Option<&str>> {
    if !config.is_on("CONFIG_RUST") {
        return Ok(None);
    }
    let text = config.get("CONFIG_RUSTC_VERSION_TEXT").filter(|t| !t.is_empty());
    Ok(Some(text.context("the .config has CONFIG_RUST=y and no CONFIG_RUSTC_VERSION_TEXT")?))
}

/// Asks the compilers in `sandbox` who they are.
pub fn compilers(sandbox: &Sandbox, cc: &str, rust: bool) -> Result<Compilers> {
    let rustc = if rust { Some(version_of(sandbox, "rustc")?) } else { None };
    Ok(Compilers { cc: version_of(sandbox, cc)?, rustc })
}

/// The first line that `program --version` prints in `sandbox`.
pub fn version_of(sandbox: &Sandbox, program: &str) -> Result<String> {
    let out = sandbox.clone().cwd("/").output(program, &["--version"])?;
    ensure!(
        out.status.success(),
        "{program} cannot be run in {}: {}",
        sandbox.root.display(),
        String::from_utf8_lossy(&out.stderr).lines().last().unwrap_or("it says nothing")
    );
    let text = String::from_utf8_lossy(&out.stdout).into_owned();
    Ok(text.lines().next().unwrap_or("").trim().to_string())
}

/// The compilers at hand must be those of the kernel's record, to the letter.
pub fn check_compilers(found: &Compilers, config: &Config, place: &str) -> Result<()> {
    let cc = cc_text(config)?;
    ensure!(
        found.cc == cc,
        "compilers differ: the kernel was built with {cc:?}, {place} has {:?}. Code from another compiler would not \
         match the running code",
        found.cc
    );
    if let Some(rustc) = rustc_text(config)? {
        let have = found.rustc.as_deref().unwrap_or("no rustc");
        ensure!(
            have == rustc,
            "Rust compilers differ: the kernel was built with {rustc:?}, {place} has {have:?}. Its Rust metadata could \
             not be used"
        );
    }
    Ok(())
}

/// The code of a kernel that is refused for an option of its own.
const UNSUPPORTED: &str = "kernel-option";

/// What a kernel must have to be a target at all.
pub fn check_config(config: &Config) -> Result<()> {
    ensure!(!config.is_empty(), "the .config is empty");
    for (option, why) in [
        ("CONFIG_LIVEPATCH", "this kernel cannot load live patches"),
        ("CONFIG_MODULES", "this kernel cannot load modules"),
    ] {
        ensure!(config.is_on(option), "{option} is off in the kernel's .config: {why}");
    }
    for (option, why) in [
        (
            "CONFIG_LIVEPATCH_WO_FTRACE",
            "openEuler's own form of live patches, which replaces functions without ftrace; kmend makes those of upstream's kernel",
        ),
        ("CONFIG_PPC_KERNEL_PCREL", "code without a TOC pointer is not supported"),
        ("CONFIG_PPC64_ELF_ABI_V1", "kmend knows ELFv2, the ABI of ppc64le, only"),
        // The kernel's own Rust does not go with it either: bindgen cannot know the order of members.
        (
            "CONFIG_RANDSTRUCT",
            "the layout of its structures cannot be known to Rust, in which live patches are registered",
        ),
    ] {
        ensure!(!config.is_on(option), "[{UNSUPPORTED}] {option} is on in the kernel's .config: {why}");
    }
    cc_text(config).map(|_| ())
}

#[cfg(test)]
mod tests {
    use super::*;

    const CC: &str = "x86_64-linux-gnu-gcc-16 (Debian 16.2.0-3) 16.2.0";
    const LINE: &str = "Linux version 7.2.12+deb14-amd64 (debian-kernel@lists.debian.org) (x86_64-linux-gnu-gcc-16 \
                        (Debian 16.2.0-3) 16.2.0, GNU ld (GNU Binutils for Debian) 2.47) #1 SMP Debian 7.2.12-1 (2026-10-22)";

    fn config(cc: &str) -> Config {
        Config::parse(&format!(
            "CONFIG_CC_IS_GCC=y\nCONFIG_CC_VERSION_TEXT=\"{cc}\"\nCONFIG_LIVEPATCH=y\nCONFIG_MODULES=y\n\
             CONFIG_RUST=y\nCONFIG_RUSTC_VERSION_TEXT=\"rustc 1.97.1 (x)\"\n"
        ))
    }

    #[test]
    fn banner_is_found_behind_look_alikes() {
        let mut image = b"\0Linux version %s\0Linux version ".to_vec();
        image.extend(LINE.replace("#1 ", "# ").as_bytes());
        image.extend(b"\n\0\xff\xfeLinux version \xff\0");
        image.extend(LINE.as_bytes());
        image.extend(b"\n\0tail");
        let b = banner(&image).unwrap();
        assert_eq!(b.release, "7.2.12+deb14-amd64");
        assert_eq!(b.builder, "debian-kernel@lists.debian.org");
        assert_eq!(b.compilers, format!("{CC}, GNU ld (GNU Binutils for Debian) 2.47"));
        assert_eq!(b.version, "#1 SMP Debian 7.2.12-1 (2026-10-22)");
        check_banner(&b, "7.2.12+deb14-amd64", &config(CC)).unwrap();
        let other = check_banner(&b, "7.2.13+deb14-amd64", &config(CC)).unwrap_err().to_string();
        assert!(other.contains("7.2.12+deb14-amd64") && other.contains("7.2.13+deb14-amd64"), "{other}");
        assert!(check_banner(&b, "7.2.12+deb14-amd64", &config(&CC.replace("-3", "-4"))).is_err());
    }

    #[test]
    fn no_banner() {
        assert!(banner(b"").is_err());
        assert!(banner(b"Linux version ").is_err());
        assert!(banner(&b"Linux version 7 (a) (b) #1".repeat(3)).is_err(), "without an end");
    }

    #[test]
    fn compilers_must_agree() {
        let good = Compilers { cc: CC.into(), rustc: Some("rustc 1.97.1 (x)".into()) };
        check_compilers(&good, &config(CC), "the root").unwrap();
        let drifted = Compilers { cc: CC.replace("-3", "-4"), ..good.clone() };
        let said = check_compilers(&drifted, &config(CC), "the root").unwrap_err().to_string();
        assert!(said.contains("16.2.0-3") && said.contains("16.2.0-4"), "{said}");
        let rust = Compilers { rustc: Some("rustc 1.98.0".into()), ..good.clone() };
        let said = check_compilers(&rust, &config(CC), "the root").unwrap_err().to_string();
        assert!(said.contains("1.97.1") && said.contains("1.98.0"), "{said}");
        assert!(check_compilers(&Compilers { rustc: None, ..good }, &config(CC), "the root").is_err());
    }

    #[test]
    fn compile_h() {
        let h = format!("#define UTS_MACHINE\t\t\"x86_64\"\n#define LINUX_COMPILER\t\t\"{CC}, GNU ld 2\"\n");
        check_compile_h(&h, &config(CC)).unwrap();
        assert!(check_compile_h(&h, &config("gcc-15 (Debian) 15")).is_err());
        assert_eq!(define(&h, "UTS_MACHINE"), Some("x86_64"));
        assert_eq!(define("#define X\n#define", "X"), None);
    }

    #[test]
    fn odd_configs_are_refused() {
        assert!(check_config(&Config::default()).is_err());
        let off = Config::parse("# CONFIG_LIVEPATCH is not set\nCONFIG_MODULES=y\n");
        assert!(check_config(&off).unwrap_err().to_string().contains("CONFIG_LIVEPATCH"));
        check_config(&config(CC)).unwrap();
        let on = "CONFIG_LIVEPATCH=y\nCONFIG_MODULES=y\nCONFIG_PPC_KERNEL_PCREL=y\n";
        assert!(check_config(&Config::parse(on)).unwrap_err().to_string().contains("CONFIG_PPC_KERNEL_PCREL is on"));
        let other = "CONFIG_LIVEPATCH=y\nCONFIG_MODULES=y\nCONFIG_LIVEPATCH_WO_FTRACE=y\n";
        assert!(check_config(&Config::parse(other))
            .unwrap_err()
            .to_string()
            .contains("CONFIG_LIVEPATCH_WO_FTRACE is on"));
        let shuffled = "CONFIG_LIVEPATCH=y\nCONFIG_MODULES=y\nCONFIG_RANDSTRUCT=y\n";
        assert!(check_config(&Config::parse(shuffled)).unwrap_err().to_string().contains("CONFIG_RANDSTRUCT is on"));
        for bad in ["-x gcc", "rm;gcc", "", "cc 1"] {
            assert!(cc_program(&config(bad)).is_err(), "{bad:?}");
        }
        assert_eq!(cc_program(&config(CC)).unwrap(), "x86_64-linux-gnu-gcc-16");
    }
}
