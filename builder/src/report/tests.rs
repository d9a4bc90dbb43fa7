// SPDX-License-Identifier: GPL-2.0-or-later
use super::*;
use crate::arch::line::Line;
use crate::explain::align::align;

/// What somebody may put into a patch, a symbol or a message.
const HOSTILE: &str = "</title></pre></style><script>alert('x')</script><img src=x onerror=\"a\">&lt;\u{202e}\u{0}";

/// Asserts that the page is well formed: every element that is opened is closed, in order, attributes are quoted, no `&`
/// stands for itself. Returns the elements.
fn elements(page: &str) -> Vec<String> {
    const EMPTY: &[&str] = &["meta", "col"];
    let mut rest = page.strip_prefix("<!DOCTYPE html>\n").expect("a doctype");
    let (mut open, mut seen): (Vec<String>, Vec<String>) = (Vec::new(), Vec::new());
    while let Some(at) = rest.find('<') {
        let (text, tag) = rest.split_at(at);
        assert!(!text.contains('>') || open.last().is_some_and(|o| o == "style"), "a bare > in {text:?}");
        text.match_indices('&').for_each(|(i, _)| {
            let known = ["&amp;", "&lt;", "&gt;", "&quot;", "&#39;"].iter().any(|e| text[i..].starts_with(e));
            assert!(known, "a bare & in {text:?}");
        });
        let end = tag.find('>').expect("a tag that ends");
        let inside = &tag[1..end];
        assert_eq!(inside.matches('"').count() % 2, 0, "{inside:?}");
        match inside.strip_prefix('/') {
            Some(name) => assert_eq!(open.pop().as_deref(), Some(name)),
            None => {
                let name = inside.split_whitespace().next().expect("a name").to_string();
                seen.push(name.clone());
                if !EMPTY.contains(&name.as_str()) {
                    open.push(name);
                }
            }
        }
        rest = &tag[end + 1..];
    }
    assert!(open.is_empty(), "left open: {open:?}");
    seen
}

fn line(at: u64, text: &str) -> Line {
    Line { at, bytes: vec![0], text: text.into(), jump: None }
}

fn code(lines: u64) -> FunctionCode {
    let original: Vec<Line> = (0..lines).map(|n| line(n, &format!("mov {n}"))).collect();
    let mut patched = original.clone();
    patched[(lines / 2) as usize].text = HOSTILE.into();
    let rows = align(&original, &patched);
    FunctionCode { source: HOSTILE.into(), name: HOSTILE.into(), original, patched, rows }
}

fn page<'a>(end: End<'a>, code: &'a [FunctionCode]) -> Page<'a> {
    let text = || HOSTILE.to_string();
    let cause = |kind: &str, file: String| Cause {
        kind: kind.into(),
        file,
        line: Some(7),
        text: text(),
        through: Some(text()),
    };
    let function = Function {
        name: text(),
        status: "changed".into(),
        sympos: Some(2),
        proven_at: Some(text()),
        reasons: vec![text()],
        causes: vec![cause("line", text()), cause("macro", text()), cause("compiler", String::new())],
    };
    let unit = Unit {
        source: text(),
        object: text(),
        functions: vec![function],
        data: vec![text()],
        special: BTreeMap::from([(text(), 2)]),
        proven: Some((1, 2)),
    };
    let fix = Fix { file: text(), title: text(), ..Fix::default() };
    let patch = format!("{HOSTILE}\n---\n--- a/x\n+++ b/x\n@@ -1 +1 @@ {HOSTILE}\n-{HOSTILE}\n+{HOSTILE}\n-- \n");
    Page {
        name: text(),
        end,
        facts: vec![("target", text())],
        fixes: vec![FixText { fix, text: patch }],
        units: vec![unit],
        code,
    }
}

#[test]
fn hostile_pages_are_well_formed() {
    let refusals = [Refusal::new(HOSTILE, HOSTILE, HOSTILE, HOSTILE.into(), HOSTILE)];
    let code = [code(100)];
    for end in [End::Refused(&refusals), End::Unchanged(HOSTILE), End::Patchable] {
        let html = page(end, &code).html();
        let seen = elements(&html);
        assert!(seen.iter().all(|e| !["script", "img", "link", "a href"].contains(&e.as_str())));
        assert!(!html.contains(['\u{202e}', '\u{0}']));
        assert!(!html.contains("http:") && !html.contains("https:") && !html.contains("url("), "it needs nothing else");
        assert_eq!(seen.iter().filter(|e| *e == "details").count(), 4, "the fix, the code, two folds in it");
    }
}

#[test]
fn a_patch_is_coloured_within_hunks_alone() {
    let html = page(End::Patchable, &[]).html();
    assert_eq!(html.matches("<span class=\"plus\">").count(), 1);
    assert_eq!(html.matches("<span class=\"minus\">").count(), 1);
}

#[test]
fn a_file_of_which_nothing_is_to_be_said_has_no_heading() {
    let mut page = page(End::Refused(&[]), &[]);
    page.units[0].source = "fs/one.c".into();
    assert!(page.html().contains("<h2>fs/one.c<"));
    page.units[0] = Unit { functions: vec![], data: vec![], proven: None, ..page.units[0].clone() };
    assert!(!page.html().contains("<h2>fs/one.c<"));
}

#[test]
fn large_functions_stay_moderate() {
    let code = [code(50_000)];
    let html = page(End::Patchable, &code).html();
    elements(&html);
    assert!(html.len() < 2_000_000, "{} bytes", html.len());
    assert!(html.contains("44000 more rows"));
}
