//! Counters of a worker and of the ports on it: each has one writer, the worker, and any number of readers.

pub use base::counter::Counter;
use dpif::DropReason;

/// Number of drop reasons.
pub const REASONS: usize = DropReason::ALL.len();

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
    pub dropped: [Counter; REASONS],
    /// Packets that wait for translation now.
    pub parked: Counter,
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

/// What one worker did.
#[derive(Debug, Default)]
#[repr(align(128))]
pub struct WorkerCounters {
    pub received: Counter,
    pub forwarded: Counter,
    pub consumed: Counter,
    pub dropped: [Counter; REASONS],
    /// Bursts that had at least one packet.
    pub bursts: Counter,
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
