// SPDX-License-Identifier: GPL-2.0-or-later
//! Makes the build root that holds the compilers a kernel was built with.
