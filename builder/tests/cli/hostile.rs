// SPDX-License-Identifier: GPL-2.0-or-later
//! Fixes and hooks files that want more than to be compiled: what is on the machine, and all of its time and memory.

use super::kernel::{stored, Kernel};
use super::tool::{collect, names, put, KMEND};
use super::Test;
use kmend_builder::target::store;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

pub const TESTS: &[Test] = &[
    ("secrets_of_the_machine", secrets_of_the_machine),
    ("devices_are_not_there", devices_are_not_there),
    ("endless_code", endless_code),
    ("no_sandbox_to_be_had", no_sandbox_to_be_had),
    ("limits_of_the_user", limits_of_the_user),
];

/// A machine without user namespaces, and a root without CAP_SYS_ADMIN, as in many containers.
const POWERLESS: &str = "
powerless() { setpriv --bounding-set=-sys_admin --inh-caps=-sys_admin \"$@\"; }
if [ \"${1:-}\" = within ]; then
    echo 0 > /proc/sys/user/max_user_namespaces
    shift
    powerless \"$@\"
elif unshare -Ur true 2>/dev/null; then
    exec unshare -Ur sh -c \"$SCRIPT\" sh within \"$@\"
else
    powerless \"$@\"
fi
";

fn no_sandbox_to_be_had() {
    let kernel = Kernel::new().with_shared_objects();
    let fix = kernel.good_fix();
    let record = kernel.cache().join("targets").join(store::escape(&kernel.target.name));
    let before = names(&record);
    let out = kernel.out();
    let build = ["build", "-t", &kernel.target.name, "-o", out.to_str().unwrap(), fix.to_str().unwrap()];
    for args in [&build[..], &["target", "add", &kernel.target.name]] {
        let mut run = Command::new("sh");
        run.args(["-c", POWERLESS, "sh", KMEND]).args(args).env("SCRIPT", POWERLESS).stdin(Stdio::null());
        let ran = collect(run.env("KMEND_CACHE", kernel.cache()));
        ran.fails(1, &["CAP_SYS_ADMIN", "user namespaces"]);
        assert!(!ran.err.contains("target remove") && !ran.err.contains("makes it again"), "{}", ran.err);
        assert_eq!(names(&record), before);
        assert!(kernel.target.root.is_dir() && names(&out).is_empty());
    }
}

/// A user whose own limits are below those of tools (`ulimit`) builds within them.
fn limits_of_the_user() {
    let kernel = Kernel::new().with_shared_objects();
    let fix = kernel.good_fix();
    let build = |bytes: u64| {
        let mut limited = Command::new("prlimit");
        limited.arg(format!("--as={bytes}")).arg(KMEND).args(["build", "-t", &kernel.target.name, "-n", "one", "-o"]);
        limited.arg(kernel.out()).arg(&fix).env("KMEND_CACHE", kernel.cache()).stdin(Stdio::null());
        collect(&mut limited)
    };
    build(6 << 30).succeeds();
}

/// A value that no output may show.
const PIN: &str = "kmend-pin-4711";

fn secrets_of_the_machine() {
    let kernel = Kernel::new().with_shared_objects();
    let fix = kernel.good_fix();
    let secret = put(kernel.dir.path(), "secret", PIN).display().to_string();
    for file in ["/proc/1/environ", "/proc/self/environ", &secret] {
        let hooks = put(kernel.dir.path(), "hooks.rs", format!(
            "// SPDX-License-Identifier: GPL-2.0-or-later\nuse crate::{{livepatch::{{CallbackObject, Callbacks}}, livepatch_hooks}};\nuse kernel::prelude::*;\n\
             pub struct Check;\n#[vtable]\nimpl Callbacks for Check {{\n    fn pre_patch(_object: &CallbackObject<'_>) -> Result {{\n        \
             let all = include_bytes!(\"{file}\");\n        compile_error!(include_str!(\"{file}\"));\n        \
             if all.len() == 1 {{ Err(EBUSY) }} else {{ Ok(()) }}\n    }}\n}}\nlivepatch_hooks! {{ callbacks: {{ vmlinux: Check }} }}\n"
        ));
        let mut build = kernel.command(&fix);
        build.args(["-n", "one", "--hooks"]).arg(hooks).arg("-o").arg(kernel.out()).env("KBUILD_SIGN_PIN", PIN);
        let ran = collect(&mut build);
        ran.fails(2, &["[hooks-do-not-compile]"]);
        let said = format!("{}{}", ran.out, ran.err);
        assert!(!said.contains(PIN), "{file}: {said}");
        assert!(names(&kernel.out()).is_empty());
    }
}

fn devices_are_not_there() {
    let kernel = Kernel::new().with_shared_objects();
    for device in ["/dev/ptmx", "/dev/tty", "/dev/stdin", "/proc/kmsg", "/sys/kernel/notes"] {
        let first = "#include <linux/fs.h>\n";
        let fix = kernel.fix("x.patch", "fs/proc/cmdline.c", first, &format!("{first}#include \"{device}\"\n"));
        let begun = Instant::now();
        let ran = kernel.build::<&str>(&fix, &[]);
        assert!(matches!(ran.code, Some(1 | 2)), "{device}: {:?} {}", ran.code, ran.err);
        assert!(begun.elapsed() < Duration::from_secs(60), "{device}");
    }
}

fn endless_code() {
    let kernel = Kernel::new().with_shared_objects();
    let end = "fs_initcall(proc_cmdline_init);\n";
    let ten = |n: u32| {
        let before = format!("A{} ", n - 1);
        format!("#define A{n} {}\n", before.repeat(10))
    };
    let macros: String = "#define A0 \"0123456789\"\n".to_string() + &(1..=10).map(ten).collect::<String>();
    for (name, text, limit) in [
        ("macros", format!("{macros}const char *const kmend_all = A10;\n"), ("KMEND_TOOL_SECONDS", "5")),
        ("memory", format!("{macros}const char *const kmend_all = A10;\n"), ("KMEND_TOOL_MEMORY", "600")),
        ("file", "asm(\".pushsection .data; .skip 1500000000; .popsection\");\n".into(), ("KMEND_TOOL_FILE", "64")),
    ] {
        let fix = kernel.fix("x.patch", "fs/proc/cmdline.c", end, &format!("{end}{text}"));
        let mut build = kernel.command(&fix);
        build.args(["-n", "one", "-o"]).arg(kernel.out()).env(limit.0, limit.1);
        let begun = Instant::now();
        let ran = collect(&mut build);
        assert!(matches!(ran.code, Some(1 | 2)), "{name}: {:?} {}{}", ran.code, ran.out, ran.err);
        assert!(ran.err.contains(limit.0), "{name}: the limit is named: {}", ran.err);
        assert!(begun.elapsed() < Duration::from_secs(60), "{name}");
        assert!(names(&kernel.out()).is_empty(), "{name}");
    }
    assert!(stored("KMEND_TEST_TARGET").tree.is_dir());
}
