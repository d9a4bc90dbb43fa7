// SPDX-License-Identifier: GPL-2.0-or-later
//! The title of a fix: the mail's Subject without its tags, from the patch file's bytes.

/// The Subject of a patch mail, unfolded, decoded, without `[PATCH …]`; in the output of `git show` and `git log` the first
/// line of the message. None when there is none.
pub fn title(patch: &[u8]) -> Option<String> {
    let text = String::from_utf8_lossy(&patch[..patch.len().min(64 << 10)]);
    if text.starts_with("commit ") {
        let mut lines = text.lines().take_while(|l| !l.starts_with("diff ") && !l.starts_with("--- a/"));
        let first = lines.find_map(|l| l.strip_prefix("    ")).map(|l| clean(l.trim()));
        return first.filter(|title| !title.is_empty());
    }
    let mut lines = text.lines().take_while(|l| !l.starts_with("diff ") && !l.starts_with("--- a/") && *l != "---");
    let mut subject = lines.find_map(|l| l.strip_prefix("Subject:"))?.trim().to_string();
    for more in lines.take_while(|l| l.starts_with([' ', '\t'])) {
        // RFC 2047: blanks between two encoded words are not part of the text.
        if !(subject.ends_with("?=") && more.trim_start().starts_with("=?")) {
            subject.push(' ');
        }
        subject.push_str(more.trim());
    }
    let decoded = decode_words(&subject);
    let mut rest = decoded.trim();
    loop {
        let tag = rest.strip_prefix('[').and_then(|r| r.split_once(']'));
        rest = match (tag, rest.strip_prefix("Re:")) {
            (Some((tag, after)), _) if tag.to_ascii_uppercase().contains("PATCH") || tag.contains('/') => after.trim(),
            (_, Some(after)) => after.trim(),
            _ => break,
        };
    }
    let clean = clean(rest);
    (!clean.is_empty()).then_some(clean)
}

fn clean(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).collect()
}

/// Decodes RFC 2047 words in UTF-8 (`=?UTF-8?q?…?=`); other words stay as they are.
fn decode_words(text: &str) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some(begin) = rest.find("=?") {
        out.push_str(&rest[..begin]);
        match decode_word(&rest[begin..]) {
            Some((word, len)) => {
                out.push_str(&word);
                rest = &rest[begin + len..];
            }
            None => {
                out.push_str("=?");
                rest = &rest[begin + 2..];
            }
        }
    }
    out + rest
}

fn decode_word(text: &str) -> Option<(String, usize)> {
    let body = text.strip_prefix("=?")?;
    let (charset, after) = body.split_once('?')?;
    let (encoding, after) = after.split_once('?')?;
    let (data, _) = after.split_once("?=")?;
    let bytes = match encoding {
        _ if !charset.eq_ignore_ascii_case("utf-8") && !charset.eq_ignore_ascii_case("us-ascii") => return None,
        "q" | "Q" => quoted(data)?,
        "b" | "B" => base64(data)?,
        _ => return None,
    };
    let len = 2 + charset.len() + 1 + encoding.len() + 1 + data.len() + 2;
    Some((String::from_utf8(bytes).ok()?, len))
}

fn quoted(data: &str) -> Option<Vec<u8>> {
    let mut out = Vec::new();
    let mut bytes = data.bytes();
    while let Some(b) = bytes.next() {
        out.push(match b {
            b'_' => b' ',
            b'=' => {
                let digit = |b: u8| (b as char).to_digit(16);
                let (high, low) = (digit(bytes.next()?)?, digit(bytes.next()?)?);
                (high * 16 + low) as u8
            }
            b => b,
        });
    }
    Some(out)
}

fn base64(data: &str) -> Option<Vec<u8>> {
    let mut out = Vec::new();
    let (mut bits, mut have) = (0u32, 0);
    for b in data.bytes().filter(|b| *b != b'=') {
        let value = match b {
            b'A'..=b'Z' => b - b'A',
            b'a'..=b'z' => b - b'a' + 26,
            b'0'..=b'9' => b - b'0' + 52,
            b'+' => 62,
            b'/' => 63,
            _ => return None,
        };
        bits = (bits << 6) | u32::from(value);
        have += 6;
        if have >= 8 {
            have -= 8;
            out.push((bits >> have) as u8);
            bits &= (1 << have) - 1;
        }
    }
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::title;

    #[test]
    fn subjects() {
        let t = |s: &str| title(s.as_bytes());
        assert_eq!(t("Subject: [PATCH net v2 3/7] tcp: fix\n it all\n\nx\n").as_deref(), Some("tcp: fix it all"));
        assert_eq!(t("Subject: [PATCH] [media] x: y\n").as_deref(), Some("[media] x: y"));
        assert_eq!(
            t("Subject: =?UTF-8?q?fix=20J=C3=B6rg's?=\n =?UTF-8?B?IHdvcms=?=\n").as_deref(),
            Some("fix Jörg's work")
        );
        assert_eq!(t("Subject: =?latin1?q?x?= y\n").as_deref(), Some("=?latin1?q?x?= y"));
        assert_eq!(t("commit 0123\nAuthor: A\n\n    x: y\n\n    Subject: z\n").as_deref(), Some("x: y"));
        assert_eq!(t("commit 0123\nAuthor: A\n\ndiff --git a/x b/x\n    x\n"), None);
        assert_eq!(t("--- a/x\n+++ b/x\nSubject: no\n"), None);
        assert_eq!(t("Subject: [PATCH]\n"), None);
        assert_eq!(t(""), None);
    }
}
