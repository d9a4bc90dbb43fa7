// SPDX-License-Identifier: GPL-2.0-or-later
//! docs/authors.md and docs/streams.md against the source: every refusal code that the builder can give is explained there.

use std::collections::BTreeSet;
use std::path::Path;

/// Codes in the text of one source file, less its tests. Where a file makes refusals, each of its strings of the
/// form `two-words` is a code: that is a rule for these files, so that no code escapes.
fn codes(text: &str) -> BTreeSet<String> {
    const MAKERS: [&str; 4] = ["Warning::new(", "Refusal::new(", "Kind::Refused(", "Err(Fault {"];
    let text = text.split("#[cfg(test)]").next().unwrap_or_default();
    let mut found = BTreeSet::new();
    if !MAKERS.iter().any(|m| text.contains(m)) {
        return found;
    }
    // One word can be a code too where it is plainly the first argument.
    for rest in text.split("Refusal::new(").skip(1) {
        if let Some(word) = rest.trim_start().strip_prefix('"').and_then(|r| r.split('"').next()) {
            found.insert(word.to_string());
        }
    }
    for line in text.lines().filter(|l| !l.trim_start().starts_with("//")) {
        found.extend(line.split('"').skip(1).step_by(2).filter(|s| is_code(s)).map(String::from));
    }
    found
}

fn is_code(text: &str) -> bool {
    text != "kmend-build"
        && text.contains('-')
        && text.split('-').all(|w| !w.is_empty() && w.bytes().all(|b| b.is_ascii_lowercase()))
}

fn read_all(dir: &Path, found: &mut BTreeSet<String>) {
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            read_all(&path, found);
        } else if path.extension().is_some_and(|e| e == "rs") && path.file_name().is_some_and(|n| n != "tests.rs") {
            found.extend(codes(&std::fs::read_to_string(path).unwrap()));
        }
    }
}

#[test]
fn every_refusal_is_explained() {
    let home = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut all = BTreeSet::new();
    read_all(&home.join("src"), &mut all);
    assert!(all.len() > 25 && all.contains("unproven") && all.contains("patch-path"), "{all:?}");
    // Those of a release are explained with the releases.
    let docs =
        ["authors", "streams"].map(|page| std::fs::read_to_string(home.join(format!("../docs/{page}.md"))).unwrap());
    let is_explained = |code: &&String| docs.iter().any(|page| page.contains(&format!("\n| `{code}` | ")));
    let missing: Vec<&String> = all.iter().filter(|code| !is_explained(code)).collect();
    assert!(missing.is_empty(), "docs/authors.md and docs/streams.md do not explain the refusals {missing:?}");
}

#[test]
fn codes_are_found() {
    let text =
        "Refusal::new(\n    \"lto\", x); no(\"two-words\"); // \"not-this\"\n // \"nor-this\"\n\"No-Code\" \"a b-c\"\n\
                #[cfg(test)]\n\"in-tests\"";
    let found: Vec<String> = codes(text).into_iter().collect();
    assert_eq!(found, ["lto", "not-this", "two-words"]);
    assert!(codes("fn f() { \"kmend-build\" }").is_empty());
}

/// The last column of each table of docs/constructs.md, one name a pair.
fn pairs_named(text: &str) -> Vec<String> {
    let rows = text.lines().filter(|l| l.starts_with("| ") && !l.starts_with("| construct "));
    let last = rows.filter_map(|row| row.trim_end().strip_suffix(" |")?.rsplit("| ").next());
    let names = last.flat_map(|cell| cell.split([',', ';']).map(str::trim));
    names.filter(|n| !n.contains([' ', '.', '`'])).map(String::from).collect()
}

#[test]
fn the_tests_of_constructs_are_there() {
    let home = Path::new(env!("CARGO_MANIFEST_DIR"));
    let named = pairs_named(&std::fs::read_to_string(home.join("../docs/constructs.md")).unwrap());
    assert!(named.len() > 60 && named.iter().any(|n| n == "cswtch"), "{named:?}");
    let missing: Vec<&String> = named.iter().filter(|n| !home.join(format!("tests/pairs/{n}.c")).is_file()).collect();
    assert!(missing.is_empty(), "docs/constructs.md names pairs that are not there: {missing:?}");
}
