//! What every crate may use: clock and timers, rings, rcu, counters, hashing, log limits. Level 0.
//!
//! | module | what for |
//! |---|---|
//! | [`clock`] | `Instant`, the clock (real, stopped, warped), the timer queue. Everything else takes `now` |
//! | [`rcu`] | tables that one thread changes and workers read: wait-free, freed by the writer, barriers |
//! | [`ring`] | bounded queues between threads; a sleeping reader is woken by file descriptor |
//! | [`counter`] | cumulative counters with one writer; an array of them per enum, a row each |
//! | [`hash`] | seeded hash of words, for tables that outsiders can fill |
//! | [`prefetch`], [`pages`] | the memory of large tables: asked for early, on huge pages |
//! | [`mod@log`] | the log: lines, levels, destinations and patterns as ovs-appctl(8) has them |
//! | [`limit`] | how often a message may repeat |
//! | [`backoff`] | when to connect again, when a silent peer is dead |
//!
//! Nothing here knows packets, flows or DPDK. The machines (`limit`, `backoff`, `clock::TimerQueue`) have no clock of their own;
//! the clock is read in `clock` alone. Unsafe code is in `rcu`, `prefetch`, `pages` and one file of `log`, each with its reason.
//!
//! `rcu` and the wake-up of `ring` are checked by loom: `RUSTFLAGS="--cfg loom" cargo test -p base --lib --release loom`.

pub mod backoff;
pub mod clock;
pub mod counter;
pub mod hash;
pub mod limit;
pub mod log;
pub mod pages;
pub mod prefetch;
pub mod rcu;
pub mod ring;
mod sync;

/// For the macros.
#[doc(hidden)]
pub use ::log as __log;
pub use crossbeam_utils::CachePadded;
