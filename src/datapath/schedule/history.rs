//! What queues and cores did in the last minute, in intervals of five seconds.

use std::collections::VecDeque;

/// Seconds of an interval.
pub const INTERVAL: u64 = 5;
/// Intervals that are kept: a minute.
pub const KEPT: usize = 12;

/// The growth of cumulative counters, by interval.
#[derive(Clone, Debug)]
pub struct History<const N: usize> {
    last: Option<[u64; N]>,
    deltas: VecDeque<[u64; N]>,
}

impl<const N: usize> Default for History<N> {
    fn default() -> Self {
        History { last: None, deltas: VecDeque::with_capacity(KEPT) }
    }
}

impl<const N: usize> History<N> {
    /// Takes the counters at the end of an interval.
    pub fn sample(&mut self, counters: [u64; N]) {
        if let Some(last) = self.last.replace(counters) {
            if self.deltas.len() == KEPT {
                self.deltas.pop_back();
            }
            self.deltas.push_front(std::array::from_fn(|i| counters[i].saturating_sub(last[i])));
        }
    }

    /// The growth over the last `intervals`, or as many as there are; None before the end of the first.
    pub fn sum(&self, intervals: usize) -> Option<[u64; N]> {
        let mut deltas = self.deltas.iter().take(intervals.max(1));
        let mut sum = *deltas.next()?;
        for delta in deltas {
            sum.iter_mut().zip(delta).for_each(|(sum, d)| *sum = sum.saturating_add(*d));
        }
        Some(sum)
    }

    /// The growth in each interval, newest first.
    pub fn intervals(&self) -> impl Iterator<Item = [u64; N]> {
        self.deltas.iter().copied()
    }

    /// Forgets the intervals, not the counters.
    pub fn clear(&mut self) {
        self.deltas.clear();
    }
}

/// Intervals of so many seconds, rounded up; all for 0 and for more than there can be. As `pmd-rxq-show -secs`.
pub fn intervals(seconds: u64) -> usize {
    match seconds.div_ceil(INTERVAL) as usize {
        0 => KEPT,
        n => n.min(KEPT),
    }
}
