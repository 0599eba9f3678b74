//! What a connection agreed on: version, role, forms of messages.

use std::collections::BTreeMap;

use base::clock::Instant;
use openflow::action::PacketInReason;
use openflow::wire::asynchronous::{AsyncConfig, Unasked};
use openflow::wire::flow::RemovedReason;
use openflow::wire::packet::PacketInFormat;
use openflow::wire::port::{PortMod, PortReason};
use openflow::wire::switch::Role;
use openflow::wire::table_mod::TableReason;
use openflow::wire::{Connection, Version, Versions};
use pipeline::BundleItem;

use super::tables::Naming;

/// Bundles that a connection may have open.
pub(super) const BUNDLES: usize = 64;
/// Changes that a connection's open bundles may have together.
pub(super) const BUNDLED: usize = 1 << 20;

/// Octets of a packet that no flow matched, of which a controller gets so many unless it asks for more (OFP_DEFAULT_MISS_SEND_LEN).
const MISS_SEND_LEN: u16 = 128;

/// A bundle that is being put together.
#[derive(Debug)]
pub(super) struct Bundle {
    pub(super) flags: u16,
    pub(super) closed: bool,
    /// What opened it, which an error is about when it is left alone too long, and when it was last heard of.
    pub(super) opened: Vec<u8>,
    pub(super) used: Instant,
    /// Each with the transaction and the bytes that an error is about.
    pub(super) items: Vec<(Vec<u8>, BundleItem)>,
    /// Changes of ports, which nothing else in it depends on.
    pub(super) ports: Vec<(Vec<u8>, PortMod)>,
}

impl Bundle {
    /// Empty, as `opened` asks for it.
    pub(super) fn new(flags: u16, opened: &[u8], now: Instant) -> Bundle {
        Bundle { flags, closed: false, opened: opened.to_vec(), used: now, items: Vec::new(), ports: Vec::new() }
    }
}

/// What a connection is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// A controller that the bridge's rows name, and that is told what happens from the start.
    Primary,
    /// A tool's, or a controller's that came by itself: it is told what it did not ask for when it has said how much of it.
    Service,
    /// Who looks on: it gets copies of what primary controllers say and are told.
    Snoop,
}

/// What a connection is told without asking: bits of reasons, by its role being another than "secondary", and being that
/// (OpenFlow 1.3.5 section 6.3.6).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Asks {
    pub(super) packet_in: [u32; 2],
    pub(super) port_status: [u32; 2],
    pub(super) flow_removed: [u32; 2],
    pub(super) role_status: [u32; 2],
    table_status: [u32; 2],
    request_forward: [u32; 2],
}

const ALL: u32 = u32::MAX;
const INVALID_TTL: u32 = 1 << PacketInReason::InvalidTtl as u32;

impl Asks {
    /// In the order of [`Unasked::ALL`].
    fn all(&mut self) -> [&mut [u32; 2]; 6] {
        let Asks { packet_in, port_status, flow_removed, role_status, table_status, request_forward } = self;
        [packet_in, port_status, flow_removed, role_status, table_status, request_forward]
    }

    /// Takes what a controller asks for; what it does not say stays as it was.
    pub(super) fn take(&mut self, config: &AsyncConfig) {
        for (masks, (own, secondary)) in self.all().into_iter().zip(config.primary.iter().zip(&config.secondary)) {
            let [now_own, now_secondary] = masks;
            *now_own = own.unwrap_or(*now_own);
            *now_secondary = secondary.unwrap_or(*now_secondary);
        }
    }

    /// What it is, as a controller is told.
    pub(super) fn config(mut self) -> AsyncConfig {
        let mut config = AsyncConfig::default();
        for (n, (masks, kind)) in self.all().into_iter().zip(Unasked::ALL).enumerate() {
            let places = config.primary.get_mut(n).into_iter().chain(config.secondary.get_mut(n));
            places.zip(masks).for_each(|(place, mask)| *place = Some(*mask & kind.reasons()));
        }
        config
    }

    /// What a connection starts with.
    const FIRST: Asks = Asks {
        packet_in: [ALL & !INVALID_TTL, 0],
        port_status: [ALL, ALL],
        flow_removed: [ALL, 0],
        role_status: [0, 0],
        table_status: [0, 0],
        request_forward: [0, 0],
    };
}

/// One connection's state.
pub(super) struct Session {
    pub(super) kind: Kind,
    /// Versions that may be agreed on.
    pub(super) versions: Versions,
    pub(super) asks: Asks,
    /// None until both have said hello.
    pub(super) version: Option<Version>,
    pub(super) role: Role,
    pub(super) controller_id: u16,
    pub(super) packet_in_format: PacketInFormat,
    /// OpenFlow 1.0's flow-mods name a table in their command (`NXT_FLOW_MOD_TABLE_ID`).
    pub(super) table_id: bool,
    /// Bytes of a packet that no flow asked for; a tool's connection with 0 is told nothing that it did not ask for.
    pub(super) miss_send_len: u16,
    pub(super) bundles: BTreeMap<u32, Bundle>,
    /// Names of tables that are being told.
    pub(super) naming: Option<Naming>,
}

impl Session {
    /// At the beginning; `versions` are those that the bridge's row allows.
    pub(super) fn new(kind: Kind, versions: Option<Versions>) -> Session {
        let (spoken, allowed) = (Session::versions(), versions.unwrap_or(Versions::ALL));
        Session {
            kind,
            versions: Versions(spoken.0 & allowed.0),
            asks: Asks::FIRST,
            version: None,
            role: Role::Equal,
            controller_id: 0,
            packet_in_format: PacketInFormat::Standard,
            table_id: false,
            miss_send_len: if kind == Kind::Primary { MISS_SEND_LEN } else { 0 },
            bundles: BTreeMap::new(),
            naming: None,
        }
    }

    /// The versions that are spoken.
    pub(super) fn versions() -> Versions {
        Versions::ALL
    }

    /// Whether it is told anything that it did not ask for.
    pub(super) fn listens(&self) -> bool {
        let kind = match self.kind {
            Kind::Primary => true,
            Kind::Service => self.miss_send_len != 0,
            Kind::Snoop => false,
        };
        self.version.is_some() && kind
    }

    fn wants(&self, asked: [u32; 2], reason: u32) -> bool {
        let [own, secondary] = asked;
        let mask = if self.role == Role::Secondary { secondary } else { own };
        self.listens() && mask >> reason & 1 != 0
    }

    /// Whether packets that come for this reason go to it.
    pub(super) fn wants_packet(&self, reason: PacketInReason) -> bool {
        self.wants(self.asks.packet_in, reason as u32)
    }

    /// Whether it is told of ports.
    pub(super) fn wants_port(&self, reason: PortReason) -> bool {
        self.wants(self.asks.port_status, reason as u32)
    }

    /// Whether it is told of flows that went.
    pub(super) fn wants_removed(&self, reason: RemovedReason) -> bool {
        // older versions do not know of eviction
        let known = reason != RemovedReason::Eviction || self.version >= Some(Version::Of14);
        known && self.wants(self.asks.flow_removed, reason as u32)
    }

    /// Whether it is told of a table's room.
    pub(super) fn wants_table(&self, reason: TableReason) -> bool {
        let bit = match reason {
            TableReason::VacancyDown => 3,
            TableReason::VacancyUp => 4,
        };
        self.version >= Some(Version::Of14) && self.wants(self.asks.table_status, bit)
    }

    /// Whether it is told of its role, which it is whatever it asked for, as by the stock switch.
    pub(super) fn wants_role(&self) -> bool {
        self.version.is_some_and(|v| v >= Version::Of13)
    }

    /// Whether it is told of others' changes: 0 of groups, 1 of meters.
    pub(super) fn wants_forwarded(&self, reason: u32) -> bool {
        self.wants(self.asks.request_forward, reason)
    }

    /// Takes what a controller asks to be told; who came by himself and asks for that asks for packets too.
    pub(super) fn take_asks(&mut self, config: &AsyncConfig) {
        self.asks.take(config);
        if self.kind == Kind::Service && self.miss_send_len == 0 {
            self.miss_send_len = MISS_SEND_LEN;
        }
    }

    /// Packets whose hop count ran out go to it.
    pub(super) fn set_invalid_ttl(&mut self, on: bool) {
        let [own, _] = &mut self.asks.packet_in;
        *own = if on { *own | INVALID_TTL } else { *own & !INVALID_TTL };
    }

    /// See [`Session::set_invalid_ttl`].
    pub(super) fn invalid_ttl(&self) -> bool {
        self.asks.packet_in[0] & INVALID_TTL != 0
    }

    /// What decoding its messages needs to know.
    pub(super) fn reading(&self) -> Connection<'static> {
        Connection { table_id: self.table_id, tlv: None }
    }

    /// Changes in open bundles.
    pub(super) fn bundled(&self) -> usize {
        self.bundles.values().map(|bundle| bundle.items.len() + bundle.ports.len()).sum()
    }
}
