// SPDX-License-Identifier: GPL-2.0-or-later
//! kmend-build target: add, list, show, remove.
