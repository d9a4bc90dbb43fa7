// SPDX-License-Identifier: GPL-2.0-or-later
//! Stage emit: the Rust source that registers the functions, to be read by a person.

use serde::{Deserialize, Serialize};

/// What a live patch registers with the kernel.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Registration {
    /// Module name as the kernel will know it (`kmend_cmdline`).
    pub module: String,
    /// Atomic replace: this patch takes the place of every older one.
    pub replace: bool,
    /// `uname -r` of the kernel it is for.
    pub release: String,
    /// Titles of the fixes, in order.
    pub fixes: Vec<String>,
    /// The klp objects, vmlinux first.
    pub objects: Vec<KlpObject>,
}

/// One klp object: vmlinux or a module.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct KlpObject {
    /// Module name, or None for vmlinux.
    pub module: Option<String>,
    /// Functions replaced in it.
    pub funcs: Vec<KlpFunc>,
}

/// One replaced function.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct KlpFunc {
    /// Its name in the running kernel.
    pub old_name: String,
    /// 0 where the name is unique in the object, else its position among its namesakes, from 1.
    pub sympos: u64,
    /// The global symbol of the new code in the payload.
    pub new_symbol: String,
    /// The source file it comes from.
    pub source: String,
}
