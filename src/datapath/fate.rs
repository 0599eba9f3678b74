//! What becomes of packets, and its accounting: every received packet is forwarded, consumed or dropped, once.

use std::sync::Arc;

use dpif::DropReason;

use crate::stats::{PortCounters, WorkerCounters};

/// In place of a slot: a copy, which has no fate of its own.
pub(crate) const COPY: u16 = u16::MAX;

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

    #[inline]
    pub(crate) fn forwarded(&self, slot: u16, packets: u64) {
        if slot == COPY {
            return;
        }
        self.worker.forwarded.add(packets);
        if let Some(port) = self.port(slot) {
            port.forwarded.add(packets);
        }
    }

    #[inline]
    pub(crate) fn consumed(&self, slot: u16) {
        if slot == COPY {
            return;
        }
        self.worker.consumed.add(1);
        if let Some(port) = self.port(slot) {
            port.consumed.add(1);
        }
    }

    #[inline]
    pub(crate) fn dropped(&self, slot: u16, reason: DropReason, packets: u64) {
        if slot == COPY {
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
