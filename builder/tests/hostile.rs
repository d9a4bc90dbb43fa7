// SPDX-License-Identifier: GPL-2.0-or-later
//! Readers against hostile input: sound inputs, mutated in thousands of ways, the same ways on every run.
//! Any answer will do but a panic, much memory or a long wait. builder/fuzz looks further.

#[path = "synthetic/mutate.rs"]
mod mutate;
mod synthetic;

use kmend_builder::elf::read::{read, Take};
use kmend_builder::image::symvers::Symvers;
use kmend_builder::image::{btf, vmlinuz, Image};
use kmend_builder::special::layout::Layouts;
use kmend_builder::{diff, elf, extract, inspect, source, stream, verify};
use mutate::{mutate, Random};
use std::time::{Duration, Instant};
use synthetic::kallsyms::{FORMS, LOADED_AT};

/// One input may take this long, on a slow and busy machine.
const PATIENCE: Duration = Duration::from_secs(5);
/// All tests together may reserve this much, KiB; a count taken for granted would be far beyond.
const MEMORY: u64 = 4 << 20;

/// Runs `reader` on `times` mutations; a panic says on which.
fn torment<T>(name: &str, good: &[u8], times: u64, reader: impl Fn(&[u8]) -> Option<T>) {
    assert!(reader(good).is_some(), "{name}: the sound input is refused");
    let mut accepted = 0;
    for round in 0..times {
        let mut random = Random::new(0, round);
        let bad = mutate(good, &mut random);
        let begun = Instant::now();
        let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| reader(&bad).is_some()));
        assert!(begun.elapsed() < PATIENCE, "{name}: round {round} took {:?}", begun.elapsed());
        match result {
            Ok(sound) => accepted += u64::from(sound),
            Err(_) => panic!("{name}: panic in round {round}"),
        }
    }
    // Mutations that are all refused at the front door would test nothing behind it.
    assert!(accepted * 50 > times, "{name}: only {accepted} of {times} mutations got through");
    check_memory(name);
}

/// The most memory that this process ever had, reserved or used.
fn check_memory(name: &str) {
    let Ok(status) = std::fs::read_to_string("/proc/self/status") else { return };
    let most = status.lines().find_map(|l| l.strip_prefix("VmPeak:")?.trim().strip_suffix(" kB")?.parse::<u64>().ok());
    assert!(most.is_some_and(|most| most < MEMORY), "{name}: {most:?} KiB of memory");
}

#[test]
fn elf_objects() {
    torment("object", &synthetic::object(), 20_000, |bytes| {
        let object = read(bytes, Take::All).ok();
        if let Some(object) = &object {
            // What is read can be written, or is refused.
            if let Ok(written) = elf::write::write(object) {
                read(&written, Take::All).expect("what is written can be read");
            }
        }
        let _ = read(bytes, Take::NoDebug);
        object
    });
}

/// What is read is compared, too: with the sound one, both ways.
#[test]
fn objects_of_ppc64le() {
    let good = synthetic::power_object();
    let sound = read(&good, Take::All).unwrap();
    let mut layouts = Layouts::parse("fixup_entry=48").unwrap();
    layouts.fill(Layouts::from_dwarf(&good).unwrap());
    torment("ppc64le object", &good, 20_000, |bytes| {
        let object = read(bytes, Take::All).ok()?;
        if let Ok(written) = elf::write::write(&object) {
            read(&written, Take::All).expect("what is written can be read");
        }
        for (old, new) in [(&sound, &object), (&object, &sound)] {
            if let Ok(changes) = diff::diff(old, new, &layouts) {
                if let Ok(patchable) = diff::patchability::check(&changes) {
                    let _ = extract::extract(patchable, "0");
                }
            }
        }
        Some(object)
    });
}

#[test]
fn dwarf() {
    let good = synthetic::object();
    assert_eq!(Layouts::from_dwarf(&good).unwrap().size("jump_entry"), Some(16));
    torment("DWARF", &good, 10_000, |bytes| Layouts::from_dwarf(bytes).ok());
}

#[test]
fn modules() {
    let good = synthetic::module();
    let report = inspect::inspect(&good).unwrap();
    assert_eq!(report.made_by, Some(kmend_builder::klp::Maker::CSource));
    assert_eq!(report.signature.map(|s| s.kind), Some("PKCS#7".into()));
    let image = Image::parse(synthetic::image(FORMS[0])).unwrap();
    let symvers = Symvers::parse(synthetic::SYMVERS).unwrap();
    let modules = Default::default();
    let against =
        verify::Against { release: "7.2.12", build_id: "00", image: &image, modules: &modules, symvers: &symvers };
    torment("module", &good, 20_000, |bytes| {
        let _ = verify::verify(bytes, &against);
        inspect::inspect(bytes).ok()
    });
}

#[test]
fn exported_targets() {
    use kmend_builder::target::archive::{check, ArchiveFault};
    // Where all else is right, only the list's own rules refuse a list. Those that can be read get as far as these rules, or further: no
    // entries follow here.
    let list = synthetic::archive::list();
    torment("list of a target", list.as_bytes(), 20_000, |bytes| {
        let text = std::str::from_utf8(bytes).ok()?;
        let fault = check(synthetic::archive::with_list(text).as_slice()).unwrap_err();
        let fault: ArchiveFault = fault.downcast().expect("each fault has a code");
        matches!(fault.code, "archive-path" | "archive-link" | "archive-truncated").then_some(())
    });
    // Spoilt in any other way, the checksums tell.
    let good = synthetic::archive::sound();
    check(good.as_slice()).unwrap();
    for round in 0..20_000 {
        let bad = mutate(&good, &mut Random::new(1, round));
        let begun = Instant::now();
        if let Err(error) = check(bad.as_slice()) {
            error.downcast::<ArchiveFault>().expect("each fault has a code");
        }
        assert!(begun.elapsed() < PATIENCE, "round {round} took {:?}", begun.elapsed());
    }
    check_memory("exported target");
}

#[test]
fn kernel_images() {
    for form in FORMS {
        let good = synthetic::image(form);
        let image = Image::parse(good.clone()).unwrap_or_else(|e| panic!("{form:?}: {e:#}"));
        assert_eq!(image.layouts.size("jump_entry"), Some(16), "{form:?}");
        assert_eq!(image.kallsyms.named("show").count(), 3, "{form:?}");
        let pointers: Vec<u64> = (0..64).filter(|n| image.pointers.is_one(LOADED_AT + n)).collect();
        assert_eq!(pointers, [0, 8, 16, 32], "{form:?}");
        assert_eq!(image.bytes(LOADED_AT + 8, 8), Some(&(LOADED_AT + 1).to_le_bytes()[..]), "{form:?}");
        torment(&format!("image {form:?}"), &good, 1500, |bytes| Image::parse(bytes.to_vec()).ok());
    }
}

#[test]
fn btf_sections() {
    torment("BTF", &synthetic::btf(), 20_000, |bytes| btf::layouts(bytes).ok());
}

#[test]
fn packed_images() {
    let good = synthetic::bzimage(&synthetic::object());
    torment("bzImage", &good, 5000, |bytes| {
        let elf = vmlinuz::extract(bytes).ok()?;
        let _ = vmlinuz::build_id(&elf[..]);
        Some(elf)
    });
    torment("build id", &synthetic::object(), 10_000, |bytes| vmlinuz::build_id(bytes).ok());
}

#[test]
fn patches() {
    torment("patch", synthetic::PATCH.as_bytes(), 30_000, |bytes| source::patchfile::read(bytes).ok());
}

#[test]
fn stream_files() {
    torment("stream file", synthetic::STREAM.as_bytes(), 20_000, |bytes| {
        let text = std::str::from_utf8(bytes).ok()?;
        match stream::file::parse(text) {
            Ok(file) => Some(file),
            Err(fault) => {
                assert!(fault.line <= 1 + text.matches('\n').count() && !fault.reason.is_empty(), "{fault:?}");
                None
            }
        }
    });
    // Tables within tables without end.
    for (open, close) in [("[", "]"), ("{a=", "}")] {
        let deep = format!("name = {}1{}", open.repeat(500_000), close.repeat(500_000));
        assert!(stream::file::parse(&deep).is_err());
    }
}

#[test]
fn symbol_versions() {
    torment("Module.symvers", synthetic::SYMVERS.as_bytes(), 10_000, |bytes| {
        Symvers::parse(&String::from_utf8_lossy(bytes)).ok()
    });
}

/// Inputs that a mutation is unlikely to find: the same bytes named again and again.
mod amplified {
    use super::*;

    /// An ELF header, a string table with one long name, and `count` section headers made by `header`.
    fn elf_with_sections(count: usize, name_len: usize, header: impl Fn(usize) -> (u32, u32, u64, u64)) -> Vec<u8> {
        let names_at = 64 + 64 * count;
        let mut out = b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0\x01\0\x3e\0\x01\0\0\0".to_vec();
        for word in [0, 0, 64u64] {
            out.extend(word.to_le_bytes());
        }
        out.extend([0; 4]);
        for half in [64u16, 0, 0, 64, count as u16, 1] {
            out.extend(half.to_le_bytes());
        }
        for i in 0..count {
            let (name, kind, at, len) = match i {
                0 => (0, 0, 0, 0),
                1 => (0, 3, names_at as u64, name_len as u64 + 2),
                i => header(i),
            };
            for word in [name, kind] {
                out.extend(word.to_le_bytes());
            }
            for word in [0, 0, at, len, 0, 1, 0] {
                out.extend(word.to_le_bytes());
            }
            out.resize(64 + 64 * (i + 1), 0);
        }
        out.push(0);
        out.extend(vec![b'x'; name_len]);
        out.push(0);
        out
    }

    fn refused(bytes: &[u8], words: &str) {
        let begun = Instant::now();
        let said = format!("{:#}", read(bytes, Take::All).unwrap_err());
        assert!(said.contains(words), "{said}");
        assert!(begun.elapsed() < PATIENCE);
        check_memory(words);
    }

    #[test]
    fn sections_that_all_are_the_whole_file() {
        let len = 2 << 20;
        refused(&elf_with_sections(60_000, len, |_| (0, 1, 0, len as u64)), "overlaps with other sections");
    }

    #[test]
    fn sections_that_all_have_one_long_name() {
        refused(&elf_with_sections(60_000, 1 << 20, |_| (1, 1, 0, 0)), "many times the size of the file");
    }

    #[test]
    fn sizes_that_no_kernel_has() {
        refused(&elf_with_sections(4, 4, |_| (1, 8, 0, u64::MAX)), "more than any kernel has");
    }

    #[test]
    fn digits_without_end() {
        // What looks like kallsyms' tokens, again and again.
        let mut piece: Vec<u8> = Vec::new();
        while piece.len() < 1 << 20 {
            piece.extend((b'0'..=b'9').flat_map(|d| [d, 0]));
            piece.extend([0; 46]);
        }
        let begun = Instant::now();
        let start = synthetic::kallsyms::LOADED_AT;
        assert!(kmend_builder::image::kallsyms::Kallsyms::find(&piece, start, start..u64::MAX, start).is_err());
        assert!(begun.elapsed() < 4 * PATIENCE, "{:?}", begun.elapsed());
    }

    #[test]
    fn a_payload_that_unpacks_without_end() {
        let packed = synthetic::bzimage(&vec![0; 64 << 20]);
        assert!(packed.len() < 1 << 20);
        let said = format!("{:#}", vmlinuz::extract(&packed).unwrap_err());
        assert!(said.contains("else than an ELF"), "{said}");
        check_memory("packed");
    }
}
