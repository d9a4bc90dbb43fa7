// SPDX-License-Identifier: GPL-2.0-or-later
//! Cuts real upstream fixes out of the difference of two source packages: a `cut.toml` in, a patch out.

use crate::scenario::Scenario;
use kmend_builder::target::Target;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Cuts for all scenarios that have a `cut.toml`.
pub fn cut_all(_scenarios: &[Scenario], _target: &Target, _out: &Path) -> BTreeMap<String, Result<PathBuf, String>> {
    BTreeMap::new()
}
