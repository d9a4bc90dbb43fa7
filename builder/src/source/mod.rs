// SPDX-License-Identifier: GPL-2.0-or-later
//! Stage source: applies the fixes to copies of the files they touch.

pub mod affected;
pub mod lines;

use std::collections::BTreeMap;
use std::path::PathBuf;

/// One fix as it was handed in.
#[derive(Clone, Debug, serde::Serialize, serde::Deserialize)]
pub struct Fix {
    /// The patch file's name, without folders.
    pub file: String,
    /// Its title: the Subject line, else the file's name.
    pub title: String,
    /// SHA-256 of the patch file.
    pub sha256: String,
}

/// A file that the fixes touch; paths are relative to the tree.
#[derive(Clone, Debug)]
pub struct TouchedFile {
    /// None for a file that the fixes add.
    pub original: Option<Vec<u8>>,
    /// None for a file that the fixes delete. Line numbers are kept with #line directives.
    pub patched: Option<Vec<u8>>,
}

/// The tree as the fixes leave it: only the touched files, all others are the target's own.
#[derive(Debug)]
pub struct PatchedTree {
    /// Touched files by path relative to the tree.
    pub files: BTreeMap<String, TouchedFile>,
    /// The fixes in order.
    pub fixes: Vec<Fix>,
    /// Folder that holds the patched files under their tree paths, to be laid over the tree.
    pub overlay: PathBuf,
}
