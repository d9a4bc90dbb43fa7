// SPDX-License-Identifier: GPL-2.0-or-later
//! A function's code before and after in, a table of both side by side out. Long runs of instructions that are the same
//! are folded away.

use super::html::escape;
use crate::arch::line::Line;
use crate::explain::align::Row;
use crate::explain::FunctionCode;
use std::fmt::Write as _;

/// So many unchanged lines are shown around a change.
const AROUND: usize = 4;
/// Shorter runs are not worth a fold.
const FOLD: usize = 6;
/// At most this many rows are written for one function, so that browsers can open the page.
const MOST: usize = 6000;

/// Writes the table.
pub fn sides(out: &mut String, code: &FunctionCode) {
    let rows = &code.rows[..code.rows.len().min(MOST)];
    let differ = rows.iter().filter(|r| !r.same).count();
    let open = if differ > 0 && differ <= 150 { " open" } else { "" };
    let title = match code.original.is_empty() {
        true => format!("{} instructions", code.patched.len()),
        false => format!("{differ} of {} instructions differ", code.original.len().max(code.patched.len())),
    };
    let _ = writeln!(out, "<details{open}><summary>{title}</summary>\n<div class=\"scroll\"><div class=\"sides\">");
    match code.original.is_empty() {
        true => {
            table(out, code, rows, "<tr><th></th><th>new</th></tr>");
        }
        false => {
            let mut head = "<tr><th></th><th>as it runs now</th><th></th><th>with the fix</th></tr>";
            for (fold, piece) in pieces(rows) {
                if fold {
                    let _ = writeln!(out, "<details><summary>{} instructions are the same</summary>", piece.len());
                }
                table(out, code, piece, head);
                if fold {
                    out.push_str("</details>\n");
                } else {
                    head = "";
                }
            }
        }
    }
    if code.rows.len() > MOST {
        let _ = writeln!(out, "<p>and {} more rows, which are left out here</p>", code.rows.len() - MOST);
    }
    out.push_str("</div></div></details>\n");
}

/// The rows in pieces: true for one that is folded.
fn pieces(rows: &[Row]) -> Vec<(bool, &[Row])> {
    let near = |i: usize| rows[i.saturating_sub(AROUND)..rows.len().min(i + AROUND + 1)].iter().any(|r| !r.same);
    let mut shown: Vec<bool> = (0..rows.len()).map(near).collect();
    let mut at = 0;
    while at < rows.len() {
        let len = shown[at..].iter().take_while(|s| **s == shown[at]).count();
        if !shown[at] && len < FOLD {
            shown[at..at + len].fill(true);
        }
        at += len;
    }
    let mut found = Vec::new();
    let mut at = 0;
    while at < rows.len() {
        let len = shown[at..].iter().take_while(|s| **s == shown[at]).count();
        found.push((!shown[at], &rows[at..at + len]));
        at += len;
    }
    found
}

fn table(out: &mut String, code: &FunctionCode, rows: &[Row], head: &str) {
    let two = !code.original.is_empty();
    let columns = if two { "<col class=\"at\"><col><col class=\"at\"><col>" } else { "<col class=\"at\"><col>" };
    let _ = write!(out, "<table><colgroup>{columns}</colgroup>");
    if !head.is_empty() {
        let _ = write!(out, "<thead>{head}</thead>");
    }
    out.push_str("<tbody>\n");
    for row in rows {
        out.push_str("<tr>");
        if two {
            cell(out, row.original.map(|i| &code.original[i]), if row.same { "" } else { "minus" }, "");
        }
        let class = if row.same || !two { "" } else { "plus" };
        cell(out, row.patched.map(|i| &code.patched[i]), class, if two { " right" } else { "" });
        out.push_str("</tr>\n");
    }
    out.push_str("</tbody></table>\n");
}

fn cell(out: &mut String, line: Option<&Line>, class: &str, side: &str) {
    let _ = match line {
        Some(line) => {
            write!(out, "<td class=\"at{side}\">{:#x}</td><td class=\"{class}\">{}</td>", line.at, escape(&line.text))
        }
        None => write!(out, "<td class=\"at{side}\"></td><td></td>"),
    };
}
