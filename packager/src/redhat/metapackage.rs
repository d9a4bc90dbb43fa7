// SPDX-License-Identifier: GPL-2.0-or-later
//! The package that subscribes a host to all live patches of a stream, for the kernels that it has and will have.

use super::{builder, finish, About, METAPACKAGE};
use crate::description::{self, Origin};
use crate::files::Built;
use crate::names::Names;
use crate::signing::Key;
use crate::text;
use crate::version::Version;
use anyhow::{ensure, Context, Result};
use rpm::Dependency;
use std::collections::BTreeMap;

/// `kpatch-patches`: for each kernel of a stream, the version that it has to have by now.
#[derive(Clone, Debug)]
pub struct Metapackage {
    /// Counts up with each release of the stream; a date as 20261002 does.
    pub version: u32,
    /// Counts up where the version stays.
    pub release: u32,
    /// Ends the release, or is empty.
    pub dist: String,
    /// The kernels with their newest live patches; 0-0 where there is none yet.
    pub patches: Vec<(Names, Version)>,
    /// Packager, license, date.
    pub origin: Origin,
}

/// Makes the RPM, signed with `key` if there is one. Two kernels that would share a package name are refused.
pub fn metapackage(meta: &Metapackage, key: Option<&Key>) -> Result<Built> {
    let name = METAPACKAGE;
    meta.origin.check().with_context(|| format!("package {name}"))?;
    description::dist(&meta.dist)?;
    ensure!(!meta.patches.is_empty(), "package {name}: the stream has no kernels");
    let mut by_id: BTreeMap<&str, &str> = BTreeMap::new();
    for (names, _) in &meta.patches {
        text::word("kernel release", names.release(), "._+~-")?;
        names.rpm_provides()?;
        let base = *by_id.entry(names.id()).or_insert(names.base());
        ensure!(
            base == names.base(),
            "kernels {base} and {} would both be {}: one of them needs another CONFIG_LOCALVERSION",
            names.base(),
            names.rpm()
        );
    }
    let about = About {
        summary: "Live patches for all kernels of this stream",
        description: "Who installs this package gets the live patches of the installed kernels, and of those to come, as updates.",
        origin: &meta.origin,
    };
    let (version, release) = (meta.version.to_string(), format!("{}{}", meta.release, meta.dist));
    let mut package = builder(name, &version, &release, "noarch", &about)?;
    for (names, version) in &meta.patches {
        package.recommends(Dependency::any(format!(
            "({} >= {version} if kernel-uname-r = {})",
            names.rpm(),
            names.release()
        )));
    }
    finish(package, format!("{name}-{version}-{release}.noarch.rpm"), key)
}
