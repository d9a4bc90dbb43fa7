// SPDX-License-Identifier: GPL-2.0-or-later
//! Packages and repositories, read and installed by the programs that they are for.

mod apt;
mod build_tool;
mod companions;
mod deb;
mod dnf;
mod dnf_plugin;
mod docs;
mod host_tool;
mod hostile;
mod metapackage;
mod rpm_file;
mod samples;
mod signing;
mod subscribe;
mod subscribe_apt;
mod system;
mod tools;
