// SPDX-License-Identifier: GPL-2.0-or-later
//! The page of a build: the request and the outcome in, a [`Page`] out.

use super::{units, End, FixText, Page};
use crate::pipeline::{Outcome, Request, Seen};
use crate::source::{mails, title, Fix};
use crate::target::Target;
use std::path::Path;

/// The page of a build that ended with `end`; `outcome` is the module, where there is one.
pub fn of_build<'a>(
    target: &Target,
    request: &Request,
    end: End<'a>,
    outcome: Option<&Outcome>,
    seen: &'a Seen,
) -> Page<'a> {
    Page {
        name: request.name.clone(),
        facts: facts(target, outcome),
        fixes: request.fixes.iter().flat_map(|path| fixes(path, &seen.fixes)).collect(),
        units: units(&seen.units),
        code: &seen.code,
        end,
    }
}

fn facts(target: &Target, outcome: Option<&Outcome>) -> Vec<(&'static str, String)> {
    let mut facts = vec![
        ("target", target.name.clone()),
        ("kernel", [target.release.as_str(), &target.version].join(" ").trim().to_string()),
        ("build id", target.build_id.clone()),
        ("compiler", target.cc.clone()),
    ];
    if let Some(outcome) = outcome {
        let m = &outcome.manifest;
        let replaces =
            if m.replace { "all older live patches (atomic replace)" } else { "none: older live patches stay active" };
        facts.push(("module", format!("{}.ko, {} bytes", m.name, outcome.module.len())));
        facts.push(("SHA-256", m.module_sha256.clone().unwrap_or_default()));
        facts.push(("replaces", replaces.into()));
    }
    facts
}

/// The fixes of a patch file with their text; a file that cannot be read any more has none. `told` are the fixes as far as
/// the build has seen what they do.
fn fixes(path: &Path, told: &[Fix]) -> Vec<FixText> {
    let bytes = std::fs::read(path).unwrap_or_default();
    let file = path.file_name().map_or_else(|| path.display().to_string(), |n| n.to_string_lossy().into_owned());
    let mails = mails::split(&bytes);
    let many = mails.len() > 1;
    let text = |(n, mail): (usize, mails::Mail)| {
        let bytes = &bytes[mail.bytes];
        let commit = many.then_some(n + 1);
        let known = told.iter().find(|f| f.file == file && f.commit == commit).cloned();
        let title = title::title(bytes).unwrap_or_else(|| file.clone());
        let fix = known.unwrap_or_else(|| Fix { file: file.clone(), commit, title, ..Fix::default() });
        FixText { fix, text: String::from_utf8_lossy(bytes).into_owned() }
    };
    mails.into_iter().enumerate().map(text).collect()
}
