// SPDX-License-Identifier: GPL-2.0-or-later
//! Whether this host takes signed live patches only: /etc/kmend.conf in, the setting out. What cannot be understood is an error, and
//! nothing is loaded then: a mistyped setting must not be none.

use super::{is_gone, modes, Host};
use crate::files;

/// The file.
pub const FILE: &str = "/etc/kmend.conf";
/// The setting's name in it.
pub const KEY: &str = "live-patch-signatures";
/// A larger file is none of kmend's.
const LARGEST: u64 = 1 << 20;

/// Who has to have signed a live patch.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Policy {
    /// `any`: no one; what the kernel demands by itself holds all the same.
    #[default]
    Any,
    /// `kernel`: a key in the kernel's keyring; the kernel checks it.
    Kernel {
        /// `kernel-enforce`: kmend has the kernel check all modules from the first load on, where it does not by itself.
        enforce: bool,
    },
    /// `/path`: the key of the certificate in this file; kmend checks it.
    Certificate(String),
}

/// Reads the setting.
///
/// # Errors
/// What is wrong with the file, in a sentence.
pub fn read(host: &Host) -> Result<Policy, String> {
    let path = host.at(FILE);
    let file = match files::open(&path) {
        Err(error) if is_gone(&error) => return Ok(Policy::Any),
        file => file.map_err(|error| format!("{FILE} cannot be read: {error}"))?,
    };
    let fault = file.metadata().ok().and_then(|meta| modes::fault(&meta));
    if let Some(fault) = fault {
        return Err(format!("{FILE} is not used: {fault}"));
    }
    let bytes = files::whole(&file, LARGEST).map_err(|error| format!("{FILE} cannot be read: {error}"))?;
    parse(&String::from_utf8(bytes).map_err(|_| format!("{FILE} is not UTF-8 text"))?)
}

fn parse(text: &str) -> Result<Policy, String> {
    let mut found = None;
    for (at, line) in text.lines().enumerate().map(|(at, line)| (at + 1, line.trim())) {
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let (key, value) = line.split_once('=').map(|(k, v)| (k.trim(), v.trim())).unwrap_or((line, ""));
        if key != KEY {
            return Err(format!("{FILE}, line {at}: {key:?} is not a setting; the only one is {KEY}"));
        }
        let policy = match value {
            "any" => Policy::Any,
            "kernel" => Policy::Kernel { enforce: false },
            "kernel-enforce" => Policy::Kernel { enforce: true },
            path if path.starts_with('/') => Policy::Certificate(path.into()),
            _ => {
                return Err(format!(
                "{FILE}, line {at}: {KEY} = {value:?}: it is any, kernel, kernel-enforce, or the path of a certificate"
            ))
            }
        };
        if found.replace(policy).is_some() {
            return Err(format!("{FILE}, line {at}: {KEY} is set twice"));
        }
    }
    Ok(found.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_are_read_and_what_is_none_is_an_error() {
        assert_eq!(parse(""), Ok(Policy::Any));
        assert_eq!(parse("# a remark\n\n live-patch-signatures = kernel \n"), Ok(Policy::Kernel { enforce: false }));
        assert_eq!(parse("live-patch-signatures=kernel-enforce"), Ok(Policy::Kernel { enforce: true }));
        assert_eq!(parse("live-patch-signatures = /etc/a.pem"), Ok(Policy::Certificate("/etc/a.pem".into())));
        assert_eq!(parse("live-patch-signatures = any"), Ok(Policy::Any));
        for (bad, words) in [
            ("live-patch-signature = kernel", "line 1: \"live-patch-signature\" is not a setting"),
            ("\nlive-patch-signatures = Kernel", "line 2: "),
            ("live-patch-signatures", "line 1: "),
            ("live-patch-signatures = a.pem", "or the path of a certificate"),
            (
                "live-patch-signatures = any\nlive-patch-signatures = kernel",
                "line 2: live-patch-signatures is set twice",
            ),
        ] {
            let error = parse(bad).unwrap_err();
            assert!(error.contains(words), "{error}");
        }
    }
}
