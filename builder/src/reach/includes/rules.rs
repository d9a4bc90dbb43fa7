// SPDX-License-Identifier: GPL-2.0-or-later
//! What a makefile says of files beyond the objects that bear their names: its text in; objects that are compiled of a file
//! elsewhere, assembly that becomes a header, files that are made of a header's text, and programs for the build out.
//!
//! Variables that the makefile sets itself are filled in, conditionals count as if they were not there. What is not plain
//! after that is left out.

use super::last;
use crate::target::kbuild::plain;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// What makefiles say. All paths are relative to the tree.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Rules {
    /// A source and the object that is compiled of it; each may have one `%` for the same part.
    pub compiled: Vec<(String, String)>,
    /// Assembly that becomes a header with the values in it.
    pub values: Vec<String>,
    /// A header or list, and what kbuild makes of its text.
    pub inputs: Vec<(String, String)>,
    /// Sources of programs that run where the kernel is built.
    pub programs: Vec<String>,
}

/// Headers that a program reads which is compiled for the build, and what it makes of them.
const READ: &[(&str, &str)] = &[
    ("include/uapi/linux/input-event-codes.h", "drivers/accessibility/speakup/mapdata.h"),
    ("security/selinux/include/classmap.h", "security/selinux/av_permissions.h"),
    ("security/selinux/include/classmap.h", "security/selinux/flask.h"),
    ("security/selinux/include/initial_sid_to_string.h", "security/selinux/flask.h"),
];

impl Rules {
    /// What kbuild makes of the text of the file at `path`.
    pub(super) fn made_of<'a>(&'a self, path: &'a str) -> impl Iterator<Item = &'a str> {
        let told = self.inputs.iter().map(|(input, made)| (input.as_str(), made.as_str()));
        told.chain(READ.iter().copied()).filter(move |(input, _)| *input == path).map(|(_, made)| made)
    }

    /// Adds what the makefile of `folder` says; `arch` is the architecture's folder under arch/.
    pub(super) fn read(&mut self, folder: &str, text: &str, arch: &str) {
        let text = text.replace("\\\n", " ");
        let mut variables: BTreeMap<&str, String> = BTreeMap::from([("SRCARCH", arch.to_string())]);
        let mut lines = text.lines().peekable();
        while let Some(line) = lines.next() {
            if line.starts_with(['\t', '#']) {
                continue;
            }
            if let Some((name, value)) = variable(line) {
                if name.starts_with("hostprogs") || name.starts_with("userprogs") {
                    let path = |word: &str| plain(&format!("{folder}/{word}.c"));
                    self.programs.extend(value.split_whitespace().filter(|w| !w.contains('$')).map(path));
                }
                variables.insert(name, value.to_string());
                continue;
            }
            let Some((targets, needs)) = line.split_once(':') else { continue };
            let mut recipe = needs.split_once(';').map_or("", |(_, recipe)| recipe).to_string();
            while let Some(more) = lines.next_if(|l| l.starts_with('\t')) {
                recipe += more;
            }
            let filled = [targets, needs].map(|words| fill(words, &variables));
            let [targets, needs] = filled.each_ref().map(|words| words.split_whitespace().collect::<Vec<_>>());
            self.rule(folder, &targets, &needs, &recipe);
        }
    }

    fn rule(&mut self, folder: &str, targets: &[&str], needs: &[&str], recipe: &str) {
        let Some(target) = targets.first().and_then(|t| path(t, folder)) else { return };
        let paths = || needs.iter().filter(|n| !n.starts_with("$(obj)/")).filter_map(|n| path(n, folder));
        if recipe.contains("cc_o_c") {
            let source = paths().next().filter(|s| s.ends_with(".c") && target.ends_with(".o"));
            self.compiled.extend(source.map(|source| (source, target)));
        } else if recipe.contains("filechk,offsets") {
            self.values.extend(needs.iter().filter_map(|n| path(n, folder)).filter(|n| n.ends_with(".s")));
        } else if [".c", ".h", ".S"].iter().any(|end| target.ends_with(end)) && !recipe.is_empty() {
            let texts = paths().filter(|n| [".h", ".txt"].iter().any(|end| n.ends_with(end)));
            self.inputs.extend(texts.map(|text| (text, target.clone())));
        }
    }

    /// Whether `object` is compiled of a file elsewhere.
    pub(super) fn compiles(&self, object: &str) -> bool {
        self.compiled.iter().any(|(_, made)| match made.split_once('%') {
            None => made == object,
            Some((head, tail)) => object.strip_prefix(head).is_some_and(|rest| rest.ends_with(tail)),
        })
    }

    /// The objects that are compiled of the file at `path`, beside its own.
    pub(super) fn objects<'a>(&'a self, path: &'a str) -> impl Iterator<Item = String> + 'a {
        self.compiled.iter().filter_map(move |(source, object)| match source.split_once('%') {
            None => (source == path).then(|| object.clone()),
            Some((head, tail)) => {
                let part = path.strip_prefix(head)?.strip_suffix(tail).filter(|p| !p.is_empty() && !p.contains('/'))?;
                Some(object.replacen('%', part, 1))
            }
        })
    }
}

/// `NAME = VALUE`, `NAME := VALUE`, `NAME += VALUE`, `NAME ?= VALUE`.
fn variable(line: &str) -> Option<(&str, &str)> {
    let (name, value) = line.split_once('=')?;
    let name = name.trim_end_matches([':', '+', '?']).trim();
    let fits = !name.is_empty() && !name.contains([' ', '\t', ':', '$', '(']);
    fits.then(|| (name, value.trim()))
}

/// No line of a makefile is longer than this, bytes.
const LONGEST: usize = 1 << 16;

/// `words` with the variables in it that are known, filled in.
fn fill(words: &str, variables: &BTreeMap<&str, String>) -> String {
    let mut text = words.to_string();
    // One may hold another.
    for _ in 0..3 {
        if !text.contains('$') || text.len() > LONGEST {
            break;
        }
        text = filled(&text, variables);
    }
    text
}

fn filled(text: &str, variables: &BTreeMap<&str, String>) -> String {
    let (mut out, mut rest) = (String::new(), text);
    while let Some(at) = rest.find('$') {
        out += &rest[..at];
        rest = &rest[at..];
        let end = match rest.as_bytes().get(1) {
            Some(b'(') => rest.find(')'),
            Some(b'{') => rest.find('}'),
            _ => None,
        };
        match end.and_then(|end| Some((end, variables.get(&rest[2..end])?))) {
            Some((end, value)) => {
                out += value;
                rest = &rest[end + 1..];
            }
            None => {
                out.push('$');
                rest = &rest[1..];
            }
        }
    }
    out + rest
}

/// A word as a path; None where make has more to fill in.
fn path(word: &str, folder: &str) -> Option<String> {
    let beside = word.strip_prefix("$(obj)/").or(word.strip_prefix("$(src)/"));
    let path = match beside {
        Some(name) => format!("{folder}/{name}"),
        None => word.strip_prefix("$(srctree)/").or(word.strip_prefix("$(objtree)/")).unwrap_or(word).to_string(),
    };
    (!path.contains(['$', '(', ')']) && last(&path).contains('.')).then(|| plain(&path))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules(folder: &str, text: &str) -> Rules {
        let mut rules = Rules::default();
        rules.read(folder, text, "x86");
        rules
    }

    #[test]
    fn objects_of_sources_elsewhere() {
        let text = "obj-y += relo_core.o own.o\n\
                    $(obj)/relo_core.o: $(srctree)/tools/lib/bpf/relo_core.c FORCE\n\
                    \t$(call if_changed_rule,cc_o_c)\n\
                    $(obj)/i915/%.o: $(srctree)/drivers/i915/%.c FORCE\n\
                    \t$(call cmd,force_checksrc)\n\
                    \t$(call if_changed_rule,cc_o_c)\n\
                    $(obj)/kunit_%.o: $(src)/io_%.c\n\t$(call if_changed_dep,cc_o_c)\n\
                    $(obj)/insn_sanity.o: $(srctree)/tools/lib/insn.c\n\
                    $(obj)/table.c: $(src)/gen.c\n\t$(call if_changed,table)\n";
        let rules = rules("kernel/bpf", text);
        let objects = |path: &str| rules.objects(path).collect::<Vec<_>>();
        assert_eq!(objects("tools/lib/bpf/relo_core.c"), ["kernel/bpf/relo_core.o"]);
        assert_eq!(objects("drivers/i915/intel_dp.c"), ["kernel/bpf/i915/intel_dp.o"]);
        assert_eq!(objects("kernel/bpf/io_a.c"), ["kernel/bpf/kunit_a.o"]);
        assert!(objects("drivers/i915/sub/x.c").is_empty() && objects("drivers/i915/.c").is_empty());
        assert!(objects("tools/lib/insn.c").is_empty() && objects("kernel/bpf/gen.c").is_empty());
    }

    #[test]
    fn what_is_made_of_texts() {
        let text = "cpufeature = $(src)/../asm/cpu.h\nvmx = ${src_dir}/x\nsrc_dir := arch/$(SRCARCH)\n\
                    $(obj)/capflags.c: $(cpufeature) $(obj)/own.h $(src)/mk.sh FORCE\n\t$(call if_changed,mk)\n\
                    $(obj)/smb1_err_%.c: $(src)/smberr.h \\\n\t\t$(src)/gen FORCE\n\t$(call if_changed,gen)\n\
                    $(obj)/list.h: include/scsi/list.h ; sed $< > $@\n\
                    $(obj)/x.o: $(src)/x.h\n\t$(call cmd)\n\
                    $(obj)/only.c: $(src)/needs.h\n";
        let made = |folder| rules(folder, text).inputs;
        let pair = |a: &str, b: &str| (a.to_string(), b.to_string());
        let read = Rules::default();
        assert_eq!(read.made_of("security/selinux/include/classmap.h").count(), 2);
        let all = [
            pair("arch/x86/asm/cpu.h", "arch/x86/cpu/capflags.c"),
            pair("arch/x86/cpu/smberr.h", "arch/x86/cpu/smb1_err_%.c"),
            pair("include/scsi/list.h", "arch/x86/cpu/list.h"),
        ];
        assert_eq!(made("arch/x86/cpu"), all);
    }

    #[test]
    fn values_and_programs() {
        let text = "offsets := include/generated/asm-offsets.h\n\
                    $(offsets): arch/$(SRCARCH)/kernel/asm-offsets.s FORCE\n\t$(call filechk,offsets,__ASM__)\n\
                    hostprogs := mktables gen$(X)\nhostprogs-always-y += relocs\n";
        let rules = rules("lib", text);
        assert_eq!(rules.values, ["arch/x86/kernel/asm-offsets.s"]);
        assert_eq!(rules.programs, ["lib/mktables.c", "lib/relocs.c"]);
    }

    #[test]
    fn broken_text_is_no_panic() {
        for text in [
            "",
            ":",
            "=",
            "\t",
            "a:",
            ": a",
            "$(obj)/%.o: %\n\tcc_o_c",
            "%.o: %.c\n\tcc_o_c\n",
            "x\\",
            "$(a",
            "a=$(a)\n$(a): $(a)",
        ] {
            let _ = rules("", text).objects("x.c").count();
        }
    }
}
