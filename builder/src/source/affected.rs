// SPDX-License-Identifier: GPL-2.0-or-later
//! Stage affected: the translation units that a fix reaches and the config builds.
