// SPDX-License-Identifier: GPL-2.0-or-later
//! kmend-build names: the targets, one name per line, for the shells' completions.

use crate::target::store;
use anyhow::Result;
use kmend_shared::text::is_plain;

/// Runs `kmend-build names`. Broken targets are left out; `target list` reports them.
pub fn run() -> Result<()> {
    let (targets, _) = store::list()?;
    for target in targets.iter().filter(|t| is_harmless(&t.name)) {
        println!("{}", target.name);
    }
    Ok(())
}

/// Whether a shell takes the name of a target as it is.
fn is_harmless(name: &str) -> bool {
    is_plain(name, "-_.:/+~")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_a_shell_would_expand_are_left_out() {
        assert!(is_harmless("debian:forky/7.2.12+deb14-amd64"));
        for name in ["$(reboot)", "`reboot`", "a b", "a\nb", "a*", "ä", "a;b"] {
            assert!(!is_harmless(name), "{name}");
        }
    }
}
