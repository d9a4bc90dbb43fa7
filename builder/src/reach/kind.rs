// SPDX-License-Identifier: GPL-2.0-or-later
//! What a touched file is to a live patch: its path in; C code, a header, something that is left out, or a refusal out.

use super::includes::{arch_folder, last};

/// What a touched file is to a live patch.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// C source: its units are looked for.
    Source,
    /// A header: the units that include it are.
    Header,
    /// Assembler source: nothing can be done where it is built.
    Assembler,
    /// No part of this kernel, with the reason.
    Ignored(String),
    /// Refusal code, reason, hint.
    Refused(&'static str, String, &'static str),
}

/// What the file at `path` is to a kernel of `arch`.
pub(super) fn kind(path: &str, arch: &str) -> Kind {
    let name = last(path);
    let top = path.split('/').next().unwrap_or_default();
    let ignored = |why: &str| Kind::Ignored(why.into());
    match top {
        "Documentation" | "LICENSES" => return ignored("documentation"),
        "samples" | "usr" => return ignored("not a part of the running kernel"),
        "tools" if !path.starts_with("tools/objtool/") => return ignored("a program for user space"),
        "tools" | "scripts" => return build(),
        "arch" => {
            let folder = path.split('/').nth(1).unwrap_or_default();
            if path.matches('/').count() > 1 && folder != arch_folder(arch) {
                return Kind::Ignored(format!("for another architecture than {arch}"));
            }
        }
        _ => {}
    }
    if matches!(name, "MAINTAINERS" | "CREDITS" | "README" | "COPYING")
        || name.starts_with('.')
        || [".rst", ".txt", ".md"].iter().any(|end| name.ends_with(end))
    {
        return ignored("documentation");
    }
    if ["Makefile", "Kbuild", "Kconfig"].iter().any(|n| name.starts_with(n)) || path.contains("/configs/") {
        return build();
    }
    of_code(path)
}

/// A file that decides how the kernel is built.
pub(super) fn build() -> Kind {
    let reason =
        "it controls how the kernel is built or configured, and the running kernel is already built".to_string();
    Kind::Refused("build-file-changed", reason, "leave this file out if the rest of the fix works without it")
}

/// What a file is that becomes a part of the kernel, by its name.
pub(super) fn of_code(path: &str) -> Kind {
    let name = last(path);
    match name.rsplit_once('.').map_or("", |(_, end)| end) {
        "c" => Kind::Source,
        "h" if name.ends_with(".lds.h") => build(),
        "h" => Kind::Header,
        "S" if name.ends_with(".lds.S") => build(),
        "S" => Kind::Assembler,
        "rs" => Kind::Refused(
            "rust-file",
            "the fix changes Rust code of the kernel, which kmend does not live patch yet".into(),
            "only fixes to C code can be live patched",
        ),
        _ => Kind::Refused(
            "unsupported-file",
            "kmend does not know how the kernel uses this file".into(),
            "leave it out if the rest of the fix works without it",
        ),
    }
}

const VDSO: &str = "code that runs in user space (vdso)";

/// What the paths of code begin with that is never the kernel's own, in all configurations.
const NOT_KERNEL: &[(&str, &str)] = &[
    ("arch/x86/boot/startup/", "code that runs before the kernel (in AMD SEV guests also later)"),
    ("arch/x86/boot/", "code that runs before the kernel"),
    ("arch/powerpc/boot/", "code that runs before the kernel"),
    ("arch/x86/realmode/rm/", "real-mode code"),
    ("arch/x86/purgatory/", "code that runs between two kernels"),
    ("arch/powerpc/purgatory/", "code that runs between two kernels"),
    ("drivers/firmware/efi/libstub/", "code that runs before the kernel"),
    ("arch/x86/entry/vdso/vdso", VDSO),
    ("arch/x86/entry/vdso/common/", VDSO),
    ("arch/x86/entry/vdso/vclock_gettime", VDSO),
    ("arch/x86/entry/vdso/vgetcpu", VDSO),
    ("arch/x86/entry/vdso/vgetrandom", VDSO),
    ("arch/x86/entry/vdso/vsgx", VDSO),
    ("arch/powerpc/kernel/vdso/", VDSO),
    // The folder's other files are the kernel's own (datastore.c).
    ("lib/vdso/gettimeofday.c", VDSO),
    ("lib/vdso/getrandom.c", VDSO),
];

/// What the code at `path` is, where it is none of the kernel's own.
pub(super) fn not_kernel_folder(path: &str) -> Option<&'static str> {
    NOT_KERNEL.iter().find(|(folder, _)| path.starts_with(folder)).map(|(_, why)| *why)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_of_files() {
        let code = |path: &str| match kind(path, "x86_64") {
            Kind::Source => "source".to_string(),
            Kind::Header => "header".into(),
            Kind::Assembler => "assembler".into(),
            Kind::Ignored(why) => why,
            Kind::Refused(code, ..) => code.into(),
        };
        assert_eq!(code("fs/proc/cmdline.c"), "source");
        assert_eq!(code("arch/x86/kernel/cpu/bugs.c"), "source");
        assert_eq!(code("arch/arm/mm/fault.c"), "for another architecture than x86_64");
        assert_eq!(code("arch/arm/include/asm/x.h"), "for another architecture than x86_64");
        assert_eq!(code("include/linux/fs.h"), "header");
        assert_eq!(code("arch/x86/include/uapi/asm/stat.h"), "header");
        assert_eq!(code("arch/x86/entry/entry_64.S"), "assembler");
        assert_eq!(code("rust/kernel/lib.rs"), "rust-file");
        for build in [
            "Makefile",
            "fs/Kconfig",
            "fs/Kconfig.binfmt",
            "arch/x86/configs/x.config",
            "scripts/Makefile.lib",
            "tools/objtool/check.c",
        ] {
            assert_eq!(code(build), "build-file-changed", "{build}");
        }
        assert_eq!(code("MAINTAINERS"), "documentation");
        assert_eq!(code("Documentation/Makefile"), "documentation");
        assert_eq!(code("tools/testing/selftests/x.c"), "a program for user space");
        assert_eq!(code("arch/x86/kernel/vmlinux.lds.S"), "build-file-changed");
        assert_eq!(code("arch/x86/x.dts"), "unsupported-file");
    }

    #[test]
    fn code_that_is_not_the_kernels() {
        let why = |path: &str| not_kernel_folder(path).unwrap_or("the kernel's");
        for path in [
            "lib/vdso/datastore.c",
            "arch/x86/entry/vdso/vma.c",
            "arch/powerpc/kernel/vdso.c",
            "arch/x86/realmode/init.c",
            "lib/string.c",
            "arch/x86/kernel/head64.c",
        ] {
            assert_eq!(why(path), "the kernel's", "{path}");
        }
        for (path, part) in [
            ("lib/vdso/gettimeofday.c", "vdso"),
            ("lib/vdso/getrandom.c", "vdso"),
            ("arch/x86/entry/vdso/vdso32/vclock_gettime.c", "vdso"),
            ("arch/x86/entry/vdso/vclock_gettime.c", "vdso"),
            ("arch/x86/entry/vdso/common/vgetcpu.c", "vdso"),
            ("arch/powerpc/kernel/vdso/gettimeofday.S", "vdso"),
            ("arch/x86/realmode/rm/trampoline_64.S", "real-mode"),
            ("arch/x86/boot/compressed/misc.c", "before the kernel"),
            ("arch/powerpc/boot/main.c", "before the kernel"),
            ("arch/x86/purgatory/purgatory.c", "between two kernels"),
            ("drivers/firmware/efi/libstub/gop.c", "before the kernel"),
        ] {
            assert!(why(path).contains(part), "{path}: {}", why(path));
        }
    }
}
