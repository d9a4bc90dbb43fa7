// SPDX-License-Identifier: GPL-2.0-or-later
//! How long it takes to find all files that a header reaches: a prepared kernel in (KMEND_TEST_TARGET, else
//! debian:forky), a table of medians out.
//!
//! `cargo bench --bench reach -- [--runs N] [HEADER…]`. Fails when the closure of a header takes more than 5 s with the index
//! cold. The kernel's files themselves are in memory, or not, as the machine has it.

use kmend_builder::reach::includes;
use kmend_builder::target::store;
use std::time::Instant;

/// From a few files to nearly all.
const HEADERS: [&str; 5] = [
    "fs/proc/fd.h",
    "include/linux/pipe_fs_i.h",
    "drivers/gpu/drm/amd/amdgpu/amdgpu.h",
    "include/linux/utsname.h",
    "include/linux/sched.h",
];

fn main() {
    let args: Vec<String> = std::env::args().skip(1).filter(|a| a != "--bench").collect();
    let runs = match args.iter().position(|a| a == "--runs") {
        Some(at) => args.get(at + 1).and_then(|n| n.parse().ok()).expect("--runs takes a number"),
        None => 3,
    };
    let name = std::env::var("KMEND_TEST_TARGET").unwrap_or_else(|_| "debian:forky".into());
    let target = store::load(&name).expect("a prepared target");
    let cache = tempfile::tempdir().expect("a temporary folder");
    std::env::set_var("KMEND_CACHE", cache.path());
    let load = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    println!("{}, {runs} runs each, medians in seconds; load {load}", target.name);
    println!("{:40} {:>8} {:>8} {:>8} {:>8}", "", "cold", "kept", "files", "units");
    let named: Vec<&str> = args.iter().map(String::as_str).filter(|a| a.ends_with(".h")).collect();
    let mut slow = false;
    for header in if named.is_empty() { HEADERS.to_vec() } else { named } {
        let (mut cold, mut kept) = (Vec::new(), Vec::new());
        let mut reached = Vec::new();
        for _ in 0..runs {
            let _ = std::fs::remove_dir_all(cache.path().join("index"));
            for times in [&mut cold, &mut kept] {
                let begun = Instant::now();
                let index = includes::index(&target).expect("an index");
                reached = index.includers().closure(header);
                times.push(begun.elapsed().as_secs_f64());
            }
        }
        let (cold, kept) = (median(&mut cold), median(&mut kept));
        let units = reached.iter().filter(|p| p.ends_with(".c")).count();
        println!("{header:40} {cold:8.2} {kept:8.2} {:8} {units:8}", reached.len());
        slow |= cold > 5.0;
    }
    std::process::exit(i32::from(slow));
}

fn median(times: &mut [f64]) -> f64 {
    times.sort_by(f64::total_cmp);
    times[times.len() / 2]
}
