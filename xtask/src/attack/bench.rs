// SPDX-License-Identifier: GPL-2.0-or-later
//! The starting point of attacks: valid inputs of each kind, made by the real tools, and their results without an
//! attack.

use super::inputs;
use super::kills::{calls, Calls};
use super::mutate::{mutate, Random};
use anyhow::{bail, ensure, Context, Result};
use kmend_builder::files;
use kmend_builder::target::{store, Target};
use qemu_tests::builds::find_kmend_build;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

/// So many tries run side by side; each has a cache of its own.
pub const WORKERS: usize = 4;

/// A unit that is small and part of every kernel.
const UNIT: &str = "fs/proc/cmdline.c";

/// The change that the sound fix makes.
const CHANGE: [&str; 2] = ["seq_putc(m, '\\n');", "seq_puts(m, \" changed\\n\");"];

/// The name of the sound module.
pub const NAME: &str = "kmend_attack";

/// Two texts of one unit, with what objects of the kernel have: strings, tables, static variables, weak functions.
const TEXTS: [&str; 2] = [
    "extern int printf(const char *, ...); static int seen; static const char *const names[] = { \"one\", \"two\" };\n\
     __attribute__((weak)) int other(int x) { return x; }\n\
     int f(int x) { seen += x; switch (x) { case 1: return printf(\"%s\", names[0]); case 2: return other(3); } return seen; }\n\
     int g(int x) { return f(x) + 1; }\n",
    "extern int printf(const char *, ...); static int seen; static const char *const names[] = { \"one\", \"two\" };\n\
     __attribute__((weak)) int other(int x) { return x; }\n\
     static int many(int x) { return printf(\"%d of %s\", x, names[1]); }\n\
     int f(int x) { seen += x; switch (x) { case 1: return printf(\"%s\", names[0]); case 2: return many(3); } return seen; }\n\
     int g(int x) { return f(x) + 1; }\n",
];

/// The sound inputs.
#[derive(Clone)]
pub struct Bench {
    /// The builder.
    pub kmend_build: PathBuf,
    /// The host tool.
    pub kmend: PathBuf,
    /// The kernel that is built for.
    pub target: Target,
    /// Original and patched object.
    pub objects: [Vec<u8>; 2],
    /// The sound fix.
    pub patch: Vec<u8>,
    /// The module that comes of it.
    pub module: Vec<u8>,
    /// The same, signed.
    pub signed: Vec<u8>,
    /// A private key and its certificate.
    pub keys: [PathBuf; 2],
    /// A stream of that fix, and its ledger after a release.
    pub stream: Vec<u8>,
    pub ledger: Vec<u8>,
    /// The cache folder of this worker, which holds all that a build of the sound fix takes from it.
    pub cache: PathBuf,
    /// What install, sign and build of it call.
    pub calls: [Calls; 3],
    /// Nothing is spoilt, and no process is killed: the result has to be accepted.
    pub sound: bool,
    dir: Arc<tempfile::TempDir>,
}

impl Bench {
    /// Makes all of it.
    ///
    /// # Errors
    /// The target is not prepared, a tool is missing, or a sound input is refused.
    pub fn new(target: &str) -> Result<Self> {
        let target = store::resolve(target)?;
        let kmend_build = find_kmend_build()?;
        let kmend = kmend()?;
        let dir = Arc::new(tempfile::tempdir().context("cannot make a temporary folder")?);
        let at = |name: &str| dir.path().join(name);
        let objects = [compile(dir.path(), TEXTS[0])?, compile(dir.path(), TEXTS[1])?];
        let text = files::read_text(&target.tree.join(UNIT))?;
        ensure!(text.contains(CHANGE[0]), "{UNIT} of {} has another text: the attacks need another place", target.name);
        let fixed = text.replacen(CHANGE[0], CHANGE[1], 1);
        let (before, after) = (at("before"), at("after"));
        files::write(&before, text.as_bytes())?;
        files::write(&after, fixed.as_bytes())?;
        let labels = [format!("--label=a/{UNIT}"), format!("--label=b/{UNIT}")];
        let diff = Command::new("diff").arg("-u").args(&labels).args([&before, &after]).output().context("diff")?;
        let patch = diff.stdout;
        let mut bench = Self {
            kmend_build,
            kmend,
            keys: [at("key.pem"), at("cert.pem")],
            target,
            objects,
            patch,
            module: Vec::new(),
            signed: Vec::new(),
            stream: Vec::new(),
            ledger: Vec::new(),
            cache: at("cache-0"),
            calls: Default::default(),
            sound: false,
            dir: Arc::clone(&dir),
        };
        for worker in 0..WORKERS {
            bench.of_worker(worker).prepare_cache(worker)?;
        }
        let fix = at("fix.patch");
        files::write(&fix, &bench.patch)?;
        // The first build fills the caches: what the others take from them is what is attacked.
        for worker in 0..kmend_builder::parallel::processors().min(WORKERS) {
            let out = at(&format!("out-{worker}"));
            done(&mut bench.of_worker(worker).build(&fix, &out))?;
            let module = files::read(&out.join(format!("{NAME}.ko")))?;
            ensure!(worker == 0 || module == bench.module, "two builds of one fix differ");
            bench.module = module;
        }
        bench.sign()?;
        bench.release()?;
        let module = at("again.ko");
        files::write(&module, &bench.module)?;
        let host = at("host");
        let mut install = inputs::host(&bench, &host)?;
        install.arg("install").arg(&module);
        let (sign, build) = (bench.signer(&module), bench.build(&fix, &at("counted")));
        bench.calls = [calls(&install, &host)?, calls(&sign, &host)?, calls(&build, &host)?];
        Ok(bench)
    }

    /// As worker `n` sees it.
    pub fn of_worker(&self, n: usize) -> Self {
        Self { cache: self.dir.path().join(format!("cache-{n}")), ..self.clone() }
    }

    /// The same, with nothing spoilt.
    pub fn sound(&self) -> Self {
        Self { sound: true, ..self.clone() }
    }

    /// `good`, spoilt.
    pub fn spoil(&self, good: &[u8], random: &mut Random) -> Vec<u8> {
        if self.sound {
            good.to_vec()
        } else {
            mutate(good, random)
        }
    }

    /// `kmend-build build` of a fix.
    pub fn build(&self, fix: &Path, out: &Path) -> Command {
        let mut command = self.builder();
        command.args(["build", "-t", &self.target.name, "-n", NAME, "-o"]).arg(out).arg(fix);
        command
    }

    /// The builder, with this worker's cache.
    pub fn builder(&self) -> Command {
        let mut command = Command::new(&self.kmend_build);
        command.env("KMEND_CACHE", &self.cache);
        command
    }

    /// A cache with the target's record. The tree, the build root and what others use too stay where they are.
    fn prepare_cache(&self, worker: usize) -> Result<()> {
        let shared = files::cache_dir()?;
        let cache = self.dir.path().join(format!("cache-{worker}"));
        let record = Path::new("targets").join(store::escape(&self.target.name)).join("target.json");
        files::write(&cache.join(&record), &serde_json::to_vec(&self.target)?)?;
        copy_files(&shared.join("index"), &cache.join("index"))?;
        for entry in std::fs::read_dir(shared.join("bindings")).into_iter().flatten().flatten() {
            if entry.path().is_dir() {
                copy_files(&entry.path(), &cache.join("bindings").join(entry.file_name()))?;
            }
        }
        // kbuild works in the one tree: the lock on it is everybody's.
        std::fs::create_dir_all(shared.join("locks")).context("locks")?;
        symlink(shared.join("locks"), cache.join("locks")).context("locks")
    }

    fn sign(&mut self) -> Result<()> {
        let [key, cert] = &self.keys;
        let mut openssl = Command::new("openssl");
        openssl.args(["req", "-new", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=attack", "-keyout"]);
        done(openssl.arg(key).arg("-out").arg(cert))?;
        let module = self.dir.path().join("signed.ko");
        files::write(&module, &self.module)?;
        done(&mut self.signer(&module))?;
        self.signed = files::read(&module)?;
        Ok(())
    }

    /// `kmend-build sign` of a module.
    pub fn signer(&self, module: &Path) -> Command {
        let mut command = self.builder();
        command.arg("sign").arg("--key").arg(&self.keys[0]).arg("--cert").arg(&self.keys[1]).arg(module);
        command
    }

    fn release(&mut self) -> Result<()> {
        let dir = self.dir.path().join("stream");
        let stream = format!(
            "name = \"attack\"\npackager = \"A Team <a@example.org>\"\nurl = \"https://example.org\"\npackages = \"deb\"\n\n\
             [[kernel]]\ntarget = \"{}\"\n\n[[version]]\nversion = \"1-1\"\ndate = \"2026-10-01\"\n\n\
             [[version.fix]]\npatch = \"fix.patch\"\ncves = [\"CVE-2026-1001\"]\n",
            self.target.name
        );
        files::write(&dir.join("stream.toml"), stream.as_bytes())?;
        files::write(&dir.join("fix.patch"), &self.patch)?;
        let mut release = self.builder();
        release
            .args(["stream", "release"])
            .arg(dir.join("stream.toml"))
            .arg("-o")
            .arg(self.dir.path().join("repository"));
        done(&mut release)?;
        self.stream = stream.into_bytes();
        self.ledger = files::read(&dir.join("ledger.json"))?;
        Ok(())
    }
}

/// The host tool, beside this program.
fn kmend() -> Result<PathBuf> {
    let here = std::env::current_exe().context("this program's path")?;
    let beside = here.with_file_name("kmend");
    if !beside.is_file() {
        crate::shell(&crate::cargo(), &["build", "--quiet", "--workspace", "--bin", "kmend"])?;
    }
    ensure!(beside.is_file(), "there is no {}", beside.display());
    Ok(beside)
}

fn compile(dir: &Path, text: &str) -> Result<Vec<u8>> {
    let (source, object) = (dir.join("unit.c"), dir.join("unit.o"));
    files::write(&source, text.as_bytes())?;
    let mut gcc = Command::new("gcc");
    gcc.args(["-O2", "-g", "-ffunction-sections", "-fdata-sections", "-fno-pie", "-pg", "-mfentry", "-mrecord-mcount"]);
    done(gcc.args(["-mcmodel=kernel", "-c", "-o"]).args([&object, &source]))?;
    files::read(&object)
}

fn copy_files(from: &Path, to: &Path) -> Result<()> {
    std::fs::create_dir_all(to).with_context(|| to.display().to_string())?;
    for entry in std::fs::read_dir(from).into_iter().flatten().flatten().filter(|e| e.path().is_file()) {
        std::fs::copy(entry.path(), to.join(entry.file_name())).with_context(|| entry.path().display().to_string())?;
    }
    Ok(())
}

/// Runs a command that has to end well.
fn done(command: &mut Command) -> Result<()> {
    let output = command.output().with_context(|| format!("cannot start {command:?}"))?;
    if output.status.success() {
        return Ok(());
    }
    bail!("{command:?} ended with {}:\n{}", output.status, String::from_utf8_lossy(&output.stderr))
}
