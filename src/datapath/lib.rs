//! Workers: poll, extract, look up, act, transmit; caches, counters, drop reasons. Level 4.
//!
//! Bottom up: [`stats`] are the counters, some of them [`histogram`]s, and [`figures`] copies of them; `fate` settles what
//! became of each packet, `sending` what it cost to send them; [`tap`] copies packets for captures; [`tx`] buffers and sends;
//! `cache` holds the megaflows;
//! `program`, `quick` and `action` run what translation said; [`worker`] is the loop; [`control`] is management's side;
//! [`schedule`] says which worker polls which queue; [`dummy`] are ports in memory.
#![forbid(unsafe_code)]

mod action;
mod cache;
pub mod control;
pub mod dummy;
mod fate;
pub mod figures;
pub mod histogram;
mod meta;
mod program;
mod quick;
pub mod schedule;
mod sending;
pub mod stats;
pub mod tap;
#[cfg(test)]
mod testkit;
pub mod tx;
pub mod worker;

pub use cache::flows::Limits;
pub use control::{Control, Happened, Order, PortFigures, QueueView, Queues, Serve, Ticket, Wanted, WorkerId};
pub use worker::{Work, Worker};

/// Brings the line of `at` near.
#[inline(always)]
pub(crate) fn prefetch<T>(at: &T) {
    base::prefetch::prefetch_read(std::ptr::from_ref(at));
}
