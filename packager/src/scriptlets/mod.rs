// SPDX-License-Identifier: GPL-2.0-or-later
//! The scripts of a live patch's packages. They are put together from the files beside this one, in which
//! `@NAME@` is replaced with a name. Names are words of harmless characters ([`crate::names::Names::new`]); nothing
//! else of a description gets into a script. Only verbs of kpatch are called, and no script fails a transaction.

use crate::description::LivePatch;

const NAMES: &str = include_str!("names.sh");
const INSTALL: &str = include_str!("install.sh");
const UNINSTALL: &str = include_str!("uninstall.sh");
const TOOL_BEFORE: &str = include_str!("tool_before.sh");
const TOOL_DEB_TIMERS: &str = include_str!("tool_deb_timers.sh");
const TOOL_DEB_TIMERS_BACK: &str = include_str!("tool_deb_timers_back.sh");
const TOOL_DISABLE: &str = include_str!("tool_disable.sh");
const TOOL_ENABLE: &str = include_str!("tool_enable.sh");

/// %post: installs, and loads.
pub fn rpm_post(patch: &LivePatch) -> String {
    format!("{}\n{}exit 0\n", names(patch), body(INSTALL))
}

/// %postun: uninstalls, unless the package was installed once more and its file is still there.
pub fn rpm_postun(patch: &LivePatch) -> String {
    format!("{}\n[ ! -e \"/usr/lib/kpatch/$kernel/$file\" ] || exit 0\n{}exit 0\n", names(patch), body(UNINSTALL))
}

/// postinst: installs and loads; then the version before is uninstalled, so that there is always one.
pub fn deb_postinst(patch: &LivePatch) -> String {
    let before = format!("kpatch-{}-$2.ko", patch.names.id());
    format!(
        "#!/bin/sh\n{}\ncase \"$1\" in\nconfigure | abort-remove) ;;\n*) exit 0 ;;\nesac\n\n{}\n\
         if [ \"$1\" = configure ]; then\n\tcase \"$2\" in\n\t'' | 0-0 | \"$version-$release\") ;;\n\t\
         *) $kpatch uninstall -k \"$kernel\" \"{before}\" || : ;;\n\tesac\nfi\nexit 0\n",
        names(patch),
        body(INSTALL)
    )
}

/// prerm: uninstalls while what the package depends on is there.
pub fn deb_prerm(patch: &LivePatch) -> String {
    format!("#!/bin/sh\n{}\n[ \"$1\" = remove ] || exit 0\n{}exit 0\n", names(patch), body(UNINSTALL))
}

/// postrm: a step back to the empty package, which has no scripts, and what prerm has left.
pub fn deb_postrm(patch: &LivePatch) -> String {
    format!(
        "#!/bin/sh\n{}\nif [ \"$1\" = remove ]; then\n\trm -f \"$copy\"\n\texit 0\nfi\n\
         [ \"$1\" = upgrade ] && [ \"$2\" = 0-0 ] || exit 0\n{}exit 0\n",
        names(patch),
        body(UNINSTALL)
    )
}

fn names(patch: &LivePatch) -> String {
    body(NAMES)
        .replace("@KERNEL@", patch.names.release())
        .replace("@FILE@", &patch.names.file(patch.version.version, patch.version.release))
        .replace("@STEM@", &patch.names.module_stem())
        .replace("@VERSION@", &patch.version.version.to_string())
        .replace("@RELEASE@", &patch.version.release.to_string())
}

/// A file that exists from the unpacking of the first kmend to the end of its installation. A subshell writes it, because a
/// shell exits where a redirection of `:` fails (POSIX, 2.8.1), and `|| :` does not help.
const FIRST: &str = "/var/lib/kmend/first";

/// kmend's own packages: systemd reads the unit again.
pub const TOOL_RELOAD: &str = "[ ! -d /run/systemd/system ] || systemctl daemon-reload || :\nexit 0\n";

/// The last kmend goes: its unit is not started any more.
pub fn tool_rpm_preun() -> String {
    format!("[ \"$1\" = 0 ] || exit 0\n{}exit 0\n", body(TOOL_DISABLE))
}

/// The same in Debian's words. Where kpatch takes its place (`remove in-favour kpatch VERSION`), that one's scripts find the
/// unit as it was.
pub fn tool_deb_prerm() -> String {
    format!(
        "[ \"$1\" = remove ] || exit 0\n{}[ \"$2\" != in-favour ] || exit 0\n{}exit 0\n",
        body(TOOL_DEB_TIMERS),
        body(TOOL_DISABLE)
    )
}

/// Another kpatch is about to come in place of this one: %triggerprein, before any of its scripts.
pub fn tool_rpm_trigger() -> String {
    format!("[ \"$1\" != 0 ] || exit 0\n{}exit 0\n", body(TOOL_BEFORE))
}

/// The first kmend is about to come.
pub fn tool_rpm_pre() -> String {
    format!("[ \"$1\" = 1 ] || exit 0\n{}exit 0\n", body(TOOL_BEFORE))
}

/// The same in Debian's words. A package that was removed and not purged comes with its old version as `$2` again, in
/// postinst too, so it is written down here that this is no upgrade.
pub fn tool_deb_preinst() -> String {
    format!(
        "[ \"$1\" = install ] || exit 0\nmkdir -p /var/lib/kmend || :\n( : >{FIRST} ) || :\n{}exit 0\n",
        body(TOOL_BEFORE)
    )
}

/// The first kmend comes, maybe in place of kpatch, whose scripts disable the unit later on in the transaction. So it is
/// written down here for [`tool_rpm_posttrans`].
pub fn tool_rpm_post() -> String {
    format!("[ \"$1\" != 1 ] || ( : >{FIRST} ) || :\n{TOOL_RELOAD}")
}

/// At the end of the transaction in which the first kmend came.
pub fn tool_rpm_posttrans() -> String {
    format!("[ -e {FIRST} ] || exit 0\nrm -f {FIRST}\n{}exit 0\n", body(TOOL_ENABLE))
}

/// The first kmend is configured, after kpatch is gone.
pub fn tool_deb_postinst() -> String {
    format!(
        "if [ \"$1\" = configure ] && [ -e {FIRST} ]; then\nrm -f {FIRST}\n{}fi\n\
         if [ \"$1\" = configure ] || [ \"$1\" = abort-remove ]; then\n{}fi\n{TOOL_RELOAD}",
        body(TOOL_ENABLE),
        body(TOOL_DEB_TIMERS_BACK)
    )
}

/// A file of this folder less its license line.
fn body(file: &'static str) -> &'static str {
    file.split_once('\n').map_or(file, |(_, rest)| rest)
}
