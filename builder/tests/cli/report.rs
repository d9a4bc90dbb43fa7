// SPDX-License-Identifier: GPL-2.0-or-later
//! `--report` and `--json`: what a refusal and a comparison leave for people and for programs.

use super::fake::{source, Fake};
use super::objects::FLAGS;
use super::tool::{collect, folder, names, put, run};
use super::Test;
use std::process::Command;

pub const TESTS: &[Test] =
    &[("refused_build", refused_build), ("no_place_for_it", no_place_for_it), ("compared", compared)];

const HOSTILE: &str = "Subject: </title><script>alert(1)</script>\n\n";

/// A fix to a file that the tree does not have.
fn bad_fix() -> String {
    format!("{HOSTILE}--- a/fs/none.c\n+++ b/fs/none.c\n@@ -1 +1 @@\n-a\n+b\n")
}

fn refused_build() {
    let fake = Fake::new();
    let fix = put(fake.dir.path(), "bad.patch", bad_fix());
    let page = fake.dir.path().join("page.html");
    let ran = collect(fake.command(&fix).arg("--json").arg("--report").arg(&page));
    ran.fails(2, &["[patch-does-not-apply]"]);
    let json: serde_json::Value = serde_json::from_str(&ran.out).unwrap();
    assert_eq!(json["result"], "refused");
    assert_eq!(json["refusals"][0]["code"], "patch-does-not-apply");
    assert!(json.get("manifest").is_none());
    let html = std::fs::read_to_string(&page).unwrap();
    for part in ["patch-does-not-apply", "What you can do", "&lt;script&gt;alert(1)&lt;/script&gt;", "fs/none.c"] {
        assert!(html.contains(part), "{part} is missing in the page");
    }
    assert!(!html.contains("<script"));
    assert!(names(&fake.out()).is_empty());
    assert_eq!(std::fs::read_to_string(fake.target.tree.join("fs/a.c")).unwrap(), source());
}

fn no_place_for_it() {
    let fake = Fake::new();
    let fix = put(fake.dir.path(), "bad.patch", bad_fix());
    let page = fake.dir.path().join("bad.patch/page.html");
    collect(fake.command(&fix).arg("--report").arg(&page)).fails(1, &["bad.patch"]);
}

fn compared() {
    let dir = folder();
    let object = |name: &str, add: &str| {
        let text = format!(
            "int seen;\nstatic inline int h(int x) {{ return {add}; }}\nint f(int x)\n{{\n\treturn h(x) + seen;\n}}\n"
        );
        let source = put(dir.path(), "unit.c", text);
        let object = dir.path().join(name);
        let made = Command::new("cc").args(FLAGS).args(["-g1", "-o"]).args([&object, &source]).status();
        assert!(made.expect("cc is needed to link Rust programs").success());
        object
    };
    let (original, patched) = (object("original.o", "x + 1"), object("patched.o", "x * 55"));
    let page = dir.path().join("page.html");
    let pair = ["diff".as_ref(), original.as_os_str(), patched.as_os_str()];
    let ran = run(dir.path(), &[&pair[..], &["--json".as_ref(), "--report".as_ref(), page.as_os_str()]].concat());
    let json: serde_json::Value = serde_json::from_str(&ran.succeeds().out).unwrap();
    let cause = &json["functions"][0]["causes"][0];
    assert_eq!(
        (cause["kind"].as_str(), cause["line"].as_u64(), cause["through"].as_str()),
        (Some("place"), Some(2), Some("h"))
    );
    let html = std::fs::read_to_string(&page).unwrap();
    assert!(html.contains("as it runs now") && html.contains("imul"), "{html}");
    let text = run(dir.path(), &pair);
    assert!(text.succeeds().out.contains("unit.c:2 (in h, inlined here)"), "{text:?}");
}
