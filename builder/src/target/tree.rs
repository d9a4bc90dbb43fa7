// SPDX-License-Identifier: GPL-2.0-or-later
//! Makes a target from a kernel that the user built: a folder in, a stored target out. Nothing is copied;
//! the compilers are the machine's own.

use super::config::Config;
use super::distro::Origin;
use super::prepare::{self, Make};
use super::toolchain::Toolchain;
use super::{add, record, store, Added, Target};
use crate::files;
use crate::image::vmlinuz;
use crate::sandbox::{self, Sandbox};
use anyhow::{bail, ensure, Context, Result};
use kmend_shared::arch::ARCHES;
use object::{Object, ReadCache};
use std::path::{Path, PathBuf};

/// Makes the target `tree:NAME` from the kernel built in `dir`. `vmlinux` is the kernel that runs, `dir/vmlinux`
/// when None; `name` is the folder's name when None; `root` is the build root that it was built in, this
/// machine when None.
pub fn add(dir: &Path, vmlinux: Option<&Path>, name: Option<&str>, root: Option<&Path>) -> Result<Added> {
    sandbox::possible()?;
    let dir = dir.canonicalize().with_context(|| format!("cannot find the tree {}", dir.display()))?;
    let inside = dir.to_str().with_context(|| format!("{}: the path is not UTF-8", dir.display()))?.to_string();
    ensure!(
        !inside.contains([' ', ':']),
        "{inside}: kbuild cannot work in a path with a space or a colon (the kernel's Makefile refuses it)"
    );
    let name = name.map(String::from).or_else(|| dir.file_name().map(|n| n.to_string_lossy().into_owned()));
    let name = name.filter(|n| !n.is_empty()).context("the tree has no name: give one with --name")?;
    ensure!(add::is_plain_name(&name), "{name:?} cannot be a target's name: use letters, digits and -_.+~ (--name)");
    let root = root.unwrap_or(Path::new("/"));
    let root = root.canonicalize().with_context(|| format!("cannot find the build root {}", root.display()))?;
    let target = inspect(&dir, inside, vmlinux, format!("tree:{name}"), root)?;
    let _lock = store::lock(&target.name)?;
    if let Some(old) = store::get(&target.name)? {
        if serde_json::to_value(&old)? == serde_json::to_value(&target)? {
            return Ok(Added::AlreadyThere(Box::new(old)));
        }
        ensure!(
            old.tree == target.tree,
            "target {} is stored already, for {}: give this one another name with --name",
            old.name,
            old.tree.display()
        );
    }
    store::save(&target)?;
    Ok(Added::New(Box::new(target)))
}

fn inspect(dir: &Path, tree_inside: String, vmlinux: Option<&Path>, name: String, root: PathBuf) -> Result<Target> {
    check_is_built(dir)?;
    let config_file = dir.join(".config");
    let text = files::read_text(&config_file)?;
    let config = Config::parse(&text);
    record::check_config(&config).with_context(|| config_file.display().to_string())?;
    let release = files::read_text(&dir.join("include/config/kernel.release"))?.trim().to_string();
    prepare::check_prepared(dir, &config, &release)?;

    let vmlinux = match vmlinux {
        Some(file) => file.canonicalize().with_context(|| format!("cannot find {}", file.display()))?,
        None => dir.join("vmlinux"),
    };
    let (arch, kbuild) = architecture(&vmlinux, &text)?;
    let image = files::read(&vmlinux)?;
    let banner = record::banner(&image).with_context(|| vmlinux.display().to_string())?;
    record::check_banner(&banner, &release, &config)
        .with_context(|| format!("{} and {}", vmlinux.display(), dir.display()))?;
    let build_id = vmlinuz::build_id(&image[..]).with_context(|| vmlinux.display().to_string())?;
    drop(image);

    let found = record::compilers(&Sandbox::new(&root), record::cc_program(&config)?, config.is_on("CONFIG_RUST"))
        .context(
            "the compilers that the kernel was built with are needed (--root names the build root that has them)",
        )?;
    let place = add::root_name(&root);
    record::check_compilers(&found, &config, &place)?;
    let make = Make::new(&config, &banner, kbuild, &root)?;
    let boot = dir.join("arch/x86/boot/bzImage");
    let origin = origin(&name, dir, &vmlinux, &root);
    let toolchain = Toolchain::provide(&config, None)?;
    Ok(Target {
        name,
        origin,
        arch: arch.into(),
        release,
        version: String::new(),
        tree: dir.into(),
        tree_inside,
        root,
        make_vars: make.vars,
        make_env: make.env,
        cc_flags: Vec::new(),
        vmlinuz: if arch == "x86_64" && boot.exists() { boot } else { vmlinux.clone() },
        vmlinux,
        modules: None,
        symvers: dir.join("Module.symvers"),
        config: config_file,
        cc: found.cc,
        rustc: found.rustc,
        toolchain,
        build_id,
        imported: None,
    })
}

/// Where the target `name` of the kernel in `tree` is from.
pub fn origin(name: &str, tree: &Path, vmlinux: &Path, root: &Path) -> Origin {
    let text = |path: &Path| path.display().to_string();
    let mut added = vec!["--tree".to_string(), text(tree)];
    let called = name.split_once(':').map_or(name, |(_, name)| name);
    if tree.file_name().is_none_or(|folder| folder != called) {
        added.extend(["--name".into(), called.into()]);
    }
    if vmlinux != tree.join("vmlinux") {
        added.extend(["--vmlinux".into(), text(vmlinux)]);
    }
    if root != Path::new("/") {
        added.extend(["--root".into(), text(root)]);
    }
    Origin { distro: None, added }
}

/// The tree must be one in which a kernel was built, in place.
fn check_is_built(dir: &Path) -> Result<()> {
    let at = dir.display();
    ensure!(
        !dir.join("source").is_symlink(),
        "{at} is an output folder (O=): only kernels built in their source tree are supported"
    );
    ensure!(
        add::is_source(dir),
        "{at} is no kernel source tree (no Kbuild, Makefile or kernel/livepatch; a headers package is not enough)"
    );
    for (file, what) in [
        (".config", "it is not configured"),
        ("include/config/kernel.release", "no kernel was built in it"),
        ("vmlinux", "no kernel was built in it"),
        ("Module.symvers", "its modules were not built (`make modules`)"),
        ("init/.main.o.cmd", "the saved commands of its objects are gone; was it cleaned? (`make`)"),
    ] {
        ensure!(dir.join(file).is_file(), "{at} has no {file}: {what}");
    }
    Ok(())
}

/// `uname -m`'s and kbuild's names, by the image; the .config's first lines must agree.
fn architecture(vmlinux: &Path, config: &str) -> Result<(&'static str, &'static str)> {
    let file = std::fs::File::open(vmlinux).with_context(|| format!("cannot read {}", vmlinux.display()))?;
    let cache = ReadCache::new(file);
    let elf = object::File::parse(&cache).with_context(|| format!("{} is no ELF image", vmlinux.display()))?;
    let uname = match (elf.architecture(), elf.is_little_endian()) {
        (object::Architecture::X86_64, true) => "x86_64",
        (object::Architecture::PowerPc64, true) => "ppc64le",
        (other, _) => bail!("{}: architecture {other:?} is not supported", vmlinux.display()),
    };
    let names = ARCHES.iter().find(|a| a.uname == uname).context("architecture table")?;
    // "# Linux/x86 7.2.12 Kernel Configuration"
    let said = config.lines().take(5).find_map(|l| l.strip_prefix("# Linux/")?.split_whitespace().next());
    if let Some(said) = said.filter(|s| *s != names.kbuild && *s != uname) {
        bail!("{} is for {uname}, the .config for {said}: they do not belong together", vmlinux.display());
    }
    Ok((names.uname, names.kbuild))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_built_tree_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let said = || check_is_built(dir.path()).unwrap_err().to_string();
        assert!(said().contains("no kernel source tree"));
        for file in ["Kbuild", "Makefile", "kernel/livepatch/core.c"] {
            files::write(&dir.path().join(file), b"").unwrap();
        }
        assert!(said().contains("not configured"), "{}", said());
        for file in [".config", "include/config/kernel.release", "vmlinux"] {
            files::write(&dir.path().join(file), b"").unwrap();
        }
        assert!(said().contains("Module.symvers"), "{}", said());
        for file in ["Module.symvers", "init/.main.o.cmd"] {
            files::write(&dir.path().join(file), b"").unwrap();
        }
        check_is_built(dir.path()).unwrap();
        std::os::unix::fs::symlink("/", dir.path().join("source")).unwrap();
        assert!(said().contains("O="), "{}", said());
    }

    #[test]
    fn what_makes_a_target_again() {
        let (tree, root) = (Path::new("/src/linux"), Path::new("/"));
        let added = |name, vmlinux: &str, root| origin(name, tree, Path::new(vmlinux), root).added;
        assert_eq!(added("tree:linux", "/src/linux/vmlinux", root), ["--tree", "/src/linux"]);
        let all = ["--tree", "/src/linux", "--name", "mine", "--vmlinux", "/boot/x", "--root", "/root"];
        assert_eq!(added("tree:mine", "/boot/x", Path::new("/root")), all);
    }

    #[test]
    fn image_and_config_must_agree() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("vmlinux");
        let elf = |arch, endian| object::write::Object::new(object::BinaryFormat::Elf, arch, endian).write().unwrap();
        files::write(&file, &elf(object::Architecture::X86_64, object::Endianness::Little)).unwrap();
        assert_eq!(architecture(&file, "#\n# Linux/x86 7.2 Kernel Configuration\n").unwrap(), ("x86_64", "x86"));
        assert!(architecture(&file, "#\n# Linux/powerpc 7.2 Kernel Configuration\n").is_err());
        files::write(&file, &elf(object::Architecture::PowerPc64, object::Endianness::Little)).unwrap();
        assert_eq!(architecture(&file, "# Linux/powerpc 7.2\n").unwrap(), ("ppc64le", "powerpc"));
        files::write(&file, &elf(object::Architecture::PowerPc64, object::Endianness::Big)).unwrap();
        assert!(architecture(&file, "").is_err());
        files::write(&file, b"\x7fELF").unwrap();
        assert!(architecture(&file, "").is_err());
    }
}
