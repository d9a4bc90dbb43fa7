// SPDX-License-Identifier: GPL-2.0-or-later
//! The symbol table inside a kernel image: kallsyms, in the compressed form that scripts/kallsyms.c writes.
//!
//! A distribution's image has no ELF symbols that would say where the tables are, so they are found by
//! their shape: the token table holds the ten digits as tokens of their own, and the token index behind it
//! must agree with it byte for byte. Everything else is derived from them and checked before it is used.

use anyhow::{bail, ensure, Context, Result};
use std::collections::HashMap;
use std::ops::Range;

/// One symbol of the running kernel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KernelSymbol {
    /// Its name.
    pub name: String,
    /// The type letter of nm(1): upper case for global symbols.
    pub kind: u8,
    /// Its address as linked.
    pub address: u64,
}

impl KernelSymbol {
    /// Is in code.
    pub fn is_code(&self) -> bool {
        matches!(self.kind, b't' | b'T' | b'w' | b'W')
    }

    /// Visible outside of its translation unit.
    pub fn is_global(&self) -> bool {
        self.kind.is_ascii_uppercase() || matches!(self.kind, b'w' | b'v')
    }

    /// A weak definition that no other took the place of.
    pub fn is_weak(&self) -> bool {
        matches!(self.kind, b'w' | b'W' | b'v' | b'V')
    }
}

/// All symbols, in the order in which the kernel's own look-ups see them.
#[derive(Clone, Debug, Default)]
pub struct Kallsyms {
    symbols: Vec<KernelSymbol>,
    by_name: HashMap<String, Vec<usize>>,
}

impl Kallsyms {
    /// Reads the tables out of `data`, a loaded piece of the image that is at `address`. `span` are the
    /// addresses that symbols may have, `text` is where `_text` is.
    ///
    /// # Errors
    /// No tables, or tables whose parts do not agree.
    pub fn find(data: &[u8], address: u64, span: Range<u64>, text: u64) -> Result<Self> {
        let mut from = 0;
        let digits: Vec<u8> = (b'0'..=b'9').flat_map(|d| [d, 0]).collect();
        while let Some(hit) = find(&data[from..], &digits) {
            let at = from + hit;
            from = at + 1;
            let Some((tokens, token_table, after_index)) = token_table(data, at) else { continue };
            let (names, order_start) = names(data, token_table, &tokens)
                .context("kallsyms: the name table does not agree with its markers")?;
            let addresses = addresses(data, address, &names, order_start, after_index, &span, text)
                .context("kallsyms: the address table has no form that is known (6.1 to 7.3)")?;
            return Ok(Self::new(
                names
                    .into_iter()
                    .zip(addresses)
                    .map(|((kind, name), address)| KernelSymbol { name, kind, address })
                    .collect(),
            ));
        }
        bail!("no kallsyms in this image: a kernel with CONFIG_KALLSYMS=y is needed");
    }

    /// From symbols in the kernel's order.
    pub fn new(symbols: Vec<KernelSymbol>) -> Self {
        let mut by_name: HashMap<String, Vec<usize>> = HashMap::new();
        for (i, symbol) in symbols.iter().enumerate() {
            by_name.entry(symbol.name.clone()).or_default().push(i);
        }
        Self { symbols, by_name }
    }

    /// All symbols.
    pub fn symbols(&self) -> &[KernelSymbol] {
        &self.symbols
    }

    /// True where a symbol is at this address.
    pub fn is_at(&self, address: u64) -> bool {
        self.symbols.binary_search_by_key(&address, |s| s.address).is_ok()
    }

    /// The symbols of this name, in sympos order.
    pub fn named(&self, name: &str) -> impl Iterator<Item = &KernelSymbol> + Clone {
        self.by_name.get(name).into_iter().flatten().map(|&i| &self.symbols[i])
    }

    /// The sympos of the symbol `name` at `address`: 0 where the name is unique, else from 1. None where
    /// there is no such symbol, or two at the very same place.
    pub fn sympos(&self, name: &str, address: u64) -> Option<u64> {
        let all: Vec<u64> = self.named(name).map(|s| s.address).collect();
        let mut hits = all.iter().enumerate().filter(|(_, &a)| a == address);
        let (position, _) = hits.next()?;
        if hits.next().is_some() {
            return None;
        }
        Some(if all.len() == 1 { 0 } else { position as u64 + 1 })
    }
}

fn find(data: &[u8], needle: &[u8]) -> Option<usize> {
    memchr::memmem::find(data, needle)
}

fn align(at: usize, to: usize) -> usize {
    at.div_ceil(to) * to
}

fn u16_at(data: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_le_bytes(*data.get(at..)?.first_chunk()?))
}

fn u32_at(data: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(*data.get(at..)?.first_chunk()?))
}

fn u64_at(data: &[u8], at: usize) -> Option<u64> {
    Some(u64::from_le_bytes(*data.get(at..)?.first_chunk()?))
}

/// KSYM_NAME_LEN of include/linux/kallsyms.h: no name, and so no token, is longer.
const LONGEST_NAME: usize = 512;

/// So many places are tried for the beginning of the names; a sound image needs one or two.
const TRIES: usize = 100;

/// From the place of the token "0": the 256 tokens, where their table begins, where the index ends.
fn token_table(data: &[u8], digit_zero: usize) -> Option<(Vec<Vec<u8>>, usize, usize)> {
    let mut start = digit_zero;
    for _ in 0..b'0' {
        // The zero in front of this token ends the one before it.
        let before = start.checked_sub(1)?;
        start = data[..before].iter().rposition(|&b| b == 0).map_or(0, |z| z + 1);
        if before - start > LONGEST_NAME {
            return None;
        }
    }
    // What is in front of the first token is padding or a table without zero bytes in the way: the
    // first token is found exactly by the index.
    let first_end = start + data.get(start..)?.iter().position(|&b| b == 0)?;
    let mut tokens = vec![Vec::new()];
    let mut offsets = vec![0];
    let mut at = first_end + 1;
    while tokens.len() < 256 {
        let end = at + data.get(at..)?.iter().take(LONGEST_NAME).position(|&b| b == 0)?;
        offsets.push(at - first_end);
        tokens.push(data[at..end].to_vec());
        at = end + 1;
    }
    for candidate in start..=first_end {
        let first_len = first_end - candidate;
        for to in [4, 8] {
            let index = align(at, to);
            let agrees = |i: usize| {
                let offset = if i == 0 { 0 } else { offsets[i] + first_len };
                u16_at(data, index + 2 * i).map(usize::from) == Some(offset)
            };
            if (0..256).all(agrees) {
                tokens[0] = data[candidate..first_end].to_vec();
                return Some((tokens, candidate, index + 512));
            }
        }
    }
    None
}

type Names = Vec<(u8, String)>;

/// So far in front of the tokens the markers are looked for, bytes: the order of 10 million symbols.
const ORDER_MAX: usize = 32 << 20;

/// The names, and where the count in front of them is.
fn names(data: &[u8], token_table: usize, tokens: &[Vec<u8>]) -> Option<(Names, usize)> {
    let mut tries = 0;
    for markers in adjacent_markers(data, token_table).into_iter().chain(distant_markers(data, token_table)) {
        let at = markers.start;
        let markers: Vec<usize> = markers.step_by(4).filter_map(|a| u32_at(data, a)).map(|m| m as usize).collect();
        let last = *markers.last()?;
        // At most 255 more names of at most 16 KiB are behind the last marker.
        let Some(nearest) = at.checked_sub(last).map(|nearest| nearest / 4 * 4) else { continue };
        let farthest = nearest.saturating_sub(1 << 20);
        for start in (farthest..=nearest).rev().step_by(4) {
            for count_at in [4, 8].into_iter().filter_map(|back| start.checked_sub(back)) {
                let count = u32_at(data, count_at)? as usize;
                if count.div_ceil(256) != markers.len() || tries == TRIES {
                    continue;
                }
                tries += 1;
                if let Some(names) = parse_names(&data[start..at], count, &markers, tokens) {
                    return Some((names, count_at));
                }
            }
        }
    }
    None
}

/// The markers, where they end where the token table begins, but for padding; the first of them is 0.
fn adjacent_markers(data: &[u8], token_table: usize) -> Option<Range<usize>> {
    let back = |end: usize| {
        let mut at = end / 4 * 4;
        let mut above = u32::MAX;
        while let Some(value) = at.checked_sub(4).and_then(|a| u32_at(data, a)).filter(|value| *value < above) {
            above = value;
            at -= 4;
        }
        (above == 0 && end / 4 * 4 - at >= 8).then_some(at..end / 4 * 4)
    };
    [Some(token_table), token_table.checked_sub(4)].into_iter().flatten().find_map(back)
}

/// The markers, where the symbols' order by name (kallsyms_seqs_of_names, 3 bytes for each) is between them and
/// the tokens: 6.2 to 6.4, and late 6.1. Their number and that of the bytes behind them have to fit.
/// The order itself can look like markers: these are all candidates.
fn distant_markers(data: &[u8], token_table: usize) -> impl Iterator<Item = Range<usize>> + '_ {
    let first = token_table.saturating_sub(ORDER_MAX).next_multiple_of(4);
    let starts = (first..token_table).step_by(4).filter(|at| u32_at(data, *at) == Some(0));
    starts.filter_map(move |start| {
        let ascending = |n: usize| u32_at(data, start + 4 * n) > u32_at(data, start + 4 * (n - 1));
        // Each marker stands for 256 names but the last one, which stands for 1 to 256.
        let near = (token_table - start) / (4 + 3 * 256);
        (near.max(2)..near + 3).find_map(|count| {
            let end = start + 4 * count;
            let behind = token_table.checked_sub(end)?;
            let order = 3 * (256 * (count - 1) + 1)..=3 * 256 * count + 2 * 7;
            (order.contains(&behind) && (1..count).all(ascending)).then_some(start..end)
        })
    })
}

fn parse_names(data: &[u8], count: usize, markers: &[usize], tokens: &[Vec<u8>]) -> Option<Names> {
    let mut names = Vec::with_capacity(count);
    let mut at = 0;
    for i in 0..count {
        if i % 256 == 0 && markers[i / 256] != at {
            return None;
        }
        let mut len = usize::from(*data.get(at)?);
        at += 1;
        if len & 0x80 != 0 {
            len = len & 0x7f | usize::from(*data.get(at)?) << 7;
            at += 1;
        }
        let mut text = Vec::with_capacity(32);
        for &code in data.get(at..at + len)? {
            text.extend_from_slice(&tokens[usize::from(code)]);
            if text.len() > LONGEST_NAME {
                return None;
            }
        }
        at += len;
        let (kind, name) = text.split_first()?;
        // nm(1) has '?' for sections of no kind that it knows (.data_nosave, where it is empty).
        if !kind.is_ascii_alphabetic() && *kind != b'?' {
            return None;
        }
        names.push((*kind, String::from_utf8(name.to_vec()).ok()?));
    }
    // Nothing but padding may follow.
    (data.len() - at < 8 && data[at..].iter().all(|&b| b == 0)).then_some(names)
}

fn addresses(
    data: &[u8],
    address: u64,
    names: &Names,
    count_at: usize,
    after_index: usize,
    span: &Range<u64>,
    text: u64,
) -> Result<Vec<u64>> {
    let count = names.len();
    ensure!(count > 0, "no symbols");
    let anchors: Vec<usize> =
        names.iter().enumerate().filter(|(_, (_, n))| n == "_text" || n == "_stext").map(|(i, _)| i).collect();
    let plausible = |addresses: Vec<u64>| plausible(addresses, span, text, &anchors);
    let mut tried = Vec::new();
    for to in [4, 8] {
        // Since 6.5 the offsets follow the token index; a base, where there is one, follows them.
        let at = align(after_index, to);
        let base = u64_at(data, align(at + 4 * count, 8));
        tried.push((at, base));
        // Before, the offsets and the base was in front of the count.
        for base_at in [count_at.wrapping_sub(8), count_at.wrapping_sub(16)] {
            if let Some(at) = base_at.checked_sub(align(4 * count, to)) {
                tried.push((at, u64_at(data, base_at)));
            }
        }
    }
    for (at, base) in tried {
        let Some(raw) = data.get(at..at + 4 * count) else { continue };
        let raw: Vec<i32> = raw.chunks_exact(4).map(|c| i32::from_le_bytes([c[0], c[1], c[2], c[3]])).collect();
        // 7.x: each offset counts from its own place (kernel/kallsyms.c, offset_to_ptr).
        let own_place = raw
            .iter()
            .enumerate()
            .map(|(i, &o)| address.wrapping_add(at as u64 + 4 * i as u64).wrapping_add_signed(o.into()));
        if let Some(found) = plausible(own_place.collect()) {
            return Ok(found);
        }
        for base in base.into_iter().chain([text]).filter(|b| span.contains(b)) {
            // 6.x on x86: offsets from the base are negative, per-cpu symbols are absolute and positive.
            let absolute_percpu =
                raw.iter()
                    .map(|&o| if o >= 0 { o as u64 } else { base.wrapping_sub(1).wrapping_sub(i64::from(o) as u64) });
            if let Some(found) = plausible(absolute_percpu.collect()) {
                return Ok(found);
            }
            let plain = raw.iter().map(|&o| base.wrapping_add(u64::from(o as u32)));
            if let Some(found) = plausible(plain.collect()) {
                return Ok(found);
            }
        }
    }
    bail!("{count} names, but no table of {count} addresses in ascending order inside of the image");
}

/// Believes addresses that ascend, that put `_text` or `_stext` (by index in `anchors`) where `text` is,
/// and that lie nearly all inside of the image. One entry more or less in front would show in the second.
fn plausible(addresses: Vec<u64>, span: &Range<u64>, text: u64, anchors: &[usize]) -> Option<Vec<u64>> {
    let ascending = addresses.windows(2).all(|w| w[0] <= w[1]);
    let inside = addresses.iter().filter(|a| span.start <= **a && **a <= span.end).count();
    // powerpc's `_text` is where the image begins; a section .head.text is in front of .text there.
    let anchored = anchors.iter().any(|&i| addresses[i] == text || addresses[i] == span.start);
    (ascending && inside * 10 >= addresses.len() * 8 && anchored).then_some(addresses)
}

#[cfg(test)]
#[path = "../../tests/synthetic/kallsyms.rs"]
mod synthetic;

#[cfg(test)]
mod tests {
    use super::synthetic::{self, Form, FORMS, LOADED_AT};
    use super::*;

    fn symbols(form: Form) -> Vec<(u8, String, u64)> {
        synthetic::symbols(matches!(form, Form::PercpuAfter | Form::PercpuBefore | Form::PercpuOrder))
    }

    fn image(form: Form, align: usize, in_front: &[u8]) -> Vec<u8> {
        let symbols = symbols(form);
        let symbols: Vec<_> = symbols.iter().map(|(k, n, a)| (*k, n.as_str(), *a)).collect();
        synthetic::image(&symbols, form, align, in_front)
    }

    fn read(data: &[u8]) -> Result<Kallsyms> {
        Kallsyms::find(data, LOADED_AT, LOADED_AT..LOADED_AT + data.len() as u64 + 0x10000, LOADED_AT)
    }

    #[test]
    fn every_form_is_read_back() {
        for form in FORMS {
            for (align, front) in [(4, 4), (4, 64), (8, 64), (8, 44), (4, 5000)] {
                // Older kernels align to 8 on 64 bits.
                let align = if form == Form::OwnPlace { align } else { 8 };
                let found = read(&image(form, align, &vec![0xcc; front]));
                let found = found.unwrap_or_else(|e| panic!("{form:?} {align} {front}: {e:#}"));
                let found: Vec<_> = found.symbols().iter().map(|s| (s.kind, s.name.clone(), s.address)).collect();
                assert_eq!(found, symbols(form), "{form:?} {align} {front}");
            }
        }
    }

    #[test]
    fn digits_that_are_no_token_table_are_passed_over() {
        let decoy: Vec<u8> = (b'0'..=b'9').flat_map(|d| [d, 0]).collect();
        let front = [&[0; 100][..], &decoy, &[b'x'; 600], &decoy, &decoy].concat();
        assert_eq!(read(&image(Form::OwnPlace, 8, &front)).unwrap().symbols().len(), 700);
    }

    #[test]
    fn namesakes_are_counted_in_the_order_of_the_table() {
        let found = read(&image(Form::OwnPlace, 8, &[0xcc; 16])).unwrap();
        let at = |n: u64| LOADED_AT + 16 * n;
        assert_eq!(found.named("show").count(), 3);
        assert_eq!([100, 300, 500].map(|n| found.sympos("show", at(n))), [Some(1), Some(2), Some(3)]);
        assert_eq!(found.sympos("show", at(101)), None);
        assert_eq!(found.sympos("sys_read", at(400)), Some(0));
        assert_eq!(found.sympos("nothing", at(400)), None);
        assert_eq!(found.named("show").map(KernelSymbol::is_global).collect::<Vec<_>>(), [false, true, false]);

        let twice = |address| KernelSymbol { name: "a".into(), kind: b't', address };
        let two_of_one = Kallsyms::new(vec![twice(16), twice(16), twice(32)]);
        assert_eq!(two_of_one.sympos("a", 16), None);
        assert_eq!(two_of_one.sympos("a", 32), Some(3));
    }

    #[test]
    fn tables_that_do_not_agree_are_refused() {
        let good = image(Form::OwnPlace, 8, &[0xcc; 16]);
        assert!(format!("{:#}", read(&good[..1000]).unwrap_err()).contains("no kallsyms"));
        // One symbol more than there are names.
        let mut bad = good.clone();
        bad[16] += 1;
        assert!(format!("{:#}", read(&bad).unwrap_err()).contains("markers"));
        // Offsets that lead nowhere.
        let mut bad = good.clone();
        let end = bad.len() - 64;
        bad[end - 4 * 700..end].fill(0x55);
        assert!(format!("{:#}", read(&bad).unwrap_err()).contains("address table"));
    }
}
