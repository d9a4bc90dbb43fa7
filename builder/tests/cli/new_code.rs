// SPDX-License-Identifier: GPL-2.0-or-later
//! What the new code refers to: fixes to the prepared kernel that would make it run freed memory, write to read-only memory,
//! enter functions that are closed to indirect calls, or split a function or a variable in two; and ordinary ones beside them.

use super::kernel::{Kernel, SMALL};
use super::tool::put;
use super::Test;

pub const TESTS: &[Test] = &[
    ("gone_after_start", gone_after_start),
    ("written_read_only", written_read_only),
    ("closed_to_indirect_calls", closed_to_indirect_calls),
    ("moved_to_another_file", moved_to_another_file),
    ("static_variables_of_inline_functions", static_variables_of_inline_functions),
    ("static_variables_of_one_name", static_variables_of_one_name),
    ("clones_of_one_function", clones_of_one_function),
    ("variables_of_one_section", variables_of_one_section),
    ("wide_strings", wide_strings),
];

const READDIR: &str = "static int proc_root_readdir(struct file *file, struct dir_context *ctx)\n{\n";

/// A function of another unit that is freed, and one that loses `__init` because the fix calls it.
fn gone_after_start() {
    let kernel = Kernel::new().with_shared_objects();
    let calls = format!("{READDIR}\tset_proc_pid_nlink();\n");
    let caller = kernel.fix("calls.patch", "fs/proc/root.c", READDIR, &calls);
    kernel.refuses(&caller, &["[refers-to-init]", "set_proc_pid_nlink"]);
    let loses =
        kernel.fix("loses.patch", "fs/proc/base.c", "void __init set_proc_pid_nlink", "void set_proc_pid_nlink");
    kernel.refuses(&loses, &["[storage-class]", "set_proc_pid_nlink"]);
}

/// A variable of another unit that is read-only after init.
fn written_read_only() {
    let kernel = Kernel::new().with_shared_objects();
    let fix = kernel.fix("write.patch", SMALL, "seq_putc(m, '\\n');", "saved_command_line = NULL;");
    kernel.refuses(&fix, &["[writes-read-only]", "saved_command_line"]);
    let reads =
        kernel.fix("read.patch", SMALL, "seq_putc(m, '\\n');", "seq_printf(m, \"%p\\n\", &saved_command_line);");
    kernel.build::<&str>(&reads, &[]).succeeds();
}

/// A function that nothing points to: the kernel overwrites its ENDBR at boot, so a pointer to it is a trap.
fn closed_to_indirect_calls() {
    let kernel = Kernel::new().with_shared_objects();
    let points = format!("{READDIR}\tif (ctx->pos == 77)\n\t\tpr_info(\"%ps\\n\", proc_pid_readdir);\n");
    let fix = kernel.fix("points.patch", "fs/proc/root.c", READDIR, &points);
    kernel.refuses(&fix, &["[no-indirect-calls]", "proc_pid_readdir"]);
    // One that a table holds may be pointed to.
    let open = format!("{READDIR}\tif (ctx->pos == 77)\n\t\tpr_info(\"%ps\\n\", generic_read_dir);\n");
    let fix = kernel.fix("open.patch", "fs/proc/root.c", READDIR, &open);
    kernel.build::<&str>(&fix, &[]).succeeds();
}

/// Other files go on to call the running kernel's name_to_int().
fn moved_to_another_file() {
    let kernel = Kernel::new().with_shared_objects();
    let from = kernel.source("fs/proc/util.c");
    let body = &from[from.find("unsigned name_to_int").expect("util.c has name_to_int()")..];
    let checked = body.replacen("\tunsigned n = 0;\n", "\tunsigned n = 0;\n\n\tif (len > 10)\n\t\tgoto out;\n", 1);
    let to = kernel.source("fs/proc/fd.c");
    let before = "static struct dentry *proc_lookupfd_common";
    let moved = to.replacen(before, &format!("{checked}\n{before}"), 1);
    let gone = kernel.patch("gone.patch", "fs/proc/util.c", &from, &from.replace(body, ""));
    let added = kernel.patch("added.patch", "fs/proc/fd.c", &to, &moved);
    let both = std::fs::read_to_string(gone).unwrap() + &std::fs::read_to_string(added).unwrap();
    let fix = put(kernel.dir.path(), "moved.patch", both);
    kernel.refuses(&fix, &["[moved-definition]", "name_to_int"]);
}

/// DO_ONCE in an inline function that several functions have inlined: the running kernel's variables, not new ones.
fn static_variables_of_inline_functions() {
    let kernel = Kernel::new().with_shared_objects();
    let seed = "\tnet_secret_init();\n";
    let fix = kernel.fix("once.patch", "net/core/secure_seq.c", seed, &format!("\tbarrier_data(&net);\n{seed}"));
    let ran = kernel.build::<&str>(&fix, &[]);
    ran.succeeds();
    assert!(!ran.out.contains("___done"), "{}", ran.out);
}

/// Two variables of one name in a function to which the fix adds a line: each keeps its own, though their lines move.
fn static_variables_of_one_name() {
    let kernel = Kernel::new().with_shared_objects();
    let head = "void syscore_resume(void)\n{\n\tstruct syscore *syscore;\n";
    let file = "drivers/base/syscore.c";
    let above = kernel.fix("above.patch", file, head, &format!("{head}\n\tbarrier_data(&syscore_list);\n"));
    kernel.build::<&str>(&above, &[]).succeeds();
    let loop_of = "\t\tif (syscore->ops->resume) {\n";
    let between = kernel.fix("between.patch", file, loop_of, &format!("\t\tbarrier_data(syscore);\n{loop_of}"));
    kernel.build::<&str>(&between, &[]).succeeds();
}

/// gcc makes two clones of a function that the fix changes by inlining: their callers tell which is which.
fn clones_of_one_function() {
    let kernel = Kernel::new().with_shared_objects();
    let head = "\tfor (i = 0; i < n; i++) {\n\t\tif (c->check(tp) == high)\n";
    let file = "drivers/net/ethernet/realtek/r8169_main.c";
    let fix = kernel.fix("clones.patch", file, head, &format!("\tbarrier_data(&n);\n{head}"));
    let ran = kernel.build::<&str>(&fix, &[]);
    ran.succeeds();
    assert!(ran.out.contains("_rtl_eri_write"), "{}", ran.out);
}

/// A new variable beside an array of the same section, both used by address.
fn variables_of_one_section() {
    let kernel = Kernel::new().with_shared_objects();
    let text = kernel.source("net/socket.c");
    let array = "static const struct net_proto_family __rcu *net_families[NPROTO] __read_mostly;\n";
    let function = "bool sock_is_registered(int family)\n{\n";
    assert!(text.contains(array) && text.contains(function), "net/socket.c has another text");
    let fresh = format!("{array}static unsigned long fresh[4] __read_mostly = {{ 1 }};\n");
    let counts = format!("{function}\tunsigned long *p = fresh;\n\n\tOPTIMIZER_HIDE_VAR(p);\n\tp[family & 3]++;\n");
    let fixed = text.replacen(array, &fresh, 1).replacen(function, &counts, 1);
    let fix = kernel.patch("beside.patch", "net/socket.c", &text, &fixed);
    let ran = kernel.build::<&str>(&fix, &[]);
    ran.succeeds();
    assert!(ran.out.contains("fresh"), "{}", ran.out);
}

/// The name of an EFI variable.
fn wide_strings() {
    let kernel = Kernel::new().with_shared_objects();
    let fix =
        kernel.fix("wide.patch", "drivers/bluetooth/btintel.c", "L\"UefiCnvCommonDSBR\"", "L\"UefiCnvCommonDSBX\"");
    kernel.build::<&str>(&fix, &[]).succeeds();
    let module = std::fs::read_dir(kernel.out())
        .unwrap()
        .map(|e| e.unwrap().path())
        .find(|p| p.extension().is_some_and(|e| e == "ko"));
    let bytes = std::fs::read(module.expect("a module")).unwrap();
    let wide: Vec<u8> = "UefiCnvCommonDSBX\0".encode_utf16().flat_map(u16::to_le_bytes).collect();
    assert!(bytes.windows(wide.len()).any(|w| w == wide), "the string is not whole");
}
