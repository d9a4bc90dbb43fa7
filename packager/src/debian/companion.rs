// SPDX-License-Identifier: GPL-2.0-or-later
//! The deb `kpatch` beside kmend's own: it moves hosts from Debian's kpatch to kmend, where operators put it into a repository.

use super::archive::Deb;
use super::control::Control;
use crate::date;
use crate::files::Built;
use crate::host_tool::{HostTool, COMPANION_EPOCH, COMPANION_TEXT};
use anyhow::{Context, Result};
use std::collections::{BTreeMap, BTreeSet};

/// Makes the deb, which depends on kmend and has no files.
///
/// # Errors
/// The tool's version or origin cannot be in a package.
pub fn kpatch(tool: &HostTool) -> Result<Built> {
    tool.check("kpatch")?;
    let version = format!("{}-{}", tool.version, tool.release);
    let control = Control::default()
        .field("Package", "kpatch")?
        .field("Version", &format!("{COMPANION_EPOCH}:{version}"))?
        .field("Architecture", "all")?
        .field("Maintainer", &tool.origin.packager)?
        .field("Section", "admin")?
        .field("Priority", "optional")?
        .field("Homepage", &tool.origin.url)?
        .field("Depends", "kmend")?
        .description("kmend in the place of kpatch", COMPANION_TEXT)?;
    let deb = Deb {
        control: control.text(),
        scripts: BTreeMap::new(),
        files: BTreeMap::new(),
        links: BTreeMap::new(),
        folders: BTreeSet::new(),
        date: u64::from(date::rpm(tool.origin.date)?),
    };
    let file = format!("kpatch_{version}_all.deb");
    let bytes = deb.bytes().with_context(|| format!("cannot make {file}"))?;
    Ok(Built { file, bytes })
}
