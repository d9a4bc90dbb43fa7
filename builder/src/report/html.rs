// SPDX-License-Identifier: GPL-2.0-or-later
//! Text in, HTML out. Everything that a page holds goes through here: patches, symbols and sources are not to be trusted.

use std::fmt::Write as _;

/// `text` as the content of an element or of an attribute in quotes. Characters that a browser would not show, or that
/// would turn the text around, are named.
pub fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + text.len() / 8);
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            '\n' | '\t' => out.push(c),
            c if c.is_control() || is_hidden(c) => {
                let _ = write!(out, "⟨U+{:04X}⟩", u32::from(c));
            }
            c => out.push(c),
        }
    }
    out
}

/// Marks without width and those that change the direction of text (Unicode Standard Annex 9), noncharacters.
fn is_hidden(c: char) -> bool {
    matches!(c, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{61c}')
        || u32::from(c) & 0xfffe == 0xfffe
}

/// A page: title and body (HTML already), with nothing from outside, and nothing that runs.
pub fn page(title: &str, body: &str) -> String {
    format!(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta name=\"color-scheme\" content=\"light dark\">\n\
         <title>{}</title>\n<style>\n{}</style>\n</head>\n<body>\n<main>\n{body}</main>\n</body>\n</html>\n",
        escape(title),
        include_str!("style.css")
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hostile_text() {
        assert_eq!(
            escape("</title><script x='1' y=\"2\">&"),
            "&lt;/title&gt;&lt;script x=&#39;1&#39; y=&quot;2&quot;&gt;&amp;"
        );
        assert_eq!(escape("a\u{202e}b\u{0}c\x1b\td\u{ffff}"), "a⟨U+202E⟩b⟨U+0000⟩c⟨U+001B⟩\td⟨U+FFFF⟩");
        assert_eq!(escape("größer ➜ 漢"), "größer ➜ 漢");
    }
}
