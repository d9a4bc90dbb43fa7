// SPDX-License-Identifier: GPL-2.0-or-later
//! Takes the ELF kernel image out of a vmlinuz.
