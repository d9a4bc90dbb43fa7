// SPDX-License-Identifier: GPL-2.0-or-later
//! kmend-build target: add, list, show, remove, export, import.

use crate::target::distro::{self, DISTROS};
use crate::target::options::{self, Given, Opt};
use crate::target::{archive, given_files, host, store, tree, Added, Target};
use anyhow::{bail, Result};
use clap::{Arg, ArgAction, ArgMatches, Args, FromArgMatches, Subcommand};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Instant;

/// Arguments of `kmend-build target`.
#[derive(Args)]
pub struct TargetArgs {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Add a target: a kernel with its source, compilers and image
    #[command(after_help = examples())]
    Add(AddArgs),
    /// List the stored targets
    List {
        /// Print JSON: an array with what `target show --json` prints for each
        #[arg(long)]
        json: bool,
    },
    /// Show everything that is known about one target
    Show {
        #[arg(id = "target", value_name = "TARGET", help = format!("{}, tree:NAME", distro::names().join(", ")))]
        name: String,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Write a target with its compilers into one file, for another machine
    ///
    /// The same target gives the same bytes on every machine. The file's SHA-256 is printed: give it to those who
    /// import it.
    Export {
        #[arg(id = "target", value_name = "TARGET", help = format!("{}, tree:NAME", distro::names().join(", ")))]
        name: String,
        /// The file
        #[arg(short, long, value_name = "FILE")]
        output: PathBuf,
    },
    /// Make a target from a file that `target export` wrote
    ///
    /// Live patches for it are made by the compilers in that file: take one only from whom you would take a live patch.
    Import {
        /// The file
        file: PathBuf,
        /// Read it only if it has this SHA-256
        #[arg(long, value_name = "SUM")]
        sha256: Option<String>,
    },
    /// Remove a target and its files (the compilers stay: other targets may share them)
    Remove {
        /// Its name, as listed by `target list`, or the start of it if that means one target
        #[arg(id = "target", value_name = "TARGET")]
        name: String,
    },
}

#[derive(Args)]
struct AddArgs {
    #[arg(required_unless_present = "tree", conflicts_with = "tree", help = what_names())]
    name: Option<String>,
    #[command(flatten)]
    options: Options,
    /// A kernel source tree in which the kernel was built
    #[arg(long, value_name = "DIR")]
    tree: Option<PathBuf>,
    /// The kernel image that runs (ELF) [default: DIR/vmlinux]
    #[arg(long, value_name = "FILE", requires = "tree")]
    vmlinux: Option<PathBuf>,
    /// The target is called tree:NAME [default: the folder's name]
    #[arg(long = "name", value_name = "NAME", requires = "tree")]
    tree_name: Option<String>,
}

/// What names of targets to add look like.
fn what_names() -> String {
    format!("{}, tree:NAME or {}", distro::names().join(", "), host::NAME)
}

/// What each kind of target takes beside what is in [`AddArgs`].
#[derive(Default)]
struct Options(Given);

/// All of these options; one that several take is there once.
fn options() -> BTreeMap<&'static str, &'static Opt> {
    let of_distros = DISTROS.iter().flat_map(|d| d.facts().options);
    of_distros.chain(given_files::OPTIONS).chain(host::OPTIONS).map(|option| (option.name, option)).collect()
}

impl FromArgMatches for Options {
    fn from_arg_matches(given: &ArgMatches) -> Result<Self, clap::Error> {
        let mut all = Given::default();
        for name in options().into_keys() {
            if let Some(values) = given.get_many::<String>(name) {
                all.set(name, values.cloned().collect());
            }
        }
        Ok(Self(all))
    }

    fn update_from_arg_matches(&mut self, given: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(given)?;
        Ok(())
    }
}

impl Args for Options {
    fn augment_args(command: clap::Command) -> clap::Command {
        options().into_values().fold(command, |command, option| {
            let arg = Arg::new(option.name).long(option.name).value_name(option.value).help(option.help);
            command.arg(if option.many { arg.action(ArgAction::Append).num_args(1..) } else { arg })
        })
    }

    fn augment_args_for_update(command: clap::Command) -> clap::Command {
        Self::augment_args(command)
    }
}

/// How targets are added, an example a line.
fn examples() -> String {
    let mut all: Vec<(&str, &str)> = DISTROS.iter().flat_map(|distro| distro.facts().examples).collect();
    all.push((host::NAME, "the kernel that this machine runs"));
    all.push(("--tree ~/linux --name mine", "a kernel you built"));
    all.push((given_files::EXAMPLE, "a kernel of which you have these files"));
    let width = all.iter().map(|(given, _)| given.len()).max().unwrap_or_default();
    let line = |(given, what): &(&str, &str)| format!("\n  kmend-build target add {given:width$}    {what}");
    format!("Examples:{}", all.iter().map(line).collect::<String>())
}

/// Runs `kmend-build target`.
pub fn run(args: &TargetArgs) -> Result<()> {
    match &args.command {
        Command::Add(add) => run_add(add),
        Command::List { json } => list(*json),
        Command::Show { name, json } => show(name, *json),
        Command::Export { name, output } => {
            let exported = archive::export(name, output)?;
            eprintln!("{} is in {} [{} MiB]", exported.name, output.display(), exported.bytes >> 20);
            println!("{}  {}", exported.sha256, output.display());
            Ok(())
        }
        Command::Import { file, sha256 } => {
            let begun = Instant::now();
            say_added(&archive::import(file, sha256.as_deref())?, begun);
            Ok(())
        }
        Command::Remove { name } => {
            println!("removed {}", store::remove(name)?);
            Ok(())
        }
    }
}

fn run_add(args: &AddArgs) -> Result<()> {
    let begun = Instant::now();
    let added = match (&args.name, &args.tree) {
        (_, Some(dir)) => {
            let given = &args.options.0;
            given.check(&[options::ROOT], "a kernel that was built in its tree (--tree)")?;
            let root = given.one(options::ROOT.name).map(Path::new);
            tree::add(dir, args.vmlinux.as_deref(), args.tree_name.as_deref(), root)?
        }
        (Some(name), None) if name == host::NAME => host::add(&args.options.0)?,
        (Some(name), None) if name.starts_with(given_files::PREFIX) => given_files::add(name, &args.options.0)?,
        (Some(name), None) => distro::add(name, args.options.0.clone())?,
        (None, None) => bail!("name a target ({}) or a tree (--tree DIR)", distro::examples().join(", ")),
    };
    say_added(&added, begun);
    Ok(())
}

fn say_added(added: &Added, begun: Instant) {
    match added {
        Added::AlreadyThere(target) => println!("{} exists already", target.name),
        Added::New(target) => println!("{} is ready [{:.0} s]", target.name, begun.elapsed().as_secs_f32()),
    }
}

fn list(json: bool) -> Result<()> {
    let (targets, broken) = store::list()?;
    for fault in &broken {
        eprintln!("kmend-build: {fault:#}");
    }
    if json {
        print_json!(serde_json::to_string_pretty(&targets)?);
        return Ok(());
    }
    let unfinished = store::unfinished()?;
    if targets.is_empty() && unfinished.is_empty() {
        let examples: Vec<String> =
            distro::examples().iter().map(|name| format!("`kmend-build target add {name}`")).collect();
        println!("there are no targets; {} adds one", examples.join(" or "));
        return Ok(());
    }
    let mut rows = vec![["NAME", "ARCH", "RELEASE", "VERSION", "GCC", "RUST"].map(String::from)];
    rows.extend(targets.iter().map(|t| {
        let rustc = t.rustc.as_deref().and_then(|r| r.split_whitespace().nth(1)).unwrap_or("-").to_string();
        let version = if t.version.is_empty() { "-".into() } else { t.version.clone() };
        [t.name.clone(), t.arch.clone(), t.release.clone(), version, compiler_version(&t.cc), rustc]
    }));
    if !targets.is_empty() {
        print!("{}", table(&rows));
    }
    for name in unfinished {
        println!("{name}  not finished: `kmend-build target add` continues, `target remove` removes it");
    }
    Ok(())
}

/// The version in the first line of `gcc --version`; its packager's is in brackets before it, and a date may follow
/// (`gcc (Debian 10.2.1-6) 10.2.1 20210110`).
fn compiler_version(line: &str) -> String {
    let is_version = |word: &&str| word.starts_with(|c: char| c.is_ascii_digit()) && word.contains('.');
    // Within brackets are the packager's own.
    let outside =
        line.split('(').flat_map(|part| part.split_once(')').map_or(part, |(_, behind)| behind).split_whitespace());
    let found = outside.into_iter().find(is_version).or_else(|| line.split_whitespace().next_back());
    found.unwrap_or_default().into()
}

/// Columns as wide as their widest cell, two spaces apart.
fn table<const N: usize>(rows: &[[String; N]]) -> String {
    let width = |column: usize| rows.iter().map(|r| r[column].chars().count()).max().unwrap_or(0);
    let mut out = String::new();
    for row in rows {
        let cells: Vec<String> = row.iter().enumerate().map(|(i, cell)| format!("{cell:w$}", w = width(i))).collect();
        out += cells.join("  ").trim_end();
        out.push('\n');
    }
    out
}

fn show(name: &str, json: bool) -> Result<()> {
    let target = store::resolve(name)?;
    if json {
        print_json!(serde_json::to_string_pretty(&target)?);
    } else {
        print!("{}", facts(&target));
        match store::check(&target) {
            Ok(()) => println!("  state        ready: all files are there, the compilers are the recorded ones"),
            Err(fault) => println!("  state        unusable: {fault:#}"),
        }
    }
    Ok(())
}

fn facts(t: &Target) -> String {
    let mut out = format!("{}\n", t.name);
    let mut fact = |name: &str, value: String| {
        if !value.is_empty() {
            out += &format!("  {name:12} {value}\n");
        }
    };
    fact("release", t.release.clone());
    fact("package", t.version.clone());
    fact("arch", t.arch.clone());
    fact("build id", t.build_id.clone());
    fact("gcc", t.cc.clone());
    fact("rustc", t.rustc.clone().unwrap_or_else(|| "none (CONFIG_RUST is off)".into()));
    if let Some(toolchain) = &t.toolchain {
        fact("toolchain", format!("{} in {}", toolchain.rustc, toolchain.root.display()));
    }
    fact("imported", t.imported.clone().unwrap_or_default());
    fact("tree", t.tree.display().to_string());
    fact("seen as", t.tree_inside.clone());
    fact("build root", t.root.display().to_string());
    fact("vmlinuz", t.vmlinuz.display().to_string());
    fact("vmlinux", t.vmlinux.display().to_string());
    fact("modules", t.modules.as_ref().map(|m| m.display().to_string()).unwrap_or_else(|| "those in the tree".into()));
    fact("symvers", t.symvers.display().to_string());
    fact("config", t.config.display().to_string());
    fact("make", t.make_vars.join(" "));
    fact("environment", t.make_env.iter().map(|(n, v)| format!("{n}={v:?}")).collect::<Vec<_>>().join(" "));
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_of_compilers() {
        for (line, version) in [
            ("gcc-12 (Debian 12.2.0-14+deb12u1) 12.2.0", "12.2.0"),
            ("gcc (Debian 10.2.1-6) 10.2.1 20210110", "10.2.1"),
            ("gcc (GCC) 8.5.0 20210514 (Red Hat 8.5.0-26)", "8.5.0"),
            ("clang version 19.1.7", "19.1.7"),
            ("tcc", "tcc"),
            ("", ""),
        ] {
            assert_eq!(compiler_version(line), version, "{line}");
        }
    }

    #[test]
    fn tables_line_up() {
        let rows = [["NAME", "X"].map(String::from), ["a-long-name", "y"].map(String::from)];
        assert_eq!(table(&rows), "NAME         X\na-long-name  y\n");
    }
}
