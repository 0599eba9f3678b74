//! What becomes of packets, and its accounting: every received packet is forwarded, consumed or dropped, once.

use std::sync::Arc;

use dpif::{DropReason, PortNo};
use packet::Frame;

use crate::sending::Sending;
use crate::stats::{PortCounters, WorkerCounters};
use crate::tap::Taps;

/// Bit in a slot: a copy of a packet from there, which has no fate of its own. Slots are below it.
pub(crate) const COPY: u16 = 0x8000;
/// In place of a slot: a frame from another worker, where its fate was settled.
pub(crate) const ELSEWHERE: u16 = u16::MAX;

/// The counters of a worker and of its in_ports, by slot.
pub(crate) struct Fates {
    pub(crate) worker: Arc<WorkerCounters>,
    pub(crate) ports: Vec<Option<Arc<PortCounters>>>,
    /// Ports by slot.
    pub(crate) numbers: Vec<PortNo>,
    /// Captures, while there are some.
    pub(crate) taps: Option<Box<Taps>>,
    pub(crate) sending: Sending,
}

impl Fates {
    pub(crate) fn new(worker: Arc<WorkerCounters>, ticks: fn() -> u64) -> Fates {
        Fates { worker, ports: Vec::new(), numbers: Vec::new(), taps: None, sending: Sending::new(ticks) }
    }

    /// The port of a slot or of a copy's.
    pub(crate) fn number(&self, slot: u16) -> PortNo {
        self.numbers.get(usize::from(slot & !COPY)).copied().unwrap_or(PortNo(u32::MAX))
    }

    #[inline(always)]
    fn port(&self, slot: u16) -> Option<&PortCounters> {
        self.ports.get(usize::from(slot))?.as_deref()
    }

    #[inline]
    pub(crate) fn received(&self, slot: u16, packets: u64, bytes: u64) {
        self.worker.received.add(packets);
        if let Some(port) = self.port(slot) {
            port.received.add(packets);
            port.received_bytes.add(bytes);
        }
    }

    /// A device or a ring accepted packets for port `to`.
    #[inline]
    pub(crate) fn sent(&self, slot: u16, to: PortNo, packets: u64) {
        let primaries = if slot & COPY == 0 { packets } else { 0 };
        self.worker.forwarded.add(primaries);
        if let Some(port) = self.port(slot & !COPY) {
            port.forwarded.add(primaries);
            port.sent_to.add(to.0, packets);
        }
    }

    /// A packet went on as copies, which were counted where they went.
    #[cold]
    pub(crate) fn went_on(&self, slot: u16) {
        if slot & COPY != 0 {
            return;
        }
        self.worker.forwarded.add(1);
        if let Some(port) = self.port(slot) {
            port.forwarded.add(1);
        }
    }

    #[inline]
    pub(crate) fn consumed(&self, slot: u16) {
        if slot & COPY != 0 {
            return;
        }
        self.worker.consumed.add(1);
        if let Some(port) = self.port(slot) {
            port.consumed.add(1);
        }
    }

    #[inline]
    pub(crate) fn dropped(&self, slot: u16, reason: DropReason, packets: u64) {
        if slot & COPY != 0 {
            return;
        }
        let i = reason as usize;
        if let Some(counter) = self.worker.dropped.get(i) {
            counter.add(packets);
        }
        if let Some(counter) = self.port(slot).and_then(|p| p.dropped.get(i)) {
            counter.add(packets);
        }
    }

    /// The same for a frame that is still there, so that captures see it.
    #[inline]
    pub(crate) fn lost(&mut self, slot: u16, reason: DropReason, frame: &Frame) {
        self.dropped(slot, reason, 1);
        if self.taps.is_some() {
            self.tap_drop(slot, reason, frame);
        }
    }

    #[cold]
    fn tap_drop(&mut self, slot: u16, reason: DropReason, frame: &Frame) {
        let port = self.number(slot);
        if let Some(taps) = &mut self.taps
            && slot & COPY == 0
        {
            taps.dropped(port, reason, frame);
        }
    }
}
