// SPDX-License-Identifier: GPL-2.0-or-later
//! Two versions of a function's assembly in, the same in rows out: what stayed, what changed, what came and went.

use crate::arch::line::Line;
use similar::{capture_diff_slices, Algorithm, DiffOp};
use std::collections::HashMap;

/// Two lines side by side, as indexes into both versions. At least one of them is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Row {
    /// The original's line.
    pub original: Option<usize>,
    /// The patched one's.
    pub patched: Option<usize>,
    /// They say the same; a jump leads to the same instruction wherever that is.
    pub same: bool,
}

/// With more lines than this the middle is not aligned: that takes time by the square.
const MOST: usize = 8000;

/// Puts both versions side by side.
pub fn align(original: &[Line], patched: &[Line]) -> Vec<Row> {
    let shapes = |lines: &[Line]| lines.iter().map(|l| plain(l.shape())).collect::<Vec<_>>();
    let (o, p) = (shapes(original), shapes(patched));
    let mut rows = Vec::with_capacity(o.len().max(p.len()));
    if o.len().max(p.len()) > MOST {
        let front = o.iter().zip(&p).take_while(|(a, b)| a == b).count();
        let most = o.len().min(p.len()) - front;
        let back = o.iter().rev().zip(p.iter().rev()).take(most).take_while(|(a, b)| a == b).count();
        let (middle_o, middle_p) = (o.len() - front - back, p.len() - front - back);
        (0..front).for_each(|i| rows.push(Row { original: Some(i), patched: Some(i), same: true }));
        replaced(&mut rows, front, middle_o, front, middle_p);
        (0..back).for_each(|i| {
            rows.push(Row { original: Some(o.len() - back + i), patched: Some(p.len() - back + i), same: true })
        });
    } else {
        for op in capture_diff_slices(Algorithm::Myers, &o, &p) {
            match op {
                DiffOp::Equal { old_index, new_index, len } => (0..len).for_each(|i| {
                    rows.push(Row { original: Some(old_index + i), patched: Some(new_index + i), same: true })
                }),
                DiffOp::Delete { old_index, old_len, new_index } => {
                    replaced(&mut rows, old_index, old_len, new_index, 0)
                }
                DiffOp::Insert { old_index, new_index, new_len } => {
                    replaced(&mut rows, old_index, 0, new_index, new_len)
                }
                DiffOp::Replace { old_index, old_len, new_index, new_len } => {
                    replaced(&mut rows, old_index, old_len, new_index, new_len)
                }
            }
        }
    }
    let twins: HashMap<u64, u64> =
        rows.iter().filter_map(|r| Some((original[r.original?].at, patched[r.patched?].at))).collect();
    for row in &mut rows {
        if let (Some(o), Some(p), true) = (row.original, row.patched, row.same) {
            row.same = match (original[o].jump, patched[p].jump) {
                (Some(a), Some(b)) => twins.get(&a) == Some(&b),
                (None, None) => true,
                _ => false,
            };
        }
    }
    rows
}

fn replaced(rows: &mut Vec<Row>, o: usize, o_len: usize, p: usize, p_len: usize) {
    for i in 0..o_len.max(p_len) {
        rows.push(Row { original: (i < o_len).then_some(o + i), patched: (i < p_len).then_some(p + i), same: false });
    }
}

/// A line without the numbers that compilers give to static variables of functions (`state.12`).
fn plain(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('.') {
        out.push_str(&rest[..at]);
        let after = &rest[at + 1..];
        let digits = after.chars().take_while(char::is_ascii_digit).count();
        let named = out.ends_with(|c: char| c.is_ascii_alphanumeric() || c == '_');
        if digits == 0 || !named {
            out.push('.');
            rest = after;
        } else {
            rest = &after[digits..];
        }
    }
    out.push_str(rest);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(text: &[(&str, Option<u64>)]) -> Vec<Line> {
        let line = |(n, (text, jump)): (usize, &(&str, Option<u64>))| Line {
            at: n as u64,
            bytes: vec![0],
            text: (*text).into(),
            jump: *jump,
        };
        text.iter().enumerate().map(line).collect()
    }

    fn shown(o: &[(&str, Option<u64>)], p: &[(&str, Option<u64>)]) -> Vec<(Option<usize>, Option<usize>, bool)> {
        align(&lines(o), &lines(p)).iter().map(|r| (r.original, r.patched, r.same)).collect()
    }

    #[test]
    fn jumps_follow_what_they_lead_to() {
        let o = [("je +0x2", Some(2)), ("mov a", None), ("ret", None)];
        let p = [("je +0x3", Some(3)), ("mov a", None), ("mov b", None), ("ret", None)];
        let row = |o, p, same| (Some(o), Some(p), same);
        assert_eq!(shown(&o, &p), [row(0, 0, true), row(1, 1, true), (None, Some(2), false), row(2, 3, true)]);
        let elsewhere = [("je +0x1", Some(1)), ("mov a", None), ("ret", None)];
        assert_eq!(shown(&o, &elsewhere)[0], row(0, 0, false));
    }

    #[test]
    fn numbers_of_the_compiler_do_not_count() {
        let all = |name| [(name, None)];
        assert!(shown(&all("mov state.12(%rip),%eax"), &all("mov state.9(%rip),%eax"))[0].2);
        assert!(!shown(&all("mov a"), &all("mov b"))[0].2);
        assert_eq!(plain("call f.isra.0 .text.3 ..."), "call f.isra .text ...");
    }

    #[test]
    fn large_functions() {
        let text = |middle: &'static str| {
            let mut all = vec![("nop", None); MOST + 10];
            all[5] = (middle, None);
            all
        };
        let rows = shown(&text("a"), &text("b"));
        assert_eq!(rows.iter().filter(|r| !r.2).collect::<Vec<_>>(), [&(Some(5), Some(5), false)]);
    }
}
