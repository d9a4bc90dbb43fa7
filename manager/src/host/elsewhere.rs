// SPDX-License-Identifier: GPL-2.0-or-later
//! The kernel of a system in another folder (`--root`). There is none to be asked, and the running one must not be:
//! loading into it what another folder asks for would be wrong. Tests play the kernel at a socket, ROOT/kernel.sock.
//!
//! One request a line, words separated by tabs; the answer is an errno on a line, 0 for success:
//! `load PATH`, `delete NAME`, `write PATH VALUE`, `sleep MILLISECONDS`.
//!
//! A number N in ROOT/power-cut ends the program at its N-th step ([`crate::files::step`]), as a loss of power would.

use super::kernel::Kernel;
use crate::files;
use rustix::io::Errno;
use std::cell::RefCell;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

/// Name of the socket in the root folder.
pub const SOCKET: &str = "kernel.sock";

/// Name of the file with the step at which the power is cut.
const POWER_CUT: &str = "power-cut";

/// A kernel at a socket, or none.
pub struct Elsewhere {
    stream: Option<RefCell<BufReader<UnixStream>>>,
}

impl Elsewhere {
    /// The kernel of the system in `root`.
    pub fn new(root: &Path) -> Self {
        let steps = std::fs::read_to_string(root.join(POWER_CUT)).ok().and_then(|text| text.trim().parse().ok());
        files::cut_at(steps.unwrap_or(0));
        Self { stream: UnixStream::connect(root.join(SOCKET)).ok().map(|s| RefCell::new(BufReader::new(s))) }
    }

    /// ENOSYS where no one answers.
    fn ask(&self, words: &[&str]) -> Result<(), Errno> {
        files::step();
        let code = self.stream.as_ref().and_then(|stream| exchange(&mut stream.borrow_mut(), words).ok());
        files::step();
        match code {
            Some(0) => Ok(()),
            Some(code) => Err(Errno::from_raw_os_error(code)),
            None => Err(Errno::NOSYS),
        }
    }
}

fn exchange(stream: &mut BufReader<UnixStream>, words: &[&str]) -> io::Result<i32> {
    writeln!(stream.get_mut(), "{}", words.join("\t"))?;
    let mut answer = String::new();
    stream.read_line(&mut answer)?;
    answer.trim().parse().map_err(io::Error::other)
}

impl Kernel for Elsewhere {
    fn load(&self, path: &Path, _file: &File, _image: &[u8]) -> Result<(), Errno> {
        self.ask(&["load", &path.to_string_lossy()])
    }

    fn delete(&self, name: &str) -> Result<(), Errno> {
        self.ask(&["delete", name])
    }

    fn write(&self, path: &Path, value: &str) -> Result<(), Errno> {
        self.ask(&["write", &path.to_string_lossy(), value])
    }

    fn sleep(&self, time: Duration) {
        // Without a kernel there is nothing to wait for.
        let _ = self.ask(&["sleep", &time.as_millis().to_string()]);
    }
}
