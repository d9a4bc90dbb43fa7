// SPDX-License-Identifier: GPL-2.0-or-later
//! Loads some of the modules that came out into one guest: records in, one verdict per module out.

use super::record::{Outcome, Record, Store};
use anyhow::Result;
use kmend_builder::guest::End;
use kmend_builder::target::modules;
use kmend_builder::target::Target;
use qemu_tests::judge::Verdict;
use qemu_tests::loads::{self, Patch};

/// How many modules a guest loads.
pub const MANY: usize = 30;

/// Shipped modules that no guest can load: QEMU's translator has no virtualisation of its own.
pub const NOT_HERE: &[&str] = &["kvm_intel", "kvm_amd"];

/// What became of the modules that were loaded.
pub struct Loaded {
    /// Each module's fix, and what the guest reported about it.
    pub verdicts: Vec<(String, Verdict)>,
    /// How the guest ended.
    pub end: End,
}

impl Loaded {
    /// Whether all was well.
    pub fn passed(&self) -> bool {
        self.end == End::Done && self.verdicts.iter().all(|(_, v)| *v == Verdict::Pass)
    }

    /// The paragraph about it.
    pub fn text(&self) -> String {
        let good = self.verdicts.iter().filter(|(_, v)| *v == Verdict::Pass).count();
        let mut text = format!(
            "\n{} of the modules were loaded in one guest, one after the other, each with the shipped modules that it \
             patches: {good} came into force everywhere, left the kernel healthy and were reverted.\n",
            self.verdicts.len()
        );
        for (path, verdict) in &self.verdicts {
            if let Verdict::Fail(why) | Verdict::NotHere(why) = verdict {
                text += &format!("* {path}: {}\n", why.lines().map(str::trim).take(3).collect::<Vec<_>>().join(" "));
            }
        }
        text
    }
}

/// So many more are tried, for those whose shipped module finds no hardware in the guest.
const SPARE: usize = 8;

/// The guest could not load the shipped module, whatever is patched.
fn is_not_here(verdict: &Verdict) -> bool {
    matches!(verdict, Verdict::Fail(why) if why.contains("(load the shipped module"))
}

/// Loads [`MANY`] of the modules of `records`, the first of them, in one guest.
pub fn load(target: &Target, records: &[Record], store: &Store) -> Result<Loaded> {
    let shipped = modules::index(target)?;
    let fits = |r: &&Record| r.outcome == Outcome::Patchable && !r.objects().iter().any(|o| NOT_HERE.contains(o));
    let chosen: Vec<&Record> = records.iter().filter(fits).take(MANY + SPARE).collect();
    let patches: Vec<Patch> = chosen
        .iter()
        .map(|r| Patch {
            name: r.module.clone(),
            file: store.module(&r.module),
            replaces: r.replaces.clone(),
            before: r.objects().into_iter().filter(|o| shipped.contains_key(*o)).map(String::from).collect(),
            after: Vec::new(),
        })
        .collect();
    let (verdicts, outcome) = loads::load_each(target, &patches)?;
    let verdicts = chosen.iter().map(|r| r.path.clone()).zip(verdicts);
    let verdicts = verdicts.filter(|(_, verdict)| !is_not_here(verdict)).take(MANY).collect();
    Ok(Loaded { verdicts, end: outcome.end })
}
