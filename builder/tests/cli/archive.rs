// SPDX-License-Identifier: GPL-2.0-or-later
//! `target export` and `target import`, on a target that is as small as one can be: a build root with a shell whose compilers say who
//! they are, a tree of a few files, an image with a banner.

use super::fake::Fake;
use super::tool::{collect, command, folder, names, on_full_disk, put, run, Ran};
use kmend_builder::target::store;
use object::write::Object;
use object::{Architecture, BinaryFormat, Endianness, SectionKind};
use std::os::unix::fs::{symlink, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

/// Tests that need no prepared kernel.
pub const TESTS: &[super::Test] = &[
    ("a_target_moves_to_another_cache", a_target_moves_to_another_cache),
    ("a_stored_target_is_not_replaced", a_stored_target_is_not_replaced),
    ("targets_that_cannot_be_exported", targets_that_cannot_be_exported),
    ("files_that_are_no_sound_target", files_that_are_no_sound_target),
    ("a_kernel_that_is_no_target", a_kernel_that_is_no_target),
    ("several_imports_at_once", several_imports_at_once),
    ("an_import_that_is_killed", an_import_that_is_killed),
    ("a_full_disk", a_full_disk),
];

const NAME: &str = "tree:made";
const RELEASE: &str = "6.1.0-made";
const CC: &str = "gcc-1 (Made) 1.0";
/// Some room for an import to be killed in.
const LARGE: usize = 24 << 20;

/// A cache with the target in it, and room for other caches.
struct Made {
    dir: tempfile::TempDir,
}

/// An ELF file with these sections.
fn elf(sections: &[(&str, &[u8])]) -> Vec<u8> {
    let mut file = Object::new(BinaryFormat::Elf, Architecture::X86_64, Endianness::Little);
    for (name, bytes) in sections {
        let kind = if name.starts_with(".note") { SectionKind::Note } else { SectionKind::ReadOnlyData };
        let section = file.add_section(Vec::new(), name.as_bytes().to_vec(), kind);
        file.append_section_data(section, bytes, 4);
    }
    file.write().unwrap()
}

fn image() -> Vec<u8> {
    let words = [4u32, 20, object::elf::NT_GNU_BUILD_ID].map(u32::to_le_bytes).concat();
    let id = [&words[..], b"GNU\0", &[0xab; 20]].concat();
    let banner = format!("\0Linux version {RELEASE} (made@test) ({CC}, GNU ld 2) #1 SMP\n\0");
    elf(&[(".note.gnu.build-id", &id), (".rodata", banner.as_bytes())])
}

fn program(root: &Path, path: &str, text: &str) {
    let path = put(root, path, text);
    std::fs::set_permissions(path, PermissionsExt::from_mode(0o4755)).unwrap();
}

/// The machine's shell, with the libraries that it needs, at the same places.
fn copy_shell(root: &Path) {
    let out = Command::new("ldd").arg("/bin/sh").output().expect("ldd is there");
    let text = String::from_utf8(out.stdout).unwrap();
    let libraries = text.split_whitespace().filter(|word| word.starts_with('/'));
    for path in libraries.chain(["/bin/sh"]) {
        let to = root.join(path.trim_start_matches('/'));
        std::fs::create_dir_all(to.parent().unwrap()).unwrap();
        std::fs::copy(path, to).unwrap();
    }
}

impl Made {
    fn new() -> Self {
        let made = Self { dir: folder() };
        let root = made.cache().join("roots/made");
        copy_shell(&root);
        for (name, says) in [("gcc-1", CC), ("rustc", "rustc 1.0 (made)"), ("bindgen", "bindgen 1.0")] {
            program(&root, &format!("bin/{name}"), &format!("#!/bin/sh\necho '{says}'\n"));
        }
        std::fs::create_dir_all(root.join("usr/lib")).unwrap();
        symlink("/bin", root.join("usr/bin")).unwrap();
        symlink("../../bin/gcc-1", root.join("usr/lib/cc")).unwrap();
        put(&root, "usr/src/rustc-1.0/library/core/src/lib.rs", "library");
        put(&root, "usr/src/rustc-1.0/compiler/large.rs", "not exported");
        put(&root, "tmp/x", "no tool sees it");

        let dir = made.stored(&made.cache());
        let config =
            format!("CONFIG_LIVEPATCH=y\nCONFIG_MODULES=y\nCONFIG_CC_IS_GCC=y\nCONFIG_CC_VERSION_TEXT=\"{CC}\"\n");
        let long = format!("tree/drivers/{}/file.c", "long".repeat(40));
        for (name, text) in [
            ("config", config.as_str()),
            ("Module.symvers", ""),
            ("tree/Makefile", "all:\n"),
            ("tree/.config", &config),
            ("tree/Module.symvers", ""),
            ("tree/include/config/kernel.release", RELEASE),
            ("tree/include/generated/utsrelease.h", &format!("#define UTS_RELEASE \"{RELEASE}\"\n")),
            ("tree/include/generated/autoconf.h", ""),
            ("tree/scripts/module.lds", ""),
            ("tree/scripts/mod/modpost", ""),
            (&long, "int f;\n"),
            (".prepared", ""),
        ] {
            put(&dir, name, text);
        }
        std::fs::create_dir_all(dir.join("tree/empty")).unwrap();
        symlink(format!("../drivers/{}/file.c", "long".repeat(40)), dir.join("tree/scripts/link.c")).unwrap();
        let mut noise = 1u64;
        let large: Vec<u8> = (0..LARGE / 8)
            .flat_map(|_| {
                noise = noise.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                (noise >> 8).to_le_bytes()
            })
            .collect();
        put(&dir, "tree/large", large);
        put(&dir, "vmlinuz", image());
        put(&dir, "vmlinux", image());
        let module = elf(&[(".modinfo", format!("vermagic={RELEASE} SMP\0").as_bytes())]);
        put(&dir, &format!("lib/modules/{RELEASE}/kernel/m.ko"), module);
        // A record of today: its paths are relative to the cache folder.
        let at = |path: &str| format!("targets/{}/{path}", store::escape(NAME));
        let record = serde_json::json!({
            "name": NAME,
            "origin": { "distro": null, "added": [NAME, "--source", "/home/somebody/linux"] },
            "arch": "x86_64",
            "release": RELEASE,
            "version": "",
            "tree": at("tree"),
            "tree_inside": "/tmp/kmend/linux",
            "root": "roots/made",
            "make_vars": ["ARCH=x86", "CROSS_COMPILE=", "CC=gcc-1", "HOSTCC=gcc-1", format!("KERNELRELEASE={RELEASE}")],
            "make_env": [],
            "cc_flags": [],
            "vmlinuz": at("vmlinuz"),
            "vmlinux": at("vmlinux"),
            "modules": at(&format!("lib/modules/{RELEASE}")),
            "symvers": at("Module.symvers"),
            "config": at("config"),
            "cc": CC,
            "rustc": null,
            "toolchain": { "root": "roots/made", "rustc": "rustc 1.0 (made)" },
            "build_id": "ab".repeat(20),
        });
        put(&dir, "target.json", record.to_string());
        made
    }

    fn at(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn cache(&self) -> PathBuf {
        self.at("cache")
    }

    /// The target's folder in `cache`.
    fn stored(&self, cache: &Path) -> PathBuf {
        cache.join("targets").join(store::escape(NAME))
    }

    fn export(&self, cache: &Path, file: &str) -> PathBuf {
        let file = self.at(file);
        let out = run(cache, &[Path::new("target"), Path::new("export"), Path::new(NAME), Path::new("-o"), &file]);
        let sum = kmend_builder::files::sha256(&std::fs::read(&file).unwrap_or_default());
        assert_eq!(out.succeeds().out, format!("{sum}  {}\n", file.display()));
        file
    }

    fn import(&self, cache: &str, file: &Path) -> Ran {
        run(&self.at(cache), &[Path::new("target"), Path::new("import"), file])
    }

    /// The import is refused with this code, and nothing is stored.
    fn refuses(&self, file: &Path, code: &str) {
        self.import("refusing", file).fails(1, &[&format!("[{code}] "), &file.display().to_string()]);
        self.is_empty("refusing");
    }

    /// No target and nothing half-made is in `cache`.
    fn is_empty(&self, cache: &str) {
        let cache = self.at(cache);
        let targets = names(&cache.join("targets"));
        assert!(targets.iter().all(|name| name.ends_with(".lock")), "{targets:?}");
        assert_eq!(names(&cache.join("imports")), Vec::<String>::new());
    }
}

/// All below `dir`, with modes, times and contents.
fn all_below(dir: &Path) -> Vec<String> {
    let (mut found, mut queue) = (Vec::new(), vec![dir.to_path_buf()]);
    while let Some(path) = queue.pop() {
        let about = path.symlink_metadata().unwrap();
        let shown = path.strip_prefix(dir).unwrap().display().to_string();
        if about.is_dir() {
            queue.extend(names(&path).iter().map(|name| path.join(name)));
            found.push(shown);
        } else if about.is_symlink() {
            found.push(format!("{shown} to {}", path.read_link().unwrap().display()));
        } else {
            let sum = kmend_builder::files::sha256(&std::fs::read(&path).unwrap());
            found.push(format!("{shown} {:o} {} {sum}", about.mode(), about.mtime()));
        }
    }
    found.sort();
    found
}

fn a_target_moves_to_another_cache() {
    let made = Made::new();
    let file = made.export(&made.cache(), "one.kmend");
    let bytes = std::fs::read(&file).unwrap();
    assert!(
        bytes == std::fs::read(made.export(&made.cache(), "two.kmend")).unwrap(),
        "the same target, the same bytes"
    );
    made.import("other", &file).succeeds();
    let show = run(&made.at("other"), &["target", "show", NAME]);
    assert!(show.succeeds().out.contains("ready"), "{}", show.out);
    let json = run(&made.at("other"), &["target", "show", "--json", NAME]);
    let record: serde_json::Value = serde_json::from_str(&json.succeeds().out).unwrap();
    assert_eq!((record["build_id"].as_str(), record["cc"].as_str()), (Some("ab".repeat(20).as_str()), Some(CC)));
    assert_eq!(record["imported"].as_str().map(str::len), Some(64));
    let other = made.at("other").display().to_string();
    for path in ["tree", "root", "vmlinuz", "vmlinux", "modules", "symvers", "config"] {
        assert!(record[path].as_str().unwrap().starts_with(&other), "{path}: {}", record[path]);
    }

    // Nothing in it tells where it was made, nor does the record that it became.
    let tar = zstd::decode_all(bytes.as_slice()).unwrap();
    for place in [made.dir.path().display().to_string(), "/home/somebody".into()] {
        assert!(!tar.windows(place.len()).any(|w| w == place.as_bytes()), "{place} is in the archive");
    }
    let stored = made.stored(&made.at("other"));
    assert!(!std::fs::read_to_string(stored.join("target.json")).unwrap().contains(&other));
    // The files are the same, less what no build uses, without setuid bits, and of one time.
    let tree = all_below(&stored.join("tree"));
    assert!(tree.iter().any(|f| f.contains("longlong")) && tree.iter().any(|f| f == "empty"), "{tree:?}");
    let content = |all: Vec<String>| {
        let fields =
            |f: String| f.split(' ').enumerate().filter(|(n, _)| *n != 2).map(|(_, w)| w.to_string()).collect();
        all.into_iter().map(fields).collect::<Vec<Vec<String>>>()
    };
    assert_eq!(content(tree), content(all_below(&made.stored(&made.cache()).join("tree"))));
    let root = PathBuf::from(record["root"].as_str().unwrap());
    assert_eq!(std::fs::metadata(root.join("bin/gcc-1")).unwrap().mode() & 0o7777, 0o755);
    assert!(!root.join("tmp").exists() && !root.join("usr/src/rustc-1.0/compiler").exists());
    let times: std::collections::BTreeSet<i64> = ["Makefile", ".config", "large"]
        .map(|f| std::fs::metadata(stored.join("tree").join(f)).unwrap().mtime())
        .into();
    assert_eq!(times.len(), 1);

    // Exported again from there, it is the same file. A cache folder that was moved as a whole works.
    assert!(bytes == std::fs::read(made.export(&made.at("other"), "again.kmend")).unwrap());
    std::fs::rename(made.at("other"), made.at("moved")).unwrap();
    let show = run(&made.at("moved"), &["target", "show", NAME]);
    assert!(show.succeeds().out.contains("ready"), "{}", show.out);
    // The sum can be asked for.
    let sum = kmend_builder::files::sha256(&bytes);
    let with_sum = |cache: &str, sum: &str| {
        collect(command(&made.at(cache)).args(["target", "import", "--sha256", sum]).arg(&file))
    };
    with_sum("refusing", &sum.replace(|c: char| c.is_ascii_digit(), "0")).fails(1, &["[archive-sum] "]);
    made.is_empty("refusing");
    with_sum("third", &sum.to_uppercase()).succeeds();
}

fn a_stored_target_is_not_replaced() {
    let made = Made::new();
    let file = made.export(&made.cache(), "one.kmend");
    made.import("cache", &file).fails(1, &["[archive-stored] ", "target remove tree:made"]);
    made.import("other", &file).succeeds();
    assert!(made.import("other", &file).succeeds().out.contains("exists already"));
    // Another one of this name.
    put(&made.stored(&made.cache()), "tree/Makefile", "other:\n");
    let changed = made.export(&made.cache(), "changed.kmend");
    let before = all_below(&made.stored(&made.at("other")));
    made.import("other", &changed).fails(1, &["[archive-stored] "]);
    assert_eq!(all_below(&made.stored(&made.at("other"))), before);
    // With the same build root, which is kept once.
    let remove = run(&made.at("other"), &["target", "remove", NAME]);
    remove.succeeds();
    made.import("other", &changed).succeeds();
    assert_eq!(names(&made.at("other/roots")).len(), 1);
    // An unfinished target of this name.
    std::fs::create_dir_all(made.stored(&made.at("unfinished")).join("tree")).unwrap();
    made.import("unfinished", &file).fails(1, &["[archive-stored] "]);
}

fn targets_that_cannot_be_exported() {
    let fake = Fake::new();
    let out = fake.dir.path().join("out.kmend");
    let export = |cache: &Path, name: &str| {
        let ran = collect(command(cache).args(["target", "export", name, "-o"]).arg(&out));
        assert!(!out.exists());
        ran
    };
    export(&fake.cache(), super::fake::NAME).fails(1, &["[export-tree] tree:fake: "]);
    export(&fake.cache(), "tree:none").fails(1, &["no target"]);
    let made = Made::new();
    let dir = made.stored(&made.cache());
    let record = std::fs::read_to_string(dir.join("target.json")).unwrap();
    let odd = dir.join("tree/socket");
    let _socket = std::os::unix::net::UnixListener::bind(&odd).unwrap();
    export(&made.cache(), NAME).fails(1, &["[export-kind] tree:made: ", "tree/socket"]);
    std::fs::remove_file(&odd).unwrap();
    symlink("/etc/passwd", &odd).unwrap();
    export(&made.cache(), NAME).fails(1, &["[archive-link] tree:made: ", "target/tree/socket"]);
    std::fs::remove_file(&odd).unwrap();
    // The compilers of this machine: its own gcc has to be the recorded one for that.
    let mut machine: serde_json::Value = serde_json::from_str(&record).unwrap();
    machine["root"] = "/".into();
    machine["toolchain"] = serde_json::Value::Null;
    machine["make_vars"] = serde_json::json!(["CC=cc"]);
    machine["cc"] = fake.target.cc.clone().into();
    put(&dir, "target.json", machine.to_string());
    export(&made.cache(), NAME).fails(1, &["[export-machine] tree:made: "]);
    // A folder where the file should go.
    put(&dir, "target.json", record);
    let ran = collect(command(&made.cache()).args(["target", "export", NAME, "-o"]).arg(made.dir.path()));
    ran.fails(1, &["it is a directory"]);
}

fn files_that_are_no_sound_target() {
    let made = Made::new();
    let file = made.export(&made.cache(), "one.kmend");
    let bytes = std::fs::read(&file).unwrap();
    made.refuses(&put(made.dir.path(), "empty", b""), "archive-truncated");
    made.refuses(&put(made.dir.path(), "text", "no target"), "archive-foreign");
    for length in [bytes.len() / 100, bytes.len() / 2, bytes.len() - 1] {
        made.refuses(&put(made.dir.path(), "cut", &bytes[..length]), "archive-truncated");
    }
    made.refuses(&put(made.dir.path(), "more", [&bytes[..], b"more"].concat()), "archive-damaged");
    let mut changed = bytes.clone();
    changed[bytes.len() / 2] ^= 1;
    made.refuses(&put(made.dir.path(), "changed", changed), "archive-damaged");
    made.import("refusing", &made.at("none")).fails(1, &["cannot read"]);
    made.import("refusing", made.dir.path()).fails(1, &["it is no file"]);

    // What the header says.
    let tar = zstd::decode_all(bytes.as_slice()).unwrap();
    let instead = |name: &str, from: &str, to: &str| {
        assert!(from.len() == to.len() && tar[512..4096].windows(from.len()).any(|w| w == from.as_bytes()), "{from}");
        let at = tar.windows(from.len()).position(|w| w == from.as_bytes()).unwrap();
        let changed = [&tar[..at], to.as_bytes(), &tar[at + from.len()..]].concat();
        put(made.dir.path(), name, zstd::encode_all(changed.as_slice(), 1).unwrap())
    };
    made.refuses(&instead("a", "\"kmend_target\": 1", "\"kmend_target\": 2"), "archive-version");
    let host = format!("\"host\": \"{}\"", std::env::consts::ARCH);
    made.refuses(&instead("b", &host, &host.replace(|c: char| c.is_ascii_digit(), "x")), "archive-machine");
    made.refuses(&instead("c", "\"arch\": \"x86_64\"", "\"arch\": \"x86-64\""), "archive-unusable");
    made.refuses(&instead("d", "\"name\": \"tree:made\"", "\"name\": \"tree:../x\""), "archive-name");
    made.refuses(&instead("e", "\"name\": \"tree:made\"", "\"name\": \"debian:6/\""), "archive-name");
    made.refuses(&instead("f", "\"release\": \"6.1.0-made\"", "\"release\": \"6.1.0-evil\""), "archive-unusable");
}

fn a_kernel_that_is_no_target() {
    let made = Made::new();
    let dir = made.stored(&made.cache());
    for (file, text) in [
        ("config", "CONFIG_MODULES=y\n".to_string()),
        (
            "config",
            std::fs::read_to_string(dir.join("config")).unwrap().replace("gcc-1 (Made) 1.0", "gcc-1 (Made) 1.1"),
        ),
        ("tree/include/config/kernel.release", "6.2".into()),
    ] {
        let before = std::fs::read(dir.join(file)).unwrap();
        put(&dir, file, text);
        let exported = made.export(&made.cache(), "odd.kmend");
        made.refuses(&exported, "archive-unusable");
        put(&dir, file, before);
    }
    // Its compiler is another one.
    program(&made.cache().join("roots/made"), "bin/gcc-1", "#!/bin/sh\necho 'gcc-1 (Other) 1.0'\n");
    let record = std::fs::read_to_string(dir.join("target.json")).unwrap().replace("(Made) 1.0", "(Other) 1.0");
    put(&dir, "target.json", record);
    let exported = made.export(&made.cache(), "other.kmend");
    made.refuses(&exported, "archive-unusable");
}

fn start(cache: &Path, file: &Path) -> std::process::Child {
    let mut import = command(cache);
    import.args(["target", "import"]).arg(file).stdout(Stdio::piped()).stderr(Stdio::null());
    import.spawn().unwrap()
}

fn several_imports_at_once() {
    let made = Made::new();
    let file = made.export(&made.cache(), "one.kmend");
    let all: Vec<_> = (0..4).map(|_| start(&made.at("other"), &file)).collect();
    let said = all.into_iter().map(|child| child.wait_with_output().unwrap());
    let said: Vec<_> = said.map(|out| (out.status.code(), String::from_utf8(out.stdout).unwrap())).collect();
    assert!(said.iter().all(|(code, _)| *code == Some(0)), "{said:?}");
    assert_eq!(said.iter().filter(|(_, out)| out.contains("is ready")).count(), 1, "{said:?}");
    assert_eq!(names(&made.at("other/imports")), Vec::<String>::new());
}

fn an_import_that_is_killed() {
    let made = Made::new();
    let file = made.export(&made.cache(), "one.kmend");
    let mut killed = 0;
    for wait in [20, 40, 80, 120, 160, 240, 320, 480] {
        let mut child = start(&made.at("other"), &file);
        std::thread::sleep(Duration::from_millis(wait));
        child.kill().unwrap();
        if child.wait().unwrap().code().is_none() {
            killed += 1;
            let stored = made.stored(&made.at("other"));
            assert_eq!(stored.exists(), stored.join("target.json").exists(), "after {wait} ms");
        }
        run(&made.at("other"), &["target", "remove", NAME]);
    }
    assert!(killed > 2, "{killed}");
    run(&made.at("other"), &["cache", "prune"]).succeeds();
    assert_eq!(names(&made.at("other/imports")), Vec::<String>::new());
    made.import("other", &file).succeeds();
}

fn a_full_disk() {
    let made = Made::new();
    let file = made.export(&made.cache(), "one.kmend");
    let disk = made.at("disk");
    std::fs::create_dir(&disk).unwrap();
    let mut import = command(&disk.join("cache"));
    import.args(["target", "import"]).arg(&file);
    let (ran, left) = on_full_disk(&import, &disk, 4096, 2048);
    ran.fails(1, &["[archive-no-room] "]);
    let whole = |path: &String| path.ends_with(".lock");
    assert!(left.iter().all(whole), "{left:?}");
    let mut export = command(&made.cache());
    export.args(["target", "export", NAME, "-o"]).arg(disk.join("out.kmend"));
    let (ran, left) = on_full_disk(&export, &disk, 4096, 2048);
    ran.fails(1, &["out.kmend", "is the disk full?"]);
    assert_eq!(left, Vec::<String>::new());
}
