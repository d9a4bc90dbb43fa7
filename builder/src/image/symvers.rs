// SPDX-License-Identifier: GPL-2.0-or-later
//! Module.symvers: what the kernel and its modules export (scripts/mod/modpost.c, write_dump).

use anyhow::{bail, Context, Result};
use std::collections::HashMap;
use std::path::Path;

/// One exported symbol.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Export {
    /// None for vmlinux, else the exporting module's name with underscores.
    pub module: Option<String>,
    /// Its namespace; empty for none.
    pub namespace: String,
    /// Its checksum; 0 in a kernel that has none.
    pub crc: u32,
}

/// All exports by name.
#[derive(Clone, Debug, Default)]
pub struct Symvers(HashMap<String, Export>);

impl Symvers {
    /// Reads the file.
    ///
    /// # Errors
    /// A line that is not CRC, symbol, module, kind [, namespace] with tabs between.
    pub fn load(path: &Path) -> Result<Self> {
        Self::parse(&crate::files::read_text(path)?).with_context(|| path.display().to_string())
    }

    /// The same from text.
    pub fn parse(text: &str) -> Result<Self> {
        let mut map = HashMap::new();
        for (n, line) in text.lines().enumerate() {
            let fields: Vec<&str> = line.split('\t').collect();
            let bad = || format!("line {}: {line:?} is not CRC, symbol, module and kind with tabs between", n + 1);
            let [crc, name, module, _kind, rest @ ..] = fields.as_slice() else { bail!("{}", bad()) };
            let digits = crc.strip_prefix("0x").with_context(bad)?;
            let crc = u32::from_str_radix(digits, 16).ok().with_context(bad)?;
            let module = (*module != "vmlinux").then(|| module.rsplit('/').next().unwrap_or(module).replace('-', "_"));
            let namespace = rest.first().copied().unwrap_or("").to_string();
            map.insert((*name).to_string(), Export { module, namespace, crc });
        }
        Ok(Self(map))
    }

    /// The export of this name.
    pub fn get(&self, name: &str) -> Option<&Export> {
        self.0.get(name)
    }

    /// True if any module may use it directly: exported by vmlinux, in no namespace.
    pub fn is_open(&self, name: &str) -> bool {
        self.get(name).is_some_and(|e| e.module.is_none() && e.namespace.is_empty())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_both_kinds_of_line() {
        let text = "0x0\ta\tvmlinux\tEXPORT_SYMBOL\t\n0xfe02\tb\tdrivers/block/z-ram\tEXPORT_SYMBOL_GPL\tNS\n";
        let s = Symvers::parse(text).unwrap();
        assert!(s.is_open("a"));
        assert_eq!(s.get("b"), Some(&Export { module: Some("z_ram".into()), namespace: "NS".into(), crc: 0xfe02 }));
        assert!(!s.is_open("b"));
        assert!(Symvers::parse("0x0 a vmlinux").is_err());
        assert!(Symvers::parse("x\ta\tvmlinux\tEXPORT_SYMBOL\t").is_err());
    }
}
