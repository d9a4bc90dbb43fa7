// SPDX-License-Identifier: GPL-2.0-or-later
//! Whole hosts: a Debian system with systemd, a disk and the host tool's packages, booted with a target's own kernel,
//! that lives through a story of several boots.

pub mod disk;
pub mod life;
pub mod packages;
pub mod story;
pub mod system;
pub mod tool;
