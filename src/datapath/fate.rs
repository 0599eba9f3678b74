//! What becomes of packets, and its accounting: every received packet is forwarded, consumed or dropped, once.

use std::sync::Arc;

use dpif::{DropReason, PortNo};

use crate::stats::{PortCounters, WorkerCounters};

/// Bit in a slot: a copy of a packet from there, which has no fate of its own. Slots are below it.
pub(crate) const COPY: u16 = 0x8000;
/// In place of a slot: a frame from another worker, where its fate was settled.
pub(crate) const ELSEWHERE: u16 = u16::MAX;

/// The counters of a worker and of its in_ports, by slot.
pub(crate) struct Fates {
    pub(crate) worker: Arc<WorkerCounters>,
    pub(crate) ports: Vec<Option<Arc<PortCounters>>>,
}

impl Fates {
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

    /// Forgets what was sent to a port that goes: another may get its number.
    pub(crate) fn forget(&self, to: PortNo) {
        self.ports.iter().flatten().for_each(|port| port.sent_to.clear(to.0));
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
}
