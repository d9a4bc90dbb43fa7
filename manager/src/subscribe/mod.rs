// SPDX-License-Identifier: GPL-2.0-or-later
//! Live patches from the package repositories: the kernels on this host in, packages of the system's own package manager
//! out. There is no plugin of it: with dnf a metapackage has the newest live patch come with each kernel, with apt a timer and a
//! script of the kernels' packages do.

pub mod manager;
pub mod timer;

use crate::host::elsewhere::SOCKET;
use crate::host::notes::{self, Available, Newest};
use crate::host::{clock, indexes, lock};
use crate::{order, Run};
use anyhow::{ensure, Result};
use manager::Manager;
use std::collections::BTreeMap;

/// The metapackage; it recommends the live patches of the kernels that are installed.
pub const META: &str = "kpatch-patches";

/// A package that can be had.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Offer {
    /// Its name.
    pub package: String,
    /// Version and release, as `1-3`; `0-0` of a stream that has brought no live patch yet.
    pub version: String,
}

impl Offer {
    /// The package is empty: whoever installs it gets the live patches to come.
    pub fn is_empty(&self) -> bool {
        self.version.starts_with("0-")
    }
}

/// The package manager of the running system. That of a system in another folder is not run, and the running one's must
/// not work on it.
fn manager(run: &Run<'_>) -> Result<Manager> {
    let is_played = run.host.root().join(SOCKET).exists();
    ensure!(
        run.host.is_running_system() || is_played,
        "{} is not the running system: its packages are not changed from here; run this in it",
        run.host.root().display()
    );
    Manager::find(run.host)
}

/// The kernels on this host: the one that runs, and those whose modules are there.
fn kernels(run: &Run<'_>) -> Result<Vec<String>> {
    let folder = run.host.at("/lib/modules");
    let mut found = run.host.names(&folder)?;
    // What is left of a kernel that was removed has none of its own files any more.
    found.retain(|name| folder.join(name).join("modules.builtin").is_file());
    found.push(run.host.release()?);
    found.sort_by(|a, b| order::natural(a, b));
    found.dedup();
    Ok(found)
}

/// What the repositories have for the kernels on this host, newest of each.
fn offers(run: &Run<'_>, manager: &Manager) -> Result<BTreeMap<String, Offer>> {
    let mut names: BTreeMap<String, String> = BTreeMap::new();
    for release in kernels(run)? {
        names.insert(manager.package(&release), release);
    }
    let found = manager.available(&names.keys().map(String::as_str).collect::<Vec<_>>())?;
    Ok(found.into_iter().filter_map(|offer| Some((names.get(&offer.package)?.clone(), offer))).collect())
}

/// `auto`: live patches come and are renewed with the system's updates.
///
/// # Errors
/// There is no package manager, or it fails; or there is no systemd where apt is.
pub fn auto(run: &Run<'_>) -> Result<()> {
    let manager = manager(run)?;
    match manager {
        Manager::Dnf { .. } => manager.install(&[META]),
        Manager::Apt => {
            timer::set(run, true)?;
            install(run, true)
        }
    }
}

/// `manual`: they do not; what is installed stays.
///
/// # Errors
/// As [`auto`].
pub fn manual(run: &Run<'_>) -> Result<()> {
    let manager = manager(run)?;
    let Manager::Dnf { five } = manager else { return timer::set(run, false) };
    if !manager.is_installed(META)? {
        run.say.line(format!("{META} is not installed: live patches are not updated automatically"));
        return Ok(());
    }
    // They came as what another package requires: without that they would go with the next clean-up.
    let there = manager.installed()?;
    manager::dnf_keep(five, &there.iter().map(String::as_str).collect::<Vec<_>>())?;
    manager::dnf_remove(META)
}

/// `install`: the newest live patch of each kernel on this host, once; where its stream has brought none yet, the empty
/// package, which the system's updates renew. With `missing`, only of kernels that have none installed.
///
/// # Errors
/// As [`auto`].
pub fn install(run: &Run<'_>, missing: bool) -> Result<()> {
    let manager = manager(run)?;
    let mut offers = offers(run, &manager)?;
    note(run, &offers, is_fresh(&manager))?;
    if missing {
        // A kernel that runs and was removed: its live patch would bring it back.
        let folder = run.host.at("/lib/modules");
        offers.retain(|release, _| folder.join(release).join("modules.builtin").is_file());
    }
    if offers.is_empty() {
        run.say.line(format!("no live patch is available for {}", kernels(run)?.join(", ")));
        return Ok(());
    }
    let there = manager.installed()?;
    let (old, new): (Vec<_>, Vec<_>) = offers
        .iter()
        .map(|(release, offer)| (release.as_str(), offer.package.as_str()))
        .partition(|(_, package)| there.iter().any(|name| name == package));
    if !missing && manager != Manager::Apt {
        return manager.install(&[old, new].concat().iter().map(|(_, package)| *package).collect::<Vec<_>>());
    }
    if !missing && !old.is_empty() {
        manager.install(&old.iter().map(|(_, package)| *package).collect::<Vec<_>>())?;
    }
    let Err(error) = manager.install_new(&new) else { return Ok(()) };
    if new.len() < 2 {
        return Err(error);
    }
    // One that cannot be installed does not keep the others away.
    run.say.warn(format!("{error:#}: trying each one separately"));
    let failed: Vec<&str> =
        new.iter().filter(|one| manager.install_new(&[**one]).is_err()).map(|(_, package)| *package).collect();
    ensure!(failed.is_empty(), "{} could not be installed: see the output above", failed.join(", "));
    Ok(())
}

/// `status`: whether updates come by themselves, and what can be had.
///
/// # Errors
/// As [`auto`].
pub fn status(run: &Run<'_>) -> Result<()> {
    let manager = manager(run)?;
    let is_auto = match manager {
        Manager::Dnf { .. } => manager.is_installed(META)?,
        Manager::Apt => timer::is_set()?,
    };
    let setting = if is_auto { "auto-update" } else { "manual-update" };
    run.say.line(format!("Kpatch update setting: {setting}"));
    let offers = offers(run, &manager)?;
    let (empty, full): (Vec<&Offer>, Vec<&Offer>) = offers.values().partition(|offer| offer.is_empty());
    let list: Vec<String> = full.iter().map(|offer| format!("{}-{}", offer.package, offer.version)).collect();
    let list = if list.is_empty() { "none".into() } else { list.join(", ") };
    run.say.line(format!("Available patches: {list}"));
    if !empty.is_empty() {
        let list: Vec<&str> = empty.iter().map(|offer| offer.package.as_str()).collect();
        run.say.line(format!("No live patch yet: {}", list.join(", ")));
    }
    note(run, &offers, is_fresh(&manager))
}

/// `check`: asks the repositories themselves, and not what the package manager remembers of them; notes what there is.
///
/// # Errors
/// As [`auto`]; then the note is as it was, and its age tells.
pub fn check(run: &Run<'_>) -> Result<()> {
    let manager = manager(run)?;
    manager.renew()?;
    let offers = offers(run, &manager)?;
    note(run, &offers, true)
}

/// Whether an answer is the repositories' own: dnf fetches their lists anew when they are old (metadata_expire), apt when it is
/// told to.
fn is_fresh(manager: &Manager) -> bool {
    matches!(manager, Manager::Dnf { .. })
}

/// Writes down what was seen, for `kmend status`: as of now where it is `fresh`, else as of the last check.
fn note(run: &Run<'_>, offers: &BTreeMap<String, Offer>, fresh: bool) -> Result<()> {
    let newest = |offer: &Offer| Newest { version: offer.version.clone() };
    let kernels = offers.iter().map(|(release, offer)| (release.clone(), newest(offer))).collect();
    let before = || notes::read::<Available>(run.host).ok().map(|note| note.checked).filter(|day| !day.is_empty());
    let checked = Some(()).filter(|()| !fresh).and_then(|()| before()).unwrap_or_else(|| clock::stamp(run.host));
    let available = Available { checked, kernels, asked: self::kernels(run)? };
    let done = lock::take(run, "subscribe", true).and_then(|_lock| notes::write(run.host, &available));
    if let Err(error) = done {
        run.say.warn(format!("{error:#}: `kmend status` will not show this check"));
    }
    indexes::remember(run);
    Ok(())
}
