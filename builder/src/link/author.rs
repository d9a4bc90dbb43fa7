// SPDX-License-Identifier: GPL-2.0-or-later
//! Errors in the author's hooks file: a call of rustc or kbuild in; what rustc says about that file, as a refusal, out.

use crate::error::{Refusal, Refused};
use crate::hooks::file::HooksFile;
use crate::sandbox::{tail, Sandbox, WORK};
use anyhow::{bail, Result};
use std::process::Output;

/// The file's name in the folder of the module's sources.
pub const HOOKS: &str = "hooks.rs";

/// The most lines of rustc's that are shown.
const LINES: usize = 60;

/// Runs `program` in `sandbox`.
///
/// # Errors
/// [`Refused`] where rustc has errors or warnings about the hooks file: a warning is a doubt, and a live patch with
/// doubts is none to be loaded. Any other exit code than 0.
pub fn run(sandbox: &Sandbox, program: &str, args: &[&str], hooks: Option<&HooksFile>) -> Result<Output> {
    let out = sandbox.output(program, args)?;
    if let Some(hooks) = hooks {
        let words = about_hooks(&String::from_utf8_lossy(&out.stderr), &hooks.file);
        if !words.is_empty() {
            let reason = format!("rustc rejects it:{words}");
            let hint = "correct what rustc reports; docs/authors.md shows what a hooks file can use";
            return Err(Refused(vec![Refusal::new("hooks-do-not-compile", "", &hooks.file, reason, hint)]).into());
        }
    }
    if !out.status.success() {
        bail!("{program} failed ({}):\n{}", out.status, tail(&out));
    }
    Ok(out)
}

/// Says what was tried, where that is not the author's to know.
pub fn ours(error: anyhow::Error, what: impl FnOnce() -> String) -> anyhow::Error {
    if error.is::<Refused>() {
        error
    } else {
        error.context(what())
    }
}

/// What rustc says of the hooks file, which the author knows as `file`: whole diagnostics, indented.
fn about_hooks(stderr: &str, file: &str) -> String {
    // kbuild may compile where the file is, or elsewhere.
    let (here, inside) = (format!("--> {HOOKS}:"), format!("--> {WORK}/{HOOKS}:"));
    let blocks = stderr.split("\n\n").filter(|block| block.contains(&here) || block.contains(&inside));
    let lines = blocks.flat_map(|block| {
        let starts = |line: &&str| line.starts_with("error") || line.starts_with("warning");
        block.lines().skip_while(move |line| !starts(line))
    });
    let known = format!("--> {file}:");
    lines.take(LINES).map(|line| format!("\n    {}", line.replace(&inside, &known).replace(&here, &known))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rustc_speaks_of_the_file_as_the_author_knows_it() {
        let said = "  RUSTC [M] x\nerror[E0308]: mismatched types\n --> /tmp/kmend/work/hooks.rs:7:9\n  |\n7 |  1\n  |  ^\n\n\
                    warning: unused\n --> /tmp/kmend/work/livepatch.rs:1:1\n\nerror: aborting\n\nmake: *** [x] Error 1\n";
        assert_eq!(
            about_hooks(said, "fix-hooks.rs"),
            "\n    error[E0308]: mismatched types\n     --> fix-hooks.rs:7:9\n      |\n    7 |  1\n      |  ^"
        );
        let warning = "warning: unused import: `x`\n --> hooks.rs:1:5\n\nwarning: 1 warning emitted\n\n";
        assert_eq!(about_hooks(warning, "a.rs"), "\n    warning: unused import: `x`\n     --> a.rs:1:5");
        assert_eq!(about_hooks("error: out of disk\n\nmake: Error 1\n", "fix-hooks.rs"), "");
    }
}
