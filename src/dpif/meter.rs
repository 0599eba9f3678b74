//! Meters (OpenFlow 1.3.5, section 5.7): token buckets that workers share, of atomics.
//!
//! A band's bucket holds bits or thousandths of packets, and gains its rate each millisecond, as much as its burst. A packet
//! takes what it weighs from the bucket of each band that has enough; one that found too little in any is dropped, and counted
//! by the one of these with the highest rate.

use std::hash::{Hash, Hasher};
use std::ops::Deref;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use base::clock::Instant;

/// A rate, and how much may come at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limit {
    /// kbit/s or packets/s: bits or thousandths of packets in a millisecond.
    pub rate: u32,
    /// kbit or packets.
    pub burst: u32,
}

/// Packets and bytes.
pub type Count = (u64, u64);

/// A meter as it was set; one that is set otherwise is another.
#[derive(Debug)]
pub struct Meter {
    /// Its number in the datapath, shown by `ofproto/trace` and the like.
    number: u32,
    /// Packets are counted, not bits.
    by_packets: bool,
    bands: Box<[Band]>,
    packets: AtomicU64,
    bytes: AtomicU64,
    /// Milliseconds of the clock when last a packet came.
    used: AtomicU64,
}

#[derive(Debug)]
struct Band {
    rate: u64,
    /// What the bucket holds.
    size: u64,
    /// What would have flown in, from the beginning of time, when the bucket was last empty: at `t` it holds
    /// `rate * t - empty`, `size` at most. One number, so that one exchange takes from the bucket. It wraps.
    empty: AtomicU64,
    packets: AtomicU64,
    bytes: AtomicU64,
}

/// A bucket is full after so many milliseconds without packets, whatever its rate; differences of products with a rate of 32
/// bits do not wrap before.
const IDLE: u64 = 1 << 30;
/// What a packet weighs, where packets are counted.
const PACKET: u64 = 1000;

impl Band {
    fn new(limit: Limit, now: u64) -> Band {
        let (rate, size) = (u64::from(limit.rate), u64::from(limit.burst) * 1000);
        let empty = AtomicU64::new(rate.wrapping_mul(now).wrapping_sub(size));
        Band { rate, size, empty, packets: AtomicU64::new(0), bytes: AtomicU64::new(0) }
    }

    /// Takes `weight`, if the bucket has as much.
    fn take(&self, weight: u64, now: u64, idle: bool) -> bool {
        let flown = self.rate.wrapping_mul(now);
        let taken = self.empty.try_update(Ordering::Relaxed, Ordering::Relaxed, |empty| {
            let level = match idle {
                true => self.size,
                // a worker whose time is behind another's may find less than nothing
                false => u64::try_from(flown.wrapping_sub(empty) as i64).unwrap_or(0).min(self.size),
            };
            level.checked_sub(weight).map(|left| flown.wrapping_sub(left))
        });
        taken.is_ok()
    }
}

impl Meter {
    /// Buckets are full at the beginning.
    pub fn new(number: u32, by_packets: bool, limits: &[Limit], now: Instant) -> Meter {
        let now = now.as_millis();
        Meter {
            number,
            by_packets,
            bands: limits.iter().map(|limit| Band::new(*limit, now)).collect(),
            packets: AtomicU64::new(0),
            bytes: AtomicU64::new(0),
            used: AtomicU64::new(now),
        }
    }

    /// Its number in the datapath.
    pub fn number(&self) -> u32 {
        self.number
    }

    /// Counts a packet; false when it is above a rate and to be dropped.
    pub fn admit(&self, bytes: u64, now: Instant) -> bool {
        let now = now.as_millis();
        let used = self.used.load(Ordering::Relaxed);
        if used != now {
            self.used.store(now, Ordering::Relaxed);
        }
        let idle = now.saturating_sub(used) >= IDLE;
        add(&self.packets, &self.bytes, bytes);
        let weight = if self.by_packets { PACKET } else { bytes * 8 };
        let mut exceeded: Option<&Band> = None;
        for band in &self.bands {
            if !band.take(weight, now, idle) && exceeded.is_none_or(|e| e.rate < band.rate) {
                exceeded = Some(band);
            }
        }
        if let Some(band) = exceeded {
            add(&band.packets, &band.bytes, bytes);
        }
        exceeded.is_none()
    }

    /// What came.
    pub fn counted(&self) -> Count {
        (self.packets.load(Ordering::Relaxed), self.bytes.load(Ordering::Relaxed))
    }

    /// What each band dropped.
    pub fn dropped(&self) -> impl Iterator<Item = Count> {
        self.bands.iter().map(|b| (b.packets.load(Ordering::Relaxed), b.bytes.load(Ordering::Relaxed)))
    }
}

fn add(packets: &AtomicU64, bytes: &AtomicU64, n: u64) {
    packets.fetch_add(1, Ordering::Relaxed);
    bytes.fetch_add(n, Ordering::Relaxed);
}

/// A meter as actions name it: the same only as itself.
#[derive(Clone, Debug)]
pub struct MeterRef(pub Arc<Meter>);

impl Deref for MeterRef {
    type Target = Meter;

    fn deref(&self) -> &Meter {
        &self.0
    }
}

impl PartialEq for MeterRef {
    fn eq(&self, other: &MeterRef) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Eq for MeterRef {}

impl Hash for MeterRef {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.number.hash(state);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn meter(by_packets: bool, limits: &[(u32, u32)], now: u64) -> Meter {
        let limits: Vec<Limit> = limits.iter().map(|&(rate, burst)| Limit { rate, burst }).collect();
        Meter::new(0, by_packets, &limits, Instant::from_millis(now))
    }

    /// How many of `n` packets pass.
    fn pass(meter: &Meter, n: usize, bytes: u64, now: u64) -> usize {
        (0..n).filter(|_| meter.admit(bytes, Instant::from_millis(now))).count()
    }

    #[test]
    fn a_rate_of_packets_and_a_burst() {
        let m = meter(true, &[(2, 3)], 777);
        assert_eq!(pass(&m, 5, 60, 777), 3);
        assert_eq!(pass(&m, 5, 60, 777 + 499), 0);
        assert_eq!(pass(&m, 5, 60, 777 + 500), 1);
        // time that did not make a whole packet is not lost
        assert_eq!(pass(&m, 5, 60, 777 + 1400), 1);
        assert_eq!(pass(&m, 5, 60, 777 + 1500), 1);
        // no more than a burst
        assert_eq!(pass(&m, 5, 60, 100_000), 3);
        assert_eq!(m.counted(), (30, 1800));
        assert_eq!(m.dropped().collect::<Vec<_>>(), [(21, 1260)]);
    }

    #[test]
    fn a_rate_of_bits() {
        // 2,000 bits: four packets of 480; 80 remain
        let m = meter(false, &[(1, 2)], 0);
        assert_eq!(pass(&m, 7, 60, 5000), 4);
        assert_eq!(pass(&m, 5, 60, 5399), 0);
        assert_eq!(pass(&m, 5, 60, 5400), 1);
        // a short packet passes where a long one did not
        assert_eq!(pass(&m, 1, 60, 5410), 0);
        assert_eq!(pass(&m, 1, 1, 5410), 1);
    }

    #[test]
    fn the_highest_rate_that_is_exceeded_counts() {
        let m = meter(false, &[(2, 2), (1, 1)], 0);
        assert_eq!(pass(&m, 5, 60, 0), 2);
        assert_eq!(m.dropped().collect::<Vec<_>>(), [(1, 60), (2, 120)]);
    }

    #[test]
    fn extremes() {
        // after fifty days of rest, products of the highest rate have wrapped
        let day = 86_400_000;
        let m = meter(true, &[(u32::MAX, 1)], 5);
        for now in [5, 50 * day, 51 * day, 500 * day, 5000 * day] {
            assert_eq!(pass(&m, 3, 60, now), 1, "{now}");
        }
        // a worker whose time is behind
        assert_eq!(pass(&m, 3, 60, 5000 * day - 9), 0);
        assert_eq!(pass(&m, 3, 60, 5000 * day + 1), 1);
        let none = meter(true, &[(0, 0)], 0);
        assert_eq!(pass(&none, 3, 60, day), 0);
        assert_eq!(pass(&meter(true, &[], 0), 3, 60, 0), 3);
    }

    #[test]
    fn workers_together_take_no_more_than_there_is() {
        let m = meter(true, &[(1, 1000)], 0);
        let passed: usize = std::thread::scope(|s| {
            let workers: Vec<_> = (0..4).map(|_| s.spawn(|| pass(&m, 1000, 60, 0))).collect();
            workers.into_iter().map(|w| w.join().unwrap_or(0)).sum()
        });
        assert_eq!(passed, 1000);
        assert_eq!(m.counted(), (4000, 240_000));
    }
}
