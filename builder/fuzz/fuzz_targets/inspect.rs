// SPDX-License-Identifier: GPL-2.0-or-later
//! Bytes as a finished module: its report, and the loader's checks.
#![no_main]

use kmend_builder::image::symvers::Symvers;
use kmend_builder::image::Image;
use kmend_builder::{inspect, verify};
use libfuzzer_sys::fuzz_target;
use std::sync::LazyLock;

#[path = "../../tests/synthetic/mod.rs"]
#[allow(dead_code)]
mod synthetic;

static WORLD: LazyLock<(Image, Symvers)> = LazyLock::new(|| {
    let image = Image::parse(synthetic::image(synthetic::kallsyms::FORMS[0])).expect("a sound image");
    (image, Symvers::parse(synthetic::SYMVERS).expect("sound lines"))
});

fuzz_target!(|data: &[u8]| {
    if let Ok(report) = inspect::inspect(data) {
        serde_json::to_string(&report).expect("every report can be JSON");
    }
    let against =
        verify::Against { release: "7.2.12", build_id: "00", image: &WORLD.0, modules: &Default::default(), symvers: &WORLD.1 };
    let _ = verify::verify(data, &against);
});
