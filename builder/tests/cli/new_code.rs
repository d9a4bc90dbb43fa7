// SPDX-License-Identifier: GPL-2.0-or-later
//! What the new code refers to: fixes to the prepared kernel that would make it run freed memory, write to read-only memory,
//! enter functions that are closed to indirect calls, or split a function or a variable in two; and ordinary ones beside them.

use super::kernel::{Kernel, SMALL};
use super::tool::put;
use super::Test;
use kmend_builder::elf::read::{read, Take};

pub const TESTS: &[Test] = &[
    ("gone_after_start", gone_after_start),
    ("written_read_only", written_read_only),
    ("written_by_address", written_by_address),
    ("closed_to_indirect_calls", closed_to_indirect_calls),
    ("moved_to_another_file", moved_to_another_file),
    ("static_variables_of_inline_functions", static_variables_of_inline_functions),
    ("static_variables_of_one_name", static_variables_of_one_name),
    ("static_variables_of_two_functions", static_variables_of_two_functions),
    ("clones_of_one_function", clones_of_one_function),
    ("variables_of_one_section", variables_of_one_section),
    ("wide_strings", wide_strings),
    ("pointers_to_functions_of_another_file", pointers_to_functions_of_another_file),
    ("call_that_does_not_return", call_that_does_not_return),
    ("static_variable_of_another_helper", static_variable_of_another_helper),
    ("static_variable_of_another_file", static_variable_of_another_file),
    ("renamed_variables", renamed_variables),
    ("pointer_to_a_new_function_of_another_file", pointer_to_a_new_function_of_another_file),
    ("weak_function_that_becomes_strong", weak_function_that_becomes_strong),
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

/// The same by way of its address: through a pointer, and by functions that are known to write. Others may have it.
fn written_by_address() {
    let kernel = Kernel::new().with_shared_objects();
    let end = "seq_putc(m, '\\n');";
    let pointer = "{ unsigned long *p = (unsigned long *)&saved_command_line; seq_printf(m, \"%p\", p); OPTIMIZER_HIDE_VAR(m); *p = 3; }";
    for (name, code) in [
        ("parses.patch", "if (kstrtoul(m->buf, 0, (unsigned long *)&saved_command_line)) return 0;"),
        ("clears.patch", "memset(&saved_command_line, 0, m->count);"),
        ("pointer.patch", pointer),
    ] {
        let fix = kernel.fix(name, SMALL, end, code);
        kernel.refuses(&fix, &["[writes-read-only]", "saved_command_line"]);
    }
    let reads = "seq_write(m, &saved_command_line, 8); memcpy(m->buf, &saved_command_line, m->count);";
    let fix = kernel.fix("reads.patch", SMALL, end, reads);
    kernel.build::<&str>(&fix, &[]).succeeds();
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

/// Two functions with a variable of one name each: the fix changes one of them, and both.
fn static_variables_of_two_functions() {
    let kernel = Kernel::new().with_shared_objects();
    let file = "drivers/net/ethernet/realtek/r8169_main.c";
    let head = |name: &str| {
        format!("static void {name}(struct rtl8169_private *tp)\n{{\n\tstatic const struct ephy_info e_info_8168f_1[] = {{\n")
    };
    let nop = |text: &str, name: &str| {
        let head = head(name);
        assert!(text.contains(&head), "{file} has no {head:?}: the test needs another place");
        text.replacen(&head, &head.replacen("{\n", "{\n\tasm volatile(\"nop\");\n", 1), 1)
    };
    let text = kernel.source(file);
    let one = nop(&text, "rtl_hw_start_8411");
    let both = nop(&one, "rtl_hw_start_8168f_1");
    for (name, new) in [("one.patch", one), ("both.patch", both)] {
        let ran = kernel.build::<&str>(&kernel.patch(name, file, &text, &new), &[]);
        ran.succeeds();
        assert!(!ran.out.contains("e_info_8168f_1"), "{name}: the running kernel has them: {}", ran.out);
    }
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

/// Two fixed files: one has a function, the other points to it and leaves that pointer in a wait queue. The running kernel's is
/// meant, as in one file; a call in that other file goes to the new code.
fn pointers_to_functions_of_another_file() {
    let kernel = Kernel::new().with_shared_objects();
    let returns = "\tint ret = default_wake_function(wq_entry, mode, sync, key);\n";
    let waits = "\t\tDEFINE_WAIT(wait);\n";
    let function =
        kernel.fix("function.patch", "kernel/sched/wait.c", returns, &format!("{returns}\n\tbarrier_data(&ret);\n"));
    let pointer = kernel.fix(
        "pointer.patch",
        "mm/mempool.c",
        waits,
        &format!("{waits}\n\t\tbarrier_data(&wait);\n\t\tif (pool->min_nr == -7777)\n\t\t\tautoremove_wake_function(&wait, 0, 0, NULL);\n"),
    );
    let both = std::fs::read_to_string(function).unwrap() + &std::fs::read_to_string(pointer).unwrap();
    let fix = put(kernel.dir.path(), "both.patch", both);
    let ran = kernel.build::<&str>(&fix, &[]);
    ran.succeeds();
    let symbols: Vec<String> =
        symbols(&kernel).into_iter().filter(|s| s.contains("autoremove_wake_function")).collect();
    assert!(symbols.iter().any(|s| s.starts_with(".klp.sym.vmlinux.autoremove_wake_function,")), "{symbols:?}");
    assert!(symbols.iter().all(|s| !s.contains("kmend.running")), "{symbols:?}");
}

/// The names in the symbol table of the module that was built.
fn symbols(kernel: &Kernel) -> Vec<String> {
    let files = std::fs::read_dir(kernel.out()).unwrap().map(|e| e.unwrap().path());
    let module = files.into_iter().find(|p| p.extension().is_some_and(|e| e == "ko")).expect("a module");
    let object = read(&std::fs::read(module).unwrap(), Take::NoDebug).unwrap();
    object.symbols.into_iter().map(|s| s.name).collect()
}

/// objtool knows by name which functions do not return, and no static one of the running kernel: what it finds in the code behind a
/// call is a refusal that names the function.
fn call_that_does_not_return() {
    let kernel = Kernel::new().with_shared_objects();
    let file = "arch/x86/xen/smp_pv.c";
    let head = "static int xen_pv_cpu_disable(void)\n{\n\tunsigned int cpu = smp_processor_id();\n";
    let declared = format!("static void __noreturn xen_pv_play_dead(void);\n\n{head}");
    let fix = kernel.fix("dead.patch", file, head, &format!("{declared}\tif (cpu == 7777)\n\t\txen_pv_play_dead();\n"));
    kernel.refuses(&fix, &["[objtool]", "xen_pv_cpu_disable"]);
}

/// A function uses another inline function with a static variable of the same name and type: the running kernel has none for it.
fn static_variable_of_another_helper() {
    let kernel = Kernel::new().with_shared_objects();
    let file = "fs/notify/inotify/inotify_fsnotify.c";
    let own = "\tstatic bool warned = false;\n\n\tif (warned)\n\t\treturn 0;\n\n\twarned = true;\n";
    let head = "static int idr_callback(int id, void *p, void *data)\n{\n";
    let helper = "static inline bool told_before(void)\n{\n\tstatic bool warned;\n\tbool before = warned;\n\n\twarned = true;\n\treturn before;\n}\n\n";
    let text = kernel.source(file);
    assert!(text.contains(own) && text.contains(head), "{file} has another text");
    let fixed = text.replacen(own, "\n\tif (told_before())\n\t\treturn 0;\n\n", 1);
    let fix = kernel.patch("helper.patch", file, &text, &fixed.replacen(head, &format!("{helper}{head}"), 1));
    let ran = kernel.build::<&str>(&fix, &[]);
    ran.succeeds();
    assert!(ran.out.contains("warned"), "the live patch has no variable of its own: {}", ran.out);
}

/// A static variable moves to another file with the code that uses it: its value would stay behind.
fn static_variable_of_another_file() {
    let kernel = Kernel::new().with_shared_objects();
    let (from, to) = ("fs/proc/generic.c", "fs/proc/root.c");
    let variable = "static DEFINE_IDA(proc_inum_ida);\n";
    let uses = "#define PROC_DYNAMIC_FIRST 0xF0000000U\n";
    let text = kernel.source(from);
    assert!(text.contains(variable) && text.contains(uses), "{from} has another text");
    let body = text.replacen(variable, "", 1).replace("&proc_inum_ida", "proc_inums()");
    let body = body.replacen(uses, &format!("struct ida *proc_inums(void);\n{uses}"), 1);
    let gone = kernel.patch("gone.patch", from, &text, &body);
    let fresh = format!("{variable}struct ida *proc_inums(void);\nstruct ida *proc_inums(void)\n{{\n\treturn &proc_inum_ida;\n}}\n\n{READDIR}");
    let added = kernel.fix("added.patch", to, READDIR, &fresh);
    let both = std::fs::read_to_string(gone).unwrap() + &std::fs::read_to_string(added).unwrap();
    let fix = put(kernel.dir.path(), "moved.patch", both);
    kernel.refuses(&fix, &["[moved-definition]", "proc_inum_ida"]);
}

/// A counter of one file, and a variable that several files share, under new names: the running kernel's values would be lost.
fn renamed_variables() {
    let kernel = Kernel::new().with_shared_objects();
    let file = "fs/proc/generic.c";
    let text = kernel.source(file);
    assert!(text.contains("static DEFINE_IDA(proc_inum_ida);"), "{file} has another text");
    let fix = kernel.patch("ida.patch", file, &text, &text.replace("proc_inum_ida", "proc_inums"));
    kernel.refuses(&fix, &["[renamed-variable]", "proc_inums"]);
    let files = ["kernel/audit.h", "kernel/audit.c", "kernel/auditsc.c"];
    let parts = files.map(|file| {
        let text = kernel.source(file);
        assert!(text.contains("audit_ever_enabled"), "{file} has another text");
        let fix = kernel.patch("part.patch", file, &text, &text.replace("audit_ever_enabled", "audit_was_enabled"));
        std::fs::read_to_string(fix).unwrap()
    });
    let fix = put(kernel.dir.path(), "global.patch", parts.concat());
    kernel.refuses(&fix, &["[renamed-variable]", "audit_was_enabled"]);
}

/// One file of a fix hands out a new function of another: that goes when the live patch goes.
fn pointer_to_a_new_function_of_another_file() {
    let kernel = Kernel::new().with_shared_objects();
    let head = "int autoremove_wake_function(";
    let declared = "int kmend_wake(struct wait_queue_entry *entry, unsigned int mode, int sync, void *key)";
    let body =
        format!("{declared};\n{declared}\n{{\n\treturn default_wake_function(entry, mode, sync, key);\n}}\n\n{head}");
    let function = kernel.fix("function.patch", "kernel/sched/wait.c", head, &body);
    let waits = "\t\tDEFINE_WAIT(wait);\n";
    let points =
        format!("\t\textern {declared};\n{waits}\n\t\tif (pool->min_nr == -7777)\n\t\t\twait.func = kmend_wake;\n");
    let pointer = kernel.fix("pointer.patch", "mm/mempool.c", waits, &points);
    let both = std::fs::read_to_string(function).unwrap() + &std::fs::read_to_string(pointer).unwrap();
    let fix = put(kernel.dir.path(), "both.patch", both);
    let ran = kernel.build::<&str>(&fix, &[]);
    ran.succeeds();
    let said = format!("{}{}", ran.out, ran.err);
    assert!(said.contains("[new-callback] kmend_wake: mempool_"), "{said}");
}

/// The running kernel has another definition of a weak function: the fix makes the weak one count.
fn weak_function_that_becomes_strong() {
    let kernel = Kernel::new().with_shared_objects();
    let (file, weak) = ("drivers/pci/pci.c", "void __weak pcibios_disable_device(");
    let fix = kernel.fix("strong.patch", file, weak, "void pcibios_disable_device(");
    kernel.refuses(&fix, &["[moved-definition]", "pcibios_disable_device"]);
}
