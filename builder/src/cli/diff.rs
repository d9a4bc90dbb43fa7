// SPDX-License-Identifier: GPL-2.0-or-later
//! kmend-build diff: the diff engine alone, on two objects.
