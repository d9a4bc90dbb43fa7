// SPDX-License-Identifier: GPL-2.0-or-later
//! Stage reach: the patched tree in; the translation units whose code it may change out, or a refusal.
//!
//! `affected.rs` is the entry. `find.rs` looks for the units of each touched file: those that it is compiled into, and
//! those that include it (`includes/`). `headers/` decides from the texts which files can see what a fix does to a
//! header, and `narrow.rs` asks the preprocessor which of those remain. `definitions.rs` answers the reverse question:
//! which files may define a name.

pub mod affected;
pub mod definitions;
mod find;
mod generated;
pub mod headers;
pub mod includes;
mod kind;
pub mod limit;
pub mod narrow;
mod unbuilt;
pub mod untraced;
