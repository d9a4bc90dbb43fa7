// SPDX-License-Identifier: GPL-2.0-or-later
//! The prepared kernels that tests use: the one named in KMEND_TEST_TARGET with a cache folder of the test's own over it, and
//! fixes made of its own source.

use super::tool::{collect, command, folder, names, put, Ran};
use kmend_builder::files;
use kmend_builder::target::{store, Target};
use similar::TextDiff;
use std::ffi::OsStr;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A unit that is small and part of every kernel.
pub const SMALL: &str = "fs/proc/cmdline.c";

/// The kernel, as one test sees it.
pub struct Kernel {
    /// Holds the test's own `cache`, its fixes and its output.
    pub dir: tempfile::TempDir,
    /// The target as it is stored.
    pub target: Target,
}

fn copy_files(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for name in names(from).into_iter().filter(|n| from.join(n).is_file()) {
        std::fs::copy(from.join(&name), to.join(&name)).unwrap();
    }
}

impl Kernel {
    /// The kernel with a cache of its own, where records and objects can be spoilt.
    pub fn new() -> Self {
        let name = std::env::var("KMEND_TEST_TARGET").expect("the name of a prepared target");
        let target = store::resolve(&name).expect("KMEND_TEST_TARGET names a stored target");
        let kernel = Self { dir: folder(), target };
        let shared = files::cache_dir().unwrap();
        copy_files(&shared.join("index"), &kernel.cache().join("index"));
        let bindings = shared.join("bindings");
        for name in names(&bindings).into_iter().filter(|n| bindings.join(n).is_dir()) {
            copy_files(&bindings.join(&name), &kernel.cache().join("bindings").join(name));
        }
        // kbuild works in the one tree: the lock on it is everybody's.
        std::fs::create_dir_all(shared.join("locks")).unwrap();
        symlink(shared.join("locks"), kernel.cache().join("locks")).unwrap();
        kernel.store(&kernel.target);
        kernel
    }

    /// The test's cache folder.
    pub fn cache(&self) -> PathBuf {
        self.dir.path().join("cache")
    }

    /// The folder that builds of this test write to.
    pub fn out(&self) -> PathBuf {
        self.dir.path().join("out")
    }

    /// Stores another record of the target in the test's cache.
    pub fn store(&self, target: &Target) {
        let path = self.cache().join("targets").join(store::escape(&target.name)).join("target.json");
        files::write(&path, &serde_json::to_vec(target).unwrap()).unwrap();
    }

    /// Takes the objects that other runs have made.
    pub fn with_shared_objects(self) -> Self {
        let shared = files::cache_dir().unwrap().join("objects");
        std::fs::create_dir_all(&shared).unwrap();
        symlink(shared, self.cache().join("objects")).unwrap();
        self
    }

    /// A fix to `path`, made of the target's own source with `old` replaced by `new`.
    pub fn fix(&self, name: &str, path: &str, old: &str, new: &str) -> PathBuf {
        let text = self.source(path);
        assert!(text.contains(old), "{path} of {} has no {old:?}: the test needs another place", self.target.name);
        self.patch(name, path, &text, &text.replacen(old, new, 1))
    }

    /// A file of the target's source.
    pub fn source(&self, path: &str) -> String {
        String::from_utf8_lossy(&std::fs::read(self.target.tree.join(path)).unwrap()).into_owned()
    }

    /// A patch file from one text of `path` to another.
    pub fn patch(&self, name: &str, path: &str, from: &str, to: &str) -> PathBuf {
        let diff = TextDiff::from_lines(from, to);
        let text = diff.unified_diff().header(&format!("a/{path}"), &format!("b/{path}")).to_string();
        put(self.dir.path(), name, text)
    }

    /// A fix that can be built.
    pub fn good_fix(&self) -> PathBuf {
        self.fix("good.patch", SMALL, "seq_putc(m, '\\n');", "seq_puts(m, \" changed\\n\");")
    }

    /// `build` on a fix, less where to write to.
    pub fn command(&self, fix: &Path) -> Command {
        let mut command = command(&self.cache());
        command.args(["build", "-t", &self.target.name]).arg(fix);
        command
    }

    /// Builds into the test's folder, with more arguments.
    pub fn build<S: AsRef<OsStr>>(&self, fix: &Path, more: &[S]) -> Ran {
        collect(self.command(fix).args(more).arg("-o").arg(self.out()))
    }

    /// Builds, and asserts that it is refused with these words and nothing is written.
    pub fn refuses(&self, fix: &Path, says: &[&str]) {
        self.build::<&str>(fix, &[]).fails(2, &["what you can do: "]).fails(2, says);
        assert!(names(&self.out()).is_empty());
    }
}

/// The prepared kernel that an environment variable names.
pub fn stored(variable: &str) -> Target {
    let name = std::env::var(variable).expect("the name of a prepared target");
    store::resolve(&name).expect("it names a stored target")
}

/// Builds the change of `unit` from `from` to `to`, each as often as it is there once.
pub fn build_change(target: &Target, dir: &Path, unit: &str, edits: &[(&str, &str)], hooks: Option<&str>) -> Ran {
    let text = files::read_text(&target.tree.join(unit)).unwrap();
    let fixed = edits.iter().fold(text.clone(), |text, (from, to)| {
        assert!(text.contains(from), "{unit} has another text: the test needs another place than {from:?}");
        text.replacen(from, to, 1)
    });
    let diff = TextDiff::from_lines(&text, &fixed);
    let diff = diff.unified_diff().header(&format!("a/{unit}"), &format!("b/{unit}")).to_string();
    let fix = put(dir, "the-fix.patch", diff);
    let mut run = command(&files::cache_dir().unwrap());
    run.args(["build", "-t", &target.name, "-n", "kmend_hooked", "-o"]).arg(dir);
    if let Some(hooks) = hooks {
        run.arg("--hooks").arg(put(dir, "my-hooks.rs", hooks));
    }
    collect(run.arg(fix))
}
