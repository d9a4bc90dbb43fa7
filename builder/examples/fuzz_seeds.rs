// SPDX-License-Identifier: GPL-2.0-or-later
//! Writes the sound inputs of tests/synthetic as seeds of the fuzz targets, below fuzz/corpus.

#[path = "../tests/synthetic/mod.rs"]
mod synthetic;

use std::path::Path;

fn main() -> anyhow::Result<()> {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus");
    let mut seeds: Vec<(&str, Vec<u8>)> = vec![
        ("elf", synthetic::object()),
        ("elf", synthetic::power_object()),
        ("elf", synthetic::module()),
        ("dwarf", synthetic::object()),
        ("dwarf", synthetic::power_object()),
        ("inspect", synthetic::module()),
        ("vmlinuz", synthetic::bzimage(&synthetic::object())),
        ("vmlinuz", synthetic::object()),
        ("patch", synthetic::PATCH.into()),
        ("btf", synthetic::btf()),
        ("symvers", synthetic::SYMVERS.into()),
        ("stream", synthetic::STREAM.into()),
        ("target", synthetic::archive::sound()),
        ("target", synthetic::archive::list().into()),
    ];
    for image in synthetic::kallsyms::FORMS.map(synthetic::image) {
        // The piece that is loaded stands behind the ELF headers.
        seeds.push(("kallsyms", image[64 + 56..].to_vec()));
        seeds.push(("image", image));
    }
    for (n, (target, seed)) in seeds.iter().enumerate() {
        kmend_builder::files::write(&corpus.join(target).join(format!("sound-{n}")), seed)?;
    }
    println!("{} seeds below {}", seeds.len(), corpus.display());
    Ok(())
}
