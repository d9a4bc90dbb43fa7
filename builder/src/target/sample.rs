// SPDX-License-Identifier: GPL-2.0-or-later
//! A small target, for tests.

use super::Target;
use std::path::Path;

/// A target of a tree and a root, nothing in it prepared.
pub(crate) fn target(tree: &Path, root: &Path) -> Target {
    Target {
        name: "tree:test".into(),
        origin: super::tree::origin("tree:test", tree, &tree.join("vmlinux"), root),
        arch: "x86_64".into(),
        release: "7.2.0-test".into(),
        version: String::new(),
        tree: tree.into(),
        tree_inside: crate::sandbox::TREE.into(),
        root: root.into(),
        make_vars: Vec::new(),
        make_env: Vec::new(),
        cc_flags: Vec::new(),
        vmlinuz: "vmlinuz".into(),
        vmlinux: "vmlinux".into(),
        modules: None,
        symvers: "Module.symvers".into(),
        config: ".config".into(),
        cc: "gcc".into(),
        rustc: None,
        toolchain: None,
        build_id: "00".into(),
        imported: None,
    }
}
