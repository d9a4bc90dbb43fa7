// SPDX-License-Identifier: GPL-2.0-or-later
//! Keeps compiled originals, keyed by what went into them.
