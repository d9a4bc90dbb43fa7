// SPDX-License-Identifier: GPL-2.0-or-later
//! Keeps what compilers made: a call of the compiler and all that it read in, an object or what the preprocessor left out.
//!
//! An entry is found by the target, the compiler, its call, and the text of the unit where fixes change it. It is used only when
//! every file that the compiler read has the same content now, patched or not, and no file has come or gone that it might find in the
//! place of one of them (`contents.rs`). So a patched unit is compiled again when the fixes change what it is made of, and not when
//! others come to them: of a cumulative patch, a new version compiles only what it changes. A damaged entry is a missing one.
//! Entries are written beside and renamed, so two runs may write the same one.

use super::contents::{Contents, Names, Text};
use super::room;
use crate::c::words::Words;
use crate::files;
use crate::progress;
use crate::target::kbuild;
use crate::target::Target;
use anyhow::{Context, Result};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, LazyLock, Mutex, OnceLock};
use std::time::{Duration, SystemTime};

/// Raised when the flags added to a unit, or an entry's format, change.
const VERSION: &str = "kmend objects 4";

/// A checksum of the rules by which tokens count: what was found by others is found anew.
static TOKENS: LazyLock<String> = LazyLock::new(|| {
    let rules = [include_str!("../c/tokens.rs"), include_str!("../c/tokens/types.rs"), include_str!("../c/words.rs")];
    // What the tests of these rules say changes none of them.
    let code = rules.map(|text| text.split("#[cfg(test)]").next().unwrap_or_default());
    files::sha256(code.concat().as_bytes())
});

/// A checksum of what edits assembly on its way into an object.
static EDITS: LazyLock<String> = LazyLock::new(|| {
    let edits = [include_str!("named.rs"), include_str!("../arch/ppc64le/transplant.rs")];
    files::sha256(edits.concat().as_bytes())
});

/// One object of a unit, as it came out of the compiler.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Compiled {
    /// The object.
    pub object: Vec<u8>,
    /// The files that the compiler read, as it names them.
    pub inputs: Vec<String>,
    /// What it warned of.
    pub warnings: String,
    /// It was made in an earlier run.
    pub was_kept: bool,
}

/// The first line of an object's entry. [`Made`] and the object follow, each packed.
#[derive(Serialize, Deserialize)]
struct Header {
    version: String,
    /// Bytes of `Made`: packed, and as it is.
    made: (usize, usize),
    /// Bytes of the object as it is.
    object: usize,
    /// Of these numbers, and of all that follows.
    sha256: String,
}

/// What an object was made of.
#[derive(Serialize, Deserialize)]
struct Made {
    inputs: Vec<String>,
    /// Of the contents of the inputs in their order, and of the places of files with their names.
    sha256: String,
    warnings: String,
}

/// What is kept of a preprocessed unit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Preprocessed {
    /// The checksum of what matters in it.
    pub digest: String,
    /// What its code refers to.
    pub words: Words,
    /// The files that the compiler read.
    pub inputs: Vec<String>,
}

/// The first line of its entry; the words follow.
#[derive(Serialize, Deserialize)]
struct Digest {
    version: String,
    inputs: Vec<String>,
    /// Of what it was made of ([`Made`]), and of the words.
    sha256: String,
    digest: String,
}

/// Flags that make the compiler read a file, behind them, that is in no list of what it read.
const READ_BY_FLAG: [&str; 4] = ["-fplugin=", "-specs=", "-fprofile-use=", "@"];

/// No list of what an object was made of, nor an entry of a preprocessed unit, is larger than that.
const LARGEST: usize = 16 << 20;

/// No object is larger than that.
const LARGEST_OBJECT: usize = 1 << 30;

/// The entries of one target.
pub struct Cache<'a> {
    target: &'a Target,
    dir: PathBuf,
    seen: Arc<Seen>,
    /// Something was stored.
    grew: AtomicBool,
}

/// What was seen of a target's tree and build root.
#[derive(Default)]
struct Seen {
    texts: Mutex<HashMap<String, Option<Text>>>,
    names: OnceLock<Option<Names>>,
    /// Stamps of the programs of a compiler, by its name.
    compilers: Mutex<HashMap<String, String>>,
}

/// Of the trees that were seen last, by the tree and the time when kbuild last worked there: in a tree of kmend's own nothing else changes.
static SEEN: Mutex<Vec<(String, Arc<Seen>)>> = Mutex::new(Vec::new());

/// Of so many trees.
const MOST_SEEN: usize = 4;

impl<'a> Cache<'a> {
    /// The cache for `target`'s units.
    pub fn open(target: &'a Target) -> Result<Self> {
        let mut cache = Self::at(target, files::cache_dir()?.join("objects"));
        if !kbuild::owns(target) {
            return Ok(cache);
        }
        let id = format!("{}\0{}\0{}", target.tree.display(), target.root.display(), kbuild::last_made(target)?);
        let Ok(mut all) = SEEN.lock() else { return Ok(cache) };
        let known = all.iter().position(|(known, _)| *known == id).map(|at| all.remove(at));
        let (id, seen) = known.unwrap_or((id, Arc::default()));
        all.push((id, seen.clone()));
        if all.len() > MOST_SEEN {
            all.remove(0);
        }
        cache.seen = seen;
        Ok(cache)
    }

    /// The cache for `target`'s units in a folder of choice.
    pub fn at(target: &'a Target, dir: PathBuf) -> Self {
        Self { target, dir, seen: Arc::default(), grew: AtomicBool::new(false) }
    }

    /// The name of an entry; `call` is the compiler with all its arguments.
    pub fn key(&self, call: &[String]) -> String {
        let t = self.target;
        let environment: Vec<String> = t.make_env.iter().map(|(name, value)| format!("{name}={value}")).collect();
        let (mut compiler, environment, call) = (self.compiler(call), environment.join("\0"), call.join("\0"));
        // All files of an imported build root have one time, and so tell nothing of where they are from.
        compiler.extend(t.imported.iter().map(|sum| format!("\0{sum}")));
        files::key(&[VERSION, &t.release, &t.arch, &t.build_id, &t.cc, &t.tree_inside, &environment, &compiler, &call])
    }

    /// Stamps of the programs that a call of the compiler runs, and of files that it reads without a word: a compiler that is replaced
    /// under the same version is recognised by its files.
    fn compiler(&self, call: &[String]) -> String {
        let Some(program) = call.first() else { return String::new() };
        let named = call.iter().filter_map(|word| READ_BY_FLAG.iter().find_map(|flag| word.strip_prefix(flag)));
        let named: Vec<String> = named.map(|path| stamp(&self.host(path))).collect();
        let known = self.seen.compilers.lock().ok().and_then(|known| known.get(program).cloned());
        let programs = known.unwrap_or_else(|| {
            let parts = ["cc1", "as"].map(|part| {
                let asked = self.target.sandbox().output(program, &[&format!("-print-prog-name={part}")]);
                asked.map(|out| String::from_utf8_lossy(&out.stdout).trim().to_string()).unwrap_or_default()
            });
            let stamps: Vec<String> = [program].into_iter().chain(&parts).map(|program| self.stamps(program)).collect();
            let stamps = stamps.join("\0");
            if let Ok(mut known) = self.seen.compilers.lock() {
                known.insert(program.clone(), stamps.clone());
            }
            stamps
        });
        [programs, named.join("\0")].join("\0")
    }

    /// Stamps of the files that a name of a program may mean.
    fn stamps(&self, program: &str) -> String {
        let root = &self.target.root;
        let is_in_tree = !program.starts_with('/') || program.starts_with(&self.target.tree_inside);
        match program.contains('/') {
            true if is_in_tree => stamp(&self.host(program)),
            true => stamp_in(root, program),
            false => {
                ["/usr/bin", "/bin", "/usr/local/bin"].map(|d| stamp_in(root, &format!("{d}/{program}"))).join("\0")
            }
        }
    }

    fn path(&self, key: &str) -> PathBuf {
        self.dir.join(&key[..2]).join(key)
    }

    fn keep(&self, key: &str, entry: &[u8]) {
        files::keep(&self.path(key), entry);
        self.grew.store(true, Ordering::Relaxed);
    }

    /// The name of the entry for one object: the full call with `what` it is made for.
    pub fn key_of_one(&self, call: &[String], what: &str) -> String {
        files::key(&[&self.key(call), what, EDITS.as_str()])
    }

    /// The object under `key`, if it is whole and made of what would be read now, with `over` instead of files of the
    /// tree.
    pub fn compiled(&self, key: &str, over: &Contents) -> Option<Compiled> {
        let path = self.path(key);
        let bytes = std::fs::read(&path).ok()?;
        let end = bytes.iter().position(|b| *b == b'\n')?;
        let header: Header = serde_json::from_slice(&bytes[..end]).ok()?;
        let rest = &bytes[end + 1..];
        let (packed, size) = header.made;
        let sound = header.version == VERSION && header.sha256 == header.sum(rest);
        if !sound || packed > rest.len() || size > LARGEST || header.object > LARGEST_OBJECT {
            return None;
        }
        let made = zstd::bulk::decompress(&rest[..packed], size).ok()?;
        let made: Made = serde_json::from_slice(&made).ok()?;
        let is_same = self.made_of(&made.inputs, over, None).is_some_and(|sum| sum == made.sha256);
        let object = is_same.then(|| zstd::bulk::decompress(&rest[packed..], header.object).ok())??;
        let whole = object.len() == header.object;
        used(&path);
        whole.then_some(Compiled { object, inputs: made.inputs, warnings: made.warnings, was_kept: true })
    }

    /// Stores one object. Nothing is stored while a file that the compiler read is being edited (changed since `begun`), when one
    /// cannot be read, and when one has an effect that its content does not tell.
    pub fn put_compiled(&self, key: &str, over: &Contents, begun: SystemTime, made: &Compiled) -> Result<()> {
        let Some(sha256) = self.made_of(&made.inputs, over, Some(begun)) else { return Ok(()) };
        let of = Made { inputs: made.inputs.clone(), sha256, warnings: made.warnings.clone() };
        let of = serde_json::to_vec(&of).context("cannot write what an object was made of")?;
        let pack = |bytes: &[u8]| zstd::bulk::compress(bytes, 1).context("cannot compress an object for the cache");
        let (packed, object) = (pack(&of)?, pack(&made.object)?);
        let mut header = Header {
            version: VERSION.into(),
            made: (packed.len(), of.len()),
            object: made.object.len(),
            sha256: String::new(),
        };
        let rest = [packed, object].concat();
        header.sha256 = header.sum(&rest);
        let mut entry = serde_json::to_vec(&header).context("cannot write a cache entry's header")?;
        entry.push(b'\n');
        entry.extend(rest);
        self.keep(key, &entry);
        Ok(())
    }

    /// What is kept of a preprocessed unit under `key`.
    pub fn preprocessed(&self, key: &str) -> Option<Preprocessed> {
        let path = self.path(key);
        let entry = zstd::bulk::decompress(&std::fs::read(&path).ok()?, LARGEST).ok()?;
        let end = entry.iter().position(|b| *b == b'\n')?;
        let kept: Digest = serde_json::from_slice(&entry[..end]).ok()?;
        let words = &entry[end + 1..];
        let made_of = self.made_of(&kept.inputs, &Contents::default(), None)?;
        let sound = kept.version == *TOKENS && kept.sha256 == of_both(&made_of, words);
        used(&path);
        sound.then(|| Preprocessed { digest: kept.digest, words: Words::read(words), inputs: kept.inputs })
    }

    /// Stores what is known of a preprocessed unit, as [`Cache::put_compiled`] does objects.
    pub fn put_preprocessed(&self, key: &str, begun: SystemTime, unit: &Preprocessed) -> Result<()> {
        let Some(made_of) = self.made_of(&unit.inputs, &Contents::default(), Some(begun)) else { return Ok(()) };
        let words = unit.words.bytes();
        let sha256 = of_both(&made_of, &words);
        let kept = Digest { version: TOKENS.clone(), inputs: unit.inputs.clone(), sha256, digest: unit.digest.clone() };
        let mut entry = serde_json::to_vec(&kept).context("cannot write a cache entry")?;
        entry.push(b'\n');
        entry.extend(words);
        let entry = zstd::bulk::compress(&entry, 1).context("cannot compress a cache entry")?;
        self.keep(key, &entry);
        Ok(())
    }

    /// A checksum of the contents of `inputs` and of the places of files with their names, with `over` instead of files
    /// of the tree. None when one cannot be read; with `begun`, also where what is made of them may not be kept: when a
    /// file of the tree was changed since then, or one has an effect that its content does not tell.
    fn made_of(&self, inputs: &[String], over: &Contents, begun: Option<SystemTime>) -> Option<String> {
        let mut all = Vec::with_capacity(64 * inputs.len() + 16);
        for input in inputs {
            let text = match over.get(&kbuild::in_tree(self.target, input)) {
                Some(text) => text.cloned(),
                None => {
                    let is_older = |begun| {
                        let changed = std::fs::metadata(self.host(input)).and_then(|m| m.modified());
                        super::own_header(input).is_some() || changed.is_ok_and(|changed| changed < begun)
                    };
                    if !begun.is_none_or(is_older) {
                        return None;
                    }
                    self.text(input)
                }
            }?;
            if begun.is_some() && text.is_odd {
                return None;
            }
            all.extend(text.sha256.as_bytes());
        }
        let names = self.seen.names.get_or_init(|| match Names::of(&self.target.tree) {
            Ok(names) => Some(names),
            Err(error) => {
                progress::note(&format!("nothing that is compiled is kept: {error:#}"));
                None
            }
        });
        all.extend(names.as_ref()?.places(inputs, over));
        Some(files::sha256(&all))
    }

    /// Where a file that the compiler read is on this machine.
    fn host(&self, input: &str) -> PathBuf {
        let inside = Path::new(input);
        match inside.strip_prefix(&self.target.tree_inside) {
            Ok(rest) => self.target.tree.join(rest),
            Err(_) if inside.is_absolute() => self.target.root.join(input.trim_start_matches('/')),
            Err(_) => self.target.tree.join(inside),
        }
    }

    fn text(&self, input: &str) -> Option<Text> {
        if let Some(known) = self.seen.texts.lock().ok().and_then(|known| known.get(input).cloned()) {
            return known;
        }
        let text = match super::own_header(input) {
            Some(text) => Some(Text::of(text.as_bytes())),
            None => std::fs::read(self.host(input)).ok().map(|bytes| Text::of(&bytes)),
        };
        if let Ok(mut known) = self.seen.texts.lock() {
            known.insert(input.into(), text.clone());
        }
        text
    }
}

impl Drop for Cache<'_> {
    fn drop(&mut self) {
        if self.grew.load(Ordering::Relaxed) {
            room::trim(&self.dir, room::most());
        }
    }
}

/// What `find` finds, or what is kept of that under the name `key`; what is damaged is found anew.
///
/// # Errors
/// Those of `find`.
pub fn found<T: Serialize + DeserializeOwned>(key: &str, find: impl FnOnce() -> Result<T>) -> Result<T> {
    found_in(&files::cache_dir()?.join("objects"), key, find)
}

fn found_in<T: Serialize + DeserializeOwned>(dir: &Path, key: &str, find: impl FnOnce() -> Result<T>) -> Result<T> {
    let path = dir.join(&key[..2]).join(key);
    let known = std::fs::read(&path).ok().and_then(|entry| {
        let (sum, text) = entry.split_at_checked(64)?;
        (files::sha256(text).as_bytes() == sum).then(|| serde_json::from_slice(text).ok())?
    });
    if let Some(known) = known {
        used(&path);
        return Ok(known);
    }
    let found = find()?;
    let text = serde_json::to_vec(&found).context("cannot write a cache entry")?;
    files::keep(&path, &[files::sha256(&text).as_bytes(), &text].concat());
    Ok(found)
}

impl Header {
    fn sum(&self, rest: &[u8]) -> String {
        let numbers = format!("{:?} {}\n", self.made, self.object);
        files::sha256(&[numbers.as_bytes(), rest].concat())
    }
}

fn of_both(made_of: &str, words: &[u8]) -> String {
    files::sha256(&[made_of.as_bytes(), words].concat())
}

/// An entry that is of use is one of the last to go. To the day is enough.
fn used(path: &Path) {
    let now = SystemTime::now();
    let old = |m: std::fs::Metadata| m.modified().is_ok_and(|at| now.duration_since(at).is_ok_and(|age| age > DAY));
    if std::fs::metadata(path).is_ok_and(old) {
        // One that cannot be written to is of use all the same.
        let _ = std::fs::File::options().write(true).open(path).and_then(|file| file.set_modified(now));
    }
}

const DAY: Duration = Duration::from_secs(24 * 3600);

/// Size and time of a file of a build root, links followed within the root; empty when it is not there.
fn stamp_in(root: &Path, path: &str) -> String {
    let mut at = PathBuf::from(path);
    for _ in 0..8 {
        let host = root.join(at.strip_prefix("/").unwrap_or(&at));
        match std::fs::read_link(&host) {
            Ok(to) => at = at.parent().unwrap_or(Path::new("/")).join(to),
            Err(_) => return stamp(&host),
        }
    }
    String::new()
}

/// Size and time of a file; empty when it is not there.
fn stamp(file: &Path) -> String {
    let Ok(meta) = std::fs::metadata(file) else { return String::new() };
    let time = meta.modified().ok().and_then(|t| t.duration_since(SystemTime::UNIX_EPOCH).ok());
    format!("{} {}", meta.len(), time.unwrap_or_default().as_nanos())
}

/// The files named in a dependency list that the compiler wrote (`object: file file \` …).
pub fn inputs(list: &str) -> Result<Vec<String>> {
    let (_, files) = list.split_once(": ").context("the compiler's dependency list cannot be read")?;
    let mut out: Vec<String> = Vec::new();
    // Targets of further rules (-MP) would end in a colon; kbuild does not ask for them.
    for word in files.replace("\\\n", " ").split_whitespace() {
        if word.contains(['\\', '$']) || word.ends_with(':') {
            anyhow::bail!("the compiler's dependency list names a file that cannot be read: {word}");
        }
        out.push(word.into());
    }
    out.sort();
    out.dedup();
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn object() -> Compiled {
        Compiled { object: b"object".repeat(70), inputs: vec!["a.c".into()], warnings: "w".into(), was_kept: false }
    }

    fn kept() -> Option<Compiled> {
        Some(Compiled { was_kept: true, ..object() })
    }

    /// A tree with `a.c`, a root with a header, and the entries' folder.
    fn bench() -> (tempfile::TempDir, Target) {
        let dir = tempfile::tempdir().unwrap();
        files::write(&dir.path().join("tree/a.c"), b"int a;").unwrap();
        files::write(&dir.path().join("root/usr/lib/x.h"), b"int x;").unwrap();
        let target = crate::target::sample::target(&dir.path().join("tree"), &dir.path().join("root"));
        (dir, target)
    }

    fn later() -> SystemTime {
        SystemTime::now() + Duration::from_secs(60)
    }

    #[test]
    fn keeps_objects_until_an_input_changes() {
        let (dir, target) = bench();
        let open = || Cache::at(&target, dir.path().join("objects"));
        let over = Contents::default();
        let key = open().key(&["gcc".into(), "a.c".into()]);
        assert_ne!(key, open().key(&["gcc".into(), "-g".into(), "a.c".into()]));
        assert_ne!(key, open().key_of_one(&["gcc".into(), "a.c".into()], "patched"));
        let inputs = vec!["/usr/lib/x.h".into(), "a.c".into()];
        let (made, kept) = (Compiled { inputs: inputs.clone(), ..object() }, Compiled { inputs, ..kept().unwrap() });
        assert_eq!(open().compiled(&key, &over), None);
        open().put_compiled(&key, &over, SystemTime::UNIX_EPOCH, &made).unwrap();
        assert_eq!(open().compiled(&key, &over), None, "the input is newer than the compiler's run");
        open().put_compiled(&key, &over, later(), &made).unwrap();
        assert_eq!(open().compiled(&key, &over).as_ref(), Some(&kept));
        files::write(&dir.path().join("root/usr/lib/x.h"), b"int y;").unwrap();
        assert_eq!(open().compiled(&key, &over), None);
        open().put_compiled(&key, &over, later(), &made).unwrap();
        assert_eq!(open().compiled(&key, &over), Some(kept));
        std::fs::remove_file(dir.path().join("tree/a.c")).unwrap();
        assert_eq!(open().compiled(&key, &over), None);
    }

    #[test]
    fn keys_have_all_that_no_list_of_inputs_tells() {
        let (dir, mut target) = bench();
        let call =
            |flags: &[&str]| [&["gcc"], flags, &["a.c"]].concat().iter().map(|w| w.to_string()).collect::<Vec<_>>();
        let flags = ["-fplugin=./p.so", "-specs=./s"];
        let put = |file: &str, text: &[u8]| files::write(&dir.path().join(file), text).unwrap();
        let mut seen = vec![Cache::at(&target, "x".into()).key(&call(&flags))];
        let mut differs = |target: &Target, what: &str| {
            let key = Cache::at(target, "x".into()).key(&call(&flags));
            assert!(!seen.contains(&key), "{what}");
            seen.push(key);
        };
        put("tree/p.so", b"plugin");
        differs(&target, "a plugin");
        put("tree/s", b"specs of a compiler");
        differs(&target, "a file of specs");
        put("root/usr/bin/gcc", b"a compiler");
        differs(&target, "a compiler");
        put("root/usr/bin/gcc", b"another compiler");
        differs(&target, "another compiler");
        target.make_env = vec![("SOURCE_DATE_EPOCH".into(), "1".into())];
        differs(&target, "the environment");
        target.cc = "gcc (Debian 16.2.0-4) 16.2.0".into();
        differs(&target, "the compiler's own words");
        target.build_id = "01".into();
        differs(&target, "another kernel");
        target.tree_inside = "/tmp/elsewhere".into();
        differs(&target, "the tree's place");
    }

    #[test]
    fn the_parts_of_a_compiler_count() {
        let (dir, target) = bench();
        let target = Target { root: "/".into(), ..target };
        let part = dir.path().join("tree/part");
        let compiler = format!("#!/bin/sh\necho {}/part\n", target.tree_inside);
        files::write(&dir.path().join("tree/cc"), compiler.as_bytes()).unwrap();
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        std::fs::set_permissions(dir.path().join("tree/cc"), mode).unwrap();
        let key = || Cache::at(&target, "x".into()).key(&["./cc".into(), "a.c".into()]);
        let none = key();
        files::write(&part, b"cc1").unwrap();
        let first = key();
        files::write(&part, b"another cc1").unwrap();
        assert!(none != first && key() != first);
    }

    #[test]
    fn keeps_what_was_preprocessed_until_an_input_changes() {
        let (dir, target) = bench();
        let open = || Cache::at(&target, dir.path().join("objects"));
        let key = open().key(&[]);
        let words = [b"foo".as_slice(), b"bar"].into_iter().collect();
        let unit = Preprocessed { digest: "00".into(), words, inputs: vec!["a.c".into()] };
        open().put_preprocessed(&key, SystemTime::UNIX_EPOCH, &unit).unwrap();
        assert_eq!(open().preprocessed(&key), None, "the input is newer");
        open().put_preprocessed(&key, later(), &unit).unwrap();
        assert_eq!(open().preprocessed(&key).as_ref(), Some(&unit));
        files::write(&dir.path().join("tree/first/a.c"), b"int a;").unwrap();
        assert_eq!(open().preprocessed(&key), None, "another file of its name");
        std::fs::remove_file(dir.path().join("tree/first/a.c")).unwrap();
        let whole = std::fs::read(open().path(&key)).unwrap();
        for at in 0..whole.len() {
            std::fs::write(open().path(&key), &whole[..at]).unwrap();
            assert_eq!(open().preprocessed(&key), None, "cut at {at}");
        }
        std::fs::write(open().path(&key), &whole).unwrap();
        files::write(&dir.path().join("tree/a.c"), b"int b;").unwrap();
        assert_eq!(open().preprocessed(&key), None);
    }

    #[test]
    fn a_damaged_entry_is_a_missing_one() {
        let (dir, target) = bench();
        let cache = Cache::at(&target, dir.path().join("objects"));
        let (key, over) = (cache.key(&[]), Contents::default());
        cache.put_compiled(&key, &over, later(), &object()).unwrap();
        let whole = std::fs::read(cache.path(&key)).unwrap();
        assert_eq!(cache.compiled(&key, &over), kept());
        for cut in 0..whole.len() {
            std::fs::write(cache.path(&key), &whole[..cut]).unwrap();
            assert_eq!(cache.compiled(&key, &over), None, "cut at {cut}");
        }
        for flip in 0..whole.len() {
            let mut bad = whole.clone();
            bad[flip] ^= 1;
            std::fs::write(cache.path(&key), &bad).unwrap();
            // A flipped byte may still leave a valid header; what comes out is right or nothing.
            assert!(cache.compiled(&key, &over).is_none_or(|o| Some(o) == kept()), "flipped {flip}");
        }
    }

    #[test]
    fn what_was_found_is_found_once() {
        let dir = tempfile::tempdir().unwrap();
        let key = files::key(&["facts"]);
        let find = |n: u64| found_in(dir.path(), &key, || Ok(n)).unwrap();
        assert_eq!((find(1), find(2)), (1, 1));
        let entry = dir.path().join(&key[..2]).join(&key);
        let whole = std::fs::read(&entry).unwrap();
        for at in 0..whole.len() {
            std::fs::write(&entry, &whole[..at]).unwrap();
            assert_eq!(find(3), 3, "cut at {at}");
        }
        assert!(found_in(dir.path(), &files::key(&["none"]), || -> Result<u64> { anyhow::bail!("no") }).is_err());
    }

    #[test]
    fn reads_dependency_lists() {
        assert_eq!(
            inputs("a.o: a.c include/x.h \\\n include/b.h \\\n /usr/y.h\n").unwrap(),
            ["/usr/y.h", "a.c", "include/b.h", "include/x.h"]
        );
        assert!(inputs("nothing").is_err());
        assert!(inputs("a.o: a\\ b.c").is_err());
    }
}
