// SPDX-License-Identifier: GPL-2.0-or-later
//! Hooks files and the macros of <linux/livepatch_helpers.h>: what is wrong in them, as the author is told, for kernels
//! with and without CONFIG_RUST.

use super::kernel::{build_change, stored};
use super::tool::folder;
use super::Test;
use kmend_builder::link::examples;

pub const TESTS: &[Test] = &[
    ("hooks_that_rustc_does_not_take", || rustc_does_not_take("KMEND_TEST_TARGET")),
    ("hooks_with_the_examples_of_kmod", || examples_compile("KMEND_TEST_TARGET")),
    ("hooks_for_nothing_and_twice", hooks_for_nothing_and_twice),
    ("system_call_and_static_call", || system_call("KMEND_TEST_TARGET")),
];

pub const TESTS_WITHOUT_RUST: &[Test] = &[
    ("hooks_that_rustc_does_not_take", || rustc_does_not_take("KMEND_TEST_TARGET_WITHOUT_RUST")),
    ("hooks_with_the_examples_of_kmod", || examples_compile("KMEND_TEST_TARGET_WITHOUT_RUST")),
    ("system_call_and_static_call", || system_call("KMEND_TEST_TARGET_WITHOUT_RUST")),
];

const UNIT: &str = "fs/proc/cmdline.c";
const SHOW: &str = "static int cmdline_proc_show(";
const OLD: &str = "\tseq_putc(m, '\\n');\n";
const NEW: &str = "\tseq_puts(m, \" kmend\\n\");\n";

const HOOKS: &str = "// SPDX-License-Identifier: GPL-2.0-or-later
use crate::{livepatch::{CallbackObject, Callbacks}, livepatch_hooks};
use kernel::prelude::*;

pub struct Check;

#[vtable] impl Callbacks for Check {
    fn pre_patch(_object: &CallbackObject<'_>) -> Result {
        Err(EBUSY)
    }
}

livepatch_hooks! { callbacks: { vmlinux: Check } }
";

fn rustc_does_not_take(variable: &str) {
    let (target, dir) = (stored(variable), folder());
    let fix = [(OLD, NEW)];
    let error = HOOKS.replace("Err(EBUSY)", "Err(16)");
    let says = ["  [hooks-do-not-compile] my-hooks.rs: ", "error[E0308]: mismatched types", "--> my-hooks.rs:9:13"];
    let ran = build_change(&target, dir.path(), UNIT, &fix, Some(&error));
    ran.fails(2, &says);
    let warning = HOOKS.replace("use kernel", "use core::mem;\nuse kernel");
    let says = ["  [hooks-do-not-compile] my-hooks.rs: ", "unused import: `core::mem`", "--> my-hooks.rs:3:5"];
    build_change(&target, dir.path(), UNIT, &fix, Some(&warning)).fails(2, &says);
    // What livepatch answers only while it calls back cannot be asked at another time.
    let peek = "use crate::livepatch::Object;\npub fn peek(object: &Object) { let _ = object.previous_state(1); }\n";
    let says = ["  [hooks-do-not-compile] my-hooks.rs: ", "error[E0599]", "previous_state"];
    build_change(&target, dir.path(), UNIT, &fix, Some(&(HOOKS.to_owned() + peek))).fails(2, &says);
    let keep = "pub fn keep(object: CallbackObject<'static>) { fn send<T: Send>(_: T) {} send(object) }\n";
    let says = ["  [hooks-do-not-compile] my-hooks.rs: ", "error[E0277]"];
    build_change(&target, dir.path(), UNIT, &fix, Some(&(HOOKS.to_owned() + keep))).fails(2, &says);
    assert!(!dir.path().join("kmend_hooked.ko").exists());
}

/// The examples in the documentation of kmod/, on the kernel's own crate and on the shim. `cargo xtask upstream check` runs them.
fn examples_compile(variable: &str) {
    let (target, dir) = (stored(variable), folder());
    let hooks = HOOKS.replace("Err(EBUSY)", "examples().map(|_| ())") + &examples::function("crate");
    build_change(&target, dir.path(), UNIT, &[(OLD, NEW)], Some(&hooks)).succeeds();
}

fn hooks_for_nothing_and_twice() {
    let (target, dir) = (stored("KMEND_TEST_TARGET"), folder());
    let elsewhere = HOOKS.replace("vmlinux: Check", "no_such_module: Check");
    let says = ["[hooks-object] no_such_module (my-hooks.rs): this kernel has no such module"];
    build_change(&target, dir.path(), UNIT, &[(OLD, NEW)], Some(&elsewhere)).fails(2, &says);
    let none = HOOKS.replace("livepatch_hooks! {", "other_hooks! {");
    build_change(&target, dir.path(), UNIT, &[(OLD, NEW)], Some(&none))
        .fails(2, &["[hooks-malformed] my-hooks.rs, line 1: "]);
    let callback = format!(
        "#include <linux/livepatch_helpers.h>\nstatic int kmend_check(struct klp_object *obj)\n{{\n\treturn 0;\n}}\n\
         KLP_PRE_PATCH_CALLBACK(kmend_check);\n{SHOW}"
    );
    let says = ["[callback-twice] pre_patch (vmlinux)", "kmend_check in fs/proc/cmdline.c and Check in my-hooks.rs"];
    build_change(&target, dir.path(), UNIT, &[(OLD, NEW), (SHOW, &callback)], Some(HOOKS)).fails(2, &says);
}

/// KLP_SYSCALL_DEFINEn and KLP_STATIC_CALL, from the kernel's own header or from kmend's.
fn system_call(variable: &str) {
    let (target, dir) = (stored(variable), folder());
    let edits = [
        (
            "SYSCALL_DEFINE1(syncfs, int, fd)\n{\n",
            "KLP_SYSCALL_DEFINE1(syncfs, int, fd)\n{\n\tif (fd == 12345)\n\t\treturn KLP_STATIC_CALL(might_resched)();\n",
        ),
        ("#include <linux/syscalls.h>\n", "#include <linux/syscalls.h>\n#include <linux/livepatch_helpers.h>\n"),
    ];
    let ran = build_change(&target, dir.path(), "fs/sync.c", &edits, None);
    ran.succeeds();
    assert!(ran.out.contains("_sys_syncfs  "), "{}", ran.out);
}
