// SPDX-License-Identifier: GPL-2.0-or-later
//! Sections of debug information of an object: their name in, the bytes as a linker would leave them out.

use anyhow::{ensure, Context, Result};
use object::{Object as _, ObjectSection as _, ObjectSymbol as _, RelocationKind, RelocationTarget};

/// A section with its relocations applied: in a relocatable file, offsets between debug sections are such.
pub(crate) fn relocated(file: &object::File<'_>, name: &str) -> Result<Vec<u8>> {
    let Some(section) = file.section_by_name(name) else { return Ok(Vec::new()) };
    let place = section.compressed_file_range().with_context(|| format!("section {name}"))?;
    ensure!(
        place.format == object::CompressionFormat::None,
        "section {name} is compressed: unpack it with `objcopy --decompress-debug-sections`"
    );
    let mut data = section.data().with_context(|| format!("section {name}"))?.to_vec();
    for (offset, reloc) in section.relocations() {
        let RelocationTarget::Symbol(symbol) = reloc.target() else { continue };
        if reloc.kind() != RelocationKind::Absolute {
            continue;
        }
        let base = file.symbol_by_index(symbol).map_or(0, |s| s.address());
        let value = base.wrapping_add_signed(reloc.addend()).to_le_bytes();
        let bytes = usize::from(reloc.size() / 8).min(value.len());
        let field = usize::try_from(offset).ok().and_then(|at| data.get_mut(at..at.checked_add(bytes)?));
        field.with_context(|| format!("section {name}: a relocation outside of it"))?.copy_from_slice(&value[..bytes]);
    }
    Ok(data)
}
