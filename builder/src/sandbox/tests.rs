// SPDX-License-Identifier: GPL-2.0-or-later
use super::*;

fn here() -> Sandbox {
    Sandbox::new(Path::new("/")).cwd("/")
}

/// What a script says inside, both streams.
fn says(sandbox: &Sandbox, script: &str) -> String {
    let out = sandbox.output("sh", &["-c", script]).unwrap();
    String::from_utf8_lossy(&[out.stdout, out.stderr].concat()).into_owned()
}

fn isolations() -> Vec<Isolation> {
    let best = isolation::of_this_machine().unwrap();
    let root = std::fs::metadata("/proc/self").is_ok_and(|m| std::os::unix::fs::MetadataExt::uid(&m) == 0);
    if root {
        vec![best, Isolation::AsRoot]
    } else {
        vec![best]
    }
}

#[test]
fn nothing_of_the_environment_gets_in() {
    std::env::set_var("KMEND_TEST_OF_SANDBOX", "a secret");
    let seen = says(&here(), "cat /proc/[0-9]*/environ | tr '\\0' '\\n'");
    assert!(seen.contains("PATH="), "{seen}");
    assert!(!seen.contains("secret"), "{seen}");
}

#[test]
fn nobody_has_power_inside() {
    for isolation in isolations() {
        let script = "cat /proc/self/status; echo x > /proc/sys/kernel/core_pattern; mount -o remount,rw /usr; \
                      mount -t tmpfs x /tmp; mknod /tmp/x c 1 3; ls /sys /home /root; cat /etc/shadow; echo end";
        let out = here().command_by(isolation, "sh", &["-c", script]).output().unwrap();
        let text = String::from_utf8_lossy(&out.stdout);
        for line in ["CapEff:\t0000000000000000", "CapPrm:\t0000000000000000", "NoNewPrivs:\t1"] {
            assert!(text.contains(line), "{isolation:?}: no {line} in {text}");
        }
        let end = text.lines().skip_while(|l| !l.starts_with("nonvoluntary")).skip(1).collect::<Vec<_>>();
        assert_eq!(end, ["end"], "{isolation:?}: something is to be seen");
        let errors = String::from_utf8_lossy(&out.stderr);
        assert!(errors.contains("core_pattern") && errors.contains("mknod"), "{isolation:?}: {errors}");
    }
    assert_ne!(std::fs::read_to_string("/proc/sys/kernel/core_pattern").unwrap(), "x\n");
}

#[test]
fn only_folders_of_the_build_can_be_written() {
    let dir = tempfile::tempdir().unwrap();
    for isolation in isolations() {
        let sandbox = here().writable(dir.path(), WORK).read_only(dir.path(), "/tmp/kmend/looked-at");
        let script = format!(
            "for d in / /usr /etc /dev /var /var/tmp /home /root /tmp/kmend/looked-at {WORK} /tmp; do touch $d/new 2>/dev/null && echo $d; done"
        );
        let out = sandbox.command_by(isolation, "sh", &["-c", &script]).output().unwrap();
        let written = String::from_utf8_lossy(&out.stdout).into_owned();
        assert_eq!(written, format!("{WORK}\n/tmp\n"), "{isolation:?}: {}", String::from_utf8_lossy(&out.stderr));
        assert!(dir.path().join("new").exists());
    }
}

#[test]
fn a_tool_ends_at_its_limits() {
    let small = Limits { seconds: Some(1), file: Some(1 << 20), output: Some(1 << 16), ..Limits::of_tools() };
    let sandbox = here().limits(small);
    for (script, limit) in [
        ("sleep 60 & sleep 60", "KMEND_TOOL_SECONDS"),
        ("exec sleep 60 >/dev/null 2>&1", "KMEND_TOOL_SECONDS"),
        ("cat /dev/zero", "KMEND_TOOL_OUTPUT"),
        ("cat /dev/zero >&2", "KMEND_TOOL_OUTPUT"),
    ] {
        let error = format!("{:#}", sandbox.output("sh", &["-c", script]).unwrap_err());
        assert!(error.contains(limit), "{script}: {error}");
    }
    let error = format!("{:#}", sandbox.run("sh", &["-c", "head -c 2000000 /dev/zero > /tmp/x"]).unwrap_err());
    assert!(error.contains("KMEND_TOOL_FILE"), "{error}");
    assert_eq!(says(&sandbox, "echo done"), "done\n");
}
