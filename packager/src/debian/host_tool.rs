// SPDX-License-Identifier: GPL-2.0-or-later
//! The deb of kmend.

use super::archive::Deb;
use super::control::Control;
use crate::date;
use crate::files::{self, Built};
use crate::host_tool::{HostTool, DEB_ONLY, DESCRIPTION, KPATCH, SUMMARY, VENDOR};
use crate::scriptlets;
use anyhow::{Context, Result};
use std::collections::{BTreeMap, BTreeSet};

/// Makes the deb. It provides kpatch and takes the place of any other, as both have /usr/sbin/kpatch. Libraries whose
/// Debian package is not known are refused.
pub fn host_tool(tool: &HostTool) -> Result<Built> {
    let mut contents = tool.contents()?;
    for (name, place, mode) in DEB_ONLY {
        contents.files.push((place.into(), mode, files::read(&tool.unit.with_file_name(name))?));
    }
    let depends = contents.debian_libraries(&tool.binary)?;
    let (arch, version) = (contents.arch().debian, format!("{}-{}", tool.version, tool.release));
    let mut control = Control::default()
        .field("Package", "kmend")?
        .field("Version", &version)?
        .field("Architecture", arch)?
        .field("Maintainer", &tool.origin.packager)?
        .field("Section", "admin")?
        .field("Priority", "optional")?
        .field("Homepage", &tool.origin.url)?;
    if !depends.is_empty() {
        control = control.field("Depends", &depends.join(", "))?;
    }
    let control = control
        .field("Provides", &format!("kpatch (= {KPATCH})"))?
        .field("Conflicts", &format!("kpatch (<< {VENDOR})"))?
        .field("Replaces", &format!("kpatch (<< {VENDOR})"))?
        .description(SUMMARY, DESCRIPTION)?;
    let script = |text: &str| format!("#!/bin/sh\n{text}");
    let deb = Deb {
        control: control.text(),
        scripts: BTreeMap::from([
            ("preinst", script(&scriptlets::tool_deb_preinst())),
            ("postinst", script(&scriptlets::tool_deb_postinst())),
            ("prerm", script(&scriptlets::tool_deb_prerm())),
            ("postrm", script(scriptlets::TOOL_RELOAD)),
        ]),
        files: contents.files.into_iter().map(|(path, mode, data)| (path, (u32::from(mode), data))).collect(),
        links: contents.links.into_iter().collect(),
        folders: BTreeSet::from(["/var/lib/kpatch".into(), "/var/lib/kmend".into()]),
        date: u64::from(date::rpm(tool.origin.date)?),
    };
    let file = format!("kmend_{version}_{arch}.deb");
    let bytes = deb.bytes().with_context(|| format!("cannot make {file}"))?;
    Ok(Built { file, bytes })
}
