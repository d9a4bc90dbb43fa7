// SPDX-License-Identifier: GPL-2.0-or-later
//! Reads kernel .config files and compares two of them: what differs, and whether it matters.

use std::collections::BTreeMap;

/// A kernel's .config: option (with CONFIG_) to value; strings without their quotes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Config(BTreeMap<String, String>);

/// Options that may differ between the shipped .config and the one that kbuild makes of it here, and
/// why that changes no code. A trailing `*` stands for any ending.
pub const IGNORED: &[(&str, &str)] = &[
    ("CONFIG_MODULE_SIG_KEY*", "names the distribution's signing key, which is not in the source"),
    ("CONFIG_OPENSSL_SUPPORTS_ML_DSA", "asks the machine's openssl for a signature type; only module signing reads it"),
    ("CONFIG_PAHOLE_VERSION", "pahole writes BTF, not code"),
    ("CONFIG_PAHOLE_HAS_*", "pahole writes BTF, not code"),
    ("CONFIG_AS_VERSION", "only a number; the options that depend on it are compared"),
    ("CONFIG_LD_VERSION", "only a number; the options that depend on it are compared"),
    ("CONFIG_CC_CAN_LINK*", "whether user space programs can be linked here"),
];

impl Config {
    /// Reads a .config; lines of any other shape are passed over, as kbuild does.
    pub fn parse(text: &str) -> Self {
        let mut map = BTreeMap::new();
        for line in text.lines() {
            if let Some(name) = line.strip_prefix("# ").and_then(|l| l.strip_suffix(" is not set")) {
                map.insert(name.to_string(), "n".to_string());
            } else if let Some((name, value)) = line.split_once('=').filter(|(n, _)| n.starts_with("CONFIG_")) {
                let inner = value.strip_prefix('"').and_then(|v| v.strip_suffix('"'));
                let text = inner.map(|v| v.replace("\\\"", "\"").replace("\\\\", "\\"));
                map.insert(name.to_string(), text.unwrap_or_else(|| value.to_string()));
            }
        }
        Self(map)
    }

    /// The value of an option; None when it is not there.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    /// Whether the option is `y`.
    pub fn is_on(&self, name: &str) -> bool {
        self.get(name) == Some("y")
    }

    /// Number of options.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is no option at all.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The differences that matter, each "OPTION: shipped A, here B". An option that is not there and
    /// one that is off are the same to the code.
    pub fn differences(&self, here: &Config) -> Vec<String> {
        let mut names: Vec<&String> = self.0.keys().chain(here.0.keys()).collect();
        names.sort();
        names.dedup();
        let value = |c: &Config, n: &str| c.get(n).unwrap_or("n").to_string();
        names
            .into_iter()
            .filter(|n| value(self, n) != value(here, n) && !is_ignored(n))
            .map(|n| format!("{n}: shipped {}, here {}", value(self, n), value(here, n)))
            .collect()
    }
}

fn is_ignored(name: &str) -> bool {
    IGNORED.iter().any(|(pattern, _)| match pattern.strip_suffix('*') {
        Some(start) => name.starts_with(start),
        None => name == *pattern,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const STOCK: &str = "# Linux/x86 7.2 Kernel Configuration\nCONFIG_CC_VERSION_TEXT=\"gcc (Debian \\\"x\\\") 1\"\n\
                         CONFIG_A=y\nCONFIG_B=m\n# CONFIG_C is not set\nCONFIG_MODULE_SIG_KEY=\"a.pem\"\nCONFIG_LD_VERSION=1\n";

    #[test]
    fn values() {
        let c = Config::parse(STOCK);
        assert_eq!(c.get("CONFIG_CC_VERSION_TEXT"), Some("gcc (Debian \"x\") 1"));
        assert!(c.is_on("CONFIG_A") && !c.is_on("CONFIG_B") && !c.is_on("CONFIG_C"));
        assert_eq!(c.len(), 6);
    }

    #[test]
    fn differences_that_matter() {
        let stock = Config::parse(STOCK);
        assert!(stock.differences(&stock).is_empty());
        let noise =
            STOCK.replace("a.pem", "b.pem").replace("# CONFIG_C is not set\n", "").replace("VERSION=1", "VERSION=2");
        assert!(stock.differences(&Config::parse(&noise)).is_empty());
        let real = STOCK.replace("CONFIG_B=m", "CONFIG_B=y").replace("CONFIG_A=y\n", "");
        assert_eq!(
            stock.differences(&Config::parse(&real)),
            ["CONFIG_A: shipped y, here n", "CONFIG_B: shipped m, here y"]
        );
    }

    #[test]
    fn junk_is_survived() {
        for text in ["", "=", "CONFIG_=", "CONFIG_X=\"", "# is not set", "#  is not set", "CONFIG_Y=\"\\\""] {
            let _ = Config::parse(text);
        }
    }
}
