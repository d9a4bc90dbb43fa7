// SPDX-License-Identifier: GPL-2.0-or-later
//! LZ4 as kernels are packed with it (`lz4 -l`): legacy frames in, what they unpack to out.
//!
//! Formats: "LZ4 Frame Format", Legacy frame, and "LZ4 Block Format" (lz4's doc/). The kernel's own reader is lib/decompress_unlz4.c.

use anyhow::{ensure, Context, Result};

/// What a legacy frame starts with.
pub const MAGIC: [u8; 4] = [0x02, 0x21, 0x4c, 0x18];

/// The most that one block unpacks to.
const BLOCK: usize = 8 << 20;

/// Unpacks a legacy frame of no more than `most` bytes. It ends with the data, or where what follows cannot be a block: the kernel's
/// build appends the unpacked size.
///
/// # Errors
/// A block that is damaged; more than `most` bytes.
pub fn unpack(data: &[u8], most: u64) -> Result<Vec<u8>> {
    let mut rest = data.strip_prefix(&MAGIC).context("it is no legacy frame of lz4")?;
    let mut out = Vec::new();
    while let Some((size, behind)) = rest.split_first_chunk::<4>() {
        if *size == MAGIC {
            rest = behind;
            continue;
        }
        let size = u32::from_le_bytes(*size) as usize;
        // Of the appended size nothing follows.
        if behind.is_empty() {
            break;
        }
        let block = behind.get(..size).context("the lz4 payload is cut off")?;
        unpack_block(block, &mut out).context("the lz4 payload is damaged")?;
        ensure!(out.len() as u64 <= most, "the lz4 payload unpacks to more than {} MiB", most >> 20);
        rest = &behind[size..];
    }
    Ok(out)
}

/// Appends what a block unpacks to. Each is by itself: nothing refers to what is before it.
fn unpack_block(mut block: &[u8], out: &mut Vec<u8>) -> Result<()> {
    let begin = out.len();
    while let Some((&token, behind)) = block.split_first() {
        block = behind;
        let literals = length(usize::from(token >> 4), &mut block)?;
        let (text, behind) = block.split_at_checked(literals).context("literals beyond its end")?;
        out.extend_from_slice(text);
        block = behind;
        if block.is_empty() {
            // The last sequence has no match.
            break;
        }
        let (offset, behind) = block.split_first_chunk::<2>().context("an offset beyond its end")?;
        block = behind;
        let offset = usize::from(u16::from_le_bytes(*offset));
        let copied = length(usize::from(token & 15), &mut block)? + 4;
        ensure!(offset > 0 && offset <= out.len() - begin, "a match before its begin");
        ensure!(out.len() - begin + copied <= BLOCK, "it unpacks to more than {} MiB", BLOCK >> 20);
        let from = out.len() - offset;
        if offset >= copied {
            out.extend_from_within(from..from + copied);
        } else {
            // It overlaps what it writes.
            for at in from..from + copied {
                out.push(out[at]);
            }
        }
    }
    ensure!(out.len() - begin <= BLOCK, "it unpacks to more than {} MiB", BLOCK >> 20);
    Ok(())
}

/// A length whose first four bits are `first`; all ones are followed by bytes that are added up, to the first that is not 255.
fn length(first: usize, block: &mut &[u8]) -> Result<usize> {
    let mut length = first;
    if first < 15 {
        return Ok(length);
    }
    loop {
        let (&more, behind) = block.split_first().context("a length beyond its end")?;
        *block = behind;
        length += usize::from(more);
        ensure!(length <= BLOCK, "a length of more than {} MiB", BLOCK >> 20);
        if more < 255 {
            return Ok(length);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A frame with one block.
    fn frame(block: &[u8]) -> Vec<u8> {
        [&MAGIC[..], &(block.len() as u32).to_le_bytes(), block].concat()
    }

    #[test]
    fn literals_and_matches() {
        // "abc", then twelve bytes from three before (they overlap), then "xyz".
        let block = [0x38, b'a', b'b', b'c', 3, 0, 0x30, b'x', b'y', b'z'];
        let text = b"abcabcabcabcabcxyz";
        assert_eq!(unpack(&frame(&block), 100).unwrap(), text);
        // The kernel's build appends the size; a frame can begin again.
        let size = (text.len() as u32).to_le_bytes();
        assert_eq!(unpack(&[&frame(&block)[..], &size].concat(), 100).unwrap(), text);
        let two = [frame(&block), frame(&block), size.to_vec()].concat();
        assert_eq!(unpack(&two, 100).unwrap(), [&text[..], text].concat());
        assert!(unpack(&two, 20).is_err());
        // Lengths of more than four bits.
        let mut long = vec![0xf0, 255, 30];
        long.extend([7; 300]);
        assert_eq!(unpack(&frame(&long), 1000).unwrap(), [7; 300]);
    }

    #[test]
    fn damaged_blocks_are_errors() {
        for bad in [
            &[0x38, b'a', b'b', b'c', 4, 0, 0x30, b'x', b'y', b'z'][..],
            &[0x38, b'a', b'b', b'c', 0, 0, 0x30, b'x', b'y', b'z'],
            &[0x38, b'a', b'b', b'c', 3],
            &[0xf0, 255, 255],
            &[0x50, b'a'],
        ] {
            assert!(unpack(&frame(bad), 1000).is_err(), "{bad:?}");
        }
        let whole = frame(&[0x30, b'a', b'b', b'c']);
        assert!(unpack(&whole[..whole.len() - 1], 1000).is_err());
        assert!(unpack(b"abcd", 1000).is_err());
        // What repeats itself without end is bounded.
        let mut bomb = vec![0x1f, b'a', 1, 0];
        bomb.extend([255; 40_000]);
        bomb.push(0);
        assert!(unpack(&frame(&bomb), 1 << 30).is_err());
    }
}
