// SPDX-License-Identifier: GPL-2.0-or-later
//! The deb of kmend-build.

use super::archive::Deb;
use super::control::Control;
use crate::build_tool::{BuildTool, DEB_DEPENDS, DEB_RECOMMENDS, DESCRIPTION, NAME, SUMMARY};
use crate::date;
use crate::files::Built;
use anyhow::{Context, Result};
use std::collections::{BTreeMap, BTreeSet};

/// Makes the deb. Libraries whose Debian package is not known are refused.
pub fn build_tool(tool: &BuildTool) -> Result<Built> {
    let contents = tool.contents()?;
    let libraries = contents.debian_libraries(&tool.binary)?;
    let depends: Vec<&str> = libraries.iter().map(String::as_str).chain(DEB_DEPENDS.iter().copied()).collect();
    let (arch, version) = (contents.arch().debian, format!("{}-{}", tool.version, tool.release));
    let control = Control::default()
        .field("Package", NAME)?
        .field("Version", &version)?
        .field("Architecture", arch)?
        .field("Maintainer", &tool.origin.packager)?
        .field("Section", "devel")?
        .field("Priority", "optional")?
        .field("Homepage", &tool.origin.url)?
        .field("Depends", &depends.join(", "))?
        .field("Recommends", &DEB_RECOMMENDS.join(", "))?
        .description(SUMMARY, DESCRIPTION)?;
    let deb = Deb {
        control: control.text(),
        scripts: BTreeMap::new(),
        files: contents.files.into_iter().map(|(path, mode, data)| (path, (u32::from(mode), data))).collect(),
        links: BTreeMap::new(),
        folders: BTreeSet::new(),
        date: u64::from(date::rpm(tool.origin.date)?),
    };
    let file = format!("{NAME}_{version}_{arch}.deb");
    let bytes = deb.bytes().with_context(|| format!("cannot make {file}"))?;
    Ok(Built { file, bytes })
}
