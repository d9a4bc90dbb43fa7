// SPDX-License-Identifier: GPL-2.0-or-later
//! The guest's words: a line of its second serial port in, a [`Fact`] out.

use serde::{Deserialize, Serialize};

/// One fact that the guest told.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fact {
    /// What it is about.
    pub kind: Kind,
    /// The scenario; empty for facts about the guest itself.
    pub scenario: String,
    /// The step, from 1; 0 where it belongs to none.
    pub step: usize,
    /// The fact's own text.
    pub text: String,
}

/// Kinds of facts, as guest/lib.sh names them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Kind {
    /// The guest runs; the text is its release.
    Up,
    /// A scenario begins.
    Begin,
    /// A line that the probe printed.
    Out,
    /// A line that the probe wrote to standard error.
    Err,
    /// Something else that was seen: a word that says what, then its values.
    Told,
    /// A function that /sys/kernel/livepatch lists.
    List,
    /// A step is done.
    Ok,
    /// A step failed; the text says why.
    Fail,
    /// A scenario is over.
    End,
    /// A scenario left a live patch behind that cannot be removed: nothing more is run.
    Dirty,
    /// All scenarios are over.
    Done,
}

/// Reads a line; None for anything that is no fact.
pub fn parse(line: &str) -> Option<Fact> {
    let mut fields = line.trim_end_matches(['\r', '\n']).splitn(5, '\t');
    if fields.next()? != "KMEND" {
        return None;
    }
    let kind = match fields.next()? {
        "up" => Kind::Up,
        "begin" => Kind::Begin,
        "out" => Kind::Out,
        "err" => Kind::Err,
        "told" => Kind::Told,
        "list" => Kind::List,
        "ok" => Kind::Ok,
        "fail" => Kind::Fail,
        "end" => Kind::End,
        "dirty" => Kind::Dirty,
        "done" => Kind::Done,
        _ => return None,
    };
    let scenario = fields.next()?;
    let step = fields.next()?.parse().unwrap_or(0);
    let text = fields.next()?.to_string();
    Some(Fact { kind, scenario: if scenario == "-" { String::new() } else { scenario.into() }, step, text })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn facts_are_read_and_noise_is_not() {
        let fact = parse("KMEND\tout\tn\t3\ta\tb \r\n").expect("a fact");
        assert_eq!((fact.kind, fact.scenario.as_str(), fact.step, fact.text.as_str()), (Kind::Out, "n", 3, "a\tb "));
        assert_eq!(parse("KMEND\tup\t-\t-\t7.2").expect("a fact").scenario, "");
        for noise in ["", "KMEND", "KMEND\tout\tn", "KMEND\twhat\tn\t1\tx", "hello"] {
            assert_eq!(parse(noise), None, "{noise}");
        }
    }
}
