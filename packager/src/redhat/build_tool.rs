// SPDX-License-Identifier: GPL-2.0-or-later
//! The RPM of kmend-build.

use super::{builder, finish, About};
use crate::build_tool::{BuildTool, DESCRIPTION, NAME, RPM_RECOMMENDS, RPM_REQUIRES, SUMMARY};
use crate::files::Built;
use crate::signing::Key;
use anyhow::{Context, Result};
use rpm::{Dependency, FileOptions};

/// Makes the RPM, signed with `key` if there is one.
pub fn build_tool(tool: &BuildTool, key: Option<&Key>) -> Result<Built> {
    let contents = tool.contents()?;
    let arch = contents.arch().uname;
    let release = format!("{}{}", tool.release, tool.dist);
    let about = About { summary: SUMMARY, description: DESCRIPTION, origin: &tool.origin };
    let mut package = builder(NAME, &tool.version, &release, arch, &about)?;
    for needed in contents.rpm_libraries().chain(RPM_REQUIRES.iter().map(|name| name.to_string())) {
        package.requires(Dependency::any(needed));
    }
    for wanted in RPM_RECOMMENDS {
        package.recommends(Dependency::any(*wanted));
    }
    let file = format!("{NAME}-{}-{release}.{arch}.rpm", tool.version);
    for (path, mode, data) in contents.files {
        let options = FileOptions::new(path).permissions(mode);
        package.with_file_contents(data, options).with_context(|| format!("cannot make {file}"))?;
    }
    finish(package, file, key)
}
