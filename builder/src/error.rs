// SPDX-License-Identifier: GPL-2.0-or-later
//! What can go wrong: a [`Refusal`] is the author's to solve, everything else is an error with context.

use serde::{Deserialize, Serialize};
use std::fmt;

/// One reason why a fix cannot become a live patch, as the person who wrote the fix needs it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refusal {
    /// Stable name of the reason, kebab-case: `init-function`, `data-changed` …
    pub code: String,
    /// The symbol it is about; empty when it is about a whole section or file.
    pub symbol: String,
    /// The section or file it stands in.
    pub section: String,
    /// What was found, in one sentence.
    pub reason: String,
    /// What the author can do about it.
    pub hint: String,
    /// Of `data-changed`: the member that changed, where debug information tells.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub member: Option<Box<ChangedMember>>,
}

/// A member of a variable whose initial value changed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChangedMember {
    /// As C names it: `table[2].mode`; the variable itself where it has no members, or changed its size.
    pub name: String,
    /// Its type before: `u16`.
    pub before: String,
    /// Its type with the fix.
    pub after: String,
}

impl fmt::Display for ChangedMember {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, before, after } = self;
        match before == after {
            true => write!(f, "in {name} (type `{after}`)"),
            false => write!(f, "in {name} (type `{after}`, before the fix `{before}`)"),
        }
    }
}

impl Refusal {
    /// Makes a refusal; `hint` may be empty where there is nothing that helps.
    pub fn new(code: &str, symbol: &str, section: &str, reason: String, hint: &str) -> Self {
        let (code, symbol, section) = (code.into(), symbol.into(), section.into());
        Self { code, symbol, section, reason, hint: hint.into(), member: None }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "[{}] ", self.code)?;
        match (self.symbol.is_empty(), self.section.is_empty()) {
            (false, false) => write!(f, "{} ({}): ", self.symbol, self.section)?,
            (false, true) => write!(f, "{}: ", self.symbol)?,
            (true, false) => write!(f, "{}: ", self.section)?,
            (true, true) => {}
        }
        write!(f, "{}", self.reason)?;
        if !self.hint.is_empty() {
            write!(f, "\n    what you can do: {}", self.hint)?;
        }
        Ok(())
    }
}

/// The refusals of one run, as an error that the command line turns into exit code 2.
#[derive(Debug)]
pub struct Refused(pub Vec<Refusal>);

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "this fix cannot be live patched:")?;
        for (i, refusal) in self.0.iter().enumerate() {
            if i > 0 {
                writeln!(f)?;
            }
            write!(f, "  {refusal}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Refused {}

/// The fix compiles to the same code as before: nothing to patch. Exit code 3.
#[derive(Debug)]
pub struct NothingChanged(pub String);

impl NothingChanged {
    /// No unit is made of other code than before; `notes` say of each file why.
    pub fn in_any_unit(notes: &[String]) -> Self {
        let why: String = notes.iter().map(|n| format!("\n  {n}")).collect();
        Self(format!("nothing to patch: the fix changes no unit of this kernel:{why}"))
    }
}

impl fmt::Display for NothingChanged {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for NothingChanged {}

/// A plan without a job. Exit code 3.
#[derive(Debug)]
pub struct NothingToDo(pub String);

impl fmt::Display for NothingToDo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for NothingToDo {}

/// A finished live patch does not fit the kernel it was compared with. Exit code 2.
#[derive(Debug)]
pub struct DoesNotFit {
    /// The live patch.
    pub name: String,
    /// The target.
    pub target: String,
    /// Why, one sentence each.
    pub reasons: Vec<String>,
}

impl fmt::Display for DoesNotFit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} does not fit {}:", self.name, self.target)?;
        self.reasons.iter().try_for_each(|reason| write!(f, "\n  {reason}"))
    }
}

impl std::error::Error for DoesNotFit {}

/// Rebuilt code is not what the kernel runs. Exit code 2.
#[derive(Debug)]
pub struct Unproven {
    /// How many functions were not proven.
    pub functions: usize,
    /// Of how many.
    pub total: usize,
    /// The target.
    pub target: String,
}

impl fmt::Display for Unproven {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { functions, total, target } = self;
        write!(
            f,
            "{functions} of {total} functions do not match the shipped kernel of {target}: \
             check that compiler, .config and source are those that the running kernel was built with"
        )
    }
}

impl std::error::Error for Unproven {}

/// A version of a stream does not keep what was released before it. Exit code 2.
#[derive(Debug)]
pub struct BreaksLedger {
    /// The version.
    pub version: String,
    /// The kernel.
    pub kernel: String,
    /// Why.
    pub refusals: Vec<Refusal>,
}

impl fmt::Display for BreaksLedger {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "version {} for {} does not keep what was released before it:", self.version, self.kernel)?;
        self.refusals.iter().try_for_each(|refusal| write!(f, "\n  {refusal}"))
    }
}

impl std::error::Error for BreaksLedger {}

/// Some kernels of a stream got nothing; why was said of each.
#[derive(Debug)]
pub struct KernelsLeftOut {
    /// How many.
    pub kernels: usize,
    /// Each of them was refused (exit code 2); otherwise there were errors (1).
    pub refused: bool,
}

impl fmt::Display for KernelsLeftOut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} of the stream's kernels got no live patch, see above", self.kernels)
    }
}

impl std::error::Error for KernelsLeftOut {}

/// Live patches of a stream were built, and guests showed faults of them; which was said of each. Exit code 4.
#[derive(Debug)]
pub struct TriesFailed {
    /// How many.
    pub kernels: usize,
}

impl fmt::Display for TriesFailed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.kernels {
            1 => write!(f, "a guest showed a fault of 1 of the live patches, see above"),
            kernels => write!(f, "guests showed faults of {kernels} of the live patches, see above"),
        }
    }
}

impl std::error::Error for TriesFailed {}

/// A signature is not that of the certificate. Exit code 2.
#[derive(Debug)]
pub struct NotVerified {
    /// The module.
    pub module: String,
    /// Why.
    pub reason: String,
}

impl fmt::Display for NotVerified {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the signature of {} could not be verified: {}", self.module, self.reason)
    }
}

impl std::error::Error for NotVerified {}

/// A live patch was tried in a guest, and not all was well. Exit code 4.
#[derive(Debug)]
pub struct Faulty {
    /// The live patch.
    pub name: String,
    /// The target.
    pub target: String,
    /// How many faults there are.
    pub faults: usize,
}

impl fmt::Display for Faulty {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, target, faults } = self;
        let faults = if *faults == 1 { "1 fault".into() } else { format!("{faults} faults") };
        write!(f, "{name} was tried on {target}, and the guest showed {faults}")
    }
}

impl std::error::Error for Faulty {}
