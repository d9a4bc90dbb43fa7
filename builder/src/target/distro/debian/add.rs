// SPDX-License-Identifier: GPL-2.0-or-later
//! Makes a target from a Debian suite: suite and release in; source, .config, image, modules and
//! compilers fetched, prepared and checked against each other, a stored target out.

use super::super::Ask;
use super::apt::{self, Archive};
use super::{roots, source};
use crate::files::{self, make_dir, remove_dir};
use crate::target::add::{self, Added, Parts, Places, Shipped};
use crate::target::config::Config;
use crate::target::toolchain::Toolchain;
use crate::target::{record, store, Target};
use crate::{progress, sandbox};
use anyhow::{bail, ensure, Context, Result};
use kmend_shared::arch::{self, ArchNames};
use std::fs;
use std::path::Path;

/// What `target add debian:…` was asked for.
#[derive(Clone, Debug)]
pub struct Request {
    /// `forky`.
    pub suite: String,
    /// `7.2.12+deb14-amd64`; None for the newest.
    pub release: Option<String>,
    /// `cloud`, of the newest; None for the plain kernel.
    pub flavour: Option<String>,
    /// The kernel's architecture.
    pub arch: &'static ArchNames,
    ask: Ask,
}

impl Request {
    /// Another archive than the machine's own.
    fn mirror(&self) -> Option<&str> {
        self.ask.option("mirror")
    }

    /// Reads what follows `debian:`, `forky`, `forky/cloud` or `forky/7.2.12+deb14-amd64`, and the options.
    pub fn parse(ask: &Ask) -> Result<Self> {
        let (suite, behind) = match ask.rest.split_once('/') {
            Some((suite, behind)) => (suite, Some(behind)),
            None => (&*ask.rest, None),
        };
        let (flavour, release) = match behind {
            Some(word) if super::is_flavour(word) => (Some(word.to_string()), None),
            _ => (None, behind),
        };
        if let Some(release) = release {
            let plain = |c: char| c.is_ascii_alphanumeric() || "-_.+~".contains(c);
            ensure!(
                release.starts_with(|c: char| c.is_ascii_digit()) && release.chars().all(plain),
                "{release:?} is no kernel release and no flavour: a release looks like 7.2.12+deb14-amd64 (`uname -r` on the host), flavours \
                 are cloud and rt"
            );
        }
        let arch = ArchNames::named(ask.option("arch").unwrap_or(arch::host()))?;
        Ok(Self { suite: suite.into(), release: release.map(String::from), flavour, arch, ask: ask.clone() })
    }

    /// The package that depends on the newest kernel.
    fn newest(&self) -> String {
        let plain = self.arch.newest;
        match (&self.flavour, plain.strip_prefix("linux-image-")) {
            (Some(flavour), Some(arch)) => format!("linux-image-{flavour}-{arch}"),
            _ => plain.into(),
        }
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
        if let Some(target) = add::usable(&target_name(&request.suite, release)).ok().flatten() {
            return Ok(Added::AlreadyThere(Box::new(target)));
        }
    }
    let archive = match Archive::open(&request.suite, request.arch.debian, request.mirror()) {
        Ok(archive) => archive,
        Err(fault) => {
            let stored = stored_newest(request).ok_or(fault)?;
            eprintln!("  the archive cannot be asked whether there is a newer kernel than the stored one");
            return Ok(Added::AlreadyThere(Box::new(stored)));
        }
    };
    let kernel = resolve(&archive, request)?;
    let name = target_name(&request.suite, &kernel.release);
    let dir = store::dir(&name)?;
    let added = add::add(&name, |dir| make(request, &archive, &kernel, &name, dir))?;
    if let Added::New(_) = &added {
        for deb in [Part::Source, Part::Headers].map(|p| dir.join(p.deb_link())) {
            drop_deb(&deb);
        }
    }
    Ok(added)
}

fn target_name(suite: &str, release: &str) -> String {
    format!("debian:{suite}/{release}")
}

/// The newest stored target of the suite, when it is what was asked for and can be used.
fn stored_newest(request: &Request) -> Option<Target> {
    let flavour = request.flavour.iter().map(|flavour| format!("/{flavour}")).collect::<String>();
    let target = store::load(&format!("debian:{}{flavour}", request.suite)).ok()?;
    (request.release.is_none() && target.arch == request.arch.uname).then_some(target)
}

/// Finds the newest kernel of the suite, or the named one.
fn resolve(archive: &Archive, request: &Request) -> Result<Kernel> {
    let newest = &request.newest();
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
    /// Notes in the target's folder which .deb of the cache can go once the target is complete.
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
    let places = Places::new(dir, release);
    let compile_h = headers(archive, kernel, dir, &places)?;
    let config = Config::parse(&files::read_text(&places.config)?);
    record::check_config(&config).with_context(|| format!("kernel {release}"))?;
    record::check_compile_h(&compile_h, &config)?;

    let machine_arch = apt::machine_arch()?;
    let tools = if machine_arch == archive.arch {
        archive.clone()
    } else {
        Archive::open(&request.suite, &machine_arch, request.mirror())?
    };
    let wanted = roots::Wanted::new(&tools, &config, &machine_arch)?;

    // The build root keeps the processor busy while the network brings the packages, and the other way round.
    let make_roots = || -> Result<_> {
        let root = roots::find_or_make(&tools, &wanted)?;
        Ok((root, Toolchain::provide(&config, None)?))
    };
    let (roots, shipped) = std::thread::scope(|s| {
        let roots = s.spawn(make_roots);
        let files =
            unpacked(archive, kernel, dir, &places).and_then(|()| image(archive, kernel, &config, dir, &places));
        let roots = roots.join().unwrap_or_else(|_| bail!("making the build root broke off"));
        (roots, files)
    });
    let ((root, toolchain), shipped) = (roots?, shipped?);
    let parts = Parts {
        name,
        origin: request.ask.origin(name),
        release,
        version: &kernel.version,
        places,
        config: &config,
        shipped,
        root,
        root_is: &format!("the build root of suite {}", request.suite),
        toolchain,
    };
    parts.finish()
}

/// The stock .config and Module.symvers in their places, and the text of compile.h, out of linux-headers.
fn headers(archive: &Archive, kernel: &Kernel, dir: &Path, places: &Places) -> Result<String> {
    let compile_h = dir.join("compile.h");
    if !compile_h.exists() {
        let package = format!("linux-headers-{}", kernel.release);
        let step = progress::step(format!("fetching {package} {}", kernel.version));
        let deb = archive.fetch(&package, Some(&kernel.version))?;
        note_deb(dir, Part::Headers, &deb)?;
        let new = dir.join("headers.unpacking");
        remove_dir(&new)?;
        apt::unpack(&deb, &new, &[])?;
        let from = new.join("usr/src").join(&package);
        for (file, to) in [
            (".config", &places.config),
            ("Module.symvers", &places.symvers),
            ("include/generated/compile.h", &compile_h),
        ] {
            files::write(to, &files::read(&from.join(file))?)?;
        }
        remove_dir(&new)?;
        step.done("");
    }
    files::read_text(&compile_h)
}

/// The source, unpacked in its place.
fn unpacked(archive: &Archive, kernel: &Kernel, dir: &Path, places: &Places) -> Result<()> {
    if places.has_source()? {
        return Ok(());
    }
    let series = kernel.series()?;
    let package = format!("linux-source-{series}");
    let step = progress::step(format!("fetching {package} {}", kernel.version));
    let deb = archive.fetch(&package, Some(&kernel.version))?;
    note_deb(dir, Part::Source, &deb)?;
    step.done("");
    let step = progress::step("unpacking the source");
    source::unpack(&deb, &series, &places.tree)?;
    step.done("");
    Ok(())
}

/// The shipped image and modules, out of whichever package holds them.
fn image(archive: &Archive, kernel: &Kernel, config: &Config, dir: &Path, places: &Places) -> Result<Shipped> {
    let release = &kernel.release;
    if !places.modules.exists() || !places.vmlinuz.exists() {
        let step = progress::step(format!("fetching the image and the modules of {release}"));
        let packages = fetch_image(archive, kernel, dir, &places.vmlinuz, &places.modules)?;
        step.done(&packages.join(", "));
    }
    Shipped::read(places, release, config)
}

/// Fetches packages until image and modules are there; returns the names of those that had something.
/// From 7.x on they come in two packages, before in one.
fn fetch_image(archive: &Archive, kernel: &Kernel, dir: &Path, vmlinuz: &Path, modules: &Path) -> Result<Vec<String>> {
    let release = &kernel.release;
    let new = dir.join("image.unpacking");
    remove_dir(&new)?;
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
    make_dir(modules.parent().unwrap_or(dir))?;
    remove_dir(modules)?;
    rename(from, modules)?;
    remove_dir(&new)?;
    Ok(used)
}

#[cfg(test)]
mod tests {
    use super::super::super::Distro;
    use super::super::Debian;
    use super::*;

    #[test]
    fn requests() {
        let parse = |rest, arch| Request::parse(&Ask::new(Debian.facts(), rest, [("arch", arch)].into()).unwrap());
        let r = parse("forky", "amd64").unwrap();
        assert_eq!(r.newest(), "linux-image-amd64");
        assert_eq!((r.suite.as_str(), r.release, r.arch.uname), ("forky", None, "x86_64"));
        let r = parse("forky/cloud", "amd64").unwrap();
        assert_eq!((r.newest().as_str(), r.release), ("linux-image-cloud-amd64", None));
        let r = parse("forky/7.2.12+deb14-amd64", "x86_64").unwrap();
        assert_eq!(r.release.as_deref(), Some("7.2.12+deb14-amd64"));
        for bad in ["forky/", "forky/../x", "forky/7.2/x", "forky/-x"] {
            assert!(parse(bad, "amd64").is_err(), "{bad}");
        }
        let said = parse("forky", "m68k").unwrap_err().to_string();
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
