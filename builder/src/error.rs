// SPDX-License-Identifier: GPL-2.0-or-later
//! What can go wrong: a [`Refusal`] is the author's to solve, everything else is an error with context. [`Ending`] is how a run
//! ended, with its exit code.

use serde::{Deserialize, Serialize};
use std::fmt;
use std::path::Path;

/// One reason why a fix cannot become a live patch, as the person who wrote the fix needs it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refusal {
    /// Stable name of the reason, kebab-case: `init-function`, `data-changed` …
    pub code: String,
    /// The symbol it is about; empty when it is about a whole section or file.
    pub symbol: String,
    /// The section or file that it is in.
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

/// How a run of kmend-build ended: exit codes and the words of JSON come from here only.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// All was done.
    Done,
    /// It failed.
    Error,
    /// It was refused: the fix, the module, the results or the signature are not what they have to be.
    Refused,
    /// The fix compiles to the same code.
    Unchanged,
    /// A plan without a job.
    NothingToDo,
    /// A guest showed faults.
    Faulty,
    /// Live patches of a stream were built, and guests showed faults of them.
    TryFailed,
}

impl Ending {
    /// That of a run with this error.
    pub fn of(error: &anyhow::Error) -> Self {
        match error.downcast_ref::<Ended>() {
            Some(ended) => ended.ending,
            None if error.is::<Refused>() => Self::Refused,
            None if error.is::<NothingChanged>() => Self::Unchanged,
            None => Self::Error,
        }
    }

    /// The exit code.
    pub fn code(self) -> u8 {
        match self {
            Self::Done => 0,
            Self::Error => 1,
            Self::Refused => 2,
            Self::Unchanged | Self::NothingToDo => 3,
            Self::Faulty | Self::TryFailed => 4,
        }
    }

    /// The `result` of JSON.
    pub fn word(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Error => "error",
            Self::Refused => "refused",
            Self::Unchanged => "unchanged",
            Self::NothingToDo => "nothing-to-do",
            Self::Faulty => "failed",
            Self::TryFailed => "try-failed",
        }
    }
}

/// The refusals that a run ended with; empty for other errors.
pub fn refusals(error: &anyhow::Error) -> &[Refusal] {
    match (error.downcast_ref::<Refused>(), error.downcast_ref::<Ended>()) {
        (Some(Refused(refusals)), _) => refusals,
        (None, Some(ended)) => &ended.refusals,
        (None, None) => &[],
    }
}

/// A run that ended otherwise than asked for, beside builds that were [`Refused`] or had [`NothingChanged`]: an answer, and no failure
/// of kmend-build or of what it runs.
#[derive(Debug)]
pub struct Ended {
    /// How.
    pub ending: Ending,
    /// Why, where that has codes.
    pub refusals: Vec<Refusal>,
    /// How many more there are.
    more: usize,
    said: String,
}

impl Ended {
    fn new(ending: Ending, said: String) -> Self {
        Self { ending, refusals: Vec::new(), more: 0, said }
    }

    fn refused(said: String, refusals: Vec<Refusal>) -> Self {
        Self { refusals, ..Self::new(Ending::Refused, said) }
    }

    /// A plan without a job.
    pub fn nothing_to_do(why: String) -> Self {
        Self::new(Ending::NothingToDo, why)
    }

    /// The finished live patch `name` does not fit the kernel of `target`; why, one sentence each.
    pub fn does_not_fit(name: &str, target: &str, reasons: &[String]) -> Self {
        let reasons: String = reasons.iter().map(|reason| format!("\n  {reason}")).collect();
        Self::new(Ending::Refused, format!("{name} does not fit {target}:{reasons}"))
    }

    /// So many of `total` functions, rebuilt, are not what the kernel of `target` runs.
    pub fn unproven(functions: usize, total: usize, target: &str) -> Self {
        let said = format!(
            "{functions} of {total} functions do not match the shipped kernel of {target}: \
             check that compiler, .config and source are those that the running kernel was built with"
        );
        Self::new(Ending::Refused, said)
    }

    /// A version of a stream does not keep what was released before it.
    pub fn breaks_ledger(version: impl fmt::Display, kernel: &str, refusals: Vec<Refusal>) -> Self {
        Self::refused(format!("version {version} for {kernel} drops what was released before it:"), refusals)
    }

    /// The packages in a repository's folder are not those that were released.
    pub fn repository_differs(folder: &Path, refusals: Vec<Refusal>) -> Self {
        Self::refused(format!("the repository {} was not changed:", folder.display()), refusals)
    }

    /// Results of jobs that cannot be used, and how many more refusals there are.
    pub fn results_refused(refusals: Vec<Refusal>, more: usize) -> Self {
        let said = "the results do not belong to what is to be released; nothing is released:".into();
        Self { more, ..Self::refused(said, refusals) }
    }

    /// So many kernels of a stream got nothing; why was said of each. `ending` is theirs: each was refused, or there were errors.
    pub fn kernels_left_out(kernels: usize, ending: Ending) -> Self {
        Self::new(ending, format!("{kernels} of the stream's kernels got no live patch, see above"))
    }

    /// So many live patches of a stream were built, and guests showed faults of them; which was said of each.
    pub fn tries_failed(kernels: usize) -> Self {
        let said = match kernels {
            1 => "a guest showed a fault of 1 of the live patches, see above".into(),
            kernels => format!("guests showed faults of {kernels} of the live patches, see above"),
        };
        Self::new(Ending::TryFailed, said)
    }

    /// The signature of `module` is not that of the certificate.
    pub fn not_verified(module: &str, reason: &str) -> Self {
        Self::new(Ending::Refused, format!("the signature of {module} could not be verified: {reason}"))
    }

    /// The live patch `name` was tried in a guest, and not all was well.
    pub fn faulty(name: &str, target: &str, faults: usize) -> Self {
        let faults = if faults == 1 { "1 fault".into() } else { format!("{faults} faults") };
        Self::new(Ending::Faulty, format!("{name} was tried on {target}, and the guest showed {faults}"))
    }
}

impl fmt::Display for Ended {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.said)?;
        self.refusals.iter().try_for_each(|refusal| write!(f, "\n  {refusal}"))?;
        match self.more {
            0 => Ok(()),
            more => write!(f, "\n  and {more} more"),
        }
    }
}

impl std::error::Error for Ended {}

#[cfg(test)]
mod tests {
    use super::*;
    use anyhow::Error;

    #[test]
    fn each_ending_has_its_code_and_word() {
        let refusal = || Refusal::new("init-function", "f", "f.c", "it runs once".into(), "");
        for (error, code, word, refusals_told) in [
            (Error::msg("no"), 1, "error", 0),
            (Refused(vec![refusal()]).into(), 2, "refused", 1),
            (NothingChanged("same".into()).into(), 3, "unchanged", 0),
            (Ended::nothing_to_do("none".into()).into(), 3, "nothing-to-do", 0),
            (Ended::does_not_fit("a", "b", &["c".into()]).into(), 2, "refused", 0),
            (Ended::unproven(1, 2, "a").into(), 2, "refused", 0),
            (Ended::breaks_ledger("1-1", "a", vec![refusal(), refusal()]).into(), 2, "refused", 2),
            (Ended::repository_differs(Path::new("a"), vec![refusal()]).into(), 2, "refused", 1),
            (Ended::results_refused(vec![refusal()], 3).into(), 2, "refused", 1),
            (Ended::kernels_left_out(1, Ending::Refused).into(), 2, "refused", 0),
            (Ended::kernels_left_out(1, Ending::Error).into(), 1, "error", 0),
            (Ended::not_verified("a", "b").into(), 2, "refused", 0),
            (Ended::faulty("a", "b", 1).into(), 4, "failed", 0),
            (Ended::tries_failed(2).into(), 4, "try-failed", 0),
        ] {
            // What is said around it does not change how it ended.
            let error: Error = Error::context(error, "while it ran");
            let ending = Ending::of(&error);
            assert_eq!(
                (ending.code(), ending.word(), refusals(&error).len()),
                (code, word, refusals_told),
                "{error:#}"
            );
        }
        assert_eq!((Ending::Done.code(), Ending::Done.word()), (0, "done"));
        assert!(Ended::results_refused(vec![refusal()], 3).to_string().ends_with("\n  and 3 more"));
    }
}
