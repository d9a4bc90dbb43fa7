// SPDX-License-Identifier: GPL-2.0-or-later
//! What stands for engines in contrib/ and docs/farm.md: the same commands in both, and a script for sbatch that bash takes. `cargo xtask farm` has the
//! engine and the validators.

use std::path::{Path, PathBuf};
use std::process::Command;

const WORKFLOWS: [&str; 3] =
    ["contrib/github/kmend.yml", "contrib/gitlab/kmend.yml", "contrib/gitlab/kmend-defaults.yml"];

fn home() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// The commands of kmend-build in a text, up to what the shell has behind them.
fn commands(text: &str) -> Vec<String> {
    let lines = text.lines().filter(|line| !line.trim_start().starts_with('#'));
    let found = lines.filter_map(|line| line.find("kmend-build stream ").map(|at| &line[at..]));
    let ends: &[char] = &['>', '|', ')', '`'];
    found.map(|line| line.split(ends).next().unwrap_or_default().trim().to_string()).collect()
}

#[test]
fn workflows_say_what_the_page_says() {
    let page = std::fs::read_to_string(home().join("docs/farm.md")).unwrap();
    let told = commands(&page);
    for file in WORKFLOWS {
        let text = std::fs::read_to_string(home().join(file)).unwrap();
        assert!(page.contains(&format!("`{file}`")), "docs/farm.md does not name {file}");
        let said = commands(&text);
        assert!(!said.is_empty(), "{file}");
        said.iter().for_each(|command| assert!(told.contains(command), "{file}: {command}: not in docs/farm.md"));
    }
    let slurm =
        "$ x=$(kmend-build stream plan s --format slurm) || y\n# kmend-build stream no\nkmend-build stream plan s >f\n";
    assert_eq!(commands(slurm), ["kmend-build stream plan s --format slurm", "kmend-build stream plan s"]);
}

#[test]
fn bash_takes_the_script_for_sbatch() {
    let dir = tempfile::tempdir().unwrap();
    let fix = "Subject: [PATCH] f\n\n--- a/f.c\n+++ b/f.c\n@@ -1 +1 @@\n-a\n+b\n";
    let kernels = ["debian:none/6.0.0-one-amd64", "debian:none/6.0.1-one-amd64"];
    let kernels: String = kernels.iter().map(|name| format!("[[kernel]]\ntarget = \"{name}\"\n\n")).collect();
    let text = format!(
        "name = \"farm\"\npackager = \"A Team <team@example.org>\"\nurl = \"https://example.org/live\"\n\n{kernels}\
         [[version]]\nversion = \"1-1\"\ndate = \"2026-10-01\"\n\n[[version.fix]]\npatch = \"f.patch\"\ntitle = \"f\"\nseverity = \"low\"\n"
    );
    std::fs::write(dir.path().join("f.patch"), fix).unwrap();
    std::fs::write(dir.path().join("stream.toml"), text).unwrap();
    let mut plan = Command::new(env!("CARGO_BIN_EXE_kmend-build"));
    plan.args(["stream", "plan", "stream.toml", "--format", "slurm", "--into", "/a folder's/$(false)"]);
    let out = plan.current_dir(dir.path()).env("KMEND_CACHE", dir.path().join("cache")).output().unwrap();
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    let script = dir.path().join("jobs.sh");
    std::fs::write(&script, &out.stdout).unwrap();
    for shell in ["bash", "sh"] {
        let out = Command::new(shell).arg("-n").arg(&script).output().unwrap();
        assert!(out.status.success() && out.stderr.is_empty(), "{shell}: {}", String::from_utf8_lossy(&out.stderr));
    }
}
