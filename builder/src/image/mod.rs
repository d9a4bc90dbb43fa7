// SPDX-License-Identifier: GPL-2.0-or-later
//! The shipped kernel as it runs: image, symbols, types, modules.

pub mod vmlinuz;
