// SPDX-License-Identifier: GPL-2.0-or-later
//! Reads from an object's DWARF where its static variables are declared: bytes in, file, line and function of each
//! symbol out.

use crate::diff::locals::{Declared, Statics};
use crate::elf::debug::relocated;
use crate::elf::read::{read, Take};
use crate::elf::{Object, SymKind};
use anyhow::{Context, Result};
use gimli::{AttributeValue, EndianSlice, LittleEndian, Operation, Section as _, UnitOffset};
use std::collections::HashMap;

type Slice<'a> = EndianSlice<'a, LittleEndian>;
type Entry<'a> = gimli::DebuggingInformationEntry<'a, 'a, Slice<'a>, usize>;

/// What a variable's entry says, or the one that it is an instance of.
#[derive(Clone, Debug, Default)]
struct Named {
    name: Option<String>,
    file: Option<u64>,
    line: Option<u64>,
    function: String,
}

/// Reads them; empty if the object has no debug information about variables.
///
/// # Errors
/// Debug information that is malformed or packed.
pub fn read_statics(bytes: &[u8]) -> Result<Statics> {
    let object = read(bytes, Take::All)?;
    let Some(info) = object.section_by_name(".debug_info") else { return Ok(Statics::new()) };
    let file = object::File::parse(bytes).context("malformed object")?;
    let sections = gimli::DwarfSections::load(|id| relocated(&file, id.name()))?;
    let dwarf = sections.borrow(|section| EndianSlice::new(section, LittleEndian));
    let mut found = Statics::new();
    let mut units = dwarf.units();
    while let Some(header) = units.next().context("malformed DWARF unit")? {
        let unit = dwarf.unit(header).context("malformed DWARF unit")?;
        of_unit(&dwarf, &unit, &object, info, &mut found).context("malformed DWARF entries")?;
    }
    Ok(found)
}

fn of_unit(
    dwarf: &gimli::Dwarf<Slice<'_>>,
    unit: &gimli::Unit<Slice<'_>>,
    object: &Object,
    info: usize,
    found: &mut Statics,
) -> gimli::Result<()> {
    let names = names(dwarf, unit)?;
    let start = dwarf.debug_info.reader().slice().as_ptr() as usize;
    let mut cursor = unit.entries();
    while let Some((_, entry)) = cursor.next_dfs()? {
        if entry.tag() != gimli::DW_TAG_variable {
            continue;
        }
        let Some(AttributeValue::Exprloc(place)) = entry.attr_value(gimli::DW_AT_location)? else { continue };
        let bytes = place.0.slice();
        let mut operations = place.operations(unit.encoding());
        let (Ok(Some(Operation::Address { .. })), Ok(None)) = (operations.next(), operations.next()) else { continue };
        // The address is behind the operation's code; in a relocatable file its relocation names the variable.
        let at = (bytes.as_ptr() as usize).wrapping_sub(start) as u64 + 1;
        let Some(symbol) = symbol_at(object, info, at) else { continue };
        let Some(named) = resolve(&names, entry.offset()) else { continue };
        let (Some(line), false) = (named.line, named.function.is_empty()) else { continue };
        let file = named.file.and_then(|index| file_name(dwarf, unit, index)).unwrap_or_default();
        found.insert(symbol, Declared { function: named.function, file, line: Some(line) });
    }
    Ok(())
}

/// The name of the variable that the relocation at `at` leads to.
fn symbol_at(object: &Object, info: usize, at: u64) -> Option<String> {
    let [r] = object.sections[info].relocs_in(at..at + 1) else { return None };
    let symbol = &object.symbols[r.symbol];
    if symbol.kind == SymKind::Data && r.addend == 0 {
        return Some(symbol.name.clone());
    }
    let place = symbol.value.wrapping_add_signed(r.addend);
    let is_there =
        |s: &&crate::elf::Symbol| s.kind == SymKind::Data && s.section() == symbol.section() && s.value == place;
    object.symbols.iter().find(is_there).map(|s| s.name.clone())
}

/// All variables and functions of a unit, with the function around each.
fn names(
    dwarf: &gimli::Dwarf<Slice<'_>>,
    unit: &gimli::Unit<Slice<'_>>,
) -> gimli::Result<HashMap<UnitOffset, (Named, Option<UnitOffset>)>> {
    let mut all: HashMap<UnitOffset, (Named, Option<UnitOffset>)> = HashMap::new();
    let mut above: Vec<Option<UnitOffset>> = Vec::new();
    let mut depth = 0isize;
    let mut cursor = unit.entries();
    while let Some((delta, entry)) = cursor.next_dfs()? {
        depth += delta;
        above.truncate(usize::try_from(depth).unwrap_or(0));
        let around = above.iter().rev().flatten().next().copied();
        let is_function = entry.tag() == gimli::DW_TAG_subprogram;
        above.push(is_function.then(|| entry.offset()));
        if !is_function && entry.tag() != gimli::DW_TAG_variable {
            continue;
        }
        let mut named = named(dwarf, unit, entry)?;
        if let Some(function) = around.and_then(|around| resolve(&all, around)) {
            named.function = function.name.unwrap_or_default();
        }
        all.insert(entry.offset(), (named, origin(entry)?));
    }
    Ok(all)
}

fn named(dwarf: &gimli::Dwarf<Slice<'_>>, unit: &gimli::Unit<Slice<'_>>, entry: &Entry<'_>) -> gimli::Result<Named> {
    let name = match entry.attr_value(gimli::DW_AT_name)? {
        Some(value) => Some(dwarf.attr_string(unit, value)?.to_string_lossy().into_owned()),
        None => None,
    };
    let number = |at| -> gimli::Result<Option<u64>> { Ok(entry.attr(at)?.and_then(|a| a.udata_value())) };
    let file = match entry.attr_value(gimli::DW_AT_decl_file)? {
        Some(AttributeValue::FileIndex(index)) => Some(index),
        _ => number(gimli::DW_AT_decl_file)?,
    };
    Ok(Named { name, file, line: number(gimli::DW_AT_decl_line)?, function: String::new() })
}

/// The entry that this one is an instance of, or completes.
fn origin(entry: &Entry<'_>) -> gimli::Result<Option<UnitOffset>> {
    for at in [gimli::DW_AT_abstract_origin, gimli::DW_AT_specification] {
        if let Some(AttributeValue::UnitRef(offset)) = entry.attr_value(at)? {
            return Ok(Some(offset));
        }
    }
    Ok(None)
}

/// What an entry says itself, completed by what it is an instance of.
fn resolve(all: &HashMap<UnitOffset, (Named, Option<UnitOffset>)>, at: UnitOffset) -> Option<Named> {
    let (mut named, mut origin) = all.get(&at).cloned()?;
    for _ in 0..8 {
        let Some((more, next)) = origin.and_then(|at| all.get(&at)) else { break };
        named.name = named.name.or_else(|| more.name.clone());
        named.file = named.file.or(more.file);
        named.line = named.line.or(more.line);
        if !more.function.is_empty() {
            named.function.clone_from(&more.function);
        }
        origin = *next;
    }
    Some(named)
}

/// The path of a file of the unit's line table.
fn file_name(dwarf: &gimli::Dwarf<Slice<'_>>, unit: &gimli::Unit<Slice<'_>>, index: u64) -> Option<String> {
    let header = unit.line_program.as_ref()?.header();
    let file = header.file(index)?;
    let text = |value| dwarf.attr_string(unit, value).ok().map(|s| s.to_string_lossy().into_owned());
    let folder = file.directory(header).and_then(text).unwrap_or_default();
    Some(format!("{folder}/{}", text(file.path_name())?))
}
