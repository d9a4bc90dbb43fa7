// SPDX-License-Identifier: GPL-2.0-or-later
//! Results as a stranger may write them.

use super::super::ledger::Ledger;
use super::super::plan::one;
use super::super::sample;
use super::*;
use std::os::unix::fs::symlink;
use tempfile::TempDir;

/// A result that is built, with three small files.
fn built() -> (TempDir, JobResult) {
    let (_stream_dir, stream) = sample::stream(1);
    let job = one(&stream, &stream.kernels[0], &stream.versions[1], &Ledger::empty("s")).unwrap();
    let dir = tempfile::tempdir().unwrap();
    let mut result = JobResult::new(&stream, &job);
    (result.outcome, result.module) = (Outcome::Built, Some("m".into()));
    for name in ["m.ko", "m.rs", "m.json", LOG] {
        fs::write(dir.path().join(name), name).unwrap();
        let sum = FileSum { sha256: files::sha256(name.as_bytes()), bytes: name.len() as u64 };
        result.files.insert(name.into(), sum);
    }
    put(dir.path(), &result);
    (dir, result)
}

fn put(dir: &Path, result: &JobResult) {
    fs::write(dir.join(FILE), serde_json::to_vec(result).unwrap()).unwrap();
}

fn says(result: Result<impl Sized>, words: &str) {
    let Err(error) = result else { panic!("it is taken, and should say {words}") };
    let error = format!("{error:#}");
    assert!(error.contains(words), "{error}");
}

#[test]
fn a_sound_one_is_read() {
    let (dir, result) = built();
    let read = JobResult::read(dir.path()).unwrap();
    read.check_files(dir.path()).unwrap();
    assert_eq!(read.agreement().unwrap(), result.agreement().unwrap());
    assert_eq!(read.file(dir.path(), "m.ko").unwrap(), b"m.ko");
    // The run and its log count for nothing, all else does.
    let mut other = result.clone();
    other.run = Some(Run { begun: 7, ..Run::default() });
    other.files.get_mut(LOG).unwrap().sha256.clear();
    assert_eq!(other.agreement().unwrap(), result.agreement().unwrap());
    other.files.get_mut("m.rs").unwrap().sha256.clear();
    assert_ne!(other.agreement().unwrap(), result.agreement().unwrap());
}

#[test]
fn every_cut_and_other_forms_are_errors() {
    let (dir, result) = built();
    let text = fs::read_to_string(dir.path().join(FILE)).unwrap();
    for end in 0..text.len() {
        fs::write(dir.path().join(FILE), &text[..end]).unwrap();
        says(JobResult::read(dir.path()), "");
    }
    let with = |from: &str, to: &str| {
        assert!(text.contains(from), "{from}");
        fs::write(dir.path().join(FILE), text.replacen(from, to, 1)).unwrap();
        JobResult::read(dir.path())
    };
    says(with("\"schema_version\":1", "\"schema_version\":2"), "schema 2");
    says(with("\"schema_version\":1", "\"schema_version\":\"1\""), "schema ?");
    says(with("\"outcome\":\"built\"", "\"outcome\":\"fine\""), "fine");
    says(with("\"outcome\":\"built\"", "\"outcome\":\"refused\""), "names a module");
    says(with("\"module\":\"m\"", "\"module\":null"), "names no module");
    says(with("\"module\":\"m\"", "\"module\":\"../m\""), "../m");
    says(with("\"module\":\"m\"", "\"module\":\"n\""), "n.ko");
    for name in ["../m.ko", "/etc/passwd", ".m.ko", "", "a/b", FILE] {
        says(with("\"m.ko\"", &format!("{name:?}")), "no name of a file");
    }
    says(with("\"bytes\":4", "\"bytes\":99999999999"), "are the most");
    let mut many = result;
    many.files.extend((0..20).map(|n| (format!("f{n}"), FileSum { sha256: String::new(), bytes: 0 })));
    put(dir.path(), &many);
    says(JobResult::read(dir.path()), "16 are the most");
}

#[test]
fn files_are_the_ones_that_were_written() {
    let (dir, result) = built();
    let ko = dir.path().join("m.ko");
    let check = || result.check_files(dir.path());
    fs::write(&ko, "other").unwrap();
    says(check(), "m.ko has other contents");
    says(result.file(dir.path(), "m.ko"), "m.ko has other contents");
    fs::write(&ko, "m.k").unwrap();
    says(check(), "m.ko has other contents");
    fs::remove_file(&ko).unwrap();
    says(check(), "m.ko");
    // A link to the right bytes is none of the job's files.
    fs::write(dir.path().join("elsewhere"), "m.ko").unwrap();
    symlink("elsewhere", &ko).unwrap();
    says(check(), "no regular file");
    fs::remove_file(&ko).unwrap();
    fs::create_dir(&ko).unwrap();
    says(check(), "no regular file");
    fs::remove_dir(&ko).unwrap();
    // It has no blocks, and is not read to its end.
    fs::File::create(&ko).unwrap().set_len(1 << 40).unwrap();
    says(check(), "are the most");
    fs::File::create(&ko).unwrap().set_len(200 << 20).unwrap();
    says(check(), "m.ko has other contents");
    let json = dir.path().join(FILE);
    fs::rename(&json, dir.path().join("json")).unwrap();
    symlink("json", &json).unwrap();
    says(JobResult::read(dir.path()), "no regular file");
    fs::remove_file(&json).unwrap();
    fs::File::create(&json).unwrap().set_len(1 << 40).unwrap();
    says(JobResult::read(dir.path()), "are the most");
}

#[test]
fn results_are_found_where_engines_put_them() {
    let dir = tempfile::tempdir().unwrap();
    let put = |name: &str| files::write(&dir.path().join(name).join(FILE), b"{}").unwrap();
    ["a", "artifact/b", "x/y/c", "x/y/z/too-deep", ".kmend-half", "a/below"].iter().for_each(|name| put(name));
    symlink("a", dir.path().join("link")).unwrap();
    fs::write(dir.path().join("file"), "").unwrap();
    let mut names = Vec::new();
    let count = each(dir.path(), &mut |folder| {
        names.push(folder.strip_prefix(dir.path()).unwrap().display().to_string());
        Ok(())
    });
    names.sort();
    assert_eq!((count.unwrap(), names.join(" ")), (3, "a artifact/b x/y/c".into()));
    assert_eq!(each(&dir.path().join("a"), &mut |_| Ok(())).unwrap(), 1);
    says(each(&dir.path().join("none"), &mut |_| Ok(())), "none");
}
