// SPDX-License-Identifier: GPL-2.0-or-later
//! Text from outside made safe to display: characters that would move the cursor, change colour or direction, or be
//! invisible, are escaped.

use kmend_shared::text::is_hidden;
use std::borrow::Cow;
use std::fmt::Write as _;

/// `text` with such characters named, `⟨U+001B⟩`. Line ends and tabs stay.
pub fn visible(text: &str) -> Cow<'_, str> {
    if !text.chars().any(is_hidden) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len() + text.len() / 8);
    for c in text.chars() {
        match is_hidden(c) {
            true => {
                let _ = write!(out, "⟨U+{:04X}⟩", u32::from(c));
            }
            false => out.push(c),
        }
    }
    Cow::Owned(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_terminal_would_act_on_is_named() {
        let text = visible("a\u{202e}b\u{0}c\x1b[2J\td\re\u{9b}\n\u{ffff}");
        assert_eq!(text, "a⟨U+202E⟩b⟨U+0000⟩c⟨U+001B⟩[2J\td⟨U+000D⟩e⟨U+009B⟩\n⟨U+FFFF⟩");
        assert_eq!(visible("a\u{2028}b\u{ad}\u{e0041}"), "a⟨U+2028⟩b⟨U+00AD⟩⟨U+E0041⟩");
        assert!(matches!(visible("Müller <m@x>\n"), Cow::Borrowed(_)));
    }
}
