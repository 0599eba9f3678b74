//! The contract between datapath and pipeline: a packet and its key go in, actions, mask, dependencies and effects come
//! out. The root hands one [`Translate`] to the datapath; each worker takes a [`Reader`] of its own.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use base::clock::Instant;
use flow::{Flow, Mask};

use crate::action::{Action, Userspace};
use crate::change::{Change, Deps};
use crate::drop::DropReason;
use crate::port::{PortNo, RuleId, TableKey};

/// What translation may look at.
pub struct Input<'a> {
    /// The packet's key as the datapath has it: IN_PORT is a datapath port, RECIRC_ID says whether it was here before.
    pub flow: &'a Flow,
    /// The packet, where there is one (trace may have none).
    pub frame: Option<&'a [u8]>,
    pub now: Instant,
}

/// What translation says. The caller clears and reuses it.
#[derive(Clone, Debug, Default)]
pub struct Translation {
    pub actions: Vec<Action>,
    /// Bits of the key that the result depends on; a packet that agrees on these gets the same result until a change
    /// touches `deps`. Always has RECIRC_ID, IN_PORT, ETH_TYPE, PACKET_TYPE and, for IP, NW_FRAG exact.
    pub mask: Mask,
    pub deps: Deps,
    /// To be done once now and again, as a value each, when packets hit the megaflow (see [`Effect`]).
    pub effects: Vec<Effect>,
    /// Counters to which the megaflow's packets and bytes are added (rules, groups' buckets).
    pub stats: Vec<Arc<FlowStats>>,
    /// Why nothing is sent, when nothing is.
    pub drop: Option<DropReason>,
    /// False when the result must not be cached (an effect could not be queued, or an error).
    pub cacheable: bool,
}

/// A side effect of a packet or of a burst of a megaflow's packets. Applied by [`Reader::apply`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// NORMAL saw `mac` on `port` of `bridge` in `vlan`; `gratuitous` ARP may move entries that others may not.
    Learn { bridge: u32, vlan: u16, mac: u64, port: u32, gratuitous: bool },
    /// A flow that packets add or refresh, by the number that its content has.
    Flow { id: u32 },
    /// TCP connections of a rule end: its timeouts become these seconds, where they are longer or there are none; 0 leaves one.
    Ends { table: TableKey, rule: RuleId, idle: u16, hard: u16 },
    /// A copy of the packet for a controller or for a protocol machine; not replayed from a megaflow but by its
    /// Userspace action.
    Packet { bridge: u32, reason: u8, bytes: Box<[u8]> },
}

/// Packets and bytes that something has seen, and when last. Workers add what their megaflows counted, at least every
/// 500 ms while there is something to add.
#[derive(Debug, Default)]
pub struct FlowStats {
    packets: AtomicU64,
    bytes: AtomicU64,
    used: AtomicU64,
}

impl FlowStats {
    /// Adds what a megaflow counted since it last did. `used` is when its last packet came.
    pub fn add(&self, packets: u64, bytes: u64, used: Instant) {
        self.packets.fetch_add(packets, Ordering::Relaxed);
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
        self.used.fetch_max(used.as_nanos(), Ordering::Relaxed);
    }

    /// (packets, bytes, last used in nanoseconds of the clock; 0 is never)
    pub fn get(&self) -> (u64, u64, u64) {
        (self.packets.load(Ordering::Relaxed), self.bytes.load(Ordering::Relaxed), self.used.load(Ordering::Relaxed))
    }
}

/// The pipeline as the datapath sees it.
pub trait Translate: Send + Sync {
    /// A handle for one thread.
    fn reader(&self, name: &str) -> Box<dyn Reader>;
}

/// One thread's view of the tables. Between two [`refresh`](Reader::refresh) calls it sees one version.
pub trait Reader: Send {
    /// Says that nothing of the version seen so far is in use any more and takes the newest; returns its number. Called
    /// once per loop, idle or not: barriers wait for it.
    fn refresh(&mut self) -> u64;

    /// Says that the thread is about to block; it counts as having passed every version until the next refresh.
    fn offline(&mut self);

    /// Visits the changes made after version `since` up to the current one, oldest first. False when they are no longer
    /// known: treat everything as changed.
    fn changes(&self, since: u64, visit: &mut dyn FnMut(&Change)) -> bool;

    /// Translates one packet under the current version. Replaces what is in `out`.
    fn translate(&mut self, input: &Input<'_>, out: &mut Translation);

    /// Applies one effect (queues it for management or stores a time). False when it could not be taken: the caller
    /// must not cache the translation, or must try again later when replaying.
    fn apply(&mut self, effect: &Effect, now: Instant) -> bool;

    /// Takes a copy of a packet that a [`Userspace`] action sends to management: its key as it is then (IN_PORT a
    /// datapath port) and its bytes.
    ///
    /// # Errors
    /// Why it is not taken: the copy is lost, and counted.
    fn upcall(&mut self, what: Userspace, flow: &Flow, frame: &[u8], now: Instant) -> Result<(), DropReason> {
        let _ = (what, flow, frame, now);
        Err(DropReason::NoController)
    }

    /// How the datapath sees a port that packets come from; None when it is in no bridge.
    fn port_known(&self, port: PortNo) -> bool;
}
