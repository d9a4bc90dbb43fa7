// SPDX-License-Identifier: GPL-2.0-or-later
//! Debian's order of versions, as dpkg has it.

use anyhow::{bail, Context, Result};
use std::cmp::Ordering;
use std::process::{Command, Stdio};

/// How `a` is to `b`.
///
/// # Errors
/// No dpkg; versions that it does not take.
pub fn order(a: &str, b: &str) -> Result<Ordering> {
    if a == b {
        return Ok(Ordering::Equal);
    }
    for (op, order) in [("lt", Ordering::Less), ("eq", Ordering::Equal), ("gt", Ordering::Greater)] {
        let asked = Command::new("dpkg").args(["--compare-versions", a, op, b]).stderr(Stdio::null()).status();
        let status = asked.context("only dpkg knows the order of Debian's versions, and it cannot be started")?;
        if status.success() {
            return Ok(order);
        }
    }
    bail!("dpkg does not know the order of the versions {a:?} and {b:?}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_ordered_by_dpkg_or_not_at_all() {
        assert_eq!(order("7.2.9-1", "7.2.12-1").unwrap(), Ordering::Less);
        assert_eq!(order("7.2.12-1", "7.2.12~rc1-1").unwrap(), Ordering::Greater);
        assert_eq!(order("1:1-1", "1:1-01").unwrap(), Ordering::Equal);
    }
}
