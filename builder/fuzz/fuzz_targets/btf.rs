// SPDX-License-Identifier: GPL-2.0-or-later
//! Bytes as a .BTF section.
#![no_main]

use kmend_builder::image::btf;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let _ = btf::layouts(data);
});
