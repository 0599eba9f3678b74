//! Ports in memory: a queue to put frames in and a queue to take them out, for tests and for deterministic mode.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use packet::device::{RxQueue, TxCaps, TxQueue};
use packet::{Burst, Frame};

#[derive(Default)]
struct Shared {
    incoming: VecDeque<Frame>,
    outgoing: VecDeque<Frame>,
    /// Most frames that may wait in `outgoing`; 0 is any number.
    limit: usize,
    /// Frames that are kept in `outgoing`, the oldest going first; 0 is any number.
    kept: usize,
    sent: u64,
}

/// The outside of a dummy port: what is plugged into it.
#[derive(Clone, Default)]
pub struct DummyPort(Arc<Mutex<Shared>>);

impl DummyPort {
    /// A port with nothing in it.
    pub fn new() -> DummyPort {
        DummyPort::default()
    }

    fn lock(&self) -> MutexGuard<'_, Shared> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The switch will receive this frame.
    pub fn inject(&self, frame: Frame) {
        self.lock().incoming.push_back(frame);
    }

    /// The oldest frame that the switch sent, if any.
    pub fn take(&self) -> Option<Frame> {
        self.lock().outgoing.pop_front()
    }

    /// All frames that the switch sent.
    pub fn take_all(&self) -> Vec<Frame> {
        self.lock().outgoing.drain(..).collect()
    }

    /// Frames not yet received.
    pub fn pending(&self) -> usize {
        self.lock().incoming.len()
    }

    /// Frames that the switch ever sent.
    pub fn sent(&self) -> u64 {
        self.lock().sent
    }

    /// From now on the device refuses frames while `limit` wait to be taken; 0 takes any number.
    pub fn limit(&self, limit: usize) {
        self.lock().limit = limit;
    }

    /// From now on at most so many sent frames are kept, the oldest being forgotten; 0 keeps any number.
    pub fn keep(&self, kept: usize) {
        self.lock().kept = kept;
    }

    /// The switch's side.
    pub fn queues(&self) -> (Box<dyn RxQueue>, Box<dyn TxQueue>) {
        (Box::new(DummyRx(self.clone())), Box::new(DummyTx(self.clone())))
    }
}

struct DummyRx(DummyPort);

impl RxQueue for DummyRx {
    fn receive(&mut self, burst: &mut Burst) -> usize {
        let mut shared = self.0.lock();
        let n = burst.room().min(shared.incoming.len());
        burst.extend(shared.incoming.drain(..n));
        n
    }
}

struct DummyTx(DummyPort);

impl TxQueue for DummyTx {
    fn transmit(&mut self, burst: &mut Burst) -> usize {
        let mut shared = self.0.lock();
        let room = if shared.limit == 0 { burst.len() } else { shared.limit.saturating_sub(shared.outgoing.len()) };
        let n = room.min(burst.len());
        let mut rest = Burst::new();
        for (i, frame) in burst.drain().enumerate() {
            if i < n { shared.outgoing.push_back(frame) } else { rest.extend([frame]) }
        }
        *burst = rest;
        let excess = if shared.kept == 0 { 0 } else { shared.outgoing.len().saturating_sub(shared.kept) };
        shared.outgoing.drain(..excess);
        shared.sent += n as u64;
        n
    }

    fn capabilities(&self) -> TxCaps {
        TxCaps::ALL
    }
}
