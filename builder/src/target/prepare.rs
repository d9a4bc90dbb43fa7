// SPDX-License-Identifier: GPL-2.0-or-later
//! Prepares an unpacked source tree: config, generated headers, Rust metadata, objtool.
