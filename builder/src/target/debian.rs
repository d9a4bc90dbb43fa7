// SPDX-License-Identifier: GPL-2.0-or-later
//! Makes a target from a Debian suite: suite and release in; source, .config, image, modules and
//! compilers fetched, prepared and checked against each other, a stored target out.
//!
//! Each step leaves a finished file or folder behind, so that a broken-off run goes on where it was.

use super::apt::{self, Archive};
use super::config::Config;
use super::prepare::{self, Make};
use super::toolchain::Toolchain;
use super::{buildroot, record, store, Target};
use crate::image::vmlinuz;
use crate::sandbox::{self, Sandbox};
use crate::{files, progress};
use anyhow::{bail, ensure, Context, Result};
use kmend_shared::arch::{self, ArchNames};
use std::fs;
use std::path::{Path, PathBuf};

/// What `target add debian:…` was asked for.
#[derive(Clone, Debug)]
pub struct Request {
    /// `forky`.
    pub suite: String,
    /// `7.2.12+deb14-amd64`; None for the newest.
    pub release: Option<String>,
    /// The kernel's architecture.
    pub arch: &'static ArchNames,
    /// Another archive than the machine's own.
    pub mirror: Option<String>,
}

/// What came of it.
#[derive(Debug)]
pub enum Added {
    /// The target was there already and nothing was done.
    AlreadyThere(Box<Target>),
    /// It is there now.
    New(Box<Target>),
}

impl Request {
    /// Reads `forky` or `forky/7.2.12+deb14-amd64`, what stands behind `debian:`.
    pub fn parse(name: &str, arch: Option<&str>, mirror: Option<&str>) -> Result<Self> {
        let (suite, release) = match name.split_once('/') {
            Some((suite, release)) => (suite, Some(release)),
            None => (name, None),
        };
        if let Some(release) = release {
            let plain = |c: char| c.is_ascii_alphanumeric() || "-_.+~".contains(c);
            ensure!(
                release.starts_with(|c: char| c.is_ascii_digit()) && release.chars().all(plain),
                "{release:?} is no kernel release; one looks like 7.2.12+deb14-amd64 (`uname -r` on the host)"
            );
        }
        let arch = ArchNames::named(arch.unwrap_or(arch::host()))?;
        let (release, mirror) = (release.map(String::from), mirror.map(String::from));
        Ok(Self { suite: suite.into(), release, arch, mirror })
    }
}

/// One kernel of a suite, found by its packages.
#[derive(Clone, Debug)]
struct Kernel {
    release: String,
    version: String,
}

impl Kernel {
    /// `7.2` of `7.2.12+deb14-amd64`: what linux-source packages are named by.
    fn series(&self) -> Result<String> {
        let number = |p: &&str| !p.is_empty() && p.chars().all(|c| c.is_ascii_digit());
        let mut parts = self.release.split(['.', '+', '-', '~']);
        match (parts.next().filter(number), parts.next().filter(number)) {
            (Some(a), Some(b)) => Ok(format!("{a}.{b}")),
            _ => bail!("{:?} does not start with a kernel version", self.release),
        }
    }
}

/// Makes the target, or finds that it is there.
pub fn add(request: &Request) -> Result<Added> {
    // Else what is there would be called broken, and made anew.
    sandbox::possible()?;
    if let Some(release) = &request.release {
        // A target that is named exactly needs no network to be found there.
        if let Some(target) = usable(&target_name(&request.suite, release)).ok().flatten() {
            return Ok(Added::AlreadyThere(Box::new(target)));
        }
    }
    let archive = match Archive::open(&request.suite, request.arch.debian, request.mirror.as_deref()) {
        Ok(archive) => archive,
        Err(fault) => {
            let stored = stored_newest(request).ok_or(fault)?;
            eprintln!("  the archive cannot be asked whether there is a newer kernel than the stored one");
            return Ok(Added::AlreadyThere(Box::new(stored)));
        }
    };
    let kernel = resolve(&archive, request)?;
    let name = target_name(&request.suite, &kernel.release);
    let _lock = store::lock(&name)?;
    let dir = store::dir(&name)?;
    match usable(&name) {
        Ok(Some(target)) => return Ok(Added::AlreadyThere(Box::new(target))),
        Ok(None) => {}
        Err(fault) => {
            eprintln!("  target {name} is stored but can no longer be used ({fault:#}): making anew what is needed");
            reset(&name, &dir)?;
        }
    }
    if !dir.exists() {
        // A run that goes on where another broke off has taken its room already.
        apt::make_dir(&dir)?;
        check_room(&dir)?;
    }
    let target = make(request, &archive, &kernel, &name, &dir)?;
    store::save(&target)?;
    for deb in [Part::Source, Part::Headers].map(|p| dir.join(p.deb_link())) {
        drop_deb(&deb);
    }
    Ok(Added::New(Box::new(target)))
}

fn target_name(suite: &str, release: &str) -> String {
    format!("debian:{suite}/{release}")
}

/// The stored target of this name, looked over; an error when it is there and broken.
fn usable(name: &str) -> Result<Option<Target>> {
    let Some(target) = store::get(name)? else { return Ok(None) };
    store::check(&target)?;
    let has_rust = target.rustc.is_some() || target.toolchain.is_some();
    ensure!(has_rust, "it has no Rust toolchain, and its kernel has none of its own");
    Ok(Some(target))
}

/// The newest stored target of the suite, when it is what was asked for and can be used.
fn stored_newest(request: &Request) -> Option<Target> {
    let target = store::load(&format!("debian:{}", request.suite)).ok()?;
    (request.release.is_none() && target.arch == request.arch.uname).then_some(target)
}

/// Takes back a broken target. Where only the compilers are at fault, files and prepared tree stay.
fn reset(name: &str, dir: &Path) -> Result<()> {
    let files_are_good = store::get(name).ok().flatten().is_some_and(|t| store::check_files(&t).is_ok());
    if files_are_good {
        store::forget(name)
    } else {
        apt::remove_dir(dir)
    }
}

/// Finds the newest kernel of the suite, or the named one.
fn resolve(archive: &Archive, request: &Request) -> Result<Kernel> {
    let newest = request.arch.newest;
    let release = match &request.release {
        Some(release) => release.clone(),
        None => {
            let Some(meta) = archive.find(newest, None)? else {
                bail!("suite {} has no package {newest}, which names its newest kernel", archive.suite)
            };
            newest_release(&meta.depends).with_context(|| {
                format!("{newest} {} of suite {} depends on no kernel: {}", meta.version, archive.suite, meta.depends)
            })?
        }
    };
    match archive.find(&format!("linux-headers-{release}"), None)? {
        Some(headers) => Ok(Kernel { release, version: headers.version }),
        None => {
            let have = releases(archive)?;
            bail!(
                "suite {} has no kernel {release} for {}; it has: {}\n{}",
                archive.suite,
                request.arch.uname,
                if have.is_empty() { "none".to_string() } else { have.join(", ") },
                apt::SNAPSHOT
            )
        }
    }
}

/// `7.2.12+deb14-amd64` out of `linux-base-amd64 (= 7.2.12-1), linux-image-7.2.12+deb14-amd64 (= 7.2.12-1)`.
fn newest_release(depends: &str) -> Option<String> {
    depends.split([',', '|']).find_map(|d| {
        let release = d.split_whitespace().next()?.strip_prefix("linux-image-")?;
        release.starts_with(|c: char| c.is_ascii_digit()).then(|| release.to_string())
    })
}

/// The releases that the suite has headers of.
fn releases(archive: &Archive) -> Result<Vec<String>> {
    let names = archive.names("linux-headers-")?;
    let release = |n: &String| n.strip_prefix("linux-headers-").map(String::from);
    let real = |r: &String| {
        r.starts_with(|c: char| c.is_ascii_digit()) && !r.ends_with("-common") && !r.ends_with("-common-rt")
    };
    Ok(names.iter().filter_map(release).filter(real).collect())
}

/// The packages that a target is made of.
#[derive(Clone, Copy)]
enum Part {
    Source,
    Headers,
}

impl Part {
    /// Notes in the target's folder which .deb of the cache can go once the target stands.
    fn deb_link(self) -> &'static str {
        match self {
            Part::Source => ".deb-source",
            Part::Headers => ".deb-headers",
        }
    }
}

fn note_deb(dir: &Path, part: Part, deb: &Path) -> Result<()> {
    files::write(&dir.join(part.deb_link()), deb.as_os_str().as_encoded_bytes())
}

/// Removes the .deb that `link` notes; what cannot be removed only takes room.
fn drop_deb(link: &Path) {
    if let Ok(deb) = fs::read_to_string(link) {
        let _ = fs::remove_file(deb);
        let _ = fs::remove_file(link);
    }
}

fn make(request: &Request, archive: &Archive, kernel: &Kernel, name: &str, dir: &Path) -> Result<Target> {
    let release = &kernel.release;
    let (config_file, symvers, compile_h) = headers(archive, kernel, dir)?;
    let config = Config::parse(&files::read_text(&config_file)?);
    record::check_config(&config).with_context(|| format!("kernel {release}"))?;
    record::check_compile_h(&compile_h, &config)?;

    let machine_arch = apt::machine_arch()?;
    let tools = if machine_arch == archive.arch {
        archive.clone()
    } else {
        Archive::open(&request.suite, &machine_arch, request.mirror.as_deref())?
    };
    let wanted = buildroot::Wanted::new(&tools, &config, &machine_arch)?;
    let tree = dir.join("tree");

    // The build root keeps the processor busy while the network brings the packages, and the other way round.
    let make_roots = || -> Result<_> {
        let root = buildroot::find_or_make(&tools, &wanted)?;
        Ok((root, Toolchain::provide(&config)?))
    };
    let (roots, files) = std::thread::scope(|s| {
        let roots = s.spawn(make_roots);
        let files = source(archive, kernel, dir, &tree).and_then(|()| image(archive, kernel, &config, dir));
        let roots = roots.join().unwrap_or_else(|_| bail!("making the build root broke off"));
        (roots, files)
    });
    let ((root, toolchain), shipped) = (roots?, files?);

    let cc = record::cc_program(&config)?;
    let found = record::compilers(&Sandbox::new(&root), cc, config.is_on("CONFIG_RUST"))?;
    record::check_compilers(&found, &config, &format!("the build root of suite {}", request.suite))?;

    let make = Make::new(&config, &shipped.banner, request.arch.kbuild, &root)?;
    prepared(&tree, &root, &make, &config_file, &symvers, release, dir)?;
    Ok(Target {
        name: name.into(),
        arch: request.arch.uname.into(),
        release: release.clone(),
        version: kernel.version.clone(),
        tree,
        tree_inside: sandbox::TREE.into(),
        root,
        make_vars: make.vars,
        make_env: make.env,
        // Debian builds outside of the source tree, where kbuild takes the tree's path off __FILE__.
        cc_flags: vec!["-fmacro-prefix-map=./=".into()],
        vmlinuz: shipped.vmlinuz,
        vmlinux: shipped.vmlinux,
        modules: shipped.modules,
        symvers,
        config: config_file,
        cc: found.cc,
        rustc: found.rustc,
        toolchain,
        build_id: shipped.build_id,
    })
}

/// The stock .config and Module.symvers, and the text of compile.h, out of linux-headers.
fn headers(archive: &Archive, kernel: &Kernel, dir: &Path) -> Result<(PathBuf, PathBuf, String)> {
    let (config, symvers, compile_h) = (dir.join("config"), dir.join("Module.symvers"), dir.join("compile.h"));
    if !compile_h.exists() {
        let package = format!("linux-headers-{}", kernel.release);
        let step = progress::step(format!("fetching {package} {}", kernel.version));
        let deb = archive.fetch(&package, Some(&kernel.version))?;
        note_deb(dir, Part::Headers, &deb)?;
        let new = dir.join("headers.unpacking");
        apt::remove_dir(&new)?;
        apt::unpack(&deb, &new, &[])?;
        let from = new.join("usr/src").join(&package);
        for (file, to) in
            [(".config", &config), ("Module.symvers", &symvers), ("include/generated/compile.h", &compile_h)]
        {
            files::write(to, &files::read(&from.join(file))?)?;
        }
        apt::remove_dir(&new)?;
        step.done("");
    }
    Ok((config, symvers, files::read_text(&compile_h)?))
}

/// The unpacked source in `tree`.
fn source(archive: &Archive, kernel: &Kernel, dir: &Path, tree: &Path) -> Result<()> {
    // A preparation that broke off may have left half-written files: only a fresh tree is surely right.
    if tree.exists() && dir.join(PREPARING).exists() && !dir.join(PREPARED).exists() {
        apt::remove_dir(tree)?;
    }
    if tree.exists() {
        return Ok(());
    }
    let series = kernel.series()?;
    let package = format!("linux-source-{series}");
    let step = progress::step(format!("fetching {package} {}", kernel.version));
    let deb = archive.fetch(&package, Some(&kernel.version))?;
    note_deb(dir, Part::Source, &deb)?;
    step.done("");
    let step = progress::step("unpacking the source");
    prepare::unpack_source(&deb, &series, tree)?;
    step.done("");
    Ok(())
}

/// What a target has of the shipped kernel.
struct Shipped {
    vmlinuz: PathBuf,
    vmlinux: PathBuf,
    modules: Option<PathBuf>,
    banner: record::Banner,
    build_id: String,
}

/// The shipped image and modules, out of whichever package holds them.
fn image(archive: &Archive, kernel: &Kernel, config: &Config, dir: &Path) -> Result<Shipped> {
    let release = &kernel.release;
    let (vmlinuz, vmlinux, modules) = (dir.join("vmlinuz"), dir.join("vmlinux"), dir.join("lib/modules").join(release));
    if !modules.exists() || !vmlinuz.exists() {
        let step = progress::step(format!("fetching the image and the modules of {release}"));
        let packages = fetch_image(archive, kernel, dir, &vmlinuz, &modules)?;
        step.done(&packages.join(", "));
    }
    if !vmlinux.exists() {
        let elf = vmlinuz::extract(&files::read(&vmlinuz)?).with_context(|| vmlinuz.display().to_string())?;
        files::write(&vmlinux, &elf)?;
    }
    let elf = files::read(&vmlinux)?;
    let banner = record::banner(&elf).with_context(|| vmlinuz.display().to_string())?;
    record::check_banner(&banner, release, config)?;
    let build_id = vmlinuz::build_id(&elf[..]).with_context(|| vmlinuz.display().to_string())?;
    Ok(Shipped { vmlinuz, vmlinux, modules: Some(modules), banner, build_id })
}

/// Fetches packages until image and modules are there; returns the names of those that had something.
/// From 7.x on they come in two packages, before in one.
fn fetch_image(archive: &Archive, kernel: &Kernel, dir: &Path, vmlinuz: &Path, modules: &Path) -> Result<Vec<String>> {
    let release = &kernel.release;
    let new = dir.join("image.unpacking");
    apt::remove_dir(&new)?;
    let mut used = Vec::new();
    let (mut got_image, mut got_modules) = (None, None);
    for package in [
        format!("linux-binary-{release}"),
        format!("linux-modules-{release}"),
        format!("linux-image-{release}"),
        format!("linux-binary-unsigned-{release}"),
        format!("linux-image-{release}-unsigned"),
    ] {
        if (got_image.is_some() && got_modules.is_some()) || archive.find(&package, Some(&kernel.version))?.is_none() {
            continue;
        }
        let deb = archive.fetch(&package, Some(&kernel.version))?;
        let to = new.join(&package);
        apt::unpack(&deb, &to, &[])?;
        let first = |paths: &[String]| paths.iter().map(|p| to.join(p)).find(|p| p.exists());
        let image = first(&[
            format!("usr/lib/modules/{release}/vmlinuz"),
            format!("boot/vmlinuz-{release}"),
            format!("boot/vmlinux-{release}"),
        ]);
        let kernel_dir = first(&[format!("usr/lib/modules/{release}/kernel"), format!("lib/modules/{release}/kernel")]);
        if image.is_some() || kernel_dir.is_some() {
            used.push(package);
        }
        got_image = got_image.or(image);
        got_modules = got_modules.or(kernel_dir);
        let _ = fs::remove_file(&deb);
    }
    let image =
        got_image.with_context(|| format!("no package of suite {} holds the image of {release}", archive.suite))?;
    let kernel_dir =
        got_modules.with_context(|| format!("no package of suite {} holds the modules of {release}", archive.suite))?;
    let from = kernel_dir.parent().context("modules folder")?;
    // The image may lie among the modules: it goes first.
    let rename = |from: &Path, to: &Path| {
        fs::rename(from, to).with_context(|| format!("cannot rename {} to {}", from.display(), to.display()))
    };
    rename(&image, vmlinuz)?;
    apt::make_dir(modules.parent().unwrap_or(dir))?;
    apt::remove_dir(modules)?;
    rename(from, modules)?;
    apt::remove_dir(&new)?;
    Ok(used)
}

const PREPARING: &str = ".preparing";
const PREPARED: &str = ".prepared";

fn prepared(
    tree: &Path,
    root: &Path,
    make: &Make,
    config: &Path,
    symvers: &Path,
    release: &str,
    dir: &Path,
) -> Result<()> {
    if dir.join(PREPARED).exists() {
        return Ok(());
    }
    files::write(&dir.join(PREPARING), b"")?;
    let sandbox = Sandbox::new(root).writable(tree, sandbox::TREE);
    prepare::prepare(tree, &sandbox, make, config, symvers, release)?;
    files::write(&dir.join(PREPARED), b"")
}

/// A build root, a source tree, an image with its modules, and packages on their way.
const ROOM: u64 = 5 << 30;

fn check_room(dir: &Path) -> Result<()> {
    let out = sandbox::run(std::process::Command::new("df").args(["--output=avail", "-B1"]).arg(dir), "df")?;
    let text = String::from_utf8_lossy(&out.stdout).into_owned();
    // A file system that df cannot size is not a full one.
    let Some(free) = text.lines().last().and_then(|l| l.trim().parse::<u64>().ok()) else { return Ok(()) };
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests() {
        let r = Request::parse("forky", Some("amd64"), None).unwrap();
        assert_eq!((r.suite.as_str(), r.release, r.arch.uname), ("forky", None, "x86_64"));
        let r = Request::parse("forky/7.2.12+deb14-amd64", Some("x86_64"), None).unwrap();
        assert_eq!(r.release.as_deref(), Some("7.2.12+deb14-amd64"));
        for bad in ["forky/", "forky/../x", "forky/7.2/x", "forky/-x"] {
            assert!(Request::parse(bad, Some("amd64"), None).is_err(), "{bad}");
        }
        let said = Request::parse("forky", Some("m68k"), None).unwrap_err().to_string();
        assert!(said.contains("ppc64le"), "{said}");
    }

    #[test]
    fn newest_kernel_by_dependency() {
        let d = "linux-base-amd64 (= 7.2.13-1), linux-image-7.2.13+deb14-amd64 (= 7.2.13-1)";
        assert_eq!(newest_release(d).as_deref(), Some("7.2.13+deb14-amd64"));
        assert_eq!(newest_release("linux-image-6.1.0-50-amd64 (= 6.1.1-1)").as_deref(), Some("6.1.0-50-amd64"));
        assert_eq!(newest_release("linux-image-amd64"), None);
    }

    #[test]
    fn series_of_a_release() {
        let of = |release: &str| Kernel { release: release.into(), version: String::new() }.series();
        assert_eq!(of("7.2.12+deb14-amd64").unwrap(), "7.2");
        assert_eq!(of("6.1.0-50-amd64").unwrap(), "6.1");
        assert_eq!(of("7.3-rc7-amd64").unwrap(), "7.3");
        assert!(of("7").is_err());
        assert!(of("x.y").is_err());
    }
}
