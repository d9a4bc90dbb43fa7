// SPDX-License-Identifier: GPL-2.0-or-later
//! Makes a target from a kernel's files, wherever they are from: source, .config, Module.symvers, image and modules in, a stored
//! target out. All of them are copied, the source is prepared here, so no kernel has to be built in it.

use super::add::{self, Added, Parts, Places, Shipped};
use super::config::Config;
use super::distro::Origin;
use super::options::{Given, Opt, ROOT, RUST, SOURCE};
use super::toolchain::Toolchain;
use super::{modules, record, Target};
use crate::files::{self, make_dir, remove_dir};
use crate::image::vmlinuz;
use crate::{progress, sandbox};
use anyhow::{ensure, Context, Result};
use std::fs;
use std::path::{Path, PathBuf};

/// What the names of such targets start with.
pub const PREFIX: &str = "tree:";

/// What `target add tree:NAME` takes.
pub const OPTIONS: &[Opt] = &[
    SOURCE,
    Opt { name: "config", value: "FILE", help: "The kernel's .config (for tree:NAME)", many: false },
    Opt { name: "symvers", value: "FILE", help: "The kernel's Module.symvers (for tree:NAME)", many: false },
    Opt { name: "vmlinuz", value: "FILE", help: "The kernel image as it boots (for tree:NAME)", many: false },
    Opt {
        name: "modules",
        value: "DIR",
        help: "The kernel's modules, lib/modules/RELEASE (for tree:NAME)",
        many: false,
    },
    ROOT,
    RUST,
];

/// How it is written.
pub const EXAMPLE: &str = "tree:mine --source linux --config FILE --symvers FILE --vmlinuz FILE --modules DIR";

/// The files that were named; each is there.
struct Files {
    source: PathBuf,
    config: PathBuf,
    symvers: PathBuf,
    vmlinuz: PathBuf,
    modules: PathBuf,
    root: PathBuf,
    rust: Option<PathBuf>,
}

impl Files {
    fn of(given: &Given) -> Result<Self> {
        let path = |name: &str| {
            let path = given.one(name).with_context(|| {
                format!(
                    "--{name} is missing: a kernel's files are {}. A kernel that was built in its tree is added with --tree DIR",
                    OPTIONS.iter().map(|o| format!("--{} {}", o.name, o.value)).collect::<Vec<_>>().join(", ")
                )
            })?;
            Path::new(path).canonicalize().with_context(|| format!("--{name}: cannot find {path}"))
        };
        let files = Self {
            source: path("source")?,
            config: path("config")?,
            symvers: path("symvers")?,
            vmlinuz: path("vmlinuz")?,
            modules: path("modules")?,
            root: if given.one("root").is_some() { path("root")? } else { "/".into() },
            rust: if given.one("rust").is_some() { Some(path("rust")?) } else { None },
        };
        ensure!(
            add::is_source(&files.source),
            "--source: {} is no kernel source tree (no Kbuild, Makefile or kernel/livepatch; a headers package is not enough)",
            files.source.display()
        );
        ensure!(files.modules.is_dir(), "--modules: {} is no folder", files.modules.display());
        Ok(files)
    }

    /// The same as they are given on a command line.
    fn words(&self) -> Vec<String> {
        let named = [
            ("--source", &self.source),
            ("--config", &self.config),
            ("--symvers", &self.symvers),
            ("--vmlinuz", &self.vmlinuz),
            ("--modules", &self.modules),
            ("--root", &self.root),
        ];
        let rust = self.rust.as_ref().map(|path| ("--rust", path));
        named.into_iter().chain(rust).flat_map(|(name, path)| [name.to_string(), path.display().to_string()]).collect()
    }
}

/// Makes the target `name` (`tree:NAME`) of the files that are `given`, or finds that it is there.
///
/// # Errors
/// Files that are missing or do not belong together; compilers that are not the kernel's; a source that cannot be configured
/// as the kernel was.
pub fn add(name: &str, given: &Given) -> Result<Added> {
    sandbox::possible()?;
    given.check(OPTIONS, "tree:NAME")?;
    let called = name.strip_prefix(PREFIX).unwrap_or(name);
    ensure!(
        add::is_plain_name(called),
        "{name:?} cannot be a target's name: use letters, digits and -_.+~ behind {PREFIX}"
    );
    let files = Files::of(given)?;
    let config = Config::parse(&files::read_text(&files.config)?);
    record::check_config(&config).with_context(|| files.config.display().to_string())?;
    add::add(name, |dir| make(name, &files, &config, dir))
}

fn make(name: &str, given: &Files, config: &Config, dir: &Path) -> Result<Target> {
    // What a run that broke off has copied may be of other files.
    remove_dir(dir)?;
    make_dir(dir)?;
    let elf = vmlinuz::extract(&files::read(&given.vmlinuz)?).with_context(|| given.vmlinuz.display().to_string())?;
    let banner = record::banner(&elf).with_context(|| given.vmlinuz.display().to_string())?;
    let release = banner.release;
    let places = Places::new(dir, &release);
    copy(&given.vmlinuz, &places.vmlinuz)?;
    copy(&given.config, &places.config)?;
    places.put_symvers(&given.symvers, files::read(&given.symvers)?)?;
    let shipped = Shipped::read(&places, &release, config)?;

    let step = progress::step("copying source and modules");
    copy_dir(&given.modules, &places.modules)?;
    modules::check_release(&places.modules, &release)?;
    copy_dir(&given.source, &places.tree)?;
    step.done("");

    let toolchain = Toolchain::provide(config, given.rust.as_deref())?;
    Parts {
        name,
        origin: Origin { distro: None, added: std::iter::once(name.to_string()).chain(given.words()).collect() },
        release: &release,
        version: "",
        places,
        config,
        shipped,
        root: given.root.clone(),
        root_is: &add::root_name(&given.root),
        toolchain,
    }
    .finish()
}

fn copy(from: &Path, to: &Path) -> Result<()> {
    files::write(to, &files::read(from)?)
}

/// Copies a folder by `cp`, which shares blocks where the file system can.
pub fn copy_dir(from: &Path, to: &Path) -> Result<()> {
    if let Some(parent) = to.parent() {
        make_dir(parent)?;
    }
    let new = to.with_extension("copying");
    remove_dir(&new)?;
    let mut cp = super::tied("cp");
    // No links that lead out of it are followed; owners and times are ignored.
    cp.args(["-R", "--no-dereference", "--preserve=mode,timestamps", "--reflink=auto", "--"]).arg(from).arg(&new);
    let out = sandbox::run(&mut cp, "cp");
    if let Err(error) = out {
        let _ = remove_dir(&new);
        return Err(error.context(format!("cannot copy {} to {}", from.display(), to.display())));
    }
    fs::rename(&new, to).with_context(|| format!("cannot rename {} to {}", new.display(), to.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_missing_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name).display().to_string();
        let (source, gone) = (at("linux"), at("gone"));
        let mut given = Given::default();
        let said = |given: &Given| Files::of(given).err().unwrap().to_string();
        assert!(said(&given).starts_with("--source is missing"), "{}", said(&given));
        files::write(&dir.path().join("linux/Kbuild"), b"").unwrap();
        files::write(&dir.path().join("f"), b"").unwrap();
        for (name, path) in [("source", &source), ("config", &at("f")), ("symvers", &at("f")), ("vmlinuz", &gone)] {
            given.set(name, vec![path.clone()]);
        }
        assert!(said(&given).contains("--vmlinuz") && said(&given).contains(&gone), "{}", said(&given));
        given.set("vmlinuz", vec![at("f")]);
        given.set("modules", vec![source.clone()]);
        assert!(said(&given).starts_with("--source: "), "{}", said(&given));
        for file in ["linux/Makefile", "linux/kernel/livepatch/core.c"] {
            files::write(&dir.path().join(file), b"").unwrap();
        }
        let files = Files::of(&given).unwrap();
        assert_eq!(files.root, Path::new("/"));
        assert_eq!(files.words()[..2], ["--source".to_string(), files.source.display().to_string()]);
        given.set("modules", vec![at("f")]);
        assert!(said(&given).starts_with("--modules: "), "{}", said(&given));
    }

    #[test]
    fn folders_are_copied_whole_or_not_at_all() {
        let dir = tempfile::tempdir().unwrap();
        let (from, to) = (dir.path().join("from"), dir.path().join("a/to"));
        files::write(&from.join("d/f"), b"x").unwrap();
        std::os::unix::fs::symlink("/", from.join("build")).unwrap();
        copy_dir(&from, &to).unwrap();
        assert_eq!(fs::read(to.join("d/f")).unwrap(), b"x");
        assert!(to.join("build").is_symlink());
        let other = dir.path().join("a/other");
        assert!(copy_dir(&dir.path().join("gone"), &other).is_err());
        assert!(!other.exists() && fs::read_dir(dir.path().join("a")).unwrap().count() == 1);
    }
}
