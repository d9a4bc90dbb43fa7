// SPDX-License-Identifier: GPL-2.0-or-later
//! kmend-build inspect: what a finished live patch holds.
