// SPDX-License-Identifier: GPL-2.0-or-later
//! Struct sizes from the BTF that a kernel image carries (Documentation/bpf/btf.rst).

use crate::section_table::struct_named;
use crate::special::layout::Layouts;
use anyhow::{bail, ensure, Context, Result};

/// The sizes of the structs that matter to special sections.
///
/// # Errors
/// Malformed BTF.
pub fn layouts(data: &[u8]) -> Result<Layouts> {
    let word = |at: usize| -> Result<u32> {
        let bytes = data
            .get(at..at + 4)
            .with_context(|| format!("BTF ends at {:#x}, a word was expected at {at:#x}", data.len()))?;
        Ok(u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]))
    };
    ensure!(word(0)? & 0xffff == 0xeb9f, "BTF has the wrong magic number {:#x}", word(0)? & 0xffff);
    let header = word(4)? as usize;
    let (types, types_len, strings, strings_len) =
        (word(8)? as usize, word(12)? as usize, word(16)? as usize, word(20)? as usize);
    let end = header.checked_add(types).and_then(|t| t.checked_add(types_len)).context("BTF: types overflow")?;
    let strings = header.checked_add(strings).context("BTF: strings overflow")?;
    let names =
        data.get(strings..strings.saturating_add(strings_len)).context("BTF: strings outside of the section")?;
    ensure!(end <= data.len(), "BTF: types outside of the section");
    let mut layouts = Layouts::default();
    let mut at = header + types;
    while at < end {
        let (name, info, size) = (word(at)? as usize, word(at + 4)?, word(at + 8)?);
        let (kind, vlen) = (info >> 24 & 0x1f, (info & 0xffff) as usize);
        at += 12
            + match kind {
                1 | 14 | 17 => 4,        // INT, VAR, DECL_TAG
                3 => 12,                 // ARRAY
                4 | 5 | 19 => 12 * vlen, // STRUCT, UNION, ENUM64
                6 | 13 => 8 * vlen,      // ENUM, FUNC_PROTO
                15 => 12 * vlen,         // DATASEC
                2 | 7 | 8 | 9 | 10 | 11 | 12 | 16 | 18 => 0,
                other => bail!("BTF: unknown kind {other} at {at:#x}"),
            };
        if kind == 4 {
            let rest = names.get(name..).unwrap_or(&[]);
            let text = &rest[..rest.iter().position(|&b| b == 0).unwrap_or(rest.len())];
            if let Some(known) = struct_named(text) {
                layouts.set(known.name, size.into());
            }
        }
    }
    Ok(layouts)
}
