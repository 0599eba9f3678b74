//! The transmit side of a worker: a buffer of one burst per port, sent when full and at the end of each loop, to a queue of
//! the worker's own, to one that several share, or by ring to the worker that has the port.

use std::sync::{Arc, Mutex, PoisonError};

use base::ring::Ring;
use dpif::{DropReason, PortNo};
use packet::burst::BURST;
use packet::device::{TxCaps, TxQueue};
use packet::offload::{Failure, Resolved, passes, ready, resolve};
use packet::{Burst, Frame};

use crate::fate::{COPY, ELSEWHERE, Fates};
use crate::stats::TxCounters;

/// A frame on its way to another worker's port.
#[derive(Debug)]
pub struct Handoff {
    pub port: PortNo,
    pub frame: Frame,
}

/// A queue of several workers: one lock per burst.
pub type SharedTx = Arc<Mutex<Box<dyn TxQueue>>>;

/// Where frames for a port go from one worker.
pub enum Sink {
    /// A queue that no other worker uses.
    Own(Box<dyn TxQueue>),
    /// One of several workers.
    Shared(SharedTx),
    /// The ring of the worker that has the port; what the device can do.
    Remote(Arc<Ring<Handoff>>, TxCaps),
}

impl Sink {
    fn capabilities(&self) -> TxCaps {
        match self {
            Sink::Own(queue) => queue.capabilities(),
            Sink::Shared(queue) => queue.lock().unwrap_or_else(PoisonError::into_inner).capabilities(),
            Sink::Remote(_, caps) => *caps,
        }
    }

    /// Why it took only some of a burst.
    #[cold]
    fn refusal(&self) -> DropReason {
        let absent = match self {
            Sink::Own(queue) => queue.is_absent(),
            Sink::Shared(queue) => queue.lock().unwrap_or_else(PoisonError::into_inner).is_absent(),
            Sink::Remote(..) => return DropReason::Rings,
        };
        if absent { DropReason::NoGuest } else { DropReason::TxFull }
    }
}

/// Facts about the frames of a burst that decide whether they can be sent as they are.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Shape {
    pub(crate) bytes: u64,
    pub(crate) longest: u32,
    /// Some frame has work left for transmit, or several segments.
    pub(crate) special: bool,
}

impl Shape {
    #[inline(always)]
    pub(crate) fn of(frame: &Frame) -> Shape {
        let len = frame.len();
        Shape { bytes: len as u64, longest: len as u32, special: frame.has_tx_work() || !frame.is_linear() }
    }

    #[inline(always)]
    pub(crate) fn add(&mut self, frame: &Frame) -> u32 {
        let len = frame.len() as u32;
        self.bytes += u64::from(len);
        self.longest = self.longest.max(len);
        self.special |= frame.has_tx_work() | !frame.is_linear();
        len
    }
}

pub(crate) struct TxPort {
    port: PortNo,
    sink: Sink,
    caps: TxCaps,
    burst: Burst,
    /// Slot of the in_port of each frame in `burst`, with [`COPY`] for copies.
    from: [u16; BURST],
    bytes: u64,
    pub(crate) counters: Arc<TxCounters>,
}

/// All ports as one worker sees them.
pub(crate) struct Tx {
    /// By port number.
    ports: Vec<Option<Box<TxPort>>>,
    /// Ports that have frames buffered.
    dirty: Vec<u32>,
    pub(crate) fates: Fates,
}

/// Port numbers are below this.
pub const MAX_PORTS: u32 = 32_767;

impl Tx {
    pub(crate) fn new(fates: Fates) -> Tx {
        Tx { ports: Vec::new(), dirty: Vec::with_capacity(64), fates }
    }

    /// Adds a port or replaces it; what was there comes back. Port numbers from [`MAX_PORTS`] on are refused.
    pub(crate) fn add(&mut self, port: PortNo, sink: Sink, counters: Arc<TxCounters>) -> Result<Option<Sink>, Sink> {
        if port.0 >= MAX_PORTS {
            return Err(sink);
        }
        let old = self.remove(port);
        let at = port.0 as usize;
        if self.ports.len() <= at {
            self.ports.resize_with(at + 1, || None);
        }
        let caps = sink.capabilities();
        let new = TxPort { port, sink, caps, burst: Burst::new(), from: [ELSEWHERE; BURST], bytes: 0, counters };
        if let Some(p) = self.ports.get_mut(at) {
            *p = Some(Box::new(new));
        }
        Ok(old)
    }

    /// Removes a port after sending what is buffered for it.
    pub(crate) fn remove(&mut self, port: PortNo) -> Option<Sink> {
        let mut gone = self.ports.get_mut(port.0 as usize)?.take()?;
        flush(&mut gone, &mut self.fates);
        self.dirty.retain(|d| *d != port.0);
        Some(gone.sink)
    }

    /// Makes the queue of a port one that others may use too; None where it is another worker's, or not there.
    pub(crate) fn share(&mut self, port: PortNo) -> Option<SharedTx> {
        let place = self.ports.get_mut(port.0 as usize)?;
        let mut p = place.take()?;
        let (sink, shared) = match p.sink {
            Sink::Own(queue) => {
                let shared = Arc::new(Mutex::new(queue));
                (Sink::Shared(shared.clone()), Some(shared))
            }
            Sink::Shared(shared) => (Sink::Shared(shared.clone()), Some(shared)),
            remote => (remote, None),
        };
        p.sink = sink;
        *place = Some(p);
        shared
    }

    /// Sends all of `frames`, received on `slot` and unchanged since, to a port.
    #[inline]
    pub(crate) fn output_burst(&mut self, port: u32, frames: &mut Burst, slot: u16, shape: Shape) {
        let Some(Some(p)) = self.ports.get_mut(port as usize) else {
            frames.iter().for_each(|frame| self.fates.lost(slot, DropReason::NoSuchPort, frame));
            frames.clear();
            return;
        };
        if (shape.special || shape.longest > p.caps.max_frame) && !frames.iter().all(|frame| passes(frame, &p.caps)) {
            for frame in frames.drain() {
                self.output_received(port, frame, slot);
            }
            return;
        }
        if p.burst.room() < frames.len() {
            flush(p, &mut self.fates);
        }
        let (at, n) = (p.burst.len(), frames.len());
        if at == 0 {
            self.dirty.push(port);
        }
        if let Some(from) = p.from.get_mut(at..at + n) {
            from.fill(slot);
        }
        p.bytes += shape.bytes;
        p.burst.append(frames);
    }

    /// Sends one frame, received on `slot` and unchanged since, to a port.
    #[inline]
    pub(crate) fn output_received(&mut self, port: u32, frame: Frame, slot: u16) {
        match self.ports.get(port as usize) {
            Some(Some(p)) if passes(&frame, &p.caps) => self.buffer(port, frame, slot),
            _ => self.output(port, frame, slot),
        }
    }

    /// Sends one frame, received on `slot` or a [`COPY`] of one, to a port.
    #[inline]
    pub(crate) fn output(&mut self, port: u32, frame: Frame, slot: u16) {
        let shape = Shape::of(&frame);
        let Some(Some(p)) = self.ports.get(port as usize) else {
            self.fates.lost(slot, DropReason::NoSuchPort, &frame);
            return;
        };
        if shape.special || shape.longest > p.caps.max_frame {
            self.output_special(port, frame, slot);
            return;
        }
        self.buffer(port, frame, slot);
    }

    /// A frame that the device may not take as it is: made so, or cut into several, whose last has the fate.
    #[cold]
    fn output_special(&mut self, port: u32, frame: Frame, slot: u16) {
        let Some(Some(p)) = self.ports.get_mut(port as usize) else { return };
        if ready(&frame, &p.caps) {
            self.buffer(port, frame, slot);
            return;
        }
        let copy = if self.fates.taps.is_some() { frame.try_clone() } else { None };
        match resolve(frame, &p.caps) {
            Ok(Resolved::Frame(frame)) => self.buffer(port, frame, slot),
            Ok(Resolved::Segments(segments)) => {
                let mut before: Option<Frame> = None;
                for segment in segments {
                    match segment {
                        Ok(segment) => {
                            if let Some(frame) = before.replace(segment) {
                                self.buffer(port, frame, slot | COPY);
                            }
                        }
                        Err(failure) => {
                            self.fail(port, slot, failure, copy);
                            return;
                        }
                    }
                }
                if let Some(frame) = before {
                    self.buffer(port, frame, slot);
                }
            }
            Err(failure) => self.fail(port, slot, failure, copy),
        }
    }

    /// `copy` is of the frame, for captures.
    fn fail(&mut self, port: u32, slot: u16, failure: Failure, copy: Option<Frame>) {
        if let Some(Some(p)) = self.ports.get(port as usize) {
            p.counters.errors.add(1);
        }
        let reason = match failure {
            Failure::Malformed | Failure::TooMany => DropReason::Malformed,
            Failure::TooLong => DropReason::Oversized,
            Failure::Unsupported => DropReason::Unsupported,
            Failure::NoBuffer => DropReason::NoBuffer,
        };
        match copy {
            Some(frame) => self.fates.lost(slot, reason, &frame),
            None => self.fates.dropped(slot, reason, 1),
        }
    }

    /// Buffers a frame that the device takes.
    #[inline]
    fn buffer(&mut self, port: u32, frame: Frame, slot: u16) {
        let Some(Some(p)) = self.ports.get_mut(port as usize) else { return };
        if p.burst.is_full() {
            flush(p, &mut self.fates);
        }
        if p.burst.is_empty() {
            self.dirty.push(port);
        }
        let bytes = frame.len() as u64;
        p.put(frame, slot, bytes);
    }

    /// Sends everything that is buffered.
    #[inline]
    pub(crate) fn flush(&mut self) {
        if self.dirty.is_empty() {
            return;
        }
        for port in &self.dirty {
            if let Some(Some(p)) = self.ports.get_mut(*port as usize) {
                flush(p, &mut self.fates);
            }
        }
        self.dirty.clear();
    }

    /// Packets received on `slot` that wait in buffers.
    pub(crate) fn buffered(&self, slot: u16) -> u64 {
        let count = |p: &TxPort| p.from.iter().take(p.burst.len()).filter(|s| **s == slot).count() as u64;
        self.ports.iter().flatten().map(|p| count(p)).sum()
    }
}

impl TxPort {
    #[inline(always)]
    fn put(&mut self, frame: Frame, slot: u16, bytes: u64) {
        if let Some(from) = self.from.get_mut(self.burst.len()) {
            *from = slot;
        }
        self.bytes += bytes;
        let full = self.burst.push(frame);
        debug_assert!(full.is_ok());
    }
}

/// Hands the buffered frames to the sink and settles their fates.
#[inline(never)]
fn flush(p: &mut TxPort, fates: &mut Fates) {
    let n = p.burst.len();
    if n == 0 {
        return;
    }
    if fates.taps.is_some() {
        stage(p, fates);
    }
    let start = fates.sending.start();
    let sent = match &mut p.sink {
        Sink::Own(queue) => queue.transmit(&mut p.burst),
        Sink::Shared(queue) => queue.lock().unwrap_or_else(PoisonError::into_inner).transmit(&mut p.burst),
        Sink::Remote(ring, _) => {
            // a burst goes in or is refused frame by frame; what is refused stays, in order
            let mut refused = Burst::new();
            let port = p.port;
            let items = p.burst.drain().map(|frame| Handoff { port, frame });
            let sent = ring.push_burst(items, |item| refused.extend([item.frame]));
            p.burst = refused;
            sent
        }
    };
    let sent = sent.min(n);
    fates.sending.end(start, p.from.get(..n).unwrap_or(&[]), p.port, sent);
    fates.worker.sent.add(sent as u64);
    fates.worker.sent_bursts.add(1);
    if sent == n && p.burst.is_empty() {
        p.counters.packets.add(n as u64);
        p.counters.bytes.add(std::mem::take(&mut p.bytes));
    } else {
        left_over(p, sent, n);
    }
    let from = p.from.get(..n).unwrap_or(&[]);
    let first = from.first().copied().unwrap_or(ELSEWHERE);
    let (taken, refused) = from.split_at_checked(sent).unwrap_or((from, &[]));
    if taken.iter().fold(0, |d, s| d | (s ^ first)) == 0 {
        fates.sent(first, p.port, taken.len() as u64);
    } else {
        taken.chunk_by(|a, b| a == b).for_each(|run| fates.sent(run[0], p.port, run.len() as u64));
    }
    let reason = if refused.is_empty() { DropReason::TxFull } else { p.sink.refusal() };
    refused.iter().for_each(|slot| fates.dropped(*slot, reason, 1));
    if fates.taps.is_some() {
        settle(p, fates, sent, reason);
    }
}

/// Copies what is about to be sent, for captures.
#[cold]
fn stage(p: &TxPort, fates: &mut Fates) {
    let Some(mut taps) = fates.taps.take() else { return };
    taps.stage(p.port, p.burst.as_slice(), |at| from(p, fates, at));
    fates.taps = Some(taps);
}

/// Says what became of it.
#[cold]
fn settle(p: &TxPort, fates: &mut Fates, sent: usize, reason: DropReason) {
    let Some(mut taps) = fates.taps.take() else { return };
    taps.settle(p.port, sent, matches!(p.sink, Sink::Remote(..)), reason, |at| from(p, fates, at).0);
    fates.taps = Some(taps);
}

/// The port that a buffered frame came from, and whether it has a fate.
fn from(p: &TxPort, fates: &Fates, at: usize) -> (PortNo, bool) {
    let slot = p.from.get(at).copied().unwrap_or(ELSEWHERE);
    (fates.number(slot), slot & COPY == 0)
}

/// The device took only some.
#[cold]
fn left_over(p: &mut TxPort, sent: usize, n: usize) {
    let rest: u64 = p.burst.iter().map(|f| f.len() as u64).sum();
    p.counters.packets.add(sent as u64);
    p.counters.bytes.add(std::mem::take(&mut p.bytes).saturating_sub(rest));
    p.counters.dropped.add((n - sent) as u64);
    p.burst.clear();
}
