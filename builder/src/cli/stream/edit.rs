// SPDX-License-Identifier: GPL-2.0-or-later
//! kmend-build stream init, add: a new stream file, and fixes at the end of one.

use super::{AddArgs, InitArgs};
use crate::files;
use crate::source::patchfile;
use crate::stream::edit::{appended, begin, form, Addition, Beginning};
use crate::stream::folder::Folder;
use crate::stream::ledger::{self, Ledger};
use crate::stream::values::{Cve, Date, Version};
use crate::stream::{self, git, index};
use anyhow::{bail, ensure, Context, Error, Result};
use kmend_packager::Severity;
use std::fs;
use std::path::{Path, PathBuf};

/// Runs `init`.
pub fn init(args: &InitArgs) -> Result<()> {
    let file = &args.file;
    ensure!(
        fs::symlink_metadata(file).is_err(),
        "{} exists already: `kmend-build stream add` adds fixes to it",
        file.display()
    );
    let folder = Folder::of(file)?;
    let name = match &args.name {
        Some(name) => name.clone(),
        None => folder.path().file_name().unwrap_or_default().to_string_lossy().into_owned(),
    };
    let beginning = Beginning {
        name: name.try_into().map_err(|wrong| Error::msg(format!("--name: {wrong}")))?,
        packager: args.packager.clone().try_into().map_err(|wrong| Error::msg(format!("--packager: {wrong}")))?,
        url: args
            .url
            .clone()
            .map(TryInto::try_into)
            .transpose()
            .map_err(|wrong: String| Error::msg(format!("--url: {wrong}")))?,
        kernels: args.kernel.clone(),
    };
    files::write(file, begin(file, &beginning)?.as_bytes())?;
    println!("{}", file.display());
    Ok(())
}

/// Runs `add`.
pub fn add(args: &AddArgs) -> Result<()> {
    // A link stays one.
    let file = fs::canonicalize(&args.file).with_context(|| format!("cannot read {}", args.file.display()))?;
    let _lock = ledger::lock(&file)?;
    let text = stream::text(&file)?;
    let (version, date) = version(args, &file, &text)?;
    let cves =
        args.cve.iter().cloned().map(|cve| Cve::try_from(cve).map_err(|wrong| Error::msg(format!("--cve: {wrong}"))));
    let severity = args.severity.as_deref().map(severity).transpose()?;
    let cves = cves.collect::<Result<Vec<_>>>()?;
    let folder = Folder::of(&file)?;
    let mut copies = Copies(Vec::new());
    let mut patches = Vec::new();
    match args.from_git.as_deref() {
        Some([dir, range]) => {
            for (name, bytes) in git::commits(Path::new(dir), range)? {
                copies.put(&folder, &name, &bytes)?;
                patches.push((name, bytes));
            }
        }
        _ => {
            for path in &args.patches {
                let bytes = files::read_at_most(path, patchfile::MAX_BYTES)?;
                patches.push((copies.within(&folder, path, &bytes)?, bytes));
            }
        }
    }
    let count = patches.len();
    let addition = Addition { version, date, patches, cves, severity };
    let (text, _) = appended(&file, &text, &addition)?;
    files::write(&file, text.as_bytes())?;
    for (name, _) in &addition.patches {
        println!("{name}");
    }
    copies.0.clear();
    let fixes = if count == 1 { "1 patch".into() } else { format!("{count} patches") };
    let new = if addition.date.is_some() { "the new version" } else { "version" };
    println!("{}: {fixes} added to {new} {version}", args.file.display());
    Ok(())
}

/// The version that is meant, with its day where it is new.
fn version(args: &AddArgs, file: &Path, text: &str) -> Result<(Version, Option<Date>)> {
    let form = form(file, text)?;
    let ledger = Ledger::of(file, form.name.as_str())?;
    let last = form.version.last().map(|table| *table.version.get_ref());
    let is_released = |version: Version| ledger.kernels.values().flatten().any(|entry| entry.version >= version);
    let wanted = args.wanted.clone().map(|v| Version::try_from(v).map_err(Error::msg)).transpose()?;
    let version = match (wanted, last) {
        (Some(wanted), Some(last)) if wanted < last => {
            bail!("version {wanted} is not the last one in the file, which is {last}: fixes are added at the end")
        }
        (Some(wanted), _) => wanted,
        (None, Some(last)) if is_released(last) => Version { release: last.release + 1, ..last },
        (None, Some(last)) => last,
        (None, None) => Version { version: 1, release: 1 },
    };
    if Some(version) == last {
        ensure!(!is_released(version), "version {version} is released: leave --version out, or name a new one");
        ensure!(args.date.is_none(), "version {version} has its day already: --date is for a new version");
        return Ok((version, None));
    }
    let date = match &args.date {
        Some(date) => date.clone(),
        None => index::shown(index::clock()?).split('T').next().unwrap_or_default().into(),
    };
    Ok((version, Some(Date::try_from(date).map_err(|wrong| Error::msg(format!("--date: {wrong}")))?)))
}

fn severity(name: &str) -> Result<Severity> {
    let known = Severity::ALL.map(Severity::name).join(", ");
    Severity::ALL
        .into_iter()
        .find(|s| s.name() == name)
        .with_context(|| format!("--severity {name:?}: it has to be one of {known}"))
}

/// Patches that were copied into the stream's folder: they are taken away again where nothing comes of it.
struct Copies(Vec<PathBuf>);

impl Copies {
    /// The name of the patch `path` within the folder, in which it is copied where it lies elsewhere.
    fn within(&mut self, folder: &Folder, path: &Path, bytes: &[u8]) -> Result<String> {
        let real = fs::canonicalize(path).with_context(|| format!("cannot find {}", path.display()))?;
        let no_text = || format!("{}: its name is no text", path.display());
        if let Ok(name) = real.strip_prefix(folder.path()) {
            return name.to_str().map(String::from).with_context(no_text);
        }
        let name = path.file_name().and_then(|name| name.to_str()).with_context(no_text)?;
        self.put(folder, name, bytes)?;
        Ok(name.into())
    }

    fn put(&mut self, folder: &Folder, name: &str, bytes: &[u8]) -> Result<()> {
        let path = folder.path().join(name);
        match files::read_at_most(&path, patchfile::MAX_BYTES) {
            Ok(there) if there == bytes => return Ok(()),
            Ok(_) => bail!("{} exists with other contents: give the new patch another name", path.display()),
            Err(_) => ensure!(fs::symlink_metadata(&path).is_err(), "{} exists, and is no patch", path.display()),
        }
        files::write(&path, bytes)?;
        self.0.push(path);
        Ok(())
    }
}

impl Drop for Copies {
    fn drop(&mut self) {
        for path in &self.0 {
            // What cannot be removed does no harm: nothing names it.
            let _ = fs::remove_file(path);
        }
    }
}
