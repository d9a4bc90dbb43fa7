// SPDX-License-Identifier: GPL-2.0-or-later
//! The kernel image as something to prove against: everything is linked, references are addresses.

use super::{Leads, Named, Shipped, Spot};
use crate::arch::Field;
use crate::image::Image;

fn spot(at: u64) -> Spot {
    Spot { space: 0, at }
}

impl Shipped for Image {
    fn functions(&self, name: &str) -> Vec<Spot> {
        self.kallsyms
            .named(name)
            .filter(|s| matches!(s.kind, b't' | b'T' | b'w' | b'W'))
            .map(|s| spot(s.address))
            .collect()
    }

    fn bytes(&self, at: Spot, len: u64) -> Option<&[u8]> {
        Image::bytes(self, at.at, len)
    }

    fn string(&self, at: Spot) -> Option<&[u8]> {
        Image::string(self, at.at)
    }

    fn follow(&self, at: Spot, field: Field, _kind: u32, addend: i64) -> Leads {
        let Some(raw) = Image::bytes(self, at.at, field.bytes() as u64) else {
            return Leads::Nowhere("the shipped image ends here".into());
        };
        let value = match raw.len() {
            4 => i64::from(i32::from_le_bytes([raw[0], raw[1], raw[2], raw[3]])),
            8 => i64::from_le_bytes([raw[0], raw[1], raw[2], raw[3], raw[4], raw[5], raw[6], raw[7]]),
            n => return Leads::Nowhere(format!("a field of {n} bytes is not known")),
        };
        let target = match field {
            Field::Relative { .. } => value.wrapping_add(at.at as i64),
            _ => value,
        };
        Leads::Place(spot(target.wrapping_sub(addend) as u64))
    }

    fn is_named(&self, name: &str, at: Spot) -> Named {
        let mut any = false;
        for symbol in self.kallsyms.named(name) {
            any = true;
            if symbol.address == at.at {
                return Named::Yes;
            }
        }
        if any {
            Named::Elsewhere
        } else {
            Named::Unlisted
        }
    }

    fn describe(&self, at: Spot) -> String {
        let symbols = self.kallsyms.symbols();
        match symbols.partition_point(|s| s.address <= at.at).checked_sub(1).map(|i| &symbols[i]) {
            Some(symbol) if at.at - symbol.address < 1 << 20 => {
                format!("{}+{:#x}", symbol.name, at.at - symbol.address)
            }
            _ => format!("{:#x}", at.at),
        }
    }
}
