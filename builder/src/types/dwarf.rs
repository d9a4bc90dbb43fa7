// SPDX-License-Identifier: GPL-2.0-or-later
//! Reads from an object's DWARF what its types look like in memory: structs, unions and enums by name, the prototypes of
//! its global functions, and what its variables hold. Types inside of functions are left out, but for what their static
//! variables hold: all else that they describe lives on the stack.

use super::entries::{keyword, raw, Entries, Raw};
use super::kind::{Kind, Number, Prototype};
use crate::elf::debug::relocated;
use anyhow::{Context, Result};
use gimli::{DwTag, EndianSlice, LittleEndian, UnitOffset};
use object::Object as _;
use std::collections::{BTreeMap, BTreeSet};

/// A member of a struct or union. Places and sizes in bits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// Its name, that of the union or struct without a name around it before it; empty for padding.
    pub name: String,
    /// From the start of the struct, bits.
    pub at: u64,
    /// Bits; 0 for an array without a length.
    pub size: u64,
    /// What is there.
    pub holds: Kind,
}

/// What a type looks like.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Shape {
    /// A struct or union.
    Record {
        /// Bytes.
        size: u64,
        /// In order.
        members: Vec<Member>,
    },
    /// An enum: name and value, in order.
    Enum(Vec<(String, i128)>),
}

/// The types of an object.
#[derive(Clone, Debug, Default)]
pub struct Types {
    /// By name as in C: `struct sock`, `union x`, `enum y`, and a typedef's own name.
    pub shapes: BTreeMap<String, Shape>,
    /// Enums at file scope that have no name, with name and value of each constant, in order.
    pub unnamed: Vec<Vec<(String, i128)>>,
    /// All names of structs, unions and enums, those that are only declared among them.
    pub names: BTreeSet<String>,
    /// Global functions: name → prototype.
    pub prototypes: BTreeMap<String, Prototype>,
    /// Variables that are not on the stack, by the function that they are local to and their name. A function may have
    /// several of one name, in the order of the source. Offsets are 0.
    pub variables: BTreeMap<(Option<String>, String), Vec<Member>>,
}

impl Types {
    /// Reads them; empty where the object has no debug information.
    ///
    /// # Errors
    /// Debug information that is malformed or packed.
    pub fn read(bytes: &[u8]) -> Result<Self> {
        let mut types = Self::default();
        let Ok(file) = object::File::parse(bytes) else { return Ok(types) };
        if file.section_by_name(".debug_info").is_none() {
            return Ok(types);
        }
        let sections = gimli::DwarfSections::load(|id| relocated(&file, id.name()))?;
        let dwarf = sections.borrow(|section| EndianSlice::new(section, LittleEndian));
        let mut units = dwarf.units();
        while let Some(header) = units.next().context("malformed DWARF unit")? {
            let unit = dwarf.unit(header).context("malformed DWARF unit")?;
            let by_offset = raw(&dwarf, &unit).context("malformed DWARF entries")?;
            types.take(&Entries::new(by_offset));
        }
        Ok(types)
    }

    fn take(&mut self, all: &Entries) {
        let mut order: Vec<&UnitOffset> = all.by_offset.keys().collect();
        order.sort();
        let raws: Vec<&Raw> = order.into_iter().filter_map(|offset| all.by_offset.get(offset)).collect();
        self.take_variables(all, &raws);
        for raw in raws.into_iter().filter(|raw| raw.outer) {
            match raw.tag {
                gimli::DW_TAG_subprogram if raw.external => {
                    if let Some(name) = &raw.name {
                        self.prototypes.entry(name.clone()).or_insert_with(|| prototype(all, raw, &mut Vec::new()));
                    }
                }
                gimli::DW_TAG_variable => {}
                gimli::DW_TAG_enumeration_type if raw.name.is_none() => self.unnamed.push(raw.values.clone()),
                gimli::DW_TAG_typedef => {
                    let target = raw.of.and_then(|of| all.get(of)).filter(|t| t.name.is_none());
                    if let (Some(name), Some(shape)) = (&raw.name, target.and_then(|t| shape(all, t))) {
                        self.shapes.entry(name.clone()).or_insert(shape);
                    }
                }
                _ => {
                    if let (Some(name), Some(kind), Some(shape)) = (&raw.name, keyword(raw.tag), shape(all, raw)) {
                        self.shapes.entry(format!("{kind} {name}")).or_insert(shape);
                    }
                }
            }
        }
    }

    fn take_variables(&mut self, all: &Entries, raws: &[&Raw]) {
        for raw in raws {
            let Some(name) = &raw.name else { continue };
            if raw.tag != gimli::DW_TAG_variable {
                self.names.extend(keyword(raw.tag).map(|kind| format!("{kind} {name}")));
                continue;
            }
            let function = raw.function.and_then(|f| all.get(f)).map(|f| f.name.clone().unwrap_or_default());
            let size = size_of(all, raw.of, 0).wrapping_mul(8);
            let holds = kind(all, raw.of, &mut Vec::new());
            let found = Member { name: name.clone(), at: 0, size, holds };
            let known = self.variables.entry((function.clone(), name.clone())).or_default();
            // At file scope a variable may be declared more than once.
            if function.is_some() || known.is_empty() {
                known.push(found);
            }
        }
    }
}

/// Deeper than any type of the kernel.
const DEEP: usize = 32;

fn shape(all: &Entries, raw: &Raw) -> Option<Shape> {
    match raw.tag {
        gimli::DW_TAG_enumeration_type => Some(Shape::Enum(raw.values.clone())),
        gimli::DW_TAG_structure_type | gimli::DW_TAG_union_type => {
            let mut members = Vec::new();
            flatten(all, raw, "", 0, 0, &mut members);
            Some(Shape::Record { size: raw.size?, members })
        }
        _ => None,
    }
}

fn flatten(all: &Entries, raw: &Raw, prefix: &str, base: u64, deep: usize, out: &mut Vec<Member>) {
    for member in &raw.members {
        let at = base.wrapping_add(member.at);
        let inner = member.of.and_then(|of| all.get(of)).filter(|t| t.name.is_none() && !t.members.is_empty());
        match (inner, &member.name) {
            (Some(inner), None) if deep < DEEP => flatten(all, inner, prefix, at, deep + 1, out),
            (Some(inner), Some(name)) if deep < DEEP => {
                flatten(all, inner, &format!("{prefix}{name}."), at, deep + 1, out)
            }
            (_, name) => {
                let size = member.bits.unwrap_or_else(|| size_of(all, member.of, 0).wrapping_mul(8));
                let holds = kind(all, member.of, &mut Vec::new());
                out.push(Member { name: format!("{prefix}{}", name.as_deref().unwrap_or_default()), at, size, holds });
            }
        }
    }
}

fn size_of(all: &Entries, of: Option<UnitOffset>, deep: usize) -> u64 {
    let Some(raw) = of.and_then(|of| all.get(of)).filter(|_| deep < DEEP) else { return 0 };
    match (raw.size, raw.tag) {
        (Some(size), _) => size,
        (None, gimli::DW_TAG_array_type) => {
            raw.dimensions.iter().fold(size_of(all, raw.of, deep + 1), |size, n| size.wrapping_mul(*n))
        }
        (None, gimli::DW_TAG_pointer_type | gimli::DW_TAG_subroutine_type) => 0,
        (None, _) => size_of(all, raw.of, deep + 1),
    }
}

/// What a type is. `open` has the types around it, from which a struct that is local to a function may be reached again.
pub(super) fn kind(all: &Entries, of: Option<UnitOffset>, open: &mut Vec<UnitOffset>) -> Kind {
    let Some((offset, raw)) = of.and_then(|of| Some((of, all.get(of)?))).filter(|_| open.len() < DEEP) else {
        return Kind::Void;
    };
    open.push(offset);
    let mut inner = || kind(all, raw.of, open);
    let found = match raw.tag {
        gimli::DW_TAG_pointer_type => Kind::Pointer(Box::new(inner())),
        gimli::DW_TAG_array_type => raw.dimensions.iter().rev().fold(inner(), |of, n| Kind::Array(Box::new(of), *n)),
        gimli::DW_TAG_subroutine_type => Kind::Function(Box::new(prototype(all, raw, open))),
        gimli::DW_TAG_base_type => Kind::Number { size: raw.size.unwrap_or(0), what: raw.what },
        gimli::DW_TAG_enumeration_type if raw.name.is_none() => {
            Kind::Number { size: raw.size.unwrap_or(0), what: Number::Unsigned }
        }
        gimli::DW_TAG_typedef => match (&raw.name, raw.of.and_then(|of| all.get(of))) {
            (Some(name), Some(to)) if raw.outer && to.name.is_none() && is_record(to.tag) => Kind::Named(name.clone()),
            _ => inner(),
        },
        tag => match (&raw.name, keyword(tag)) {
            (_, None) => inner(),
            (Some(name), Some(keyword)) if raw.function.is_none() || open[..open.len() - 1].contains(&offset) => {
                Kind::Named(format!("{keyword} {name}"))
            }
            _ => {
                let members = raw.members.iter().map(|m| Member {
                    name: m.name.clone().unwrap_or_default(),
                    at: m.at,
                    size: m.bits.unwrap_or_else(|| size_of(all, m.of, 0).wrapping_mul(8)),
                    holds: kind(all, m.of, open),
                });
                Kind::Unnamed { size: raw.size.unwrap_or(0), members: members.collect() }
            }
        },
    };
    open.pop();
    found
}

fn prototype(all: &Entries, raw: &Raw, open: &mut Vec<UnitOffset>) -> Prototype {
    let returns = kind(all, raw.of, open);
    let takes: Vec<Kind> = raw.parameters.iter().map(|p| kind(all, *p, open)).collect();
    let is_said = raw.prototyped || !takes.is_empty();
    Prototype { returns, takes: is_said.then_some(takes), variadic: raw.variadic }
}

fn is_record(tag: DwTag) -> bool {
    matches!(tag, gimli::DW_TAG_structure_type | gimli::DW_TAG_union_type)
}
