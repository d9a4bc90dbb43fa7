// SPDX-License-Identifier: GPL-2.0-or-later
//! The Rust of a module for a kernel without CONFIG_RUST: source in, one object out, which kbuild takes as it is.
//!
//! The crate that it is compiled against is not the kernel's own but kmod/shim, which has the same name and the same
//! paths. Below it is `core`, built for the flags of that kernel. Neither leaves an object behind: what the module uses
//! of them is compiled into it, and what is missing then is an undefined symbol, which modpost refuses by name.

use super::{author, bindings, cache};
use crate::arch;
use crate::hooks::file::HooksFile;
use crate::sandbox::{Sandbox, WORK};
use crate::target::config::Config;
use crate::target::kbuild::command::Saved;
use crate::target::toolchain::Toolchain;
use crate::target::{store, Target};
use crate::{files, progress};
use anyhow::{bail, Context, Result};
use std::path::{Path, PathBuf};

/// The shim's sources, by file name.
const SHIM: [(&str, &str); 9] = [
    ("lib.rs", include_str!("../../../kmod/shim/lib.rs")),
    ("alloc.rs", include_str!("../../../kmod/shim/alloc.rs")),
    ("bindings.rs", include_str!("../../../kmod/shim/bindings.rs")),
    ("error.rs", include_str!("../../../kmod/shim/error.rs")),
    ("ffi.rs", include_str!("../../../kmod/shim/ffi.rs")),
    ("module.rs", include_str!("../../../kmod/shim/module.rs")),
    ("prelude.rs", include_str!("../../../kmod/shim/prelude.rs")),
    ("sync.rs", include_str!("../../../kmod/shim/sync.rs")),
    ("types.rs", include_str!("../../../kmod/shim/types.rs")),
];

/// The crate `pin_init`: file name and text.
const PIN_INIT: (&str, &str) = ("pin_init.rs", include_str!("../../../kmod/shim/pin_init.rs"));

/// The crate `macros`, which is compiled for the machine that builds: file name and text.
const MACROS: (&str, &str) = ("macros.rs", include_str!("../../../kmod/shim/macros.rs"));

/// The crate that rustc wants beside `core`: file name and text.
const BUILTINS: (&str, &str) = ("compiler_builtins.rs", include_str!("../../../kmod/shim/compiler_builtins.rs"));

/// A unit of the kernel's own that every prepared tree has compiled: its flags are the kernel's.
const UNIT: &str = "scripts/mod/.empty.o.cmd";

/// What all crates are compiled with, as kernels with Rust compile theirs. There is no unwinding.
const FLAGS: &[&str] = &[
    "-Cpanic=abort",
    "-Cembed-bitcode=n",
    "-Clto=n",
    "-Cforce-unwind-tables=n",
    "-Ccodegen-units=1",
    "-Csymbol-mangling-version=v0",
    "-Zfunction-sections=n",
    "-Cdebug-assertions=n",
    "-Coverflow-checks=y",
    "--sysroot=/dev/null",
];

/// Metadata alone, with the code of what may be compiled into other crates.
const AS_CRATE: &[&str] = &["--crate-type=rlib", "--emit=metadata", "-Zalways-encode-mir"];

/// A panic is an invalid instruction where it happens, with nothing formatted before it.
const CORE: &[&str] =
    &["--crate-name=core", "--cfg=no_fp_fmt_parse", "--cfg=feature=\"panic_immediate_abort\"", "--cap-lints=allow"];

/// Where `core` is in the sandbox.
const CORE_DIR: &str = "/tmp/kmend/core";

/// Where the shim is in the sandbox.
const SHIM_DIR: &str = "/tmp/kmend/shim";

/// How Rust is compiled for one kernel.
struct Compiler<'a> {
    target: &'a Target,
    toolchain: Toolchain,
    flags: Vec<String>,
}

impl<'a> Compiler<'a> {
    /// The compiler for `target`, and the command of the kernel's own unit that it takes the flags from.
    fn new(target: &'a Target) -> Result<(Self, Saved)> {
        // Targets with CONFIG_RUST have no toolchain: their own compiler was not chosen for the flags and the `core` that are used here.
        let toolchain = match (&target.toolchain, &target.rustc) {
            (Some(toolchain), _) => toolchain.clone(),
            (None, Some(_)) => Toolchain::provide(&Config::parse(""), None)?
                .with_context(|| format!("no Rust toolchain can be found for {}", target.name))?,
            (None, None) => bail!("{} has no Rust toolchain; `{}` makes it again", target.name, store::again(target)),
        };
        let unit = target.tree.join(UNIT);
        let saved = Saved::read(&files::read_text(&unit)?).with_context(|| unit.display().to_string())?;
        let for_this =
            arch::by_name(&target.arch)?.rust_flags(&saved.argv[1..]).with_context(|| unit.display().to_string())?;
        let flags = FLAGS.iter().map(|flag| flag.to_string()).chain(for_this).collect();
        Ok((Self { target, toolchain, flags }, saved))
    }
}

/// The folder with the bindings ([`bindings::MADE`]) to the kernel of `target`.
pub fn bindings(target: &Target) -> Result<PathBuf> {
    let (compiler, saved) = Compiler::new(target)?;
    let core = compiler.core()?;
    compiler.shim(&saved, &core)
}

/// Compiles NAME_main.rs in `dir`, where the sources of kmod/ are too, to NAME_main.o_shipped. `cfgs` are conditions for rustc.
pub fn compile(target: &Target, name: &str, cfgs: &[&str], hooks: Option<&HooksFile>, dir: &Path) -> Result<()> {
    let (compiler, saved) = Compiler::new(target)?;
    let core = compiler.core()?;
    let shim = compiler.shim(&saved, &core)?;

    files::write(&dir.join(bindings::MADE), b"// All of them are in the crate `kernel`.\n")?;
    let sandbox = compiler.sandbox(dir).read_only(&core, CORE_DIR).read_only(&shim, SHIM_DIR);
    let object = format!("--emit=obj={WORK}/{name}_main.o_shipped");
    let source = format!("{WORK}/{name}_main.rs");
    let config = format!("@{WORK}/{CFG}");
    files::write(&dir.join(CFG), cfg(&files::read_text(&target.config)?).as_bytes())?;
    let folders = [format!("-L{CORE_DIR}"), format!("-L{SHIM_DIR}")];
    let cfgs: Vec<String> = cfgs.iter().map(|cfg| format!("--cfg={cfg}")).collect();
    let mut args = vec![
        "--edition=2021",
        &folders[0],
        &folders[1],
        "--extern=kernel",
        "--extern=pin_init",
        "--crate-type=rlib",
        "-Zcrate-attr=no_std",
        "-Zcrate-attr=feature(used_with_arg)",
        "--cfg=MODULE",
        &config,
        &object,
        &source,
    ];
    args.extend(cfgs.iter().map(String::as_str));
    compiler
        .rustc(&sandbox, &args, hooks)
        .map_err(|e| author::ours(e, || format!("cannot compile the Rust of module {name} for {}", target.name)))
}

impl Compiler<'_> {
    /// `dir` at [`WORK`], where rustc starts: it makes temporary files there.
    fn sandbox(&self, dir: &Path) -> Sandbox {
        self.toolchain.sandbox(self.target).writable(dir, WORK).cwd(WORK)
    }

    fn rustc(&self, sandbox: &Sandbox, args: &[&str], hooks: Option<&HooksFile>) -> Result<()> {
        let all: Vec<&str> = self.flags.iter().map(String::as_str).chain(args.iter().copied()).collect();
        let out = author::run(sandbox, "rustc", &all, hooks)?;
        super::complaints("the Rust in kmod", &String::from_utf8_lossy(&out.stderr), &[])
    }

    /// The folder of `core` and of the crate that rustc wants beside it.
    fn core(&self) -> Result<PathBuf> {
        let flags = self.flags.join(" ");
        let toolchain = self.toolchain.root.display().to_string();
        cache::a_crate("core", &[&toolchain, &self.toolchain.rustc, &flags, &CORE.join(" "), BUILTINS.1], |dir| {
            let step = progress::step("compiling Rust's core for the flags of this kernel (kept for the next time)");
            let library = library(&self.toolchain.root)?;
            let sandbox = self.sandbox(dir);
            let edition = format!("--edition={}", library.edition);
            let core: Vec<&str> = CORE.iter().chain(AS_CRATE).copied().chain([&*edition, &library.source]).collect();
            self.rustc(&sandbox, &core, None).context("cannot compile Rust's core")?;
            files::write(&dir.join(BUILTINS.0), BUILTINS.1.as_bytes())?;
            let here = format!("-L{WORK}");
            let file = format!("{WORK}/{}", BUILTINS.0);
            let args: Vec<&str> = AS_CRATE.iter().copied().chain(["--edition=2021", &here, &file]).collect();
            self.rustc(&sandbox, &args, None).context("cannot compile Rust's compiler_builtins")?;
            step.done("");
            Ok(())
        })
    }

    /// Compiles the crate `macros`, a library that rustc loads: for the machine that builds, with none of the kernel's flags.
    fn macros(&self, sandbox: &Sandbox) -> Result<()> {
        let file = format!("{WORK}/{}", MACROS.0);
        let args = ["--crate-type=proc-macro", "--crate-name=macros", "--edition=2021", "-Cdebuginfo=0", &file];
        let out = author::run(sandbox, "rustc", &args, None)
            .context("cannot compile the crate `macros` (kmod/shim): rustc needs its standard library and a linker")?;
        super::complaints("the macros in kmod", &String::from_utf8_lossy(&out.stderr), &[])
    }

    /// The folder of the crate `kernel`, and of the crates that it uses.
    fn shim(&self, saved: &Saved, core: &Path) -> Result<PathBuf> {
        let call = bindings::complete(saved, arch::by_name(&self.target.arch)?.clang_flags());
        let seen = bindings::seen(self.target)?;
        let flags = self.flags.join(" ");
        let core_name = core.display().to_string();
        let mut parts: Vec<&str> = vec![&self.toolchain.rustc, &core_name, &flags];
        parts.extend(SHIM.iter().chain([&PIN_INIT, &MACROS]).map(|(_, text)| *text));
        parts.extend(call.iter().chain(&seen).map(String::as_str));
        cache::a_crate("kernel", &parts, |dir| {
            for (file, text) in SHIM.iter().chain([&bindings::HEADER, &PIN_INIT, &MACROS]) {
                files::write(&dir.join(file), text.as_bytes())?;
            }
            let sandbox = self.sandbox(dir).read_only(core, CORE_DIR);
            let args: Vec<&str> = call.iter().map(String::as_str).collect();
            sandbox.clone().cwd(&self.target.tree_inside).run("bindgen", &args).with_context(|| {
                format!("cannot make Rust bindings of {}/include/linux/livepatch.h", self.target.tree.display())
            })?;
            self.macros(&sandbox)?;
            let folders = [format!("-L{CORE_DIR}"), format!("-L{WORK}")];
            let a_crate = |name: &str, file: &str, uses: &[&str]| {
                let (name, file) = (format!("--crate-name={name}"), format!("{WORK}/{file}"));
                let mut args: Vec<&str> = AS_CRATE.to_vec();
                args.extend(["--edition=2021", &*name, &*folders[0], &*folders[1]]);
                args.extend(uses.iter().chain([&&*file]));
                self.rustc(&sandbox, &args, None)
            };
            a_crate("pin_init", PIN_INIT.0, &[]).context("cannot compile the crate `pin_init` (kmod/shim)")?;
            a_crate("kernel", "lib.rs", &["--extern=macros", "--extern=pin_init"])
                .context("cannot compile the crate `kernel` (kmod/shim)")
        })
    }
}

/// The source of `core`.
struct Library {
    /// Its lib.rs, as seen in the toolchain's root.
    source: String,
    edition: String,
}

/// Where it is in the toolchain's build root.
fn library(root: &Path) -> Result<Library> {
    let library = crate::target::distro::rust_library(root)?
        .with_context(|| format!("there is no source of Rust's core in {}", root.display()))?;
    let manifest = root.join(library.trim_start_matches('/')).join("core/Cargo.toml");
    let text = files::read_text(&manifest)?;
    let edition = text.lines().find_map(|line| line.strip_prefix("edition = \"")?.strip_suffix('"'));
    let edition = edition.with_context(|| format!("{} names no edition", manifest.display()))?.to_string();
    Ok(Library { source: format!("{library}/core/src/lib.rs"), edition })
}

/// The file of conditions that represent the kernel's configuration.
const CFG: &str = "rustc_cfg";

/// A line for each option that is on, as kbuild writes them for kernels with Rust.
fn cfg(config: &str) -> String {
    let on = |line: &&str| line.starts_with("CONFIG_") && (line.ends_with("=y") || line.ends_with("=m"));
    config.lines().filter(on).filter_map(|line| Some(format!("--cfg={}\n", line.split_once('=')?.0))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn conditions_of_a_config() {
        let text = "CONFIG_A=y\n# CONFIG_B is not set\nCONFIG_C=m\nCONFIG_D=\"y\"\nCONFIG_E=16\nCONFIG_F=n\n";
        assert_eq!(cfg(text), "--cfg=CONFIG_A\n--cfg=CONFIG_C\n");
    }

    #[test]
    fn the_source_of_core_and_its_edition() {
        let root = tempfile::tempdir().unwrap();
        assert!(library(root.path()).is_err());
        let core = root.path().join("usr/src/rustc-1.85.1/library/core");
        files::write(&core.join("src/lib.rs"), b"").unwrap();
        files::write(&core.join("Cargo.toml"), b"[package]\nname = \"core\"\n").unwrap();
        assert!(library(root.path()).is_err());
        files::write(&core.join("Cargo.toml"), b"[package]\nname = \"core\"\nedition = \"2021\"\n").unwrap();
        let library = library(root.path()).unwrap();
        assert_eq!(library.source, "/usr/src/rustc-1.85.1/library/core/src/lib.rs");
        assert_eq!(library.edition, "2021");
    }
}
