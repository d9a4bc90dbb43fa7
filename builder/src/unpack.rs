// SPDX-License-Identifier: GPL-2.0-or-later
//! Packed files, recognised by their extensions: stored bytes in, unpacked bytes out.

use anyhow::{ensure, Context, Result};
use std::io::Read;
use std::path::Path;

/// Ends of the names of packed files.
pub const ENDS: [&str; 3] = ["xz", "zst", "gz"];

/// What is in the file at `path`, whose bytes are `raw`: as it is, or unpacked where its name ends in one of [`ENDS`].
///
/// # Errors
/// It cannot be unpacked, or only to more than `most` bytes.
pub fn unpacked(path: &Path, raw: Vec<u8>, most: u64) -> Result<Vec<u8>> {
    let mut out = Vec::new();
    let all = |reader: &mut dyn Read, out: &mut Vec<u8>| reader.take(most.saturating_add(1)).read_to_end(out);
    // A small file may well need more memory than it has bytes.
    let memory = most.max(128 << 20);
    let result = match path.extension().and_then(|e| e.to_str()) {
        Some("xz") => liblzma::stream::Stream::new_stream_decoder(memory, 0)
            .map_err(std::io::Error::from)
            .and_then(|s| all(&mut liblzma::read::XzDecoder::new_stream(raw.as_slice(), s), &mut out)),
        Some("zst") => zstd::stream::read::Decoder::new(raw.as_slice()).and_then(|mut d| all(&mut d, &mut out)),
        Some("gz") => all(&mut flate2::read::MultiGzDecoder::new(raw.as_slice()), &mut out),
        _ => return Ok(raw),
    };
    result.with_context(|| format!("cannot decompress {}: is it truncated?", path.display()))?;
    ensure!(out.len() as u64 <= most, "{} unpacks to more than {} MiB", path.display(), most >> 20);
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    fn gz(bytes: &[u8]) -> Vec<u8> {
        let mut packer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        packer.write_all(bytes).unwrap();
        packer.finish().unwrap()
    }

    #[test]
    fn packed_files_are_unpacked_within_a_limit() {
        let text = b"--- a/x\n".repeat(1000);
        let (mut xz, zst) = (Vec::new(), zstd::bulk::compress(&text, 1).unwrap());
        liblzma::read::XzEncoder::new(text.as_slice(), 1).read_to_end(&mut xz).unwrap();
        for (end, packed) in [("gz", gz(&text)), ("xz", xz), ("zst", zst), ("patch", text.clone())] {
            let path = Path::new("x").with_extension(end);
            assert!(unpacked(&path, packed.clone(), 8000).unwrap() == text, "{end}");
            if end != "patch" {
                assert!(unpacked(&path, packed.clone(), 7999).is_err(), "{end}");
                assert!(unpacked(&path, packed[..packed.len() / 2].to_vec(), 8000).is_err(), "{end}");
            }
        }
        let two = [gz(b"a"), gz(b"b")].concat();
        assert_eq!(unpacked(Path::new("x.gz"), two, 8).unwrap(), b"ab");
    }
}
