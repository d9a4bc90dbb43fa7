// SPDX-License-Identifier: GPL-2.0-or-later
//! The hooks file that is beside the fix: its text in, what it declares out. It is a module of the live patch's
//! crate, so rustc has the last word on it; here is read what has to be registered for it.

use super::{Kind, State};
use crate::error::{Refusal, Refused};
use crate::files;
use anyhow::{Context, Result};
use proc_macro2::Span;
use std::collections::BTreeMap;
use std::path::Path;
use syn::parse::{Parse, ParseStream};
use syn::punctuated::Punctuated;
use syn::{braced, Ident, Token, Visibility};

/// The macro that declares.
const MACRO: &str = "livepatch_hooks";
/// The trait of callbacks.
const TRAIT: &str = "Callbacks";
/// The attribute of its implementations: it tells which callbacks there are.
const ATTRIBUTE: &str = "vtable";

/// A hooks file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HooksFile {
    /// Its name, without folders.
    pub file: String,
    /// SHA-256 of the text.
    pub sha256: String,
    /// The text.
    pub text: String,
    /// The callbacks that a type has, by object (`vmlinux` or a module): the type and which they are.
    pub callbacks: BTreeMap<String, (String, Vec<Kind>)>,
    /// States.
    pub states: Vec<State>,
}

/// Reads the hooks file at `path`.
///
/// # Errors
/// [`Refused`] where it does not have the form that docs/authors.md describes.
pub fn read(path: &Path) -> Result<HooksFile> {
    let file = path.file_name().map_or_else(|| path.display().to_string(), |n| n.to_string_lossy().into_owned());
    let bytes = files::read_at_most(path, MAX_BYTES as u64).context("the hooks file")?;
    let text = String::from_utf8(bytes).map_err(|_| malformed(&file, 0, "it is not UTF-8 text"))?;
    check_size(&text).map_err(|why| malformed(&file, 0, why))?;
    let (callbacks, states) = declared(&text).map_err(|e| malformed(&file, e.span().start().line, &e.to_string()))?;
    Ok(HooksFile { sha256: files::sha256(text.as_bytes()), file, text, callbacks, states })
}

/// The most bytes of a hooks file.
const MAX_BYTES: usize = 1 << 20;
/// The most brackets that can be open at a time, those in strings and comments counted.
const MAX_DEPTH: usize = 200;

/// The parser calls itself for what is in brackets.
fn check_size(text: &str) -> Result<(), &'static str> {
    if text.len() > MAX_BYTES {
        return Err("it is larger than 1 MiB");
    }
    let mut depth = 0_usize;
    for byte in text.bytes() {
        match byte {
            b'(' | b'[' | b'{' => depth += 1,
            b')' | b']' | b'}' => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth > MAX_DEPTH {
            return Err("its brackets are nested too deeply");
        }
    }
    Ok(())
}

fn malformed(file: &str, line: usize, why: &str) -> Refused {
    let place = if line == 0 { file.to_string() } else { format!("{file}, line {line}") };
    Refused(vec![Refusal::new(
        "hooks-malformed",
        "",
        &place,
        why.into(),
        "docs/authors.md shows what a hooks file looks like",
    )])
}

type Declared = (BTreeMap<String, (String, Vec<Kind>)>, Vec<State>);

fn declared(text: &str) -> syn::Result<Declared> {
    let file = syn::parse_file(text).map_err(|e| syn::Error::new(e.span(), format!("it is not valid Rust: {e}")))?;
    let mut calls = file.items.iter().filter_map(|item| match item {
        syn::Item::Macro(m) if m.mac.path.segments.last().is_some_and(|s| s.ident == MACRO) => Some(m),
        _ => None,
    });
    let whole = |why: &str| syn::Error::new(Span::call_site(), why);
    let call =
        calls.next().ok_or_else(|| whole("it has no livepatch_hooks! { … }, so there is nothing to register"))?;
    if let Some(second) = calls.next() {
        return Err(syn::Error::new(start_of(second), "there is a second livepatch_hooks!: combine them into one"));
    }
    let what: Declaration = call.mac.parse_body()?;
    if what.callbacks.is_empty() && what.states.is_empty() {
        return Err(syn::Error::new(start_of(call), "livepatch_hooks! declares neither callbacks nor states"));
    }
    let mut callbacks = BTreeMap::new();
    for Entry { key: object, value: provider } in what.callbacks {
        let kinds = kinds_of(&file, &provider)?;
        if callbacks.insert(object.to_string(), (provider.to_string(), kinds)).is_some() {
            return Err(syn::Error::new(object.span(), format!("{object} is named twice")));
        }
    }
    let mut states: Vec<State> = Vec::new();
    for Entry { key, value } in what.states {
        let span = key.span();
        let id = key.value(&file)?;
        let version = u32::try_from(value.value(&file)?)
            .map_err(|_| syn::Error::new(value.span(), "a version is a 32-bit number"))?;
        if id == 0 {
            return Err(syn::Error::new(span, "a state's id cannot be 0, which ends the kernel's list of states"));
        }
        if states.iter().any(|s| s.id == id) {
            return Err(syn::Error::new(span, format!("the state {id:#x} is declared twice")));
        }
        states.push(State { id, version });
    }
    Ok((callbacks, states))
}

fn start_of(call: &syn::ItemMacro) -> Span {
    call.mac.path.segments.first().map_or_else(Span::call_site, |s| s.ident.span())
}

/// Which callbacks the type of this name has in the file.
fn kinds_of(file: &syn::File, provider: &Ident) -> syn::Result<Vec<Kind>> {
    let is_provider = |path: &syn::Path| path.segments.last().is_some_and(|s| s.ident == *provider);
    let found = file.items.iter().find_map(|item| match item {
        syn::Item::Impl(i) => {
            let of_trait =
                i.trait_.as_ref().and_then(|(path, _)| path.segments.last()).is_some_and(|s| s.ident == TRAIT);
            let of_type = matches!(&*i.self_ty, syn::Type::Path(p) if is_provider(&p.path));
            (of_trait && of_type).then_some(i)
        }
        _ => None,
    });
    let block = found
        .ok_or_else(|| syn::Error::new(provider.span(), format!("the file has no `impl Callbacks for {provider}`")))?;
    if !block.attrs.iter().any(|a| a.path().segments.last().is_some_and(|s| s.ident == ATTRIBUTE)) {
        let why = format!("`impl Callbacks for {provider}` has no `#[vtable]` (of kernel::prelude) before it");
        return Err(syn::Error::new(block.impl_token.span, why));
    }
    let visibility = file.items.iter().find_map(|item| match item {
        syn::Item::Struct(s) if s.ident == *provider => Some(&s.vis),
        syn::Item::Enum(e) if e.ident == *provider => Some(&e.vis),
        _ => None,
    });
    if matches!(visibility, Some(Visibility::Inherited)) {
        return Err(syn::Error::new(provider.span(), format!("{provider} is private: make it `pub`")));
    }
    let methods = block.items.iter().filter_map(|item| match item {
        syn::ImplItem::Fn(f) => Kind::of_name(&f.sig.ident.to_string()),
        _ => None,
    });
    let mut kinds: Vec<Kind> = methods.collect();
    kinds.sort();
    if kinds.is_empty() {
        return Err(syn::Error::new(
            block.impl_token.span,
            format!("`impl Callbacks for {provider}` contains no callback"),
        ));
    }
    Ok(kinds)
}

/// What is in the macro's braces.
#[derive(Default)]
struct Declaration {
    callbacks: Vec<Entry<Ident, Ident>>,
    states: Vec<Entry<Number, Number>>,
}

impl Parse for Declaration {
    fn parse(input: ParseStream<'_>) -> syn::Result<Self> {
        let mut out = Self::default();
        let mut seen: Vec<String> = Vec::new();
        while !input.is_empty() {
            let field: Ident = input.parse()?;
            input.parse::<Token![:]>()?;
            let inside;
            braced!(inside in input);
            match field.to_string().as_str() {
                // rustc's macro wants them in this order.
                "callbacks" if seen.is_empty() => out.callbacks = entries(&inside)?,
                "states" if !seen.contains(&"states".to_string()) => out.states = entries(&inside)?,
                _ => {
                    let why =
                        "`callbacks: { OBJECT: TYPE, … }` and, behind that, `states: { ID: VERSION, … }` are known";
                    return Err(syn::Error::new(field.span(), why));
                }
            }
            seen.push(field.to_string());
            if !input.is_empty() {
                input.parse::<Token![,]>()?;
            }
        }
        Ok(out)
    }
}

fn entries<K: Parse, V: Parse>(inside: ParseStream<'_>) -> syn::Result<Vec<Entry<K, V>>> {
    Ok(Punctuated::<Entry<K, V>, Token![,]>::parse_terminated(inside)?.into_iter().collect())
}

struct Entry<K, V> {
    key: K,
    value: V,
}

impl<K: Parse, V: Parse> Parse for Entry<K, V> {
    fn parse(input: ParseStream<'_>) -> syn::Result<Self> {
        let key = input.parse()?;
        input.parse::<Token![:]>()?;
        Ok(Self { key, value: input.parse()? })
    }
}

/// A number, or the constant that has it.
enum Number {
    Literal(syn::LitInt),
    Const(Ident),
}

impl Parse for Number {
    fn parse(input: ParseStream<'_>) -> syn::Result<Self> {
        Ok(match input.peek(syn::LitInt) {
            true => Self::Literal(input.parse()?),
            false => Self::Const(input.parse()?),
        })
    }
}

impl Number {
    fn span(&self) -> Span {
        match self {
            Self::Literal(literal) => literal.span(),
            Self::Const(name) => name.span(),
        }
    }

    fn value(&self, file: &syn::File) -> syn::Result<u64> {
        let name = match self {
            Self::Literal(literal) => return literal.base10_parse(),
            Self::Const(name) => name,
        };
        let mut all = file.items.iter().filter_map(|item| match item {
            syn::Item::Const(c) if c.ident == *name => Some(&*c.expr),
            _ => None,
        });
        match (all.next(), all.next()) {
            (Some(syn::Expr::Lit(syn::ExprLit { lit: syn::Lit::Int(literal), .. })), None) => literal.base10_parse(),
            _ => Err(syn::Error::new(
                name.span(),
                format!(
                    "{name} must be a number, or a `const` of this file that is one, because the manifest lists it"
                ),
            )),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = r#"
        use crate::{livepatch::{CallbackObject, Callbacks}, livepatch_hooks};
        use kernel::prelude::*;
        const LIMIT: c_ulong = 0x6b6d_0001;
        pub struct Limit;
        #[vtable] impl Callbacks for Limit {
            fn post_unpatch(_: &CallbackObject<'_>) {}
            fn pre_patch(_: &CallbackObject<'_>) -> Result { Ok(()) }
        }
        livepatch_hooks! {
            callbacks: { vmlinux: Limit, zram: Limit },
            states: { LIMIT: 2, 7: 1 },
        }
    "#;

    #[test]
    fn what_a_file_declares() {
        let (callbacks, states) = declared(GOOD).unwrap();
        let limit = ("Limit".to_string(), vec![Kind::PrePatch, Kind::PostUnpatch]);
        assert_eq!(callbacks, BTreeMap::from([("vmlinux".into(), limit.clone()), ("zram".into(), limit)]));
        assert_eq!(states, [State { id: 0x6b6d_0001, version: 2 }, State { id: 7, version: 1 }]);
        let (callbacks, states) = declared("livepatch_hooks! { states: { 1: 1 } }").unwrap();
        assert!(callbacks.is_empty() && states.len() == 1);
    }

    #[test]
    fn what_would_take_the_parser_too_deep_is_refused() {
        assert!(check_size(GOOD).is_ok());
        let deep = format!("const X: u8 = {}0{};", "(".repeat(100_000), ")".repeat(100_000));
        assert!(check_size(&deep).is_err() && check_size(&" ".repeat(MAX_BYTES + 1)).is_err());
    }

    #[test]
    fn what_cannot_be_registered_is_refused_with_its_line() {
        for (from, to, line, why) in [
            ("livepatch_hooks! {", "other! {", 1, "no livepatch_hooks!"),
            ("pub struct", "struct", 11, "private"),
            ("#[vtable] impl", "impl", 6, "has no `#[vtable]`"),
            ("impl Callbacks for Limit", "impl Callbacks for Other", 11, "no `impl Callbacks for Limit`"),
            ("zram: Limit", "vmlinux: Limit", 11, "vmlinux is named twice"),
            ("LIMIT: 2", "0: 2", 12, "cannot be 0"),
            ("LIMIT: 2", "7: 2", 12, "declared twice"),
            ("LIMIT: 2", "LIMIT: 4294967296", 12, "32-bit"),
            ("LIMIT: 2", "LEVEL: 2", 12, "LEVEL must be a number"),
            ("= 0x6b6d_0001", "= 1 + 1", 12, "LIMIT must be a number"),
            ("states:", "stats:", 12, "are known"),
            ("fn pre_patch(", "fn pre_patch", 8, "not valid Rust"),
        ] {
            assert!(GOOD.contains(from), "{from}");
            let error = declared(&GOOD.replacen(from, to, 1)).unwrap_err();
            assert_eq!((error.span().start().line, error.to_string().contains(why)), (line, true), "{to}: {error}");
        }
        assert!(declared("livepatch_hooks! {}").unwrap_err().to_string().contains("neither"));
        let twice = format!("{GOOD}\nlivepatch_hooks! {{ states: {{ 9: 1 }} }}");
        assert!(declared(&twice).unwrap_err().to_string().contains("second"));
    }
}
