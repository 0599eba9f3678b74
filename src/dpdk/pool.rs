//! Pools of frames: DPDK mempools, one or more per memory node.
//!
//! **Size.** A pool that runs dry stops every port that receives from it, so it has room for all that can be out at
//! once, [`PoolDemand::frames`]:
//!
//! ```text
//! rx_queues × rx_descriptors     filled by the device whether or not packets come
//! tx_queues × tx_descriptors     sent, not yet reclaimed by the driver
//! workers × 768                  a core's cache, which grows to one and a half times its 512
//! workers × 16 × 32              bursts inside the datapath: batches per output, recirculation
//! parked                         packets that wait for a decision, a neighbour, a reassembly
//! ```
//!
//! Frames come back from other ports' transmit queues; that is why `tx` counts every port that may send frames of
//! this pool.
//!
//! **End.** A pool that is let go may still have frames out: in a parked packet, in another port's transmit ring. It
//! is set aside and freed when a later look finds all of them back.

use crate::{Eal, Errno, mbuf};
use dpdk_sys::rte_mempool;
use packet::frame::HEADROOM;
use packet::{Burst, Frame};
use std::ffi::CString;
use std::fmt;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// Frames that a core keeps for itself, so that most allocations touch nothing shared.
pub const CACHE: u32 = 512;
/// DPDK empties a core's cache down to `CACHE` when it holds one and a half times as many.
const CACHE_FULL: u32 = CACHE + CACHE / 2;
/// Frames that a worker may hold in its batches at a time.
const IN_FLIGHT: u32 = 16 * packet::burst::BURST as u32;
/// Fewer frames make no useful pool.
const FEWEST: u32 = 2048;
/// Bytes around the payload: Ethernet header, two VLAN tags, frame check sequence.
pub(crate) const FRAME_OVERHEAD: u32 = 14 + 2 * 4 + 4;

/// What will hold frames of a pool at the same time; see the module's documentation.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PoolDemand {
    /// Receive queues that are filled from it.
    pub rx_queues: u32,
    /// Descriptors of each.
    pub rx_descriptors: u32,
    /// Transmit queues that its frames may go to.
    pub tx_queues: u32,
    /// Descriptors of each.
    pub tx_descriptors: u32,
    /// Threads that handle its frames.
    pub workers: u32,
    /// Frames that may be held back by the pipeline.
    pub parked: u32,
}

impl PoolDemand {
    /// Frames needed, by the formula of the module's documentation.
    pub fn frames(&self) -> u32 {
        let rx = self.rx_queues.saturating_mul(self.rx_descriptors);
        let tx = self.tx_queues.saturating_mul(self.tx_descriptors);
        let cores = self.workers.saturating_mul(CACHE_FULL + IN_FLIGHT);
        rx.saturating_add(tx).saturating_add(cores).saturating_add(self.parked).max(FEWEST)
    }

    /// Frames without which the receive queues cannot even be filled once, with a burst each to work with.
    fn bare(&self) -> u32 {
        self.rx_queues.saturating_mul(self.rx_descriptors.saturating_add(64)).saturating_add(64)
    }
}

/// What a pool is to be like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PoolConfig {
    /// Frames wanted. When memory is short the pool gets smaller, down to `least`, with a warning.
    pub frames: u32,
    /// Frames below which creation fails.
    pub least: u32,
    /// Longest payload of layer 2 that one segment is to hold, bytes.
    pub mtu: u16,
    /// Memory node; None: whichever has room.
    pub node: Option<u32>,
}

impl PoolConfig {
    /// A pool on `node` for a demand.
    pub fn for_demand(demand: &PoolDemand, mtu: u16, node: Option<u32>) -> PoolConfig {
        let frames = demand.frames();
        PoolConfig { frames, least: demand.bare().min(frames), mtu, node }
    }

    /// Bytes of a segment's buffer: the head room, and at least 2,048 in steps of 256, so that ports of nearly the
    /// same MTU can share.
    pub fn data_room(&self) -> u16 {
        data_room(self.mtu)
    }
}

fn data_room(mtu: u16) -> u16 {
    let frame = (u32::from(mtu) + FRAME_OVERHEAD).max(2048).next_multiple_of(256);
    u16::try_from(frame + HEADROOM as u32).unwrap_or(u16::MAX)
}

/// Why there is no pool.
#[derive(Debug, thiserror::Error)]
pub enum PoolError {
    /// DPDK could not make it.
    #[error("cannot make a pool of {frames} frames of {data_room} bytes{}: {reason}", on_node(node))]
    Create {
        /// The least number of frames that was tried.
        frames: u32,
        /// Bytes of each frame's buffer.
        data_room: u16,
        /// The memory node wanted.
        node: Option<u32>,
        /// DPDK's error.
        reason: Errno,
    },
}

fn on_node(node: &Option<u32>) -> String {
    node.map(|number| format!(" on node {number}")).unwrap_or_default()
}

/// A pool of frames. Clones hold the same one.
#[derive(Clone)]
pub struct Pool(Arc<Inner>);

struct Inner {
    mempool: Mempool,
    name: String,
    frames: u32,
    data_room: u16,
    node: Option<u32>,
    eal: Eal,
}

/// The address of a mempool of ours.
#[derive(Clone, Copy)]
struct Mempool(NonNull<rte_mempool>);

// SAFETY: DPDK's mempools are safe for many threads at a time; who frees one is settled by `Graveyard`.
unsafe impl Send for Mempool {}
// SAFETY: as above.
unsafe impl Sync for Mempool {}

/// Numbers the pools of this process: their names must differ.
static NUMBER: AtomicU32 = AtomicU32::new(0);

impl Pool {
    /// Makes a pool, smaller than wanted if memory is short.
    pub fn create(eal: &Eal, config: &PoolConfig) -> Result<Pool, PoolError> {
        eal.sweep();
        let data_room = config.data_room();
        let name = format!("ib_pool_{}", NUMBER.fetch_add(1, Ordering::Relaxed));
        let least = config.least.max(64);
        let mut frames = config.frames.max(least);
        loop {
            match make(&name, frames, data_room, config.node) {
                Ok(mempool) => {
                    if frames < config.frames {
                        log::warn!(
                            target: "dpdk",
                            "memory is short: pool {name} has {frames} frames instead of {}",
                            config.frames
                        );
                    }
                    let (name, node, eal) = (name, config.node, eal.clone());
                    return Ok(Pool(Arc::new(Inner { mempool, name, frames, data_room, node, eal })));
                }
                Err(reason) if frames == least || reason.number() != libc::ENOMEM => {
                    return Err(PoolError::Create { frames, data_room, node: config.node, reason });
                }
                Err(_) => frames = (frames / 4 * 3).max(least),
            }
        }
    }

    /// An empty frame; None when all are out.
    #[inline]
    pub fn alloc(&self) -> Option<Frame> {
        // SAFETY: `self` holds the mempool, and it is freed only when all frames are back.
        unsafe { mbuf::take(self.mempool()) }
    }

    /// Adds `count` empty frames to `burst`: all, or none when the pool or the burst has too little room.
    pub fn alloc_burst(&self, burst: &mut Burst, count: usize) -> bool {
        // SAFETY: as in `alloc`.
        unsafe { mbuf::take_bulk(self.mempool(), burst, count) }
    }

    /// A copy of any frame with its metadata, in as many segments of this pool as it takes; None when there are too
    /// few.
    pub fn copy(&self, frame: &Frame) -> Option<Frame> {
        let mut copy = self.alloc()?;
        let mut done = 0;
        // the last segment is filled before it is chained, so that nothing walks the chain
        let mut filling: Option<Frame> = None;
        while done < frame.len() {
            let target = filling.as_mut().unwrap_or(&mut copy);
            let room = target.tailroom().min(frame.len() - done);
            if room == 0 {
                let full = filling.take();
                chain(&mut copy, full)?;
                let next = self.alloc()?;
                // a pool without room in its segments would never end this
                if next.tailroom() == 0 {
                    return None;
                }
                filling = Some(next);
                continue;
            }
            done += frame.copy_to(done, target.append(room)?);
        }
        chain(&mut copy, filling)?;
        copy.copy_meta(frame);
        Some(copy)
    }

    /// A frame with these bytes; None when there are too few segments.
    pub fn frame(&self, data: &[u8]) -> Option<Frame> {
        self.copy(&Frame::from_slice(data))
    }

    /// Frames that somebody holds: a queue of a device, a burst, a parked packet. A core's cache does not count. A
    /// snapshot.
    pub fn in_use(&self) -> u32 {
        // SAFETY: `self` holds the mempool.
        unsafe { dpdk_sys::rte_mempool_in_use_count(self.mempool().as_ptr()) }
    }

    /// Frames to be had, those in the caches of other cores included. A snapshot.
    pub fn available(&self) -> u32 {
        // SAFETY: `self` holds the mempool.
        unsafe { dpdk_sys::rte_mempool_avail_count(self.mempool().as_ptr()) }
    }

    /// Frames in all.
    pub fn frames(&self) -> u32 {
        self.0.frames
    }

    /// Bytes of a segment's buffer, head room included.
    pub fn data_room(&self) -> u16 {
        self.0.data_room
    }

    /// The memory node that was asked for.
    pub fn node(&self) -> Option<u32> {
        self.0.node
    }

    /// DPDK's name for it.
    pub fn name(&self) -> &str {
        &self.0.name
    }

    /// Longest payload of layer 2 that fits one segment.
    pub fn mtu(&self) -> u16 {
        let room = u32::from(self.0.data_room).saturating_sub(HEADROOM as u32 + FRAME_OVERHEAD);
        u16::try_from(room).unwrap_or(u16::MAX)
    }

    #[inline]
    pub(crate) fn mempool(&self) -> NonNull<rte_mempool> {
        self.0.mempool.0
    }
}

fn chain(head: &mut Frame, tail: Option<Frame>) -> Option<()> {
    match tail {
        Some(tail) => head.try_chain(tail).ok(),
        None => Some(()),
    }
}

impl fmt::Debug for Pool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Inner { name, frames, data_room, node, .. } = &*self.0;
        write!(f, "Pool({name}, {frames} frames of {data_room} bytes, node {node:?})")
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.eal.graveyard().bury(self.mempool);
        self.eal.sweep();
    }
}

fn make(name: &str, frames: u32, data_room: u16, node: Option<u32>) -> Result<Mempool, Errno> {
    let name = CString::new(name).unwrap_or_default();
    let node = node.and_then(|n| i32::try_from(n).ok()).unwrap_or(dpdk_sys::IB_SOCKET_ID_ANY);
    // DPDK wants one and a half times the cache to fit the pool
    let cache = CACHE.min(frames / 2);
    // SAFETY: the EAL is up: the caller has a holder of it. The name is NUL-terminated and copied.
    let mempool = unsafe { dpdk_sys::rte_pktmbuf_pool_create(name.as_ptr(), frames, cache, 0, data_room, node) };
    NonNull::new(mempool).map(Mempool).ok_or_else(Errno::last)
}

/// Mempools that nobody allocates from any more, until their frames are back.
#[derive(Default)]
pub(crate) struct Graveyard(Mutex<Vec<Grave>>);

struct Grave {
    mempool: Mempool,
    /// All frames were back at the last look.
    full: bool,
}

impl Graveyard {
    fn bury(&self, mempool: Mempool) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(Grave { mempool, full: false });
    }

    /// Frees the mempools that were full at the last look already.
    ///
    /// One look is not enough: a thread that gives the last frame back counts it before it has finished writing to
    /// the mempool's memory. Between two looks there is a command of management.
    pub(crate) fn sweep(&self) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).retain_mut(|grave| {
            // SAFETY: freed only below, and removed from the list then.
            let full = unsafe { dpdk_sys::rte_mempool_full(grave.mempool.0.as_ptr()) } == 1;
            if !(full && grave.full) {
                grave.full = full;
                return true;
            }
            // SAFETY: no handle is left to allocate by (it was buried by the last one's drop), every frame is back and
            // the thread that brought the last has finished: see above.
            unsafe { dpdk_sys::rte_mempool_free(grave.mempool.0.as_ptr()) };
            false
        });
    }

    pub(crate) fn len(&self) -> usize {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formula() {
        let demand = PoolDemand {
            rx_queues: 2,
            rx_descriptors: 1024,
            tx_queues: 3,
            tx_descriptors: 512,
            workers: 2,
            parked: 4096,
        };
        assert_eq!(demand.frames(), 2 * 1024 + 3 * 512 + 2 * (768 + 512) + 4096);
        assert_eq!(PoolDemand::default().frames(), FEWEST);
        assert_eq!(PoolDemand { rx_queues: u32::MAX, rx_descriptors: 2, ..demand }.frames(), u32::MAX);
        let config = PoolConfig::for_demand(&demand, 1500, Some(0));
        assert_eq!((config.frames, config.least), (demand.frames(), 2 * 1088 + 64));
    }

    #[test]
    fn buffers_hold_the_mtu() {
        for (mtu, room) in [(0, 2176), (1500, 2176), (2022, 2176), (2023, 2432), (9000, 9344), (65_535, 65_535)] {
            assert_eq!(data_room(mtu), room, "{mtu}");
        }
    }
}
