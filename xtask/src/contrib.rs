// SPDX-License-Identifier: GPL-2.0-or-later
//! contrib/ with the programs that it is for: the alert rules by promtool, the dashboard's expressions by Prometheus, the
//! playbooks by Ansible on a fleet of false systems (contrib/tests/). It is no part of `make test`, as it takes root and
//! 26 MB of packages, 357 MB on disk, nearly all of them Prometheus; there, manager/tests/host/contrib/ compares the
//! names in contrib/ with what kmend prints.

use crate::{cargo, deps, shell};
use anyhow::{ensure, Result};

const PACKAGES: &[(&str, &str)] = &[
    ("ansible-core", "runs the playbooks"),
    ("createrepo-c", "makes their repository of RPMs"),
    ("dnf", "installs from it"),
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
    shell(&cargo(), &fleet)
}
