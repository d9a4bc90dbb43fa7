// SPDX-License-Identifier: GPL-2.0-or-later
//! Stage emit: what a live patch registers in, the Rust source of its module out, to be read by a
//! person and compiled by [`crate::link`].

use crate::hooks::{Callbacks, Hooks, Kind, Provider, State};
use crate::manifest::CallbackFacts;
use anyhow::{bail, ensure, Context, Result};
use kmend_shared::names::MODULE_NAME_MAX;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

/// What a live patch registers with the kernel.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Registration {
    /// Module name as the kernel will know it (`kmend_cmdline`).
    pub module: String,
    /// Atomic replace: this patch replaces all older ones.
    pub replace: bool,
    /// The set of live patches that it belongs to and replaces; None where the kernel has no sets.
    #[serde(default)]
    pub replace_set: Option<u32>,
    /// `uname -r` of the kernel it is for.
    pub release: String,
    /// Titles of the fixes, in order.
    pub fixes: Vec<String>,
    /// The klp objects, vmlinux first.
    pub objects: Vec<KlpObject>,
    /// The states that it declares.
    pub states: Vec<State>,
    /// The crate has a module `hooks`: the author's hooks file.
    pub hooks_file: bool,
}

/// One klp object: vmlinux or a module.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct KlpObject {
    /// Module name, or None for vmlinux.
    pub module: Option<String>,
    /// Functions replaced in it.
    pub funcs: Vec<KlpFunc>,
    /// What is called when it is patched and unpatched.
    pub callbacks: Callbacks,
    /// New code refers to what is in it: livepatch fills that in for the objects that it knows, also where nothing is
    /// replaced in them (kernel/livepatch/core.c, klp_init_object_loaded).
    #[serde(default)]
    pub is_referred_to: bool,
}

/// One replaced function.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct KlpFunc {
    /// Its name in the running kernel.
    pub old_name: String,
    /// 0 where the name is unique in the object, else its position among its namesakes, from 1.
    pub sympos: u64,
    /// The global symbol of the new code in the payload.
    pub new_symbol: String,
    /// The source file it comes from.
    pub source: String,
}

impl Registration {
    /// Adds callbacks, each to its object, and states.
    pub fn hook(&mut self, hooks: Hooks, hooks_file: bool) {
        for (module, callbacks) in hooks.callbacks {
            match self.objects.iter_mut().find(|o| o.module == module) {
                Some(object) => object.callbacks = callbacks,
                None => self.objects.push(KlpObject { module, funcs: Vec::new(), callbacks, is_referred_to: false }),
            }
        }
        self.objects.sort_by(|a, b| a.module.cmp(&b.module));
        self.states = hooks.states;
        self.hooks_file = hooks_file;
    }

    /// Adds the modules that livepatch relocations wait for.
    pub fn wait_for<'m>(&mut self, modules: impl Iterator<Item = &'m str>) {
        for name in modules {
            let module = Some(name.to_string());
            match self.objects.iter_mut().find(|o| o.module == module) {
                Some(object) => object.is_referred_to = true,
                None => {
                    let (funcs, callbacks) = (Vec::new(), Callbacks::new());
                    self.objects.push(KlpObject { module, funcs, callbacks, is_referred_to: true });
                }
            }
        }
        self.objects.sort_by(|a, b| a.module.cmp(&b.module));
    }

    /// The callbacks, for the manifest.
    pub fn callback_facts(&self) -> Vec<CallbackFacts> {
        let all =
            self.objects.iter().flat_map(|o| o.callbacks.iter().map(move |(kind, provider)| (o, *kind, provider)));
        all.map(|(object, kind, provider)| {
            let (function, source) = match provider {
                Provider::C { function, source, .. } => (function.clone(), source),
                Provider::Rust { of, source } => (format!("{of}::{}", kind.name()), source),
            };
            let object = object.module.clone().unwrap_or_else(|| "vmlinux".into());
            CallbackFacts { object, kind, function, source: source.clone() }
        })
        .collect()
    }
}

/// The longest symbol name: KSYM_NAME_LEN of include/linux/kallsyms.h, less its NUL.
const SYMBOL_NAME_MAX: usize = 511;

/// Checks that `name` can be the name of a live patch: it becomes part of Rust identifiers and of file
/// names, and the kernel has room for so many bytes.
pub fn check_module_name(name: &str) -> Result<()> {
    ensure!(
        !name.starts_with(|c: char| c.is_ascii_digit()),
        "{name:?} cannot be the name of a live patch module: use letters, digits and underscores, with no digit first"
    );
    ensure!(
        name != "vmlinux",
        "a live patch module cannot be called vmlinux, which is the kernel itself: choose another name"
    );
    check_object_name(name)
}

/// Checks that `name` can be the name of a module of the kernel's, which may begin with a digit: 8021q, 9p.
fn check_object_name(name: &str) -> Result<()> {
    ensure!(
        !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_'),
        "{name:?} cannot be a module's name: use letters, digits and underscores"
    );
    ensure!(
        name.len() <= MODULE_NAME_MAX,
        "the module name {name} has {} bytes, the kernel has room for {MODULE_NAME_MAX}: choose a shorter one",
        name.len()
    );
    Ok(())
}

/// Checks that `name` can be the name of a function in kallsyms and in an assembler's output.
fn check_symbol(name: &str) -> Result<()> {
    ensure!(
        !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"_.$".contains(&b)),
        "{name:?} cannot be a function's symbol: letters, digits, '_', '.' and '$' are known"
    );
    ensure!(name.len() <= SYMBOL_NAME_MAX, "the symbol {name} is longer than {SYMBOL_NAME_MAX} bytes");
    Ok(())
}

/// Writes the Rust source of the module that registers `what`. The same value gives the same text.
pub fn emit(what: &Registration) -> Result<String> {
    check(what).with_context(|| format!("cannot write the Rust source of live patch {:?}", what.module))?;
    let idents = payload_idents(what);
    let mut out = String::new();
    // Writing to a String cannot fail.
    let _ = write_source(&mut out, what, &idents);
    Ok(out)
}

fn check(what: &Registration) -> Result<()> {
    check_module_name(&what.module)?;
    ensure!(!what.objects.is_empty(), "it names no object: there is nothing to replace");
    let mut objects = BTreeSet::new();
    for object in &what.objects {
        let name = object.module.as_deref().unwrap_or("vmlinux");
        if let Some(module) = &object.module {
            check_object_name(module).context("a klp object")?;
            ensure!(module != "vmlinux", "vmlinux is given as a module: it is the object without a name");
            ensure!(*module != what.module, "the live patch names itself as a klp object");
        }
        ensure!(objects.insert(name), "the klp object {name} is named twice");
        ensure!(
            !object.funcs.is_empty() || !object.callbacks.is_empty() || object.is_referred_to,
            "the klp object {name} has no function to replace, no callback, and nothing that new code refers to"
        );
        for provider in object.callbacks.values() {
            match provider {
                Provider::C { symbol, .. } => check_symbol(symbol).with_context(|| format!("a callback of {name}"))?,
                Provider::Rust { of, .. } => {
                    ensure!(what.hooks_file, "the callbacks {of} of {name} are in no hooks file")
                }
            }
        }
        let mut seen = BTreeMap::new();
        for func in &object.funcs {
            check_symbol(&func.old_name).with_context(|| format!("a function of {name}"))?;
            check_symbol(&func.new_symbol).with_context(|| format!("the new code of {name}:{}", func.old_name))?;
            let positions: &mut BTreeSet<u64> = seen.entry(func.old_name.as_str()).or_default();
            if !positions.insert(func.sympos) || (positions.len() > 1 && positions.contains(&0)) {
                bail!("{name}:{} is replaced twice, or by its name alone and by its position too", func.old_name);
            }
        }
    }
    Ok(())
}

/// A Rust identifier for each symbol of the payload, by symbol.
fn payload_idents(what: &Registration) -> BTreeMap<&str, String> {
    let funcs = what.objects.iter().flat_map(|o| &o.funcs).map(|f| f.new_symbol.as_str());
    let symbols: BTreeSet<&str> = funcs.chain(c_callbacks(what).map(|(_, symbol, _)| symbol)).collect();
    // Symbols that are identifiers already come first, so that they keep their names.
    let (plain, odd): (Vec<&str>, Vec<&str>) = symbols.into_iter().partition(|s| ident_of(s) == **s);
    let mut idents = BTreeMap::new();
    let mut taken = BTreeSet::new();
    for symbol in plain.into_iter().chain(odd) {
        idents.insert(symbol, unique(ident_of(symbol), &mut taken));
    }
    idents
}

/// The callbacks that C functions provide: kind, symbol, source; each as often as it is registered.
fn c_callbacks(what: &Registration) -> impl Iterator<Item = (Kind, &str, &str)> {
    what.objects.iter().flat_map(|o| &o.callbacks).filter_map(|(&kind, provider)| match provider {
        Provider::C { symbol, source, .. } => Some((kind, symbol.as_str(), source.as_str())),
        Provider::Rust { .. } => None,
    })
}

/// `base`, with a number behind it where it is taken.
fn unique(base: String, taken: &mut BTreeSet<String>) -> String {
    let numbered = (2..).map(|n| format!("{base}_{n}"));
    let name = std::iter::once(base.clone()).chain(numbered).find(|name| !taken.contains(name)).unwrap_or(base);
    taken.insert(name.clone());
    name
}

/// The identifier nearest to `symbol`; the same text where it is one already.
fn ident_of(symbol: &str) -> String {
    let mut ident: String = symbol.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }).collect();
    if ident.starts_with(|c: char| c.is_ascii_digit()) {
        ident.insert(0, '_');
    }
    if KEYWORDS.contains(&ident.as_str()) || ident.bytes().all(|b| b == b'_') {
        ident.push_str("_fn");
    }
    ident
}

/// Words that Rust 2021 and 2024 keep for themselves and that can be C functions' names.
const KEYWORDS: &[&str] = &[
    "Self", "abstract", "as", "async", "await", "become", "box", "break", "const", "continue", "crate", "do", "dyn",
    "else", "enum", "extern", "false", "final", "fn", "for", "gen", "if", "impl", "in", "let", "loop", "macro",
    "match", "mod", "move", "mut", "override", "priv", "pub", "ref", "return", "self", "static", "struct", "super",
    "trait", "true", "try", "type", "typeof", "unsafe", "unsized", "use", "virtual", "where", "while", "yield",
];

/// `text` on one line: what is no printable character becomes a space.
fn one_line(text: &str) -> String {
    let clean: String = text.chars().map(|c| if is_unprintable(c) { ' ' } else { c }).collect();
    clean.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Control characters, and those that make a line read otherwise than it is written, which rustc
/// refuses in comments.
fn is_unprintable(c: char) -> bool {
    c.is_control() || matches!(c, '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

fn write_source(out: &mut String, what: &Registration, idents: &BTreeMap<&str, String>) -> std::fmt::Result {
    let release = one_line(&what.release);
    writeln!(out, "// SPDX-License-Identifier: GPL-2.0-only\n")?;
    writeln!(out, "//! Live patch `{}` for Linux {release}.", what.module)?;
    writeln!(out, "//!\n//! Fixes:\n//!")?;
    for (i, fix) in what.fixes.iter().enumerate() {
        writeln!(out, "//! {}. {}", i + 1, one_line(fix))?;
    }
    writeln!(out, "//!\n{}\n//!", table(what))?;
    let replace = match (what.replace_set, what.replace) {
        (Some(set), _) => format!("//! It replaces all older live patches of set {set} (atomic replace)."),
        (None, true) => "//! It replaces all older live patches (atomic replace).".into(),
        (None, false) => "//! Older live patches stay active beside it.".into(),
    };
    writeln!(out, "{replace}\n")?;
    writeln!(out, "pub mod bindings;\npub mod livepatch;\n#[macro_use]\nmod payload;")?;
    if what.hooks_file {
        writeln!(out, "// What is named here has to be `pub` there.\n#[allow(unreachable_pub)]\nmod hooks;")?;
    }
    let state = if what.states.is_empty() { "" } else { "    State,\n" };
    writeln!(out, "\nuse livepatch::{{\n    Func,\n    Object,\n    Patch,\n{state}    Terminated, //\n}};\n")?;
    write_payload(out, what, idents)?;
    write_callbacks(out, what, idents)?;
    let lists = list_names(what);
    for (object, list) in what.objects.iter().zip(&lists) {
        write_funcs(out, list, object, idents)?;
    }
    // The comment at the end keeps rustfmt from drawing the lines together, as the kernel has it.
    writeln!(out, "static OBJECTS: Terminated<Object, {}> = Terminated::new([", what.objects.len())?;
    for (i, (object, list)) in what.objects.iter().zip(&lists).enumerate() {
        let end = if i + 1 == lists.len() { ", //" } else { "," };
        let plain = match &object.module {
            None => format!("Object::vmlinux(&{list})"),
            Some(module) => format!("Object::module(c\"{module}\", &{list})"),
        };
        write_object(out, &plain, &object.callbacks, idents)?;
        writeln!(out, "{end}")?;
    }
    writeln!(out, "]);\n")?;
    if !what.states.is_empty() {
        writeln!(out, "static STATES: Terminated<State, {}> = Terminated::new([", what.states.len())?;
        for (i, State { id, version }) in what.states.iter().enumerate() {
            let end = if i + 1 == what.states.len() { ", //" } else { "," };
            writeln!(out, "    State::new::<{id:#x}>({version}){end}")?;
        }
        writeln!(out, "]);\n")?;
    }
    let states = if what.states.is_empty() { "" } else { ".states(&STATES)" };
    let replace = match what.replace_set {
        Some(set) => format!("replace_set({set})"),
        None => format!("replace({})", what.replace),
    };
    writeln!(out, "module_livepatch! {{\n    patch: Patch::new(&OBJECTS){states}.{replace},")?;
    writeln!(out, "    name: \"{}\",", what.module)?;
    let escaped: String = release.escape_default().collect();
    writeln!(out, "    description: \"Live patch for Linux {escaped}\",\n    license: \"GPL\",\n}}")
}

/// The table of what is replaced by what, as comment lines without the last line's end.
fn table(what: &Registration) -> String {
    let mut rows = vec![["object", "function", "position", "new code", "source"].map(String::from)];
    for object in &what.objects {
        for func in &object.funcs {
            rows.push([
                object.module.clone().unwrap_or_else(|| "vmlinux".into()),
                format!("`{}`", func.old_name),
                if func.sympos == 0 { "unique".into() } else { func.sympos.to_string() },
                format!("`{}`", func.new_symbol),
                one_line(&func.source).replace('|', "\\|"),
            ]);
        }
    }
    let width = |column: usize| rows.iter().map(|r| r[column].chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..5).map(width).collect();
    let line = |cells: Vec<String>| format!("//! | {} |", cells.join(" | "));
    let padded = |row: &[String; 5]| row.iter().zip(&widths).map(|(cell, &w)| format!("{cell:<w$}")).collect();
    let mut lines = vec![line(padded(&rows[0])), line(widths.iter().map(|&w| "-".repeat(w)).collect())];
    lines.extend(rows[1..].iter().map(|row| line(padded(row))));
    lines.join("\n")
}

fn write_payload(out: &mut String, what: &Registration, idents: &BTreeMap<&str, String>) -> std::fmt::Result {
    let mut sources: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for func in what.objects.iter().flat_map(|o| &o.funcs) {
        sources.entry(&func.new_symbol).or_default().insert(&func.source);
    }
    writeln!(out, "/// The new code: compiled from the fixed C sources, linked in as an object.")?;
    writeln!(out, "mod new_code {{\n    payload! {{")?;
    for (symbol, ident) in idents.iter().filter(|(symbol, _)| sources.contains_key(**symbol)) {
        let from: Vec<String> = sources.get(symbol).into_iter().flatten().map(|s| one_line(s)).collect();
        writeln!(out, "        /// From `{}`.", from.join("`, `"))?;
        writeln!(out, "        fn {ident} = \"{symbol}\";")?;
    }
    writeln!(out, "    }}\n}}\n")
}

/// Declares the callbacks that are C functions. They are called through pointers, so what [`write_payload`] tells objtool
/// is not true of them.
fn write_callbacks(out: &mut String, what: &Registration, idents: &BTreeMap<&str, String>) -> std::fmt::Result {
    let all: BTreeMap<&str, (Kind, &str)> =
        c_callbacks(what).map(|(kind, symbol, from)| (symbol, (kind, from))).collect();
    if all.is_empty() {
        return Ok(());
    }
    writeln!(out, "/// What the fixed C sources want to be called.")?;
    writeln!(out, "mod callbacks {{")?;
    // The structs in there go on with some that are empty in many kernels, which rustc has doubts about.
    writeln!(out, "    #[allow(improper_ctypes)]\n    extern \"C\" {{")?;
    for (symbol, (kind, source)) in all {
        let ident = idents.get(symbol).map_or("", String::as_str);
        let returns = if kind == Kind::PrePatch { " -> kernel::ffi::c_int" } else { "" };
        writeln!(out, "        /// From `{}`.", one_line(source))?;
        writeln!(out, "        #[link_name = \"{symbol}\"]")?;
        writeln!(out, "        pub(crate) fn {ident}(object: *mut crate::bindings::klp_object){returns};")?;
    }
    writeln!(out, "    }}\n}}\n")
}

/// Writes an object with its callbacks, without the end of the line.
fn write_object(
    out: &mut String,
    plain: &str,
    callbacks: &Callbacks,
    idents: &BTreeMap<&str, String>,
) -> std::fmt::Result {
    let in_c: Vec<(Kind, &str)> = callbacks
        .iter()
        .filter_map(|(kind, provider)| match provider {
            Provider::C { symbol, .. } => Some((*kind, idents.get(symbol.as_str()).map_or("", String::as_str))),
            Provider::Rust { .. } => None,
        })
        .collect();
    let types: BTreeSet<&str> = callbacks
        .values()
        .filter_map(|provider| match provider {
            Provider::Rust { of, .. } => Some(of.as_str()),
            Provider::C { .. } => None,
        })
        .collect();
    if in_c.is_empty() {
        write!(out, "    {plain}")?;
    } else {
        writeln!(out, "    // SAFETY: The C compiler has checked the types of these callbacks.\n    unsafe {{")?;
        writeln!(out, "        {plain}.c_callbacks(bindings::klp_callbacks {{")?;
        for (kind, ident) in in_c {
            writeln!(out, "            {}: Some(callbacks::{ident}),", kind.name())?;
        }
        write!(out, "            ..pin_init::zeroed()\n        }})\n    }}")?;
    }
    types.iter().try_for_each(|of| write!(out, "\n        .callbacks::<hooks::{of}>()"))
}

fn write_funcs(out: &mut String, list: &str, object: &KlpObject, idents: &BTreeMap<&str, String>) -> std::fmt::Result {
    if object.funcs.is_empty() {
        return writeln!(out, "static {list}: Terminated<Func, 0> = Terminated::new([]);\n");
    }
    writeln!(out, "static {list}: Terminated<Func, {}> = Terminated::new([", object.funcs.len())?;
    for func in &object.funcs {
        let ident = idents.get(func.new_symbol.as_str()).map_or("", String::as_str);
        writeln!(out, "    // SAFETY: This is the code of that very function, compiled with the fixes.")?;
        write!(out, "    unsafe {{ Func::new(c\"{}\", new_code::{ident} as _) }}", func.old_name)?;
        if func.sympos > 0 {
            write!(out, ".sympos({})", func.sympos)?;
        }
        writeln!(out, ",")?;
    }
    writeln!(out, "]);\n")
}

/// The names of the objects' lists of functions, in the objects' order. Modules' names can differ in
/// case alone, which names of statics do not show.
fn list_names(what: &Registration) -> Vec<String> {
    let mut taken = BTreeSet::new();
    let base =
        |object: &KlpObject| ident_of(&(object.module.as_deref().unwrap_or("vmlinux").to_ascii_uppercase() + "_FUNCS"));
    what.objects.iter().map(|object| unique(base(object), &mut taken)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn func(old_name: &str, sympos: u64, new_symbol: &str, source: &str) -> KlpFunc {
        KlpFunc { old_name: old_name.into(), sympos, new_symbol: new_symbol.into(), source: source.into() }
    }

    fn example() -> Registration {
        Registration {
            module: "kmend_2".into(),
            replace: true,
            replace_set: None,
            release: "7.2.12+deb14-amd64".into(),
            fixes: vec!["proc: say\nhello".into(), "ext4: don't \"lose\" it".into()],
            objects: vec![
                KlpObject {
                    module: None,
                    funcs: vec![
                        func("cmdline_proc_show", 0, "cmdline_proc_show", "fs/proc/cmdline.c"),
                        func("foo.isra.0", 2, "foo.isra.0", "mm/foo.c"),
                    ],
                    callbacks: Callbacks::new(),
                    is_referred_to: false,
                },
                KlpObject {
                    module: Some("ext4".into()),
                    funcs: vec![func("match", 0, "match", "fs/ext4/x.c")],
                    callbacks: Callbacks::new(),
                    is_referred_to: false,
                },
            ],
            states: Vec::new(),
            hooks_file: false,
        }
    }

    const GOLDEN: &str = r#"// SPDX-License-Identifier: GPL-2.0-only

//! Live patch `kmend_2` for Linux 7.2.12+deb14-amd64.
//!
//! Fixes:
//!
//! 1. proc: say hello
//! 2. ext4: don't "lose" it
//!
//! | object  | function            | position | new code            | source            |
//! | ------- | ------------------- | -------- | ------------------- | ----------------- |
//! | vmlinux | `cmdline_proc_show` | unique   | `cmdline_proc_show` | fs/proc/cmdline.c |
//! | vmlinux | `foo.isra.0`        | 2        | `foo.isra.0`        | mm/foo.c          |
//! | ext4    | `match`             | unique   | `match`             | fs/ext4/x.c       |
//!
//! It replaces all older live patches (atomic replace).

pub mod bindings;
pub mod livepatch;
#[macro_use]
mod payload;

use livepatch::{
    Func,
    Object,
    Patch,
    Terminated, //
};

/// The new code: compiled from the fixed C sources, linked in as an object.
mod new_code {
    payload! {
        /// From `fs/proc/cmdline.c`.
        fn cmdline_proc_show = "cmdline_proc_show";
        /// From `mm/foo.c`.
        fn foo_isra_0 = "foo.isra.0";
        /// From `fs/ext4/x.c`.
        fn match_fn = "match";
    }
}

static VMLINUX_FUNCS: Terminated<Func, 2> = Terminated::new([
    // SAFETY: This is the code of that very function, compiled with the fixes.
    unsafe { Func::new(c"cmdline_proc_show", new_code::cmdline_proc_show as _) },
    // SAFETY: This is the code of that very function, compiled with the fixes.
    unsafe { Func::new(c"foo.isra.0", new_code::foo_isra_0 as _) }.sympos(2),
]);

static EXT4_FUNCS: Terminated<Func, 1> = Terminated::new([
    // SAFETY: This is the code of that very function, compiled with the fixes.
    unsafe { Func::new(c"match", new_code::match_fn as _) },
]);

static OBJECTS: Terminated<Object, 2> = Terminated::new([
    Object::vmlinux(&VMLINUX_FUNCS),
    Object::module(c"ext4", &EXT4_FUNCS), //
]);

module_livepatch! {
    patch: Patch::new(&OBJECTS).replace(true),
    name: "kmend_2",
    description: "Live patch for Linux 7.2.12+deb14-amd64",
    license: "GPL",
}
"#;

    #[test]
    fn writes_what_a_person_can_read() {
        assert_eq!(emit(&example()).unwrap(), GOLDEN);
    }

    #[test]
    fn callbacks_and_states_are_registered() {
        let mut what = example();
        let limit = Provider::Rust { of: "Limit".into(), source: "hooks.rs".into() };
        let undo = |kind: &str| Provider::C {
            function: kind.into(),
            symbol: format!("kmend.0.{kind}"),
            source: "mm/foo.c".into(),
        };
        what.objects[0].callbacks =
            Callbacks::from([(Kind::PrePatch, undo("pre")), (Kind::PostUnpatch, limit.clone())]);
        what.objects[1].callbacks = Callbacks::from([(Kind::PostPatch, limit)]);
        what.objects[1].funcs.clear();
        what.states = vec![State { id: 0x2a, version: 3 }];
        emit(&what).unwrap_err();
        what.hooks_file = true;
        let text = emit(&what).unwrap();
        for part in [
            "#[macro_use]\nmod payload;\n// What is named here has to be `pub` there.\n#[allow(unreachable_pub)]\nmod hooks;\n\nuse livepatch::{\n    Func,\n    Object,\n    Patch,\n    State,\n    Terminated, //\n};",
            "mod callbacks {\n    #[allow(improper_ctypes)]\n    extern \"C\" {\n        /// From `mm/foo.c`.\n        #[link_name = \"kmend.0.pre\"]\n        \
             pub(crate) fn kmend_0_pre(object: *mut crate::bindings::klp_object) -> kernel::ffi::c_int;\n",
            "    unsafe {\n        Object::vmlinux(&VMLINUX_FUNCS).c_callbacks(bindings::klp_callbacks {\n            \
             pre_patch: Some(callbacks::kmend_0_pre),\n            ..pin_init::zeroed()\n        })\n    }\n        \
             .callbacks::<hooks::Limit>(),\n",
            "    Object::module(c\"ext4\", &EXT4_FUNCS)\n        .callbacks::<hooks::Limit>(), //\n",
            "static EXT4_FUNCS: Terminated<Func, 0> = Terminated::new([]);\n",
            "static STATES: Terminated<State, 1> = Terminated::new([\n    State::new::<0x2a>(3), //\n]);\n",
            "    patch: Patch::new(&OBJECTS).states(&STATES).replace(true),\n",
        ] {
            assert!(text.contains(part), "{part}\nis not in\n{text}");
        }
        assert!(!text.contains("fn kmend_0_pre = "), "a callback is no replacement");
    }

    #[test]
    fn without_replace_it_says_so() {
        let text = emit(&Registration { replace: false, ..example() }).unwrap();
        assert!(text.contains("//! Older live patches stay active beside it.\n"));
        assert!(text.contains("    patch: Patch::new(&OBJECTS).replace(false),\n"));
        let text = emit(&Registration { replace_set: Some(7), ..example() }).unwrap();
        assert!(text.contains("//! It replaces all older live patches of set 7 (atomic replace).\n"));
        assert!(text.contains("    patch: Patch::new(&OBJECTS).replace_set(7),\n"), "{text}");
    }

    #[test]
    fn symbols_that_look_alike_get_identifiers_of_their_own() {
        let mut what = example();
        what.objects[0].funcs =
            ["a.b", "a_b", "a$b", "0x", "fn", "_"].iter().map(|symbol| func(symbol, 0, symbol, "a.c")).collect();
        what.objects.truncate(1);
        let idents = payload_idents(&what);
        assert_eq!(idents["a_b"], "a_b", "a symbol that is an identifier keeps its name");
        assert_eq!(idents["fn"], "fn_fn");
        assert_eq!(idents["_"], "__fn");
        assert_eq!(idents["0x"], "_0x");
        let distinct: BTreeSet<&String> = idents.values().collect();
        assert_eq!(distinct.len(), 6, "{idents:?}");
    }

    #[test]
    fn modules_that_differ_in_case_get_lists_of_their_own() {
        let mut what = example();
        for (object, name) in what.objects.iter_mut().zip(["xt_mark", "xt_MARK"]) {
            object.module = Some(name.into());
        }
        assert_eq!(list_names(&what), ["XT_MARK_FUNCS", "XT_MARK_FUNCS_2"]);
        let text = emit(&what).unwrap();
        assert!(text.contains("    Object::module(c\"xt_MARK\", &XT_MARK_FUNCS_2), //\n"), "{text}");
    }

    #[test]
    fn modules_may_begin_with_a_digit() {
        let mut what = example();
        for (object, name) in what.objects.iter_mut().zip(["8021q", "9p"]) {
            object.module = Some(name.into());
        }
        let text = emit(&what).unwrap();
        assert!(text.contains("static _8021Q_FUNCS: "), "{text}");
        assert!(text.contains("    Object::module(c\"8021q\", &_8021Q_FUNCS),\n"), "{text}");
        assert!(text.contains("    Object::module(c\"9p\", &_9P_FUNCS), //\n"), "{text}");
    }

    #[test]
    fn text_from_outside_cannot_leave_its_comment() {
        let mut what = example();
        what.fixes = vec!["a\r\nmod b { c!(); }\u{2028}\u{202e}*/".into()];
        what.objects[0].funcs[0].source = "a`\nmod evil {}\n.c".into();
        let text = emit(&what).unwrap();
        assert!(text.contains("//! 1. a mod b { c!(); } */\n"), "{text}");
        assert!(text.lines().all(|line| !line.trim_start().starts_with("mod evil")), "{text}");
    }

    #[test]
    fn refuses_names_that_the_kernel_or_kbuild_cannot_take() {
        for good in ["kmend_cmdline", "_x", "A9", &"x".repeat(55)] {
            check_module_name(good).unwrap();
        }
        for bad in ["", "9a", "a-b", "a.b", "a b", "a/b", "ä", "a\n", "vmlinux", &"x".repeat(56)] {
            check_module_name(bad).unwrap_err();
            emit(&Registration { module: bad.into(), ..example() }).unwrap_err();
        }
    }

    #[test]
    fn refuses_what_the_kernel_would_misread() {
        let refused = |change: fn(&mut Registration), words: &str| {
            let mut what = example();
            change(&mut what);
            let error = format!("{:#}", emit(&what).unwrap_err());
            assert!(error.contains(words), "{error}");
        };
        refused(|w| w.objects.clear(), "nothing to replace");
        refused(|w| w.objects[1].funcs.clear(), "ext4 has no function");
        refused(|w| w.objects[1].module = None, "vmlinux is named twice");
        refused(|w| w.objects[1].module = Some("vmlinux".into()), "given as a module");
        refused(|w| w.objects[1].module = Some("kmend_2".into()), "names itself");
        refused(|w| w.objects[1].module = Some("nf-tables".into()), "cannot be a module's name");
        refused(|w| w.objects[0].funcs[0].old_name = "a\"b".into(), "cannot be a function's symbol");
        refused(|w| w.objects[0].funcs[0].new_symbol.clear(), "cannot be a function's symbol");
        refused(|w| w.objects[0].funcs[0].old_name = "x".repeat(512), "longer than 511");
        refused(
            |w| {
                let again = w.objects[0].funcs[1].clone();
                w.objects[0].funcs.push(KlpFunc { sympos: 0, ..again });
            },
            "vmlinux:foo.isra.0 is replaced twice",
        );
    }
}
