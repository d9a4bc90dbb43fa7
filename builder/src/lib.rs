// SPDX-License-Identifier: GPL-2.0-or-later
//! kmend-build: from a source fix and a target kernel to a proven live patch module.
//!
//! `pipeline` is the straight line; each module it calls is one stage or one fact about the world
//! that a stage needs. ARCHITECTURE.md has the table.

// The standard macros panic where standard error cannot be written to: a full log must not break off a build. And names and
// sources are not to be trusted with a terminal.
macro_rules! eprint {
    ($($what:tt)*) => {{
        use std::io::Write as _;
        let _ = std::io::stderr().write_all(crate::visible::visible(&format!($($what)*)).as_bytes());
    }};
}
macro_rules! eprintln {
    ($($what:tt)*) => { eprint!("{}\n", format_args!($($what)*)) };
}

pub mod arch;
pub mod audit;
pub mod c;
pub mod cli;
pub mod compile;
pub mod diff;
pub mod elf;
pub mod emit;
pub mod error;
pub mod explain;
pub mod extract;
pub mod files;
pub mod guest;
pub mod hooks;
pub mod image;
pub mod inspect;
pub mod klp;
pub mod leftovers;
pub mod link;
pub mod manifest;
pub mod parallel;
pub mod pipeline;
pub mod postlink;
pub mod progress;
pub mod prove;
pub mod reach;
pub mod report;
pub mod resolve;
pub mod sandbox;
pub mod section_table;
pub mod session;
pub mod sign;
pub mod source;
pub mod special;
pub mod stream;
pub mod target;
pub mod trial;
pub mod types;
pub mod unpack;
pub mod verify;
pub mod visible;
