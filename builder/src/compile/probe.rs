// SPDX-License-Identifier: GPL-2.0-or-later
//! Asks the target's own compiler and headers how long the structs of special sections are, for kernels whose image
//! carries no BTF: a unit's saved command in, sizes out.

use super::run_compiler;
use crate::files;
use crate::image::Image;
use crate::sandbox::WORK;
use crate::section_table::structs;
use crate::special::layout::Layouts;
use crate::target::kbuild::command::Saved;
use crate::target::kbuild::{saved, Unit};
use crate::target::Target;
use anyhow::{Context, Result};

/// Types that nothing uses are described too.
const FLAGS: &[&str] = &["-g", "-fno-eliminate-unused-debug-types", "-gz=none"];

/// The target's shipped image; where that has no BTF, with sizes that `unit`, any of the kernel's C units, is
/// probed for.
///
/// # Errors
/// An image that cannot be read, or headers that do not compile.
pub fn image(target: &Target, unit: Option<&Unit>) -> Result<Image> {
    let mut image = Image::load(&target.vmlinux)?;
    if let (true, Some(unit)) = (image.layouts.is_empty(), unit) {
        image.layouts = layouts(target, &saved(target, &unit.object)?)?;
    }
    Ok(image)
}

/// The sizes; `saved` is the command of any of the kernel's C units.
///
/// # Errors
/// Headers that do not compile.
fn layouts(target: &Target, saved: &Saved) -> Result<Layouts> {
    let key = files::sha256(
        [target.build_id.as_str(), &target.cc, &saved.argv.join("\0"), &source(target)].join("\0").as_bytes(),
    );
    let cached = files::cache_dir()?.join("layouts").join(&key);
    if let Ok(known) = files::read_text(&cached).and_then(|text| Layouts::parse(text.trim())) {
        return Ok(known);
    }
    let dir = files::work_dir()?;
    files::write(&dir.path().join("probe.c"), source(target).as_bytes())?;
    let sandbox = target.sandbox().writable(dir.path(), WORK);
    let probe = Saved { source: format!("{WORK}/probe.c"), ..saved.clone() };
    let call = probe.call(&format!("{WORK}/probe.o"), &format!("{WORK}/probe.d"), FLAGS);
    run_compiler(&sandbox, &call).with_context(|| {
        format!(
            "the image of {} has no BTF, and the kernel's headers do not say how long special section entries are",
            target.name
        )
    })?;
    let layouts =
        Layouts::from_dwarf(&files::read(&dir.path().join("probe.o"))?).context("the probe's debug information")?;
    files::keep(&cached, layouts.to_string().as_bytes());
    Ok(layouts)
}

/// A source that defines them all, as far as this kernel has them.
fn source(target: &Target) -> String {
    let mut headers: Vec<&str> = structs().flat_map(|of| of.headers).copied().collect();
    // Those that all architectures share first.
    headers.sort_by_key(|header| (!header.starts_with("linux/"), *header));
    headers.dedup();
    let mut sources: Vec<(&str, &str)> = structs().filter_map(|of| of.source).collect();
    sources.dedup();
    let header = |h: &str| format!("#if __has_include(<{h}>)\n#include <{h}>\n#endif\n");
    let source =
        |(config, file): (&str, &str)| format!("#ifdef {config}\n#include \"{}/{file}\"\n#endif\n", target.tree_inside);
    headers.into_iter().map(header).chain(sources.into_iter().map(source)).collect()
}
