// SPDX-License-Identifier: GPL-2.0-or-later
//! Fixes to headers of a prepared kernel: which units they reach, and which of these are left out.

use super::kernel::{Kernel, SMALL};
use super::tool::put;
use super::Test;
use std::fs;

pub const TESTS: &[Test] = &[
    ("headers", headers),
    ("header_that_all_include", header_that_all_include),
    ("function_of_a_header", function_of_a_header),
    ("init_functions_that_inline_it", init_functions_that_inline_it),
    ("init_functions_of_the_file", init_functions_of_the_file),
    ("headers_that_kbuild_makes", headers_that_kbuild_makes),
    ("types_that_all_see", types_that_all_see),
    ("additions_to_a_header_that_all_include", additions_to_a_header_that_all_include),
];

/// A header that a few units include.
pub const HEADER: &str = "fs/proc/fd.h";

fn headers() {
    let kernel = Kernel::new().with_shared_objects();
    // Two of those that include it look at the number of the file.
    let old = "\treturn PROC_I(inode)->fd;";
    let fix = kernel.fix("the-fix.patch", HEADER, old, "\treturn PROC_I(inode)->fd & 0xffffff;");
    let ran = kernel.build(&fix, &["-n", "header"]);
    assert!(ran.succeeds().out.contains("fs/proc/fd.c (vmlinux)\n  changed "), "{}", ran.out);
    assert!(ran.out.contains("include what the fix changes and are made of the same code"), "{}", ran.out);
    fs::remove_dir_all(kernel.out()).unwrap();
    // No code depends on a function that is not called, nor on comments.
    let end = "\n#endif";
    let unused =
        format!("\nstatic inline int kmend_unused(void)\n{{\n\treturn 1;\n}}\n\nint kmend_nowhere(int);\n{end}");
    for new in [unused, format!("/* A remark. */{end}"), format!("#define KMEND_UNUSED 1{end}")] {
        let fix = kernel.fix("the-fix.patch", HEADER, end, &new);
        kernel.build::<&str>(&fix, &[]).fails(3, &["nothing to patch", "made of the same code"]);
    }
    // What the compiler cannot read is told by the unit that includes it.
    let fix = kernel.fix("the-fix.patch", HEADER, old, "\treturn no_such_thing_here;");
    kernel.refuses(&fix, &["[does-not-compile] fs/proc/", "fs/proc/fd.h:", "no_such_thing_here"]);
    let fix = kernel.fix("the-fix.patch", HEADER, end, &format!("#include \"kmend_none.h\"{end}"));
    kernel.refuses(&fix, &["[does-not-compile] fs/proc/", "kmend_none.h"]);
}

fn header_that_all_include() {
    let kernel = Kernel::new();
    let all = "include/linux/sched.h";
    let text = kernel.source(all);
    let fix = kernel.patch("the-fix.patch", all, &text, &(text.clone() + "int kmend_added;\n"));
    kernel.refuses(&fix, &["[reaches-too-many] include/linux/sched.h", "files of the kernel's source", "--max-units "]);
    let header = "fs/proc/internal.h";
    let fix = kernel.fix("the-fix.patch", header, "\treturn PROC_I(inode)->pid;", "\treturn PROC_I(inode)->pid + 0;");
    let ran = kernel.build(&fix, &["--max-units", "4"]);
    ran.fails(2, &["[reaches-too-many] fs/proc/internal.h", "at most 4 are compiled"]);
}

/// Enough files include it for a search, and one calls the function.
fn function_of_a_header() {
    let kernel = Kernel::new().with_shared_objects();
    let (header, old) = ("fs/ext4/ext4.h", "\treturn ext4_has_feature_largedir(sb) ?\n\t\tEXT4_HTREE_LEVEL :");
    let fix = kernel.fix("the-fix.patch", header, old, &old.replace("(sb) ?", "(sb) && sb->s_root ?"));
    let ran = kernel.build(&fix, &["-n", "htree"]);
    assert!(ran.succeeds().out.contains("fs/ext4/namei.c (ext4)\n  changed "), "{}", ran.out);
    assert!(ran.out.contains("include what the fix changes and are made of the same code"), "{}", ran.out);
    assert!(ran.err.contains("whose code refers to ext4_dir_htree_level"), "{}", ran.err);
    assert!(ran.err.contains(": 1 to what the fix changes"), "{}", ran.err);
}

fn init_functions_that_inline_it() {
    let kernel = Kernel::new().with_shared_objects();
    let (header, old) = ("fs/proc/internal.h", "\tpde->flags |= PROC_ENTRY_PERMANENT;");
    let fix = kernel.fix("the-fix.patch", header, old, "\tpde->flags |= PROC_ENTRY_PERMANENT | 0x40;");
    let ran = kernel.build(&fix, &["-n", "init"]);
    assert!(ran.succeeds().out.contains("changed  impl_proc_make_permanent"), "{}", ran.out);
    assert!(ran.out.contains("fs/proc/cmdline.c: proc_cmdline_init ran when the kernel booted"), "{}", ran.out);
    assert!(!ran.out.contains("changed  proc_cmdline_init"), "{}", ran.out);
}

/// A static function that is inlined into others of its file, one of them `__init`: refused where the fix touches that one.
fn init_functions_of_the_file() {
    let kernel = Kernel::new().with_shared_objects();
    let file = "security/min_addr.c";
    let init = "\tupdate_mmap_min_addr();\n\n\treturn 0;\n";
    let fix = kernel.fix("init.patch", file, init, &format!("\tasm volatile(\"nop\");\n{init}"));
    kernel.refuses(&fix, &["[init-function]"]);
    let old = "static void update_mmap_min_addr(void)\n{\n";
    let fix = kernel.fix("the-fix.patch", file, old, &format!("{old}\tasm volatile(\"nop\");\n"));
    let ran = kernel.build(&fix, &["-n", "init"]);
    assert!(ran.succeeds().out.contains("changed  mmap_min_addr_handler"), "{}", ran.out);
    assert!(ran.out.contains(" ran when the kernel booted"), "{}", ran.out);
    assert_eq!(ran.out.matches("changed  ").count(), 1, "{}", ran.out);
}

fn headers_that_kbuild_makes() {
    let kernel = Kernel::new().with_shared_objects();
    // Nothing but the generated header says what comes of it.
    let (file, old) = ("kernel/bounds.c", "order_base_2(CONFIG_NR_CPUS)");
    let fix = kernel.fix("the-fix.patch", file, old, "order_base_2(CONFIG_NR_CPUS) + 1");
    kernel.refuses(&fix, &["  [generated-header] kernel/bounds.c: ", "NR_CPUS_BITS is "]);
    let fix = kernel.fix("the-fix.patch", file, old, "order_base_2(CONFIG_NR_CPUS) + 1 - 1");
    kernel.build::<&str>(&fix, &[]).fails(3, &["nothing to patch", "is made of the same code"]);
}

/// Whatever the number of units: a type that changes is told at once.
fn types_that_all_see() {
    let kernel = Kernel::new();
    for (header, old, name, many) in [
        ("include/linux/sched/user.h", "\trefcount_t __count;", "user_struct", true),
        ("include/linux/power_supply.h", "\tspinlock_t changed_lock;", "power_supply", false),
    ] {
        let fix = kernel.fix("the-fix.patch", header, old, &format!("\tlong kmend_added;\n{old}"));
        let ran = kernel.build::<&str>(&fix, &[]);
        ran.fails(2, &[&format!("[struct-layout] struct {name} ("), "kmend_added is new at offset "]);
        assert_eq!(ran.err.contains("[reaches-too-many]"), many, "{}", ran.err);
        assert!(!ran.out.contains("preprocessing"), "{}", ran.out);
    }
}

/// What is added to a header is seen where its names are, and a remark by no one.
fn additions_to_a_header_that_all_include() {
    let kernel = Kernel::new().with_shared_objects();
    let (wide, small) = ("include/linux/seq_file.h", kernel.source(SMALL));
    let text = kernel.source(wide);
    let (head, tail) = text.split_at(text.rfind("#endif").unwrap());
    let added =
        "#define KMEND_END \" changed\"\nstatic inline const char *kmend_end(void)\n{\n\treturn KMEND_END;\n}\n";
    let header = fs::read_to_string(kernel.patch("h.patch", wide, &text, &format!("{head}{added}{tail}"))).unwrap();
    let user = small.replace("seq_putc(m, '\\n');", "seq_puts(m, kmend_end());");
    let user = fs::read_to_string(kernel.patch("c.patch", SMALL, &small, &user)).unwrap();
    let fix = put(kernel.dir.path(), "both.patch", format!("{header}{user}"));
    let ran = kernel.build(&fix, &["-n", "both"]);
    let said = ran.succeeds().out.clone();
    assert!(said.contains("changed  cmdline_proc_show") && said.contains("do not use what changes"), "{said}");
    fs::remove_dir_all(kernel.out()).unwrap();
    let fix = kernel.patch("the-fix.patch", wide, &text, &format!("{head}/* A remark. */\n{tail}"));
    kernel.build::<&str>(&fix, &[]).fails(3, &["nothing to patch", "do not use what changes"]);
}
