// SPDX-License-Identifier: GPL-2.0-or-later
//! Characters of texts from outside that a terminal acts on, or that do not show.

/// Control characters but line ends and tabs, marks without width and those that change the direction of text (Unicode
/// Standard Annex 9), noncharacters.
pub fn is_hidden(c: char) -> bool {
    c.is_control() && !matches!(c, '\n' | '\t')
        || matches!(
            c,
            // Soft hyphen, marks of direction and their kin, line separators, joiners, annotation marks, tags.
            '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}'
        )
        || u32::from(c) & 0xfffe == 0xfffe
}

/// Whether `name` has ASCII letters, digits and the characters of `others` alone. With none that means something to a shell
/// among these, the shell takes the word as it is; bash expands the words that a completion chooses from.
pub fn is_plain(name: &str, others: &str) -> bool {
    name.chars().all(|c| c.is_ascii_alphanumeric() || others.contains(c))
}
