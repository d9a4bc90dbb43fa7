// SPDX-License-Identifier: GPL-2.0-or-later
//! Where static variables are declared: an object with debug information in; out, for the symbol of each, the function, the
//! file and the line of its declaration. Compilers number variables of one name, and the numbers mean nothing.

use crate::elf::Object;
use crate::explain::debug::{self, ROOM};
use anyhow::{Context, Result};
use gimli::{AttributeValue, DwTag, EndianRcSlice, LittleEndian, Operation, UnitOffset};
use object::Object as _;
use std::collections::{BTreeMap, HashMap};
use std::rc::Rc;

/// Where a variable is declared.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Declared {
    /// The function around it; empty at file scope.
    pub function: String,
    /// Its name in the source.
    pub name: String,
    /// The file.
    pub file: String,
    /// The line there, in the original's text; None where it is not known which line that is.
    pub line: Option<u64>,
    /// A number or a pointer: nothing in it to walk along.
    pub scalar: bool,
}

/// Declarations by symbol.
pub type Statics = BTreeMap<String, Declared>;

type Slice = EndianRcSlice<LittleEndian>;

/// What is needed of one entry.
#[derive(Default)]
struct Raw {
    function: Option<UnitOffset>,
    name: Option<String>,
    file: Option<u64>,
    line: Option<u64>,
    origin: Option<UnitOffset>,
    address: Option<u64>,
    of: Option<UnitOffset>,
    tag: Option<DwTag>,
}

/// What is a number or a pointer in itself, and what only leads to a type.
const SCALARS: &[DwTag] = &[gimli::DW_TAG_base_type, gimli::DW_TAG_pointer_type, gimli::DW_TAG_enumeration_type];
const NAMES: &[DwTag] = &[
    gimli::DW_TAG_typedef,
    gimli::DW_TAG_const_type,
    gimli::DW_TAG_volatile_type,
    gimli::DW_TAG_atomic_type,
    gimli::DW_TAG_restrict_type,
];
/// So many names for one type are followed.
const MOST_NAMES: usize = 32;

/// Reads the declarations of the variables of `object`, whose file is `bytes`. Empty where it has no debug information about
/// variables.
///
/// # Errors
/// Malformed debug information.
pub fn read(bytes: &[u8], object: &Object) -> Result<Statics> {
    let Ok(file) = object::File::parse(bytes) else { return Ok(Statics::new()) };
    if file.section_by_name(".debug_info").is_none() {
        return Ok(Statics::new());
    }
    let load = |id: gimli::SectionId| -> Result<Slice> {
        let data = match file.section_by_name(id.name()) {
            Some(section) => debug::relocated(&file, &section).with_context(|| format!("section {}", id.name()))?,
            None => Vec::new(),
        };
        Ok(EndianRcSlice::new(Rc::from(data), LittleEndian))
    };
    let dwarf = gimli::Dwarf::load(load)?;
    let mut named: HashMap<(usize, u64), &str> = HashMap::new();
    for symbol in &object.symbols {
        if let Some(home) = symbol.section().filter(|&s| !symbol.name.is_empty() && !object.sections[s].is_text()) {
            named.entry((home, symbol.value)).or_insert(&symbol.name);
        }
    }
    let mut found = Statics::new();
    let mut headers = dwarf.units();
    while let Some(header) = headers.next().context("malformed DWARF unit")? {
        let unit = dwarf.unit(header).context("malformed DWARF unit")?;
        let entries = entries(&dwarf, &unit)?;
        let files = |n: u64| -> Option<String> {
            let header = unit.line_program.as_ref()?.header();
            let file = header.file(n)?;
            let text = |value| Some(String::from_utf8_lossy(&dwarf.attr_string(&unit, value).ok()?).into_owned());
            let folder = file.directory(header).and_then(text).unwrap_or_default();
            Some(format!("{folder}/{}", text(file.path_name())?))
        };
        for raw in entries.values() {
            let Some(address) = raw.address else { continue };
            let (Some(home), at) = ((address / ROOM).checked_sub(1), address % ROOM) else { continue };
            let Some(symbol) = named.get(&(home as usize, at)) else { continue };
            // Of an inlined function, only the origin says it all.
            let chain = || std::iter::successors(Some(raw), |r| entries.get(&r.origin?)).take(4);
            let (Some(name), Some(line)) = (chain().find_map(|r| r.name.clone()), chain().find_map(|r| r.line)) else {
                continue;
            };
            let last = chain().last().and_then(|r| r.function).and_then(|f| entries.get(&f));
            let function = last.and_then(|f| {
                std::iter::successors(Some(f), |r| entries.get(&r.origin?)).take(4).find_map(|r| r.name.clone())
            });
            let file = chain().find_map(|r| r.file).and_then(files).unwrap_or_default();
            let of = chain().find_map(|r| r.of).and_then(|of| entries.get(&of));
            let names = |r: &&Raw| r.tag.is_some_and(|tag| NAMES.contains(&tag));
            let types = std::iter::successors(of, |r| entries.get(&r.of.filter(|_| names(r))?)).take(MOST_NAMES);
            let scalar = types.last().and_then(|r| r.tag).is_some_and(|tag| SCALARS.contains(&tag));
            let function = function.unwrap_or_default();
            found.insert(symbol.to_string(), Declared { function, name, file, line: Some(line), scalar });
        }
    }
    Ok(found)
}

fn is_function(tag: DwTag) -> bool {
    tag == gimli::DW_TAG_subprogram
}

/// The variables and functions of a unit.
fn entries(dwarf: &gimli::Dwarf<Slice>, unit: &gimli::Unit<Slice>) -> Result<HashMap<UnitOffset, Raw>> {
    let mut all = HashMap::new();
    let mut around: Vec<(isize, UnitOffset)> = Vec::new();
    let mut depth = 0;
    let mut cursor = unit.entries();
    while let Some((delta, entry)) = cursor.next_dfs().context("malformed DWARF entry")? {
        depth += delta;
        while around.last().is_some_and(|&(d, _)| d >= depth) {
            around.pop();
        }
        let tag = entry.tag();
        if tag != gimli::DW_TAG_variable && !is_function(tag) && !SCALARS.contains(&tag) && !NAMES.contains(&tag) {
            continue;
        }
        let mut raw = Raw { function: around.last().map(|a| a.1), tag: Some(tag), ..Raw::default() };
        let mut attributes = entry.attrs();
        while let Some(attribute) = attributes.next().context("malformed DWARF attribute")? {
            match (attribute.name(), attribute.value()) {
                (gimli::DW_AT_name, value) => {
                    let name = dwarf.attr_string(unit, value).ok();
                    raw.name = name.map(|n| String::from_utf8_lossy(&n).into_owned());
                }
                (gimli::DW_AT_decl_file, AttributeValue::FileIndex(n)) => raw.file = Some(n),
                (gimli::DW_AT_decl_line, value) => raw.line = value.udata_value(),
                (gimli::DW_AT_type, AttributeValue::UnitRef(at)) => raw.of = Some(at),
                (gimli::DW_AT_abstract_origin | gimli::DW_AT_specification, AttributeValue::UnitRef(at)) => {
                    raw.origin = Some(at);
                }
                (gimli::DW_AT_location, AttributeValue::Exprloc(expression)) => {
                    let mut operations = expression.operations(unit.encoding());
                    if let Ok(Some(Operation::Address { address })) = operations.next() {
                        raw.address = Some(address);
                    }
                }
                _ => {}
            }
        }
        if is_function(tag) {
            around.push((depth, entry.offset()));
        }
        all.insert(entry.offset(), raw);
    }
    Ok(all)
}
