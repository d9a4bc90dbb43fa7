// SPDX-License-Identifier: GPL-2.0-or-later
//! The documents against the source and each other: every refusal code that the builder can give is explained in docs/authors.md,
//! docs/streams.md or docs/farm.md, the tests that docs/constructs.md names and the messages in docs/troubleshooting.md are there, each link leads
//! somewhere, the site has all pages, and the recording of the demo is of this demo.

use std::collections::BTreeSet;
use std::path::Path;

/// Codes in the text of one source file, less its tests. Where a file makes refusals, each of its strings of the
/// form `two-words` is a code: that is a rule for these files, so that no code escapes.
fn codes(text: &str) -> BTreeSet<String> {
    const MAKERS: [&str; 5] = ["Warning::new(", "Refusal::new(", "Kind::Refused(", "Err(Fault {", "ArchiveFault::new("];
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
    let docs = ["authors", "streams", "farm"]
        .map(|page| std::fs::read_to_string(home.join(format!("../docs/{page}.md"))).unwrap());
    let is_explained = |code: &&String| docs.iter().any(|page| page.contains(&format!("\n| `{code}` | ")));
    let missing: Vec<&String> = all.iter().filter(|code| !is_explained(code)).collect();
    assert!(
        missing.is_empty(),
        "docs/authors.md, docs/streams.md and docs/farm.md do not explain the refusals {missing:?}"
    );
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

/// What the first column of each table has in backquotes.
fn messages(text: &str) -> Vec<&str> {
    let cells = text.lines().filter_map(|line| line.strip_prefix("| ")?.split(" | ").next());
    cells.flat_map(|cell| cell.split('`').skip(1).step_by(2)).collect()
}

#[test]
fn the_messages_of_troubleshooting_are_todays() {
    let home = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let page = std::fs::read_to_string(home.join("docs/troubleshooting.md")).unwrap();
    let mut sources = String::new();
    read_sources(&home.join("builder/src"), &mut sources);
    read_sources(&home.join("manager/src"), &mut sources);
    let said = messages(&page);
    assert!(said.len() > 30, "{said:?}");
    let gone: Vec<&&str> = said.iter().filter(|part| !sources.contains(**part)).collect();
    assert!(gone.is_empty(), "docs/troubleshooting.md has messages that neither program has: {gone:?}");
    assert_eq!(messages("| `a b` … `c` | `d` |\n|---|---|\ntext `e`"), ["a b", "c"]);
}

fn read_sources(dir: &Path, all: &mut String) {
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        match path.is_dir() {
            true => read_sources(&path, all),
            false => all.push_str(&std::fs::read_to_string(path).unwrap()),
        }
    }
}

/// The pages: README.md and its like, and all of docs/, less the site's list of them. By their paths in the repository.
fn pages(home: &Path) -> BTreeSet<String> {
    let docs = std::fs::read_dir(home.join("docs")).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap());
    let docs = docs.filter(|name| name.ends_with(".md") && name != "SUMMARY.md").map(|name| format!("docs/{name}"));
    ["README.md", "ARCHITECTURE.md", "CHANGELOG.md"].map(String::from).into_iter().chain(docs).collect()
}

/// The lines of a page that are no code.
fn prose(text: &str) -> impl Iterator<Item = &str> {
    let mut in_code = false;
    text.lines().filter(move |line| {
        let is_fence = line.trim_start().starts_with("```");
        in_code ^= is_fence;
        !in_code && !is_fence
    })
}

/// Where the links of a page lead: `target` of `[text](target)`, less those in code.
fn links(text: &str) -> Vec<String> {
    let lines = prose(text).map(|line| line.split('`').step_by(2).collect::<String>());
    lines
        .flat_map(|line| line.split("](").skip(1).filter_map(|l| Some(l.split_once(')')?.0.into())).collect::<Vec<_>>())
        .collect()
}

/// What the headings of a page are called in links, by GitHub and by mdbook.
fn anchors(text: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for heading in
        prose(text).filter_map(|line| line.trim_start_matches('#').strip_prefix(' ').filter(|_| line.starts_with('#')))
    {
        let kept = heading.trim().chars().filter(|c| c.is_alphanumeric() || " -_".contains(*c));
        let name: String = kept.map(|c| if c == ' ' { '-' } else { c.to_ascii_lowercase() }).collect();
        let again = (1..).map(|n| format!("{name}-{n}")).find(|other| !found.contains(other));
        let is_new = found.insert(name);
        found.extend(again.filter(|_| !is_new));
    }
    found
}

/// `path` as seen from the folder of the file `from`; None where it leads out of the repository.
fn resolve(from: &str, path: &str) -> Option<String> {
    let mut parts: Vec<&str> = from.split('/').collect();
    parts.pop();
    for part in path.split('/') {
        match part {
            ".." => drop(parts.pop()?),
            _ => parts.push(part),
        }
    }
    Some(parts.join("/"))
}

/// What is wrong with the links of `page`; `beside` are the files that the site has and that are no pages.
fn dead_links(home: &Path, page: &str, beside: &[&str]) -> (usize, Vec<String>) {
    let text = std::fs::read_to_string(home.join(page)).unwrap();
    let (mut count, mut faults) = (0, Vec::new());
    for link in links(&text).into_iter().filter(|link| !link.starts_with("https://")) {
        count += 1;
        let (path, anchor) = link.split_once('#').map_or((link.as_str(), None), |(path, anchor)| (path, Some(anchor)));
        let file = if path.is_empty() { Some(page.to_string()) } else { resolve(page, path) };
        let Some(file) = file.filter(|file| home.join(file).is_file()) else {
            faults.push(format!("{page}: ({link}) is no file"));
            continue;
        };
        let is_page = file.ends_with(".md");
        if !is_page && !beside.contains(&file.split('/').next().unwrap_or_default()) {
            faults.push(format!("{page}: ({link}) is not in the site: add it to `beside` in xtask/site.sh"));
        }
        let has = |anchor: &str| anchors(&std::fs::read_to_string(home.join(&file)).unwrap()).contains(anchor);
        if anchor.is_some_and(|anchor| !is_page || !has(anchor)) {
            faults.push(format!("{page}: ({link}): {file} has no such heading"));
        }
    }
    (count, faults)
}

#[test]
fn each_link_leads_somewhere() {
    let home = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let script = std::fs::read_to_string(home.join("xtask/site.sh")).unwrap();
    let beside = script.lines().find_map(|l| l.strip_prefix("beside=\"")?.strip_suffix('"')).expect("`beside`");
    let beside: Vec<&str> = beside.split(' ').collect();
    let (mut count, mut faults) = (0, Vec::new());
    for page in pages(&home) {
        let (more, wrong) = dead_links(&home, &page, &beside);
        count += more;
        faults.extend(wrong);
    }
    assert!(faults.is_empty(), "{faults:#?}");
    assert!(count > 60, "{count} links");
}

#[test]
fn links_and_headings_are_read() {
    let text = "# A `b`: c_d, E\n[x](y.md#z) and [`x`](../y), `[no](no.md)`\n```\n# no\n[no](no.md)\n```\n## Twice\n## Twice\n#no";
    assert_eq!(links(text), ["y.md#z", "../y"]);
    assert_eq!(anchors(text), ["a-b-c_d-e", "twice", "twice-1"].map(String::from).into());
    assert_eq!(resolve("docs/a.md", "../README.md").as_deref(), Some("README.md"));
    assert_eq!(resolve("README.md", "../out"), None);
    // Each kind of fault is found.
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("page.md"), "# H\n[1](#h) [2](#i) [3](gone.md) [4](file) [5](other) [6](page.md#h)")
        .unwrap();
    std::fs::write(dir.path().join("file"), "").unwrap();
    std::fs::write(dir.path().join("other"), "").unwrap();
    let (count, faults) = dead_links(dir.path(), "page.md", &["file"]);
    assert_eq!((count, faults.len()), (6, 3), "{faults:?}");
}

/// First rows of tables that have no head: in between there was an empty line, and they are no tables.
fn headless(text: &str) -> Vec<&str> {
    let lines: Vec<&str> = prose(text).collect();
    let is_row = |at: usize| lines.get(at).is_some_and(|line| line.starts_with('|'));
    let begins = |at: &usize| is_row(*at) && (*at == 0 || !is_row(at - 1));
    let has_head = |at: &usize| lines.get(at + 1).is_some_and(|line| line.starts_with("|-"));
    (0..lines.len()).filter(begins).filter(|at| !has_head(at)).map(|at| lines[at]).collect()
}

#[test]
fn each_table_has_a_head() {
    let home = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    for page in pages(&home) {
        let text = std::fs::read_to_string(home.join(&page)).unwrap();
        assert!(headless(&text).is_empty(), "{page}: {:?}", headless(&text));
    }
    assert_eq!(headless("| a |\n|---|\n| b |\n\n| c |\n| d |\n"), ["| c |"]);
}

#[test]
fn the_site_lists_each_page_once() {
    let home = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let text = std::fs::read_to_string(home.join("docs/SUMMARY.md")).unwrap();
    let mut listed: Vec<String> = links(&text).iter().filter_map(|link| resolve("docs/SUMMARY.md", link)).collect();
    listed.sort();
    assert_eq!(listed, pages(&home).into_iter().collect::<Vec<_>>());
}

#[test]
fn the_recording_is_of_todays_demo() {
    let home = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let [page, demo] =
        ["docs/demo.md", "qemu-tests/src/demo.rs"].map(|path| std::fs::read_to_string(home.join(path)).unwrap());
    let titles: Vec<&str> = demo.split("say::title(\"").skip(1).filter_map(|rest| rest.split('"').next()).collect();
    let mut recorded = page.lines().filter(|line| line.starts_with(|c: char| c.is_ascii_digit()));
    assert!(titles.len() >= 4 && titles.iter().all(|title| recorded.any(|line| line == *title)), "run `make record`");
    let end = demo.split("Tone::Good, \"").nth(1).and_then(|rest| rest.split('"').next()).expect("its last words");
    assert!(page.lines().any(|line| line == end), "docs/demo.md does not end well");
}
