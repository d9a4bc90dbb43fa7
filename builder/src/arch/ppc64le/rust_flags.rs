// SPDX-License-Identifier: GPL-2.0-or-later
//! rustc's words for what the kernel tells gcc on ppc64le (arch/powerpc/Makefile).

use crate::arch::rust_flags::{translate, Row};
use anyhow::Result;

/// As 7.3 has it, the first kernel with Rust on this architecture; modules are of the large code model.
const ALWAYS: &[&str] = &[
    "--target=powerpc64le-unknown-linux-gnu",
    "-Crelocation-model=static",
    "-Ccode-model=large",
    "-Ctarget-feature=-mma,-vsx,-hard-float,-altivec",
];

const ROWS: &[Row] = &[
    ("-mcpu=power8", &["-Ctarget-cpu=pwr8"]),
    ("-mcpu=power9", &["-Ctarget-cpu=pwr9"]),
    ("-mcpu=power10", &["-Ctarget-cpu=pwr10"]),
    // The target's own.
    ("-m64", &[]),
    ("-mlittle-endian", &[]),
    ("-mlittle", &[]),
    ("-mabi=elfv2", &[]),
    ("-mtune=*", &[]),
    ("-msoft-float", &[]),
    ("-mno-altivec", &[]),
    ("-mno-vsx", &[]),
    ("-mno-mma", &[]),
    ("-mno-spe", &[]),
    ("-mspe=no", &[]),
    ("-mno-prefixed", &[]),
    ("-mno-pcrel", &[]),
    // There is no long double in the kernel.
    ("-mlong-double-128", &[]),
    // A function of C's is called through its address in either case.
    ("-mno-pointers-to-nested-functions", &[]),
    ("-mcmodel=medium", &[]),
    ("-mcmodel=large", &[]),
    ("-mno-string", &[]),
    ("-mno-multiple", &[]),
    ("-mno-readonly-in-sdata", &[]),
    ("-mtraceback=no", &[]),
    ("-mno-strict-align", &[]),
    // Rust code is not traced, as it is not in kernels that have Rust.
    ("-mprofile-kernel", &[]),
    // rustc does not know where this kernel's canary is; its functions have none.
    ("-mstack-protector-guard*", &[]),
];

/// See [`crate::arch::Arch::rust_flags`].
pub fn rust_flags(c: &[String]) -> Result<Vec<String>> {
    let flags = translate(c, ROWS)?;
    Ok(ALWAYS.iter().map(|flag| flag.to_string()).chain(flags).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_debian_13_tells_gcc() {
        let c = "-mlittle-endian -m64 -msoft-float -mtraceback=no -mabi=elfv2 -mcmodel=medium -mcpu=power8 \
                 -mtune=power10 -mno-prefixed -mno-pcrel -mno-altivec -mno-vsx -mno-mma -mprofile-kernel -O2 \
                 -fstack-protector-strong -mstack-protector-guard=tls -mstack-protector-guard-reg=r13";
        let flags = rust_flags(&c.split_whitespace().map(String::from).collect::<Vec<_>>()).unwrap().join(" ");
        assert!(flags.ends_with("-altivec -Ctarget-cpu=pwr8 -Copt-level=2"), "{flags}");
        assert!(rust_flags(&["-mbig-endian".into()]).unwrap_err().to_string().contains("-mbig-endian"));
    }
}
