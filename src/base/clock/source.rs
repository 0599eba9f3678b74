//! `Clock`: where `now` comes from. Runs with the machine until stopped, then moves only by `warp`.

use super::Instant;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant as OsInstant, SystemTime};

/// `State::frozen` of a clock that runs.
const RUNNING: u64 = u64::MAX;

/// What the process's first clock reading returns, so that "an hour ago" never saturates at zero.
const FIRST_READING: u64 = 86_400 * 1_000_000_000;

/// The process's clock, shared by cloning. Reading it costs one relaxed load over what the machine's clock costs.
///
/// A real clock follows CLOCK_MONOTONIC. `stop` freezes it, for good, as `time/stop` does in ovs-appctl(8); then only
/// `warp` moves it. Wall time is frozen and warped with it.
#[derive(Clone, Debug)]
pub struct Clock(Arc<State>);

#[derive(Debug)]
struct State {
    /// Current time in nanoseconds once stopped, `RUNNING` before.
    frozen: AtomicU64,
    /// Nanoseconds warped while running.
    skew: AtomicU64,
    /// What both clocks read when this one was stopped.
    stopped: OnceLock<(Instant, SystemTime)>,
}

impl Clock {
    /// A clock that follows the machine's.
    pub fn real() -> Self {
        Self(Arc::new(State { frozen: AtomicU64::new(RUNNING), skew: AtomicU64::new(0), stopped: OnceLock::new() }))
    }

    /// A clock that stands still at `now` until warped; wall time starts at 2020-01-01 00:00:00 UTC.
    pub fn stopped_at(now: Instant) -> Self {
        let wall = SystemTime::UNIX_EPOCH + Duration::from_secs(1_577_836_800);
        let frozen = AtomicU64::new(now.as_nanos().min(RUNNING - 1));
        Self(Arc::new(State { frozen, skew: AtomicU64::new(0), stopped: OnceLock::from((now, wall)) }))
    }

    /// The current time.
    #[inline]
    pub fn now(&self) -> Instant {
        match self.0.frozen.load(Relaxed) {
            RUNNING => Instant::from_nanos(os_monotonic().saturating_add(self.0.skew.load(Relaxed))),
            frozen => Instant::from_nanos(frozen),
        }
    }

    /// Wall-clock time, for logs and for text that people read; it may jump, so never compute deadlines with it.
    pub fn wall(&self) -> SystemTime {
        match self.0.stopped.get() {
            None => os_wall() + Duration::from_nanos(self.0.skew.load(Relaxed)),
            Some((at, wall)) => *wall + self.now().since(*at),
        }
    }

    /// Freezes the clock at the present. Stopping twice changes nothing.
    pub fn stop(&self) {
        let now = self.now();
        let wall = self.wall();
        // of two stops that race, both take the one that came first
        let (at, _) = self.0.stopped.get_or_init(|| (now, wall));
        let _ = self.0.frozen.compare_exchange(RUNNING, at.as_nanos().min(RUNNING - 1), Relaxed, Relaxed);
    }

    /// Whether `stop` was called.
    pub fn is_stopped(&self) -> bool {
        self.0.frozen.load(Relaxed) != RUNNING
    }

    /// Moves the clock forward by `d`, stopped or not, and returns the time it then shows.
    pub fn warp(&self, d: Duration) -> Instant {
        let d = u64::try_from(d.as_nanos()).unwrap_or(u64::MAX);
        let forward = |t: u64| t.saturating_add(d).min(RUNNING - 1);
        if self.is_stopped() {
            self.0.frozen.fetch_update(Relaxed, Relaxed, |t| Some(forward(t))).ok();
        } else {
            self.0.skew.fetch_update(Relaxed, Relaxed, |t| Some(forward(t))).ok();
        }
        self.now()
    }
}

impl Default for Clock {
    fn default() -> Self {
        Self::real()
    }
}

/// CLOCK_MONOTONIC in nanoseconds, moved so that the process's first reading is `FIRST_READING`.
#[expect(clippy::disallowed_methods, reason = "the one place that reads the machine's monotonic clock")]
fn os_monotonic() -> u64 {
    static FIRST: OnceLock<OsInstant> = OnceLock::new();
    let passed = OsInstant::now().saturating_duration_since(*FIRST.get_or_init(OsInstant::now));
    // 584 years fit, so the conversion loses nothing.
    FIRST_READING.saturating_add(passed.as_nanos() as u64)
}

/// CLOCK_REALTIME.
#[expect(clippy::disallowed_methods, reason = "the one place that reads the machine's wall clock")]
fn os_wall() -> SystemTime {
    SystemTime::now()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn real_clock_advances_and_shares_its_origin() {
        let (a, b) = (Clock::real(), Clock::real());
        let t0 = a.now();
        let t1 = b.now();
        assert!(t1 >= t0 && t1.since(t0) < Duration::from_secs(10));
        assert!(t0 >= Instant::from_nanos(FIRST_READING));
        let mut t2 = a.now();
        while t2 == t0 {
            t2 = a.now();
        }
        assert!(t2 > t0);
    }

    #[test]
    fn running_clock_can_be_warped() {
        let c = Clock::real();
        let (t, w) = (c.now(), c.wall());
        let after = c.warp(Duration::from_secs(3600));
        assert!(after.since(t) >= Duration::from_secs(3600));
        assert!(c.wall().duration_since(w).unwrap() >= Duration::from_secs(3599));
        assert!(!c.is_stopped());
    }

    #[test]
    fn stopped_clock_moves_only_by_warp_in_every_clone() {
        let c = Clock::real();
        let d = c.clone();
        c.stop();
        let (t, w) = (c.now(), c.wall());
        for _ in 0..1000 {
            assert_eq!(c.now(), t);
        }
        assert!(d.is_stopped());
        assert_eq!(d.warp(Duration::from_millis(1500)), t + Duration::from_millis(1500));
        assert_eq!(c.wall(), w + Duration::from_millis(1500));
        c.stop();
        assert_eq!(c.now(), t + Duration::from_millis(1500));
    }

    #[test]
    fn virtual_clock_starts_where_told_and_never_runs_by_overflow() {
        let c = Clock::stopped_at(Instant::from_millis(7));
        assert_eq!(c.now(), Instant::from_millis(7));
        c.warp(Duration::MAX);
        assert!(c.is_stopped());
        assert_eq!(c.now(), Instant::from_nanos(RUNNING - 1));
    }
}
