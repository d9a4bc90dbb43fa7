// SPDX-License-Identifier: GPL-2.0-or-later
//! Text in, HTML out. All text of a page is escaped here: patches, symbols and sources are not trusted.

use crate::visible::visible;

/// `text` as the content of an element or of an attribute in quotes. Characters that a browser would not show, or that
/// would turn the text around, are named.
pub fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + text.len() / 8);
    for c in visible(text).chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            c => out.push(c),
        }
    }
    out
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
