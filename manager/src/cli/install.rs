// SPDX-License-Identifier: GPL-2.0-or-later
//! kmend install and uninstall: files of /var/lib/kpatch/KERNEL, which are loaded at boot. What a package or an image has in
//! /usr/lib/kpatch/KERNEL is loaded at boot, too, unless it was uninstalled.

use crate::host::{lock, store};
use crate::module::preflight::{self, Kernel};
use crate::module::refuse_compressed;
use crate::{failures, files, last_good, order, say, Run};
use anyhow::{bail, ensure, Context, Result};
use clap::Args;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// A module, and the kernel it is meant for.
#[derive(Args)]
pub struct InstallArgs {
    /// The kernel, as printed by `uname -r` [default: the running one]
    #[arg(short, long, value_name = "VER")]
    kernel_version: Option<String>,
    /// install: a .ko file; uninstall: the name of a module or of its file
    #[arg(value_name = "MODULE")]
    module: PathBuf,
}

/// Runs `install`.
pub fn install(run: &Run<'_>, args: &InstallArgs) -> Result<()> {
    let path = args.module.as_path();
    let shown = say::shown(&path.to_string_lossy()).into_owned();
    ensure!(path.exists(), "{shown} doesn't exist");
    ensure!(shown == path.to_string_lossy(), "{shown}: its name contains invisible characters: rename it first");
    refuse_compressed(&shown)?;
    let name = path.file_name().and_then(|n| n.to_str()).filter(|n| n.ends_with(".ko") && !n.starts_with('.'));
    let name = name.with_context(|| format!("{shown} isn't a .ko file"))?;
    ensure!(
        is_plain(name),
        "{shown}: its name contains characters other than letters, digits and . _ + ~ -\n  what you can do: rename it"
    );
    let release = release(run, args)?;
    let kernel = Kernel::of_release(run.host, &release)?;
    let folder = store::folder(run.host, &release)?;
    let is_packaged = store::is_packaged(run.host, path, &release);
    let _lock = lock::take(run, "install", !is_packaged)?;
    let module = store::name_of(path);
    let done = put(run, path, &folder, &kernel);
    let done = match done {
        // It is there already, and loaded from there.
        Err(error) if is_packaged && !error.is::<preflight::Refusal>() => {
            run.say.warn(format!("{error:#}: {shown} is not copied, and is loaded from where it is"));
            enable_service(run);
            Ok(())
        }
        done => done,
    };
    match &done {
        Ok(()) => failures::clear(run, "install", &module, &release),
        Err(error) => failures::record(run, "install", &module, &release, error),
    }
    done
}

/// Names of files as packages have them: each a word of `list` and of a shell.
fn is_plain(name: &str) -> bool {
    name.bytes().all(|b| b.is_ascii_alphanumeric() || b"._+~-".contains(&b))
}

/// Checks the file and puts it into the folder, under the name of its module where it is called in another way; the lock
/// is held.
fn put(run: &Run<'_>, path: &Path, folder: &Path, kernel: &Kernel) -> Result<()> {
    let (shown, release) = (path.display(), kernel.release.as_str());
    let ready = preflight::check(run.host, path, kernel)?;
    let module = ready.module.name.as_str();
    let called = path.file_name().unwrap_or_default().to_string_lossy();
    let own = if order::module_name(&called) == module { called.into_owned() } else { format!("{module}.ko") };
    store::count_packaged(run.host, release, module, true)?;
    let into = folder.join(own);
    let there = store::in_var(run.host, release, module)?.into_iter().map(|i| i.path);
    let there = there.chain(into.exists().then(|| into.clone())).next();
    let bytes = there.as_ref().map(|there| {
        files::read(there, preflight::LARGEST).with_context(|| format!("cannot read {}", run.host.show(there)))
    });
    match (there, bytes.transpose()?) {
        (Some(there), Some(bytes)) if bytes != ready.bytes => bail!(
            "{shown} is already installed, with other content: {} was left as it is\n  what you can do: `kmend uninstall -k \
             {release} {}` first",
            run.host.show(&there),
            there.file_name().unwrap_or_default().to_string_lossy()
        ),
        (Some(_), _) => {
            run.say.line(format!("{shown} is already installed ({release})"));
            enable_service(run);
            return Ok(());
        }
        (None, _) => {}
    }
    let name = if path.file_name() == into.file_name() { "" } else { &format!(" as {module}") };
    run.say.line(format!("installing {shown}{name} ({release})"));
    files::write(&into, &ready.bytes)?;
    warn_of_build(run, &ready, release);
    enable_service(run);
    Ok(())
}

/// A file for the running release that was proven against another build of it is no error here: a reboot may bring
/// the right one.
fn warn_of_build(run: &Run<'_>, ready: &preflight::Ready, release: &str) {
    let (Some(manifest), Ok(running)) = (&ready.module.manifest, run.host.release()) else { return };
    if let (true, Ok(Some(id))) = (running == release, run.host.build_id()) {
        if manifest.target.build_id != id {
            run.say.warn(format!(
                "it will not load into the kernel that runs now, which is another build of {release} (build id {id}, not {})",
                manifest.target.build_id
            ));
        }
    }
}

/// Runs `uninstall`.
pub fn uninstall(run: &Run<'_>, args: &InstallArgs) -> Result<()> {
    let text = args.module.to_string_lossy();
    ensure!(
        Path::new(&*text).file_name() == Some(args.module.as_os_str()),
        "please supply patch module name without path"
    );
    let release = release(run, args)?;
    store::folder(run.host, &release)?;
    let _lock = lock::take(run, "uninstall", true)?;
    let Some(found) = store::find(run.host, &release, &text)? else {
        failures::gone(run, &order::module_name(&text), &release);
        last_good::gone(run, &order::place(&order::module_name(&text), &release), &release);
        bail!("{text} is not installed for kernel {release}");
    };
    run.say.line(format!("uninstalling {text} ({release})"));
    if store::count_packaged(run.host, &release, &found.name, false)? {
        run.say.line(format!(
            "{} stays in {}/{release} as long as its package is installed, but is not loaded from there",
            found.name,
            store::PACKAGED
        ));
    }
    if !store::is_packaged(run.host, &found.path, &release) {
        last_good::uninstall(run, &found, &release)?;
    }
    failures::gone(run, &found.name, &release);
    Ok(())
}

fn release(run: &Run<'_>, args: &InstallArgs) -> Result<String> {
    args.kernel_version.clone().map_or_else(|| run.host.release(), Ok)
}

/// Has kpatch.service loaded at the next boot. Packages bring their own way to do it, so a
/// failure is told and no more.
fn enable_service(run: &Run<'_>) {
    let mut systemctl = Command::new("systemctl");
    if !run.host.is_running_system() {
        systemctl.arg("--root").arg(run.host.root());
    }
    let done = systemctl.args(["enable", "--quiet", "kpatch.service"]).stdin(Stdio::null()).output();
    match done {
        Ok(output) if !output.status.success() => {
            let said = String::from_utf8_lossy(&output.stderr);
            let said = said.trim().lines().next_back().unwrap_or("it does not say why");
            run.say.warn(format!(
                "kpatch.service could not be enabled ({said}): it is installed, but nothing loads it at boot; \
                 `systemctl enable kpatch.service` does"
            ));
        }
        Ok(_) => {}
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => run.say.warn(
            "this host has no systemctl: nothing loads live patches at boot; make sure that `kmend load --all` runs early at boot",
        ),
        Err(error) => {
            run.say.warn(format!("systemctl cannot be run ({error}): nothing loads live patches at boot"));
        }
    }
}
