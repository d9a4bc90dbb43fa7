// SPDX-License-Identifier: GPL-2.0-or-later
//! Reads apt source lists: files in, the entry of the Debian main archive out.
//!
//! Formats: sources.list(5), the one-line style and the deb822 style.

use anyhow::{Context, Result};
use std::path::{Path, PathBuf};
use std::process::Command;

/// One entry of an apt source list.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Entry {
    /// Archive addresses.
    pub uris: Vec<String>,
    /// Suites or codenames.
    pub suites: Vec<String>,
    /// Components: `main`, `contrib` …
    pub components: Vec<String>,
    /// Keyring file, fingerprint, or a whole ASCII-armoured key.
    pub signed_by: Option<String>,
}

/// Names of Debian's suites: the moving ones, and the releases that apt of today can still verify.
const RELEASES: &[&str] = &[
    "oldoldstable",
    "oldstable",
    "stable",
    "testing",
    "unstable",
    "experimental",
    "sid",
    "buster",
    "bullseye",
    "bookworm",
    "trixie",
    "forky",
    "duke",
];

/// The suites that only add to another; in them alone no build root can be made.
const ADDITIONS: &[&str] = &["-security", "-updates", "-proposed-updates", "-backports", "-backports-sloppy"];

/// The suite that `suite` adds to, itself when it is alone: `bookworm` for `bookworm-security`.
pub fn base_suite(suite: &str) -> &str {
    match suite {
        "experimental" | "rc-buggy" => "sid",
        _ => ADDITIONS.iter().find_map(|end| suite.strip_suffix(end)).unwrap_or(suite),
    }
}

/// Reads deb822 stanzas (`*.sources`); disabled ones and source-only ones are left out.
pub fn parse_deb822(text: &str) -> Vec<Entry> {
    let mut entries = Vec::new();
    for stanza in stanzas(text) {
        let get = |name: &str| stanza.iter().find(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, v)| v.as_str());
        let words = |name: &str| get(name).unwrap_or("").split_whitespace().map(String::from).collect::<Vec<_>>();
        let enabled = !matches!(get("Enabled").unwrap_or("yes").trim(), "no" | "false" | "0" | "off");
        if enabled && words("Types").iter().any(|t| t == "deb") {
            entries.push(Entry {
                uris: words("URIs"),
                suites: words("Suites"),
                components: words("Components"),
                signed_by: get("Signed-By").map(|s| s.trim().to_string()).filter(|s| !s.is_empty()),
            });
        }
    }
    entries
}

/// Splits deb822 text into stanzas of (field, value); comments are dropped, continuation lines
/// keep their line breaks, and a lone dot stands for an empty line.
pub fn stanzas(text: &str) -> Vec<Vec<(String, String)>> {
    let mut all = Vec::new();
    let mut now: Vec<(String, String)> = Vec::new();
    for line in text.lines() {
        if line.starts_with('#') {
            continue;
        }
        if line.trim().is_empty() {
            if !now.is_empty() {
                all.push(std::mem::take(&mut now));
            }
        } else if line.starts_with([' ', '\t']) {
            if let Some((_, value)) = now.last_mut() {
                let more = line.trim();
                value.push('\n');
                value.push_str(if more == "." { "" } else { more });
            }
        } else if let Some((name, value)) = line.split_once(':') {
            now.push((name.trim().to_string(), value.trim().to_string()));
        }
    }
    if !now.is_empty() {
        all.push(now);
    }
    all
}

/// Reads one-line entries (`*.list`); lines for source packages are left out.
pub fn parse_list(text: &str) -> Vec<Entry> {
    text.lines().filter_map(list_line).collect()
}

fn list_line(line: &str) -> Option<Entry> {
    let line = line.split('#').next()?.trim();
    let rest = line.strip_prefix("deb")?;
    if !rest.starts_with([' ', '\t', '[']) {
        return None;
    }
    let rest = rest.trim_start();
    let (options, rest) = match rest.strip_prefix('[') {
        Some(inner) => inner.split_once(']')?,
        None => ("", rest),
    };
    let signed_by = options
        .split_whitespace()
        .find_map(|o| o.strip_prefix("signed-by="))
        .map(|v| v.split(',').next().unwrap_or(v).to_string());
    let mut words = rest.split_whitespace().map(String::from);
    let uri = words.next()?;
    let suite = words.next()?;
    Some(Entry { uris: vec![uri], suites: vec![suite], components: words.collect(), signed_by })
}

/// Reads the source lists of the machine whose root folder is `root` (`/` is this one), from where apt looks for them.
pub fn machine(root: &Path) -> Result<Vec<Entry>> {
    let mut asks = Command::new("apt-config");
    asks.args(["shell", "L", "Dir::Etc::sourcelist/f", "P", "Dir::Etc::sourceparts/d"]);
    if root != Path::new("/") {
        asks.arg("-o").arg(format!("Dir={}", root.display()));
    }
    let out = crate::sandbox::run(&mut asks, "apt-config")?;
    let text = String::from_utf8_lossy(&out.stdout).into_owned();
    let path = |name: &str| {
        text.lines()
            .find_map(|l| l.strip_prefix(name)?.strip_prefix("='")?.strip_suffix('\''))
            .map(|p| PathBuf::from(p.trim_end_matches('/')))
    };
    let mut files: Vec<PathBuf> = path("L").into_iter().collect();
    if let Some(parts) = path("P") {
        let mut found: Vec<PathBuf> =
            std::fs::read_dir(parts).map(|d| d.flatten().map(|e| e.path()).collect()).unwrap_or_default();
        found.sort();
        files.extend(found);
    }
    let mut entries = Vec::new();
    for file in files.iter().filter(|f| f.is_file()) {
        entries.extend(read_file(file)?);
    }
    Ok(entries)
}

fn read_file(file: &Path) -> Result<Vec<Entry>> {
    let parse = match file.extension().and_then(|e| e.to_str()) {
        Some("list") => parse_list,
        Some("sources") => parse_deb822,
        _ => return Ok(Vec::new()),
    };
    let text = std::fs::read(file).with_context(|| format!("cannot read {}", file.display()))?;
    Ok(parse(&String::from_utf8_lossy(&text)))
}

/// The entry that serves `suite`: one that names it, else the one of the Debian main archive (which
/// holds all suites but the security ones).
pub fn serving<'a>(entries: &'a [Entry], suite: &str) -> Option<&'a Entry> {
    let named = |e: &&Entry| e.suites.iter().any(|s| s == suite) && score(e) > 0;
    if let Some(entry) = entries.iter().filter(named).max_by_key(|e| score(e)) {
        return Some(entry);
    }
    if suite.ends_with("-security") {
        return None;
    }
    entries.iter().filter(|e| is_main_archive(e) && score(e) > 0).max_by_key(|e| score(e))
}

/// The suites of Debian that these entries name, those that only add to another behind it.
pub fn suites(entries: &[Entry]) -> Vec<&str> {
    let named = || entries.iter().filter(|entry| score(entry) > 0).flat_map(|entry| &entry.suites).map(String::as_str);
    let all = || named().filter(|suite| RELEASES.contains(&base_suite(suite)));
    let mut suites: Vec<&str> = Vec::new();
    for suite in all().filter(|s| base_suite(s) == *s).chain(all().filter(|s| base_suite(s) != *s)) {
        if !suites.contains(&suite) {
            suites.push(suite);
        }
    }
    suites
}

/// Whether the entry has a suite that is a Debian release by itself.
fn is_main_archive(entry: &Entry) -> bool {
    entry.suites.iter().any(|s| RELEASES.contains(&s.as_str()))
}

/// How surely the entry is Debian's own and not a third party's that serves Debian users; 0 is not.
fn score(entry: &Entry) -> u32 {
    let usable = |u: &String| !u.starts_with("cdrom:");
    if !entry.components.iter().any(|c| c == "main") || !entry.uris.iter().any(usable) {
        return 0;
    }
    let key = entry.signed_by.as_deref();
    let by_key = match key {
        Some(k) if k.contains("debian-archive") => 8,
        // An embedded key or none: apt's own trust store decides.
        Some(k) if k.contains("BEGIN PGP") => 2,
        None => 2,
        Some(_) => 0,
    };
    let ends = |u: &String, end: &str| u.trim_end_matches('/').ends_with(end);
    let by_path = if entry.uris.iter().any(|u| ends(u, "/debian") || ends(u, "/debian-security")) { 4 } else { 0 };
    by_key + by_path
}

#[cfg(test)]
mod tests {
    use super::*;

    const DEB822: &str = "\
# comment
Types: deb deb-src
URIs: http://archive.example/debian
Suites: bookworm bookworm-updates
Components: main contrib
Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg

Types: deb
URIs: http://archive.example/debian-security/
Suites: bookworm-security
Components: main
Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg

Enabled: no
Types: deb
URIs: http://off.example/debian
Suites: trixie
Components: main

Types: deb-src
URIs: http://src.example/debian
Suites: trixie
Components: main
";

    #[test]
    fn deb822_stanzas() {
        let entries = parse_deb822(DEB822);
        assert_eq!(entries.len(), 2);
        assert_eq!(entries[0].suites, ["bookworm", "bookworm-updates"]);
        assert_eq!(entries[0].components, ["main", "contrib"]);
        assert_eq!(entries[1].uris, ["http://archive.example/debian-security/"]);
    }

    #[test]
    fn deb822_embedded_key_and_folded_fields() {
        let text = "Types: deb\nURIs: http://a.example/debian\nSuites: sid\n trixie\nComponents: main\nSigned-By:\n \
                    -----BEGIN PGP PUBLIC KEY BLOCK-----\n .\n mDME\n -----END PGP PUBLIC KEY BLOCK-----\n";
        let entries = parse_deb822(text);
        assert_eq!(entries[0].suites, ["sid", "trixie"]);
        let key = entries[0].signed_by.as_deref().unwrap();
        assert_eq!(key, "-----BEGIN PGP PUBLIC KEY BLOCK-----\n\nmDME\n-----END PGP PUBLIC KEY BLOCK-----");
    }

    #[test]
    fn one_line_entries() {
        let text = "# deb http://no.example/debian sid main\n\
                    deb [arch=amd64 signed-by=/k/debian-archive.gpg] http://a.example/debian sid main contrib # why\n\
                    deb-src http://a.example/debian sid main\n\
                    debris\n\
                    deb http://flat.example/ ./\n";
        let entries = parse_list(text);
        assert_eq!(entries.len(), 2);
        assert_eq!(entries[0].signed_by.as_deref(), Some("/k/debian-archive.gpg"));
        assert_eq!(entries[0].components, ["main", "contrib"]);
        assert_eq!(entries[1].suites, ["./"]);
    }

    #[test]
    fn main_archive_is_found_among_third_parties() {
        let mut entries = parse_list(
            "deb [signed-by=/etc/apt/keyrings/docker.asc] https://d.example/linux/debian bookworm stable\n\
             deb [signed-by=/etc/apt/keyrings/x.gpg] https://x.example/apt bookworm main\n\
             deb https://p.example/pub/repos/apt bookworm-pgdg main\n\
             deb cdrom:[Debian]/ bookworm main\n",
        );
        assert_eq!(serving(&entries, "sid"), None);
        entries.extend(parse_deb822(DEB822));
        assert_eq!(serving(&entries, "sid").unwrap().uris, ["http://archive.example/debian"]);
        assert_eq!(serving(&entries, "bookworm").unwrap().uris, ["http://archive.example/debian"]);
        assert_eq!(serving(&entries, "bookworm-security").unwrap().uris, ["http://archive.example/debian-security/"]);
        assert_eq!(serving(&entries, "trixie-security"), None);
        assert_eq!(suites(&entries), ["bookworm", "bookworm-updates", "bookworm-security"]);
    }

    #[test]
    fn suites_that_add_to_another() {
        assert_eq!(base_suite("forky"), "forky");
        assert_eq!(base_suite("bookworm-security"), "bookworm");
        assert_eq!(base_suite("trixie-backports"), "trixie");
        assert_eq!(base_suite("experimental"), "sid");
    }

    #[test]
    fn junk_is_survived() {
        for text in ["", "\n\n", ":", " x\n", "deb [", "deb [a", "deb", "deb []", "deb ] x", "Types", "Types: deb"] {
            let _ = parse_list(text);
            let _ = parse_deb822(text);
        }
    }
}
