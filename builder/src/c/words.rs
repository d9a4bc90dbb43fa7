// SPDX-License-Identifier: GPL-2.0-or-later
//! The words that the code of a unit refers to, as small as they can be kept: words in, whether one is among them out.

/// A set of words, each as a checksum of 32 bits. Two words with one checksum cost time: a unit counts that need not.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Words(Vec<u32>);

impl<'w> FromIterator<&'w [u8]> for Words {
    fn from_iter<I: IntoIterator<Item = &'w [u8]>>(words: I) -> Self {
        let mut all: Vec<u32> = words.into_iter().map(checksum).collect();
        all.sort_unstable();
        all.dedup();
        Self(all)
    }
}

impl Words {
    /// Whether `word` is among them. True for one in some 500,000 of those that are not.
    pub fn has(&self, word: &[u8]) -> bool {
        self.0.binary_search(&checksum(word)).is_ok()
    }

    /// As they are kept.
    pub fn bytes(&self) -> Vec<u8> {
        self.0.iter().flat_map(|w| w.to_le_bytes()).collect()
    }

    /// Reads what [`Words::bytes`] made.
    pub fn read(bytes: &[u8]) -> Self {
        let mut all: Vec<u32> =
            bytes.chunks_exact(4).map(|c| c.iter().rev().fold(0, |a, b| a << 8 | u32::from(*b))).collect();
        all.sort_unstable();
        Self(all)
    }
}

/// FNV-1a, folded to 32 bits: it is kept on disk, so that it has to be the same in each build of kmend.
fn checksum(word: &[u8]) -> u32 {
    let sum = word.iter().fold(0xcbf2_9ce4_8422_2325u64, |h, b| (h ^ u64::from(*b)).wrapping_mul(0x100_0000_01b3));
    (sum >> 32) as u32 ^ sum as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_found_again() {
        let words: Words = ["skb_tailroom", "a", "a", ""].map(str::as_bytes).into_iter().collect();
        assert_eq!(words.bytes().len(), 12);
        let again = Words::read(&words.bytes());
        assert_eq!(again, words);
        assert!(again.has(b"skb_tailroom") && again.has(b"a") && !again.has(b"skb_tailroo") && !again.has(b"b"));
        assert_eq!(checksum(b"a"), 0xaf63_dc4c ^ 0x8601_ec8c);
        assert_eq!(Words::read(&[1, 2]), Words::default());
    }
}
