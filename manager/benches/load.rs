// SPDX-License-Identifier: GPL-2.0-or-later
//! What `kmend load` adds to what the kernel itself takes: a kernel that is played, and at once in force, beside `/bin/true`
//! in the same run. `cargo bench -p kmend-manager --bench load`; it fails where the fastest takes more than 50 ms on top of
//! starting a program.

#[path = "../tests/host/ko.rs"]
#[allow(dead_code)]
mod ko;
#[path = "../tests/host/system.rs"]
#[allow(dead_code)]
mod system;

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use system::{name, System};

const RUNS: usize = 40;
const LIMIT: Duration = Duration::from_millis(50);

/// The program that is measured.
fn program() -> PathBuf {
    env!("CARGO_BIN_EXE_kmend").into()
}

fn main() {
    let (mut loads, mut baseline) = (Vec::new(), Vec::new());
    let kmend = program();
    for _ in 0..RUNS {
        let system = System::new();
        system.version("1-1");
        let module = name("1-1");
        loads.push(time(&system, &kmend, &["load", &module]));
        assert_eq!(system.in_force(), [(module, true)]);
        baseline.push(time(&system, Path::new("/bin/true"), &[]));
    }
    loads.sort_unstable();
    baseline.sort_unstable();
    let ms = |time: Duration| time.as_secs_f64() * 1e3;
    println!("kmend load: fastest {:.2} ms, median {:.2} ms of {RUNS}", ms(loads[0]), ms(loads[RUNS / 2]));
    println!("/bin/true:  fastest {:.2} ms", ms(baseline[0]));
    let added = loads[0].saturating_sub(baseline[0]);
    assert!(added < LIMIT, "kmend load took {added:?} more than /bin/true: past {LIMIT:?}");
}

fn time(system: &System, program: &Path, args: &[&str]) -> Duration {
    let mut command = system.command(program, args);
    let begun = Instant::now();
    let output = command.output().unwrap();
    let took = begun.elapsed();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    took
}
