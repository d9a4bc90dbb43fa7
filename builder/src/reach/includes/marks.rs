// SPDX-License-Identifier: GPL-2.0-or-later
//! A set of a tree's files, by their numbers: one bit per file.

/// Some files of a tree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Marks {
    bits: Vec<u64>,
    files: usize,
}

impl Marks {
    /// None of a tree of so many `files`.
    pub fn of(files: usize) -> Self {
        Self { bits: vec![0; files.div_ceil(64)], files }
    }

    /// Adds a file; whether it was not there.
    ///
    /// # Panics
    /// The tree has no file of that number.
    pub fn add(&mut self, file: usize) -> bool {
        assert!(file < self.files, "no file {file}");
        let (word, bit) = (&mut self.bits[file / 64], 1 << (file % 64));
        let new = *word & bit == 0;
        *word |= bit;
        new
    }

    /// Whether a file is there.
    pub fn has(&self, file: usize) -> bool {
        self.bits.get(file / 64).is_some_and(|word| word & (1 << (file % 64)) != 0)
    }

    /// Adds all of `others`.
    pub fn add_all(&mut self, others: &Self) {
        self.bits.iter_mut().zip(&others.bits).for_each(|(a, b)| *a |= b);
    }

    /// Leaves what is in `others` too.
    pub fn keep(&mut self, others: &Self) {
        self.bits.iter_mut().zip(&others.bits).for_each(|(a, b)| *a &= b);
    }

    /// Whether none is there.
    pub fn is_empty(&self) -> bool {
        self.bits.iter().all(|word| *word == 0)
    }

    /// The numbers of all that are there, in order.
    pub fn numbers(&self) -> impl Iterator<Item = usize> + '_ {
        (0..self.files).filter(|n| self.has(*n))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_added_and_left() {
        let mut some = Marks::of(130);
        assert!(some.is_empty() && some.add(0) && some.add(129) && !some.add(129));
        assert_eq!(some.numbers().collect::<Vec<_>>(), [0, 129]);
        let mut others = Marks::of(130);
        others.add(64);
        others.add_all(&some);
        assert_eq!(others.numbers().collect::<Vec<_>>(), [0, 64, 129]);
        others.keep(&some);
        assert_eq!(others, some);
        assert!(others.has(129) && !others.has(64) && !others.has(1000));
    }
}
