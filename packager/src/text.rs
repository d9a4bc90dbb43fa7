// SPDX-License-Identifier: GPL-2.0-or-later
//! What may be in a field of a package. Everything here ends up in formats that give some characters a meaning
//! (headers of lines, shell, XML, RPM's macros); what could be taken for more than text is refused.

use anyhow::{ensure, Result};

/// Refuses anything but a word of ASCII letters, digits and the characters of `others`.
pub fn word(what: &str, value: &str, others: &str) -> Result<()> {
    let strange = value.chars().find(|c| !c.is_ascii_alphanumeric() && !others.contains(*c));
    ensure!(!value.is_empty(), "{what} is empty");
    ensure!(
        strange.is_none(),
        "{what} {value:?} holds {:?}; letters, digits and any of {others} are allowed",
        strange.unwrap_or_default()
    );
    Ok(())
}

/// Refuses what is not one line of visible text: control characters, line breaks, invisible and direction marks.
pub fn line(what: &str, value: &str) -> Result<()> {
    ensure!(!value.trim().is_empty(), "{what} is empty");
    ensure!(value.trim() == value, "{what} {value:?} starts or ends with a space");
    ensure!(value.len() <= 1000, "{what} has {} bytes; 1000 is the most", value.len());
    let strange = value.chars().find(|c| is_hidden(*c));
    ensure!(
        strange.is_none(),
        "{what} {value:?} holds {:?}: it has to be one line of text",
        strange.unwrap_or_default()
    );
    Ok(())
}

/// Characters that no line of text needs: controls, line and paragraph separators, marks that are not seen or turn
/// the direction of what follows.
fn is_hidden(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}')
}

/// Refuses what is no CVE number.
pub fn cve(value: &str) -> Result<()> {
    let digits =
        |part: &str, least: usize| part.len() >= least && part.len() <= 19 && part.bytes().all(|b| b.is_ascii_digit());
    let fits = value
        .strip_prefix("CVE-")
        .and_then(|rest| rest.split_once('-'))
        .is_some_and(|(year, number)| year.len() == 4 && digits(year, 4) && digits(number, 4));
    ensure!(fits, "{value:?} is no CVE number: CVE-YEAR-NUMBER with four digits or more");
    Ok(())
}

/// Refuses what is no ticket number.
pub fn ticket(value: &str) -> Result<()> {
    word("ticket", value, "-_./#:")
}

/// Text as it is in XML.
pub fn xml(value: &str) -> String {
    value.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;").replace('\'', "&apos;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_lines_of_text_are_lines() {
        assert!(line("text", "nvmet: fix a use after free (\u{e9}, 100%, $(x), `y`)").is_ok());
        for hostile in ["", " ", "a\nb", "a\rb", "a\0b", "a\u{2028}b", "a\u{202e}b", "a\tb", " a", "a\u{85}b"] {
            assert!(line("text", hostile).is_err(), "{hostile:?}");
        }
    }

    #[test]
    fn cve_numbers() {
        assert!(cve("CVE-2023-5178").is_ok());
        for other in
            ["cve-2023-5178", "CVE-23-5178", "CVE-2023-517", "CVE-2023-5178}", "CVE-2023-51a8", "", "CVE-2023-5178 "]
        {
            assert!(cve(other).is_err(), "{other:?}");
        }
    }

    #[test]
    fn xml_has_no_markup_left() {
        assert_eq!(xml("<a href=\"x\">'&"), "&lt;a href=&quot;x&quot;&gt;&apos;&amp;");
    }
}
