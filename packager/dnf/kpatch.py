# SPDX-License-Identifier: GPL-2.0-or-later
"""dnf kpatch: live patches for the kernels on this host, with DNF 4.

In: the packages that DNF knows, the setting in kpatch.conf. Out: live patches in DNF's transactions.

A kernel is a package that provides `kernel-uname-r = RELEASE`; its live patch provides `kpatch-patch = RELEASE` and
requires that kernel. Nothing is told from names, so that any vendor's packages fit. The verbs, the setting and the
lines of `status` are those that cockpit and scripts know from RHEL's plugin of this name.

It runs in every call of dnf with the Python of RHEL 8 (3.6) and later.
"""

import logging
import os
import sys
import tempfile

import dnf
import dnf.cli
import dnf.exceptions
import dnf.selector
import dnf.transaction

logger = logging.getLogger("dnf.plugin")

KERNEL = "kernel-uname-r"
PATCH = "kpatch-patch"
# Packages of one kernel provide or require one of these: kernel-core-uname-r, kernel-modules-uname-r, ...
PARTS = "kernel*-uname-r"
AUTO_UPDATE = "autoupdate"
AUTO_FILTER = "autofilter"
# Verb: the option that it sets, and the value.
SETTINGS = {
    "auto": (AUTO_UPDATE, True),
    "auto-update": (AUTO_UPDATE, True),
    "manual": (AUTO_UPDATE, False),
    "manual-update": (AUTO_UPDATE, False),
    "auto-filter": (AUTO_FILTER, True),
    "no-filter": (AUTO_FILTER, False),
}
# Verbs that install the live patches of the kernels that are there.
INSTALLING = ("auto", "auto-update", "install")


def versions(reldeps, name):
    """The versions in `name = VERSION` of a package's provides or requires; as strings, since RPM takes el9_3 and
    el9.3 for the same."""
    words = (str(reldep).split(" ") for reldep in reldeps)
    return [w[2] for w in words if len(w) == 3 and w[0] == name and w[1] == "="]


def kernels(query):
    """The releases (`uname -r`) of the kernels in a query, each once, in the query's order."""
    found = []
    for package in query.filter(provides=KERNEL):
        for release in versions(package.provides, KERNEL):
            if release not in found:
                found.append(release)
    return found


def live_patches(query):
    """Release of a kernel: {name of a package: the newest live patch of that name}."""
    found = {}
    for package in query.filter(provides=PATCH):
        wanted = versions(package.requires, KERNEL)
        for release in versions(package.provides, PATCH):
            # One that needs another kernel would bring that.
            if wanted and release not in wanted:
                continue
            of_name = found.setdefault(release, {})
            before = of_name.get(package.name)
            if before is None or before.evr_cmp(package) < 0:
                of_name[package.name] = package
    return found


def missing(sack, releases):
    """For each of these kernels the live patch to install, where one is newer than what is installed."""
    there = live_patches(sack.query().installed())
    offered = live_patches(sack.query().available())
    found = []
    for release in releases:
        installed, offers = there.get(release, {}), offered.get(release, {})
        if installed:
            offers = {name: offer for name, offer in offers.items() if name in installed}
        if len(offers) > 1:
            logger.warning(
                "kpatch: several packages are live patches of kernel %s: %s\n"
                "  what you can do: `dnf install` the one that you want",
                release, ", ".join(sorted(offers)))
            continue
        for name, offer in offers.items():
            if name not in installed or installed[name].evr_cmp(offer) < 0:
                found.append(offer)
    return found


def is_empty(package):
    """Version 0-0: the stream of that kernel has brought no live patch yet."""
    return package.version == "0" and package.release.split(".")[0] == "0"


def install(base, packages, optional):
    """Has the goal install these; with `optional`, one that cannot be installed is left out."""
    for package in packages:
        # By its name and version: which repository it comes from is up to dnf.
        same = base.sack.query().available().filter(name=package.name, evr=package.evr, arch=package.arch)
        selector = dnf.selector.Selector(base.sack)
        selector.set(pkg=same)
        base.goal.install(select=selector, optional=optional)


def setting_file(conf):
    """Where the setting is, or is to be."""
    places = [os.path.join(folder, "kpatch.conf") for folder in conf.pluginconfpath]
    if not places:
        raise dnf.exceptions.Error("kpatch: pluginconfpath in dnf.conf names no folder for kpatch.conf")
    return next((place for place in places if os.path.isfile(place)), places[0])


def read_setting(conf, option, tells=False):
    """Whether an option is set. What is no setting counts as not set; with `tells`, that is told."""
    try:
        parser = KpatchPlugin.read_config(conf)
        return parser.has_section("main") and parser.has_option("main", option) and parser.getboolean("main", option)
    except Exception as error:  # libdnf's parser raises RuntimeError and others
        if tells:
            logger.warning("kpatch: %s: %s in [main]: %s; it counts as False", setting_file(conf), option, error)
        return False


def with_setting(text, option, value):
    """The text of kpatch.conf with an option set; all other lines stay as they are."""
    line = "{} = {}\n".format(option, value)
    lines, section, end, done = [], None, None, False
    for old in text.splitlines(True):
        stripped = old.strip()
        if stripped.startswith("[") and stripped.endswith("]"):
            section = stripped[1:-1].strip()
        is_option = section == "main" and stripped.split("=")[0].strip() == option and "=" in stripped
        if not is_option:
            lines.append(old if old.endswith("\n") else old + "\n")
        elif not done:
            lines.append(line)
            done = True
        if section == "main" and stripped:
            end = len(lines)
    if not done and end is None:
        lines += ["[main]\n", line]
    elif not done:
        lines.insert(end, line)
    return "".join(lines)


def write_setting(conf, option, value):
    """Writes the file beside, and renames it."""
    path = os.path.realpath(setting_file(conf))
    root = os.path.realpath(conf.installroot)
    if root != "/" and not path.startswith(root + "/"):
        raise dnf.exceptions.Error(
            "kpatch: {} is this host's setting, and not that of {}\n  what you can do: "
            "--setopt=pluginconfpath={}/etc/dnf/plugins".format(path, root, root))
    beside = None
    try:
        old, mode = "", 0o644
        if os.path.exists(path):
            mode = os.stat(path).st_mode & 0o777
            with open(path, encoding="utf-8", errors="surrogateescape") as file:
                old = file.read()
        text = with_setting(old, option, value)
        if text == old:
            return
        folder = os.path.dirname(path)
        os.makedirs(folder, exist_ok=True)
        handle, beside = tempfile.mkstemp(prefix=".kpatch-", dir=folder)
        with open(handle, "w", encoding="utf-8", errors="surrogateescape") as file:
            file.write(text)
            file.flush()
            os.fchmod(file.fileno(), mode)
            os.fsync(file.fileno())
        os.rename(beside, path)
        beside = None
    except OSError as error:
        raise dnf.exceptions.Error("kpatch: cannot write {}: {}".format(path, error))
    finally:
        if beside is not None:
            os.unlink(beside)


class KpatchCommand(dnf.cli.Command):
    """dnf kpatch VERB"""

    aliases = ("kpatch",)
    summary = "live patches of the installed kernels: by themselves, by hand, what there is"

    @staticmethod
    def set_argparser(parser):
        verbs = list(SETTINGS) + ["install", "status"]
        parser.add_argument("action", choices=verbs, metavar="|".join(verbs), help="see dnf-kpatch(8)")

    def configure(self):
        demands, action = self.cli.demands, self.opts.action
        demands.root_user = action != "status"
        demands.resolving = action in INSTALLING
        demands.sack_activation = demands.available_repos = action in INSTALLING or action == "status"

    def run(self):
        action = self.opts.action
        if action == "status":
            self.status()
        elif action in INSTALLING:
            releases = kernels(self.base.sack.query().installed())
            if not releases:
                logger.warning("kpatch: no installed package provides %s: there is no kernel to be patched", KERNEL)
            install(self.base, missing(self.base.sack, releases), not self.base.conf.strict)

    def run_transaction(self):
        # Called at the end, also if there was nothing to do; not if the transaction failed or was declined.
        action = self.opts.action
        if action not in SETTINGS:
            return
        option, value = SETTINGS[action]
        write_setting(self.base.conf, option, value)
        logger.info("Kpatch %s setting: %s", "update" if option == AUTO_UPDATE else "filter", action)

    def status(self):
        conf, sack = self.base.conf, self.base.sack
        update = "auto-update" if read_setting(conf, AUTO_UPDATE) else "manual-update"
        hide = "auto-filter" if read_setting(conf, AUTO_FILTER) else "no-filter"
        print("Kpatch update setting: " + update)
        print("Kpatch filter setting: " + hide)
        offers = missing(sack, kernels(sack.query().installed()))
        for head, is_shown in (("Available patches", lambda p: not is_empty(p)), ("No live patch yet", is_empty)):
            shown = [str(package) for package in offers if is_shown(package)]
            if shown:
                print(head + ": " + ", ".join(shown))


class KpatchPlugin(dnf.Plugin):
    """The hooks: live patches of kernels that come later, and kernels without one that are not offered."""

    name = "kpatch"

    def __init__(self, base, cli):
        super().__init__(base, cli)
        self.auto_update = self.auto_filter = self.is_resolving = False
        if cli is not None:
            cli.register_command(KpatchCommand)

    def config(self):
        self.auto_update = read_setting(self.base.conf, AUTO_UPDATE, tells=True)
        self.auto_filter = read_setting(self.base.conf, AUTO_FILTER, tells=True)

    def sack(self):
        """Hides the available packages of kernels that have no live patch and are not installed."""
        if not self.auto_filter:
            return
        query = self.base.sack.query()
        known = live_patches(query)
        installed = kernels(query.installed())
        available = query.available()
        hidden = [r for r in kernels(available) if r not in known and r not in installed]
        if not hidden:
            return
        parts = available.filter(provides__glob=PARTS).union(available.filter(requires__glob=PARTS))
        packages = [package for package in parts if self.belongs(package, hidden)]
        self.base.sack.add_excludes(query.filter(pkg=packages))
        # Not where programs read the answer.
        logger.warning("kpatch: kernels without a live patch are not offered (auto-filter): %s", ", ".join(hidden))

    @staticmethod
    def belongs(package, releases):
        """Whether a package is a part of one of these kernels, or needs one."""
        for reldep in list(package.provides) + list(package.requires):
            words = str(reldep).split(" ")
            is_part = len(words) == 3 and words[0].startswith("kernel") and words[0].endswith("-uname-r")
            if is_part and words[2] in releases:
                return True
        return False

    def resolved(self):
        """Adds live patches to a transaction with new kernels, and to an update of the whole system."""
        # resolve() runs the hooks once more.
        if not self.auto_update or self.is_resolving:
            return
        releases, chosen = [], {}
        for item in self.base.transaction or []:
            if item.action not in dnf.transaction.FORWARD_ACTIONS or item.pkg is None:
                continue
            releases += versions(item.pkg.provides, KERNEL)
            for release in versions(item.pkg.provides, PATCH):
                chosen[release] = item.pkg.name
        sack = self.base.sack
        if self.is_update():
            releases += kernels(sack.query().installed())
        there = live_patches(sack.query().installed())
        # What is installed is updated by dnf itself; what somebody asked for stays as it was asked for.
        releases = [r for r in dict.fromkeys(releases) if r not in chosen and r not in there]
        offers = missing(sack, releases)
        if not offers:
            return
        install(self.base, offers, True)
        self.is_resolving = True
        try:
            self.base.resolve(self.cli is not None and self.cli.demands.allow_erasing)
        finally:
            self.is_resolving = False
        coming = {item.name for item in self.base.transaction if item.action in dnf.transaction.FORWARD_ACTIONS}
        for offer in offers:
            if offer.name not in coming:
                logger.warning("kpatch: %s cannot be installed; `dnf install %s` says why", offer, offer.name)

    def is_update(self):
        """Whether all packages are updated: `dnf upgrade`, `dnf distro-sync`, dnf-automatic. The latter has no command
        line, nor have other programs that use dnf, which do as they are told."""
        if self.cli is None:
            return "dnf.automatic.main" in sys.modules
        command = self.cli.command
        names = set(getattr(command, "aliases", ()))
        opts = getattr(command, "opts", None)
        some = any(getattr(opts, kind, None) for kind in ("pkg_specs", "filenames", "grp_specs", "package"))
        return bool(names & {"upgrade", "distro-sync"}) and not some
