// SPDX-License-Identifier: GPL-2.0-or-later
//! The kmend program against a false system: its own /sys, /proc and /var in a folder, and a kernel that a test plays.

mod docs;
mod drop_in;
mod facts;
mod install;
mod ko;
mod list;
mod load;
mod status;
mod streams;
mod system;
mod unload;
