// SPDX-License-Identifier: GPL-2.0-or-later
//! Which units may include a header: the builder's own index in, answers out, each kept.

use anyhow::Result;
use kmend_builder::source::includes::{index, Index};
use kmend_builder::target::Target;
use std::collections::{HashMap, HashSet};
use std::sync::{Mutex, PoisonError};

/// What is known of who includes what.
pub struct Seen {
    index: Index,
    /// By header, what includes it.
    known: Mutex<HashMap<String, HashSet<String>>>,
}

impl Seen {
    /// Reads the index of the target's tree.
    pub fn of(target: &Target) -> Result<Self> {
        Ok(Self { index: index(target)?, known: Mutex::default() })
    }

    /// Whether `unit` may include `header`, which need not be there yet.
    pub fn sees(&self, header: &str, unit: &str) -> bool {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if !known.contains_key(header) {
            known.insert(header.into(), self.index.includers().closure(header).into_iter().collect());
        }
        known.get(header).is_some_and(|all| all.contains(unit))
    }
}
