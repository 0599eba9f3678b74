//! Taps: copies of packets for captures, taken where packets are received, sent and dropped.
//!
//! A worker writes records ([`record`]) into a chunk of memory that it was given, and hands the chunk over when it is full or
//! a millisecond old. It has so many chunks and no more; what finds none is counted as missed. A packet is copied, never
//! held, and a reader that is slow, or gone, costs no worker anything but the copying.

pub mod record;
#[cfg(test)]
mod tests;
mod worker;

use std::io;
use std::sync::Arc;

use base::counter::Counter;
use base::ring::{Ring, Waker};
use dpif::PortNo;
use flow::Match;

pub use record::{Point, Record};
pub(crate) use worker::{Tap, Taps};

/// Captures at a time.
pub const MOST: usize = 8;
/// Bytes of a chunk, and chunks of each worker.
const CHUNK: usize = 128 << 10;
const CHUNKS: usize = 32;
/// Bytes of a packet that are copied, at most.
pub const SNAPLEN: u32 = 65_535;

/// What a capture takes.
#[derive(Clone, Debug)]
pub struct Selection {
    pub ingress: bool,
    pub egress: bool,
    pub drops: bool,
    /// Received on or sent to one of these; a drop counts where the packet was received. Any when None.
    pub ports: Option<Vec<PortNo>>,
    /// Packets as they are at that point; IN_PORT is the datapath port they were received on.
    pub matching: Match,
    /// Bytes of each packet.
    pub snaplen: u32,
}

impl Selection {
    /// Everything at these points.
    pub fn at(ingress: bool, egress: bool, drops: bool) -> Selection {
        Selection { ingress, egress, drops, ports: None, matching: Match::default(), snaplen: SNAPLEN }
    }
}

/// Records of one worker, in order.
pub struct Chunk {
    worker: usize,
    bytes: Vec<u8>,
}

impl Chunk {
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }
}

/// What one worker did for one capture.
#[derive(Debug, Default)]
pub(crate) struct Counts {
    /// Packets copied.
    taken: Counter,
    /// Packets that no chunk had room for.
    missed: Counter,
}

/// What a worker has of a capture.
#[derive(Clone)]
pub(crate) struct Lane {
    worker: usize,
    full: Arc<Ring<Chunk>>,
    empty: Arc<Ring<Vec<u8>>>,
    counts: Arc<Counts>,
}

impl Lane {
    pub(crate) fn worker(&self) -> usize {
        self.worker
    }
}

/// The reader's side of a capture.
pub struct Capture {
    full: Arc<Ring<Chunk>>,
    lanes: Vec<Lane>,
}

impl Capture {
    /// Fails when out of descriptors.
    pub(crate) fn new(workers: impl Iterator<Item = usize>) -> io::Result<(Capture, Vec<Lane>)> {
        let workers: Vec<usize> = workers.collect();
        let full = Arc::new(Ring::new(CHUNKS * workers.len().max(1))?);
        let lane = |worker| {
            let empty = Arc::new(Ring::with_waker(CHUNKS, full.waker().clone()));
            for _ in 0..CHUNKS {
                // there is room for all of them
                let _ = empty.push_quiet(Vec::with_capacity(CHUNK));
            }
            Lane { worker, full: full.clone(), empty, counts: Arc::default() }
        };
        let lanes: Vec<Lane> = workers.into_iter().map(lane).collect();
        Ok((Capture { full, lanes: lanes.clone() }, lanes))
    }

    /// The oldest chunk that a worker handed over.
    pub fn next(&self) -> Option<Chunk> {
        self.full.pop()
    }

    /// Gives a chunk's memory back to its worker.
    pub fn give_back(&self, chunk: Chunk) {
        let Chunk { worker, mut bytes } = chunk;
        bytes.clear();
        if let Some(lane) = self.lanes.iter().find(|l| l.worker == worker) {
            let _ = lane.empty.push_quiet(bytes);
        }
    }

    /// Signals when there is a chunk. See [`base::ring`].
    pub fn waker(&self) -> &Arc<Waker> {
        self.full.waker()
    }

    /// Announces a wait for the waker; false when there is a chunk already.
    pub fn prepare_sleep(&self) -> bool {
        self.full.prepare_sleep()
    }

    /// Packets copied, and packets that found no room.
    pub fn counts(&self) -> (u64, u64) {
        let sum = |of: fn(&Counts) -> u64| self.lanes.iter().map(|l| of(&l.counts)).sum();
        (sum(|c| c.taken.get()), sum(|c| c.missed.get()))
    }
}
