// SPDX-License-Identifier: GPL-2.0-or-later
//! The deb of a live patch: the RPM's content in Debian's form.

use super::archive::Deb;
use super::control::Control;
use crate::description::LivePatch;
use crate::files::{self, Built};
use crate::{date, module, scriptlets};
use anyhow::{Context, Result};
use std::collections::{BTreeMap, BTreeSet};

/// Makes the deb. Debian signs repositories, not packages. The description is checked first, and the module against it.
pub fn live_patch(patch: &LivePatch) -> Result<Built> {
    patch.check()?;
    let name = patch.names.deb();
    let mut contents = BTreeMap::new();
    contents.insert(format!("/usr/share/doc/{name}/changelog.Debian"), (0o644, changelog(patch)?.into_bytes()));
    let mut scripts = BTreeMap::new();
    if let Some(path) = &patch.module {
        let bytes = files::read(path)?;
        module::check(path, &bytes, &patch.names, patch.version)?;
        let file = patch.names.file(patch.version.version, patch.version.release);
        contents.insert(format!("{}/{file}", patch.names.package_folder()), (0o755, bytes));
        scripts.insert("postinst", scriptlets::deb_postinst(patch));
        scripts.insert("prerm", scriptlets::deb_prerm(patch));
        scripts.insert("postrm", scriptlets::deb_postrm(patch));
    }
    let deb = Deb {
        control: control(patch)?.text(),
        scripts,
        files: contents,
        links: BTreeMap::new(),
        folders: BTreeSet::new(),
        date: u64::from(date::rpm(patch.origin.date)?),
    };
    let bytes = deb.bytes().with_context(|| format!("cannot make {}", patch.deb_file()))?;
    Ok(Built { file: patch.deb_file(), bytes })
}

fn control(patch: &LivePatch) -> Result<Control> {
    let kernel = patch.names.deb_kernel();
    let mut control = Control::default()
        .field("Package", &patch.names.deb())?
        .field("Version", &patch.version.to_string())?
        .field("Architecture", patch.names.arch().debian)?
        .field("Maintainer", &patch.origin.packager)?
        .field("Section", "kernel")?
        .field("Priority", "optional")?
        .field("Homepage", &patch.origin.url)?
        .field("Depends", &format!("kmend | kpatch, {kernel} | {kernel}-unsigned"))?
        .field("Provides", "kpatch-patch")?;
    let cves: Vec<&str> = patch.cves().into_iter().collect();
    if !cves.is_empty() {
        control = control.field("Kmend-Cves", &cves.join(" "))?;
    }
    control.description(&patch.summary(), &patch.description())
}

/// deb-changelog(5), with the lines that the RPM has.
fn changelog(patch: &LivePatch) -> Result<String> {
    let mut out = String::new();
    for entry in &patch.changelog {
        let lines: String = entry.lines.iter().map(|line| format!("  * {line}\n")).collect();
        let urgency = if entry.cves().next().is_some() { "high" } else { "medium" };
        out.push_str(&format!(
            "{} ({}) stable; urgency={urgency}\n\n{lines}\n -- {}  {}\n\n",
            patch.names.deb(),
            entry.version,
            entry.packager,
            date::rfc2822(entry.date)?
        ));
    }
    Ok(out)
}
