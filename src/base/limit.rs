//! `RateLimit`: lets a burst of messages out, then a trickle, and says afterwards how many it held back.

use crate::clock::Instant;
use std::fmt;
use std::time::Duration;

/// Nanoseconds in a minute: the price of a message is this over the rate, so tokens are counted in nanoseconds and
/// nothing is lost by rounding.
const MINUTE: u64 = 60_000_000_000;

/// A token bucket for one kind of message. It starts full.
#[derive(Clone, Debug)]
pub struct RateLimit {
    /// Nanoseconds of credit that one message costs.
    cost: u64,
    /// The most credit it saves up.
    most: u64,
    credit: u64,
    filled: Instant,
    held: Option<Held>,
}

/// Messages held back since the last that was let through.
#[derive(Clone, Copy, Debug)]
struct Held {
    count: u64,
    first: Instant,
    last: Instant,
}

/// The answer for one message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Write it, after a line about `suppressed` if there is something in it.
    Allow {
        /// What was held back before.
        suppressed: Option<Suppressed>,
    },
    /// Don't write it; it has been counted.
    Deny,
}

/// What was held back, in words by `Display`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Suppressed {
    /// How many messages.
    pub count: u64,
    /// How long ago the first was.
    pub first: Duration,
    /// How long ago the last was.
    pub last: Duration,
}

impl RateLimit {
    /// At most `per_minute` messages a minute in the long run (0: only the first `burst` ever), and `burst` at once.
    pub const fn new(per_minute: u32, burst: u32) -> Self {
        let burst = if burst == 0 { 1 } else { burst as u64 };
        let cost = if per_minute == 0 { u64::MAX / burst } else { MINUTE / per_minute as u64 };
        let most = cost.saturating_mul(burst);
        Self { cost, most, credit: most, filled: Instant::ZERO, held: None }
    }

    /// Whether a message may be written at `now`.
    pub fn check(&mut self, now: Instant) -> Verdict {
        self.credit = self.credit.saturating_add(now.nanos_since(self.filled)).min(self.most);
        self.filled = self.filled.max(now);
        if self.credit < self.cost {
            let held = self.held.get_or_insert(Held { count: 0, first: now, last: now });
            held.count += 1;
            held.last = now;
            return Verdict::Deny;
        }
        self.credit -= self.cost;
        let words = |h: Held| Suppressed { count: h.count, first: now.since(h.first), last: now.since(h.last) };
        Verdict::Allow { suppressed: self.held.take().map(words) }
    }
}

impl fmt::Display for Suppressed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (first, last) = (self.first.as_secs(), self.last.as_secs());
        write!(f, "Dropped {} log messages in last {first} seconds ", self.count)?;
        write!(f, "(most recently, {last} seconds ago) due to excessive rate")
    }
}

/// Logs unless the limit is reached, after a line about what it held back. Costs nothing at levels that nobody wants.
///
/// ```
/// # let (clock, mut limit) = (base::clock::Clock::real(), base::limit::RateLimit::new(60, 5));
/// # let port = "vhost1";
/// base::limited!(limit, clock.now(), warn, target: "netdev", "{port}: link is flapping");
/// ```
#[macro_export]
macro_rules! limited {
    ($limit:expr, $now:expr, $level:ident, target: $target:expr, $($message:tt)+) => {
        if $crate::__level_enabled!($level, $target)
            && let $crate::limit::Verdict::Allow { suppressed } = $limit.check($now)
        {
            if let Some(suppressed) = suppressed {
                $crate::__log::$level!(target: $target, "{suppressed}");
            }
            $crate::__log::$level!(target: $target, $($message)+);
        }
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __level_enabled {
    (error, $target:expr) => { $crate::__log::log_enabled!(target: $target, $crate::__log::Level::Error) };
    (warn, $target:expr) => { $crate::__log::log_enabled!(target: $target, $crate::__log::Level::Warn) };
    (info, $target:expr) => { $crate::__log::log_enabled!(target: $target, $crate::__log::Level::Info) };
    (debug, $target:expr) => { $crate::__log::log_enabled!(target: $target, $crate::__log::Level::Debug) };
    (trace, $target:expr) => { $crate::__log::log_enabled!(target: $target, $crate::__log::Level::Trace) };
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALLOW: Verdict = Verdict::Allow { suppressed: None };

    fn at(s: u64) -> Instant {
        Instant::from_millis(1_000_000 + s * 1000)
    }

    #[test]
    fn a_burst_then_a_trickle() {
        let mut l = RateLimit::new(6, 3);
        for _ in 0..3 {
            assert_eq!(l.check(at(0)), ALLOW);
        }
        assert_eq!(l.check(at(0)), Verdict::Deny);
        assert_eq!(l.check(at(9)), Verdict::Deny);
        let expected = Suppressed { count: 2, first: Duration::from_secs(11), last: Duration::from_secs(2) };
        assert_eq!(l.check(at(11)), Verdict::Allow { suppressed: Some(expected) });
        let text = "Dropped 2 log messages in last 11 seconds (most recently, 2 seconds ago) due to excessive rate";
        assert_eq!(expected.to_string(), text);
        assert_eq!(l.check(at(19)), Verdict::Deny);
        assert!(matches!(l.check(at(20)), Verdict::Allow { suppressed: Some(s) } if s.count == 1));
        // a long silence fills it to the burst and no further
        assert_eq!((0..5).filter(|_| l.check(at(9000)) == ALLOW).count(), 3);
    }

    #[test]
    fn the_long_run_rate_holds() {
        for (rate, burst) in [(1, 1), (7, 5), (60, 60), (5000, 1)] {
            let mut l = RateLimit::new(rate, burst);
            // an hour in steps of 3 ms, asking each time
            let let_out =
                (0..1_200_000u64).filter(|i| l.check(Instant::from_millis(i * 3)) != Verdict::Deny).count() as u64;
            let most = u64::from(rate) * 60 + u64::from(burst);
            // what is refused until the next question comes is at most one step a message
            assert!(let_out <= most && let_out * 100 >= most * 75, "{rate}/min burst {burst}: {let_out} of {most}");
        }
    }

    #[test]
    fn odd_settings_and_time_going_back() {
        let mut l = RateLimit::new(0, 2);
        assert_eq!([l.check(at(0)), l.check(at(1)), l.check(at(99_999))], [ALLOW, ALLOW, Verdict::Deny]);
        let mut l = RateLimit::new(u32::MAX, 0);
        assert_eq!([l.check(at(5)), l.check(at(1))], [ALLOW, Verdict::Deny]);
        assert!(matches!(l.check(Instant::MAX), Verdict::Allow { .. }));
    }
}
