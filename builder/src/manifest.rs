// SPDX-License-Identifier: GPL-2.0-or-later
//! The manifest: what a live patch is for, what is in it and how it came about. docs/manifest.md has the schema.

use crate::resolve::KlpSymbol;
use crate::source::Fix;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Version of the schema; it grows when a field changes its meaning or goes away.
pub const SCHEMA: u32 = 1;

/// The manifest of one live patch.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Manifest {
    /// [`SCHEMA`].
    pub schema: u32,
    /// Module name.
    pub name: String,
    /// SHA-256 of the .ko.
    pub module_sha256: String,
    /// It takes the place of all older live patches.
    pub replace: bool,
    /// The kernel it is for.
    pub target: TargetFacts,
    /// The fixes in order.
    pub fixes: Vec<Fix>,
    /// What was compiled, and what changed there.
    pub units: Vec<UnitFacts>,
    /// Livepatch relocations by klp object and symbol.
    pub livepatch_symbols: Vec<KlpSymbol>,
    /// How many livepatch relocations the module has.
    pub livepatch_relocations: usize,
    /// Exported symbols that it uses.
    pub exports: Vec<String>,
    /// Remarks on the way: parts of the fixes that do not concern this kernel, hunks found elsewhere.
    pub notes: Vec<String>,
    /// Tools and their versions.
    pub tools: BTreeMap<String, String>,
}

/// The kernel a live patch is for.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct TargetFacts {
    /// Name of the target.
    pub name: String,
    /// `uname -m`.
    pub arch: String,
    /// `uname -r`.
    pub release: String,
    /// The distribution's package version.
    pub version: String,
    /// The kernel's GNU build id, hexadecimal.
    pub build_id: String,
}

/// One translation unit.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct UnitFacts {
    /// Source file.
    pub source: String,
    /// klp object: `vmlinux` or a module.
    pub object: String,
    /// Functions that are replaced or new.
    pub functions: Vec<FunctionFacts>,
    /// Data that the live patch brings along.
    pub data: Vec<String>,
    /// Special section entries that it brings along, by section.
    pub special_sections: BTreeMap<String, usize>,
    /// Functions of the unit that stand in the shipped kernel byte for byte, references included.
    pub proven: usize,
    /// Functions of the unit.
    pub functions_total: usize,
}

/// One function of a live patch.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct FunctionFacts {
    /// Its name; for a replaced one that in the running kernel.
    pub name: String,
    /// `changed` or `new`.
    pub status: String,
    /// Its position among its namesakes; 0 where it is unique. Replaced functions only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sympos: Option<u64>,
    /// Where it stands in the shipped kernel: an address as linked, or section+offset of the module.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub proven_at: Option<String>,
    /// Why it is in.
    pub reasons: Vec<String>,
}
