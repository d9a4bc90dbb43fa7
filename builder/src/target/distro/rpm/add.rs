// SPDX-License-Identifier: GPL-2.0-or-later
//! Makes a target from a kernel's RPMs: these files in, or a release by which dnf fetches them; image, .config, Module.symvers, modules and source unpacked, prepared and
//! checked against each other, a stored target out.

use super::super::{Ask, Origin};
use super::dnf::Dnf;
use super::kernel::{self, Kernel, Place};
use super::package::Package;
use super::{compare, fetch, roots, signature, source};
use crate::files::{self, make_dir, remove_dir};
use crate::target::add::{self, Added, Parts, Places, Shipped};
use crate::target::config::Config;
use crate::target::options::Given;
use crate::target::toolchain::Toolchain;
use crate::target::{modules, record, Target};
use crate::{progress, sandbox};
use anyhow::{bail, ensure, Context, Result};
use kmend_shared::arch::{self, ArchNames};
use std::fs;
use std::path::{Path, PathBuf};

/// The kernel-devel's headers in the target's folder, until the source is compared with them.
const HEADERS: &str = "headers";

/// What the target's folder was made from, so that a run with other files does not go on with it.
const FROM: &str = ".from";

/// Options that are paths of this machine.
const PATHS: [&str; 5] = ["rpm", "source", "root", "rust", "gpg-key"];

/// What was asked for.
struct Request {
    /// The name behind `rpm:`.
    label: String,
    /// The release that has to be in the packages.
    release: Option<String>,
    /// The options, with whole paths.
    given: Given,
}

impl Request {
    fn read(ask: &Ask) -> Result<Self> {
        let (label, named) = match ask.rest.split_once('/') {
            Some((label, release)) => (label, Some(release)),
            None => (ask.rest.as_str(), None),
        };
        ensure!(
            add::is_plain_name(label),
            "rpm:{label} cannot be a target's name: use letters, digits and -_.+~ behind the colon"
        );
        let release = ask.option("release").or(named);
        if let (Some(release), Some(named)) = (release, named) {
            ensure!(release == named, "--release is {release}, the target's name has {named}: leave one of them out");
        }
        if let Some(release) = release {
            ensure!(
                release.starts_with(|c: char| c.is_ascii_digit()) && add::is_plain_name(release),
                "{release:?} is no kernel release; one looks like 5.14.0-427.el9.x86_64 (`uname -r` on the host)"
            );
        }
        let by_files = !ask.given.all("rpm").is_empty();
        if by_files {
            let of_dnf = ["release", "repo", "repofrompath", "releasever"];
            if let Some(option) = of_dnf.iter().find(|option| ask.option(option).is_some()) {
                bail!("--{option} is for packages that dnf fetches, --rpm names packages that are here: leave one of them out");
            }
        }
        ensure!(
            if by_files { ask.option("source").is_some() } else { release.is_some() },
            "rpm:{label} needs the kernel's RPMs (--rpm kernel-core-….rpm kernel-modules-….rpm kernel-devel-….rpm) and its \
             source package (--source kernel-….src.rpm), or the kernel's release, by which dnf fetches them (--release UNAME_R)"
        );
        let mut given = ask.given.clone();
        for option in PATHS.into_iter().filter(|option| !ask.given.all(option).is_empty()) {
            given.set(option, ask.given.all(option).iter().map(|path| whole(option, path)).collect::<Result<_>>()?);
        }
        let repos = ask.given.all("repo");
        if !repos.is_empty() {
            let is_folder = |repo: &str| repo.contains('/') && !repo.contains("://");
            let whole = |repo: &String| if is_folder(repo) { whole("repo", repo) } else { Ok(repo.clone()) };
            given.set("repo", repos.iter().map(whole).collect::<Result<_>>()?);
        }
        Ok(Self { label: label.into(), release: release.map(String::from), given })
    }
}

/// A path that was given, whole.
fn whole(option: &str, path: &str) -> Result<String> {
    let found = Path::new(path).canonicalize().with_context(|| format!("--{option}: cannot find {path}"))?;
    Ok(found.to_str().with_context(|| format!("--{option}: {path:?} is not UTF-8"))?.to_string())
}

/// What was asked for, read.
struct Asked {
    request: Request,
    packages: Vec<Package>,
    source: Package,
    keys: Vec<String>,
    /// What makes the build root where none is named, and the folder of what was fetched.
    fetched: Option<(Dnf, PathBuf)>,
}

impl Asked {
    /// Reads the files that were named, or those that dnf fetches.
    fn read(request: Request) -> Result<Self> {
        let given = &request.given;
        let mut rpms: Vec<PathBuf> = given.all("rpm").iter().map(PathBuf::from).collect();
        let mut source = given.path("source").map(PathBuf::from);
        let mut fetched = None;
        if let (true, Some(release)) = (rpms.is_empty(), &request.release) {
            let arch = fetch::arch_of(release)?;
            let got = fetch::fetch(&Dnf::open(given, arch)?, release, source.is_none())?;
            rpms = got.packages;
            source = source.or(got.source);
            // The compilers are programs of this machine.
            fetched = Some((Dnf::open(given, ArchNames::named(arch::host())?)?, got.dir));
        }
        let step = progress::step("reading the RPMs");
        let (sources, packages): (Vec<Package>, Vec<Package>) = rpms
            .iter()
            .map(|path| Package::open(path))
            .collect::<Result<Vec<_>>>()?
            .into_iter()
            .partition(|p| p.is_source);
        if let Some(package) = sources.first() {
            bail!("{} is a source package: pass it with --source", package.path.display());
        }
        let source = Package::open(&source.context("the source package")?)?;
        ensure!(source.is_source, "--source: {} is not a source package (.src.rpm)", source.path.display());
        step.done(&format!("{} and the source", packages.len()));
        let keys = given.all("gpg-key").to_vec();
        Ok(Self { request, packages, source, keys, fetched })
    }

    /// The build root: the one that is named, or what dnf makes; this machine where the packages are files.
    fn root(&self, config: &Config) -> Result<PathBuf> {
        match (self.request.given.path("root"), &self.fetched) {
            (Some(root), _) => Ok(root.into()),
            (None, Some((dnf, _))) => roots::find_or_make(dnf, config),
            (None, None) => Ok("/".into()),
        }
    }

    /// The sums of all files: other ones make another target.
    fn sums(&self) -> Result<String> {
        let sum = |p: &Package| Ok(format!("{} {}\n", files::sha256(&files::read(&p.path)?), p.full_name()));
        self.packages.iter().chain([&self.source]).map(sum).collect()
    }
}

/// Makes the target, or finds that it is there.
///
/// # Errors
/// RPMs that do not belong together, are damaged or not signed; a source that is not theirs; compilers that are not the kernel's.
pub fn add(ask: &Ask) -> Result<Added> {
    sandbox::possible()?;
    let request = Request::read(ask)?;
    if let (Some(release), true) = (&request.release, request.given.all("rpm").is_empty()) {
        // A target that is named exactly needs no network to be found there.
        if let Some(target) = add::usable(&format!("rpm:{}/{release}", request.label)).ok().flatten() {
            return Ok(Added::AlreadyThere(Box::new(target)));
        }
    }
    let asked = Asked::read(request)?;
    let kernel = kernel::of(&asked.packages)?;
    if let Some(release) = &asked.request.release {
        ensure!(
            *release == kernel.release,
            "the RPMs are of {}, not of {release}, as the name of the target has it",
            kernel.release
        );
    }
    let source = format!("{}.rpm", asked.source.full_name());
    ensure!(
        source == kernel.source,
        "{} is not the source of the kernel: that is {}, by the RPM with the image",
        asked.source.path.display(),
        kernel.source
    );
    if asked.keys.is_empty() {
        progress::note("signatures of the RPMs are not checked: --gpg-key names the public key that signed them");
    } else {
        let step = progress::step("checking the signatures of the RPMs");
        signature::check(asked.packages.iter().chain([&asked.source]), &asked.keys)?;
        step.done("");
    }
    for package in &kernel.unused {
        progress::note(&format!("{} is not needed", package.path.display()));
    }
    if kernel.headers.is_none() {
        progress::note(
            "without a kernel-devel among the RPMs the source is not compared with the headers of the kernel",
        );
    }
    let name = format!("rpm:{}/{}", asked.request.label, kernel.release);
    let added = add::add(&name, |dir| make(&asked, &kernel, &name, dir))?;
    if let Some((_, fetched)) = &asked.fetched {
        // What cannot be removed only takes room.
        let _ = remove_dir(fetched);
    }
    Ok(added)
}

fn make(asked: &Asked, kernel: &Kernel<'_>, name: &str, dir: &Path) -> Result<Target> {
    let (from, sums) = (dir.join(FROM), asked.sums()?);
    if fs::read_to_string(&from).ok().as_deref() != Some(&sums) {
        remove_dir(dir)?;
        make_dir(dir)?;
        files::write(&from, sums.as_bytes())?;
    }
    let places = Places::new(dir, &kernel.release);
    let headers = unpacked(kernel, dir, &places)?;
    let config = Config::parse(&files::read_text(&places.config)?);
    record::check_config(&config).with_context(|| format!("kernel {}", kernel.release))?;
    if let Some(headers) = &headers {
        check_headers(headers, &config, &places)?;
    }
    let shipped = Shipped::read(&places, &kernel.release, &config)?;
    modules::check_release(&places.modules, &kernel.release)?;
    // Before the source is unpacked for nothing.
    let root = asked.root(&config)?;
    let root_is = add::root_name(&root);
    let cc = record::cc_program(&config)?;
    let found = record::compilers(&sandbox::Sandbox::new(&root), cc, config.is_on("CONFIG_RUST")).context(
        "the compilers that the kernel was built with are needed (--root names the build root that has them)",
    )?;
    record::check_compilers(&found, &config, &root_is)?;
    let toolchain = Toolchain::provide(&config, asked.request.given.path("rust"))?;
    if !places.has_source()? {
        source::unpack(&asked.source, &root, &kernel.image.package.arch, dir, &places.tree)?;
    }
    let tree = places.tree.clone();
    let kbuild_arch = shipped.arch().kbuild;
    let target = Parts {
        name,
        origin: Origin {
            distro: Some("rpm".into()),
            added: std::iter::once(name.into()).chain(asked.request.given.words()).collect(),
        },
        release: &kernel.release,
        version: &kernel.version,
        places,
        config: &config,
        shipped,
        root,
        root_is: &root_is,
        toolchain,
    }
    .finish()?;
    if let Some(headers) = headers {
        let step = progress::step("comparing the source with the headers of the kernel");
        let compared = compare::headers(&tree, &headers, kbuild_arch).inspect_err(|_| {
            // The next run must not take it for a good one.
            let _ = remove_dir(&tree);
        })?;
        step.done(&format!("{compared} headers agree"));
        remove_dir(&headers)?;
    }
    Ok(target)
}

/// Unpacks what the packages have of the kernel into its places, the headers beside them; returns where these are.
fn unpacked(kernel: &Kernel<'_>, dir: &Path, places: &Places) -> Result<Option<PathBuf>> {
    let headers = dir.join(HEADERS);
    let has_headers = kernel.headers.is_none() || headers.exists();
    if !(places.modules.exists() && has_headers) {
        let step = progress::step(format!("unpacking image, modules and headers of {}", kernel.release));
        let new = dir.join("rpms.unpacking");
        remove_dir(&new)?;
        let packages: Vec<&Package> = [kernel.image.package, kernel.config.package, kernel.symvers.package]
            .into_iter()
            .chain(kernel.modules.iter().copied())
            .chain(kernel.headers.iter().map(|(package, _)| *package))
            .collect();
        for (at, package) in packages.iter().enumerate() {
            if !packages[..at].iter().any(|before| std::ptr::eq(*before, *package)) {
                package.unpack(&|path| place(kernel, package, path, &new))?;
            }
        }
        let symvers = new.join("symvers");
        let raw = files::read(&symvers)?;
        // Packed as the end of its name in the package says.
        places.put_symvers(Path::new(kernel.symvers.path), raw)?;
        let rename = |from: &Path, to: &Path| {
            fs::rename(from, to).with_context(|| format!("cannot rename {} to {}", from.display(), to.display()))
        };
        rename(&new.join("config"), &places.config)?;
        rename(&new.join("vmlinuz"), &places.vmlinuz)?;
        if kernel.headers.is_some() {
            remove_dir(&headers)?;
            rename(&new.join(HEADERS), &headers)?;
        }
        make_dir(places.modules.parent().unwrap_or(dir))?;
        remove_dir(&places.modules)?;
        rename(&new.join("modules"), &places.modules)?;
        remove_dir(&new)?;
        step.done("");
    }
    Ok(kernel.headers.is_some().then_some(headers))
}

/// Where a file of `package` goes below `new`; None where it is not needed.
fn place(kernel: &Kernel<'_>, package: &Package, path: &str, new: &Path) -> Option<PathBuf> {
    let is = |place: &Place<'_>| std::ptr::eq(place.package, package) && place.path == path;
    if is(&kernel.image) {
        return Some(new.join("vmlinuz"));
    }
    if is(&kernel.config) {
        return Some(new.join("config"));
    }
    if is(&kernel.symvers) {
        return Some(new.join("symvers"));
    }
    if let Some((_, rest)) = kernel::in_modules(path) {
        return kernel::goes_with_modules(rest).then(|| new.join("modules").join(rest));
    }
    let (_, folder) = kernel.headers.as_ref().filter(|(of, _)| std::ptr::eq(*of, package))?;
    let rest = path.strip_prefix(folder.as_str())?;
    let is_wanted =
        rest.starts_with("include/") || rest.starts_with("arch/") || rest == ".config" || rest == "Module.symvers";
    is_wanted.then(|| new.join(HEADERS).join(rest))
}

/// The .config, Module.symvers and compile.h of the headers must be the kernel's.
fn check_headers(headers: &Path, config: &Config, places: &Places) -> Result<()> {
    if let Ok(text) = fs::read_to_string(headers.join(".config")) {
        let differences = config.differences(&Config::parse(&text));
        ensure!(
            differences.is_empty(),
            "the .config of kernel-devel is not the kernel's: they do not belong together\n    {}",
            differences.into_iter().take(10).collect::<Vec<_>>().join("\n    ")
        );
    }
    if let Ok(text) = fs::read(headers.join("Module.symvers")) {
        ensure!(
            text == files::read(&places.symvers)?,
            "the Module.symvers of kernel-devel is not the kernel's: they do not belong together"
        );
    }
    if let Ok(text) = fs::read_to_string(headers.join("include/generated/compile.h")) {
        record::check_compile_h(&text, config)?;
    }
    Ok(())
}
