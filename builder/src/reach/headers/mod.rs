// SPDX-License-Identifier: GPL-2.0-or-later
//! Which files can see what a fix does to headers: the headers' texts before and after in, the files that may see it out.
//! It is told from the text of the whole tree, in seconds, where preprocessing takes minutes.
//!
//! Both texts are cut into what is at file scope (`chunks.rs`), and compared (`changed.rs`). Comments and blanks do not
//! count; the numbers of lines do where `__LINE__` may. Where nothing differs, no one sees a change. Where a type is
//! changed, or anything else than a macro, a `static inline` function or a declaration, or where something is added that is
//! no plain declaration, all that include the header may see it, and the preprocessor has to be asked. What is left has
//! names, and so has what else in the header depends on it (`names.rs`):
//!
//! - A unit that has such a name in it, or a header with it, may see the change; so may one of whose includes the index
//!   does not know all. A name that is in a makefile may be seen by all.
//! - In any other, nothing refers to what is added, changed, moved or taken away: the compiler makes nothing of it
//!   (`c/tokens.rs` builds on that too). Tests for the name (`#ifdef`) have it in them.
//! - A name can be there without standing anywhere: put together by `##` (`paste.rs`). What the fix declares under a name
//!   that was not there cannot be used so yet, and what was declared under it cannot be declared again, but as the same. A
//!   macro could change its meaning, and what was there may be used so.
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
mod words;

use crate::reach::includes::{each_text, walk, Includers, Index};
use crate::source::TouchedFile;
use anyhow::Result;
use memchr::memmem;
use names::{names, Names};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
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
    let all: BTreeSet<&Vec<u8>> = changed.values().flat_map(|n| n.all.iter()).collect();
    if all.is_empty() {
        answers.extend(changed.into_keys().map(|path| (path.to_string(), Seen::By(Seers::default()))));
        return Ok(answers);
    }
    let all: Vec<&Vec<u8>> = all.into_iter().collect();
    let finder = Finder::new(all.iter())?;
    // The numbers of the names in each file, by the file's number.
    let look = |text: &[u8]| finder.find(text).map(|(n, _)| n).collect::<BTreeSet<_>>();
    let spelled = each_text(tree, index.files(), look)?;
    let makefiles = walk(tree, arch)?.1.into_iter().filter(|m| tree.join(m).is_file()).collect::<Vec<_>>();
    // `-Dname=1`
    let look = |text: &[u8]| (0..all.len()).filter(|n| memmem::find(text, all[*n]).is_some()).collect::<Vec<_>>();
    let flags: BTreeSet<usize> = each_text(tree, &makefiles, look)?.into_iter().flatten().collect();
    let made: BTreeSet<&[u8]> = changed.values().flat_map(|n| n.made.iter().map(Vec::as_slice)).collect();
    let pasted = paste::possible(tree, index.files(), &made)?;
    let closure = |files: &[&str]| -> BTreeSet<String> {
        let files = files.iter().copied().chain(index.blind());
        includers.closure_of(files).into_iter().map(String::from).collect()
    };
    for (path, names) in &changed {
        let has = |found: &BTreeSet<usize>| found.iter().any(|n| names.all.contains(all[*n]));
        if has(&flags) {
            answers.insert(path.to_string(), Seen::ByAll("a makefile has the name too".into()));
            continue;
        }
        let by = |name: &Vec<u8>| Some((pasted.get(name.as_slice())?, String::from_utf8_lossy(name).into_owned()));
        let by: Vec<(&BTreeSet<usize>, String)> = names.made.iter().filter_map(by).collect();
        let made: BTreeSet<usize> = by.iter().flat_map(|(files, _)| files.iter().copied()).collect();
        let own = made.iter().any(|n| index.files()[*n] == **path);
        if own && names.code.is_empty() {
            let why = "one of its macros may put a name together that the fix changes";
            answers.insert(path.to_string(), Seen::ByAll(why.into()));
            continue;
        }
        let with = |count: &dyn Fn(usize, &BTreeSet<usize>) -> bool| -> Vec<&str> {
            let files = spelled.iter().enumerate().filter(|(n, found)| count(*n, found));
            files.map(|(n, _)| index.files()[n].as_str()).filter(|f| f != path).collect()
        };
        let files = match own {
            true => includers.closure(path).into_iter().collect(),
            false => closure(&with(&|n, found| has(found) || made.contains(&n))),
        };
        let spelled: Vec<String> = with(&|_, found| has(found)).into_iter().map(String::from).collect();
        let defines = each_text(tree, &spelled, |text| defines(text, &names.code))?;
        let renamed = spelled.iter().zip(defines).filter(|(_, defines)| *defines).map(|(file, _)| file.as_str());
        let renamed = if names.code.is_empty() { BTreeSet::new() } else { closure(&renamed.collect::<Vec<_>>()) };
        let file = |n: &usize| index.files()[*n].clone();
        let macros = by.into_iter().flat_map(|(files, name)| files.iter().map(move |n| (file(n), name.clone())));
        let seers = Seers { files, names: names.code.clone(), renamed, macros: macros.collect() };
        answers.insert(path.to_string(), Seen::By(seers));
    }
    Ok(answers)
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
