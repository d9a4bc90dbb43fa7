// SPDX-License-Identifier: GPL-2.0-or-later
//! Makes a target from a Debian suite: packages in, prepared target out.
