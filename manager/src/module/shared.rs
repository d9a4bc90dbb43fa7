// SPDX-License-Identifier: GPL-2.0-or-later
//! Functions of a live patch that somebody else has a hand on: its manifest and the kernel's lists in, a conflict that
//! livepatch would fail at, or warnings, out. ftrace lets one user alone redirect a function
//! (Documentation/trace/ftrace-uses.rst, FTRACE_OPS_FL_IPMODIFY); livepatch is one.

use super::manifest::Manifest;
use crate::host::livepatch::{self, Function};
use crate::host::tracers::{self, Traced};
use crate::host::Host;

/// What was found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Shared {
    /// A function that somebody else redirects already: livepatch cannot.
    pub conflict: Option<String>,
    /// What is not in the way, but changes what its user sees.
    pub warnings: Vec<String>,
}

/// Looks at each function that the live patch replaces.
pub fn look(host: &Host, manifest: &Manifest) -> Shared {
    let mut found = Shared::default();
    let traced = tracers::traced(host);
    let kprobes = tracers::kprobes(host);
    if traced.is_empty() && kprobes.is_empty() {
        return found;
    }
    let patched = patched(host);
    for (object, function) in manifest.replaced() {
        let name = function.name.as_str();
        let is_patched = patched.iter().any(|p| p.object == object && p.name == name);
        let of_module = if object == "vmlinux" { String::new() } else { format!(" of module {object}") };
        for traced in traced.iter().filter(|t| t.object == object && t.function == name) {
            let by = if traced.by.is_empty() { "somebody who is not named there" } else { &traced.by };
            if traced.redirected && !is_patched {
                let what = format!("{name}{of_module} is redirected already, by {by} (flag I of enabled_functions)");
                match function.sympos {
                    Some(0) => _ = found.conflict.get_or_insert(what),
                    // The list does not say which of the namesakes it means.
                    _ => found.warnings.push(format!(
                        "{what}; whether that is the function which this live patch replaces or a namesake is not known"
                    )),
                }
            } else if others(traced, is_patched) > 0 {
                found.warnings.push(format!(
                    "{name}{of_module} is traced, by {by}: that goes on, and the live patch's code runs behind it"
                ));
            }
        }
        for probe in kprobes.iter().filter(|k| k.object == object && k.function == name && k.offset != "0x0") {
            found.warnings.push(format!(
                "a kprobe sits in {name}{of_module} at offset {}: it is not hit while the live patch is in force, as other \
                 code runs then",
                probe.offset
            ));
        }
    }
    found
}

/// Its users less livepatch.
fn others(traced: &Traced, is_patched: bool) -> u64 {
    traced.users.saturating_sub(u64::from(is_patched))
}

/// The functions that live patches in the kernel replace; none where that cannot be listed.
fn patched(host: &Host) -> Vec<Function> {
    let patches = livepatch::all(host).unwrap_or_default();
    patches.iter().flat_map(|p| livepatch::functions(host, &p.name).unwrap_or_default()).collect()
}
