// SPDX-License-Identifier: GPL-2.0-or-later
//! Line numbers in code and data: two pieces that differ in bytes in, the bytes that hold only `__LINE__` out. A fix
//! moves every line below it; code that is otherwise the same need not be patched.

use super::view::{Ref, View};
use crate::arch::{Field, LineArgument};
use crate::elf::strings::string_at;
use crate::elf::{Reloc, SecId};
use crate::section_table::row_of;
use std::cell::RefCell;
use std::collections::{BTreeMap, HashMap};
use std::ops::Range;

/// Functions that take a function's name (`__func__`) and a line right behind it. Those that take `__FILE__`
/// and a line are known by the file's name. Sources: fs/btrfs/transaction.h and messages.h, fs/ext4/ext4.h and
/// ext4_jbd2.h.
const FUNCTION_AND_LINE: &[&str] = &[
    "__btrfs_abort_transaction",
    "__btrfs_handle_fs_error",
    "__btrfs_panic",
    "__btrfs_std_error",
    "__ext4_abort",
    "__ext4_error",
    "__ext4_error_file",
    "__ext4_error_inode",
    "__ext4_forget",
    "__ext4_grp_locked_error",
    "__ext4_handle_dirty_metadata",
    "__ext4_handle_dirty_super",
    "__ext4_journal_ensure_credits",
    "__ext4_journal_get_create_access",
    "__ext4_journal_get_write_access",
    "__ext4_journal_start_sb",
    "__ext4_journal_start_reserved",
    "__ext4_journal_stop",
    "__ext4_std_error",
    "__ext4_warning",
    "__ext4_warning_inode",
    "__ext4_check_dir_entry",
    "ext4_journal_abort_handle",
];

/// One side of a comparison.
pub struct Side<'a, 'o> {
    /// The object.
    pub view: &'a View<'o>,
    /// The section of the piece.
    pub section: SecId,
    /// The piece.
    pub range: Range<u64>,
    /// Its relocations.
    pub relocs: &'a [Reloc],
}

/// What has been seen of how lines moved: by file or function, old line → new line.
#[derive(Default)]
pub struct Moves(RefCell<HashMap<Vec<u8>, BTreeMap<u32, u32>>>);

impl Moves {
    /// True where `old` may have become `new`, after what was seen before: lines keep their order, and one
    /// line does not become two. Takes note of it.
    fn agree(&self, file: &[u8], old: u32, new: u32) -> bool {
        let mut all = self.0.borrow_mut();
        let lines = all.entry(file.to_vec()).or_default();
        let before = lines.range(..old).next_back();
        let after = lines.range(old + 1..).next();
        let fits = lines.get(&old).is_none_or(|&seen| seen == new)
            && before.is_none_or(|(_, &seen)| seen <= new)
            && after.is_none_or(|(_, &seen)| new <= seen);
        if fits {
            lines.insert(old, new);
        }
        fits
    }
}

/// The bytes, counted from the start of both pieces, that differ and hold a line number.
pub fn of_code(o: &Side<'_, '_>, p: &Side<'_, '_>, moves: &Moves) -> Vec<Range<usize>> {
    let arguments = |side: &Side<'_, '_>| {
        let arch = side.view.object.arch;
        arch.line_arguments(&side.view.object.sections[side.section], side.range.clone(), side.relocs)
    };
    let theirs: HashMap<u64, LineArgument> =
        arguments(p).into_iter().map(|a| (a.field.start - p.range.start, a)).collect();
    let mut found = Vec::new();
    for old in arguments(o) {
        let at = old.field.start - o.range.start;
        let Some(new) = theirs.get(&at).filter(|new| new.value != old.value) else { continue };
        let (Some(file), Some(same)) = (place_name(o, &old), place_name(p, new)) else { continue };
        if file == same && moves.agree(&file, old.value, new.value) {
            found.push(at as usize..(at + (old.field.end - old.field.start)) as usize);
        }
    }
    found
}

/// The file or function whose line an argument is; None where it is no line.
fn place_name(side: &Side<'_, '_>, argument: &LineArgument) -> Option<Vec<u8>> {
    let view = side.view;
    match view.through_toc(view.reference(side.section, side.range.clone(), &argument.place)) {
        Ref::String { section, start, .. } => {
            let text = string_at(&view.object.sections[section], start);
            // kbuild names all files by their path.
            (is_file(text) && text.contains(&b'/')).then(|| text.to_vec())
        }
        Ref::Item { item, .. } => {
            let takes = argument.callee.is_some_and(|s| FUNCTION_AND_LINE.contains(&view.object.symbol_name(s)));
            let name = super::names::base(&view.items[item].name);
            (takes && matches!(name, "__func__" | "__FUNCTION__" | "__PRETTY_FUNCTION__"))
                .then(|| view.bytes(item).to_vec())
        }
        _ => None,
    }
}

fn is_file(text: &[u8]) -> bool {
    [".c", ".h", ".rs"].iter().any(|end| text.ends_with(end.as_bytes()))
}

/// The bytes of a special section's entry that hold the line where it was made: struct bug_entry has it, two bytes, between
/// the reference to the file and the flags (include/asm-generic/bug.h). The flags say what a warning does.
pub fn of_entry(entry: &Side<'_, '_>) -> Vec<(usize, u8)> {
    let view = entry.view;
    let Some(rest) = row_of(&view.object.sections[entry.section].name).and_then(|row| row.line) else {
        return Vec::new();
    };
    let last = entry.relocs.iter().max_by_key(|r| r.offset).filter(|r| {
        let file = view.through_toc(view.reference(entry.section, entry.range.clone(), r));
        matches!(file, Ref::String { section, start, .. } if is_file(string_at(&view.object.sections[section], start)))
    });
    let line_in = |file: &Reloc| {
        // A distance, or before GENERIC_BUG_RELATIVE_POINTERS a whole address; then the struct is padded to a multiple of it.
        let width = view.object.arch.field(file.kind).map(Field::bytes).filter(|width| matches!(width, 4 | 8))?;
        let line = usize::try_from(file.offset.checked_sub(entry.range.start)?).ok()? + width;
        let end = (line + rest).next_multiple_of(width);
        (end as u64 == entry.range.end - entry.range.start).then_some(line)
    };
    last.and_then(line_in).map_or_else(Vec::new, |line| vec![(line, 0xff), (line + 1, 0xff)])
}

/// The bytes of a datum that hold the line where it was made, counted from its start: struct _ddebug
/// (include/linux/dynamic_debug.h) and UBSAN's struct source_location (lib/ubsan.h). `relocs` are those of
/// the datum, `start` its place in the section.
pub fn of_data(section: &str, start: u64, relocs: &[Reloc]) -> Vec<(usize, u8)> {
    let pointers = |count: usize| {
        let mut first = relocs.iter().take(count).map(|r| r.offset - start);
        (0..count as u64).all(|n| first.next() == Some(n * 8)).then_some(count * 8)
    };
    match section {
        // modname, function, filename, format; then lineno:18 in front of class and flags.
        "__dyndbg" | "__verbose" => {
            pointers(4).map_or_else(Vec::new, |at| vec![(at, 0xff), (at + 1, 0xff), (at + 2, 0x03)])
        }
        // file_name, then line and column.
        _ if section.starts_with(".data..Lubsan_") => {
            pointers(1).map_or_else(Vec::new, |at| (at..at + 8).map(|byte| (byte, 0xff)).collect())
        }
        _ => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_keep_their_order() {
        let moves = Moves::default();
        assert!(moves.agree(b"a.c", 10, 12));
        assert!(moves.agree(b"a.c", 20, 25));
        assert!(moves.agree(b"a.c", 10, 12));
        assert!(!moves.agree(b"a.c", 10, 13), "one line became two");
        assert!(!moves.agree(b"a.c", 15, 26), "behind a later line");
        assert!(!moves.agree(b"a.c", 30, 24), "before an earlier line");
        assert!(moves.agree(b"b.h", 10, 13), "another file");
    }

    #[test]
    fn dynamic_debug() {
        let pointer = |offset| Reloc { offset, kind: 1, symbol: 1, addend: 0 };
        let relocs: Vec<Reloc> = [56, 64, 72, 80].into_iter().map(pointer).collect();
        assert_eq!(of_data("__dyndbg", 56, &relocs), [(32, 0xff), (33, 0xff), (34, 0x03)]);
        assert_eq!(of_data("__dyndbg", 56, &relocs[1..]), []);
        assert_eq!(of_data(".data", 56, &relocs), []);
    }
}
