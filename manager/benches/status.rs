// SPDX-License-Identifier: GPL-2.0-or-later
//! How long `kmend status` and `kmend cve` take on a host whose live patch has 20 fixes, and 10,000, beside `/bin/true` in
//! the same run. `cargo bench -p kmend-manager`; it fails where status takes more than 10 ms on top of starting a
//! program. What counts is the fastest of many runs: all that makes one slower is something else's work.

#[path = "../tests/host/ko.rs"]
#[allow(dead_code)]
mod ko;

use ko::{note, Ko};
use std::fmt::Write;
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

const RELEASE: &str = "5.14.0-362.8.1.el9_3.x86_64";
const NAME: &str = "kpatch_5_14_0_362_8_1_1_10";
const FIXES: usize = 10_000;
const RUNS: usize = 60;
/// What status may take: which case, milliseconds.
const LIMITS: [(usize, u64); 2] = [(2, 10), (3, 10)];

fn main() {
    let big = tempfile::tempdir().unwrap();
    let small = tempfile::tempdir().unwrap();
    host(big.path(), FIXES);
    host(small.path(), 20);
    let kmend = env!("CARGO_BIN_EXE_kmend");
    let cases: [(&str, &str, &Path, &[&str]); 9] = [
        ("/bin/true", "/bin/true", small.path(), &[]),
        ("kmend version", kmend, small.path(), &["version"]),
        ("kmend status, 20 fixes", kmend, small.path(), &["status"]),
        ("kmend status", kmend, big.path(), &["status"]),
        ("kmend status --json", kmend, big.path(), &["status", "--json"]),
        ("kmend status --nagios", kmend, big.path(), &["status", "--nagios"]),
        ("kmend uname", kmend, big.path(), &["uname"]),
        ("kmend cve CVE-2026-5000", kmend, big.path(), &["cve", "CVE-2026-5000"]),
        ("kmend cve", kmend, big.path(), &["cve"]),
    ];
    println!("{FIXES} fixes with a CVE each where nothing else is said; {RUNS} runs, one of each in turn");
    println!("{:<24} {:>8} {:>9}", "", "fastest", "median");
    let mut times = vec![Vec::new(); cases.len()];
    for _ in 0..RUNS {
        for ((_, program, root, args), times) in cases.iter().zip(&mut times) {
            times.push(time(program, root, args));
        }
    }
    times.iter_mut().for_each(|times| times.sort_unstable());
    let baseline = times[0][0];
    let ms = |time: Duration| time.as_secs_f64() * 1e3;
    for ((name, ..), times) in cases.iter().zip(&times) {
        let (fastest, median) = (ms(times[0]), ms(times[RUNS / 2]));
        println!("{name:<24} {fastest:>5.2} ms {median:>6.2} ms  {:>5.1} x /bin/true", fastest / ms(baseline));
    }
    for (case, limit) in LIMITS {
        let took = times[case][0].saturating_sub(baseline);
        let name = cases[case].0;
        assert!(took < Duration::from_millis(limit), "{name} took {took:?} more than /bin/true: past {limit} ms");
    }
}

fn time(program: &str, root: &Path, args: &[&str]) -> Duration {
    let mut command = Command::new(program);
    command.args(args).env("KMEND_ROOT", root).stdin(Stdio::null()).stdout(Stdio::null());
    let start = Instant::now();
    let status = command.status().unwrap();
    let took = start.elapsed();
    assert!(status.success(), "{program} {args:?}: {status}");
    took
}

/// A false root with one live patch in force and installed.
fn host(root: &Path, fixes: usize) {
    let put = |name: &str, data: &[u8]| {
        let path = root.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, data).unwrap();
    };
    let mut list = String::new();
    for n in 0..fixes {
        let comma = if n == 0 { "" } else { "," };
        let _ = write!(
            list,
            r#"{comma}{{"file":"{n:05}-net-sched-act_api.patch","title":"net/sched: act_api: check the length of cookie {n}","sha256":"{n:064x}","cves":["CVE-2026-{:04}"],"severity":"important","tickets":["RHEL-{n}"],"since":"1-1"}}"#,
            n + 1000
        );
    }
    let stream = r#""stream":{"name":"el9","version":"1-10","date":"2026-10-02","supported_until":"9999-09-01"}"#;
    let mut ko = Ko::with_manifest(NAME, RELEASE, &[]);
    let manifest = ko.manifest.unwrap().replace(r#""fixes":[]"#, &format!(r#""fixes":[{list}],{stream}"#));
    put("proc/sys/kernel/osrelease", RELEASE.as_bytes());
    put("proc/sys/kernel/arch", b"x86_64\n");
    put("sys/kernel/notes", &note(b"GNU\0", 3, &[0xab, 0xcd, 0x01, 0x02]));
    put(&format!("sys/kernel/livepatch/{NAME}/enabled"), b"1\n");
    put(&format!("sys/kernel/livepatch/{NAME}/transition"), b"0\n");
    put(&format!("sys/module/{NAME}/notes/.note.kmend"), &note(b"kmend\0", 1, manifest.as_bytes()));
    ko.manifest = Some(manifest);
    put(&format!("var/lib/kpatch/{RELEASE}/kpatch-5_14_0-362_8_1-1-10.ko"), &ko.bytes());
}
