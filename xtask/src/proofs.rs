// SPDX-License-Identifier: GPL-2.0-or-later
//! Which kernels the scenarios run on, and how many of them each time: guests take most of the time of all tests.

use crate::kernel;
use anyhow::{ensure, Result};
use qemu_tests::cli::{self, Kernel, DEFAULT_TARGET, STOCK};
use std::process::ExitCode;

/// How much of the scenarios runs on a kernel in `make test`; `make test-all` runs all on each.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Extent {
    /// All scenarios and real fixes.
    All,
    /// Those in [`CHOSEN`].
    Chosen,
}

/// The kernels on which all runs in `make test`: one of each architecture.
const WHOLE: &[&str] = &[DEFAULT_TARGET, "tree:ppc64le"];

/// What has another way through the builder on each kernel, once: a refusal, new data, a static key, a name that
/// several functions have, a module that the target ships, a system call, a replacement; and the fixes from the stable
/// history of the series without Rust. They fit into one guest.
const CHOSEN: &[&str] = &[
    "refuse-data",
    "new-function-data",
    "jump-label",
    "namesake-state",
    "module-before",
    "module-after",
    "syscall",
    "replace",
    "bridge-bpdu",
    "bridge-default-vlan",
    "timens-nanoseconds",
];

/// All kernels, each with what runs on it in `make test`.
fn kernels() -> Vec<(String, Extent)> {
    let names = STOCK.iter().map(|name| name.to_string()).chain(kernel::targets());
    let extent = |name: &str| if WHOLE.contains(&name) { Extent::All } else { Extent::Chosen };
    let mut all: Vec<(String, Extent)> = names.map(|name| (name.clone(), extent(&name))).collect();
    // They run side by side: those that take longest begin.
    all.sort_by_key(|(_, extent)| *extent == Extent::Chosen);
    all
}

/// Without arguments what `make test` runs; with `all` everything on every kernel; `--fresh` boots also what passed before.
/// Other arguments are those of qemu-tests, on every kernel where none is named.
pub fn run(args: &[String]) -> Result<()> {
    match args.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [] => each(|extent| extent, false),
        ["--fresh"] => each(|extent| extent, true),
        ["all"] => each(|_| Extent::All, false),
        ["all", "--fresh"] | ["--fresh", "all"] => each(|_| Extent::All, true),
        _ => ensure_passed(&with_kernels(args)),
    }
}

fn each(extent: impl Fn(Extent) -> Extent, fresh: bool) -> Result<()> {
    let kernels = kernels();
    let only = |in_test: Extent| if extent(in_test) == Extent::All { &[] } else { CHOSEN };
    let runs: Vec<Kernel> =
        kernels.iter().map(|(name, in_test)| Kernel { target: name, only: only(*in_test) }).collect();
    cli::run_kernels(&runs, fresh)
}

fn with_kernels(args: &[String]) -> Vec<String> {
    let named = |a: &String| a.starts_with("-t") || a == "--target" || a.starts_with("--target=");
    let mut line = args.to_vec();
    if !args.iter().any(named) {
        line.extend(kernels().into_iter().flat_map(|(name, _)| ["--target".to_string(), name]));
    }
    line
}

fn ensure_passed(args: &[String]) -> Result<()> {
    let line: Vec<String> = ["cargo xtask qemu".to_string()].into_iter().chain(args.iter().cloned()).collect();
    ensure!(cli::run_with(&line) == ExitCode::SUCCESS, "not everything passed");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_chosen_is_there() {
        let folder = crate::home().expect("home").join("qemu-tests");
        for name in CHOSEN {
            let is_in = |part: &str| folder.join(part).join(name).join("scenario.toml").is_file();
            assert!(["scenarios", "real"].iter().any(|part| is_in(part)), "{name}");
        }
    }

    #[test]
    fn all_runs_on_one_kernel_of_each_architecture_at_least() {
        for name in WHOLE {
            assert!(kernels().contains(&(name.to_string(), Extent::All)), "{name}");
        }
    }

    #[test]
    fn kernels_are_added_where_none_is_named() {
        let args = |text: &str| text.split(' ').map(String::from).collect::<Vec<_>>();
        assert_eq!(with_kernels(&args("--only a -t x")), args("--only a -t x"));
        assert_eq!(with_kernels(&args("--before")).len(), 1 + 2 * kernels().len());
    }
}
