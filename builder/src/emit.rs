// SPDX-License-Identifier: GPL-2.0-or-later
//! Stage emit: what a live patch registers in, the Rust source of its module out, to be read by a
//! person and compiled by [`crate::link`].

use anyhow::{bail, ensure, Context, Result};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

/// What a live patch registers with the kernel.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Registration {
    /// Module name as the kernel will know it (`kmend_cmdline`).
    pub module: String,
    /// Atomic replace: this patch takes the place of every older one.
    pub replace: bool,
    /// `uname -r` of the kernel it is for.
    pub release: String,
    /// Titles of the fixes, in order.
    pub fixes: Vec<String>,
    /// The klp objects, vmlinux first.
    pub objects: Vec<KlpObject>,
}

/// One klp object: vmlinux or a module.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct KlpObject {
    /// Module name, or None for vmlinux.
    pub module: Option<String>,
    /// Functions replaced in it.
    pub funcs: Vec<KlpFunc>,
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

/// The longest module name: MODULE_NAME_LEN of include/linux/moduleparam.h on 64 bits, less its NUL.
const MODULE_NAME_MAX: usize = 55;

/// The longest symbol name: KSYM_NAME_LEN of include/linux/kallsyms.h, less its NUL.
const SYMBOL_NAME_MAX: usize = 511;

/// Checks that `name` can be the name of a module: it becomes part of Rust identifiers and of file
/// names, and the kernel has room for so many bytes.
pub fn check_module_name(name: &str) -> Result<()> {
    let starts_well = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
    ensure!(
        starts_well && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_'),
        "{name:?} cannot be a module's name: use letters, digits and underscores, with no digit first"
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
            check_module_name(module).context("a klp object")?;
            ensure!(module != "vmlinux", "vmlinux is given as a module: it is the object without a name");
            ensure!(*module != what.module, "the live patch names itself as a klp object");
        }
        ensure!(objects.insert(name), "the klp object {name} is named twice");
        ensure!(!object.funcs.is_empty(), "the klp object {name} has no function to replace");
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
    let symbols: BTreeSet<&str> = what.objects.iter().flat_map(|o| &o.funcs).map(|f| f.new_symbol.as_str()).collect();
    // Symbols that are identifiers already come first, so that they keep their names.
    let (plain, odd): (Vec<&str>, Vec<&str>) = symbols.into_iter().partition(|s| ident_of(s) == **s);
    let mut idents = BTreeMap::new();
    let mut taken = BTreeSet::new();
    for symbol in plain.into_iter().chain(odd) {
        let base = ident_of(symbol);
        let mut ident = base.clone();
        let mut n = 2;
        while !taken.insert(ident.clone()) {
            ident = format!("{base}_{n}");
            n += 1;
        }
        idents.insert(symbol, ident);
    }
    idents
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
    let replace = match what.replace {
        true => "//! It takes the place of all older live patches (atomic replace).",
        false => "//! Older live patches stay in force beside it.",
    };
    writeln!(out, "{replace}\n")?;
    writeln!(out, "pub mod bindings;\npub mod livepatch;\n#[macro_use]\nmod payload;\n")?;
    writeln!(out, "use livepatch::{{\n    Func,\n    Object, //\n}};\n")?;
    write_payload(out, what, idents)?;
    writeln!(out, "static OBJECTS: [Object; {}] = [", what.objects.len())?;
    for object in &what.objects {
        write_object(out, object, idents)?;
    }
    writeln!(out, "];\n")?;
    writeln!(out, "module_livepatch! {{\n    objects: OBJECTS,\n    replace: {},", what.replace)?;
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
    for (symbol, ident) in idents {
        let from: Vec<String> = sources.get(symbol).into_iter().flatten().map(|s| one_line(s)).collect();
        writeln!(out, "        /// From `{}`.", from.join("`, `"))?;
        writeln!(out, "        fn {ident} = \"{symbol}\";")?;
    }
    writeln!(out, "    }}\n}}\n")
}

fn write_object(out: &mut String, object: &KlpObject, idents: &BTreeMap<&str, String>) -> std::fmt::Result {
    match &object.module {
        None => writeln!(out, "    Object::vmlinux(")?,
        Some(module) => writeln!(out, "    Object::module(\n        c\"{module}\",")?,
    }
    writeln!(out, "        const {{\n            &[")?;
    for func in &object.funcs {
        let ident = idents.get(func.new_symbol.as_str()).map_or("", String::as_str);
        writeln!(out, "                // SAFETY: This is the code of that very function, compiled with the fixes.")?;
        write!(out, "                unsafe {{ Func::new(c\"{}\", new_code::{ident}) }}", func.old_name)?;
        if func.sympos > 0 {
            write!(out, ".sympos({})", func.sympos)?;
        }
        writeln!(out, ",")?;
    }
    writeln!(out, "            ]\n        }},\n    ),")
}
