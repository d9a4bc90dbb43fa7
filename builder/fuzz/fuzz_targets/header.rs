// SPDX-License-Identifier: GPL-2.0-or-later
//! Bytes as a header before and after a fix, with a zero byte between.
#![no_main]

use kmend_builder::reach::headers::changed::compare;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let (original, patched) = data.split_at(data.iter().position(|b| *b == 0).unwrap_or(data.len()));
    let _ = compare(original, patched);
});
