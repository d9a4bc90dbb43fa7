// SPDX-License-Identifier: GPL-2.0-or-later
//! contrib/ with the programs that it is for: the alert rules by promtool, the dashboard's expressions by Prometheus, the
//! playbooks by Ansible on a fleet of false systems (contrib/tests/); and the packages by dnf 5, which Debian 12 has not. It is no part of `make test`, as it takes root and
//! 26 MB of packages, 357 MB on disk, nearly all of them Prometheus; there, manager/tests/host/contrib/ compares the
//! names in contrib/ with what kmend prints.

use crate::{cargo, deps, shell};
use anyhow::{ensure, Result};
use qemu_tests::host::system;

const PACKAGES: &[(&str, &str)] = &[
    ("ansible-core", "runs the playbooks"),
    ("bubblewrap", "runs a later Debian's dnf 5"),
    ("createrepo-c", "makes their repository of RPMs"),
    ("dnf", "installs from it"),
    ("mmdebstrap", "unpacks that Debian"),
    ("prometheus", "runs the alert rules and the dashboard's expressions"),
    ("python3-apt", "Ansible's way to apt"),
    ("rpm", "asks for RPMs"),
];

/// Runs all of it.
pub fn run(_args: &[String]) -> Result<()> {
    ensure!(deps::is_root()?, "it mounts the file systems of hosts: run it as root");
    deps::install_missing(PACKAGES)?;
    shell("promtool", &["check", "rules", "contrib/prometheus/kmend.rules.yml"])?;
    shell("promtool", &["test", "rules", "contrib/prometheus/kmend.test.yml"])?;
    let fleet = ["test", "--package", "kmend-contrib-tests", "--features", "fleet"];
    shell(&cargo(), &fleet)?;
    dnf5()
}

/// The tests of packages with the dnf 5 of a later Debian. The plugin is dnf 4's, and so are the words of docs/.
fn dnf5() -> Result<()> {
    let root = system::unpacked("forky", "amd64", &["base-files", "dash", "dnf5", "rpm"])?;
    let root = format!("KMEND_TEST_DNF5={}", root.display());
    let test =
        ["test", "--package", "kmend-packager", "--test", "packages", "--", "--skip", "dnf_plugin", "--skip", "docs::"];
    shell("env", &[&[root.as_str(), &cargo()], &test[..]].concat())
}
