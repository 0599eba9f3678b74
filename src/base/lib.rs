//! What every crate may use: clock and timers, rings, rcu, counters, hashing, log limits. Level 0.

pub mod clock;
pub mod rcu;
pub mod ring;
mod sync;

pub use crossbeam_utils::CachePadded;
