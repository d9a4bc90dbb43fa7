// SPDX-License-Identifier: GPL-2.0-or-later
//! The fixes of a request in; out, each commit of them as its stream labels it, and what is said about its message.

use super::label;
use super::Request;
use crate::error::{NothingChanged, Refused};
use crate::source::{fix, Part};
use anyhow::Result;

/// The fixes as they are handed in, each with what the stream says of it.
pub fn read(request: &Request) -> Result<Vec<Part>> {
    let commit = |n: usize| request.stream.as_ref().and_then(|labels| labels.fixes.get(n)?.commit);
    let parts = request.fixes.iter().enumerate().map(|(n, path)| fix::read(path, commit(n)));
    let mut parts = parts.collect::<Result<Vec<_>>>()?.concat();
    if let Some(labels) = &request.stream {
        label::label(&mut parts, &labels.fixes)?;
    }
    Ok(parts)
}

/// Whether a build ended with this error because the fixes change no code of the kernel.
pub fn change_no_code(error: &anyhow::Error) -> bool {
    let not_built = |refused: &Refused| refused.0.iter().all(|r| r.code == "not-built");
    error.is::<NothingChanged>() || error.downcast_ref::<Refused>().is_some_and(not_built)
}

/// A note about CVEs that the message of a fix names and its stream does not: the author decides whether it fixes them.
pub fn offer(part: &Part) -> Option<String> {
    let Part { fix, named, .. } = part;
    let cves: Vec<&str> = named.iter().filter(|cve| !fix.cves.contains(cve)).map(String::as_str).collect();
    let commit = fix.commit.map_or(String::new(), |n| format!(", commit {n}"));
    let quoted: Vec<String> = cves.iter().map(|cve| format!("{cve:?}")).collect();
    (!cves.is_empty()).then(|| {
        format!(
            "{}{commit} ({:?}): its message names {}; if the fix resolves that, add it in the stream file: cves = [{}]",
            fix.file,
            fix.title,
            cves.join(", "),
            quoted.join(", ")
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_message_names_is_offered_and_not_taken() {
        let text = "Subject: x\n\nCVE-2026-1001, CVE-2026-1002\n\n--- a/f.c\n+++ b/f.c\n@@ -1 +1 @@\n-a\n+b\n";
        let mut part = fix::parts("a.patch", text.as_bytes()).unwrap().remove(0);
        assert!(part.fix.cves.is_empty());
        let note = offer(&part).unwrap();
        assert!(note.contains("a.patch") && note.contains("cves = [\"CVE-2026-1001\", \"CVE-2026-1002\"]"), "{note}");
        part.fix.cves = vec!["CVE-2026-1001".into()];
        assert!(!offer(&part).unwrap().contains("CVE-2026-1001"));
        part.fix.cves = part.named.clone();
        assert_eq!(offer(&part), None);
    }
}
