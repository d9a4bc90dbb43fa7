// SPDX-License-Identifier: GPL-2.0-or-later
//! The kernel that a machine runs: its root folder in (`/`, or where a container sees the host's); the target of the package that
//! this kernel is from out.
//!
//! All that is known of the machine is read from that folder, `/proc` and `/sys` in it included. The running kernel is
//! identified only by its build id: an image of the same release can be of a different build.

use super::add::{self, Added};
use super::config::Config;
use super::distro::{self, DISTROS};
use super::options::{Given, Opt};
use super::{record, store, Target};
use crate::image::vmlinuz;
use crate::{files, progress, sandbox, unpack};
use anyhow::{bail, ensure, Context, Result};
use std::path::{Path, PathBuf};

/// Its name for `target add`.
pub const NAME: &str = "host";

/// What `target add host` takes beside the options of the distributions.
pub const OPTIONS: &[Opt] = &[Opt {
    name: "machine",
    value: "DIR",
    help:
        "The root folder of the machine whose running kernel is meant, with its /proc and /sys [default: /] (for host)",
    many: false,
}];

/// Code: the running kernel is from no package of the machine.
const UNKNOWN: &str = "host-kernel-unknown";
/// Code: the image that the machine has for the release is of another build than the running kernel.
const OTHER: &str = "host-kernel-differs";

/// What to do about a kernel that no package has.
const OF_ONES_OWN: &str =
    "A kernel that you built is added with --tree DIR (its source tree), or by its files (tree:NAME)";

/// More than any file that is read here has.
const LIMIT: u64 = 64 << 20;

/// The kernel that a machine runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Running {
    /// The machine's root folder.
    pub root: PathBuf,
    /// `uname -r`.
    pub release: String,
    /// Its build id, hexadecimal.
    pub build_id: String,
}

/// The package of a machine that has its running kernel, as the target that this is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Packaged {
    /// What is behind the colon of the target's name.
    pub rest: String,
    /// The package, with its version.
    pub package: String,
    /// What `target add` takes, with what the machine says.
    pub given: Given,
}

impl Running {
    /// The kernel that the machine runs whose root folder is `root`.
    ///
    /// # Errors
    /// No /proc or /sys in it; a kernel without a build id.
    pub fn read(root: &Path) -> Result<Self> {
        let root = root.canonicalize().with_context(|| format!("--machine: cannot find {}", root.display()))?;
        let at = |path: &str| root.join(path);
        let release = files::read_at_most(&at("proc/sys/kernel/osrelease"), LIMIT).context(
            "the running kernel's release was not found: --machine must name a folder with the machine's /proc and \
             /sys",
        )?;
        let release = String::from_utf8_lossy(&release).trim().to_string();
        ensure!(
            release.starts_with(|c: char| c.is_ascii_digit()) && add::is_plain_name(&release),
            "{} contains {release:?}, which is not a kernel release",
            at("proc/sys/kernel/osrelease").display()
        );
        let notes = at("sys/kernel/notes");
        let bytes = files::read_at_most(&notes, LIMIT).context("the running kernel's build id is in it")?;
        let build_id = vmlinuz::build_id_of_notes(&bytes).with_context(|| notes.display().to_string())?;
        Ok(Self { root, release, build_id })
    }

    /// The .config, where the kernel or its package has it.
    ///
    /// # Errors
    /// It cannot be read.
    fn config(&self) -> Result<Option<(PathBuf, Config)>> {
        let release = &self.release;
        for path in [
            "proc/config.gz".to_string(),
            format!("boot/config-{release}"),
            format!("lib/modules/{release}/config"),
            format!("usr/lib/modules/{release}/config"),
        ] {
            let path = self.root.join(path);
            if path.exists() {
                let text = unpack::unpacked(&path, files::read_at_most(&path, LIMIT)?, LIMIT)?;
                return Ok(Some((path, Config::parse(&String::from_utf8_lossy(&text)))));
            }
        }
        Ok(None)
    }

    /// Where packages put the image, as seen from the machine's root.
    pub fn images(&self) -> Vec<String> {
        let release = &self.release;
        [
            format!("/boot/vmlinuz-{release}"),
            format!("/boot/vmlinux-{release}"),
            format!("/usr/lib/modules/{release}/vmlinuz"),
            format!("/lib/modules/{release}/vmlinuz"),
        ]
        .to_vec()
    }

    /// A path of the machine, as this program finds it.
    pub fn at(&self, path: &str) -> PathBuf {
        self.root.join(path.trim_start_matches('/'))
    }

    /// The images that are the running kernel's, as seen from the machine's root.
    ///
    /// # Errors
    /// There is none, or each is of another build.
    fn own_images(&self) -> Result<Vec<String>> {
        let there: Vec<String> = self.images().into_iter().filter(|path| self.at(path).is_file()).collect();
        let release = &self.release;
        ensure!(
            !there.is_empty(),
            "[{UNKNOWN}] this machine runs {release} and has no image of it ({}): the kernel is not from a package, \
             or its package was removed. {OF_ONES_OWN}",
            self.images().iter().map(|path| self.at(path).display().to_string()).collect::<Vec<_>>().join(", ")
        );
        let mut others = Vec::new();
        let mut own = Vec::new();
        for path in there {
            let file = self.at(&path);
            let elf =
                vmlinuz::extract(&files::read_at_most(&file, 1 << 30)?).with_context(|| file.display().to_string())?;
            let id = vmlinuz::build_id(&elf[..]).with_context(|| file.display().to_string())?;
            match id == self.build_id {
                true => own.push(path),
                false => others.push(format!("{} has {id}", file.display())),
            }
        }
        ensure!(
            !own.is_empty(),
            "[{OTHER}] the running kernel {release} has the build id {}, {}: this kernel was upgraded and the machine not rebooted \
             since, or it runs one of your own. Reboot it, and add the target again. {OF_ONES_OWN}",
            self.build_id,
            others.join(", ")
        );
        Ok(own)
    }

    /// The stored target that is this kernel.
    fn stored(&self) -> Result<Option<Target>> {
        let (all, _) = store::list()?;
        Ok(all.into_iter().find(|target| target.release == self.release && target.build_id == self.build_id))
    }
}

/// Makes the target of the kernel that the machine runs, or finds that it is there.
///
/// # Errors
/// A kernel that cannot be live patched; that is from no package of the machine, or not the one that is installed; and what
/// [`distro::add`] fails with.
pub fn add(given: &Given) -> Result<Added> {
    sandbox::possible()?;
    let mut given = given.clone();
    let root = given.take(OPTIONS[0].name).pop().unwrap_or_else(|| "/".into());
    let running = Running::read(Path::new(&root))?;
    if let Some(target) = running.stored()?.filter(|target| store::check(target).is_ok()) {
        return Ok(Added::AlreadyThere(Box::new(target)));
    }
    if let Some((file, config)) = running.config()? {
        record::check_config(&config)
            .with_context(|| format!("this machine runs {}, whose .config is {}", running.release, file.display()))?;
    }
    let images = running.own_images()?;
    for distro in DISTROS {
        let Some(found) = distro.packaged(&running, &images, &given)? else { continue };
        let name = format!("{}:{}", distro.facts().name, found.rest);
        progress::note(&format!("this machine runs {} of {}: {name}", running.release, found.package));
        let added = distro::add(&name, found.given)?;
        let (Added::AlreadyThere(target) | Added::New(target)) = &added;
        ensure!(
            target.build_id == running.build_id,
            "[{OTHER}] {} has the build id {}, the running kernel {}: the repository has another build of {}",
            target.name,
            target.build_id,
            running.build_id,
            found.package
        );
        return Ok(added);
    }
    bail!(
        "[{UNKNOWN}] this machine runs {}, and no package has its image {}. {OF_ONES_OWN}",
        running.release,
        images.iter().map(|path| running.at(path).display().to_string()).collect::<Vec<_>>().join(", ")
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Notes as in /sys/kernel/notes, that of the build id behind another.
    fn notes(id: &[u8]) -> Vec<u8> {
        let note = |name: &[u8], kind: u32, desc: &[u8]| {
            let mut note: Vec<u8> =
                [name.len() as u32, desc.len() as u32, kind].iter().flat_map(|n| n.to_le_bytes()).collect();
            for part in [name, desc] {
                note.extend(part);
                note.resize(note.len().next_multiple_of(4), 0);
            }
            note
        };
        [note(b"Linux\0", 0x101, &[0; 4]), note(b"GNU\0", 3, id), note(b"Xen\0", 19, b"12345")].concat()
    }

    #[test]
    fn the_running_kernel_is_read_from_a_root() {
        let dir = tempfile::tempdir().unwrap();
        let put = |path: &str, bytes: &[u8]| files::write(&dir.path().join(path), bytes).unwrap();
        assert!(format!("{:#}", Running::read(dir.path()).unwrap_err()).contains("osrelease"));
        put("proc/sys/kernel/osrelease", b"6.1.0-50-amd64\n");
        assert!(format!("{:#}", Running::read(dir.path()).unwrap_err()).contains("notes"));
        for bad in [&b""[..], b"\0\0\0", &notes(b"")[..20], &[0xff; 64]] {
            put("sys/kernel/notes", bad);
            assert!(Running::read(dir.path()).is_err(), "{bad:?}");
        }
        put("sys/kernel/notes", &notes(&[0xab; 20]));
        let running = Running::read(dir.path()).unwrap();
        assert_eq!((running.release.as_str(), running.build_id), ("6.1.0-50-amd64", "ab".repeat(20)));
        put("proc/sys/kernel/osrelease", b"6.1/../x\n");
        assert!(Running::read(dir.path()).is_err());
    }

    #[test]
    fn the_config_of_the_kernel_itself_comes_first() {
        let dir = tempfile::tempdir().unwrap();
        let running = Running { root: dir.path().into(), release: "6.1".into(), build_id: "ab".into() };
        assert!(running.config().unwrap().is_none());
        files::write(&dir.path().join("boot/config-6.1"), b"CONFIG_A=y\n").unwrap();
        assert!(running.config().unwrap().unwrap().1.is_on("CONFIG_A"));
        files::write(&dir.path().join("proc/config.gz"), b"no gzip").unwrap();
        assert!(running.config().is_err());
    }
}
