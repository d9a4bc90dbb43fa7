// SPDX-License-Identifier: GPL-2.0-or-later
//! The outcome of a build, as plain data, and what was observed while building. stream/result.rs has the form in which
//! a result comes back from another machine.

use crate::explain::FunctionCode;
use crate::manifest::{Manifest, UnitFacts};
use crate::source::Fix;
use anyhow::{Context, Result};

/// What came out.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// NAME.ko
    pub module: Vec<u8>,
    /// NAME.rs
    pub source: String,
    /// NAME.json
    pub manifest: Manifest,
}

impl Outcome {
    /// The endings and contents of its files.
    ///
    /// # Errors
    /// A manifest that JSON cannot hold.
    pub fn files(&self) -> Result<[(&'static str, Vec<u8>); 3]> {
        let json = serde_json::to_string_pretty(&self.manifest).context("the manifest")? + "\n";
        Ok([("rs", self.source.clone().into_bytes()), ("json", json.into_bytes()), ("ko", self.module.clone())])
    }
}

/// What a build saw on its way, whatever came of it in the end.
#[derive(Clone, Debug, Default)]
pub struct Seen {
    /// The fixes. What each of them does to the kernel is said of a build that was finished or that found nothing to do.
    pub fixes: Vec<Fix>,
    /// The units with their changes. Of a build that was refused, nothing is said of proofs and positions.
    pub units: Vec<UnitFacts>,
    /// The code of all changed functions, before and after.
    pub code: Vec<FunctionCode>,
}
