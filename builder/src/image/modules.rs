// SPDX-License-Identifier: GPL-2.0-or-later
//! Finds and reads the shipped file of a module.

use crate::elf::read::{read, Take};
use crate::files;
use crate::prove::module::Module;
use crate::target::Target;
use anyhow::{bail, ensure, Context, Result};
use std::io::Read;
use std::path::{Path, PathBuf};

/// More than any module: a limit against input that unpacks without end.
const LIMIT: u64 = 1 << 30;

/// The shipped file of a module (name with underscores).
///
/// # Errors
/// No such file below the target's modules.
pub fn find(target: &Target, name: &str) -> Result<PathBuf> {
    let root = target.modules.as_ref().unwrap_or(&target.tree);
    let mut folders = vec![root.clone()];
    while let Some(folder) = folders.pop() {
        let entries = std::fs::read_dir(&folder).with_context(|| format!("cannot list {}", folder.display()))?;
        for entry in entries {
            let entry = entry.with_context(|| format!("cannot list {}", folder.display()))?;
            let kind = entry.file_type().with_context(|| entry.path().display().to_string())?;
            if kind.is_dir() {
                folders.push(entry.path());
                continue;
            }
            let file = entry.file_name().to_string_lossy().into_owned();
            if file
                .split_once(".ko")
                .is_some_and(|(stem, end)| stem.replace('-', "_") == name && matches!(end, "" | ".xz" | ".zst" | ".gz"))
            {
                return Ok(entry.path());
            }
        }
    }
    bail!("the module {name} is not below {}: is it the right kernel's folder?", root.display())
}

/// The bytes of a module file, decompressed.
pub fn bytes(path: &Path) -> Result<Vec<u8>> {
    let raw = files::read(path)?;
    let mut out = Vec::new();
    let all = |reader: &mut dyn Read, out: &mut Vec<u8>| reader.take(LIMIT + 1).read_to_end(out);
    let result = match path.extension().and_then(|e| e.to_str()) {
        Some("xz") => liblzma::stream::Stream::new_stream_decoder(LIMIT, 0)
            .map_err(std::io::Error::from)
            .and_then(|s| all(&mut liblzma::read::XzDecoder::new_stream(raw.as_slice(), s), &mut out)),
        Some("zst") => zstd::stream::read::Decoder::new(raw.as_slice()).and_then(|mut d| all(&mut d, &mut out)),
        Some("gz") => all(&mut flate2::read::GzDecoder::new(raw.as_slice()), &mut out),
        _ => return Ok(raw),
    };
    result.with_context(|| format!("cannot decompress {}: is it truncated?", path.display()))?;
    ensure!(out.len() as u64 <= LIMIT, "{} unpacks to more than {} MiB", path.display(), LIMIT >> 20);
    Ok(out)
}

/// Reads a shipped module to prove against.
pub fn load(target: &Target, name: &str) -> Result<Module> {
    let path = find(target, name)?;
    let object = read(&bytes(&path)?, Take::NoDebug).with_context(|| path.display().to_string())?;
    Ok(Module { object })
}
