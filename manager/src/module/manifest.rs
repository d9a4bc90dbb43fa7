// SPDX-License-Identifier: GPL-2.0-or-later
//! The manifest that kmend-build leaves in a module: the note's section in, the fields that a host needs out.
//! docs/manifest.md has all of them; those that are not known here are passed over.

use super::cve::Cve;
use super::stream::{all_plain, plain, plain_or_none, short, Stream};
use super::{note, Fault};
use kmend_shared::manifest::{Severity, NOTE_OWNER, NOTE_SECTION, NOTE_TYPE};
use serde::{Deserialize, Serialize};

/// The section that holds it.
pub const SECTION: &str = NOTE_SECTION;
/// The version of the schema that is understood.
const SCHEMA: u64 = 1;

/// What a host needs of a manifest.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Manifest {
    /// The version of the schema: 1.
    pub schema: u64,
    /// The module's name.
    pub name: String,
    /// It takes the place of all other live patches.
    pub replace: bool,
    /// The kernel that it is for.
    pub target: Target,
    /// The fixes, in the order in which they were applied.
    pub fixes: Vec<Fix>,
    /// The stream that it is a version of; None where it was built without one.
    #[serde(default)]
    pub stream: Option<Stream>,
    /// Functions without a proof that `--allow-unproven` let through.
    #[serde(default)]
    pub allowed_unproven: Vec<Unproven>,
    /// What was compiled, and which functions of it are in the live patch.
    #[serde(default)]
    pub units: Vec<Unit>,
    /// What the kernel calls when it is applied and taken back.
    #[serde(default)]
    pub callbacks: Vec<Callback>,
    /// States of the system that it declares (`struct klp_state`).
    #[serde(default)]
    pub states: Vec<State>,
}

/// One translation unit.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Unit {
    /// The klp object that it belongs to: `vmlinux` or a module's name.
    #[serde(deserialize_with = "plain")]
    pub object: String,
    /// Its functions that are replaced or new.
    #[serde(default)]
    pub functions: Vec<Function>,
}

/// One function of a live patch.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Function {
    /// Its name.
    #[serde(deserialize_with = "plain")]
    pub name: String,
    /// `changed` where it takes the place of one of the kernel's, `new` where it does not.
    pub status: String,
    /// Its position among its namesakes in the object; 0 where the name is unique.
    pub sympos: Option<u64>,
}

/// One callback.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Callback {
    /// The klp object that it belongs to.
    #[serde(deserialize_with = "plain")]
    pub object: String,
    /// When it is called: `pre_patch`, `post_patch`, `pre_unpatch`, `post_unpatch`.
    #[serde(deserialize_with = "plain")]
    pub kind: String,
}

/// One state.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct State {
    /// Which state.
    pub id: u64,
    /// In which version.
    pub version: u32,
}

impl Manifest {
    /// The functions that it replaces: object, function.
    pub fn replaced(&self) -> impl Iterator<Item = (&str, &Function)> {
        let functions = self.units.iter().flat_map(|u| u.functions.iter().map(|f| (u.object.as_str(), f)));
        functions.filter(|(_, function)| function.status == "changed")
    }
}

/// The kernel a live patch is for.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Target {
    /// `uname -m`.
    pub arch: String,
    /// `uname -r`.
    pub release: String,
    /// The kernel's GNU build id, hexadecimal.
    pub build_id: String,
}

/// One fix; its texts are its own, or those of the note that it was read from ([`super::claims::Text`]).
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(bound(deserialize = "S: Deserialize<'de> + AsRef<str>"))]
pub struct Fix<S = String> {
    /// The patch file's name.
    pub file: S,
    /// Its subject.
    pub title: S,
    /// What it does to the kernel; None where the manifest is one of an older kmend-build, which does not tell.
    #[serde(default)]
    pub effect: Option<Effect>,
    /// Why the live patch has nothing of it; None where it has, or where that is not told.
    #[serde(default, deserialize_with = "plain_or_none")]
    pub reason: Option<S>,
    /// Vulnerabilities that it is for.
    #[serde(default, deserialize_with = "short")]
    pub cves: Vec<Cve>,
    /// How bad they are; None where the author does not say.
    #[serde(default)]
    pub severity: Option<Severity>,
    /// Tickets that it belongs to.
    #[serde(default, deserialize_with = "all_plain")]
    pub tickets: Vec<S>,
    /// The version of the stream that brought it: `1-1`.
    #[serde(default, deserialize_with = "plain_or_none")]
    pub since: Option<S>,
}

/// What a fix does to the kernel that the live patch is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Effect {
    /// The live patch replaces functions whose code the fix changes.
    Live,
    /// The kernel is built without what the fix changes.
    NotBuilt,
    /// What the fix changes compiles to the same code.
    SameCode,
    /// Later fixes take back what it changes.
    Undone,
}

impl<S: AsRef<str>> Fix<S> {
    /// Why it is not in the live patch, in words; None where it is, or where that is not told.
    pub fn missing(&self) -> Option<String> {
        let word = match self.effect? {
            Effect::Live => return None,
            Effect::NotBuilt | Effect::SameCode => "does not concern this kernel",
            Effect::Undone => "not fixed",
        };
        Some(format!("{word}: {}", self.reason()))
    }

    /// The reason that the manifest gives.
    pub fn reason(&self) -> &str {
        self.reason.as_ref().map_or("its manifest gives no reason", AsRef::as_ref)
    }
}

/// One function that was let through without a proof.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct Unproven {
    /// Its name.
    pub function: String,
    /// The klp object that has it.
    pub object: String,
}

#[derive(Deserialize)]
struct Version {
    schema: u64,
}

/// The manifest in the bytes of [`SECTION`], of a file or of /sys/module/NAME/notes/.
///
/// # Errors
/// No note of kmend's, JSON that is malformed, a newer schema.
pub fn of_section(data: &[u8]) -> Result<Manifest, Fault> {
    read(data, |manifest: &Manifest| manifest.schema)
}

/// The manifest in the bytes of [`SECTION`], as any type that has its schema's version.
pub(super) fn read<'a, T: Deserialize<'a>>(data: &'a [u8], schema: impl Fn(&T) -> u64) -> Result<T, Fault> {
    let damaged = |why: String| Fault::new(format!("section {SECTION}"), why);
    let note = note::notes(data).find(|n| n.owner == NOTE_OWNER.as_bytes() && n.kind == NOTE_TYPE);
    let note = note.ok_or_else(|| damaged("it contains no manifest written by kmend: it is damaged".into()))?;
    let malformed = |error: serde_json::Error| damaged(format!("the manifest is damaged: {error}"));
    let text = std::str::from_utf8(note.desc).map_err(|error| damaged(format!("the manifest is damaged: {error}")))?;
    let read = serde_json::from_str::<T>(text);
    // One of a newer schema may have other fields than are known here: then its version is what there is to say.
    let schema = match &read {
        Ok(read) => schema(read),
        Err(_) => serde_json::from_str::<Version>(text).map_err(malformed)?.schema,
    };
    if schema != SCHEMA {
        return Err(damaged(format!(
            "the manifest has schema {schema}, and this kmend knows {SCHEMA}: use a newer kmend"
        )));
    }
    read.map_err(malformed)
}
