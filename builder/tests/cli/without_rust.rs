// SPDX-License-Identifier: GPL-2.0-or-later
//! A live patch for the prepared kernel without CONFIG_RUST that KMEND_TEST_TARGET_WITHOUT_RUST names, beside one in C
//! that does the same: how large it is, and what it holds.

use super::kernel::{build_change, stored};
use super::tool::{collect, command, folder, put};
use super::Test;
use kmend_builder::elf::{self, read::Take};
use kmend_builder::files;
use kmend_builder::sandbox::WORK;
use kmend_builder::target::{store, Target};
use similar::TextDiff;

pub const TESTS: &[Test] = &[
    ("no_more_than_twice_the_size_of_c", no_more_than_twice_the_size_of_c),
    ("a_call_that_does_not_return", a_call_that_does_not_return),
];

const UNIT: &str = "fs/proc/cmdline.c";
const OLD: &str = "\tseq_puts(m, saved_command_line);\n\tseq_putc(m, '\\n');\n";
const NEW: &str = "\tseq_puts(m, \"kmend was here\\n\");\n";

/// samples/livepatch/livepatch-sample.c, done for this function.
const IN_C: &str = r#"#include <linux/module.h>
#include <linux/livepatch.h>
#include <linux/seq_file.h>
static int new_show(struct seq_file *m, void *v)
{
	seq_puts(m, "kmend was here\n");
	return 0;
}
static struct klp_func funcs[] = { { .old_name = "cmdline_proc_show", .new_func = new_show }, { } };
static struct klp_object objs[] = { { .funcs = funcs }, { } };
static struct klp_patch patch = { .mod = THIS_MODULE, .objs = objs, .replace = true };
static int __init in_c_init(void) { return klp_enable_patch(&patch); }
static void __exit in_c_exit(void) { }
module_init(in_c_init);
module_exit(in_c_exit);
MODULE_LICENSE("GPL");
MODULE_DESCRIPTION("Live patch for Linux");
MODULE_INFO(livepatch, "Y");
"#;

/// The module that kbuild makes of [`IN_C`].
fn in_c(target: &Target) -> Vec<u8> {
    let dir = folder();
    put(dir.path(), "in_c.c", IN_C);
    put(dir.path(), "Kbuild", "obj-m := in_c.o\n");
    let sandbox = target.sandbox().writable(dir.path(), WORK);
    let mut args = vec!["-C".to_string(), target.tree_inside.clone(), format!("M={WORK}")];
    args.extend(target.make_vars.iter().cloned());
    args.extend(["CONFIG_DEBUG_INFO=", "CONFIG_DEBUG_INFO_BTF_MODULES=", "modules"].map(String::from));
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    sandbox.run("make", &args).expect("kbuild makes a module of C");
    files::read(&dir.path().join("in_c.ko")).unwrap()
}

/// Bytes that the module loader takes into memory, but for the manifest, which C has none of.
fn loaded(module: &elf::Object) -> u64 {
    let counts = |s: &&elf::Section| s.flags & u64::from(elf::SHF_ALLOC) != 0 && s.name != ".note.kmend";
    module.sections.iter().filter(counts).map(|s| s.size).sum()
}

fn no_more_than_twice_the_size_of_c() {
    let name = std::env::var("KMEND_TEST_TARGET_WITHOUT_RUST").expect("the name of a prepared target");
    let target = store::resolve(&name).expect("it names a stored target");
    assert!(target.rustc.is_none(), "{name} has CONFIG_RUST");
    let dir = folder();
    let text = files::read_text(&target.tree.join(UNIT)).unwrap();
    assert!(text.contains(OLD), "{UNIT} of {name} has another text: the test needs another place");
    let fixed = text.replacen(OLD, NEW, 1);
    let diff = TextDiff::from_lines(&text, &fixed)
        .unified_diff()
        .header("a/fs/proc/cmdline.c", "b/fs/proc/cmdline.c")
        .to_string();
    let fix = put(dir.path(), "small.patch", diff);
    let mut build = command(&files::cache_dir().unwrap());
    build.args(["build", "-t", &target.name, "-n", "in_rust", "-o"]).arg(dir.path()).arg(&fix);
    collect(&mut build).succeeds();

    let rust = elf::read::read(&files::read(&dir.path().join("in_rust.ko")).unwrap(), Take::NoDebug).unwrap();
    let c = elf::read::read(&in_c(&target), Take::NoDebug).unwrap();
    let (size, limit) = (loaded(&rust), 2 * loaded(&c));
    assert!(size <= limit, "{size} bytes are loaded; the same in C takes {}", limit / 2);

    // Nothing of core's own: what formats or panics would be undefined, or here under its name.
    for symbol in &rust.symbols {
        for word in ["core", "fmt", "panic", "memset", "memcpy"] {
            assert!(!symbol.name.contains(word), "it holds {}", symbol.name);
        }
    }
    let undefined = |o: &elf::Object| {
        let mut names: Vec<String> =
            o.symbols.iter().skip(1).filter(|s| s.is_undefined()).map(|s| s.name.clone()).collect();
        names.sort();
        names
    };
    assert_eq!(undefined(&rust), undefined(&c), "both call the same functions of the kernel");
}

/// do_exit(), which this kernel does not export: objtool has to know behind the call that nothing runs there. Here code of another
/// stack follows.
fn a_call_that_does_not_return() {
    let (target, dir) = (stored("KMEND_TEST_TARGET_WITHOUT_RUST"), folder());
    let begins = "int reboot_pid_ns(struct pid_namespace *pid_ns, int cmd)\n{\n";
    let edits = [(begins, &*format!("{begins}\tasm volatile(\"nop\");\n"))];
    let ran = build_change(&target, dir.path(), "kernel/pid_namespace.c", &edits, None);
    ran.succeeds();
    assert!(ran.out.contains("reboot_pid_ns  "), "{}", ran.out);
}
