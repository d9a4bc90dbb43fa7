// SPDX-License-Identifier: GPL-2.0-or-later
//! How a module tells livepatch what it patches: names of symbols and the lists of functions, as the kernel reads them.

pub mod functions;

use crate::elf::{Object, SecId};
use serde::Serialize;

/// What a livepatch symbol's name says: `.klp.sym.<object>.<name>,<sympos>`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KlpName {
    /// `vmlinux` or a module's name.
    pub object: String,
    /// The symbol there.
    pub name: String,
    /// Its position among its namesakes.
    pub sympos: u64,
}

impl KlpName {
    /// Parses the name as the kernel does (kernel/livepatch/core.c, klp_resolve_symbols: `%55[^.].%511[^,],%lu`); None
    /// where it is not well formed.
    pub fn parse(text: &str) -> Option<Self> {
        let (object, rest) = text.strip_prefix(".klp.sym.")?.split_once('.')?;
        let (name, sympos) = rest.split_once(',')?;
        let ok = is_object_name(object) && !name.is_empty() && name.len() < LONGEST_SYMBOL;
        let digits = !sympos.is_empty() && sympos.bytes().all(|b| b.is_ascii_digit());
        (ok && digits).then_some(Self { object: object.into(), name: name.into(), sympos: sympos.parse().ok()? })
    }
}

/// The kernel's KSYM_NAME_LEN, its end included.
const LONGEST_SYMBOL: usize = 512;

/// `vmlinux` or what can be a module's name (MODULE_NAME_LEN).
pub(crate) fn is_object_name(name: &str) -> bool {
    !name.is_empty() && name.len() < 56 && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
}

/// What made a live patch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub enum Maker {
    /// kmend-build: its note is there.
    #[serde(rename = "kmend-build")]
    Kmend,
    /// kpatch-build: section .kpatch.funcs.
    #[serde(rename = "kpatch-build")]
    Kpatch,
    /// The kernel's own klp-build: section .init.klp_objects.
    #[serde(rename = "klp-build")]
    KlpBuild,
    /// A C source with klp_patch, klp_object and klp_func of its own.
    #[serde(rename = "C source")]
    CSource,
}

/// One klp object.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Patched {
    /// `vmlinux` or a module.
    pub name: String,
    /// The functions replaced in it.
    pub functions: Vec<Function>,
}

/// One replaced function.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Function {
    /// Its name in the running kernel.
    pub name: String,
    /// Its position among its namesakes; 0 where the name alone identifies it.
    pub sympos: u64,
}

/// The zero-terminated name of printable characters at a place of `object`; None where there is none.
fn name_at(object: &Object, section: SecId, at: u64) -> Option<String> {
    let rest = object.sections.get(section)?.data.get(usize::try_from(at).ok()?..)?;
    // KSYM_NAME_LEN of include/linux/kallsyms.h.
    let text = &rest[..rest.iter().take(512).position(|&b| b == 0)?];
    let printable = !text.is_empty() && text.iter().all(u8::is_ascii_graphic);
    printable.then(|| String::from_utf8_lossy(text).into_owned())
}
