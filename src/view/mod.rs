//! One look at a running switch as a value: what `show`, `stats`, `flows`, `top`, the page and whoever reads the JSON of
//! `ironbridge/snapshot` see. Counters are cumulative; two snapshots and their times give rates ([`rates`]).

pub mod rates;

use serde::{Deserialize, Serialize};

/// Everything but the megaflows, of which it has the hottest.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Snapshot {
    pub version: String,
    pub dpdk: String,
    /// Time of the switch's own clock, nanoseconds, and when the switch started by it.
    pub at: u64,
    pub started: u64,
    pub bridges: Vec<Bridge>,
    pub ports: Vec<Port>,
    pub workers: Vec<Worker>,
    /// All packets since the start, those of ports that are gone included.
    pub totals: Fates,
    /// What ports that are gone had of it.
    pub gone: Fates,
    /// Who sends to whom.
    pub matrix: Vec<Talk>,
    /// Megaflows with the highest rates, hottest first.
    pub hottest: Vec<Megaflow>,
    pub pools: Vec<Pool>,
}

/// A bridge; its ports are those of [`Snapshot::ports`] that name it.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Bridge {
    pub name: String,
    /// OpenFlow flows in its tables.
    pub flows: usize,
    pub groups: usize,
    /// MAC addresses known.
    pub macs: usize,
}

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Port {
    pub bridge: String,
    pub name: String,
    /// OpenFlow number; 65534 is LOCAL. None where the port could not be made.
    pub number: Option<u32>,
    /// Datapath number; patches have none.
    pub datapath: Option<u32>,
    /// Type, as configured.
    pub kind: String,
    /// up, down, gone, error, or which way it is on.
    pub state: String,
    /// Why it could not be made.
    pub error: Option<String>,
    pub mtu: Option<u32>,
    /// Access or native VLAN.
    pub tag: Option<u16>,
    /// Where a patch leads.
    pub peer: Option<Peer>,
    /// What became of packets received here.
    pub received: Fates,
    pub sent: Sent,
    pub device: Device,
    pub queues: Vec<Queue>,
}

/// The other end of a patch.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Peer {
    pub bridge: String,
    pub port: String,
}

/// packets = forwarded + consumed + dropped + waiting.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fates {
    pub packets: u64,
    pub bytes: u64,
    pub forwarded: u64,
    pub consumed: u64,
    pub dropped: u64,
    /// For translation, now.
    pub waiting: u64,
    /// By reason; they sum to `dropped`.
    pub drops: Vec<Drop>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Drop {
    pub reason: String,
    /// What the reason means, a sentence.
    pub meaning: String,
    pub packets: u64,
}

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Sent {
    pub packets: u64,
    pub bytes: u64,
    /// The device or a ring had no room.
    pub dropped: u64,
    pub errors: u64,
}

/// What the device itself counted.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Device {
    pub rx_dropped: u64,
    pub rx_errors: u64,
    pub tx_errors: u64,
}

/// A receive queue.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Queue {
    pub number: u32,
    pub worker: String,
    pub packets: u64,
    pub bytes: u64,
    pub bursts: u64,
}

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Worker {
    pub name: String,
    /// None: it sleeps when idle, and is not pinned.
    pub core: Option<usize>,
    /// Nanoseconds in loops that did something, and in all.
    pub busy: u64,
    pub time: u64,
    pub received: Fates,
    pub bursts: u64,
    /// Lookups by what answered them; misses were translated.
    pub hit_simple: u64,
    pub hit_signature: u64,
    pub hit_megaflow: u64,
    pub miss: u64,
    pub recirculated: u64,
    pub translations: u64,
    pub uncached: u64,
    pub stale: u64,
    pub evicted: u64,
    pub megaflows: u64,
    pub masks: u64,
    /// Frames in its ring from other workers, and those that it had no room for.
    pub ring_waiting: usize,
    pub ring_refused: u64,
    pub panics: u64,
}

/// Packets from one port to another, copies included.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Talk {
    pub from: String,
    pub to: String,
    pub packets: u64,
}

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Megaflow {
    pub bridge: String,
    pub in_port: String,
    pub worker: String,
    /// In the syntax of flows.
    pub matching: String,
    /// Datapath actions.
    pub actions: String,
    pub packets: u64,
    pub bytes: u64,
    /// Per second, of late.
    pub packet_rate: u64,
    pub byte_rate: u64,
    /// Nanoseconds since it was made, and since its last packet.
    pub age: u64,
    pub idle: u64,
    /// Why it drops, where there is more of a reason than its rule.
    pub drop: Option<String>,
}

/// A pool of packet buffers.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Pool {
    pub name: String,
    pub used: u32,
    pub frames: u32,
}

impl Fates {
    /// What is in these and not in `others`, for totals that include what is gone.
    #[must_use]
    pub fn without<'a>(&self, others: impl Iterator<Item = &'a Fates> + Clone) -> Fates {
        let rest = |of: fn(&Fates) -> u64| of(self).saturating_sub(others.clone().map(of).sum());
        let drops = self.drops.iter().map(|d| {
            let had: u64 =
                others.clone().flat_map(|o| &o.drops).filter(|o| o.reason == d.reason).map(|o| o.packets).sum();
            Drop { packets: d.packets.saturating_sub(had), ..d.clone() }
        });
        Fates {
            packets: rest(|f| f.packets),
            bytes: rest(|f| f.bytes),
            forwarded: rest(|f| f.forwarded),
            consumed: rest(|f| f.consumed),
            dropped: rest(|f| f.dropped),
            waiting: rest(|f| f.waiting),
            drops: drops.filter(|d| d.packets != 0).collect(),
        }
    }
}
