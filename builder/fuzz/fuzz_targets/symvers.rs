// SPDX-License-Identifier: GPL-2.0-or-later
//! Bytes as Module.symvers.
#![no_main]

use kmend_builder::image::symvers::Symvers;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let _ = Symvers::parse(&String::from_utf8_lossy(data));
});
