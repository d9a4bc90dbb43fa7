// SPDX-License-Identifier: GPL-2.0-or-later
//! Prepares an unpacked source tree: stock .config and Module.symvers in; generated headers, Rust
//! metadata and objtool out, all for the stock release string and with the stock compilers.

use super::config::Config;
use super::distro;
use super::record::{self, Banner};
use crate::sandbox::{Limits, Sandbox};
use crate::{files, progress};
use anyhow::{bail, ensure, Context, Result};
use std::collections::HashSet;
use std::fs;
use std::path::Path;

/// Variables and environment that every `make` in the tree gets.
#[derive(Clone, Debug)]
pub struct Make {
    /// Each `NAME=value`.
    pub vars: Vec<String>,
    /// Name and value.
    pub env: Vec<(String, String)>,
}

impl Make {
    /// For the kernel of `config`, whose `release` was built by whom `banner` says, with the tools in
    /// `root`. `kbuild_arch` is kbuild's ARCH.
    pub fn new(config: &Config, banner: &Banner, kbuild_arch: &str, root: &Path) -> Result<Self> {
        let cc = record::cc_program(config)?;
        let (prefix, gcc) = cc.split_at(cc.rfind("gcc").unwrap_or(0));
        let mut vars = vec![
            format!("ARCH={kbuild_arch}"),
            format!("CROSS_COMPILE={prefix}"),
            format!("CC={cc}"),
            format!("HOSTCC={gcc}"),
            format!("KERNELRELEASE={}", banner.release),
        ];
        // Whoever prepares, and whenever: the same bytes. These are the stock kernel's own.
        let (user, host) = banner.builder.split_once('@').unwrap_or((&banner.builder, "localhost"));
        let mut env = vec![
            ("KBUILD_BUILD_USER".to_string(), user.to_string()),
            ("KBUILD_BUILD_HOST".to_string(), host.to_string()),
            ("KBUILD_BUILD_VERSION".to_string(), "1".to_string()),
            ("KBUILD_BUILD_TIMESTAMP".to_string(), "Thu, 01 Jan 1970 00:00:00 +0000".to_string()),
        ];
        if record::rustc_text(config)?.is_some() {
            vars.extend(["RUSTC=rustc", "HOSTRUSTC=rustc", "BINDGEN=bindgen"].map(String::from));
            if let Some(source) = distro::rust_library(root)? {
                env.push(("RUST_LIB_SRC".to_string(), source));
            }
        }
        Ok(Self { vars, env })
    }
}

/// Removes from `tree` (writable in `sandbox`, which starts in it) what another build left there.
///
/// # Errors
/// make fails.
pub fn clean(tree: &Path, sandbox: &Sandbox, make: &Make) -> Result<()> {
    if [".config", "include/config", "include/generated"].iter().any(|left| tree.join(left).exists()) {
        let step = progress::step("cleaning the source of what another build left in it (make mrproper)");
        run_make(sandbox, make, &["mrproper"])?;
        step.done("");
    }
    Ok(())
}

/// Prepares `tree` (writable in `sandbox`, which starts in it) with `make` for the stock `config` and `symvers` files.
pub fn prepare(
    tree: &Path,
    sandbox: &Sandbox,
    make: &Make,
    config: &Path,
    symvers: &Path,
    release: &str,
) -> Result<()> {
    let copy = |from: &Path, to: &str| files::write(&tree.join(to), &files::read(from)?);
    copy(config, ".config")?;
    copy(symvers, "Module.symvers")?;

    let step = progress::step("configuring the source as the stock kernel");
    run_make(sandbox, make, &["olddefconfig"])?;
    let stock = Config::parse(&files::read_text(config)?);
    let here = Config::parse(&files::read_text(&tree.join(".config"))?);
    let differences = stock.differences(&here);
    if !differences.is_empty() {
        bail!(
            "the kernel cannot be configured here as it was shipped; source, compilers or tools differ:\n{}",
            differences.iter().take(20).map(|d| format!("    {d}\n")).collect::<String>()
        );
    }
    step.done(&format!("{} options agree", stock.len()));

    let rust = if stock.is_on("CONFIG_RUST") { ", Rust metadata" } else { "" };
    let step = progress::step(format!("preparing the source: generated headers, objtool{rust}"));
    let jobs = crate::parallel::processors();
    run_make(sandbox, make, &[&format!("-j{jobs}"), "modules_prepare"])?;
    // Older kernels (6.1) write their own version there, whatever KERNELRELEASE says; modules are built for what is there.
    let kernel_release = tree.join("include/config/kernel.release");
    if files::read_text(&kernel_release)?.trim() != release {
        files::write(&kernel_release, format!("{release}\n").as_bytes())?;
    }
    check_prepared(tree, &stock, release)?;
    let exports = if stock.is_on("CONFIG_RUST") { check_rust_exports(tree, symvers)? } else { 0 };
    step.done(&if exports > 0 {
        format!("all {exports} Rust exports of the stock kernel are there")
    } else {
        String::new()
    });
    Ok(())
}

/// The mangled names that the Rust crates export carry a hash of compiler, flags and crates. Those of the
/// shipped kernel must all come out here too, or no Rust module would load. Returns their number.
fn check_rust_exports(tree: &Path, symvers: &Path) -> Result<usize> {
    let shipped = files::read_text(symvers)?;
    // CRC, name, exporter, kind, namespace (Documentation/kbuild/modules.rst, "The symbol table").
    let rust = |l: &str| {
        let mut fields = l.split('\t').skip(1);
        let name = fields.next().filter(|n| n.starts_with("_R"))?;
        (fields.next() == Some("vmlinux")).then(|| name.to_string())
    };
    let wanted: Vec<String> = shipped.lines().filter_map(rust).collect();
    let mut have = HashSet::new();
    for entry in fs::read_dir(tree.join("rust")).context("rust/")?.flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        if name.starts_with("exports_") && name.ends_with("_generated.h") {
            let text = files::read_text(&entry.path())?;
            have.extend(text.lines().filter_map(|l| Some(l.split_once('(')?.1.split_once(')')?.0.to_string())));
        }
    }
    let missing: Vec<&String> = wanted.iter().filter(|n| !have.contains(*n)).collect();
    ensure!(
        missing.is_empty(),
        "{} of the {} Rust symbols that the shipped kernel exports are not built here, for example {}: Rust \
         compiler, flags or source are not those it was built with",
        missing.len(),
        wanted.len(),
        missing[0]
    );
    Ok(wanted.len())
}

/// What must be in a tree before anything is built against it.
pub fn check_prepared(tree: &Path, config: &Config, release: &str) -> Result<()> {
    let kernel_release = files::read_text(&tree.join("include/config/kernel.release"))?;
    ensure!(
        kernel_release.trim() == release,
        "{} says release {}, expected {release}",
        tree.join("include/config/kernel.release").display(),
        kernel_release.trim()
    );
    let uts = files::read_text(&tree.join("include/generated/utsrelease.h"))?;
    ensure!(
        record::define(&uts, "UTS_RELEASE") == Some(release),
        "{} does not say {release}: modules would not load",
        tree.join("include/generated/utsrelease.h").display()
    );
    let mut wanted =
        vec!["scripts/module.lds", "scripts/mod/modpost", "include/generated/autoconf.h", "Module.symvers"];
    // The second name is that before 5.19.
    if config.is_on("CONFIG_OBJTOOL") || config.is_on("CONFIG_STACK_VALIDATION") {
        wanted.push("tools/objtool/objtool");
    }
    if config.is_on("CONFIG_RUST") {
        wanted.extend(["rust/libcore.rmeta", "rust/libkernel.rmeta", "include/generated/rustc_cfg"]);
    }
    for file in wanted {
        ensure!(
            tree.join(file).exists(),
            "{} is missing: the tree is not prepared (`make modules_prepare` makes it)",
            tree.join(file).display()
        );
    }
    Ok(())
}

fn run_make(sandbox: &Sandbox, make: &Make, targets: &[&str]) -> Result<()> {
    let args: Vec<&str> = make.vars.iter().map(String::as_str).chain(targets.iter().copied()).collect();
    // It compiles Rust's core library, objtool and more.
    let mut sandbox = sandbox.clone().limits(Limits::of_tools().longer(4));
    for (name, value) in &make.env {
        sandbox = sandbox.env(name, value);
    }
    let out = sandbox.run("make", &args);
    match out {
        Err(e) if format!("{e:#}").contains("No space left") => Err(e.context("the disk is full")),
        other => other.map(|_| ()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn banner() -> Banner {
        Banner {
            release: "7.2.12+deb14-amd64".into(),
            builder: "debian-kernel@lists.debian.org".into(),
            compilers: String::new(),
            version: "#1".into(),
        }
    }

    #[test]
    fn make_variables() {
        let root = tempfile::tempdir().unwrap();
        let config = Config::parse("CONFIG_CC_IS_GCC=y\nCONFIG_CC_VERSION_TEXT=\"x86_64-linux-gnu-gcc-16 (x) 1\"\n");
        let make = Make::new(&config, &banner(), "x86", root.path()).unwrap();
        assert_eq!(
            make.vars,
            [
                "ARCH=x86",
                "CROSS_COMPILE=x86_64-linux-gnu-",
                "CC=x86_64-linux-gnu-gcc-16",
                "HOSTCC=gcc-16",
                "KERNELRELEASE=7.2.12+deb14-amd64"
            ]
        );
        assert!(make.env.contains(&("KBUILD_BUILD_USER".into(), "debian-kernel".into())));

        let rust = "CONFIG_RUST=y\nCONFIG_RUSTC_VERSION_TEXT=\"rustc 1\"\n";
        let config = Config::parse(&format!("{rust}CONFIG_CC_IS_GCC=y\nCONFIG_CC_VERSION_TEXT=\"gcc-12 (x) 1\"\n"));
        let lib = root.path().join("usr/src/rustc-1/library/core/src/lib.rs");
        files::write(&lib, b"").unwrap();
        let make = Make::new(&config, &banner(), "x86", root.path()).unwrap();
        assert!(make.vars.contains(&"CROSS_COMPILE=".to_string()) && make.vars.contains(&"RUSTC=rustc".to_string()));
        assert!(make.env.contains(&("RUST_LIB_SRC".into(), "/usr/src/rustc-1/library".into())));
        files::write(&root.path().join("usr/src/rustc-2/library/core/src/lib.rs"), b"").unwrap();
        assert!(Make::new(&config, &banner(), "x86", root.path()).is_err());
    }

    #[test]
    fn rust_exports_must_all_come_out() {
        let dir = tempfile::tempdir().unwrap();
        let symvers = dir.path().join("Module.symvers");
        let line = |name: &str, by: &str| format!("0x00000000\t{name}\t{by}\tEXPORT_SYMBOL_GPL\t\n");
        let text = line("_RNvA", "vmlinux") + &line("printk", "vmlinux") + &line("_RNvM", "drivers/x") + "junk\n";
        files::write(&symvers, text.as_bytes()).unwrap();
        let exports = dir.path().join("rust/exports_kernel_generated.h");
        files::write(&exports, b"EXPORT_SYMBOL_RUST_GPL(_RNvB);\njunk\n)(\n").unwrap();
        let said = check_rust_exports(dir.path(), &symvers).unwrap_err().to_string();
        assert!(said.contains("_RNvA") && said.starts_with("1 of the 1"), "{said}");
        files::write(&exports, b"EXPORT_SYMBOL_RUST_GPL(_RNvA);\n").unwrap();
        assert_eq!(check_rust_exports(dir.path(), &symvers).unwrap(), 1);
    }

    #[test]
    fn an_unprepared_tree_is_named() {
        let tree = tempfile::tempdir().unwrap();
        let put = |f: &str, t: &str| files::write(&tree.path().join(f), t.as_bytes()).unwrap();
        put("include/config/kernel.release", "7.2\n");
        put("include/generated/utsrelease.h", "#define UTS_RELEASE \"7.2\"\n");
        for f in ["scripts/module.lds", "scripts/mod/modpost", "include/generated/autoconf.h"] {
            put(f, "");
        }
        let config = Config::default();
        let said = check_prepared(tree.path(), &config, "7.2").unwrap_err().to_string();
        assert!(said.contains("Module.symvers"), "{said}");
        put("Module.symvers", "");
        check_prepared(tree.path(), &config, "7.2").unwrap();
        assert!(check_prepared(tree.path(), &config, "7.3").is_err());
        assert!(check_prepared(tree.path(), &Config::parse("CONFIG_RUST=y\n"), "7.2").is_err());
        for option in ["CONFIG_OBJTOOL=y\n", "CONFIG_STACK_VALIDATION=y\n"] {
            let said = check_prepared(tree.path(), &Config::parse(option), "7.2").unwrap_err().to_string();
            assert!(said.contains("objtool"), "{said}");
        }
    }
}
