//! `Instant`: a point in monotonic time, in nanoseconds, eight bytes, with arithmetic that saturates.

use std::fmt;
use std::ops::{Add, AddAssign, Sub, SubAssign};
use std::time::Duration;

/// A point in monotonic time: nanoseconds since an arbitrary origin, the same for every [`Clock`](super::Clock) of
/// the process. 2^64 ns are 584 years, so arithmetic saturates instead of failing.
///
/// The default, `Instant::ZERO`, is earlier than anything a real clock returns and can stand for "never".
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(transparent)]
pub struct Instant(u64);

impl Instant {
    /// The origin; before anything that a real clock returns.
    pub const ZERO: Self = Self(0);
    /// After everything; a deadline that never comes.
    pub const MAX: Self = Self(u64::MAX);

    /// The instant `ns` nanoseconds after the origin.
    #[inline]
    pub const fn from_nanos(ns: u64) -> Self {
        Self(ns)
    }

    /// The instant `ms` milliseconds after the origin.
    #[inline]
    pub const fn from_millis(ms: u64) -> Self {
        Self(ms.saturating_mul(1_000_000))
    }

    /// Nanoseconds since the origin.
    #[inline]
    pub const fn as_nanos(self) -> u64 {
        self.0
    }

    /// Whole milliseconds since the origin.
    #[inline]
    pub const fn as_millis(self) -> u64 {
        self.0 / 1_000_000
    }

    /// Whole seconds since the origin.
    #[inline]
    pub const fn as_secs(self) -> u64 {
        self.0 / 1_000_000_000
    }

    /// Time passed since `earlier`; zero when `earlier` is later, which happens between cores.
    #[inline]
    pub const fn since(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }

    /// Nanoseconds passed since `earlier`, zero when it is later.
    #[inline]
    pub const fn nanos_since(self, earlier: Self) -> u64 {
        self.0.saturating_sub(earlier.0)
    }
}

/// A duration in nanoseconds, capped at 584 years.
#[inline]
fn nanos(d: Duration) -> u64 {
    u64::try_from(d.as_nanos()).unwrap_or(u64::MAX)
}

impl Add<Duration> for Instant {
    type Output = Self;
    #[inline]
    fn add(self, d: Duration) -> Self {
        Self(self.0.saturating_add(nanos(d)))
    }
}

impl AddAssign<Duration> for Instant {
    #[inline]
    fn add_assign(&mut self, d: Duration) {
        *self = *self + d;
    }
}

impl Sub<Duration> for Instant {
    type Output = Self;
    #[inline]
    fn sub(self, d: Duration) -> Self {
        Self(self.0.saturating_sub(nanos(d)))
    }
}

impl SubAssign<Duration> for Instant {
    #[inline]
    fn sub_assign(&mut self, d: Duration) {
        *self = *self - d;
    }
}

impl Sub for Instant {
    type Output = Duration;
    #[inline]
    fn sub(self, earlier: Self) -> Duration {
        self.since(earlier)
    }
}

impl fmt::Debug for Instant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{:09}s", self.0 / 1_000_000_000, self.0 % 1_000_000_000)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arithmetic_saturates() {
        let s = Duration::from_secs(1);
        assert_eq!(Instant::ZERO - s, Instant::ZERO);
        assert_eq!(Instant::MAX + s, Instant::MAX);
        assert_eq!(Instant::ZERO + Duration::MAX, Instant::MAX);
        assert_eq!(Instant::from_millis(1) - Instant::from_millis(3), Duration::ZERO);
        assert_eq!(Instant::from_millis(u64::MAX), Instant::MAX);
        let mut t = Instant::from_millis(1500);
        t += s;
        assert_eq!((t.as_millis(), t.as_secs(), t.as_nanos()), (2500, 2, 2_500_000_000));
        t -= s;
        assert_eq!(t.since(Instant::from_millis(500)), s);
        assert_eq!(t.nanos_since(Instant::from_millis(500)), 1_000_000_000);
        assert_eq!(format!("{t:?}"), "1.500000000s");
    }
}
