// SPDX-License-Identifier: GPL-2.0-or-later
//! Man pages and shell completions: a command line in, files out, laid out as /usr/share is. Packagers call it
//! (`examples/docs.rs`); the program itself has none of it.

mod page;

use crate::{cli, files};
use anyhow::Result;
use clap::Command;
use clap_complete::{generate, Shell};
use jiff::tz::Offset;
use jiff::Timestamp;
use kmend_shared::manual::Page;
use page::Marks;
use std::path::{Path, PathBuf};

/// Another name of kmend.
const ALIAS: &str = "kpatch";

/// Writes those of kmend(8), and of kpatch, which is another name of it.
///
/// # Errors
/// Whatever the file system says.
pub fn write_docs(dir: &Path) -> Result<Vec<PathBuf>> {
    let manual = Manual { section: "8", version: env!("CARGO_PKG_VERSION"), pages: cli::manual::PAGES };
    write(dir, &cli::command(), &manual, &[ALIAS])
}

/// What pages say beyond the help of a command line.
#[derive(Clone, Copy, Debug)]
pub struct Manual<'a> {
    /// The section: 8
    pub section: &'a str,
    /// The program's version.
    pub version: &'a str,
    /// What is added to the page of each command.
    pub pages: &'a [Page],
}

/// Writes those of any command line: a page for it and for each of its commands (`man8/kmend-status.8`), a page that
/// leads to it for each other name; completions for bash, zsh and fish by each name. Returns the files, in order.
///
/// # Errors
/// Whatever the file system says.
pub fn write(dir: &Path, command: &Command, manual: &Manual, names: &[&str]) -> Result<Vec<PathBuf>> {
    let name = command.get_name().to_string();
    let section = manual.section;
    let mut built = command.clone().disable_help_subcommand(true);
    built.build();
    let mut out = Vec::new();
    let marks = Marks { section, source: &format!("{name} {}", manual.version), date: date() };
    pages(&built, manual.pages, &marks, &mut out)?;
    let folder = format!("man/man{section}");
    for other in names {
        out.push((format!("{folder}/{other}.{section}"), format!(".so man{section}/{name}.{section}\n").into_bytes()));
    }
    for name in [name.as_str()].iter().chain(names) {
        for (shell, file) in [
            (Shell::Bash, format!("bash-completion/completions/{name}")),
            (Shell::Zsh, format!("zsh/site-functions/_{name}")),
            (Shell::Fish, format!("fish/vendor_completions.d/{name}.fish")),
        ] {
            let mut text = Vec::new();
            generate(shell, &mut command.clone(), *name, &mut text);
            out.push((file, text));
        }
    }
    out.sort();
    let write = |(file, text): (String, Vec<u8>)| {
        let path = dir.join(file);
        files::write(&path, &text).map(|()| path)
    };
    out.into_iter().map(write).collect()
}

/// The date in the pages' foot: that of SOURCE_DATE_EPOCH, which builds of packages set
/// (reproducible-builds.org/specs/source-date-epoch), else none, so that the same command line makes the same bytes.
fn date() -> String {
    let epoch = std::env::var("SOURCE_DATE_EPOCH").ok().and_then(|seconds| seconds.parse().ok());
    let time = epoch.and_then(|seconds| Timestamp::from_second(seconds).ok());
    // A blank is an argument of its own in roff; an empty text would be none.
    time.map_or(" ".into(), |time| Offset::UTC.to_datetime(time).date().to_string())
}

fn pages(command: &Command, manual: &[Page], marks: &Marks, out: &mut Vec<(String, Vec<u8>)>) -> Result<()> {
    let name = command.get_display_name().unwrap_or(command.get_name()).to_string();
    let section = marks.section;
    let own = manual.iter().find(|p| command.get_bin_name() == Some(p.command));
    out.push((format!("man/man{section}/{name}.{section}"), page::write(command, &name, own, marks)?));
    command.get_subcommands().filter(|c| !c.is_hide_set()).try_for_each(|c| pages(c, manual, marks, out))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::process::{Command as Process, Output};

    fn run(program: &str, args: &[&str]) -> String {
        let Output { status, stdout, stderr } = Process::new(program).args(args).output().unwrap();
        let (out, err) = (String::from_utf8(stdout).unwrap(), String::from_utf8(stderr).unwrap());
        assert!(status.success() && err.is_empty(), "{program} {args:?}: {status}\n{out}\n{err}");
        out
    }

    #[test]
    fn each_command_has_a_page_and_each_name_its_completions() {
        let dir = tempfile::tempdir().unwrap();
        let files = write_docs(dir.path()).unwrap();
        let text = |file: &str| fs::read_to_string(dir.path().join(file)).unwrap();
        let page = text("man/man8/kmend-status.8");
        assert!(page.contains(r"kmend\-status") && page.contains("reboot needed"), "{page}");
        assert!(page.contains(".TH KMEND-STATUS 8") || page.contains(r".TH KMEND\-STATUS 8"), "{page}");
        assert!(text("man/man8/kmend.8").contains(r"kmend\-cve(8)"));
        assert_eq!(text("man/man8/kpatch.8"), ".so man8/kmend.8\n");
        let commands = cli::command();
        for command in commands.get_subcommands().filter(|c| !c.is_hide_set()) {
            assert!(files.contains(&dir.path().join(format!("man/man8/kmend-{}.8", command.get_name()))));
        }
        assert!(files.contains(&dir.path().join("man/man8/kmend-force-unload.8")));
        for section in ["EXIT STATUS", "FILES", "EXAMPLES", "SEE ALSO"] {
            assert!(page.contains(section) && text("man/man8/kmend.8").contains(section), "{section}");
        }
        assert!(!page.contains("Exit codes") && page.contains("livepatch.html"), "{page}");
        // The same command line, the same bytes.
        let again = tempfile::tempdir().unwrap();
        for (file, other) in files.iter().zip(write_docs(again.path()).unwrap()) {
            assert_eq!(fs::read(file).unwrap(), fs::read(other).unwrap());
        }
    }

    /// bash itself completes the commands, by both names.
    #[test]
    fn bash_completes_with_it() {
        let dir = tempfile::tempdir().unwrap();
        write_docs(dir.path()).unwrap();
        for name in ["kmend", ALIAS] {
            let file = dir.path().join("bash-completion/completions").join(name);
            let script = format!(
                "source {}; complete -p {name} >/dev/null || exit 1; COMP_WORDS=({name} sta); COMP_CWORD=1; _{name} {name} \
                 sta {name}; echo \"${{COMPREPLY[@]}}\"",
                file.display()
            );
            assert_eq!(run("bash", &["-c", &script]), "status\n");
        }
    }
}
