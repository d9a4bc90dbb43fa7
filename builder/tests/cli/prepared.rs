// SPDX-License-Identifier: GPL-2.0-or-later
//! Builds for a prepared kernel: refusals of fixes that fit it ill, and what a good build leaves.

use super::headers::HEADER;
use super::kernel::{Kernel, SMALL};
use super::tool::{collect, command, names, on_full_disk, put};
use super::Test;
use kmend_builder::elf::read::{read, Take};
use kmend_builder::special::{known::class_of, row_of};
use kmend_builder::target::kbuild;
use kmend_builder::target::kbuild::command::Saved;
use kmend_builder::target::modules;
use std::collections::BTreeSet;
use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

pub const TESTS: &[Test] = &[
    ("does_not_apply", does_not_apply),
    ("already_applied", already_applied),
    ("code_that_is_not_built", code_that_is_not_built),
    ("files_that_are_not_c", files_that_are_not_c),
    ("names_that_the_kernel_has", names_that_the_kernel_has),
    ("patches_in_other_forms", patches_in_other_forms),
    ("statics_made_public", statics_made_public),
    ("new_and_deleted_files", new_and_deleted_files),
    ("commands_that_were_not_run", commands_that_were_not_run),
    ("does_not_compile", does_not_compile),
    ("nothing_changed", nothing_changed),
    ("init_and_data", init_and_data),
    ("files_without_ftrace", files_without_ftrace),
    ("lines_are_whole_in_a_pipe", lines_are_whole_in_a_pipe),
    ("a_refusal_shows_the_changes", a_refusal_shows_the_changes),
    ("sections_are_known", sections_are_known),
    ("struct_changes", struct_changes),
    ("values_written_at_boot", values_written_at_boot),
    ("keys_of_modules", keys_of_modules),
    ("files_are_proven", files_are_proven),
    ("what_is_referred_to_is_proven", what_is_referred_to_is_proven),
    ("same_bytes", same_bytes),
    ("names_and_replace", names_and_replace),
    ("module_names", module_names),
    ("drifted_compilers", drifted_compilers),
    ("truncated_image", truncated_image),
    ("code_that_debug_flags_change", code_that_debug_flags_change),
    ("broken_cache", broken_cache),
    ("what_is_compiled_is_kept", what_is_compiled_is_kept),
    ("full_output_disk", full_output_disk),
    ("full_work_folder", full_work_folder),
    ("full_cache_disk", full_cache_disk),
    ("killed", killed),
];

fn does_not_apply() {
    let kernel = Kernel::new();
    let text = kernel.source(SMALL);
    let other = text.replace("seq_putc(m", "seq_putchar(m");
    let fix = kernel.patch("the-fix.patch", SMALL, &other, &other.replace("seq_putchar(m, '\\n')", "seq_other(m)"));
    let says = ["[patch-does-not-apply] the-fix.patch, line 1", "hunk 1 of 1 on fs/proc/cmdline.c", "line 3"];
    kernel.refuses(&fix, &says);
    kernel.refuses(&fix, &[&kernel.target.release]);
    let fix = kernel.patch("gone.patch", "fs/proc/no_such_file.c", "a\n", "b\n");
    kernel.refuses(&fix, &["[patch-does-not-apply] gone.patch, line 1", "no file a/fs/proc/no_such_file.c"]);
}

fn already_applied() {
    let kernel = Kernel::new();
    let text = kernel.source(SMALL);
    let fix = kernel.patch("the-fix.patch", SMALL, &text.replace("seq_putc(m", "seq_old(m"), &text);
    kernel.refuses(&fix, &["[patch-already-applied] the-fix.patch, line 1", "fs/proc/cmdline.c", "leave it out"]);
}

fn code_that_is_not_built() {
    let kernel = Kernel::new();
    let add = |path: &str| {
        let text = kernel.source(path);
        kernel.patch("the-fix.patch", path, &text, &(text.clone() + "int kmend_added;\n"))
    };
    // Another architecture's, and one that no kernel for production has.
    kernel.refuses(&add("arch/alpha/kernel/irq.c"), &["[not-built]", "another architecture"]);
    kernel.refuses(&add("kernel/kcsan/core.c"), &["[not-built] kernel/kcsan/core.c", "CONFIG_KCSAN"]);
    kernel.refuses(&add("tools/lib/string.c"), &["[not-built]", "user space"]);
    if kernel.target.arch == "x86_64" {
        kernel.refuses(&add("arch/x86/boot/main.c"), &["[not-kernel-code]", "before the kernel"]);
        kernel.refuses(&add("arch/x86/realmode/rm/wakemain.c"), &["[not-kernel-code]", "real-mode code"]);
    }
    kernel.refuses(&add("lib/vdso/gettimeofday.c"), &["[not-kernel-code]", "user space (vdso)"]);
    let fix = kernel.patch("the-fix.patch", "fs/proc/added.c", "", "int x;\n");
    kernel.refuses(&fix, &["[new-file] fs/proc/added.c"]);
}

fn files_that_are_not_c() {
    let kernel = Kernel::new();
    let add = |path: &str| {
        let text = kernel.source(path);
        kernel.patch("the-fix.patch", path, &text, &(text.clone() + "\n"))
    };
    let assembler = match kernel.target.arch.as_str() {
        "ppc64le" => "arch/powerpc/kernel/entry_64.S",
        _ => "arch/x86/entry/entry_64.S",
    };
    kernel.refuses(&add(assembler), &["[assembler-file]", assembler]);
    kernel.refuses(&add("fs/Kconfig"), &["[build-file-changed] fs/Kconfig"]);
    kernel.refuses(&add("fs/proc/Makefile"), &["[build-file-changed] fs/proc/Makefile"]);
    kernel.refuses(&add("rust/kernel/lib.rs"), &["[rust-file] rust/kernel/lib.rs"]);
}

/// The kernel would take one of the two.
fn names_that_the_kernel_has() {
    let kernel = Kernel::new().with_shared_objects();
    for name in ["vmlinux", "ext4", "nf_tables"] {
        let ran = kernel.build(&kernel.good_fix(), &["-n", name]);
        ran.fails(1, &[&format!("cannot be called {name}")]);
        assert!(!ran.err.contains("compiling") && names(&kernel.out()).is_empty(), "{}", ran.err);
    }
}

/// Packed, from standard input, in a folder with a quilt series.
fn patches_in_other_forms() {
    let kernel = Kernel::new().with_shared_objects();
    let text = fs::read(kernel.good_fix()).unwrap();
    let folder = kernel.dir.path().join("patches");
    let packed = put(&folder, "the-fix.patch.gz", gz(&text));
    put(&folder, "other.patch", "no patch");
    put(&folder, "series", "the-fix.patch.gz\n");
    let build = |fix: &Path| {
        let mut build = kernel.command(fix);
        build.arg("-o").arg(kernel.out());
        build
    };
    let piped = |mut build: Command| {
        build.stdin(fs::File::open(kernel.dir.path().join("good.patch")).unwrap());
        collect(&mut build)
    };
    for (ran, name) in [
        (collect(&mut build(&packed)), "kmend_the_fix"),
        (collect(&mut build(&folder)), "kmend_patches"),
        (piped(build(Path::new("-"))), "kmend_stdin"),
    ] {
        assert!(ran.succeeds().out.contains("changed  cmdline_proc_show"), "{}", ran.out);
        assert!(kernel.out().join(format!("{name}.ko")).is_file(), "{name}");
    }
    let half = put(&folder, "half.patch.gz", &gz(&text)[..40]);
    collect(&mut build(&half)).fails(1, &["half.patch.gz", "decompress"]);
}

fn gz(bytes: &[u8]) -> Vec<u8> {
    let mut packer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    packer.write_all(bytes).unwrap();
    packer.finish().unwrap()
}

/// A static of one unit, made public for another: it is where it was.
fn statics_made_public() {
    let kernel = Kernel::new().with_shared_objects();
    let (owner, small) = ("fs/proc/generic.c", kernel.source(SMALL));
    let text = kernel.source(owner);
    let public = text.replace("static DEFINE_RWLOCK(proc_subdir_lock);", "DEFINE_RWLOCK(proc_subdir_lock);");
    let owners = fs::read_to_string(kernel.patch("o.patch", owner, &text, &public)).unwrap();
    let user = small.replace(
        "\tseq_putc(m, '\\n');",
        "\tread_lock(&proc_subdir_lock);\n\tseq_putc(m, '\\n');\n\tread_unlock(&proc_subdir_lock);",
    );
    let user = user.replacen("static int", "extern rwlock_t proc_subdir_lock;\n\nstatic int", 1);
    let user = fs::read_to_string(kernel.patch("c.patch", SMALL, &small, &user)).unwrap();
    let fix = super::tool::put(kernel.dir.path(), "both.patch", format!("{owners}{user}"));
    let ran = kernel.build(&fix, &["-n", "both"]);
    assert!(ran.succeeds().out.contains("changed  cmdline_proc_show"), "{}", ran.out);
    let module = kernel.out().join("both.ko");
    let told = std::process::Command::new("readelf").args(["-sW"]).arg(&module).output().unwrap();
    let told = String::from_utf8_lossy(&told.stdout).into_owned();
    assert!(told.contains(".klp.sym.vmlinux.proc_subdir_lock,"), "{told}");
}

fn new_and_deleted_files() {
    let kernel = Kernel::new().with_shared_objects();
    let text = kernel.source(SMALL);
    let new = "fs/proc/kmend_new.h";
    let body = "static inline const char *kmend_end(void)\n{\n\treturn \" changed\\n\";\n}\n";
    let header = fs::read_to_string(kernel.patch("new.patch", new, "", body)).unwrap();
    let user = text.replace("seq_putc(m, '\\n');", "seq_puts(m, kmend_end());");
    let user = user.replacen("#include", "#include \"kmend_new.h\"\n#include", 1);
    let user = fs::read_to_string(kernel.patch("user.patch", SMALL, &text, &user)).unwrap();
    let fix = super::tool::put(kernel.dir.path(), "both.patch", format!("{header}{user}"));
    let ran = kernel.build(&fix, &["-n", "both"]);
    assert!(ran.succeeds().out.contains("changed  cmdline_proc_show"), "{}", ran.out);
    fs::remove_dir_all(kernel.out()).unwrap();
    assert!(!kernel.target.tree.join(new).exists());
    // A .c file of its own is built by no makefile.
    kernel.refuses(
        &kernel.patch("the-fix.patch", "fs/proc/kmend_new.c", "", "int x;\n"),
        &["[new-file] fs/proc/kmend_new.c"],
    );
    let gone = |path: &str| {
        let text = kernel.source(path);
        let lines: String = text.lines().map(|l| format!("-{l}\n")).collect();
        let diff = format!("--- a/{path}\n+++ /dev/null\n@@ -1,{} +0,0 @@\n{lines}", text.lines().count());
        super::tool::put(kernel.dir.path(), "the-fix.patch", diff)
    };
    kernel.refuses(&gone(SMALL), &["[deleted-file] fs/proc/cmdline.c", "part of the running kernel"]);
    // Those that include it are found, and do not compile.
    kernel.refuses(&gone(HEADER), &["[does-not-compile] fs/proc/", "fd.h"]);
    assert!(kernel.target.tree.join(HEADER).is_file());
}

fn commands_that_were_not_run() {
    let kernel = Kernel::new();
    if !kbuild::owns(&kernel.target) {
        return;
    }
    // The second one's folder is named by libs-y of the Makefile above, and gets no flags from that.
    let objects = ["fs/proc/cmdline.o", "arch/x86/lib/insn-eval.o", "lib/string_helpers.o"];
    kbuild::make_objects(&kernel.target, &objects).unwrap();
    assert!(kbuild::ask_commands(&kernel.target, &objects).unwrap().is_empty());
    for object in objects {
        // kbuild has compiled it: what it saved is what it says that it would.
        let told = fs::read_to_string(kbuild::told_file(&kernel.target, object).unwrap()).unwrap();
        let (dir, name) = object.rsplit_once('/').unwrap();
        let saved = fs::read_to_string(kernel.target.tree.join(dir).join(format!(".{name}.cmd"))).unwrap();
        assert_eq!(Saved::read(&told).unwrap(), Saved::read(&saved).unwrap());
    }
    let saved = fs::read_to_string(kernel.target.tree.join("arch/x86/lib/.insn-eval.o.cmd")).unwrap();
    assert!(saved.contains("\"arch/x86/lib/insn-eval\""), "{}", saved.lines().next().unwrap_or_default());
    // Many at once, which several makes tell of at the same time.
    let folders = ["fs/ext4", "fs/nfsd", "net/ipv4", "net/core", "drivers/pci", "drivers/acpi/acpica", "sound/core"];
    let about = kbuild::ask(&kernel.target, &folders.map(String::from).into()).unwrap();
    let many: Vec<&str> = about.all().filter(|o| folders.iter().any(|f| o.starts_with(f))).collect();
    assert!(many.len() > 200, "{many:?}");
    assert_eq!(kbuild::ask_commands(&kernel.target, &many).unwrap(), Vec::<&str>::new());
}

fn does_not_compile() {
    let kernel = Kernel::new().with_shared_objects();
    let fix = kernel.fix("the-fix.patch", SMALL, "seq_putc(m, '\\n');", "no_such_function_here(m, x);");
    // The compiler's words name the line of the source.
    let line = 1 + kernel.source(SMALL).lines().take_while(|l| !l.contains("seq_putc(m")).count();
    let place = format!("fs/proc/cmdline.c:{line}:");
    kernel.refuses(&fix, &["[does-not-compile] fs/proc/cmdline.c", &place, "error:", "no_such_function_here"]);
}

fn nothing_changed() {
    let kernel = Kernel::new().with_shared_objects();
    let fix = kernel.fix("the-fix.patch", SMALL, "\tseq_putc(m", "\t/* A remark.\n\t */\n\tseq_putc(m");
    kernel.build::<&str>(&fix, &[]).fails(3, &["nothing to patch", SMALL]);
    // One of two fixes does nothing: the other one's live patch says so.
    let other = "fs/proc/uptime.c";
    let text = kernel.source(other);
    let remark = kernel.patch("remark.patch", other, &text, &format!("{text}/* A remark. */\n"));
    let fix = kernel.fix("works.patch", SMALL, "seq_putc(m, '\\n');", "seq_puts(m, \" one\\n\");");
    let ran = kernel.build(&fix, &[remark.to_str().unwrap()]);
    let told = format!("{other} compiles to the same code with and without the fixes");
    assert!(ran.succeeds().err.contains(&told) || ran.out.contains(&told), "{}{}", ran.out, ran.err);
    fs::remove_dir_all(kernel.out()).unwrap();
    let new = "int kmend_new(int x);\nint kmend_new(int x)\n{\n\treturn x + 1;\n}\n\nstatic int cmdline_proc_show(";
    let fix = kernel.fix("new.patch", SMALL, "static int cmdline_proc_show(", new);
    kernel.build::<&str>(&fix, &[]).fails(3, &["the fix only adds code"]);
    assert!(names(&kernel.out()).is_empty());
}

fn init_and_data() {
    let kernel = Kernel::new().with_shared_objects();
    let fix = kernel.fix("the-fix.patch", SMALL, "\treturn 0;\n}\nfs_initcall", "\treturn 1;\n}\nfs_initcall");
    kernel.refuses(&fix, &["[init-function] proc_cmdline_init", SMALL]);
}

/// What cannot be redirected is refused before the other units of the fix are compiled; a file of that kind whose code stays the
/// same is no hindrance.
fn files_without_ftrace() {
    let kernel = Kernel::new().with_shared_objects();
    let (untraced, small) = ("lib/kstrtox.c", kernel.source(SMALL));
    let text = kernel.source(untraced);
    let small =
        kernel.patch("small.patch", SMALL, &small, &small.replace("seq_putc(m, '\\n')", "seq_puts(m, \"x\\n\")"));
    let with = |from: &str, to: &str| {
        assert!(text.contains(from), "{untraced} has no {from:?}");
        let other = kernel.patch("other.patch", untraced, &text, &text.replacen(from, to, 1));
        let both = fs::read_to_string(other).unwrap() + &fs::read_to_string(&small).unwrap();
        put(kernel.dir.path(), "both.patch", both)
    };
    let ran = kernel.build(&with("\treturn -EINVAL;", "\treturn -ERANGE;"), &["--json"]);
    let json: serde_json::Value = serde_json::from_str(&ran.fails(2, &[]).out).unwrap();
    let refusals = json["refusals"].as_array().unwrap();
    assert!(!refusals.is_empty() && refusals.iter().all(|r| r["code"] == "no-ftrace-site"), "{json}");
    assert!(refusals.iter().all(|r| r["section"].as_str().unwrap().starts_with(untraced)), "{json}");
    // The changes of a build that is refused later are all listed.
    assert_eq!(json["changes"].as_array().map_or(0, Vec::len), 0, "{json}");
    let ran = kernel.build(&with("\treturn -EINVAL;", "\treturn -EINVAL; /* no number */"), &["-n", "same_code"]);
    ran.succeeds();
    // A remark moves the WARN()s below it, whose lines are in a table.
    let warns = "lib/kobject_uevent.c";
    let text = kernel.source(warns);
    let (head, tail) = text.split_at(text.find("int add_uevent_var(").unwrap());
    let moved = format!("{head}{}", tail.replacen("\n{\n", "\n{\n\t/* A remark. */\n\n", 1));
    let other = fs::read_to_string(kernel.patch("warns.patch", warns, &text, &moved)).unwrap();
    let both = put(kernel.dir.path(), "both.patch", other + &fs::read_to_string(&small).unwrap());
    kernel.build(&both, &["-n", "same_lines"]).succeeds();
}

/// On a terminal long lines of source are cut.
fn lines_are_whole_in_a_pipe() {
    let kernel = Kernel::new().with_shared_objects();
    let end = format!("{} the_end */", "/* a long line of source ".to_string() + &"x".repeat(200));
    let fix = kernel.fix("long.patch", SMALL, "seq_putc(m, '\\n');", &format!("seq_puts(m, \"long\\n\"); {end}"));
    let ran = kernel.build(&fix, &["-n", "long"]);
    assert!(ran.succeeds().out.contains("the_end */") && !ran.out.contains('…'), "{}", ran.out);
}

/// A build that is refused shows what the fix would change all the same.
fn a_refusal_shows_the_changes() {
    let kernel = Kernel::new().with_shared_objects();
    let old = kernel.source(SMALL);
    let new = old.replace("\treturn 0;\n}\nfs_initcall", "\treturn 1;\n}\nfs_initcall");
    let fix =
        kernel.patch("the-fix.patch", SMALL, &old, &new.replace("seq_putc(m, '\\n')", "seq_puts(m, \"more\\n\")"));
    let page = kernel.dir.path().join("page.html");
    let ran = kernel.build(&fix, &["--json".as_ref(), "--report".as_ref(), page.as_os_str()]);
    let json: serde_json::Value = serde_json::from_str(&ran.fails(2, &["[init-function]"]).out).unwrap();
    let functions = json["changes"][0]["functions"].as_array().expect("functions");
    let show = functions.iter().find(|f| f["name"] == "cmdline_proc_show").expect("the function that is not to blame");
    assert_eq!(show["causes"][0]["kind"], "line", "{show}");
    let html = fs::read_to_string(&page).unwrap();
    for part in ["What it would change", "cmdline_proc_show", "as it runs now", "seq_puts"] {
        assert!(html.contains(part), "{part} is missing in the page");
    }
    assert!(!html.contains("stand in the shipped kernel"), "nothing was proven");
}

/// One in ten of the shipped modules: each name of a section is one that kmend knows.
fn sections_are_known() {
    let kernel = Kernel::new();
    let modules = modules::index(&kernel.target).unwrap();
    assert!(!modules.is_empty(), "{} has no modules", kernel.target.name);
    let (mut unknown, mut names) = (BTreeSet::new(), BTreeSet::new());
    for path in modules.values().step_by(10) {
        let object = read(&modules::bytes(path).unwrap(), Take::NoDebug).unwrap();
        for section in object.sections.into_iter().filter(|s| !s.name.is_empty()) {
            if class_of(&section.name).is_none() && row_of(&section.name).is_none() {
                unknown.insert(format!("{} in {}", section.name, path.display()));
            }
            names.insert(section.name);
        }
    }
    assert!(names.len() > 10, "{names:?}");
    assert!(unknown.is_empty(), "{unknown:?}");
}

/// A field more in a struct that the kernel has objects of.
fn struct_changes() {
    let kernel = Kernel::new().with_shared_objects();
    let fix =
        kernel.fix("struct.patch", "kernel/kthread.c", "struct kthread {\n", "struct kthread {\n\tlong kmend_added;\n");
    let says = [
        "[struct-layout] struct kthread (kernel/kthread.c)",
        "kmend_added is new at offset 0",
        "--allow-layout kthread",
    ];
    kernel.refuses(&fix, &says);
}

/// Code of x86_64 into which the kernel writes the address of a table at boot: what a live patch carries reads it.
fn values_written_at_boot() {
    let kernel = Kernel::new().with_shared_objects();
    if !kernel.target.tree.join("arch/x86/include/asm/runtime-const.h").is_file() {
        return;
    }
    let fix = kernel.fix(
        "dcache.patch",
        "fs/dcache.c",
        "struct dentry *__d_lookup(const struct dentry *parent, const struct qstr *name)\n{\n\tunsigned int hash = name->hash;",
        "struct dentry *__d_lookup(const struct dentry *parent, const struct qstr *name)\n{\n\tunsigned int hash = name->hash + !parent;",
    );
    kernel.build(&fix, &["-n", "kmend_dcache"]).succeeds();
    let module = fs::read(kernel.out().join("kmend_dcache.ko")).unwrap();
    let holds = |bytes: &[u8]| module.windows(bytes.len()).any(|w| w == bytes);
    assert!(!holds(&0x0123_4567_89ab_cdef_u64.to_le_bytes()), "the code waits for the kernel to write into it");
    assert!(holds(b".klp.sym.vmlinux.dentry_hashtable,"), "it does not read the table's variable");
}

/// A static key and a static call of kvm, which may come after the live patch: both are read where they are.
fn keys_of_modules() {
    let kernel = Kernel::new().with_shared_objects();
    if kernel.target.arch != "x86_64" {
        return;
    }
    let asks = "\tif (lapic_in_kernel(vcpu)) {\n\t\tkvm_pmu_call(deliver_pmi)(vcpu);";
    let new = asks.replace("(vcpu)) {", "(vcpu) && vcpu->vcpu_id != 77) {");
    let fix = kernel.fix("kvm.patch", "arch/x86/kvm/pmu.c", asks, &new);
    kernel.build(&fix, &["-n", "kmend_kvm"]).succeeds();
    let module = fs::read(kernel.out().join("kmend_kvm.ko")).unwrap();
    let holds = |text: &str| module.windows(text.len()).any(|w| w == text.as_bytes());
    for symbol in ["__SCK__kvm_x86_pmu_deliver_pmi", "kvm_has_noapic_vcpu"] {
        assert!(holds(&format!(".klp.sym.kvm.{symbol},")), "{symbol} is not read");
    }
    assert!(!holds("__SCT__kvm"), "it calls a trampoline");
}

fn files_are_proven() {
    let kernel = Kernel::new();
    let prove = |more: &[&str]| collect(command(&kernel.cache()).args(["prove", "-t", &kernel.target.name]).args(more));
    let json = prove(&["--json", SMALL, "./fs/open.c"]);
    let report: serde_json::Value = serde_json::from_str(&json.succeeds().out).unwrap();
    // Sorted.
    assert_eq!(report["units"][1]["source"], SMALL);
    assert_eq!(report["units"][1]["object"], "vmlinux");
    assert_eq!(report["proven"], report["functions"]);
    assert!(report["functions"].as_u64().unwrap() > 50, "{report}");
    prove(&["fs/proc/no_such_file.c", "init/Kconfig"]).fails(1, &["no_such_file.c", "init/Kconfig"]);
    // Another compiler's code, as far as this test is concerned.
    let mut other = kernel.target.clone();
    other.cc_flags.push("-O1".into());
    kernel.store(&other);
    let said = prove(&["fs/open.c"]);
    said.fails(2, &[&kernel.target.name]);
    assert!(said.out.contains("  vmlinux  ") && said.out.contains("+0x"), "{}", said.out);
}

fn code_that_debug_flags_change() {
    // gcc 16 makes another __udp4_lib_lookup() of it without debug information, where the config of Debian is.
    let kernel = Kernel::new().with_shared_objects();
    let old = "\t/* Lookup connected or non-wildcard socket */\n\tresult = udp4_lib_lookup2(";
    let new = format!("\tif (unlikely(!hnum))\n\t\treturn NULL;\n\n{old}");
    let fix = kernel.fix("the-fix.patch", "net/ipv4/udp.c", old, &new);
    let ran = kernel.build::<&str>(&fix, &[]);
    assert!(ran.succeeds().out.contains("changed  __udp4_lib_lookup  "), "{}", ran.out);
}

fn what_is_referred_to_is_proven() {
    let kernel = Kernel::new().with_shared_objects();
    let new = "seq_printf(m, \"%u\\n\", name_to_int(&(struct qstr)QSTR_INIT(\"7\", 1)));";
    let fix = kernel.fix("refers.patch", SMALL, "seq_putc(m, '\\n');", new);
    let ran = kernel.build(&fix, &["-n", "refers"]);
    assert!(ran.succeeds().err.contains("fs/proc/util.c"), "{}", ran.err);
    let manifest = |name: &str| -> serde_json::Value {
        serde_json::from_slice(&fs::read(kernel.out().join(format!("{name}.json"))).unwrap()).unwrap()
    };
    let shown = |manifest: &serde_json::Value, name: &str| {
        let all = manifest["livepatch_symbols"].as_array().unwrap();
        let symbol = all.iter().find(|s| s["name"] == name).unwrap_or_else(|| panic!("{name}: {manifest}"));
        symbol["shown_by"].clone()
    };
    let made = manifest("refers");
    assert_eq!((shown(&made, "name_to_int"), shown(&made, "saved_command_line")), ("bytes".into(), "reference".into()));
    assert_eq!(made["allowed_unproven"], serde_json::Value::Null);
    let unused = ["-n", "refers", "--allow-unproven", "name_to_int"];
    kernel.build(&fix, &unused).fails(1, &["--allow-unproven name_to_int"]);

    // Another compiler's code, as far as this test is concerned.
    let mut other = kernel.target.clone();
    other.cc_flags.push("-fno-omit-frame-pointer".into());
    kernel.store(&other);
    let refused =
        |more: &[&str], says: &[&str]| _ = kernel.build(&fix, &[&["-n", "other"], more].concat()).fails(2, says);
    let own = ["--allow-unproven", "cmdline_proc_show"];
    let words = ["[unproven] cmdline_proc_show (fs/proc/cmdline.c)", "most likely", "as rebuilt:\n", "as shipped:\n"];
    refused(&[], &words);
    refused(&own, &["[unproven] name_to_int (fs/proc/cmdline.c)", "fs/proc/util.c"]);
    let ran = kernel.build(&fix, &[&["-n", "other"], &own[..], &["--allow-unproven", "name_to_int"]].concat());
    let said = "NOT PROVEN, accepted by --allow-unproven: the live patch ";
    for what in ["replaces cmdline_proc_show of vmlinux", "uses name_to_int of vmlinux"] {
        assert!(ran.succeeds().out.contains(&format!("{said}{what}")), "{}", ran.out);
    }
    let made = manifest("other");
    assert_eq!(made["allowed_unproven"].as_array().unwrap().len(), 2);
    assert_eq!(shown(&made, "name_to_int"), "allowed");
    let ko = kernel.out().join("other.ko");
    let seen = collect(command(&kernel.cache()).arg("inspect").arg(&ko));
    assert!(seen.succeeds().out.contains("NOT PROVEN") && seen.out.contains("uses name_to_int"), "{}", seen.out);
}

fn same_bytes() {
    let kernel = Kernel::new();
    let fix = kernel.good_fix();
    kernel.build(&fix, &["-n", "same"]).succeeds();
    let read = |dir: &std::path::Path| {
        assert_eq!(names(dir), ["same.json", "same.ko", "same.rs"]);
        ["json", "ko", "rs"].map(|end| fs::read(dir.join(format!("same.{end}"))).unwrap())
    };
    let first = read(&kernel.out());
    // Another cache without objects, another folder for the work, another place to run in, another time.
    let other = Kernel::new();
    let (work, out) = (other.dir.path().join("work/deeper"), other.dir.path().join("a/b"));
    fs::create_dir_all(&work).unwrap();
    let mut again = other.command(&fix);
    again.args(["-n", "same"]).arg("-o").arg(&out).env("TMPDIR", &work).current_dir("/").env("LANG", "de_DE.UTF-8");
    collect(&mut again).succeeds();
    assert!(read(&out) == first, "a second build gives other bytes");
    assert!(names(&work).is_empty(), "the work folder is left behind: {:?}", names(&work));
    // Objects from the cache, and over what is there already.
    kernel.build(&fix, &["-n", "same"]).succeeds();
    assert!(read(&kernel.out()) == first, "a build from the cache gives other bytes");
}

fn names_and_replace() {
    let kernel = Kernel::new().with_shared_objects();
    let good = fs::read(kernel.good_fix()).unwrap();
    let fix = super::tool::put(kernel.dir.path(), "0001-proc: a fix.v2.patch", good);
    let ran = kernel.build(&fix, &["--no-replace"]);
    let name = "kmend_0001_proc__a_fix_v2";
    assert!(ran.succeeds().out.contains(&format!("{name}.ko")), "{}", ran.out);
    assert_eq!(names(&kernel.out()), ["json", "ko", "rs"].map(|end| format!("{name}.{end}")));
    let text = fs::read_to_string(kernel.out().join(format!("{name}.json"))).unwrap();
    let manifest: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(manifest["replace"], false);
    assert_eq!(manifest["name"], name);
    assert_eq!(manifest["target"]["release"], kernel.target.release);
    assert_eq!(manifest["target"]["arch"], kernel.target.arch);
    let machine = std::process::Command::new("uname").arg("-m").output().unwrap().stdout;
    assert_eq!(manifest["tools"]["machine"], String::from_utf8_lossy(&machine).trim());
    let source = fs::read_to_string(kernel.out().join(format!("{name}.rs"))).unwrap();
    assert!(source.contains(".replace(false)") && source.contains("cmdline_proc_show"), "{source}");
}

fn module_names() {
    let kernel = Kernel::new();
    let fix = kernel.good_fix();
    for name in ["a-b", "1st", "", "../up", &"x".repeat(56)] {
        kernel.build(&fix, &["-n", name]).fails(1, &["module"]);
    }
    assert!(names(&kernel.out()).is_empty());
}

fn drifted_compilers() {
    let kernel = Kernel::new();
    let fix = kernel.good_fix();
    let again = format!("kmend-build target add {}", kernel.target.name);
    let mut drifted = kernel.target.clone();
    drifted.cc = drifted.cc.replace("gcc", "gcc-older");
    kernel.store(&drifted);
    let says = ["the C compiler drifted", &drifted.cc, &kernel.target.cc, "can no longer be used"];
    kernel.build::<&str>(&fix, &[]).fails(1, &says).fails(1, &[&again]);
    drifted = kernel.target.clone();
    drifted.rustc = Some("rustc 1.0.0".into());
    kernel.store(&drifted);
    kernel.build::<&str>(&fix, &[]).fails(1, &["the Rust compiler drifted", "rustc 1.0.0"]);
    drifted = kernel.target.clone();
    drifted.root = "/no/such/root".into();
    kernel.store(&drifted);
    kernel.build::<&str>(&fix, &[]).fails(1, &["/no/such/root", &again]);
    assert!(names(&kernel.out()).is_empty());
}

fn truncated_image() {
    let kernel = Kernel::new().with_shared_objects();
    let fix = kernel.good_fix();
    let whole = fs::read(&kernel.target.vmlinux).unwrap();
    let mut broken = kernel.target.clone();
    broken.vmlinux = kernel.dir.path().join("vmlinux");
    kernel.store(&broken);
    for len in [0, 63, 4096, whole.len() / 2, whole.len() / 4 * 3] {
        fs::write(&broken.vmlinux, &whole[..len]).unwrap();
        kernel.build::<&str>(&fix, &[]).fails(1, &["/vmlinux"]);
    }
    assert!(names(&kernel.out()).is_empty());
}

fn broken_cache() {
    let kernel = Kernel::new();
    let fix = kernel.good_fix();
    let ran = kernel.build(&fix, &["-n", "one"]);
    assert!(ran.succeeds().err.contains("originals of 0 from the cache"), "{}", ran.err);
    let first = fs::read(kernel.out().join("one.ko")).unwrap();
    let objects = kernel.cache().join("objects");
    let entries = names(&objects).into_iter().flat_map(|folder| {
        let folder = objects.join(folder);
        names(&folder).into_iter().map(move |name| folder.join(name))
    });
    // As shipped, original and patched; where code has to move, the latter two once more.
    let entries: Vec<_> = entries.map(|entry| (fs::read(&entry).unwrap(), entry)).collect();
    assert!(entries.len() == 3 || entries.len() == 5, "{}", entries.len());
    for kind in ["empty", "half", "flipped"] {
        for (whole, entry) in &entries {
            let mut bad = whole.clone();
            match kind {
                "empty" => bad.clear(),
                "half" => bad.truncate(whole.len() / 2),
                _ => bad[whole.len() - 100] ^= 0x40,
            }
            fs::write(entry, bad).unwrap();
        }
        let ran = kernel.build(&fix, &["-n", "one"]);
        assert!(ran.succeeds().err.contains("originals of 0 from the cache"), "{}", ran.err);
        assert!(fs::read(kernel.out().join("one.ko")).unwrap() == first);
        assert!(entries.iter().all(|(whole, entry)| fs::read(entry).unwrap() == *whole), "an entry was not made again");
    }
    let ran = kernel.build(&fix, &["-n", "one"]);
    assert!(ran.succeeds().err.contains("originals of 1 and patched files of 1 from the cache"), "{}", ran.err);
    assert!(fs::read(kernel.out().join("one.ko")).unwrap() == first);
    // Without room for any.
    fs::remove_dir_all(&objects).unwrap();
    let mut nothing = kernel.command(&fix);
    collect(nothing.args(["-n", "one", "-o"]).arg(kernel.out()).env("KMEND_CACHE_OBJECTS", "0")).succeeds();
    assert!(fs::read(kernel.out().join("one.ko")).unwrap() == first);
    assert!(names(&objects).iter().all(|folder| names(&objects.join(folder)).is_empty()));
}

fn full_output_disk() {
    let kernel = Kernel::new().with_shared_objects();
    let fix = kernel.good_fix();
    let mount = kernel.dir.path().join("small");
    fs::create_dir(&mount).unwrap();
    let mut build = kernel.command(&fix);
    build.args(["-n", "one", "-o"]).arg(&mount);
    // Room for NAME.rs and NAME.json, not for NAME.ko.
    let (ran, left) = on_full_disk(&build, &mount, 8, 3);
    ran.fails(1, &["one.ko", "is the disk full?", "No space left on device"]);
    assert!(left.is_empty(), "{left:?}");
}

fn full_work_folder() {
    let cold = Kernel::new();
    let warm = Kernel::new().with_shared_objects();
    // From room for the fix alone to room for nearly all: kmend itself, the compiler and the linker run out of it.
    for (kernel, pages) in [(&cold, 1), (&cold, 6), (&cold, 16), (&cold, 40), (&warm, 6), (&warm, 10), (&warm, 25)] {
        let fix = kernel.good_fix();
        let mount = kernel.dir.path().join("small");
        fs::create_dir_all(&mount).unwrap();
        let mut build = kernel.command(&fix);
        build.args(["-n", "one", "-o"]).arg(kernel.out()).env("TMPDIR", &mount);
        let (ran, left) = on_full_disk(&build, &mount, pages, pages);
        ran.fails(1, &["No space left on device"]);
        // Neither the fix nor the target is to blame.
        assert!(!ran.err.contains("does not compile"), "{}", ran.err);
        assert!(left.is_empty(), "{left:?}");
        assert!(names(&kernel.out()).is_empty());
    }
}

fn full_cache_disk() {
    let kernel = Kernel::new();
    let fix = kernel.good_fix();
    let objects = kernel.cache().join("objects");
    fs::create_dir(&objects).unwrap();
    let mut build = kernel.command(&fix);
    build.args(["-n", "one", "-o"]).arg(kernel.out());
    let (ran, left) = on_full_disk(&build, &objects, 8, 0);
    // It only saves time.
    let ran = ran.succeeds();
    assert_eq!(ran.err.matches("  note: ").count(), 1, "{}", ran.err);
    assert!(ran.err.contains("No space left on device"), "{}", ran.err);
    assert!(left.is_empty(), "{left:?}");
    assert_eq!(names(&kernel.out()), ["one.json", "one.ko", "one.rs"]);
}

fn killed() {
    let kernel = Kernel::new().with_shared_objects();
    let fix = kernel.good_fix();
    for tenths in [2, 5, 10, 16, 24, 32, 40] {
        let mut build = kernel.command(&fix);
        build.args(["-n", "one", "-o"]).arg(kernel.out()).env("TMPDIR", kernel.dir.path());
        let mut child = build.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        std::thread::sleep(Duration::from_millis(tenths * 100));
        let ended = child.try_wait().unwrap();
        child.kill().unwrap();
        child.wait().unwrap();
        match ended {
            Some(_) => assert_eq!(names(&kernel.out()), ["one.json", "one.ko", "one.rs"]),
            None => assert!(names(&kernel.out()).iter().all(|n| n.starts_with("one.")), "{:?}", names(&kernel.out())),
        }
        let _ = fs::remove_dir_all(kernel.out());
    }
    kernel.build(&fix, &["-n", "one"]).succeeds();
}

/// A build that is refused keeps the originals that it compiled before.
fn what_is_compiled_is_kept() {
    let kernel = Kernel::new();
    let good = kernel.good_fix();
    let path = "fs/proc/version.c";
    let before = kernel.source(path);
    let bad = kernel.patch("bad.patch", path, &before, &format!("{before}\nint no_c of_any_kind;\n"));
    let both = fs::read_to_string(&good).unwrap() + &fs::read_to_string(bad).unwrap();
    let both = put(kernel.dir.path(), "both.patch", both);
    kernel.build::<&str>(&both, &[]).fails(2, &["no_c"]);
    let ran = kernel.build(&good, &["-n", "one"]);
    assert!(ran.succeeds().err.contains("originals of 1 and patched files of 1 from the cache"), "{}", ran.err);
}
