// SPDX-License-Identifier: GPL-2.0-or-later
//! Bindings to the target's <linux/livepatch.h>, made by bindgen: of what the kernel's own crate lacks, or of all that
//! is used, where the kernel has no such crate.
//!
//! The flags are those with which the target's tree compiles: what a type looks like depends on them.

use super::cache;
use crate::files;
use crate::sandbox::WORK;
use crate::target::kbuild::command::Saved;
use crate::target::Target;
use anyhow::{Context, Result};
use std::path::PathBuf;

/// What bindgen reads: file name and text.
pub const HEADER: (&str, &str) = ("bindings.h", include_str!("../../../kmod/bindings.h"));

/// What bindgen writes, in the run's folder.
pub const MADE: &str = "bindings_generated.rs";

/// Where kbuild keeps the command that made the tree's own bindings, relative to the tree.
const SAVED: &str = "rust/bindings/.bindings_generated.rs.cmd";

/// What is wanted of the headers, and how: as `cmd_bindgen` of rust/Makefile does it, but with layout
/// tests, which make the compiler prove that the types are laid out as the C side has them.
const FLAGS: [&str; 16] = [
    "--use-core",
    "--with-derive-default",
    "--ctypes-prefix",
    "ffi",
    "--no-debug",
    ".*",
    "--formatter",
    "none",
    "--enable-function-attribute-detection",
    "--no-doc-comments",
    "--allowlist-type",
    "klp_(func|object|patch|state|callbacks|(pre|post)_(un)?patch_t|shadow_[cd]tor_t)",
    "--allowlist-function",
    "klp_(enable_patch|shadow_.*|get_state|get_prev_state)",
    "--allowlist-var",
    "ANNOTYPE_NOENDBR|LIVEPATCH_GFP_(KERNEL|ATOMIC|NOWAIT)",
];

/// Besides, where the kernel has a crate of its own: types implement `Zeroable` if all their fields do, as in its own bindings.
const FLAGS_MISSING: [&str; 4] =
    ["--with-derive-custom-struct", ".*=MaybeZeroable", "--with-derive-custom-union", ".*=MaybeZeroable"];

/// Besides, where the kernel has no crate of its own: error numbers.
const FLAGS_COMPLETE: [&str; 2] = ["--allowlist-var", "E[A-Z0-9]+"];

/// The headers whose text the bindings show; for the others the config and the command are enough.
const HEADERS: [&str; 4] = [
    "include/linux/livepatch.h",
    "include/linux/livepatch_external.h",
    "include/linux/objtool.h",
    "include/linux/objtool_types.h",
];

/// For a kernel with a crate of its own: the folder with the bindings ([`MADE`]) to what that crate lacks. bindgen takes longer than
/// the rest of a link, so what it made is kept in the cache; if it were out of date, the layout tests in it would not compile.
pub fn missing(target: &Target) -> Result<PathBuf> {
    let path = target.tree.join(SAVED);
    let saved = files::read_text(&path).context(
        "the tree has no Rust bindings: prepare the target again (`make prepare` with CONFIG_RUST makes them)",
    )?;
    let command = command(&saved).with_context(|| format!("cannot use the command in {}", path.display()))?;
    let seen = seen(target)?;
    let rustc = target.rustc.as_deref().unwrap_or_default();
    let mut parts = vec![rustc, &saved, &command, HEADER.1];
    parts.extend(seen.iter().map(String::as_str));
    cache::bindings(&parts, |kept| {
        files::write(&kept.join(HEADER.0), HEADER.1.as_bytes())?;
        let sandbox = target.sandbox().writable(kept, WORK);
        let made = sandbox.run("sh", &["-c", &command]);
        made.map(|_| ()).with_context(|| {
            format!("cannot make Rust bindings of {}/include/linux/livepatch.h", target.tree.display())
        })
    })
}

/// What bindings of `target` depend on besides commands.
pub fn seen(target: &Target) -> Result<Vec<String>> {
    let mut seen = vec![target.release.clone(), target.version.clone(), target.build_id.clone()];
    seen.push(files::read_text(&target.config)?);
    seen.extend(HEADERS.iter().filter_map(|header| std::fs::read_to_string(target.tree.join(header)).ok()));
    Ok(seen)
}

/// The shell command that makes our bindings, from the text of kbuild's saved command file.
fn command(saved: &str) -> Result<String> {
    let line = saved.lines().next().unwrap_or_default();
    let (_, command) = line.split_once(" := ").context("its first line is not `savedcmd_… := …`")?;
    // make's own escapes, as scripts/Kbuild.include's make-cmd writes them.
    let command = command.replace("$(pound)", "#").replace("$$", "$");
    let (bindgen, c_flags) = command.split_once(" -- ").context("no ` -- ` divides bindgen's flags from clang's")?;
    let words: Vec<&str> = bindgen.split_whitespace().collect();
    let program = words.first().context("it names no program")?;
    let version = words
        .iter()
        .position(|w| *w == "--rust-target")
        .and_then(|at| words.get(at + 1))
        .context("it has no --rust-target")?;
    // Up to what comes after bindgen, and without the dependency file, which would be written
    // into the tree.
    let c_flags = c_flags.split(" ; ").next().unwrap_or_default();
    let c_flags: Vec<&str> = c_flags.split_whitespace().filter(|w| !w.starts_with("-Wp,-M")).collect();
    let wanted: Vec<String> = FLAGS.iter().chain(&FLAGS_MISSING).map(|flag| format!("'{flag}'")).collect();
    Ok(format!(
        "{program} {WORK}/bindings.h --rust-target {version} --no-recursive-allowlist {} -o {WORK}/{MADE} -- {}",
        wanted.join(" "),
        c_flags.join(" ")
    ))
}

/// Flags of a C compiler's that change what headers say or how types are laid out; a `*` ends a flag's beginning. gcc
/// knows others that clang does not.
const C_FLAGS: &[&str] = &[
    "-D*",
    "-U*",
    "-I*",
    "-nostdinc",
    "-std=*",
    "-O*",
    "-fshort-wchar",
    "-funsigned-char",
    "-fms-extensions",
    "-m64",
    "-mlittle-endian",
    "-mabi=*",
];

/// For a kernel without a crate of its own: the arguments with which bindgen makes bindings to all that is used. `unit`
/// is the command of one of the kernel's own units; `clang` are flags of clang alone.
pub fn complete(unit: &Saved, clang: &[&str]) -> Vec<String> {
    let mut args = vec![format!("{WORK}/{}", HEADER.0), "--rust-target".into(), "1.82".into()];
    args.extend(FLAGS.iter().chain(&FLAGS_COMPLETE).map(|flag| flag.to_string()));
    args.extend(["-o".into(), format!("{WORK}/{MADE}"), "--".into()]);
    let mut words = unit.argv.get(1..).unwrap_or_default().iter();
    // Before 5.15 the kernel takes stdarg.h from its compiler, whose folder is not in this build root: bindgen's clang has
    // one of its own, and -nostdlibinc is -nostdinc but for that.
    let of_compiler = |words: &[String]| words[0] == "-isystem" && words[1].starts_with('/');
    let own_headers = unit.argv.windows(2).any(of_compiler);
    while let Some(word) = words.next() {
        let known = |flag: &&str| flag.strip_suffix('*').map_or(word == *flag, |start| word.starts_with(start));
        match word.as_str() {
            "-nostdinc" if own_headers => args.push("-nostdlibinc".into()),
            "-isystem" if words.as_slice().first().is_some_and(|dir| dir.starts_with('/')) => _ = words.next(),
            "-include" | "-isystem" | "-I" | "-D" => {
                args.extend([Some(word), words.next()].into_iter().flatten().cloned())
            }
            _ if C_FLAGS.iter().any(known) => args.push(word.clone()),
            _ => {}
        }
    }
    args.extend(["-w", "-fno-builtin", "-D__BINDGEN__", "-DMODULE"].map(String::from));
    args.extend(clang.iter().map(|flag| flag.to_string()));
    args
}

#[cfg(test)]
mod tests {
    use super::*;

    const SAVED_TEXT: &str = "savedcmd_rust/bindings/bindings_generated.rs := /opt/bindgen rust/bindings/bindings_helper.h \
        --blocklist-type a --with-attribute-custom-enum=x='$(pound)[y]' --rust-target 1.85 --use-core --no-layout-tests \
        -o rust/bindings/bindings_generated.rs -- -Wp,-MMD,rust/bindings/.bindings_generated.rs.d -nostdinc -I./include \
        -DA='\"$$b\"' -w --target=x86_64-linux-gnu -fno-builtin -D__BINDGEN__ -DMODULE  ; sed -Ei 's/a/b/g' x.rs\n\n\
        deps_rust := -- nothing\n";

    #[test]
    fn takes_program_version_and_c_flags_from_the_saved_command() {
        let made = command(SAVED_TEXT).unwrap();
        assert!(
            made.starts_with(
                "/opt/bindgen /tmp/kmend/work/bindings.h --rust-target 1.85 --no-recursive-allowlist '--use-core'"
            ),
            "{made}"
        );
        assert!(
            made.ends_with(
                " -o /tmp/kmend/work/bindings_generated.rs -- -nostdinc -I./include -DA='\"$b\"' -w \
                 --target=x86_64-linux-gnu -fno-builtin -D__BINDGEN__ -DMODULE"
            ),
            "{made}"
        );
        assert!(!made.contains("--no-layout-tests"));
    }

    #[test]
    fn refuses_a_command_that_it_does_not_know() {
        for text in ["", "x := ", "x := bindgen a.h", "x := bindgen a.h -- -DX"] {
            command(text).unwrap_err();
        }
    }

    #[test]
    fn bindgen_gets_what_changes_types() {
        let unit =
            "cmd_a.o := gcc-12 -Wp,-MMD,.a.o.d -nostdinc -I./include -include ./include/linux/kconfig.h -D__KERNEL__ \
                    -mno-sse -fshort-wchar -O2 -pg -Wall -DX='\"a\"' -fconserve-stack -c -o a.o a.c\n";
        let args = complete(&Saved::read(unit).unwrap(), &["--target=x86_64-linux-gnu"]).join(" ");
        let clang = args.split_once(" -- ").unwrap().1;
        assert_eq!(
            clang,
            "-nostdinc -I./include -include ./include/linux/kconfig.h -D__KERNEL__ -fshort-wchar -O2 -DX=\"a\" -w \
             -fno-builtin -D__BINDGEN__ -DMODULE --target=x86_64-linux-gnu"
        );
    }

    #[test]
    fn headers_of_the_compiler_are_those_of_clang() {
        let unit =
            "cmd_a.o := gcc-10 -nostdinc -isystem /usr/lib/gcc/x86_64-linux-gnu/10/include -I./include -isystem in \
                    -c -o a.o a.c\n";
        let args = complete(&Saved::read(unit).unwrap(), &[]).join(" ");
        assert!(args.contains(" -- -nostdlibinc -I./include -isystem in -w "), "{args}");
        assert!(!args.contains("/usr/lib/gcc"), "{args}");
        // Without such a folder there is none of clang's either.
        let unit = unit.replace("-isystem /usr/lib/gcc/x86_64-linux-gnu/10/include ", "");
        let args = complete(&Saved::read(&unit).unwrap(), &[]).join(" ");
        assert!(args.contains(" -- -nostdinc -I./include "), "{args}");
    }
}
