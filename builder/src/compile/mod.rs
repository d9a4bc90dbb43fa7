// SPDX-License-Identifier: GPL-2.0-or-later
//! Stage compile: each unit three times, with kbuild's own command.

pub mod cache;
pub mod command;

/// A translation unit that the fixes reach.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Unit {
    /// Source, relative to the tree: `fs/proc/cmdline.c`.
    pub source: String,
    /// The object that kbuild makes of it: `fs/proc/cmdline.o`.
    pub object: String,
    /// The klp object it ends in: None for vmlinux, else the module's name with underscores.
    pub module: Option<String>,
}

/// The objects of one unit, as bytes of ELF relocatable files, before any objtool run.
#[derive(Clone, Debug)]
pub struct ObjectPair {
    /// The unit.
    pub unit: Unit,
    /// The original, compiled with exactly kbuild's flags: what should stand in the shipped image.
    pub shipped: Vec<u8>,
    /// The original with a section for each function and datum.
    pub original: Vec<u8>,
    /// The patched source with a section for each function and datum.
    pub patched: Vec<u8>,
}
