// SPDX-License-Identifier: GPL-2.0-or-later
//! What to build, as plain data: it can be written to a file and read on another machine.

use super::Label;
use crate::manifest::StreamFacts;
use crate::reach::limit::Limit;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::path::PathBuf;

/// What to build.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Request {
    /// Name of the module.
    pub name: String,
    /// The fixes, in order.
    pub fixes: Vec<PathBuf>,
    /// The hooks file.
    pub hooks: Option<PathBuf>,
    /// Atomic replace.
    pub replace: bool,
    /// How many units the fixes may reach.
    pub limit: Limit,
    /// Functions that may lack a proof.
    pub allow_unproven: BTreeSet<String>,
    /// Types whose layout, and variables whose type may change.
    pub allow_layout: BTreeSet<String>,
    /// What the stream says of it, where it is a version of one.
    pub stream: Option<Labels>,
}

impl Request {
    /// A live patch of these fixes that replaces older ones, with nothing allowed.
    pub fn new(name: impl Into<String>, fixes: Vec<PathBuf>) -> Self {
        Self {
            name: name.into(),
            fixes,
            hooks: None,
            replace: true,
            limit: Limit::default(),
            allow_unproven: BTreeSet::new(),
            allow_layout: BTreeSet::new(),
            stream: None,
        }
    }
}

/// What a stream says of one of its versions.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Labels {
    /// Of the whole.
    pub facts: StreamFacts,
    /// Of each fix.
    pub fixes: Vec<Label>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_can_be_written_and_read() {
        let mut request = Request::new("kmend_a", vec!["a.patch".into(), "/b/c.patch".into()]);
        request.allow_layout.insert("struct s".into());
        request.limit = Limit(7);
        let label = Label {
            commit: Some(1),
            sha256: "00".into(),
            title: "a".into(),
            cves: vec!["CVE-2026-1".into()],
            severity: None,
            tickets: Vec::new(),
            since: "1-1".into(),
        };
        let facts = StreamFacts {
            name: "live".into(),
            version: "1-1".into(),
            date: "2026-12-01".into(),
            supported_until: None,
            level: None,
            fixed_by_kernel: Vec::new(),
            not_carried: Vec::new(),
        };
        request.stream = Some(Labels { facts, fixes: vec![label] });
        let text = serde_json::to_string(&request).unwrap();
        assert_eq!(serde_json::from_str::<Request>(&text).unwrap(), request);
        assert!(serde_json::from_str::<Request>(&text.replacen("replace", "replaces", 1)).is_err());
    }
}
