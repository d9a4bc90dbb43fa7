// SPDX-License-Identifier: GPL-2.0-or-later
//! The Debian packages that kmend and its proofs call.

/// What a package is needed for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Need {
    /// The builder, and guests of x86_64; the tests need it as well.
    Demo,
    /// Nothing but the tests.
    Tests,
}

/// Package, what it is needed for, and why.
pub const PACKAGES: &[(&str, Need, &str)] = &[
    ("binutils", Need::Tests, "takes objects apart in tests"),
    ("binutils-powerpc64le-linux-gnu", Need::Tests, "the same for ppc64le"),
    ("bubblewrap", Need::Demo, "runs a target's compilers in its build root"),
    ("busybox-static", Need::Demo, "the user space of guests"),
    ("createrepo-c", Need::Tests, "makes repositories of RPMs"),
    ("dash", Need::Tests, "runs the packages' scripts in tests"),
    ("debian-archive-keyring", Need::Demo, "checks what apt fetches"),
    ("diffutils", Need::Demo, "cuts real fixes"),
    ("dnf", Need::Tests, "installs from them in tests"),
    ("e2fsprogs", Need::Tests, "makes the disks of hosts"),
    ("gcc", Need::Demo, "links Rust programs, compiles the pairs of tests"),
    ("gcc-powerpc64le-linux-gnu", Need::Tests, "compiles the pairs of tests for ppc64le"),
    ("gpg", Need::Tests, "signs packages and repositories"),
    ("gpg-agent", Need::Tests, "has the keys meanwhile"),
    ("gpgconf", Need::Tests, "ends it"),
    ("gpgv", Need::Demo, "checks signatures for apt"),
    ("libc6-dev", Need::Demo, "links Rust programs"),
    ("libengine-pkcs11-openssl", Need::Tests, "signs with keys on tokens in tests"),
    ("libssl-dev", Need::Tests, "compiles the kernel's sign-file in tests"),
    ("make", Need::Demo, "the front door"),
    ("mmdebstrap", Need::Demo, "makes build roots"),
    ("openssl", Need::Tests, "signs modules and checks signatures"),
    ("patch", Need::Demo, "applies fixes"),
    ("qemu-system-ppc", Need::Tests, "boots guests of ppc64le"),
    ("qemu-system-x86", Need::Demo, "boots guests of x86_64"),
    ("rpm", Need::Tests, "reads packages in tests"),
    ("softhsm2", Need::Tests, "the token of tests"),
    ("strace", Need::Tests, "kills programs at their system calls in tests"),
    ("xz-utils", Need::Demo, "unpacks kernels and sources"),
    ("zstd", Need::Demo, "unpacks kernels"),
];
