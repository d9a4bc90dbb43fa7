// SPDX-License-Identifier: GPL-2.0-or-later
//! The rules that are passed to make in addition to kbuild's own, for its top makefile and scripts/Makefile.build:
//! nothing in, the text for `--eval` out.

use crate::sandbox::WORK;

/// `kmend-ask` prints what the folders in KMEND_DIRS contribute, and what the top makefile links and enters by itself (before
/// 6.1). `kmend-tell` does it within scripts/Makefile.build, whose variables its recipe prints once all makefiles are read.
///
/// `kmend-make` makes the objects in KMEND_OBJECTS. It goes down from the top as kbuild does, less `prepare`: from 6.1 on it
/// enters the top folder, before those of vmlinux-dirs, each for the objects that are in none of the others below it. Up to
/// 5.19 scripts/Makefile.build takes single objects in KBUILD_SINGLE_TARGETS, later as goals. Kbuild enters the folders of
/// libs-y from the top; the folders above them must not, whose flags would go down too.
///
/// A makefile that names the folders `x/` and `x/y/` (drivers/Makefile: `char/` and `char/ipmi/`) has both entered for an object
/// in the second. Up to 5.19 the first calls that an error (unknown-single), since then it compiles the object as one of its own,
/// with other flags and for vmlinux: neither may be (kmend-foreign).
///
/// The makes that these call have the rules too, and some no goal: theirs has to be the first of their own makefiles.
pub const RULES: &str = "kmend-ask: ; @+$(info kmend|/|y|$(KBUILD_VMLINUX_OBJS)) \
$(info kmend|/|m|$(addsuffix /modules.order,$(vmlinux-dirs))) \
$(foreach d,$(KMEND_DIRS),$(MAKE) --no-print-directory \
-f $(srctree)/scripts/Makefile.build obj=$(d) need-builtin=1 need-modorder=1 kmend-tell || echo 'kmend|$(d)|failed|' ;) :
kmend-tell: ; @: $(info kmend|$(obj)|y|$(real-obj-y)) $(info kmend|$(obj)|m|$(real-obj-m) $(filter %/modules.order,$(obj-m))) \
$(info kmend|$(obj)|lib|$(lib-y))
kmend-libs = $(patsubst %/,%,$(sort $(ARCH_LIB)))
kmend-tops = $(sort $(vmlinux-dirs))
kmend-single = $(findstring KBUILD_SINGLE_TARGETS,$(file <$(srctree)/scripts/Makefile.build))
kmend-enter = $(if $(kmend-single),KBUILD_SINGLE_TARGETS='$(strip $2)') $(MAKE) --no-print-directory \
-f $(srctree)/scripts/Makefile.build obj=$1 need-builtin=1 need-modorder=1 $(if $(kmend-single),single-build=1 unknown-single=,$2) &&
kmend-foreign = $(if $(filter $(obj)/,$(dir $@)),,\
$(filter-out $(real-obj-y) $(real-obj-m) $(lib-y) $(extra-y) $(always-y) $(always-m),$@))
override if_changed_rule = \
$(if $(kmend-foreign),@:,$(if $(or $(if-changed-cond),$(newer-prereqs),$(cmd-check)),$(rule_$(1)),@:))
kmend-below = $(filter-out $(addsuffix /%,$(filter $1/%,$(kmend-tops))),$(filter $1/%,$(KMEND_OBJECTS)))
kmend-lost = $(filter-out $(addsuffix /%,$(kmend-tops)),$(KMEND_OBJECTS))
kmend-by-folder = $(foreach d,$(kmend-tops),$(if $(call kmend-below,$d),$(call kmend-enter,$d,$(call kmend-below,$d)))) \
$(if $(kmend-lost),{ echo 'the top makefile enters no folder of: $(kmend-lost)' >&2; false; } &&)
kmend-from-top = $(foreach l,$(kmend-libs),$(if $(filter $l/%,$(KMEND_OBJECTS)),\
$(call kmend-enter,$l,$(filter $l/%,$(KMEND_OBJECTS))))) \
$(if $(filter-out $(addsuffix /%,$(kmend-libs)),$(KMEND_OBJECTS)),\
$(call kmend-enter,.,$(addprefix ./,$(filter-out $(addsuffix /%,$(kmend-libs)),$(KMEND_OBJECTS)))))
kmend-make: ; @+$(if $(kmend-tops),$(kmend-by-folder),$(kmend-from-top)) :
.DEFAULT_GOAL :=";

/// Has to be made although it is there: kbuild's own names for the condition, since 5.11 and before.
pub const ALL: [&str; 2] = ["if-changed-cond=y", "cmd-check=y"];

/// Makes kbuild write down each command (a file an object in [`WORK`]) where it would run and save it: in place of
/// cmd_and_fixdep of scripts/Kbuild.include, with the text that fixdep would be given.
pub fn write_down() -> String {
    format!(
        "override cmd_and_fixdep = $(file >{WORK}/$(subst /,%2F,$@),savedcmd_$@ := \
         $(subst $(pound),$$(pound),$(subst $$,$$$$,$(cmd_$(1))))):"
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::target::kbuild::folders::{linked, read_answers};
    use std::collections::BTreeMap;
    use std::path::Path;
    use std::process::Command;

    /// What matters here of the top makefile of 5.10: it lists the folders.
    const OLD_TOP: &str = "srctree := .\nexport srctree\nlibs-y := lib/\ndrivers-y := drv/ arch/x/pci/\n\
        core-y := init/ arch/x/\nhead-y := arch/x/kernel/head.o\n\
        vmlinux-dirs := $(patsubst %/,%,$(filter %/,$(core-y) $(drivers-y) $(drivers-m) $(libs-y)))\n\
        KBUILD_VMLINUX_OBJS := $(head-y) $(patsubst %/,%/built-in.a,$(core-y) $(libs-y) $(drivers-y))\n";

    /// The same from 6.1 on: the Kbuild file beside it does.
    const NEW_TOP: &str =
        "srctree := .\nexport srctree\nARCH_LIB := arch/x/lib/\nKBUILD_VMLINUX_OBJS := built-in.a lib/lib.a\n";

    /// What all scripts/Makefile.build begin with.
    const BUILD: &str = "obj-y :=\nobj-m :=\nlib-y :=\nextra-y :=\nnewer-prereqs = y\nif_changed_rule = $(rule_$(1))\n\
        rule_cc_o_c = @echo made $@ in $(obj)\n__build:\n\
        include $(firstword $(wildcard $(obj)/Kbuild) $(obj)/Makefile)\n\
        real-obj-y := $(patsubst %/,%/built-in.a,$(addprefix $(obj)/,$(obj-y)))\n\
        real-obj-m := $(addprefix $(obj)/,$(filter %.o,$(obj-m)))\n\
        subdir-ym := $(patsubst ./%,%,$(sort $(patsubst %/,%,$(addprefix $(obj)/,$(filter %/,$(obj-y) $(obj-m))))))\n\
        obj-m := $(patsubst %/,%/modules.order,$(addprefix $(obj)/,$(obj-m)))\n\
        lib-y := $(addprefix $(obj)/,$(lib-y))\nextra-y := $(addprefix $(obj)/,$(extra-y))\n\
        .PHONY: FORCE $(subdir-ym)\nFORCE: ;\n$(obj)/%.o: FORCE ; $(call if_changed_rule,cc_o_c)\n";

    /// 5.10: single objects are in a variable, and one that a folder does not know is an error.
    const OLD_BUILD: &str = "targets := $(filter %.o,$(real-obj-y)) $(real-obj-m) $(lib-y) $(extra-y)\n\
        KBUILD_SINGLE_TARGETS := $(filter $(obj)/%,$(KBUILD_SINGLE_TARGETS))\n\
        curdir-single := $(filter $(targets),$(KBUILD_SINGLE_TARGETS))\n\
        unknown-single := $(filter-out $(addsuffix /%,$(subdir-ym)) $(curdir-single),$(KBUILD_SINGLE_TARGETS))\n\
        single-subdirs := $(foreach d,$(subdir-ym),$(if $(filter $d/%,$(KBUILD_SINGLE_TARGETS)),$d))\n\
        __build: $(curdir-single) $(single-subdirs)\n\
        \t@$(if $(unknown-single),$(MAKE) -f /dev/null $(unknown-single),:)\n\
        $(subdir-ym): ; @$(MAKE) -f scripts/Makefile.build obj=$@ single-build=1\n";

    /// 6.1: they are goals, and any goal is compiled.
    const NEW_BUILD: &str = "single-subdir-goals := $(filter $(addsuffix /%,$(subdir-ym)),$(MAKECMDGOALS))\n\
        $(single-subdir-goals): $(subdir-ym) ;\n\
        $(subdir-ym): ; @$(MAKE) -f scripts/Makefile.build obj=$@ $(filter $@/%,$(single-subdir-goals))\n";

    fn tree(files: &[(&str, &str)]) -> tempfile::TempDir {
        let tree = tempfile::tempdir().unwrap();
        for (file, text) in files {
            crate::files::write(&tree.path().join(file), text.as_bytes()).unwrap();
        }
        tree
    }

    /// The folders of both; drv/ has a folder entered by itself that is below another.
    fn kernel(top: &str, build: &str, kbuild: &str) -> tempfile::TempDir {
        tree(&[
            ("Makefile", top),
            ("Kbuild", kbuild),
            ("scripts/Makefile.build", &[BUILD, build].concat()),
            ("init/Makefile", "obj-y := main.o\n"),
            ("lib/Makefile", "lib-y := string.o\nobj-y := ctype.o\n"),
            ("drv/Makefile", "obj-y := a/ c/ c/d/\nobj-m := m.o b/\n"),
            ("drv/a/Makefile", "obj-y := x.o ../far.o\n"),
            ("drv/b/Makefile", "obj-m := y.o\nobj-y := never.o\n"),
            ("drv/c/Makefile", "obj-y := char.o\n"),
            ("drv/c/d/Makefile", "obj-m := ipmi.o\n"),
            ("arch/x/Makefile", "obj-y := kernel/\n"),
            ("arch/x/kernel/Makefile", "extra-y := head.o\nobj-y := traps.o\n"),
            ("arch/x/pci/Makefile", "obj-y := common.o\n"),
            ("arch/x/lib/Makefile", "obj-y := delay.o\n"),
        ])
    }

    fn old() -> tempfile::TempDir {
        kernel(OLD_TOP, OLD_BUILD, "")
    }

    fn new() -> tempfile::TempDir {
        kernel(NEW_TOP, NEW_BUILD, "obj-y := init/ arch/x/ lib/ drv/ arch/x/pci/ arch/x/lib/\n")
    }

    /// Exit status, stdout, stderr.
    fn make(tree: &Path, goal: &str, about: &str) -> (bool, String, String) {
        let eval = format!("--eval={RULES}");
        let out = Command::new("make").args(["-srR", &eval, about, goal]).current_dir(tree).output().unwrap();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        (out.status.success(), text(&out.stdout), text(&out.stderr))
    }

    #[test]
    fn folders_are_listed_by_the_top_makefile_or_by_kbuild() {
        let dirs = ". init lib drv drv/a drv/b drv/c drv/c/d arch/x arch/x/kernel arch/x/pci arch/x/lib";
        let asked = |tree: tempfile::TempDir| {
            let (good, said, words) = make(tree.path(), "kmend-ask", &format!("KMEND_DIRS={dirs}"));
            assert!(good, "{said}{words}");
            let mut told = BTreeMap::new();
            read_answers(&said, &mut told);
            linked(&told).0.into_plain()
        };
        let all = [
            "arch/x/kernel/traps.o",
            "arch/x/pci/common.o",
            "drv/a/x.o",
            "drv/b/y.o",
            "drv/c/char.o",
            "drv/c/d/ipmi.o",
            "drv/far.o",
            "drv/m.o",
            "init/main.o",
            "lib/ctype.o",
            "lib/string.o",
        ];
        // extra-y is linked where the top makefile says so.
        assert_eq!(asked(old()), [&["arch/x/kernel/head.o"], &all[..]].concat());
        let mut of_new = [&["arch/x/lib/delay.o"], &all[..]].concat();
        of_new.sort_unstable();
        assert_eq!(asked(new()), of_new);
    }

    /// Each object once, in the folder whose makefile names it.
    #[test]
    fn single_objects() {
        let wanted = [
            ("arch/x/kernel/traps.o", "arch/x/kernel"),
            ("arch/x/pci/common.o", "arch/x/pci"),
            ("drv/a/../far.o", "drv/a"),
            ("drv/b/y.o", "drv/b"),
            ("drv/c/char.o", "drv/c"),
            ("drv/c/d/ipmi.o", "drv/c/d"),
            ("init/main.o", "init"),
            ("lib/string.o", "lib"),
        ];
        for (tree, own) in
            [(old(), ("arch/x/kernel/head.o", "arch/x/kernel")), (new(), ("arch/x/lib/delay.o", "arch/x/lib"))]
        {
            let mut wanted: Vec<_> = wanted.into_iter().chain([own]).collect();
            wanted.sort_unstable();
            let objects: Vec<&str> = wanted.iter().map(|(object, _)| *object).collect();
            let (good, said, words) = make(tree.path(), "kmend-make", &format!("KMEND_OBJECTS={}", objects.join(" ")));
            assert!(good, "{said}{words}");
            let mut made: Vec<(&str, &str)> =
                said.lines().filter_map(|l| l.strip_prefix("made ")?.split_once(" in ")).collect();
            made.sort_unstable();
            assert_eq!(made, wanted, "{words}");
        }
    }

    #[test]
    fn objects_that_no_folder_has() {
        let made = |tree: &Path, object: &str| {
            let (good, said, words) = make(tree, "kmend-make", &format!("KMEND_OBJECTS=init/main.o {object}"));
            (good && said.contains(&format!("made {object} ")), words)
        };
        for odd in ["init/none.o", "stub/x.o", "x.o", "drv/c/d/none.o"] {
            let (is_made, words) = made(old().path(), odd);
            assert!(!is_made, "{odd}: {words}");
        }
        assert!(made(old().path(), "stub/x.o").1.contains("no folder of: stub/x.o"));
        let tree = new();
        std::fs::remove_file(tree.path().join("scripts/Makefile.build")).unwrap();
        assert!(!make(tree.path(), "kmend-make", "KMEND_OBJECTS=init/main.o").0);
    }
}
