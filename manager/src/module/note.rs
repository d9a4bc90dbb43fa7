// SPDX-License-Identifier: GPL-2.0-or-later
//! ELF notes: owner, type and descriptor, each padded to four bytes (System V ABI, "Note Section"). They are in a
//! module's sections, in /sys/kernel/notes and in /sys/module/NAME/notes/.

use std::fmt::Write;

/// `NT_GNU_BUILD_ID` of the owner `GNU`.
const GNU_BUILD_ID: u32 = 3;

/// One note.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Note<'a> {
    /// Who defines what the type means; without its zero byte.
    pub owner: &'a [u8],
    /// The type, by the owner's numbering.
    pub kind: u32,
    /// The descriptor.
    pub desc: &'a [u8],
}

/// The notes in some bytes, in order; a malformed one ends them.
pub fn notes(mut rest: &[u8]) -> impl Iterator<Item = Note<'_>> {
    std::iter::from_fn(move || {
        let (note, after) = split(rest)?;
        rest = after;
        Some(note)
    })
}

/// The GNU build id among notes, hexadecimal.
pub fn build_id(data: &[u8]) -> Option<String> {
    let note = notes(data).find(|n| n.owner == b"GNU" && n.kind == GNU_BUILD_ID && !n.desc.is_empty())?;
    Some(note.desc.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    }))
}

fn split(data: &[u8]) -> Option<(Note<'_>, &[u8])> {
    let word = |at: usize| Some(u32::from_le_bytes(data.get(at..at + 4)?.try_into().ok()?));
    let (name_len, desc_len, kind) = (word(0)? as usize, word(4)? as usize, word(8)?);
    let name = data.get(12..12usize.checked_add(name_len)?)?;
    let from = 12usize.checked_add(name_len.checked_next_multiple_of(4)?)?;
    let end = from.checked_add(desc_len)?;
    let desc = data.get(from..end)?;
    let rest = end.checked_next_multiple_of(4).and_then(|next| data.get(next..)).unwrap_or(&[]);
    Some((Note { owner: name.strip_suffix(b"\0").unwrap_or(name), kind, desc }, rest))
}
