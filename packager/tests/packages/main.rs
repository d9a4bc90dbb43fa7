// SPDX-License-Identifier: GPL-2.0-or-later
//! Packages and repositories, read and installed by the programs that they are for.

mod apt;
mod deb;
mod dnf;
mod hostile;
mod host_tool;
mod metapackage;
mod rpm_file;
mod samples;
mod system;
mod tools;
