// SPDX-License-Identifier: GPL-2.0-or-later
//! Puts finished live patches into RPMs and debs, and those into repositories that dnf and apt read. It needs
//! neither the builder nor the host tool. docs/packages.md shows the results.
//!
//! A [`LivePatch`] describes what is packaged; [`redhat`] and [`debian`] write the files.

pub mod debian;
pub mod redhat;

mod build_tool;
mod contents;
mod date;
mod description;
mod files;
mod gpg;
mod host_tool;
mod index;
mod module;
mod names;
mod program;
mod scriptlets;
mod signing;
mod text;
mod version;

pub use build_tool::BuildTool;
pub use description::{Entry, Line, LivePatch, Origin};
pub use files::Built;
pub use host_tool::HostTool;
pub use index::{before, Before, Dates};
pub use kmend_shared::arch::ArchNames as Arch;
pub use kmend_shared::manifest::Severity;
pub use kmend_shared::names::{kernel_id, MODULE_NAME_MAX};
pub use names::Names;
pub use signing::Key;
pub use version::Version;
