// SPDX-License-Identifier: GPL-2.0-or-later
//! ELF notes: owner, type and descriptor, each padded to four bytes (System V ABI, "Note Section").

use super::{Object, Section, SHF_ALLOC, SHT_NOTE};

/// One note.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Note<'a> {
    /// Who defines what the type means; without its zero byte.
    pub owner: &'a str,
    /// The type, by the owner's numbering.
    pub kind: u32,
    /// The descriptor.
    pub desc: &'a [u8],
}

/// `NT_GNU_BUILD_ID` of the owner `GNU`.
const GNU_BUILD_ID: u32 = 3;

/// A section of this name that holds one note. It takes memory in the running kernel, so that
/// `/sys/module/NAME/notes/` shows it (kernel/module/sysfs.c, add_notes_attrs).
pub fn section(name: &str, note: &Note<'_>) -> Section {
    let mut data = Vec::with_capacity(note.owner.len() + note.desc.len() + 24);
    data.extend((note.owner.len() as u32 + 1).to_le_bytes());
    data.extend((note.desc.len() as u32).to_le_bytes());
    data.extend(note.kind.to_le_bytes());
    data.extend(note.owner.as_bytes());
    data.push(0);
    pad(&mut data);
    data.extend(note.desc);
    pad(&mut data);
    Section {
        name: name.into(),
        kind: SHT_NOTE,
        flags: SHF_ALLOC.into(),
        align: 4,
        size: data.len() as u64,
        data,
        ..Section::default()
    }
}

fn pad(data: &mut Vec<u8>) {
    data.resize(data.len().next_multiple_of(4), 0);
}

/// The notes of an object, in file order. A malformed note ends its section.
pub fn notes(object: &Object) -> impl Iterator<Item = Note<'_>> {
    object.sections.iter().filter(|s| s.kind == SHT_NOTE).flat_map(|s| {
        let mut rest = s.data.as_slice();
        std::iter::from_fn(move || {
            let (note, after) = split(rest)?;
            rest = after;
            Some(note)
        })
    })
}

/// The GNU build id, hexadecimal.
pub fn build_id(object: &Object) -> Option<String> {
    notes(object).find(|n| n.owner == "GNU" && n.kind == GNU_BUILD_ID).map(|n| crate::files::hex(n.desc))
}

fn split(data: &[u8]) -> Option<(Note<'_>, &[u8])> {
    let word = |at: usize| Some(u32::from_le_bytes(data.get(at..at + 4)?.try_into().ok()?));
    let (name_len, desc_len, kind) = (word(0)? as usize, word(4)? as usize, word(8)?);
    let name = data.get(12..12usize.checked_add(name_len)?)?;
    let from = 12 + name_len.checked_next_multiple_of(4)?;
    let end = from.checked_add(desc_len)?;
    let desc = data.get(from..end)?;
    let owner = std::str::from_utf8(name.strip_suffix(b"\0").unwrap_or(name)).ok()?;
    let rest = data.get(end.checked_next_multiple_of(4)?..).unwrap_or(&[]);
    Some((Note { owner, kind, desc }, rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        for desc in [&b""[..], b"a", b"abcd", b"abcde"] {
            let note = Note { owner: "kmend", kind: 1, desc };
            let mut data = section(".note.kmend", &note).data;
            assert_eq!(data.len() % 4, 0);
            data.extend(section("", &Note { owner: "GNU", kind: 3, desc: b"\x01\x02" }).data);
            let (first, rest) = split(&data).unwrap();
            assert_eq!(first, note);
            assert_eq!(split(rest).unwrap().0.desc, b"\x01\x02");
        }
    }

    #[test]
    fn lengths_beyond_the_end_are_no_note() {
        let good = section("", &Note { owner: "kmend", kind: 1, desc: b"abc" }).data;
        assert!(split(&good).is_some());
        for cut in 0..good.len() - 1 {
            assert!(split(&good[..cut]).is_none(), "cut at {cut}");
        }
        for at in [0, 4] {
            let mut bad = good.clone();
            bad[at..at + 4].copy_from_slice(&u32::MAX.to_le_bytes());
            assert!(split(&bad).is_none());
        }
    }
}
