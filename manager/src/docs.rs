// SPDX-License-Identifier: GPL-2.0-or-later
//! Man pages and shell completions: a command line in, files out, laid out as /usr/share is. Packagers call it
//! (`examples/docs.rs`); the program itself has none of it.

mod names;
mod page;

use crate::{cli, files};
use anyhow::Result;
use clap::Command;
use clap_complete::{generate, Shell};
use jiff::tz::Offset;
use jiff::Timestamp;
use kmend_shared::manual::Page;
use page::Marks;

pub use names::Names;
use std::path::{Path, PathBuf};

/// Another name of kmend.
const ALIAS: &str = "kpatch";

/// Writes those of kmend(8), and of kpatch, which is another name of it.
///
/// # Errors
/// Whatever the file system says.
pub fn write_docs(dir: &Path) -> Result<Vec<PathBuf>> {
    let manual = Manual { section: "8", version: env!("CARGO_PKG_VERSION"), pages: cli::manual::PAGES, names: NAMES };
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
    /// Where completions offer names.
    pub names: Names<'a>,
}

/// Where kmend takes the name of a live patch.
const NAMES: Names = Names {
    ask: "names",
    value: "MODULE",
    options: &[],
    commands: &["load", "unload", "info", "install", "uninstall", "retry", "forget"],
    or_files: true,
};

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
            let text = String::from_utf8_lossy(&text);
            out.push((file, names::add(&text, shell, name, &manual.names).into_bytes()));
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
    let own = manual.iter().find(|p| command.get_bin_name().unwrap_or(command.get_name()) == p.command);
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

    /// bash itself completes names, also behind a colon.
    #[test]
    fn bash_completes_names() {
        let dir = tempfile::tempdir().unwrap();
        let names =
            Names { ask: "names", value: "TARGET", options: &[('t', "target")], commands: &["show"], or_files: false };
        let script = dir.path().join("script");
        fs::write(&script, names::add("_x() { COMPREPLY=(static); }\n", Shell::Bash, "x", &names)).unwrap();
        let complete = |line: &str| {
            let script = format!(
                "x() {{ [ \"$1\" = names ] && printf '%s\\n' debian:forky debian:trixie tree:mine; }}; source {}; \
                 COMP_WORDBREAKS=$' \\t\\n:='; COMP_LINE='{line}'; COMP_POINT=${{#COMP_LINE}}; _x_names x; \
                 echo \"${{COMPREPLY[@]}}\"",
                script.display()
            );
            run("bash", &["-c", &script])
        };
        assert_eq!(complete("x -t debian:f"), "forky\n");
        assert_eq!(complete("x --target  deb"), "debian:forky debian:trixie\n");
        assert_eq!(complete("x show "), "debian:forky debian:trixie tree:mine\n");
        assert_eq!(complete("x -t nothing"), "\n");
        assert_eq!(complete("x sho"), "static\n");
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
