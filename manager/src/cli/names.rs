// SPDX-License-Identifier: GPL-2.0-or-later
//! kmend names: loaded and installed live patches, a name a line. The shells' completions ask for it.

use crate::host::{livepatch, store};
use crate::Run;
use anyhow::Result;
use kmend_shared::text::is_plain;
use std::collections::BTreeSet;

/// Runs the command.
pub fn run(run: &Run<'_>) -> Result<()> {
    let mut names: BTreeSet<String> = livepatch::all(run.host)?.into_iter().map(|patch| patch.name).collect();
    for release in store::releases(run.host)? {
        names.extend(store::installed(run.host, &release)?.into_iter().map(|installed| installed.name));
    }
    names.iter().filter(|name| is_harmless(name)).for_each(|name| run.say.line(name));
    Ok(())
}

/// Whether a shell takes the name of a live patch as it is. Whoever can put a file beside the live patches chooses it.
fn is_harmless(name: &str) -> bool {
    is_plain(name, "-_.")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_a_shell_would_expand_are_left_out() {
        assert!(is_harmless("kpatch_5_14_0-1.2"));
        for name in ["$(reboot)", "`reboot`", "a b", "a\nb", "a*", "a;b", "a/b"] {
            assert!(!is_harmless(name), "{name}");
        }
    }
}
