// SPDX-License-Identifier: GPL-2.0-or-later
//! Bytes as a stream file.
#![no_main]

use kmend_builder::stream::file;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let Ok(text) = std::str::from_utf8(data) else { return };
    match file::parse(text) {
        Ok(stream) => assert!(stream.version.iter().all(|v| v.version.get_ref().version > 0)),
        Err(fault) => assert!(fault.line <= 1 + text.matches('\n').count() && !fault.reason.is_empty()),
    }
});
