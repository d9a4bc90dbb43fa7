// SPDX-License-Identifier: GPL-2.0-or-later
//! A host's disk: an unpacked system and files to be added in, an ext4 image out.

use super::system;
use anyhow::{Context, Result};
use kmend_builder::files;
use kmend_builder::sandbox;
use kmend_builder::target::Target;
use kmend_shared::arch::ArchNames;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The suite whose packages hosts run; their kernels are the targets' own.
const SUITE: &str = "bookworm";

/// What a host has: of Debian's essential packages those that dpkg, systemd and the stages need.
const PACKAGES: &[&str] = &[
    "base-files",
    "bash",
    "coreutils",
    "dash",
    "diffutils",
    "dpkg",
    "findutils",
    "grep",
    "gzip",
    "init-system-helpers",
    "kmod",
    "libc-bin",
    "mawk",
    "sed",
    "systemd-sysv",
    "tar",
    "util-linux",
];

/// Units that wait for what a host without network, terminals and udev does not have.
const MASKED: &[&str] = &[
    "console-getty.service",
    "getty.target",
    "serial-getty@.service",
    "systemd-firstboot.service",
    "systemd-journal-flush.service",
    "systemd-networkd.service",
    "systemd-resolved.service",
    "systemd-timesyncd.service",
    "apt-daily.timer",
    "apt-daily-upgrade.timer",
    "fstrim.timer",
];

/// A system under construction, in a folder of its own.
pub struct System {
    folder: PathBuf,
}

impl System {
    /// A copy of Debian's system for `target`'s architecture in the empty folder `folder`, ready for its first boot, with
    /// the target's kernel among its installed packages.
    pub fn new(target: &Target, folder: PathBuf) -> Result<Self> {
        let base = system::unpacked(SUITE, ArchNames::named(&target.arch)?.debian, PACKAGES)?;
        sandbox::run(Command::new("cp").args(["-a", "--reflink=auto", "--"]).arg(&base).arg(&folder), "cp")?;
        let system = Self { folder };
        // base-passwd would write them when it is configured.
        system
            .file("etc/passwd", b"root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/usr/sbin/nologin\n")?;
        system.file("etc/group", b"root:x:0:\ntty:x:5:\ndisk:x:6:\nutmp:x:43:\nnogroup:x:65534:\n")?;
        // Without one it would be a first boot, with questions.
        system.file("etc/machine-id", b"6b6d656e646b6d656e646b6d656e6430\n")?;
        system.file("etc/hostname", b"host\n")?;
        system.file("etc/fstab", b"")?;
        // What mmdebstrap only unpacked is not in dpkg's books; the kernel came by another way and is there.
        let image = format!(
            "Package: linux-image-{}\nStatus: install ok installed\nVersion: {}\nArchitecture: {}\nMaintainer: -\n\
             Description: the kernel that this host was booted with\n\n",
            target.release.to_lowercase(),
            if target.version.is_empty() { "1" } else { &target.version },
            ArchNames::named(&target.arch)?.debian
        );
        system.file("var/lib/dpkg/status", image.as_bytes())?;
        fs::create_dir_all(system.folder.join("etc/systemd/system")).context("cannot make the folder of units")?;
        for unit in MASKED {
            system.link("/dev/null", &format!("etc/systemd/system/{unit}"))?;
        }
        Ok(system)
    }

    /// Adds a file, mode 644; folders are made.
    pub fn file(&self, path: &str, data: &[u8]) -> Result<()> {
        files::write_quickly(&self.folder.join(path), data)
    }

    /// Adds a program, mode 755.
    pub fn program(&self, path: &str, data: &[u8]) -> Result<()> {
        self.file(path, data)?;
        let path = self.folder.join(path);
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755))
            .with_context(|| format!("cannot make {} a program", path.display()))
    }

    /// Adds a symbolic link.
    pub fn link(&self, to: &str, path: &str) -> Result<()> {
        let path = self.folder.join(path);
        if let Some(above) = path.parent() {
            fs::create_dir_all(above).with_context(|| format!("cannot make folder {}", above.display()))?;
        }
        let _ = fs::remove_file(&path);
        std::os::unix::fs::symlink(to, &path).with_context(|| format!("cannot make the link {}", path.display()))
    }

    /// Where it is.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Writes the image of a disk with all of it.
    pub fn into_disk(self, image: &Path) -> Result<()> {
        filesystem(Some(&self.folder), image, "1G")?;
        fs::remove_dir_all(&self.folder).with_context(|| format!("cannot remove {}", self.folder.display()))
    }
}

/// An ext4 file system of `size` (as mke2fs takes it) with what is in `folder`.
pub fn filesystem(folder: Option<&Path>, image: &Path, size: &str) -> Result<()> {
    let mut mke2fs = Command::new("mke2fs");
    mke2fs.args(["-q", "-F", "-t", "ext4", "-E", "root_owner=0:0"]);
    if let Some(folder) = folder {
        mke2fs.arg("-d").arg(folder);
    }
    sandbox::run(mke2fs.arg(image).arg(size), "mke2fs").map(|_| ())
}
