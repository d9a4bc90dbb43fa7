// SPDX-License-Identifier: GPL-2.0-or-later
//! Whether a prepared source is the kernel's: its tree and the headers that the vendor built modules with (kernel-devel) in, the
//! files that differ out.
//!
//! The headers in include/ come from the source, the generated ones from source, .config and compiler together: asm-offsets.h has
//! offsets of structures as the compiler saw them.

use anyhow::{bail, Context, Result};
use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

/// Generated files that say when and where they were made, or hold the .config, whose options are compared by themselves.
const OWN: &[&str] = &[
    "include/generated/compile.h",
    "include/generated/utsversion.h",
    "include/generated/autoconf.h",
    "include/generated/rustc_cfg",
    "include/generated/package.h",
];

/// How many files are named.
const NAMED: usize = 8;

/// Compares the folders `include` and `arch/ARCH/include` of the vendor's `headers` with those of `tree`. Returns how many files
/// agree.
///
/// # Errors
/// Names those that differ.
pub fn headers(tree: &Path, headers: &Path, kbuild_arch: &str) -> Result<usize> {
    let mut compared = 0;
    let mut differ = BTreeSet::new();
    for folder in ["include".to_string(), format!("arch/{kbuild_arch}/include")] {
        let mut folders = vec![folder];
        while let Some(folder) = folders.pop() {
            let Ok(entries) = fs::read_dir(headers.join(&folder)) else { continue };
            for entry in entries {
                let entry = entry.with_context(|| headers.join(&folder).display().to_string())?;
                let kind = entry.file_type().with_context(|| entry.path().display().to_string())?;
                let path = format!("{folder}/{}", entry.file_name().to_string_lossy());
                if kind.is_dir() {
                    // What kbuild knows of the .config, an empty file for each option.
                    folders.extend((path != "include/config").then_some(path));
                } else if kind.is_file() && path.ends_with(".h") && !OWN.contains(&path.as_str()) {
                    match same(tree, headers, &path)? {
                        Some(true) => compared += 1,
                        Some(false) => _ = differ.insert(path),
                        None => {}
                    }
                }
            }
        }
    }
    if differ.is_empty() && compared > 0 {
        return Ok(compared);
    }
    if compared == 0 && differ.is_empty() {
        bail!("kernel-devel has no headers to compare the source with");
    }
    let named: Vec<&str> = differ.iter().take(NAMED).map(String::as_str).collect();
    bail!(
        "the source does not match the kernel: {} of {} headers in its kernel-devel differ from it ({}{}). Is it \
         the source package of exactly this release?",
        differ.len(),
        compared + differ.len(),
        named.join(", "),
        if differ.len() > NAMED { ", …" } else { "" }
    )
}

/// Whether the file is the same in both; None where a generated one is not made by preparing.
fn same(tree: &Path, headers: &Path, path: &str) -> Result<Option<bool>> {
    let ours = tree.join(path);
    if path.contains("/generated/") && !ours.exists() {
        return Ok(None);
    }
    let theirs = fs::read(headers.join(path)).with_context(|| headers.join(path).display().to_string())?;
    Ok(Some(fs::read(ours).is_ok_and(|ours| ours == theirs)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::files;

    #[test]
    fn headers_that_differ_are_named() {
        let dir = tempfile::tempdir().unwrap();
        let (tree, devel) = (dir.path().join("tree"), dir.path().join("devel"));
        let put = |path: &str, text: &str| {
            files::write(&tree.join(path), text.as_bytes()).unwrap();
            files::write(&devel.join(path), text.as_bytes()).unwrap();
        };
        assert!(headers(&tree, &devel, "x86").is_err());
        put("include/linux/fs.h", "struct inode;\n");
        put("include/generated/asm-offsets.h", "#define TASK_x 8\n");
        put("arch/x86/include/asm/io.h", "\n");
        assert_eq!(headers(&tree, &devel, "x86").unwrap(), 3);
        for own in OWN.iter().chain(&["include/config/SMP", "include/generated/only-built.h"]) {
            files::write(&devel.join(own), b"theirs").unwrap();
        }
        assert_eq!(headers(&tree, &devel, "x86").unwrap(), 3);
        files::write(&devel.join("include/generated/asm-offsets.h"), b"#define TASK_x 16\n").unwrap();
        files::write(&devel.join("include/linux/gone.h"), b"").unwrap();
        let said = headers(&tree, &devel, "x86").unwrap_err().to_string();
        assert!(said.contains("2 of 4") && said.contains("asm-offsets.h, include/linux/gone.h"), "{said}");
    }
}
