// SPDX-License-Identifier: GPL-2.0-or-later
//! Checks that compilers, config and release agree with the kernel's own record.
