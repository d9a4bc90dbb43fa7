// SPDX-License-Identifier: GPL-2.0-or-later
//! The name that a live patch of a stream gets as a module, from `uname -r` of its kernel.

use super::values::Version;
use crate::emit;
use anyhow::Result;
use kmend_packager::kernel_id;

/// Name of the module of `version` for the kernel `release`: `kpatch_5_14_0_362_8_1_1_2`.
///
/// # Errors
/// A release that leads to a name that no module can have, or to one that the kernel has no room for.
pub fn module(release: &str, version: Version) -> Result<String> {
    let name = format!("kpatch_{}_{}_{}", kernel_id(release).replace('-', "_"), version.version, version.release);
    emit::check_module_name(&name)?;
    Ok(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modules() {
        let version = Version { version: 1, release: 2 };
        assert_eq!(module("5.14.0-362.8.1.el9_3.x86_64", version).unwrap(), "kpatch_5_14_0_362_8_1_1_2");
        assert_eq!(module("7.2.12+deb14-amd64", version).unwrap(), "kpatch_7_2_12_deb14_amd64_1_2");
        // 55 bytes fit, 56 do not.
        let longest = "1".repeat(55 - "kpatch__1_2".len());
        assert_eq!(module(&longest, version).unwrap().len(), 55);
        let error = module(&format!("{longest}1"), version).unwrap_err().to_string();
        assert!(error.contains("56 bytes") && error.contains("55"), "{error}");
    }
}
