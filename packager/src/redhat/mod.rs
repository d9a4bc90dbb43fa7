// SPDX-License-Identifier: GPL-2.0-or-later
//! RPMs, and repositories of them.

mod build_tool;
mod companions;
mod host_tool;
mod live_patch;
mod metapackage;
mod repository;
mod signed;
mod updateinfo;

pub use build_tool::build_tool;
pub use companions::{dnf_plugin, kpatch};
pub use host_tool::host_tool;
pub use live_patch::live_patch;
pub use metapackage::{metapackage, Metapackage};
pub use repository::repository;
pub use signed::{is_signed, sign};
pub use updateinfo::{advisories, Advisory};

use crate::date;
use crate::description::Origin;
use crate::files::Built;
use crate::signing::Key;
use anyhow::{Context, Result};
use rpm::{BuildConfig, CompressionWithLevel, PackageBuilder, Scriptlet};

/// The package that subscribes a host to all kernels of a stream.
const METAPACKAGE: &str = "kpatch-patches";

/// A package with the fields that all have. Its times are the origin's date, its build host is not said.
fn builder(name: &str, version: &str, release: &str, arch: &str, about: &About<'_>) -> Result<PackageBuilder> {
    let origin = about.origin;
    let mut package = PackageBuilder::new(name, version, &origin.license, arch, about.summary);
    package
        // xz: every rpm that is in use unpacks it. No room is left for signatures to be added in place.
        .using_config(
            BuildConfig::v4()
                .compression(CompressionWithLevel::Xz(6))
                .source_date(date::rpm(origin.date)?)
                .reserved_space(None),
        )
        .release(release)
        .description(about.description)
        .url(&origin.url)
        .vendor(&origin.vendor)
        .packager(&origin.packager)
        .build_host("reproducible");
    Ok(package)
}

/// What people read about a package.
struct About<'a> {
    summary: &'a str,
    description: &'a str,
    origin: &'a Origin,
}

/// A script for /bin/sh.
fn script(text: impl Into<String>) -> Scriptlet {
    Scriptlet::new(text).prog(vec!["/bin/sh"])
}

/// The finished file, signed if there is a key.
fn finish(mut package: PackageBuilder, file: String, key: Option<&Key>) -> Result<Built> {
    let mut bytes = Vec::new();
    package.build().and_then(|p| p.write(&mut bytes)).with_context(|| format!("cannot make {file}"))?;
    if let Some(key) = key {
        bytes = sign(&bytes, key).with_context(|| format!("cannot sign {file}"))?;
    }
    Ok(Built { file, bytes })
}
