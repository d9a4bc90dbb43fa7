// SPDX-License-Identifier: GPL-2.0-or-later
//! Bytes as an object with DWARF.
#![no_main]

use kmend_builder::special::layout::Layouts;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let _ = Layouts::from_dwarf(data);
});
