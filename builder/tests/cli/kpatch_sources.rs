// SPDX-License-Identifier: GPL-2.0-or-later
//! Fixes that were written for kpatch, with its macros: what is carried, what is left out and said, what is refused.

use super::kernel::{stored, SMALL};
use super::tool::{collect, command, folder, put, Ran};
use super::Test;
use kmend_builder::files;
use serde_json::Value;
use similar::TextDiff;
use std::path::{Path, PathBuf};

pub const TESTS: &[Test] = &[
    ("kpatch_callbacks", || callbacks("KMEND_TEST_TARGET")),
    ("kpatch_callbacks_only", callbacks_only),
    ("kpatch_system_call", || system_call("KMEND_TEST_TARGET")),
    ("kpatch_shadow_variable", shadow_variable),
    ("kpatch_macros_that_are_refused", refused),
    ("kpatch_changes_left_out", left_out),
];

pub const TESTS_WITHOUT_RUST: &[Test] = &[
    ("kpatch_callbacks", || callbacks("KMEND_TEST_TARGET_WITHOUT_RUST")),
    ("kpatch_system_call", || system_call("KMEND_TEST_TARGET_WITHOUT_RUST")),
];

const MODULE: &str = "drivers/net/dummy.c";
const SHOW: &str = "static int cmdline_proc_show(";
const CHANGE: (&str, &str) = ("\tseq_putc(m, '\\n');\n", "\tseq_puts(m, \" kmend\\n\");\n");

const CALLBACKS: &str = "static int kmend_pre(patch_object *obj)
{
	KPATCH_PRINTK(\"kmend: %s\\n\", obj->name ? obj->name : \"vmlinux\");
	return 0;
}
KPATCH_PRE_PATCH_CALLBACK(kmend_pre);
static void kmend_other(patch_object *obj)
{
	KPATCH_PRINTK(\"kmend\\n\");
}
KPATCH_POST_PATCH_CALLBACK(kmend_other)
KPATCH_PRE_UNPATCH_CALLBACK(kmend_other);
KPATCH_POST_UNPATCH_CALLBACK(kmend_other);

";

/// A patch file with these changes of a file of the target `variable` names.
fn fix(variable: &str, dir: &Path, name: &str, unit: &str, edits: &[(&str, &str)]) -> PathBuf {
    let text = files::read_text(&stored(variable).tree.join(unit)).unwrap();
    let fixed = edits.iter().fold(text.clone(), |text, (from, to)| {
        assert!(text.contains(from), "{unit} has another text: the test needs another place than {from:?}");
        text.replacen(from, to, 1)
    });
    let diff = TextDiff::from_lines(&text, &fixed);
    put(dir, name, diff.unified_diff().header(&format!("a/{unit}"), &format!("b/{unit}")).to_string())
}

/// Builds for that target with `--json`.
fn build(variable: &str, dir: &Path, fixes: &[PathBuf]) -> (Ran, Value) {
    let mut run = command(&files::cache_dir().unwrap());
    run.args(["build", "--json", "-t", &stored(variable).name, "-n", "kmend_of_kpatch", "-o"]).arg(dir).args(fixes);
    let ran = collect(&mut run);
    let json = serde_json::from_str(&ran.out).unwrap_or_else(|e| panic!("{e}: {ran:?}"));
    (ran, json)
}

/// The fields `names` of each of a list of the manifest.
fn fields(json: &Value, list: &str, names: &[&str]) -> Vec<Vec<String>> {
    let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), String::from);
    let all = json["manifest"][list].as_array().unwrap_or_else(|| panic!("no {list} in {json}"));
    all.iter().map(|one| names.iter().map(|name| text(&one[name])).collect()).collect()
}

fn with_macros(before: &str, code: &str) -> (String, String) {
    (before.into(), format!("#include \"kpatch-macros.h\"\n\n{code}{before}"))
}

fn callbacks(variable: &str) {
    let dir = folder();
    for (unit, place, object) in [(SMALL, SHOW, "vmlinux"), (MODULE, "static netdev_tx_t dummy_xmit(", "dummy")] {
        let (from, to) = with_macros(place, CALLBACKS);
        let change = match unit {
            SMALL => CHANGE,
            _ => ("\tdev->flags &= ~IFF_MULTICAST;\n", "\tdev->flags &= ~(IFF_MULTICAST | IFF_DEBUG);\n"),
        };
        let fix = fix(variable, dir.path(), "callbacks.patch", unit, &[(&from, &to), change]);
        let (ran, json) = build(variable, dir.path(), &[fix]);
        ran.succeeds();
        let expected = [
            ["pre_patch", object, "kmend_pre"],
            ["post_patch", object, "kmend_other"],
            ["pre_unpatch", object, "kmend_other"],
            ["post_unpatch", object, "kmend_other"],
        ];
        assert_eq!(fields(&json, "callbacks", &["kind", "object", "function"]), expected);
    }
}

/// kpatch-build makes a live patch of callbacks alone, too.
fn callbacks_only() {
    let dir = folder();
    let (from, to) = with_macros(SHOW, CALLBACKS);
    let fix = fix("KMEND_TEST_TARGET", dir.path(), "only.patch", SMALL, &[(&from, &to)]);
    let (ran, json) = build("KMEND_TEST_TARGET", dir.path(), &[fix]);
    ran.succeeds();
    assert_eq!(fields(&json, "callbacks", &["kind"]).len(), 4);
    assert_eq!(fields(&json, "fixes", &["effect"]), [["live"]]);
}

/// One whose body the kernel has in a function without an ftrace entry, and one whose body is inlined there.
fn system_call(variable: &str) {
    let dir = folder();
    let include = ("#include <linux/syscalls.h>\n", "#include <linux/syscalls.h>\n#include \"kpatch-syscall.h\"\n");
    for (unit, call, from, to, symbol) in [
        (
            "fs/sync.c",
            "SYSCALL_DEFINE1(syncfs, int, fd)\n{\n",
            "SYSCALL_DEFINE1(syncfs",
            "KPATCH_SYSCALL_DEFINE1(syncfs",
            "_sys_syncfs",
        ),
        (
            "kernel/sys.c",
            "SYSCALL_DEFINE2(getpriority, int, which, int, who)\n{\n",
            "SYSCALL_DEFINE2(getpriority",
            "KPATCH_SYSCALL_DEFINE2(getpriority",
            "_sys_getpriority",
        ),
    ] {
        let body = call.replacen(from, to, 1)
            + "\tif (current->pid == 12345)\n\t\treturn KPATCH_STATIC_CALL(might_resched)();\n";
        let fix = fix(variable, dir.path(), "syscall.patch", unit, &[(call, &body), include]);
        let (ran, json) = build(variable, dir.path(), &[fix]);
        ran.succeeds();
        let functions = json["manifest"]["units"][0]["functions"].as_array().unwrap();
        let of = |status: &str| -> Vec<&str> {
            let all = functions.iter().filter(|f| f["status"] == status);
            all.map(|f| f["name"].as_str().unwrap()).collect()
        };
        assert!(of("changed").iter().any(|name| name.ends_with(symbol)), "{json}");
        assert!(of("new").iter().all(|name| name.starts_with("__kpatch_do_sys_")), "{json}");
    }
}

/// A constructor and a destructor: functions that only the live patch has, which the kernel calls at once.
fn shadow_variable() {
    let dir = folder();
    let code = "static int kmend_make(void *obj, void *shadow, void *data)
{
	*(int *)shadow = *(int *)data;
	return 0;
}
static void kmend_drop(void *obj, void *shadow)
{
	*(int *)shadow = 0;
}
";
    let (from, to) = with_macros(SHOW, code);
    let (old, new) = CHANGE;
    let new = format!(
        "\tint start = 3, *count = klp_shadow_get_or_alloc(m->file, 7, sizeof(*count), GFP_KERNEL, kmend_make, &start);\n\n\
         \tif (count)\n\t\tklp_shadow_free(m->file, 7, kmend_drop);\n{new}"
    );
    let fix = fix("KMEND_TEST_TARGET", dir.path(), "shadow.patch", SMALL, &[(&from, &to), (old, &new)]);
    let (ran, json) = build("KMEND_TEST_TARGET", dir.path(), &[fix]);
    ran.succeeds();
    let warned = fields(&json, "warnings", &["code", "symbol"]);
    assert!(warned.contains(&vec!["new-callback".into(), "kmend_make".into()]), "{json}");
}

fn refused() {
    let dir = folder();
    let (old, new) = CHANGE;
    let in_function = |call: &str| format!("\t{call};\n{new}");
    let alloc = in_function("m->private = kpatch_shadow_alloc(m, \"kmend\", 8, GFP_KERNEL)");
    let get = in_function("if (kpatch_shadow_get(m, \"kmend\"))\n\t\treturn 0");
    let free = in_function("kpatch_shadow_free(m, \"kmend\")");
    for (name, code, change) in [
        (
            "KPATCH_FORCE_UNSAFE",
            "static int cmdline_proc_show(struct seq_file *m, void *v);\nKPATCH_FORCE_UNSAFE(cmdline_proc_show);\n",
            new,
        ),
        ("KPATCH_LOAD_HOOK", "KPATCH_LOAD_HOOK(kmend_load);\n", new),
        ("KPATCH_UNLOAD_HOOK", "KPATCH_UNLOAD_HOOK(kmend_unload);\n", new),
        ("kpatch_shadow_alloc", "", alloc.as_str()),
        ("kpatch_shadow_get", "", get.as_str()),
        ("kpatch_shadow_free", "", free.as_str()),
        ("KPATCH_IGNORE_SECTION", "KPATCH_IGNORE_SECTION(\".data.no_such\");\n", new),
        ("KPATCH_IGNORE_FUNCTION", "KPATCH_IGNORE_FUNCTION(seq_putc);\n", new),
        // Nothing would be left.
        (
            "KPATCH_IGNORE_FUNCTION",
            "static int cmdline_proc_show(struct seq_file *m, void *v);\nKPATCH_IGNORE_FUNCTION(cmdline_proc_show);\n",
            new,
        ),
    ] {
        let (from, to) = with_macros(SHOW, code);
        let fix = fix("KMEND_TEST_TARGET", dir.path(), "refused.patch", SMALL, &[(&from, &to), (old, change)]);
        let (ran, _) = build("KMEND_TEST_TARGET", dir.path(), &[fix]);
        ran.fails(2, &[]);
        let refusals = ran.refusals();
        let is_it = |r: &Value| r["code"] == "kpatch-macro" && r["symbol"] == name;
        assert!(refusals.len() == 1 && is_it(&refusals[0]), "{name}: {refusals:?}");
        assert!(!refusals[0]["hint"].as_str().unwrap().is_empty());
    }
    assert!(!dir.path().join("kmend_of_kpatch.ko").exists());
}

/// A fix of which a macro leaves all out is not fixed, whatever another does; one of which it leaves a part out says so.
fn left_out() {
    let dir = folder();
    let (from, to) = with_macros(
        SHOW,
        "static int cmdline_proc_show(struct seq_file *m, void *v);\nKPATCH_IGNORE_FUNCTION(cmdline_proc_show);\n",
    );
    let ignored = fix("KMEND_TEST_TARGET", dir.path(), "ignored.patch", SMALL, &[(&from, &to), CHANGE]);
    let live = fix(
        "KMEND_TEST_TARGET",
        dir.path(),
        "live.patch",
        MODULE,
        &[("\tdev->flags &= ~IFF_MULTICAST;\n", "\tdev->flags &= ~(IFF_MULTICAST | IFF_DEBUG);\n")],
    );
    let (ran, json) = build("KMEND_TEST_TARGET", dir.path(), &[ignored, live]);
    ran.succeeds();
    assert_eq!(fields(&json, "fixes", &["effect"]), [["undone"], ["live"]]);
    let warned = fields(&json, "warnings", &["code", "symbol"]);
    assert!(warned.contains(&vec!["change-ignored".into(), "cmdline_proc_show".into()]), "{json}");
    let notes = json["manifest"]["notes"].to_string();
    assert!(!notes.contains("same code"), "{notes}");

    // An __init function and what is in its section.
    let init = ("static int __init proc_cmdline_init(void)\n{\n", "KPATCH_IGNORE_SECTION(\".init.text\");\nstatic int __init proc_cmdline_init(void)\n{\n\tpr_info(\"kmend\\n\");\n");
    let (from, to) = with_macros(SHOW, "");
    let both = fix("KMEND_TEST_TARGET", dir.path(), "both.patch", SMALL, &[(&from, &to), CHANGE, init]);
    let (ran, json) = build("KMEND_TEST_TARGET", dir.path(), &[both]);
    ran.succeeds();
    assert_eq!(fields(&json, "fixes", &["effect"]), [["live"]]);
    let warned = fields(&json, "warnings", &["code", "symbol"]);
    assert!(warned.contains(&vec!["change-ignored".into(), "proc_cmdline_init".into()]), "{json}");
}
