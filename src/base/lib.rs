//! What every crate may use: clock and timers, rings, rcu, counters, hashing, log limits. Level 0.

pub mod backoff;
pub mod clock;
pub mod counter;
pub mod hash;
pub mod limit;
pub mod pages;
pub mod prefetch;
pub mod rcu;
pub mod ring;
mod sync;

pub use crossbeam_utils::CachePadded;
