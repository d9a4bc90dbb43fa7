// SPDX-License-Identifier: GPL-2.0-or-later
//! What names mean in a prepared kernel: fixes that use weak names, new exports and other modules, or change what a
//! variable points to, in; what the module refers to, or the refusal, out.

use super::kernel::Kernel;
use super::tool::{collect, command, put};
use super::Test;
use std::fs;
use std::path::PathBuf;

pub const TESTS: &[Test] = &[
    ("scheduler_functions", scheduler_functions),
    ("functions_of_one_section", functions_of_one_section),
    ("weak_names", weak_names),
    ("exports_of_dependencies", exports_of_dependencies),
    ("new_exports", new_exports),
    ("types_of_variables", types_of_variables),
    ("pointers_to_replaced_functions", pointers_to_replaced_functions),
    ("pointers_to_functions_of_other_files", pointers_to_functions_of_other_files),
    ("one_file_in_two_modules", one_file_in_two_modules),
];

const VSOCK: &str = "net/vmw_vsock/af_vsock.c";
const CREDIT: &str = "void virtio_transport_put_credit(struct virtio_vsock_sock *vvs, u32 credit)\n{\n";

/// A fix of several edits: file, text, new text.
fn fix(kernel: &Kernel, name: &str, edits: &[(&str, &str, &str)]) -> PathBuf {
    let mut files: Vec<&str> = edits.iter().map(|(file, ..)| *file).collect();
    files.dedup();
    let patches = files.into_iter().map(|file| {
        let before = kernel.source(file);
        let after = edits.iter().filter(|(f, ..)| *f == file).fold(before.clone(), |text, (_, old, new)| {
            assert!(text.contains(old), "{file} has no {old:?}: the test needs another place");
            text.replacen(old, new, 1)
        });
        fs::read_to_string(kernel.patch("part.patch", file, &before, &after)).unwrap()
    });
    let all = patches.collect::<String>();
    put(kernel.dir.path(), name, all)
}

/// Whether the module `name` has these words in it.
fn holds(kernel: &Kernel, name: &str, words: &str) -> bool {
    let module = fs::read(kernel.out().join(format!("{name}.ko"))).unwrap();
    module.windows(words.len()).any(|w| w == words.as_bytes())
}

/// Functions of several files in one text section, and calls in it that the assembler resolves.
fn functions_of_one_section() {
    let kernel = Kernel::new().with_shared_objects();
    let nop = "\tasm volatile(\"nop\");\n";
    let heads = [
        ("kernel/sched/core.c", "void __sched schedule_preempt_disabled(void)\n{\n"),
        ("kernel/locking/semaphore.c", "static noinline void __sched __down(struct semaphore *sem)\n{\n"),
        ("kernel/locking/semaphore.c", "void __sched down(struct semaphore *sem)\n{\n"),
        // It jumps to __mutex_lock_slowpath(), which is so near that the assembler makes the jump short.
        ("kernel/locking/mutex.c", "void __sched mutex_lock(struct mutex *lock)\n{\n"),
    ];
    let new = heads.map(|(_, head)| format!("{head}{nop}"));
    let edits: Vec<(&str, &str, &str)> =
        heads.iter().zip(&new).map(|((file, head), new)| (*file, *head, &**new)).collect();
    let fix = fix(&kernel, "section.patch", &edits);
    let ran = kernel.build(&fix, &["-n", "kmend_section"]);
    let out = &ran.succeeds().out;
    assert!(
        ["changed  __down  ", "changed  schedule_preempt_disabled  ", "changed  mutex_lock  "]
            .iter()
            .all(|line| out.contains(line)),
        "{out}"
    );
}

/// Code of vmlinux and of a module points to a function that a third file of the fix changes: the kernel compares such pointers
/// (`timer->function != delayed_work_timer_fn`), so they are the running kernel's.
fn pointers_to_functions_of_other_files() {
    let kernel = Kernel::new().with_shared_objects();
    let nop = "\tasm volatile(\"nop\");\n";
    let (timer, events) = ("void delayed_work_timer_fn(struct timer_list *t)\n{\n", "\tINIT_DELAYED_WORK(&ev->dwork, ");
    let socket = "\tINIT_DELAYED_WORK(&vsk->connect_work, ";
    let (new_timer, new_events, new_socket) =
        (format!("{timer}{nop}"), format!("{nop}{events}"), format!("{nop}{socket}"));
    let edits = [
        ("kernel/workqueue.c", timer, new_timer.as_str()),
        ("block/disk-events.c", events, &new_events),
        (VSOCK, socket, &new_socket),
    ];
    let fix = fix(&kernel, "pointers.patch", &edits);
    kernel.build(&fix, &["-n", "kmend_pointers"]).succeeds();
    assert!(holds(&kernel, "kmend_pointers", ".klp.sym.vmlinux.delayed_work_timer_fn,0"));
}

/// Functions of a text section that others come first in.
fn scheduler_functions() {
    let kernel = Kernel::new().with_shared_objects();
    let head = "void __sched schedule_preempt_disabled(void)\n{\n";
    let new = format!("{head}\tasm volatile(\"nop\");\n");
    let fix = fix(&kernel, "sched.patch", &[("kernel/sched/core.c", head, &new)]);
    let ran = kernel.build(&fix, &["-n", "kmend_sched"]);
    assert!(ran.succeeds().out.contains("changed  schedule_preempt_disabled  "), "{}", ran.out);
}

/// The payload has a function, and points to the running one of that name: with a debug message, whose static key is in its jump
/// table, and with a cold part, which objtool looks for by name.
fn pointers_to_replaced_functions() {
    let kernel = Kernel::new().with_shared_objects();
    let nop = "asm volatile(\"nop\");\n";
    let magic = "\tsb->s_magic             = AFFS_SUPER_MAGIC;\n";
    let get = "\treturn get_tree_bdev(fc, affs_fill_super);\n";
    let affs = "fs/affs/super.c";
    let edits = [(affs, magic, format!("\t{nop}{magic}")), (affs, get, format!("\t{nop}{get}"))];
    let edits = edits.each_ref().map(|(file, old, new)| (*file, *old, new.as_str()));
    let affs = fix(&kernel, "affs.patch", &edits);
    kernel.build(&affs, &["-n", "kmend_affs"]).succeeds();
    let ext4 = "fs/ext4/inode.c";
    let invalid = "\tsector_t invalid_block = ~((sector_t) 0xffff);\n\tint ret = 0;\n\n\tBUG_ON(create == 0);\n";
    let begin = "\tret = ext4_block_write_begin(NULL, folio, pos, len,\n\t\t\t\t     ext4_da_get_block_prep);\n";
    let warn = invalid.replace("\tBUG_ON", "\tif (WARN_ON(!bh))\n\t\treturn -EIO;\n\tBUG_ON");
    let write = format!("\t{nop}{begin}");
    let ext4 = fix(&kernel, "ext4.patch", &[(ext4, invalid, &warn), (ext4, begin, &write)]);
    kernel.build(&ext4, &["-n", "kmend_ext4"]).succeeds();
}

/// i915 and xe have this file in common, so the live patch has two global functions of one name, each with a cold part.
fn one_file_in_two_modules() {
    let kernel = Kernel::new().with_shared_objects();
    if kernel.target.arch != "x86_64" {
        return;
    }
    let begin = "void xelpdp_pica_irq_handler(struct intel_display *display, u32 iir)\n{\n";
    let nop = format!("{begin}\tasm volatile(\"nop\");\n");
    let fix = fix(&kernel, "hotplug.patch", &[("drivers/gpu/drm/i915/display/intel_hotplug_irq.c", begin, &nop)]);
    let ran = kernel.build(&fix, &["-n", "kmend_hotplug"]);
    let changed = ran.succeeds().out.matches("changed  xelpdp_pica_irq_handler.cold  ").count();
    assert_eq!(changed, 2, "{}", ran.out);
}

/// x86 has definitions of its own for arch_sched_node_distance() and arch_prctl_spec_ctrl_get().
fn weak_names() {
    let kernel = Kernel::new().with_shared_objects();
    if kernel.target.arch != "x86_64" {
        return;
    }
    let topology = "kernel/sched/topology.c";
    let distance = "static int numa_node_dist(int i, int j)\n{\n";
    let new_distance = format!("{distance}\tif (i == 12345)\n\t\treturn 1;\n");
    let modified = "static bool modified_sched_node_distance(void)\n{\n";
    let new_modified = format!("{modified}\tasm volatile(\"nop\");\n");
    let edits = [(topology, distance, new_distance.as_str()), (topology, modified, new_modified.as_str())];
    let both = fix(&kernel, "numa.patch", &edits);
    let ran = kernel.build(&both, &["-n", "kmend_numa"]);
    assert!(ran.succeeds().out.contains("changed  numa_node_dist  "), "{}", ran.out);
    assert!(holds(&kernel, "kmend_numa", ".klp.sym.vmlinux.arch_sched_node_distance,"), "the alias means x86's");

    // Of the one weak function x86 has a definition of its own, of the other not.
    let sys = "kernel/sys.c";
    let weak = "unsigned long __user *state)\n{\n\treturn -EINVAL;";
    let new_weak = weak.replace("\treturn", "\tif (arch_prctl_spec_ctrl_get(t, 77))\n\t\treturn -EPERM;\n\treturn");
    let runs = fix(&kernel, "weak.patch", &[(sys, weak, &new_weak)]);
    kernel.build(&runs, &["-n", "kmend_weak"]).succeeds();
    assert!(holds(&kernel, "kmend_weak", ".klp.sym.vmlinux.arch_prctl_spec_ctrl_get,"));
    let head = "int __weak arch_prctl_spec_ctrl_get(struct task_struct *t, unsigned long which)\n{\n";
    let new_head = format!("{head}\tif (which == 77)\n\t\treturn -EPERM;\n");
    let overridden = fix(&kernel, "overridden.patch", &[(sys, head, &new_head)]);
    let says = ["[overridden] arch_prctl_spec_ctrl_get (kernel/sys.c)", "arch/x86/kernel/cpu/bugs.c"];
    kernel.build::<&str>(&overridden, &[]).fails(2, &says);
    let mut prove = command(&kernel.cache());
    collect(prove.args(["prove", "-t", &kernel.target.name, sys])).succeeds();
}

/// mt76_usb depends on mt76, and that on mac80211.
fn exports_of_dependencies() {
    let kernel = Kernel::new().with_shared_objects();
    let usb = "drivers/net/wireless/mediatek/mt76/usb.c";
    let head = "void mt76u_stop_rx(struct mt76_dev *dev)\n{\n\tint i;\n\n";
    let new = format!("{head}\tieee80211_wake_queues(dev->hw);\n");
    let indirect = fix(&kernel, "mt76.patch", &[(usb, head, &new)]);
    kernel.build(&indirect, &["-n", "kmend_mt76"]).succeeds();
    assert!(holds(&kernel, "kmend_mt76", ".klp.sym.mac80211.ieee80211_wake_queues,"));
    let module = kernel.out().join("kmend_mt76.ko");
    let mut inspect = command(&kernel.cache());
    collect(inspect.args(["inspect", "-t", &kernel.target.name]).arg(module)).succeeds();
    let new = format!("bool vsock_find_cid(unsigned int cid);\n{head}\tif (vsock_find_cid(7))\n\t\treturn;\n");
    let other = fix(&kernel, "other.patch", &[(usb, head, &new)]);
    kernel.build::<&str>(&other, &[]).fails(2, &["[unknown-symbol] vsock_find_cid"]);
}

/// New functions and variables, and some that exist, are exported by a module and by vmlinux, and used by another module.
fn new_exports() {
    let kernel = Kernel::new().with_shared_objects();
    let credit = "net/vmw_vsock/virtio_transport_common.c";
    let behind = "EXPORT_SYMBOL_GPL(vsock_data_ready);\n";
    let added = format!(
        "{behind}\nint kmend_count;\nEXPORT_SYMBOL_GPL(kmend_count);\nbool kmend_new(unsigned int cid);\n\
         bool kmend_new(unsigned int cid)\n{{\n\tkmend_count++;\n\treturn vsock_find_cid(cid);\n}}\n\
         EXPORT_SYMBOL_GPL(kmend_new);\n"
    );
    let pending = "static void vsock_pending_work(struct work_struct *work)\n{";
    let public = "void vsock_pending_work(struct work_struct *work)";
    let exported = format!("{public};\nEXPORT_SYMBOL_GPL(vsock_pending_work);\n{public}\n{{");
    let sid = (
        "kernel/sys.c",
        "int ksys_setsid(void)",
        "int ksys_setsid(void);\nEXPORT_SYMBOL_GPL(ksys_setsid);\nint ksys_setsid(void)",
    );
    let user = format!(
        "bool kmend_new(unsigned int cid);\nextern int kmend_count;\nint ksys_setsid(void);\n{public};\n{CREDIT}\
         \tif (kmend_new(credit) && kmend_count)\n\t\tvsock_pending_work(NULL);\n\tif (credit == 78)\n\t\tksys_setsid();\n"
    );
    let edits = [sid, (VSOCK, behind, &*added), (VSOCK, pending, &*exported), (credit, CREDIT, &*user)];
    let fix_of_all = fix(&kernel, "exports.patch", &edits);
    let ran = kernel.build(&fix_of_all, &["-n", "kmend_exports"]);
    for name in ["kmend_count", "kmend_new", "vsock_pending_work", "ksys_setsid"] {
        assert!(ran.succeeds().out.contains(&format!("[export-left-out] {name}: ")), "{}", ran.out);
    }
    for symbol in ["vmlinux.ksys_setsid", "vsock.vsock_pending_work", "vsock.transport_g2h"] {
        assert!(holds(&kernel, "kmend_exports", &format!(".klp.sym.{symbol},")), "{symbol}");
    }
    // Nothing is replaced in it, but new code waits for it.
    let source = fs::read_to_string(kernel.out().join("kmend_exports.rs")).unwrap();
    assert!(source.contains("Object::module(c\"vsock\", "), "{source}");

    let again = format!(
        "bool vsock_find_cid(unsigned int cid)\n{{\n\treturn cid == 8;\n}}\nEXPORT_SYMBOL_GPL(vsock_find_cid);\n{CREDIT}\
         \tif (credit == 77)\n\t\treturn;\n"
    );
    let elsewhere = fix(&kernel, "elsewhere.patch", &[(credit, CREDIT, &again)]);
    kernel.build::<&str>(&elsewhere, &[]).fails(2, &["[export-added] vsock_find_cid"]);
}

fn types_of_variables() {
    let kernel = Kernel::new().with_shared_objects();
    let variable = "static const struct vsock_transport *transport_local;";
    let code = ("\tif (!transport_local)", "\tif (remote_cid == 12345 || !transport_local)");
    let call = (
        "vsock_registered_transport_cid(&transport_local)",
        "vsock_registered_transport_cid((void *)&transport_local)",
    );
    let global =
        [(VSOCK, variable, "static const void *transport_local;"), (VSOCK, code.0, code.1), (VSOCK, call.0, call.1)];
    let says = ["[data-type] transport_local (net/vmw_vsock/af_vsock.c)"];
    let changed = fix(&kernel, "global.patch", &global);
    kernel.build::<&str>(&changed, &[]).fails(2, &says);
    kernel.build(&changed, &["-n", "kmend_allowed", "--allow-layout", "transport_local"]).succeeds();
    let words = "typedef struct vsock_transport transport_t;\nstatic transport_t const *transport_local;";
    let same = fix(&kernel, "same.patch", &[(VSOCK, variable, words), (VSOCK, code.0, code.1)]);
    kernel.build(&same, &["-n", "kmend_same"]).succeeds();

    // Only the body of a function changes.
    let hpet = "drivers/char/hpet.c";
    let local = [
        (hpet, "\tstatic struct hpets *last;", "\tstatic void *last;"),
        (hpet, "\t\tlast->hp_next = hpetp;", "\t\t((struct hpets *)last)->hp_next = hpetp;"),
        (hpet, "\tlast = hpetp;\n", "\tasm volatile(\"nop\");\n\tlast = hpetp;\n"),
    ];
    let says = ["[data-type] last (drivers/char/hpet.c)", "hpet_alloc()"];
    kernel.build::<&str>(&fix(&kernel, "local.patch", &local), &[]).fails(2, &says);
}
