//! What a port's queues and vhost's callbacks share: gates, which rings are on, counters.
//!
//! Callbacks for one guest come one at a time. Those that turn rings on and off come with locks of rte_vhost held for
//! which a worker may be waiting, gate in hand: they only write atomics. Only [`State::close`] waits for gates.

use super::ahead::{Ahead, Memory};
use super::fault::Damage;
use super::{Side, VhostConfig, VhostStatus};
use base::counter::Counter;
use packet::device::TxCaps;
use packet::frame::flags;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU16, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Rings of a guest at the most: as many as rte_vhost has for one, 128 pairs.
const RINGS: usize = 256;
/// No ring to send to.
pub(super) const NOWHERE: u16 = u16::MAX;

/// A guest whose driver has started, as one of its rings' gates has it.
pub(super) struct Guest {
    /// Its number in vhost.
    pub(super) vid: i32,
    /// What it does by itself with frames that it gets.
    pub(super) caps: TxCaps,
    /// Bits of [`flags::TX_WORK`] that it takes.
    pub(super) work: u64,
    /// The ring's next buffers.
    pub(super) ahead: Ahead,
}

impl Guest {
    /// `caps` are what the port can do for a guest that negotiated everything.
    pub(super) fn new(vid: i32, features: u64, caps: TxCaps, memory: Option<&Arc<Memory>>) -> Guest {
        let has = |bit: u32| features & 1 << bit != 0;
        let checksum = has(dpdk_sys::IB_VIRTIO_NET_F_GUEST_CSUM);
        let tso = caps.tso
            && checksum
            && has(dpdk_sys::IB_VIRTIO_NET_F_GUEST_TSO4)
            && has(dpdk_sys::IB_VIRTIO_NET_F_GUEST_TSO6);
        let caps = TxCaps {
            tcp_checksum: caps.tcp_checksum && checksum,
            udp_checksum: caps.udp_checksum && checksum,
            tso,
            ..caps
        };
        // rte_vhost makes IPv4 header checksums itself
        let mut work = flags::TX_IP_CKSUM;
        if checksum {
            work |= flags::TX_L4_MASK;
        }
        if tso {
            work |= flags::TX_TCP_SEG;
        }
        Guest { vid, caps, work, ahead: Ahead::new(memory) }
    }
}

/// Whether a ring is in use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Phase {
    Off = 0,
    /// Turned on, and the guest not told yet that it need not kick.
    Fresh = 1,
    On = 2,
}

/// One ring of the guest.
#[derive(Default)]
#[repr(align(128))]
pub(super) struct Ring {
    /// The guest, while its memory may be used. Who holds the lock may use it, and writes the counters.
    pub(super) gate: Mutex<Option<Guest>>,
    phase: AtomicU8,
    pub(super) packets: Counter,
    pub(super) bytes: Counter,
    /// Frames that it had no room for.
    pub(super) full: Counter,
    /// Attempts beyond the first.
    pub(super) retries: Counter,
    /// Frames that could not be made what the guest takes.
    pub(super) errors: Counter,
}

impl Ring {
    pub(super) fn phase(&self) -> Phase {
        match self.phase.load(Relaxed) {
            0 => Phase::Off,
            1 => Phase::Fresh,
            _ => Phase::On,
        }
    }

    fn set(&self, phase: Phase) {
        self.phase.store(phase as u8, Relaxed);
    }

    /// Fresh no more; turned off meanwhile it stays off.
    pub(super) fn settled(&self) {
        let _ = self.phase.compare_exchange(Phase::Fresh as u8, Phase::On as u8, Relaxed, Relaxed);
    }

    pub(super) fn gate(&self) -> MutexGuard<'_, Option<Guest>> {
        self.gate.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Counters of a ring.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RingStats {
    /// The pair that it belongs to.
    pub pair: u16,
    /// The guest receives by it; otherwise it sends.
    pub to_guest: bool,
    /// The guest uses it.
    pub enabled: bool,
    /// Frames moved.
    pub packets: u64,
    /// Bytes moved.
    pub bytes: u64,
    /// Frames that it had no room for.
    pub full: u64,
    /// Attempts to put the rest of a burst, beyond the first.
    pub retries: u64,
    /// Frames that could not be made what the guest takes.
    pub errors: u64,
}

/// Everything that a port shares with its queues and callbacks.
pub(super) struct State {
    pub(super) path: PathBuf,
    /// By vhost's number: the guest receives by even ones and sends by odd ones.
    rings: Box<[Ring]>,
    /// Pairs that the guest has spoken of.
    pairs: AtomicU16,
    /// A hint that saves looking at gates; they decide.
    up: AtomicBool,
    /// The ring that each transmit queue sends to.
    routes: Box<[AtomicU16]>,
    /// Frames of each transmit queue that had no ring to go to; each has one writer.
    unrouted: Box<[Counter]>,
    caps: TxCaps,
    /// A guest's memory may arrive after it does.
    postcopy: bool,
    pub(super) damage: Damage,
    about: Mutex<About>,
}

/// For display, and for callbacks.
#[derive(Default)]
struct About {
    /// The number of the connection.
    connection: Option<i32>,
    guest: Option<i32>,
    features: u64,
    node: Option<u32>,
    connections: u64,
    refused: u64,
}

impl State {
    pub(super) fn new(path: &Path, tx_queues: u16, caps: TxCaps, postcopy: bool) -> State {
        State {
            path: path.to_path_buf(),
            rings: std::iter::repeat_with(Ring::default).take(RINGS).collect(),
            pairs: AtomicU16::new(0),
            up: AtomicBool::new(false),
            routes: (0..tx_queues).map(|_| AtomicU16::new(NOWHERE)).collect(),
            unrouted: (0..tx_queues).map(|_| Counter::new()).collect(),
            caps,
            postcopy,
            damage: Damage::default(),
            about: Mutex::default(),
        }
    }

    fn about(&self) -> MutexGuard<'_, About> {
        self.about.lock().unwrap_or_else(PoisonError::into_inner)
    }

    #[inline]
    pub(super) fn is_up(&self) -> bool {
        self.up.load(Relaxed) && !self.damage.is_broken()
    }

    /// Whether all of a guest's memory is there when it comes.
    pub(super) fn has_memory_at_once(&self) -> bool {
        !self.postcopy
    }

    #[inline]
    pub(super) fn pairs(&self) -> u16 {
        self.pairs.load(Relaxed)
    }

    #[inline]
    pub(super) fn ring(&self, number: u16) -> Option<&Ring> {
        self.rings.get(usize::from(number))
    }

    /// The ring that transmit queue `queue` sends to.
    #[inline]
    pub(super) fn route(&self, queue: u16) -> u16 {
        self.routes.get(usize::from(queue)).map_or(NOWHERE, |r| r.load(Relaxed))
    }

    #[cold]
    pub(super) fn count_unrouted(&self, queue: u16, frames: usize) {
        if let Some(counter) = self.unrouted.get(usize::from(queue)) {
            counter.add(frames as u64);
        }
    }

    /// Somebody connected. False when there is a connection already: two guests cannot share a port.
    pub(super) fn connect(&self, vid: i32) -> bool {
        let mut about = self.about();
        if about.connection.is_some() {
            about.refused += 1;
            return false;
        }
        about.connection = Some(vid);
        about.connections += 1;
        true
    }

    /// The connection is over.
    pub(super) fn disconnect(&self, vid: i32) {
        let mut about = self.about();
        if about.connection != Some(vid) {
            return;
        }
        about.connection = None;
        self.damage.forget();
        self.rings.iter().for_each(|ring| ring.set(Phase::Off));
        self.pairs.store(0, Relaxed);
        self.reroute();
    }

    /// The guest's driver has started: its memory may be used.
    pub(super) fn open(&self, vid: i32, features: u64, rings: u16, node: Option<u32>, memory: Option<&Arc<Memory>>) {
        {
            let mut about = self.about();
            (about.guest, about.features, about.node) = (Some(vid), features, node);
        }
        self.pairs.fetch_max((rings / 2).min(RINGS as u16 / 2), Relaxed);
        self.rings.iter().for_each(|ring| *ring.gate() = Some(Guest::new(vid, features, self.caps, memory)));
        self.up.store(true, Relaxed);
    }

    /// The guest's driver has stopped, or the guest is gone. When this returns, no worker uses its memory, nor will.
    pub(super) fn close(&self) {
        self.up.store(false, Relaxed);
        self.rings.iter().for_each(|ring| *ring.gate() = None);
        self.about().guest = None;
    }

    /// A ring was turned on or off.
    pub(super) fn enable(&self, number: u16, on: bool) {
        let Some(ring) = self.ring(number) else { return };
        ring.set(if on { Phase::Fresh } else { Phase::Off });
        self.pairs.fetch_max(number / 2 + 1, Relaxed);
        self.reroute();
    }

    /// Deals the enabled rings that the guest receives by out to the transmit queues.
    fn reroute(&self) {
        let on: Vec<u16> = (0..RINGS as u16)
            .step_by(2)
            .filter(|n| self.ring(*n).is_some_and(|ring| ring.phase() != Phase::Off))
            .collect();
        for (i, route) in self.routes.iter().enumerate() {
            route.store(on.get(i % on.len().max(1)).copied().unwrap_or(NOWHERE), Relaxed);
        }
    }

    /// Whether a guest is up and sends by one of the rings of receive queue `queue` of `queues`.
    pub(super) fn receives(&self, queue: u16, queues: u16) -> bool {
        let mut pairs = (queue..self.pairs()).step_by(usize::from(queues.max(1)));
        self.is_up() && pairs.any(|pair| self.ring(pair * 2 + 1).is_some_and(|ring| ring.phase() != Phase::Off))
    }

    pub(super) fn status(&self, config: &VhostConfig) -> VhostStatus {
        let about = self.about();
        VhostStatus {
            path: config.path.clone(),
            side: config.side,
            connected: about.connection.is_some(),
            guest: about.guest,
            features: if about.guest.is_some() { about.features } else { 0 },
            node: about.node.filter(|_| about.guest.is_some()),
            pairs: self.pairs(),
            connections: about.connections,
            refused: about.refused,
            broken: self.damage.is_broken(),
            holes: self.damage.holes(),
        }
    }

    pub(super) fn rings(&self) -> Vec<RingStats> {
        // rings that were used by a guest before this one keep their counts
        let used = |pair: &u16| {
            *pair < self.pairs()
                || [0, 1]
                    .iter()
                    .any(|side| self.ring(pair * 2 + side).is_some_and(|r| r.packets.get() != 0 || r.full.get() != 0))
        };
        let stats = |number: u16| {
            let ring = self.ring(number)?;
            Some(RingStats {
                pair: number / 2,
                to_guest: number.is_multiple_of(2),
                enabled: ring.phase() != Phase::Off,
                packets: ring.packets.get(),
                bytes: ring.bytes.get(),
                full: ring.full.get(),
                retries: ring.retries.get(),
                errors: ring.errors.get(),
            })
        };
        let pairs = (0..RINGS as u16 / 2).filter(used);
        pairs.flat_map(|pair| [pair * 2 + 1, pair * 2]).filter_map(stats).collect()
    }

    pub(super) fn unrouted(&self) -> u64 {
        self.unrouted.iter().map(Counter::get).sum()
    }
}

impl std::fmt::Debug for State {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("State").field("path", &self.path).field("up", &self.is_up()).finish_non_exhaustive()
    }
}

impl Side {
    /// The word for display.
    pub fn name(self) -> &'static str {
        match self {
            Side::Client => "client",
            Side::Server => "server",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CAPS: TxCaps = TxCaps { ip_checksum: false, sctp_checksum: false, ..TxCaps::ALL };

    fn routes(state: &State) -> Vec<u16> {
        (0..3).map(|queue| state.route(queue)).collect()
    }

    #[test]
    fn transmit_queues_go_round_the_rings_that_are_on() {
        let state = State::new(Path::new("/x"), 3, CAPS, false);
        assert_eq!(routes(&state), [NOWHERE; 3]);
        // rings that the guest sends by are no place to send to
        state.enable(1, true);
        assert_eq!((routes(&state), state.pairs()), (vec![NOWHERE; 3], 1));
        state.enable(4, true);
        assert_eq!((routes(&state), state.pairs()), (vec![4; 3], 3));
        state.enable(0, true);
        assert_eq!(routes(&state), [0, 4, 0]);
        state.enable(0, false);
        assert_eq!(routes(&state), [4; 3]);
        state.enable(u16::MAX, true);
        assert!(state.connect(7) && !state.connect(8));
        state.disconnect(8);
        assert_eq!(routes(&state), [4; 3]);
        state.disconnect(7);
        assert_eq!((routes(&state), state.pairs()), (vec![NOWHERE; 3], 0));
        assert!(state.connect(8));
    }

    #[test]
    fn gates_hold_the_guest_while_it_is_there() {
        let state = State::new(Path::new("/x"), 1, CAPS, false);
        let held = |n| state.ring(n).and_then(|ring| ring.gate().as_ref().map(|guest| guest.vid));
        assert_eq!((held(0), state.is_up()), (None, false));
        state.open(3, 0, 4, None, None);
        state.enable(3, true);
        // pairs 0 and 2, of which the guest has none on; pair 1
        assert_eq!([0, 1, 2].map(|queue| state.receives(queue, 2)), [false, true, false]);
        assert!(state.receives(0, 1));
        assert_eq!((held(0), held(255), state.pairs(), state.is_up()), (Some(3), Some(3), 2, true));
        state.close();
        assert_eq!((held(0), held(255), state.is_up()), (None, None, false));
        assert!(!state.receives(1, 2));
    }

    #[test]
    fn a_guest_gets_what_it_negotiated() {
        let bit = |n: u32| 1u64 << n;
        let checksum = bit(dpdk_sys::IB_VIRTIO_NET_F_GUEST_CSUM);
        let tso = bit(dpdk_sys::IB_VIRTIO_NET_F_GUEST_TSO4) | bit(dpdk_sys::IB_VIRTIO_NET_F_GUEST_TSO6);
        let of = |features| Guest::new(0, features, CAPS, None);
        assert_eq!(of(0).work, flags::TX_IP_CKSUM);
        assert_eq!(of(tso).work, flags::TX_IP_CKSUM);
        assert_eq!(of(checksum).work, flags::TX_IP_CKSUM | flags::TX_L4_MASK);
        assert_eq!(of(checksum | tso).work, flags::TX_IP_CKSUM | flags::TX_L4_MASK | flags::TX_TCP_SEG);
        assert!(of(checksum | tso).caps.tso && !of(checksum).caps.tso && !of(0).caps.tcp_checksum);
        assert_eq!(Guest::new(0, checksum | tso, TxCaps { tso: false, ..CAPS }, None).work, of(checksum).work);
    }

    #[test]
    fn a_ring_that_is_turned_off_meanwhile_stays_off() {
        let ring = Ring::default();
        ring.set(Phase::Fresh);
        ring.settled();
        assert_eq!(ring.phase(), Phase::On);
        ring.set(Phase::Off);
        ring.settled();
        assert_eq!(ring.phase(), Phase::Off);
    }
}
