// SPDX-License-Identifier: GPL-2.0-or-later
//! One kmend at a time: an exclusive flock(2) on /var/lib/kpatch/.lock, held until dropped or until the program ends,
//! however it ends. The file says who has it.

use super::store::FOLDER;
use crate::{files, Run};
use anyhow::{bail, Context, Result};
use std::fs::{File, OpenOptions, TryLockError};
use std::io::{ErrorKind, Read, Seek, Write};
use std::time::Duration;

/// Name of the file.
pub const NAME: &str = ".lock";
/// How long another one is waited for, seconds: as long as a load with a stalled transition takes, and its way back.
const PATIENCE: u32 = 180;

/// The lock; None where there was no way to take one.
pub struct Lock(#[allow(dead_code)] Option<File>);

/// Takes the lock. While another kmend has it, waits up to three minutes and says so. Where the file cannot be made (a
/// full or read-only /var), `needs_var` tells whether that is an error; else it is a warning, as a host whose
/// /var is full still has to get its live patches at boot.
///
/// # Errors
/// Another kmend has it for too long; no permission; no file and `needs_var`.
pub fn take(run: &Run<'_>, doing: &str, needs_var: bool) -> Result<Lock> {
    let folder = run.host.at(FOLDER);
    let path = folder.join(NAME);
    let shown = run.host.show(&path);
    let opened = files::make_folder(&folder)
        .and_then(|()| OpenOptions::new().create(true).truncate(false).read(true).write(true).open(&path));
    let mut file = match opened {
        Ok(file) => file,
        Err(error) if error.kind() == ErrorKind::PermissionDenied => {
            return Err(error).with_context(|| format!("cannot open the lock {shown}: run this as root"))
        }
        Err(error) if needs_var => return Err(error).with_context(|| format!("cannot open the lock {shown}")),
        Err(error) => {
            run.say.warn(format!("cannot open the lock {shown} ({error}); going on without it: run no second kmend"));
            return Ok(Lock(None));
        }
    };
    for waited in 0..=PATIENCE {
        match file.try_lock() {
            Ok(()) => {
                sign(&mut file, doing);
                return Ok(Lock(Some(file)));
            }
            Err(TryLockError::WouldBlock) => {
                if waited == 0 {
                    run.say.warn(format!("waiting for another kmend ({}), which has {shown}", holder(&mut file)));
                }
                run.kernel.sleep(Duration::from_secs(1));
            }
            Err(TryLockError::Error(error)) => return Err(error).with_context(|| format!("cannot lock {shown}")),
        }
    }
    bail!(
        "another kmend ({}) has {shown} for more than {PATIENCE} seconds: nothing was done; \
         `kmend status` shows what it may be waiting for",
        holder(&mut file)
    )
}

/// Takes the lock where nobody has it, without a word.
pub fn at_once(run: &Run<'_>) -> Option<Lock> {
    let path = run.host.at(FOLDER).join(NAME);
    let file = OpenOptions::new().read(true).write(true).open(path).ok()?;
    file.try_lock().ok()?;
    Some(Lock(Some(file)))
}

/// Who has it is a help for the reader alone; where it cannot be written, on a full disk, the lock holds all the same.
fn sign(file: &mut File, doing: &str) {
    let text = format!("process {}: {doing}\n", std::process::id());
    let _ = file.rewind().and_then(|()| file.write_all(text.as_bytes())).and_then(|()| file.set_len(text.len() as u64));
}

fn holder(file: &mut File) -> String {
    let mut text = String::new();
    let _ = file.rewind().and_then(|()| file.take(200).read_to_string(&mut text));
    let line = text.lines().next().unwrap_or_default().trim();
    if line.is_empty() {
        "it does not say which".into()
    } else {
        line.chars().filter(|c| !c.is_control()).collect()
    }
}
