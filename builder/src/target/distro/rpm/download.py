# SPDX-License-Identifier: GPL-2.0-or-later
"""`dnf download` for a DNF 4 that has no such command (the package dnf-plugins-core).

In: packages, and with --source those whose source packages are meant. Out: their files in the folder of --destdir, by DNF's own
library, which checks the sums that the repository names.
"""

import dnf
import dnf.cli
import dnf.exceptions
import dnf.subject


@dnf.plugin.register_command
class Download(dnf.cli.Command):
    """The command, with the options that kmend-build gives it."""

    aliases = ("download",)
    summary = "download packages to a folder"

    @staticmethod
    def set_argparser(parser):
        parser.add_argument("packages", nargs="+", help="packages to download")
        parser.add_argument("--source", action="store_true", help="download their source packages")

    def configure(self):
        self.cli.demands.sack_activation = True
        self.cli.demands.available_repos = True
        if self.opts.source:
            self.base.repos.enable_source_repos()
        self.base.conf.destdir = self.opts.destdir

    def run(self):
        packages = [self._find(spec, False) for spec in self.opts.packages]
        if self.opts.source:
            names = {package.sourcerpm[: -len(".rpm")] for package in packages}
            packages = [self._find(name, True) for name in sorted(names)]
        try:
            self.base.download_packages(packages, self.base.output.progress)
        except dnf.exceptions.DownloadError as error:
            # Of which DNF itself says nothing here.
            raise dnf.exceptions.Error("Error downloading packages: {}".format(error))

    def _find(self, spec, source):
        query = dnf.subject.Subject(spec).get_best_query(self.base.sack, with_src=source).available()
        found = query.run()
        if not found:
            raise dnf.exceptions.Error("No package {} available.".format(spec))
        return min(found, key=lambda package: (package.repo.priority, package.repo.cost))
