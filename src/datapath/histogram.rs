//! Histograms that one thread fills at the cost of one addition, and any thread reads.

use base::counter::Counter;

/// Buckets of a [`Log`].
pub const BUCKETS: usize = 64;

/// Counts by magnitude: two buckets for each power of two, of 1 to 2^32 and what is beyond.
#[derive(Debug)]
pub struct Log {
    buckets: [Counter; BUCKETS],
    sum: Counter,
}

impl Default for Log {
    fn default() -> Log {
        Log { buckets: std::array::from_fn(|_| Counter::new()), sum: Counter::new() }
    }
}

/// The bucket of a value.
#[inline(always)]
fn bucket(value: u64) -> usize {
    let value = value.clamp(1, u64::from(u32::MAX));
    let log = value.ilog2();
    (2 * log) as usize + (((2 * value) >> log) & 1) as usize
}

/// The largest value of a bucket.
pub fn upper(bucket: usize) -> u64 {
    let low = 1u64 << (bucket / 2);
    // half a unit does not exist: bucket 0 is 1 alone, bucket 1 stays empty
    if bucket.is_multiple_of(2) { (low + low / 2).max(2) - 1 } else { 2 * low - 1 }
}

impl Log {
    /// Counts `value` as often as `weight` says; `total` is what all of them sum to. The owner's thread only.
    #[inline(always)]
    pub fn add(&self, value: u64, weight: u64, total: u64) {
        if let Some(counter) = self.buckets.get(bucket(value)) {
            counter.add(weight);
        }
        self.sum.add(total);
    }

    /// A copy.
    pub fn get(&self) -> Figures {
        Figures { counts: self.buckets.iter().map(Counter::get).collect(), sum: self.sum.get() }
    }
}

/// Counts of small numbers, each with a bucket of its own.
#[derive(Debug)]
pub struct Linear<const N: usize>([Counter; N]);

impl<const N: usize> Default for Linear<N> {
    fn default() -> Linear<N> {
        Linear(std::array::from_fn(|_| Counter::new()))
    }
}

impl<const N: usize> Linear<N> {
    /// Counts `value`, or the largest that there is. The owner's thread only.
    #[inline(always)]
    pub fn add(&self, value: usize) {
        if let Some(counter) = self.0.get(value.min(N - 1)) {
            counter.add(1);
        }
    }

    /// A copy.
    pub fn get(&self) -> Figures {
        let counts: Vec<u64> = self.0.iter().map(Counter::get).collect();
        let sum = counts.iter().enumerate().map(|(value, n)| value as u64 * n).sum();
        Figures { counts, sum }
    }
}

/// A copy of a histogram: how many values by bucket, and their sum.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Figures {
    pub counts: Vec<u64>,
    pub sum: u64,
}

impl Figures {
    /// How many values.
    pub fn count(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// Their average, 0 without any.
    pub fn average(&self) -> f64 {
        let n = self.count();
        if n == 0 { 0.0 } else { self.sum as f64 / n as f64 }
    }

    /// What came since `earlier`.
    pub fn since(&self, earlier: &Figures) -> Figures {
        let before = |i: usize| earlier.counts.get(i).copied().unwrap_or(0);
        Figures {
            counts: self.counts.iter().enumerate().map(|(i, n)| n.saturating_sub(before(i))).collect(),
            sum: self.sum.saturating_sub(earlier.sum),
        }
    }

    /// Cumulative counts of a [`Log`] at its bounds from `least` to `most`, for display.
    pub fn cumulative(&self, least: u64, most: u64) -> Vec<(u64, u64)> {
        let mut sum = 0;
        let all = self.counts.iter().enumerate().map(|(i, n)| {
            sum += n;
            (upper(i), sum)
        });
        all.filter(|(bound, _)| (least..=most).contains(bound)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn values_are_within_their_bucket(value in prop_oneof![1u64..100, 1u64..=u64::from(u32::MAX)]) {
            let at = bucket(value);
            prop_assert!(value <= upper(at));
            let lower = (0..at).map(upper).max().map_or(1, |below| below + 1);
            prop_assert!(value >= lower, "{value} in {at}, which starts at {lower}");
        }
    }

    #[test]
    fn sums_and_differences() {
        let log = Log::default();
        log.add(0, 1, 0);
        log.add(u64::MAX, 2, 9);
        log.add(100, 32, 3200);
        let a = log.get();
        assert_eq!((a.count(), a.sum, a.counts[0], a.counts[63]), (35, 3209, 1, 2));
        log.add(100, 1, 100);
        let d = log.get().since(&a);
        assert_eq!((d.count(), d.sum, d.average()), (1, 100, 100.0));
        assert_eq!(d.cumulative(60, 300), [(63, 0), (95, 0), (127, 1), (191, 1), (255, 1)]);
        let linear = Linear::<4>::default();
        [1, 1, 3, 9].into_iter().for_each(|v| linear.add(v));
        assert_eq!(linear.get(), Figures { counts: vec![0, 2, 0, 2], sum: 8 });
    }
}
