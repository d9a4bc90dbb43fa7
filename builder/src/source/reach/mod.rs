// SPDX-License-Identifier: GPL-2.0-or-later
//! Which files can see what a fix does to headers: the headers' texts before and after in, the files that may see it out.
//! It is told from the text of the whole tree, in seconds, where preprocessing takes minutes.
//!
//! Both texts are cut into what stands at file scope (`chunks.rs`), and compared (`changed.rs`). Comments and blanks do not
//! count; the numbers of lines do where `__LINE__` may. Where nothing differs, nobody sees a change. Where a type is
//! changed, or anything else than a macro, a `static inline` function or a declaration, or where something is added that is
//! no plain declaration, all that include the header may see it, and the preprocessor has to be asked. What is left has
//! names, and so has what else in the header hangs on it (`names.rs`):
//!
//! - A unit that has such a name in it, or a header with it, may see the change; so may one of whose includes the index
//!   does not know all. A name that stands in a makefile may be seen by all.
//! - In any other, nothing refers to what is added, changed, moved or taken away: the compiler makes nothing of it
//!   (`compile/tokens.rs` builds on that too). Tests for the name (`#ifdef`) have it in them.
//! - A name can be there without standing anywhere: put together by `##` (`paste.rs`). What the fix declares under a name
//!   that was not there cannot be used so yet, and what was declared under it cannot be declared again, but as the same. A
//!   macro could change its meaning, and what was there may be used so.
//!
//! Where a fix changes functions or variables that were there and no macro, the text does not settle which macros put their
//! names together: compiler_types.h pastes whatever it is given. Then all that include the header are preprocessed, and those
//! count whose code refers to such a name ([`Seen::ByCode`], `compile/narrow.rs`). Macros of that name are looked for here:
//! the preprocessor leaves nothing of them.

pub mod changed;
pub mod chunks;
pub mod kinds;
mod names;
mod paste;
mod text;
mod words;

use super::includes::{each_text, walk, Includers, Index};
use super::TouchedFile;
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
    /// No others than these. Then the files among them with a macro that may put a name together that the fix changes, and
    /// that name.
    By(BTreeSet<String>, BTreeMap<String, String>),
    /// Those whose code refers to the names, once it is preprocessed.
    ByCode(Named),
}

/// What a fix changes in a header, as the code of a preprocessed unit would name it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Named {
    /// The names.
    pub names: BTreeSet<Vec<u8>>,
    /// Files in which a macro may have turned them into others.
    pub renamed: BTreeSet<String>,
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
        answers.extend(changed.into_keys().map(|path| (path.to_string(), Seen::By(BTreeSet::new(), BTreeMap::new()))));
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
    let by_code = |names: &Names| !names.code.is_empty() && !names.made.is_empty();
    let by_text = changed.values().filter(|n| !by_code(n));
    let made: BTreeSet<&[u8]> = by_text.flat_map(|n| n.made.iter().map(Vec::as_slice)).collect();
    let pasted = paste::possible(tree, index.files(), &made)?;
    for (path, names) in &changed {
        let has = |found: &BTreeSet<usize>| found.iter().any(|n| names.all.contains(all[*n]));
        let answer = if has(&flags) {
            Seen::ByAll("a makefile has the name too".into())
        } else if by_code(names) {
            let spelled = spelled.iter().enumerate().filter(|(_, found)| has(found));
            let spelled: Vec<String> = spelled.map(|(n, _)| index.files()[n].clone()).filter(|f| f != path).collect();
            let defines = each_text(tree, &spelled, |text| defines(text, &names.code))?;
            let files = spelled.iter().zip(defines).filter(|(_, defines)| *defines).map(|(file, _)| file.as_str());
            let renamed = includers.closure_of(files.chain(index.blind())).into_iter().map(String::from).collect();
            Seen::ByCode(Named { names: names.code.clone(), renamed })
        } else {
            let by = |name: &Vec<u8>| Some((pasted.get(name.as_slice())?, String::from_utf8_lossy(name).into_owned()));
            let by: Vec<(&BTreeSet<usize>, String)> = names.made.iter().filter_map(by).collect();
            let made: BTreeSet<usize> = by.iter().flat_map(|(files, _)| files.iter().copied()).collect();
            if made.iter().any(|n| index.files()[*n] == **path) {
                let why = "one of its macros may put a name together that the fix changes";
                answers.insert(path.to_string(), Seen::ByAll(why.into()));
                continue;
            }
            let spelled = spelled.iter().enumerate().filter(|(n, found)| has(found) || made.contains(n));
            let files = spelled.map(|(n, _)| index.files()[n].as_str()).filter(|f| f != path);
            let files: Vec<&str> = files.chain(index.blind()).collect();
            let file = |n: &usize| index.files()[*n].clone();
            let macros = by.into_iter().flat_map(|(files, name)| files.iter().map(move |n| (file(n), name.clone())));
            Seen::By(includers.closure_of(files).into_iter().map(String::from).collect(), macros.collect())
        };
        answers.insert(path.to_string(), answer);
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
