// SPDX-License-Identifier: GPL-2.0-or-later
//! Stage reach: the patched tree in; the translation units whose code it may change out, or a refusal.
//!
//! `affected.rs` is the front door. `find.rs` looks for the units of each touched file: those that it is compiled into, and
//! those that include it (`includes/`). `headers/` tells from the texts which files can see what a fix does to a header, and
//! `narrow.rs` from the preprocessor what is left of those. `definitions.rs` asks the other way round: which files may define
//! a name.

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
