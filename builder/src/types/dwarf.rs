// SPDX-License-Identifier: GPL-2.0-or-later
//! Reads from an object's DWARF what its types look like in memory: structs, unions and enums by name, and the
//! prototypes of its global functions. Types inside of functions are left out: what they describe lives on the stack.

use anyhow::{ensure, Context, Result};
use gimli::{AttributeValue, DwTag, EndianSlice, LittleEndian, UnitOffset};
use object::{Object as _, ObjectSection as _, ObjectSymbol as _, RelocationKind, RelocationTarget};
use std::cell::Cell;
use std::collections::{BTreeMap, HashMap};

/// A member of a struct or union. Places and sizes in bits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// Its name, that of the union or struct without a name around it before it; empty for padding.
    pub name: String,
    /// From the start of the struct, bits.
    pub at: u64,
    /// Bits; 0 for an array without a length.
    pub size: u64,
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
    /// Global functions: name → prototype.
    pub prototypes: BTreeMap<String, String>,
}

type Slice<'a> = EndianSlice<'a, LittleEndian>;

#[derive(Debug)]
struct Raw {
    tag: DwTag,
    name: Option<String>,
    size: Option<u64>,
    of: Option<UnitOffset>,
    /// Array: number of elements.
    count: u64,
    members: Vec<RawMember>,
    values: Vec<(String, i128)>,
    parameters: Vec<Option<UnitOffset>>,
    /// At file scope.
    outer: bool,
    external: bool,
}

#[derive(Debug)]
struct RawMember {
    name: Option<String>,
    at: u64,
    bits: Option<u64>,
    of: Option<UnitOffset>,
}

/// The entries of one unit.
pub(super) struct Entries {
    by_offset: HashMap<UnitOffset, Raw>,
    /// How many more may be looked up.
    left: Cell<u32>,
}

/// More look-ups than any unit of the kernel needs: a limit against DWARF that runs in circles.
const STEPS: u32 = 1 << 24;

impl Entries {
    fn get(&self, offset: UnitOffset) -> Option<&Raw> {
        self.left.set(self.left.get().checked_sub(1)?);
        self.by_offset.get(&offset)
    }
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
            types.take(&Entries { by_offset, left: Cell::new(STEPS) });
        }
        Ok(types)
    }

    fn take(&mut self, all: &Entries) {
        let mut order: Vec<&UnitOffset> = all.by_offset.keys().collect();
        order.sort();
        for raw in order.into_iter().filter_map(|offset| all.by_offset.get(offset)).filter(|raw| raw.outer) {
            match raw.tag {
                gimli::DW_TAG_subprogram if raw.external => {
                    if let Some(name) = &raw.name {
                        let parameters: Vec<String> = raw.parameters.iter().map(|p| words(all, *p, 0)).collect();
                        let text = format!("{} ({})", words(all, raw.of, 0), parameters.join(", "));
                        self.prototypes.entry(name.clone()).or_insert(text);
                    }
                }
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
}

/// The types of one unit, to be put into [`words`].
pub(super) fn entries(dwarf: &gimli::Dwarf<Slice<'_>>, unit: &gimli::Unit<Slice<'_>>) -> gimli::Result<Entries> {
    Ok(Entries { by_offset: raw(dwarf, unit)?, left: Cell::new(STEPS) })
}

/// A section with its relocations applied: in a relocatable file, offsets between debug sections are such.
pub(super) fn relocated(file: &object::File<'_>, name: &str) -> Result<Vec<u8>> {
    let Some(section) = file.section_by_name(name) else { return Ok(Vec::new()) };
    let place = section.compressed_file_range().with_context(|| format!("section {name}"))?;
    ensure!(
        place.format == object::CompressionFormat::None,
        "section {name} is compressed: unpack it with `objcopy --decompress-debug-sections`"
    );
    let mut data = section.data().with_context(|| format!("section {name}"))?.to_vec();
    for (offset, reloc) in section.relocations() {
        let RelocationTarget::Symbol(symbol) = reloc.target() else { continue };
        if reloc.kind() != RelocationKind::Absolute {
            continue;
        }
        let base = file.symbol_by_index(symbol).map_or(0, |s| s.address());
        let value = base.wrapping_add_signed(reloc.addend()).to_le_bytes();
        let bytes = usize::from(reloc.size() / 8).min(value.len());
        let field = usize::try_from(offset).ok().and_then(|at| data.get_mut(at..at.checked_add(bytes)?));
        field.with_context(|| format!("section {name}: a relocation outside of it"))?.copy_from_slice(&value[..bytes]);
    }
    Ok(data)
}

fn raw(dwarf: &gimli::Dwarf<Slice<'_>>, unit: &gimli::Unit<Slice<'_>>) -> gimli::Result<HashMap<UnitOffset, Raw>> {
    let mut all = HashMap::new();
    let mut above: Vec<(DwTag, UnitOffset)> = Vec::new();
    let mut depth = 0isize;
    let mut cursor = unit.entries();
    while let Some((delta, entry)) = cursor.next_dfs()? {
        depth += delta;
        above.truncate(usize::try_from(depth).unwrap_or(0));
        let parent = above.last().copied();
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
                    array.count = array.count.wrapping_mul(count);
                }
            }
            gimli::DW_TAG_formal_parameter => {
                if let Some(function) = parent_raw(&mut all).and_then(|o| all.get_mut(&o)) {
                    function.parameters.push(of);
                }
            }
            tag if is_type(tag) || tag == gimli::DW_TAG_subprogram => {
                let declared = entry.attr_value(gimli::DW_AT_declaration)?.is_some();
                let external = entry.attr_value(gimli::DW_AT_external)?.is_some();
                let outer = parent.is_some_and(|(tag, _)| tag == gimli::DW_TAG_compile_unit) && !declared;
                let size = number(gimli::DW_AT_byte_size)?;
                let raw = Raw {
                    tag,
                    name,
                    size,
                    of,
                    count: 1,
                    members: Vec::new(),
                    values: Vec::new(),
                    parameters: Vec::new(),
                    outer,
                    external,
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

fn keyword(tag: DwTag) -> Option<&'static str> {
    match tag {
        gimli::DW_TAG_structure_type => Some("struct"),
        gimli::DW_TAG_union_type => Some("union"),
        gimli::DW_TAG_enumeration_type => Some("enum"),
        _ => None,
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
                out.push(Member { name: format!("{prefix}{}", name.as_deref().unwrap_or_default()), at, size });
            }
        }
    }
}

fn size_of(all: &Entries, of: Option<UnitOffset>, deep: usize) -> u64 {
    let Some(raw) = of.and_then(|of| all.get(of)).filter(|_| deep < DEEP) else { return 0 };
    match (raw.size, raw.tag) {
        (Some(size), _) => size,
        (None, gimli::DW_TAG_array_type) => size_of(all, raw.of, deep + 1).wrapping_mul(raw.count),
        (None, gimli::DW_TAG_pointer_type | gimli::DW_TAG_subroutine_type) => 0,
        (None, _) => size_of(all, raw.of, deep + 1),
    }
}

/// A type in words, qualifiers left out; types with names by their names alone.
pub(super) fn words(all: &Entries, of: Option<UnitOffset>, deep: usize) -> String {
    let Some(raw) = of.and_then(|of| all.get(of)).filter(|_| deep < DEEP) else { return "void".into() };
    let inner = || words(all, raw.of, deep + 1);
    match raw.tag {
        gimli::DW_TAG_pointer_type => format!("{} *", inner()),
        gimli::DW_TAG_array_type => format!("{}[{}]", inner(), raw.count),
        gimli::DW_TAG_const_type
        | gimli::DW_TAG_volatile_type
        | gimli::DW_TAG_restrict_type
        | gimli::DW_TAG_atomic_type => inner(),
        gimli::DW_TAG_subroutine_type => {
            let parameters: Vec<String> = raw.parameters.iter().map(|p| words(all, *p, deep + 1)).collect();
            format!("{} ({})", inner(), parameters.join(", "))
        }
        tag => {
            let name = raw.name.clone().unwrap_or_default();
            keyword(tag).map_or(name.clone(), |kind| format!("{kind} {name}"))
        }
    }
}
