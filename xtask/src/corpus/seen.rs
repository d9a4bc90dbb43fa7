// SPDX-License-Identifier: GPL-2.0-or-later
//! Which units may include a header: the builder's own index in, answers out, each kept.

use kmend_builder::source::includes::Includers;
use std::collections::{HashMap, HashSet};
use std::sync::{Mutex, PoisonError};

/// What is known of who includes what.
pub struct Seen<'a> {
    includers: Includers<'a>,
    /// By header, what includes it.
    known: Mutex<HashMap<String, HashSet<String>>>,
}

impl<'a> Seen<'a> {
    /// Asks the index of a tree, which is made ready once.
    pub fn new(includers: Includers<'a>) -> Self {
        Self { includers, known: Mutex::default() }
    }

    /// How many files may include `header`, which need not be there yet; None where `unit` does not.
    pub fn width(&self, header: &str, unit: &str) -> Option<usize> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if !known.contains_key(header) {
            known.insert(header.into(), self.includers.closure(header).into_iter().collect());
        }
        known.get(header).filter(|all| all.contains(unit)).map(HashSet::len)
    }
}
