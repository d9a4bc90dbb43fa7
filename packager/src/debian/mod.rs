// SPDX-License-Identifier: GPL-2.0-or-later
//! Debian packages, and repositories of them.

mod archive;
mod build_tool;
mod companion;
mod control;
mod host_tool;
mod live_patch;
mod repository;

pub use build_tool::build_tool;
pub use companion::kpatch;
pub use host_tool::host_tool;
pub use live_patch::live_patch;
pub use repository::{repository, suite_of, Suite};
