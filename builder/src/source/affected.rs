// SPDX-License-Identifier: GPL-2.0-or-later
//! Stage affected: touched files in, the translation units that they reach and the target's config builds out.
//!
//! What a fix changes and a live patch cannot carry is refused by name; what does not belong to this kernel is
//! left out with a note.

use super::includes::{arch_folder, includers, Includers};
use super::PatchedTree;
use crate::compile::kbuild::{self, Objects};
use crate::compile::{self, Unit};
use crate::error::{NothingChanged, Refusal, Refused};
use crate::progress;
use crate::target::Target;
use anyhow::{bail, Result};
use std::collections::{BTreeMap, BTreeSet};

/// What a fix reaches.
#[derive(Clone, Debug, Default)]
pub struct Affected {
    /// The units to compile, sorted.
    pub units: Vec<Unit>,
    /// What was left out and why, for a person and the manifest.
    pub notes: Vec<String>,
}

/// What a touched file is to a live patch.
#[derive(Debug, PartialEq, Eq)]
enum Kind {
    /// C source: its units are looked for.
    Source,
    /// No part of this kernel, with the reason.
    Ignored(String),
    /// Refusal code, reason, hint.
    Refused(&'static str, String, &'static str),
}

/// Finds the units that `tree` reaches.
pub fn units(target: &Target, tree: &PatchedTree) -> Result<Affected> {
    let mut refusals = Vec::new();
    let mut notes = Vec::new();
    let mut sources = Vec::new();
    for (path, file) in &tree.files {
        if file.original == file.patched {
            notes.push(format!("{path}: the fixes together leave it as it was"));
            continue;
        }
        match kind(path, &target.arch) {
            Kind::Source if file.original.is_none() => refusals.push(new_file(path)),
            Kind::Source => sources.push(path.as_str()),
            Kind::Ignored(why) => notes.push(format!("{path}: {why}; left out")),
            Kind::Refused(code, reason, hint) => refusals.push(Refusal::new(code, "", path, reason, hint)),
        }
    }
    if !refusals.is_empty() {
        return Err(Refused(refusals).into());
    }
    if sources.is_empty() {
        let why = notes.iter().map(|n| format!("\n  {n}")).collect::<String>();
        if tree.files.values().all(|f| f.original == f.patched) {
            return Err(NothingChanged(format!("the fixes change nothing:{why}")).into());
        }
        let hint = "hand over a fix to C code that this kernel runs";
        let reason = format!("it changes no code of this kernel:{why}");
        return Err(Refused(vec![Refusal::new("not-built", "", &tree.titles(), reason, hint)]).into());
    }
    let step = progress::step("finding the units that the fix reaches");
    let found = find(target, &sources)?;
    for (source, why) in &found.unbuilt {
        notes.push(format!("{source}: {why}; left out"));
    }
    if found.units.is_empty() && found.refusals.is_empty() {
        let refusals = found.unbuilt.iter().map(|(source, why)| not_built(target, source, why));
        return Err(Refused(refusals.collect()).into());
    }
    if !found.refusals.is_empty() {
        return Err(Refused(found.refusals).into());
    }
    let units: Vec<Unit> = found.units.into_iter().collect();
    step.done(&units.iter().map(|u| u.source.as_str()).collect::<Vec<_>>().join(", "));
    Ok(Affected { units, notes })
}

/// The units that `sources` reach, whatever may be changed in them.
///
/// # Errors
/// A file that is no C code of this kernel.
pub fn reached_by(target: &Target, sources: &[&str]) -> Result<Vec<Unit>> {
    let mut reasons = Vec::new();
    for source in sources {
        match kind(source, &target.arch) {
            Kind::Source if target.tree.join(source).is_file() => {}
            Kind::Source => reasons.push(format!("{source}: the tree of {} has no such file", target.name)),
            Kind::Ignored(why) | Kind::Refused(_, why, _) => reasons.push(format!("{source}: {why}")),
        }
    }
    if reasons.is_empty() {
        let step = progress::step("finding the units");
        let found = find(target, sources)?;
        reasons.extend(found.refusals.iter().map(|r| format!("{}: {}", r.section, r.reason)));
        reasons.extend(found.unbuilt.iter().map(|(source, why)| format!("{source}: {why}")));
        if reasons.is_empty() {
            step.done(&found.units.len().to_string());
            return Ok(found.units.into_iter().collect());
        }
    }
    bail!("not all of these files are C code of {} ({}):\n  {}", target.name, target.release, reasons.join("\n  "))
}

fn not_built(target: &Target, source: &str, why: &str) -> Refusal {
    let reason = format!("{} does not contain this file: {why}", target.release);
    let hint = "this kernel does not run that code, so it needs no live patch for it";
    Refusal::new("not-built", "", source, reason, hint)
}

fn new_file(path: &str) -> Refusal {
    let reason = "the fix adds this file, and no makefile of the target builds it".to_string();
    Refusal::new("new-file", "", path, reason, "put the new code into a file that is there already")
}

fn kind(path: &str, arch: &str) -> Kind {
    let name = path.rsplit('/').next().unwrap_or(path);
    let top = path.split('/').next().unwrap_or_default();
    let end = name.rsplit_once('.').map_or("", |(_, e)| e);
    let ignored = |why: &str| Kind::Ignored(why.into());
    let build = || {
        let reason =
            "it decides how the kernel is built or configured, and the running one is built already".to_string();
        Kind::Refused("build-file-changed", reason, "leave this file out, if the rest of the fix works without it")
    };
    match top {
        "Documentation" | "LICENSES" => return ignored("documentation"),
        "samples" | "usr" => return ignored("not a part of the running kernel"),
        "tools" if !path.starts_with("tools/objtool/") => return ignored("a program for user space"),
        "tools" | "scripts" => return build(),
        "arch" => {
            let folder = path.split('/').nth(1).unwrap_or_default();
            if path.matches('/').count() > 1 && folder != arch_folder(arch) {
                return Kind::Ignored(format!("for another architecture than {arch}"));
            }
        }
        _ => {}
    }
    if matches!(name, "MAINTAINERS" | "CREDITS" | "README" | "COPYING")
        || name.starts_with('.')
        || matches!(end, "rst" | "txt" | "md")
    {
        return ignored("documentation");
    }
    if ["Makefile", "Kbuild", "Kconfig"].iter().any(|n| name.starts_with(n)) || path.contains("/configs/") {
        return build();
    }
    match end {
        "c" => Kind::Source,
        "h" => Kind::Refused(
            "header-changed",
            "headers reach many files, and kmend cannot yet find all units that include one".into(),
            "put the change into the .c file that needs it, or leave the header out if the rest works without it",
        ),
        "S" => Kind::Refused(
            "assembler-file",
            "code written in assembler has no functions that can be replaced one by one".into(),
            "write the fix for a C function that calls it",
        ),
        "rs" => Kind::Refused(
            "rust-file",
            "the fix changes Rust code of the kernel, which kmend does not live patch yet".into(),
            "only fixes to C code can be live patched for now",
        ),
        _ => Kind::Refused(
            "unsupported-file",
            "kmend does not know what the kernel makes of this file".into(),
            "leave it out, if the rest of the fix works without it",
        ),
    }
}

/// Folders whose code is never the kernel's own, in all configurations.
const NOT_KERNEL: &[(&str, &str)] = &[
    ("arch/x86/boot/", "code that runs before the kernel"),
    ("arch/powerpc/boot/", "code that runs before the kernel"),
    ("arch/x86/realmode/rm/", "real-mode code"),
    ("arch/x86/purgatory/", "code that runs between two kernels"),
    ("arch/powerpc/purgatory/", "code that runs between two kernels"),
    ("drivers/firmware/efi/libstub/", "code that runs before the kernel"),
    ("arch/x86/entry/vdso/vdso", "code that runs in user space (vdso)"),
    ("arch/x86/entry/vdso/common/", "code that runs in user space (vdso)"),
    ("arch/powerpc/kernel/vdso/", "code that runs in user space (vdso)"),
    ("lib/vdso/", "code that runs in user space (vdso)"),
];

#[derive(Default)]
struct Found {
    units: BTreeSet<Unit>,
    /// Sources that reach no unit, and why.
    unbuilt: BTreeMap<String, String>,
    refusals: Vec<Refusal>,
}

fn find(target: &Target, sources: &[&str]) -> Result<Found> {
    let includers = includers(target)?;
    // Each touched file with all that includes it, however deep.
    let reach: BTreeMap<&str, Vec<String>> = sources.iter().map(|s| (*s, closure(s, &includers))).collect();
    let mut wanted: BTreeSet<&str> =
        reach.values().flatten().map(String::as_str).filter(|p| p.ends_with(".c")).collect();
    wanted.retain(|p| not_kernel_folder(p).is_none());
    let objects = objects_of(target, &wanted)?;
    let built: Vec<(&str, &str)> = wanted.iter().filter_map(|s| Some((*s, objects.spelling(&object(s))?))).collect();
    let new: Vec<&str> =
        built.iter().filter(|(s, _)| !kbuild::saved_file(target, &object(s)).is_file()).map(|(_, o)| *o).collect();
    if !new.is_empty() {
        if !kbuild::owns(target) {
            bail!(
                "the tree of {} has no saved commands (.cmd files) for {}: build that kernel completely, then run kmend again",
                target.name,
                new.join(" ")
            );
        }
        kbuild::make_objects(target, &new)?;
    }
    let mut found = Found::default();
    let mut outside: BTreeMap<&str, String> = BTreeMap::new();
    let mut made: BTreeMap<&str, Unit> = BTreeMap::new();
    for (source, spelled) in &built {
        let saved = compile::saved(target, &object(source))?;
        if kbuild::plain(&saved.source) != *source || saved.object != *spelled {
            bail!(
                "kbuild's saved command for {spelled} in the tree of {} is one for {} out of {}: build that object anew",
                target.name,
                saved.object,
                saved.source
            );
        }
        if let Some(why) = saved.not_kernel() {
            outside.insert(source, why.into());
            continue;
        }
        if let Some(flag) = saved.unusable_flag() {
            let reason = format!("it is compiled with {flag}; objects of link-time optimisation cannot be compared");
            found.refusals.push(Refusal::new("lto", "", source, reason, "use a kernel that is built without it"));
            continue;
        }
        let module = saved.for_module().then(|| saved.modname().unwrap_or_default().to_string());
        if module.as_deref().is_some_and(|m| m.is_empty() || m.contains(':')) {
            let reason = format!("it is part of several modules ({})", module.unwrap_or_default());
            let hint = "kmend cannot tell yet which of them is to be patched";
            found.refusals.push(Refusal::new("several-modules", "", source, reason, hint));
            continue;
        }
        made.insert(source, Unit { source: (*source).into(), object: object(source), module });
    }
    for (source, paths) in &reach {
        // Those that include it may be headers; what they reach is not known.
        for header in paths.iter().filter(|p| !p.ends_with(".c")) {
            let reason =
                format!("it is included by the header {header}, and kmend cannot yet find all units that include one");
            found.refusals.push(Refusal::new("header-changed", "", source, reason, "write the fix for another place"));
        }
        let units: Vec<Unit> = paths.iter().filter_map(|p| made.get(p.as_str()).cloned()).collect();
        let other =
            paths.iter().find_map(|p| not_kernel_folder(p).map(String::from).or(outside.get(p.as_str()).cloned()));
        match (units.is_empty(), other) {
            (false, _) => found.units.extend(units),
            (true, Some(why)) => {
                let hint = "a live patch reaches functions of the running kernel and its modules alone";
                found.refusals.push(Refusal::new("not-kernel-code", "", source, format!("this is {why}"), hint));
            }
            (true, None) => _ = found.unbuilt.insert((*source).into(), why_unbuilt(target, source)),
        }
    }
    Ok(found)
}

fn not_kernel_folder(path: &str) -> Option<&'static str> {
    NOT_KERNEL.iter().find(|(folder, _)| path.starts_with(folder)).map(|(_, why)| *why)
}

fn object(source: &str) -> String {
    format!("{}.o", source.strip_suffix(".c").unwrap_or(source))
}

/// `source` and every file that includes it, directly or through another.
fn closure(source: &str, includers: &Includers) -> Vec<String> {
    let mut all = vec![source.to_string()];
    let mut next = 0;
    while next < all.len() {
        for file in includers.get(&all[next]).into_iter().flatten() {
            if !all.contains(file) {
                all.push(file.clone());
            }
        }
        next += 1;
    }
    all
}

/// Asks kbuild about the folders of `sources`; when one is not named there, also the folders whose makefiles reach
/// into others (`../misc/x.o`).
fn objects_of(target: &Target, sources: &BTreeSet<&str>) -> Result<Objects> {
    let folder = |s: &str| s.rsplit_once('/').map_or(".", |(d, _)| d).to_string();
    let mut dirs: BTreeSet<String> = sources.iter().map(|s| folder(s)).collect();
    let objects = kbuild::ask(target, &dirs)?;
    if sources.iter().all(|s| objects.spelling(&object(s)).is_some()) {
        return Ok(objects);
    }
    let mut tops: BTreeSet<&str> = sources.iter().filter_map(|s| s.split_once('/')).map(|(top, _)| top).collect();
    let arch = format!("arch/{}", arch_folder(&target.arch));
    if tops.remove("arch") {
        tops.insert(&arch);
    }
    let before = dirs.len();
    for top in tops {
        reaching_out(target, top, &mut dirs);
    }
    if dirs.len() == before {
        return Ok(objects);
    }
    kbuild::ask(target, &dirs)
}

/// Folders below `dir` whose makefile names objects in other folders.
fn reaching_out(target: &Target, dir: &str, found: &mut BTreeSet<String>) {
    let Ok(entries) = std::fs::read_dir(target.tree.join(dir)) else { return };
    for entry in entries.flatten() {
        let Ok(name) = entry.file_name().into_string() else { continue };
        if entry.file_type().is_ok_and(|t| t.is_dir()) {
            if not_kernel_folder(&format!("{dir}/{name}/")).is_none() {
                reaching_out(target, &format!("{dir}/{name}"), found);
            }
        } else if name == "Makefile" || name == "Kbuild" {
            let text = std::fs::read_to_string(entry.path()).unwrap_or_default();
            let reaches = |l: &str| {
                l.contains("../") && !l.contains("flags") && !l.contains("FLAGS") && !l.trim_start().starts_with('#')
            };
            if text.lines().any(reaches) {
                found.insert(dir.into());
            }
        }
    }
}

/// The line of the makefile that leaves `source` out, with the option that decides it, as far as that is plain text.
fn why_unbuilt(target: &Target, source: &str) -> String {
    let config = std::fs::read_to_string(&target.config)
        .or_else(|_| std::fs::read_to_string(target.tree.join(".config")))
        .unwrap_or_default();
    let stem = object(source);
    let mut dir = source;
    let mut name = stem.rsplit('/').next().unwrap_or_default().to_string();
    // The makefile of the file's own folder names the object; those above it name the folder.
    while let Some((above, last)) = dir.rsplit_once('/') {
        if dir != source {
            name = format!("{last}/");
        }
        for makefile in ["Kbuild", "Makefile"] {
            let path = format!("{above}/{makefile}");
            let Ok(text) = std::fs::read_to_string(target.tree.join(&path)) else { continue };
            if let Some(reason) = option_off(&text, &name, &config) {
                return format!("{path}, {reason}");
            }
        }
        dir = above;
    }
    "no makefile of this configuration builds it or a file that includes it".into()
}

/// Finds the lines that name `name`, when all of them hang on options that `config` does not set.
fn option_off(makefile: &str, name: &str, config: &str) -> Option<String> {
    let is_on = |option: &str| {
        config.lines().any(|l| l.strip_prefix(option).is_some_and(|r| r.starts_with("=y") || r.starts_with("=m")))
    };
    let mut name = name.to_string();
    // At most: the object in a composite, the composite in obj-$(CONFIG_…).
    for _ in 0..2 {
        let (mut line, mut options, mut composite) = (0, Vec::new(), None);
        let mut left = (0, "");
        for (i, text) in makefile.lines().enumerate() {
            let right = match text.split_once("+=").or(text.split_once(":=")) {
                Some((name, right)) => {
                    left = (i + 1, name.trim());
                    right
                }
                None => text,
            };
            if !right.split_whitespace().any(|w| w == name) {
                continue;
            }
            match left.1.split_once("$(").and_then(|(_, o)| o.strip_suffix(')')) {
                Some(option) if is_on(option) => return None,
                Some(option) => (line, options) = (left.0, [options, vec![option]].concat()),
                None => composite = Some(left.1.strip_suffix("-y").or(left.1.strip_suffix("-objs"))?.to_string()),
            }
        }
        match composite {
            Some(whole) if options.is_empty() && whole != "obj" && whole != "lib" => name = format!("{whole}.o"),
            Some(_) => return None,
            None if options.is_empty() => return None,
            None => {
                options.dedup();
                return Some(format!("line {line}: it needs {}, which this kernel does not set", options.join(" or ")));
            }
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_of_files() {
        let code = |path: &str| match kind(path, "x86_64") {
            Kind::Source => "source".to_string(),
            Kind::Ignored(why) => why,
            Kind::Refused(code, ..) => code.into(),
        };
        assert_eq!(code("fs/proc/cmdline.c"), "source");
        assert_eq!(code("arch/x86/kernel/cpu/bugs.c"), "source");
        assert_eq!(code("arch/arm/mm/fault.c"), "for another architecture than x86_64");
        assert_eq!(code("arch/arm/include/asm/x.h"), "for another architecture than x86_64");
        assert_eq!(code("include/linux/fs.h"), "header-changed");
        assert_eq!(code("arch/x86/entry/entry_64.S"), "assembler-file");
        assert_eq!(code("rust/kernel/lib.rs"), "rust-file");
        for build in [
            "Makefile",
            "fs/Kconfig",
            "fs/Kconfig.binfmt",
            "arch/x86/configs/x.config",
            "scripts/Makefile.lib",
            "tools/objtool/check.c",
        ] {
            assert_eq!(code(build), "build-file-changed", "{build}");
        }
        assert_eq!(code("MAINTAINERS"), "documentation");
        assert_eq!(code("Documentation/Makefile"), "documentation");
        assert_eq!(code("tools/testing/selftests/x.c"), "a program for user space");
        assert_eq!(code("arch/x86/kernel/vmlinux.lds.S"), "assembler-file");
        assert_eq!(code("arch/x86/x.dts"), "unsupported-file");
    }

    #[test]
    fn closures() {
        let includers = Includers::from([
            ("a.c".into(), vec!["b.c".into(), "c.c".into()]),
            ("b.c".into(), vec!["d.h".into(), "a.c".into()]),
        ]);
        assert_eq!(closure("a.c", &includers), ["a.c", "b.c", "c.c", "d.h"]);
        assert_eq!(closure("x.c", &includers), ["x.c"]);
    }

    #[test]
    fn options_that_leave_files_out() {
        let makefile = "obj-y += on.o\nobj-$(CONFIG_A)\t+= a.o\nobj-$(CONFIG_B) += bc.o\nbc-y := b.o \\\n\tc.o\nobj-$(CONFIG_D)/\n";
        let config = "CONFIG_A=m\n# CONFIG_B is not set\n";
        let off = |name: &str| option_off(makefile, name, config);
        assert_eq!(off("a.o"), None);
        assert_eq!(off("c.o").unwrap(), "line 3: it needs CONFIG_B, which this kernel does not set");
        assert_eq!(off("bc.o").unwrap(), "line 3: it needs CONFIG_B, which this kernel does not set");
        assert_eq!(off("none.o"), None);
        assert_eq!(off("on.o"), None);
        let makefile = "obj-$(CONFIG_B) += x/\nobj-$(CONFIG_C) += x/\nobj-$(CONFIG_B) += y/\nobj-$(CONFIG_A) += y/\n";
        assert_eq!(
            option_off(makefile, "x/", config).unwrap(),
            "line 2: it needs CONFIG_B or CONFIG_C, which this kernel does not set"
        );
        assert_eq!(option_off(makefile, "y/", config), None);
    }
}
