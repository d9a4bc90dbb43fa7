// SPDX-License-Identifier: GPL-2.0-or-later
//! The deb as dpkg reads and installs it.
