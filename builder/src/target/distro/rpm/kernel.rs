// SPDX-License-Identifier: GPL-2.0-or-later
//! Which kernel some RPMs are: their lists of files in; where its image, .config, Module.symvers, modules and headers are out.
//!
//! Names of packages differ (kernel-core, kernel, kernel-uek-core, kernel-default), the paths of a kernel's files hardly do, so
//! these are what counts.

use super::package::Package;
use anyhow::{bail, ensure, Context, Result};
use kmend_shared::arch::ArchNames;
use std::collections::BTreeSet;

/// A file in one of the packages.
#[derive(Clone, Copy, Debug)]
pub struct Place<'a> {
    /// The package.
    pub package: &'a Package,
    /// The path in it, from the root.
    pub path: &'a str,
}

/// A kernel that is in some RPMs.
#[derive(Debug)]
pub struct Kernel<'a> {
    /// `uname -r`.
    pub release: String,
    /// The version of the package with its image.
    pub version: String,
    /// The source package that it was built from.
    pub source: String,
    /// Its image.
    pub image: Place<'a>,
    /// Its .config.
    pub config: Place<'a>,
    /// Its Module.symvers, perhaps packed.
    pub symvers: Place<'a>,
    /// The packages with modules.
    pub modules: Vec<&'a Package>,
    /// The package with its headers, and their folder in it; None without a kernel-devel.
    pub headers: Option<(&'a Package, String)>,
    /// The packages that have nothing of it.
    pub unused: Vec<&'a Package>,
}

/// Folders that `lib/modules` is in.
const MODULES: [&str; 2] = ["lib/modules/", "usr/lib/modules/"];

/// What is behind `lib/modules/RELEASE/` in `path`, with the release.
pub fn in_modules(path: &str) -> Option<(&str, &str)> {
    MODULES.iter().find_map(|start| path.strip_prefix(start)?.split_once('/'))
}

/// Whether the file `rest` of `lib/modules/RELEASE` goes with the modules: these, and what kmod reads of them.
pub fn goes_with_modules(rest: &str) -> bool {
    rest.contains(".ko") || rest.starts_with("modules.")
}

/// The first of `paths` that a package has.
fn find<'a>(packages: &'a [Package], paths: &[String]) -> Option<Place<'a>> {
    let in_one = |wanted: &String| {
        packages.iter().find_map(|package| {
            let path = package.files.iter().find(|path| *path == wanted)?;
            Some(Place { package, path })
        })
    };
    paths.iter().find_map(in_one)
}

/// The kernel that is in `packages`.
///
/// # Errors
/// None, several, or packages that do not belong together.
pub fn of(packages: &[Package]) -> Result<Kernel<'_>> {
    let release = release(packages)?;
    let below = |rest: &str| MODULES.map(|start| format!("{start}{release}/{rest}"));
    let boot = |name: &str| [format!("boot/{name}-{release}")];
    let devel = |name: &str| [format!("usr/src/kernels/{release}/{name}")];
    let packed = |name: &str| ["", ".gz", ".xz", ".zst"].map(|end| format!("{name}{end}"));

    let images = [&below("vmlinuz")[..], &boot("vmlinuz"), &boot("vmlinux"), &packed(&boot("vmlinux")[0])].concat();
    let image = find(packages, &images).with_context(|| {
        format!("none of the RPMs has the image of {release} ({}): kernel-core has it, or kernel", images[0])
    })?;
    let configs = [&below("config")[..], &boot("config"), &devel(".config")].concat();
    let config = find(packages, &configs).with_context(|| {
        format!("none of the RPMs has the .config of {release}: kernel-core has it, and kernel-devel")
    })?;
    let mut symvers: Vec<String> = below("symvers").iter().chain(&boot("symvers")).flat_map(|p| packed(p)).collect();
    symvers.extend(devel("Module.symvers"));
    let symvers = find(packages, &symvers).with_context(|| {
        format!("none of the RPMs has the Module.symvers of {release}: kernel-core has it, and kernel-devel")
    })?;
    let has_module = |package: &&Package| {
        package.files.iter().any(|path| in_modules(path).is_some_and(|(_, rest)| rest.contains(".ko")))
    };
    let modules: Vec<&Package> = packages.iter().filter(has_module).collect();
    ensure!(
        !modules.is_empty(),
        "none of the RPMs has modules of {release}: kernel-modules-core and kernel-modules have them, or kernel"
    );
    let folder = format!("usr/src/kernels/{release}/");
    let headers = packages.iter().find(|p| p.files.iter().any(|path| path.starts_with(&format!("{folder}include/"))));
    let headers = headers.map(|package| (package, folder));

    let (version, source) = (image.package.version.clone(), image.package.source.clone());
    let is_used = |p: &&Package| {
        [image, config, symvers].iter().any(|place| std::ptr::eq(place.package, *p))
            || modules.iter().any(|other| std::ptr::eq(*other, *p))
            || headers.iter().any(|(other, _)| std::ptr::eq(*other, *p))
    };
    let (used, unused): (Vec<&Package>, Vec<&Package>) = packages.iter().partition(is_used);
    for package in &used {
        ensure!(
            package.version == version && package.source == source,
            "{} and {} do not belong together: they are of {} and {}",
            image.package.path.display(),
            package.path.display(),
            image.package.full_name(),
            package.full_name()
        );
        ensure!(
            package.arch == image.package.arch,
            "{} is for {}, {} for {}: they do not belong together",
            package.path.display(),
            package.arch,
            image.package.path.display(),
            image.package.arch
        );
    }
    ArchNames::named(&image.package.arch).with_context(|| image.package.path.display().to_string())?;
    Ok(Kernel { release, version, source, image, config, symvers, modules, headers, unused })
}

/// `uname -r` of the one kernel that the packages hold.
fn release(packages: &[Package]) -> Result<String> {
    let of_image = |path: &str| match in_modules(path) {
        Some((release, "vmlinuz")) => Some(release.to_string()),
        Some(_) => None,
        None => {
            let name = path.strip_prefix("boot/vmlinu")?;
            let release = name.strip_prefix("z-").or_else(|| name.strip_prefix("x-"))?;
            let packed = [".gz", ".xz", ".zst"].iter().find_map(|end| release.strip_suffix(end));
            Some(packed.unwrap_or(release).to_string())
        }
    };
    let mut images: BTreeSet<String> =
        packages.iter().flat_map(|p| &p.files).filter_map(|path| of_image(path)).collect();
    let plain = |r: &String| {
        r.starts_with(|c: char| c.is_ascii_digit())
            && r.chars().all(|c| c.is_ascii_alphanumeric() || "-_.+~".contains(c))
    };
    if let Some(odd) = images.iter().find(|r| !plain(r)) {
        bail!("an RPM has the image of a kernel {odd:?}, which is no kernel's release");
    }
    ensure!(
        images.len() < 2,
        "the RPMs hold more than one kernel: {}",
        images.into_iter().collect::<Vec<_>>().join(", ")
    );
    let release = images.pop_first().with_context(|| {
        let names: Vec<String> = packages.iter().map(Package::full_name).collect();
        format!("none of the RPMs has a kernel's image: kernel-core has it, or kernel. They are {}", names.join(", "))
    })?;
    for package in packages {
        let other = package.files.iter().find_map(|path| {
            let (other, rest) = in_modules(path)?;
            (goes_with_modules(rest) && other != release).then_some(other)
        });
        if let Some(other) = other {
            bail!(
                "{} has modules of the kernel {other}, the image is {release}: they do not belong together",
                package.path.display()
            );
        }
    }
    Ok(release)
}

#[cfg(test)]
mod tests {
    use super::*;

    const RELEASE: &str = "5.14.0-427.el9.x86_64";

    fn package(name: &str, files: &[&str]) -> Package {
        Package {
            path: format!("{name}.rpm").into(),
            name: name.into(),
            version: "5.14.0-427.el9".into(),
            arch: "x86_64".into(),
            source: "kernel-5.14.0-427.el9.src.rpm".into(),
            is_source: false,
            files: files.iter().map(|f| f.replace("REL", RELEASE)).collect(),
        }
    }

    fn el9() -> Vec<Package> {
        vec![
            package(
                "kernel-core",
                &["lib/modules/REL/vmlinuz", "lib/modules/REL/config", "lib/modules/REL/symvers.gz"],
            ),
            package("kernel-modules", &["lib/modules/REL/kernel/net/a.ko.xz", "lib/modules/REL/modules.order"]),
            package("kernel-devel", &["usr/src/kernels/REL/.config", "usr/src/kernels/REL/include/linux/a.h"]),
            package("kernel-debuginfo", &["usr/lib/debug/lib/modules/REL/vmlinux"]),
        ]
    }

    #[test]
    fn the_kernel_is_found_by_its_files() {
        let packages = el9();
        let kernel = of(&packages).unwrap();
        assert_eq!((kernel.release.as_str(), kernel.version.as_str()), (RELEASE, "5.14.0-427.el9"));
        assert_eq!(kernel.symvers.path, format!("lib/modules/{RELEASE}/symvers.gz"));
        assert_eq!(kernel.config.package.name, "kernel-core");
        assert_eq!(kernel.headers.as_ref().unwrap().1, format!("usr/src/kernels/{RELEASE}/"));
        assert_eq!(kernel.unused.iter().map(|p| p.name.as_str()).collect::<Vec<_>>(), ["kernel-debuginfo"]);
        // SUSE's, in one package.
        let one = [package(
            "kernel-default",
            &["boot/vmlinuz-REL", "boot/config-REL", "boot/symvers-REL.gz", "usr/lib/modules/REL/kernel/a.ko.zst"],
        )];
        let kernel = of(&one).unwrap();
        assert_eq!((kernel.modules.len(), kernel.headers.is_none()), (1, true));
    }

    #[test]
    fn what_is_missing_or_foreign_is_named() {
        let said = |packages: &[Package]| of(packages).unwrap_err().to_string();
        let all = el9();
        assert!(said(&all[1..]).contains("no kernel's image") || said(&all[1..]).contains("a kernel's image"));
        assert!(said(&all[..1]).contains("modules of"));
        let mut other = el9();
        other[1].files[0] = "lib/modules/5.14.0-428.el9.x86_64/kernel/net/a.ko.xz".into();
        assert!(said(&other).contains("kernel-modules.rpm") && said(&other).contains("5.14.0-428"), "{}", said(&other));
        let mut newer = el9();
        newer[2].version = "5.14.0-428.el9".into();
        newer[0].files.remove(1);
        assert!(said(&newer).contains("kernel-devel.rpm"), "{}", said(&newer));
        let mut power = el9();
        power[1].arch = "ppc64le".into();
        assert!(said(&power).contains("ppc64le"), "{}", said(&power));
        let mut two = el9();
        two.push(package("kernel", &["boot/vmlinuz-5.14.0-1.el9.x86_64"]));
        assert!(said(&two).contains("more than one kernel"), "{}", said(&two));
        let odd = [package("kernel", &["lib/modules/$(x)/vmlinuz"])];
        assert!(said(&odd).contains("no kernel's release"), "{}", said(&odd));
    }
}
