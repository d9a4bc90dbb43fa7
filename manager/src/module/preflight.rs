// SPDX-License-Identifier: GPL-2.0-or-later
//! Before a module is installed or loaded: a file and a kernel in, a [`Ready`] module or a [`Refusal`] out. The
//! kernel's loader would find most of this too, but says it in one line of dmesg; that a module was proven against
//! another build of the same release it does not find at all.

use super::shared::{self, Hands};
use super::{signature, Fault, Module};
use crate::arch;
use crate::files;
use crate::host::policy::{self, Policy};
use crate::host::signer;
use crate::host::trust::{self, Demands};
use crate::host::{livepatch, modes, store, Host};
use crate::say;
use std::cell::OnceCell;
use std::fmt;
use std::fs::File;
use std::path::{Path, PathBuf};

/// Larger files are no live patches; the kernel's own limit for a module is INT_MAX.
pub const LARGEST: u64 = 256 << 20;

/// A module that may be loaded.
#[derive(Debug)]
pub struct Ready {
    /// Where it was read.
    pub path: PathBuf,
    /// The open file.
    pub file: File,
    /// All of it.
    pub bytes: Vec<u8>,
    /// What it says.
    pub module: Module,
    /// What is not in the way of loading it, but worth a word.
    pub warnings: Vec<String>,
}

/// Why a file is not installed or loaded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The file.
    pub file: String,
    /// The part of it.
    pub place: String,
    /// What is wrong.
    pub reason: String,
    /// What to do.
    pub advice: String,
    /// The kernel that it says it is for, where it says that.
    pub meant_for: Option<String>,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Names and values of the file must not look like lines of ours.
        let [file, place, reason, advice] =
            [&self.file, &self.place, &self.reason, &self.advice].map(|t| say::shown(t));
        write!(f, "{file}: {place}: {reason}\n  what you can do: {advice}")
    }
}

impl std::error::Error for Refusal {}

/// What a module has to fit.
#[derive(Clone, Debug)]
pub struct Kernel {
    /// `uname -r`.
    pub release: String,
    /// `uname -m`.
    pub machine: String,
    /// Where this kernel runs: its build id, or why that is not known. None for one that does not run.
    pub running: Option<Result<String, String>>,
    /// What it demands of any module; nothing where it does not run.
    pub demands: Demands,
    /// Who has to have signed a live patch on this host; or why that is not known.
    pub policy: Result<Policy, String>,
    /// Who has a hand on its functions, read when a module is first looked at.
    pub hands: OnceCell<Hands>,
}

impl Kernel {
    /// The running kernel.
    ///
    /// # Errors
    /// /proc does not say which it is.
    pub fn running(host: &Host) -> anyhow::Result<Self> {
        let build_id = match host.build_id() {
            Ok(Some(id)) => Ok(id),
            Ok(None) => Err("/sys/kernel/notes holds no build id".into()),
            Err(error) => Err(format!("{error:#}")),
        };
        let (release, machine, demands) = (host.release()?, host.machine()?, trust::demands(host));
        let policy = policy::read(host);
        Ok(Self { release, machine, running: Some(build_id), demands, policy, hands: OnceCell::new() })
    }

    /// One that is installed, or will be.
    ///
    /// # Errors
    /// /proc does not say the machine.
    pub fn of_release(host: &Host, release: &str) -> anyhow::Result<Self> {
        let (release, machine, demands) = (release.into(), host.machine()?, Demands::default());
        Ok(Self { release, machine, running: None, demands, policy: policy::read(host), hands: OnceCell::new() })
    }
}

/// Reads `path` and checks all that can be known before the kernel is asked.
///
/// # Errors
/// The first thing that rules it out.
pub fn check(host: &Host, path: &Path, kernel: &Kernel) -> Result<Ready, Refusal> {
    let refusal = |place: &str, reason: String, advice: &str| Refusal {
        file: host.show(path),
        place: place.into(),
        reason,
        advice: advice.into(),
        meant_for: None,
    };
    let unreadable = |error: std::io::Error| {
        refusal("file", format!("cannot read it: {error}"), "name a .ko file that root can read")
    };
    let file = files::open(path).map_err(unreadable)?;
    if store::is_one(host, path) {
        if let Some(reason) = file.metadata().ok().and_then(|meta| modes::fault(&meta)) {
            let advice =
                "find out who put it there; `kmend uninstall` takes it away, and its package installs it again";
            return Err(refusal("file", reason, advice));
        }
    }
    let bytes = files::whole(&file, LARGEST).map_err(unreadable)?;
    if let Some(program) = super::compressed(&bytes) {
        let reason = format!("it is compressed ({program}), and live patches must be loaded uncompressed");
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        return Err(refusal("file", reason, &super::unpacked(program, &name)));
    }
    let module = Module::parse(&bytes).map_err(|Fault { place, reason }| {
        refusal(&place, reason, "fetch or build the file again: nothing was loaded from it")
    })?;
    if let Some((place, reason, advice)) = against(&module, kernel) {
        let meant_for = module.release().map(Into::into);
        return Err(Refusal { meant_for, ..refusal(place, reason, &advice) });
    }
    if let Some((place, reason, advice)) = against_policy(host, &file, &module, &bytes, kernel) {
        return Err(refusal(place, reason, &advice));
    }
    let mut warnings = Vec::new();
    if let (Some(manifest), true) = (&module.manifest, kernel.running.is_some()) {
        let shared = shared::look(kernel.hands.get_or_init(|| Hands::read(host)), manifest);
        // In force already: the one who redirects is this live patch.
        let is_on = livepatch::find(host, &module.name).is_ok_and(|p| p.is_some_and(|p| p.enabled));
        if let (Some(conflict), false) = (shared.conflict, is_on) {
            let advice =
                "stop what redirects that function (a tracer, a fault injector, a security agent's hook), then \
                          load the live patch";
            return Err(refusal("its functions", format!("{conflict}: the kernel would refuse it as busy"), advice));
        }
        warnings = shared.warnings;
    }
    Ok(Ready { path: path.into(), file, bytes, module, warnings })
}

type Against = (&'static str, String, String);

/// What rules out `module` on `kernel`: place, reason, advice.
fn against(module: &Module, kernel: &Kernel) -> Option<Against> {
    const MODINFO: &str = "section .modinfo";
    let other = || format!("install the live patch for {}", kernel.release);
    match arch::supported(module.machine) {
        Some(name) if name == kernel.machine => {}
        _ => {
            let reason = format!("it is for {}, this machine is {}", arch::name(module.machine), kernel.machine);
            return Some(("ELF header", reason, format!("{} on {}", other(), kernel.machine)));
        }
    }
    if module.info("livepatch") != Some("Y") {
        let reason = "livepatch=Y is missing: this is a module, but not a live patch".into();
        return Some((MODINFO, reason, "load ordinary modules with modprobe".into()));
    }
    match module.release() {
        None => {
            return Some((MODINFO, "it has no vermagic, so it does not say which kernel it is for".into(), other()))
        }
        Some(release) if release != kernel.release => {
            let which = if kernel.running.is_some() { "the running kernel is" } else { "it is to be installed for" };
            let reason = format!("vermagic says it is for {release}, {which} {}", kernel.release);
            return Some((MODINFO, reason, other()));
        }
        Some(_) => {}
    }
    against_manifest(module, kernel).or_else(|| against_demands(module, kernel))
}

/// What the operator's setting says against a module, whose bytes and open file these are.
fn against_policy(host: &Host, file: &File, module: &Module, bytes: &[u8], kernel: &Kernel) -> Option<Against> {
    const PLACE: &str = "appended signature";
    const SIGN: &str = "install the signed build of it; if that is not wanted on this host, change /etc/kmend.conf";
    let (setting, file_name) = (policy::KEY, policy::FILE);
    let policy = match &kernel.policy {
        Ok(policy) => policy,
        Err(fault) => return Some((policy::FILE, fault.clone(), format!("put {file_name} right"))),
    };
    if *policy == Policy::Any {
        return None;
    }
    let parts = match signature::parts(bytes) {
        Ok(Some(parts)) => parts,
        _ => {
            let reason = format!(
                "it has no signature, and this host accepts only signed live patches ({setting} in {file_name})"
            );
            return Some((PLACE, reason, SIGN.into()));
        }
    };
    match policy {
        Policy::Any => None,
        Policy::Kernel { enforce } => {
            let trusts = kernel.demands.signature.is_some() || (*enforce && kernel.demands.can_enforce);
            if kernel.running.is_none() || trusts {
                return None;
            }
            let reason = format!(
                "{} would have to be signed by a key of the kernel's ({setting} in {file_name}), and this kernel does not check that",
                module.name
            );
            let advice = if kernel.demands.can_enforce {
                format!(
                    "boot with module.sig_enforce=1, or write Y to {}; `{setting} = kernel-enforce` has kmend do that. It holds \
                     for all modules, until a reboot",
                    trust::ENFORCE
                )
            } else {
                format!("boot a kernel with CONFIG_MODULE_SIG, or name a certificate in {file_name}")
            };
            Some(("kernel", reason, advice))
        }
        Policy::Certificate(cert) => {
            // The kernel reads the file once more: no one else may change it in between.
            if let Some(reason) = file.metadata().ok().and_then(|meta| modes::fault(&meta)) {
                let reason = format!("{reason}: the file could be changed after it was checked");
                return Some(("file", reason, "copy it to a folder that belongs to root".into()));
            }
            match signer::verify(host, &parts, cert) {
                Ok(()) => None,
                Err(signer::Fault::Signature(reason)) => Some((
                    PLACE,
                    format!("the key of {cert} has not signed it ({setting} in {file_name}): {reason}"),
                    SIGN.into(),
                )),
                Err(signer::Fault::Check(reason)) => {
                    let reason = format!("its signature cannot be checked ({setting} in {file_name}): {reason}");
                    Some((PLACE, reason, format!("fix this, or change {file_name}")))
                }
            }
        }
    }
}

/// What the kernel would answer with EKEYREJECTED or EPERM.
fn against_demands(module: &Module, kernel: &Kernel) -> Option<Against> {
    if let Some(reason) = &kernel.demands.none_at_all {
        return Some(("kernel", reason.clone(), "reboot: installed live patches are then loaded".into()));
    }
    let demand = kernel.demands.signature.as_ref().filter(|_| !module.signed)?;
    let reason = format!("it has no signature, and {demand}");
    let advice = "install the signed build of it, or sign it (scripts/sign-file of the kernel) with a key that this \
                  kernel knows";
    Some(("appended signature", reason, advice.into()))
}

fn against_manifest(module: &Module, kernel: &Kernel) -> Option<Against> {
    const NOTE: &str = "section .note.kmend";
    let manifest = module.manifest.as_ref()?;
    let foreign = |what: &str, there: &str, here: &str| {
        let reason = format!("the manifest does not belong to this module: its {what} is {there} there, {here} here");
        Some((NOTE, reason, "build the live patch again, or get it again from its vendor".into()))
    };
    if manifest.name != module.name {
        return foreign("name", &manifest.name, &module.name);
    }
    if manifest.target.release != kernel.release {
        return foreign("kernel", &manifest.target.release, &kernel.release);
    }
    if manifest.target.arch != kernel.machine {
        return foreign("architecture", &manifest.target.arch, &kernel.machine);
    }
    let proven = &manifest.target.build_id;
    let runs = match kernel.running.as_ref()? {
        Ok(runs) => runs,
        Err(why) => {
            let reason =
                format!("it was proven against build id {proven}, and that of the running kernel is not known");
            return Some((NOTE, format!("{reason}: {why}"), "mount /sys, or boot a kernel with a build id".into()));
        }
    };
    if runs != proven {
        let reason = format!(
            "it was proven against the kernel with build id {proven}, and the one that runs has {runs} (both call \
             themselves {})",
            kernel.release
        );
        let advice = "build it against the kernel that runs; if that package was updated in place, reboot into it";
        return Some((NOTE, reason, advice.into()));
    }
    None
}
