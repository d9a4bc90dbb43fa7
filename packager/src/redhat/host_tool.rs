// SPDX-License-Identifier: GPL-2.0-or-later
//! The RPM of kmend.

use super::{builder, finish, script, About};
use crate::contents::Contents;
use crate::files::Built;
use crate::host_tool::{HostTool, DESCRIPTION, KPATCH, SUMMARY, VENDOR};
use crate::scriptlets;
use crate::signing::Key;
use anyhow::{Context, Result};
use rpm::{Dependency, DependencyFlags, FileOptions, PackageBuilder};

/// Makes the RPM, signed with `key` if there is one. It provides kpatch, and conflicts with any vendor's package that is
/// or provides it, as both have /usr/sbin/kpatch; not with [`super::kpatch`]. A package's conflicts do not count against itself.
pub fn host_tool(tool: &HostTool, key: Option<&Key>) -> Result<Built> {
    let contents = tool.contents()?;
    let arch = contents.arch().uname;
    let release = format!("{}{}", tool.release, tool.dist);
    let about = About { summary: SUMMARY, description: DESCRIPTION, origin: &tool.origin };
    let mut package = builder("kmend", &tool.version, &release, arch, &about)?;
    package
        .provides(Dependency::eq("kpatch", KPATCH))
        .conflicts(Dependency::less("kpatch", VENDOR))
        .requires(Dependency::any("systemd"))
        .pre_install_script(script(scriptlets::tool_rpm_pre()))
        .trigger_prein("kpatch", Some((DependencyFlags::LESS, VENDOR)), script(scriptlets::tool_rpm_trigger()))
        .post_install_script(script(scriptlets::tool_rpm_post()))
        .post_trans_script(script(scriptlets::tool_rpm_posttrans()))
        .pre_uninstall_script(script(scriptlets::tool_rpm_preun()))
        .post_uninstall_script(script(scriptlets::TOOL_RELOAD));
    for library in contents.rpm_libraries() {
        package.requires(Dependency::any(library));
    }
    let file = format!("kmend-{}-{release}.{arch}.rpm", tool.version);
    put(&mut package, contents).with_context(|| format!("cannot make {file}"))?;
    finish(package, file, key)
}

fn put(package: &mut PackageBuilder, contents: Contents) -> Result<()> {
    for (path, mode, data) in contents.files {
        package.with_file_contents(data, FileOptions::new(path).permissions(mode))?;
    }
    for (path, target) in contents.links {
        package.with_symlink(FileOptions::symlink(path, target))?;
    }
    for folder in ["/var/lib/kpatch", "/var/lib/kmend"] {
        package.with_dir_entry(FileOptions::dir(folder).permissions(0o755))?;
    }
    Ok(())
}
