// SPDX-License-Identifier: GPL-2.0-or-later
//! Bytes as a relocatable object, and what was read written again.
#![no_main]

use kmend_builder::elf::{read, write};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let _ = read::read(data, read::Take::NoDebug);
    let Ok(object) = read::read(data, read::Take::All) else { return };
    if let Ok(written) = write::write(&object) {
        read::read(&written, read::Take::All).expect("what is written can be read");
    }
});
