// SPDX-License-Identifier: GPL-2.0-or-later
//! The architectures of the pairs and their compilers: a source and flags in, an object out.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Command;

/// An architecture.
pub struct Machine {
    /// `uname -m`, and the marker in the comments.
    pub name: &'static str,
    triple: &'static str,
    /// What the linker calls it.
    emulation: &'static str,
    /// Debian's package with the compiler.
    package: &'static str,
    flags: &'static str,
    /// Each pair is compiled once with each of these.
    pub models: &'static [&'static str],
    /// The section in which the compiler lists the places for ftrace.
    pub ftrace: &'static str,
}

/// As the kernel's own Makefiles have them, with a section for each function and datum. kbuild names files by their path.
const FLAGS: &str = "-g -O2 -std=gnu11 -ffreestanding -nostdinc -fno-strict-aliasing -fno-common -fno-pic -fno-pie \
    -fno-stack-protector -fno-asynchronous-unwind-tables -ffunction-sections -fdata-sections \
    -fno-eliminate-unused-debug-types -fmacro-prefix-map==pairs/ -Wall -Wno-unused";

/// All of them.
pub const MACHINES: [Machine; 2] = [
    Machine {
        name: "x86_64",
        triple: "x86_64-unknown-linux-gnu",
        emulation: "elf_x86_64",
        package: "gcc-x86-64-linux-gnu",
        flags: "-mcmodel=kernel -mno-red-zone -mno-sse -mno-mmx -mno-80387 -fno-jump-tables -falign-functions=16 \
            -fcf-protection=branch -pg -mfentry -mrecord-mcount",
        models: &[""],
        ftrace: "__mcount_loc",
    },
    Machine {
        name: "ppc64le",
        triple: "powerpc64le-unknown-linux-gnu",
        emulation: "elf64lppc",
        package: "gcc-powerpc64le-linux-gnu",
        flags: "-m64 -mlittle-endian -mabi=elfv2 -mcpu=power8 -mtune=power10 -msoft-float -mno-altivec -mno-vsx \
            -mno-mma -mno-prefixed -mno-pcrel -mno-string -mno-strict-align -mtraceback=no \
            -mno-pointers-to-nested-functions -mlong-double-128 -fpatchable-function-entry=1",
        // As the image is compiled, and as modules are.
        models: &["-mcmodel=medium", "-mcmodel=large"],
        ftrace: "__patchable_function_entries",
    },
];

impl Machine {
    /// The machine's compiler; `CC_<triple>` names another, as for the `cc` crate.
    fn compiler(&self) -> Result<Command, String> {
        let host = MACHINES.iter().find(|m| m.name == std::env::consts::ARCH).map_or(MACHINES[1].triple, |m| m.triple);
        let found = cc::Build::new()
            .cargo_metadata(false)
            .no_default_flags(true)
            .target(self.triple)
            .host(host)
            .opt_level(2)
            .try_get_compiler()
            .map_err(|e| self.missing(&e.to_string()))?;
        let known = Command::new(found.path()).arg("--version").output();
        known.map_err(|e| self.missing(&format!("{}: {e}", found.path().display())))?;
        Ok(Command::new(found.path()))
    }

    fn missing(&self, why: &str) -> String {
        format!("no C compiler for {}: {why}\ninstall it (on Debian {}) with its binutils", self.name, self.package)
    }

    /// A program of the compiler's own binutils.
    fn program(&self, name: &str) -> Result<Command, String> {
        let output = self.compiler()?.arg(format!("-print-prog-name={name}")).output();
        let path = output.map_err(|e| self.missing(&e.to_string()))?.stdout;
        Ok(Command::new(String::from_utf8_lossy(&path).trim()))
    }

    /// Compiles `source` into `object`.
    pub fn compile(&self, source: &Path, flags: &[&str], object: &Path) -> Result<(), String> {
        let assembler = object.with_extension("s");
        run(self
            .compiler()?
            .current_dir(source.parent().unwrap_or(Path::new(".")))
            .args(FLAGS.split_whitespace())
            .args(self.flags.split_whitespace())
            .args(flags)
            .arg("-S")
            .arg("-o")
            .arg(&assembler)
            .args(source.file_name()))?;
        if self.name == "ppc64le" {
            let text = std::fs::read_to_string(&assembler).map_err(|e| format!("{}: {e}", assembler.display()))?;
            let text = behind_local_entries(&text);
            std::fs::write(&assembler, text).map_err(|e| format!("{}: {e}", assembler.display()))?;
        }
        run(self.compiler()?.args(["-c", "-o"]).arg(object).arg(&assembler))
    }

    /// Runs strip over an object.
    pub fn strip(&self, flags: &str, object: &Path) -> Result<(), String> {
        run(self.program("strip")?.args(flags.split_whitespace()).arg(object))
    }

    /// Shows that a linker takes an object, with another that a compiler makes with these flags, as of each module
    /// kbuild links some.
    pub fn link(&self, object: &Path, flags: &[&str]) -> Result<PathBuf, String> {
        let beside = object.with_file_name("beside.c");
        std::fs::write(&beside, "void beside(void) {}\n").map_err(|e| format!("{}: {e}", beside.display()))?;
        let other = object.with_file_name("beside.o");
        self.compile(&beside, flags, &other)?;
        let linked = object.with_extension("linked.o");
        run(self.program("ld")?.args(["-m", self.emulation, "-r", "-o"]).args([
            linked.as_os_str(),
            object.as_os_str(),
            other.as_os_str(),
        ]))?;
        Ok(linked)
    }
}

/// Puts the nops for ftrace behind the local entry, as GCC 13 and newer do and the kernel wants it
/// (arch/powerpc/tools/check-fpatchable-function-entry.sh). GCC 12 puts them before the global one; its assembler then
/// refuses the distance between the two.
fn behind_local_entries(text: &str) -> String {
    let mut out: Vec<&str> = Vec::new();
    let mut nops: Vec<&str> = Vec::new();
    let mut lines = text.lines().peekable();
    while let Some(line) = lines.next() {
        let word = line.split_whitespace().next().unwrap_or_default();
        if line.contains("__patchable_function_entries") {
            // The list's entry, the way back to the section, the label, the nops.
            nops.push(line);
            nops.extend(std::iter::from_fn(|| lines.next_if(|l| !l.starts_with(".LPFE"))));
            nops.extend(lines.next());
            nops.extend(std::iter::from_fn(|| lines.next_if(|l| l.trim() == "nop")));
            let localentry = lines.clone().find(|l| l.trim_start().starts_with(".localentry") || l.contains(".size\t"));
            if !localentry.is_some_and(|l| l.contains(".localentry")) {
                out.append(&mut nops);
            }
            continue;
        }
        out.push(line);
        if word == ".localentry" {
            out.append(&mut nops);
        }
    }
    out.push("");
    out.join("\n")
}

fn run(command: &mut Command) -> Result<(), String> {
    let words = |c: &Command| {
        let words: Vec<_> = std::iter::once(c.get_program()).chain(c.get_args()).map(OsStr::to_string_lossy).collect();
        words.join(" ")
    };
    let output = command.output().map_err(|e| format!("{}: {e}", words(command)))?;
    if output.status.success() {
        return Ok(());
    }
    Err(format!("{}: {}\n{}", words(command), output.status, String::from_utf8_lossy(&output.stderr)))
}
