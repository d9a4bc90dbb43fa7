// SPDX-License-Identifier: GPL-2.0-or-later
//! The programs as they are shipped: an architecture in, a static program out. For a foreign architecture the compilers of
//! a target's build root make the host tool, with Debian's standard library for that architecture.

use super::system;
use anyhow::{ensure, Context, Result};
use kmend_builder::sandbox::{Limits, Sandbox};
use kmend_builder::target::Target;
use kmend_builder::{files, progress};
use kmend_packager::{HostTool, Origin};
use kmend_shared::arch;
use kmend_shared::arch::ArchNames;
use kmend_shared::programs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// A program, and cargo's package that holds it.
#[derive(Clone, Copy, Debug)]
pub struct Program {
    package: &'static str,
    name: &'static str,
}

/// The host tool.
pub const KMEND: Program = Program { package: "kmend-manager", name: "kmend" };

/// What builds live patches.
pub const KMEND_BUILD: Program = Program { package: "kmend-builder", name: "kmend-build" };

/// Where the pieces are inside of the sandbox.
const SOURCE: &str = "/tmp/kmend/source";
const SYSROOT: &str = "/tmp/kmend/sysroot";
const OUT: &str = "/tmp/kmend/out";
const CARGO_HOME: &str = "/tmp/kmend/cargo";
const CARGO: &str = "/tmp/kmend/bin/cargo";

/// Builds a program for this machine's architecture, static and optimised.
///
/// # Errors
/// It does not compile.
pub fn here(program: Program) -> Result<PathBuf> {
    let arch = arch::host();
    // Rust's name, where it is another.
    let machine = if arch == "ppc64le" { "powerpc64le" } else { arch };
    build(program, arch, &format!("{machine}-unknown-linux-gnu"), native)
}

/// Builds `kmend` for hosts with `target`'s kernel, static and optimised.
///
/// # Errors
/// It does not compile; a target of a foreign architecture without a Rust compiler in its build root.
pub fn for_target(target: &Target) -> Result<PathBuf> {
    if target.arch == arch::host() {
        return here(KMEND);
    }
    let triple = match target.arch.as_str() {
        "ppc64le" => "powerpc64le-unknown-linux-gnu".to_string(),
        arch => format!("{arch}-unknown-linux-gnu"),
    };
    build(KMEND, &target.arch, &triple, |cargo| foreign(target, cargo))
}

/// What goes into the host tool's packages besides its program: `share` are man pages and completions, `origin` says who
/// makes them.
///
/// # Errors
/// The repository has no folder.
pub fn packaged(binary: PathBuf, share: Option<PathBuf>, origin: Origin) -> Result<HostTool> {
    let home = Path::new(env!("CARGO_MANIFEST_DIR")).parent().context("the repository's folder")?;
    Ok(HostTool {
        version: env!("CARGO_PKG_VERSION").into(),
        release: 1,
        dist: String::new(),
        binary,
        unit: home.join("manager/kpatch.service"),
        share,
        origin,
    })
}

/// How cargo is called.
struct Cargo<'a> {
    /// The repository's folder.
    home: &'a Path,
    /// Its target folder.
    out: &'a Path,
    triple: &'a str,
    args: &'a [&'a str],
}

fn build(program: Program, arch: &str, triple: &str, command: impl Fn(&Cargo) -> Result<Command>) -> Result<PathBuf> {
    let Program { package, name } = program;
    let step = progress::step(format!("building {name} for {arch}"));
    let home = Path::new(env!("CARGO_MANIFEST_DIR")).parent().context("the repository's folder")?;
    let out = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| home.join("target"), PathBuf::from).join("hosts");
    std::fs::create_dir_all(&out).with_context(|| format!("cannot make folder {}", out.display()))?;
    let args = ["build", "--release", "--quiet", "--locked", "--package", package, "--target", triple];
    let mut command = command(&Cargo { home, out: &out, triple, args: &args })?;
    let said = command.stdin(Stdio::null()).output().context("cannot start cargo")?;
    let words = String::from_utf8_lossy(&said.stderr);
    ensure!(said.status.success(), "{name} does not build for {triple} ({}):\n{words}", said.status);
    step.done("");
    Ok(out.join(triple).join("release").join(name))
}

/// The name of a variable that cargo reads for one triple.
fn variable(triple: &str, what: &str) -> String {
    format!("CARGO_TARGET_{}_{what}", triple.to_uppercase().replace('-', "_"))
}

fn native(how: &Cargo) -> Result<Command> {
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.args(how.args).current_dir(how.home).env("CARGO_TARGET_DIR", how.out);
    cargo.env(variable(how.triple, "RUSTFLAGS"), "-C target-feature=+crt-static");
    Ok(cargo)
}

fn foreign(target: &Target, how: &Cargo) -> Result<Command> {
    let &Cargo { home, out, triple, args } = how;
    let debian = ArchNames::named(&target.arch)?.debian;
    let suite = files::read_text(&target.root.join("etc/kmend-root"))
        .ok()
        .and_then(|marker| marker.split(' ').next().map(String::from))
        .with_context(|| format!("{} is no build root with a Rust compiler", target.root.display()))?;
    let cc = target.make_vars.iter().find_map(|v| v.strip_prefix("CC="));
    let cc = cc.with_context(|| format!("target {} does not say its C compiler", target.name))?;
    let gcc_dev = format!("lib{}-dev", &cc[cc.rfind("gcc").unwrap_or(0)..]);
    let sysroot = system::unpacked(&suite, debian, &["libstd-rust-dev", "libc6-dev", &gcc_dev])?;
    // cargo fetches, as this machine is set up to; the sandbox has no network.
    let fetch = ["fetch", "--quiet", "--locked"];
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let fetched = Command::new(&cargo).args(fetch).current_dir(home).status().context("cannot start cargo")?;
    ensure!(fetched.success(), "cargo cannot fetch the crates that kmend is made of");
    let user_home = std::env::var_os("CARGO_HOME").map(PathBuf::from);
    let user_home = user_home.or_else(|| std::env::var_os("HOME").map(|h| PathBuf::from(h).join(".cargo")));
    let user_home = user_home.context("neither CARGO_HOME nor HOME is set")?;
    let program = real_cargo(&cargo)?;
    let flags = format!(
        "--sysroot={SYSROOT}/usr -C target-feature=+crt-static -C linker={cc} -C link-arg=--sysroot={SYSROOT} \
         -A linker-messages"
    );
    let host = format!("{}-unknown-linux-gnu", arch::host());
    let sandbox = Sandbox::new(&target.root)
        .read_only(home, SOURCE)
        .read_only(&sysroot, SYSROOT)
        .read_only(&user_home.join("registry"), &format!("{CARGO_HOME}/registry"))
        .read_only(&program, CARGO)
        .writable(out, OUT)
        .env("CARGO_HOME", CARGO_HOME)
        .env("CARGO_TARGET_DIR", OUT)
        .env(&variable(triple, "RUSTFLAGS"), &flags)
        .env(&variable(&host, "LINKER"), &cc[cc.rfind("gcc").unwrap_or(0)..])
        .cwd(SOURCE);
    sandbox.limits(Limits::none()).command(CARGO, &[args, &["--offline"]].concat())
}

/// The program behind rustup's proxy.
fn real_cargo(cargo: &std::ffi::OsStr) -> Result<PathBuf> {
    let said = Command::new("rustup").args(["which", "cargo"]).output();
    if let Ok(said) = said {
        if said.status.success() {
            return Ok(PathBuf::from(String::from_utf8_lossy(&said.stdout).trim()));
        }
    }
    programs::find(cargo).context("no cargo in PATH")
}
