// SPDX-License-Identifier: GPL-2.0-or-later
//! Files that kbuild makes more of than the object with their name: kernel code below tools/, which a makefile compiles (6.1)
//! or a C file includes (later); files that two modules are built of; texts that code is generated from.

use super::kernel::{build_change, stored};
use super::tool::folder;
use super::Test;
use kmend_builder::files;

pub const TESTS: &[Test] = &[
    ("file_below_tools", || file_below_tools("KMEND_TEST_TARGET")),
    ("files_of_the_library", || files_of_the_library("KMEND_TEST_TARGET")),
    ("file_of_two_modules", file_of_two_modules),
    ("texts_that_code_is_made_of", texts_that_code_is_made_of),
    ("sources_that_kbuild_makes", sources_that_kbuild_makes),
];

pub const TESTS_WITHOUT_RUST: &[Test] = &[
    ("file_below_tools", || file_below_tools("KMEND_TEST_TARGET_WITHOUT_RUST")),
    ("files_of_the_library", || files_of_the_library("KMEND_TEST_TARGET_WITHOUT_RUST")),
];

const FILE: &str = "tools/lib/bpf/relo_core.c";

fn file_below_tools(variable: &str) {
    let (target, dir) = (stored(variable), folder());
    let including = "kernel/bpf/relo_core.c";
    let unit = if target.tree.join(including).is_file() { including } else { FILE };
    let fix = [("if (!flex && access_idx >= a->nelems)", "if (!flex && access_idx > a->nelems)")];
    let ran = build_change(&target, dir.path(), FILE, &fix, None);
    let says = &ran.succeeds().out;
    assert!(says.contains(&format!("{unit} (vmlinux)\n  changed  bpf_core_parse_spec ")), "{says}");
    // What is beside it is a program's alone.
    let fix = [("return 0;", "return 1;")];
    let says = "tools/lib/bpf/libbpf.c: a program for user space; left out";
    build_change(&target, dir.path(), "tools/lib/bpf/libbpf.c", &fix, None).fails(2, &["[not-built]", says]);
    // A header of both is looked at: here nothing depends on it.
    let header = "tools/lib/bpf/relo_core.h";
    let text = files::read_text(&target.tree.join(header)).unwrap();
    let end = text.rfind("#endif").map(|at| &text[at..]).expect("the header is guarded");
    let fix = [(end, &*format!("int kmend_nowhere(int);\n\n{end}"))];
    build_change(&target, dir.path(), header, &fix, None).fails(3, &["nothing to patch", "made of the same code"]);
}

/// lib/Makefile takes the flags for ftrace away from the files beside it, those of the archive among them; not from the
/// folders below.
fn files_of_the_library(variable: &str) {
    let (target, dir) = (stored(variable), folder());
    let fix = [("index = uuid_index;\n\tbool uc = false;", "index = uuid_index;\n\tbool uc = true;")];
    let says = "  [no-ftrace-site] uuid_string (lib/vsprintf.c, ";
    build_change(&target, dir.path(), "lib/vsprintf.c", &fix, None).fails(2, &[says]);
    let file = "lib/zlib_inflate/inflate.c";
    let fix = [("return Z_STREAM_ERROR;", "return Z_DATA_ERROR;")];
    let ran = build_change(&target, dir.path(), file, &fix, None);
    assert!(ran.succeeds().out.contains("\n  changed  zlib_inflateReset "), "{}", ran.out);
}

/// drivers/gpu/drm/xe/Makefile compiles i915's files once more, for another module, in which their functions have the same
/// names.
fn file_of_two_modules() {
    let (target, dir) = (stored("KMEND_TEST_TARGET"), folder());
    let file = "drivers/gpu/drm/i915/display/intel_dp.c";
    let ran = build_change(&target, dir.path(), file, &[("\t\treturn false;", "\t\treturn true;")], None);
    let says = &ran.succeeds().out;
    for module in ["i915", "xe"] {
        assert!(says.contains(&format!("{file} ({module})\n  changed  intel_dp_")), "{says}");
    }
}

fn texts_that_code_is_made_of() {
    let (target, dir) = (stored("KMEND_TEST_TARGET"), folder());
    // The remark becomes the number of the error.
    let fix = [("cpu_to_le32(0xC0000022) // -EACCES", "cpu_to_le32(0xC0000022) // -EPERM")];
    let file = "fs/smb/common/smb2status.h";
    let says =
        "  [generated-header] fs/smb/common/smb2status.h: kbuild generates fs/smb/client/smb2_mapping_table.c from ";
    build_change(&target, dir.path(), file, &fix, None).fails(2, &[says]);
    let fix = [("Table: one byte opcode", "Table: one  byte opcode")];
    build_change(&target, dir.path(), "arch/x86/lib/x86-opcode-map.txt", &fix, None)
        .fails(2, &["  [generated-header] "]);
    // Names for people to read stay.
    let fix = [("#define NCAPINTS", "/* A remark. */\n#define NCAPINTS")];
    let says = ["nothing to patch", "arch/x86/kernel/cpu/capflags.c"];
    build_change(&target, dir.path(), "arch/x86/include/asm/cpufeatures.h", &fix, None).fails(3, &says);
    // A program that runs where the kernel is built.
    let fix = [("int main(", "/* A remark. */\nint main(")];
    build_change(&target, dir.path(), "lib/raid/raid6/mktables.c", &fix, None).fails(2, &["  [build-file-changed] "]);
}

/// A header that a generated source includes.
fn sources_that_kbuild_makes() {
    let (target, dir) = (stored("KMEND_TEST_TARGET"), folder());
    let fix = [("#define RAID6_MIN_DISKS\t\t4", "#define RAID6_MIN_DISKS\t\t3")];
    let ran = build_change(&target, dir.path(), "include/linux/raid/pq.h", &fix, None);
    assert!(ran.succeeds().out.contains("  changed  raid6_gen_syndrome "), "{}", ran.out);
    let made = target.tree.join("lib/raid/raid6/int4.c");
    assert!(made.is_file(), "{} is looked at too", made.display());
}
