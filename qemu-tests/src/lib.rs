// SPDX-License-Identifier: GPL-2.0-or-later
//! Proof by booting: scenarios in, one verdict each out.
//!
//! A scenario is a folder with a `scenario.toml`, fixes and a `probe.sh`. Its live patches are built with
//! `kmend-build`, put into an initramfs beside a static busybox, and the target's own kernel is booted with
//! it in QEMU. The guest only reports what it sees; the judging is done here.

pub mod applies;
pub mod builds;
pub mod cli;
pub mod cut;
pub mod demo;
pub mod expect;
pub mod host;
pub mod judge;
pub mod loads;
pub mod nop;
pub mod passes;
pub mod say;
pub mod scenario;
pub mod script;
pub mod series;
pub mod suite;
pub mod upstream;
