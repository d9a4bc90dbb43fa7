// SPDX-License-Identifier: GPL-2.0-or-later
//! Bytes as an exported target, unpacked; and as the list of one, in which all else is right.
#![no_main]

use kmend_builder::target::archive::{check, ArchiveFault};
use libfuzzer_sys::fuzz_target;

#[path = "../../tests/synthetic/mod.rs"]
#[allow(dead_code)]
mod synthetic;

fuzz_target!(|data: &[u8]| {
    let mut tars = vec![data.to_vec()];
    tars.extend(std::str::from_utf8(data).ok().map(synthetic::archive::with_list));
    for tar in tars {
        if let Err(error) = check(tar.as_slice()) {
            error.downcast::<ArchiveFault>().expect("each fault has a code");
        }
    }
});
