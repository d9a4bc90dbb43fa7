// SPDX-License-Identifier: GPL-2.0-or-later
//! Bindings to the target's <linux/livepatch.h>: bindings.h in the run's folder in,
//! bindings_generated.rs beside it out.
//!
//! The flags are those with which the target's tree made its own bindings, read from the command
//! that kbuild saved: what a type looks like depends on them.

use crate::files;
use crate::sandbox::{Sandbox, WORK};
use crate::target::Target;
use anyhow::{Context, Result};
use std::path::Path;

/// Where kbuild keeps the command that made the tree's own bindings, relative to the tree.
const SAVED: &str = "rust/bindings/.bindings_generated.rs.cmd";

/// What is wanted of the header, and how: as `cmd_bindgen` of rust/Makefile does it, but with layout
/// tests, which make the compiler prove that the shared types are laid out as the C side has them.
const FLAGS: &str = "--use-core --with-derive-default --ctypes-prefix ffi --no-debug '.*' --formatter none \
    --enable-function-attribute-detection --no-doc-comments --no-recursive-allowlist \
    --allowlist-type 'klp_(func|object|patch|state|callbacks|(pre|post)_(un)?patch_t|shadow_[cd]tor_t)' \
    --allowlist-function 'klp_(enable_patch|shadow_.*|get_state|get_prev_state)' --allowlist-var 'ANNOTYPE_NOENDBR'";

/// The headers whose text the bindings show; the config and the saved command stand for the others.
const HEADERS: [&str; 3] =
    ["include/linux/livepatch.h", "include/linux/livepatch_external.h", "include/linux/objtool_types.h"];

/// What bindgen writes, in the run's folder.
const MADE: &str = "bindings_generated.rs";

/// Puts the bindings into `dir`, which stands at [`WORK`] in `sandbox`. bindgen takes longer than
/// all the rest of a link, so what it made is kept in the cache; were it out of date, the layout
/// tests in it would not compile.
pub fn provide(target: &Target, sandbox: &Sandbox, dir: &Path) -> Result<()> {
    let path = target.tree.join(SAVED);
    let saved = files::read_text(&path).context(
        "the tree has no Rust bindings: prepare the target again (`make prepare` with CONFIG_RUST makes them)",
    )?;
    let command = command(&saved).with_context(|| format!("cannot use the command in {}", path.display()))?;
    let cached = files::cache_dir()?.join("bindings").join(format!("{}.rs", key(target, &saved, &command)?));
    let here = dir.join(MADE);
    if let Ok(text) = std::fs::read(&cached) {
        return files::write(&here, &text);
    }
    sandbox
        .run("sh", &["-c", &command])
        .with_context(|| format!("cannot make Rust bindings of {}/include/linux/livepatch.h", target.tree.display()))?;
    files::write(&cached, &files::read(&here)?)
}

/// What the bindings depend on, as the name of a file in the cache.
fn key(target: &Target, saved: &str, command: &str) -> Result<String> {
    let config = files::read_text(&target.config)?;
    let rustc = target.rustc.as_deref().unwrap_or_default();
    let mut parts: Vec<&str> = vec![&target.release, &target.version, &target.build_id, rustc, &config, saved, command];
    let headers: Vec<String> =
        HEADERS.iter().filter_map(|h| std::fs::read_to_string(target.tree.join(h)).ok()).collect();
    parts.extend(headers.iter().map(String::as_str));
    // Lengths keep parts from running into each other.
    let text: String = parts.iter().map(|p| format!("{} {p}\n", p.len())).collect();
    Ok(files::sha256(text.as_bytes()))
}

/// The shell command that makes our bindings, from the text of kbuild's saved command file.
fn command(saved: &str) -> Result<String> {
    let line = saved.lines().next().unwrap_or_default();
    let (_, command) = line.split_once(" := ").context("its first line is no `savedcmd_… := …`")?;
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
    Ok(format!("{program} {WORK}/bindings.h --rust-target {version} {FLAGS} -o {WORK}/{MADE} -- {}", c_flags.join(" ")))
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
        assert!(made.starts_with("/opt/bindgen /tmp/kmend/work/bindings.h --rust-target 1.85 --use-core"), "{made}");
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
}
