// SPDX-License-Identifier: GPL-2.0-or-later
//! kmend-build build: fixes in, live patch module out.
