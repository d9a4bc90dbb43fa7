// SPDX-License-Identifier: GPL-2.0

//! Rust live patching sample.
//!
//! Replaces the function that prints the kernel's command line when `/proc/cmdline` is read, as
//! `samples/livepatch/livepatch-sample.c` does:
//!
//! ```sh
//! $ cat /proc/cmdline
//! <your cmdline>
//!
//! $ insmod rust_livepatch.ko
//! $ cat /proc/cmdline
//! this has been live patched
//!
//! $ echo 0 > /sys/kernel/livepatch/rust_livepatch/enabled
//! $ cat /proc/cmdline
//! <your cmdline>
//! ```

use kernel::{
    livepatch::{
        CallbackObject,
        Callbacks,
        Func,
        Object,
        Patch,
        State,
        Terminated, //
    },
    module_livepatch,
    prelude::*,
    seq_file::SeqFile,
    seq_print, //
};

module_livepatch! {
    patch: Patch::new(&OBJECTS).states(&STATES),
    name: "rust_livepatch",
    authors: ["Rust for Linux Contributors"],
    description: "Rust live patching sample",
    license: "GPL",
}

/// The state that this patch sets up: what `/proc/cmdline` shows.
const CMDLINE: c_ulong = 1;

extern "C" fn livepatch_cmdline_proc_show(m: &SeqFile, _v: *mut c_void) -> c_int {
    seq_print!(m, "this has been live patched\n");
    0
}

struct Sample;

#[vtable]
impl Callbacks for Sample {
    fn pre_patch(object: &CallbackObject<'_>) -> Result {
        let previous = object.previous_state(CMDLINE)?.map(State::version);
        pr_info!("pre_patch: previous version of the state: {previous:?}\n");
        Ok(())
    }

    fn post_patch(_object: &CallbackObject<'_>) {
        pr_info!("post_patch: all tasks run the new function\n");
    }

    fn post_unpatch(object: &CallbackObject<'_>) {
        let version = object.state(CMDLINE).map(State::version);
        pr_info!("post_unpatch: version of the state: {version:?}\n");
    }
}

static FUNCS: Terminated<Func, 1> = Terminated::new([
    // SAFETY: `cmdline_proc_show()` takes a `struct seq_file *`, which is valid and not accessed by
    // other threads during the call, and a `void *`, and returns an `int`. Its callers need no more
    // than the text.
    unsafe {
        Func::new(
            c"cmdline_proc_show",
            livepatch_cmdline_proc_show as *const c_void,
        )
    },
]);

static OBJECTS: Terminated<Object, 1> =
    Terminated::new([Object::vmlinux(&FUNCS).callbacks::<Sample>()]);

static STATES: Terminated<State, 1> = Terminated::new([State::new::<CMDLINE>(1)]);
