// SPDX-License-Identifier: GPL-2.0-or-later
//! Bytes as a patch file.
#![no_main]

use kmend_builder::source::patchfile;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let Ok(files) = patchfile::read(data) else { return };
    for hunk in files.iter().flat_map(|f| &f.hunks) {
        // What is believed agrees with its header.
        let (added, removed) = (hunk.lines_with(b'+').count(), hunk.lines_with(b'-').count());
        let context = hunk.lines_with(b' ').count();
        assert_eq!((context + removed) as u64, hunk.old_len);
        assert_eq!((context + added) as u64, hunk.new_len);
    }
    for name in files.iter().flat_map(|f| [&f.old, &f.new]).flatten() {
        assert!(!name.starts_with('/') && name.split('/').all(|part| part != ".."), "{name:?}");
    }
});
