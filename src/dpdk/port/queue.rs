//! The hot path: one call into DPDK per burst.
//!
//! The device and the driver's function are looked up by port and queue number in a table of DPDK's, so a queue of
//! ours is two numbers and what keeps the port up. Making one is the licence for its number: no two are made for the
//! same while the first is about, since the port is busy then.
use super::{Inner, Port};
use crate::Pool;
use packet::burst::Burst;
use packet::device::{self, TxCaps};
use packet::frame::flags;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// A receive queue of a started port.
pub struct RxQueue {
    port: u16,
    queue: u16,
    keep: Arc<Inner>,
}

/// A transmit queue of a started port.
pub struct TxQueue {
    port: u16,
    queue: u16,
    caps: TxCaps,
    /// Where heap frames are copied to.
    pool: Pool,
    keep: Arc<Inner>,
}

impl RxQueue {
    pub(super) fn new(keep: &Arc<Inner>, queue: u16) -> RxQueue {
        RxQueue { port: keep.id, queue, keep: keep.clone() }
    }

    /// Its number at the port.
    pub fn number(&self) -> u16 {
        self.queue
    }

    /// The number of its port.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Appends frames to `burst` while it has room, and returns how many. Some drivers give nothing when asked for
    /// fewer than four or so: hand in an empty burst.
    #[inline]
    pub fn receive(&mut self, burst: &mut Burst) -> usize {
        let (slots, room) = burst.spare();
        // SAFETY: the port is started and has this queue while `self` is about; this thread alone polls it (`&mut
        // self`). `room` pointers may be written at `slots`.
        let count = unsafe { dpdk_sys::rte_eth_rx_burst(self.port, self.queue, slots.cast(), room as u16) };
        let len = burst.len() + usize::from(count);
        // SAFETY: the driver wrote `count <= room` mbufs, now owned here, behind the first ones; mbufs are frames
        // (`mbuf`).
        unsafe { burst.set_len(len) };
        usize::from(count)
    }
}

impl TxQueue {
    pub(super) fn new(keep: &Arc<Inner>, queue: u16, caps: TxCaps, pool: &Pool) -> TxQueue {
        TxQueue { port: keep.id, queue, caps, pool: pool.clone(), keep: keep.clone() }
    }

    /// Its number at the port.
    pub fn number(&self) -> u16 {
        self.queue
    }

    /// The number of its port.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Frames that were dropped here because there was no memory to copy them to, or the driver could not do what
    /// their metadata asks for. Also in the port's `tx_dropped`.
    pub fn failed(&self) -> u64 {
        self.keep.tx_failed.get(usize::from(self.queue)).map_or(0, |c| c.load(Ordering::Relaxed))
    }

    /// What the device does by itself.
    pub fn capabilities(&self) -> TxCaps {
        self.caps
    }

    /// Hands frames to the device from the front of `burst`, and returns how many went; the rest stays. Heap frames
    /// are copied to frames of the pool. Frames that cannot be sent at all count as gone, and in
    /// [`failed`](Self::failed).
    #[inline]
    pub fn transmit(&mut self, burst: &mut Burst) -> usize {
        let mut heap = false;
        let mut bits = 0;
        for frame in burst.iter() {
            let raw = frame.raw();
            heap |= raw.pool.is_null();
            bits |= raw.ol_flags;
        }
        if heap || bits & (flags::TX_WORK | flags::TX_TUNNEL_MASK) != 0 {
            return self.transmit_prepared(burst);
        }
        self.send(burst)
    }

    /// Every frame is of a pool, and wants nothing that the device cannot do.
    #[inline]
    fn send(&mut self, burst: &mut Burst) -> usize {
        let len = burst.len();
        // SAFETY: the port is started and has this queue while `self` is about; this thread alone sends by it (`&mut
        // self`). `len` frames, all mbufs, are at the address.
        let sent = unsafe { dpdk_sys::rte_eth_tx_burst(self.port, self.queue, burst.as_mut_ptr().cast(), len as u16) };
        let sent = usize::from(sent);
        // SAFETY: the driver owns the first `sent <= len` frames now.
        unsafe { burst.forget_front(sent) };
        sent
    }

    #[cold]
    #[inline(never)]
    fn transmit_prepared(&mut self, burst: &mut Burst) -> usize {
        let lost = self.bring_into_pool(burst);
        let (port, queue) = (self.port, self.queue);
        let prepare = |burst: &mut Burst| {
            // SAFETY: as in `send`; the driver reads and changes the frames, which stay ours.
            let ready =
                unsafe { dpdk_sys::rte_eth_tx_prepare(port, queue, burst.as_mut_ptr().cast(), burst.len() as u16) };
            usize::from(ready)
        };
        let (sent, refused) = send_prepared(burst, prepare, |burst| self.send(burst));
        self.count_failed(refused);
        lost + sent + refused
    }

    /// Replaces heap frames by copies in mbufs, and drops those for which there are none; returns how many.
    fn bring_into_pool(&mut self, burst: &mut Burst) -> usize {
        let mut failed = 0;
        let mut old = burst.take();
        for frame in old.drain() {
            let frame = if frame.is_pooled() { Some(frame) } else { self.pool.copy(&frame) };
            match frame {
                Some(frame) => {
                    let pushed = burst.push(frame);
                    debug_assert!(pushed.is_ok(), "at most as many as there were");
                }
                None => failed += 1,
            }
        }
        self.count_failed(failed);
        failed
    }

    #[cold]
    fn count_failed(&self, count: usize) {
        if let Some(counter) = self.keep.tx_failed.get(usize::from(self.queue)) {
            // one writer: this queue
            counter.store(counter.load(Ordering::Relaxed) + count as u64, Ordering::Relaxed);
        }
    }
}

/// Sends `burst` in stretches that the driver has prepared, and drops the frames that it refuses to prepare. Returns
/// how many were sent and how many dropped; what the device had no room for stays, in order.
///
/// `prepare` says how many frames from the front are ready, and stops before one that it refuses; `send` sends frames
/// from the front, leaves the rest and says how many went.
fn send_prepared(
    burst: &mut Burst,
    mut prepare: impl FnMut(&mut Burst) -> usize,
    mut send: impl FnMut(&mut Burst) -> usize,
) -> (usize, usize) {
    let (mut sent, mut refused) = (0, 0);
    while !burst.is_empty() {
        let len = burst.len();
        let ready = prepare(burst).min(len);
        if ready == len {
            sent += send(burst);
            break;
        }
        let (mut front, mut all) = (Burst::new(), burst.take());
        for (index, frame) in all.drain().enumerate() {
            let target = if index < ready { &mut front } else { &mut *burst };
            let pushed = target.push(frame);
            debug_assert!(pushed.is_ok(), "both are as large as the one they come from");
        }
        if ready > 0 {
            sent += send(&mut front);
        }
        if !front.is_empty() {
            front.append(burst);
            *burst = front;
            break;
        }
        burst.drain_front(1);
        refused += 1;
    }
    (sent, refused)
}

impl device::RxQueue for RxQueue {
    #[inline]
    fn receive(&mut self, burst: &mut Burst) -> usize {
        RxQueue::receive(self, burst)
    }
}

impl device::TxQueue for TxQueue {
    #[inline]
    fn transmit(&mut self, burst: &mut Burst) -> usize {
        TxQueue::transmit(self, burst)
    }

    fn capabilities(&self) -> TxCaps {
        self.caps
    }
}

impl fmt::Debug for RxQueue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "receive queue {} of {}", self.queue, self.keep.name)
    }
}

impl fmt::Debug for TxQueue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "transmit queue {} of {}", self.queue, self.keep.name)
    }
}

const _: () = {
    const fn sends<T: Send>() {}
    sends::<RxQueue>();
    sends::<TxQueue>();
    sends::<Port>();
};

#[cfg(test)]
mod tests {
    use super::*;
    use packet::Frame;

    /// Frames whose first byte is their place; `bad` says which the driver refuses; the device has `room`.
    fn run(count: u8, bad: &[u8], room: usize) -> (usize, usize, Vec<u8>, Vec<u8>) {
        let mut burst: Burst = Burst::new();
        burst.extend((0..count).map(|i| Frame::from_slice(&[i; 60])));
        let first = |frame: &Frame| frame.data()[0];
        let mut wire = Vec::new();
        let prepare = |burst: &mut Burst| burst.iter().position(|f| bad.contains(&first(f))).unwrap_or(burst.len());
        let send = |burst: &mut Burst| {
            let n = burst.len().min(room - wire.len());
            wire.extend(burst.iter().take(n).map(first));
            burst.drain_front(n);
            n
        };
        let (sent, refused) = send_prepared(&mut burst, prepare, send);
        let left = burst.iter().map(first).collect();
        (sent, refused, wire, left)
    }

    #[test]
    fn refused_frames_are_dropped_and_no_others() {
        for bad in [&[][..], &[0], &[31], &[0, 1, 2], &[5, 6, 17], &(0..32).collect::<Vec<u8>>()] {
            for room in 0..=32 {
                let (sent, refused, wire, left) = run(32, bad, room);
                let good: Vec<u8> = (0..32).filter(|i| !bad.contains(i)).collect();
                assert_eq!(wire, good[..room.min(good.len())], "{bad:?} {room}");
                assert_eq!(sent, wire.len());
                // nothing is lost: sent, refused or still there; what is there is what comes next
                assert_eq!(sent + refused + left.len(), 32);
                let next: Vec<u8> = (0..32).skip(sent + refused).collect();
                assert_eq!(left, next, "{bad:?} {room}");
            }
        }
        assert_eq!(run(0, &[], 5), (0, 0, vec![], vec![]));
    }
}
