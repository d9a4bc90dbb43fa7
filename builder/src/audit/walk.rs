// SPDX-License-Identifier: GPL-2.0-or-later
//! The walk through module and patched objects side by side: registered functions in; which thing of which object is where in
//! the module, and what does not fit, out.

use super::entries::Tables;
use super::finished::{Finished, Lead};
use super::originals::{Original, Originals};
use super::things::{text_at, text_start, Kind, Named, ThingId, Things, Use};
use super::{not_shown, per_place, Place, Root, Shown, Unit, World};
use crate::elf::{Object, Reloc, SecId, SymId, SymKind, SHT_NOBITS};
use crate::error::Refusal;
use crate::special::layout::Layouts;
use crate::special::storage::Storage;
use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::ops::Range;

/// A thing of a unit.
pub(super) type Key = (usize, ThingId);

/// From where something is referred to.
#[derive(Clone, Copy, Debug)]
pub(super) struct Site<'s> {
    /// The unit.
    pub unit: usize,
    /// Relocation type.
    pub kind: u32,
    /// True for a call or a jump.
    pub branch: bool,
    /// True where an entry of a special section refers to it: such entries are about the code that they come with.
    pub entry: bool,
    /// Name of the function or datum.
    pub name: &'s str,
    /// Code that refers to it: its section in the patched object, its bytes there, and the offset of the field.
    pub code: Option<(SecId, &'s Range<u64>, u64)>,
}

/// A piece of a patched object, and where it is in the module.
#[derive(Clone, Debug)]
pub(super) struct Piece {
    pub unit: usize,
    pub section: SecId,
    pub range: Range<u64>,
    pub home: SecId,
    pub at: u64,
    pub name: String,
    pub entry: bool,
}

pub(super) struct Walk<'a> {
    pub units: &'a [Unit<'a>],
    pub things: Vec<Things<'a>>,
    pub originals: Vec<Originals<'a>>,
    pub finished: Finished<'a>,
    pub world: &'a dyn World,
    /// Where things are in the module.
    pub placed: HashMap<Key, (SecId, u64)>,
    /// The reverse, by the first byte of things that have any.
    pub pieces: BTreeMap<(SecId, u64), Key>,
    pub tables: Tables,
    pub shown: Shown,
    queue: VecDeque<Key>,
    /// References to places at which the object does not tell what is meant, to be looked at in the end.
    doubts: Vec<(Refusal, usize, Vec<ThingId>, i64, Lead, u32)>,
    /// References into functions of the running kernel.
    inside: Vec<(Refusal, Key)>,
    faults: Vec<Refusal>,
}

impl<'a> Walk<'a> {
    pub fn new(
        module: &'a Object,
        units: &'a [Unit<'a>],
        world: &'a dyn World,
        layouts: &Layouts,
    ) -> Result<Self, String> {
        Ok(Self {
            units,
            things: units.iter().map(|u| Things::new(u.patched, layouts, &u.statics[0])).collect(),
            originals: units.iter().map(Originals::new).collect(),
            finished: Finished::new(module)?,
            world,
            placed: HashMap::new(),
            pieces: BTreeMap::new(),
            tables: Tables::default(),
            shown: Shown::default(),
            queue: VecDeque::new(),
            doubts: Vec::new(),
            inside: Vec::new(),
            faults: Vec::new(),
        })
    }

    /// Starts from the functions that the module registers.
    pub fn roots(&mut self, roots: &[Root]) {
        for root in roots {
            if let Err(why) = self.root(root) {
                let source = self.units[root.unit].source;
                self.faults.push(not_shown(&root.old_name, source, why));
            }
        }
    }

    fn root(&mut self, root: &Root) -> Result<(), String> {
        let (home, at) = root.at;
        let things = &self.things[root.unit];
        let names: Vec<&str> = self.names_at(home, at).collect();
        let entered = |id: &SymId| {
            let symbol = &things.object.symbols[*id];
            symbol.kind == SymKind::Func && names.contains(&symbol.name.as_str())
        };
        let found: Vec<(SymId, ThingId)> = (0..things.object.symbols.len())
            .filter(entered)
            .filter_map(|id| Some((id, things.of_symbol(id)?)))
            .filter(|&(id, thing)| things.object.symbols[id].value == things.all[thing].anchor)
            .collect();
        let Some(&(symbol, thing)) = found.first() else {
            let at = self.finished.describe(home, at as i64);
            return Err(format!("what is registered for it, {at}, is no function of the patched file"));
        };
        let kernels = self.kernels(root.unit, symbol)?.ok_or("the original has no function that this one continues")?;
        if kernels != root.old {
            return Err(format!(
                "it replaces {}, but the function that it continues is {}",
                self.world.describe(&root.old),
                self.world.describe(&kernels)
            ));
        }
        let thing_start = self.things[root.unit].all[thing].range.start;
        let anchor = self.things[root.unit].all[thing].anchor;
        let start = at.checked_sub(anchor - thing_start).ok_or("it begins before its section")?;
        self.place(root.unit, thing, home, start as i64)
    }

    /// The names of the functions at a place in the module, as the patched object has them.
    pub fn names_at(&self, home: SecId, at: u64) -> impl Iterator<Item = &str> {
        let symbols = self.finished.symbols_at(home, at).iter().map(|&s| &self.finished.object.symbols[s]);
        symbols.filter(|s| s.kind == SymKind::Func).map(|s| as_compiled(&s.name))
    }

    /// Compares all that was placed, and what that leads to.
    pub fn all(&mut self) {
        while let Some((unit, thing)) = self.queue.pop_front() {
            let name = self.things[unit].name(thing);
            if let Err(why) = self.thing(unit, thing, &name) {
                self.fault(unit, &name, why);
            }
        }
    }

    pub fn fault(&mut self, unit: usize, name: &str, why: String) {
        let source = self.units[unit].source;
        self.faults.push(not_shown(name, source, why));
    }

    pub fn push(&mut self, refusal: Refusal) {
        self.faults.push(refusal);
    }

    /// Says that a thing is at a place in the module.
    pub fn place(&mut self, unit: usize, thing: ThingId, home: SecId, at: i64) -> Result<(), String> {
        let it = &self.things[unit].all[thing];
        let len = it.range.end - it.range.start;
        let start = u64::try_from(at)
            .ok()
            .filter(|at| at.checked_add(len).is_some_and(|end| end <= self.finished.object.sections[home].size));
        let Some(start) = start else {
            let name = self.things[unit].name(thing);
            return Err(format!("{name} would not be whole at {}", self.finished.describe(home, at)));
        };
        match self.placed.get(&(unit, thing)) {
            Some(&known) if known == (home, start) => return Ok(()),
            // Nothing has no place.
            Some(_) if len == 0 => return Ok(()),
            Some(&(other, known)) => {
                return Err(format!(
                    "{} is at {} for one reference and at {} for another",
                    self.things[unit].name(thing),
                    self.finished.describe(other, known as i64),
                    self.finished.describe(home, at)
                ));
            }
            None => {}
        }
        self.placed.insert((unit, thing), (home, start));
        if len > 0 {
            let before = self.pieces.range(..(home, start + len)).next_back();
            if let Some((&(section, from), &(u, t))) = before {
                let other = &self.things[u].all[t].range;
                if section == home && from + (other.end - other.start) > start {
                    let (name, other) = (self.things[unit].name(thing), self.things[u].name(t));
                    return Err(format!("{name} and {other} have the same bytes of the module"));
                }
            }
            self.pieces.insert((home, start), (unit, thing));
        }
        self.queue.push_back((unit, thing));
        Ok(())
    }

    fn thing(&mut self, unit: usize, thing: ThingId, name: &str) -> Result<(), String> {
        let it = self.things[unit].all[thing].clone();
        let (home, at) = self.placed[&(unit, thing)];
        let mine = self.things[unit].section(thing);
        let theirs = &self.finished.object.sections[home];
        let flags = |s: &crate::elf::Section| (s.is_alloc(), s.is_writable(), s.is_text(), Storage::of(s));
        if (flags(mine) != flags(theirs) || Storage::of(theirs).is_gone()) && it.kind != Kind::Aside {
            return Err(format!(
                "it is in {} of the patched object, and in {} of the module, which is memory of another kind",
                mine.name, theirs.name
            ));
        }
        let align = mine.align.max(1);
        let is_empty = it.kind == Kind::Aside || it.range.end <= it.range.start;
        if !is_empty && (theirs.align < align || at % align != it.range.start % align) {
            return Err(format!("its alignment is {align} bytes, and it is at {}+{at:#x}", theirs.name));
        }
        if it.kind == Kind::Code {
            let entry = at + (it.anchor - it.range.start);
            let own: Vec<_> = it.symbols.iter().map(|&s| &self.units[unit].patched.symbols[s]).collect();
            let fits = self.finished.symbols_at(home, entry).iter().any(|&s| {
                let s = &self.finished.object.symbols[s];
                let is = |o: &&&crate::elf::Symbol| {
                    o.value == it.anchor && (o.kind, o.size, o.other) == (s.kind, s.size, s.other)
                };
                own.iter().any(|o| is(&o))
            });
            if !fits {
                return Err(format!(
                    "no symbol of the module has its kind, size and entry at {}+{entry:#x}",
                    theirs.name
                ));
            }
        }
        let piece =
            Piece { unit, section: it.section, range: it.range.clone(), home, at, name: name.into(), entry: false };
        self.piece(&piece, &self.switched(unit, thing))?;
        match it.kind {
            Kind::Code => self.shown.functions += 1,
            Kind::Datum | Kind::Nameless => self.shown.data += 1,
            Kind::Slot | Kind::Aside => {}
        }
        self.entries_of(unit, thing, home, at);
        Ok(())
    }

    /// Compares a piece: its bytes, then its references. `sites` are jumps that build tools may have turned into nops.
    pub fn piece(&mut self, piece: &Piece, sites: &[u64]) -> Result<(), String> {
        let Piece { unit, section, ref range, home, at, .. } = *piece;
        let things = &self.things[unit];
        let arch = things.object.arch;
        let len = range.end - range.start;
        let source = &things.object.sections[section];
        let mut mine = match source.kind {
            SHT_NOBITS => vec![0; len as usize],
            _ => source.bytes(range.clone()).to_vec(),
        };
        let Some(mut theirs) = self.finished.bytes(home, at, len) else {
            return Err("the module ends within it".into());
        };
        let mut uses = things.uses(section, range.clone())?;
        for &site in sites {
            let from = (site - range.start) as usize;
            if let Some(jump) = arch.is_disabled_jump(&mine[from..], &theirs[from..]) {
                mine[from..from + jump].fill(0);
                theirs[from..from + jump].fill(0);
                uses.retain(|u| !(site..site + jump as u64).contains(&u.offset));
            }
        }
        for u in &uses {
            if let Some(field) = arch.field(u.kind) {
                let from = (u.offset - range.start) as usize;
                field.blank(&mut mine[from..]);
                field.blank(&mut theirs[from..]);
            }
        }
        self.finished.account(home, at..at + len);
        if let Some(n) = mine.iter().zip(&theirs).position(|(a, b)| a != b) {
            let name = &self.finished.object.sections[home].name;
            return Err(format!(
                "its byte {n:#x} is {:02x} in the patched object and {:02x} in the module ({name}+{:#x})",
                mine[n],
                theirs[n],
                at + n as u64
            ));
        }
        let relocs = self.finished.relocs_in(home, at..at + len).to_vec();
        let place = |offset: u64| at + (offset - range.start);
        let odd = relocs.iter().find(|r| !uses.iter().any(|u| place(u.offset) == r.offset));
        if let Some(r) = odd {
            let name = self.finished.object.symbol_name(r.symbol);
            let home = &self.finished.object.sections[home].name;
            return Err(format!("the module refers to {name} at {home}+{:#x}, the patched object does not", r.offset));
        }
        for u in &uses {
            self.shown.references += 1;
            let here: Vec<&Reloc> = relocs.iter().filter(|r| r.offset == place(u.offset)).collect();
            match self.used(piece, u, &here) {
                Ok(()) => self.shown.shown += 1,
                Err(why) => self.faults.push(self.at_use(piece, u, why)),
            }
        }
        Ok(())
    }

    fn at_use(&self, piece: &Piece, u: &Use, why: String) -> Refusal {
        let at = piece.at + (u.offset - piece.range.start);
        let home = &self.finished.object.sections[piece.home].name;
        let means = self.meaning(piece.unit, &u.names);
        not_shown(
            &piece.name,
            self.units[piece.unit].source,
            format!("its reference at {home}+{at:#x} of the module means {means}: {why}"),
        )
    }

    /// What a reference names, in words.
    fn meaning(&self, unit: usize, names: &Named) -> String {
        let things = &self.things[unit];
        let within = |thing: ThingId, at: i64| {
            let by = at.wrapping_sub(things.all[thing].anchor as i64);
            match by {
                0 => things.name(thing),
                1.. => format!("{}+{by:#x}", things.name(thing)),
                _ => format!("{}-{:#x}", things.name(thing), by.unsigned_abs()),
            }
        };
        match names {
            Named::Outside(s, 0) => things.object.symbols[*s].name.clone(),
            Named::Outside(s, by) => format!("{}{by:+}", things.object.symbols[*s].name),
            Named::Thing(thing, _, at) => within(*thing, *at),
            Named::Either(all, at) => all.iter().map(|&t| within(t, *at)).collect::<Vec<_>>().join(" or "),
            Named::Text(section, at, _) => {
                let text = text_at(&things.object.sections[*section], (*at).max(0) as u64);
                format!("the string {:?}", String::from_utf8_lossy(text).trim_end_matches('\0'))
            }
            Named::Nothing(section) => format!("a place in {}", things.object.sections[*section].name),
            Named::Number(n) => format!("the number {n:#x}"),
        }
    }

    fn used(&mut self, piece: &Piece, u: &Use, here: &[&Reloc]) -> Result<(), String> {
        let [reloc] = here else { return Err(format!("the module has {} relocations there", here.len())) };
        let arch = self.finished.object.arch;
        if !arch.same_reloc(reloc.kind, u.kind) {
            let name = |kind| arch.reloc_name(kind);
            return Err(format!("it is {} in the module and {} in the patched object", name(reloc.kind), name(u.kind)));
        }
        let lead = self.finished.lead(reloc, u.bias)?;
        let is_code = !piece.entry && self.things[piece.unit].object.sections[piece.section].is_text();
        let site = Site {
            unit: piece.unit,
            kind: u.kind,
            branch: u.branch,
            entry: piece.entry,
            name: &piece.name,
            code: is_code.then_some((piece.section, &piece.range, u.offset)),
        };
        match &u.names {
            Named::Number(mine) if lead == Lead::Number(*mine) => Ok(()),
            Named::Number(_) => Err(self.elsewhere(&lead)),
            Named::Outside(symbol, by) => self.outside(&site, *symbol, *by, &lead),
            Named::Thing(thing, symbol, at) => self.inside(&site, piece.unit, *thing, *symbol, *at, &lead),
            Named::Text(section, of, at) => self.text(piece.unit, *section, *of, *at, &lead),
            Named::Nothing(section) => self.nothing(piece.unit, *section, &lead),
            Named::Either(all, at) => {
                let first = self.inside(&site, piece.unit, all[0], None, *at, &lead);
                let refusal =
                    self.at_use(piece, u, "the object does not tell which, and they are not in one place".into());
                self.doubts.push((refusal, piece.unit, all[1..].to_vec(), *at, lead, u.kind));
                first
            }
        }
    }

    /// A place in the module or the kernel, in words.
    pub fn elsewhere(&self, lead: &Lead) -> String {
        match *lead {
            Lead::Here(home, at) => format!("it leads to {}", self.finished.describe(home, at)),
            Lead::Outside(symbol, by) => {
                let symbol = &self.finished.object.symbols[symbol];
                match self.world.outside(symbol) {
                    Ok(place) => format!("it leads to {} ({})", self.world.describe(&place.moved(by)), symbol.name),
                    Err(why) => format!("it leads to {}: {why}", symbol.name),
                }
            }
            Lead::Number(n) => format!("the module has the number {n:#x} there"),
        }
    }

    /// Where the running kernel has what a symbol of a patched object continues; None where the fix adds it.
    pub fn kernels(&self, unit: usize, symbol: SymId) -> Result<Option<Place>, String> {
        let mine = &self.units[unit].patched.symbols[symbol];
        match self.originals[unit].of(symbol) {
            Original::Is(id) => self.world.of_unit(unit, &self.units[unit].original.symbols[id].name).map(Some),
            // It may come from another file.
            Original::New if !mine.is_local() => self.world.defined(unit, &mine.name),
            Original::New => Ok(None),
            Original::Unsure(why) => Err(why),
        }
    }

    /// A reference to a place in a thing of a unit, `at` in its section.
    pub fn inside(
        &mut self,
        site: &Site<'_>,
        unit: usize,
        thing: ThingId,
        symbol: Option<SymId>,
        at: i64,
        lead: &Lead,
    ) -> Result<(), String> {
        let it = self.things[unit].all[thing].clone();
        let object = self.things[unit].object;
        match *lead {
            Lead::Number(_) => Err(self.elsewhere(lead)),
            Lead::Here(home, theirs) => {
                self.may_be_here(site, unit, thing, at)?;
                if it.kind == Kind::Slot {
                    self.through_slot(site, unit, thing)?;
                }
                self.place(unit, thing, home, theirs.wrapping_sub(at.wrapping_sub(it.range.start as i64)))
            }
            Lead::Outside(id, by) => {
                let Some(symbol) = symbol.or(it.symbols.first().copied()) else {
                    return Err(format!("it has no name, and {}", self.elsewhere(lead)));
                };
                let mine = &object.symbols[symbol];
                let entered = object.arch.entered(site.kind, mine);
                let off = at.wrapping_sub(mine.value as i64).wrapping_sub(entered);
                let place = self
                    .kernels(unit, symbol)?
                    .ok_or_else(|| format!("the fix adds it, and {}", self.elsewhere(lead)))?;
                let reached = self.world.outside(&self.finished.object.symbols[id])?;
                if place.clone().moved(off) != reached.moved(by) {
                    return Err(format!("{}, not to {}", self.elsewhere(lead), self.world.describe(&place.moved(off))));
                }
                self.stored(site, &mine.name, &place, Some(Storage::of(self.things[unit].section(thing))))?;
                if it.kind == Kind::Code && off != 0 {
                    let why = format!("{} is in the module, and this leads into the running kernel's", mine.name);
                    self.inside.push((not_shown(site.name, self.units[site.unit].source, why), (unit, thing)));
                }
                Ok(())
            }
        }
    }

    /// Whether a reference to a thing may lead to the module's.
    fn may_be_here(&self, site: &Site<'_>, unit: usize, thing: ThingId, at: i64) -> Result<(), String> {
        let things = &self.things[unit];
        let it = &things.all[thing];
        let section = things.section(thing);
        let Some(&first) = it.symbols.first() else {
            let compilers = it.kind == Kind::Slot || per_place::is_section(&section.name);
            let is_variable = section.is_writable() && !things.holds_constants(it.section);
            return match is_variable && it.kind == Kind::Nameless && !compilers {
                true => Err("it is writable and has no name: the running kernel's cannot be identified".into()),
                false => Ok(()),
            };
        };
        if it.kind == Kind::Code {
            // Calls may go to the new code at once, and what is inside of it is its own.
            let pointer = !site.branch && !site.entry && at == it.anchor as i64;
            return match pointer.then(|| self.kernels(unit, first)).transpose()?.flatten() {
                None => Ok(()),
                Some(place) => Err(format!(
                    "it is a pointer to the module's function; it has to be one to the running kernel's, {}",
                    self.world.describe(&place)
                )),
            };
        }
        let is_own = |&s: &SymId| per_place::is_of_one_place(&things.object.symbols[s].name, &section.name);
        if it.symbols.iter().any(is_own) || !section.is_writable() && self.goes_with_code(unit, thing) {
            return Ok(());
        }
        match self.kernels(unit, first)? {
            None => Ok(()),
            Some(place) => {
                Err(format!("the module has its own; the running kernel's is {}", self.world.describe(&place)))
            }
        }
    }

    /// A constant that holds places inside of functions belongs to their code.
    fn goes_with_code(&self, unit: usize, thing: ThingId) -> bool {
        let things = &self.things[unit];
        let it = &things.all[thing];
        let Ok(uses) = things.uses(it.section, it.range.clone()) else { return false };
        uses.iter().any(|u| match u.names {
            Named::Thing(code, _, at) => things.all[code].kind == Kind::Code && at != things.all[code].anchor as i64,
            _ => false,
        })
    }

    /// A reference to a symbol that the unit does not define.
    fn outside(&mut self, site: &Site<'_>, symbol: SymId, by: i64, lead: &Lead) -> Result<(), String> {
        let object = self.units[site.unit].patched;
        let name = object.symbols[symbol].name.as_str();
        if object.arch.is_linker_symbol(name) {
            let same = |id: SymId| self.finished.object.symbols[id].name == name;
            return match *lead {
                Lead::Outside(id, theirs) if same(id) && theirs == by => Ok(()),
                _ => Err(self.elsewhere(lead)),
            };
        }
        let definition = self.definition(site.unit, name)?;
        if let (Lead::Here(..), Some((unit, id))) = (lead, definition) {
            let symbol = &self.units[unit].patched.symbols[id];
            let entered = object.arch.entered(site.kind, symbol);
            let at = (symbol.value as i64).wrapping_add(by).wrapping_add(entered);
            let thing = self.things[unit].of_symbol(id).ok_or("it is no function and no datum")?;
            return self.inside(site, unit, thing, Some(id), at, lead);
        }
        let Lead::Outside(id, theirs) = *lead else { return Err(self.elsewhere(lead)) };
        let kernels = match definition {
            Some((unit, id)) => self.kernels(unit, id)?,
            None => None,
        };
        let place = match kernels {
            Some(place) => place,
            None => self.world.meant(site.unit, name)?,
        };
        let reached = self.world.outside(&self.finished.object.symbols[id])?;
        match place.clone().moved(by) == reached.moved(theirs) {
            true => self.stored(site, name, &place, None),
            false => Err(format!("{}, not to {}", self.elsewhere(lead), self.world.describe(&place.moved(by)))),
        }
    }

    /// The unit of the fix that defines a global name which another uses: of the same klp object, or else the only one.
    pub fn definition(&self, unit: usize, name: &str) -> Result<Option<(usize, SymId)>, String> {
        let mut all = Vec::new();
        for (n, other) in self.units.iter().enumerate() {
            let defines = |s: &crate::elf::Symbol| s.name == name && !s.is_local() && s.section().is_some();
            all.extend(other.patched.symbols.iter().position(defines).map(|id| (n, id)));
        }
        let weak = |&(n, id): &(usize, SymId)| self.units[n].patched.symbols[id].bind == crate::elf::Bind::Weak;
        let mut own: Vec<_> =
            all.iter().copied().filter(|d| self.units[d.0].module == self.units[unit].module).collect();
        own.sort_by_key(weak);
        if let [first, ..] = own[..] {
            return Ok(Some(first));
        }
        if self.world.defined(unit, name)?.is_some() {
            return Ok(None);
        }
        Ok(match all[..] {
            [one] => Some(one),
            _ => None,
        })
    }

    /// A reference to a string: the whole of it has to be there.
    fn text(&mut self, unit: usize, section: SecId, of: i64, at: i64, lead: &Lead) -> Result<(), String> {
        let Lead::Here(home, theirs) = *lead else { return Err(self.elsewhere(lead)) };
        let source = &self.units[unit].patched.sections[section];
        let target = &self.finished.object.sections[home];
        if target.is_writable() || target.is_text() || !target.is_alloc() {
            return Err(format!("it refers to {}, which contains no constants", target.name));
        }
        let place = u64::try_from(of).ok().filter(|&of| of < source.size);
        let Some(place) = place else { return Err("that is before or behind all strings of the file".into()) };
        let start = text_start(source, place);
        let mut len = text_at(source, start).len() as u64;
        if len == 0 {
            return Err("it has no end".into());
        }
        // Its end may as well be the place before the next one.
        let unit = source.entsize.clamp(1, 8);
        if place > start && place >= start + len - unit {
            len += text_at(source, start + len).len() as u64;
        }
        let mine = source.bytes(start..start + len);
        let from = theirs.wrapping_sub(at.wrapping_sub(start as i64));
        let found = u64::try_from(from).ok().and_then(|from| Some((from, self.finished.bytes(home, from, len)?)));
        match found {
            Some((from, bytes)) if bytes == mine && self.finished.relocs_in(home, from..from + len).is_empty() => {
                if from % unit != 0 {
                    return Err(format!(
                        "its letters of {unit} bytes are at {}",
                        self.finished.describe(home, from as i64)
                    ));
                }
                self.finished.account(home, from..from + len);
                Ok(())
            }
            Some((_, bytes)) => {
                let text = String::from_utf8_lossy(&bytes).trim_end_matches('\0').to_string();
                Err(format!("{}, where {text:?} is", self.elsewhere(lead)))
            }
            None => Err(format!("{}, where it is not whole", self.elsewhere(lead))),
        }
    }

    /// A reference to a place where nothing is.
    fn nothing(&self, unit: usize, section: SecId, lead: &Lead) -> Result<(), String> {
        let name = &self.units[unit].patched.sections[section].name;
        let Lead::Here(home, _) = *lead else { return Err(self.elsewhere(lead)) };
        match self.finished.object.sections[home].name == crate::special::name_in_live_patch(name) {
            true => Ok(()),
            false => Err(self.elsewhere(lead)),
        }
    }

    /// Functions of the module that nothing leads to: those that are registered in other ways, and new ones that no one calls.
    pub fn unreached(&mut self, glue: bool) {
        let mut by_name: HashMap<&str, Vec<(usize, ThingId)>> = HashMap::new();
        for (unit, things) in self.things.iter().enumerate() {
            for (thing, it) in things.all.iter().enumerate().filter(|(_, it)| it.kind == Kind::Code) {
                for &s in &it.symbols {
                    by_name.entry(&self.units[unit].patched.symbols[s].name).or_default().push((unit, thing));
                }
            }
        }
        let module = self.finished.object;
        let mut seen = HashSet::new();
        for symbol in module.symbols.iter().filter(|s| s.kind == SymKind::Func) {
            let Some(home) = symbol.section() else { continue };
            if glue && super::glue::is_of_every_module(&symbol.name) {
                continue;
            }
            if self.finished.is_known(home, symbol.value) || !seen.insert((home, symbol.value)) {
                continue;
            }
            let candidates = by_name.get(as_compiled(&symbol.name)).cloned().unwrap_or_default();
            let fits = candidates.into_iter().filter(|key| {
                let it = &self.things[key.0].all[key.1];
                !self.placed.contains_key(key)
                    && it.symbols.iter().any(|&s| self.units[key.0].patched.symbols[s].size == symbol.size)
            });
            // Of namesakes any will do whose bytes are these: nothing of the new code leads there.
            for (unit, thing) in fits.collect::<Vec<_>>() {
                let it = &self.things[unit].all[thing];
                let start = symbol.value as i64 - (it.anchor - it.range.start) as i64;
                let before = (self.faults.len(), self.shown);
                if self.place(unit, thing, home, start).is_ok() {
                    self.all();
                }
                if self.faults.len() == before.0 {
                    break;
                }
            }
        }
    }

    /// What the object left open, once it is known where everything is.
    pub fn doubts(&mut self) {
        for (refusal, unit, others, at, lead, kind) in std::mem::take(&mut self.doubts) {
            let site = Site { unit, kind, branch: false, entry: false, name: "", code: None };
            let agrees = others.iter().all(|&thing| match lead {
                Lead::Here(home, theirs) => {
                    let start = self.things[unit].all[thing].range.start as i64;
                    let should = u64::try_from(theirs.wrapping_sub(at.wrapping_sub(start))).ok().map(|at| (home, at));
                    self.placed.get(&(unit, thing)).copied() == should && should.is_some()
                }
                _ => self.inside(&site, unit, thing, None, at, &lead).is_ok(),
            });
            if !agrees {
                self.shown.shown = self.shown.shown.saturating_sub(1);
                self.faults.push(refusal);
            }
        }
        for (refusal, key) in std::mem::take(&mut self.inside) {
            if self.placed.contains_key(&key) {
                self.faults.push(refusal);
            }
        }
    }

    pub fn result(mut self) -> Result<Shown, Vec<Refusal>> {
        self.faults.dedup();
        match self.faults.is_empty() {
            true => Ok(self.shown),
            false => Err(self.faults),
        }
    }
}

/// The name of a function as its object has it: entry symbols and names that were kept apart have a prefix.
pub(super) fn as_compiled(name: &str) -> &str {
    let Some((number, rest)) = name.strip_prefix("kmend.").and_then(|rest| rest.split_once('.')) else { return name };
    match number.bytes().all(|b| b.is_ascii_digit()) {
        true => rest.strip_prefix("own.").unwrap_or(rest),
        false => name,
    }
}
