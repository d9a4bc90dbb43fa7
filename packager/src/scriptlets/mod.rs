// SPDX-License-Identifier: GPL-2.0-or-later
//! The scripts of a live patch's packages. They are put together from the files beside this one, in which
//! `@NAME@` stands for a name. Names are words of harmless characters ([`crate::names::Names::new`]); nothing else of
//! a description gets into a script. Only verbs of kpatch are called, and no script fails a transaction.

use crate::description::LivePatch;

const NAMES: &str = include_str!("names.sh");
const INSTALL: &str = include_str!("install.sh");
const UNINSTALL: &str = include_str!("uninstall.sh");

/// %post: installs, and loads.
pub fn rpm_post(patch: &LivePatch) -> String {
    format!("{}\n{INSTALL}exit 0\n", names(patch))
}

/// %postun: uninstalls, unless the package was installed once more and its file is still there.
pub fn rpm_postun(patch: &LivePatch) -> String {
    format!("{}\n[ ! -e \"/usr/lib/kpatch/$kernel/$file\" ] || exit 0\n{UNINSTALL}exit 0\n", names(patch))
}

/// postinst: installs and loads; then the version before is uninstalled, so that there is always one.
pub fn deb_postinst(patch: &LivePatch) -> String {
    let before = format!("kpatch-{}-$2.ko", patch.names.id());
    format!(
        "#!/bin/sh\n{}\ncase \"$1\" in\nconfigure | abort-remove) ;;\n*) exit 0 ;;\nesac\n\n{INSTALL}\n\
         if [ \"$1\" = configure ]; then\n\tcase \"$2\" in\n\t'' | 0-0 | \"$version-$release\") ;;\n\t\
         *) $kpatch uninstall -k \"$kernel\" \"{before}\" || : ;;\n\tesac\nfi\nexit 0\n",
        names(patch)
    )
}

/// prerm: uninstalls while what the package depends on is there.
pub fn deb_prerm(patch: &LivePatch) -> String {
    format!("#!/bin/sh\n{}\n[ \"$1\" = remove ] || exit 0\n{UNINSTALL}exit 0\n", names(patch))
}

/// postrm: a step back to the empty package, which has no scripts, and what prerm has left.
pub fn deb_postrm(patch: &LivePatch) -> String {
    format!(
        "#!/bin/sh\n{}\nif [ \"$1\" = remove ]; then\n\trm -f \"$copy\"\n\texit 0\nfi\n\
         [ \"$1\" = upgrade ] && [ \"$2\" = 0-0 ] || exit 0\n{UNINSTALL}exit 0\n",
        names(patch)
    )
}

fn names(patch: &LivePatch) -> String {
    NAMES
        .replace("@KERNEL@", patch.names.release())
        .replace("@FILE@", &patch.names.file(patch.version.version, patch.version.release))
        .replace("@STEM@", &patch.names.module_stem())
        .replace("@VERSION@", &patch.version.version.to_string())
        .replace("@RELEASE@", &patch.version.release.to_string())
}

/// kmend's own packages: systemd reads the unit again. `kmend install` enables it.
pub const TOOL_RELOAD: &str = "[ ! -d /run/systemd/system ] || systemctl daemon-reload || :\nexit 0\n";

/// The last kmend goes: its unit is not started any more.
pub const TOOL_RPM_PREUN: &str =
    "[ \"$1\" != 0 ] || ! command -v systemctl >/dev/null 2>&1 || systemctl --no-reload disable kpatch.service || :\nexit 0\n";

/// The same in Debian's words.
pub const TOOL_DEB_PRERM: &str = "[ \"$1\" != remove ] || ! command -v systemctl >/dev/null 2>&1 || \
    systemctl --no-reload disable kpatch.service || :\nexit 0\n";
