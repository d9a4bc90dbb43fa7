// SPDX-License-Identifier: GPL-2.0-or-later
//! Stage link: emitted source and payload objects through kbuild's external-module path.
