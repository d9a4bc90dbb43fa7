// SPDX-License-Identifier: GPL-2.0-or-later
//! Code that leaves vmlinux or its module for a live patch module: how it is compiled, and the nop behind each of
//! its calls; the compiler's assembly in, the same with nops out.
//!
//! A call within a unit may become one to the running kernel, which goes through a stub of the module loader and
//! comes back with another TOC pointer. The loader puts `ld r2,24(r1)` behind such a call, and wants a nop there
//! (arch/powerpc/kernel/module_64.c, restore_r2). Compilers leave it out where caller and callee are in one unit.

use crate::arch::Transplant;
use anyhow::{bail, Result};

/// The flags and the edit of ppc64le.
#[derive(Debug)]
pub struct Nops;

/// Modules are compiled with the large model: the medium one reaches data of other modules wrong
/// (arch/powerpc/Makefile, KBUILD_CFLAGS_MODULE). A sibling call to the running kernel would return to the caller
/// with the wrong TOC pointer, past the place where the loader could restore it.
const FLAGS: &[&str] = &["-mcmodel=large", "-fno-optimize-sibling-calls"];

/// The compiler's own profiling call comes before there is a frame, and restore_r2 leaves it alone.
const PROFILING: &str = "_mcount";

impl Transplant for Nops {
    fn flags(&self) -> &'static [&'static str] {
        FLAGS
    }

    fn edit(&self, assembly: &str) -> Result<String> {
        let mut out = String::with_capacity(assembly.len() + assembly.len() / 50);
        let mut lines = assembly.lines().enumerate().peekable();
        let mut inline = false;
        while let Some((n, line)) = lines.next() {
            out.push_str(line);
            out.push('\n');
            match line.trim() {
                // Between these is the source's own assembler, which may count its instructions.
                "#APP" => inline = true,
                "#NO_APP" => inline = false,
                _ => {}
            }
            let mut words = line.split_whitespace();
            let (Some("bl"), Some(callee), false) = (words.next(), words.next(), inline) else { continue };
            if callee.contains("@notoc") {
                bail!("line {} of the assembly calls {callee}: code without a TOC pointer is not supported", n + 1);
            }
            let followed = lines.peek().is_some_and(|(_, next)| next.trim() == "nop");
            if !followed && callee != PROFILING {
                out.push_str("\tnop\n");
            }
        }
        Ok(out)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_call_is_followed_by_a_nop() {
        let edited = Nops.edit("f:\n\tbl g\n\tld 5,32(1)\n\tbl h\n\tnop\n\tbctrl\n\tld 2,24(1)\n\tbl last").unwrap();
        assert_eq!(edited, "f:\n\tbl g\n\tnop\n\tld 5,32(1)\n\tbl h\n\tnop\n\tbctrl\n\tld 2,24(1)\n\tbl last\n\tnop\n");
    }

    #[test]
    fn inline_assembler_and_profiling_stay_as_they_are() {
        let text = "\tmflr 0\n\tbl _mcount\n#APP\n # 3 \"x.c\" 1\n\tbl other\n # 0 \"\" 2\n#NO_APP\n\tblr\n";
        assert_eq!(Nops.edit(text).unwrap(), text);
    }

    #[test]
    fn code_without_a_toc_pointer_is_refused() {
        assert!(Nops.edit("\tbl g@notoc\n").unwrap_err().to_string().contains("g@notoc"));
    }
}
