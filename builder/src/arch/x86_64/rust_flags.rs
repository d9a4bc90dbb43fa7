// SPDX-License-Identifier: GPL-2.0-or-later
//! rustc's words for what the kernel tells gcc on x86_64 (arch/x86/Makefile, scripts/generate_rust_target.rs).

use crate::arch::rust_flags::{translate, Row};
use anyhow::Result;

/// Without SSE and the like, without a red zone, without stack probes in small frames: that much is in the target.
const ALWAYS: &[&str] = &["--target=x86_64-unknown-none", "-Zplt=yes"];

const ROWS: &[Row] = &[
    ("-mno-red-zone", &["-Cno-redzone=y"]),
    ("-mcmodel=kernel", &["-Ccode-model=kernel", "-Crelocation-model=static"]),
    ("-fcf-protection=branch", &["-Zcf-protection=branch"]),
    (
        "-mindirect-branch=thunk-extern",
        &["+retpoline-external-thunk", "+retpoline-indirect-branches", "+retpoline-indirect-calls"],
    ),
    ("-mfunction-return=thunk-extern", &["-Zfunction-return=thunk-extern"]),
    ("-mharden-sls=all", &["+harden-sls-ijmp", "+harden-sls-ret"]),
    ("-fpatchable-function-entry=*", &["-Zpatchable-function-entry=*"]),
    ("-march=*", &["-Ctarget-cpu=*"]),
    // The target's own.
    ("-m64", &[]),
    ("-mno-sse*", &[]),
    ("-mno-mmx", &[]),
    ("-mno-3dnow", &[]),
    ("-mno-avx*", &[]),
    ("-mno-80387", &[]),
    ("-mno-fp-ret-in-387", &[]),
    ("-mpreferred-stack-boundary=3", &[]),
    ("-mskip-rax-setup", &[]),
    ("-mtune=*", &[]),
    // Thunks are called through a register as it is; the prefix is for a faster way to patch them.
    ("-mindirect-branch-register", &[]),
    ("-mindirect-branch-cs-prefix", &[]),
    // Rust code is not traced, as it is not in kernels that have Rust.
    ("-mfentry", &[]),
    ("-mrecord-mcount", &[]),
    // rustc looks for the canary in a variable of its own for this target, which kernels do not have. Its functions have
    // none, as they have none in kernels with Rust.
    ("-fstack-protector*", &[]),
    ("-mstack-protector-guard*", &[]),
];

/// See [`crate::arch::Arch::rust_flags`].
pub fn rust_flags(c: &[String]) -> Result<Vec<String>> {
    let (features, mut flags): (Vec<String>, Vec<String>) =
        translate(c, ROWS)?.into_iter().partition(|flag| flag.starts_with('+'));
    flags.splice(0..0, ALWAYS.iter().map(|flag| flag.to_string()));
    if !features.is_empty() {
        flags.push(format!("-Ctarget-feature={}", features.join(",")));
    }
    Ok(flags)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn flags(text: &str) -> String {
        rust_flags(&text.split_whitespace().map(String::from).collect::<Vec<_>>()).unwrap().join(" ")
    }

    /// arch/x86/Makefile of 6.12 with Debian's configuration.
    const DEBIAN_13: &str = "-fno-PIE -mno-sse -mno-mmx -mno-sse2 -mno-3dnow -mno-avx -fcf-protection=branch -fno-jump-tables \
        -m64 -falign-jumps=1 -mno-80387 -mno-fp-ret-in-387 -mpreferred-stack-boundary=3 -mskip-rax-setup -mtune=generic \
        -mno-red-zone -mcmodel=kernel -mindirect-branch=thunk-extern -mindirect-branch-register \
        -mindirect-branch-cs-prefix -mfunction-return=thunk-extern -fno-jump-tables -mharden-sls=all \
        -fpatchable-function-entry=16,16 -O2 -fstack-protector-strong -pg -mrecord-mcount -mfentry";

    #[test]
    fn what_debian_13_tells_gcc() {
        assert_eq!(
            flags(DEBIAN_13),
            "--target=x86_64-unknown-none -Zplt=yes -Zcf-protection=branch -Zno-jump-tables -Cno-redzone=y \
             -Ccode-model=kernel -Crelocation-model=static -Zfunction-return=thunk-extern \
             -Zpatchable-function-entry=16,16 -Copt-level=2 \
             -Ctarget-feature=+retpoline-external-thunk,+retpoline-indirect-branches,+retpoline-indirect-calls,\
             +harden-sls-ijmp,+harden-sls-ret"
        );
    }

    #[test]
    fn there_is_no_canary() {
        assert!(!flags("-fstack-protector-strong -mstack-protector-guard-reg=gs").contains("protector"));
    }
}
