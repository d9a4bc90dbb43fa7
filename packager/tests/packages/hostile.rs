// SPDX-License-Identifier: GPL-2.0-or-later
//! Descriptions that try to be more than text: refused, or text in the end as well.

use crate::samples::{dates, el9, live_patch};
use kmend_packager::debian::Suite;
use kmend_packager::{debian, redhat, Arch, Line, LivePatch, Names};
use liblzma::read::XzDecoder;
use std::collections::BTreeMap;
use std::io::Read;
use std::path::Path;

/// Pieces that mean something to a shell, to RPM's macros, to headers of lines, to XML, to terminals.
const PIECES: &[&str] = &[
    "\n",
    "\r",
    "\0",
    "\t",
    "\nDepends: evil",
    "\n\nPackage: evil",
    "\n * Mon",
    "'",
    "\"",
    "`id`",
    "$(id)",
    "${IFS}",
    "%(id)",
    "%{lua:x}",
    ";id;",
    "&&",
    "|",
    ">/x",
    "\\",
    "\\n",
    "é",
    "\u{202e}",
    "\u{2028}",
    "\u{1b}[2J",
    "</description>",
    "]]>",
    "&x;",
    "@KERNEL@",
    "@FILE@",
    "..",
    "/",
    "-",
    "_",
    ".",
    "+",
    "~",
    "1",
    "7.2",
    "a",
    " ",
    "{CVE-2026-9999}",
    "[x]",
    ".el9",
    ".x86_64",
];

/// Numbers that are the same each time (xorshift).
struct Dice(u64);

impl Dice {
    fn throw(&mut self, sides: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % sides as u64) as usize
    }

    fn text(&mut self) -> String {
        (0..1 + self.throw(4)).map(|_| PIECES[self.throw(PIECES.len())]).collect()
    }
}

/// The files of a deb's control archive.
fn control_files(deb: &[u8]) -> BTreeMap<String, String> {
    let mut files = BTreeMap::new();
    let mut archive = ar::Archive::new(deb);
    while let Some(member) = archive.next_entry() {
        let member = member.unwrap();
        if member.header().identifier() == b"control.tar.xz" {
            for entry in tar::Archive::new(XzDecoder::new(member)).entries().unwrap() {
                let mut entry = entry.unwrap();
                let name = entry.path().unwrap().display().to_string();
                let mut text = String::new();
                entry.read_to_string(&mut text).unwrap();
                files.insert(name, text);
            }
        }
    }
    files
}

/// The scripts of both packages, and the names of the deb's fields.
fn made(patch: &LivePatch) -> anyhow::Result<(Vec<String>, Vec<String>, Vec<u8>)> {
    let rpm = redhat::live_patch(patch, None)?;
    let package = rpm::Package::parse(&mut rpm.bytes.as_slice()).unwrap();
    let mut scripts = vec![
        package.metadata.get_post_install_script().unwrap().script,
        package.metadata.get_post_uninstall_script().unwrap().script,
    ];
    let deb = debian::live_patch(patch)?;
    let mut files = control_files(&deb.bytes);
    let control = files.remove("control").unwrap();
    files.remove("md5sums");
    scripts.extend(files.into_values());
    let fields =
        control.lines().filter(|l| !l.starts_with(' ')).map(|l| l.split_once(": ").unwrap().0.to_owned()).collect();
    Ok((scripts, fields, deb.bytes))
}

/// Puts `text` into the field of this number; says which.
fn put(patch: &mut LivePatch, field: usize, text: &str) -> &'static str {
    let entry = &mut patch.changelog[0];
    match field {
        0 => (patch.origin.packager = format!("{text} <a@example.com>"), "packager").1,
        1 => (patch.origin.packager = format!("A <{text}@example.com>"), "mail").1,
        2 => (patch.origin.vendor = text.into(), "vendor").1,
        3 => (patch.origin.url = format!("https://{text}"), "url").1,
        4 => (patch.origin.license = text.into(), "license").1,
        5 => (patch.dist = text.into(), "dist").1,
        6 => (entry.packager = format!("{text} <a@example.com>"), "entry's packager").1,
        7 => (entry.lines[0].text = text.into(), "text").1,
        8 => (entry.lines[0].tickets = vec![text.into()], "ticket").1,
        _ => (entry.lines[0].cves = vec![format!("CVE-2026-{text}")], "cve").1,
    }
}

#[test]
fn scripts_and_headers_stay_what_they_are() {
    let dir = tempfile::tempdir().unwrap();
    let good = live_patch(dir.path(), &el9(Arch::X86_64), 1);
    let (scripts, fields, _) = made(&good).unwrap();
    assert_eq!(scripts.len(), 5);
    let mut dice = Dice(0x9e37_79b9_7f4a_7c15);
    let (mut let_through, mut refused) = (0, 0);
    for round in 0..600 {
        let mut patch = good.clone();
        let text = dice.text();
        let field = put(&mut patch, round % 10, &text);
        match made(&patch) {
            Ok((now, names, _)) => {
                let_through += 1;
                assert!(!text.contains(['\n', '\r', '\0', '\u{1b}', '\u{202e}', '\u{2028}']), "{field}: {text:?}");
                assert_eq!(now, scripts, "{field}: {text:?}");
                assert_eq!(names, fields, "{field}: {text:?}");
            }
            Err(error) => {
                refused += 1;
                assert!(
                    !format!("{error:#}").contains('\n') || !text.contains('\n'),
                    "the error shows it raw: {error:#}"
                );
            }
        }
    }
    assert!(let_through > 50 && refused > 200, "{let_through} {refused}: the test has to see both");
}

#[test]
fn names_are_words_or_refused() {
    let mut dice = Dice(0x2545_f491_4f6c_dd1d);
    let mut good = 0;
    for _ in 0..20_000 {
        let release = format!("7{}", dice.text());
        let Ok(names) = Names::new(&release, Arch::X86_64) else { continue };
        good += 1;
        let all = [
            names.rpm(),
            names.deb(),
            names.deb_kernel(),
            names.file(1, 2),
            names.release().into(),
            names.module_stem(),
        ];
        for name in all {
            assert!(name.chars().all(|c| c.is_ascii_alphanumeric() || "._+~-".contains(c)), "{release:?}: {name}");
            assert!(!name.starts_with(['.', '-']), "{release:?}: {name}");
        }
    }
    assert!(good > 200, "{good}");
}

#[test]
fn text_is_read_back_as_it_was() {
    let dir = tempfile::tempdir().unwrap();
    let mut patch = live_patch(dir.path(), &el9(Arch::X86_64), 1);
    let text = "nft: `id` $(id) %(id) %{lua:x} </description> ]]> & é 'x' \"y\" \\n";
    patch.changelog[0].lines = vec![Line { text: text.into(), ..Line::default() }];
    let path = redhat::live_patch(&patch, None).unwrap().write(dir.path()).unwrap();
    let said = crate::tools::rpm_query(&path, &["--changelog"]);
    assert!(said.contains(&format!("- {text}\n")), "{said}");
    let advisories = redhat::advisories("test", &patch).unwrap();
    redhat::repository(dir.path(), &advisories, dates(), None).unwrap();
    assert!(xml_of(&dir.path().join("repodata")).contains("&lt;/description&gt; ]]&gt; &amp; é &apos;x&apos;"));
}

/// updateinfo.xml of a repository.
fn xml_of(repodata: &Path) -> String {
    let path = std::fs::read_dir(repodata).unwrap().map(|e| e.unwrap().path());
    let path = path.into_iter().find(|p| p.to_str().unwrap().ends_with("updateinfo.xml.gz")).unwrap();
    let out = std::process::Command::new("gzip").arg("-dc").arg(path).output().unwrap();
    String::from_utf8(out.stdout).unwrap()
}

#[test]
fn streams_are_words() {
    let dir = tempfile::tempdir().unwrap();
    let patch = live_patch(dir.path(), &el9(Arch::X86_64), 1);
    debian::live_patch(&patch).unwrap().write(dir.path()).unwrap();
    for hostile in ["a\nb", "a b", "\"", "<a>", ""] {
        assert!(redhat::advisories(hostile, &patch).is_err(), "{hostile:?}");
        let suite = Suite { stream: hostile.into(), vendor: "Example".into(), dates: dates() };
        assert!(debian::repository(dir.path(), &suite, None).is_err(), "{hostile:?}");
    }
}
