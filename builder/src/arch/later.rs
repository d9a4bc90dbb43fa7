// SPDX-License-Identifier: GPL-2.0-or-later
//! What code does later with an address that it has put into a register: the instructions of a function as each
//! architecture reads them in, writes through such registers and calls that pass them on out.
//!
//! Only what holds on every way through the function counts. A register that may hold the address of one thing or of another is
//! forgotten, and so are addresses in memory.

use std::collections::{BTreeMap, VecDeque};

/// What is done with an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Later {
    /// A write through a register that holds it, or a place at a distance from it.
    Write,
    /// A call that is given it.
    Pass {
        /// Which argument it is, from 0.
        argument: u8,
        /// The relocation that names whom it calls, offset in the section.
        call: u64,
    },
}

/// One use of an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Use {
    /// The relocation that gives the address, offset in the section.
    pub address: u64,
    /// The instruction that uses it, offset in the section.
    pub at: u64,
    /// How.
    pub what: Later,
}

/// An instruction. Registers are bits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Step {
    /// Offset in the section.
    pub at: u64,
    /// A relocation that gives an address, and the register that holds it afterwards.
    pub gives: Option<(u64, u32)>,
    /// A register that holds the address afterwards if one of others held it before.
    pub copies: Option<(u32, u32)>,
    /// Registers that hold something else afterwards.
    pub written: u32,
    /// Registers from which a write to memory counts.
    pub through: u32,
    /// The relocation of a call, or of a jump to another function.
    pub calls: Option<u64>,
    /// True where the next instruction may run next.
    pub goes_on: bool,
    /// Where it may jump to.
    pub jumps: Option<u64>,
}

/// More than functions have: each address is followed through all of its function.
const MOST_STEPS: usize = 1 << 16;

/// All uses, in order. `arguments` are the registers of a call's arguments, in order.
pub fn uses(steps: &[Step], arguments: &[u32]) -> Vec<Use> {
    if steps.len() > MOST_STEPS {
        return Vec::new();
    }
    let by_place: BTreeMap<u64, usize> = steps.iter().enumerate().map(|(n, s)| (s.at, n)).collect();
    let after = |n: usize| {
        let next = (steps[n].goes_on && n + 1 < steps.len()).then_some(n + 1);
        next.into_iter().chain(steps[n].jumps.and_then(|to| by_place.get(&to).copied()))
    };
    let entries = entries(steps, &after);
    let mut found = Vec::new();
    for (address, register) in steps.iter().filter_map(|s| s.gives) {
        let mut held: Vec<Option<u32>> = vec![None; steps.len()];
        let mut queue: VecDeque<usize> = VecDeque::new();
        for &n in &entries {
            held[n] = Some(0);
            queue.push_back(n);
        }
        while let Some(n) = queue.pop_front() {
            let step = &steps[n];
            let before = held[n].unwrap_or(0);
            let copied = step.copies.filter(|(_, from)| before & from != 0).map_or(0, |(to, _)| to);
            let given = step.gives.filter(|(at, _)| *at == address).map_or(0, |_| register);
            let now = before & !step.written | copied | given;
            for next in after(n) {
                let both = held[next].map_or(now, |known| known & now);
                if held[next] != Some(both) {
                    held[next] = Some(both);
                    queue.push_back(next);
                }
            }
        }
        for (step, held) in steps.iter().zip(&held) {
            let held = held.unwrap_or(0);
            if held & step.through != 0 {
                found.push(Use { address, at: step.at, what: Later::Write });
            }
            for (argument, _) in arguments.iter().enumerate().filter(|(_, register)| held & **register != 0) {
                let pass = |call| Later::Pass { argument: argument as u8, call };
                found.extend(step.calls.map(|call| Use { address, at: step.at, what: pass(call) }));
            }
        }
    }
    found.sort_unstable();
    found.dedup();
    found
}

/// Where control may come from elsewhere: the start, and what no branch of the code itself leads to, less the nops that fill the
/// room before the target of a branch.
fn entries<I: Iterator<Item = usize>>(steps: &[Step], after: &impl Fn(usize) -> I) -> Vec<usize> {
    let mut reached = vec![false; steps.len()];
    let mut entries = Vec::new();
    for (first, step) in steps.iter().enumerate() {
        let does_nothing = Step { at: step.at, goes_on: true, ..Step::default() } == *step;
        if reached[first] || first > 0 && does_nothing {
            continue;
        }
        entries.push(first);
        let mut queue = vec![first];
        while let Some(n) = queue.pop() {
            if !std::mem::replace(&mut reached[n], true) {
                queue.extend(after(n));
            }
        }
    }
    entries
}

#[cfg(test)]
mod tests {
    use super::*;

    fn step(at: u64) -> Step {
        Step { at, goes_on: true, ..Step::default() }
    }

    #[test]
    fn through_a_copy_in_another_block() {
        let steps = [
            Step { gives: Some((100, 1)), written: 1, ..step(0) },
            Step { jumps: Some(4), ..step(1) },
            Step { goes_on: false, ..step(2) },
            step(3),
            Step { copies: Some((2, 1)), written: 2, ..step(4) },
            Step { written: 1, ..step(5) },
            Step { through: 2, ..step(6) },
            Step { through: 1, ..step(7) },
        ];
        assert_eq!(uses(&steps[..3], &[]), []);
        // Step 3 fills the room before step 4; if it did anything, something that is not known would lead there.
        assert_eq!(uses(&steps, &[]), [Use { address: 100, at: 6, what: Later::Write }]);
        let mut steps = steps;
        steps[3].written = 8;
        assert_eq!(uses(&steps, &[]), []);
    }

    #[test]
    fn one_of_two_things() {
        let steps = [
            Step { jumps: Some(3), ..step(0) },
            Step { gives: Some((100, 1)), written: 1, ..step(1) },
            step(2),
            Step { through: 1, ..step(3) },
        ];
        assert_eq!(uses(&steps, &[]), []);
        assert_eq!(uses(&steps[1..], &[]), [Use { address: 100, at: 3, what: Later::Write }]);
    }

    #[test]
    fn arguments_of_calls() {
        let steps = [
            Step { gives: Some((100, 4)), written: 4, ..step(0) },
            Step { calls: Some(8), written: 4, ..step(1) },
            Step { calls: Some(9), written: 4, ..step(2) },
        ];
        let pass = Later::Pass { argument: 1, call: 8 };
        assert_eq!(uses(&steps, &[2, 4]), [Use { address: 100, at: 1, what: pass }]);
    }

    #[test]
    fn loops_end() {
        let steps = [
            Step { gives: Some((100, 1)), written: 1, ..step(0) },
            Step { copies: Some((1, 1)), written: 1, through: 1, jumps: Some(1), ..step(1) },
        ];
        assert_eq!(uses(&steps, &[]), [Use { address: 100, at: 1, what: Later::Write }]);
    }
}
