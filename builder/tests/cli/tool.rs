// SPDX-License-Identifier: GPL-2.0-or-later
//! Runs kmend-build: arguments and a cache folder in, exit code and words out.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// The program under test.
pub const KMEND: &str = env!("CARGO_BIN_EXE_kmend-build");

/// What a run came to.
#[derive(Debug)]
pub struct Ran {
    /// Exit code; None when a signal ended it.
    pub code: Option<i32>,
    /// Standard output.
    pub out: String,
    /// Standard error.
    pub err: String,
}

/// kmend-build with its cache in `cache`.
pub fn command(cache: &Path) -> Command {
    let mut command = Command::new(KMEND);
    command.env("KMEND_CACHE", cache).stdin(Stdio::null());
    command
}

/// Runs kmend-build with its cache in `cache`.
pub fn run<S: AsRef<OsStr>>(cache: &Path, args: &[S]) -> Ran {
    collect(command(cache).args(args))
}

/// Runs a command to its end.
pub fn collect(command: &mut Command) -> Ran {
    let out = command.output().unwrap_or_else(|e| panic!("cannot start {command:?}: {e}"));
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
    Ran { code: out.status.code(), out: text(out.stdout), err: text(out.stderr) }
}

impl Ran {
    /// Asserts the exit code, that no panic shows, and that standard error says each of `says`.
    pub fn fails(&self, code: i32, says: &[&str]) -> &Self {
        assert_eq!(self.code, Some(code), "exit code; it said:\n{}{}", self.out, self.err);
        self.sane();
        for words in says {
            assert!(self.err.contains(words), "{words:?} is missing in:\n{}", self.err);
        }
        self
    }

    /// Asserts exit code 0.
    pub fn succeeds(&self) -> &Self {
        assert_eq!(self.code, Some(0), "exit code; it said:\n{}{}", self.out, self.err);
        self.sane();
        self
    }

    /// What `--json` printed of refusals.
    pub fn refusals(&self) -> Vec<serde_json::Value> {
        let json: serde_json::Value = serde_json::from_str(&self.out).unwrap_or_else(|e| panic!("{e}: {}", self.out));
        json["refusals"].as_array().cloned().unwrap_or_default()
    }

    /// Asserts that no panic and nothing of the program's insides shows.
    pub fn sane(&self) {
        for word in ["panicked", "RUST_BACKTRACE", "called `", "stack backtrace"] {
            assert!(!self.err.contains(word), "{word:?} in:\n{}", self.err);
        }
        for text in [&self.out, &self.err] {
            let acts = |c: char| c.is_control() && !matches!(c, '\n' | '\t');
            assert!(!text.contains(acts), "a terminal would act on {text:?}");
        }
    }
}

/// A folder of one test.
pub fn folder() -> tempfile::TempDir {
    tempfile::Builder::new().prefix("kmend-cli-").tempdir().unwrap()
}

/// Writes a file into `dir` and returns its path.
pub fn put(dir: &Path, name: &str, bytes: impl AsRef<[u8]>) -> PathBuf {
    let path = dir.join(name);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(&path, bytes).unwrap();
    path
}

/// The names in a folder, sorted; none when there is no such folder.
pub fn names(dir: &Path) -> Vec<String> {
    let Ok(entries) = std::fs::read_dir(dir) else { return Vec::new() };
    let mut names: Vec<String> = entries.map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

/// Runs `command` with a tmpfs of `pages` pages, filled to the last byte but `free` pages, at `at`; also returns the
/// names found there afterwards.
pub fn on_full_disk(command: &Command, at: &Path, pages: usize, free: usize) -> (Ran, Vec<String>) {
    const SCRIPT: &str = "mount -t tmpfs -o size=$1 tmpfs \"$3\" || exit 99\n\
        dd if=/dev/zero of=\"$3/filler\" bs=4096 count=$2 status=none || exit 98\n\
        list=$4; at=$3; shift 4; \"$@\"; code=$?; find \"$at\" -type f -printf '%P\\n' >\"$list\"; exit $code";
    let list = tempfile::NamedTempFile::new().unwrap();
    // Root needs no user namespace, and none that lacks rights over the build root's files.
    let own = if is_root() { "-m" } else { "-rm" };
    let mut wrapped = Command::new("unshare");
    wrapped.args([own, "sh", "-c", SCRIPT, "sh", &(pages * 4096).to_string(), &(pages - free).to_string()]);
    wrapped.arg(at).arg(list.path()).arg(command.get_program()).args(command.get_args()).stdin(Stdio::null());
    for (name, value) in command.get_envs() {
        wrapped.env(name, value.unwrap_or_default());
    }
    let ran = collect(&mut wrapped);
    assert!(!matches!(ran.code, Some(98 | 99)), "no small disk could be made: {}", ran.err);
    let left = std::fs::read_to_string(list.path()).unwrap();
    (ran, left.lines().filter(|l| *l != "filler").map(String::from).collect())
}

fn is_root() -> bool {
    use std::os::unix::fs::MetadataExt;
    std::fs::metadata("/proc/self").is_ok_and(|m| m.uid() == 0)
}
