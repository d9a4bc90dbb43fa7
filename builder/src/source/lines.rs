// SPDX-License-Identifier: GPL-2.0-or-later
//! Keeps line numbers of unchanged code as they were, with #line after each hunk.
