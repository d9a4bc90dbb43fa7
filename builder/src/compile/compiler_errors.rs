// SPDX-License-Identifier: GPL-2.0-or-later
//! Errors of the compiler: its output in, an error or a refusal for the author out.

use super::{CompilerSays, Unit, Variant};
use crate::error::{Refusal, Refused};
use crate::source::fixed::Fixed;
use crate::source::PatchedTree;
use crate::target::Target;
use anyhow::anyhow;

/// The error that a person gets; `tree` has the fixes that were compiled, where there were any.
pub fn explain(
    error: anyhow::Error,
    target: &Target,
    tree: Option<&PatchedTree>,
    unit: &Unit,
    variant: Variant,
) -> anyhow::Error {
    let Some(CompilerSays(words)) = error.downcast_ref() else { return error };
    let words = &match tree.filter(|_| variant.is_patched()) {
        Some(tree) => of_the_fix(words, target, tree),
        None => words.clone(),
    };
    let shown: String = words.lines().take(40).map(|l| format!("\n    {l}")).collect();
    if let Some(why) = not_about_the_source(words) {
        return anyhow!("the compiler failed on {}: {why}. It says:{shown}", unit.source);
    }
    if variant.is_patched() {
        let titles = tree.map(PatchedTree::titles).unwrap_or_default();
        let reason = format!(
            "with the fix ({titles}) this file does not compile for {}. The compiler says:{shown}",
            target.release
        );
        let hint = "use the backport of the fix to this kernel's series";
        return Refused(vec![Refusal::new("does-not-compile", "", &unit.source, reason, hint)]).into();
    }
    anyhow!(
        "the target {} is broken: its own {} does not compile without any fix. Make the target anew \
         (`kmend-build target remove`, then `target add`). The compiler says:{shown}",
        target.name,
        unit.source
    )
}

/// What the compiler says about patched sources, with the lines that the author has.
pub fn of_the_fix(words: &str, target: &Target, tree: &PatchedTree) -> String {
    with_lines_of_the_fix(words, &Fixed::of(tree, &target.tree_inside))
}

/// Why a compiler failed, where that has nothing to do with what it was given to read.
pub(super) fn not_about_the_source(words: &str) -> Option<String> {
    let has = |part: &str| words.contains(part);
    if has("No space left on device") {
        let here = std::env::temp_dir();
        return Some(format!("the disk is full; free space in {}, or set TMPDIR to another folder", here.display()));
    }
    if has("Cannot allocate memory") || has("out of memory") || has("memory exhausted") || has("Killed signal") {
        return Some("it ran out of memory, or was killed; free some memory and try again".into());
    }
    if has("internal compiler error") {
        return Some("this is a fault of the compiler".into());
    }
    // Whoever finds fault with a source says "error:"; the sandbox and the loader do not.
    let finds_fault = ["error:", "Error:", "undefined reference"].iter().any(|w| has(w));
    (!finds_fault).then(|| "it could not be started".into())
}

/// The compiler counts lines by kmend's `#line` directives, and shows what stands at that number in the file with these.
/// Here are the numbers and lines of the file as the fix leaves it, wherever a fix touches the file.
fn with_lines_of_the_fix(words: &str, fixed: &Fixed) -> String {
    let mut out = String::new();
    let mut function = "";
    let mut is_touched = false;
    for line in words.lines() {
        if is_excerpt(line) && is_touched {
            continue;
        }
        if let Some((_, name)) = line.split_once(": In function '") {
            function = name.trim_end_matches("':");
        } else if line.ends_with(": At top level:") {
            function = "";
        }
        let place = place(line);
        let text = place.and_then(|(file, number, _)| Some((fixed.text(file, true)?.1, number)));
        is_touched = text.is_some() || is_excerpt(line) && is_touched;
        match (place, text.and_then(|(text, number)| text.line(number, function))) {
            (Some((file, _, rest)), Some(real)) => {
                out += &format!("{file}:{}:{rest}\n {:>4} | {}\n", real.number, real.number, real.text);
            }
            _ => out += &format!("{line}\n"),
        }
    }
    out
}

/// File, line and the rest of `file:line:column: words`.
fn place(line: &str) -> Option<(&str, u32, &str)> {
    let (file, rest) = line.split_once(':')?;
    let (number, rest) = rest.split_once(':')?;
    Some((file, number.parse().ok()?, rest))
}

/// `  363 | text`, `      |   ^~~~`.
fn is_excerpt(line: &str) -> bool {
    let rest = line.trim_start().trim_start_matches(|c: char| c.is_ascii_digit());
    line.starts_with(' ') && rest.trim_start().starts_with('|')
}
