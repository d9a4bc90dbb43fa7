// SPDX-License-Identifier: GPL-2.0-or-later
//! What is found out before the kernel is asked: signatures, and other tracers of the same functions.

use super::ko::Ko;
use super::system::{name, Plan, System, RELEASE};
use std::collections::BTreeMap;

/// A file as scripts/sign-file leaves it.
fn signed(mut bytes: Vec<u8>) -> Vec<u8> {
    bytes.extend([0x30; 64]);
    bytes.extend([0, 0, 2, 0, 0, 0, 0, 0]);
    bytes.extend(64u32.to_be_bytes());
    bytes.extend(b"~Module signature appended~\n");
    bytes
}

/// One with these functions: object, function, position.
fn with_functions(module: &str, functions: &[(&str, &str, u64)]) -> Vec<u8> {
    let mut ko = Ko::with_manifest(module, RELEASE, &["a fix"]);
    let units: Vec<String> = functions
        .iter()
        .map(|(object, name, sympos)| {
            format!(
                r#"{{"source":"a.c","object":"{object}","functions":[{{"name":"{name}","status":"changed","sympos":{sympos},"reasons":[]}},{{"name":"helper","status":"new","reasons":[]}}]}}"#
            )
        })
        .collect();
    ko.manifest = ko.manifest.map(|m| m.replace("\"units\":[]", &format!("\"units\":[{}]", units.join(","))));
    ko.bytes()
}

#[test]
fn an_unsigned_module_is_refused_before_the_kernel_refuses_it() {
    let system = System::new();
    let path = system.file("own.ko", &Ko::new("own", RELEASE).bytes());
    for (file, text, expected) in [
        ("sys/module/module/parameters/sig_enforce", "Y\n", "sig_enforce is Y"),
        ("sys/kernel/security/lockdown", "none [integrity] confidentiality\n", "lockdown is integrity"),
        ("sys/kernel/security/lockdown", "none integrity [confidentiality]\n", "lockdown is confidentiality"),
        ("proc/sys/kernel/modules_disabled", "1\n", "this kernel loads no modules"),
    ] {
        system.put(file, text);
        system.kmend(&["load", &path]).ends(1).complains("own.ko: ").complains(expected).complains("what you can do:");
        std::fs::remove_file(system.root().join(file)).unwrap();
    }
    assert!(system.asked().is_empty());
    // Where nothing demands it, an unsigned one is loaded; a signed one everywhere.
    system.kmend(&["load", &path]).ends(0);
    system.put("sys/module/module/parameters/sig_enforce", "Y\n");
    let other = system.file("other.ko", &signed(Ko::new("other", RELEASE).bytes()));
    system.kmend(&["load", &other]).ends(0);
}

#[test]
fn what_only_the_kernel_knows_of_a_signature_is_told_in_words() {
    // EKEYREJECTED, ENOKEY, EBADMSG, ENOEXEC.
    for (errno, expected) in [
        (129, "its signature is refused: it does not fit the file, or its key is not trusted"),
        (126, "signed with a key that this kernel does not know"),
        (74, "its signature is damaged"),
        (8, "the kernel rejects its format"),
    ] {
        let load = BTreeMap::from([("own".to_string(), [errno].into())]);
        let system = System::with(Plan { load, ..Plan::default() });
        let path = system.file("own.ko", &signed(Ko::new("own", RELEASE).bytes()));
        system.kmend(&["load", &path]).ends(1).complains(expected).complains("what you can do:");
        assert_eq!(system.in_force(), []);
    }
    let mut cut = signed(Ko::new("own", RELEASE).bytes());
    let end = cut.len() - b"~Module signature appended~\n".len();
    cut[end - 4..end].copy_from_slice(&u32::MAX.to_be_bytes());
    let system = System::new();
    let path = system.file("own.ko", &cut);
    system.kmend(&["load", &path]).ends(1).complains("appended signature: it should be 4294967295 bytes");
}

const OTHER: &str =
    "type_show (1) R I     \ttramp: 0xffffffffc0400000 (fh_handler+0x0/0x10) ->ftrace_ops_assist_func+0x0/0xf0\n";

#[test]
fn a_function_that_somebody_else_redirects_is_a_refusal_that_names_him() {
    let system = System::new();
    let path = system.file("own.ko", &with_functions("own", &[("vmlinux", "type_show", 0)]));
    system.put("sys/kernel/tracing/enabled_functions", OTHER);
    system
        .kmend(&["load", &path])
        .ends(1)
        .complains("own.ko: its functions: type_show is already redirected by fh_handler")
        .complains("stop what redirects that function");
    assert!(system.asked().is_empty());
    // Among namesakes it is not known which one is meant: a warning, and the kernel judges.
    let path = system.file("own.ko", &with_functions("own", &[("vmlinux", "type_show", 17)]));
    system.kmend(&["load", &path]).ends(0).complains("another of the same name");
}

#[test]
fn livepatch_itself_is_no_stranger() {
    let functions = BTreeMap::from([(name("1-1"), vec!["vmlinux/type_show,1".to_string()])]);
    let system = System::with(Plan { functions, ..Plan::default() });
    system.loaded(&name("1-1"), true, false);
    system.put("sys/kernel/tracing/enabled_functions", OTHER);
    let path = system.file("own.ko", &with_functions("own", &[("vmlinux", "type_show", 0)]));
    let said = system.kmend(&["load", &path]).ends(0);
    assert_eq!(said.err, "");
}

#[test]
fn tracers_and_kprobes_are_warned_of_and_named() {
    let system = System::new();
    system.put(
        "sys/kernel/debug/tracing/enabled_functions",
        "other (1) R I     \n\
         type_show (1)           \ttramp: 0xffffffffc0400000 (function_trace_call+0x0/0x10)\n\
         e1000_up [e1000] (1)       D   \n\tdirect-->bpf_trampoline_6442+0x0/0x8f\n",
    );
    system.put(
        "sys/kernel/debug/kprobes/list",
        "ffffffff81000000  k  type_show+0x10    [OPTIMIZED]\n\
         ffffffff81000001  k  type_show+0x0    [FTRACE]\n\
         ffffffff81000002  k  type_show+0x14  [DISABLED]\n\
         ffffffff81000003  k  other+0x10\n",
    );
    let path = system.file("own.ko", &with_functions("own", &[("vmlinux", "type_show", 0), ("e1000", "e1000_up", 0)]));
    let said = system.kmend(&["load", &path]).ends(0);
    let said = said
        .complains("type_show is traced by function_trace_call; tracing continues")
        .complains("a kprobe sits in type_show at offset 0x10: it is not hit")
        .complains("e1000_up of module e1000 is traced by bpf_trampoline_6442");
    assert_eq!(said.err.lines().count(), 3, "{}", said.err);
}
