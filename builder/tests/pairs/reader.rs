// SPDX-License-Identifier: GPL-2.0-or-later
//! The second reader on a pair: the objects and what was extracted of them in, what cannot be shown out.

use kmend_builder::audit::no_kernel::{roots, NoKernel};
use kmend_builder::audit::statics::{self, Statics};
use kmend_builder::audit::{audit, Shown, Unit};
use kmend_builder::elf::read::{read, Take};
use kmend_builder::elf::{restore, Object};
use kmend_builder::error::Refusal;
use kmend_builder::extract::Extract;
use kmend_builder::special::layout::Layouts;
use std::path::Path;

/// A pair as the second reader wants it.
pub struct Reader {
    original: Object,
    patched: Object,
    statics: [Statics; 2],
    layouts: Layouts,
}

impl Reader {
    /// Reads the objects; `layout` has sizes, as `--layout` takes them.
    pub fn new(original: &Path, patched: &Path, layout: Option<&str>) -> Result<Self, String> {
        let bytes = |path: &Path| std::fs::read(path).map_err(|e| format!("{}: {e}", path.display()));
        let (original, patched) = (bytes(original)?, bytes(patched)?);
        let object = |bytes: &[u8]| {
            let mut object = read(bytes, Take::NoDebug).map_err(|e| format!("{e:#}"))?;
            restore::names(&mut object);
            Ok::<_, String>(object)
        };
        let (o, p) = (object(&original)?, object(&patched)?);
        let mut layouts = layout.map(Layouts::parse).transpose().map_err(|e| format!("{e:#}"))?.unwrap_or_default();
        for bytes in [&patched, &original] {
            layouts.fill(Layouts::from_dwarf(bytes).map_err(|e| format!("{e:#}"))?);
        }
        let declared = |bytes: &[u8], object| statics::read(bytes, object).map_err(|e| format!("{e:#}"));
        let statics = [declared(&patched, &p)?, declared(&original, &o)?];
        Ok(Self { original: o, patched: p, statics, layouts })
    }

    /// Gives a section of both objects another name, and with it another kind of memory.
    #[allow(dead_code)]
    pub fn rename_section(&mut self, from: &str, to: &str) {
        for section in [&mut self.original, &mut self.patched].into_iter().flat_map(|object| &mut object.sections) {
            if section.name == from {
                section.name = to.into();
            }
        }
    }

    /// What is shown of `object`, which is what `extract` holds, or was until it was changed.
    pub fn read(&self, extract: &Extract, object: &Object) -> Result<Shown, Vec<Refusal>> {
        let unit = Unit {
            source: "",
            module: None,
            patched: &self.patched,
            original: &self.original,
            like: &self.original,
            statics: &self.statics,
        };
        let world = NoKernel { original: &self.original };
        let replaced = extract.replaced.iter().map(|r| (r.old_name.as_str(), r.symbol.as_str()));
        let roots = roots(object, replaced, &world).map_err(|why| vec![Refusal::new("roots", "", "", why, "")])?;
        audit(object, &[unit], &roots, &world, &self.layouts, false)
    }
}
