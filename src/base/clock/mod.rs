//! Time: [`Instant`] and [`Clock`] (real, stopped, warped), and the [`TimerQueue`] that all timers live in; [`ticks`] for measuring work.
//!
//! Only this module and the log backend read the operating system's clocks. Everything else takes `now: Instant` as
//! an argument, so it can be stepped by a test or by `time/warp`.

mod instant;
mod source;
#[expect(unsafe_code, reason = "reads the cycle counter")]
mod ticks;
mod timer;

pub use instant::Instant;
pub use source::Clock;
pub use std::time::Duration;
pub use ticks::ticks;
pub use timer::TimerQueue;
