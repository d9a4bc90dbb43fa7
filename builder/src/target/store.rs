// SPDX-License-Identifier: GPL-2.0-or-later
//! Keeps prepared targets in the cache: list, load, save, remove, resolve a name.
