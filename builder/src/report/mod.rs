// SPDX-License-Identifier: GPL-2.0-or-later
//! The report: the result of a build or a comparison in; one self-contained HTML page out.

mod code;
pub mod html;
pub mod of_build;

use crate::error::Refusal;
use crate::explain::{Cause, FunctionCode};
use crate::manifest::{Manifest, UnitFacts};
use crate::source::Fix;
use html::escape;
use std::collections::BTreeMap;
use std::fmt::Write as _;

/// How it ended.
#[derive(Clone, Copy, Debug)]
pub enum End<'a> {
    /// A live patch was built.
    Built(&'a Manifest),
    /// Refused, for these reasons.
    Refused(&'a [Refusal]),
    /// There is nothing to patch; in words.
    Unchanged(&'a str),
    /// Two objects were compared, and what changed can be live patched.
    Patchable,
}

/// A fix with its text.
#[derive(Clone, Debug)]
pub struct FixText {
    /// Title and file.
    pub fix: Fix,
    /// The patch.
    pub text: String,
}

/// A changed function.
#[derive(Clone, Debug)]
pub struct Function {
    /// Its name.
    pub name: String,
    /// `changed` or `new`.
    pub status: String,
    /// Position among namesakes, of a replaced function.
    pub sympos: Option<u64>,
    /// Where it was proven.
    pub proven_at: Option<String>,
    /// What differs.
    pub reasons: Vec<String>,
    /// What brought the change.
    pub causes: Vec<Cause>,
}

/// The changed functions of one source file or object.
#[derive(Clone, Debug, Default)]
pub struct Unit {
    /// Source file.
    pub source: String,
    /// klp object; empty where that is not known.
    pub object: String,
    /// The functions.
    pub functions: Vec<Function>,
    /// New data, or changed.
    pub data: Vec<String>,
    /// Special section entries by section.
    pub special: BTreeMap<String, usize>,
    /// How many of how many functions were proven.
    pub proven: Option<(usize, usize)>,
}

/// What a page shows.
#[derive(Clone, Debug)]
pub struct Page<'a> {
    /// Name of the live patch, or what was compared.
    pub name: String,
    /// How it ended.
    pub end: End<'a>,
    /// Facts about the target, in order: what, value.
    pub facts: Vec<(&'static str, String)>,
    /// The fixes.
    pub fixes: Vec<FixText>,
    /// What changed.
    pub units: Vec<Unit>,
    /// The code of it, where it is known.
    pub code: &'a [FunctionCode],
}

/// The units of a build.
pub fn units(facts: &[UnitFacts]) -> Vec<Unit> {
    let unit = |u: &UnitFacts| Unit {
        source: u.source.clone(),
        object: u.object.clone(),
        functions: u
            .functions
            .iter()
            .map(|f| Function {
                name: f.name.clone(),
                status: f.status.clone(),
                sympos: f.sympos,
                proven_at: f.proven_at.clone(),
                reasons: f.reasons.clone(),
                causes: f.causes.clone(),
            })
            .collect(),
        data: u.data.clone(),
        special: u.special_sections.clone(),
        proven: (u.functions_total > 0).then_some((u.proven, u.functions_total)),
    };
    facts.iter().map(unit).collect()
}

impl Page<'_> {
    /// The page.
    pub fn html(&self) -> String {
        let mut out = self.head();
        if let End::Refused(refusals) = self.end {
            refused(&mut out, refusals);
        }
        self.overview(&mut out);
        self.fixes(&mut out);
        let says_something = |u: &Unit| u.proven.is_some() || !(u.functions.is_empty() && u.data.is_empty());
        let units = self.units.iter().enumerate().filter(|(_, unit)| says_something(unit));
        units.for_each(|(n, unit)| self.unit(&mut out, n, unit));
        if let End::Built(manifest) = self.end {
            references(&mut out, manifest);
        }
        html::page(&format!("{} - kmend", self.name), &out)
    }

    fn head(&self) -> String {
        let (class, word, lead) = match self.end {
            End::Built(_) => ("built", "built", String::new()),
            End::Patchable => ("built", "can be live patched", String::new()),
            End::Refused(all) => {
                let n = all.len();
                let lead = format!(
                    "This fix cannot be live patched as it is, for {} below. Nothing was written but this page.",
                    if n == 1 { "the reason".into() } else { format!("the {n} reasons") }
                );
                ("refused", "refused", lead)
            }
            End::Unchanged(why) => ("unchanged", "nothing to patch", why.to_string()),
        };
        let mut out = format!("<h1>{} <span class=\"badge {class}\">{word}</span></h1>\n", escape(&self.name));
        if !lead.is_empty() {
            let _ = writeln!(out, "<p>{}</p>", escape(&lead));
        }
        out.push_str("<dl>\n");
        for (what, value) in self.facts.iter().filter(|(_, value)| !value.is_empty()) {
            let _ = writeln!(out, "<dt>{}</dt><dd>{}</dd>", escape(what), escape(value));
        }
        out.push_str("</dl>\n");
        out
    }

    fn overview(&self, out: &mut String) {
        if self.units.iter().all(|u| u.functions.is_empty()) {
            return;
        }
        let title = if matches!(self.end, End::Refused(_)) { "What it would change" } else { "Functions" };
        let _ = writeln!(out, "<h2>{title}</h2>");
        out.push_str("<table class=\"list\">\n<thead><tr><th>function</th><th></th><th>file</th><th>brought in by</th></tr></thead>\n<tbody>\n");
        for (n, unit) in self.units.iter().enumerate() {
            for (m, f) in unit.functions.iter().enumerate() {
                let by =
                    f.causes.first().map(Cause::to_string).or_else(|| f.reasons.first().cloned()).unwrap_or_default();
                let _ = writeln!(
                    out,
                    "<tr><td><a class=\"code\" href=\"#f{n}-{m}\">{}</a></td><td>{}</td><td>{}</td><td>{}</td></tr>",
                    escape(&f.name),
                    status(&f.status),
                    escape(&unit.source),
                    escape(&by)
                );
            }
        }
        out.push_str("</tbody>\n</table>\n");
    }

    fn fixes(&self, out: &mut String) {
        if self.fixes.is_empty() {
            return;
        }
        out.push_str(if self.fixes.len() == 1 { "<h2>The fix</h2>\n" } else { "<h2>The fixes</h2>\n" });
        for FixText { fix, text } in &self.fixes {
            let open = if text.lines().count() <= 80 { " open" } else { "" };
            let _ = writeln!(
                out,
                "<details{open}><summary><b>{}</b> ({}){}</summary>\n<div class=\"scroll\"><pre class=\"patch\">",
                escape(&fix.title),
                escape(&fix.file),
                fix.missing().map_or(String::new(), |missing| format!(": {}", escape(&missing)))
            );
            let mut in_hunk = false;
            text.lines().for_each(|line| {
                in_hunk = match line.as_bytes().first() {
                    Some(b'@') => true,
                    Some(b'+' | b' ') => in_hunk,
                    Some(b'-') => in_hunk && !line.starts_with("--- ") && line != "-- ",
                    _ => false,
                };
                let class = match line.as_bytes().first() {
                    Some(b'@') => " class=\"hunk\"",
                    Some(b'+') if in_hunk => " class=\"plus\"",
                    Some(b'-') if in_hunk => " class=\"minus\"",
                    _ => "",
                };
                let shown = if line.is_empty() { " ".into() } else { escape(line) };
                let _ = write!(out, "<span{class}>{shown}</span>");
            });
            out.push_str("</pre></div></details>\n");
        }
    }

    fn unit(&self, out: &mut String, n: usize, unit: &Unit) {
        let object = if unit.object.is_empty() { String::new() } else { format!(" ({})", unit.object) };
        let _ = writeln!(out, "<h2>{}<span class=\"faint\">{}</span></h2>", escape(&unit.source), escape(&object));
        if let Some((proven, total)) = unit.proven {
            let _ = writeln!(
                out,
                "<p class=\"faint\">{proven} of the {total} functions of this file, compiled without the fix, match the shipped kernel byte for byte.</p>"
            );
        }
        for (m, f) in unit.functions.iter().enumerate() {
            let _ = writeln!(
                out,
                "<section class=\"card\" id=\"f{n}-{m}\">\n<header><h3>{}</h3>{}",
                escape(&f.name),
                status(&f.status)
            );
            if let Some(at) = &f.proven_at {
                let _ = writeln!(out, "<span class=\"badge proven\">proven at {}</span>", escape(at));
            }
            if let Some(sympos) = f.sympos.filter(|&n| n > 0) {
                let _ = writeln!(out, "<span class=\"faint\">number {sympos} of this name</span>");
            }
            out.push_str("</header>\n<ul class=\"why\">\n");
            f.causes.iter().for_each(|c| cause(out, c));
            f.reasons.iter().for_each(|r| {
                let _ = writeln!(out, "<li class=\"faint\">{}</li>", escape(r));
            });
            out.push_str("</ul>\n");
            if let Some(code) = self.code.iter().find(|c| c.source == unit.source && c.name == f.name) {
                code::sides(out, code);
            }
            out.push_str("</section>\n");
        }
        listed(out, "Data that it carries", unit.data.iter().map(String::as_str));
        let special: Vec<String> = unit.special.iter().map(|(section, n)| format!("{section}: {n}")).collect();
        listed(out, "Special section entries", special.iter().map(String::as_str));
    }
}

fn status(status: &str) -> String {
    let class = if status == "new" { "new" } else { "changed" };
    format!("<span class=\"badge {class}\">{}</span>", escape(status))
}

fn cause(out: &mut String, cause: &Cause) {
    let line = cause.line.map(|n| format!(":{n}")).unwrap_or_default();
    let through = match (cause.kind.as_str(), &cause.through) {
        ("macro", Some(through)) => format!(" <span class=\"faint\">through macro {}</span>", escape(through)),
        (_, Some(through)) => format!(" <span class=\"faint\">in {}, inlined here</span>", escape(through)),
        (_, None) => String::new(),
    };
    let class = match cause.kind.as_str() {
        "line" => "plus",
        "removed-line" => "minus",
        _ => "",
    };
    let _ = match cause.file.is_empty() {
        true => writeln!(out, "<li>{}</li>", escape(&cause.text)),
        false => writeln!(
            out,
            "<li><span class=\"place\">{}{line}</span><code class=\"{class}\">{}</code>{through}</li>",
            escape(&cause.file),
            escape(&cause.text)
        ),
    };
}

fn refused(out: &mut String, refusals: &[Refusal]) {
    out.push_str("<h2>Why it was refused</h2>\n");
    for r in refusals {
        let name = if r.symbol.is_empty() { &r.section } else { &r.symbol };
        let _ = writeln!(
            out,
            "<section class=\"card\">\n<header><h3>{}</h3><span class=\"badge refusal\">{}</span>",
            escape(name),
            escape(&r.code)
        );
        if !r.symbol.is_empty() && !r.section.is_empty() {
            let _ = writeln!(out, "<span class=\"faint\">{}</span>", escape(&r.section));
        }
        let _ = writeln!(out, "</header>\n<p class=\"reason\">{}</p>", escape(&r.reason));
        if !r.hint.is_empty() {
            let _ = writeln!(out, "<p class=\"hint\"><b>What you can do:</b> {}</p>", escape(&r.hint));
        }
        out.push_str("</section>\n");
    }
}

fn references(out: &mut String, manifest: &Manifest) {
    if let Some(audit) = &manifest.audit {
        let _ = writeln!(
            out,
            "<p class=\"faint\">The finished module was read again: {audit}. It holds {} of the patched files byte for byte, and {}.</p>",
            counted(audit.functions, "function", "functions"),
            counted(audit.entries, "entry of special sections", "entries of special sections")
        );
    }
    out.push_str("<h2>What it refers to</h2>\n");
    if !manifest.livepatch_symbols.is_empty() {
        let _ = writeln!(
            out,
            "<details open><summary>{}, to these symbols</summary>\n<table class=\"list\"><thead><tr><th>symbol</th><th>object</th><th>position</th></tr></thead><tbody>",
            match manifest.livepatch_relocations {
                1 => "One livepatch relocation".into(),
                n => format!("{n} livepatch relocations"),
            }
        );
        for s in &manifest.livepatch_symbols {
            let _ = writeln!(
                out,
                "<tr><td class=\"code\">{}</td><td>{}</td><td>{}</td></tr>",
                escape(&s.symbol.name),
                escape(s.symbol.object.as_deref().unwrap_or("vmlinux")),
                if s.symbol.sympos == 0 { "the only one".into() } else { format!("number {}", s.symbol.sympos) }
            );
        }
        out.push_str("</tbody></table></details>\n");
    }
    listed(out, "Exported symbols", manifest.exports.iter().map(String::as_str));
    if !manifest.notes.is_empty() {
        out.push_str("<h2>Notes</h2>\n<ul>\n");
        manifest.notes.iter().for_each(|note| {
            let _ = writeln!(out, "<li>{}</li>", escape(note));
        });
        out.push_str("</ul>\n");
    }
    out.push_str("<h2>Made with</h2>\n<dl>\n");
    manifest.tools.iter().for_each(|(tool, version)| {
        let _ = writeln!(out, "<dt>{}</dt><dd>{}</dd>", escape(tool), escape(version));
    });
    out.push_str("</dl>\n");
}

fn listed<'a>(out: &mut String, title: &str, items: impl Iterator<Item = &'a str>) {
    let items: Vec<String> = items.map(|i| format!("<code>{}</code>", escape(i))).collect();
    if !items.is_empty() {
        let _ = writeln!(out, "<p>{title}: {}</p>", items.join(", "));
    }
}

fn counted(n: usize, one: &str, many: &str) -> String {
    format!("{n} {}", if n == 1 { one } else { many })
}

#[cfg(test)]
mod tests;
