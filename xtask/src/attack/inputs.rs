// SPDX-License-Identifier: GPL-2.0-or-later
//! Spoilt files: objects, modules, patches, stream files, ledgers, what lies in a host's folders.

use super::bench::{Bench, NAME};
use super::mutate::Random;
use super::outcome::{answer, run, Outcome};
use anyhow::Result;
use kmend_builder::files;
use std::path::Path;
use std::process::Command;

/// One of two objects spoilt, or both.
pub fn objects(bench: &Bench, random: &mut Random, place: &Path) -> Result<Outcome> {
    let which = random.below(3);
    let mut paths = Vec::new();
    for (n, object) in bench.objects.iter().enumerate() {
        let path = place.join(format!("{n}.o"));
        let bytes = if which == n || which == 2 { bench.spoil(object, random) } else { object.clone() };
        files::write(&path, &bytes)?;
        paths.push(path);
    }
    answer(Command::new(&bench.kmend_build).arg("diff").args(&paths))
}

/// A spoilt live patch, signed or not, looked at alone and against the kernel that it was built for.
pub fn modules(bench: &Bench, random: &mut Random, place: &Path) -> Result<Outcome> {
    let path = place.join(format!("{NAME}.ko"));
    let signed = random.below(2) == 1;
    files::write(&path, &bench.spoil(if signed { &bench.signed } else { &bench.module }, random))?;
    let mut inspect = bench.builder();
    inspect.arg("inspect").arg(&path);
    match random.below(4) {
        0 => _ = inspect.args(["-t", &bench.target.name]),
        1 => _ = inspect.arg("--json"),
        2 if signed => _ = inspect.arg("--verify-cert").arg(&bench.keys[1]),
        _ => {}
    }
    answer(&mut inspect)
}

/// A host that runs the kernel, and on which nothing is installed.
pub fn host(bench: &Bench, place: &Path) -> Result<Command> {
    let root = place.join("root");
    files::write(&root.join("proc/sys/kernel/osrelease"), format!("{}\n", bench.target.release).as_bytes())?;
    files::write(&root.join("proc/sys/kernel/arch"), format!("{}\n", bench.target.arch).as_bytes())?;
    files::write(&root.join("proc/sys/kernel/random/boot_id"), b"1\n")?;
    // It has no systemctl, and must not call that of this machine.
    for folder in ["sys/kernel/livepatch", "sys/module", "bin"] {
        std::fs::create_dir_all(root.join(folder))?;
    }
    let mut kmend = Command::new(&bench.kmend);
    kmend.env("KMEND_ROOT", &root).env("PATH", root.join("bin"));
    Ok(kmend)
}

/// A spoilt module that somebody wants to know about, or to install.
pub fn modules_of_a_host(bench: &Bench, random: &mut Random, place: &Path) -> Result<Outcome> {
    let mut kmend = host(bench, place)?;
    let path = place.join(format!("{NAME}.ko"));
    files::write(&path, &bench.spoil(&bench.module, random))?;
    answer(kmend.arg(["info", "install"][random.below(2)]).arg(&path))
}

/// A spoilt module among those that are installed: it may be named, and what is beside it counts still.
pub fn installed(bench: &Bench, random: &mut Random, place: &Path) -> Result<Outcome> {
    let folder = place.join("root/var/lib/kpatch").join(&bench.target.release);
    let mut kmend = host(bench, place)?;
    files::write(&folder.join(format!("{NAME}.ko")), &bench.module)?;
    files::write(&folder.join("bad.ko"), &bench.spoil(&bench.module, random))?;
    let (command, told) = [("list", NAME), ("status", NAME), ("uname", "")][random.below(3)];
    Ok(match run(kmend.arg(command))? {
        Err(outcome) => outcome,
        Ok(ran) if !format!("{}{}", ran.out, ran.err).contains(told) => {
            Outcome::Changed(format!("`{command}` does not name the sound module: {}{}", ran.out, ran.err))
        }
        // Whatever the verdict on the host is.
        Ok(_) => Outcome::Accepted,
    })
}

/// A spoilt patch. If it is refused, no file is left; if it is built, the module differs.
pub fn patches(bench: &Bench, random: &mut Random, place: &Path) -> Result<Outcome> {
    let fix = place.join("fix.patch");
    let bad = bench.spoil(&bench.patch, random);
    files::write(&fix, &bad)?;
    let out = place.join("out");
    let outcome = answer(&mut bench.build(&fix, &out))?;
    let left = std::fs::read_dir(&out).map_or(0, Iterator::count);
    Ok(match outcome {
        Outcome::Refused if left > 0 => Outcome::Changed(format!("refused, with {left} files in its folder")),
        other => other,
    })
}

/// A spoilt stream file beside a sound ledger.
pub fn stream_files(bench: &Bench, random: &mut Random, place: &Path) -> Result<Outcome> {
    let stream = bench.spoil(&bench.stream, random);
    check(bench, place, &stream, &bench.ledger)
}

/// A spoilt ledger beside a sound stream file.
pub fn ledgers(bench: &Bench, random: &mut Random, place: &Path) -> Result<Outcome> {
    let ledger = bench.spoil(&bench.ledger, random);
    check(bench, place, &bench.stream, &ledger)
}

fn check(bench: &Bench, place: &Path, stream: &[u8], ledger: &[u8]) -> Result<Outcome> {
    files::write(&place.join("stream.toml"), stream)?;
    files::write(&place.join("ledger.json"), ledger)?;
    files::write(&place.join("fix.patch"), &bench.patch)?;
    answer(bench.builder().args(["stream", "check"]).arg(place.join("stream.toml")))
}
