// SPDX-License-Identifier: GPL-2.0-or-later
//! What the running kernel demands of any module before it looks into it: files of /sys and /proc in, the reason why an
//! unsigned module, or any at all, is not taken out.

use super::policy::{self, Policy};
use super::Host;
use crate::Run;
use anyhow::{ensure, Context, Result};
use serde::Serialize;

/// The parameter `module.sig_enforce` (kernel/module/signing.c).
pub const ENFORCE: &str = "/sys/module/module/parameters/sig_enforce";
/// Kernel lockdown: `none [integrity] confidentiality`, the one in force in brackets (security/lockdown/lockdown.c).
const LOCKDOWN: &str = "/sys/kernel/security/lockdown";
/// 1: no module is loaded any more until a reboot.
const DISABLED: &str = "/proc/sys/kernel/modules_disabled";

/// What the kernel says. A file that is missing or cannot be read says nothing: the kernel judges by itself later.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Demands {
    /// Why modules have to be signed; None where nothing says so.
    pub signature: Option<String>,
    /// Why no module is loaded at all.
    pub none_at_all: Option<String>,
    /// The kernel can be told to check signatures ([`ENFORCE`] is there).
    pub can_enforce: bool,
}

/// Who makes sure that a live patch comes from a known maker: the operator's setting beside what the kernel does by itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Signatures {
    /// The setting: `any`, `kernel`, `kernel-enforce`, `certificate`; null where it cannot be read.
    pub setting: Option<&'static str>,
    /// The certificate's file.
    pub certificate: Option<String>,
    /// The kernel takes signed modules only, and why that is known.
    pub kernel_demands: Option<String>,
    /// Who checks a live patch that kmend loads now: `kernel`, `kmend`, both or none.
    pub checked_by: Vec<&'static str>,
    /// What is wrong with the setting: nothing is loaded then.
    pub fault: Option<String>,
}

/// Looks at both.
pub fn signatures(host: &Host) -> Signatures {
    let demands = demands(host);
    let (setting, certificate, fault) = match policy::read(host) {
        Ok(Policy::Any) => (Some("any"), None, None),
        Ok(Policy::Kernel { enforce: false }) => (Some("kernel"), None, None),
        Ok(Policy::Kernel { enforce: true }) => (Some("kernel-enforce"), None, None),
        Ok(Policy::Certificate(path)) => (Some("certificate"), Some(path), None),
        Err(fault) => (None, None, Some(fault)),
    };
    let by_kernel = demands.signature.is_some() || (setting == Some("kernel-enforce") && demands.can_enforce);
    let checked_by = [("kernel", by_kernel), ("kmend", certificate.is_some())];
    let checked_by = checked_by.into_iter().filter(|(_, checks)| *checks).map(|(who, _)| who).collect();
    Signatures { setting, certificate, kernel_demands: demands.signature, checked_by, fault }
}

impl Signatures {
    /// In a line.
    pub fn line(&self) -> String {
        let kernel = if self.kernel_demands.is_some() {
            "the kernel accepts only modules that are signed with a key in its keyring"
        } else {
            "the kernel does not ask for signatures"
        };
        if let Some(fault) = &self.fault {
            return format!("{fault}: kmend loads nothing until this is fixed; {kernel}");
        }
        match (self.setting, &self.certificate) {
            (_, Some(path)) => format!("kmend loads only modules that are signed with the key of {path}; {kernel}"),
            (Some("kernel"), _) if self.checked_by.is_empty() => {
                format!("signed live patches only, but {kernel}: kmend loads nothing until it does")
            }
            (Some("kernel-enforce"), _) if self.checked_by.is_empty() => {
                "signed live patches only, but this kernel cannot check signatures: kmend loads nothing".into()
            }
            (Some("kernel-enforce"), _) if self.kernel_demands.is_none() => {
                "signed live patches only: kmend makes the kernel require signatures when it loads the first one".into()
            }
            (Some("any"), _) if self.checked_by.is_empty() => {
                "nothing on this host checks who made a live patch".into()
            }
            _ => kernel.into(),
        }
    }
}

/// Has the kernel take signed modules only from now on, until a reboot, where the setting asks for it and the kernel does not do it yet
/// (bool_enable_only: it can be turned on and not off).
///
/// # Errors
/// The kernel says no.
pub fn enforce(run: &Run<'_>) -> Result<()> {
    let wanted = matches!(policy::read(run.host), Ok(Policy::Kernel { enforce: true }));
    if !wanted || demands(run.host).signature.is_some() {
        return Ok(());
    }
    run.say.line(format!("{ENFORCE}: Y: this kernel accepts only signed modules from now on ({})", policy::FILE));
    run.kernel.write(&run.host.at(ENFORCE), "Y").with_context(|| format!("cannot write Y to {ENFORCE}"))?;
    ensure!(demands(run.host).signature.is_some(), "{ENFORCE} is not Y, although it was written: nothing is loaded");
    Ok(())
}

/// Looks.
pub fn demands(host: &Host) -> Demands {
    let text = |path: &str| host.text(&host.at(path)).ok().flatten();
    let mut demands = Demands { can_enforce: text(ENFORCE).is_some(), ..Demands::default() };
    if text(DISABLED).as_deref() == Some("1") {
        demands.none_at_all = Some(format!("{DISABLED} is 1: this kernel loads no modules until it is booted again"));
    }
    if matches!(text(ENFORCE).as_deref(), Some("Y" | "1")) {
        demands.signature = Some(format!("this kernel accepts only signed modules ({ENFORCE} is Y)"));
    } else if let Some(level) = text(LOCKDOWN).as_deref().and_then(in_brackets).filter(|level| *level != "none") {
        demands.signature = Some(format!("this kernel accepts only signed modules ({LOCKDOWN} is {level})"));
    }
    demands
}

fn in_brackets(text: &str) -> Option<&str> {
    text.split_once('[')?.1.split_once(']').map(|(level, _)| level)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn each_demand_is_seen_and_what_is_missing_demands_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let host = Host::new(dir.path());
        assert_eq!(demands(&host), Demands::default());
        let put = |path: &str, text: &str| {
            fs::create_dir_all(host.at(path).parent().unwrap()).unwrap();
            fs::write(host.at(path), text).unwrap();
        };
        put(ENFORCE, "N\n");
        put(LOCKDOWN, "[none] integrity confidentiality\n");
        put(DISABLED, "0\n");
        assert_eq!(demands(&host), Demands { can_enforce: true, ..Demands::default() });
        put(LOCKDOWN, "none [integrity] confidentiality\n");
        assert!(demands(&host).signature.unwrap().ends_with("(/sys/kernel/security/lockdown is integrity)"));
        put(ENFORCE, "Y\n");
        assert!(demands(&host).signature.unwrap().contains("sig_enforce is Y"));
        put(DISABLED, "1\n");
        assert!(demands(&host).none_at_all.is_some());
        for odd in ["", "[", "]", "none", "]["] {
            assert_eq!(in_brackets(odd).filter(|l| !l.is_empty()), None, "{odd}");
        }
    }
}
