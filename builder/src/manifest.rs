// SPDX-License-Identifier: GPL-2.0-or-later
//! The manifest: what a live patch is for, what it contains and how it was built. docs/manifest.md has the schema.

use crate::audit::Shown;
use crate::diff::warnings::Warning;
use crate::elf::note::{self, Note};
use crate::elf::{Object, Section};
use crate::explain::Cause;
use crate::hooks::{Kind, State};
use crate::prove::all_units::{self, Unproven};
use crate::resolve::KlpSymbol;
use crate::source::Fix;
use anyhow::{ensure, Context, Result};
use kmend_shared::manifest::{NOTE_OWNER, NOTE_SECTION, NOTE_TYPE};
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
    /// SHA-256 of the .ko as it was built, before anybody signed it. Not in the copy inside of the module.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub module_sha256: Option<String>,
    /// It replaces all older live patches; where the kernel has sets, those of its set.
    pub replace: bool,
    /// The set that it belongs to (`klp_patch.replace_set`); None where the kernel has no sets.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replace_set: Option<u32>,
    /// The kernel it is for.
    pub target: TargetFacts,
    /// The stream that it is a version of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stream: Option<StreamFacts>,
    /// The fixes in order.
    pub fixes: Vec<Fix>,
    /// What was compiled, and what changed there.
    pub units: Vec<UnitFacts>,
    /// Livepatch relocations by klp object and symbol.
    pub livepatch_symbols: Vec<SymbolFacts>,
    /// Functions without a proof that `--allow-unproven` let through.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub allowed_unproven: Vec<Unproven>,
    /// How many livepatch relocations the module has.
    pub livepatch_relocations: usize,
    /// What the second reader has shown of the module.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub audit: Option<Shown>,
    /// What is called when it is applied and taken back.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub callbacks: Vec<CallbackFacts>,
    /// States of the system that it declares.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub states: Vec<State>,
    /// The hooks file, where there was one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hooks_file: Option<FileFacts>,
    /// Exported symbols that it uses.
    pub exports: Vec<String>,
    /// Remarks on the way: parts of the fixes that do not concern this kernel, hunks found elsewhere. What messages name
    /// is not in the copy inside of the module.
    pub notes: Vec<String>,
    /// What to expect when it is loaded.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<Warning>,
    /// Types whose changed layout, and variables whose changed type was let pass.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub allowed_layouts: Vec<String>,
    /// Tools and their versions.
    pub tools: BTreeMap<String, String>,
}

/// The stream of cumulative live patches that one is a version of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StreamFacts {
    /// The stream's name.
    pub name: String,
    /// Version and release of this live patch, `1-2`.
    pub version: String,
    /// Its day, YYYY-MM-DD.
    pub date: String,
    /// The last day on which its kernel gets live patches, YYYY-MM-DD.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub supported_until: Option<String>,
    /// The kernel's level of fixes with this live patch: a kernel's version.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub level: Option<String>,
    /// CVEs that the kernel itself has fixed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub fixed_by_kernel: Vec<String>,
    /// CVEs that take a new kernel and a reboot.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub not_carried: Vec<NotCarried>,
}

/// A CVE that is known and not in a live patch.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NotCarried {
    /// The CVE.
    pub cve: String,
    /// Why.
    pub reason: String,
}

/// One callback.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct CallbackFacts {
    /// klp object: `vmlinux` or a module.
    pub object: String,
    /// When it is called.
    pub kind: Kind,
    /// The C function, or the Rust type and its method.
    pub function: String,
    /// The file that it is in.
    pub source: String,
}

/// A file that was handed in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileFacts {
    /// Its name, without folders.
    pub file: String,
    /// SHA-256 of the file.
    pub sha256: String,
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
    /// Functions of the unit that are in the shipped kernel byte for byte, references included.
    pub proven: usize,
    /// Functions of the unit.
    pub functions_total: usize,
}

/// A symbol that livepatch resolves.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SymbolFacts {
    /// The symbol.
    #[serde(flatten)]
    pub symbol: KlpSymbol,
    /// How it was shown to be what the patched code means.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shown_by: Option<all_units::Shown>,
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
    /// Where it is in the shipped kernel: an address as linked, or section+offset of the module.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub proven_at: Option<String>,
    /// What differs in its code.
    pub reasons: Vec<String>,
    /// The lines of the fix that brought the change, as far as line tables tell.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub causes: Vec<Cause>,
}

impl Manifest {
    /// The section that carries this manifest inside of its module.
    pub fn to_section(&self) -> Result<Section> {
        let mut inside = Self { module_sha256: None, ..self.clone() };
        // What a mail says around the hunks is no change of the module.
        inside.fixes.iter_mut().for_each(|fix| fix.sha256.clear());
        let json = serde_json::to_vec(&inside).context("the manifest")?;
        Ok(note::section(NOTE_SECTION, &Note { owner: NOTE_OWNER, kind: NOTE_TYPE, desc: &json }))
    }

    /// The manifest inside of a module; None where it has none.
    ///
    /// # Errors
    /// A note of kmend's that is malformed or of a newer schema.
    pub fn of_module(object: &Object) -> Result<Option<Self>> {
        let found = note::notes(object).find(|n| n.owner == NOTE_OWNER && n.kind == NOTE_TYPE);
        let Some(note) = found else {
            ensure!(object.section_by_name(NOTE_SECTION).is_none(), "section {NOTE_SECTION} contains no kmend note");
            return Ok(None);
        };
        let value: serde_json::Value =
            serde_json::from_slice(note.desc).with_context(|| format!("section {NOTE_SECTION}"))?;
        let schema = value.get("schema").and_then(serde_json::Value::as_u64);
        ensure!(
            schema == Some(SCHEMA.into()),
            "section {NOTE_SECTION}: schema {} of the manifest is unknown; this kmend-build knows {SCHEMA}",
            schema.map_or("?".into(), |s| s.to_string())
        );
        serde_json::from_value(value).map(Some).with_context(|| format!("section {NOTE_SECTION}"))
    }
}
