// SPDX-License-Identifier: GPL-2.0-or-later
//! Keeps the objects of unpatched units: a unit's command and all that it read in, its two objects out.
//!
//! An entry is found by the target, the compiler and the command, and is used only when every file that the
//! compiler read then has the same content now. A damaged entry is a missing one. Objects of patched sources are kept in the
//! same way, by the content of what the fixes lay over the tree: of a cumulative patch, a new version compiles only what it changes.

use super::overlay::Contents;
use crate::c::words::Words;
use crate::files;
use crate::target::kbuild;
use crate::target::Target;
use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{LazyLock, Mutex};
use std::time::SystemTime;

/// Raised when the flags added to a unit, or the entry's format, change.
const VERSION: &str = "kmend objects 3";

/// A checksum of the rules by which tokens count: what was found by others is found anew.
static TOKENS: LazyLock<String> = LazyLock::new(|| {
    let rules = [include_str!("../c/tokens.rs"), include_str!("../c/tokens/types.rs"), include_str!("../c/words.rs")];
    // What the tests of these rules say changes none of them.
    let code = rules.map(|text| text.split("#[cfg(test)]").next().unwrap_or_default());
    files::sha256(code.concat().as_bytes())
});

/// The objects of an unpatched unit.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Originals {
    /// Compiled with kbuild's flags alone.
    pub shipped: Vec<u8>,
    /// With a section for each function and datum.
    pub original: Vec<u8>,
    /// Compiled to run in another module; empty where the architecture needs no such thing.
    pub moved: Vec<u8>,
}

#[derive(Serialize, Deserialize)]
struct Header {
    version: String,
    /// Path as the compiler named it, SHA-256 of the content.
    inputs: Vec<(String, String)>,
    shipped: usize,
    original: usize,
    moved: usize,
    sha256: String,
}

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

/// The first line of its entry; the object follows, packed.
#[derive(Serialize, Deserialize)]
struct CompiledHeader {
    version: String,
    inputs: Vec<(String, String)>,
    warnings: String,
    size: usize,
    /// Of the body as it stands there and the warnings.
    sha256: String,
}

/// A checksum of what edits assembly on its way into an object.
static EDITS: LazyLock<String> = LazyLock::new(|| {
    let edits = [include_str!("named.rs"), include_str!("../arch/ppc64le/transplant.rs")];
    files::sha256(edits.concat().as_bytes())
});

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
    /// Of the inputs' checksums, in their order, and of the words.
    sha256: String,
    digest: String,
}

/// No entry of a preprocessed unit is larger than that.
const LARGEST: usize = 16 << 20;

/// The entries of one target.
pub struct Cache<'a> {
    target: &'a Target,
    dir: PathBuf,
    hashes: Mutex<HashMap<String, Option<String>>>,
}

impl<'a> Cache<'a> {
    /// The cache for `target`'s units.
    pub fn open(target: &'a Target) -> Result<Self> {
        Ok(Self::at(target, files::cache_dir()?.join("objects")))
    }

    /// The cache for `target`'s units in a folder of choice.
    pub fn at(target: &'a Target, dir: PathBuf) -> Self {
        Self { target, dir, hashes: Mutex::default() }
    }

    /// The name of a unit's entry; `call` is the compiler with all its arguments.
    pub fn key(&self, call: &[String]) -> String {
        let t = self.target;
        let mut text = [VERSION, &t.release, &t.arch, &t.build_id, &t.cc, &t.tree_inside].join("\0");
        // A compiler that is replaced under the same version string is told by its file.
        let compiler = call.first().map(String::as_str).unwrap_or_default();
        text.push_str(&["/usr/bin", "/bin", "/usr/local/bin"].map(|d| stamp(&t.root, d, compiler)).join("\0"));
        text.push_str(&call.join("\0"));
        files::sha256(text.as_bytes())
    }

    fn path(&self, key: &str) -> PathBuf {
        self.dir.join(&key[..2]).join(key)
    }

    /// The objects under `key`, if they are whole and made of what stands there now.
    pub fn get(&self, key: &str) -> Option<Originals> {
        let bytes = std::fs::read(self.path(key)).ok()?;
        let end = bytes.iter().position(|b| *b == b'\n')?;
        let header: Header = serde_json::from_slice(&bytes[..end]).ok()?;
        let body = &bytes[end + 1..];
        if header.version != VERSION || files::sha256(body) != header.sha256 {
            return None;
        }
        if !header.inputs.iter().all(|(path, sha)| self.hash(path).as_ref() == Some(sha)) {
            return None;
        }
        let both = header.shipped.checked_add(header.original)?;
        let total = both.checked_add(header.moved)?;
        let mut all = zstd::bulk::decompress(body, total).ok().filter(|all| all.len() == total)?;
        let moved = all.split_off(both);
        let original = all.split_off(header.shipped);
        Some(Originals { shipped: all, original, moved })
    }

    /// Stores a unit's objects; `inputs` are the files that the compiler read. Nothing is stored while one of them
    /// is being edited (changed since `begun`) or when one cannot be read.
    pub fn put(&self, key: &str, inputs: &[String], begun: SystemTime, objects: &Originals) -> Result<()> {
        let Some(hashed) = self.hashed(inputs, &Contents::default(), begun) else { return Ok(()) };
        let all = [objects.shipped.as_slice(), &objects.original, &objects.moved].concat();
        let body = zstd::bulk::compress(&all, 1).context("cannot compress an object for the cache")?;
        let header = Header {
            version: VERSION.into(),
            inputs: hashed,
            shipped: objects.shipped.len(),
            original: objects.original.len(),
            moved: objects.moved.len(),
            sha256: files::sha256(&body),
        };
        let mut entry = serde_json::to_vec(&header).context("cannot write a cache entry's header")?;
        entry.push(b'\n');
        entry.extend(body);
        files::keep(&self.path(key), &entry);
        Ok(())
    }

    /// The name of the entry for one object: the full call with `what` it is made for.
    pub fn key_of_one(&self, call: &[String], what: &str) -> String {
        files::sha256([&self.key(call), what, EDITS.as_str(), "one object 1"].join("\0").as_bytes())
    }

    /// The object under `key`, if it is whole and made of what would be read now, with `over` in the place of files of the tree.
    pub fn compiled(&self, key: &str, over: &Contents) -> Option<Compiled> {
        let bytes = std::fs::read(self.path(key)).ok()?;
        let end = bytes.iter().position(|b| *b == b'\n')?;
        let header: CompiledHeader = serde_json::from_slice(&bytes[..end]).ok()?;
        let body = &bytes[end + 1..];
        let sound = header.version == VERSION
            && header.sha256 == sum_of(body, &header)
            && header.inputs.iter().all(|(path, sha)| self.hash_over(path, over).as_ref() == Some(sha));
        let object = sound.then(|| zstd::bulk::decompress(body, header.size).ok())??;
        let inputs = header.inputs.into_iter().map(|(path, _)| path).collect();
        (object.len() == header.size).then_some(Compiled { object, inputs, warnings: header.warnings, was_kept: true })
    }

    /// Stores one object, as [`Cache::put`] does all of a unit.
    pub fn put_compiled(&self, key: &str, over: &Contents, begun: SystemTime, made: &Compiled) -> Result<()> {
        let Some(inputs) = self.hashed(&made.inputs, over, begun) else { return Ok(()) };
        let body = zstd::bulk::compress(&made.object, 1).context("cannot compress an object for the cache")?;
        let mut header = CompiledHeader {
            version: VERSION.into(),
            inputs,
            warnings: made.warnings.clone(),
            size: made.object.len(),
            sha256: String::new(),
        };
        header.sha256 = sum_of(&body, &header);
        let mut entry = serde_json::to_vec(&header).context("cannot write a cache entry's header")?;
        entry.push(b'\n');
        entry.extend(body);
        files::keep(&self.path(key), &entry);
        Ok(())
    }

    fn hash_over(&self, input: &str, over: &Contents) -> Option<String> {
        over.get(&self.plain(input)).cloned().or_else(|| self.hash(input))
    }

    /// A path as the compiler names it, relative to the tree where it is in it.
    fn plain(&self, input: &str) -> String {
        match input.strip_prefix(self.target.tree_inside.as_str()) {
            Some(rest) => kbuild::plain(rest),
            None if input.starts_with('/') => input.into(),
            None => kbuild::plain(input),
        }
    }

    /// The inputs with their checksums, with `over` in the place of files of the tree; None when a file of the tree was changed
    /// since `begun`, or one cannot be read.
    fn hashed(&self, inputs: &[String], over: &Contents, begun: SystemTime) -> Option<Vec<(String, String)>> {
        let mut hashed = Vec::with_capacity(inputs.len());
        for input in inputs {
            if over.get(&self.plain(input)).is_none() {
                let changed = std::fs::metadata(self.host(input)).and_then(|m| m.modified()).ok()?;
                if changed >= begun {
                    return None;
                }
            }
            hashed.push((input.clone(), self.hash_over(input, over)?));
        }
        Some(hashed)
    }

    /// What is kept of a preprocessed unit under `key`.
    pub fn preprocessed(&self, key: &str) -> Option<Preprocessed> {
        let entry = zstd::bulk::decompress(&std::fs::read(self.path(key)).ok()?, LARGEST).ok()?;
        let end = entry.iter().position(|b| *b == b'\n')?;
        let kept: Digest = serde_json::from_slice(&entry[..end]).ok()?;
        let words = &entry[end + 1..];
        let hashes = kept.inputs.iter().map(|path| self.hash(path)).collect::<Option<Vec<_>>>()?;
        let sound = kept.version == *TOKENS && kept.sha256 == of_all(&hashes, words);
        sound.then(|| Preprocessed { digest: kept.digest, words: Words::read(words), inputs: kept.inputs })
    }

    /// Stores what is known of a preprocessed unit, as [`Cache::put`] does objects.
    pub fn put_preprocessed(&self, key: &str, begun: SystemTime, unit: &Preprocessed) -> Result<()> {
        let Some(inputs) = self.hashed(&unit.inputs, &Contents::default(), begun) else { return Ok(()) };
        let (inputs, hashes): (Vec<String>, Vec<String>) = inputs.into_iter().unzip();
        let words = unit.words.bytes();
        let sha256 = of_all(&hashes, &words);
        let kept = Digest { version: TOKENS.clone(), inputs, sha256, digest: unit.digest.clone() };
        let mut entry = serde_json::to_vec(&kept).context("cannot write a cache entry")?;
        entry.push(b'\n');
        entry.extend(words);
        let entry = zstd::bulk::compress(&entry, 1).context("cannot compress a cache entry")?;
        files::keep(&self.path(key), &entry);
        Ok(())
    }

    /// Where a file that the compiler read stands on this machine.
    fn host(&self, input: &str) -> PathBuf {
        let inside = Path::new(input);
        match inside.strip_prefix(&self.target.tree_inside) {
            Ok(rest) => self.target.tree.join(rest),
            Err(_) if inside.is_absolute() => self.target.root.join(input.trim_start_matches('/')),
            Err(_) => self.target.tree.join(inside),
        }
    }

    fn hash(&self, input: &str) -> Option<String> {
        if let Ok(known) = self.hashes.lock() {
            if let Some(hash) = known.get(input) {
                return hash.clone();
            }
        }
        let hash = std::fs::read(self.host(input)).ok().map(|b| files::sha256(&b));
        if let Ok(mut known) = self.hashes.lock() {
            known.insert(input.into(), hash.clone());
        }
        hash
    }
}

fn sum_of(body: &[u8], header: &CompiledHeader) -> String {
    files::sha256(&[body, header.warnings.as_bytes(), &header.size.to_le_bytes()].concat())
}

fn of_all(hashes: &[String], words: &[u8]) -> String {
    let mut all = hashes.concat().into_bytes();
    all.extend(words);
    files::sha256(&all)
}

/// Size and time of a program in the build root, links followed within it; empty when it is not there.
fn stamp(root: &Path, dir: &str, program: &str) -> String {
    let mut at = PathBuf::from(dir).join(program);
    for _ in 0..8 {
        let host = root.join(at.strip_prefix("/").unwrap_or(&at));
        match std::fs::read_link(&host) {
            Ok(to) => at = at.parent().unwrap_or(Path::new("/")).join(to),
            Err(_) => {
                let Ok(meta) = std::fs::metadata(&host) else { return String::new() };
                let time = meta.modified().ok().and_then(|t| t.duration_since(SystemTime::UNIX_EPOCH).ok());
                return format!("{} {}", meta.len(), time.unwrap_or_default().as_nanos());
            }
        }
    }
    String::new()
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

    fn objects() -> Originals {
        Originals { shipped: b"shipped".repeat(50), original: b"original".repeat(70), moved: b"moved".repeat(30) }
    }

    #[test]
    fn keeps_objects_until_an_input_changes() {
        let dir = tempfile::tempdir().unwrap();
        files::write(&dir.path().join("tree/a.c"), b"int a;").unwrap();
        files::write(&dir.path().join("root/usr/lib/x.h"), b"int x;").unwrap();
        let target = crate::target::sample::target(&dir.path().join("tree"), &dir.path().join("root"));
        let open = || Cache::at(&target, dir.path().join("objects"));
        let key = open().key(&["gcc".into(), "a.c".into()]);
        assert_ne!(key, open().key(&["gcc".into(), "-g".into(), "a.c".into()]));
        let read = ["a.c".to_string(), "/usr/lib/x.h".into()];
        assert_eq!(open().get(&key), None);
        open().put(&key, &read, SystemTime::UNIX_EPOCH, &objects()).unwrap();
        assert_eq!(open().get(&key), None, "the input is newer than the compiler's run");
        let later = SystemTime::now() + std::time::Duration::from_secs(60);
        open().put(&key, &read, later, &objects()).unwrap();
        assert_eq!(open().get(&key), Some(objects()));
        files::write(&dir.path().join("root/usr/lib/x.h"), b"int y;").unwrap();
        assert_eq!(open().get(&key), None);
        open().put(&key, &read, later, &objects()).unwrap();
        assert_eq!(open().get(&key), Some(objects()));
        std::fs::remove_file(dir.path().join("tree/a.c")).unwrap();
        assert_eq!(open().get(&key), None);
    }

    #[test]
    fn keeps_what_was_preprocessed_until_an_input_changes() {
        let dir = tempfile::tempdir().unwrap();
        files::write(&dir.path().join("tree/a.c"), b"int a;").unwrap();
        let target = crate::target::sample::target(&dir.path().join("tree"), &dir.path().join("root"));
        let open = || Cache::at(&target, dir.path().join("objects"));
        let key = open().key(&[]);
        let words = [b"foo".as_slice(), b"bar"].into_iter().collect();
        let unit = Preprocessed { digest: "00".into(), words, inputs: vec!["a.c".into()] };
        open().put_preprocessed(&key, SystemTime::UNIX_EPOCH, &unit).unwrap();
        assert_eq!(open().preprocessed(&key), None, "the input is newer");
        let later = SystemTime::now() + std::time::Duration::from_secs(60);
        open().put_preprocessed(&key, later, &unit).unwrap();
        assert_eq!(open().preprocessed(&key).as_ref(), Some(&unit));
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
        let dir = tempfile::tempdir().unwrap();
        let target = crate::target::sample::target(dir.path(), dir.path());
        let cache = Cache::at(&target, dir.path().join("objects"));
        let key = cache.key(&[]);
        cache.put(&key, &[], SystemTime::now(), &objects()).unwrap();
        let whole = std::fs::read(cache.path(&key)).unwrap();
        assert_eq!(cache.get(&key), Some(objects()));
        for cut in 0..whole.len() {
            std::fs::write(cache.path(&key), &whole[..cut]).unwrap();
            assert_eq!(cache.get(&key), None, "cut at {cut}");
        }
        for flip in 0..whole.len() {
            let mut bad = whole.clone();
            bad[flip] ^= 1;
            std::fs::write(cache.path(&key), &bad).unwrap();
            // A flipped byte may still leave a valid header; what comes out is right or nothing.
            assert!(cache.get(&key).is_none_or(|o| o == objects()), "flipped {flip}");
        }
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
