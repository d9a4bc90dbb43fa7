// SPDX-License-Identifier: GPL-2.0-or-later
//! Asks a suite of the machine's own apt sources for packages, and fetches them.
