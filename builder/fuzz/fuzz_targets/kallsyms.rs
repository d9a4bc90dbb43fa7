// SPDX-License-Identifier: GPL-2.0-or-later
//! Bytes as a loaded piece of a kernel image.
#![no_main]

use kmend_builder::image::kallsyms::Kallsyms;
use libfuzzer_sys::fuzz_target;

/// Where tests/synthetic/kallsyms.rs loads its images.
const START: u64 = 0xffff_ffff_8100_0000;

fuzz_target!(|data: &[u8]| {
    let Ok(found) = Kallsyms::find(data, START, START..START + data.len() as u64 + 0x10000, START) else { return };
    for symbol in found.symbols() {
        let _ = found.sympos(&symbol.name, symbol.address);
    }
});
