// SPDX-License-Identifier: GPL-2.0-or-later
//! Why a function is not proven, for a person: a proof in; the code on both sides of the first difference, and the likely
//! cause with the evidence for it, out.

use super::{Proof, Verdict};
use crate::arch::line::both;
use crate::elf::lines::of_object;
use crate::elf::{Object, SymKind};
use crate::image::shipped::Shipped;
use crate::image::Image;
use crate::target::config::Config;
use crate::target::{record, Target};
use std::io::Read;

/// Lines shown before and behind the first difference.
const AROUND: usize = 3;
/// Options of a config that are named.
const MOST_OPTIONS: usize = 4;
/// More than any kernel's config.
const CONFIG_LIMIT: u64 = 8 << 20;

/// The rebuilt code and the shipped code around the first difference of a function; None where there is nothing to compare.
pub fn code(object: &Object, proof: &Proof, name: &str, shipped: &dyn Shipped) -> Option<String> {
    let Some(Verdict::Differs { at: Some(at), offset, .. }) = proof.functions.get(name) else { return None };
    let symbol = object.symbols.iter().find(|s| s.name == name && s.kind == SymKind::Func && s.section().is_some())?;
    let rebuilt = of_object(object, symbol.section()?, symbol.value..symbol.value + symbol.size);
    let theirs = shipped.lines(object.arch, *at, symbol.size);
    Some(both(&rebuilt, &theirs, *offset, AROUND))
}

/// Evidence for one cause or another, other than the code itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Evidence {
    /// Compilers of image and target, where they are not the same.
    pub compilers: Option<(String, String)>,
    /// Options that the image's own record of its config has otherwise than the target.
    pub options: Vec<String>,
}

impl Evidence {
    /// Compares what the image says of itself with the target.
    pub fn of(target: &Target, image: &Image) -> Self {
        let banner = record::banner(image.all_bytes()).ok().map(|b| b.compilers);
        let compilers = banner.filter(|b| !same_compiler(b, &target.cc)).map(|b| (b, target.cc.clone()));
        let own = embedded_config(image.all_bytes());
        let here = std::fs::read_to_string(target.tree.join(".config")).ok();
        let options = match (own, here) {
            (Some(own), Some(here)) => Config::parse(&own).differences(&Config::parse(&here)),
            _ => Vec::new(),
        };
        Self { compilers, options }
    }

    /// The likely cause why `name` is not proven.
    pub fn cause(&self, proof: &Proof, name: &str) -> String {
        if let Some((image, target)) = &self.compilers {
            return format!(
                "most likely the compiler: the kernel was compiled with {image:?}, the target has {target:?}"
            );
        }
        if !self.options.is_empty() {
            let shown: Vec<&str> = self.options.iter().take(MOST_OPTIONS).map(String::as_str).collect();
            let more = self.options.len() - shown.len();
            let more = if more > 0 { format!(" and {more} more") } else { String::new() };
            return format!(
                "most likely the config: the one recorded in the kernel differs in {}{more}",
                shown.join(", ")
            );
        }
        let (total, proven) = (proof.functions.len(), proof.proven());
        let others = total - usize::from(proof.functions.contains_key(name));
        if total > proven + 1 && 2 * (total - proven) >= total {
            return format!(
                "only {proven} of the {total} functions of this file match the shipped kernel, and the compiler's version is \
                 that of the kernel: most likely the config, a header, or a flag"
            );
        }
        if proven == others {
            return match others {
                0 => "it is the only function of this file; the compiler's version is that of the kernel".into(),
                _ => format!(
                    "the other {others} functions of this file match the shipped kernel: most likely the kernel was built from another \
                     source of this one"
                ),
            };
        }
        format!(
            "{proven} of the {total} functions of this file match the shipped kernel: most likely the source of the others, or \
             something that they share, differs from what the kernel was built from"
        )
    }
}

/// `gcc-16 (Debian 16.2.0-3) 16.2.0, GNU ld …` and `x86_64-linux-gnu-gcc-16 (Debian 16.2.0-3) 16.2.0`: the same but for the
/// program's name.
fn same_compiler(banner: &str, cc: &str) -> bool {
    let words = |text: &str| text.split_once(" (").map(|(_, rest)| rest.to_string());
    match (words(banner), words(cc)) {
        (Some(banner), Some(cc)) => banner == cc || banner.starts_with(&format!("{cc},")),
        _ => banner == cc,
    }
}

/// The config that a kernel with CONFIG_IKCONFIG carries (kernel/configs.c).
fn embedded_config(image: &[u8]) -> Option<String> {
    let at = memchr::memmem::find_iter(image, b"IKCFG_ST\x1f\x8b").next()? + 8;
    let mut text = Vec::new();
    flate2::read::GzDecoder::new(&image[at..]).take(CONFIG_LIMIT).read_to_end(&mut text).ok()?;
    String::from_utf8(text).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::image::shipped::Spot;
    use std::collections::BTreeMap;

    fn proof(proven: usize, differs: &[&str]) -> Proof {
        let mut functions = BTreeMap::new();
        for n in 0..proven {
            functions.insert(format!("f{n}"), Verdict::Proven(Spot { space: 0, at: n as u64 }));
        }
        for name in differs {
            let verdict = Verdict::Differs { at: None, offset: 0, why: String::new() };
            functions.insert((*name).to_string(), verdict);
        }
        Proof { functions, ..Proof::default() }
    }

    #[test]
    fn causes_go_by_evidence() {
        let none = Evidence::default();
        let says = |evidence: &Evidence, proof: &Proof, words: &str| {
            let cause = evidence.cause(proof, "a");
            assert!(cause.contains(words), "{cause}");
        };
        says(&none, &proof(9, &["a"]), "the other 9 functions of this file");
        says(&none, &proof(0, &["a"]), "the only function of this file");
        says(&none, &proof(1, &["a", "b", "c"]), "only 1 of the 4 functions");
        says(&none, &proof(9, &["a", "b"]), "9 of the 11 functions");
        let options = Evidence { options: (0..6).map(|n| format!("CONFIG_{n}")).collect(), ..none };
        says(&options, &proof(9, &["a"]), "differs in CONFIG_0, CONFIG_1, CONFIG_2, CONFIG_3 and 2 more");
        let compilers = Evidence { compilers: Some(("gcc 1".into(), "gcc 2".into())), ..options };
        says(&compilers, &proof(9, &["a"]), "compiled with \"gcc 1\", the target has \"gcc 2\"");
    }

    #[test]
    fn compilers_are_told_by_their_version() {
        let banner = "gcc-16 (Debian 16.2.0-3) 16.2.0, GNU ld (GNU Binutils for Debian) 2.46";
        assert!(same_compiler(banner, "x86_64-linux-gnu-gcc-16 (Debian 16.2.0-3) 16.2.0"));
        assert!(!same_compiler(banner, "x86_64-linux-gnu-gcc-16 (Debian 16.2.0-4) 16.2.0"));
        assert!(!same_compiler(banner, "gcc"));
    }

    #[test]
    fn the_config_inside_of_an_image() {
        let mut image = b"xxIKCFG_ST".to_vec();
        let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        std::io::Write::write_all(&mut packed, b"CONFIG_A=y\n").unwrap();
        image.extend(packed.finish().unwrap());
        image.extend(b"IKCFG_ED");
        assert_eq!(embedded_config(&image).as_deref(), Some("CONFIG_A=y\n"));
        assert_eq!(embedded_config(b"IKCFG_ST\x1f\x8bnothing"), None);
    }
}
