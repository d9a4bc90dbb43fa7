// SPDX-License-Identifier: GPL-2.0-only

//! What a live patch uses of the crate `macros`, for kernels that were built without one.
//!
//! It is compiled for the machine that builds, with nothing beside the standard library.

extern crate proc_macro;

use proc_macro::{
    Delimiter,
    Group,
    TokenStream,
    TokenTree, //
};

/// Declares a trait whose methods are optional, or implements one.
///
/// The trait gets a constant `HAS_<METHOD>` for each method, which says whether the implementation
/// has that method.
#[proc_macro_attribute]
pub fn vtable(_: TokenStream, item: TokenStream) -> TokenStream {
    let mut tokens: Vec<TokenTree> = item.into_iter().collect();
    // Attributes and `pub` may come first; a trait or an implementation ends with its body.
    let is_trait = tokens
        .iter()
        .take_while(|token| !is_word(token, "impl"))
        .any(|token| is_word(token, "trait"));
    let Some(TokenTree::Group(body)) = tokens.pop() else {
        return error("`#[vtable]` belongs before a trait or an impl block");
    };
    if body.delimiter() != Delimiter::Brace {
        return error("`#[vtable]` belongs before a trait or an impl block");
    }
    let mut more = match is_trait {
        true => {
            String::from("/// Implementations must use `#[vtable]`.\nconst USE_VTABLE_ATTR: ();")
        }
        false => String::from("const USE_VTABLE_ATTR: () = ();"),
    };
    for name in methods(body.stream()) {
        let comment = format!("/// Whether the implementation has `{name}`.\n");
        more += &format!(
            "{}const HAS_{}: bool = {};",
            if is_trait { &comment } else { "" },
            name.to_uppercase(),
            !is_trait
        );
    }
    let mut stream = body.stream();
    match more.parse::<TokenStream>() {
        Ok(more) => stream.extend(more),
        Err(_) => return error("`#[vtable]` does not know the name of a method"),
    }
    tokens.push(TokenTree::Group(Group::new(Delimiter::Brace, stream)));
    tokens.into_iter().collect()
}

/// The names of the methods in a body, whose own bodies are groups.
fn methods(body: TokenStream) -> Vec<String> {
    let tokens: Vec<TokenTree> = body.into_iter().collect();
    tokens
        .windows(2)
        .filter(|pair| is_word(&pair[0], "fn"))
        .filter_map(|pair| match &pair[1] {
            TokenTree::Ident(name) => Some(name.to_string()),
            _ => None,
        })
        .collect()
}

fn is_word(token: &TokenTree, word: &str) -> bool {
    matches!(token, TokenTree::Ident(ident) if ident.to_string() == word)
}

fn error(message: &str) -> TokenStream {
    format!("compile_error!({message:?});")
        .parse()
        .unwrap_or_default()
}
