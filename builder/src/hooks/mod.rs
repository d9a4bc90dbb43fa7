// SPDX-License-Identifier: GPL-2.0-or-later
//! What the author of a fix wants to be run when it is applied and taken back, and the states that it declares: the
//! macros in the units and a hooks file in, [`Hooks`] out, each callback under the klp object that it belongs to.

pub mod file;

use crate::error::Refusal;
use file::HooksFile;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// When a callback runs (struct klp_callbacks of include/linux/livepatch.h).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// Before an object's functions are replaced; it can refuse that.
    PrePatch,
    /// Once they are, in all tasks.
    PostPatch,
    /// Before they are put back.
    PreUnpatch,
    /// Once they are, in all tasks.
    PostUnpatch,
}

impl Kind {
    /// All, in the order in which they run.
    pub const ALL: [Self; 4] = [Self::PrePatch, Self::PostPatch, Self::PreUnpatch, Self::PostUnpatch];

    /// Its name, as fields and methods have it.
    pub fn name(self) -> &'static str {
        match self {
            Self::PrePatch => "pre_patch",
            Self::PostPatch => "post_patch",
            Self::PreUnpatch => "pre_unpatch",
            Self::PostUnpatch => "post_unpatch",
        }
    }

    /// The kind of this name.
    pub fn of_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }

    /// The macro of <linux/livepatch_helpers.h>.
    pub fn macro_name(self) -> String {
        format!("KLP_{}_CALLBACK", self.name().to_ascii_uppercase())
    }
}

/// A function that a macro in a unit names as a callback.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Callback {
    /// When it runs.
    pub kind: Kind,
    /// Its name in the source.
    pub function: String,
    /// Its global symbol in the payload.
    pub symbol: String,
}

/// Who provides a callback.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Provider {
    /// A C function of a unit.
    C {
        /// Its name in the source.
        function: String,
        /// Its global symbol in the payload.
        symbol: String,
        /// The unit's source file.
        source: String,
    },
    /// A type of the hooks file.
    Rust {
        /// Its name.
        of: String,
        /// The file's name.
        source: String,
    },
}

impl Provider {
    fn describe(&self) -> String {
        match self {
            Self::C { function, source, .. } => format!("{function} in {source}"),
            Self::Rust { of, source } => format!("{of} in {source}"),
        }
    }
}

/// The callbacks of one klp object.
pub type Callbacks = BTreeMap<Kind, Provider>;

/// A state of the system that a live patch declares (struct klp_state).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct State {
    /// Which it is; not 0.
    pub id: u64,
    /// In which version; live patches that replace this one must have it in this version or a newer one.
    pub version: u32,
}

/// All that a live patch registers beside its functions.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Hooks {
    /// Callbacks by module; None is vmlinux.
    pub callbacks: BTreeMap<Option<String>, Callbacks>,
    /// States.
    pub states: Vec<State>,
}

/// Gathers the callbacks of the units, each with its module and source file, and what the hooks file declares.
///
/// # Errors
/// A second callback of one kind for one object: the kernel has room for one.
pub fn gather(units: &[(Option<&str>, &str, &[Callback])], file: Option<&HooksFile>) -> Result<Hooks, Vec<Refusal>> {
    let mut all = Vec::new();
    for &(module, source, callbacks) in units {
        for Callback { kind, function, symbol } in callbacks {
            let provider = Provider::C { function: function.clone(), symbol: symbol.clone(), source: source.into() };
            all.push((module.map(String::from), *kind, provider));
        }
    }
    for (object, (of, kinds)) in file.iter().flat_map(|file| &file.callbacks) {
        let module = (object != "vmlinux").then(|| object.clone());
        let source = file.map_or_else(String::new, |f| f.file.clone());
        let provider = Provider::Rust { of: of.clone(), source };
        all.extend(kinds.iter().map(|&kind| (module.clone(), kind, provider.clone())));
    }
    let mut hooks = Hooks { states: file.map_or_else(Vec::new, |f| f.states.clone()), ..Hooks::default() };
    let mut refusals = Vec::new();
    for (object, kind, provider) in all {
        let callbacks = hooks.callbacks.entry(object.clone()).or_default();
        if let Some(first) = callbacks.get(&kind) {
            refusals.push(Refusal::new(
                "callback-twice",
                kind.name(),
                object.as_deref().unwrap_or("vmlinux"),
                format!("there are two such callbacks: {} and {}", first.describe(), provider.describe()),
                "the kernel calls one function of each kind for vmlinux and for each module: make one of the two that \
                 does both",
            ));
            continue;
        }
        callbacks.insert(kind, provider);
    }
    if refusals.is_empty() {
        Ok(hooks)
    } else {
        Err(refusals)
    }
}

/// A hooks file names a module that the target does not have.
pub fn no_such_object(name: &str, file: Option<&HooksFile>) -> Refusal {
    Refusal::new(
        "hooks-object",
        name,
        file.map_or("", |f| f.file.as_str()),
        "this kernel has no such module, so its callbacks would never be called".into(),
        "write vmlinux for built-in code, otherwise the module's name as lsmod shows it, with underscores",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn callback(kind: Kind, function: &str) -> Callback {
        Callback { kind, function: function.into(), symbol: format!("kmend.0.{function}") }
    }

    #[test]
    fn one_callback_of_each_kind_for_an_object() {
        let (a, b) = ([callback(Kind::PrePatch, "a")], [callback(Kind::PrePatch, "b"), callback(Kind::PostPatch, "c")]);
        let file = HooksFile {
            file: "hooks.rs".into(),
            callbacks: BTreeMap::from([("zram".into(), ("Zram".into(), vec![Kind::PreUnpatch]))]),
            states: vec![State { id: 1, version: 1 }],
            ..HooksFile::default()
        };
        let hooks = gather(&[(None, "x.c", &a), (Some("zram"), "y.c", &b)], Some(&file)).unwrap();
        assert_eq!(hooks.callbacks[&None].len(), 1);
        let zram: Vec<Kind> = hooks.callbacks[&Some("zram".to_string())].keys().copied().collect();
        assert_eq!(zram, [Kind::PrePatch, Kind::PostPatch, Kind::PreUnpatch]);
        assert_eq!(hooks.states, file.states);

        let refused = gather(&[(None, "x.c", &a), (None, "y.c", &b)], None).unwrap_err();
        assert_eq!(refused.len(), 1);
        assert_eq!((refused[0].code.as_str(), refused[0].symbol.as_str()), ("callback-twice", "pre_patch"));
        assert!(refused[0].reason.contains("a in x.c and b in y.c"), "{}", refused[0].reason);
        let again = HooksFile {
            callbacks: BTreeMap::from([("vmlinux".into(), ("Limit".into(), vec![Kind::PrePatch]))]),
            ..file
        };
        let refused = gather(&[(None, "x.c", &a)], Some(&again)).unwrap_err();
        assert!(refused[0].reason.contains("Limit in hooks.rs"), "{}", refused[0].reason);
    }
}
