// SPDX-License-Identifier: GPL-2.0-or-later
//! Which files can see what a fix does to headers: the headers' texts before and after in, the files that may see it out.
//! The text of the whole tree answers this in seconds, where preprocessing takes minutes.
//!
//! Both texts are cut into what is at file scope (`chunks.rs`), and compared (`changed.rs`). Comments and blanks do not
//! count; the numbers of lines do where `__LINE__` may. Where nothing differs, no one sees a change. Where a type is
//! changed, or anything else than a macro, a `static inline` function or a declaration, or where something is added that is
//! no plain declaration, all that include the header may see it, and the preprocessor has to be asked. What is left has
//! names, and so has what else in the header depends on it (`names.rs`):
//!
//! - What else in other headers depends on these names has names too (`users.rs`). Where it has none, all that include
//!   that header may see the change.
//! - A unit that has such a name in it may see the change; so may one of whose includes the index does not know all. A name
//!   that is in a makefile may be seen by all.
//! - In any other, nothing refers to what is added, changed, moved or taken away: the compiler makes nothing of it
//!   (`c/tokens.rs` builds on that too). Tests for the name (`#ifdef`) have it in them.
//! - A name can be used without being written anywhere: put together by `##` (`paste.rs`). What the fix declares under
//!   a name that was not there cannot be used in this way yet, and what was declared under it can only be declared again
//!   in the same way. A macro could change its meaning, and what was there may be used in this way.
//!
//! Where a fix changes no macro, what the preprocessor leaves of a unit says more than the text, which does not settle which
//! macros put a name together: compiler_types.h pastes whatever it is given. So the names are told, and `reach/narrow.rs` looks
//! for them in the code of each unit that is left. Macros of such a name are looked for here: the preprocessor leaves nothing of
//! them.

pub mod changed;
pub mod chunks;
pub mod kinds;
mod names;
mod paste;
mod text;
mod users;
mod words;

use crate::c::tokens::is_word;
use crate::reach::includes::{each_text, walk, Includers, Index};
use crate::source::TouchedFile;
use anyhow::Result;
use memchr::memmem;
use names::{names, Names};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use users::users;
use words::Finder;

/// Which files can see what is changed in a header.
#[derive(Debug, PartialEq, Eq)]
pub enum Seen {
    /// All that include it may, for this reason.
    ByAll(String),
    /// No others than these.
    By(Seers),
}

/// The files that may see what is changed in a header.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Seers {
    /// Their paths.
    pub files: BTreeSet<String>,
    /// The names of what is changed: a unit sees nothing of it when its code, once it is preprocessed, refers to none of them.
    /// Empty where the code does not say it.
    pub names: BTreeSet<Vec<u8>>,
    /// Those among the files in which a macro may have turned these names into others, so that their code does not say it.
    pub renamed: BTreeSet<String>,
    /// Those among the files with a macro that may put a name together that the fix changes, and that name.
    pub macros: BTreeMap<String, String>,
}

/// Finds out which files can see the changes in `headers`.
///
/// # Errors
/// A file of the tree cannot be read.
pub fn seen(
    tree: &Path,
    arch: &str,
    index: &Index,
    includers: &Includers<'_>,
    headers: &[(&str, &TouchedFile)],
) -> Result<BTreeMap<String, Seen>> {
    let mut answers = BTreeMap::new();
    let mut changed: BTreeMap<&str, Names> = BTreeMap::new();
    for (path, file) in headers {
        match names(file) {
            Ok(names) => _ = changed.insert(path, names),
            Err(why) => _ = answers.insert(path.to_string(), Seen::ByAll(why)),
        }
    }
    let makefiles = walk(tree, arch)?.1.into_iter().filter(|m| tree.join(m).is_file()).collect::<Vec<_>>();
    let closure = |files: &[&str]| -> BTreeSet<String> {
        let files = files.iter().copied().chain(index.blind());
        includers.closure_of(files).into_iter().map(String::from).collect()
    };
    for (path, names) in changed {
        if names.all.is_empty() {
            answers.insert(path.to_string(), Seen::By(Seers::default()));
            continue;
        }
        let users = users(tree, index.files(), path, &names.all)?;
        let all: &BTreeSet<Vec<u8>> = users.as_ref().map_or(&names.all, |u| &u.names);
        let flag = |text: &[u8]| all.iter().any(|name| in_makefile(text, name));
        if each_text(tree, &makefiles, flag)?.contains(&true) {
            answers.insert(path.to_string(), Seen::ByAll("a makefile has the name too".into()));
            continue;
        }
        let finder = Finder::new(all)?;
        let spelled = each_text(tree, index.files(), |text| finder.find(text).next().is_some())?;
        let counts = |n: usize, file: &str| match &users {
            Some(users) if file.ends_with(".h") => users.open.contains(&n),
            _ => spelled[n] && file != path,
        };
        let spelled: Vec<String> = index
            .files()
            .iter()
            .enumerate()
            .filter(|(n, file)| counts(*n, file))
            .map(|(_, file)| file.clone())
            .collect();
        let derived = all.difference(&names.all);
        let made: BTreeSet<&[u8]> = names.made.iter().chain(derived).map(Vec::as_slice).collect();
        let made = paste::possible(tree, includers, &makefiles, &made)?;
        let name = |name: &[u8]| String::from_utf8_lossy(name).into_owned();
        let mut files = closure(&spelled.iter().map(String::as_str).collect::<Vec<_>>());
        files.extend(made.values().flat_map(|made| made.files.numbers()).map(|n| index.files()[n].clone()));
        let defines = each_text(tree, &spelled, |text| defines(text, &names.code))?;
        let renamed = spelled.iter().zip(defines).filter(|(_, defines)| *defines).map(|(file, _)| file.as_str());
        let renamed = if names.code.is_empty() { BTreeSet::new() } else { closure(&renamed.collect::<Vec<_>>()) };
        let macros =
            made.iter().flat_map(|(made, at)| at.macros.iter().map(|n| (index.files()[*n].clone(), name(made))));
        let seers = Seers { files, names: names.code, renamed, macros: macros.collect() };
        answers.insert(path.to_string(), Seen::By(seers));
    }
    Ok(answers)
}

/// Whether a makefile has a name in it, be it as `-Dname=1`.
fn in_makefile(text: &[u8], name: &[u8]) -> bool {
    memmem::find_iter(text, name).any(|at| {
        let before = &text[..at];
        let begins = !before.last().is_some_and(|b| is_word(*b)) || before.ends_with(b"-D");
        begins && !text.get(at + name.len()).is_some_and(|b| is_word(*b))
    })
}

/// Whether a text makes a macro of one of `names`.
fn defines(text: &[u8], names: &BTreeSet<Vec<u8>>) -> bool {
    let name = |line: &[u8]| {
        let rest = line.strip_prefix(b"#")?.trim_ascii_start().strip_prefix(b"define")?;
        chunks::defined(rest).map(<[u8]>::to_vec)
    };
    text::lines(text).iter().filter_map(|line| name(&line.text)).any(|name| names.contains(&name))
}

#[cfg(test)]
mod tests;
