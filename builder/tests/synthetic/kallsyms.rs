// SPDX-License-Identifier: GPL-2.0-or-later
//! kallsyms tables as scripts/kallsyms.c of the kernel writes them: symbols in, a loaded piece of an image out.

/// One symbol: type letter, name, address.
pub type Sym<'a> = (u8, &'a str, u64);

/// How the addresses are stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// 7.x: behind the token index; each offset counts from its own place.
    OwnPlace,
    /// 6.5 and later: offsets behind the token index, the base behind them.
    BaseAfter,
    /// 6.1: offsets and base in front of the number of symbols.
    BaseBefore,
    /// As `BaseAfter`, with absolute per-cpu symbols (x86 with SMP): the others count down from -1.
    PercpuAfter,
    /// As `BaseBefore`, with absolute per-cpu symbols.
    PercpuBefore,
    /// 6.2 to 6.4, and late 6.1: as `PercpuBefore`, with the symbols' order by name behind the markers.
    PercpuOrder,
}

/// All forms.
pub const FORMS: [Form; 6] =
    [Form::OwnPlace, Form::BaseAfter, Form::BaseBefore, Form::PercpuAfter, Form::PercpuBefore, Form::PercpuOrder];

/// Where the piece is loaded.
pub const LOADED_AT: u64 = 0xffff_ffff_8100_0000;

/// A piece of an image that is loaded at [`LOADED_AT`] and holds the tables of `symbols`. Tables begin at
/// multiples of `align`. `in_front` is before them.
pub fn image(symbols: &[Sym<'_>], form: Form, align: usize, in_front: &[u8]) -> Vec<u8> {
    let mut out = in_front.to_vec();
    let label = |out: &mut Vec<u8>| out.resize(out.len().next_multiple_of(align), 0);
    let percpu = matches!(form, Form::PercpuAfter | Form::PercpuBefore | Form::PercpuOrder);
    // The lowest address that is not per-cpu.
    let base = symbols.iter().map(|s| s.2).filter(|&a| a >= LOADED_AT).min().unwrap_or(LOADED_AT);
    let offset = |address: u64, place: u64| -> u32 {
        match form {
            Form::OwnPlace => address.wrapping_sub(place) as u32,
            _ if percpu && address < LOADED_AT => address as u32,
            _ if percpu => base.wrapping_sub(address).wrapping_sub(1) as u32,
            _ => address.wrapping_sub(base) as u32,
        }
    };
    let offsets = |out: &mut Vec<u8>| {
        label(out);
        for s in symbols {
            let place = LOADED_AT + out.len() as u64;
            out.extend(offset(s.2, place).to_le_bytes());
        }
        if form != Form::OwnPlace {
            out.resize(out.len().next_multiple_of(8), 0);
            out.extend(base.to_le_bytes());
        }
    };
    let before = matches!(form, Form::BaseBefore | Form::PercpuBefore | Form::PercpuOrder);
    if before {
        offsets(&mut out);
    }
    label(&mut out);
    out.extend((symbols.len() as u32).to_le_bytes());
    label(&mut out);
    let tokens = tokens();
    let mut markers = Vec::new();
    let names = out.len();
    for (i, (kind, name, _)) in symbols.iter().enumerate() {
        if i % 256 == 0 {
            markers.push((out.len() - names) as u32);
        }
        let codes = compress(&format!("{}{name}", char::from(*kind)), &tokens);
        match codes.len() {
            n @ 0..=0x7f => out.push(n as u8),
            n => out.extend([(n & 0x7f | 0x80) as u8, (n >> 7) as u8]),
        }
        out.extend(codes);
    }
    label(&mut out);
    markers.iter().for_each(|m| out.extend(m.to_le_bytes()));
    if form == Form::PercpuOrder {
        label(&mut out);
        let mut order: Vec<usize> = (0..symbols.len()).collect();
        order.sort_by_key(|&i| symbols[i].1);
        order.iter().for_each(|i| out.extend(&(*i as u32).to_be_bytes()[1..]));
    }
    label(&mut out);
    let table = out.len();
    let mut index = Vec::new();
    for token in &tokens {
        index.push((out.len() - table) as u16);
        out.extend(token.as_bytes());
        out.push(0);
    }
    label(&mut out);
    index.iter().for_each(|i| out.extend(i.to_le_bytes()));
    if !before {
        offsets(&mut out);
    }
    out.extend([0x90; 64]);
    out
}

/// Printable characters stand for themselves, all other codes for something longer.
fn tokens() -> Vec<String> {
    let long = ["__", "Tsys_", "t__pfx_", "tfoo", "_init", "show"];
    let token = |code: u8| match code {
        b'0'..=b'9' | b'a'..=b'z' | b'A'..=b'Z' | b'_' | b'.' | b'$' => char::from(code).to_string(),
        code => long.get(usize::from(code)).map_or_else(|| format!("unused{code}"), |s| (*s).to_string()),
    };
    (0..=255).map(token).collect()
}

fn compress(text: &str, tokens: &[String]) -> Vec<u8> {
    let mut rest = text;
    let mut codes = Vec::new();
    while !rest.is_empty() {
        let fits = tokens.iter().enumerate().filter(|(_, t)| rest.starts_with(t.as_str()));
        let (code, token) = fits.max_by_key(|(_, t)| t.len()).expect("a character that has no token");
        codes.push(code as u8);
        rest = &rest[token.len()..];
    }
    codes
}

/// Some 700 symbols, among them namesakes, a name of 300 characters, per-cpu symbols where `percpu`.
pub fn symbols(percpu: bool) -> Vec<(u8, String, u64)> {
    let mut all = Vec::new();
    if percpu {
        all.extend([(b'A', "fixed_percpu_data".to_string(), 0), (b'D', "cpu_number".to_string(), 0x1000)]);
    }
    all.push((b'T', "_text".to_string(), LOADED_AT));
    all.extend((1..700u64).map(|n| {
        let name = match n {
            100 | 300 | 500 => "show".to_string(),
            200 => "a".repeat(300),
            400 => "sys_read".to_string(),
            n => format!("t_{n}.isra.0"),
        };
        (if n % 3 == 0 { b'T' } else { b't' }, name, LOADED_AT + 16 * n)
    }));
    all
}
