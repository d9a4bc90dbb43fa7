// SPDX-License-Identifier: GPL-2.0-or-later
//! What the packages of the host tool, kmend, are made from. It takes kpatch's place on a host: same command, same
//! unit.

use crate::contents::{shared, Contents};
use crate::description::{self, Origin};
use crate::{files, module, text};
use anyhow::{ensure, Context, Result};
use std::path::PathBuf;

/// The version of kpatch that kmend replaces; packages of live patches ask for 0.6.1-1 or later.
pub(crate) const KPATCH: &str = "0.9.11-1";

/// Units beside kpatch.service.
pub(crate) const UNITS: [&str; 2] = ["kmend-check.service", "kmend-check.timer"];

/// What `sos report` takes along.
const SOS: &str = "/etc/sos/extras.d/kmend";

/// Files of manager/ that only the deb has, where they are on the host, and their modes: kernels come with their live patches
/// there (manager/src/subscribe/timer.rs).
pub(crate) const DEB_ONLY: [(&str, &str, u16); 4] = [
    ("kmend-subscribe.service", "/usr/lib/systemd/system/kmend-subscribe.service", 0o644),
    ("kmend-subscribe.timer", "/usr/lib/systemd/system/kmend-subscribe.timer", 0o644),
    ("kernel-hook", "/etc/kernel/postinst.d/zz-kmend-subscribe", 0o755),
    ("apt.conf", "/etc/apt/apt.conf.d/01kmend", 0o644),
];

/// The epoch of the packages beside kmend's own that have a vendor's names: an update prefers them to the vendor's.
pub(crate) const COMPANION_EPOCH: u32 = 1;

/// What kmend cannot be installed beside: any kpatch but the one that requires kmend.
pub(crate) const VENDOR: &str = "1:0";

pub(crate) const COMPANION_TEXT: &str =
    "This package has no files. Who has kpatch installed gets kmend by an update to it.";

/// What is packaged.
#[derive(Clone, Debug)]
pub struct HostTool {
    /// The version: 0.1.0
    pub version: String,
    /// The package's release: 1
    pub release: u32,
    /// Ends the RPM's release, or is empty.
    pub dist: String,
    /// The program kmend; it says which architecture the package is for, and what it needs.
    pub binary: PathBuf,
    /// manager/kpatch.service; the other units ([`UNITS`]) and sos-extras are beside it.
    pub unit: PathBuf,
    /// A folder with man pages and completions, laid out as /usr/share is, if there is one.
    pub share: Option<PathBuf>,
    /// Packager, license, date.
    pub origin: Origin,
}

pub(crate) const SUMMARY: &str = "Installs, loads and watches live patches";
pub(crate) const DESCRIPTION: &str =
    "kmend manages live patches of the running kernel. It answers to the name kpatch as well.";

impl HostTool {
    /// Refuses what cannot be in the package `name`.
    pub(crate) fn check(&self, name: &str) -> Result<()> {
        check(name, &self.version, &self.dist, &self.origin)
    }

    /// Refuses what cannot be packaged, and reads the rest.
    pub(crate) fn contents(&self) -> Result<Contents> {
        self.check("kmend")?;
        let binary = files::read(&self.binary)?;
        let needs = module::needs(&self.binary, &binary)?;
        let unit = files::read(&self.unit)?;
        let mut put = vec![
            ("/usr/sbin/kmend".into(), 0o755, binary),
            ("/usr/lib/systemd/system/kpatch.service".into(), 0o644, unit),
        ];
        for name in UNITS {
            put.push((format!("/usr/lib/systemd/system/{name}"), 0o644, files::read(&self.unit.with_file_name(name))?));
        }
        put.push((SOS.into(), 0o644, files::read(&self.unit.with_file_name("sos-extras"))?));
        if let Some(folder) = &self.share {
            for (place, path) in shared(folder)? {
                put.push((format!("/usr/share/{place}"), 0o644, files::read(&path)?));
            }
        }
        Ok(Contents { needs, files: put, links: vec![("/usr/sbin/kpatch".into(), "kmend".into())] })
    }
}

/// Refuses a version or an origin that cannot be in the package `name`.
pub(crate) fn check(name: &str, version: &str, dist: &str, origin: &Origin) -> Result<()> {
    origin.check().with_context(|| format!("package {name}"))?;
    text::word("version", version, ".+~")?;
    ensure!(version.starts_with(|c: char| c.is_ascii_digit()), "version {version:?} starts without a digit");
    description::dist(dist)
}
