//! The hot path: one call into rte_vhost per burst and ring, with the ring's gate held.
//!
//! rte_vhost copies: out of the guest's memory into frames of the pool, and the other way; frames that were sent are
//! freed here. Its own counters are not switched on, as they cost more than ours.
use super::fault::within;
use super::state::{Guest, NOWHERE, Phase, Ring, State};
use crate::Pool;
use packet::burst::Burst;
use packet::device::{self, TxCaps};
use packet::frame::flags;
use packet::offload::{Resolved, resolve};
use packet::{Frame, virtio};
use std::fmt;
use std::sync::{Arc, TryLockError};

/// Bits of a received frame that say that its sender left work to others.
const LEFT: u64 = flags::RX_L4_CKSUM_MASK | flags::RX_LRO;

/// Takes frames from some of the rings that the guest sends by.
pub struct RxQueue {
    state: Arc<State>,
    /// It serves pairs `number`, `number + stride`, …
    number: u16,
    stride: u16,
    /// Which of its pairs is first, so that none starves the others.
    next: u16,
    pool: Pool,
}

/// Puts frames into a ring that the guest receives by.
pub struct TxQueue {
    state: Arc<State>,
    number: u16,
    retries: u8,
    caps: TxCaps,
    /// The last burst found no guest, or none with a ring on.
    absent: bool,
}

impl RxQueue {
    pub(super) fn new(state: &Arc<State>, number: u16, stride: u16, pool: &Pool) -> RxQueue {
        RxQueue { state: state.clone(), number, stride: stride.max(1), next: 0, pool: pool.clone() }
    }

    /// Appends frames of the guest to `burst` while it has room, and returns how many.
    #[inline]
    pub fn receive(&mut self, burst: &mut Burst) -> usize {
        if !self.state.is_up() {
            return 0;
        }
        let before = burst.len();
        let pairs = self.state.pairs();
        if self.stride >= pairs {
            // one pair or none
            if self.number < pairs {
                self.take(self.number, burst);
            }
            return burst.len() - before;
        }
        let mine = (pairs + self.stride - 1).saturating_sub(self.number) / self.stride;
        let first = if self.next < mine { self.next } else { 0 };
        for i in (first..mine).chain(0..first) {
            self.take(self.number + i * self.stride, burst);
            if burst.is_full() {
                self.next = i + 1;
                break;
            }
        }
        burst.len() - before
    }

    /// Takes frames of one pair.
    #[inline]
    fn take(&self, pair: u16, burst: &mut Burst) {
        let number = pair * 2 + 1;
        let Some(ring) = self.state.ring(number) else { return };
        let phase = ring.phase();
        if phase == Phase::Off {
            return;
        }
        // who else holds it is about to change it, and does not keep it long
        let mut gate = match ring.gate.try_lock() {
            Ok(gate) => gate,
            Err(TryLockError::Poisoned(gate)) => gate.into_inner(),
            Err(TryLockError::WouldBlock) => return,
        };
        let Some(guest) = &mut *gate else { return };
        if phase == Phase::Fresh {
            quiet(&self.state, ring, guest, number);
        }
        let (slots, room) = burst.spare();
        let (vid, pool) = (guest.vid, self.pool.mempool().as_ptr());
        let count = within(&self.state.damage, || {
            guest.ahead.fetch(vid, number);
            // SAFETY: the gate holds the guest, so its device is there until the lock goes. The pool is alive. `room`
            // pointers may be written at `slots`.
            unsafe { dpdk_sys::rte_vhost_dequeue_burst(vid, number, pool, slots.cast(), room as u16) }
        });
        let count = usize::from(count);
        if count == 0 {
            return;
        }
        let at = burst.len();
        // SAFETY: rte_vhost wrote `count <= room` mbufs of our pool, now owned here, behind the first ones; mbufs are
        // frames (`mbuf`).
        unsafe { burst.set_len(at + count) };
        let (mut bytes, mut bits) = (0, 0);
        for frame in burst.iter().skip(at) {
            bytes += frame.len() as u64;
            bits |= frame.ol_flags();
        }
        if bits & LEFT != 0 {
            burst.iter_mut().skip(at).for_each(virtio::adopt);
        }
        ring.packets.add(count as u64);
        ring.bytes.add(bytes);
    }
}

/// Tells the guest that it need not kick: the ring is polled. Once for each time that it is turned on.
#[cold]
fn quiet(state: &State, ring: &Ring, guest: &mut Guest, number: u16) {
    guest.ahead.forget();
    within(&state.damage, || {
        // SAFETY: the gate holds the guest, so its device is there until the lock goes.
        unsafe { dpdk_sys::rte_vhost_enable_guest_notification(guest.vid, number, 0) }
    });
    ring.settled();
}

impl TxQueue {
    pub(super) fn new(state: &Arc<State>, number: u16, retries: u8, caps: TxCaps) -> TxQueue {
        TxQueue { state: state.clone(), number, retries, caps, absent: false }
    }

    /// What the port does for a guest that negotiated everything; for others it is done here.
    pub fn capabilities(&self) -> TxCaps {
        self.caps
    }

    /// Copies frames to the guest from the front of `burst`, and returns how many went; the rest stays.
    #[inline]
    pub fn transmit(&mut self, burst: &mut Burst) -> usize {
        let number = self.state.route(self.number);
        self.absent = true;
        if number == NOWHERE || !self.state.is_up() {
            self.state.count_unrouted(self.number, burst.len());
            return 0;
        }
        let Some(ring) = self.state.ring(number) else { return 0 };
        let phase = ring.phase();
        let mut gate = ring.gate();
        let Some(guest) = &mut *gate else {
            self.state.count_unrouted(self.number, burst.len());
            return 0;
        };
        self.absent = false;
        if phase == Phase::Fresh {
            quiet(&self.state, ring, guest, number);
        }
        let vid = guest.vid;
        within(&self.state.damage, || guest.ahead.fetch(vid, number));
        let bits = burst.iter().fold(0, |bits, frame| bits | frame.ol_flags());
        if bits & flags::TX_WORK & !guest.work != 0 {
            return self.transmit_resolved(ring, guest, number, burst);
        }
        self.send(ring, guest, number, burst)
    }

    /// Sends frames that the guest takes as they are.
    #[inline]
    fn send(&self, ring: &Ring, guest: &Guest, number: u16, burst: &mut Burst) -> usize {
        let mut sent = 0;
        for attempt in 0..=self.retries {
            let frames = burst.as_mut_slice().get_mut(sent..).unwrap_or_default();
            let more = within(&self.state.damage, || enqueue(guest, number, frames));
            sent += more;
            if attempt != 0 {
                ring.retries.add(1);
            }
            // nothing at all went: the guest does not look, and trying harder holds up other ports
            if more == 0 || sent == burst.len() {
                break;
            }
        }
        ring.packets.add(sent as u64);
        ring.bytes.add(burst.iter().take(sent).map(|frame| frame.len() as u64).sum());
        if sent != burst.len() {
            ring.full.add((burst.len() - sent) as u64);
        }
        burst.drain_front(sent);
        sent
    }

    /// Makes frames what this guest takes, and sends them. The first that does not go ends it: it and what follows are
    /// not sent.
    #[cold]
    #[inline(never)]
    fn transmit_resolved(&self, ring: &Ring, guest: &Guest, number: u16, burst: &mut Burst) -> usize {
        let mut all = burst.take();
        let mut out = Out { queue: self, ring, guest, number, frames: Burst::new(), whole: 0, sent: 0, full: false };
        for frame in all.drain() {
            if out.full {
                ring.full.add(1);
                let _ = burst.push(frame);
                continue;
            }
            match resolve(frame, &guest.caps) {
                Ok(Resolved::Frame(frame)) => out.push(frame),
                Ok(Resolved::Segments(segments)) => {
                    for segment in segments {
                        match segment {
                            Ok(segment) => out.push(segment),
                            Err(_) => ring.errors.add(1),
                        }
                    }
                }
                Err(_) => {
                    ring.errors.add(1);
                    continue;
                }
            }
            if !out.full {
                out.whole += 1;
            }
        }
        out.flush();
        out.sent
    }
}

/// Frames that were resolved, on their way to the ring.
struct Out<'a> {
    queue: &'a TxQueue,
    ring: &'a Ring,
    guest: &'a Guest,
    number: u16,
    frames: Burst,
    /// Frames of the caller whose last part is in `frames` or was sent.
    whole: usize,
    /// Of these, those that were sent.
    sent: usize,
    /// The ring took no more.
    full: bool,
}

impl Out<'_> {
    fn push(&mut self, frame: Frame) {
        if self.frames.is_full() {
            self.flush();
        }
        if self.full {
            self.ring.full.add(1);
        } else {
            let _ = self.frames.push(frame);
        }
    }

    fn flush(&mut self) {
        self.queue.send(self.ring, self.guest, self.number, &mut self.frames);
        let left = self.frames.len();
        if left != 0 {
            // parts of one frame are counted as frames here: at worst too few count as sent
            self.sent = self.sent.max(self.whole.saturating_sub(left));
            self.full = true;
            self.frames.clear();
        } else if !self.full {
            self.sent = self.whole;
        }
    }
}

/// Copies frames to the guest; how many.
#[inline]
fn enqueue(guest: &Guest, number: u16, frames: &mut [Frame]) -> usize {
    let count = frames.len() as u16;
    // SAFETY: the caller has the gate that holds the guest, so its device is there. `count` frames, which have mbufs'
    // layout (`mbuf`), are at the address; they are only read, so frames without a pool will do.
    let sent = unsafe { dpdk_sys::rte_vhost_enqueue_burst(guest.vid, number, frames.as_mut_ptr().cast(), count) };
    usize::from(sent)
}

impl device::RxQueue for RxQueue {
    #[inline]
    fn receive(&mut self, burst: &mut Burst) -> usize {
        RxQueue::receive(self, burst)
    }

    fn copies(&self) -> bool {
        true
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

    fn is_absent(&self) -> bool {
        self.absent
    }
}

impl fmt::Debug for RxQueue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "receive queue {} of {}", self.number, self.state.path.display())
    }
}

impl fmt::Debug for TxQueue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "transmit queue {} of {}", self.number, self.state.path.display())
    }
}
