// SPDX-License-Identifier: GPL-2.0-or-later
//! Runs one function on many items: items in, results in the same order out; as many at a time as there are processors.

use anyhow::{anyhow, Result};
use std::sync::atomic::{AtomicUsize, Ordering};

/// See [`limit`]; 0 for no limit.
static MOST: AtomicUsize = AtomicUsize::new(0);

/// What `work` makes of each of `items` (with its number), in their order.
///
/// # Errors
/// That of the first item for which there was one; no further item is begun after an error.
pub fn map<T: Sync, R: Send>(items: &[T], work: impl Fn(usize, &T) -> Result<R> + Sync) -> Result<Vec<R>> {
    let next = AtomicUsize::new(0);
    let worker = || {
        let mut made = Vec::new();
        loop {
            let n = next.fetch_add(1, Ordering::Relaxed);
            let Some(item) = items.get(n) else { return made };
            let result = work(n, item);
            if result.is_err() {
                next.store(items.len(), Ordering::Relaxed);
            }
            made.push((n, result));
        }
    };
    let threads = processors().min(items.len());
    let all = std::thread::scope(|scope| {
        let running: Vec<_> = (0..threads).map(|_| scope.spawn(worker)).collect();
        // A panic has been told on standard error.
        let ended = running.into_iter().map(|thread| thread.join().map_err(|_| anyhow!("a thread broke off")));
        ended.collect::<Result<Vec<_>>>()
    })?;
    let mut all: Vec<(usize, Result<R>)> = all.into_iter().flatten().collect();
    all.sort_by_key(|(n, _)| *n);
    all.into_iter().map(|(_, result)| result).collect()
}

/// How many things can run at a time: as many as there are processors for this process, and no more than [`limit`] says.
pub fn processors() -> usize {
    let there = std::thread::available_parallelism().map_or(1, usize::from);
    match MOST.load(Ordering::Relaxed) {
        0 => there,
        most => there.min(most),
    }
}

/// From now on, no more than `most` things run at a time in this process; 0 takes that back.
pub fn limit(most: usize) {
    MOST.store(most, Ordering::Relaxed);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_come_in_order_and_the_first_error_ends_it() {
        let items: Vec<usize> = (0..1000).collect();
        assert_eq!(map(&items, |n, item| Ok(n + item)).unwrap(), (0..1000).map(|n| 2 * n).collect::<Vec<_>>());
        assert!(map(&[] as &[u8], |_, _| Ok(())).unwrap().is_empty());
        let begun = AtomicUsize::new(0);
        let fails = |n: usize, _: &usize| {
            begun.fetch_add(1, Ordering::Relaxed);
            anyhow::ensure!(n < 10, "{n}");
            Ok(())
        };
        assert_eq!(map(&items, fails).unwrap_err().to_string(), "10");
        assert!(begun.into_inner() < 500);
    }
}
