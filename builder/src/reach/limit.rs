// SPDX-License-Identifier: GPL-2.0-or-later
//! How many units a fix may reach through headers: their number in, a refusal that says what the build would cost out.

use crate::error::{Refusal, Refused};
use anyhow::Result;
use serde::{Deserialize, Serialize};

/// How many units a fix may reach.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limit(pub usize);

impl Default for Limit {
    /// Some fifteen minutes with two processors where all of them have to be compiled.
    fn default() -> Self {
        Self(200)
    }
}

/// So many units are preprocessed for each that may be compiled.
const PREPROCESSED: usize = 10;

/// Seconds of one processor that a unit takes to be preprocessed, as it is and with the fixes.
const TO_PREPROCESS: f64 = 1.0;

/// Seconds of one processor that its three objects take.
const TO_COMPILE: f64 = 8.0;

/// Of the files that include a header, a distribution's config builds well over one in so many.
const BUILT: usize = 4;

impl Limit {
    fn preprocessed(self) -> usize {
        self.0.saturating_mul(PREPROCESSED)
    }

    /// Whether a header that so many files include may alone be the reason of a refusal.
    pub fn may_be_too_many(self, files: usize) -> bool {
        files > self.preprocessed()
    }

    /// Refuses before kbuild is asked about thousands of folders. `why` says why all that include a header count.
    pub fn check_files(self, touched: &[&str], why: &str, files: usize) -> Result<()> {
        if files > self.preprocessed().saturating_mul(BUILT) {
            let said = format!("{files} files of the kernel's source include it, which is too many to examine{why}");
            return Err(too_many(touched, said, files.div_ceil(PREPROCESSED * BUILT), files.div_ceil(BUILT)));
        }
        Ok(())
    }

    /// Refuses when more units have to be preprocessed than are allowed.
    pub fn check_units(self, touched: &[&str], why: &str, units: usize) -> Result<()> {
        if units > self.preprocessed() {
            let said =
                format!("{units} units of this kernel include it; at most {} are examined{why}", self.preprocessed());
            return Err(too_many(touched, said, units.div_ceil(PREPROCESSED), units));
        }
        Ok(())
    }

    /// Refuses when more units refer to what is changed than are preprocessed with it; nearly all of them change.
    pub(super) fn check_referring(self, touched: &[&str], units: usize) -> Result<()> {
        if units > self.preprocessed() {
            let most = self.preprocessed();
            let said = format!("the code of {units} units of this kernel refers to it; at most {most} are examined");
            return Err(too_many(touched, said, units, units));
        }
        Ok(())
    }

    /// Refuses when more units have to be compiled than are allowed.
    pub(super) fn check_changed(self, touched: &[&str], units: usize) -> Result<()> {
        if units > self.0 {
            let said = format!("the code of {units} units of this kernel may change; at most {} are compiled", self.0);
            return Err(too_many(touched, said, units, 0));
        }
        Ok(())
    }
}

/// `least` is the limit that would do, `looked_at` the number of units to be preprocessed before any is compiled.
fn too_many(touched: &[&str], said: String, least: usize, looked_at: usize) -> anyhow::Error {
    let processors = crate::parallel::processors();
    let time = time(looked_at, least, processors);
    let hint =
        format!("make the change in the .c files that need it, or allow more units: --max-units {least}, {time}");
    Refused(vec![Refusal::new("reaches-too-many", "", &touched.join(", "), said, &hint)]).into()
}

/// Roughly how long it takes to preprocess and to compile so many units.
fn time(preprocess: usize, compile: usize, processors: usize) -> String {
    let minutes = |units: usize, seconds: f64| match (units as f64 * seconds / processors as f64 / 60.0).ceil() {
        m if m <= 1.0 => "1 minute".to_string(),
        m if m < 120.0 => format!("{m} minutes"),
        m => format!("{} hours", (m / 60.0).round()),
    };
    let compile = minutes(compile, TO_COMPILE);
    let on = if processors == 1 { "1 processor".into() } else { format!("{processors} processors") };
    match preprocess {
        0 => format!("roughly {compile} with {on}"),
        n => {
            let look = minutes(n, TO_PREPROCESS);
            format!("roughly {look} with {on} to look at them, and up to {compile} to compile those that change")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_name_the_number_that_would_do() {
        let code = |r: Result<()>| {
            let error = r.unwrap_err();
            let refused = &error.downcast_ref::<Refused>().unwrap().0[0];
            assert_eq!((refused.code.as_str(), refused.section.as_str()), ("reaches-too-many", "include/x.h"));
            refused.reason.clone() + &refused.hint
        };
        let limit = Limit(10);
        let touched = ["include/x.h"];
        limit.check_files(&touched, "", 400).unwrap();
        assert!(code(limit.check_files(&touched, "", 401)).contains("--max-units 11"));
        limit.check_units(&touched, "", 100).unwrap();
        let said = code(limit.check_units(&touched, "; so", 101));
        assert!(
            said.contains("101 units")
                && said.contains("at most 100 are examined; so")
                && said.contains("--max-units 11"),
            "{said}"
        );
        limit.check_changed(&touched, 10).unwrap();
        let said = code(limit.check_changed(&touched, 11));
        assert!(said.contains("11 units") && said.contains("at most 10 ") && said.contains("--max-units 11"), "{said}");
        assert!(time(0, 11, 2).starts_with("roughly 1 minute with 2 processors"), "{}", time(0, 11, 2));
        assert!(time(6515, 651, 1).contains("109 minutes with 1 processor to look"), "{}", time(6515, 651, 1));
        assert!(Limit(usize::MAX).check_files(&touched, "", 1 << 40).is_ok());
    }
}
