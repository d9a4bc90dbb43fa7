// SPDX-License-Identifier: GPL-2.0-or-later
//! Functions of a live patch that somebody else has a hand on: its manifest and the kernel's lists in, a conflict that
//! livepatch would fail at, or warnings, out. ftrace lets one user alone redirect a function
//! (Documentation/trace/ftrace-uses.rst, FTRACE_OPS_FL_IPMODIFY); livepatch is one.

use super::manifest::Manifest;
use crate::host::livepatch;
use crate::host::tracers::{self, Kprobe, Traced};
use crate::host::Host;
use std::collections::{HashMap, HashSet};

/// All that the kernel says of who has a hand on functions. There may be thousands of each, so that it is read once and
/// looked up by the functions' names.
#[derive(Clone, Debug, Default)]
pub struct Hands {
    traced: HashMap<String, Vec<Traced>>,
    kprobes: HashMap<String, Vec<Kprobe>>,
    /// Object and name of functions that live patches in the kernel replace.
    patched: HashSet<(String, String)>,
}

impl Hands {
    /// Reads the lists; one that cannot be read is empty.
    pub fn read(host: &Host) -> Self {
        let mut hands = Self::default();
        for traced in tracers::traced(host) {
            hands.traced.entry(traced.function.clone()).or_default().push(traced);
        }
        for kprobe in tracers::kprobes(host) {
            hands.kprobes.entry(kprobe.function.clone()).or_default().push(kprobe);
        }
        if !hands.traced.is_empty() || !hands.kprobes.is_empty() {
            let patches = livepatch::all(host).unwrap_or_default();
            let functions = patches.iter().flat_map(|p| livepatch::functions(host, &p.name).unwrap_or_default());
            hands.patched = functions.map(|function| (function.object, function.name)).collect();
        }
        hands
    }
}

/// What was found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Shared {
    /// A function that somebody else redirects already: livepatch cannot.
    pub conflict: Option<String>,
    /// What is not in the way, but changes what its user sees.
    pub warnings: Vec<String>,
}

/// Looks at each function that the live patch replaces.
pub fn look(hands: &Hands, manifest: &Manifest) -> Shared {
    let mut found = Shared::default();
    for (object, function) in manifest.replaced() {
        let name = function.name.as_str();
        let is_patched = hands.patched.contains(&(object.to_string(), name.to_string()));
        let of_module = if object == "vmlinux" { String::new() } else { format!(" of module {object}") };
        for traced in hands.traced.get(name).into_iter().flatten().filter(|t| t.object == object) {
            let by = if traced.by.is_empty() { "an unnamed user" } else { &traced.by };
            if traced.redirected && !is_patched {
                let what = format!("{name}{of_module} is already redirected by {by} (flag I of enabled_functions)");
                match function.sympos {
                    Some(0) => _ = found.conflict.get_or_insert(what),
                    // The list does not say which of the namesakes it means.
                    _ => found.warnings.push(format!(
                        "{what}; kmend cannot tell whether that is the function that this live patch replaces or another of the same name"
                    )),
                }
            } else if others(traced, is_patched) > 0 {
                found.warnings.push(format!(
                    "{name}{of_module} is traced by {by}; tracing continues, and the live patch's code runs after the tracer"
                ));
            }
        }
        let probes = hands.kprobes.get(name).into_iter().flatten();
        for probe in probes.filter(|k| k.object == object && k.offset != "0x0") {
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
