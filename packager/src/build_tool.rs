// SPDX-License-Identifier: GPL-2.0-or-later
//! What the packages of kmend-build, the program for those who make live patches, are made from.

use crate::contents::{shared, Contents};
use crate::description::Origin;
use crate::{files, host_tool, module};
use anyhow::Result;
use std::path::PathBuf;

pub(crate) const NAME: &str = "kmend-build";
pub(crate) const SUMMARY: &str = "Builds live patches for running Linux kernels";
pub(crate) const DESCRIPTION: &str =
    "kmend-build turns a source fix into a live patch module, and proves that it fits \
    the kernel that runs. It keeps streams of cumulative live patches and their package repositories.";

/// Debian's packages with the programs that it calls for a target: the rest is only for repositories.
pub(crate) const DEB_DEPENDS: &[&str] = &[
    "apt",
    "bubblewrap",
    "debian-archive-keyring",
    "gpgv",
    "mmdebstrap",
    "openssl",
    "patch",
    "util-linux",
    "xz-utils",
    "zstd",
];
pub(crate) const DEB_RECOMMENDS: &[&str] = &["createrepo-c", "gpg"];

/// The same for RPM distributions. Targets are Debian's kernels or trees; what the first need is there, and not everywhere.
pub(crate) const RPM_REQUIRES: &[&str] = &["bubblewrap", "openssl", "patch", "tar", "util-linux", "xz", "zstd"];
pub(crate) const RPM_RECOMMENDS: &[&str] = &["apt", "createrepo_c", "dpkg", "gnupg2", "mmdebstrap"];

/// What is packaged.
#[derive(Clone, Debug)]
pub struct BuildTool {
    /// The version: 0.1.0
    pub version: String,
    /// The package's release: 1
    pub release: u32,
    /// Ends the RPM's release, or is empty.
    pub dist: String,
    /// The program kmend-build; it says which architecture the package is for, and what it needs.
    pub binary: PathBuf,
    /// A folder with man pages, completions and documents, laid out as /usr/share is, if there is one.
    pub share: Option<PathBuf>,
    /// Packager, license, date.
    pub origin: Origin,
}

impl BuildTool {
    /// Refuses what cannot be packaged, and reads the rest.
    pub(crate) fn contents(&self) -> Result<Contents> {
        host_tool::check(NAME, &self.version, &self.dist, &self.origin)?;
        let binary = files::read(&self.binary)?;
        let needs = module::needs(&self.binary, &binary)?;
        let mut put = vec![(format!("/usr/bin/{NAME}"), 0o755, binary)];
        if let Some(folder) = &self.share {
            for (place, path) in shared(folder)? {
                put.push((format!("/usr/share/{place}"), 0o644, files::read(&path)?));
            }
        }
        Ok(Contents { needs, files: put, links: Vec::new() })
    }
}
