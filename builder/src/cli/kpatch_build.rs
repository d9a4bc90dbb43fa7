// SPDX-License-Identifier: GPL-2.0-or-later
//! kmend-build under the name kpatch-build: the command line of kpatch's program in, the live patch where that would have put it
//! out. docs/kpatch-build.md has the table of options.

use super::build::{self, BuildArgs};
use crate::files;
use crate::image::vmlinuz;
use crate::target::{distro, store, tree, Added, Target};
use anyhow::{bail, ensure, Context, Result};
use clap::{ArgAction, Parser};
use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};

/// The name under which the program takes this command line.
const PROGRAM: &str = "kpatch-build";

/// The longest name that kpatch-build gives a module.
const LONGEST: usize = 55;

/// Builds a live patch, with the command line of kpatch-build.
///
/// The kernel is a target of kmend-build: the stored one that fits what is given, or the built tree that -s names, which is added.
/// Exit code 0: built; 1: error; 2: refused; 3: the patches compile to the same code.
#[derive(Parser)]
#[command(name = PROGRAM, disable_version_flag = true, args_override_self = true, infer_long_args = true)]
pub struct Args {
    /// The release of the kernel [default: that of --vmlinux, else of the running kernel]
    #[arg(short, long, value_name = "RELEASE")]
    archversion: Option<String>,
    /// Source package of the kernel: its name says which release is meant
    #[arg(short = 'r', long, value_name = "FILE.src.rpm", conflicts_with = "archversion")]
    sourcerpm: Option<PathBuf>,
    /// Source tree in which the kernel was built
    #[arg(short, long, value_name = "DIR")]
    sourcedir: Option<PathBuf>,
    /// The kernel's .config: it has to be the target's
    #[arg(short, long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// The kernel's vmlinux: its build id says which kernel is meant [default: DIR/vmlinux with --sourcedir]
    #[arg(short, long, value_name = "FILE")]
    vmlinux: Option<PathBuf>,
    /// No effect: all processors are used
    #[arg(short, long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    jobs: Option<u32>,
    /// Targets of make have no effect; a name with a colon is that of a target of kmend-build
    #[arg(short, long, value_name = "TARGET", action = ArgAction::Append)]
    target: Vec<String>,
    /// Name of the module [default: livepatch- and the patch's file name]
    #[arg(short, long)]
    name: Option<String>,
    /// Folder to write to
    #[arg(short, long, default_value = ".", hide_default_value = true)]
    output: PathBuf,
    /// Also write NAME.rs, the source that registers the functions, and NAME.json, the manifest
    #[arg(short, long, action = ArgAction::Count)]
    debug: u8,
    /// Not supported
    #[arg(short = 'e', long, value_name = "FILE.ko")]
    oot_module: Option<PathBuf>,
    /// Not supported
    #[arg(long, value_name = "DIR")]
    oot_module_src: Option<PathBuf>,
    /// Leave older live patches active instead of replacing them
    #[arg(short = 'R', long)]
    non_replace: bool,
    /// As --debug
    #[arg(long)]
    skip_cleanup: bool,
    /// No effect: the compiler is always compared
    #[arg(long)]
    skip_gcc_check: bool,
    /// No effect: the compiler is always compared
    #[arg(long)]
    skip_compiler_check: bool,
    /// Print the version
    #[arg(long)]
    version: bool,
    /// Unified diffs against the kernel's source, in the order in which they apply
    #[arg(value_name = "PATCH", required_unless_present = "version")]
    patches: Vec<PathBuf>,
}

/// Whether the program was called by this name.
pub fn is_called(program: Option<&OsStr>) -> bool {
    program.and_then(|path| Path::new(path).file_name()) == Some(OsStr::new(PROGRAM))
}

/// Runs the command.
pub fn run(args: &Args) -> Result<()> {
    if args.version {
        println!("Version : {} (kmend-build)", env!("CARGO_PKG_VERSION"));
        return Ok(());
    }
    for (given, option) in [(&args.oot_module, "--oot-module"), (&args.oot_module_src, "--oot-module-src")] {
        ensure!(given.is_none(), "{option}: kmend does not build live patches for out-of-tree modules");
    }
    check_given(args)?;
    remarks(args).iter().for_each(|(option, what)| eprintln!("{PROGRAM}: {option}: {what}"));
    let file = module_file(args)?;
    let target = find(args)?;
    eprintln!("{PROGRAM}: using the target {}", target.name);
    let mut ask = BuildArgs::new(target.name, args.patches.clone());
    ask.name = Some(file.replace('-', "_"));
    ask.file = Some(file);
    ask.output.clone_from(&args.output);
    ask.no_replace = args.non_replace;
    ask.only_module = args.debug == 0 && !args.skip_cleanup;
    build::run(&ask)?;
    println!("SUCCESS");
    Ok(())
}

/// Files and folders have to be there, as for kpatch-build.
fn check_given(args: &Args) -> Result<()> {
    let files = [(&args.sourcerpm, "--sourcerpm"), (&args.config, "--config"), (&args.vmlinux, "--vmlinux")];
    for (path, option) in files.iter().filter_map(|(path, option)| Some((path.as_ref()?, option))) {
        ensure!(path.is_file(), "{option}: there is no file {}", path.display());
    }
    let folders = [(args.sourcedir.as_ref(), "--sourcedir"), (Some(&args.output), "--output")];
    for (path, option) in folders.iter().filter_map(|(path, option)| Some(((*path)?, option))) {
        ensure!(path.is_dir(), "{option}: there is no folder {}", path.display());
    }
    for patch in &args.patches {
        ensure!(patch.is_file(), "there is no patch file {}", patch.display());
    }
    Ok(())
}

/// Options that have no effect here, each with the reason.
fn remarks(args: &Args) -> Vec<(&'static str, &'static str)> {
    let compared =
        "it has no effect: a target has the compilers that its kernel was built with, and each function is compared \
                    with the kernel that runs";
    let is_make = args.target.iter().any(|name| !name.contains(':'));
    let all = [
        (args.jobs.is_some(), "--jobs", "it has no effect: all processors are used"),
        (is_make, "--target", "targets of make have no effect: kbuild is asked which files the patches reach"),
        (args.skip_gcc_check, "--skip-gcc-check", compared),
        (args.skip_compiler_check, "--skip-compiler-check", compared),
    ];
    all.iter().filter(|(is_given, ..)| *is_given).map(|&(_, option, what)| (option, what)).collect()
}

/// The module's file name less its end, as kpatch-build makes it.
fn module_file(args: &Args) -> Result<String> {
    let name = match (&args.name, args.patches.as_slice()) {
        (Some(name), _) => name.clone(),
        (None, [one]) => {
            // It follows links first.
            let path = one.canonicalize().with_context(|| format!("cannot find {}", one.display()))?;
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            let plain = [".patch", ".diff"].iter().find_map(|end| name.strip_suffix(end)).unwrap_or(&name);
            format!("livepatch-{plain}")
        }
        (None, _) => "livepatch-patch".into(),
    };
    Ok(plain_name(&name))
}

/// Letters, digits, `_` and `-`; anything else becomes a `-`.
fn plain_name(name: &str) -> String {
    let plain = |c: char| if c.is_ascii_alphanumeric() || c == '_' { c } else { '-' };
    name.chars().map(plain).take(LONGEST).collect()
}

/// What is said of the kernel.
#[derive(Debug, Default)]
struct Asked {
    /// The tree, if there is one.
    tree: Option<PathBuf>,
    /// The build id of the vmlinux.
    build_id: Option<String>,
    release: Option<String>,
    arch: Option<String>,
}

impl Asked {
    fn of(args: &Args) -> Result<Self> {
        let tree = args.sourcedir.as_ref().map(|dir| dir.canonicalize()).transpose().context("--sourcedir")?;
        let vmlinux = args.vmlinux.clone().or_else(|| Some(tree.as_ref()?.join("vmlinux")));
        if let Some(file) = &vmlinux {
            ensure!(file.is_file(), "there is no {}: name the kernel's vmlinux with --vmlinux", file.display());
        }
        let build_id = vmlinux.as_deref().map(vmlinuz::build_id_of).transpose()?;
        let release = match (&args.archversion, &args.sourcerpm) {
            (Some(release), _) => Some(release.clone()),
            (None, Some(rpm)) => Some(release_of(rpm)?),
            (None, None) if build_id.is_some() => None,
            (None, None) => Some(files::read_text(Path::new("/proc/sys/kernel/osrelease"))?.trim().into()),
        };
        let arch = std::env::var("TARGET_ARCH").ok().filter(|arch| !arch.is_empty());
        Ok(Self { tree, build_id, release, arch })
    }

    /// Why a target is not the one; None where it is.
    fn rules_out(&self, target: &Target) -> Option<String> {
        let is_other = |asked: &Option<String>, has: &str| asked.as_ref().is_some_and(|asked| asked != has);
        if is_other(&self.build_id, &target.build_id) {
            Some(format!("its kernel has the build id {}, the vmlinux a different one", target.build_id))
        } else if is_other(&self.release, &target.release) {
            Some(format!("its kernel is {}, not {}", target.release, self.release.as_deref().unwrap_or_default()))
        } else if is_other(&self.arch, &target.arch) {
            Some(format!("its kernel is for {}, not for $TARGET_ARCH", target.arch))
        } else {
            None
        }
    }
}

/// `kernel-5.14.0-362.8.1.el9_3.src.rpm` → `5.14.0-362.8.1.el9_3.x86_64`.
fn release_of(rpm: &Path) -> Result<String> {
    let name = rpm.file_name().unwrap_or_default().to_string_lossy();
    let name = name.strip_suffix(".src.rpm").with_context(|| format!("{name} is not the name of a source RPM"))?;
    let version = name.split_once('-').map_or(name, |(_, version)| version);
    let version = version.strip_prefix("alt-").unwrap_or(version);
    Ok(format!("{version}.{}", kmend_shared::arch::host()))
}

/// The target that is meant, found or made.
fn find(args: &Args) -> Result<Target> {
    let asked = Asked::of(args)?;
    let named: Vec<&String> = args.target.iter().filter(|name| name.contains(':')).collect();
    let target = match named[..] {
        [] => find_stored(args, &asked)?,
        [name] => {
            let target = store::resolve(name)?;
            if let Some(why) = asked.rules_out(&target).filter(|_| is_said(args)) {
                bail!("--target {name}: {why}");
            }
            target
        }
        _ => bail!("--target: name one target of kmend-build"),
    };
    if let Some(config) = &args.config {
        same_config(config, &target.config)?;
    }
    if let Some(tree) = asked.tree.filter(|tree| *tree != target.tree) {
        eprintln!("{PROGRAM}: {} has the same kernel as {}: its own source is used", target.name, tree.display());
    }
    Ok(target)
}

/// Whether anything is said of the kernel, so that the running one is not meant.
fn is_said(args: &Args) -> bool {
    args.archversion.is_some() || args.sourcerpm.is_some() || args.sourcedir.is_some() || args.vmlinux.is_some()
}

fn find_stored(args: &Args, asked: &Asked) -> Result<Target> {
    let (all, broken) = store::list()?;
    broken.iter().for_each(|fault| eprintln!("{PROGRAM}: {fault:#}"));
    let fit: Vec<&Target> = all.iter().filter(|target| asked.rules_out(target).is_none()).collect();
    let narrowed = |keep: &dyn Fn(&Target) -> bool| {
        let kept: Vec<&Target> = fit.iter().copied().filter(|t| keep(t)).collect();
        if kept.is_empty() {
            fit.clone()
        } else {
            kept
        }
    };
    let fit = match &asked.tree {
        Some(tree) => narrowed(&|t| t.tree == *tree),
        None => narrowed(&|t| t.arch == kmend_shared::arch::host()),
    };
    match fit[..] {
        [one] => Ok(one.clone()),
        [] => match &args.sourcedir {
            Some(dir) => add_tree(args, asked, dir),
            None => Err(none_fits(args, asked, &all)),
        },
        _ => {
            let names: Vec<&str> = fit.iter().map(|t| t.name.as_str()).collect();
            bail!("several targets fit: {}; name one with -t", names.join(", "))
        }
    }
}

/// Makes a target of the tree that -s names.
fn add_tree(args: &Args, asked: &Asked, dir: &Path) -> Result<Target> {
    if let Some(config) = &args.config {
        same_config(config, &dir.join(".config"))?;
    }
    let built = files::read_text(&dir.join("include/config/kernel.release")).unwrap_or_default();
    if let Some(release) = asked.release.as_deref().filter(|r| !built.is_empty() && *r != built.trim()) {
        bail!("--archversion {release}: the kernel of {} is {}", dir.display(), built.trim());
    }
    let added = tree::add(dir, args.vmlinux.as_deref(), None, None).with_context(|| {
        format!(
            "no stored target has the kernel of --sourcedir {0}, and that cannot be added; `kmend-build target add --tree {0}` \
             takes the build root (--root DIR) and another name (--name NAME) too",
            dir.display()
        )
    })?;
    let (Added::New(target) | Added::AlreadyThere(target)) = added;
    eprintln!("{PROGRAM}: added the target {}", target.name);
    match asked.rules_out(&target) {
        Some(why) => bail!("{}: {why}", target.name),
        None => Ok(*target),
    }
}

fn none_fits(args: &Args, asked: &Asked, all: &[Target]) -> anyhow::Error {
    let have: Vec<String> = all.iter().map(|t| format!("{} ({})", t.name, t.release)).collect();
    let have = if have.is_empty() { "there is none yet".into() } else { format!("there are: {}", have.join(", ")) };
    let what = match (&asked.release, &args.vmlinux) {
        (Some(release), _) => release.clone(),
        (None, Some(vmlinux)) => format!("of {}", vmlinux.display()),
        (None, None) => String::new(),
    };
    let release = asked.release.as_deref().unwrap_or("RELEASE");
    let whole = distro::whole_names().into_iter().map(|name| name.replace("RELEASE", release));
    let whole: Vec<String> = whole.map(|name| format!("`kmend-build target add {name}`")).collect();
    anyhow::anyhow!(
        "no target for the kernel {what} is stored ({have}); make it once: {}, or `kmend-build target add --tree DIR` for a kernel \
         that you built",
        whole.join(" or ")
    )
}

/// Whether two files say the same of all options.
fn same_config(given: &Path, of_target: &Path) -> Result<()> {
    let options = |path: &Path| -> Result<BTreeSet<String>> {
        let text = files::read_text(path)?;
        Ok(text.lines().filter(|line| line.starts_with("CONFIG_")).map(String::from).collect())
    };
    let (a, b) = (options(given)?, options(of_target)?);
    if let Some(first) = a.symmetric_difference(&b).next() {
        bail!(
            "--config {}: the kernel of the target was built with another configuration, {}; they differ in {first}",
            given.display(),
            of_target.display()
        );
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_sound() {
        <Args as clap::CommandFactory>::command().debug_assert();
    }

    #[test]
    fn called_by_its_name() {
        for (program, is) in
            [("/opt/bin/kpatch-build", true), ("kpatch-build", true), ("kmend-build", false), ("", false)]
        {
            assert_eq!(is_called(Some(OsStr::new(program))), is, "{program}");
        }
        assert!(!is_called(None));
    }

    #[test]
    fn names_of_modules() {
        for (name, plain) in [("a b.c-d_e", "a-b-c-d_e"), ("ä", "-"), ("", "")] {
            assert_eq!(plain_name(name), plain);
        }
        assert_eq!(plain_name(&"x".repeat(80)).len(), LONGEST);
    }

    #[test]
    fn releases_of_source_packages() {
        let arch = kmend_shared::arch::host();
        for (file, release) in [
            ("/x/kernel-5.14.0-362.8.1.el9_3.src.rpm", "5.14.0-362.8.1.el9_3"),
            ("kernel-alt-4.14.0-115.el7a.src.rpm", "4.14.0-115.el7a"),
            ("linux-6.1.10-8.ph5.src.rpm", "6.1.10-8.ph5"),
        ] {
            assert_eq!(release_of(Path::new(file)).unwrap(), format!("{release}.{arch}"));
        }
        assert!(release_of(Path::new("kernel.rpm")).is_err());
    }
}
