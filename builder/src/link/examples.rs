// SPDX-License-Identifier: GPL-2.0-or-later
//! The examples in the documentation of kmod/ in, one function that runs them out: they are compiled and run like other code.

use std::fmt::Write;

/// The files of kmod/ that have examples.
const FILES: [&str; 4] = [
    include_str!("../../../kmod/livepatch.rs"),
    include_str!("../../../kmod/livepatch/callbacks.rs"),
    include_str!("../../../kmod/livepatch/shadow.rs"),
    include_str!("../../../kmod/livepatch/state.rs"),
];

/// A function `examples() -> Result<usize>` that runs them all and returns how many there are; `home` is the crate that has
/// `livepatch`. It needs what `kernel::prelude` has. Those that are marked `ignore` are left out.
pub fn function(home: &str) -> String {
    let all: Vec<String> = FILES.iter().flat_map(|text| of(text)).collect();
    let mut out = String::from("fn examples() -> Result<usize> {\n");
    for (n, example) in all.iter().enumerate() {
        let end = if example.ends_with("Ok::<(), Error>(())\n") { "" } else { "    Ok(())\n" };
        let example = example.replace("kernel::livepatch::", &format!("{home}::livepatch::"));
        let _ = write!(out, "fn example_{n}() -> Result {{\n{example}{end}}}\nexample_{n}()?;\n");
    }
    let _ = writeln!(out, "Ok({})\n}}", all.len());
    out
}

/// The examples of one file, with their hidden lines.
fn of(text: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut here: Option<String> = None;
    let mut in_other = false;
    for line in text.lines().map(str::trim_start) {
        let Some(line) = line.strip_prefix("///") else { continue };
        let line = line.strip_prefix(' ').unwrap_or(line);
        match (line.strip_prefix("```"), here.as_mut()) {
            (Some(_), Some(_)) => found.extend(here.take()),
            (Some(_), None) if in_other => in_other = false,
            (Some(""), None) => here = Some(String::new()),
            (Some(_), None) => in_other = true,
            (None, Some(code)) => {
                *code += line.strip_prefix("# ").unwrap_or(line);
                code.push('\n');
            }
            (None, None) => {}
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn examples_are_found() {
        let text = "/// # Examples\n///\n/// ```\n/// let a = 1;\n/// # #[x] y();\n/// ```\n/// text\n    /// ```ignore\n    /// no\n    /// ```\n/// ```\n/// b\n/// ```\n";
        assert_eq!(of(text), ["let a = 1;\n#[x] y();\n", "b\n"]);
        // One each for functions, callbacks, shadow variables and states.
        let function = function("crate");
        assert!(function.contains("\nOk(4)\n}\n") && function.contains("use crate::livepatch::Shadow;"), "{function}");
    }
}
