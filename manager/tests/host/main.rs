// SPDX-License-Identifier: GPL-2.0-or-later
//! The kmend program against a false system: its own /sys, /proc and /var in a folder, and a kernel that a test plays.

mod breaker;
mod contrib;
mod docs;
mod drop_in;
mod facts;
mod failures;
mod hostile;
mod install;
mod ko;
mod last_good;
mod list;
mod load;
mod own_name;
mod packaged;
mod power;
mod preflight;
mod readers;
mod signed_only;
mod status;
mod step_back;
mod streams;
mod subscribe;
mod system;
mod terminal;
mod transition;
mod unload;

/// The program that is tested.
fn program() -> std::path::PathBuf {
    env!("CARGO_BIN_EXE_kmend").into()
}
