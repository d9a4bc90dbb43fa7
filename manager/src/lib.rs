// SPDX-License-Identifier: GPL-2.0-or-later
//! kmend, the host tool: installs, loads, lists and watches live patches. One program, no daemon; what it
//! knows it reads from the kernel (`/sys`, `/proc`), from the files in /var/lib/kpatch, and from the modules.

pub mod arch;
pub mod aside;
pub mod breaker;
pub mod cli;
#[cfg(any(test, feature = "docs"))]
pub mod docs;
pub mod failures;
pub mod files;
pub mod host;
pub mod known;
pub mod last_good;
pub mod live;
pub mod load;
pub mod module;
pub mod order;
pub mod say;
pub mod status;
pub mod step;
pub mod subscribe;
pub mod transition;
pub mod watch;

/// What a command works with.
pub struct Run<'a> {
    /// The system it runs on.
    pub host: &'a host::Host,
    /// The kernel, where it has to do something.
    pub kernel: &'a dyn host::kernel::Kernel,
    /// Where words go.
    pub say: &'a say::Say,
}
