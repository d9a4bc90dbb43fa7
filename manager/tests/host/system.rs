// SPDX-License-Identifier: GPL-2.0-or-later
//! A false system and its kernel, which answers at ROOT/kernel.sock as manager/src/host/elsewhere.rs asks it. Its
//! livepatch does what kernel/livepatch/ does as seen from sysfs: transitions take time, can stall, can be turned around;
//! a live patch that was taken back goes away; an atomic replace takes the others' folders away. Time passes only when
//! kmend sleeps, so that a test that waits for 75 seconds takes none.

use super::ko::{note, Ko};
use kmend_manager::module::Module;
use std::collections::{BTreeMap, VecDeque};
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// `uname -r` of the false system.
pub const RELEASE: &str = "5.14.0-362.8.1.el9_3.x86_64";

/// EBUSY.
pub const BUSY: i32 = 16;

/// What the kernel shall do.
#[derive(Default)]
pub struct Plan {
    /// Answers to the next requests to load a module of that name: errno values.
    pub load: BTreeMap<String, VecDeque<i32>>,
    /// How long a transition of that live patch to that state takes, milliseconds; None: for ever.
    pub transitions: BTreeMap<(String, bool), Option<u64>>,
    /// It has the file `signal`, and a transition ends when it is written to.
    pub signal: bool,
    /// It cannot force.
    pub no_force: bool,
    /// What modules replace: folders `OBJECT/FUNCTION,POSITION`.
    pub functions: BTreeMap<String, Vec<String>>,
    /// How long a second of kmend's sleep really takes.
    pub second: Duration,
    /// A module that it takes, but does not register.
    pub registers_nothing: bool,
}

struct State {
    root: PathBuf,
    plan: Plan,
    now: u64,
    /// When transitions end, milliseconds; None: never.
    ends: BTreeMap<String, Option<u64>>,
    replacing: Vec<String>,
    log: Vec<String>,
}

/// The system.
pub struct System {
    dir: tempfile::TempDir,
    state: Arc<Mutex<State>>,
}

/// What a run of kmend said.
pub struct Said {
    /// Exit code.
    pub code: i32,
    /// Standard output.
    pub out: String,
    /// Standard error.
    pub err: String,
}

impl Said {
    /// The exit code has to be this.
    #[track_caller]
    pub fn ends(self, code: i32) -> Self {
        assert_eq!(self.code, code, "standard output:\n{}\nstandard error:\n{}", self.out, self.err);
        self
    }

    /// Standard error has to hold this.
    #[track_caller]
    pub fn complains(self, text: &str) -> Self {
        assert!(self.err.contains(text), "{:?} is not said:\n{}\n{}", text, self.out, self.err);
        self
    }

    /// Standard output has to hold this.
    #[track_caller]
    pub fn says(self, text: &str) -> Self {
        assert!(self.out.contains(text), "{:?} is not said:\n{}\n{}", text, self.out, self.err);
        self
    }
}

impl System {
    /// One with nothing loaded or installed.
    pub fn new() -> Self {
        Self::with(Plan::default())
    }

    /// One whose kernel has a plan.
    pub fn with(plan: Plan) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().to_path_buf();
        let put = |name: &str, data: &[u8]| {
            fs::create_dir_all(root.join(name).parent().unwrap()).unwrap();
            fs::write(root.join(name), data).unwrap();
        };
        put("proc/sys/kernel/osrelease", format!("{RELEASE}\n").as_bytes());
        put("proc/sys/kernel/arch", b"x86_64\n");
        put("proc/sys/kernel/random/boot_id", b"boot 0\n");
        put("sys/kernel/notes", &note(b"GNU\0", 3, &[0xab, 0xcd, 0x01, 0x02]));
        put("bin/systemctl", b"#!/bin/sh\necho \"$@\" >>\"$SYSTEMCTL_LOG\"\n");
        fs::create_dir_all(root.join("sys/kernel/livepatch")).unwrap();
        fs::create_dir_all(root.join("sys/module")).unwrap();
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        fs::set_permissions(root.join("bin/systemctl"), mode).unwrap();
        let listener = UnixListener::bind(root.join("kernel.sock")).unwrap();
        let (ends, replacing, log) = (BTreeMap::new(), Vec::new(), Vec::new());
        let state = Arc::new(Mutex::new(State { root, plan, now: 0, ends, replacing, log }));
        let kernel = Arc::clone(&state);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let kernel = Arc::clone(&kernel);
                std::thread::spawn(move || serve(&kernel, stream));
            }
        });
        Self { dir, state }
    }

    /// Its root.
    pub fn root(&self) -> &Path {
        self.dir.path()
    }

    /// Runs kmend on it.
    pub fn kmend(&self, args: &[&str]) -> Said {
        self.run(&crate::program(), args)
    }

    /// Runs a program that is kmend.
    pub fn run(&self, program: &Path, args: &[&str]) -> Said {
        let Output { status, stdout, stderr } = self.command(program, args).output().unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        Said { code: status.code().unwrap_or(-1), out: text(stdout), err: text(stderr) }
    }

    /// The command, not yet run.
    pub fn command(&self, program: &Path, args: &[&str]) -> Command {
        let mut command = Command::new(program);
        command.args(args).current_dir(self.root()).env("KMEND_ROOT", self.root());
        command.env("PATH", self.root().join("bin")).env("SYSTEMCTL_LOG", self.root().join("systemctl.log"));
        command
    }

    /// Puts a file outside of the false system's folders, as it comes from a package.
    pub fn file(&self, name: &str, bytes: &[u8]) -> String {
        let path = self.root().join(name);
        fs::write(&path, bytes).unwrap();
        path.to_str().unwrap().into()
    }

    /// Puts a file of the system there.
    pub fn put(&self, path: &str, text: &str) {
        let path = self.root().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    /// Puts a program into its PATH: a shell script.
    pub fn program(&self, name: &str, script: &str) {
        self.put(&format!("bin/{name}"), &format!("#!/bin/sh\n{script}\n"));
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        fs::set_permissions(self.root().join("bin").join(name), mode).unwrap();
    }

    /// Puts an installed file there.
    pub fn installed(&self, file: &str, bytes: &[u8]) {
        let folder = self.folder(RELEASE);
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join(file), bytes).unwrap();
    }

    /// Installs version `version` (`1-2`) of the stream; kmend's own, with one fix.
    pub fn version(&self, version: &str) -> String {
        let name = name(version);
        let title = format!("fix of {version}");
        self.installed(&file(version), &Ko::with_manifest(&name, RELEASE, &[&title]).bytes());
        name
    }

    /// The folder of installed files.
    pub fn folder(&self, release: &str) -> PathBuf {
        self.root().join("var/lib/kpatch").join(release)
    }

    /// A live patch that the kernel has, as its folder in sysfs shows it.
    pub fn loaded(&self, name: &str, enabled: bool, transition: bool) {
        let state = self.state.lock().unwrap();
        let functions = state.plan.functions.get(name).cloned().unwrap_or_default();
        register(&state.root, name, &functions, &state.plan);
        let folder = state.root.join("sys/kernel/livepatch").join(name);
        put_flag(&folder, "enabled", enabled);
        put_flag(&folder, "transition", transition);
        fs::create_dir_all(state.root.join("sys/module").join(name).join("notes")).unwrap();
    }

    /// Boots once more after a shutdown in good order: what is loaded has crashed nothing.
    pub fn reboots(&self) {
        self.kmend(&["shutdown-mark"]).ends(0);
        self.boots_again();
    }

    /// Boots it again, however it went down: nothing is loaded, and it is another boot.
    pub fn boots_again(&self) {
        let mut state = self.state.lock().unwrap();
        state.ends.clear();
        state.replacing.clear();
        state.log.clear();
        for folder in ["sys/kernel/livepatch", "sys/module"] {
            fs::remove_dir_all(self.root().join(folder)).unwrap();
            fs::create_dir_all(self.root().join(folder)).unwrap();
        }
        let path = self.root().join("proc/sys/kernel/random/boot_id");
        let boots: u32 = fs::read_to_string(&path).unwrap().trim().strip_prefix("boot ").unwrap().parse().unwrap();
        fs::write(path, format!("boot {}\n", boots + 1)).unwrap();
    }

    /// It is that time of the day, `10:00:00`, and the host has been up since midnight.
    pub fn at(&self, time: &str) {
        self.put("clock", &format!("2026-11-25T{time}Z"));
        let parts: Vec<u64> = time.split(':').map(|part| part.parse().unwrap()).collect();
        self.up(parts[0] * 3600 + parts[1] * 60 + parts[2]);
    }

    /// So many seconds have passed since the boot.
    pub fn up(&self, seconds: u64) {
        self.put("proc/uptime", &format!("{seconds}.25 1.00\n"));
    }

    /// From now on a transition of that live patch to that state takes so long, milliseconds; None: for ever.
    pub fn takes(&self, name: &str, on: bool, time: Option<u64>) {
        self.state.lock().unwrap().plan.transitions.insert((name.into(), on), time);
    }

    /// What a note of kmend's holds; null where there is none.
    pub fn note(&self, name: &str) -> serde_json::Value {
        let text = fs::read_to_string(self.root().join("var/lib/kmend").join(name)).ok();
        text.map_or(serde_json::Value::Null, |text| serde_json::from_str(&text).unwrap())
    }

    /// A task.
    pub fn task(&self, pid: u64, tid: u64, comm: &str, patch_state: &str, stack: &str) {
        let folder = self.root().join(format!("proc/{pid}/task/{tid}"));
        fs::create_dir_all(&folder).unwrap();
        for (name, text) in [("comm", comm), ("patch_state", patch_state), ("stack", stack)] {
            fs::write(folder.join(name), format!("{text}\n")).unwrap();
        }
    }

    /// What the kernel was asked, sleep aside; paths without the root.
    pub fn asked(&self) -> Vec<String> {
        self.state.lock().unwrap().log.clone()
    }

    /// Seconds that kmend slept.
    pub fn slept(&self) -> u64 {
        self.state.lock().unwrap().now / 1000
    }

    /// Live patches in sysfs, and their `enabled`.
    pub fn in_force(&self) -> Vec<(String, bool)> {
        let folder = self.root().join("sys/kernel/livepatch");
        let mut found: Vec<(String, bool)> = fs::read_dir(&folder)
            .unwrap()
            .map(|e| e.unwrap().file_name().into_string().unwrap())
            .map(|n| (n.clone(), fs::read_to_string(folder.join(n).join("enabled")).unwrap().trim() == "1"))
            .collect();
        found.sort();
        found
    }
}

/// Module name of a version of the stream.
pub fn name(version: &str) -> String {
    format!("kpatch_5_14_0_362_8_1_{}", version.replace('-', "_"))
}

/// File name of a version of the stream, as packages have it.
pub fn file(version: &str) -> String {
    format!("kpatch-5_14_0-362_8_1-{version}.ko")
}

fn put_flag(folder: &Path, name: &str, on: bool) {
    fs::write(folder.join(name), if on { "1\n" } else { "0\n" }).unwrap();
}

fn register(root: &Path, name: &str, functions: &[String], plan: &Plan) {
    let folder = root.join("sys/kernel/livepatch").join(name);
    fs::create_dir_all(&folder).unwrap();
    functions.iter().for_each(|f| fs::create_dir_all(folder.join(f)).unwrap());
    if plan.signal {
        fs::write(folder.join("signal"), "").unwrap();
    }
    if !plan.no_force {
        fs::write(folder.join("force"), "").unwrap();
    }
}

fn serve(kernel: &Mutex<State>, stream: UnixStream) {
    let mut answers = stream.try_clone().unwrap();
    for line in BufReader::new(stream).lines().map_while(Result::ok) {
        let words: Vec<&str> = line.split('\t').collect();
        if let ["sleep", time] = words[..] {
            let second = kernel.lock().unwrap().plan.second;
            std::thread::sleep(second * time.parse::<u32>().unwrap() / 1000);
        }
        let errno = kernel.lock().unwrap().answer(&words);
        if writeln!(answers, "{errno}").is_err() {
            return;
        }
    }
}

impl State {
    fn answer(&mut self, words: &[&str]) -> i32 {
        if words[0] != "sleep" {
            let root = self.root.to_str().unwrap();
            self.log.push(words.join(" ").replace(root, ""));
        }
        match words {
            ["load", path] => self.load(path),
            ["delete", name] => self.delete(name),
            ["write", path, value] => self.write(Path::new(path), value),
            ["sleep", time] => {
                self.now += time.parse::<u64>().unwrap();
                self.pass();
                0
            }
            _ => 38,
        }
    }

    fn livepatch(&self, name: &str) -> PathBuf {
        self.root.join("sys/kernel/livepatch").join(name)
    }

    fn load(&mut self, path: &str) -> i32 {
        let module = Module::parse(&fs::read(path).unwrap()).unwrap();
        if let Some(errno) = self.plan.load.get_mut(&module.name).and_then(VecDeque::pop_front) {
            return errno;
        }
        let folder = self.root.join("sys/module").join(&module.name);
        if folder.exists() {
            return 17;
        }
        fs::create_dir_all(folder.join("notes")).unwrap();
        fs::write(folder.join("refcnt"), "0\n").unwrap();
        let bytes = fs::read(path).unwrap();
        let file = kmend_manager::module::elf::File::parse(&bytes).unwrap();
        for name in [".note.gnu.build-id", ".note.kmend"] {
            if let Some(data) = file.section(name) {
                fs::write(folder.join("notes").join(name), data).unwrap();
            }
        }
        if self.plan.registers_nothing {
            return 0;
        }
        let functions = self.plan.functions.get(&module.name).cloned().unwrap_or_default();
        register(&self.root, &module.name, &functions, &self.plan);
        if module.manifest.is_some_and(|m| m.replace) {
            self.replacing.push(module.name.clone());
        }
        self.switch(&module.name, true);
        0
    }

    /// A transition begins, or is turned around.
    fn switch(&mut self, name: &str, on: bool) {
        put_flag(&self.livepatch(name), "enabled", on);
        put_flag(&self.livepatch(name), "transition", true);
        let time = self.plan.transitions.get(&(name.to_string(), on)).copied().unwrap_or(Some(0));
        self.ends.insert(name.into(), time.map(|t| self.now + t));
        self.pass();
    }

    /// Ends transitions whose time has come.
    fn pass(&mut self) {
        let now = self.now;
        let due: Vec<String> =
            self.ends.iter().filter(|(_, end)| end.is_some_and(|e| e <= now)).map(|(n, _)| n.clone()).collect();
        for name in due {
            self.ends.remove(&name);
            let folder = self.livepatch(&name);
            put_flag(&folder, "transition", false);
            let on = fs::read_to_string(folder.join("enabled")).unwrap().trim() == "1";
            if !on {
                fs::remove_dir_all(&folder).unwrap();
            } else if self.replacing.contains(&name) {
                for entry in fs::read_dir(self.root.join("sys/kernel/livepatch")).unwrap().flatten() {
                    if entry.file_name() != name.as_str() {
                        fs::remove_dir_all(entry.path()).unwrap();
                    }
                }
            }
        }
    }

    fn delete(&mut self, name: &str) -> i32 {
        let folder = self.root.join("sys/module").join(name);
        if !folder.exists() {
            return 2;
        }
        if self.livepatch(name).exists() {
            return 11;
        }
        fs::remove_dir_all(folder).unwrap();
        0
    }

    fn write(&mut self, path: &Path, value: &str) -> i32 {
        if path.ends_with("sys/module/module/parameters/sig_enforce") && value == "Y" {
            fs::write(path, "Y\n").unwrap();
            return 0;
        }
        let name = path.parent().unwrap().file_name().unwrap().to_str().unwrap().to_string();
        match (path.file_name().unwrap().to_str().unwrap(), value) {
            ("enabled", _) => self.switch(&name, value == "1"),
            ("signal" | "force", "1") => {
                self.ends.insert(name, Some(self.now));
                self.pass();
            }
            _ => return 22,
        }
        0
    }
}
