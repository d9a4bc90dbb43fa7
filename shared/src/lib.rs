// SPDX-License-Identifier: GPL-2.0-or-later
//! What the builder, the packager and the host tool have to name alike: architectures, names made of a kernel's
//! release, limits of the kernel, words of the manifest. And what two of them would write alike: where a program is and
//! where what takes long to make is kept, who holds a lock, which characters do not show, how a terminal shows what
//! matters.

pub mod arch;
pub mod cache;
pub mod holder;
pub mod manifest;
pub mod manual;
pub mod names;
pub mod paint;
pub mod programs;
pub mod text;
