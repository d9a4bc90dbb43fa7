// SPDX-License-Identifier: GPL-2.0-or-later
//! Stage link: emitted source and payload objects in, a kernel module out, by way of kbuild's
//! external-module path with the target's own compilers, objtool and modpost.
//!
//! The run's folder is at one fixed path in the sandbox and contains only what is written here, so the same inputs give
//! the same bytes.

mod author;
mod bindings;
mod cache;
mod calls;
mod crates;
pub mod examples;
mod shim;

pub use crates::replace_set;

use crate::diff::names;
use crate::emit::check_module_name;
use crate::error::{Refusal, Refused};
use crate::hooks::file::HooksFile;
use crate::target::config::Config;
use crate::target::{record, Target};
use crate::{files, sandbox};
use anyhow::{ensure, Context, Result};
use crates::{Crate, Replacement};
use std::path::Path;

/// The Rust and C sources that every live patch is made with, by file name.
const KMOD: [(&str, &str); 7] = [
    ("livepatch.rs", include_str!("../../../kmod/livepatch.rs")),
    ("livepatch/callbacks.rs", include_str!("../../../kmod/livepatch/callbacks.rs")),
    ("livepatch/shadow.rs", include_str!("../../../kmod/livepatch/shadow.rs")),
    ("livepatch/state.rs", include_str!("../../../kmod/livepatch/state.rs")),
    ("payload.rs", include_str!("../../../kmod/payload.rs")),
    ("bindings.rs", include_str!("../../../kmod/bindings.rs")),
    bindings::HEADER,
];

/// Config options that are off for this build: debug information and BTF are not kept, and to make
/// them takes most of the time.
const OFF: [&str; 3] = ["CONFIG_DEBUG_INFO=", "CONFIG_DEBUG_INFO_BTF=", "CONFIG_DEBUG_INFO_BTF_MODULES="];

/// Where kbuild's own calls of make are in the sandbox.
const CALLS: &str = "/tmp/kmend/calls";

/// Links the module `name` of its Rust `source` and the payload objects, in that order. `undefined` are the symbols of these that
/// nothing in the module has, nor anything that it loads with.
///
/// Returns the bytes of NAME.ko, without debug sections and with all its symbols. Livepatch
/// relocations are not in it yet: what will become one is still a plain relocation to a weak undefined symbol.
pub fn link(
    target: &Target,
    name: &str,
    source: &str,
    hooks: Option<&HooksFile>,
    payloads: &[Vec<u8>],
    undefined: &[&str],
) -> Result<Vec<u8>> {
    check_module_name(name)?;
    let config = Config::parse(&files::read_text(&target.config)?);
    // Again, for targets that were stored before all of it was asked.
    record::check_config(&config).with_context(|| format!("{} ({})", target.name, target.config.display()))?;
    let uses = crates::which(&target.tree, &config);
    let cfgs: &[&str] = match crates::of(target)? {
        Replacement::Flag => &[],
        Replacement::Set => &["kmend_replace_set"],
    };
    let dir = files::work_dir()?;
    lay_out(dir.path(), name, source, payloads, uses, cfgs)?;
    if let Some(hooks) = hooks {
        files::write(&dir.path().join(author::HOOKS), hooks.text.as_bytes())?;
    }
    let (sandbox, symvers) = sandbox(target, dir.path())?;
    match uses {
        Crate::Own => {
            let made = bindings::missing(target)?.join(bindings::MADE);
            files::write(&dir.path().join(bindings::MADE), &files::read(&made)?)?;
        }
        Crate::Shim => shim::compile(target, name, cfgs, hooks, dir.path())?,
    }

    let mut args = vec!["-C".to_string(), target.tree_inside.clone(), format!("M={}", sandbox::WORK)];
    args.extend(target.make_vars.iter().cloned());
    args.push(format!("KERNELRELEASE={}", target.release));
    args.extend(OFF.map(String::from));
    args.extend(symvers);
    // What modpost misses is compared with `undefined` here.
    args.push("KBUILD_MODPOST_WARN=1".into());
    args.push("modules".into());
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    // kbuild's makes, the short way where it is known, and strip in one go.
    let (sandbox, makes) = match calls::known(target, &args, dir.path())? {
        Some(calls) => (sandbox.read_only(&calls, CALLS), vec!["sh".to_string(), format!("{CALLS}/{}", calls::SCRIPT)]),
        None => (sandbox, ["make", "-j2"].iter().chain(&args).map(|word| word.to_string()).collect()),
    };
    let makes = makes.iter().map(|word| calls::quoted(word)).collect::<Vec<_>>().join(" ");
    let script = format!("{makes} && exec \"$@\"");
    let ko = format!("{}/{name}.ko", sandbox::WORK);
    let strip = strip(&target.make_vars);
    let strip = [&*strip, "--strip-debug", "--remove-section=.BTF", "--remove-section=.BTF.*", &ko];
    let words = [&["-c", &*script, "sh"], strip.as_slice()].concat();
    let out = author::run(&sandbox, "sh", &words, hooks)
        .map_err(|e| author::ours(e, || format!("cannot build module {name} for {}", target.name)))?;
    complaints(&format!("module {name}"), &String::from_utf8_lossy(&out.stderr), undefined)?;
    files::read(&dir.path().join(format!("{name}.ko")))
}

/// Writes the folder that kbuild is given as M=.
///
/// A module made of several objects must not have the name of one of them: `NAME_main.o` and
/// `NAME_payloadN.o` never are `NAME.o`.
fn lay_out(dir: &Path, name: &str, source: &str, payloads: &[Vec<u8>], uses: Crate, cfgs: &[&str]) -> Result<()> {
    for (i, payload) in payloads.iter().enumerate() {
        files::write(&dir.join(format!("{name}_payload{i}.o_shipped")), payload)?;
    }
    files::write(&dir.join(format!("{name}_main.rs")), source.as_bytes())?;
    for (file, text) in KMOD {
        files::write(&dir.join(file), text.as_bytes())?;
    }
    files::write(&dir.join("Kbuild"), kbuild(name, payloads.len(), uses, cfgs).as_bytes())
}

/// The Kbuild file; `cfgs` are conditions for rustc. The payloads, and the Rust where kbuild does not compile it, have rules of their own: kbuild's rule
/// for FILE_shipped runs no objtool where that is done object by object, and where external modules have `obj := .`
/// (7.2), it is a match-anything rule, which make does not use for a .o file.
fn kbuild(name: &str, payloads: usize, uses: Crate, cfgs: &[&str]) -> String {
    let main = format!("{name}_main.o");
    let payloads: Vec<String> = (0..payloads).map(|i| format!("{name}_payload{i}.o")).collect();
    let parts: Vec<&str> = std::iter::once(&main).chain(&payloads).map(String::as_str).collect();
    let mut text = format!("obj-m := {name}.o\n{name}-y := {}\n\n", parts.join(" "));
    // Where objtool has a rule of its own (5.10), its command has no `;` before it.
    text += "kmend-objtool = $(if $(filter-out ;%,$(firstword $(cmd_objtool))),; )$(cmd_objtool)\n";
    text += "quiet_cmd_payload = PAYLOAD [M] $@\n      cmd_payload = cat $< > $@ $(kmend-objtool)\n";
    cfgs.iter().for_each(|cfg| text += &format!("rustflags-y += --cfg {cfg}\n"));
    for part in payloads.iter().chain((uses == Crate::Shim).then_some(&main)) {
        text +=
            &format!("\ntargets += {part}\n$(obj)/{part}: $(src)/{part}_shipped FORCE\n\t$(call if_changed,payload)\n");
    }
    text
}

/// The sandbox with the run's folder, and the variables of `make` for the kernel's symvers to be seen. A tree of its
/// own has a Module.symvers only after a full build: until then the shipped one is used.
fn sandbox(target: &Target, dir: &Path) -> Result<(sandbox::Sandbox, Option<String>)> {
    let sandbox = target.sandbox().writable(dir, sandbox::WORK);
    if target.tree.join("Module.symvers").exists() {
        return Ok((sandbox.read_only(&target.symvers, &format!("{}/Module.symvers", target.tree_inside)), None));
    }
    files::write(&dir.join("kernel.symvers"), &files::read(&target.symvers)?)?;
    Ok((sandbox, Some(format!("KBUILD_EXTRA_SYMBOLS={}/kernel.symvers", sandbox::WORK))))
}

/// The strip program that belongs to the variables that `make` gets.
fn strip(make_vars: &[String]) -> String {
    let var = |name: &str| make_vars.iter().rev().find_map(|v| v.strip_prefix(name)?.strip_prefix('='));
    match (var("STRIP"), var("CROSS_COMPILE")) {
        (Some(strip), _) => strip.into(),
        (None, Some(prefix)) => format!("{prefix}strip"),
        (None, None) => "strip".into(),
    }
}

/// Fails on what the tools wrote without failing themselves: a live patch that the compiler, objtool
/// or modpost has doubts about is not one to be loaded.
fn complaints(what: &str, stderr: &str, undefined: &[&str]) -> Result<()> {
    // Each block goes on in indented lines.
    let mut in_block = false;
    let found: Vec<&str> = stderr
        .lines()
        .filter(|line| {
            in_block = begins_known_block(line) || (in_block && line.starts_with("  "));
            !in_block
                && !line.trim().is_empty()
                && !is_about_clocks(line)
                && !is_about_our_sites(line)
                && !is_meant(line, undefined)
        })
        .collect();
    let only_counts = found.iter().all(|line| is_rustc_count(line));
    let found = if only_counts { Vec::new() } else { found };
    let refusals: Vec<Refusal> = found.iter().filter_map(|line| objtool_refuses(line)).collect();
    if !found.is_empty() && refusals.len() == found.len() {
        return Err(Refused(refusals).into());
    }
    ensure!(found.is_empty(), "the kernel's tools complain about {what}:\n    {}", found.join("\n    "));
    Ok(())
}

/// What objtool found in the code of a payload, as a refusal:
/// `x_payload0.o: warning: objtool: do_it+0x1f: unreachable instruction`; or, where objtool reads a module as a whole,
/// `x.o: warning: objtool: kmend.0.do_it(): …`. It checks code as the kernel's build does, and the kernel's own unwinder relies on
/// what it finds out.
fn objtool_refuses(line: &str) -> Option<Refusal> {
    let (object, said) =
        ["warning", "error"].iter().find_map(|word| line.split_once(&format!(": {word}: objtool: ")))?;
    let name = said.split([' ', ':', '+', '(']).next().unwrap_or_default();
    let name = name.strip_prefix(".text.").unwrap_or(name);
    // Its entry symbol: `kmend.<unit>.<name>`.
    let own = name.strip_prefix("kmend.").and_then(|rest| rest.split_once('.')).map(|(_, own)| own);
    let name = own.unwrap_or(name);
    let letters = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '.';
    let is_function = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_') && name.chars().all(letters);
    // What kmend compiles itself is Rust, but for these two.
    let is_ours = object.ends_with("_main.o") || name.starts_with("_R") || names::is_module_entry(name);
    if !object.contains("_payload") && (!is_function || is_ours) {
        return None;
    }
    let hint = "if the function calls one that never returns, and that is static or in a module, call an existing \
         function that calls it, or make the call the last statement of a new function marked __noreturn";
    let reason = format!("objtool, which checks the kernel's code, rejects the new code: {said}");
    Some(Refusal::new("objtool", name, "", reason, hint))
}

/// What modpost says when the symvers come as KBUILD_EXTRA_SYMBOLS, and what rustc thinks of the target features
/// that the kernel itself chooses (rust/Makefile: powerpc since 7.3).
fn begins_known_block(line: &str) -> bool {
    line.ends_with("/Module.symvers is missing.")
        || (line.starts_with("warning: ") && line.contains(" feature specified for `-Ctarget-feature`: "))
}

/// rustc's last word: `warning: 4 warnings emitted`.
fn is_rustc_count(line: &str) -> bool {
    line.starts_with("warning: ") && (line.ends_with(" warnings emitted") || line.ends_with(" warning emitted"))
}

/// objtool's word about the static call sites that payloads bring along, and nothing else in a live patch does: it leaves
/// them as they are, as it has to.
fn is_about_our_sites(line: &str) -> bool {
    line.ends_with(": warning: objtool: file already has .static_call_sites section, skipping")
}

/// modpost's word about a symbol that is meant to be undefined: `WARNING: modpost: "do_exit" [/tmp/kmend/work/x.ko] undefined!`.
fn is_meant(line: &str, undefined: &[&str]) -> bool {
    let name = line.strip_prefix("WARNING: modpost: \"").and_then(|rest| rest.split_once("\" ["));
    name.is_some_and(|(name, rest)| rest.ends_with("] undefined!") && undefined.contains(&name))
}

/// make's own words about files from the future: every run is a fresh one, so it rebuilds nothing.
fn is_about_clocks(line: &str) -> bool {
    line.starts_with("make") && (line.contains("Clock skew detected") || line.ends_with("in the future"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kbuild_names_never_clash_with_the_module() {
        let text = kbuild("x", 2, Crate::Own, &[]);
        assert!(text.starts_with("obj-m := x.o\nx-y := x_main.o x_payload0.o x_payload1.o\n"), "{text}");
        assert!(
            text.contains("\n$(obj)/x_payload1.o: $(src)/x_payload1.o_shipped FORCE\n\t$(call if_changed,payload)\n")
        );
        assert!(!text.contains("x_main.o_shipped"));
        assert!(kbuild("x", 1, Crate::Shim, &[]).contains("\n$(obj)/x_main.o: $(src)/x_main.o_shipped FORCE\n"));
        assert!(kbuild("x", 0, Crate::Own, &[]).starts_with("obj-m := x.o\nx-y := x_main.o\n"));
    }

    /// objtool's command begins with a `;` where it is a part of the compiler's (6.1), and not where it has a rule of its own
    /// (5.10); without objtool there is none.
    #[test]
    fn objtool_runs_after_the_payload_is_there() {
        let dir = tempfile::tempdir().unwrap();
        let makefile =
            "obj := .\nsrc := .\nif_changed = @set -e; $(cmd_$(1)); echo saved >> $@\nall: x_payload0.o\nFORCE:\n\
            include Kbuild\n";
        files::write(&dir.path().join("Makefile"), makefile.as_bytes()).unwrap();
        files::write(&dir.path().join("Kbuild"), kbuild("x", 1, Crate::Own, &[]).as_bytes()).unwrap();
        files::write(&dir.path().join("x_payload0.o_shipped"), b"shipped\n").unwrap();
        let run = "sh -c 'cat $$0 >/dev/null && echo checked >> $$0' $@";
        for (objtool, made) in [
            (format!("cmd_objtool={run}"), "shipped\nchecked\nsaved\n"),
            (format!("cmd_objtool=; {run}"), "shipped\nchecked\nsaved\n"),
            (format!("cmd_objtool=$(if y, ; {run})"), "shipped\nchecked\nsaved\n"),
            ("cmd_objtool=".into(), "shipped\nsaved\n"),
        ] {
            let out =
                std::process::Command::new("make").args(["-s", &objtool]).current_dir(dir.path()).output().unwrap();
            assert!(out.status.success(), "{objtool}: {}", String::from_utf8_lossy(&out.stderr));
            let have = std::fs::read_to_string(dir.path().join("x_payload0.o")).unwrap();
            assert_eq!(have, made, "{objtool}");
            std::fs::remove_file(dir.path().join("x_payload0.o")).unwrap();
        }
    }

    #[test]
    fn what_objtool_finds_in_new_code_is_refused_by_name() {
        let found = |lines: &str| match complaints("it", lines, &[]).unwrap_err().downcast::<Refused>() {
            Ok(Refused(all)) => all.iter().map(|r| format!("{} {}", r.code, r.symbol)).collect::<Vec<_>>(),
            Err(_) => Vec::new(),
        };
        let one = "/tmp/w/x_payload0.o: warning: objtool: do_it+0x1f: unreachable instruction\n";
        assert_eq!(found(one), ["objtool do_it"]);
        let more = format!("{one}x_payload1.o: error: objtool: reboot_it() falls through to next function b()\n");
        assert_eq!(found(&more), ["objtool do_it", "objtool reboot_it"]);
        let whole = "/tmp/w/x.o: warning: objtool: kmend.0.stop_it(): unexpected end of section .text.stop_it\n";
        assert_eq!(found(whole), ["objtool stop_it"]);
        assert_eq!(
            found("x.o: warning: objtool: fresh.part.0+0x4: unreachable instruction\n"),
            ["objtool fresh.part.0"]
        );
        assert!(found("x.o: warning: objtool: _RNvCs_1x4init+0x4: unreachable instruction\n").is_empty());
        assert!(found("x.o: warning: objtool: init_module+0x4: unreachable instruction\n").is_empty());
        // With something else beside it, and in what is not the fix's code, it is an error.
        assert!(found(&format!("{one}ld: warning: x\n")).is_empty());
        assert!(found("x_main.o: warning: objtool: init+0x1: what\n").is_empty());
    }

    #[test]
    fn the_folder_holds_all_that_the_build_reads() {
        let dir = tempfile::tempdir().unwrap();
        lay_out(dir.path(), "x", "// source", &[b"one".to_vec(), b"two".to_vec()], Crate::Own, &[]).unwrap();
        let list = |folder: &str| -> Vec<String> {
            let entries = std::fs::read_dir(dir.path().join(folder)).unwrap();
            entries.map(|entry| folder.to_string() + entry.unwrap().file_name().to_str().unwrap()).collect()
        };
        let mut names = [list(""), list("livepatch/")].concat();
        names.sort();
        let all = [
            "Kbuild",
            "bindings.h",
            "bindings.rs",
            "livepatch",
            "livepatch.rs",
            "livepatch/callbacks.rs",
            "livepatch/shadow.rs",
            "livepatch/state.rs",
            "payload.rs",
            "x_main.rs",
            "x_payload0.o_shipped",
            "x_payload1.o_shipped",
        ];
        assert_eq!(names, all);
        assert_eq!(std::fs::read(dir.path().join("x_payload1.o_shipped")).unwrap(), b"two");
    }

    #[test]
    fn strip_is_the_targets() {
        let vars = |list: &[&str]| list.iter().map(|v| v.to_string()).collect::<Vec<_>>();
        assert_eq!(strip(&vars(&["CC=gcc"])), "strip");
        assert_eq!(strip(&vars(&["CROSS_COMPILE=powerpc64le-linux-gnu-"])), "powerpc64le-linux-gnu-strip");
        assert_eq!(strip(&vars(&["STRIP=llvm-strip", "CROSS_COMPILE=x-"])), "llvm-strip");
        assert_eq!(strip(&vars(&["CROSS_COMPILE=a-", "CROSS_COMPILE=b-"])), "b-strip", "the last one counts for make");
    }

    #[test]
    fn complaints_are_errors_and_known_words_are_not() {
        let known = "WARNING: /k/Module.symvers is missing.\n         Modules may not have dependencies.\n\n\
            make[2]: Warning: File 'Kbuild' has modification time 3 s in the future\n\
            make[2]: warning:  Clock skew detected.  Your build may be incomplete.\n";
        complaints("module x", known, &[]).unwrap();
        let objtool = "x.o: warning: objtool: .rodata+0x40: data relocation to !ENDBR: f+0x0";
        let error = complaints("module x", &format!("{known}{objtool}\n"), &[]).unwrap_err().to_string();
        assert!(error.ends_with(&format!("module x:\n    {objtool}")), "{error}");
        let features = "warning: unstable feature specified for `-Ctarget-feature`: `vsx`\n  |\n  = note: this\n\n\
            warning: 1 warning emitted\n\n";
        complaints("module x", features, &[]).unwrap();
        let sites = "/w/x_payload0.o: warning: objtool: file already has .static_call_sites section, skipping";
        complaints("module x", sites, &[]).unwrap();
        complaints("module x", &sites.replace("static_call", "orc"), &[]).unwrap_err();
        complaints("module x", &format!("{features}warning: unused variable: `x`\n  |\n"), &[]).unwrap_err();
        complaints("module x", "WARNING: modpost: missing MODULE_LICENSE() in x.o\n", &[]).unwrap_err();
        let undefined = "WARNING: modpost: \"do_exit\" [/tmp/kmend/work/x.ko] undefined!\n";
        complaints("module x", undefined, &["do_exit"]).unwrap();
        complaints("module x", undefined, &["do_exi"]).unwrap_err();
    }
}
