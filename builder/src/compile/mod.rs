// SPDX-License-Identifier: GPL-2.0-or-later
//! Stage compile: units and the patched files in, three objects each out, made with kbuild's own command.

pub mod cache;
mod compiler_errors;
mod contents;
pub mod named;
mod overlay;
pub mod probe;
pub mod recompile;
pub mod room;

use crate::arch::{by_name, Arch, Transplant};
use crate::files;
use crate::parallel;
use crate::progress;
use crate::sandbox::{Sandbox, WORK};
use crate::source::{skeleton, PatchedTree};
use crate::target::kbuild::command::Saved;
use crate::target::kbuild::{self, count, saved, Unit};
use crate::target::Target;
use anyhow::{anyhow, Context, Result};
use cache::{Cache, Compiled};
pub(crate) use compiler_errors::explain;
use contents::Contents;
use recompile::How;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::SystemTime;

/// The objects of one unit, as bytes of ELF relocatable files, before any objtool run.
#[derive(Clone, Debug)]
pub struct ObjectPair {
    /// The unit.
    pub unit: Unit,
    /// The original, compiled with kbuild's flags less debug information: what should be in the shipped image.
    pub shipped: Vec<u8>,
    /// The original with a section for each function and datum.
    pub original: Vec<u8>,
    /// The patched source with a section for each function and datum.
    pub patched: Vec<u8>,
    /// Both once more, compiled to run in another module, where the architecture needs that.
    pub moved: Option<MovedPair>,
    /// The files that the patched source was compiled from, as the compiler names them.
    pub inputs: Vec<String>,
}

/// Original and patched of a unit as they have to be compiled to run in another module than the kernel's source
/// puts them in ([`crate::arch::Arch::transplant`]). What changed is seen in the pair that is compiled as the kernel is;
/// this one gives the live patch its code.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MovedPair {
    /// The original.
    pub original: Vec<u8>,
    /// The patched.
    pub patched: Vec<u8>,
}

/// A section for each function and datum: they can be compared and taken out one by one.
const SECTIONS: &[&str] = &["-ffunction-sections", "-fdata-sections"];

/// Line tables and inlined functions say which line brought a change (`explain/`); that much debug information takes the
/// compiler no time that can be measured. It must stand there as it is.
const LINE_TABLES: &[&str] = &["-g1", "-gz=none"];

/// Full debug information that the object holds itself, unpacked: what types look like, and where variables are declared.
const DEBUG: &[&str] = &["-g2", "-gno-split-dwarf", "-gz=none"];

/// For patched sources, which may use macros that older kernels lack: searched last, so that a tree's own come first.
pub(crate) const OWN: &[&str] = &["-idirafter", HEADERS];

/// The headers that are laid beside the tree for patched sources: path there and text.
const OWN_HEADERS: [(&str, &str); 4] = [
    ("linux/livepatch_helpers.h", include_str!("../../../kmod/include/linux/livepatch_helpers.h")),
    ("kpatch-macros.h", include_str!("../../../kmod/include/kpatch/kpatch-macros.h")),
    ("kpatch-syscall.h", include_str!("../../../kmod/include/kpatch/kpatch-syscall.h")),
    ("kpatch.h", include_str!("../../../kmod/include/kpatch/kpatch.h")),
];

/// Where they are in the sandbox.
const HEADERS: &str = "/tmp/kmend/headers";

/// Full debug information takes a quarter of the compiler's time and nine tenths of the object, and no stage reads it.
/// gcc makes the same code without it (-fcompare-debug is its own check of that); were it not so, the proof would tell.
const NO_DEBUG: &str = "-g0";

#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Variant {
    Patched,
    Original,
    Shipped,
    ShippedWithDebug,
    MovedPatched,
    MovedOriginal,
}

impl Variant {
    fn is_patched(self) -> bool {
        matches!(self, Variant::Patched | Variant::MovedPatched)
    }
}

struct Work<'a> {
    unit: &'a Unit,
    saved: Saved,
    transplant: Option<&'static dyn Transplant>,
    /// The architecture, where jumps may have to be made longer.
    arch: Option<&'static dyn Arch>,
}

impl<'a> Work<'a> {
    fn new(target: &Target, unit: &'a Unit) -> Result<Self> {
        let saved = saved(target, &unit.object)?;
        // Assembler sources are not compiled, so there are no flags to add.
        let arch = by_name(&target.arch)?;
        let transplant = arch.transplant().filter(|_| saved.source.ends_with(".c"));
        Ok(Self { unit, saved, transplant, arch: Some(arch).filter(|arch| arch.long_jumps("").is_some()) })
    }
}

/// Where objects are compiled, and what is kept of them.
struct Place<'a> {
    sandbox: &'a Sandbox,
    /// The folder of this machine that the sandbox writes to.
    out: &'a Path,
    cache: &'a Cache<'a>,
    /// What lies over the tree.
    over: &'a Contents,
    /// When the first compiler began.
    begun: SystemTime,
}

/// Compiles each unit three times, or five where code that moves is compiled in another way; the unpatched come
/// from the cache where they can. Objects and dependency lists pass through `work`.
pub fn compile(target: &Target, tree: &PatchedTree, units: &[Unit], work: &Path) -> Result<Vec<ObjectPair>> {
    compile_with(&Cache::open(target)?, target, tree, units, work)
}

/// Compiles each unit as it was shipped, and no other way; in the order of `units`. With `debug`, with debug
/// information where kbuild has it: gcc is meant to make the same code without, and does so nearly always. Those without are
/// kept for the next time.
pub fn compile_shipped(target: &Target, units: &[&Unit], debug: bool, work: &Path) -> Result<Vec<Vec<u8>>> {
    let step = progress::step(match (units, debug) {
        ([one], false) => format!("compiling {}", one.source),
        (units, false) => format!("compiling {}", count(units.len())),
        (units, true) => format!("compiling {} again, with debug information as kbuild does", count(units.len())),
    });
    let variant = if debug { Variant::ShippedWithDebug } else { Variant::Shipped };
    let cache = Cache::open(target)?;
    let works = units.iter().map(|unit| Work::new(target, unit)).collect::<Result<Vec<_>>>()?;
    let sandbox = target.sandbox().writable(work, WORK);
    let over = Contents::default();
    let place = Place { sandbox: &sandbox, out: work, cache: &cache, over: &over, begun: SystemTime::now() };
    let ready = AtomicUsize::new(0);
    let made = parallel::map(&works, |i, w| {
        let made = compile_one(&place, w, variant, None, i).map_err(|e| explain(e, target, None, w.unit, variant))?;
        step.detail(&format!("{} of {}", 1 + ready.fetch_add(1, Ordering::Relaxed), count(works.len())));
        Ok(made)
    })?;
    let kept = made.iter().filter(|made| made.was_kept).count();
    step.done(&format!("{}, {kept} from the cache", count(units.len())));
    Ok(made.into_iter().map(|made| made.object).collect())
}

fn compile_with(
    cache: &Cache,
    target: &Target,
    tree: &PatchedTree,
    units: &[Unit],
    work: &Path,
) -> Result<Vec<ObjectPair>> {
    let step = progress::step(format!("compiling {}", names(units)));
    let out = work.join("objects");
    std::fs::create_dir_all(&out).with_context(|| format!("cannot make folder {}", out.display()))?;
    let works = units.iter().map(|unit| Work::new(target, unit)).collect::<Result<Vec<_>>>()?;
    let plain = target.sandbox().writable(&out, WORK);
    let patched = patched_sandbox(tree, target, work)?.writable(&out, WORK);
    let (as_it_is, over, begun) = (Contents::default(), Contents::of(tree), SystemTime::now());
    let plain = Place { sandbox: &plain, out: &out, cache, over: &as_it_is, begun };
    let patched = Place { sandbox: &patched, out: &out, cache, over: &over, begun };
    // Where the question about types will come, these objects answer it (`types/check.rs`), and none is compiled again for that.
    let (typed, with_types) = (skeleton::typed(tree), [SECTIONS, DEBUG].concat());
    let asks = |w: &Work<'_>| {
        let source = w.unit.source.as_str();
        typed.contains(source) || !tree.files.contains_key(source) && typed.iter().any(|path| path.ends_with(".h"))
    };
    // The original comes first, so that its error is reported first: if it does not compile, the fix is not to blame.
    const ALL: [Variant; 3] = [Variant::Original, Variant::Patched, Variant::Shipped];
    const MOVED: [Variant; 2] = [Variant::MovedPatched, Variant::MovedOriginal];
    let variants = |w: &Work<'_>| {
        let is_moved = w.transplant.is_some();
        ALL.into_iter().chain(MOVED.into_iter().filter(move |_| is_moved))
    };
    let jobs: Vec<_> = works.iter().enumerate().flat_map(|(i, w)| variants(w).map(move |v| (i, v))).collect();
    let ready = AtomicUsize::new(0);
    let made = parallel::map(&jobs, |_, &(i, variant)| {
        let place = if variant.is_patched() { &patched } else { &plain };
        let compared = matches!(variant, Variant::Original | Variant::Patched);
        let other = (compared && asks(&works[i])).then_some((with_types.as_slice(), How::Types));
        let one = compile_one(place, &works[i], variant, other, i)
            .map_err(|e| explain(e, target, Some(tree), works[i].unit, variant))?;
        if variant == Variant::Patched {
            step.detail(&format!("{} of {}", 1 + ready.fetch_add(1, Ordering::Relaxed), count(units.len())));
        }
        Ok(one)
    })?;
    let mut made = made.into_iter();
    let (mut pairs, mut originals, mut kept, mut warnings) = (Vec::new(), 0, 0, String::new());
    for w in works {
        let missing = || anyhow!("{} was not compiled", w.unit.source);
        let mut next = || made.next().ok_or_else(missing);
        let (original, patched, shipped) = (next()?, next()?, next()?);
        let moved = if w.transplant.is_some() { Some((next()?, next()?)) } else { None };
        let all_kept = original.was_kept && shipped.was_kept && moved.as_ref().is_none_or(|(_, o)| o.was_kept);
        originals += usize::from(all_kept);
        kept += usize::from(patched.was_kept);
        warnings.push_str(&patched.warnings);
        pairs.push(ObjectPair {
            unit: w.unit.clone(),
            shipped: shipped.object,
            original: original.object,
            patched: patched.object,
            moved: moved.map(|(patched, original)| MovedPair { original: original.object, patched: patched.object }),
            inputs: patched.inputs,
        });
    }
    let kept = if kept > 0 { format!(" and patched files of {kept}") } else { String::new() };
    step.done(&format!("{}, originals of {originals}{kept} from the cache", count(pairs.len())));
    if !warnings.is_empty() {
        eprint!(
            "the compiler warns about the patched source:\n{}",
            compiler_errors::of_the_fix(&warnings, target, tree)
        );
    }
    Ok(pairs)
}

/// Where patched code is compiled: the tree as the fixes leave it, and the headers that kmend itself provides.
pub(crate) fn patched_sandbox(tree: &PatchedTree, target: &Target, work: &Path) -> Result<Sandbox> {
    let headers = work.join("headers");
    for (path, text) in OWN_HEADERS {
        files::write(&headers.join(path), text.as_bytes())?;
    }
    Ok(overlay::over(tree, target, target.sandbox(), &work.join("folders"))?.read_only(&headers, HEADERS))
}

fn names(units: &[Unit]) -> String {
    match units {
        [one] => one.source.clone(),
        [one, two] if one.source != two.source => format!("{} and {}", one.source, two.source),
        _ => count(units.len()),
    }
}

/// The text of a header that kmend lays beside the tree, by its path in the sandbox.
fn own_header(path: &str) -> Option<&'static str> {
    let name = path.strip_prefix(HEADERS)?.strip_prefix('/')?;
    OWN_HEADERS.iter().find(|(own, _)| *own == name).map(|(_, text)| *text)
}

/// The compiler's own words where it refuses its input.
#[derive(Debug)]
pub(crate) struct CompilerSays(pub String);

impl std::fmt::Display for CompilerSays {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for CompilerSays {}

/// Compiles one variant, or takes what is kept of it; `other` are flags instead of the variant's own, less [`OWN`], and
/// what they are for.
fn compile_one(
    place: &Place<'_>,
    w: &Work,
    variant: Variant,
    other: Option<(&[&str], How)>,
    i: usize,
) -> Result<Compiled> {
    let (tag, flags) = match variant {
        Variant::Patched => ("patched", [SECTIONS, LINE_TABLES, OWN].concat()),
        Variant::Original => ("original", [SECTIONS, LINE_TABLES].concat()),
        Variant::Shipped => ("shipped", vec![NO_DEBUG]),
        Variant::ShippedWithDebug => ("debug", Vec::new()),
        // Nobody asks which line the code came from that moves.
        Variant::MovedPatched => ("patched.moved", [SECTIONS, &[NO_DEBUG], OWN].concat()),
        Variant::MovedOriginal => ("original.moved", [SECTIONS, &[NO_DEBUG]].concat()),
    };
    let own = if variant.is_patched() { OWN } else { &[] };
    let flags = other.map_or(flags, |(other, _)| [other, own].concat());
    let is_c = w.saved.source.ends_with(".c");
    let names_data = matches!(other, Some((_, How::NamesData | How::LongJumps))) && is_c;
    let jumps = w.arch.filter(|_| is_c && other.is_some_and(|(_, how)| how.jumps_far()));
    let Place { sandbox, out, cache, over, begun } = *place;
    let transplant = w.transplant.filter(|_| matches!(variant, Variant::MovedPatched | Variant::MovedOriginal));
    // Its own text is part of the name, so that fixes to one file do not take each other's place.
    let text = over.get(&kbuild::plain(&w.saved.source)).flatten().map(|text| text.sha256.as_str()).unwrap_or_default();
    let far = if jumps.is_some() { " far" } else { "" };
    let what = format!("{tag} {:?}{far} {text}", other.map(|(_, how)| how));
    let all_flags = [flags.as_slice(), transplant.map_or(&[][..], |t| t.flags())].concat();
    let key = cache.key_of_one(&w.saved.call(&w.unit.object, "", &all_flags), &what);
    if let Some(known) = cache.compiled(&key, over) {
        return Ok(known);
    }
    let name = format!("{i}.{tag}");
    let (object, deps) = (format!("{WORK}/{name}.o"), format!("{WORK}/{name}.d"));
    let words = match transplant {
        None if !names_data && jumps.is_none() => run_compiler(sandbox, &w.saved.call(&object, &deps, &flags))?,
        _ => {
            let assembly = format!("{WORK}/{name}.s");
            let words = run_compiler(sandbox, &w.saved.to_assembly(&assembly, &deps, &all_flags))?;
            let file = out.join(format!("{name}.s"));
            let mut edited = files::read_text(&file)?;
            if let Some(transplant) = transplant {
                edited = transplant.edit(&edited).with_context(|| w.unit.source.clone())?;
            }
            if names_data {
                edited = named::edit(&edited);
            }
            if let Some(long) = jumps.and_then(|arch| arch.long_jumps(&edited)) {
                edited = long;
            }
            files::write(&file, edited.as_bytes())?;
            words + &run_compiler(sandbox, &w.saved.assemble(&assembly, &object))?
        }
    };
    let made = Compiled {
        object: files::read(&out.join(format!("{name}.o")))?,
        inputs: cache::inputs(&files::read_text(&out.join(format!("{name}.d")))?)?,
        warnings: words,
        was_kept: false,
    };
    cache.put_compiled(&key, over, begun, &made)?;
    Ok(made)
}

/// Runs the compiler; its words where it is content.
pub(crate) fn run_compiler(sandbox: &Sandbox, call: &[String]) -> Result<String> {
    let args: Vec<&str> = call[1..].iter().map(String::as_str).collect();
    let said = sandbox.output(&call[0], &args)?;
    let words = String::from_utf8_lossy(&said.stderr).into_owned();
    if said.status.success() {
        Ok(words)
    } else {
        Err(CompilerSays(words).into())
    }
}

#[cfg(test)]
pub(crate) mod tests;
