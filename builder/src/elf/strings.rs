// SPDX-License-Identifier: GPL-2.0-or-later
//! Strings in sections of strings: a section and an offset in, the string out.

use super::{zero_terminated, Section};

/// The string at `start`, without the zero that ends it: a whole number of [`Section::string_unit`]s.
pub fn string_at(section: &Section, start: u64) -> &[u8] {
    zero_terminated(section.data.get(start as usize..).unwrap_or(&[]), section.string_unit())
}

/// A string in words, for messages.
pub fn string_text(section: &Section, start: u64) -> String {
    let bytes = string_at(section, start);
    match section.string_unit() {
        2 => String::from_utf16_lossy(
            &bytes.chunks_exact(2).map(|c| u16::from_le_bytes([c[0], c[1]])).collect::<Vec<_>>(),
        ),
        4 => bytes
            .chunks_exact(4)
            .map(|c| char::from_u32(u32::from_le_bytes([c[0], c[1], c[2], c[3]])).unwrap_or('\u{fffd}'))
            .collect(),
        _ => String::from_utf8_lossy(bytes).into_owned(),
    }
}
