// SPDX-License-Identifier: GPL-2.0-or-later
//! What the running kernel demands of any module before it looks into it: files of /sys and /proc in, the reason why an
//! unsigned module, or any at all, is not taken out.

use super::Host;

/// The parameter `module.sig_enforce` (kernel/module/signing.c).
const ENFORCE: &str = "/sys/module/module/parameters/sig_enforce";
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
}

/// Looks.
pub fn demands(host: &Host) -> Demands {
    let text = |path: &str| host.text(&host.at(path)).ok().flatten();
    let mut demands = Demands::default();
    if text(DISABLED).as_deref() == Some("1") {
        demands.none_at_all = Some(format!("{DISABLED} is 1: this kernel loads no modules until it is booted again"));
    }
    if matches!(text(ENFORCE).as_deref(), Some("Y" | "1")) {
        demands.signature = Some(format!("this kernel takes signed modules only ({ENFORCE} is Y)"));
    } else if let Some(level) = text(LOCKDOWN).as_deref().and_then(in_brackets).filter(|level| *level != "none") {
        demands.signature = Some(format!("this kernel takes signed modules only ({LOCKDOWN} is {level})"));
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
        assert_eq!(demands(&host), Demands::default());
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
