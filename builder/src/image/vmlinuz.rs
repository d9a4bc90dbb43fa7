// SPDX-License-Identifier: GPL-2.0-or-later
//! Takes the ELF kernel image out of a vmlinuz: x86 bzImage, compressed or plain ELF in, ELF out; and
//! reads an ELF kernel's build id.
//!
//! The bzImage layout is that of the kernel's Documentation/arch/x86/boot.rst, "The Real-Mode Kernel
//! Header". After the ELF image the payload may carry the relocations for KASLR; they stay, behind
//! everything that the ELF headers refer to.

use super::lz4;
use anyhow::{bail, ensure, Context, Result};
use object::read::elf::{FileHeader, NoteIterator, SectionHeader};
use object::{Endianness, ReadCache, ReadRef};
use std::io::Read;
use std::path::Path;

/// More than any kernel: a limit against input that unpacks without end.
const LIMIT: u64 = 1 << 30;

/// A compression that a payload can have, by the bytes it starts with.
const MAGICS: &[(&[u8], Packing)] = &[
    (&[0x1f, 0x8b], Packing::Gzip),
    (&[0xfd, b'7', b'z', b'X', b'Z', 0], Packing::Xz),
    (&[0x28, 0xb5, 0x2f, 0xfd], Packing::Zstd),
    (&[0x5d, 0, 0], Packing::Lzma),
    (b"BZh", Packing::Unsupported("bzip2")),
    (&[0x89, b'L', b'Z', b'O'], Packing::Unsupported("lzo")),
    (&lz4::MAGIC, Packing::Lz4),
    (&[0x04, 0x22, 0x4d, 0x18], Packing::Unsupported("lz4")),
    (b"\x7fELF", Packing::None),
];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Packing {
    None,
    Gzip,
    Xz,
    Zstd,
    Lzma,
    Lz4,
    Unsupported(&'static str),
}

/// The ELF image inside of `image`.
pub fn extract(image: &[u8]) -> Result<Vec<u8>> {
    let payload = match bzimage_payload(image)? {
        Some(payload) => payload,
        None => image,
    };
    let elf = unpack(payload)?;
    ensure!(elf.starts_with(b"\x7fELF"), "the payload unpacks to something else than an ELF image");
    Ok(elf)
}

/// The compressed payload of an x86 bzImage; None when `image` is none.
fn bzimage_payload(image: &[u8]) -> Result<Option<&[u8]>> {
    if image.get(0x202..0x206) != Some(b"HdrS") {
        return Ok(None);
    }
    let version = u16_at(image, 0x206)?;
    ensure!(
        version >= 0x0208,
        "boot protocol {}.{:02} has no payload_offset (it came with 2.08, Linux 2.6.26)",
        version >> 8,
        version & 0xff
    );
    // "For backwards compatibility, if the setup_sects field contains 0, the real value is 4."
    let sectors = match image.get(0x1f1).copied().unwrap_or(0) {
        0 => 4,
        n => usize::from(n),
    };
    let start = (sectors + 1) * 512 + u32_at(image, 0x248)? as usize;
    let length = u32_at(image, 0x24c)? as usize;
    let payload = start.checked_add(length).and_then(|end| image.get(start..end));
    let payload = payload.with_context(|| {
        format!("the image is cut short: its header places {length} bytes at {start}, it has {} bytes", image.len())
    })?;
    Ok(Some(payload))
}

fn u16_at(data: &[u8], at: usize) -> Result<u16> {
    let bytes = data.get(at..at + 2).context("the image ends within its setup header")?;
    Ok(u16::from_le_bytes([bytes[0], bytes[1]]))
}

fn u32_at(data: &[u8], at: usize) -> Result<u32> {
    let bytes = data.get(at..at + 4).context("the image ends within its setup header")?;
    Ok(u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]))
}

/// Unpacks by the first bytes. What follows the stream (the kernel's build appends the unpacked size) is ignored.
fn unpack(data: &[u8]) -> Result<Vec<u8>> {
    let Some((_, packing)) = MAGICS.iter().find(|(magic, _)| data.starts_with(magic)) else {
        let start: Vec<u8> = data.iter().take(8).copied().collect();
        bail!(
            "neither a bzImage, nor an ELF image, nor in a known compression (starts with {})",
            crate::files::hex(&start)
        );
    };
    match packing {
        Packing::None => Ok(data.to_vec()),
        Packing::Gzip => read_all(flate2::read::GzDecoder::new(data), "gzip"),
        Packing::Xz => {
            let stream = liblzma::stream::Stream::new_stream_decoder(LIMIT, 0).context("xz")?;
            read_all(liblzma::read::XzDecoder::new_stream(data, stream), "xz")
        }
        Packing::Lzma => {
            let stream = liblzma::stream::Stream::new_lzma_decoder(LIMIT).context("lzma")?;
            read_all(liblzma::read::XzDecoder::new_stream(data, stream), "lzma")
        }
        Packing::Zstd => {
            let mut decoder = zstd::stream::read::Decoder::with_buffer(data).context("zstd")?.single_frame();
            // The kernel packs with `zstd -22 --ultra`: windows of up to 128 MiB.
            decoder.window_log_max(27).context("zstd")?;
            read_all(decoder, "zstd")
        }
        Packing::Lz4 => lz4::unpack(data, LIMIT),
        Packing::Unsupported(name) => {
            bail!(
                "the kernel is packed with {name}, which is not supported: unpack it yourself \
                 (scripts/extract-vmlinux in the kernel's source) and pass the ELF image"
            )
        }
    }
}

fn read_all(reader: impl Read, name: &str) -> Result<Vec<u8>> {
    let mut out = Vec::new();
    reader.take(LIMIT + 1).read_to_end(&mut out).with_context(|| format!("the {name} payload is damaged"))?;
    ensure!(out.len() as u64 <= LIMIT, "the {name} payload unpacks to more than {} MiB", LIMIT >> 20);
    Ok(out)
}

/// The GNU build id of an ELF file, hexadecimal; reads no more of the file than it needs.
pub fn build_id_of(path: &Path) -> Result<String> {
    let file = std::fs::File::open(path).with_context(|| format!("cannot read {}", path.display()))?;
    build_id(&ReadCache::new(file)).with_context(|| path.display().to_string())
}

/// The GNU build id of an ELF file, hexadecimal.
pub fn build_id<'a>(data: impl ReadRef<'a>) -> Result<String> {
    match object::FileKind::parse(data).context("not an ELF file")? {
        object::FileKind::Elf64 => build_id_in::<object::elf::FileHeader64<Endianness>, _>(data),
        object::FileKind::Elf32 => build_id_in::<object::elf::FileHeader32<Endianness>, _>(data),
        other => bail!("not an ELF file ({other:?})"),
    }
}

fn build_id_in<'a, H, R>(data: R) -> Result<String>
where
    H: FileHeader<Endian = Endianness>,
    R: ReadRef<'a>,
{
    let header = H::parse(data).context("damaged ELF header")?;
    let endian = header.endian().context("damaged ELF header")?;
    let sections = header.sections(endian, data).context("damaged section headers")?;
    for section in sections.iter() {
        let Some(mut notes) = section.notes(endian, data).context("damaged notes")? else { continue };
        if let Some(id) = build_id_among(&mut notes, endian) {
            return Ok(id);
        }
    }
    bail!(NO_BUILD_ID)
}

const NO_BUILD_ID: &str = "no build id: the kernel was linked without one (no GNU note)";

/// The GNU build id among the notes of a running kernel (/sys/kernel/notes), hexadecimal. Architectures that are supported are
/// little-endian.
pub fn build_id_of_notes(notes: &[u8]) -> Result<String> {
    const ALIGN: u64 = 4;
    let endian = Endianness::Little;
    let mut notes =
        NoteIterator::<object::elf::FileHeader64<Endianness>>::new(endian, ALIGN, notes).context("notes")?;
    build_id_among(&mut notes, endian).context(NO_BUILD_ID)
}

fn build_id_among<H>(notes: &mut NoteIterator<'_, H>, endian: Endianness) -> Option<String>
where
    H: FileHeader<Endian = Endianness>,
{
    while let Ok(Some(note)) = notes.next() {
        if note.name() == b"GNU" && note.n_type(endian) == object::elf::NT_GNU_BUILD_ID && !note.desc().is_empty() {
            return Some(crate::files::hex(note.desc()));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    fn gzip(data: &[u8]) -> Vec<u8> {
        let mut e = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        e.write_all(data).unwrap();
        e.finish().unwrap()
    }

    fn xz(data: &[u8]) -> Vec<u8> {
        let mut e = liblzma::write::XzEncoder::new(Vec::new(), 1);
        e.write_all(data).unwrap();
        e.finish().unwrap()
    }

    fn lzma(data: &[u8]) -> Vec<u8> {
        let options = liblzma::stream::LzmaOptions::new_preset(1).unwrap();
        let stream = liblzma::stream::Stream::new_lzma_encoder(&options).unwrap();
        let mut e = liblzma::write::XzEncoder::new_stream(Vec::new(), stream);
        e.write_all(data).unwrap();
        e.finish().unwrap()
    }

    /// A bzImage around `payload`, with what the kernel's build appends: the unpacked size.
    fn bzimage(payload: &[u8]) -> Vec<u8> {
        let mut image = vec![0u8; 3 * 512];
        image[0x1f1] = 1;
        image[0x202..0x206].copy_from_slice(b"HdrS");
        image[0x206..0x208].copy_from_slice(&0x020fu16.to_le_bytes());
        image[0x248..0x24c].copy_from_slice(&512u32.to_le_bytes());
        image[0x24c..0x250].copy_from_slice(&(payload.len() as u32 + 4).to_le_bytes());
        image.extend_from_slice(payload);
        image.extend_from_slice(&[0x12, 0x34, 0, 0]);
        image.extend_from_slice(&[0; 64]);
        image
    }

    fn elf() -> Vec<u8> {
        let mut data = b"\x7fELF\x02\x01\x01".to_vec();
        data.extend((0..5000u32).flat_map(|n| (n / 7).to_le_bytes()));
        data
    }

    /// An ELF file with the given build id in a .notes section, behind another note.
    fn elf_with_build_id(id: &[u8]) -> Vec<u8> {
        use object::write::{Object, StandardSegment};
        let mut o = Object::new(object::BinaryFormat::Elf, object::Architecture::X86_64, object::Endianness::Little);
        let note = |name: &[u8], kind: u32, desc: &[u8]| {
            let mut n = Vec::new();
            n.extend((name.len() as u32).to_le_bytes());
            n.extend((desc.len() as u32).to_le_bytes());
            n.extend(kind.to_le_bytes());
            for part in [name, desc] {
                n.extend(part);
                n.resize(n.len().next_multiple_of(4), 0);
            }
            n
        };
        let s =
            o.add_section(o.segment_name(StandardSegment::Data).to_vec(), b".notes".into(), object::SectionKind::Note);
        let mut data = note(b"Linux\0", 3, b"1234");
        data.extend(note(b"GNU\0", 3, id));
        o.append_section_data(s, &data, 4);
        o.write().unwrap()
    }

    #[test]
    fn every_packing() {
        let elf = elf();
        let zstd = zstd::encode_all(&elf[..], 3).unwrap();
        for (name, payload) in
            [("gzip", gzip(&elf)), ("xz", xz(&elf)), ("zstd", zstd), ("lzma", lzma(&elf)), ("none", elf.clone())]
        {
            let got = extract(&bzimage(&payload)).unwrap_or_else(|e| panic!("{name}: {e:#}"));
            assert_eq!(got[..elf.len()], elf[..], "{name}");
        }
        assert_eq!(extract(&gzip(&elf)).unwrap(), elf);
        assert_eq!(extract(&elf).unwrap(), elf);
    }

    #[test]
    fn what_is_not_supported_is_named() {
        for (magic, packing) in MAGICS {
            if let Packing::Unsupported(name) = packing {
                let mut payload = magic.to_vec();
                payload.resize(64, 0);
                let said = format!("{:#}", extract(&bzimage(&payload)).unwrap_err());
                assert!(said.contains(name), "{said}");
            }
        }
        let said = format!("{:#}", extract(b"#!/bin/sh\n").unwrap_err());
        assert!(said.contains("neither a bzImage"), "{said}");
        let said = format!("{:#}", extract(&bzimage(&gzip(b"hello"))).unwrap_err());
        assert!(said.contains("else than an ELF"), "{said}");
    }

    #[test]
    fn old_protocols_are_refused() {
        let mut image = bzimage(&elf());
        image[0x206..0x208].copy_from_slice(&0x0207u16.to_le_bytes());
        assert!(format!("{:#}", extract(&image).unwrap_err()).contains("2.07"));
    }

    #[test]
    fn truncated_and_damaged_input_is_an_error() {
        for payload in [gzip(&elf()), xz(&elf()), zstd::encode_all(&elf()[..], 3).unwrap(), lzma(&elf())] {
            let image = bzimage(&payload);
            let end = image.len() - 64;
            for cut in (0..end).step_by(17).chain([1, 0x1f0, 0x1f2, 0x203, 0x207, 0x24f, 0x250, 1024, end - 1]) {
                assert!(extract(&image[..cut]).is_err(), "cut at {cut}");
            }
            // Flipped bits: any answer but a panic or an endless run.
            let mut state = 0x9e37_79b9_7f4a_7c15u64;
            for _ in 0..300 {
                let mut bad = image.clone();
                for _ in 0..4 {
                    state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                    let at = (state >> 33) as usize % bad.len();
                    bad[at] ^= (state >> 20) as u8;
                }
                let _ = extract(&bad);
            }
        }
    }

    #[test]
    fn build_ids() {
        let id: Vec<u8> = (1..=20).collect();
        let file = elf_with_build_id(&id);
        assert_eq!(build_id(&file[..]).unwrap(), "0102030405060708090a0b0c0d0e0f1011121314");
        assert!(format!("{:#}", build_id(&elf()[..]).unwrap_err()).len() > 5);
        for cut in 0..file.len() {
            let _ = build_id(&file[..cut]);
        }
        for at in 0..file.len() {
            let mut bad = file.clone();
            bad[at] ^= 0xff;
            let _ = build_id(&bad[..]);
        }
    }
}
