// SPDX-License-Identifier: GPL-2.0-or-later
//! A stream and the repository that it is released into: opened, compared, and given an index.

use super::Place;
use crate::files;
use crate::stream::index::{self, Other};
use crate::stream::ledger::{self, Ledger};
use crate::stream::release::{self, Repository};
use crate::stream::{contents, Stream};
use anyhow::{ensure, Context, Result};
use kmend_packager::Key;
use std::collections::BTreeSet;
use std::path::Path;

/// A stream and the repository that it is released into, both locked.
pub(super) struct Site<'a> {
    pub stream: Stream,
    pub ledger: Ledger,
    others: Vec<Other>,
    before: kmend_packager::Before,
    pub repository: Repository<'a>,
    _locks: [files::Lock; 2],
}

impl<'a> Site<'a> {
    /// Reads all that is needed, and checks what can be checked before anything is built.
    pub fn open(file: &Path, place: &'a Place, key: Option<&'a Key>) -> Result<Self> {
        let folder = place.output.as_path();
        files::check_writable(folder)
            .with_context(|| format!("cannot write to the repository {}", folder.display()))?;
        let repository = Repository { folder, key, unsigned: place.unsigned, stream: file.into() };
        let stream = Stream::read(file)?;
        // What packages will want is asked for before anything is made.
        release::check(&stream)?;
        files::make_readable_dir(folder)?;
        // The repository's first: all streams in it take it in this order.
        let of_repository = files::lock(&folder.join(".kmend.lock"), "releases into this repository")?;
        let of_stream = ledger::lock(&stream.path)?;
        let mut ledger = Ledger::read(&stream)?;
        let others = place.other_stream.iter().map(|file| other(&stream, file)).collect::<Result<Vec<_>>>()?;
        let mut all = vec![&ledger];
        all.extend(others.iter().map(|(_, ledger)| ledger));
        let before = index::check(&repository, &all)?;
        adopt(&mut ledger, &stream, place)?;
        Ok(Self { stream, ledger, others, before, repository, _locks: [of_repository, of_stream] })
    }

    /// Compares the ledgers with the repository, where `made` may be missing or there.
    pub fn compare(&self, made: &BTreeSet<String>) -> Result<()> {
        let mut made = made.clone();
        made.extend(index::empty_packages(&self.stream)?);
        let mut all = vec![&self.ledger];
        all.extend(self.others.iter().map(|(_, ledger)| ledger));
        contents::check(self.repository.folder, &all, &made, self.repository.key)
    }

    /// Makes the index, once nothing lies there that should not.
    pub fn publish(&mut self) -> Result<()> {
        self.compare(&BTreeSet::new())?;
        let Self { stream, ledger, others, before, repository, .. } = self;
        let dates = index::publish(stream, ledger, others, before, repository)?;
        let until = dates.valid_until.map_or("for ever".into(), |until| format!("until {}", index::shown(until)));
        eprintln!("the index is dated {} and valid {until}", index::shown(dates.date));
        Ok(())
    }
}

fn other(stream: &Stream, file: &Path) -> Result<Other> {
    let other = Stream::read(file)?;
    ensure!(other.name != stream.name, "--other-stream {}: it is named {} as well", file.display(), stream.name);
    release::check(&other)?;
    let both = &index::empty_packages(stream)? & &index::empty_packages(&other)?;
    ensure!(
        both.is_empty(),
        "the streams {} and {} are both for one kernel ({}): its hosts would get the one or the other; take it out of one of \
         them, or release them into repositories of their own",
        stream.name,
        other.name,
        Vec::from_iter(both).join(", ")
    );
    let ledger = Ledger::read(&other)?;
    Ok((other, ledger))
}

/// Enters what the operator adopts. An older kmend-build wrote down neither 0-0 nor metapackages: those that are there are
/// adopted, and named.
fn adopt(ledger: &mut Ledger, stream: &Stream, place: &Place) -> Result<()> {
    let mut names = place.adopt.clone();
    if ledger.others.is_none() {
        let empty = index::empty_packages(stream)?;
        let is_ours = |name: &String| empty.contains(name) || name.starts_with("kpatch-patches-");
        let found: Vec<String> = contents::packages(&place.output)?.into_iter().filter(is_ours).collect();
        found
            .iter()
            .for_each(|name| eprintln!("entering {name} into the ledger, which an older kmend-build did not do"));
        names.extend(found);
        ledger.others = Some(Vec::new());
    }
    for name in names.into_iter().filter(|name| !ledger.knows(name)).collect::<Vec<_>>() {
        ledger.enter_other(contents::facts(&place.output, &name)?);
    }
    ledger.write(&stream.path)
}
