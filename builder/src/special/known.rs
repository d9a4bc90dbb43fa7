// SPDX-License-Identifier: GPL-2.0-or-later
//! What a section is, by its name: every name that objects and modules of Linux 5.10 to 7.3 have on x86_64, and 6.12 and 7.3 on
//! ppc64le, falls in a class here or has a row in the special section table. A name with neither is unknown, and what depends
//! on it is refused.
//!
//! Sources: include/asm-generic/vmlinux.lds.h, arch/{x86,powerpc}/kernel/vmlinux.lds.S, scripts/module.lds.S, and the
//! names in the modules of Debian's kernels.

/// What a section holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// Functions.
    Code,
    /// Code and data that are gone once the kernel or module has started, or wait for its end.
    Start,
    /// Variables and constants.
    Data,
    /// Records that the kernel collects from its own image, or from a module when that is loaded; what one of
    /// them is, with its article.
    Table(&'static str),
    /// Places in the code that the kernel changes while it starts, in its own image alone; what is written there.
    AtBoot(&'static str),
    /// About the file or the module as a whole, for the linker, the loader or debuggers.
    File,
}

use Class::{AtBoot, Code, Data, File, Start, Table};

/// Names and their classes; the first that fits counts. A `*` stands for any letters, once in a name.
const CLASSES: &[(&str, Class)] = &[
    (".text", Code),
    (".text.*", Code),
    (".ref.text*", Code),
    (".sched.text", Code),
    (".spinlock.text", Code),
    (".cpuidle.text", Code),
    (".irqentry.text", Code),
    (".softirqentry.text", Code),
    (".kprobes.text", Code),
    (".noinstr.text", Code),
    (".entry.text*", Code),
    (".static_call.text", Code),
    (".tramp.ftrace.*", Code),
    // Before .init*: lists that are walked once.
    (".initcall*", Table("an initcall")),
    (".con_initcall.init", Table("an initcall of a console")),
    (".init_array*", Table("a constructor")),
    (".ctors*", Table("a constructor")),
    (".exitcall.exit", Table("a call at the end")),
    (".lsm_info.init", Table("a security module")),
    (".early_lsm_info.init", Table("a security module")),
    (".x86_cpu_dev.init", Table("a maker of processors")),
    (".x86_intel_mid_dev.init", Table("a device of the platform")),
    (".init.*", Start),
    (".exit.*", Start),
    (".head.*", Start),
    (".meminit.*", Start),
    (".memexit.*", Start),
    (".dtb.init.rodata", Start),
    (".data", Data),
    (".data.*", Data),
    (".ref.data*", Data),
    (".ref.rodata*", Data),
    (".rodata", Data),
    (".rodata.*", Data),
    (".rodata1", Data),
    (".bss", Data),
    (".bss.*", Data),
    (".sbss*", Data),
    (".sdata*", Data),
    (".vvar_*", Data),
    ("__*_sched_class", Data),
    ("__dyndbg", Data),
    ("__verbose", Data),
    ("__dyndbg_classes", Table("a class map of dynamic debug")),
    ("__param", Table("a module parameter")),
    ("__modver", Table("a module's version")),
    ("__tracepoints*", Table("a tracepoint")),
    ("__tracepoint_check", Table("a tracepoint")),
    ("__tracepoint_str", Table("a string for tracing")),
    ("__trace_printk_fmt", Table("a format for tracing")),
    ("_ftrace_events", Table("a trace event")),
    ("_ftrace_eval_map", Table("a name of a value in trace events")),
    ("_ftrace_annotated_branch", Table("a counter of branches")),
    ("_ftrace_branch", Table("a counter of branches")),
    ("__bpf_raw_tp_map", Table("a tracepoint for BPF")),
    ("__syscalls_metadata", Table("a system call for tracing")),
    (".BTF_ids", Table("a BTF id")),
    ("_kprobe_blacklist", Table("a function closed to kprobes")),
    ("_error_injection_whitelist", Table("a function open to error injection")),
    ("___srcu_struct_ptrs", Table("an SRCU domain of a module")),
    (".kunit_test_suites", Table("a test suite")),
    (".kunit_init_test_suites", Table("a test suite")),
    (".pci_fixup_*", Table("a quirk of PCI devices")),
    (".builtin_fw", Table("built-in firmware")),
    (".machine.desc", Table("a kind of machine")),
    (".apicdrivers", Table("a driver of interrupt controllers")),
    (".tracedata", Table("a place in suspend traces")),
    ("__earlycon_table", Table("an early console")),
    ("__*_of_table", Table("a driver by device tree")),
    ("__*_of_table_end", Table("a driver by device tree")),
    ("__*_acpi_probe_table", Table("a driver by ACPI")),
    ("__*thermal_*", Table("a thermal governor")),
    ("runtime_*", AtBoot("a value that is known when the kernel has started")),
    ("__rfi_flush_fixup", AtBoot("a flush of the data cache")),
    ("__entry_flush_fixup", AtBoot("a flush of the data cache")),
    ("__scv_entry_flush_fixup", AtBoot("a flush of the data cache")),
    ("__uaccess_flush_fixup", AtBoot("a flush of the data cache")),
    ("__stf_entry_barrier_fixup", AtBoot("a barrier")),
    ("__stf_exit_barrier_fixup", AtBoot("a barrier")),
    ("__btb_flush_fixup", AtBoot("a flush of branch predictions")),
    ("__restart_table", AtBoot("ways back from interrupts")),
    ("__soft_mask_table", AtBoot("ways back from interrupts")),
    ("__ksymtab*", File),
    ("___ksymtab*", File),
    ("__kcrctab*", File),
    ("___kcrctab*", File),
    ("__kflagstab*", File),
    ("___kflagstab*", File),
    (".export_symbol", File),
    (".no_trim_symbol", File),
    ("__versions", File),
    ("__version_ext_*", File),
    (".modinfo", File),
    (".gnu.*", File),
    (".gnu_debuglink", File),
    (".comment", File),
    (".note*", File),
    (".BTF", File),
    (".BTF.*", File),
    (".symtab*", File),
    (".strtab", File),
    (".shstrtab", File),
    (".debug*", File),
    (".rel*", File),
    (".eh_frame", File),
    (".group", File),
    (".llvm*", File),
    (".plt*", File),
    (".got*", File),
    (".toc*", File),
    (".stubs", File),
    (".sfpr", File),
    (".kpatch.*", File),
    (".klp.*", File),
];

/// The class of the section `name`; None for one that kmend does not know, or that has a row in the special
/// section table.
pub fn class_of(name: &str) -> Option<Class> {
    CLASSES.iter().find(|(pattern, _)| fits(pattern, name)).map(|&(_, class)| class)
}

fn fits(pattern: &str, name: &str) -> bool {
    match pattern.split_once('*') {
        Some((start, end)) => name.len() >= start.len() + end.len() && name.starts_with(start) && name.ends_with(end),
        None => name == pattern,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::special::row_of;

    /// All names, less those of single functions and data, in every module of Debian's 5.10, 6.1, 6.12 and 7.2 for x86_64
    /// and every object of two builds for ppc64le, 6.12 and 7.3.
    const SEEN: &str = ".BTF .BTF_ids .altinstr_aux .altinstr_replacement .altinstructions .bss .bss..page_aligned \
        .bss.prominit .call_sites .comment .con_initcall.init .cpuidle.text .data .data..cacheline_aligned \
        .data..do_once .data..once .data..page_aligned .data..percpu .data..percpu..shared_aligned .data..read_mostly \
        .data..ro_after_init .data.once .data.rel .data.rel.local .data.rel.ro .data.rel.ro.local \
        .discard.addressable .eh_frame .exit.data .exit.text .export_symbol .fixup .gnu.linkonce.this_module .gnu_debuglink \
        .head.data.fwnmi_page .head.text.first_256B .head.text.real_trampolines .head.text.real_vectors \
        .ibt_endbr_seal .init.data .init.ramfs .init.ramfs.info .init.rodata .init.setup .init.text .initcall0.init \
        .initcall3s.init .initcallearly.init .initcallrootfs.init .lsm_info.init .machine.desc .modinfo \
        .noinstr.text .note.GNU-stack .note.Linux .note.PowerPC .note.gnu.build-id .note.gnu.property .orc_header \
        .orc_unwind .orc_unwind_ip .parainstructions .pci_fixup_early .pci_fixup_resume_early .ref.data .ref.text \
        .retpoline_sites .return_sites .rodata .rodata.cst16.CTRINC .rodata.str1.8 .sched.text .sfpr .shstrtab \
        .smp_locks .softirqentry.text .spinlock.text .static_call.text .static_call_sites .strtab .stubs .symtab .text \
        .toc .tramp.ftrace.init .tramp.ftrace.text ___srcu_struct_ptrs __barrier_nospec_fixup __bpf_raw_tp_map \
        __bug_table __dl_sched_class __dyndbg __dyndbg_classes __entry_flush_fixup __ex_table __fair_sched_class \
        __ftr_alt_848 __ftr_fixup __idle_sched_class __irqchip_of_table_end __jump_table __kcrctab __kcrctab_gpl \
        __kflagstab __ksymtab __ksymtab_gpl __ksymtab_strings __lwsync_fixup __mcount_loc __mmu_ftr_fixup __modver \
        __param __patchable_function_entries __reservedmem_of_table __restart_table __rfi_flush_fixup \
        __rt_sched_class __scv_entry_flush_fixup __soft_mask_table __stf_entry_barrier_fixup \
        __stf_exit_barrier_fixup __stop_sched_class __syscalls_metadata __tracepoint_check __tracepoint_str \
        __tracepoints __tracepoints_ptrs __tracepoints_strings __uaccess_flush_fixup __versions _ftrace_eval_map \
        _ftrace_events _kprobe_blacklist ___kflagstab+CMO_PageSize";

    #[test]
    fn names_seen_in_kernels_are_known() {
        let unknown: Vec<&str> =
            SEEN.split_whitespace().filter(|n| class_of(n).is_none() && row_of(n).is_none()).collect();
        assert!(unknown.is_empty(), "{unknown:?}");
    }

    #[test]
    fn no_name_has_a_class_and_a_row() {
        let both: Vec<&str> =
            SEEN.split_whitespace().filter(|n| class_of(n).is_some() && row_of(n).is_some()).collect();
        assert!(both.is_empty(), "{both:?}");
    }

    #[test]
    fn patterns() {
        assert_eq!(class_of(".initcall6.init"), Some(Table("an initcall")));
        assert_eq!(class_of(".init.text"), Some(Start));
        assert_eq!(class_of("__timer_of_table"), Some(Table("a driver by device tree")));
        assert_eq!(class_of("__of_table"), None);
        assert_eq!(class_of("runtime_ptr_dentry_hashtable"), class_of("runtime_shift_d_hash_shift"));
        for unknown in ["alloc_tags", ".datax", "", "__other"] {
            assert_eq!(class_of(unknown), None, "{unknown}");
        }
    }
}
