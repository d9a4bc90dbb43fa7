// SPDX-License-Identifier: GPL-2.0-or-later
//! What a fix changes in a header: its text before and after in, what only one of them has and what both have out.

use super::chunks::{chunks, Chunk};
use super::kinds::Kind;
use crate::source::TouchedFile;
use similar::{capture_diff_slices, Algorithm, DiffOp};

/// The difference between two texts of a header.
#[derive(Debug, Default)]
pub struct Change {
    /// What was changed, moved or taken away, as it was.
    pub gone: Vec<Chunk>,
    /// What was changed, moved or added, as it is.
    pub new: Vec<Chunk>,
    /// What stays as it is.
    pub rest: Vec<Chunk>,
}

type Key<'c> = (&'c [u8], &'c [Vec<u8>], Vec<u64>);

/// What has to be equal; `unknown` stands for a line whose number is not known.
fn key(chunk: &Chunk, unknown: u64) -> Key<'_> {
    let numbers = match chunk.kind {
        Kind::Inline(_) | Kind::Other => chunk.numbers.iter().map(|n| n.unwrap_or(unknown)).collect(),
        _ => Vec::new(),
    };
    (&chunk.context, &chunk.tokens, numbers)
}

/// Compares two texts.
///
/// # Errors
/// What it is in them that is not understood.
pub fn compare(original: &[u8], patched: &[u8]) -> Result<Change, String> {
    let cut = |text: &[u8]| chunks(text).ok_or("its conditionals and brackets do not nest plainly");
    let (old, new) = (cut(original)?, cut(patched)?);
    let keys = |list: &[Chunk], unknown| -> Vec<u64> { list.iter().map(|c| hash(&key(c, unknown))).collect() };
    let ops = capture_diff_slices(Algorithm::Myers, &keys(&old, u64::MAX), &keys(&new, u64::MAX - 1));
    let mut change = Change::default();
    for op in ops {
        if matches!(op, DiffOp::Equal { .. }) {
            change.rest.extend_from_slice(&old[op.old_range()]);
        } else {
            change.gone.extend_from_slice(&old[op.old_range()]);
            change.new.extend_from_slice(&new[op.new_range()]);
        }
    }
    Ok(change)
}

/// Whether all that is changed in a header is `static inline` functions.
pub fn only_inline_functions(file: &TouchedFile) -> bool {
    let (Some(original), Some(patched)) = (&file.original, &file.patched) else { return false };
    let inline = |chunk: &Chunk| matches!(chunk.kind, Kind::Inline(_));
    compare(original, patched).is_ok_and(|c| c.gone.iter().chain(&c.new).all(inline))
}

fn hash(key: &Key<'_>) -> u64 {
    use std::hash::{DefaultHasher, Hash, Hasher};
    let mut hasher = DefaultHasher::new();
    key.hash(&mut hasher);
    hasher.finish()
}
