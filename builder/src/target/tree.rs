// SPDX-License-Identifier: GPL-2.0-or-later
//! Makes a target from a kernel that the user built.
