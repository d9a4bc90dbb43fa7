// SPDX-License-Identifier: GPL-2.0-or-later
//! What a module says of itself: an object in, names and values out.

use super::Object;

/// `NAME=value` pairs of .modinfo.
pub fn modinfo(object: &Object) -> Vec<(String, String)> {
    let sections = object.sections.iter().filter(|s| s.name == ".modinfo");
    sections
        .flat_map(|s| s.data.split(|&b| b == 0))
        .filter_map(|part| {
            let text = String::from_utf8_lossy(part);
            text.split_once('=').map(|(n, v)| (n.to_string(), v.to_string()))
        })
        .collect()
}
