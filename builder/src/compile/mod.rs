// SPDX-License-Identifier: GPL-2.0-or-later
//! Stage compile: units and the patched files in, three objects each out, made with kbuild's own command.

pub mod again;
pub mod cache;
pub mod named;
mod overlay;
pub mod probe;
mod said;

use crate::arch::{by_name, Transplant};
use crate::files;
use crate::parallel;
use crate::progress;
use crate::sandbox::{Sandbox, WORK};
use crate::source::PatchedTree;
use crate::target::kbuild::command::Saved;
use crate::target::kbuild::{self, count, saved, Unit};
use crate::target::Target;
use again::How;
use anyhow::{anyhow, ensure, Context, Result};
use cache::{Cache, Compiled, Originals};
use overlay::Contents;
pub(crate) use said::explain;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::Mutex;
use std::time::SystemTime;

/// The objects of one unit, as bytes of ELF relocatable files, before any objtool run.
#[derive(Clone, Debug)]
pub struct ObjectPair {
    /// The unit.
    pub unit: Unit,
    /// The original, compiled with kbuild's flags less debug information: what should stand in the shipped image.
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

/// For patched sources, which may use macros that older kernels lack: searched last, so that a tree's own come first.
pub(crate) const OWN: &[&str] = &["-idirafter", HEADERS];

/// The headers that are laid beside the tree for patched sources: path there and text.
const OWN_HEADERS: [(&str, &str); 4] = [
    ("linux/livepatch_helpers.h", include_str!("../../../kmod/include/linux/livepatch_helpers.h")),
    ("kpatch-macros.h", include_str!("../../../kmod/include/kpatch/kpatch-macros.h")),
    ("kpatch-syscall.h", include_str!("../../../kmod/include/kpatch/kpatch-syscall.h")),
    ("kpatch.h", include_str!("../../../kmod/include/kpatch/kpatch.h")),
];

/// Where they stand in the sandbox.
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
    key: String,
    known: Option<Originals>,
    /// It reads files that no dependency list names.
    embeds: bool,
}

impl<'a> Work<'a> {
    fn new(cache: &Cache, target: &Target, unit: &'a Unit) -> Result<Self> {
        let saved = saved(target, &unit.object)?;
        // Assembler sources are what they are: there is no compiler to be told.
        let transplant = by_name(&target.arch)?.transplant().filter(|_| saved.source.ends_with(".c"));
        let mut call = saved.call(&unit.object, "", &[SECTIONS, LINE_TABLES].concat());
        call.extend(transplant.iter().flat_map(|t| t.flags()).map(|f| f.to_string()));
        let key = cache.key(&call);
        let known = cache.get(&key);
        let embeds = std::fs::read(target.tree.join(&unit.source)).map_or(true, |text| embeds(&text));
        Ok(Self { unit, saved, transplant, key, known, embeds })
    }

    /// The key under which the unit as shipped is kept without its other forms.
    fn alone(&self) -> String {
        files::sha256(format!("{} as shipped alone", self.key).as_bytes())
    }
}

/// Where objects are compiled, and what is kept of them.
struct Place<'a> {
    sandbox: &'a Sandbox,
    /// The folder of this machine that the sandbox writes to.
    out: &'a Path,
    /// Kept objects, what lies over the tree, and when the first compiler began. None: nothing is kept.
    kept: Option<(&'a Cache<'a>, &'a Contents, SystemTime)>,
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
    let mut works = units.iter().map(|unit| Work::new(&cache, target, unit)).collect::<Result<Vec<_>>>()?;
    for w in &mut works {
        w.known = w.known.take().or_else(|| cache.get(&w.alone())).filter(|_| !debug);
    }
    let begun = SystemTime::now();
    let sandbox = target.sandbox().writable(work, WORK);
    let new: Vec<usize> = works.iter().enumerate().filter(|(_, w)| w.known.is_none()).map(|(i, _)| i).collect();
    let place = Place { sandbox: &sandbox, out: work, kept: None };
    let ready = AtomicUsize::new(0);
    let made = parallel::map(&new, |_, &i| {
        let made = compile_one(&place, &works[i], variant, None, i)
            .map_err(|e| explain(e, target, None, works[i].unit, variant))?;
        step.detail(&format!("{} of {}", 1 + ready.fetch_add(1, Ordering::Relaxed), count(new.len())));
        Ok(made)
    })?;
    for (&i, new) in new.iter().zip(&made).filter(|_| !debug) {
        if !works[i].embeds {
            let alone = Originals { shipped: new.object.clone(), original: Vec::new(), moved: Vec::new() };
            cache.put(&works[i].alone(), &new.inputs, begun, &alone)?;
        }
    }
    step.done(&format!("{}, {} from the cache", count(units.len()), units.len() - made.len()));
    let missing = |unit: &Unit| anyhow!("{} was not compiled", unit.source);
    let mut made = made.into_iter();
    let take = |w: Work<'_>| match w.known {
        Some(known) => Ok(known.shipped),
        None => made.next().map(|made| made.object).ok_or_else(|| missing(w.unit)),
    };
    works.into_iter().map(take).collect()
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
    let works = units.iter().map(|unit| Work::new(cache, target, unit)).collect::<Result<Vec<_>>>()?;
    let plain = target.sandbox().writable(&out, WORK);
    let patched = patched_sandbox(tree, target, work)?.writable(&out, WORK);
    let mut jobs = Vec::new();
    for (i, w) in works.iter().enumerate() {
        // The original comes first, so that its error is reported first: if it does not compile, the fix is not to blame.
        if w.known.is_none() {
            jobs.push((i, Variant::Original));
        }
        jobs.push((i, Variant::Patched));
        if w.transplant.is_some() {
            jobs.push((i, Variant::MovedPatched));
        }
        if w.known.is_none() {
            jobs.push((i, Variant::Shipped));
            if w.transplant.is_some() {
                jobs.push((i, Variant::MovedOriginal));
            }
        }
    }
    let begun = SystemTime::now();
    let over = Contents::of(tree)?;
    let plain = Place { sandbox: &plain, out: &out, kept: None };
    let patched = Place { sandbox: &patched, out: &out, kept: over.as_ref().map(|over| (cache, over, begun)) };
    let ready = AtomicUsize::new(0);
    let mut parts: Vec<Parts> = works.iter().map(|_| Parts::default()).collect();
    jobs.iter().for_each(|&(i, _)| parts[i].left += 1);
    let parts: Vec<Mutex<Parts>> = parts.into_iter().map(Mutex::new).collect();
    let made = parallel::map(&jobs, |_, &(i, variant)| {
        let place = if variant.is_patched() { &patched } else { &plain };
        let one = compile_one(place, &works[i], variant, None, i)
            .map_err(|e| explain(e, target, Some(tree), works[i].unit, variant))?;
        if variant == Variant::Patched {
            step.detail(&format!("{} of {}", 1 + ready.fetch_add(1, Ordering::Relaxed), count(units.len())));
        }
        let mut parts = parts[i].lock().map_err(|_| anyhow!("a compile job broke off"))?;
        parts.left -= 1;
        let one = if variant.is_patched() { one } else { parts.add(variant, one) };
        // Kept as soon as the unit is compiled in all forms: the next build has it, even if this one is broken off or another unit is
        // refused.
        if parts.left == 0 && works[i].known.is_none() && !works[i].embeds {
            cache.put(&works[i].key, &parts.inputs, begun, &parts.originals)?;
        }
        Ok(one)
    })?;
    let mut made: Vec<_> = jobs.into_iter().zip(made).collect();
    let kept = made_before(&made);
    let mut take = |i, v| made.iter().position(|(at, _)| *at == (i, v)).map(|p| made.swap_remove(p).1);
    let (mut pairs, mut cached, mut warnings) = (Vec::new(), 0, String::new());
    for (i, w) in works.into_iter().enumerate() {
        let missing = || anyhow!("{} was not compiled", w.unit.source);
        let patched = take(i, Variant::Patched).ok_or_else(missing)?;
        let moved = take(i, Variant::MovedPatched);
        warnings.push_str(&patched.warnings);
        let originals = match w.known {
            Some(known) => {
                cached += 1;
                known
            }
            None => {
                let parts = std::mem::take(&mut *parts[i].lock().map_err(|_| anyhow!("a compile job broke off"))?);
                ensure!(parts.left == 0, missing());
                parts.originals
            }
        };
        let Originals { shipped, original, moved: moved_original } = originals;
        let moved = moved.map(|patched| MovedPair { original: moved_original, patched: patched.object });
        let Compiled { object: patched, inputs, .. } = patched;
        pairs.push(ObjectPair { unit: w.unit.clone(), shipped, original, patched, moved, inputs });
    }
    let kept = if kept > 0 { format!(" and patched files of {kept}") } else { String::new() };
    step.done(&format!("{}, originals of {cached}{kept} from the cache", count(pairs.len())));
    if !warnings.is_empty() {
        eprint!("the compiler warns about the patched source:\n{}", said::of_the_fix(&warnings, target, tree));
    }
    Ok(pairs)
}

/// The originals of a unit, as far as they are compiled.
#[derive(Default)]
struct Parts {
    originals: Originals,
    /// The files that they were compiled from, in order.
    inputs: Vec<String>,
    /// How many forms of the unit are still to be compiled, the patched ones too.
    left: usize,
}

impl Parts {
    /// Takes over the object of an original and leaves an empty one.
    fn add(&mut self, variant: Variant, one: Compiled) -> Compiled {
        let part = match variant {
            Variant::Shipped => &mut self.originals.shipped,
            Variant::MovedOriginal => &mut self.originals.moved,
            _ => &mut self.originals.original,
        };
        *part = one.object;
        self.inputs.extend(one.inputs);
        self.inputs.sort();
        self.inputs.dedup();
        Compiled::default()
    }
}

/// How many patched units are from the cache.
fn made_before(made: &[((usize, Variant), Compiled)]) -> usize {
    made.iter().filter(|((_, variant), one)| *variant == Variant::Patched && one.was_kept).count()
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

/// Whether a source has `.incbin` in it, which reads files that no dependency list names.
fn embeds(text: &[u8]) -> bool {
    memchr::memmem::find(text, b"incbin").is_some()
}

/// Whether a source may include a header that kmend lays beside the tree.
fn includes_ours(text: &[u8]) -> bool {
    let name = |path: &str| path.rsplit('/').next().unwrap_or_default().to_string();
    OWN_HEADERS.iter().any(|(path, _)| memchr::memmem::find(text, name(path).as_bytes()).is_some())
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

/// Compiles one variant, or takes what is kept of it; `other` are flags in the place of the variant's own, less [`OWN`], and what
/// they are for.
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
    let names_data = matches!(other, Some((_, How::NamesData))) && w.saved.source.ends_with(".c");
    let (sandbox, out) = (place.sandbox, place.out);
    // Its own text is part of the name, so that fixes to one file do not take each other's place.
    let text = |over: &Contents| over.get(&kbuild::plain(&w.saved.source)).cloned().unwrap_or_default();
    let what = |over: &Contents| format!("{tag} {:?} {}", other.map(|(_, how)| how), text(over));
    let kept = place.kept.filter(|_| !w.embeds).map(|(cache, over, begun)| {
        let call = w.saved.call(&w.unit.object, "", &flags);
        (cache, cache.key_of_one(&call, &what(over)), over, begun)
    });
    if let Some(known) = kept.as_ref().and_then(|(cache, key, over, _)| cache.compiled(key, over)) {
        return Ok(known);
    }
    let name = format!("{i}.{tag}");
    let (object, deps) = (format!("{WORK}/{name}.o"), format!("{WORK}/{name}.d"));
    let transplant = w.transplant.filter(|_| matches!(variant, Variant::MovedPatched | Variant::MovedOriginal));
    let words = match transplant {
        None if !names_data => run_compiler(sandbox, &w.saved.call(&object, &deps, &flags))?,
        _ => {
            let assembly = format!("{WORK}/{name}.s");
            let flags = [flags.as_slice(), transplant.map_or(&[][..], |t| t.flags())].concat();
            let words = run_compiler(sandbox, &w.saved.to_assembly(&assembly, &deps, &flags))?;
            let file = out.join(format!("{name}.s"));
            let mut edited = files::read_text(&file)?;
            if let Some(transplant) = transplant {
                edited = transplant.edit(&edited).with_context(|| w.unit.source.clone())?;
            }
            if names_data {
                edited = named::edit(&edited);
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
    if let Some((cache, key, over, begun)) = kept {
        cache.put_compiled(&key, over, begun, &made)?;
    }
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
