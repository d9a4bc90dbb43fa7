// SPDX-License-Identifier: GPL-2.0-or-later
//! Files below tools/ that are kernel code all the same: a fix to one is carried by the object that it is compiled into,
//! which a makefile names (6.1) or a C file that includes it (later).

use super::hooks::{build, target};
use super::tool::folder;
use super::Test;
use kmend_builder::files;

pub const TESTS: &[Test] = &[("file_below_tools", || file_below_tools("KMEND_TEST_TARGET"))];

pub const TESTS_WITHOUT_RUST: &[Test] = &[("file_below_tools", || file_below_tools("KMEND_TEST_TARGET_WITHOUT_RUST"))];

const FILE: &str = "tools/lib/bpf/relo_core.c";

fn file_below_tools(variable: &str) {
    let (target, dir) = (target(variable), folder());
    let including = "kernel/bpf/relo_core.c";
    let unit = if target.tree.join(including).is_file() { including } else { FILE };
    let fix = [("if (!flex && access_idx >= a->nelems)", "if (!flex && access_idx > a->nelems)")];
    let ran = build(&target, dir.path(), FILE, &fix, None);
    let says = &ran.succeeds().out;
    assert!(says.contains(&format!("{unit} (vmlinux)\n  changed  bpf_core_parse_spec ")), "{says}");
    // What stands beside it is a program's alone.
    let fix = [("return 0;", "return 1;")];
    let says = "tools/lib/bpf/libbpf.c: a program for user space; left out";
    build(&target, dir.path(), "tools/lib/bpf/libbpf.c", &fix, None).fails(2, &["[not-built]", says]);
    // A header of both is looked at: here nothing hangs on it.
    let header = "tools/lib/bpf/relo_core.h";
    let text = files::read_text(&target.tree.join(header)).unwrap();
    let end = text.rfind("#endif").map(|at| &text[at..]).expect("the header is guarded");
    let fix = [(end, &*format!("int kmend_nowhere(int);\n\n{end}"))];
    build(&target, dir.path(), header, &fix, None).fails(3, &["nothing to patch", "made of the same code"]);
}
