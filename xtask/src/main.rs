// SPDX-License-Identifier: GPL-2.0-or-later
//! Chores for people who work on kmend: `cargo xtask NAME`. A chore is a row of the table below.

mod attack;
mod ci;
mod contrib;
mod corpus;
mod farm;
mod hosts;
mod kernel;
mod layers;
mod nop;
mod package;
mod proofs;
mod prove;
mod rpm;
mod samples;
mod tidy;
mod upstream;

use kmend_deps as deps;
use qemu_tests::{demo, say};

use anyhow::{ensure, Context, Result};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

/// One chore; its function gets the arguments after its name.
struct Chore {
    name: &'static str,
    run: fn(&[String]) -> Result<()>,
    help: &'static str,
}

const CHORES: &[Chore] = &[
    Chore { name: "deps", run: deps::run, help: "install what is missing on this machine, and only that" },
    Chore { name: "tidy", run: tidy::run, help: "check the rules that no other tool knows" },
    Chore { name: "target", run: target, help: "prepare the distributions' kernels that are tested, or the one named" },
    Chore {
        name: "kernel",
        run: kernel::run,
        help: "build the test kernels that no distribution ships, or one: `kernel ppc64le`",
    },
    Chore {
        name: "qemu",
        run: proofs::run,
        help: "boot the kernels with scenarios and real fixes; `qemu all` with every one, `qemu --fresh` also those that passed before; `qemu --help` for more",
    },
    Chore {
        name: "hosts",
        run: hosts::run,
        help: "boot whole hosts that are subscribed to a stream: `hosts [TARGET]… [--fresh] [--keep-logs DIR]`",
    },
    Chore {
        name: "farm",
        run: farm::run,
        help: "a stream through real engines on this machine, as root, and the workflows of contrib/ before a validator: `farm [slurm|workflows]…`",
    },
    Chore {
        name: "corpus",
        run: corpus::run,
        help: "run the builder on the fixes of whole stable releases: docs/corpus.md",
    },
    Chore {
        name: "prove",
        run: prove::run,
        help: "how much of whole kernels is proven: `prove [-t TARGET] [--units N|all] [--seed WORD]`",
    },
    Chore {
        name: "nop",
        run: nop::run,
        help: "one live patch of whole units that means nothing, at work: `nop [-t TARGET] [--units N] [--seed WORD]`",
    },
    Chore {
        name: "attack",
        run: attack::run,
        help: "both programs under attack, from a seed: `attack [--seconds N] [--seed WORD] [--only CLASS]`",
    },
    Chore {
        name: "contrib",
        run: contrib::run,
        help: "the dashboard, alert rules and playbooks with the real Prometheus and Ansible; as root, before a release",
    },
    Chore {
        name: "package",
        run: package::run,
        help: "pack kmend and kmend-build as RPM and deb: `package [--packager 'Name <mail>'] [--url URL] [-o DIR] [ARCH]…`",
    },
    Chore {
        name: "rpm",
        run: rpm::run,
        help: "a stock kernel packed as RPMs, added by these, built for and booted: `rpm [--keep]`",
    },
    Chore {
        name: "upstream",
        run: upstream::run,
        help: "write docs/upstream, the patch series for the kernel; `upstream check [TARGET]…` builds and boots it: docs/upstream.md",
    },
    Chore { name: "demo", run: demo::run, help: "from nothing to a real fix at work in a booted kernel, narrated" },
    Chore {
        name: "ci",
        run: ci::run,
        help:
            "all that has to hold, from the format to whole hosts; `ci --fresh` boots also what passed before, `ci all` all of it",
    },
];

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let Some(chore) = args.first().and_then(|name| CHORES.iter().find(|c| c.name == name)) else {
        return usage(args.first());
    };
    match (chore.run)(&args[1..]) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("xtask {}: {error:#}", chore.name);
            ExitCode::FAILURE
        }
    }
}

fn usage(name: Option<&String>) -> ExitCode {
    let known = name.is_none_or(|n| n == "help" || n == "--help" || n == "-h");
    if let (false, Some(name)) = (known, name) {
        eprintln!("there is no chore `{name}`");
    }
    println!("cargo xtask CHORE [ARGUMENTS]");
    CHORES.iter().for_each(|c| println!("  {:<8} {}", c.name, c.help));
    if known {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

/// The repository's folder.
fn home() -> Result<PathBuf> {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.parent().map(PathBuf::from).with_context(|| format!("{} has no parent", here.display()))
}

/// Runs a command in the repository's folder; its output goes where this program's goes.
fn shell(program: &str, args: &[&str]) -> Result<()> {
    let status = Command::new(program)
        .args(args)
        .current_dir(home()?)
        .status()
        .with_context(|| format!("cannot start {program}"))?;
    ensure!(status.success(), "`{program} {}` ended with {status}", args.join(" "));
    Ok(())
}

/// The cargo that runs this program.
fn cargo() -> String {
    std::env::var("CARGO").unwrap_or_else(|_| "cargo".into())
}

/// Prepares the kernels that are named; all stock ones of the proofs where none is.
fn target(args: &[String]) -> Result<()> {
    let kmend_build = qemu_tests::builds::find_kmend_build()?;
    let named: Vec<&str> = args.iter().map(String::as_str).collect();
    let all = if named.is_empty() { qemu_tests::cli::STOCK.to_vec() } else { named };
    all.iter().try_for_each(|name| shell(&kmend_build.to_string_lossy(), &["target", "add", name]))
}
