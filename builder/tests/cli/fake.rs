// SPDX-License-Identifier: GPL-2.0-or-later
//! A target of a few files: enough for all that kmend-build does before kbuild is asked.

use super::tool::{folder, put};
use kmend_builder::target::{tree, Target};
use std::path::{Path, PathBuf};
use std::process::Command;

/// Its name.
pub const NAME: &str = "tree:fake";

/// The one source file that fixes are for.
pub const SOURCE: &str = "fs/a.c";

/// A cache folder with the target in it.
pub struct Fake {
    /// Holds `cache`, `tree`, and what a test puts there.
    pub dir: tempfile::TempDir,
    /// The target as stored.
    pub target: Target,
}

/// Lines of [`SOURCE`].
pub fn source() -> String {
    (1..=30).map(|n| format!("int line{n};\n")).collect()
}

/// A good fix to [`SOURCE`], line 10.
pub fn good_fix() -> String {
    "--- a/fs/a.c\n+++ b/fs/a.c\n@@ -9,3 +9,3 @@\n int line9;\n-int line10;\n+int line_ten;\n int line11;\n".into()
}

impl Fake {
    /// Makes it.
    pub fn new() -> Self {
        let dir = folder();
        let tree = dir.path().join("tree");
        for (name, text) in [
            (SOURCE, source()),
            ("Makefile", "all:\n".into()),
            ("include/generated/autoconf.h", String::new()),
            ("scripts/module.lds", String::new()),
            ("Module.symvers", String::new()),
            (".config", "CONFIG_LIVEPATCH=y\n".into()),
        ] {
            put(&tree, name, text);
        }
        let image = put(dir.path(), "vmlinux", image());
        let target = Target {
            name: NAME.into(),
            origin: tree::origin(NAME, &tree, &image, Path::new("/")),
            arch: "x86_64".into(),
            release: "7.2.0-fake".into(),
            version: String::new(),
            tree_inside: "/tmp/kmend/linux".into(),
            root: "/".into(),
            make_vars: vec!["CC=cc".into()],
            make_env: Vec::new(),
            cc_flags: Vec::new(),
            vmlinuz: image.clone(),
            vmlinux: image,
            modules: None,
            symvers: tree.join("Module.symvers"),
            config: tree.join(".config"),
            tree,
            cc: compiler(),
            rustc: None,
            toolchain: None,
            build_id: "ab".repeat(20),
            imported: None,
        };
        let fake = Self { dir, target };
        fake.store(&fake.target);
        fake
    }

    /// The cache folder.
    pub fn cache(&self) -> PathBuf {
        self.dir.path().join("cache")
    }

    /// The folder that builds of this test write to.
    pub fn out(&self) -> PathBuf {
        self.dir.path().join("out")
    }

    /// Stores another record of the target.
    pub fn store(&self, target: &Target) {
        put(&self.cache(), "targets/tree%3Afake/target.json", serde_json::to_vec(target).unwrap());
    }

    /// Runs `build` on a fix.
    pub fn build(&self, fix: &Path) -> super::tool::Ran {
        super::tool::collect(self.command(fix).arg("-o").arg(self.out()))
    }

    /// `build` on a fix, less where to write to.
    pub fn command(&self, fix: &Path) -> Command {
        let mut command = super::tool::command(&self.cache());
        command.args(["build", "-t", NAME]).arg(fix);
        command
    }
}

fn compiler() -> String {
    let out = Command::new("cc").arg("--version").output().expect("cc is needed to link Rust programs");
    String::from_utf8_lossy(&out.stdout).lines().next().unwrap_or_default().trim().into()
}

/// An ELF file with nothing but a build id in it.
fn image() -> Vec<u8> {
    use object::write::Object;
    let mut file = Object::new(object::BinaryFormat::Elf, object::Architecture::X86_64, object::Endianness::Little);
    let section = file.add_section(Vec::new(), b".note.gnu.build-id".to_vec(), object::SectionKind::Note);
    let mut note = Vec::new();
    for word in [4u32, 20, object::elf::NT_GNU_BUILD_ID] {
        note.extend(word.to_le_bytes());
    }
    note.extend(b"GNU\0");
    note.extend([0xab; 20]);
    file.append_section_data(section, &note, 4);
    file.write().unwrap()
}
