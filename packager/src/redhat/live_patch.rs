// SPDX-License-Identifier: GPL-2.0-or-later
//! The RPM of a live patch, as RHEL's are.

use super::{builder, finish, script, About, METAPACKAGE};
use crate::description::LivePatch;
use crate::files::{self, Built};
use crate::signing::Key;
use crate::{date, module, scriptlets};
use anyhow::{Context, Result};
use rpm::{Dependency, FileOptions, PackageBuilder};

/// Makes the RPM, signed with `key` if there is one. The description is checked first, and the module against it.
pub fn live_patch(patch: &LivePatch, key: Option<&Key>) -> Result<Built> {
    patch.check()?;
    let (name, release) = (patch.names.rpm(), patch.rpm_release());
    let version = patch.version.version.to_string();
    let (summary, description) = (patch.summary(), patch.description());
    let about = About { summary: &summary, description: &description, origin: &patch.origin };
    let mut package = builder(&name, &version, &release, patch.names.arch().uname, &about)?;
    for provided in patch.names.rpm_provides()? {
        package.provides(Dependency::eq("kpatch-patch", provided));
    }
    package
        .requires(Dependency::greater_eq("kpatch", "0.6.1-1"))
        .requires(Dependency::eq("kernel-uname-r", patch.names.release()))
        .conflicts(Dependency::less(&name, format!("{version}-{release}")))
        .supplements(Dependency::any(format!("({METAPACKAGE} and kernel-uname-r = {})", patch.names.release())));
    changelog(&mut package, patch)?;
    if let Some(path) = &patch.module {
        let bytes = files::read(path)?;
        module::check(path, &bytes, &patch.names, patch.version)?;
        package.requires(Dependency::any("systemd"));
        package.post_install_script(script(scriptlets::rpm_post(patch)));
        package.post_uninstall_script(script(scriptlets::rpm_postun(patch)));
        contents(&mut package, patch, bytes).with_context(|| format!("cannot make {}", patch.rpm_file()))?;
    }
    finish(package, patch.rpm_file(), key)
}

fn contents(package: &mut PackageBuilder, patch: &LivePatch, module: Vec<u8>) -> Result<()> {
    let folder = patch.names.package_folder();
    let file = format!("{folder}/{}", patch.names.file(patch.version.version, patch.version.release));
    package
        .with_dir_entry(FileOptions::dir("/usr/lib/kpatch").permissions(0o755))?
        .with_dir_entry(FileOptions::dir(folder).permissions(0o755))?
        .with_file_contents(module, FileOptions::new(file).permissions(0o755))?;
    Ok(())
}

/// `* date Name <mail> [1-2.el9_3]` and `- text [ticket] {CVE}`, which is all that tells RPM's tools about CVEs.
fn changelog(package: &mut PackageBuilder, patch: &LivePatch) -> Result<()> {
    for entry in &patch.changelog {
        let lines: Vec<String> = entry.lines.iter().map(|line| format!("- {line}")).collect();
        package.add_changelog_entry(
            format!("{} [{}{}]", entry.packager, entry.version, patch.dist),
            lines.join("\n"),
            date::rpm(entry.date)?,
        );
    }
    Ok(())
}
