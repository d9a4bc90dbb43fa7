// SPDX-License-Identifier: GPL-2.0-or-later
//! `target add host` on machines whose root folders are made here: with the real image and notes of a prepared kernel, and real
//! databases of dpkg and rpm.

use super::kernel::Kernel;
use super::tool::{folder, names, put, run, Ran};
use super::Test;
use object::{Object, ObjectSection};
use std::path::{Path, PathBuf};
use std::process::Command;

pub const TESTS: &[Test] = &[("a_folder_without_a_running_kernel", no_kernel)];

pub const WITH_TARGET: &[Test] = &[
    ("the_running_kernel_is_found_by_its_build_id", found),
    ("running_kernels_of_no_package", of_no_package),
    ("running_kernels_of_a_deb", of_a_deb),
    ("running_kernels_of_an_rpm", of_an_rpm),
];

/// A machine that runs the prepared kernel.
struct Machine {
    kernel: Kernel,
    root: PathBuf,
}

impl Machine {
    /// Its /proc and /sys; the notes are those of the real kernel.
    fn new() -> Self {
        let kernel = Kernel::new();
        let root = kernel.dir.path().join("machine");
        put(&root, "proc/sys/kernel/osrelease", format!("{}\n", kernel.target.release));
        put(&root, "sys/kernel/notes", notes(&kernel.target.vmlinux));
        Self { kernel, root }
    }

    /// The same without a stored target.
    fn unknown() -> Self {
        let machine = Self::new();
        std::fs::remove_dir_all(machine.kernel.cache().join("targets")).unwrap();
        machine
    }

    fn image(&self) -> String {
        format!("boot/vmlinuz-{}", self.kernel.target.release)
    }

    fn with_image(self) -> Self {
        put(&self.root, &self.image(), std::fs::read(&self.kernel.target.vmlinuz).unwrap());
        self
    }

    fn add(&self, more: &[&str]) -> Ran {
        let root = self.root.display().to_string();
        let ran = run(&self.kernel.cache(), &[&["target", "add", "host", "--machine", &root], more].concat());
        let targets = self.kernel.cache().join("targets");
        assert!(ran.code == Some(0) || names(&targets).iter().all(|n| !targets.join(n).join("target.json").exists()));
        ran
    }
}

/// What /sys/kernel/notes has when this kernel runs: its section of notes.
fn notes(vmlinux: &Path) -> Vec<u8> {
    let elf = std::fs::read(vmlinux).unwrap();
    let file = object::File::parse(&*elf).unwrap();
    file.section_by_name(".notes").expect("the kernel has a section of notes").data().unwrap().to_vec()
}

fn no_kernel() {
    let dir = folder();
    let cache = dir.path().join("cache");
    let add = |root: &Path| run(&cache, &["target", "add", "host", "--machine", &root.display().to_string()]);
    add(&dir.path().join("gone")).fails(1, &["--machine", "gone"]);
    add(dir.path()).fails(1, &["--machine", "osrelease"]);
    put(dir.path(), "proc/sys/kernel/osrelease", "6.1.0-50-amd64\n");
    add(dir.path()).fails(1, &["sys/kernel/notes"]);
    put(dir.path(), "sys/kernel/notes", "no notes");
    add(dir.path()).fails(1, &["sys/kernel/notes", "build id"]);
    run(&cache, &["target", "add", "host", "--config", "x"]).fails(1, &[]);
}

/// A stored target is found offline, and by the build id alone.
fn found() {
    let machine = Machine::new();
    let ran = machine.add(&[]);
    assert!(ran.succeeds().out.contains(&machine.kernel.target.name), "{}", ran.out);
    // Another build of the same release is not it.
    let mut other = machine.kernel.target.clone();
    other.build_id = "ab".repeat(20);
    machine.kernel.store(&other);
    let ran =
        run(&machine.kernel.cache(), &["target", "add", "host", "--machine", &machine.root.display().to_string()]);
    ran.fails(1, &["[host-kernel-unknown]"]);
}

fn of_no_package() {
    let machine = Machine::unknown();
    machine.add(&[]).fails(1, &["[host-kernel-unknown]", &machine.image(), "--tree"]);
    let machine = machine.with_image();
    machine.add(&[]).fails(1, &["[host-kernel-unknown]", &machine.image(), "--tree"]);
    // The package was upgraded, and the machine not rebooted.
    let notes = machine.root.join("sys/kernel/notes");
    let mut bytes = std::fs::read(&notes).unwrap();
    let at = bytes.windows(4).position(|w| w == b"GNU\0").unwrap() + 4;
    bytes[at] ^= 1;
    std::fs::write(&notes, bytes).unwrap();
    machine.add(&[]).fails(1, &["[host-kernel-differs]", &machine.image(), &machine.kernel.target.build_id, "eboot"]);
    put(&machine.root, &machine.image(), "no image\n");
    machine.add(&[]).fails(1, &[&machine.image()]);
    // What its .config says comes first.
    let config = format!("boot/config-{}", machine.kernel.target.release);
    put(&machine.root, &config, "CONFIG_MODULES=y\n");
    machine.add(&[]).fails(1, &["CONFIG_LIVEPATCH is off", &config]);
}

fn of_a_deb() {
    let machine = Machine::unknown().with_image();
    let package = format!("linux-image-{}", machine.kernel.target.release);
    let arch = kmend_shared::arch::ArchNames::named(&machine.kernel.target.arch).unwrap().debian;
    let status = |state: &str| {
        format!(
            "Package: {package}\nStatus: install ok {state}\nVersion: 1.2-3\nArchitecture: {arch}\nDescription: x\n"
        )
    };
    put(&machine.root, "var/lib/dpkg/status", status("installed"));
    put(&machine.root, "var/lib/dpkg/info/format", "1\n");
    machine.add(&[]).fails(1, &["[host-kernel-unknown]"]);
    put(&machine.root, &format!("var/lib/dpkg/info/{package}.list"), format!("/.\n/boot\n/{}\n", machine.image()));
    // No sources: the suite cannot be known.
    machine.add(&[]).fails(1, &[&format!("{package} 1.2-3"), "etc/apt", "debian:"]);
    put(&machine.root, "var/lib/dpkg/status", status("unpacked"));
    machine.add(&[]).fails(1, &[&package, "unpacked"]);
    put(&machine.root, "var/lib/dpkg/status", status("installed"));
    // Sources that cannot be reached.
    put(&machine.root, "etc/apt/sources.list", "deb http://127.0.0.1:1/debian forky main\n");
    machine.add(&["--mirror", "http://127.0.0.1:1/debian"]).fails(1, &["forky", "linux-headers-"]);
    machine.add(&["--release", "1"]).fails(1, &["--release"]);
}

fn of_an_rpm() {
    let machine = Machine::unknown().with_image();
    let dir = machine.kernel.dir.path();
    let image = machine.image();
    let spec = format!(
        "%global debug_package %{{nil}}\nName: kernel-core\nVersion: 1.2\nRelease: 3\nSummary: x\nLicense: GPL\nAutoReqProv: no\n\
         %description\nx\n%install\nmkdir -p %{{buildroot}}/boot\necho x > %{{buildroot}}/{image}\n%files\n/{image}\n"
    );
    let spec = put(dir, "kernel.spec", spec);
    let done = |command: &mut Command| {
        let out = command.output().unwrap_or_else(|e| panic!("{command:?}: {e}"));
        assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    };
    let top = dir.join("top");
    done(Command::new("rpmbuild").args(["-bb", "--define", &format!("_topdir {}", top.display())]).arg(&spec));
    let rpms = top.join("RPMS").join(kmend_shared::arch::host());
    let rpm = rpms.join(&names(&rpms)[0]);
    // Nothing but the database: the real image stays.
    let database = ["--dbpath", "/var/lib/rpm", "--justdb", "--nodeps", "-i"];
    done(Command::new("rpm").arg("--root").arg(&machine.root).args(database).arg(rpm));
    put(&machine.root, "etc/os-release", "ID=\"rhel\"\nVERSION_ID=\"9.4\"\n");
    let repo = dir.join("repo");
    std::fs::create_dir(&repo).unwrap();
    done(Command::new("createrepo_c").arg("-q").arg(&repo));
    let release = &machine.kernel.target.release;
    let name = format!("kernel-core 1.2-3: rpm:rhel9.4/{release}");
    machine.add(&["--repo", &repo.display().to_string()]).fails(1, &[&name, "has no kernel", release]);
    machine.add(&["--mirror", "x"]).fails(1, &["--mirror"]);
}
