// SPDX-License-Identifier: GPL-2.0-or-later
//! RPMs beside kmend's own, which operators put into a repository only if they want them: `kpatch`, which moves hosts from the
//! vendor's kpatch to kmend, and `kpatch-dnf`, the plugin of DNF 4 (`dnf/`). Cockpit's page of live patches asks for both by name
//! (its pkg/packagekit/kpatch.tsx). Their epoch makes them newer than the vendor's.

use super::{builder, finish, About};
use crate::files::Built;
use crate::host_tool::{HostTool, COMPANION_EPOCH, COMPANION_TEXT};
use crate::signing::Key;
use anyhow::Result;
use rpm::{Dependency, FileOptions, PackageBuilder};

/// Where the plugin is. dnf looks for it in the folder of its Python, so that links lead here from each.
const PLUGIN: &str = "/usr/lib/kpatch-dnf";

/// The Pythons that dnf 4 runs with: RHEL 8, 9 and 10, Fedora 41 to 44.
const PYTHONS: &[&str] = &["3.6", "3.9", "3.12", "3.13", "3.14"];

/// Makes the RPM `kpatch`, which requires kmend and has no files; signed with `key` if there is one.
///
/// # Errors
/// The tool's version or origin cannot be in a package.
pub fn kpatch(tool: &HostTool, key: Option<&Key>) -> Result<Built> {
    let (mut package, file) = start(tool, "kpatch", "kmend in the place of kpatch", COMPANION_TEXT)?;
    package.requires(Dependency::any("kmend"));
    finish(package, file, key)
}

/// Makes the RPM `kpatch-dnf`, which has `dnf kpatch`; signed with `key` if there is one. It works with any vendor's live patches.
///
/// # Errors
/// As [`kpatch`].
pub fn dnf_plugin(tool: &HostTool, key: Option<&Key>) -> Result<Built> {
    let text = "dnf kpatch has the live patches of the installed kernels, and of those to come, installed by DNF 4.";
    let (mut package, file) = start(tool, "kpatch-dnf", "Live patches with DNF 4", text)?;
    package.requires(Dependency::any("python3-dnf"));
    let plugin = format!("{PLUGIN}/kpatch.py");
    let own = [
        (plugin.as_str(), include_str!("../../dnf/kpatch.py")),
        ("/usr/share/man/man8/dnf-kpatch.8", include_str!("../../dnf/dnf-kpatch.8")),
    ];
    for (path, text) in own {
        package.with_file_contents(text, FileOptions::new(path).permissions(0o644))?;
    }
    let setting = FileOptions::new("/etc/dnf/plugins/kpatch.conf").permissions(0o644).config().noreplace();
    package.with_file_contents(include_str!("../../dnf/kpatch.conf"), setting)?;
    package.with_dir_entry(FileOptions::dir(PLUGIN).permissions(0o755))?;
    for python in PYTHONS {
        let mut folder = format!("/usr/lib/python{python}");
        for below in ["", "/site-packages", "/dnf-plugins"] {
            folder.push_str(below);
            package.with_dir_entry(FileOptions::dir(&folder).permissions(0o755))?;
        }
        package.with_symlink(FileOptions::symlink(format!("{folder}/kpatch.py"), &plugin))?;
    }
    finish(package, file, key)
}

fn start(tool: &HostTool, name: &str, summary: &str, description: &str) -> Result<(PackageBuilder, String)> {
    tool.check(name)?;
    let release = format!("{}{}", tool.release, tool.dist);
    let about = About { summary, description, origin: &tool.origin };
    let mut package = builder(name, &tool.version, &release, "noarch", &about)?;
    package.epoch(COMPANION_EPOCH);
    Ok((package, format!("{name}-{}-{release}.noarch.rpm", tool.version)))
}
