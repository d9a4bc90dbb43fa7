// SPDX-License-Identifier: GPL-2.0-or-later
//! Reads kbuild's saved command of a unit and changes what has to differ.
