// SPDX-License-Identifier: GPL-2.0-or-later
//! Bytes as an ELF kernel image: segments, kallsyms, BTF.
#![no_main]

use kmend_builder::image::Image;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let _ = Image::parse(data.to_vec());
});
