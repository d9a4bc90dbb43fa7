// SPDX-License-Identifier: GPL-2.0-or-later
//! Bindings to the target's <linux/livepatch.h>: bindings.h in the run's folder in,
//! bindings_generated.rs beside it out.
//!
//! The flags are those with which the target's tree made its own bindings, read from the command
//! that kbuild saved: what a type looks like depends on them.

use crate::sandbox::{Sandbox, WORK};
use crate::target::Target;
use crate::files;
use anyhow::{Context, Result};

/// Where kbuild keeps the command that made the tree's own bindings, relative to the tree.
const SAVED: &str = "rust/bindings/.bindings_generated.rs.cmd";

/// What is wanted of the header, and how: as `cmd_bindgen` of rust/Makefile does it, but with layout
/// tests, which make the compiler prove that the shared types are laid out as the C side has them.
const FLAGS: &str = "--use-core --with-derive-default --ctypes-prefix ffi --no-debug '.*' \
    --enable-function-attribute-detection --no-doc-comments --no-recursive-allowlist \
    --allowlist-type 'klp_.*' --allowlist-function 'klp_(enable_patch|shadow_.*|get_state|get_prev_state)'";

/// Makes the bindings in the folder that stands at [`WORK`] in `sandbox`.
pub fn generate(target: &Target, sandbox: &Sandbox) -> Result<()> {
    let path = target.tree.join(SAVED);
    let saved = files::read_text(&path)
        .context("the tree has no Rust bindings: prepare the target again (`make prepare` with CONFIG_RUST makes them)")?;
    let command = command(&saved).with_context(|| format!("cannot use the command in {}", path.display()))?;
    sandbox.run("sh", &["-c", &command]).with_context(|| {
        format!("cannot make Rust bindings of {}/include/linux/livepatch.h", target.tree.display())
    })?;
    Ok(())
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
    Ok(format!(
        "{program} {WORK}/bindings.h --rust-target {version} {FLAGS} -o {WORK}/bindings_generated.rs -- {}",
        c_flags.join(" ")
    ))
}
