// SPDX-License-Identifier: GPL-2.0-or-later
//! What adding a target takes, whichever distribution its kernel is from: a name and a way to fill its folder in, a stored
//! target out.
//!
//! Each step leaves a finished file or folder behind, so that an interrupted run continues where it stopped.

use super::config::Config;
use super::distro::Origin;
use super::prepare::{self, Make};
use super::toolchain::Toolchain;
use super::{record, store, Target};
use crate::files::{self, make_dir, remove_dir};
use crate::image::vmlinuz;
use crate::sandbox::{self, Sandbox};
use crate::unpack;
use anyhow::{ensure, Context, Result};
use kmend_shared::arch::ArchNames;
use memchr::memmem;
use std::fs;
use std::path::{Path, PathBuf};

/// What came of it.
#[derive(Debug)]
pub enum Added {
    /// The target was there already and nothing was done.
    AlreadyThere(Box<Target>),
    /// It is there now.
    New(Box<Target>),
}

/// The stored target of this name, looked over.
///
/// # Errors
/// It is there and cannot be used.
pub fn usable(name: &str) -> Result<Option<Target>> {
    let Some(target) = store::get(name)? else { return Ok(None) };
    store::check(&target)?;
    let has_rust = target.rustc.is_some() || target.toolchain.is_some();
    ensure!(has_rust, "it has no Rust toolchain, and its kernel has none of its own");
    Ok(Some(target))
}

/// The target `name`: the stored one, else what `make` makes of the target's folder, which holds whatever a broken-off run left.
///
/// # Errors
/// A full disk, and what `make` fails with.
pub fn add(name: &str, make: impl FnOnce(&Path) -> Result<Target>) -> Result<Added> {
    let _lock = store::lock(name)?;
    let dir = store::dir(name)?;
    match usable(name) {
        Ok(Some(target)) => return Ok(Added::AlreadyThere(Box::new(target))),
        Ok(None) => {}
        Err(fault) => {
            eprintln!("  target {name} is stored but can no longer be used ({fault:#}): making anew what is needed");
            reset(name, &dir)?;
        }
    }
    if !dir.exists() {
        // A run that goes on where another broke off has taken its room already.
        make_dir(&dir)?;
        check_room(&dir)?;
    }
    let target = make(&dir)?;
    store::save(&target)?;
    Ok(Added::New(Box::new(target)))
}

/// Takes back a broken target. Where only the compilers are at fault, files and prepared tree stay.
fn reset(name: &str, dir: &Path) -> Result<()> {
    let files_are_good = store::get(name).ok().flatten().is_some_and(|t| store::check_files(&t).is_ok());
    if files_are_good {
        store::forget(name)
    } else {
        remove_dir(dir)
    }
}

/// A build root, a source tree, an image with its modules, and packages on their way.
const ROOM: u64 = 5 << 30;

/// Bytes that are free where `dir` is. None on a file system that df cannot size, which is not a full one.
pub(super) fn free(dir: &Path) -> Result<Option<u64>> {
    let out = sandbox::run(std::process::Command::new("df").args(["--output=avail", "-B1"]).arg(dir), "df")?;
    let text = String::from_utf8_lossy(&out.stdout).into_owned();
    Ok(text.lines().last().and_then(|l| l.trim().parse::<u64>().ok()))
}

fn check_room(dir: &Path) -> Result<()> {
    let Some(free) = free(dir)? else { return Ok(()) };
    if free < ROOM {
        let _ = fs::remove_dir(dir);
    }
    ensure!(
        free >= ROOM,
        "not enough room in {}: a target takes up to {} GB while it is made, {:.1} GB are free. \
         Make room or name another cache folder in KMEND_CACHE",
        dir.display(),
        ROOM >> 30,
        free as f64 / f64::from(1 << 30)
    );
    Ok(())
}

/// The places in a target's folder.
#[derive(Clone, Debug)]
pub struct Places {
    /// The source tree.
    pub tree: PathBuf,
    /// The shipped .config.
    pub config: PathBuf,
    /// The shipped Module.symvers.
    pub symvers: PathBuf,
    /// The image as it boots.
    pub vmlinuz: PathBuf,
    /// The ELF inside of it.
    vmlinux: PathBuf,
    /// The shipped modules: `lib/modules/<release>`.
    pub modules: PathBuf,
    preparing: PathBuf,
    prepared: PathBuf,
}

impl Places {
    /// Those in `dir` for the kernel `release`.
    pub fn new(dir: &Path, release: &str) -> Self {
        Self {
            tree: dir.join("tree"),
            config: dir.join("config"),
            symvers: dir.join("Module.symvers"),
            vmlinuz: dir.join("vmlinuz"),
            vmlinux: dir.join("vmlinux"),
            modules: dir.join("lib/modules").join(release),
            preparing: dir.join(".preparing"),
            prepared: dir.join(".prepared"),
        }
    }

    /// Writes the Module.symvers of which `raw` are the bytes, unpacked as the end of `name` says.
    ///
    /// # Errors
    /// It cannot be unpacked, or to more than any kernel's.
    pub fn put_symvers(&self, name: &Path, raw: Vec<u8>) -> Result<()> {
        const LIMIT: u64 = 256 << 20;
        files::write(&self.symvers, &unpack::unpacked(name, raw, LIMIT)?)
    }

    /// The tree in it was prepared elsewhere.
    pub(super) fn set_prepared(&self) -> Result<()> {
        files::write(&self.prepared, b"")
    }

    /// Whether the tree is unpacked. A preparation that broke off may have left half-written files: only a fresh tree is
    /// surely right, so that one is removed.
    pub fn has_source(&self) -> Result<bool> {
        if self.tree.exists() && self.preparing.exists() && !self.prepared.exists() {
            remove_dir(&self.tree)?;
        }
        Ok(self.tree.exists())
    }
}

/// What the shipped image says of itself.
pub struct Shipped {
    banner: record::Banner,
    build_id: String,
    arch: &'static ArchNames,
    /// Whether `__FILE__` of a header begins with `./` in it.
    has_dots: bool,
}

impl Shipped {
    /// The ELF of `vmlinuz`, taken out of it where that was not done yet.
    fn elf(places: &Places) -> Result<Vec<u8>> {
        let (vmlinuz, vmlinux) = (&places.vmlinuz, &places.vmlinux);
        if !vmlinux.exists() {
            let elf = vmlinuz::extract(&files::read(vmlinuz)?).with_context(|| vmlinuz.display().to_string())?;
            files::write(vmlinux, &elf)?;
        }
        files::read(vmlinux)
    }

    /// Takes the ELF out of `vmlinuz`, and reads it.
    ///
    /// # Errors
    /// An image of another kernel than `release` and `config`; no image.
    pub fn read(places: &Places, release: &str, config: &Config) -> Result<Self> {
        let vmlinuz = &places.vmlinuz;
        let elf = Self::elf(places)?;
        let banner = record::banner(&elf).with_context(|| vmlinuz.display().to_string())?;
        record::check_banner(&banner, release, config)?;
        let build_id = vmlinuz::build_id(&elf[..]).with_context(|| vmlinuz.display().to_string())?;
        let arch = architecture(&elf).with_context(|| vmlinuz.display().to_string())?;
        let has_dots = [&b"\0./include/"[..], b"\0./arch/"].iter().any(|start| memmem::find(&elf, start).is_some());
        Ok(Self { banner, build_id, arch, has_dots })
    }

    /// The architecture of the image.
    pub fn arch(&self) -> &'static ArchNames {
        self.arch
    }

    /// Flags that every compile gets beside kbuild's own. kbuild takes the tree's path off `__FILE__` where it builds outside of
    /// the tree, as distributions do, and up to Linux 6.12 inside of it too: then no path in the image begins with a dot.
    fn cc_flags(&self) -> Vec<String> {
        if self.has_dots {
            Vec::new()
        } else {
            vec!["-fmacro-prefix-map=./=".into()]
        }
    }
}

/// The architecture of an ELF image.
fn architecture(elf: &[u8]) -> Result<&'static ArchNames> {
    const LITTLE: u8 = 1;
    let machine = elf.get(18..20).and_then(|b| b.try_into().ok()).map(u16::from_le_bytes);
    let found = machine.filter(|_| elf.get(5) == Some(&LITTLE)).and_then(ArchNames::of_machine);
    found.context("the image is for an architecture that is not supported")
}

/// Whether `name` can be what a target is called behind the colon.
pub fn is_plain_name(name: &str) -> bool {
    !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || "-_.+~".contains(c))
}

/// Whether `dir` looks like a kernel's whole source.
pub fn is_source(dir: &Path) -> bool {
    dir.join("Kbuild").is_file() && dir.join("Makefile").is_file() && dir.join("kernel/livepatch").is_dir()
}

/// What a build root that the user names is called in messages.
pub fn root_name(root: &Path) -> String {
    if root == Path::new("/") {
        "this machine".into()
    } else {
        root.display().to_string()
    }
}

/// What a target is made of once everything is fetched.
pub struct Parts<'a> {
    /// The target's name.
    pub name: &'a str,
    /// Where it is from.
    pub origin: Origin,
    /// `uname -r`.
    pub release: &'a str,
    /// The package's version.
    pub version: &'a str,
    /// Its files; all are there, the tree unpacked.
    pub places: Places,
    /// Its .config.
    pub config: &'a Config,
    /// What its image says.
    pub shipped: Shipped,
    /// The build root with its compilers.
    pub root: PathBuf,
    /// What that is called in messages.
    pub root_is: &'a str,
    /// Its Rust toolchain, where the kernel has none.
    pub toolchain: Option<Toolchain>,
}

impl Parts<'_> {
    /// Prepares the tree and makes the target of it all.
    ///
    /// # Errors
    /// Other compilers than the kernel's; a source that cannot be configured as the kernel was.
    pub fn finish(self) -> Result<Target> {
        let cc = record::cc_program(self.config)?;
        let found = record::compilers(&Sandbox::new(&self.root), cc, self.config.is_on("CONFIG_RUST"))?;
        record::check_compilers(&found, self.config, self.root_is)?;
        let make = Make::new(self.config, &self.shipped.banner, self.shipped.arch.kbuild, &self.root)?;
        let places = self.places;
        if !places.prepared.exists() {
            files::write(&places.preparing, b"")?;
            let sandbox = Sandbox::new(&self.root).writable(&places.tree, sandbox::TREE);
            prepare::clean(&places.tree, &sandbox, &make)?;
            prepare::prepare(&places.tree, &sandbox, &make, &places.config, &places.symvers, self.release)?;
            files::write(&places.prepared, b"")?;
        }
        Ok(Target {
            name: self.name.into(),
            origin: self.origin,
            arch: self.shipped.arch.uname.into(),
            release: self.release.into(),
            version: self.version.into(),
            tree: places.tree,
            tree_inside: sandbox::TREE.into(),
            root: self.root,
            make_vars: make.vars,
            make_env: make.env,
            cc_flags: self.shipped.cc_flags(),
            vmlinuz: places.vmlinuz,
            vmlinux: places.vmlinux,
            modules: Some(places.modules),
            symvers: places.symvers,
            config: places.config,
            cc: found.cc,
            rustc: found.rustc,
            toolchain: self.toolchain,
            build_id: self.shipped.build_id,
            imported: None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn images_of_other_machines_are_refused() {
        let mut elf = vec![0; 64];
        elf[..6].copy_from_slice(b"\x7fELF\x02\x01");
        elf[18] = 62;
        assert_eq!(architecture(&elf).unwrap().uname, "x86_64");
        elf[5] = 2;
        assert!(architecture(&elf).is_err() && architecture(b"").is_err());
    }
}
