// SPDX-License-Identifier: GPL-2.0-or-later
//! The entries of an object's DWARF, as far as types are concerned: sections in, entries by their offset out.

use super::kind::Number;
use gimli::{AttributeValue, DwTag, EndianSlice, LittleEndian, UnitOffset};
use std::cell::Cell;
use std::collections::HashMap;

pub(super) type Slice<'a> = EndianSlice<'a, LittleEndian>;

/// A type, function or variable.
#[derive(Debug)]
pub(super) struct Raw {
    pub(super) tag: DwTag,
    pub(super) name: Option<String>,
    pub(super) size: Option<u64>,
    pub(super) of: Option<UnitOffset>,
    /// Array: number of elements in each dimension, the outermost first.
    pub(super) dimensions: Vec<u64>,
    pub(super) members: Vec<RawMember>,
    pub(super) values: Vec<(String, i128)>,
    pub(super) parameters: Vec<Option<UnitOffset>>,
    pub(super) variadic: bool,
    pub(super) prototyped: bool,
    /// What the bits of a base type mean.
    pub(super) what: Number,
    /// At file scope.
    pub(super) outer: bool,
    pub(super) external: bool,
    /// The function around it.
    pub(super) function: Option<UnitOffset>,
}

/// A member of a struct or union.
#[derive(Debug)]
pub(super) struct RawMember {
    pub(super) name: Option<String>,
    pub(super) at: u64,
    pub(super) bits: Option<u64>,
    pub(super) of: Option<UnitOffset>,
}

/// The entries of one unit.
pub(super) struct Entries {
    pub(super) by_offset: HashMap<UnitOffset, Raw>,
    /// How many more may be looked up.
    left: Cell<u32>,
}

/// More look-ups than any unit of the kernel needs: a limit against DWARF that runs in circles.
const STEPS: u32 = 1 << 24;

impl Entries {
    pub(super) fn new(by_offset: HashMap<UnitOffset, Raw>) -> Self {
        Self { by_offset, left: Cell::new(STEPS) }
    }

    pub(super) fn get(&self, offset: UnitOffset) -> Option<&Raw> {
        self.left.set(self.left.get().checked_sub(1)?);
        self.by_offset.get(&offset)
    }
}

/// The entries of one unit.
pub(super) fn raw(
    dwarf: &gimli::Dwarf<Slice<'_>>,
    unit: &gimli::Unit<Slice<'_>>,
) -> gimli::Result<HashMap<UnitOffset, Raw>> {
    let mut all = HashMap::new();
    let mut above: Vec<(DwTag, UnitOffset)> = Vec::new();
    let mut depth = 0isize;
    let mut cursor = unit.entries();
    while let Some((delta, entry)) = cursor.next_dfs()? {
        depth += delta;
        above.truncate(usize::try_from(depth).unwrap_or(0));
        let parent = above.last().copied();
        let function = above.iter().rfind(|(tag, _)| *tag == gimli::DW_TAG_subprogram).map(|(_, offset)| *offset);
        above.push((entry.tag(), entry.offset()));
        let name = match entry.attr_value(gimli::DW_AT_name)? {
            Some(value) => Some(dwarf.attr_string(unit, value)?.to_string_lossy().into_owned()),
            None => None,
        };
        let of = match entry.attr_value(gimli::DW_AT_type)? {
            Some(AttributeValue::UnitRef(offset)) => Some(offset),
            _ => None,
        };
        let number = |at| -> gimli::Result<Option<u64>> { Ok(entry.attr(at)?.and_then(|a| a.udata_value())) };
        let parent_raw =
            |all: &mut HashMap<UnitOffset, Raw>| parent.map(|(_, offset)| offset).filter(|o| all.contains_key(o));
        match entry.tag() {
            gimli::DW_TAG_member => {
                let at = match number(gimli::DW_AT_data_bit_offset)? {
                    Some(bits) => bits,
                    None => number(gimli::DW_AT_data_member_location)?.unwrap_or(0).wrapping_mul(8),
                };
                let bits = number(gimli::DW_AT_bit_size)?;
                if let Some(record) = parent_raw(&mut all).and_then(|o| all.get_mut(&o)) {
                    record.members.push(RawMember { name, at, bits, of });
                }
            }
            gimli::DW_TAG_enumerator => {
                let value = entry.attr(gimli::DW_AT_const_value)?;
                let value = value.and_then(|a| a.sdata_value().map(i128::from).or(a.udata_value().map(i128::from)));
                if let Some(list) = parent_raw(&mut all).and_then(|o| all.get_mut(&o)) {
                    list.values.push((name.unwrap_or_default(), value.unwrap_or(0)));
                }
            }
            gimli::DW_TAG_subrange_type => {
                let count = match number(gimli::DW_AT_count)? {
                    Some(count) => count,
                    None => number(gimli::DW_AT_upper_bound)?.map_or(0, |last| last.wrapping_add(1)),
                };
                if let Some(array) = parent_raw(&mut all).and_then(|o| all.get_mut(&o)) {
                    array.dimensions.push(count);
                }
            }
            gimli::DW_TAG_formal_parameter => {
                if let Some(function) = parent_raw(&mut all).and_then(|o| all.get_mut(&o)) {
                    function.parameters.push(of);
                }
            }
            gimli::DW_TAG_unspecified_parameters => {
                if let Some(function) = parent_raw(&mut all).and_then(|o| all.get_mut(&o)) {
                    function.variadic = true;
                }
            }
            // Those on the stack do not count.
            gimli::DW_TAG_variable if function.is_some() && !is_static(entry)? => {}
            tag if is_type(tag) || matches!(tag, gimli::DW_TAG_subprogram | gimli::DW_TAG_variable) => {
                let declared = entry.attr_value(gimli::DW_AT_declaration)?.is_some();
                let external = entry.attr_value(gimli::DW_AT_external)?.is_some();
                let outer = parent.is_some_and(|(tag, _)| tag == gimli::DW_TAG_compile_unit) && !declared;
                let prototyped = entry.attr_value(gimli::DW_AT_prototyped)?.is_some();
                let what = entry.attr_value(gimli::DW_AT_encoding)?.map_or(Number::Other, number_of);
                let size = number(gimli::DW_AT_byte_size)?;
                let raw = Raw {
                    tag,
                    name,
                    size,
                    of,
                    dimensions: Vec::new(),
                    members: Vec::new(),
                    values: Vec::new(),
                    parameters: Vec::new(),
                    variadic: false,
                    prototyped,
                    what,
                    outer,
                    external,
                    function,
                };
                all.insert(entry.offset(), raw);
            }
            _ => {}
        }
    }
    Ok(all)
}

fn is_type(tag: DwTag) -> bool {
    keyword(tag).is_some()
        || matches!(
            tag,
            gimli::DW_TAG_typedef
                | gimli::DW_TAG_base_type
                | gimli::DW_TAG_pointer_type
                | gimli::DW_TAG_array_type
                | gimli::DW_TAG_const_type
                | gimli::DW_TAG_volatile_type
                | gimli::DW_TAG_restrict_type
                | gimli::DW_TAG_atomic_type
                | gimli::DW_TAG_subroutine_type
        )
}

/// The word before the name of a type.
pub(super) fn keyword(tag: DwTag) -> Option<&'static str> {
    match tag {
        gimli::DW_TAG_structure_type => Some("struct"),
        gimli::DW_TAG_union_type => Some("union"),
        gimli::DW_TAG_enumeration_type => Some("enum"),
        _ => None,
    }
}

fn number_of(encoding: AttributeValue<Slice<'_>>) -> Number {
    match encoding {
        AttributeValue::Encoding(gimli::DW_ATE_signed | gimli::DW_ATE_signed_char) => Number::Signed,
        AttributeValue::Encoding(gimli::DW_ATE_unsigned | gimli::DW_ATE_unsigned_char) => Number::Unsigned,
        AttributeValue::Encoding(gimli::DW_ATE_boolean) => Number::Bool,
        _ => Number::Other,
    }
}

/// Whether a variable has one address, and not a place on the stack.
fn is_static(entry: &gimli::DebuggingInformationEntry<'_, '_, Slice<'_>>) -> gimli::Result<bool> {
    Ok(match entry.attr_value(gimli::DW_AT_location)? {
        Some(AttributeValue::Exprloc(place)) => {
            matches!(place.0.slice().first(), Some(op) if [gimli::DW_OP_addr.0, gimli::DW_OP_addrx.0].contains(op))
        }
        _ => false,
    })
}
