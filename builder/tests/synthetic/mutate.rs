// SPDX-License-Identifier: GPL-2.0-or-later
//! Sound bytes in, spoilt ones out: the same ones for the same number.

/// Marsaglia's xorshift64, which gives the same numbers on every run.
pub struct Random(u64);

impl Random {
    /// The numbers of round `round`; with another `seed` others.
    pub fn new(seed: u64, round: u64) -> Self {
        Self((0x9e37_79b9_7f4a_7c15 ^ seed ^ (round + 1).wrapping_mul(0xbf58_476d_1ce4_e5b9)).max(1))
    }

    /// The next number.
    pub fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    /// A number below `end`; 0 where there is none.
    pub fn below(&mut self, end: usize) -> usize {
        (self.next() % end.max(1) as u64) as usize
    }
}

/// Numbers that are off by one, wrap around, or are too much.
const NUMBERS: [u64; 10] = [
    0,
    1,
    0x7f,
    0xff,
    0xffff,
    0x7fff_ffff,
    0xffff_ffff,
    0x7fff_ffff_ffff_ffff,
    0xffff_ffff_ffff_fff8,
    0xffff_ffff_ffff_ffff,
];

/// One to four changes somewhere in `good`: bits, bytes, pieces cut off, taken out or put in, numbers.
pub fn mutate(good: &[u8], random: &mut Random) -> Vec<u8> {
    let mut bad = good.to_vec();
    for _ in 0..1 + random.below(4) {
        let at = random.below(bad.len());
        match random.below(8) {
            0 if !bad.is_empty() => bad[at] ^= 1 << random.below(8),
            1 if !bad.is_empty() => bad[at] = random.next() as u8,
            2 => bad.truncate(at),
            3 => {
                let piece = good[random.below(good.len())..].iter().take(1 + random.below(64)).copied();
                let piece: Vec<u8> = piece.collect();
                bad.splice(at..at, piece);
            }
            4 => drop(bad.drain(at..(at + 1 + random.below(16)).min(bad.len()))),
            // The fields of binary formats: aligned words.
            _ => {
                let len = [1, 2, 4, 8][random.below(4)];
                let at = at / len * len;
                let number = match random.below(3) {
                    0 => random.next() >> random.below(64),
                    _ => NUMBERS[random.below(NUMBERS.len())],
                };
                if let Some(field) = bad.get_mut(at..at + len) {
                    field.copy_from_slice(&number.to_le_bytes()[..len]);
                }
            }
        }
    }
    bad
}
