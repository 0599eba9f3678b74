//! What a port's owner can see of its queues from another thread.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering::Relaxed};

/// Whether the interface behind a port works.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    Up,
    /// There, but administratively down or without its carrier.
    Down,
    /// Removed; the port will not come back by itself.
    Gone,
}

/// Shared by a port's two queues and its owner. Written by the worker that has the queues.
#[derive(Clone, Debug, Default)]
pub struct Status(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    state: AtomicU8,
    rx_errors: AtomicU64,
    rx_malformed: AtomicU64,
    rx_truncated: AtomicU64,
    tx_errors: AtomicU64,
    tx_unrepresentable: AtomicU64,
}

/// Counts of what went wrong at the kernel's door.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Receive calls that failed.
    pub rx_errors: u64,
    /// Frames whose offload header contradicts them; not handed on.
    pub rx_malformed: u64,
    /// Frames longer than the buffer; not handed on.
    pub rx_truncated: u64,
    /// Frames that the kernel refused; gone.
    pub tx_errors: u64,
    /// Frames whose offload metadata no header can say; gone.
    pub tx_unrepresentable: u64,
}

impl Status {
    /// Whether the interface works, as last seen.
    pub fn state(&self) -> State {
        match self.0.state.load(Relaxed) {
            0 => State::Up,
            1 => State::Down,
            _ => State::Gone,
        }
    }

    pub(crate) fn set(&self, state: State) {
        self.0.state.store(state as u8, Relaxed);
    }

    /// The counts so far.
    pub fn counters(&self) -> Counters {
        let i = &self.0;
        Counters {
            rx_errors: i.rx_errors.load(Relaxed),
            rx_malformed: i.rx_malformed.load(Relaxed),
            rx_truncated: i.rx_truncated.load(Relaxed),
            tx_errors: i.tx_errors.load(Relaxed),
            tx_unrepresentable: i.tx_unrepresentable.load(Relaxed),
        }
    }

    pub(crate) fn rx_error(&self) {
        self.0.rx_errors.fetch_add(1, Relaxed);
    }

    pub(crate) fn rx_malformed(&self) {
        self.0.rx_malformed.fetch_add(1, Relaxed);
    }

    pub(crate) fn rx_truncated(&self) {
        self.0.rx_truncated.fetch_add(1, Relaxed);
    }

    pub(crate) fn tx_error(&self) {
        self.0.tx_errors.fetch_add(1, Relaxed);
    }

    pub(crate) fn tx_unrepresentable(&self) {
        self.0.tx_unrepresentable.fetch_add(1, Relaxed);
    }
}
