// SPDX-License-Identifier: GPL-2.0-or-later
//! Builds on a prepared kernel.

use super::Test;

pub const TESTS: &[Test] = &[];
