// SPDX-License-Identifier: GPL-2.0-or-later
//! Bytes as a packed kernel image, and its build id.
#![no_main]

use kmend_builder::image::vmlinuz;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    if let Ok(elf) = vmlinuz::extract(data) {
        let _ = vmlinuz::build_id(&elf[..]);
    }
    let _ = vmlinuz::build_id(data);
});
