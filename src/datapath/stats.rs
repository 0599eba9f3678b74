//! Counters of a worker and of the ports on it: each has one writer, the worker, and any number of readers.

use std::ops::Deref;
use std::sync::OnceLock;

pub use base::counter::Counter;
use dpif::DropReason;
use packet::burst::BURST;

use crate::histogram::{Linear, Log};

/// Number of drop reasons.
pub const REASONS: usize = DropReason::ALL.len();

/// A counter for each reason of a drop, at the reason's index.
#[derive(Debug)]
pub struct Drops([Counter; REASONS]);

impl Default for Drops {
    fn default() -> Self {
        Drops(std::array::from_fn(|_| Counter::default()))
    }
}

impl Deref for Drops {
    type Target = [Counter; REASONS];

    fn deref(&self) -> &Self::Target {
        &self.0
    }
}

/// What became of the packets that one worker received on one port. After draining,
/// received = forwarded + consumed + the sum of dropped.
#[derive(Debug, Default)]
#[repr(align(128))]
pub struct PortCounters {
    pub received: Counter,
    pub received_bytes: Counter,
    /// Packets whose last output a device or a ring to another worker accepted.
    pub forwarded: Counter,
    /// Packets that went to management only.
    pub consumed: Counter,
    pub dropped: Drops,
    /// Packets that wait for translation now.
    pub parked: Counter,
    /// Translations that its packets caused.
    pub misses: Counter,
    /// Packets of new flows that came when its translations of the loop were used up, and waited or were dropped.
    pub over_budget: Counter,
    /// Megaflows of its packets that got a wider mask than asked for because of its cap on masks.
    pub masks_capped: Counter,
    /// Megaflows, of whatever port, evicted at the limit to make room for its own.
    pub evictions: Counter,
    /// What went to each port, by its number, copies included.
    pub sent_to: Row,
}

/// What came by one receive queue. Moves with the queue from worker to worker.
#[derive(Debug, Default)]
#[repr(align(64))]
pub struct QueueCounters {
    pub packets: Counter,
    pub bytes: Counter,
    pub bursts: Counter,
    /// Cycles from its receive calls that gave packets to their transmission.
    pub cycles: Counter,
    /// Turns at which it was passed over, having had more of its worker's time than others that wait.
    pub passed_over: Counter,
}

impl QueueCounters {
    /// A burst came.
    #[inline]
    pub(crate) fn count(&self, packets: u64, bytes: u64) {
        self.packets.add(packets);
        self.bytes.add(bytes);
        self.bursts.add(1);
    }
}

/// Numbers in the first part of a [`Row`]; each further part has twice as many.
const FIRST: usize = 32;

/// Counters by port number, made as numbers come up. The writer is one thread.
#[derive(Debug, Default)]
pub struct Row([OnceLock<Box<[Counter]>>; 11]);

impl Row {
    /// The part that has number `n`, and where in it.
    #[inline]
    fn place(n: u32) -> (usize, usize) {
        let at = n as usize + FIRST;
        let part = (at.ilog2() - FIRST.ilog2()) as usize;
        (part, at - (FIRST << part))
    }

    /// Counts for number `n`; those beyond the last part are not counted.
    #[inline]
    pub fn add(&self, n: u32, packets: u64) {
        let (part, at) = Row::place(n);
        let Some(cell) = self.0.get(part) else { return };
        let counters = cell.get_or_init(|| (0..FIRST << part).map(|_| Counter::new()).collect());
        if let Some(counter) = counters.get(at) {
            counter.add(packets);
        }
    }

    /// Sets number `n` to 0, while its writer does not count there.
    pub fn clear(&self, n: u32) {
        let (part, at) = Row::place(n);
        if let Some(counter) = self.0.get(part).and_then(|p| p.get()?.get(at)) {
            counter.set(0);
        }
    }

    /// The numbers that counted something, each with its count.
    pub fn iter(&self) -> impl Iterator<Item = (u32, u64)> + '_ {
        let parts = self.0.iter().enumerate().filter_map(|(part, cell)| Some((part, cell.get()?)));
        let all =
            parts.flat_map(|(part, c)| c.iter().enumerate().map(move |(at, c)| ((FIRST << part) + at - FIRST, c)));
        all.map(|(n, c)| (n as u32, c.get())).filter(|(_, count)| *count != 0)
    }
}

/// What one worker sent to one port, copies included.
#[derive(Debug, Default)]
#[repr(align(128))]
pub struct TxCounters {
    pub packets: Counter,
    pub bytes: Counter,
    /// Frames that the device or ring had no room for.
    pub dropped: Counter,
    /// Frames that could not be made to fit the device.
    pub errors: Counter,
}

/// What one worker did. Cycles are those of [`base::clock::ticks`], or whatever [`crate::Control::measure`] was given.
#[derive(Debug, Default)]
#[repr(align(128))]
pub struct WorkerCounters {
    pub received: Counter,
    pub forwarded: Counter,
    pub consumed: Counter,
    pub dropped: Drops,
    /// Receive calls that gave packets, by how many.
    pub bursts: Linear<{ BURST + 1 }>,
    /// Cycles for each packet, from its receive call to transmit buffers; the average of its burst.
    pub packet_cycles: Log,
    /// Cycles of each miss: translation, and making the megaflow.
    pub miss_cycles: Log,
    /// Cycles of loops that had packets, and of others.
    pub busy_cycles: Counter,
    pub idle_cycles: Counter,
    /// Loops that had packets.
    pub busy_steps: Counter,
    /// Sleeps for want of packets, and the nanoseconds asked for.
    pub sleeps: Counter,
    pub slept: Counter,
    /// Frames sent to devices and other workers, copies included, and in how many calls.
    pub sent: Counter,
    pub sent_bursts: Counter,
    /// Lookups answered because a whole burst had one class, or the class table knew it.
    pub hit_simple: Counter,
    /// Lookups answered by the signature cache.
    pub hit_signature: Counter,
    /// Lookups answered by the tuple space.
    pub hit_tuple: Counter,
    /// Subtables visited for these.
    pub subtables: Counter,
    /// Lookups that nothing answered.
    pub miss: Counter,
    pub recirculated: Counter,
    pub translations: Counter,
    /// Translations not cached: by their own wish, or because no megaflow could be freed.
    pub uncached: Counter,
    /// Megaflows that a change made stale.
    pub stale: Counter,
    /// Megaflows evicted at the limit.
    pub evicted: Counter,
    /// Megaflows that got a wider mask than asked for because of the cap.
    pub masks_capped: Counter,
    /// Effects and copies to management that found no room.
    pub lost: Counter,
    pub panics: Counter,
    /// Megaflows now.
    pub megaflows: Counter,
    /// Masks now, over all ports.
    pub masks: Counter,
    /// Times that the loop ran.
    pub steps: Counter,
    /// Last version seen.
    pub version: Counter,
}

impl WorkerCounters {
    /// What became of the worker's packets; bytes and waiting packets are the ports' to count.
    pub fn fates(&self) -> Fates {
        let mut dropped = Vec::new();
        add_drops(&mut dropped, &self.dropped);
        let (received, forwarded, consumed) = (self.received.get(), self.forwarded.get(), self.consumed.get());
        Fates { received, forwarded, consumed, dropped, ..Fates::default() }
    }
}

/// A copy of [`PortCounters`], or the sum of several.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Fates {
    pub received: u64,
    pub received_bytes: u64,
    pub forwarded: u64,
    pub consumed: u64,
    pub dropped: Vec<(DropReason, u64)>,
    pub parked: u64,
}

impl Fates {
    /// All drops.
    pub fn drops(&self) -> u64 {
        self.dropped.iter().map(|d| d.1).sum()
    }

    /// Drops for one reason.
    pub fn dropped(&self, reason: DropReason) -> u64 {
        self.dropped.iter().filter(|d| d.0 == reason).map(|d| d.1).sum()
    }

    /// Adds what `port` counted.
    pub fn add(&mut self, port: &PortCounters) {
        self.received += port.received.get();
        self.received_bytes += port.received_bytes.get();
        self.forwarded += port.forwarded.get();
        self.consumed += port.consumed.get();
        self.parked += port.parked.get();
        add_drops(&mut self.dropped, &port.dropped);
    }
}

/// Adds the non-zero counters of an array indexed by reason to a sparse list in the order of the reasons.
pub fn add_drops(sum: &mut Vec<(DropReason, u64)>, counters: &[Counter; REASONS]) {
    for (reason, counter) in DropReason::ALL.iter().zip(counters) {
        let n = counter.get();
        if n == 0 {
            continue;
        }
        match sum.iter_mut().find(|(r, _)| r == reason) {
            Some((_, have)) => *have += n,
            None => sum.push((*reason, n)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_counts_each_number_apart() {
        let row = Row::default();
        let numbers = [0, 1, 31, 32, 95, 96, 4000, 32_766];
        for (i, n) in numbers.iter().enumerate() {
            row.add(*n, i as u64 + 1);
        }
        row.add(31, 5);
        row.add(u32::MAX, 1);
        let want: Vec<_> = (1..).zip(numbers).map(|(i, n)| (n, if n == 31 { 8 } else { i })).collect();
        assert_eq!(row.iter().collect::<Vec<_>>(), want);
        row.clear(31);
        row.clear(30_000);
        assert!(row.iter().all(|(n, _)| n != 31));
        assert_eq!(row.iter().count(), numbers.len() - 1);
    }
}
